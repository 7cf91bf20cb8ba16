//! Script functions that make tables and look into them, and how every value shows itself.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map};
use woolshed_engine::model::Model;
use woolshed_engine::names::nearest;
use woolshed_engine::view::{Cell, Chart, Column, Table, whole};

use super::charts::Png;
use super::domains::DomainsHandle;
use super::runs::RunHandle;
use super::shapes::TargetHandle;
use super::sweep::SweepHandle;
use super::{ScriptResult, charts, domains, fail, models, portraits, raise, runs, shapes, sweep};
use crate::session::Display;

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<Table>("Table");
    super::register_global(rhai, exported_module!(functions));
}

/// A name for files made of a thing with this title: letters, digits and hyphens.
fn file_name(title: &str) -> String {
    let name: String = title
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let parts: Vec<&str> = name.split('-').filter(|p| !p.is_empty()).collect();
    if parts.is_empty() { "display".into() } else { parts.join("-") }
}

/// Turns any script value into what a front end can show.
///
/// # Errors
/// A chart that cannot be drawn.
pub fn display(value: &Dynamic) -> ScriptResult<Display> {
    if let Some(table) = value.clone().try_cast::<Table>() {
        return Ok(Display {
            text: table.to_text(),
            html: Some(table.to_html()),
            markdown: Some(table.to_markdown()),
            name: file_name(table.title()),
            ..Display::default()
        });
    }
    if let Some(chart) = value.clone().try_cast::<Chart>() {
        return Ok(Display {
            text: chart.to_text(),
            svg: Some(chart.to_svg().map_err(raise)?),
            name: file_name(chart.title()),
            ..Display::default()
        });
    }
    if let Some(sweep) = value.clone().try_cast::<SweepHandle>() {
        return sweep::display(&sweep);
    }
    if let Some(portrait) = portraits::of(value) {
        return Ok(Display {
            text: portrait.to_text(),
            html: Some(portrait.to_html()),
            name: file_name(portrait.title()),
            ..Display::default()
        });
    }
    if let Some(png) = value.read_lock::<Png>() {
        return Ok(Display {
            text: png.text.clone(),
            png: Some(png.bytes.clone()),
            name: file_name(&png.title),
            ..Display::default()
        });
    }
    if value.is_map() {
        let mut rows = Vec::new();
        flatten("", value, &mut rows);
        let (keys, values): (Vec<String>, Vec<String>) = rows.into_iter().unzip();
        let table =
            Table::new("", vec![("name", Column::Text(keys)), ("value", Column::Text(values))]);
        return display(&Dynamic::from(table.map_err(raise)?));
    }
    Ok(Display::text(plain(value)))
}

/// Lists the values inside maps, and inside arrays of maps, under dotted names.
fn flatten(name: &str, value: &Dynamic, rows: &mut Vec<(String, String)>) {
    let inside =
        |key: &str| if name.is_empty() { key.to_string() } else { format!("{name}.{key}") };
    if let Some(map) = value.read_lock::<Map>() {
        map.iter().for_each(|(key, value)| flatten(&inside(key), value, rows));
        return;
    }
    if let Some(array) = value.read_lock::<Array>()
        && array.iter().any(Dynamic::is_map)
    {
        array.iter().enumerate().for_each(|(i, v)| flatten(&inside(&i.to_string()), v, rows));
        return;
    }
    let written = value.as_int().map_or_else(|_| plain(value), whole);
    rows.push((name.to_string(), written));
}

/// A value in one line.
pub(super) fn plain(value: &Dynamic) -> String {
    if let Some(map) = value.clone().try_cast::<Map>() {
        return map.iter().map(|(k, v)| format!("{k} {}", plain(v))).collect::<Vec<_>>().join(", ");
    }
    if let Some(array) = value.clone().try_cast::<Array>() {
        return array.iter().map(plain).collect::<Vec<_>>().join(", ");
    }
    match value.as_float() {
        Ok(x) => woolshed_engine::view::number(x),
        Err(_) => described(value).unwrap_or_else(|| value.to_string()),
    }
}

/// A handle in one line; none for a value of the language itself.
fn described(value: &Dynamic) -> Option<String> {
    if let Some(model) = value.read_lock::<Model>() {
        return Some(models::describe(&model));
    }
    if let Some(target) = value.read_lock::<TargetHandle>() {
        return Some(shapes::describe(&target));
    }
    if let Some(of) = value.read_lock::<DomainsHandle>() {
        return Some(domains::describe(&of));
    }
    if let Some(run) = value.read_lock::<RunHandle>() {
        return Some(runs::describe(&run));
    }
    if let Some(sweep) = value.read_lock::<SweepHandle>() {
        return Some(sweep::describe(&sweep));
    }
    if let Some(table) = value.read_lock::<Table>() {
        return Some(format!("Table {} of {} rows", table.title(), table.rows()));
    }
    if let Some(png) = value.read_lock::<Png>() {
        return Some(charts::describe_png(&png));
    }
    value.read_lock::<Chart>().map(|chart| format!("Chart {}", chart.title()))
}

/// A cell as a script value; an empty one is unit.
pub(super) fn dynamic(cell: &Cell) -> Dynamic {
    match cell {
        Cell::Text(s) => s.clone().into(),
        Cell::Int(i) => Dynamic::from_int(*i),
        Cell::Float(x) => Dynamic::from_float(*x),
        Cell::Flag(b) => Dynamic::from_bool(*b),
        Cell::Null => Dynamic::UNIT,
    }
}

/// A script value as a cell; what is no number, flag or text is written as one.
pub(super) fn cell(value: &Dynamic) -> Cell {
    if value.is_unit() {
        return Cell::Null;
    }
    if let Ok(i) = value.as_int() {
        return Cell::Int(i);
    }
    if let Ok(x) = value.as_float() {
        return Cell::Float(x);
    }
    value.as_bool().map_or_else(|_| Cell::Text(plain(value)), Cell::Flag)
}

/// A row of a table as a map.
pub(super) fn row(table: &Table, names: &[String], number: usize) -> ScriptResult<Map> {
    let value = |name: &String| {
        Ok((name.as_str().into(), dynamic(&table.value(number, name).map_err(raise)?)))
    };
    names.iter().map(value).collect()
}

fn make_table(title: &str, names: Vec<String>, rows: &[Map]) -> ScriptResult<Table> {
    let columns = names.into_iter().map(|name| {
        let cells = rows.iter().map(|row| row.get(name.as_str()).map_or(Cell::Null, cell));
        let cells = cells.collect();
        (name, cells)
    });
    Table::of_cells(title, columns.collect()).map_err(raise)
}

fn maps(rows: Array) -> ScriptResult<Vec<Map>> {
    rows.into_iter()
        .map(|row| {
            let kind = row.type_name();
            row.try_cast::<Map>()
                .ok_or_else(|| fail(format!("a row of a table is a map, not a {kind}")))
        })
        .collect()
}

/// Tables.
#[export_module]
mod functions {
    /// Makes a table of rows that are maps; columns come in the order of their names.
    ///
    /// ```rhai
    /// show(table("losses", [#{domain: "story", loss: 1.93}, #{domain: "walk", loss: 0.82}]));
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table(title: &str, rows: Array) -> ScriptResult<Table> {
        let rows = maps(rows)?;
        let mut names: Vec<String> =
            rows.iter().flat_map(|r| r.keys().map(|k| k.to_string())).collect();
        names.sort();
        names.dedup();
        make_table(title, names, &rows)
    }

    /// Makes a table of rows that are maps, with the columns named and ordered.
    ///
    /// ```rhai
    /// show(table("losses", ["domain", "loss"], [#{loss: 1.93, domain: "story"}]));
    /// ```
    #[rhai_fn(name = "table", return_raw)]
    pub fn table_ordered(title: &str, columns: Array, rows: Array) -> ScriptResult<Table> {
        let names: Vec<String> = columns.into_iter().map(|c| c.to_string()).collect();
        let rows = maps(rows)?;
        let held: Vec<&str> = rows.iter().flat_map(|r| r.keys().map(|k| k.as_str())).collect();
        if let Some(name) = names.iter().find(|n| !rows.is_empty() && !held.contains(&n.as_str())) {
            let near = nearest(name, held.iter().copied());
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            return Err(fail(format!("no row of the table has a value for column `{name}`{near}")));
        }
        make_table(title, names, &rows)
    }

    /// Gives the rows of a table as maps.
    ///
    /// ```rhai
    /// let t = table("x", [#{a: 1}, #{a: 2}]);
    /// print(t.rows()[1].a);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn rows(table: &mut Table) -> ScriptResult<Array> {
        let names = table.column_names();
        (0..table.rows()).map(|r| Ok(Dynamic::from_map(row(table, &names, r)?))).collect()
    }

    /// Gives one column of a table as an array.
    ///
    /// ```rhai
    /// let t = table("x", [#{a: 1}, #{a: 2}]);
    /// print(t.column("a"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn column(table: &mut Table, name: &str) -> ScriptResult<Array> {
        Ok(table.cells(name).map_err(raise)?.iter().map(dynamic).collect())
    }

    /// Gives the names of a table's columns.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1, b: 2}]).columns());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn columns(table: &mut Table) -> Array {
        table.column_names().into_iter().map(Dynamic::from).collect()
    }

    /// Counts the rows of a table.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}, #{a: 2}]).len());
    /// ```
    #[rhai_fn(global, name = "len", pure)]
    pub fn len(table: &mut Table) -> INT {
        table.rows() as INT
    }

    /// Gives one page of a table: 50 rows, under a title that says which. Pages count from 1.
    ///
    /// ```rhai
    /// let rows = [];
    /// for i in 0..120 { rows.push(#{step: i}); }
    /// show(table("steps", rows).page(3));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn page(table: &mut Table, number: INT) -> ScriptResult<Table> {
        table.page(usize::try_from(number).unwrap_or(0)).map_err(raise)
    }

    /// Draws columns of shares, numbers from 0 to 1, as bars beside their numbers.
    ///
    /// ```rhai
    /// show(table("mixture", [#{domain: "story", weight: 0.7}]).bars(["weight"]));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn bars(table: &mut Table, columns: Array) -> ScriptResult<Table> {
        let names: Vec<String> = columns.iter().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        // A wrong name is an error here, where it is written.
        names.iter().try_for_each(|name| table.cells(name).map(drop)).map_err(raise)?;
        Ok(table.clone().with_bars(&names))
    }

    /// Gives a table as plain text.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn table_to_string(table: &mut Table) -> String {
        table.to_text()
    }
}
