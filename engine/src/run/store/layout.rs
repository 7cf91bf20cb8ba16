//! What a saved run consists of: names, versions, and the JSON files that describe a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::RunError;
use super::super::journal::Journal;
use super::super::origin::RunOrigin;
use super::super::state::Saved;
use crate::digest::Digest;

/// The format that this engine writes, and the newest it reads.
pub(super) const VERSION: u64 = 1;
pub(super) const FORMAT: &str = "woolshed-run";

pub(super) const INDEX: &str = "run.json";
pub(super) const SOURCE: &str = "source";
pub(super) const TEACHER: &str = "teacher";
pub(super) const STATE: &str = "state.json";
pub(super) const TENSORS: &str = "tensors.safetensors";
pub(super) const SUMS: &str = "sums.json";

/// What a folder that is not whole yet ends in; it begins with a dot.
pub(super) const PART: &str = ".part";

/// `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Index {
    pub format: String,
    pub version: u64,
    pub written_by: String,
    /// SHA-256 of the source model.
    pub source_sha256: String,
    /// Oldest first.
    pub snapshots: Vec<Entry>,
    /// Of the best evaluation of a recovery; it may be one of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Entry>,
}

impl Index {
    /// Every snapshot.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        let best = self.best.iter().filter(|best| !self.snapshots.contains(best));
        best.chain(&self.snapshots)
    }
}

/// One snapshot in `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Its folder.
    pub folder: String,
    /// Steps taken.
    pub step: u64,
    /// The run's hash.
    pub hash: String,
    /// SHA-256 of its `sums.json`.
    pub sums_sha256: String,
}

/// `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StateFile {
    /// How the run came to be, journal included.
    pub origin: RunOrigin,
    /// The mixture it started with.
    pub first_mixture: Vec<f64>,
    /// A function of the user decides the mixture from here on, beyond the path in the origin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_rule: bool,
    pub state: Saved,
}

impl StateFile {
    pub fn journal(&self) -> &Journal {
        &self.origin.journal
    }
}

/// `sums.json`: bytes and SHA-256 of each file of a folder.
pub(super) type Sums = BTreeMap<String, Sum>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sum {
    pub bytes: u64,
    pub sha256: String,
}

/// Says which file could not be read or written.
pub(super) fn file(
    verb: &'static str,
    path: &Path,
) -> impl FnOnce(std::io::Error) -> RunError + use<> {
    let path = path.to_path_buf();
    move |source| RunError::File { verb, path, source }
}

/// Reads the index of a saved run.
///
/// # Errors
/// No saved run; a newer format; a damaged file.
pub(super) fn read_index(dir: &Path) -> Result<Index, RunError> {
    let path = dir.join(INDEX);
    if !path.is_file() {
        let why = match (dir.is_dir(), dir.exists()) {
            (true, _) => format!("it holds no {INDEX}"),
            (_, true) => "it is a file".into(),
            _ => "there is no such folder".into(),
        };
        return Err(RunError::NotARun { dir: dir.to_path_buf(), why });
    }
    let bytes = fs::read(&path).map_err(file("read", &path))?;
    let damaged = |what: String| RunError::Damaged {
        path: path.clone(),
        what,
        hint: "the snapshots beside it may be whole; restore the file from a copy".into(),
    };
    let json: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if json["format"] != FORMAT {
        let why = format!("its {INDEX} does not say `\"format\": \"{FORMAT}\"`");
        return Err(RunError::NotARun { dir: dir.to_path_buf(), why });
    }
    match json["version"].as_u64() {
        Some(version) if version > VERSION => {
            let by = json["written_by"].as_str().unwrap_or("another version").to_string();
            return Err(RunError::Newer { path, version, reads: VERSION, by });
        }
        Some(_) => {}
        None => return Err(damaged("`version` is no number".into())),
    }
    serde_json::from_value(json).map_err(|error| damaged(error.to_string()))
}

/// Checks every file of a folder against its `sums.json`, whose own hash is `sums_sha256` where it
/// is known.
///
/// # Errors
/// The first file that is absent, short or different.
pub(super) fn check_sums(
    folder: &Path,
    sums_sha256: Option<&str>,
    hint: &str,
) -> Result<(), RunError> {
    let damaged = |path: &Path, what: String| {
        Err(RunError::Damaged { path: path.to_path_buf(), what, hint: hint.into() })
    };
    let path = folder.join(SUMS);
    if !path.is_file() {
        return damaged(&path, "the file is absent".into());
    }
    let bytes = fs::read(&path).map_err(file("read", &path))?;
    let mut digest = Digest::default();
    std::io::Write::write_all(&mut digest, &bytes).map_err(file("read", &path))?;
    if let Some(want) = sums_sha256
        && digest.hex() != want
    {
        return damaged(&path, format!("its SHA-256 is not the one that {INDEX} gives"));
    }
    let sums: Sums = match serde_json::from_slice(&bytes) {
        Ok(sums) => sums,
        Err(error) => return damaged(&path, error.to_string()),
    };
    for (name, sum) in sums {
        let path = folder.join(&name);
        if !path.is_file() {
            return damaged(&path, "the file is absent".into());
        }
        let (bytes, sha256) = Digest::file(&path).map_err(file("read", &path))?;
        if bytes != sum.bytes {
            return damaged(&path, format!("it has {bytes} bytes and should have {}", sum.bytes));
        }
        if sha256 != sum.sha256 {
            return damaged(&path, "its SHA-256 differs from the one written with it".into());
        }
    }
    Ok(())
}
