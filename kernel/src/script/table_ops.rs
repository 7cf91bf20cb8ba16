//! Script functions that make tables from tables.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, INT, Map, NativeCallContext};
use woolshed_engine::names::nearest;
use woolshed_engine::view::{Aggregate, Table};

use super::reference::script_type;
use super::tables::{cell, dynamic, row};
use super::{ScriptResult, fail, raise};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// Calls a closure with every row as a map.
fn each_row<T>(
    ctx: &NativeCallContext,
    table: &Table,
    closure: &FnPtr,
    mut take: impl FnMut(Dynamic) -> ScriptResult<T>,
) -> ScriptResult<Vec<T>> {
    let names = table.column_names();
    let value = |number| {
        let row = row(table, &names, number)?;
        take(closure.call_within_context::<Dynamic>(ctx, (row,))?)
    };
    (0..table.rows()).map(value).collect()
}

/// One name, or an array of names.
fn names(what: &str, value: Dynamic) -> ScriptResult<Vec<String>> {
    let wrong = |v: &Dynamic| {
        let have = script_type(v.type_name());
        fail(format!("{what} is {v} ({have}); it takes the name of a column or an array of names"))
    };
    if value.is_string() {
        return Ok(vec![value.to_string()]);
    }
    let Some(array) = value.read_lock::<Array>() else { return Err(wrong(&value)) };
    array.iter().map(|v| v.clone().into_string().map_err(|_| wrong(v))).collect()
}

fn choose<'a>(what: &str, word: &str, known: &[&'a str]) -> ScriptResult<&'a str> {
    known.iter().copied().find(|k| *k == word).ok_or_else(|| {
        let near = nearest(word, known.iter().copied());
        let hint = near.map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        fail(format!("{what} is \"{word}\"; it takes {}{hint}", quoted(known)))
    })
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ")
}

/// A figure of numbers; empty for none.
fn figure(figure: Aggregate, values: &[Dynamic]) -> ScriptResult<Dynamic> {
    let cells: Vec<_> = values.iter().map(cell).collect();
    if let Some((wrong, _)) = values.iter().zip(&cells).find(|(_, cell)| cell.number().is_none()) {
        let have = script_type(wrong.type_name());
        return Err(fail(format!("{} takes numbers; {wrong} is {have}", figure.name())));
    }
    Ok(dynamic(&figure.of(&cells)))
}

fn join_tables(left: &Table, right: &Table, keys: Dynamic, how: &str) -> ScriptResult<Table> {
    let keep_all = choose("the kind of a join", how, &["inner", "left"])? == "left";
    left.join(right, &names("the key of a join", keys)?, keep_all).map_err(raise)
}

/// Tables from tables.
#[export_module]
mod functions {
    /// Keeps the rows for which a closure gives true. The closure gets the row as a map; an empty cell
    /// is `()`. To use the table itself inside, copy what is needed before: `let n = t.len();`.
    ///
    /// ```rhai
    /// let t = table("losses", [#{domain: "story", loss: 1.93}, #{domain: "walk", loss: 0.82}]);
    /// show(t.filter(|row| row.loss > 1.0 && row.domain != "sums"));
    /// ```
    #[rhai_fn(global, name = "filter", pure, return_raw)]
    pub fn filter_by(
        ctx: NativeCallContext,
        table: &mut Table,
        keep: FnPtr,
    ) -> ScriptResult<Table> {
        let marks = each_row(&ctx, table, &keep, |value| {
            value.as_bool().map_err(|have| {
                fail(format!(
                    "the closure of filter gives {}; it gives true or false",
                    script_type(have)
                ))
            })
        })?;
        table.keep(&marks).map_err(raise)
    }

    /// Keeps the rows whose cell compares so with a value: `==`, `!=`, `<`, `<=`, `>`, `>=`. NaN and
    /// empty cells are unequal to every number; `()` finds the empty cells.
    ///
    /// ```rhai
    /// let t = table("losses", [#{domain: "story", loss: 1.93}, #{domain: "walk", loss: 0.82}]);
    /// print(t.filter("loss", ">", 1.0).len());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn filter(
        table: &mut Table,
        column: &str,
        comparison: &str,
        value: Dynamic,
    ) -> ScriptResult<Table> {
        let comparison = comparison.parse().map_err(raise)?;
        table.filter(column, comparison, &cell(&value)).map_err(raise)
    }

    /// Orders the rows by a column, smallest first. Equal rows keep their order; NaN and empty cells
    /// come last.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 2}, #{a: 1}]).sort("a").column("a"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn sort(table: &mut Table, column: &str) -> ScriptResult<Table> {
        table.sort(column, false).map_err(raise)
    }

    /// Orders the rows by a column: `"ascending"` or `"descending"`.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}, #{a: 2}]).sort("a", "descending").column("a"));
    /// ```
    #[rhai_fn(global, name = "sort", pure, return_raw)]
    pub fn sort_in(table: &mut Table, column: &str, order: &str) -> ScriptResult<Table> {
        let order = choose("the order of a sort", order, &["ascending", "descending"])?;
        table.sort(column, order == "descending").map_err(raise)
    }

    /// Keeps columns, in the order given.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1, b: 2, c: 3}]).select(["c", "a"]).columns());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn select(table: &mut Table, columns: Array) -> ScriptResult<Table> {
        table.select(&names("the columns of select", columns.into())?).map_err(raise)
    }

    /// Gives a column another name.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}]).rename("a", "b").columns());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn rename(table: &mut Table, column: &str, name: &str) -> ScriptResult<Table> {
        table.rename(column, name).map_err(raise)
    }

    /// Gives a table another title.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}]).titled("loss by seed"));
    /// ```
    #[rhai_fn(global, pure)]
    pub fn titled(table: &mut Table, title: &str) -> Table {
        table.titled(title)
    }

    /// Adds a column of what a closure gives for each row, or puts it in the place of the column of
    /// that name. `()` leaves a cell empty.
    ///
    /// ```rhai
    /// let t = table("losses", [#{loss: 1.93, floor: 1.9}, #{loss: 0.82, floor: 0.8}]);
    /// show(t.with_column("excess", |row| row.loss - row.floor));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn with_column(
        ctx: NativeCallContext,
        table: &mut Table,
        name: &str,
        value: FnPtr,
    ) -> ScriptResult<Table> {
        let cells = each_row(&ctx, table, &value, |value| Ok(cell(&value)))?;
        table.with_column(name, cells).map_err(raise)
    }

    /// Adds a column of the values of an array, one a row.
    ///
    /// ```rhai
    /// show(table("x", [#{a: 1}, #{a: 2}]).with_column("b", [0.5, 0.25]));
    /// ```
    #[rhai_fn(global, name = "with_column", pure, return_raw)]
    pub fn with_column_of(table: &mut Table, name: &str, values: Array) -> ScriptResult<Table> {
        table.with_column(name, values.iter().map(cell).collect()).map_err(raise)
    }

    /// Gives one row a group. `by` is the name of a column, or an array of names. `figures` says what
    /// to compute of which column: "mean", "std" (of a sample, n - 1), "min", "max", "sum", "count",
    /// "median", "first", or an array of them. A figure's column is called `column_figure`.
    ///
    /// ```rhai
    /// let t = table("runs", [#{rule: "doremi", seed: 1, loss: 1.5}, #{rule: "doremi", seed: 2, loss: 1.7},
    ///     #{rule: "constant", seed: 1, loss: 1.9}]);
    /// show(t.group("rule", #{loss: ["mean", "std"], seed: "count"}));
    /// ```
    ///
    /// Empty cells do not count. A NaN makes the figures of its group NaN: a run that failed is not
    /// hidden in a mean.
    #[rhai_fn(global, pure, return_raw)]
    pub fn group(table: &mut Table, by: Dynamic, figures: Map) -> ScriptResult<Table> {
        let by = names("what a table is grouped by", by)?;
        let mut wanted: Vec<(String, Aggregate)> = Vec::new();
        for (column, value) in figures {
            for name in names(&format!("the figure of `{column}`"), value)? {
                wanted.push((column.to_string(), name.parse().map_err(raise)?));
            }
        }
        // In the order of the table; a name it does not have is told by the engine.
        let order = table.column_names();
        wanted.sort_by_key(|(column, _)| order.iter().position(|name| name == column));
        table.group(&by, &wanted).map_err(raise)
    }

    /// Puts the columns of another table beside the rows with the same key; rows without a partner go.
    /// The key is the name of a column that both have, or an array of names.
    ///
    /// ```rhai
    /// let losses = table("losses", [#{domain: "story", loss: 1.93}, #{domain: "walk", loss: 0.82}]);
    /// let floors = table("floors", [#{domain: "story", floor: 1.9}]);
    /// show(losses.join(floors, "domain"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn join(table: &mut Table, other: Table, key: Dynamic) -> ScriptResult<Table> {
        join_tables(table, &other, key, "inner")
    }

    /// Joins two tables: `"inner"` lets rows without a partner go, `"left"` keeps them with empty
    /// cells. A column whose name is taken gets `_right` at its end.
    ///
    /// ```rhai
    /// let losses = table("losses", [#{domain: "story", loss: 1.93}, #{domain: "walk", loss: 0.82}]);
    /// let floors = table("floors", [#{domain: "story", floor: 1.9}]);
    /// show(losses.join(floors, "domain", "left"));
    /// ```
    #[rhai_fn(global, name = "join", pure, return_raw)]
    pub fn join_how(
        table: &mut Table,
        other: Table,
        key: Dynamic,
        how: &str,
    ) -> ScriptResult<Table> {
        join_tables(table, &other, key, how)
    }

    /// Makes a long table wide: one row for each value of `rows`, one column for each value of
    /// `columns`, the cells of `values` where they meet.
    ///
    /// ```rhai
    /// let t = table("x", [#{rule: "a", seed: 1, loss: 0.5}, #{rule: "a", seed: 2, loss: 0.6}]);
    /// show(t.pivot("rule", "seed", "loss"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn pivot(
        table: &mut Table,
        rows: &str,
        columns: &str,
        values: &str,
    ) -> ScriptResult<Table> {
        table.pivot(rows, columns, values).map_err(raise)
    }

    /// Gives one row a column: what it holds, how many cells are not empty, mean, standard deviation,
    /// min, median, max.
    ///
    /// ```rhai
    /// show(table("x", [#{a: 1}, #{a: 2}]).describe());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn describe(table: &mut Table) -> ScriptResult<Table> {
        table.describe().map_err(raise)
    }

    /// Gives the first `n` rows.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}, #{a: 2}]).head(1).len());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn head(table: &mut Table, n: INT) -> Table {
        table.head(usize::try_from(n).unwrap_or(0))
    }

    /// Gives the last `n` rows.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}, #{a: 2}]).tail(1).column("a"));
    /// ```
    #[rhai_fn(global, pure)]
    pub fn tail(table: &mut Table, n: INT) -> Table {
        table.tail(usize::try_from(n).unwrap_or(0))
    }

    /// Gives the mean of the numbers in an array.
    ///
    /// ```rhai
    /// print(mean([1, 2, 6]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn mean(values: Array) -> ScriptResult<Dynamic> {
        figure(Aggregate::Mean, &values)
    }

    /// Gives the mean of the numbers in a map.
    ///
    /// ```rhai
    /// print(mean(#{story: 1.9, walk: 0.8}));
    /// ```
    #[rhai_fn(name = "mean", return_raw)]
    pub fn mean_of_map(values: Map) -> ScriptResult<Dynamic> {
        figure(Aggregate::Mean, &values.into_values().collect::<Vec<_>>())
    }

    /// Gives the standard deviation of the numbers in an array, as of a sample (n - 1); `()` for fewer
    /// than two.
    ///
    /// ```rhai
    /// print(std([1, 2, 6]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn std(values: Array) -> ScriptResult<Dynamic> {
        figure(Aggregate::Std, &values)
    }

    /// Puts tables under each other; a cell is empty where its table has no such column.
    ///
    /// ```rhai
    /// show(concat([table("x", [#{a: 1}]), table("y", [#{a: 2, b: 3}])]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn concat(tables: Array) -> ScriptResult<Table> {
        let tables = tables.into_iter().map(|value| {
            let have = script_type(value.type_name());
            value
                .try_cast::<Table>()
                .ok_or_else(|| fail(format!("concat takes an array of tables; it holds {have}")))
        });
        Table::concat(&tables.collect::<ScriptResult<Vec<_>>>()?).map_err(raise)
    }
}
