//! Script functions of tables and charts, and how every value shows itself.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::model::Model;
use woolshed_engine::names::nearest;
use woolshed_engine::view::{BarChart, Cell, Chart, Column, LineChart, Series, Table};

use super::domains::DomainsHandle;
use super::runs::RunHandle;
use super::shapes::TargetHandle;
use super::{ScriptResult, domains, fail, host, models, raise, runs, shapes};
use crate::session::Display;

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<Table>("Table");
    rhai.register_type_with_name::<Chart>("Chart");
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
    rows.push((name.to_string(), plain(value)));
}

/// A value in one line.
fn plain(value: &Dynamic) -> String {
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
    if let Some(table) = value.read_lock::<Table>() {
        return Some(format!("Table {} of {} rows", table.title(), table.rows()));
    }
    value.read_lock::<Chart>().map(|chart| format!("Chart {}", chart.title()))
}

fn cell(cell: &Cell) -> Dynamic {
    match cell {
        Cell::Text(s) => s.clone().into(),
        Cell::Int(i) => Dynamic::from_int(*i),
        Cell::Float(x) => Dynamic::from_float(*x),
        Cell::Flag(b) => Dynamic::from_bool(*b),
        Cell::Null => Dynamic::UNIT,
    }
}

/// The column that holds these values: numbers, flags, or else their text.
fn column_from(values: &[Option<&Dynamic>]) -> Column {
    let some = || values.iter().flatten().filter(|v| !v.is_unit());
    let float = |v: &Dynamic| v.as_float().ok().or(v.as_int().ok().map(|i| i as f64));
    if some().all(|v| v.is_int()) && some().count() > 0 {
        return Column::Int(values.iter().map(|v| v.and_then(|v| v.as_int().ok())).collect());
    }
    if some().all(|v| float(v).is_some()) && some().count() > 0 {
        return Column::Float(values.iter().map(|v| v.and_then(float)).collect());
    }
    if values.iter().all(|v| v.is_some_and(|v| v.is_bool())) && !values.is_empty() {
        return Column::Flag(
            values.iter().map(|v| v.is_some_and(|v| v.as_bool() == Ok(true))).collect(),
        );
    }
    Column::Text(
        values
            .iter()
            .map(|v| {
                v.map_or(String::new(), |v| if v.is_unit() { String::new() } else { plain(v) })
            })
            .collect(),
    )
}

fn make_table(title: &str, names: Vec<String>, rows: &[Map]) -> ScriptResult<Table> {
    let columns = names.into_iter().map(|name| {
        let values: Vec<Option<&Dynamic>> = rows.iter().map(|row| row.get(name.as_str())).collect();
        let column = column_from(&values);
        (name, column)
    });
    Table::new(title, columns.collect()).map_err(raise)
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

fn numbers(of: &str, value: Dynamic) -> ScriptResult<Vec<f64>> {
    let array =
        value.try_cast::<Array>().ok_or_else(|| fail(format!("`{of}` is no array of numbers")))?;
    // An empty value, as a table has where nothing was measured, leaves a gap.
    let number = |v: &Dynamic| match v.as_float().ok().or(v.as_int().ok().map(|i| i as f64)) {
        Some(x) => Ok(x),
        None if v.is_unit() => Ok(f64::NAN),
        None => Err(fail(format!("`{of}` holds \"{}\", which is no number", plain(v)))),
    };
    array.iter().map(number).collect()
}

fn write_json(ctx: &NativeCallContext, path: &str, value: &Dynamic) -> ScriptResult<String> {
    let place = host(ctx)?.place(path);
    if let Some(table) = value.clone().try_cast::<Table>() {
        folder_of(&place)?;
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
            (name.clone(), table.value(r, name).map_or(Value::Null, |c| json(&cell(&c))))
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

fn folder_of(place: &std::path::Path) -> ScriptResult<()> {
    crate::files::make_parent(place).map_err(fail)
}

/// Tables and charts.
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
        (0..table.rows())
            .map(|r| {
                let value = |name: &String| {
                    Ok((name.as_str().into(), cell(&table.value(r, name).map_err(raise)?)))
                };
                Ok(Dynamic::from_map(names.iter().map(value).collect::<ScriptResult<Map>>()?))
            })
            .collect()
    }

    /// Gives one column of a table as an array.
    ///
    /// ```rhai
    /// let t = table("x", [#{a: 1}, #{a: 2}]);
    /// print(t.column("a"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn column(table: &mut Table, name: &str) -> ScriptResult<Array> {
        (0..table.rows()).map(|r| Ok(cell(&table.value(r, name).map_err(raise)?))).collect()
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

    /// Gives a table as Markdown.
    ///
    /// ```rhai
    /// print(table("x", [#{a: 1}]).markdown());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn markdown(table: &mut Table) -> String {
        table.to_markdown()
    }

    /// Makes a chart of lines: a map from name to an array of `[x, y]` points.
    ///
    /// ```rhai
    /// show(line_chart("growth", "x", "y", #{squares: [[1, 1], [2, 4], [3, 9]]}));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn line_chart(
        title: &str,
        x_label: &str,
        y_label: &str,
        series: Map,
    ) -> ScriptResult<Chart> {
        let mut chart = LineChart {
            title: title.into(),
            x_label: x_label.into(),
            y_label: y_label.into(),
            ..LineChart::default()
        };
        for (name, points) in series {
            let array = points
                .try_cast::<Array>()
                .ok_or_else(|| fail(format!("line `{name}` is no array of [x, y] points")))?;
            let points = array.into_iter().map(|p| match numbers(&name, p)?.as_slice() {
                [x, y] => Ok((*x, *y)),
                other => Err(fail(format!(
                    "a point of line `{name}` has {} numbers, not 2",
                    other.len()
                ))),
            });
            chart.series.push(Series::new(name.to_string(), points.collect::<ScriptResult<_>>()?));
        }
        Ok(chart.into())
    }

    /// Makes a chart of grouped bars: the groups' names, and an array of `[name, values]` pairs with
    /// one value a group.
    ///
    /// ```rhai
    /// show(bar_chart("loss", "nats/token", ["story", "walk"], [["floor", [1.9, 0.8]], ["model", [2.0, 0.9]]]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn bar_chart(
        title: &str,
        y_label: &str,
        groups: Array,
        series: Array,
    ) -> ScriptResult<Chart> {
        let groups: Vec<String> = groups.into_iter().map(|g| g.to_string()).collect();
        let mut all = Vec::new();
        for pair in series {
            match pair.try_cast::<Array>().unwrap_or_default().as_slice() {
                [name, values] => {
                    all.push((name.to_string(), numbers(&name.to_string(), values.clone())?))
                }
                _ => return Err(fail("a series of a bar chart is [name, [values]]")),
            }
        }
        Ok(BarChart {
            title: title.into(),
            x_label: String::new(),
            y_label: y_label.into(),
            groups,
            series: all,
        }
        .into())
    }

    /// Gives a chart as SVG text.
    ///
    /// ```rhai
    /// print(line_chart("growth", "x", "y", #{squares: [[1, 1], [2, 4]]}).svg().len());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn svg(chart: &mut Chart) -> ScriptResult<String> {
        chart.to_svg().map_err(raise)
    }

    /// Writes a chart to a file: SVG, or PNG when the name ends in `.png`. A relative path starts at
    /// `--out`. Gives the path.
    ///
    /// ```rhai
    /// line_chart("growth", "x", "y", #{squares: [[1, 1], [2, 4]]}).save("growth.png");
    /// ```
    #[rhai_fn(global, name = "save", pure, return_raw)]
    pub fn save_chart(
        ctx: NativeCallContext,
        chart: &mut Chart,
        path: &str,
    ) -> ScriptResult<String> {
        let place = host(&ctx)?.place(path);
        let bytes = match place.extension().and_then(|e| e.to_str()) {
            Some("png") => chart.to_png(2.0).map_err(raise)?,
            Some("svg") => chart.to_svg().map_err(raise)?.into_bytes(),
            _ => return Err(fail(format!("`{path}`: a chart is written as .svg or .png"))),
        };
        crate::files::write(&place, &bytes).map_err(fail)?;
        Ok(place.display().to_string())
    }

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
        let place = host(&ctx)?.place(path);
        folder_of(&place)?;
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
        let place = host(&ctx)?.place(path);
        folder_of(&place)?;
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

    /// Gives a table as plain text.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn table_to_string(table: &mut Table) -> String {
        table.to_text()
    }

    /// Gives a chart as plain text.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn chart_to_string(chart: &mut Chart) -> String {
        chart.to_text()
    }
}
