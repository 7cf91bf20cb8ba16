//! The rows to train on: in memory, or on disk in files that are mapped.
//!
//! Evaluation rows are few and read again and again, so they are [`Rows`], in memory. Training rows may
//! be more than memory holds: token files and shards stay where they are, and a row is checked and
//! copied when it is drawn. Such a read can fail, and then names the file and the sample.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::formats::mds::ShardTokens;
use super::formats::tokens::TokenFile;
use super::{DataError, Rows};

/// Bytes of every [`STRIDE`] that stand for a shard without a hash.
const LOOK: usize = 4 << 10;
const STRIDE: usize = 1 << 20;

/// Rows to train on.
#[derive(Clone, Debug)]
pub struct TrainRows {
    store: Store,
}

#[derive(Clone, Debug)]
enum Store {
    Memory(Rows),
    Disk { tokens: Arc<TokenStore>, seq_len: usize, first: usize, len: usize },
}

impl From<Rows> for TrainRows {
    fn from(rows: Rows) -> Self {
        Self { store: Store::Memory(rows) }
    }
}

impl TrainRows {
    /// Takes `len` rows of `seq_len` tokens, from row `first` on, out of files.
    pub(crate) fn on_disk(
        tokens: Arc<TokenStore>,
        seq_len: usize,
        first: usize,
        len: usize,
    ) -> Self {
        Self { store: Store::Disk { tokens, seq_len, first, len } }
    }

    /// Counts the rows.
    pub fn len(&self) -> usize {
        match &self.store {
            Store::Memory(rows) => rows.len(),
            Store::Disk { len, .. } => *len,
        }
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives T, the tokens per row.
    pub fn seq_len(&self) -> usize {
        match &self.store {
            Store::Memory(rows) => rows.seq_len(),
            Store::Disk { seq_len, .. } => *seq_len,
        }
    }

    /// Counts the tokens of all rows.
    pub fn tokens(&self) -> usize {
        self.len() * self.seq_len()
    }

    /// True when the rows stay on disk.
    pub fn is_mapped(&self) -> bool {
        matches!(self.store, Store::Disk { .. })
    }

    /// Gives row `i`, T ids.
    ///
    /// # Errors
    /// [`DataError::Shard`] when the row lies on disk and is not sound there.
    ///
    /// # Panics
    /// When `i` is not below [`TrainRows::len`].
    pub fn row(&self, i: usize) -> Result<Cow<'_, [u32]>, DataError> {
        match &self.store {
            Store::Memory(rows) => Ok(Cow::Borrowed(rows.row(i))),
            Store::Disk { .. } => {
                let mut ids = Vec::with_capacity(self.seq_len());
                self.append(i, &mut ids)?;
                Ok(Cow::Owned(ids))
            }
        }
    }

    /// Appends the T ids of row `i` to a batch.
    ///
    /// # Errors
    /// As [`TrainRows::row`]; the batch may then hold a part of the row.
    ///
    /// # Panics
    /// When `i` is not below [`TrainRows::len`].
    pub fn append(&self, i: usize, batch: &mut Vec<u32>) -> Result<(), DataError> {
        match &self.store {
            Store::Memory(rows) => {
                batch.extend_from_slice(rows.row(i));
                Ok(())
            }
            Store::Disk { tokens, seq_len, first, len } => {
                assert!(i < *len, "row {i} of {len}");
                tokens.read((first + i) as u64 * *seq_len as u64, *seq_len, batch)
            }
        }
    }

    /// Reads all rows into memory.
    ///
    /// # Errors
    /// As [`TrainRows::row`].
    pub fn to_memory(&self) -> Result<Rows, DataError> {
        let mut ids = Vec::with_capacity(self.tokens());
        for i in 0..self.len() {
            self.append(i, &mut ids)?;
        }
        Ok(Rows::new(self.seq_len(), ids))
    }

    /// Puts what tells these rows from others into a hash: the rows themselves, or the checksums of
    /// their files and the range that is used.
    pub(crate) fn identify(&self, hash: &mut Sha256) {
        hash.update((self.len() as u64).to_le_bytes());
        match &self.store {
            Store::Memory(rows) => rows.identify(hash),
            Store::Disk { tokens, first, .. } => {
                hash.update((*first as u64).to_le_bytes());
                hash.update(tokens.identity);
            }
        }
    }
}

/// One file of tokens.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A token file of our own.
    File(TokenFile),
    /// A shard.
    Shard(ShardTokens),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => file.header.tokens,
            Self::Shard(shard) => shard.len(),
        }
    }

    fn read(&self, start: u64, n: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        match self {
            Self::File(file) => file.read(start, n, out),
            Self::Shard(shard) => shard.read(start, n, out),
        }
    }

    /// A checksum that covers every id; of a shard without one, its size, its head and 4 KiB of each
    /// MiB.
    fn identify(&self, hash: &mut Sha256) {
        match self {
            Self::File(file) => hash.update(file.header.checksum),
            Self::Shard(tokens) => match tokens.shard().sha256() {
                Some(sha256) => hash.update(sha256.as_bytes()),
                None => {
                    let bytes = tokens.shard().bytes();
                    hash.update((bytes.len() as u64).to_le_bytes());
                    for part in bytes.chunks(STRIDE) {
                        hash.update(&part[..part.len().min(LOOK)]);
                    }
                }
            },
        }
    }
}

/// The tokens of several files, joined.
#[derive(Debug)]
pub(crate) struct TokenStore {
    pieces: Vec<Piece>,
    /// Where each piece ends, in tokens from the first.
    ends: Vec<u64>,
    identity: [u8; 32],
}

impl TokenStore {
    /// Joins files in their order.
    pub(crate) fn new(pieces: Vec<Piece>) -> Self {
        let mut end = 0;
        let mut hash = Sha256::new();
        let mut ends = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            end += piece.len();
            ends.push(end);
            piece.identify(&mut hash);
        }
        Self { pieces, ends, identity: hash.finalize().into() }
    }

    /// Counts the tokens.
    pub(crate) fn tokens(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Appends `n` tokens from token `start` on; there are that many.
    ///
    /// # Errors
    /// [`DataError::Shard`].
    pub(crate) fn read(&self, start: u64, n: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        let (mut at, mut left) = (start, n);
        let mut p = self.ends.partition_point(|end| *end <= start);
        while left > 0 {
            let first = if p == 0 { 0 } else { self.ends[p - 1] };
            let take = left.min((self.ends[p] - at) as usize);
            self.pieces[p].read(at - first, take, out)?;
            at += take as u64;
            left -= take;
            p += 1;
        }
        Ok(())
    }
}
