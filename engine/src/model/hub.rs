//! A model by its name: a folder, or a hub id whose files are fetched once into the cache.

use std::path::{Path, PathBuf};

use super::checkpoint::{
    CONFIG, INDEX, LoadOptions, SINGLE, TOKENIZER, load_folder, load_named, weight_map,
};
use super::{Model, ModelError, ModelOrigin};
use crate::hub::{HubError, HubOptions, Kind, Snapshot, is_hub_id};
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
        ModelError::Hub(
            hub @ (HubError::NotFound { .. }
            | HubError::Denied { .. }
            | HubError::Unreachable { .. }
            | HubError::NotCached { .. }),
        ) => ModelError::NeitherFolderNorHub { folder: full, hub: Box::new(hub) },
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
    let mut snapshot = Snapshot::new(Kind::Model, id, options)?;
    let config = snapshot.file(CONFIG, watch)?.ok_or_else(|| snapshot.absent(CONFIG))?;
    if !weights(&mut snapshot, options, watch)? {
        return Err(snapshot.absent("model.safetensors or model.safetensors.index.json").into());
    }
    if !options.offline {
        snapshot.file(TOKENIZER, watch)?;
    }
    let dir = config.parent().unwrap_or(Path::new("."));
    let commit = snapshot.commit();
    let model = load_named(dir, id, &format!("{id}@{commit}"), load, watch)?;
    let origin = ModelOrigin::Hub { id: id.to_string(), commit: commit.to_string() };
    Ok(Model { origin, ..model })
}

/// Gets the weights: one file, or an index and its shards. False when the hub has neither.
fn weights(
    snapshot: &mut Snapshot,
    options: &HubOptions,
    watch: &dyn Watch,
) -> Result<bool, ModelError> {
    let index = match (snapshot.cached(SINGLE), snapshot.cached(INDEX)) {
        (Some(_), _) => return Ok(true),
        (None, Some(index)) => index,
        (None, None) if options.offline => {
            return Err(snapshot.not_cached("model.safetensors (or its index)").into());
        }
        (None, None) => {
            if snapshot.file(SINGLE, watch)?.is_some() {
                return Ok(true);
            }
            let Some(index) = snapshot.file(INDEX, watch)? else {
                return Ok(false);
            };
            index
        }
    };
    let mut shards: Vec<String> = weight_map(&index)?.into_values().collect();
    shards.sort_unstable();
    shards.dedup();
    for shard in shards {
        if snapshot.file(&shard, watch)?.is_none() {
            return Err(ModelError::MissingShard { index, shard });
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::hub::stand_in::{COMMIT, Manner, StandIn, behind_a_proxy};
    use crate::model::save::{SaveOptions, tiny};
    use crate::progress::{Progress, Unwatched};

    fn saved() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        tiny::model(false).save(dir.path(), &SaveOptions::default()).unwrap();
        dir
    }

    fn options(endpoint: &str, cache: &Path) -> HubOptions {
        HubOptions {
            revision: "main".to_string(),
            token: None,
            cache_dir: cache.to_path_buf(),
            endpoint: endpoint.to_string(),
            offline: false,
        }
    }

    fn fetch(id: &str, options: &HubOptions) -> Result<Model, ModelError> {
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
        assert!(matches!(*hub, HubError::Unreachable { .. }), "{hub}");
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
        assert!(matches!(error, ModelError::Hub(HubError::Incomplete { .. })), "{error}");
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
            assert!(matches!(error, ModelError::Hub(HubError::Option { .. })), "{error}");
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

    /// Stops once part of `file` has come; keeps the last report.
    struct StopIn(&'static str, Mutex<Option<Progress>>);

    impl Watch for StopIn {
        fn tick(&self, progress: &Progress) {
            *self.1.lock().unwrap() = Some(progress.clone());
        }

        fn stop_requested(&self) -> bool {
            let last = self.1.lock().unwrap();
            last.as_ref().is_some_and(|p| p.what == format!("download {}", self.0) && p.done > 0)
        }
    }

    #[test]
    fn a_stop_is_heard_while_the_hub_is_silent() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        let hub = StandIn::start(files.path(), Manner::Silent);
        let options = options(&hub.endpoint, cache.path());
        let watch = StopIn("config.json", Mutex::default());
        let start = std::time::Instant::now();
        let error = load("org/tiny", &options, &LoadOptions::default(), &watch).unwrap_err();
        assert!(matches!(error, ModelError::Interrupted), "{error}");
        // The stand-in would stay silent for 20 s; the stop is heard within 50 ms.
        assert!(start.elapsed() < Duration::from_secs(5));
        let last = watch.1.into_inner().unwrap().unwrap();
        let whole = std::fs::metadata(files.path().join("config.json")).unwrap().len();
        assert_eq!((last.done, last.total, last.unit), (whole / 2, Some(whole), "bytes"));
    }

    #[test]
    fn an_interrupted_download_goes_on_where_it_stopped() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (saved(), tempfile::tempdir().unwrap());
        let slow = StandIn::start(files.path(), Manner::Slow);
        let watch = StopIn(SINGLE, Mutex::default());
        let slow_options = options(&slow.endpoint, cache.path());
        let error = load("org/tiny", &slow_options, &LoadOptions::default(), &watch).unwrap_err();
        assert!(matches!(error, ModelError::Interrupted), "{error}");
        let sound = StandIn::start(files.path(), Manner::Sound);
        fetch("org/tiny", &options(&sound.endpoint, cache.path())).unwrap();
        let requests = sound.requests.lock().unwrap().clone();
        assert!(!requests.iter().any(|r| r.contains("config.json")), "{requests:?}");
        let content = format!("/content/{SINGLE} ");
        let starts: Vec<u64> = (requests.iter())
            .filter_map(|r| r.strip_prefix(&content)?.strip_suffix('-')?.parse().ok())
            .collect();
        assert!(starts.len() == 1 && starts[0] > 0, "{requests:?}");
    }
}
