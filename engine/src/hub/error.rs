//! What can go wrong between the hub and a file in the cache.

use std::path::{Path, PathBuf};

/// An error of this area. Each says which hub, repository and file, and one thing to try.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// An option for the hub has an illegal value.
    #[error("the hub {option} `{value}` must be {rule}")]
    Option {
        /// `id`, `revision` or `endpoint`.
        option: &'static str,
        /// Its value.
        value: String,
        /// What a legal value is.
        rule: &'static str,
    },
    /// The hub has no such repository, revision or file.
    #[error(
        "{endpoint} has no {file} for `{id}` at revision `{revision}`; check the spelling of both"
    )]
    NotFound {
        /// The hub.
        endpoint: String,
        /// The repository.
        id: String,
        /// The revision.
        revision: String,
        /// The file, or the files of which one would do.
        file: Box<str>,
    },
    /// The hub does not give the repository to this caller.
    #[error(
        "{endpoint} refuses `{id}` (HTTP {status}): it does not exist, or it is private or gated; \
         check the spelling, or set HF_TOKEN to a token that may read it"
    )]
    Denied {
        /// The hub.
        endpoint: String,
        /// The repository.
        id: String,
        /// 401 or 403.
        status: u16,
    },
    /// The hub cannot be reached.
    #[error(
        "cannot fetch {file} from {endpoint}: {source}; check the connection, or set HF_HUB_OFFLINE=1 \
         to use what the cache has"
    )]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// The file.
        file: Box<str>,
        /// What the connection said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The hub was reached and the download failed.
    #[error("{endpoint} did not give {file}: {source}; try again")]
    Failed {
        /// The hub.
        endpoint: String,
        /// The file.
        file: Box<str>,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A download ended early; what had come was thrown away.
    #[error("{file} came with {size} bytes of {promised}; try again")]
    Incomplete {
        /// The file.
        file: Box<str>,
        /// Bytes that came.
        size: u64,
        /// Bytes the hub promised.
        promised: u64,
    },
    /// Offline, and the file is not in the cache.
    #[error(
        "offline, and {file} of `{id}` at revision `{revision}` is not in the cache `{}`; unset \
         HF_HUB_OFFLINE to fetch it", cache.display()
    )]
    NotCached {
        /// The repository.
        id: String,
        /// The revision.
        revision: String,
        /// The file, or the files of which one would do.
        file: Box<str>,
        /// The folder of the cache.
        cache: PathBuf,
    },
    /// The system refused a file or folder of the cache.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The caller asked to stop. What came stays in the cache, and the next call goes on from there.
    #[error("the download was stopped; the next call goes on from there")]
    Interrupted,
}

impl HubError {
    /// Makes the error of `action` on `path`, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
