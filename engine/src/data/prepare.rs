//! A folder of text to a folder of tokens, once, so that every later load is immediate.
//!
//! Each file of text becomes a token file; shards, where they are asked for, are written from those of
//! a domain and replace them. Memory holds two chunks of text and one shard, however large the text
//! is. Every finished file is written down in `prepared.json`: when the work was stopped, the same
//! call goes on with the next file.
//!
//! Token files hold the tokens that [`Domains::load`](super::Domains::load) makes of the text, so
//! loading either gives the same rows.

pub(super) mod manifest;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::DataError;
use super::domains::DomainOptions;
use super::formats::mds::{Mds, MdsColumn, MdsOptions, MdsWriter};
use super::formats::tokens::{ENDING, TokenFile};
use super::formats::tokens_write::{Origin, TokenWriter};
use super::layout::{self, Content, EVAL, Evaluation, TRAIN};
use super::load::tokenizer_hash;
use super::pack::{Special, eval_rows};
use super::read::Fields;
use super::rows::{Piece, TokenStore};
use super::tokenise::{Done, Encode, Encoded, Take, Tokenising};
use crate::digest::hex;
use crate::model::Tokenizer;
use crate::progress::{Progress, Watch};
use manifest::{Manifest, Shards, print};

/// How often the list of finished files is written while there are many small ones.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// What text is prepared into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrepareFormat {
    /// Token files, one for each file of text: `<domain>/<file>.tokens`. Mapped when they are loaded.
    #[default]
    Tokens,
    /// MDS shards as LLM-Shearing lays them out: `for_prune/<domain>` and `eval/<domain>`, with columns
    /// `set` and `tokens`, one row of T tokens a sample.
    Mds,
}

/// How text is prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareOptions {
    /// Token files or shards. Default token files.
    pub format: PrepareFormat,
    /// T, tokens of a sample of a shard. Default 4,096; token files are cut when they are loaded.
    pub seq_len: usize,
    /// Share of a domain's rows kept for evaluation, the first ones; shards only. Default 0.1.
    pub eval_fraction: f64,
    /// Most evaluation rows per domain; shards only. Default 500.
    pub eval_rows: usize,
    /// The field or column that holds the document. Default `text`.
    pub text_field: String,
    /// Size a shard does not exceed, bytes. Default 67,108,864 (64 MiB).
    pub size_limit: u64,
    /// Level of zstd compression of shards, 1 to 22. Default none: such shards can be mapped.
    pub zstd: Option<i32>,
}

impl Default for PrepareOptions {
    fn default() -> Self {
        let (shards, domains) = (MdsOptions::default(), DomainOptions::default());
        Self {
            format: PrepareFormat::default(),
            seq_len: 4_096,
            eval_fraction: domains.eval_fraction,
            eval_rows: 500,
            text_field: domains.text_field,
            size_limit: shards.size_limit,
            zstd: shards.zstd,
        }
    }
}

impl PrepareOptions {
    fn domains(&self) -> DomainOptions {
        DomainOptions {
            seq_len: self.seq_len,
            eval_fraction: self.eval_fraction,
            eval_rows: self.eval_rows,
            text_field: self.text_field.clone(),
            ..DomainOptions::default()
        }
    }

    fn shards(&self) -> MdsOptions {
        MdsOptions { size_limit: self.size_limit, zstd: self.zstd, hashes: true }
    }
}

/// What was prepared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Prepared {
    /// The folder, to load with [`Domains::load`](super::Domains::load).
    pub dir: PathBuf,
    /// The domains, by name.
    pub domains: Vec<PreparedDomain>,
}

/// The figures of one domain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreparedDomain {
    /// Its name.
    pub name: String,
    /// Files of text.
    pub files: usize,
    /// Files that were found done.
    pub files_reused: usize,
    /// Documents.
    pub documents: u64,
    /// Tokens, BOS and EOS counted.
    pub tokens: u64,
    /// Text, bytes of UTF-8.
    pub bytes: u64,
    /// Time this call took for it, seconds.
    pub seconds: f64,
}

/// Tokenises a folder of text, one sub-folder a domain, into the folder `out`; of data in parts, the
/// `train` part.
///
/// Called again after it was stopped, it goes on; called on text that was changed, it does the
/// changed files again.
///
/// # Errors
/// A fault of the text, with file and line; an `out` that holds something else, or was prepared in
/// another way; an interrupt, after which finished files stay finished.
///
/// # Determinism
/// What `out` holds is a function of the text, the tokenizer and the options.
pub fn prepare(
    source: &Path,
    out: &Path,
    tokenizer: &Tokenizer,
    special: Special,
    options: &PrepareOptions,
    watch: &dyn Watch,
) -> Result<Prepared, DataError> {
    let hash = tokenizer_hash(tokenizer.bytes());
    let encode = |texts: &[String]| tokenizer.encode_batch(texts);
    prepare_with(source, out, &encode, hash, special, options, watch)
}

fn prepare_with(
    source: &Path,
    out: &Path,
    encode: Encode,
    tokenizer: [u8; 32],
    special: Special,
    options: &PrepareOptions,
    watch: &dyn Watch,
) -> Result<Prepared, DataError> {
    options.domains().check()?;
    options.shards().check()?;
    special.check()?;
    apart(source, out)?;
    let places = texts(source, &options.text_field, watch)?;
    let manifest = Manifest::open(out, tokenizer, special, options)?;
    create(out)?;
    let mut work = Work {
        out: out.into(),
        encode,
        tokenizer,
        special,
        options,
        watch,
        manifest,
        saved: Instant::now(),
    };
    let result = work.all(&places);
    // What is finished is written down even when the rest could not be done.
    let saved = work.manifest.save(out);
    let domains = result?;
    saved?;
    Ok(Prepared { dir: out.into(), domains })
}

/// A file of documents as it is opened, and all files that its contents depend on.
struct Text {
    name: String,
    path: PathBuf,
    files: Vec<PathBuf>,
}

/// Lists the domains of a folder of text and their files.
fn texts(
    source: &Path,
    field: &str,
    watch: &dyn Watch,
) -> Result<Vec<(String, Vec<Text>)>, DataError> {
    let tokens = |dir: PathBuf| DataError::NotText { dir };
    let mut domains = Vec::new();
    for place in layout::places(source)? {
        if matches!(place.eval, Evaluation::Own(_) | Evaluation::Merged(_)) {
            return Err(DataError::BadOption {
                field: "source",
                value: source.display().to_string(),
                legal: format!(
                    "a folder with one sub-folder a domain; give {}/{}",
                    source.display(),
                    TRAIN[0]
                ),
            });
        }
        let name =
            |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = match place.train {
            Content::Documents(files) => files
                .into_iter()
                .map(|path| Text { name: name(&path), files: vec![path.clone()], path })
                .collect(),
            Content::Tokens(_) => return Err(tokens(source.join(&place.name))),
            Content::Shards(dir) => {
                let mds = Mds::open(&dir, watch)?;
                if mds.find_text(field).is_none() && mds.find("tokens").is_some() {
                    return Err(tokens(dir));
                }
                let path = dir.join("index.json");
                let files = [vec![path.clone()], mds.files()].concat();
                vec![Text { name: name(&path), path, files }]
            }
        };
        domains.push((place.name, files));
    }
    Ok(domains)
}

/// Refuses to write into the folder that is read, or below it.
fn apart(source: &Path, out: &Path) -> Result<(), DataError> {
    let real = |path: &Path| path.canonicalize().ok();
    // `out` need not exist yet: then the folder it will stand in decides. What does not exist cannot be
    // a link, so `..` takes back the name before it.
    let stands = std::path::absolute(out).ok().map(|out| {
        out.components().fold(PathBuf::new(), |mut path, part| {
            match part {
                Component::ParentDir if !path.exists() => drop(path.pop()),
                part => path.push(part),
            }
            path
        })
    });
    let stands = stands.iter().flat_map(|out| out.ancestors()).find_map(real);
    if stands.zip(real(source)).is_some_and(|(out, source)| out.starts_with(source)) {
        return Err(DataError::BadOption {
            field: "out",
            value: out.display().to_string(),
            legal: format!("a folder outside {}", source.display()),
        });
    }
    Ok(())
}

struct Work<'a> {
    out: PathBuf,
    encode: Encode<'a>,
    tokenizer: [u8; 32],
    special: Special,
    options: &'a PrepareOptions,
    watch: &'a dyn Watch,
    manifest: Manifest,
    saved: Instant,
}

impl Work<'_> {
    fn all(&mut self, places: &[(String, Vec<Text>)]) -> Result<Vec<PreparedDomain>, DataError> {
        self.forget(places)?;
        let mut domains = Vec::with_capacity(places.len());
        for (name, texts) in places {
            domains.push(self.domain(name, texts)?);
        }
        if self.options.format == PrepareFormat::Mds {
            remove(&self.out.join(".tokens"))?;
        }
        Ok(domains)
    }

    /// Removes what was prepared from files that are no longer there.
    fn forget(&mut self, places: &[(String, Vec<Text>)]) -> Result<(), DataError> {
        let key = |domain: &String, text: &Text| format!("{domain}/{}", text.name);
        let there: BTreeSet<String> =
            places.iter().flat_map(|(d, texts)| texts.iter().map(move |t| key(d, t))).collect();
        let gone: Vec<String> =
            self.manifest.files.keys().filter(|key| !there.contains(*key)).cloned().collect();
        for key in gone {
            remove(&self.spool().join(format!("{key}{ENDING}")))?;
            self.manifest.files.remove(&key);
            let domain = key.split('/').next().unwrap_or_default().to_string();
            if !places.iter().any(|(name, _)| *name == domain) {
                for folder in [self.spool(), self.out.join(EVAL), self.out.join(TRAIN[0])] {
                    remove(&folder.join(&domain))?;
                }
                self.manifest.shards.remove(&domain);
            }
        }
        Ok(())
    }

    /// The folder of the token files.
    fn spool(&self) -> PathBuf {
        match self.options.format {
            PrepareFormat::Tokens => self.out.clone(),
            PrepareFormat::Mds => self.out.join(".tokens"),
        }
    }

    fn domain(&mut self, name: &str, texts: &[Text]) -> Result<PreparedDomain, DataError> {
        let started = Instant::now();
        let size = |text: &Text| -> u64 {
            text.files.iter().map(|file| file.metadata().map_or(0, |data| data.len())).sum()
        };
        let mut done = Done { before: 0, total: texts.iter().map(size).sum() };
        let complete = self.shards_are_there(name, texts)?;
        let mut reused = 0;
        for text in texts {
            let key = format!("{name}/{}", text.name);
            if complete || self.is_there(&key, text)? {
                reused += 1;
            } else {
                self.file(name, &key, text, done)?;
            }
            done.before += size(text);
        }
        if self.options.format == PrepareFormat::Mds && !complete {
            self.shards(name, texts)?;
        }
        let files =
            texts.iter().filter_map(|t| self.manifest.files.get(&format!("{name}/{}", t.name)));
        let sum = |f: &dyn Fn(&manifest::Done) -> u64| files.clone().map(f).sum();
        Ok(PreparedDomain {
            name: name.into(),
            files: texts.len(),
            files_reused: reused,
            documents: sum(&|file| file.documents),
            tokens: sum(&|file| file.tokens),
            bytes: sum(&|file| file.text_bytes),
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Tells whether the source of a file is what it was when it was tokenised.
    fn unchanged(&self, key: &str, text: &Text) -> Result<bool, DataError> {
        let Some(done) = self.manifest.files.get(key) else { return Ok(false) };
        Ok(print(&text.files)? == done.source)
    }

    /// Tells whether the token file of a file is there and sound in its head, and its source
    /// unchanged.
    fn is_there(&self, key: &str, text: &Text) -> Result<bool, DataError> {
        let Some(done) = self.manifest.files.get(key) else { return Ok(false) };
        let path = self.spool().join(format!("{key}{ENDING}"));
        let file = TokenFile::open(&path, self.special.vocab);
        let sound = file.is_ok_and(|file| hex(&file.header.checksum) == done.checksum);
        Ok(sound && self.unchanged(key, text)?)
    }

    /// Tells whether the shards of a domain are there and made from these files.
    fn shards_are_there(&self, name: &str, texts: &[Text]) -> Result<bool, DataError> {
        let Some(shards) = self.manifest.shards.get(name) else { return Ok(false) };
        for (folder, want) in [(EVAL, &shards.eval), (TRAIN[0], &shards.train)] {
            let dir = self.out.join(folder).join(name);
            let index = print(&[dir.join("index.json")]);
            if !index.is_ok_and(|index| index.sha256 == *want)
                || Mds::open(&dir, self.watch).is_err()
            {
                return Ok(false);
            }
        }
        let mut from = Vec::new();
        for text in texts {
            let key = format!("{name}/{}", text.name);
            if !self.unchanged(&key, text)? {
                return Ok(false);
            }
            from.extend(self.manifest.files.get(&key).map(|done| done.checksum.clone()));
        }
        Ok(from == shards.from)
    }

    /// Tokenises one file.
    fn file(&mut self, name: &str, key: &str, text: &Text, done: Done) -> Result<(), DataError> {
        let path = self.spool().join(format!("{key}{ENDING}"));
        create(path.parent().unwrap_or(&self.out))?;
        let writer = TokenWriter::create(&path, self.special.vocab)?;
        let mut sink = Sink { writer, special: self.special, documents: 0, bytes: 0 };
        let fields = Fields { text: &self.options.text_field, tokens: "tokens" };
        let (encode, special, watch) = (self.encode, self.special, self.watch);
        let tokenising = Tokenising { domain: name, encode, special, fields, watch };
        if let Err(error) = tokenising.file(&text.path, done, &mut sink) {
            drop(sink);
            // An empty folder would be a domain without data; one that holds something stays.
            let _ = fs::remove_dir(path.parent().unwrap_or(&self.out));
            return Err(error);
        }
        let Sink { writer, documents, bytes, .. } = sink;
        let tokens = writer.tokens;
        let checksum = writer.finish(Origin {
            seq_len: self.options.seq_len as u64,
            documents,
            text_bytes: bytes,
            tokenizer: self.tokenizer,
        })?;
        let (source, checksum) = (print(&text.files)?, hex(&checksum));
        let done = manifest::Done { source, checksum, documents, tokens, text_bytes: bytes };
        self.manifest.files.insert(key.into(), done);
        if self.saved.elapsed() > SAVE_EVERY {
            self.manifest.save(&self.out)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    /// Writes the shards of a domain from its token files, and removes those.
    fn shards(&mut self, name: &str, texts: &[Text]) -> Result<(), DataError> {
        let spool = self.spool();
        let mut pieces = Vec::new();
        let mut from = Vec::new();
        for text in texts {
            let path = spool.join(format!("{name}/{}{ENDING}", text.name));
            let file = TokenFile::open(&path, self.special.vocab)?;
            from.push(hex(&file.header.checksum));
            pieces.push(Piece::File(file));
        }
        let store = Arc::new(TokenStore::new(pieces));
        let options = self.options.domains();
        let rows = store.tokens() as usize / options.seq_len;
        let eval = eval_rows(name, store.tokens() as usize, &options)?;
        let mut prints = Vec::new();
        for (folder, first, last) in [(EVAL, 0, eval), (TRAIN[0], eval, rows)] {
            let dir = self.out.join(folder).join(name);
            remove(&dir)?;
            let columns = [("set", MdsColumn::Text), ("tokens", MdsColumn::Bytes)];
            let mut writer = MdsWriter::create(&dir, &columns, &self.options.shards())?;
            let (mut ids, mut bytes) = (Vec::new(), Vec::new());
            for row in first..last {
                if row % 256 == 0 {
                    self.watch.tick(&Progress {
                        what: format!("write {name}"),
                        done: row as u64,
                        total: Some(rows as u64),
                        unit: "rows",
                        note: String::new(),
                    });
                    if self.watch.stop_requested() {
                        return Err(DataError::Interrupted { domain: name.into() });
                    }
                }
                ids.clear();
                bytes.clear();
                store.read((row * options.seq_len) as u64, options.seq_len, &mut ids)?;
                match self.manifest.token_type.width() {
                    2 => ids.iter().for_each(|id| bytes.extend((*id as u16).to_le_bytes())),
                    _ => ids.iter().for_each(|id| bytes.extend(id.to_le_bytes())),
                }
                writer.write(&[name.as_bytes(), &bytes])?;
            }
            writer.finish()?;
            prints.push(print(&[dir.join("index.json")])?.sha256);
        }
        let (eval, train) = (prints.swap_remove(0), prints.swap_remove(0));
        self.manifest.shards.insert(name.into(), Shards { from, eval, train });
        self.manifest.save(&self.out)?;
        remove(&spool.join(name))
    }
}

/// Writes documents to a token file.
struct Sink {
    writer: TokenWriter,
    special: Special,
    documents: u64,
    bytes: u64,
}

impl Take for Sink {
    fn wanted(&self) -> usize {
        usize::MAX
    }

    fn documents(&self) -> usize {
        self.documents as usize
    }

    fn take(&mut self, document: Encoded) -> Result<(), DataError> {
        let special = |id: Option<u32>, there: bool| id.filter(|_| there && document.framed);
        self.writer.push(special(self.special.bos, document.starts).as_slice())?;
        self.writer.push(&document.ids)?;
        self.writer.push(special(self.special.eos, document.ends).as_slice())?;
        self.documents += u64::from(document.starts);
        self.bytes += document.bytes;
        Ok(())
    }
}

fn create(dir: &Path) -> Result<(), DataError> {
    fs::create_dir_all(dir).map_err(|source| DataError::Write { path: dir.into(), source })
}

/// Removes a file or folder that may be there.
fn remove(path: &Path) -> Result<(), DataError> {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match gone {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DataError::Write { path: path.into(), source: error })
        }
        _ => Ok(()),
    }
}
