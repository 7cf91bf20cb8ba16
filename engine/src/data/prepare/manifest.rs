//! What has been prepared: `prepared.json`, written whole, read back when the work goes on.
//!
//! A file of text is known again by its size and SHA-256, a token file by its checksum, shards by the
//! SHA-256 of their index, which carries those of the shards. No time stands in it: the same text and
//! options give the same bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{PrepareFormat, PrepareOptions};
use crate::data::layout::{listing, visible};
use crate::data::pack::Special;
use crate::data::{DataError, TokenType};
use crate::digest::hex;
use crate::files::write_whole;

/// Its name in the folder of prepared data.
pub(crate) const NAME: &str = "prepared.json";

/// What has been prepared, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) version: u32,
    /// SHA-256 of the tokenizer.json.
    pub(crate) tokenizer: String,
    pub(crate) special: Special,
    /// Type of the ids.
    pub(crate) token_type: TokenType,
    pub(crate) options: PrepareOptions,
    /// The files of text, as `domain/file`.
    pub(crate) files: BTreeMap<String, Done>,
    /// The domains whose shards are written.
    pub(crate) shards: BTreeMap<String, Shards>,
}

/// A file that has been tokenised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Done {
    /// The file of text.
    pub(crate) source: Print,
    /// Checksum of its token file.
    pub(crate) checksum: String,
    pub(crate) documents: u64,
    pub(crate) tokens: u64,
    pub(crate) text_bytes: u64,
}

/// What a file is known by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Print {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// The shards of a domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shards {
    /// Checksums of the token files they were made from, in order.
    pub(crate) from: Vec<String>,
    /// SHA-256 of the index of the evaluation rows.
    pub(crate) eval: String,
    /// SHA-256 of the index of the training rows.
    pub(crate) train: String,
}

impl Manifest {
    /// Starts or goes on: reads what the folder holds, and checks that it was made the same way.
    ///
    /// # Errors
    /// [`DataError::Foreign`], [`DataError::OtherPreparation`], [`DataError::Manifest`],
    /// [`DataError::Read`].
    pub(crate) fn open(
        dir: &Path,
        tokenizer: [u8; 32],
        special: Special,
        options: &PrepareOptions,
    ) -> Result<Self, DataError> {
        let now = Self {
            version: 1,
            tokenizer: hex(&tokenizer),
            special,
            token_type: token_type(special.vocab),
            options: options.clone(),
            files: BTreeMap::new(),
            shards: BTreeMap::new(),
        };
        match read(dir)? {
            Some(was) => {
                was.same(&now, dir)?;
                Ok(was)
            }
            None if dir.is_dir() => match visible(dir)?.as_slice() {
                [] => Ok(now),
                found => Err(DataError::Foreign { dir: dir.into(), found: listing(found) }),
            },
            None => Ok(now),
        }
    }

    fn same(&self, now: &Self, dir: &Path) -> Result<(), DataError> {
        let format = |f: PrepareFormat| match f {
            PrepareFormat::Tokens => "tokens",
            PrepareFormat::Mds => "mds",
        };
        let (a, b) = (&self.options, &now.options);
        let pairs = [
            ("version", self.version.to_string(), now.version.to_string()),
            ("tokenizer", self.tokenizer.clone(), now.tokenizer.clone()),
            ("special tokens", format!("{:?}", self.special), format!("{:?}", now.special)),
            ("format", format(a.format).into(), format(b.format).into()),
            ("seq_len", a.seq_len.to_string(), b.seq_len.to_string()),
            ("eval_fraction", a.eval_fraction.to_string(), b.eval_fraction.to_string()),
            ("eval_rows", a.eval_rows.to_string(), b.eval_rows.to_string()),
            ("text_field", a.text_field.clone(), b.text_field.clone()),
            ("size_limit", a.size_limit.to_string(), b.size_limit.to_string()),
            ("zstd", format!("{:?}", a.zstd), format!("{:?}", b.zstd)),
        ];
        match pairs.into_iter().find(|(_, was, now)| was != now) {
            Some((what, was, now)) => {
                Err(DataError::OtherPreparation { dir: dir.into(), what, was, now })
            }
            None => Ok(()),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub(crate) fn save(&self, dir: &Path) -> Result<(), DataError> {
        let path = dir.join(NAME);
        write_whole(&path, |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            file.write_all(b"\n")
        })
        .map_err(|source| DataError::Write { path, source })
    }
}

/// The type that ids of a vocabulary are written in.
pub(crate) fn token_type(vocab: usize) -> TokenType {
    if vocab <= 1 << 16 { TokenType::U16 } else { TokenType::U32 }
}

/// Checks that prepared data, where a folder holds some, was made with this tokenizer.
///
/// # Errors
/// [`DataError::OtherTokenizer`], [`DataError::Manifest`], [`DataError::Read`].
pub(crate) fn check_tokenizer(dir: &Path, tokenizer: [u8; 32]) -> Result<(), DataError> {
    match read(dir)? {
        Some(manifest) if manifest.tokenizer != hex(&tokenizer) => {
            Err(DataError::OtherTokenizer { file: dir.join(NAME) })
        }
        _ => Ok(()),
    }
}

fn read(dir: &Path) -> Result<Option<Manifest>, DataError> {
    let file = dir.join(NAME);
    match fs::read(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataError::Read { path: file, source }),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| DataError::Manifest { file, source }),
    }
}

/// Gives what files are known by, taken as one.
///
/// # Errors
/// [`DataError::Read`].
pub(crate) fn print(files: &[PathBuf]) -> Result<Print, DataError> {
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let failed = |source| DataError::Read { path: path.clone(), source };
        let mut file = File::open(path).map_err(failed)?;
        loop {
            let n = file.read(&mut buffer).map_err(failed)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            bytes += n as u64;
        }
    }
    Ok(Print { bytes, sha256: hex(&hash.finalize()) })
}
