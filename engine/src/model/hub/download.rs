//! One file from the hub into the cache: watched, interruptible, resumed where it stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use hf_hub::api::sync::{ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};

use super::HubOptions;
use crate::model::ModelError;
use crate::progress::{Progress, Watch};

/// Fetches one file into the cache, on a thread of its own so that a stop is heard even while
/// the network is silent. None when the hub has no such file.
pub(super) fn download(
    options: &HubOptions,
    cache: &Cache,
    id: &str,
    revision: &str,
    file: &str,
    watch: &dyn Watch,
) -> Result<Option<PathBuf>, ModelError> {
    if watch.stop_requested() {
        return Err(ModelError::Interrupted);
    }
    let endpoint = options.endpoint.trim_end_matches('/').to_string();
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| ModelError::HubFailed {
        endpoint: endpoint.clone(),
        file: file.to_string(),
        source,
    };
    let api = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(endpoint.clone())
        .with_token(options.token.clone())
        .with_progress(false)
        .with_user_agent("woolshed", env!("CARGO_PKG_VERSION"))
        .build()
        .map_err(|error| failed(error.into()))?;
    let repo = Repo::with_revision(id.to_string(), RepoType::Model, revision.to_string());
    let repo = api.repo(repo);
    let transfer = Arc::new(Transfer::default());
    let (send, receive) = mpsc::channel();
    let job = {
        let (file, reporter) = (file.to_string(), Reporter(transfer.clone()));
        move || {
            // A caller that stopped waiting has dropped the receiver; nobody needs the result.
            let _ = send.send(repo.download_with_progress(&file, reporter));
        }
    };
    let thread = std::thread::Builder::new().name(format!("download {file}"));
    thread.spawn(job).map_err(|error| failed(error.into()))?;
    let result = loop {
        match receive.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Timeout) if watch.stop_requested() => {
                transfer.stop.store(true, Ordering::Relaxed);
                return Err(ModelError::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => watch.tick(&transfer.progress(file)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(failed("the download ended without a result".into()));
            }
        }
    };
    match result {
        Ok(path) => {
            watch.tick(&transfer.progress(file));
            keep_if_complete(&path, file, transfer.total.load(Ordering::Relaxed))?;
            Ok(Some(path))
        }
        Err(error) => match (http_status(&error), error) {
            (Some(404), _) => Ok(None),
            (Some(status @ (401 | 403)), _) => {
                Err(ModelError::HubDenied { endpoint, id: id.to_string(), status })
            }
            (None, error @ ApiError::RequestError(_)) => Err(ModelError::HubUnreachable {
                endpoint,
                file: file.to_string(),
                source: error.into(),
            }),
            (_, error) => Err(failed(error.into())),
        },
    }
}

/// What the downloading thread and the waiting caller share.
#[derive(Default)]
struct Transfer {
    /// Bytes that came.
    done: AtomicU64,
    /// Bytes of the file.
    total: AtomicU64,
    /// Set once the caller has gone.
    stop: AtomicBool,
}

impl Transfer {
    fn progress(&self, file: &str) -> Progress {
        let total = self.total.load(Ordering::Relaxed);
        Progress {
            what: format!("download {file}"),
            done: self.done.load(Ordering::Relaxed),
            total: Some(total).filter(|&total| total > 0),
            unit: "bytes",
            note: String::new(),
        }
    }
}

struct Reporter(Arc<Transfer>);

impl hf_hub::api::Progress for Reporter {
    fn init(&mut self, size: usize, _filename: &str) {
        self.0.done.store(0, Ordering::Relaxed);
        self.0.total.store(size as u64, Ordering::Relaxed);
    }

    fn update(&mut self, size: usize) {
        let done = self.0.done.fetch_add(size as u64, Ordering::Relaxed) + size as u64;
        // hf-hub has no way to cancel. Unwinding ends this thread at once, without a panic message;
        // it releases the lock of the file and leaves the part that came, which the next download
        // goes on from. A file that is all there is let through to its rename.
        if self.0.stop.load(Ordering::Relaxed) && done < self.0.total.load(Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("the caller has stopped waiting"));
        }
    }

    fn finish(&mut self) {}
}

/// Removes a file from the cache, and fails, when it is not as long as the hub said.
fn keep_if_complete(path: &Path, file: &str, promised: u64) -> Result<(), ModelError> {
    let size = std::fs::metadata(path).map_err(ModelError::io("read", path))?.len();
    if size == promised {
        return Ok(());
    }
    // The cache holds a link to the content; both go, so that the next load fetches it again.
    let content = path.canonicalize().map_err(ModelError::io("read", path))?;
    std::fs::remove_file(path).map_err(ModelError::io("remove", path))?;
    if content.exists() {
        std::fs::remove_file(&content).map_err(ModelError::io("remove", &content))?;
    }
    Err(ModelError::HubIncomplete { file: file.to_string(), size, promised })
}

/// Gives the status the hub answered with, if it answered with an error status. The type that holds
/// the number belongs to ureq, which is hf-hub's dependency and not this crate's; its text is read.
fn http_status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => {
            error.to_string().strip_prefix("http status: ")?.trim().parse().ok()
        }
        ApiError::TooManyRetries(error) => http_status(error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::model::checkpoint::{LoadOptions, SINGLE};
    use crate::model::hub::load;
    use crate::model::hub::stand_in::{Manner, StandIn, behind_a_proxy};
    use crate::model::hub::tests::{fetch, options, saved};

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
