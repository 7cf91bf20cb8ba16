//! What a handle shows of itself: a picture for a page and its twin in letters.
//!
//! A [`Portrait`] is a title, lines of facts, and parts: tables, gauges, trails, the strips of a model.
//! Both outputs say the same numbers. Whatever comes from outside (names, texts) is escaped.
//!
//! | file | what it is for |
//! |---|---|
//! | `gauges.rs` | shares on their way and numbers so far, as bars and sparklines |
//! | `strips.rs` | a model as strips, a strip a layer |
//! | `model.rs` | a model: its strips, and parameters by part |
//! | `run.rs` | a run: targets, losses, mixture |
//! | `domains.rs` | domains: sizes and a few sample texts |
//! | `target.rs` | a target shape |

mod domains;
pub mod gauges;
mod model;
mod run;
mod strips;
mod target;

use std::fmt::Write as _;

pub use domains::TextOf;
use strips::Strip;

use super::markup::{clipped, escaped};
use super::print::one_line;
use super::table::Table;
use crate::progress::Detail;

/// Longest line of facts, in characters.
const WIDEST_LINE: usize = 400;

/// A picture of a handle, with its plain-text twin.
#[derive(Clone, Debug)]
pub struct Portrait {
    title: String,
    lines: Vec<String>,
    parts: Vec<Part>,
}

/// One part of a portrait.
#[derive(Clone, Debug)]
enum Part {
    Table(Table),
    Detail(Detail),
    Strips(Vec<Strip>),
    /// A sentence that should not be missed.
    Warning(String),
}

impl Portrait {
    fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), lines: Vec::new(), parts: Vec::new() }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Gives the title: what it is and its name.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Writes the portrait as plain text.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for line in std::iter::once(&self.title).chain(&self.lines) {
            let _ = writeln!(out, "{}", clipped(&one_line(line), WIDEST_LINE));
        }
        for part in &self.parts {
            out.push('\n');
            match part {
                Part::Table(table) => out.push_str(&table.to_text()),
                Part::Detail(detail) => out.push_str(&gauges::to_text(detail)),
                Part::Strips(strips) => out.push_str(&strips::to_text(strips)),
                Part::Warning(line) => {
                    let _ = writeln!(out, "warning: {}", one_line(line));
                }
            }
        }
        out
    }

    /// Writes the portrait as HTML that needs nothing around it and reads on light and dark pages.
    pub fn to_html(&self) -> String {
        let line = |line: &str| escaped(&clipped(&one_line(line), WIDEST_LINE));
        let mut out = format!(
            "<div style=\"margin:0.4em 0\">\n<div style=\"font-weight:600\">{}</div>\n",
            line(&self.title)
        );
        for fact in &self.lines {
            let _ = writeln!(out, "<div style=\"opacity:0.8\">{}</div>", line(fact));
        }
        for part in &self.parts {
            match part {
                Part::Table(table) => out.push_str(&table.to_html()),
                Part::Detail(detail) => out.push_str(&gauges::to_html(detail)),
                Part::Strips(strips) => out.push_str(&strips::to_svg(strips)),
                Part::Warning(warning) => {
                    let _ = writeln!(
                        out,
                        "<div style=\"margin:0.4em 0;padding-left:0.6em;\
                         border-left:3px solid #D55E00\">warning: {}</div>",
                        line(warning)
                    );
                }
            }
        }
        out + "</div>\n"
    }
}

/// `4.6 MB`, `13.48 GB`.
fn bytes(bytes: f64) -> String {
    if bytes < 1e9 { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.2} GB", bytes / 1e9) }
}
