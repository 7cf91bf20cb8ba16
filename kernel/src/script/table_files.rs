//! Script functions that write tables and values to files, and read tables.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use woolshed_engine::view::{Setting, Table};

use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::tables::{dynamic, plain};
use super::{ScriptResult, fail, host, raise};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// The place of a file, in a folder that is there.
fn place(ctx: &NativeCallContext, path: &str) -> ScriptResult<std::path::PathBuf> {
    let place = host(ctx)?.place(path);
    crate::files::make_parent(&place).map_err(fail)?;
    Ok(place)
}

/// How a table is set: option `label` is for LaTeX alone.
fn setting(list: &'static OptionList, options: Map) -> ScriptResult<Setting> {
    let options = Options::new(list, options)?;
    let of = list.of;
    let decimals = options.size("decimals")?;
    if let Some(n) = decimals.filter(|&n| n > 17) {
        return Err(fail(format!("option `decimals` of {of} is {n}; it must be at most 17")));
    }
    Ok(Setting { decimals, caption: options.text("caption")?, label: options.text("label")? })
}

/// Lists of options, for [`super::option_list::lists`].
pub(super) const LISTS: [&OptionList; 4] = [&MARKDOWN, &SAVE_MD, &LATEX, &SAVE_LATEX];

const TEXT: [KnownOption; 2] = [
    KnownOption::open("caption", Takes::Text, "the table's title", "what stands above the table"),
    KnownOption::open(
        "decimals",
        Takes::Count,
        "four significant digits of the largest in a column",
        "digits behind the point, of every number",
    ),
];

const LABEL: [KnownOption; 1] =
    [KnownOption::open("label", Takes::Text, "none", "what `\\ref` calls the table, as tab:loss")];

const MARKDOWN: OptionList = OptionList::new("table.markdown", &[&TEXT]);
const SAVE_MD: OptionList = OptionList::new("table.save_md", &[&TEXT]);
const LATEX: OptionList = OptionList::new("table.latex", &[&TEXT, &LABEL]);
const SAVE_LATEX: OptionList = OptionList::new("table.save_latex", &[&TEXT, &LABEL]);

fn write_json(ctx: &NativeCallContext, path: &str, value: &Dynamic) -> ScriptResult<String> {
    let place = place(ctx, path)?;
    if let Some(table) = value.clone().try_cast::<Table>() {
        table.write_json(&place).map_err(raise)?;
    } else {
        let json = json(value);
        let text = serde_json::to_string_pretty(&json).map_err(fail)?;
        crate::files::write(&place, text.as_bytes()).map_err(fail)?;
    }
    Ok(place.display().to_string())
}

/// A script value as JSON; NaN and infinities become null, a table its rows, any other handle its line.
fn json(value: &Dynamic) -> serde_json::Value {
    use serde_json::Value;
    if let Some(map) = value.read_lock::<Map>() {
        return Value::Object(map.iter().map(|(k, v)| (k.to_string(), json(v))).collect());
    }
    if let Some(array) = value.read_lock::<Array>() {
        return Value::Array(array.iter().map(json).collect());
    }
    if let Some(table) = value.read_lock::<Table>() {
        let names = table.column_names();
        let entry = |r: usize, name: &String| {
            (name.clone(), table.value(r, name).map_or(Value::Null, |c| json(&dynamic(&c))))
        };
        let row = |r: usize| Value::Object(names.iter().map(|name| entry(r, name)).collect());
        return Value::Array((0..table.rows()).map(row).collect());
    }
    if value.is_unit() {
        return Value::Null;
    }
    if let Ok(b) = value.as_bool() {
        return Value::Bool(b);
    }
    if let Ok(i) = value.as_int() {
        return Value::from(i);
    }
    if let Ok(x) = value.as_float() {
        return serde_json::Number::from_f64(x).map_or(Value::Null, Value::Number);
    }
    Value::String(plain(value))
}

/// Files of tables and values.
#[export_module]
mod functions {
    /// Writes a table, map, array or number as JSON. A relative path starts at `--out`. Gives the path.
    ///
    /// ```rhai
    /// save_json("result.json", #{loss: 1.25});
    /// ```
    #[rhai_fn(return_raw)]
    pub fn save_json(ctx: NativeCallContext, path: &str, value: Dynamic) -> ScriptResult<String> {
        write_json(&ctx, path, &value)
    }

    /// Writes a value as JSON: `value.save_json(path)`.
    ///
    /// ```rhai
    /// #{loss: 1.25}.save_json("result.json");
    /// ```
    #[rhai_fn(name = "save_json", return_raw)]
    pub fn save_json_of(
        ctx: NativeCallContext,
        value: Dynamic,
        path: &str,
    ) -> ScriptResult<String> {
        write_json(&ctx, path, &value)
    }

    /// Writes a table as CSV. A relative path starts at `--out`. Gives the path.
    ///
    /// ```rhai
    /// save_csv("x.csv", table("x", [#{a: 1}]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn save_csv(ctx: NativeCallContext, path: &str, table: Table) -> ScriptResult<String> {
        let place = place(&ctx, path)?;
        table.write_csv(&place).map_err(raise)?;
        Ok(place.display().to_string())
    }

    /// Writes a table as CSV: `table.save_csv(path)`.
    ///
    /// ```rhai
    /// table("x", [#{a: 1}]).save_csv("x.csv");
    /// ```
    #[rhai_fn(global, name = "save_csv", pure, return_raw)]
    pub fn save_csv_of(
        ctx: NativeCallContext,
        table: &mut Table,
        path: &str,
    ) -> ScriptResult<String> {
        save_csv(ctx, path, table.clone())
    }

    /// Writes a table as Parquet. A relative path starts at `--out`. Gives the path.
    ///
    /// ```rhai
    /// save_parquet("x.parquet", table("x", [#{a: 1}]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn save_parquet(ctx: NativeCallContext, path: &str, table: Table) -> ScriptResult<String> {
        let place = place(&ctx, path)?;
        table.write_parquet(&place).map_err(raise)?;
        Ok(place.display().to_string())
    }

    /// Writes a table as Parquet: `table.save_parquet(path)`.
    ///
    /// ```rhai
    /// table("x", [#{a: 1}]).save_parquet("x.parquet");
    /// ```
    #[rhai_fn(global, name = "save_parquet", pure, return_raw)]
    pub fn save_parquet_of(
        ctx: NativeCallContext,
        table: &mut Table,
        path: &str,
    ) -> ScriptResult<String> {
        save_parquet(ctx, path, table.clone())
    }

    /// Gives a table as Markdown, with all its rows.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}]).markdown());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn markdown(table: &mut Table) -> String {
        table.to_markdown_whole(&Setting::default())
    }

    /// Gives a table as Markdown, with options.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1.25}]).markdown(#{decimals: 1, caption: "one digit"}));
    /// ```
    #[rhai_fn(global, name = "markdown", pure, return_raw)]
    pub fn markdown_with(table: &mut Table, options: Map) -> ScriptResult<String> {
        Ok(table.to_markdown_whole(&setting(&MARKDOWN, options)?))
    }

    /// Writes a table as Markdown, with all its rows. A relative path starts at `--out`. Gives the
    /// path.
    ///
    /// ```rhai
    /// table("x", [#{a: 1}]).save_md("x.md");
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn save_md(ctx: NativeCallContext, table: &mut Table, path: &str) -> ScriptResult<String> {
        save_md_with(ctx, table, path, Map::new())
    }

    /// Writes a table as Markdown, with options.
    ///
    /// ```rhai
    /// table("x", [#{a: 1.25}]).save_md("x.md", #{decimals: 1});
    /// ```
    #[rhai_fn(global, name = "save_md", pure, return_raw)]
    pub fn save_md_with(
        ctx: NativeCallContext,
        table: &mut Table,
        path: &str,
        options: Map,
    ) -> ScriptResult<String> {
        let setting = setting(&SAVE_MD, options)?;
        let place = place(&ctx, path)?;
        table.write_markdown(&place, &setting).map_err(raise)?;
        Ok(place.display().to_string())
    }

    /// Gives a table as LaTeX: a float with the rules of the `booktabs` package, numbers in line, what
    /// LaTeX would act on escaped.
    ///
    /// ```rhai
    /// print(table("loss_by_seed", [#{seed: 1, loss: 1.93}]).latex());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn latex(table: &mut Table) -> String {
        table.to_latex(&Setting::default())
    }

    /// Gives a table as LaTeX, with options.
    ///
    /// ```rhai
    /// print(table("x", [#{loss: 1.93}]).latex(#{caption: "Loss by seed", label: "tab:loss"}));
    /// ```
    #[rhai_fn(global, name = "latex", pure, return_raw)]
    pub fn latex_with(table: &mut Table, options: Map) -> ScriptResult<String> {
        Ok(table.to_latex(&setting(&LATEX, options)?))
    }

    /// Writes a table as LaTeX. A relative path starts at `--out`. Gives the path.
    ///
    /// ```rhai
    /// table("x", [#{a: 1}]).save_latex("x.tex");
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn save_latex(
        ctx: NativeCallContext,
        table: &mut Table,
        path: &str,
    ) -> ScriptResult<String> {
        save_latex_with(ctx, table, path, Map::new())
    }

    /// Writes a table as LaTeX, with options.
    ///
    /// ```rhai
    /// table("x", [#{a: 1.5}]).save_latex("x.tex", #{label: "tab:x", decimals: 2});
    /// ```
    #[rhai_fn(global, name = "save_latex", pure, return_raw)]
    pub fn save_latex_with(
        ctx: NativeCallContext,
        table: &mut Table,
        path: &str,
        options: Map,
    ) -> ScriptResult<String> {
        let setting = setting(&SAVE_LATEX, options)?;
        let place = place(&ctx, path)?;
        table.write_latex(&place, &setting).map_err(raise)?;
        Ok(place.display().to_string())
    }

    /// Reads a table from a `.csv`, `.parquet` or `.json` file (an array with one object a row). A
    /// relative path starts where the program was started; the `save_` functions give a path that fits.
    ///
    /// ```rhai
    /// let path = table("x", [#{a: 1}, #{a: 2}]).save_csv("x.csv");
    /// print(read_table(path).len());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn read_table(path: &str) -> ScriptResult<Table> {
        Table::read(path).map_err(raise)
    }
}
