//! One shard: offsets, a description of itself, samples.
//!
//! ```text
//! u32 n | u32 off[n+1], from the file's start | JSON | sample 0 .. sample n-1
//! sample: u32 length of each column of no fixed size | the columns, back to back
//! ```
//!
//! The head is checked when the shard is opened. A sample is checked when it is read, and with the
//! first of them the whole file against the hashes of the index, where it has any.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::fault::{IndexFault, ShardFault};
use super::super::hashes::hash;
use super::super::map::{Bytes, u32_at};
use super::index::{Description, FileInfo, ShardInfo};
use crate::data::DataError;

/// An open shard.
#[derive(Debug)]
pub(crate) struct Shard {
    path: PathBuf,
    bytes: Bytes,
    info: ShardInfo,
    /// True once the bytes fit the hashes of the index.
    hashed: AtomicBool,
}

impl Shard {
    /// Opens the shard that an index of the folder `dir` lists.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Shard`], [`DataError::Index`].
    pub(crate) fn open(dir: &Path, info: &ShardInfo) -> Result<Self, DataError> {
        let raw = dir.join(&info.raw_data.basename);
        match &info.zip_data {
            Some(zip) if !raw.exists() => {
                let path = dir.join(&zip.basename);
                let packed = Bytes::map(&path)?;
                Self::packed(path, &packed, info, zip)
            }
            _ => {
                let bytes = Bytes::map(&raw)?;
                Self::new(raw, bytes, info)
            }
        }
    }

    /// Unpacks the bytes of a compressed shard and checks them.
    pub(super) fn packed(
        path: PathBuf,
        packed: &[u8],
        info: &ShardInfo,
        zip: &FileInfo,
    ) -> Result<Self, DataError> {
        let unpacked = unpack(packed, info, zip).map_err(|fault| match fault {
            Packed::Shard(fault) => fault_of(&path, None, fault),
            Packed::Index(fault) => {
                DataError::Index { file: path.with_file_name("index.json"), fault }
            }
        })?;
        let shard = Self::new(path, Bytes::Memory(unpacked), info)?;
        match check_hashes(&shard.bytes, &info.raw_data) {
            Ok(()) => {
                shard.hashed.store(true, Ordering::Release);
                Ok(shard)
            }
            Err(fault) => Err(fault_of(&shard.path, None, fault)),
        }
    }

    /// Takes the bytes of a shard and checks its head.
    pub(crate) fn new(path: PathBuf, bytes: Bytes, info: &ShardInfo) -> Result<Self, DataError> {
        match check_head(&bytes, info) {
            Ok(()) => Ok(Self { path, bytes, info: info.clone(), hashed: AtomicBool::new(false) }),
            Err(fault) => Err(fault_of(&path, None, fault)),
        }
    }

    /// Gives the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Counts the samples.
    pub(crate) fn samples(&self) -> usize {
        self.info.samples
    }

    /// Gives all bytes, unpacked.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the SHA-256 that the index has of the unpacked file.
    pub(crate) fn sha256(&self) -> Option<&str> {
        self.info.raw_data.hashes.get("sha256").map(String::as_str)
    }

    /// Counts the bytes of a sample.
    pub(crate) fn sample_size(&self, sample: usize) -> usize {
        let (from, to) = self.span(sample);
        to - from
    }

    /// Gives one column of one sample.
    ///
    /// # Errors
    /// [`DataError::Shard`] with the sample.
    pub(crate) fn column(&self, sample: usize, column: usize) -> Result<&[u8], DataError> {
        self.check_hashes(sample)?;
        let (from, to) = self.span(sample);
        let bytes = &self.bytes[from..to];
        let sizes = &self.info.column_sizes;
        let heads = sizes.iter().filter(|size| !fixed(size)).count();
        let broken =
            |need: u64| self.fault(sample, ShardFault::Columns { need, got: bytes.len() as u64 });
        let (mut head, mut at, mut found) = (0, heads as u64 * 4, (0, 0));
        for (c, size) in sizes.iter().enumerate() {
            let size = match size {
                Some(size) if *size > 0 => *size as u64,
                _ => {
                    let length = u32_at(bytes, head).ok_or_else(|| broken(heads as u64 * 4))?;
                    head += 4;
                    u64::from(length)
                }
            };
            if c == column {
                found = (at, at.saturating_add(size));
            }
            at = at.saturating_add(size);
        }
        if at != bytes.len() as u64 {
            return Err(broken(at));
        }
        Ok(&bytes[found.0 as usize..found.1 as usize])
    }

    /// Gives one column of one sample as text.
    ///
    /// # Errors
    /// [`DataError::Shard`] with the sample.
    pub(crate) fn text(&self, sample: usize, column: usize) -> Result<&str, DataError> {
        std::str::from_utf8(self.column(sample, column)?).map_err(|error| {
            let column = self.info.column_names[column].clone();
            self.fault(sample, ShardFault::NotUtf8 { column, byte: error.valid_up_to() })
        })
    }

    /// Makes the error that names this shard and a sample.
    pub(crate) fn fault(&self, sample: usize, fault: ShardFault) -> DataError {
        fault_of(&self.path, Some(sample as u64), fault)
    }

    /// Where a sample begins and ends; the head's check made every offset legal.
    fn span(&self, sample: usize) -> (usize, usize) {
        assert!(sample < self.info.samples, "sample {sample} of {}", self.info.samples);
        let offset = |i| u32_at(&self.bytes, 4 + 4 * i).expect("the head was checked") as usize;
        (offset(sample), offset(sample + 1))
    }

    fn check_hashes(&self, sample: usize) -> Result<(), DataError> {
        if self.hashed.load(Ordering::Acquire) {
            return Ok(());
        }
        check_hashes(&self.bytes, &self.info.raw_data).map_err(|f| self.fault(sample, f))?;
        self.hashed.store(true, Ordering::Release);
        Ok(())
    }
}

fn fixed(size: &Option<usize>) -> bool {
    size.is_some_and(|size| size > 0)
}

fn fault_of(path: &Path, sample: Option<u64>, fault: ShardFault) -> DataError {
    DataError::Shard { file: path.into(), sample, fault: Box::new(fault) }
}

enum Packed {
    Shard(ShardFault),
    Index(IndexFault),
}

/// Unpacks a compressed shard, to the size its index gives and no further.
fn unpack(packed: &[u8], info: &ShardInfo, zip: &FileInfo) -> Result<Vec<u8>, Packed> {
    let (got, want) = (packed.len() as u64, zip.bytes);
    if got != want {
        return Err(Packed::Shard(ShardFault::Size { got, want }));
    }
    check_hashes(packed, zip).map_err(Packed::Shard)?;
    let name = info.compression.as_deref().unwrap_or("none");
    if name.split(':').next() != Some("zstd") {
        let got = name.to_string();
        return Err(Packed::Index(IndexFault::Unknown {
            field: "compression",
            got,
            legal: "zstd",
        }));
    }
    let sound = |source| Packed::Shard(ShardFault::Compressed { codec: "zstd", source });
    let decoder = zstd::stream::read::Decoder::new(packed).map_err(sound)?;
    let want = info.raw_data.bytes;
    let mut raw = Vec::new();
    // One byte more than is due shows a shard that is too long without unpacking all of it.
    io_read(decoder, want.saturating_add(1), &mut raw).map_err(sound)?;
    match raw.len() as u64 {
        got if got == want => Ok(raw),
        got => Err(Packed::Shard(ShardFault::Size { got, want })),
    }
}

fn io_read(from: impl std::io::Read, most: u64, to: &mut Vec<u8>) -> std::io::Result<usize> {
    std::io::Read::read_to_end(&mut std::io::Read::take(from, most), to)
}

/// Compares bytes with every hash of a name that is known here.
fn check_hashes(bytes: &[u8], info: &FileInfo) -> Result<(), ShardFault> {
    for (algorithm, want) in &info.hashes {
        if hash(algorithm, bytes).is_some_and(|got| got != want.to_lowercase()) {
            return Err(ShardFault::Hash { algorithm: algorithm.clone() });
        }
    }
    Ok(())
}

/// Checks size, count, offsets and description.
fn check_head(bytes: &[u8], info: &ShardInfo) -> Result<(), ShardFault> {
    let (got, want) = (bytes.len() as u64, info.raw_data.bytes);
    if got != want {
        return Err(ShardFault::Size { got, want });
    }
    let count = u32_at(bytes, 0).ok_or(ShardFault::Size { got, want: 8 })?;
    if count as usize != info.samples {
        let (got, want) = (u64::from(count), info.samples as u64);
        return Err(ShardFault::Count { got, want });
    }
    let head = 8 + 4 * u64::from(count);
    if got < head {
        return Err(ShardFault::Size { got, want: head });
    }
    let mut from = head;
    let mut start = 0;
    for entry in 0..=count as usize {
        let offset = u64::from(u32_at(bytes, 4 + 4 * entry).unwrap_or(0));
        // The last offset is the end of the file.
        let lowest = if entry == count as usize { got } else { from };
        if offset < lowest || offset > got {
            return Err(ShardFault::Offset { entry, offset, from: lowest, to: got });
        }
        if entry == 0 {
            start = offset as usize;
        }
        from = offset;
    }
    let description: Description = serde_json::from_slice(&bytes[head as usize..start])
        .map_err(|source| ShardFault::Description { source })?;
    let want = info.description();
    let same = description.column_names == want.column_names
        && description.column_encodings == want.column_encodings
        && description.column_sizes == want.column_sizes
        && description.format == want.format
        && description.version == want.version;
    if same { Ok(()) } else { Err(ShardFault::OtherColumns) }
}
