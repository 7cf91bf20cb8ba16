//! How the main types show themselves in a notebook of evcxr that has this crate as a dependency.
//!
//! evcxr calls `evcxr_display` on the value of a cell. It shows what stands on stdout between a line that
//! names a type and a line that ends it; forms of several types are one display.
//! Source: evcxr's README, "Custom output".

use std::io::{self, Write};

use super::portrait::Portrait;
use super::{AreaChart, BarChart, Chart, HeatMap, LineChart, Table};
use crate::data::Domains;
use crate::model::Model;
use crate::run::Run;
use crate::shape::TargetShape;

/// Writes forms of one thing, each behind its type.
fn write(mut out: impl Write, forms: &[(&str, String)]) -> io::Result<()> {
    for (mime, body) in forms {
        writeln!(out, "EVCXR_BEGIN_CONTENT {mime}\n{}\nEVCXR_END_CONTENT", body.trim_end())?;
    }
    out.flush()
}

/// Shows forms of one thing under a cell.
fn show(forms: &[(&str, String)]) {
    // Nobody is left to see it, or to be told.
    let _ = write(io::stdout().lock(), forms);
}

impl Table {
    /// Shows the table under a cell of evcxr.
    pub fn evcxr_display(&self) {
        show(&[("text/plain", self.to_text()), ("text/html", self.to_html())]);
    }
}

impl Chart {
    /// Shows the chart under a cell of evcxr; one that cannot be drawn, in letters.
    pub fn evcxr_display(&self) {
        let svg = self.to_svg().ok().map(|svg| ("image/svg+xml", svg));
        let forms: Vec<_> = [("text/plain", self.to_text())].into_iter().chain(svg).collect();
        show(&forms);
    }
}

macro_rules! charts {
    ($($chart:ident)*) => {$(
        impl $chart {
            /// Shows the chart under a cell of evcxr.
            pub fn evcxr_display(&self) {
                Chart::from(self.clone()).evcxr_display();
            }
        }
    )*};
}

charts! { LineChart AreaChart HeatMap BarChart }

impl Portrait {
    /// Shows the portrait under a cell of evcxr.
    pub fn evcxr_display(&self) {
        show(&[("text/plain", self.to_text()), ("text/html", self.to_html())]);
    }
}

impl Model {
    /// Shows strips and parameters under a cell of evcxr.
    pub fn evcxr_display(&self) {
        Portrait::of_model(self).evcxr_display();
    }
}

impl Run {
    /// Shows targets, losses and mixture under a cell of evcxr.
    pub fn evcxr_display(&self) {
        Portrait::of_run(self).evcxr_display();
    }
}

impl Domains {
    /// Shows the sizes of the domains under a cell of evcxr.
    pub fn evcxr_display(&self) {
        Portrait::of_domains(self, None).evcxr_display();
    }
}

impl TargetShape {
    /// Shows the target under a cell of evcxr.
    pub fn evcxr_display(&self) {
        Portrait::of_target(self).evcxr_display();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Column;

    #[test]
    fn every_form_stands_between_its_own_marker_lines() {
        let table = Table::new("t", vec![("a", Column::counts([1]))]).unwrap();
        let mut out = Vec::new();
        let forms = [("text/plain", table.to_text()), ("text/html", table.to_html())];
        write(&mut out, &forms).unwrap();
        let text = String::from_utf8(out).unwrap();
        let blocks: Vec<&str> = text.split("EVCXR_END_CONTENT\n").collect();
        assert!(blocks[0].starts_with("EVCXR_BEGIN_CONTENT text/plain\nt\n"), "{text}");
        assert!(blocks[1].starts_with("EVCXR_BEGIN_CONTENT text/html\n<"), "{text}");
        assert_eq!((blocks.len(), blocks[2]), (3, ""));
    }
}
