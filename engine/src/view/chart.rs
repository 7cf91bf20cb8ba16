//! Charts as plain data, and their three outputs: SVG, PNG, text.
//!
//! A specification holds numbers and words, no colours and no places; `lines.rs`, `areas.rs`,
//! `heat.rs` and `bars.rs` turn it into a picture. Every chart can be drawn: without data it says so.
//!
//! # Determinism
//! The same specification gives the same bytes.

use serde::Serialize;

use super::draw::Sheet;
use super::error::ViewError;
use super::{areas, bars, heat, lines, twin};

/// How a line is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Style {
    /// What was measured.
    #[default]
    Solid,
    /// What was asked for: a target, a floor, a reference.
    Dashed,
}

/// One line of a [`LineChart`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Series {
    /// What it is; stands at the end of the line.
    pub name: String,
    /// The points (x, y), x rising. A point that is not finite is a gap.
    pub points: Vec<(f64, f64)>,
    /// Solid or dashed.
    pub style: Style,
    /// The colour's number, from 0; none takes the next one that no series has asked for.
    pub color: Option<usize>,
}

impl Series {
    /// A solid line in the next free colour.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }

    /// The same line, dashed.
    pub fn dashed(mut self) -> Self {
        self.style = Style::Dashed;
        self
    }

    /// The same line in colour `color`: a target takes the colour of what it is the target of.
    pub fn in_color(mut self, color: usize) -> Self {
        self.color = Some(color);
        self
    }
}

/// Lines over a common x: losses and sparsities by step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LineChart {
    /// The title.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// What y is, with its unit.
    pub y_label: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Moments worth a vertical line: x and a word or two. One outside the data is not drawn.
    pub marks: Vec<(f64, String)>,
    /// The range of y; none fits the data.
    pub y_range: Option<(f64, f64)>,
    /// True for a logarithmic y axis; values of 0 and below are gaps then.
    pub log_y: bool,
}

/// Shares stacked on each other: mixture weights by step.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AreaChart {
    /// The title.
    pub title: String,
    /// What x is, with its unit.
    pub x_label: String,
    /// What y is, with its unit.
    pub y_label: String,
    /// The names of the shares, lowest first.
    pub names: Vec<String>,
    /// The places of the columns, rising.
    pub xs: Vec<f64>,
    /// One list for each name, as long as `xs`: `shares[name][column]`. Negative shares count as 0;
    /// a column with a share that is missing or not finite is a gap.
    pub shares: Vec<Vec<f64>>,
    /// Moments worth a vertical line, as on a [`LineChart`].
    pub marks: Vec<(f64, String)>,
}

/// One row of a [`HeatMap`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeatRow {
    /// What the row is: `layer 3 · heads`.
    pub label: String,
    /// Its values, left to right; one that is not finite is grey.
    pub values: Vec<f64>,
}

/// Rows of values as colours: gates by layer. Rows may differ in length; each fills the width.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HeatMap {
    /// The title.
    pub title: String,
    /// What the columns are.
    pub x_label: String,
    /// What the colour is, with its unit.
    pub y_label: String,
    /// The rows, top first.
    pub rows: Vec<HeatRow>,
    /// The values of the lightest and the darkest colour; values beyond take the end's colour. A
    /// range that is empty fits the data.
    pub range: (f64, f64),
    /// A line under the map; may be empty.
    pub note: String,
}

/// Bars in groups: losses by domain for several models.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BarChart {
    /// The title.
    pub title: String,
    /// What the groups are.
    pub x_label: String,
    /// What the height is, with its unit.
    pub y_label: String,
    /// The groups, left to right.
    pub groups: Vec<String>,
    /// Name of each series and its value in each group; one that is missing or not finite is `–`.
    pub series: Vec<(String, Vec<f64>)>,
}

/// Any chart.
///
/// # Example
/// ```
/// use woolshed_engine::view::{Chart, LineChart, Series};
///
/// let chart = Chart::Lines(LineChart {
///     title: "training loss".into(),
///     x_label: "step".into(),
///     y_label: "loss, nats/token".into(),
///     series: vec![Series::new("train", vec![(0.0, 4.2), (100.0, 3.1)])],
///     ..LineChart::default()
/// });
/// assert!(chart.to_svg()?.starts_with("<svg"));
/// # Ok::<(), woolshed_engine::view::ViewError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Chart {
    /// Lines.
    Lines(LineChart),
    /// Stacked areas.
    Areas(AreaChart),
    /// A heat map.
    Heat(HeatMap),
    /// Grouped bars.
    Bars(BarChart),
}

impl Chart {
    /// Gives the title.
    pub fn title(&self) -> &str {
        match self {
            Self::Lines(c) => &c.title,
            Self::Areas(c) => &c.title,
            Self::Heat(c) => &c.title,
            Self::Bars(c) => &c.title,
        }
    }

    /// Draws the chart as SVG, 760 pixels wide, on its own light card.
    ///
    /// # Errors
    /// The drawing backend fails.
    pub fn to_svg(&self) -> Result<String, ViewError> {
        self.sheet()?.to_svg()
    }

    /// Draws the chart as PNG, 760 times `scale` pixels wide; `scale` is 0.5 to 4.
    ///
    /// # Errors
    /// The scale is out of range, or the drawing backend fails.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>, ViewError> {
        self.sheet()?.to_png(scale)
    }

    /// Writes the chart as plain text: the same numbers, as far as letters go.
    pub fn to_text(&self) -> String {
        twin::of(self)
    }

    pub(crate) fn sheet(&self) -> Result<Sheet, ViewError> {
        match self {
            Self::Lines(c) => lines::lay_out(c),
            Self::Areas(c) => areas::lay_out(c),
            Self::Heat(c) => heat::lay_out(c),
            Self::Bars(c) => bars::lay_out(c),
        }
    }
}

impl From<LineChart> for Chart {
    fn from(chart: LineChart) -> Self {
        Self::Lines(chart)
    }
}

impl From<AreaChart> for Chart {
    fn from(chart: AreaChart) -> Self {
        Self::Areas(chart)
    }
}

impl From<HeatMap> for Chart {
    fn from(chart: HeatMap) -> Self {
        Self::Heat(chart)
    }
}

impl From<BarChart> for Chart {
    fn from(chart: BarChart) -> Self {
        Self::Bars(chart)
    }
}
