//! The files of one commit of a repository, in the cache or fetched into it.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use super::download::{download, list};
use super::options::is_plain;
use super::{HubError, HubOptions};
use crate::progress::Watch;

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    fn repo_type(self) -> RepoType {
        match self {
            Self::Model => RepoType::Model,
            Self::Dataset => RepoType::Dataset,
        }
    }
}

/// The files of one commit of a repository, in the cache or fetched into it.
pub(crate) struct Snapshot<'a> {
    id: &'a str,
    kind: Kind,
    options: &'a HubOptions,
    cache: Cache,
    /// Known once the cache or an answer has told it.
    commit: Option<String>,
}

impl<'a> Snapshot<'a> {
    /// Looks up what the cache knows; asks the hub nothing.
    ///
    /// # Errors
    /// [`HubError::Option`].
    pub(crate) fn new(kind: Kind, id: &'a str, options: &'a HubOptions) -> Result<Self, HubError> {
        options.check(id)?;
        // hf-hub links files by paths relative to each other and needs both of one kind.
        let dir = std::path::absolute(&options.cache_dir).unwrap_or(options.cache_dir.clone());
        let mut snapshot = Self { id, kind, options, cache: Cache::new(dir), commit: None };
        let revision = &options.revision;
        snapshot.commit = match std::fs::read_to_string(snapshot.dir().join("refs").join(revision))
        {
            Ok(text) => Some(text.trim().to_string()).filter(|commit| is_plain(commit)),
            // The revision may itself be a commit whose files are there.
            Err(_) => Some(revision.clone()).filter(|r| is_plain(r) && snapshot.files(r).is_dir()),
        };
        Ok(snapshot)
    }

    /// The commit, or the revision while no commit is known.
    pub(crate) fn commit(&self) -> &str {
        self.commit.as_deref().unwrap_or(&self.options.revision)
    }

    /// The folder of the repository in the cache.
    pub(crate) fn dir(&self) -> PathBuf {
        self.cache.path().join(self.repo().folder_name())
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.id.into(), self.kind.repo_type(), self.options.revision.clone())
    }

    fn files(&self, commit: &str) -> PathBuf {
        self.cache.repo(self.repo()).pointer_path(commit)
    }

    /// The place of a file that the cache has.
    pub(crate) fn cached(&self, file: &str) -> Option<PathBuf> {
        let path = self.files(self.commit.as_deref()?).join(file);
        path.exists().then_some(path)
    }

    /// The error of a file that the cache lacks, offline.
    pub(crate) fn not_cached(&self, file: &str) -> HubError {
        HubError::NotCached {
            id: self.id.to_string(),
            revision: self.options.revision.clone(),
            file: file.into(),
            cache: self.cache.path().clone(),
        }
    }

    /// The error of files that the hub lacks.
    pub(crate) fn absent(&self, file: &str) -> HubError {
        HubError::NotFound {
            endpoint: self.options.endpoint.clone(),
            id: self.id.to_string(),
            revision: self.options.revision.clone(),
            file: file.into(),
        }
    }

    /// Gives a file of the snapshot; none when the hub has no such file.
    ///
    /// # Errors
    /// It cannot be fetched, or is not in the cache while offline.
    pub(crate) fn file(
        &mut self,
        file: &str,
        watch: &dyn Watch,
    ) -> Result<Option<PathBuf>, HubError> {
        if let Some(path) = self.cached(file) {
            return Ok(Some(path));
        }
        if self.options.offline {
            return Err(self.not_cached(file));
        }
        let at = self.at_commit();
        let fetched = download(self.options, &self.cache, at, file, watch)?;
        if let (None, Some(path)) = (&self.commit, &fetched) {
            let depth = Path::new(file).components().count();
            let commit = path.ancestors().nth(depth).and_then(Path::file_name);
            self.commit = commit.map(|commit| commit.to_string_lossy().into_owned());
        }
        Ok(fetched)
    }

    /// Lists the files of the commit, by name: of the hub, or offline of the cache.
    ///
    /// # Errors
    /// The hub does not answer; offline, the cache has none of its files.
    pub(crate) fn list(&mut self, watch: &dyn Watch) -> Result<Vec<String>, HubError> {
        let mut names = if self.options.offline {
            let Some(commit) = &self.commit else {
                return Err(self.not_cached("the list of files"));
            };
            let dir = self.files(commit);
            let mut names = Vec::new();
            walk(&dir, "", &mut names).map_err(HubError::io("list", &dir))?;
            names
        } else {
            let listing = list(self.options, &self.cache, self.at_commit(), watch)?;
            let Some((commit, names)) = listing.filter(|(commit, _)| is_plain(commit)) else {
                return Err(self.absent("list of files"));
            };
            if self.commit.as_ref() != Some(&commit) {
                let refs = self.dir().join("refs");
                let noted = self.cache.repo(self.repo()).create_ref(&commit);
                noted.map_err(HubError::io("note the commit in", &refs))?;
                self.commit = Some(commit);
            }
            names
        };
        // A name ends up in paths: one that could lead elsewhere is no file of the repository.
        let inside =
            |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\\');
        names.retain(|name| name.split('/').all(inside));
        names.sort_unstable();
        Ok(names)
    }

    /// The repository at its commit, or at the revision while no commit is known.
    fn at_commit(&self) -> Repo {
        Repo::with_revision(self.id.into(), self.kind.repo_type(), self.commit().into())
    }
}

fn walk(dir: &Path, before: &str, names: &mut Vec<String>) -> std::io::Result<()> {
    for entry in dir.read_dir()? {
        let entry = entry?;
        let name = format!("{before}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}
