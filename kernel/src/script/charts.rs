//! Script functions of charts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};
use woolshed_engine::view::{BarChart, Chart, LineChart, Series};

use super::tables::plain;
use super::{ScriptResult, fail, host, raise};

/// A chart as a PNG picture: what tools take that know no SVG.
#[derive(Clone)]
pub struct Png {
    /// The chart's title.
    pub title: String,
    /// The chart's plain-text twin.
    pub text: String,
    /// The file.
    pub bytes: Vec<u8>,
}

/// Pixels for one unit of a chart, for sharp pictures on today's screens and in print.
const SCALE: f64 = 2.0;

/// A PNG in one line.
pub(super) fn describe_png(png: &Png) -> String {
    format!("Png {} of {} bytes", png.title, png.bytes.len())
}

fn draw_png(chart: &Chart, scale: f64) -> ScriptResult<Png> {
    let bytes = chart.to_png(scale).map_err(raise)?;
    Ok(Png { title: chart.title().into(), text: chart.to_text(), bytes })
}

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<Chart>("Chart");
    rhai.register_type_with_name::<Png>("Png");
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
            Some("png") => chart.to_png(SCALE).map_err(raise)?,
            Some("svg") => chart.to_svg().map_err(raise)?.into_bytes(),
            _ => return Err(fail(format!("`{path}`: a chart is written as .svg or .png"))),
        };
        crate::files::write(&place, &bytes).map_err(fail)?;
        Ok(place.display().to_string())
    }

    /// Gives a chart as a PNG picture, 1520 pixels wide: in a notebook it is `image/png`, for tools that
    /// do not know SVG.
    ///
    /// ```rhai
    /// show(line_chart("growth", "x", "y", #{squares: [[1, 1], [2, 4]]}).png());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn png(chart: &mut Chart) -> ScriptResult<Png> {
        draw_png(chart, SCALE)
    }

    /// Gives a chart as a PNG picture, 760 times `scale` pixels wide; `scale` is 0.5 to 4.
    ///
    /// ```rhai
    /// show(line_chart("growth", "x", "y", #{squares: [[1, 1], [2, 4]]}).png(1.0));
    /// ```
    #[rhai_fn(global, name = "png", pure, return_raw)]
    pub fn png_at(chart: &mut Chart, scale: Dynamic) -> ScriptResult<Png> {
        let given = scale.as_float().ok().or(scale.as_int().ok().map(|scale| scale as f64));
        let wrong = || fail(format!("the scale of png() is a number from 0.5 to 4, not {scale}"));
        draw_png(chart, given.ok_or_else(wrong)?)
    }

    /// Says what a picture is in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn png_to_string(png: &mut Png) -> String {
        describe_png(png)
    }

    /// Gives a chart as plain text.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn chart_to_string(chart: &mut Chart) -> String {
        chart.to_text()
    }
}
