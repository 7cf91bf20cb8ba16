//! `index.json`: which shards there are, what columns they have, how large and how compressed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

use super::super::fault::IndexFault;
use crate::data::DataError;

/// The whole index. Fields stand in the order of their names, as the format's own writer has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) shards: Vec<ShardInfo>,
    pub(crate) version: u32,
}

/// What the index says of one shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ShardInfo {
    pub(crate) column_encodings: Vec<String>,
    pub(crate) column_names: Vec<String>,
    pub(crate) column_sizes: Vec<Option<usize>>,
    pub(crate) compression: Option<String>,
    pub(crate) format: String,
    #[serde(default)]
    pub(crate) hashes: Vec<String>,
    pub(crate) raw_data: FileInfo,
    pub(crate) samples: usize,
    #[serde(default)]
    pub(crate) size_limit: Option<u64>,
    pub(crate) version: u32,
    pub(crate) zip_data: Option<FileInfo>,
}

/// What the index says of one file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileInfo {
    pub(crate) basename: String,
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) hashes: BTreeMap<String, String>,
}

/// What a shard says of itself, between its offsets and its samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) column_encodings: Vec<String>,
    pub(crate) column_names: Vec<String>,
    pub(crate) column_sizes: Vec<Option<usize>>,
    pub(crate) compression: Option<String>,
    pub(crate) format: String,
    #[serde(default)]
    pub(crate) hashes: Vec<String>,
    #[serde(default)]
    pub(crate) size_limit: Option<u64>,
    pub(crate) version: u32,
}

impl Index {
    /// Reads and checks the index of a folder.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Index`].
    pub(crate) fn read(file: &Path) -> Result<Self, DataError> {
        let bytes =
            fs::read(file).map_err(|source| DataError::Read { path: file.into(), source })?;
        Self::parse(&bytes).map_err(|fault| DataError::Index { file: file.into(), fault })
    }

    /// Reads and checks the bytes of an index.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, IndexFault> {
        let index: Self =
            serde_json::from_slice(bytes).map_err(|source| IndexFault::NotJson { source })?;
        check_version(index.version)?;
        let first = index.shards.first().ok_or(IndexFault::Empty)?;
        for (shard, info) in index.shards.iter().enumerate() {
            check_version(info.version)?;
            if info.format != "mds" {
                let got = info.format.clone();
                return Err(IndexFault::Unknown { field: "format", got, legal: "mds" });
            }
            let (names, encodings, sizes) =
                (info.column_names.len(), info.column_encodings.len(), info.column_sizes.len());
            if names != encodings || names != sizes {
                return Err(IndexFault::Lengths { shard, names, encodings, sizes });
            }
            if !info.same_columns(first) {
                return Err(IndexFault::OtherColumns { shard });
            }
            for file in [Some(&info.raw_data), info.zip_data.as_ref()].into_iter().flatten() {
                let inside = |part| matches!(part, Component::Normal(_));
                let path = Path::new(&file.basename);
                if file.basename.is_empty() || !path.components().all(inside) {
                    let name = file.basename.clone();
                    return Err(IndexFault::Outside { shard, name });
                }
            }
        }
        Ok(index)
    }
}

impl ShardInfo {
    fn same_columns(&self, other: &Self) -> bool {
        self.column_names == other.column_names
            && self.column_encodings == other.column_encodings
            && self.column_sizes == other.column_sizes
    }

    /// Gives what the shard should say of itself.
    pub(crate) fn description(&self) -> Description {
        Description {
            column_encodings: self.column_encodings.clone(),
            column_names: self.column_names.clone(),
            column_sizes: self.column_sizes.clone(),
            compression: self.compression.clone(),
            format: self.format.clone(),
            hashes: self.hashes.clone(),
            size_limit: self.size_limit,
            version: self.version,
        }
    }
}

fn check_version(version: u32) -> Result<(), IndexFault> {
    if version == 2 {
        return Ok(());
    }
    Err(IndexFault::Unknown { field: "version", got: version.to_string(), legal: "version 2" })
}

/// Writes JSON as the format's own package does: a blank after every comma and colon.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, Spaced);
    value.serialize(&mut writer).expect("names and numbers always become JSON");
    bytes
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, w: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { w.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"{"shards": [{"column_encodings": ["str", "bytes"], "column_names": ["set", "tokens"], "column_sizes": [null, null], "compression": null, "format": "mds", "hashes": [], "raw_data": {"basename": "shard.00000.mds", "bytes": 2043, "hashes": {}}, "samples": 13, "size_limit": 2048, "version": 2, "zip_data": null}], "version": 2}"#;

    #[test]
    fn an_index_is_written_as_it_was_read() {
        let index = Index::parse(INDEX.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(json(&index)).unwrap(), INDEX);
    }

    #[test]
    fn an_index_that_cannot_be_trusted_is_refused() {
        let told = |from: &str, to: &str| {
            let text = INDEX.replace(from, to);
            assert_ne!(text, INDEX);
            Index::parse(text.as_bytes()).unwrap_err().to_string()
        };
        assert!(told("shard.00000.mds", "../shard.mds").contains("not inside this folder"));
        assert!(told("shard.00000.mds", "/etc/passwd").contains("not inside this folder"));
        assert!(told("\"mds\"", "\"csv\"").contains("format is csv; this program reads mds"));
        assert!(told("\"version\": 2}", "\"version\": 3}").contains("version is 3"));
        assert!(told("[null, null]", "[null]").contains("2 column names, 2 encodings and 1 sizes"));
        assert!(told("\"samples\": 13, ", "").contains("missing field `samples`"));
    }
}
