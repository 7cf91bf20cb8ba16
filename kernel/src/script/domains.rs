//! Script functions of domains.
//!
//! Domains are tokenised with the tokenizer of the model they are used with. A handle keeps what it
//! was made from and the rows of each tokenizer it has met.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use woolshed_engine::data::{DomainOptions, Domains, Special, TokenType, demo};
use woolshed_engine::model::{Model, Tokenizer};
use woolshed_engine::view::{Column, Portrait, Table};

use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::remote::{self, CHOICE, Data, HUB, Remote};
use super::{ScriptResult, fail, host, raise};
use crate::session::Host;

/// Domains in a script. Cheap to clone.
#[derive(Clone)]
pub struct DomainsHandle(Arc<Inner>);

struct Inner {
    from: From,
    options: DomainOptions,
    seed: u64,
    /// The rows made so far, each with the tokenizer that made them.
    made: Mutex<Vec<(Arc<Tokenizer>, Arc<Domains>)>>,
}

#[derive(Debug)]
enum From {
    Demo,
    Folder(PathBuf),
    Hub(Remote),
    Texts(Vec<(String, Vec<String>)>),
}

/// Options of `load_domains`.
pub(super) const LOAD_DOMAINS: OptionList = OptionList::new(
    "load_domains",
    &[
        &[
            KnownOption::new(
                "seq_len",
                Takes::Count,
                || DomainOptions::default().seq_len.to_string(),
                "tokens a row",
            ),
            KnownOption::open(
                "max_tokens",
                Takes::Count,
                "all",
                "tokens after which the rest of a domain is left unread",
            ),
            KnownOption::new(
                "eval_fraction",
                Takes::Number,
                || DomainOptions::default().eval_fraction.to_string(),
                "the share of a domain's rows that is kept for evaluation, the first ones",
            ),
            KnownOption::new(
                "eval_rows",
                Takes::Count,
                || DomainOptions::default().eval_rows.to_string(),
                "the most evaluation rows of a domain",
            ),
            KnownOption::open(
                "seed",
                Takes::Count,
                "the session's, 17",
                "what the demo is drawn from",
            ),
            MODEL,
            TEXT_FIELD,
            KnownOption::new(
                "tokens_field",
                Takes::Text,
                || DomainOptions::default().tokens_field,
                "the column of a shard or parquet file that holds token ids",
            ),
            KnownOption::open(
                "token_type",
                Takes::Word(&TOKEN_TYPES),
                "found out",
                "the type of ids in a column of plain bytes",
            ),
        ],
        &CHOICE,
        &HUB,
    ],
);

/// Types of ids.
const TOKEN_TYPES: [&str; 8] = ["u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64"];

/// Whose tokenizer reads text.
pub(super) const MODEL: KnownOption = KnownOption::open(
    "model",
    Takes::Handle("Model"),
    "the one loaded last",
    "the model whose tokenizer reads the text",
);

/// Where the document is.
pub(super) const TEXT_FIELD: KnownOption = KnownOption::new(
    "text_field",
    Takes::Text,
    || DomainOptions::default().text_field,
    "the field or column that holds the document",
);

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<DomainsHandle>("Domains");
    super::register_global(rhai, exported_module!(functions));
}

impl DomainsHandle {
    /// Gives the rows for a model, tokenised once for each tokenizer.
    pub fn for_model(&self, model: &Model, host: &Host) -> ScriptResult<Arc<Domains>> {
        let tokenizer = model.tokenizer().map_err(raise)?;
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, domains)) = made.iter().find(|(of, _)| of.bytes() == tokenizer.bytes()) {
            return Ok(domains.clone());
        }
        let special = special(model);
        let domains = match &self.0.from {
            From::Demo if tokenizer.bytes() == demo::tokenizer_json().as_bytes() => {
                demo::domains(&self.0.options, self.0.seed, host)
            }
            From::Demo => {
                return Err(fail(format!(
                    "the demo domains speak the demo model's words, and `{}` has another tokenizer; \
                     write them out with `write_demo_text(dir)` and load that folder",
                    model.name
                )));
            }
            From::Folder(dir) => Domains::load(dir, tokenizer, special, &self.0.options, host),
            From::Hub(Remote { id, choice, hub, .. }) => {
                Domains::from_hub(id, choice, hub, tokenizer, special, &self.0.options, host)
            }
            From::Texts(texts) => Domains::from_texts(texts, tokenizer, special, &self.0.options),
        };
        let domains = Arc::new(domains.map_err(raise)?);
        let tokens: usize = domains.summary().iter().map(|d| d.tokens).sum();
        host.progress_done(&format!("{} domains, {tokens} tokens", domains.domains.len()));
        // A model that gave its tokenizer has one.
        made.extend(model.tokenizer.iter().map(|of| (of.clone(), domains.clone())));
        Ok(domains)
    }

    /// What the rows are made from, in one text: handles with one text give the same rows. Files of a
    /// folder count by name, size and time of change.
    pub fn identity(&self) -> String {
        let Inner { from, options, seed, .. } = &*self.0;
        let from = match from {
            From::Hub(Remote { id, choice, fetched, .. }) => {
                return format!("{id} at {} {choice:?} {options:?}", fetched.commit);
            }
            other => other,
        };
        let mut text = format!("{from:?} {options:?} seed {seed}");
        let mut open = match from {
            From::Folder(dir) => vec![dir.clone()],
            From::Demo | From::Hub(_) | From::Texts(_) => Vec::new(),
        };
        while let Some(dir) = open.pop() {
            let mut paths: Vec<PathBuf> =
                std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
            paths.sort();
            for path in paths {
                let Ok(about) = path.metadata() else { continue };
                if about.is_dir() {
                    open.push(path);
                } else {
                    text.push_str(&format!(
                        "\n{path:?} {} {:?}",
                        about.len(),
                        about.modified().ok()
                    ));
                }
            }
        }
        text
    }

    /// The rows made last.
    pub fn made(&self) -> ScriptResult<Arc<Domains>> {
        self.latest().ok_or_else(|| fail("these domains are not tokenised yet; load a model first"))
    }

    /// Counts the tokens of the rows made last.
    pub(super) fn tokens(&self) -> Option<i64> {
        let tokens = self.latest()?.summary().iter().map(|d| d.tokens).sum::<usize>();
        i64::try_from(tokens).ok()
    }

    /// The rows made last, if any were made.
    fn latest(&self) -> Option<Arc<Domains>> {
        self.last().map(|(_, domains)| domains)
    }

    /// The rows made last, and their tokenizer.
    fn last(&self) -> Option<(Arc<Tokenizer>, Arc<Domains>)> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner).last().cloned()
    }

    /// What the domains show of themselves.
    pub(super) fn portrait(&self) -> Portrait {
        let Some((tokenizer, domains)) = self.last() else {
            let from = match &self.0.from {
                From::Demo => "the demo corpora".to_string(),
                From::Folder(dir) => format!("the folder {}", dir.display()),
                From::Hub(remote) => format!("the hub's {}", remote.id),
                From::Texts(texts) => format!("{} lists of texts", texts.len()),
            };
            return Portrait::of_untokenised(&from);
        };
        Portrait::of_domains(&domains, Some(&|ids| tokenizer.decode(ids).ok()))
    }
}

/// The tokens that stand around a document, as a model has them.
pub(super) fn special(model: &Model) -> Special {
    Special {
        bos: model.config.bos,
        eos: model.config.eos.first().copied(),
        vocab: model.config.vocab,
    }
}

/// Finds a folder of data: from the working folder, or else from `--out`, where scripts write.
pub(super) fn find(path: &str, host: &Host) -> PathBuf {
    let (near, written) = (PathBuf::from(path), host.place(path));
    if !near.exists() && written.is_dir() { written } else { near }
}

/// Reads the type of token ids.
fn token_type(options: &Options) -> ScriptResult<Option<TokenType>> {
    let Some(name) = options.text("token_type")? else { return Ok(None) };
    match TokenType::from_name(&name) {
        Some(kind) => Ok(Some(kind)),
        None => Err(options.no_choice("token_type", &name)),
    }
}

/// What `load_domains` is given.
enum Given<'a> {
    Name(&'a str),
    Texts(Vec<(String, Vec<String>)>),
}

fn load(ctx: &NativeCallContext, given: Given, options: Map) -> ScriptResult<DomainsHandle> {
    let options = Options::new(&LOAD_DOMAINS, options)?;
    let default = DomainOptions::default();
    let checked = DomainOptions {
        seq_len: options.size("seq_len")?.unwrap_or(default.seq_len),
        eval_fraction: options.float("eval_fraction")?.unwrap_or(default.eval_fraction),
        eval_rows: options.size("eval_rows")?.unwrap_or(default.eval_rows),
        max_tokens: options.size("max_tokens")?,
        text_field: options.text("text_field")?.unwrap_or(default.text_field),
        tokens_field: options.text("tokens_field")?.unwrap_or(default.tokens_field),
        token_type: token_type(&options)?,
    };
    let host = host(ctx)?;
    let seed = options.count("seed")?.unwrap_or(host.seed());
    let from = match given {
        Given::Texts(texts) => From::Texts(texts),
        Given::Name("demo") => From::Demo,
        Given::Name(name) => match remote::data(name, &options, &host)? {
            Data::Folder(dir) => From::Folder(dir),
            Data::Hub(remote) => From::Hub(remote),
        },
    };
    let handle =
        DomainsHandle(Arc::new(Inner { from, options: checked, seed, made: Mutex::default() }));
    let model = options.handle("model", "a Model")?.or_else(|| host.last_model());
    match (&handle.0.from, model) {
        // Faults of the files show here rather than at the first step.
        (From::Folder(_) | From::Hub(_) | From::Texts(_), Some(model)) => {
            drop(handle.for_model(&model, &host)?)
        }
        (From::Demo, _) => {
            let domains = demo::domains(&handle.0.options, seed, &host).map_err(raise)?;
            let json = demo::tokenizer_json().into_bytes();
            let tokenizer = Tokenizer::from_bytes(Path::new("tokenizer.json"), json);
            let made = (Arc::new(tokenizer.map_err(raise)?), Arc::new(domains));
            handle.0.made.lock().unwrap_or_else(PoisonError::into_inner).push(made);
            host.progress_done("");
        }
        (From::Folder(_) | From::Hub(_) | From::Texts(_), None) => {}
    }
    Ok(handle)
}

/// Domains in one line.
pub(super) fn describe(domains: &DomainsHandle) -> String {
    match domains.latest() {
        Some(d) => format!("Domains {} (rows of {} tokens)", d.names().join(", "), d.seq_len),
        None => "Domains (not tokenised yet)".to_string(),
    }
}

/// Domains of text.
#[export_module]
mod functions {
    /// Loads domains: `"demo"` (five generated corpora of known entropy), or a folder with one
    /// sub-folder a domain. It holds documents (`.jsonl` or `.txt`, also `.gz` or `.zst`; `.parquet`),
    /// token files that `prepare` wrote, or MDS shards. A relative folder starts at the working folder,
    /// or else at `--out`. A folder without sub-folders has a domain a file. Files or folders called
    /// `train`, `validation` and so on are parts of one domain.
    ///
    /// A name of the form `org/name` that is no folder is a data set of the Hugging Face hub: its files
    /// are fetched once into the shared cache.
    ///
    /// ```rhai
    /// let domains = load_domains("demo");
    /// ```
    #[rhai_fn(return_raw)]
    pub fn load_domains(ctx: NativeCallContext, from: &str) -> ScriptResult<DomainsHandle> {
        load(&ctx, Given::Name(from), Map::new())
    }

    /// Loads domains with options. From `path` on they are of data of the hub.
    ///
    /// ```rhai
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 20000});
    /// ```
    ///
    /// Documents under another name:
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let dir = write_demo_text("text", 2000);
    /// let domains = load_domains(dir, #{seq_len: 64, text_field: "text"});
    /// ```
    #[rhai_fn(name = "load_domains", return_raw)]
    pub fn load_domains_with(
        ctx: NativeCallContext,
        from: &str,
        options: Map,
    ) -> ScriptResult<DomainsHandle> {
        load(&ctx, Given::Name(from), options)
    }

    /// Makes domains of texts in memory: a map from domain to an array of documents.
    ///
    /// ```rhai
    /// let domains = load_domains(#{own: load_model("demo").sample(40)});
    /// ```
    #[rhai_fn(name = "load_domains", return_raw)]
    pub fn load_texts(ctx: NativeCallContext, texts: Map) -> ScriptResult<DomainsHandle> {
        load_texts_with(ctx, texts, Map::new())
    }

    /// The same, with options.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let texts = model.sample(40, #{max_tokens: 60});
    /// let domains = load_domains(#{own: texts}, #{seq_len: 64});
    /// ```
    #[rhai_fn(name = "load_domains", return_raw)]
    pub fn load_texts_with(
        ctx: NativeCallContext,
        texts: Map,
        options: Map,
    ) -> ScriptResult<DomainsHandle> {
        let mut domains = Vec::new();
        for (name, value) in texts {
            let texts = value.try_cast::<Array>();
            let texts = texts.and_then(|a| a.into_iter().map(|v| v.into_string().ok()).collect());
            match texts {
                Some(texts) => domains.push((name.to_string(), texts)),
                None => {
                    return Err(fail(format!(
                        "domain `{name}` of load_domains is no array of texts"
                    )));
                }
            }
        }
        load(&ctx, Given::Texts(domains), options)
    }

    /// Writes the demo corpora as text, one `.jsonl` a domain, to read or to load elsewhere.
    ///
    /// ```rhai
    /// write_demo_text("demo-text", 5000);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn write_demo_text(
        ctx: NativeCallContext,
        dir: &str,
        tokens: rhai::INT,
    ) -> ScriptResult<String> {
        let host = host(&ctx)?;
        let dir = host.place(dir);
        demo::write_text(&dir, tokens.max(0) as usize, host.seed(), &host).map_err(raise)?;
        host.progress_done("");
        Ok(dir.display().to_string())
    }

    /// Lists the domains' names.
    ///
    /// ```rhai
    /// print(load_domains("demo").names());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn names(domains: &mut DomainsHandle) -> ScriptResult<Array> {
        let latest = domains.made()?;
        Ok(latest.names().into_iter().map(Dynamic::from).collect())
    }

    /// Gives the lowest reachable loss of each domain where it is known, nats/token.
    ///
    /// ```rhai
    /// print(load_domains("demo").floor().story);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn floor(domains: &mut DomainsHandle) -> Map {
        let all = domains.latest();
        let all = all.iter().flat_map(|d| &d.domains);
        all.filter_map(|d| Some((d.name.as_str().into(), Dynamic::from_float(d.floor?)))).collect()
    }

    /// Gives a table of the domains: documents, rows, tokens, floor.
    ///
    /// ```rhai
    /// show(load_domains("demo").table());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn table(domains: &mut DomainsHandle) -> ScriptResult<Table> {
        let latest = domains.made()?;
        let s = latest.summary();
        let ints = |f: &dyn Fn(&woolshed_engine::data::DomainSummary) -> usize| {
            Column::Int(s.iter().map(|d| Some(f(d) as i64)).collect())
        };
        let columns = vec![
            ("domain", Column::Text(s.iter().map(|d| d.name.clone()).collect())),
            ("documents", ints(&|d| d.documents)),
            ("train rows", ints(&|d| d.train_rows)),
            ("eval rows", ints(&|d| d.eval_rows)),
            ("tokens", ints(&|d| d.tokens)),
            ("floor", Column::Float(s.iter().map(|d| d.floor).collect())),
        ];
        Table::new("domains", columns).map_err(raise)
    }

    /// Hashes the domains' rows: 64 hexadecimal digits. Token files and shards stand in it by the
    /// checksums of the files, so prepared text has another hash than the text.
    ///
    /// ```rhai
    /// print(load_domains("demo", #{seq_len: 64, max_tokens: 4000}).hash().len());
    /// ```
    #[rhai_fn(global, name = "hash", pure, return_raw)]
    pub fn hash_of_domains(domains: &mut DomainsHandle) -> ScriptResult<String> {
        Ok(domains.made()?.hash.clone())
    }

    /// Says what the domains are in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn to_string(domains: &mut DomainsHandle) -> String {
        describe(domains)
    }
}
