//! MosaicML's shard format (MDS), version 2: a folder of shards and an `index.json`.
//!
//! | file | what it is for |
//! |---|---|
//! | `index.rs` | `index.json`: read, checked, written |
//! | `shard.rs` | one shard, mapped; its samples and columns |
//! | `column.rs` | the token column: its type, given or found out |
//! | `write.rs` | shards and index, as the format's own package writes them |
//! | `tests.rs` | golden shards, round trips, the format's own package |
//! | `broken.rs` | ten thousand damaged files |
//!
//! Shards that are not compressed stay on disk and are mapped; compressed ones are unpacked into
//! memory. The offsets inside a shard are u32, so no shard is over 4 GiB.
//!
//! Source: mosaicml-streaming 0.13, `streaming/base/format/mds`.

#[cfg(test)]
mod broken;
mod column;
mod index;
mod shard;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use column::ShardTokens;
pub use write::{MdsColumn, MdsOptions, MdsWriter};

use super::fault::IndexFault;
use crate::data::DataError;
use crate::data::error::nearest_name;
use crate::progress::{Progress, Watch};
use index::Index;
pub(crate) use shard::Shard;

/// The shards of one folder.
#[derive(Debug)]
pub(crate) struct Mds {
    file: PathBuf,
    names: Vec<String>,
    encodings: Vec<String>,
    pub(crate) shards: Vec<Arc<Shard>>,
}

impl Mds {
    /// Opens every shard that `dir/index.json` lists and checks their heads.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Index`], [`DataError::Shard`], [`DataError::Interrupted`].
    pub(crate) fn open(dir: &Path, watch: &dyn Watch) -> Result<Self, DataError> {
        let file = dir.join("index.json");
        let index = Index::read(&file)?;
        let total = index.shards.len() as u64;
        let mut shards = Vec::with_capacity(index.shards.len());
        for info in &index.shards {
            let domain = dir.file_name().map_or(String::new(), |n| n.to_string_lossy().into());
            if watch.stop_requested() {
                return Err(DataError::Interrupted { domain });
            }
            shards.push(Arc::new(Shard::open(dir, info)?));
            watch.tick(&Progress {
                what: format!("open {domain}"),
                done: shards.len() as u64,
                total: Some(total),
                unit: "shards",
                note: String::new(),
            });
        }
        let first = index.shards.into_iter().next().expect("an index has a shard");
        Ok(Self { file, names: first.column_names, encodings: first.column_encodings, shards })
    }

    /// Counts the samples.
    pub(crate) fn samples(&self) -> usize {
        self.shards.iter().map(|shard| shard.samples()).sum()
    }

    /// Lists the files in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.shards.iter().map(|shard| shard.path().to_path_buf()).collect()
    }

    /// Finds a column by name, if there is one.
    pub(crate) fn find(&self, column: &str) -> Option<usize> {
        self.names.iter().position(|name| name == column)
    }

    /// Finds a column of text by name, if there is one.
    pub(crate) fn find_text(&self, column: &str) -> Option<usize> {
        self.find(column).filter(|c| self.encodings[*c] == "str")
    }

    /// Finds a column by name; `option` is the one that names it.
    ///
    /// # Errors
    /// [`DataError::Index`] with the nearest name.
    pub(crate) fn column(&self, column: &str, option: &'static str) -> Result<usize, DataError> {
        self.find(column).ok_or_else(|| {
            let hint = nearest_name(column, self.names.iter().map(String::as_str));
            self.fault(IndexFault::NoColumn { column: column.into(), hint, option })
        })
    }

    /// Gives every sample: its shard, and its number there.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Arc<Shard>, usize)> {
        self.shards.iter().flat_map(|shard| (0..shard.samples()).map(move |i| (shard, i)))
    }

    fn fault(&self, fault: IndexFault) -> DataError {
        DataError::Index { file: self.file.clone(), fault }
    }
}
