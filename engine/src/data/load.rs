//! Domains from a folder: one sub-folder per domain, its files read in the order of their names.
//!
//! Text is tokenised into memory, four bytes a token. Data that comes as tokens, in token files or
//! in shards, stays on disk: only its evaluation rows are read. Evaluation takes a domain's first
//! rows, or those of its own folder: see `layout.rs`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::domains::{Domain, DomainOptions, Domains};
use super::formats::mds::Mds;
use super::formats::tokens::TokenFile;
use super::layout::{self, Content, Evaluation};
use super::pack::{Packer, Special, eval_rows};
use super::prepare::manifest;
use super::rows::{Piece, TokenStore};
use super::tokenise::{Done, Encode, Encoded, Take, Tokenising};
use super::{Choice, DataError, DataOrigin, Fetched, Rows, TrainRows, fetch};
use crate::hub::HubOptions;
use crate::model::Tokenizer;
use crate::progress::Watch;

impl Domains {
    /// Reads the domains of a folder: each sub-folder is one, named after it, in the order of the
    /// names. It holds documents (`.jsonl` or `.txt`, also `.gz` or `.zst`; `.parquet`), token files
    /// that [`prepare`](super::prepare()) wrote, or MDS shards of tokens or text. The folders of LLM-Shearing,
    /// `eval/<domain>` or `eval/eval_merge` beside `for_prune/<domain>`, are known too.
    ///
    /// # Errors
    /// A [`DataError`] that names the folder, the file and line, or the shard and sample.
    ///
    /// # Determinism
    /// A function of the files, the tokenizer and the options.
    pub fn load(
        dir: &Path,
        tokenizer: &Tokenizer,
        special: Special,
        options: &DomainOptions,
        watch: &dyn Watch,
    ) -> Result<Self, DataError> {
        let hash = tokenizer_hash(tokenizer.bytes());
        load(dir, &|texts| tokenizer.encode_batch(texts), hash, special, options, watch)
    }

    /// Reads the domains of a data set of the hub, fetching what the cache lacks.
    ///
    /// # Errors
    /// Those of [`fetch`] and of [`Domains::load`].
    pub fn from_hub(
        id: &str,
        choice: &Choice,
        hub: &HubOptions,
        tokenizer: &Tokenizer,
        special: Special,
        options: &DomainOptions,
        watch: &dyn Watch,
    ) -> Result<Self, DataError> {
        let Fetched { dir, commit } = fetch(id, choice, hub, watch)?;
        let mut domains = Self::load(&dir, tokenizer, special, options, watch)?;
        let (id, choice, options) = (id.to_string(), choice.clone(), options.clone());
        domains.origin = DataOrigin::Hub { id, commit, choice, options };
        Ok(domains)
    }
}

/// SHA-256 of a `tokenizer.json`.
pub(super) fn tokenizer_hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn load(
    dir: &Path,
    encode: Encode,
    tokenizer: [u8; 32],
    special: Special,
    options: &DomainOptions,
    watch: &dyn Watch,
) -> Result<Domains, DataError> {
    options.check()?;
    special.check()?;
    let places = layout::places(dir)?;
    manifest::check_tokenizer(dir, tokenizer)?;
    let reading = Reading { encode, tokenizer, special, options, watch };
    let mut merged = None;
    let mut domains = Vec::with_capacity(places.len());
    for place in places {
        let train = reading.source(&place.name, place.train)?;
        let eval = match place.eval {
            Evaluation::First => None,
            Evaluation::Own(content) | Evaluation::Part(content) => {
                let source = reading.source(&place.name, content)?;
                let files = source.files.clone();
                Some((source.first_rows(options.eval_rows, options.seq_len)?, files))
            }
            Evaluation::Merged(dir) => {
                let all = match &mut merged {
                    Some(all) => all,
                    None => merged.insert(reading.merged(&dir)?),
                };
                let ids = all.remove(&place.name).unwrap_or_default();
                Some((cut(ids, options.eval_rows, options.seq_len), vec![dir.join("index.json")]))
            }
        };
        domains.push(match eval {
            None => train.split(&place.name, options)?,
            Some((eval, files)) => train.beside(&place.name, eval, files, options)?,
        });
    }
    let path = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let origin = DataOrigin::Folder { path, options: options.clone() };
    Ok(Domains::new(options.seq_len, domains, origin))
}

/// What reading a folder needs.
struct Reading<'a> {
    encode: Encode<'a>,
    tokenizer: [u8; 32],
    special: Special,
    options: &'a DomainOptions,
    watch: &'a dyn Watch,
}

/// The data of one folder.
struct Source {
    tokens: Tokens,
    documents: usize,
    bytes: u64,
    files: Vec<PathBuf>,
}

enum Tokens {
    Memory(Vec<u32>),
    Disk(Arc<TokenStore>),
}

/// Gathers documents in memory.
struct Gather {
    packer: Packer,
    bytes: u64,
}

impl Take for Gather {
    fn wanted(&self) -> usize {
        self.packer.wanted()
    }

    fn documents(&self) -> usize {
        self.packer.documents()
    }

    fn take(&mut self, document: Encoded) -> Result<(), DataError> {
        self.bytes += document.bytes;
        self.packer.push_part(&document);
        Ok(())
    }
}

impl Reading<'_> {
    fn source(&self, name: &str, content: Content) -> Result<Source, DataError> {
        match content {
            Content::Documents(files) => self.documents(name, files),
            Content::Tokens(files) => self.token_files(files),
            Content::Shards(dir) => {
                let mds = Mds::open(&dir, self.watch)?;
                let fields = self.options.fields();
                let no_tokens = mds.find(fields.tokens).is_none();
                if no_tokens && mds.find_text(fields.text).is_some() {
                    return self.documents(name, vec![dir.join("index.json")]);
                }
                self.shards(&mds)
            }
        }
    }

    fn documents(&self, name: &str, files: Vec<PathBuf>) -> Result<Source, DataError> {
        let size = |file: &Path| file.metadata().map_or(0, |data| data.len());
        let mut done = Done { before: 0, total: files.iter().map(|file| size(file)).sum() };
        let packer = Packer::new(self.special, self.options.max_tokens);
        let mut gather = Gather { packer, bytes: 0 };
        let (encode, special, watch) = (self.encode, self.special, self.watch);
        let fields = self.options.fields();
        let tokenising = Tokenising { domain: name, encode, special, fields, watch };
        let mut used = Vec::new();
        for file in files {
            if gather.packer.full() {
                break;
            }
            tokenising.file(&file, done, &mut gather)?;
            done.before += size(&file);
            used.push(file);
        }
        let (documents, bytes) = (gather.packer.documents(), gather.bytes);
        let tokens = Tokens::Memory(gather.packer.into_ids());
        Ok(Source { tokens, documents, bytes, files: used })
    }

    fn token_files(&self, files: Vec<PathBuf>) -> Result<Source, DataError> {
        let mut pieces = Vec::with_capacity(files.len());
        let (mut documents, mut bytes) = (0, 0);
        for path in &files {
            let file = TokenFile::open(path, self.special.vocab)?;
            if file.header.tokenizer != self.tokenizer {
                return Err(DataError::OtherTokenizer { file: path.clone() });
            }
            documents += file.header.documents as usize;
            bytes += file.header.text_bytes;
            pieces.push(Piece::File(file));
        }
        let tokens = Tokens::Disk(Arc::new(TokenStore::new(pieces)));
        Ok(Source { tokens, documents, bytes, files })
    }

    fn shards(&self, mds: &Mds) -> Result<Source, DataError> {
        let options = self.options;
        let (name, given) = (options.tokens_field.as_str(), options.token_type);
        let column = mds.token_column(name, given, self.special.vocab, options.seq_len)?;
        let pieces = mds.tokens(column)?.into_iter().map(Piece::Shard).collect();
        let tokens = Tokens::Disk(Arc::new(TokenStore::new(pieces)));
        Ok(Source { tokens, documents: mds.samples(), bytes: 0, files: mds.files() })
    }

    /// Reads a folder of shards whose column `set` names the domain of each sample.
    fn merged(&self, dir: &Path) -> Result<HashMap<String, Vec<u32>>, DataError> {
        let mds = Mds::open(dir, self.watch)?;
        let set = mds.column("set", "set")?;
        let options = self.options;
        let (name, given) = (options.tokens_field.as_str(), options.token_type);
        let column = mds.token_column(name, given, self.special.vocab, options.seq_len)?;
        let mut ids: HashMap<String, Vec<u32>> = HashMap::new();
        for (shard, sample) in mds.each() {
            let domain = shard.text(sample, set)?;
            if !ids.contains_key(domain) {
                ids.insert(domain.into(), Vec::new());
            }
            if let Some(ids) = ids.get_mut(domain) {
                column.append(shard, sample, ids)?;
            }
        }
        Ok(ids)
    }
}

/// Cuts the first `rows` rows of T tokens, or as many as there are.
fn cut(mut ids: Vec<u32>, rows: usize, seq_len: usize) -> Rows {
    ids.truncate(rows.saturating_mul(seq_len));
    Rows::new(seq_len, ids)
}

impl Source {
    fn len(&self) -> usize {
        match &self.tokens {
            Tokens::Memory(ids) => ids.len(),
            Tokens::Disk(store) => store.tokens() as usize,
        }
    }

    /// Reads the first `rows` rows, or as many as there are, into memory.
    fn first_rows(&self, rows: usize, seq_len: usize) -> Result<Rows, DataError> {
        let rows = rows.min(self.len() / seq_len);
        match &self.tokens {
            Tokens::Memory(ids) => Ok(cut(ids.clone(), rows, seq_len)),
            Tokens::Disk(store) => {
                let mut ids = Vec::with_capacity(rows * seq_len);
                store.read(0, rows * seq_len, &mut ids)?;
                Ok(Rows::new(seq_len, ids))
            }
        }
    }

    /// Keeps the first rows for evaluation.
    fn split(self, name: &str, options: &DomainOptions) -> Result<Domain, DataError> {
        let tokens = self.len().min(options.max_tokens.unwrap_or(usize::MAX));
        let n = eval_rows(name, tokens, options)?;
        let eval = self.first_rows(n, options.seq_len)?;
        Ok(self.domain(name, eval, n, tokens / options.seq_len - n, options.seq_len))
    }

    /// Trains on all rows; evaluation has rows of its own.
    fn beside(
        mut self,
        name: &str,
        eval: Rows,
        files: Vec<PathBuf>,
        options: &DomainOptions,
    ) -> Result<Domain, DataError> {
        let rows = self.len().min(options.max_tokens.unwrap_or(usize::MAX)) / options.seq_len;
        if rows == 0 || eval.is_empty() {
            let tokens = if rows == 0 { self.len() } else { 0 };
            return Err(DataError::TooFewRows {
                domain: name.into(),
                what: if rows == 0 { "training" } else { "evaluation" },
                tokens,
                seq_len: options.seq_len,
            });
        }
        self.files.extend(files);
        Ok(self.domain(name, eval, 0, rows, options.seq_len))
    }

    fn domain(self, name: &str, eval: Rows, first: usize, len: usize, seq_len: usize) -> Domain {
        let train = match self.tokens {
            Tokens::Memory(mut ids) => {
                ids.truncate((first + len) * seq_len);
                Rows::new(seq_len, ids.split_off(first * seq_len)).into()
            }
            Tokens::Disk(store) => TrainRows::on_disk(store, seq_len, first, len),
        };
        Domain {
            name: name.into(),
            train,
            eval,
            floor: None,
            documents: self.documents,
            bytes: self.bytes,
            files: self.files,
        }
    }
}

#[cfg(test)]
mod tests;
