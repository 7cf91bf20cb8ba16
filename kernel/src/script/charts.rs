//! Script functions of charts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use woolshed_engine::view::{BarChart, Chart, LineChart, Series};

use super::tables::plain;
use super::{ScriptResult, fail, host, raise};

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<Chart>("Chart");
    super::register_global(rhai, exported_module!(functions));
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

/// Charts.
#[export_module]
mod functions {
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

    /// Gives a chart as plain text.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn chart_to_string(chart: &mut Chart) -> String {
        chart.to_text()
    }
}
