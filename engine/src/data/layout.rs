//! What a data folder holds: which domains, and in which form each.
//!
//! A folder has one sub-folder a domain. One made by LLM-Shearing has `for_prune/<domain>` (or
//! `for_ft/<domain>`) to train on, and `eval/<domain>` or one `eval/eval_merge`, whose column `set`
//! names the domain of each sample, to evaluate on. The form of a domain is recognised by its files:
//! an `index.json` is that of shards, `.tokens` are token files, all others hold documents.
//! Files and folders whose name starts with a dot, and files of other kinds, are no data.
//!
//! Files and folders called `train`, `validation` and so on are parts of one domain; see `split.rs`. A
//! folder without sub-folders holds a domain a file, or one domain in parts.

mod split;

use std::path::{Path, PathBuf};

use super::DataError;
use super::formats::tokens;
use super::read::holds_documents;
pub(crate) use split::{group, is_train};

/// The folders of training data that the public code writes; the first that is there is taken.
pub(crate) const TRAIN: [&str; 2] = ["for_prune", "for_ft"];
/// The folder of its evaluation data.
pub(crate) const EVAL: &str = "eval";
/// The folder in it that holds the samples of all domains.
pub(crate) const MERGED: &str = "eval_merge";

/// Where a domain's data is.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) train: Content,
    pub(crate) eval: Evaluation,
}

/// What a domain's folder holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Files of documents, by name.
    Documents(Vec<PathBuf>),
    /// Token files of our own, by name.
    Tokens(Vec<PathBuf>),
    /// The folder of shards.
    Shards(PathBuf),
}

/// Where a domain's evaluation rows come from.
#[derive(Debug, PartialEq)]
pub(crate) enum Evaluation {
    /// The first rows of the training data.
    First,
    /// Files or a folder of their own.
    Own(Content),
    /// The evaluation part of the data set that the training data is the other part of.
    Part(Content),
    /// A folder of shards whose column `set` names the domain.
    Merged(PathBuf),
}

/// Lists the domains of a data folder, by name.
///
/// # Errors
/// A [`DataError`] that names the folder.
pub(crate) fn places(dir: &Path) -> Result<Vec<Place>, DataError> {
    let folders = match sub_folders(dir)? {
        folders if folders.is_empty() => return flat(dir),
        folders => folders,
    };
    let named = |name: &str| folders.iter().find(|(n, _)| n == name).map(|(_, path)| path);
    let train = TRAIN.into_iter().find_map(|name| named(name).filter(|path| has_folders(path)));
    let Some(train) = train else {
        return plain(dir, &folders);
    };
    let eval = named(EVAL);
    let public = |(name, path): (String, PathBuf)| {
        let train = content(&path)?;
        let eval = match eval {
            None => Evaluation::First,
            Some(dir) if dir.join(&name).is_dir() => Evaluation::Own(content(&dir.join(&name))?),
            Some(dir) if dir.join(MERGED).is_dir() => Evaluation::Merged(dir.join(MERGED)),
            Some(dir) => return Err(DataError::NoEval { domain: name, dir: dir.clone() }),
        };
        Ok(Place { name, train, eval })
    };
    sub_folders(train)?.into_iter().map(public).collect()
}

/// Domains of sub-folders: one each, or one in parts.
fn plain(dir: &Path, folders: &[(String, PathBuf)]) -> Result<Vec<Place>, DataError> {
    let names: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
    if let Some((train, eval)) = parts(dir, &names)? {
        let train = content(&folders[train].1)?;
        let eval = eval.map(|i| content(&folders[i].1)).transpose()?;
        return Ok(vec![Place::in_parts(called(dir), train, eval)]);
    }
    let place = |(name, path): &(String, PathBuf)| divided(name.clone(), path, content(path)?);
    folders.iter().map(place).collect()
}

/// Domains of a folder without sub-folders: one a file, or one in parts.
fn flat(dir: &Path) -> Result<Vec<Place>, DataError> {
    let files = match content(dir) {
        Ok(Content::Documents(files)) => files,
        Ok(content) => return Ok(vec![Place::in_parts(called(dir), content, None)]),
        Err(DataError::NoFiles { dir, found }) => return Err(DataError::NoDomains { dir, found }),
        Err(other) => return Err(other),
    };
    // Beside files of documents, text files are a licence or a list of names.
    let text = |path: &PathBuf| path.to_string_lossy().to_lowercase().ends_with(".txt");
    let (texts, others): (Vec<_>, Vec<_>) = files.into_iter().partition(text);
    let grouped = group_files(if others.is_empty() { texts } else { others });
    let names: Vec<&str> = grouped.iter().map(|(name, _)| name.as_str()).collect();
    if parts(dir, &names)?.is_some() {
        let files = grouped.into_iter().flat_map(|(_, files)| files).collect();
        return Ok(vec![divided(called(dir), dir, Content::Documents(files))?]);
    }
    let place = |(name, files)| Place::in_parts(name, Content::Documents(files), None);
    Ok(grouped.into_iter().map(place).collect())
}

/// One domain, with the evaluation files that its folder holds apart.
fn divided(name: String, dir: &Path, content: Content) -> Result<Place, DataError> {
    let Content::Documents(files) = content else {
        return Ok(Place::in_parts(name, content, None));
    };
    let mut grouped = group_files(files);
    let names: Vec<&str> = grouped.iter().map(|(name, _)| name.as_str()).collect();
    let Some((train, eval)) = parts(dir, &names)? else {
        let files = grouped.into_iter().flat_map(|(_, files)| files).collect();
        return Ok(Place::in_parts(name, Content::Documents(files), None));
    };
    let mut take = |i: usize| Content::Documents(std::mem::take(&mut grouped[i].1));
    Ok(Place::in_parts(name, take(train), eval.map(take)))
}

impl Place {
    fn in_parts(name: String, train: Content, eval: Option<Content>) -> Self {
        Self { name, train, eval: eval.map_or(Evaluation::First, Evaluation::Part) }
    }
}

/// Files by the group of their name, in the order of names.
fn group_files(files: Vec<PathBuf>) -> Vec<(String, Vec<PathBuf>)> {
    let mut grouped: Vec<(String, Vec<PathBuf>)> = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = split::group(&name);
        match grouped.iter_mut().find(|(known, _)| known == name) {
            Some((_, files)) => files.push(path),
            None => grouped.push((name.to_string(), vec![path])),
        }
    }
    grouped
}

/// Where the training part and the evaluation part are in a list of names; none when each stands for
/// itself.
fn parts(dir: &Path, names: &[&str]) -> Result<Option<(usize, Option<usize>)>, DataError> {
    match split::groups(names) {
        split::Groups::Separate => Ok(None),
        split::Groups::Parts { train, eval } => Ok(Some((train, eval))),
        split::Groups::Foreign(i) => {
            Err(DataError::BesideTrain { dir: dir.into(), found: names[i].to_string() })
        }
    }
}

/// What a domain that fills a folder is called.
fn called(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.into());
    full.file_name().map_or("data".into(), |name| name.to_string_lossy().into_owned())
}

/// Tells what a domain's folder holds.
///
/// # Errors
/// [`DataError::NoFiles`], [`DataError::MixedFiles`], [`DataError::Read`].
pub(crate) fn content(dir: &Path) -> Result<Content, DataError> {
    let entries = visible(dir)?;
    let files = |fits: &dyn Fn(&str, &Path) -> bool| -> Vec<PathBuf> {
        let fits = |(name, path): &&(String, PathBuf)| path.is_file() && fits(name, path);
        entries.iter().filter(fits).map(|(_, path)| path.clone()).collect()
    };
    let shards = files(&|name, _| name == "index.json");
    let mut tokens = files(&|name, _| name.ends_with(tokens::ENDING));
    // In the order of the files they were made from: `a.jsonl.gz.tokens` stands after `a.jsonl.tokens`.
    tokens.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_end_matches(tokens::ENDING).to_string()
    });
    let documents = files(&|_, path| holds_documents(path));
    let kinds = [&shards, &tokens, &documents];
    if kinds.iter().filter(|files| !files.is_empty()).count() > 1 {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let found = kinds.iter().filter_map(|files| name(files.first()?)).collect();
        return Err(DataError::MixedFiles { dir: dir.into(), found });
    }
    if !shards.is_empty() {
        return Ok(Content::Shards(dir.into()));
    }
    if !tokens.is_empty() {
        return Ok(Content::Tokens(tokens));
    }
    if !documents.is_empty() {
        return Ok(Content::Documents(documents));
    }
    Err(DataError::NoFiles { dir: dir.into(), found: listing(&entries) })
}

/// Lists the sub-folders of a folder, name and path, by name.
///
/// # Errors
/// [`DataError::MissingFolder`], [`DataError::NotAFolder`], [`DataError::Read`].
fn sub_folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    if !dir.exists() {
        return Err(DataError::MissingFolder { dir: dir.into() });
    }
    if !dir.is_dir() {
        return Err(DataError::NotAFolder { path: dir.into() });
    }
    Ok(visible(dir)?.into_iter().filter(|(_, path)| path.is_dir()).collect())
}

fn has_folders(dir: &Path) -> bool {
    visible(dir).is_ok_and(|entries| entries.iter().any(|(_, path)| path.is_dir()))
}

/// Lists what is in a folder, name and path, by name.
///
/// # Errors
/// [`DataError::Read`].
pub(crate) fn visible(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Read { path: dir.into(), source };
    let mut entries = Vec::new();
    for entry in dir.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Says what a folder holds: `only a.pdf, b.json`.
pub(crate) fn listing(entries: &[(String, PathBuf)]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<&str> = entries.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    match entries.len() {
        0 => "it is empty".into(),
        n if n > SHOWN => format!("only {} and {} more", names.join(", "), n - SHOWN),
        _ => format!("only {}", names.join(", ")),
    }
}
