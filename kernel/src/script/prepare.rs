//! Script functions that turn text into tokens on the disk, once.

use rhai::plugin::*;
use rhai::{Engine, Map, NativeCallContext};
use woolshed_engine::data::{PrepareFormat, PrepareOptions, Prepared, PreparedDomain, prepare};
use woolshed_engine::model::Model;
use woolshed_engine::view::{Column, Table};

use super::domains::{MODEL, TEXT_FIELD, special};
use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::remote::{self, CHOICE, Data, HUB};
use super::{ScriptResult, fail, host, raise};

/// Options of `prepare`.
pub(super) const PREPARE: OptionList = OptionList::new(
    "prepare",
    &[
        &[
            MODEL,
            KnownOption::new(
                "format",
                Takes::Word(&["tokens", "mds"]),
                || "tokens".into(),
                "files that are mapped, or shards as LLM-Shearing reads them",
            ),
            TEXT_FIELD,
            KnownOption::new(
                "seq_len",
                Takes::Count,
                || PrepareOptions::default().seq_len.to_string(),
                "of shards: tokens a sample",
            ),
            KnownOption::new(
                "eval_fraction",
                Takes::Number,
                || PrepareOptions::default().eval_fraction.to_string(),
                "of shards: the share of rows for evaluation, in shards of their own",
            ),
            KnownOption::new(
                "eval_rows",
                Takes::Count,
                || PrepareOptions::default().eval_rows.to_string(),
                "of shards: the most evaluation rows of a domain",
            ),
            KnownOption::new(
                "size_limit",
                Takes::Count,
                || PrepareOptions::default().size_limit.to_string(),
                "of shards: the largest shard, bytes",
            ),
            KnownOption::open(
                "zstd",
                Takes::Count,
                "uncompressed",
                "of shards: a level of compression, from 1 to 22",
            ),
        ],
        &CHOICE,
        &HUB,
    ],
);

/// Options that shards alone have.
const OF_SHARDS: [&str; 5] = ["seq_len", "eval_fraction", "eval_rows", "size_limit", "zstd"];

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// Reads how text is prepared.
fn prepare_options(options: &Options) -> ScriptResult<PrepareOptions> {
    let default = PrepareOptions::default();
    let format = match options.text("format")?.as_deref() {
        None => default.format,
        Some("tokens") => PrepareFormat::Tokens,
        Some("mds") => PrepareFormat::Mds,
        Some(other) => return Err(options.no_choice("format", other)),
    };
    let given = OF_SHARDS.iter().find(|key| options.value(key).is_some_and(|v| !v.is_unit()));
    if let (PrepareFormat::Tokens, Some(key)) = (format, given) {
        return Err(fail(format!(
            "option `{key}` of prepare is of shards, and token files have none of them: they are cut \
             into rows when they are loaded; add `format: \"mds\"` or leave `{key}` out"
        )));
    }
    let level = options.count("zstd")?.map(|n| i32::try_from(n).unwrap_or(i32::MAX));
    Ok(PrepareOptions {
        format,
        seq_len: options.size("seq_len")?.unwrap_or(default.seq_len),
        eval_fraction: options.float("eval_fraction")?.unwrap_or(default.eval_fraction),
        eval_rows: options.size("eval_rows")?.unwrap_or(default.eval_rows),
        text_field: options.text("text_field")?.unwrap_or(default.text_field),
        size_limit: options.count("size_limit")?.unwrap_or(default.size_limit),
        zstd: level.or(default.zstd),
    })
}

fn run(ctx: &NativeCallContext, source: &str, dir: &str, map: Map) -> ScriptResult<Table> {
    let options = Options::new(&PREPARE, map)?;
    let checked = prepare_options(&options)?;
    let host = host(ctx)?;
    let model: Option<Model> = options.handle("model", "a Model")?;
    let Some(model) = model.or_else(|| host.last_model()) else {
        return Err(fail(
            "prepare reads text with the tokenizer of a model, and none is loaded; load one first or \
             give it: #{model: ...}",
        ));
    };
    let tokenizer = model.tokenizer().map_err(raise)?;
    let source = match remote::data(source, &options, &host)? {
        Data::Folder(dir) => dir,
        Data::Hub(remote) => remote.fetched.dir,
    };
    let out = host.place(dir);
    let prepared =
        prepare(&source, &out, tokenizer, special(&model), &checked, &host).map_err(raise)?;
    let domains = &prepared.domains;
    let tokens: u64 = domains.iter().map(|d| d.tokens).sum();
    let seconds: f64 = domains.iter().map(|d| d.seconds).sum();
    host.progress_done(&format!("{} domains, {tokens} tokens, {seconds:.1} s", domains.len()));
    table(&prepared)
}

/// A row a domain.
fn table(prepared: &Prepared) -> ScriptResult<Table> {
    let all = &prepared.domains;
    let ints = |f: &dyn Fn(&PreparedDomain) -> u64| {
        Column::Int(all.iter().map(|d| i64::try_from(f(d)).ok()).collect())
    };
    let columns = vec![
        ("domain", Column::Text(all.iter().map(|d| d.name.clone()).collect())),
        ("documents", ints(&|d| d.documents)),
        ("tokens", ints(&|d| d.tokens)),
        ("bytes", ints(&|d| d.bytes)),
        ("seconds", Column::Float(all.iter().map(|d| Some(d.seconds)).collect())),
        ("files", ints(&|d| d.files as u64)),
        ("reused", ints(&|d| d.files_reused as u64)),
    ];
    Table::new(format!("prepared in {}", prepared.dir.display()), columns).map_err(raise)
}

/// Text to tokens on the disk.
#[export_module]
mod functions {
    /// Tokenises a folder of text, one sub-folder a domain, into token files in the folder `dir`, with
    /// the tokenizer of the model loaded last. A relative `dir` starts at `--out`. `load_domains` of
    /// `dir` gives the same rows as of the text, at once. Gives a table with a row a domain: documents,
    /// tokens, bytes of text, seconds, files, and the files that were found done.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// write_demo_text("text", 2000);
    /// show(prepare("text", "tokens"));
    /// let domains = load_domains("tokens", #{seq_len: 64});
    /// ```
    ///
    /// The same call goes on where an interrupt stopped it; of text that changed, it does the changed
    /// files again.
    #[rhai_fn(name = "prepare", return_raw)]
    pub fn prepare_text(ctx: NativeCallContext, source: &str, dir: &str) -> ScriptResult<Table> {
        run(&ctx, source, dir, Map::new())
    }

    /// Tokenises a folder of text with options. From `path` on they are of a data set of the hub,
    /// `org/name`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// write_demo_text("text", 2000);
    /// let done = prepare("text", "shards", #{format: "mds", seq_len: 64, zstd: 3});
    /// print(done.column("tokens"));
    /// let domains = load_domains("shards", #{seq_len: 64});
    /// ```
    #[rhai_fn(name = "prepare", return_raw)]
    pub fn prepare_with(
        ctx: NativeCallContext,
        source: &str,
        dir: &str,
        options: Map,
    ) -> ScriptResult<Table> {
        run(&ctx, source, dir, options)
    }
}
