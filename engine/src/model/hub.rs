//! A model by its hub id: fetched once into the shared Hugging Face cache, then read from there.
//!
//! A file that the cache has is used as it is, without a request. All files of a load come from one
//! commit: the one the cache knows for the revision, or the one the first download names. Offline,
//! only the cache is asked.

mod download;
mod options;
#[cfg(test)]
mod stand_in;

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo};

use self::download::download;
pub use self::options::HubOptions;
use self::options::{is_hub_id, is_plain};
use super::checkpoint::{
    CONFIG, INDEX, LoadOptions, SINGLE, TOKENIZER, load_folder, load_named, weight_map,
};
use super::{Model, ModelError, ModelOrigin};
use crate::progress::Watch;

/// Loads the model that `spec` names: an existing folder, else a hub id `org/name`. A leading `~/`
/// is the home folder.
///
/// # Errors
/// [`ModelError::NotFound`] lists what was looked for; else as [`load_folder`] and [`load_hub`].
pub fn load(
    spec: &str,
    hub: &HubOptions,
    options: &LoadOptions,
    watch: &dyn Watch,
) -> Result<Model, ModelError> {
    let folder = match (spec.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(spec),
    };
    if !spec.is_empty() && folder.exists() {
        return load_folder(&folder, options, watch);
    }
    let full = std::path::absolute(&folder).unwrap_or(folder);
    if !is_hub_id(spec) {
        let looked = vec![
            format!("the folder `{}`", full.display()),
            "a hub id of the form org/name, which this is not".to_string(),
        ];
        return Err(ModelError::NotFound { spec: spec.to_string(), looked });
    }
    load_hub(spec, hub, options, watch).map_err(|error| match error {
        ModelError::HubNotFound { .. }
        | ModelError::HubDenied { .. }
        | ModelError::HubUnreachable { .. }
        | ModelError::NotCached { .. } => {
            ModelError::NeitherFolderNorHub { folder: full, hub: Box::new(error) }
        }
        other => other,
    })
}

/// Loads a model by its hub id, fetching what the cache lacks.
///
/// # Units
/// Progress counts bytes: first of every file fetched, then of the tensors loaded.
///
/// # Errors
/// The id, the revision or a file does not exist, may not be read or cannot be fetched; offline, a
/// file is not in the cache; else as [`load_folder`]. An interrupted download goes on where it
/// stopped the next time.
pub fn load_hub(
    id: &str,
    options: &HubOptions,
    load: &LoadOptions,
    watch: &dyn Watch,
) -> Result<Model, ModelError> {
    options.check(id)?;
    let mut snapshot = Snapshot::new(id, options);
    let absent = |file| ModelError::HubNotFound {
        endpoint: options.endpoint.clone(),
        id: id.to_string(),
        revision: options.revision.clone(),
        file,
    };
    let config = snapshot.file(CONFIG, watch)?.ok_or_else(|| absent(CONFIG))?;
    if !snapshot.weights(watch)? {
        return Err(absent("model.safetensors or model.safetensors.index.json"));
    }
    if !options.offline {
        snapshot.file(TOKENIZER, watch)?;
    }
    let dir = config.parent().unwrap_or(Path::new("."));
    let commit = snapshot.commit.as_deref().unwrap_or(&options.revision);
    let model = load_named(dir, id, &format!("{id}@{commit}"), load, watch)?;
    let origin = ModelOrigin::Hub { id: id.to_string(), commit: commit.to_string() };
    Ok(Model { origin, ..model })
}

/// The files of one commit of a repository, in the cache or fetched into it.
struct Snapshot<'a> {
    id: &'a str,
    options: &'a HubOptions,
    cache: Cache,
    /// Known once the cache or a download has told it.
    commit: Option<String>,
}

impl<'a> Snapshot<'a> {
    fn new(id: &'a str, options: &'a HubOptions) -> Self {
        // hf-hub links files by paths relative to each other and needs both of one kind.
        let dir = std::path::absolute(&options.cache_dir).unwrap_or(options.cache_dir.clone());
        let cache = Cache::new(dir);
        let revision = &options.revision;
        let repo = Repo::model(id.to_string());
        let reference = cache.path().join(repo.folder_name()).join("refs").join(revision);
        let commit = match std::fs::read_to_string(reference) {
            Ok(text) => Some(text.trim().to_string()).filter(|commit| is_plain(commit)),
            // The revision may itself be a commit whose files are there.
            Err(_) => Some(revision.clone())
                .filter(|r| is_plain(r) && cache.repo(repo).pointer_path(r).is_dir()),
        };
        Self { id, options, cache, commit }
    }

    fn cached(&self, file: &str) -> Option<PathBuf> {
        let repo = self.cache.repo(Repo::model(self.id.to_string()));
        let path = repo.pointer_path(self.commit.as_deref()?).join(file);
        path.exists().then_some(path)
    }

    fn not_cached(&self, file: &str) -> ModelError {
        ModelError::NotCached {
            id: self.id.to_string(),
            revision: self.options.revision.clone(),
            file: file.into(),
            cache: self.cache.path().clone(),
        }
    }

    /// Gives a file of the snapshot; none when the hub has no such file.
    fn file(&mut self, file: &str, watch: &dyn Watch) -> Result<Option<PathBuf>, ModelError> {
        if let Some(path) = self.cached(file) {
            return Ok(Some(path));
        }
        if self.options.offline {
            return Err(self.not_cached(file));
        }
        let revision = self.commit.as_deref().unwrap_or(&self.options.revision);
        let fetched = download(self.options, &self.cache, self.id, revision, file, watch)?;
        if let (None, Some(path)) = (&self.commit, &fetched) {
            let commit = path.parent().and_then(Path::file_name);
            self.commit = commit.map(|commit| commit.to_string_lossy().into_owned());
        }
        Ok(fetched)
    }

    /// Gets the weights: one file, or an index and its shards. False when the hub has neither.
    fn weights(&mut self, watch: &dyn Watch) -> Result<bool, ModelError> {
        let index = match (self.cached(SINGLE), self.cached(INDEX)) {
            (Some(_), _) => return Ok(true),
            (None, Some(index)) => index,
            (None, None) if self.options.offline => {
                return Err(self.not_cached("model.safetensors (or its index)"));
            }
            (None, None) => {
                if self.file(SINGLE, watch)?.is_some() {
                    return Ok(true);
                }
                let Some(index) = self.file(INDEX, watch)? else {
                    return Ok(false);
                };
                index
            }
        };
        let mut shards: Vec<String> = weight_map(&index)?.into_values().collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            if self.file(&shard, watch)?.is_none() {
                return Err(ModelError::MissingShard { index, shard });
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::TcpListener;

    use super::stand_in::{COMMIT, Manner, StandIn, behind_a_proxy};
    use super::*;
    use crate::model::save::{SaveOptions, tiny};
    use crate::progress::Unwatched;

    pub(in crate::model::hub) fn saved() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        tiny::model(false).save(dir.path(), &SaveOptions::default()).unwrap();
        dir
    }

    pub(in crate::model::hub) fn options(endpoint: &str, cache: &Path) -> HubOptions {
        HubOptions {
            revision: "main".to_string(),
            token: None,
            cache_dir: cache.to_path_buf(),
            endpoint: endpoint.to_string(),
            offline: false,
        }
    }

    pub(in crate::model::hub) fn fetch(
        id: &str,
        options: &HubOptions,
    ) -> Result<Model, ModelError> {
        load(id, options, &LoadOptions::default(), &Unwatched)
    }

    #[test]
    fn a_model_is_fetched_once_and_then_read_from_the_cache() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        let hub = StandIn::start(files.path(), Manner::Sound);
        let mut options = options(&hub.endpoint, cache.path());
        let model = fetch("org/tiny", &options).unwrap();
        assert_eq!(tiny::numbers(&model), tiny::numbers(&tiny::model(false)));
        assert_eq!(model.name, "org/tiny");
        assert!(model.tokenizer().is_ok());
        let after_first = hub.count();
        assert!(after_first >= 6, "{:?}", hub.requests);
        fetch("org/tiny", &options).unwrap();
        assert_eq!(hub.count(), after_first, "a second load asks the hub nothing");
        options.offline = true;
        options.endpoint = "http://127.0.0.1:9".to_string();
        let offline = fetch("org/tiny", &options).unwrap();
        assert_eq!(tiny::numbers(&offline), tiny::numbers(&model));
        options.revision = COMMIT.to_string();
        assert!(fetch("org/tiny", &options).is_ok(), "the commit names the same files");
        assert_eq!(hub.count(), after_first);
    }

    #[test]
    fn provenance_names_the_commit() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut model = tiny::model(true);
        model.provenance.clear();
        model.save(files.path(), &SaveOptions::default()).unwrap();
        let hub = StandIn::start(files.path(), Manner::Sound);
        let model = fetch("org/tiny", &options(&hub.endpoint, cache.path())).unwrap();
        assert_eq!(model.provenance, [("source".to_string(), format!("org/tiny@{COMMIT}"))]);
    }

    #[test]
    fn shards_are_fetched_by_their_index() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        let shard = "model-00001-of-00001.safetensors";
        std::fs::rename(files.path().join(SINGLE), files.path().join(shard)).unwrap();
        let map: serde_json::Map<_, _> = (tiny::model(false).weights.named().into_iter())
            .map(|(name, _)| (name, shard.into()))
            .collect();
        let index = serde_json::json!({ "weight_map": map }).to_string();
        std::fs::write(files.path().join(INDEX), index).unwrap();
        let hub = StandIn::start(files.path(), Manner::Sound);
        let options = options(&hub.endpoint, cache.path());
        let model = fetch("org/tiny", &options).unwrap();
        assert_eq!(tiny::numbers(&model), tiny::numbers(&tiny::model(false)));
        let before = hub.count();
        fetch("org/tiny", &options).unwrap();
        assert_eq!(hub.count(), before);
    }

    #[test]
    fn a_repository_without_a_tokenizer_loads() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        std::fs::remove_file(files.path().join(TOKENIZER)).unwrap();
        let hub = StandIn::start(files.path(), Manner::Sound);
        let mut options = options(&hub.endpoint, cache.path());
        assert!(fetch("org/tiny", &options).unwrap().tokenizer.is_none());
        options.offline = true;
        assert!(fetch("org/tiny", &options).unwrap().tokenizer.is_none());
    }

    #[test]
    fn what_the_hub_does_not_give_is_named() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        std::fs::remove_file(files.path().join(SINGLE)).unwrap();
        let hub = StandIn::start(files.path(), Manner::Sound);
        let options = options(&hub.endpoint, cache.path());
        let text = fetch("org/tiny", &options).unwrap_err().to_string();
        assert!(text.contains("has no model.safetensors or"), "{text}");
        assert!(text.contains("there is no folder"), "{text}");
        let text = fetch("org/other", &options).unwrap_err().to_string();
        assert!(text.contains("HTTP 401") && text.contains("HF_TOKEN"), "{text}");
        std::fs::remove_file(files.path().join(CONFIG)).unwrap();
        let cache = tempfile::tempdir().unwrap();
        let fresh = HubOptions { cache_dir: cache.path().to_path_buf(), ..options };
        let text = fetch("org/tiny", &fresh).unwrap_err().to_string();
        assert!(text.contains("has no config.json for `org/tiny` at revision `main`"), "{text}");
    }

    #[test]
    fn a_hub_that_is_not_there_is_named() {
        if behind_a_proxy() {
            return;
        }
        let cache = tempfile::tempdir().unwrap();
        // A port that was free a moment ago: nobody listens.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = options(&format!("http://127.0.0.1:{port}"), cache.path());
        let ModelError::NeitherFolderNorHub { hub, .. } = fetch("org/tiny", &options).unwrap_err()
        else {
            panic!("not wrapped")
        };
        assert!(matches!(*hub, ModelError::HubUnreachable { .. }), "{hub}");
        assert!(hub.to_string().contains("HF_HUB_OFFLINE=1"), "{hub}");
    }

    #[test]
    fn offline_names_the_file_that_the_cache_lacks() {
        let cache = tempfile::tempdir().unwrap();
        let mut options = options("http://127.0.0.1:9", cache.path());
        options.offline = true;
        let text = fetch("org/tiny", &options).unwrap_err().to_string();
        assert!(text.contains("config.json of `org/tiny`"), "{text}");
        assert!(text.contains(&cache.path().display().to_string()), "{text}");
    }

    #[test]
    fn a_download_that_comes_short_does_not_stay_in_the_cache() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        let short = StandIn::start(files.path(), Manner::Short);
        let error = fetch("org/tiny", &options(&short.endpoint, cache.path())).unwrap_err();
        assert!(matches!(error, ModelError::HubIncomplete { .. }), "{error}");
        let sound = StandIn::start(files.path(), Manner::Sound);
        assert!(fetch("org/tiny", &options(&sound.endpoint, cache.path())).is_ok());
    }

    #[test]
    fn a_name_that_is_neither_folder_nor_id_says_what_was_looked_for() {
        let cache = tempfile::tempdir().unwrap();
        let options = options("http://127.0.0.1:9", cache.path());
        for spec in ["llama", "./models/llama", "/nowhere/at all", "a/b/c", "", "org/", "../x"] {
            let error = fetch(spec, &options).unwrap_err();
            assert!(matches!(error, ModelError::NotFound { .. }), "{spec}: {error}");
            assert!(error.to_string().contains("org/name"), "{error}");
        }
        let dir = saved();
        assert!(fetch(&dir.path().display().to_string(), &options).is_ok());
    }

    #[test]
    fn odd_options_are_refused_before_any_request() {
        let cache = tempfile::tempdir().unwrap();
        let sound = options("http://127.0.0.1:9", cache.path());
        let refused = |id: &str, options: &HubOptions| {
            let error = load_hub(id, options, &LoadOptions::default(), &Unwatched).unwrap_err();
            assert!(matches!(error, ModelError::HubOption { .. }), "{error}");
        };
        refused("org", &sound);
        refused("org/na me", &sound);
        for revision in ["", "../main", "a//b", "a?b"] {
            refused("org/x", &HubOptions { revision: revision.into(), ..sound.clone() });
        }
        for endpoint in ["", "huggingface.co", "ftp://x", "http://", "http://a b"] {
            refused("org/x", &HubOptions { endpoint: endpoint.into(), ..sound.clone() });
        }
    }
}
