//! The Hugging Face hub: files of one commit of a repository, fetched once into the shared cache.
//!
//! A file that the cache has is used as it is, without a request. All files of a snapshot come from
//! one commit: the one the cache knows for the revision, or the one the first answer names. Offline,
//! only the cache is asked.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong between the hub and the cache |
//! | `options.rs` | where files are fetched from and kept, by the variables of Hugging Face's tools |
//! | `snapshot.rs` | the files of one commit |
//! | `download.rs` | one request: watched, interruptible; a file goes on where it stopped |
//! | `stand_in.rs` | a hub for tests |

mod download;
mod error;
mod options;
mod snapshot;
#[cfg(test)]
pub(crate) mod stand_in;

pub use error::HubError;
pub use options::{HubOptions, is_hub_id};
pub(crate) use snapshot::{Kind, Snapshot};
