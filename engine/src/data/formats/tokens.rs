//! Token files: one array of ids, mapped, every byte of it under a checksum.
//!
//! ```text
//! byte   0  8  "WOOLTOKS"
//!        8  4  version, 1
//!       12  4  bytes of an id: 2 or 4
//!       16  8  T, the tokens of a row it was made for; 0 when it does not say
//!       24  8  tokens
//!       32  8  documents
//!       40  8  bytes of text the tokens were made from
//!       48  4  bytes of a block, 16384
//!       52  4  0
//!       56 32  SHA-256 of the tokenizer.json
//!       88 32  SHA-256 of bytes 0 to 87 and the table
//!      120  8  0
//!      128     the ids
//!              the table: of each block of ids the first 8 bytes of its SHA-256
//! ```
//!
//! All numbers are little endian. Opening reads the header and the table, 1/2048 of the file. A block
//! is compared with the table, and its ids with the vocabulary, when it is first read: a file larger
//! than memory opens at once, and no id is used unchecked. Documents are framed by BOS and EOS and
//! joined; rows are cut when the file is loaded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::fault::ShardFault;
use super::ids::TokenType;
use super::map::{Bytes, u32_at, u64_at};
use crate::data::DataError;

/// How the name of a token file ends.
pub(crate) const ENDING: &str = ".tokens";

pub(super) const MAGIC: &[u8; 8] = b"WOOLTOKS";
pub(super) const VERSION: u32 = 1;
pub(super) const BLOCK: usize = 16 << 10;
pub(super) const HEADER: usize = 128;
/// Where the checksum stands in the header: it covers what is before it.
pub(super) const CHECKSUM: usize = 88;
/// Bytes of one entry of the table.
pub(super) const ENTRY: usize = 8;

/// What the header of a token file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenHeader {
    pub(crate) kind: TokenType,
    pub(crate) seq_len: u64,
    pub(crate) tokens: u64,
    pub(crate) documents: u64,
    pub(crate) text_bytes: u64,
    pub(crate) tokenizer: [u8; 32],
    /// SHA-256 over header and table, and so over every id.
    pub(crate) checksum: [u8; 32],
}

/// An open token file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    bytes: Bytes,
    pub(crate) header: TokenHeader,
    vocab: usize,
    /// One bit a block, set once the block has been checked.
    checked: Vec<AtomicU64>,
}

impl TokenFile {
    /// Maps a token file and checks header and table.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Shard`].
    pub(crate) fn open(path: &Path, vocab: usize) -> Result<Self, DataError> {
        Self::new(path, Bytes::map(path)?, vocab)
    }

    /// Takes the bytes of a token file and checks header and table.
    pub(crate) fn new(path: &Path, bytes: Bytes, vocab: usize) -> Result<Self, DataError> {
        let header = read_header(&bytes).map_err(|fault| fault_of(path, None, fault))?;
        let blocks = (header.tokens * header.kind.width() as u64).div_ceil(BLOCK as u64);
        let checked = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { path: path.into(), bytes, header, vocab, checked })
    }

    /// Appends `n` tokens from token `start` on; there are that many.
    ///
    /// # Errors
    /// [`DataError::Shard`] with the row of T tokens that the fault lies in.
    pub(crate) fn read(&self, start: u64, n: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        if n == 0 {
            return Ok(());
        }
        let kind = self.header.kind;
        let width = kind.width();
        let from = start as usize * width;
        let to = from + n * width;
        for block in from / BLOCK..=(to - 1) / BLOCK {
            let (word, bit) = (&self.checked[block / 64], 1 << (block % 64));
            if word.load(Ordering::Acquire) & bit == 0 {
                self.check(block)?;
                word.fetch_or(bit, Ordering::AcqRel);
            }
        }
        kind.decode(&self.ids()[from..to], self.vocab, out)
            .map_err(|fault| fault_of(&self.path, self.row(start), fault))
    }

    /// Compares a block with the table.
    fn check(&self, block: usize) -> Result<(), DataError> {
        let (ids, width) = (self.ids(), self.header.kind.width());
        let from = block * BLOCK;
        let to = (from + BLOCK).min(ids.len());
        let entry = HEADER + ids.len() + block * ENTRY;
        let digest = Sha256::digest(&ids[from..to]);
        if digest[..ENTRY] == self.bytes[entry..entry + ENTRY] {
            return Ok(());
        }
        let (first, last) = ((from / width) as u64, (to / width) as u64 - 1);
        Err(fault_of(&self.path, self.row(first), ShardFault::Block { first, last }))
    }

    fn ids(&self) -> &[u8] {
        let bytes = self.header.tokens as usize * self.header.kind.width();
        &self.bytes[HEADER..HEADER + bytes]
    }

    /// The row that holds a token, when the file says how long a row is.
    fn row(&self, token: u64) -> Option<u64> {
        token.checked_div(self.header.seq_len)
    }
}

fn fault_of(path: &Path, sample: Option<u64>, fault: ShardFault) -> DataError {
    DataError::Shard { file: path.into(), sample, fault: Box::new(fault) }
}

fn read_header(bytes: &[u8]) -> Result<TokenHeader, ShardFault> {
    let got = bytes.len() as u64;
    if got < HEADER as u64 {
        let begins = MAGIC.starts_with(&bytes[..bytes.len().min(8)]);
        let short = ShardFault::Size { got, want: HEADER as u64 };
        return Err(if begins { short } else { ShardFault::Magic });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(ShardFault::Magic);
    }
    let small = |at| u64::from(u32_at(bytes, at).unwrap_or(0));
    let large = |at| u64_at(bytes, at).unwrap_or(0);
    let known = |field, got, want: &[u64], legal| {
        if want.contains(&got) { Ok(got) } else { Err(ShardFault::Header { field, got, legal }) }
    };
    known("version", small(8), &[u64::from(VERSION)], "1")?;
    let width = known("bytes of an id", small(12), &[2, 4], "2 or 4")?;
    known("block size", small(48), &[BLOCK as u64], "16384")?;
    known("field at byte 52", small(52), &[0], "0")?;
    known("field at byte 120", large(120), &[0], "0")?;
    let tokens = large(24);
    let ids = tokens.saturating_mul(width);
    let table = ids.div_ceil(BLOCK as u64).saturating_mul(ENTRY as u64);
    let want = ids.saturating_add(table).saturating_add(HEADER as u64);
    if got != want {
        return Err(ShardFault::Size { got, want });
    }
    let digest = |at: usize| <[u8; 32]>::try_from(&bytes[at..at + 32]).unwrap_or_default();
    let checksum = digest(CHECKSUM);
    let mut hash = Sha256::new();
    hash.update(&bytes[..CHECKSUM]);
    hash.update(&bytes[HEADER + ids as usize..]);
    if hash.finalize()[..] != checksum {
        return Err(ShardFault::Hash { algorithm: "checksum of header and table".into() });
    }
    Ok(TokenHeader {
        kind: if width == 2 { TokenType::U16 } else { TokenType::U32 },
        seq_len: large(16),
        tokens,
        documents: large(32),
        text_bytes: large(40),
        tokenizer: digest(56),
        checksum,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tokens_write::tests::file_of;
    use super::*;

    fn open(bytes: Vec<u8>, vocab: usize) -> Result<TokenFile, DataError> {
        TokenFile::new(Path::new("d/x.tokens"), Bytes::Memory(bytes), vocab)
    }

    fn read(bytes: Vec<u8>, vocab: usize) -> Result<Vec<u32>, DataError> {
        let file = open(bytes, vocab)?;
        let mut ids = Vec::new();
        file.read(0, file.header.tokens as usize, &mut ids)?;
        Ok(ids)
    }

    #[test]
    fn tokens_come_back_from_any_place_in_both_widths() {
        for vocab in [32_000, 100_000] {
            let ids: Vec<u32> = (0..50_000).map(|i| i * 7 % vocab).collect();
            let file = open(file_of(&ids, vocab as usize), vocab as usize).unwrap();
            assert_eq!(file.header.kind.width(), if vocab == 32_000 { 2 } else { 4 });
            assert_eq!(file.header.tokens, 50_000);
            for (start, n) in [(0, 50_000), (8_191, 2), (49_999, 1), (50_000, 0), (4_000, 9_000)] {
                let mut out = vec![9];
                file.read(start as u64, n, &mut out).unwrap();
                assert_eq!(out[1..], ids[start..start + n]);
            }
        }
        assert!(read(file_of(&[], 9), 9).unwrap().is_empty());
    }

    #[test]
    fn a_damaged_file_is_named_with_row_and_tokens() {
        let sound = file_of(&vec![5; 20_000], 9);
        let told = |at: usize| {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            read(bytes, 9).unwrap_err().to_string()
        };
        assert!(told(0).contains("x.tokens: it does not begin like a token file"), "{}", told(0));
        assert!(told(8).contains("version is 0, not 1"), "{}", told(8));
        assert!(told(25).contains("bytes where"), "{}", told(25));
        assert!(told(60).contains("checksum of header and table"), "{}", told(60));
        let block = told(HEADER + 2 * 8_192);
        assert!(block.contains("sample 128: tokens 8192 to 16383 do not fit"), "{block}");
        let cut = read(sound[..sound.len() - 1].to_vec(), 9).unwrap_err().to_string();
        assert!(cut.contains("holds 40151 bytes where 40152 are due"), "{cut}");
        let told = read(sound, 5).unwrap_err().to_string();
        assert!(told.contains("token 0 is id 5, but the vocabulary ends at 4"), "{told}");
    }
}
