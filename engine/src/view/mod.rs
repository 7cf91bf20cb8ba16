//! Charts and tables: what a person sees of a run.
//!
//! A chart is plain data first ([`LineChart`], [`AreaChart`], [`HeatMap`], [`BarChart`]) and a picture
//! only on request: SVG, PNG or plain text. A table is a titled data frame that prints itself and
//! writes files. The same data gives the same bytes.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong, with the values a person needs |
//! | `format.rs` | numbers as people read them |
//! | `table.rs` | `Table`: columns in, cells out |
//! | `print.rs` | a table as text and Markdown |
//! | `html.rs` | a table as HTML, in pages |
//! | `markup.rs` | escaped text, bars and sparklines, and their twins in letters |
//! | `latex.rs` | a table as LaTeX |
//! | `write.rs` | a table as files: CSV, Parquet, JSON, Markdown, LaTeX |
//! | `read.rs` | a table out of a CSV, Parquet or JSON file |
//! | `rows.rs` | rows and columns picked, ordered, renamed, added |
//! | `group.rs` | groups of rows and their figures |
//! | `join.rs` | tables beside each other by a key; long tables made wide |
//! | `chart.rs` | the chart specifications and their three outputs |
//! | `points.rs` | gaps and thinning of long series |
//! | `lines.rs` | layout of a line chart |
//! | `areas.rs` | layout of stacked areas |
//! | `heat.rs` | layout of a heat map |
//! | `bars.rs` | layout of grouped bars |
//! | `twin.rs` | the plain-text twin of every chart |
//! | `run.rs` | a run as tables and charts |
//! | `branches.rs` | branches of a run side by side |
//! | `mixture.rs` | the mixture over time, on paper, and its references |
//! | `panel.rs` | models side by side: cost, loss, speed |
//! | `speed.rs` | where the time of a run's steps goes |
//! | `inspect.rs` | what the judges found: check, similarity, preview |
//! | `portrait/` | what a model, a run, domains and a target show of themselves |
//! | `evcxr.rs` | how the main types show themselves in a notebook of evcxr |
//! | `samples.rs` | samples of every chart, for tests and for the eye |
//! | `draw/` | the sheet charts are laid out on: theme, axes, labels, SVG, PNG |

mod areas;
mod bars;
pub mod branches;
mod chart;
mod draw;
mod error;
mod evcxr;
mod format;
mod group;
mod heat;
mod html;
pub mod inspect;
mod join;
mod latex;
mod lines;
mod markup;
pub mod mixture;
pub mod panel;
mod points;
pub mod portrait;
mod print;
mod read;
mod rows;
pub mod run;
#[cfg(test)]
mod samples;
pub mod speed;
mod table;
mod twin;
mod write;

pub use chart::{AreaChart, BarChart, Chart, HeatMap, HeatRow, LineChart, Series, Style};
pub use error::ViewError;
pub use format::{number, whole};
pub use group::Aggregate;
pub use markup::escaped;
pub use portrait::Portrait;
pub use print::Setting;
pub use rows::Comparison;
pub use table::{Cell, Column, Table};
