//! One request to the hub: watched, interruptible. A file goes on where it stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo};

use super::{HubError, HubOptions};
use crate::progress::{Progress, Watch};

/// Fetches one file into the cache. None when the hub has no such file.
pub(super) fn download(
    options: &HubOptions,
    cache: &Cache,
    repo: Repo,
    file: &str,
    watch: &dyn Watch,
) -> Result<Option<PathBuf>, HubError> {
    let asked = Asked { options, file, id: repo.url() };
    let repo = api(&asked, cache)?.repo(repo);
    let transfer = Arc::new(Transfer::default());
    let (name, reporter) = (file.to_string(), Reporter(transfer.clone()));
    let fetch = move || repo.download_with_progress(&name, reporter);
    match ask(&asked, &transfer, watch, fetch)? {
        Some(path) => {
            watch.tick(&transfer.progress(file));
            keep_if_complete(&path, file, transfer.total.load(Ordering::Relaxed))?;
            Ok(Some(path))
        }
        None => Ok(None),
    }
}

/// Lists a repository: its commit and the names of its files. None when there is no such revision.
pub(super) fn list(
    options: &HubOptions,
    cache: &Cache,
    repo: Repo,
    watch: &dyn Watch,
) -> Result<Option<(String, Vec<String>)>, HubError> {
    let asked = Asked { options, file: "the list of files", id: repo.url() };
    let repo = api(&asked, cache)?.repo(repo);
    let info = ask(&asked, &Arc::new(Transfer::default()), watch, move || repo.info())?;
    Ok(info.map(|info| (info.sha, info.siblings.into_iter().map(|s| s.rfilename).collect())))
}

/// What is asked of the hub, for errors.
struct Asked<'a> {
    options: &'a HubOptions,
    /// The repository, as addresses have it.
    id: String,
    file: &'a str,
}

impl Asked<'_> {
    fn endpoint(&self) -> String {
        self.options.endpoint.trim_end_matches('/').to_string()
    }

    fn failed(&self, source: Box<dyn std::error::Error + Send + Sync>) -> HubError {
        HubError::Failed { endpoint: self.endpoint(), file: self.file.into(), source }
    }
}

fn api(asked: &Asked, cache: &Cache) -> Result<Api, HubError> {
    let builder = ApiBuilder::from_cache(cache.clone())
        .with_endpoint(asked.endpoint())
        .with_token(asked.options.token.clone())
        .with_progress(false)
        .with_user_agent("woolshed", env!("CARGO_PKG_VERSION"));
    builder.build().map_err(|error| asked.failed(error.into()))
}

/// Makes one request on a thread of its own, so that a stop is heard even while the network is
/// silent. None when the hub answers that there is no such thing.
fn ask<T: Send + 'static>(
    asked: &Asked,
    transfer: &Arc<Transfer>,
    watch: &dyn Watch,
    request: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<Option<T>, HubError> {
    if watch.stop_requested() {
        return Err(HubError::Interrupted);
    }
    let file = asked.file;
    let (send, receive) = mpsc::channel();
    // A caller that stopped waiting has dropped the receiver; nobody needs the result.
    let job = move || drop(send.send(request()));
    let thread = std::thread::Builder::new().name(format!("download {file}"));
    thread.spawn(job).map_err(|error| asked.failed(error.into()))?;
    let result = loop {
        match receive.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => break result,
            Err(RecvTimeoutError::Timeout) if watch.stop_requested() => {
                transfer.stop.store(true, Ordering::Relaxed);
                return Err(HubError::Interrupted);
            }
            Err(RecvTimeoutError::Timeout) => watch.tick(&transfer.progress(file)),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(asked.failed("the download ended without a result".into()));
            }
        }
    };
    let endpoint = asked.endpoint();
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match (http_status(&error), error) {
            (Some(404), _) => Ok(None),
            (Some(status @ (401 | 403)), _) => {
                Err(HubError::Denied { endpoint, id: asked.id.clone(), status })
            }
            (None, error @ ApiError::RequestError(_)) => {
                Err(HubError::Unreachable { endpoint, file: file.into(), source: error.into() })
            }
            (_, error) => Err(asked.failed(error.into())),
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
fn keep_if_complete(path: &Path, file: &str, promised: u64) -> Result<(), HubError> {
    let size = std::fs::metadata(path).map_err(HubError::io("read", path))?.len();
    if size == promised {
        return Ok(());
    }
    // The cache holds a link to the content; both go, so that the next load fetches it again.
    let content = path.canonicalize().map_err(HubError::io("read", path))?;
    std::fs::remove_file(path).map_err(HubError::io("remove", path))?;
    if content.exists() {
        std::fs::remove_file(&content).map_err(HubError::io("remove", &content))?;
    }
    Err(HubError::Incomplete { file: file.into(), size, promised })
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
