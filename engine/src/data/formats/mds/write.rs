//! Shards and index, byte for byte as the format's own package writes them.
//!
//! Samples are gathered until the next would take the shard past its size limit; then the shard is
//! written whole. The index comes last, so a folder that was left half-written has none.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::super::hashes::{OURS, hash};
use super::index::{FileInfo, Index, ShardInfo, json};
use crate::data::DataError;
use crate::files::write_whole;

/// Largest shard, bytes: its offsets are u32.
const MOST: u64 = u32::MAX as u64;

/// What a column of a shard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MdsColumn {
    /// Text, UTF-8: encoding `str`.
    Text,
    /// Bytes as they are, such as little-endian token ids: encoding `bytes`.
    Bytes,
}

/// How shards are written.
#[derive(Clone, Debug, PartialEq)]
pub struct MdsOptions {
    /// Size a shard does not exceed, bytes, unless one sample does. Default 67,108,864 (64 MiB), the
    /// format's own; from 1 to 4,294,967,295.
    pub size_limit: u64,
    /// Level of zstd compression, 1 to 22. Default none: such shards can be mapped.
    pub zstd: Option<i32>,
    /// Whether the index carries the SHA-256 of every file. Default true.
    pub hashes: bool,
}

impl Default for MdsOptions {
    fn default() -> Self {
        Self { size_limit: 1 << 26, zstd: None, hashes: true }
    }
}

impl MdsOptions {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`DataError::BadOption`], with the legal values.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        if !(1..=MOST).contains(&self.size_limit) {
            return Err(DataError::BadOption {
                field: "size_limit",
                value: self.size_limit.to_string(),
                legal: format!("between 1 and {MOST} bytes"),
            });
        }
        if let Some(level) = self.zstd
            && !(1..=22).contains(&level)
        {
            let (field, value) = ("zstd", level.to_string());
            return Err(DataError::BadOption { field, value, legal: "between 1 and 22".into() });
        }
        Ok(())
    }
}

/// Writes the shards of one folder.
#[derive(Debug)]
pub struct MdsWriter {
    dir: PathBuf,
    options: MdsOptions,
    /// What every shard of this folder says of itself.
    form: ShardInfo,
    description: Vec<u8>,
    /// Samples of the shard at hand, and where each ends.
    samples: Vec<u8>,
    ends: Vec<u64>,
    shards: Vec<ShardInfo>,
}

impl MdsWriter {
    /// Starts a folder; `columns` are put in the order of their names.
    ///
    /// # Errors
    /// [`DataError::BadOption`], [`DataError::Write`].
    pub fn create(
        dir: &Path,
        columns: &[(&str, MdsColumn)],
        options: &MdsOptions,
    ) -> Result<Self, DataError> {
        options.check()?;
        fs::create_dir_all(dir).map_err(|source| DataError::Write { path: dir.into(), source })?;
        let mut columns = columns.to_vec();
        columns.sort_by_key(|(name, _)| name.to_string());
        let encoding = |column: &MdsColumn| match column {
            MdsColumn::Text => "str".to_string(),
            MdsColumn::Bytes => "bytes".to_string(),
        };
        let form = ShardInfo {
            column_encodings: columns.iter().map(|(_, column)| encoding(column)).collect(),
            column_names: columns.iter().map(|(name, _)| name.to_string()).collect(),
            column_sizes: vec![None; columns.len()],
            compression: options.zstd.map(|level| format!("zstd:{level}")),
            format: "mds".into(),
            hashes: if options.hashes { vec![OURS.into()] } else { Vec::new() },
            raw_data: FileInfo { basename: String::new(), bytes: 0, hashes: BTreeMap::new() },
            samples: 0,
            size_limit: Some(options.size_limit),
            version: 2,
            zip_data: None,
        };
        let description = json(&form.description());
        Ok(Self {
            dir: dir.into(),
            options: options.clone(),
            form,
            description,
            samples: Vec::new(),
            ends: Vec::new(),
            shards: Vec::new(),
        })
    }

    /// Adds a sample: the bytes of each column, in the order of the columns' names.
    ///
    /// # Errors
    /// [`DataError::Count`] when there are not as many values as columns; [`DataError::BadOption`]
    /// when the sample alone is over 4 GiB; [`DataError::Write`].
    pub fn write(&mut self, values: &[&[u8]]) -> Result<(), DataError> {
        let names = &self.form.column_names;
        if values.len() != names.len() {
            let (got, want, names) = (values.len(), names.len(), names.clone());
            return Err(DataError::Columns { got, want, names });
        }
        let bytes = values.iter().map(|value| 4 + value.len() as u64).sum::<u64>();
        // 4 bytes each for the count, the offset of the end, and the sample's own offset.
        if 12 + self.description.len() as u64 + bytes > MOST {
            return Err(DataError::BadOption {
                field: "seq_len",
                value: format!("{bytes} bytes a sample"),
                legal: format!("small enough for samples of {MOST} bytes"),
            });
        }
        let size = 8 + self.description.len() + 4 * self.ends.len() + self.samples.len();
        if !self.ends.is_empty() && size as u64 + 4 + bytes > self.options.size_limit {
            self.flush()?;
        }
        for value in values {
            self.samples.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        values.iter().for_each(|value| self.samples.extend_from_slice(value));
        self.ends.push(self.samples.len() as u64);
        Ok(())
    }

    /// Writes the last shard and the index; gives the number of samples.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub fn finish(mut self) -> Result<usize, DataError> {
        if !self.ends.is_empty() {
            self.flush()?;
        }
        let samples = self.shards.iter().map(|shard| shard.samples).sum();
        let index = json(&Index { shards: self.shards, version: 2 });
        put(&self.dir.join("index.json"), &[&index])?;
        Ok(samples)
    }

    fn flush(&mut self) -> Result<(), DataError> {
        let n = self.ends.len() as u32;
        let base = (8 + 4 * self.ends.len() + self.description.len()) as u64;
        let mut head = n.to_le_bytes().to_vec();
        for end in std::iter::once(&0).chain(&self.ends) {
            head.extend_from_slice(&((base + end) as u32).to_le_bytes());
        }
        head.extend_from_slice(&self.description);
        let raw = [head, std::mem::take(&mut self.samples)].concat();
        let name = format!("shard.{:05}.mds", self.shards.len());
        let mut info = ShardInfo { samples: self.ends.len(), ..self.form.clone() };
        info.raw_data = self.info(&name, &raw);
        match self.options.zstd {
            None => put(&self.dir.join(&name), &[&raw])?,
            Some(level) => {
                let name = format!("{name}.zstd");
                let path = self.dir.join(&name);
                let packed = zstd::stream::encode_all(raw.as_slice(), level)
                    .map_err(|source| DataError::Write { path: path.clone(), source })?;
                info.zip_data = Some(self.info(&name, &packed));
                put(&path, &[&packed])?;
            }
        }
        self.shards.push(info);
        self.ends.clear();
        Ok(())
    }

    fn info(&self, name: &str, bytes: &[u8]) -> FileInfo {
        let named = |name: &String| Some((name.clone(), hash(name, bytes)?));
        let hashes = self.form.hashes.iter().filter_map(named).collect();
        FileInfo { basename: name.into(), bytes: bytes.len() as u64, hashes }
    }
}

fn put(path: &Path, parts: &[&[u8]]) -> Result<(), DataError> {
    let fill =
        |file: &mut io::BufWriter<fs::File>| parts.iter().try_for_each(|part| file.write_all(part));
    write_whole(path, fill).map_err(|source| DataError::Write { path: path.into(), source })
}
