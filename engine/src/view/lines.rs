//! Layout of a line chart: direct labels at the ends of lines, a light horizontal grid, marks in time.
//!
//! Dashed lines lie under solid ones, so that a measurement that has reached its target hides it.

use super::chart::{LineChart, Series, Style};
use super::draw::axis::{Axis, Frame, crisp, roomy, roomy_log};
use super::draw::label::{LABEL_GAP, LABEL_ROOM, LEADER, Legend, Name, Sample, draw_ends};
use super::draw::path::{clipped, dashes};
use super::draw::{Anchor, Sheet, theme};
use super::error::ViewError;
use super::points::{drawable, extent, strokes, thin};

/// Longer series are thinned.
const POINTS_SHOWN: usize = 1000;
/// Series this short show their points.
const POINTS_DOTTED: usize = 12;
/// Series this long are drawn thinner: they are often rough, and rough thick lines are bands.
const POINTS_DENSE: usize = 300;
/// Upper edge of what is under the y axis's name.
pub(crate) const UNDER_NAMES: f64 = 64.0;
/// Room under the plot for tick labels and the x axis's name.
pub(crate) const FOOT: f64 = 50.0;
/// Height of a row of mark labels.
const MARK_ROW: f64 = 15.0;
/// Rows of mark labels; a label that fits in none is left out, its line stays.
const MARK_ROWS: usize = 3;

type Points = Vec<(f64, f64)>;

/// Lays out `chart`.
pub(crate) fn lay_out(chart: &LineChart) -> Result<Sheet, ViewError> {
    let lines: Vec<Vec<Points>> =
        chart.series.iter().map(|s| thin(strokes(&s.points, chart.log_y), POINTS_SHOWN)).collect();
    let all = || lines.iter().flatten().flatten();
    let (Some(x_range), Some(y_data)) = (extent(all().map(|p| p.0)), extent(all().map(|p| p.1)))
    else {
        return Sheet::empty(&chart.title);
    };
    let mut sheet = Sheet::new(&chart.title, theme::HEIGHT)?;
    let y = y_axis(chart, y_data);
    let left = theme::MARGIN + y.widest(&sheet) + 8.0;
    let bottom = sheet.height - FOOT;

    let colors = colors(&chart.series);
    let name = |i: usize| Name {
        text: chart.series[i].name.clone(),
        ink: theme::series(colors[i]),
        sample: if chart.series[i].style == Style::Dashed { Sample::Dashes } else { Sample::Line },
    };
    let named: Vec<usize> = (0..lines.len())
        .filter(|&i| !lines[i].is_empty() && !chart.series[i].name.is_empty())
        .collect();
    let tall = bottom - UNDER_NAMES - MARK_ROW * MARK_ROWS as f64;
    let direct = named.len() as f64 * LABEL_GAP <= tall;
    let (right, legend) = if direct {
        let widths = named.iter().map(|&i| sheet.width_of(&name(i).text, theme::LABEL, false));
        let room = widths.fold(0.0, f64::max).min(LABEL_ROOM);
        let right =
            sheet.width - theme::MARGIN - if named.is_empty() { 8.0 } else { LEADER + room };
        (right, Legend::new(&sheet, Vec::new()))
    } else {
        let names = named.iter().map(|&i| name(i)).collect();
        (sheet.width - theme::MARGIN - 8.0, Legend::new(&sheet, names))
    };
    // A tall legend makes a taller card, not a smaller plot.
    let extra = (legend.height() - 2.0 * MARK_ROW).max(0.0);
    sheet.height += extra;
    let bottom = bottom + extra;
    legend.draw(&mut sheet, UNDER_NAMES);

    let whole = all().all(|p| p.0.fract() == 0.0);
    let x = Axis::across(&sheet, x_range.0, x_range.1, right - left, whole);
    let top = UNDER_NAMES + legend.height();
    let mut frame = Frame { left, top, right, bottom, x, y };
    let marks = PlacedMarks::new(&sheet, &chart.marks, &frame, x_range);
    frame.top = top + 4.0 + marks.height();

    frame.draw_grid(&mut sheet);
    marks.draw(&mut sheet, &frame);
    frame.draw_x(&mut sheet);
    frame.draw_names(&mut sheet, &chart.x_label, &chart.y_label);
    for style in [Style::Dashed, Style::Solid] {
        for (i, series) in chart.series.iter().enumerate().filter(|(_, s)| s.style == style) {
            draw_series(&mut sheet, &frame, &lines[i], series.style, theme::series(colors[i]));
        }
    }
    if direct {
        let ends = named.iter().filter_map(|&i| {
            let last = lines[i].last().and_then(|stroke| stroke.last())?;
            let reaches = frame.across(last.0) >= frame.right - 4.0;
            Some((name(i), frame.up(last.1).clamp(frame.top, frame.bottom), reaches))
        });
        let ends: Vec<_> = ends.collect();
        draw_ends(&mut sheet, &ends, frame.right, frame.top, frame.bottom);
    }
    Ok(sheet)
}

/// The y axis: over the range asked for if that is one, over the data otherwise.
fn y_axis(chart: &LineChart, (lo, hi): (f64, f64)) -> Axis {
    let asked = chart.y_range.filter(|&(lo, hi)| {
        drawable(lo) && drawable(hi) && lo < hi && (!chart.log_y || lo >= f64::MIN_POSITIVE)
    });
    if chart.log_y {
        let (lo, hi) = asked.unwrap_or_else(|| roomy_log(lo, hi));
        Axis::log(lo, hi, 6)
    } else {
        let (lo, hi) = asked.unwrap_or_else(|| roomy(lo, hi));
        Axis::linear(lo, hi, 6, false)
    }
}

/// The colour number of every series: the one it asks for, or the next that nobody asked for.
fn colors(series: &[Series]) -> Vec<usize> {
    let asked: Vec<usize> = series.iter().filter_map(|s| s.color).collect();
    let mut free = (0..).filter(|c| !asked.contains(c));
    // The range of free numbers has no end.
    series.iter().map(|s| s.color.or_else(|| free.next()).unwrap_or(0)).collect()
}

/// A mark in time with its place; a label without a row is not shown.
struct PlacedMark {
    x: f64,
    label: String,
    middle: f64,
    row: Option<usize>,
}

/// Marks in time, their labels in rows above the plot.
pub(crate) struct PlacedMarks {
    marks: Vec<PlacedMark>,
    rows: usize,
}

impl PlacedMarks {
    /// Finds room for the marks inside `range`; `frame` gives places across.
    pub fn new(sheet: &Sheet, marks: &[(f64, String)], frame: &Frame, range: (f64, f64)) -> Self {
        let mut marks: Vec<&(f64, String)> =
            marks.iter().filter(|m| m.0 >= range.0 && m.0 <= range.1).collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut ends = [f64::NEG_INFINITY; MARK_ROWS];
        let mut placed = Vec::with_capacity(marks.len());
        for (at, label) in marks {
            let x = crisp(frame.across(*at));
            let label = sheet.fitted(label, theme::SMALL, false, LABEL_ROOM);
            let half = 0.5 * sheet.width_of(&label, theme::SMALL, false);
            let middle = x.clamp(theme::MARGIN + half, sheet.width - theme::MARGIN - half);
            let row = ends.iter().position(|&end| middle - half >= end + 8.0);
            if let Some(row) = row.filter(|_| !label.is_empty()) {
                ends[row] = middle + half;
            }
            placed.push(PlacedMark { x, middle, row: row.filter(|_| !label.is_empty()), label });
        }
        let rows = placed.iter().filter_map(|m| m.row).max().map_or(0, |row| row + 1);
        Self { marks: placed, rows }
    }

    /// Room the labels take above the plot.
    pub fn height(&self) -> f64 {
        MARK_ROW * self.rows as f64
    }

    /// Draws the marks: a dotted line through the plot up to the label's row.
    pub fn draw(&self, sheet: &mut Sheet, frame: &Frame) {
        for mark in &self.marks {
            let row = mark.row.unwrap_or(0);
            let y = frame.top - 4.0 - MARK_ROW * (row as f64 + 0.5);
            let line_top = if mark.row.is_some() { y + 7.0 } else { frame.top };
            // Dots pass between the labels of lower rows only where none stands.
            let blocked = self.marks.iter().any(|other| {
                let half = 0.5 * sheet.width_of(&other.label, theme::SMALL, false) + 2.0;
                other.row.is_some_and(|r| r < row) && (other.middle - mark.x).abs() < half
            });
            let line_top = if blocked { frame.top } else { line_top };
            for dot in dashes(&[(mark.x, line_top), (mark.x, frame.bottom)], 2.0, 3.0) {
                sheet.line(dot, 1.0, theme::AXIS);
            }
            if mark.row.is_some() {
                sheet.text(mark.middle, y, &mark.label, theme::SMALL, Anchor::Middle, theme::MUTED);
            }
        }
    }
}

fn draw_series(
    sheet: &mut Sheet,
    frame: &Frame,
    strokes: &[Points],
    style: Style,
    ink: theme::Ink,
) {
    let points: usize = strokes.iter().map(Vec::len).sum();
    let dotted = points <= POINTS_DOTTED;
    let width = if points > POINTS_DENSE { 1.4 } else { 2.0 };
    for stroke in strokes {
        let path: Points = stroke.iter().map(|&p| frame.at(p)).collect();
        for piece in clipped(&path, frame.top, frame.bottom) {
            match style {
                Style::Solid => sheet.line(piece, width, ink),
                Style::Dashed => {
                    for dash in dashes(&piece, 6.0, 4.0) {
                        sheet.line(dash, 1.6, ink);
                    }
                }
            }
        }
        // A point between two gaps has no line; without a dot it would vanish.
        let alone = stroke.len() == 1;
        if alone || dotted && style == Style::Solid {
            for &(x, y) in &path {
                if y >= frame.top - 0.5 && y <= frame.bottom + 0.5 {
                    sheet.marks.push(super::draw::Mark::Dot { x, y, radius: 2.8, ink });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::chart::Chart;
    use super::super::draw::checks::{assert_tidy, texts};
    use super::*;

    fn ramp(n: usize) -> Points {
        (0..n).map(|i| (i as f64, (i as f64 * 0.01).sin())).collect()
    }

    #[test]
    fn crowded_labels_and_marks_stay_apart_and_on_the_card() {
        for n in [1, 6, 14, 40] {
            let line = |i: usize| Series::new(format!("series with number {i}"), ramp(300 + i));
            let chart = LineChart {
                title: "crowded".into(),
                x_label: "step".into(),
                y_label: "loss, nats/token".into(),
                series: (0..n).map(line).collect(),
                marks: (0..30).map(|i| (f64::from(i) * 10.0, format!("mark {i}"))).collect(),
                ..LineChart::default()
            };
            assert_tidy(&lay_out(&chart).unwrap());
        }
    }

    #[test]
    fn nothing_to_draw_says_so() {
        let gap = Series::new("gap", vec![(0.0, f64::NAN), (f64::INFINITY, 1.0)]);
        for series in [vec![], vec![Series::default()], vec![gap]] {
            let chart = LineChart { title: "loss".into(), series, ..LineChart::default() };
            assert_eq!(texts(&lay_out(&chart).unwrap()), ["loss", "no data yet"]);
        }
    }

    #[test]
    fn a_series_without_a_colour_takes_one_that_nobody_asked_for() {
        let plain = Series::default();
        let asked = [plain.clone(), plain.clone().in_color(0), plain.clone().in_color(2), plain];
        assert_eq!(colors(&asked), [1, 0, 2, 3]);
    }

    #[test]
    fn lines_beyond_the_asked_range_end_at_its_edge() {
        let chart = LineChart {
            series: vec![Series::new("a", vec![(0.0, -1e9), (1.0, 0.5), (2.0, 1e9)])],
            y_range: Some((0.0, 1.0)),
            ..LineChart::default()
        };
        let sheet = lay_out(&chart).unwrap();
        for mark in &sheet.marks {
            if let super::super::draw::Mark::Line { points, .. } = mark {
                assert!(points.iter().all(|p| p.1 > 50.0 && p.1 < sheet.height - 40.0));
            }
        }
    }

    #[test]
    fn odd_numbers_draw_without_a_panic() {
        let odd =
            [0.0, -0.0, 1e-320, 5e-324, 1e299, -1e299, f64::MAX, f64::NAN, f64::INFINITY, 3.0];
        for log_y in [false, true] {
            for a in odd {
                for b in odd {
                    let series = vec![Series::new("s", vec![(a, b), (b, a), (1.0, b)])];
                    let y_range = Some((a, b));
                    let chart = LineChart {
                        series: series.clone(),
                        log_y,
                        marks: vec![(a, "m".into())],
                        ..LineChart::default()
                    };
                    Chart::from(LineChart { y_range, ..chart.clone() }).to_svg().unwrap();
                    Chart::from(chart).to_svg().unwrap();
                }
            }
        }
    }
}
