//! Token files, written as the tokens come: memory holds one block.
//!
//! The file is filled beside its place and moved there when it is whole, header last.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::tokens::{BLOCK, CHECKSUM, ENTRY, HEADER, MAGIC, VERSION};
use crate::data::DataError;

/// Largest vocabulary whose ids fit in two bytes.
const SMALL: usize = 1 << 16;

/// A token file while it is written; one that is dropped before [`TokenWriter::finish`] leaves
/// nothing.
#[derive(Debug)]
pub(crate) struct TokenWriter {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    narrow: bool,
    block: Vec<u8>,
    table: Vec<u8>,
    pub(crate) tokens: u64,
    done: bool,
}

/// What a token file says of itself beside its ids.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) seq_len: u64,
    pub(crate) documents: u64,
    pub(crate) text_bytes: u64,
    pub(crate) tokenizer: [u8; 32],
}

impl TokenWriter {
    /// Starts a file for ids below `vocab`.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn create(path: &Path, vocab: usize) -> Result<Self, DataError> {
        let part = path.with_extension("tokens.part");
        let open = || {
            let mut file = BufWriter::new(File::create(&part)?);
            file.write_all(&[0; HEADER])?;
            Ok(file)
        };
        let file = open().map_err(|source| DataError::Write { path: part.clone(), source })?;
        Ok(Self {
            path: path.into(),
            part,
            file,
            narrow: vocab <= SMALL,
            block: Vec::with_capacity(BLOCK),
            table: Vec::new(),
            tokens: 0,
            done: false,
        })
    }

    /// Adds ids, each below the vocabulary the file was started for.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn push(&mut self, ids: &[u32]) -> Result<(), DataError> {
        for id in ids {
            if self.narrow {
                self.block.extend_from_slice(&(*id as u16).to_le_bytes());
            } else {
                self.block.extend_from_slice(&id.to_le_bytes());
            }
            if self.block.len() == BLOCK {
                self.flush()?;
            }
        }
        self.tokens += ids.len() as u64;
        Ok(())
    }

    /// Writes table and header and moves the file into its place; gives its checksum.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn finish(mut self, origin: Origin) -> Result<[u8; 32], DataError> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&(if self.narrow { 2_u32 } else { 4 }).to_le_bytes());
        for number in [origin.seq_len, self.tokens, origin.documents, origin.text_bytes] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(&(BLOCK as u32).to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&origin.tokenizer);
        debug_assert_eq!(header.len(), CHECKSUM);
        let mut hash = Sha256::new();
        hash.update(&header);
        hash.update(&self.table);
        let checksum: [u8; 32] = hash.finalize().into();
        header.extend_from_slice(&checksum);
        header.resize(HEADER, 0);
        let written = self
            .file
            .write_all(&self.table)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .and_then(|_| self.file.write_all(&header))
            .and_then(|()| self.file.flush())
            .and_then(|()| self.file.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.part, &self.path));
        self.failed(written)?;
        self.done = true;
        Ok(checksum)
    }

    fn flush(&mut self) -> Result<(), DataError> {
        self.table.extend_from_slice(&Sha256::digest(&self.block)[..ENTRY]);
        let written = self.file.write_all(&self.block);
        self.block.clear();
        self.failed(written)
    }

    fn failed(&self, result: std::io::Result<()>) -> Result<(), DataError> {
        result.map_err(|source| DataError::Write { path: self.path.clone(), source })
    }
}

impl Drop for TokenWriter {
    fn drop(&mut self) {
        if !self.done {
            // There is nobody to tell; the next writer of this file overwrites what stays.
            let _ = fs::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A token file of rows of 64 tokens, as bytes.
    pub(crate) fn file_of(ids: &[u32], vocab: usize) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        let mut writer = TokenWriter::create(&path, vocab).unwrap();
        ids.chunks(1_000).for_each(|ids| writer.push(ids).unwrap());
        let origin = Origin { seq_len: 64, documents: 1, text_bytes: 2, tokenizer: [3; 32] };
        writer.finish(origin).unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn a_file_that_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tokens");
        let mut writer = TokenWriter::create(&path, 9).unwrap();
        writer.push(&[1; 50_000]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(writer);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
