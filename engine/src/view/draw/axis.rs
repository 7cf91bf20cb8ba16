//! Axes: where a value goes and which ticks name it.
//!
//! Linear ticks are multiples of 1, 2, 2.5 or 5 times a power of ten. Logarithmic ticks are powers of
//! ten, with 2 and 5 between them when there are few.

use super::super::format;
use super::theme;
use super::{Anchor, Sheet};

/// A tick: its value and its label.
pub(crate) type Tick = (f64, String);

/// One axis.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    lo: f64,
    hi: f64,
    log: bool,
    pub ticks: Vec<Tick>,
}

impl Axis {
    /// A linear axis over exactly `lo..hi` with about `want` ticks; `whole` keeps them on whole
    /// numbers.
    pub fn linear(lo: f64, hi: f64, want: usize, whole: bool) -> Self {
        let (lo, hi) = if lo < hi { (lo, hi) } else { around(lo) };
        let ticks = linear_ticks(lo, hi, want, whole);
        Self { lo, hi, log: false, ticks }
    }

    /// A logarithmic axis; `lo` must be above 0.
    pub fn log(lo: f64, hi: f64, want: usize) -> Self {
        let (lo, hi) = if lo < hi { (lo, hi) } else { (lo / 2.0, lo * 2.0) };
        // Below the smallest normal number decades cannot be counted.
        let lo = lo.max(f64::MIN_POSITIVE);
        let hi = hi.clamp(2.0 * lo, f64::MAX);
        let values = log_ticks(lo, hi);
        let ticks = if values.len() >= 3 {
            let stride = values.len().div_ceil(want.max(3) + 2);
            values.into_iter().step_by(stride).map(|v| (v, log_label(v))).collect()
        } else {
            linear_ticks(lo, hi, want, false)
        };
        Self { lo, hi, log: true, ticks }
    }

    /// The linear axis with the most ticks, up to 8, whose labels stand apart in `room`.
    pub fn across(sheet: &Sheet, lo: f64, hi: f64, room: f64, whole: bool) -> Self {
        let mut axis = Self::linear(lo, hi, 8, whole);
        for want in (1..8).rev() {
            let widest = axis.widest(sheet);
            let apart = match axis.ticks.as_slice() {
                [a, b, ..] => (axis.share(b.0) - axis.share(a.0)) * room,
                _ => room,
            };
            if widest + 14.0 <= apart {
                break;
            }
            axis = Self::linear(lo, hi, want, whole);
        }
        axis
    }

    /// Gives the place of a value: 0 at the low end, 1 at the high end.
    pub fn share(&self, v: f64) -> f64 {
        if self.log {
            let from = self.lo.ln();
            (v.max(f64::MIN_POSITIVE).ln() - from) / (self.hi.ln() - from)
        } else {
            (v - self.lo) / (self.hi - self.lo)
        }
    }

    /// Gives the width of the widest tick label.
    pub fn widest(&self, sheet: &Sheet) -> f64 {
        let widths = self.ticks.iter().map(|t| sheet.width_of(&t.1, theme::SMALL, false));
        widths.fold(0.0, f64::max)
    }

    /// Replaces every label.
    pub fn relabel(&mut self, label: impl Fn(f64) -> String) {
        for tick in &mut self.ticks {
            tick.1 = label(tick.0);
        }
    }
}

/// Gives the range of an axis for data in `lo..hi`: from 0 when the data comes near it, with a little
/// air otherwise.
pub(crate) fn roomy(lo: f64, hi: f64) -> (f64, f64) {
    if lo >= hi {
        return around(lo);
    }
    let air = 0.05 * (hi - lo);
    let low = if lo >= 0.0 && lo <= 0.3 * hi { 0.0 } else { lo - air };
    (low, hi + air)
}

/// The same for a logarithmic axis.
pub(crate) fn roomy_log(lo: f64, hi: f64) -> (f64, f64) {
    if lo >= hi {
        return (lo / 2.0, lo * 2.0);
    }
    let air = (0.04 * (hi.ln() - lo.ln())).exp();
    (lo / air, hi * air)
}

/// A range around one value.
fn around(v: f64) -> (f64, f64) {
    let half = if v == 0.0 { 1.0 } else { 0.5 * v.abs() };
    (v - half, v + half)
}

/// The smallest tidy step that makes at most about `want` ticks over `span`.
fn tidy_step(span: f64, want: usize, whole: bool) -> f64 {
    let raw = span / want.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|&s| s >= raw * (1.0 - 1e-9) && (!whole || s >= 1.0 && s.fract() == 0.0));
    step.unwrap_or(if whole { (10.0 * power).max(1.0) } else { 10.0 * power })
}

fn linear_ticks(lo: f64, hi: f64, want: usize, whole: bool) -> Vec<Tick> {
    let step = tidy_step(hi - lo, want, whole);
    let first = (lo / step - 1e-6).ceil();
    let last = (hi / step + 1e-6).floor();
    // A span below the resolution of its numbers has no ticks that differ.
    if !step.is_normal() || !(0.0..=100.0).contains(&(last - first)) {
        return Vec::new();
    }
    let values: Vec<f64> =
        (0..=(last - first) as u32).map(|i| (first + f64::from(i)) * step).collect();
    let labels = format::ticks(&values, step);
    values.into_iter().zip(labels).collect()
}

fn log_ticks(lo: f64, hi: f64) -> Vec<f64> {
    let (first, last) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
    let within = |v: &f64| (lo * (1.0 - 1e-9)..=hi * (1.0 + 1e-9)).contains(v);
    let decades: Vec<f64> = (first..=last).map(|p| 10f64.powi(p)).filter(within).collect();
    if decades.len() > 3 {
        return decades;
    }
    let between = (first..=last).flat_map(|p| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(p)));
    between.filter(within).collect()
}

fn log_label(v: f64) -> String {
    if (1e-3..1e6).contains(&v) { format::number(v) } else { format!("{v:.0e}") }
}

/// The area data is drawn in, between its axes.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
    pub x: Axis,
    pub y: Axis,
}

impl Frame {
    /// Gives the place of a point on the sheet.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.across(x), self.up(y))
    }

    /// Gives the place of an x on the sheet.
    pub fn across(&self, x: f64) -> f64 {
        self.left + self.x.share(x) * (self.right - self.left)
    }

    /// Gives the place of a y on the sheet.
    pub fn up(&self, y: f64) -> f64 {
        self.bottom - self.y.share(y) * (self.bottom - self.top)
    }

    /// Draws the horizontal grid and its labels.
    pub fn draw_grid(&self, sheet: &mut Sheet) {
        for (value, label) in &self.y.ticks {
            let y = crisp(self.up(*value));
            sheet.line(vec![(self.left, y), (self.right, y)], 1.0, theme::GRID);
            sheet.text(self.left - 8.0, y, label, theme::SMALL, Anchor::End, theme::MUTED);
        }
    }

    /// Draws the x axis: its line, its ticks, their labels.
    pub fn draw_x(&self, sheet: &mut Sheet) {
        let y = crisp(self.bottom);
        sheet.line(vec![(self.left, y), (self.right, y)], 1.0, theme::AXIS);
        for (value, label) in &self.x.ticks {
            let x = crisp(self.across(*value));
            sheet.line(vec![(x, y), (x, y + 4.0)], 1.0, theme::AXIS);
            sheet.text(x, y + 13.0, label, theme::SMALL, Anchor::Middle, theme::MUTED);
        }
    }

    /// Names the axes: y under the title, x under its ticks.
    pub fn draw_names(&self, sheet: &mut Sheet, x_label: &str, y_label: &str) {
        name_y(sheet, y_label, sheet.width - 2.0 * theme::MARGIN);
        let room = sheet.width - 2.0 * theme::MARGIN;
        let x_label = sheet.fitted(x_label, theme::LABEL, false, room);
        let half = 0.5 * sheet.width_of(&x_label, theme::LABEL, false);
        let edge = theme::MARGIN + half;
        let middle = (0.5 * (self.left + self.right)).clamp(edge, sheet.width - edge);
        let y = sheet.height - 19.0;
        sheet.text(middle, y, &x_label, theme::LABEL, Anchor::Middle, theme::MUTED);
    }
}

/// Names the y axis under the title, in `room`.
pub(crate) fn name_y(sheet: &mut Sheet, label: &str, room: f64) {
    let label = sheet.fitted(label, theme::LABEL, false, room);
    sheet.text(theme::MARGIN, theme::SUBTITLE_Y, &label, theme::LABEL, Anchor::Start, theme::MUTED);
}

/// Moves a place to the middle of a pixel, where a line of width 1 is sharp.
pub(crate) fn crisp(place: f64) -> f64 {
    place.floor() + 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn ticks_are_tidy_multiples() {
        assert_eq!(
            labels(&Axis::linear(0.0, 1.0, 5, false)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(labels(&Axis::linear(0.0, 3200.0, 5, true)), ["0", "1,000", "2,000", "3,000"]);
        assert_eq!(labels(&Axis::linear(0.0, 3.0, 8, true)), ["0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::linear(-0.2, 0.2, 4, false)), ["-0.2", "-0.1", "0", "0.1", "0.2"]);
    }

    #[test]
    fn an_axis_of_one_value_still_has_a_range() {
        let axis = Axis::linear(2.0, 2.0, 5, false);
        assert_eq!(axis.share(2.0), 0.5);
        let (lo, hi) = roomy(0.0, 0.0);
        assert!(lo < 0.0 && hi > 0.0);
    }

    #[test]
    fn a_logarithmic_axis_shows_powers_of_ten() {
        assert_eq!(labels(&Axis::log(1e-5, 1.0, 5)), ["1e-5", "1e-4", "0.001", "0.01", "0.1", "1"]);
        assert_eq!(labels(&Axis::log(1.0, 30.0, 5)), ["1", "2", "5", "10", "20"]);
        let axis = Axis::log(1.0, 100.0, 5);
        // Logarithms of tens are exact to a few rounding errors.
        assert!((axis.share(10.0) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn extreme_ranges_make_no_flood_of_ticks() {
        for (lo, hi) in [(1e300, 1.1e300), (1.0, 1.0 + 1e-15), (-1e300, 1e300), (0.0, 5e-324)] {
            assert!(Axis::linear(lo, hi, 5, false).ticks.len() <= 20, "{lo} {hi}");
            assert!(Axis::linear(lo, hi, 5, true).ticks.len() <= 20, "{lo} {hi}");
            let (lo, hi) = roomy_log(lo.max(5e-324), hi);
            assert!(Axis::log(lo, hi, 5).ticks.len() <= 20, "{lo} {hi}");
        }
    }
}
