//! What can go wrong between a folder of text and a batch.

use std::path::PathBuf;

use super::formats::fault::{IndexFault, ShardFault};
use crate::hub::HubError;
use crate::model::ModelError;
use crate::names::nearest;

/// An error of this area. Each says where, what was found, and one thing to try.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The data folder is not there.
    #[error("there is no folder {}: give the folder that holds one sub-folder per domain", dir.display())]
    MissingFolder {
        /// The folder asked for.
        dir: PathBuf,
    },
    /// The data folder is a file.
    #[error("{} is a file: put it in a sub-folder named after its domain and give the folder above", path.display())]
    NotAFolder {
        /// The path asked for.
        path: PathBuf,
    },
    /// The data folder holds neither sub-folders nor files of data.
    #[error("{} holds no data, {found}: make one sub-folder per domain and put its files there (.jsonl or .txt, also .gz or .zst; .parquet; .tokens; or shards with their index.json)", dir.display())]
    NoDomains {
        /// The folder asked for.
        dir: PathBuf,
        /// What it holds instead: `only notes.md`, `it is empty`.
        found: String,
    },
    /// Files or folders called `train` stand beside others that are no part of the same data.
    #[error("{} holds `{found}` beside `train`: keep each domain in a folder of its own, or name its evaluation part `validation` or `test`", dir.display())]
    BesideTrain {
        /// The folder.
        dir: PathBuf,
        /// The name beside it.
        found: String,
    },
    /// A domain's folder holds no file that can be read as data.
    #[error("domain folder {} holds no data file, {found}: files end in .jsonl or .txt (also .gz or .zst), .parquet or .tokens, and shards need their index.json", dir.display())]
    NoFiles {
        /// The domain's folder.
        dir: PathBuf,
        /// What it holds instead: `only notes.md`, `it is empty`.
        found: String,
    },
    /// A domain's folder holds data of more than one form.
    #[error("domain folder {} holds {} side by side: keep documents, token files and shards in folders of their own", dir.display(), found.join(" and "))]
    MixedFiles {
        /// The domain's folder.
        dir: PathBuf,
        /// A file of each form.
        found: Vec<String>,
    },
    /// A file of the hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// A data set of the hub holds no data where it was looked for.
    #[error("the data set `{id}` holds no data {}, as domains (one folder each) of .jsonl, .txt, .parquet, .tokens or shards{}",
        if path.is_empty() { "at its root".into() } else { format!("in its folder `{path}`") },
        match &folders[..] {
            [] => String::new(),
            folders => format!("; give one of its folders as `path`: {}", few(folders)),
        })]
    NoHubData {
        /// The data set.
        id: String,
        /// The folder of it; empty for the root.
        path: String,
        /// Its folders that hold data.
        folders: Vec<String>,
    },
    /// A data set has more files than are fetched unasked.
    #[error(
        "the data set `{id}` has {count} files of data there, and more than {most} are not fetched unasked: say how many a domain may take (`files: 4`), or give one of its folders as `path`"
    )]
    ManyHubFiles {
        /// The data set.
        id: String,
        /// Its files.
        count: usize,
        /// Most that are fetched unasked.
        most: usize,
    },
    /// The evaluation folder lacks a domain.
    #[error("there are no evaluation rows of domain `{domain}` in {}: put them in a sub-folder `{domain}` or in `eval_merge`", dir.display())]
    NoEval {
        /// The domain.
        domain: String,
        /// The evaluation folder.
        dir: PathBuf,
    },
    /// The system refused to read a file or folder.
    #[error("{} cannot be read: {source}; check that it exists and that you may read it", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The system refused to write a file or folder.
    #[error("{} cannot be written: {source}; choose another folder", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A compressed file is damaged, or is not what its name says.
    #[error("{} near line {line} is not sound {codec} data: {source}; copy it again, or try `{codec} -t` on it", file.display())]
    Compressed {
        /// The file.
        file: PathBuf,
        /// The line being read, from 1.
        line: usize,
        /// `zstd`, `gzip`.
        codec: &'static str,
        /// The decoder's reason.
        source: std::io::Error,
    },
    /// A line of a JSON-lines file is not JSON.
    #[error("{} line {line}: not JSON: {}; each line is one object such as {{\"text\": \"...\"}}", file.display(), in_line(source))]
    NotJson {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// A line of a JSON-lines file lacks the field that holds the document.
    #[error("{} line {line} has no field `{field}`, only {fields}: {hint}", file.display())]
    NoText {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field asked for.
        field: String,
        /// The fields the line has.
        fields: String,
        /// The nearest field, and the option that names it.
        hint: String,
    },
    /// The field that holds the document is not a string.
    #[error("{} line {line}: `{field}` is {kind}, not a string: put the document there as one string", file.display())]
    TextNotString {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The field.
        field: String,
        /// What it is instead: `a number`, `a list`.
        kind: &'static str,
    },
    /// A parquet file is damaged, or is not what its name says.
    #[error("{} is not sound parquet data: {source}; write it again", file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The reader's reason.
        source: Box<polars::prelude::PolarsError>,
    },
    /// A parquet file lacks the column that holds the document.
    #[error("{} has no column `{column}`; {hint}; option `text_field` names it", file.display())]
    ParquetColumn {
        /// The file.
        file: PathBuf,
        /// The column asked for.
        column: String,
        /// The nearest column, or all of them.
        hint: String,
    },
    /// A parquet column holds neither text nor lists of ids.
    #[error("{}: column `{column}` holds {kind}; documents are text, or lists of i32, i64, u32 or u64", file.display())]
    ParquetType {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        kind: String,
    },
    /// A shard or token file is damaged or is not what its index says.
    #[error("{}{}: {fault}", file.display(), at_sample(*sample))]
    Shard {
        /// The file.
        file: PathBuf,
        /// The sample, from 0, when the fault lies in one.
        sample: Option<u64>,
        /// What is wrong.
        fault: Box<ShardFault>,
    },
    /// An index cannot be read.
    #[error("{}: {fault}", file.display())]
    Index {
        /// The index.
        file: PathBuf,
        /// What is wrong.
        fault: IndexFault,
    },
    /// Tokens were made by another tokenizer than the model's.
    #[error("{} was made with another tokenizer: prepare the text again with this model", file.display())]
    OtherTokenizer {
        /// The file that says so.
        file: PathBuf,
    },
    /// The list of what was prepared cannot be read.
    #[error("{} is not a list of prepared data: {source}; delete the folder and prepare again", file.display())]
    Manifest {
        /// The list.
        file: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// The folder holds data that was prepared in another way.
    #[error("{} holds data prepared with {what} {was}, not {now}: choose another folder, or delete it", dir.display())]
    OtherPreparation {
        /// The folder.
        dir: PathBuf,
        /// What differs: `tokenizer`, `seq_len`.
        what: &'static str,
        /// What it was.
        was: String,
        /// What it is now.
        now: String,
    },
    /// A folder to prepare holds tokens already.
    #[error("{} holds tokens already: load it as it is", dir.display())]
    NotText {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder to prepare into holds something else.
    #[error("{} holds {found}, which `prepare` did not write: choose an empty folder", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A sample has another number of values than there are columns.
    #[error("{got} values for {want} columns ({}): give one per column, in this order", names.join(", "))]
    Columns {
        /// Values given.
        got: usize,
        /// Columns there are.
        want: usize,
        /// The columns in order.
        names: Vec<String>,
    },
    /// A file is not UTF-8.
    #[error("{} line {line}, byte {byte} of the line: not UTF-8; convert the file, say with `iconv -t utf-8`", file.display())]
    NotUtf8 {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The first byte of the line that is not UTF-8, from 1.
        byte: usize,
    },
    /// The tokenizer refused a text.
    #[error("tokenising domain `{domain}` failed: {source}")]
    Tokenizer {
        /// The domain being read.
        domain: String,
        /// The tokenizer's reason.
        source: Box<ModelError>,
    },
    /// The tokenizer gave an id that the model has no embedding for.
    #[error("{} line {line} becomes token id {id}, but the model's vocabulary ends at {}: use the tokenizer that came with the model", file.display(), vocab.saturating_sub(1))]
    IdPastVocab {
        /// The file.
        file: PathBuf,
        /// The line where the document starts, from 1.
        line: usize,
        /// The first id that is too large.
        id: u32,
        /// V, the vocabulary size.
        vocab: usize,
    },
    /// A special token lies outside the vocabulary.
    #[error("{which} is token id {id}, but the vocabulary ends at {}: check `{field}` in config.json", vocab.saturating_sub(1))]
    SpecialPastVocab {
        /// `BOS` or `EOS`.
        which: &'static str,
        /// Its configuration key.
        field: &'static str,
        /// Its id.
        id: u32,
        /// V, the vocabulary size.
        vocab: usize,
    },
    /// A domain is too small for one row of each split.
    #[error("domain `{domain}` has {tokens} tokens; a training row and an evaluation row of seq_len {seq_len} need {}: {}", 2 * seq_len, nearest_seq_len(*tokens))]
    TooFewTokens {
        /// The domain.
        domain: String,
        /// How many tokens it has.
        tokens: usize,
        /// T, tokens per row.
        seq_len: usize,
    },
    /// A domain with a folder of its own for each split has no row in one.
    #[error(
        "domain `{domain}` has {tokens} {what} tokens, too few for one row of seq_len {seq_len}: add data or lower seq_len"
    )]
    TooFewRows {
        /// The domain.
        domain: String,
        /// Which split: `training`, `evaluation`.
        what: &'static str,
        /// How many tokens it has.
        tokens: usize,
        /// T, tokens per row.
        seq_len: usize,
    },
    /// An option is outside its legal values.
    #[error("{field} is {value}; it must be {legal}")]
    BadOption {
        /// The option.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is legal.
        legal: String,
    },
    /// A name that is no domain.
    #[error("there is no domain `{name}`; {hint}")]
    UnknownDomain {
        /// What was asked for.
        name: String,
        /// The nearest name, or all of them.
        hint: String,
    },
    /// A list with one number per domain has another length.
    #[error("{got} {what} for {want} domains ({}): give one per domain, in this order", names.join(", "))]
    Count {
        /// What is listed: `weights`, `losses`.
        what: &'static str,
        /// How many were given.
        got: usize,
        /// How many domains there are.
        want: usize,
        /// The domains in order.
        names: Vec<String>,
    },
    /// A weight or a loss is not a number that can be used.
    #[error("the {what} of domain `{domain}` is {value}; it must be {legal}")]
    BadNumber {
        /// `weight`, `loss`, `reference loss`.
        what: &'static str,
        /// The domain.
        domain: String,
        /// What was given.
        value: f64,
        /// What is legal.
        legal: &'static str,
    },
    /// Every weight is 0, so no domain can be drawn.
    #[error("every domain's weight is 0: give at least one of {} a weight above 0", names.join(", "))]
    NoWeight {
        /// The domains in order.
        names: Vec<String>,
    },
    /// A saved loader state belongs to other data.
    #[error(
        "the saved loader state was made on other data (hash {saved}, now {now}): load the data it was made on, with the same tokenizer and seq_len"
    )]
    OtherData {
        /// Hash in the state.
        saved: String,
        /// Hash of the domains at hand.
        now: String,
    },
    /// The domains were put together by a program.
    #[error(
        "these domains were put together by a program and cannot be made again from their origin: give them as option `domains`"
    )]
    UnknownOrigin,
    /// A saved loader state does not fit its own data.
    #[error(
        "the saved loader state says row {next} of domain `{domain}`, which has {rows} training rows: the state is damaged, use an earlier one"
    )]
    BadCursor {
        /// The domain.
        domain: String,
        /// The row the state says comes next.
        next: usize,
        /// How many training rows there are.
        rows: usize,
    },
    /// A name that is no mixture rule.
    #[error("there is no mixture rule `{name}`; {hint}")]
    UnknownRule {
        /// What was asked for.
        name: String,
        /// The nearest rule, or all of them.
        hint: String,
    },
    /// A mixture rule of the user gave no weights.
    #[error("the mixture rule failed after step {step}: {why}")]
    CustomRule {
        /// Steps taken.
        step: u64,
        /// The function's own reason.
        why: String,
    },
    /// The rule `custom` without a function.
    #[error(
        "the rule `custom` needs its function, which no file can hold: give it again, or choose another rule"
    )]
    NoFunction,
    /// A domain that the known models were not measured on.
    #[error(
        "no losses of known models for domain `{domain}`; {hint}; give their losses on it, or another `reference`"
    )]
    NoKnownLosses {
        /// The domain.
        domain: String,
        /// The nearest name, or all of them.
        hint: String,
    },
    /// Three points that no power law with a positive exponent passes through.
    #[error(
        "no law a/N^b + c with b > 0 passes through the losses {losses:?} at the sizes {sizes:?}: {why}"
    )]
    NoPowerLaw {
        /// Model sizes, parameters.
        sizes: [f64; 3],
        /// Losses, nats/token.
        losses: [f64; 3],
        /// What the points would have to satisfy.
        why: &'static str,
    },
    /// The caller asked to stop.
    #[error("stopped while reading domain `{domain}`; nothing was kept")]
    Interrupted {
        /// The domain being read or made.
        domain: String,
    },
}

/// What the parser says of one line: its own count of lines would be taken for the file's.
fn in_line(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.rsplit_once(" at line ") {
        Some((what, _)) => format!("{what} at column {}", error.column()),
        None => said,
    }
}

fn at_sample(sample: Option<u64>) -> String {
    sample.map_or(String::new(), |sample| format!(" sample {sample}"))
}

/// Says which field probably holds the document.
pub(super) fn field_hint(field: &str, known: &[&str]) -> String {
    match nearest(field, known.iter().copied()) {
        Some(k) => format!("did you mean `{k}`? Option `text_field` names it"),
        None => "name the one that holds the document with the option `text_field`".into(),
    }
}

fn nearest_seq_len(tokens: usize) -> String {
    match tokens / 2 {
        0 | 1 => "add documents".to_string(),
        n => format!("add documents or lower seq_len to {n}"),
    }
}

/// The first few of a list.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len() {
        n if n > SHOWN => format!("{} and {} more", shown.join(", "), n - SHOWN),
        _ => shown.join(", "),
    }
}

/// Says which of `known` a mistyped `name` probably means, or lists them all.
pub(crate) fn nearest_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().copied()) {
        Some(k) => format!("did you mean `{k}`?"),
        None => format!("there are {}", known.join(", ")),
    }
}
