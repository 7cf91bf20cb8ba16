//! Layout of grouped bars: they start at zero, and carry their values where there is room.

use super::chart::BarChart;
use super::draw::axis::{Axis, Frame, crisp};
use super::draw::label::{Legend, Name, Sample};
use super::draw::{Anchor, Sheet, theme};
use super::error::ViewError;
use super::format;
use super::lines::{FOOT, UNDER_NAMES};
use super::points::{drawable, extent};

/// Widest bar.
const WIDEST: f64 = 46.0;
/// Narrowest bar that carries its value upright.
const NARROWEST_WITH_VALUE: f64 = 11.0;
/// Part of a group's width that its bars take.
const FILLED: f64 = 0.8;
/// Size of the values on bars.
const VALUE: f64 = 9.5;

/// From the first to the second row of group names.
const STAGGER: f64 = 15.0;

/// How bars carry their values.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    Level,
    Upright,
    Hidden,
}

/// Lays out `chart`.
pub(crate) fn lay_out(chart: &BarChart) -> Result<Sheet, ViewError> {
    let (groups, series) = (chart.groups.len(), chart.series.len());
    let values = chart.series.iter().flat_map(|s| s.1.iter().take(groups).copied());
    let Some((lo, hi)) = extent(values) else {
        return Sheet::empty(&chart.title);
    };
    let mut sheet = Sheet::new(&chart.title, theme::HEIGHT)?;
    // One series needs no legend: the title says what it is.
    let names = chart.series.iter().enumerate().filter(|_| series > 1).map(|(i, s)| Name {
        text: s.0.clone(),
        ink: theme::series(i),
        sample: Sample::Square,
    });
    let names = names.collect();
    let legend = Legend::new(&sheet, names);
    sheet.height += (legend.height() - 19.0).max(0.0);
    legend.draw(&mut sheet, UNDER_NAMES);

    // The tick labels' width moves the plot by a few pixels only: measured with a first axis.
    let (lo, hi) = (lo.min(0.0), hi.max(0.0));
    let (lo, hi) = if lo < hi { (lo, hi) } else { (0.0, 1.0) };
    let left = theme::MARGIN + Axis::linear(lo, hi, 6, false).widest(&sheet) + 8.0;
    let right = sheet.width - theme::MARGIN;
    let each = (right - left) / groups as f64;
    let stagger = must_stagger(&sheet, &chart.groups, each);
    sheet.height += if stagger { STAGGER } else { 0.0 };
    let foot = FOOT + if stagger { STAGGER } else { 0.0 };
    let (top, bottom) = (UNDER_NAMES + legend.height() + 6.0, sheet.height - foot);
    let slot = (each * FILLED / series as f64).min(WIDEST);

    let write = |v: f64| format::within(v, lo.abs().max(hi));
    let shown = chart.series.iter().flat_map(|s| &s.1).filter(|v| drawable(**v));
    let widest = shown.map(|&v| sheet.width_of(&write(v), VALUE, false)).fold(0.0, f64::max);
    let (show, room) = if widest + 4.0 <= slot {
        (Values::Level, 15.0)
    } else if slot >= NARROWEST_WITH_VALUE {
        (Values::Upright, widest + 8.0)
    } else {
        (Values::Hidden, 4.0)
    };
    // Room for values beyond the longest bars, in the units of the axis.
    let sides = if lo < 0.0 { 2.0 } else { 1.0 };
    let air = room * (hi - lo) / (bottom - top - sides * room);
    let y = Axis::linear(if lo < 0.0 { lo - air } else { 0.0 }, hi + air, 6, false);
    let x = Axis::linear(0.0, groups as f64, 1, true);
    let frame = Frame { left, top, right, bottom, x, y };
    frame.draw_grid(&mut sheet);

    let zero = frame.up(0.0);
    for g in 0..groups {
        let start = left + each * (g as f64 + 0.5) - 0.5 * slot * series as f64;
        for (i, (_, values)) in chart.series.iter().enumerate() {
            let x = start + slot * i as f64;
            let value = values.get(g).copied().filter(|&v| drawable(v)).map(|v| (v, write(v)));
            draw_bar(&mut sheet, &frame, (x, slot), value, show, theme::series(i));
        }
    }
    let y = crisp(zero);
    sheet.line(vec![(left, y), (right, y)], 1.0, theme::AXIS);
    draw_groups(&mut sheet, &chart.groups, (left, bottom), each, stagger);
    frame.draw_names(&mut sheet, &chart.x_label, &chart.y_label);
    Ok(sheet)
}

fn draw_bar(
    sheet: &mut Sheet,
    frame: &Frame,
    (x, slot): (f64, f64),
    value: Option<(f64, String)>,
    show: Values,
    ink: theme::Ink,
) {
    let zero = frame.up(0.0);
    let middle = x + 0.5 * slot;
    let Some((value, text)) = value else {
        if show != Values::Hidden {
            sheet.text(middle, zero - 8.0, "–", theme::LABEL, Anchor::Middle, theme::MUTED);
        }
        return;
    };
    let gap = if slot >= 6.0 { 1.0 } else { 0.0 };
    let end = frame.up(value);
    let (upper, lower) = (end.min(zero), end.max(zero));
    sheet.rect(x + 0.5 * gap, upper, slot - gap, lower - upper, ink);
    let long = sheet.width_of(&text, VALUE, false);
    // A patch of the card keeps grid lines from crossing the value.
    match show {
        Values::Level => {
            let y = if value < 0.0 { lower + 8.0 } else { upper - 8.0 };
            sheet.rect(middle - 0.5 * long, y - 5.0, long, 10.0, theme::CARD);
            sheet.text(middle, y, &text, VALUE, Anchor::Middle, theme::INK);
        }
        Values::Upright => {
            let y = if value < 0.0 { lower + 4.0 + long } else { upper - 4.0 };
            sheet.rect(middle - 5.0, y - long, 10.0, long, theme::CARD);
            sheet.upright(middle, y, &text, VALUE, theme::INK);
        }
        Values::Hidden => {}
    }
}

/// True when the names of groups need two rows.
fn must_stagger(sheet: &Sheet, groups: &[String], each: f64) -> bool {
    let widths = groups.iter().map(|g| sheet.width_of(g, theme::LABEL, false));
    groups.len() > 1 && widths.fold(0.0, f64::max) + 6.0 > each
}

/// Names the groups, every second one in a lower row if they `stagger`.
fn draw_groups(
    sheet: &mut Sheet,
    groups: &[String],
    (left, bottom): (f64, f64),
    each: f64,
    stagger: bool,
) {
    let room = if stagger { 2.0 * each - 6.0 } else { each };
    // Too many groups for any name: every so many is named.
    let stride = (28.0 / room).ceil().max(1.0) as usize;
    let room = room * stride as f64;
    for (k, (g, name)) in groups.iter().enumerate().step_by(stride).enumerate() {
        let middle = left + each * (g as f64 + 0.5);
        let edges = (middle - theme::MARGIN / 2.0).min(sheet.width - theme::MARGIN / 2.0 - middle);
        let name = sheet.fitted(name, theme::LABEL, false, room.min(2.0 * edges) - 4.0);
        let y = bottom + if stagger && k % 2 == 1 { 12.0 + STAGGER } else { 12.0 };
        sheet.text(middle, y, &name, theme::LABEL, Anchor::Middle, theme::INK);
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::checks::{assert_tidy, texts};
    use super::*;

    fn chart(groups: usize, series: usize) -> BarChart {
        let value = |g: usize, s: usize| 2.0 + 0.37 * g as f64 - 0.211 * s as f64;
        BarChart {
            title: "loss by domain".into(),
            x_label: "domain".into(),
            y_label: "loss, nats/token".into(),
            groups: (0..groups).map(|g| format!("domain number {g}")).collect(),
            series: (0..series)
                .map(|s| (format!("model {s}"), (0..groups).map(|g| value(g, s)).collect()))
                .collect(),
        }
    }

    #[test]
    fn every_size_is_tidy() {
        for (groups, series) in [(1, 1), (4, 5), (7, 5), (12, 3), (40, 2), (3, 30)] {
            assert_tidy(&lay_out(&chart(groups, series)).unwrap());
        }
    }

    #[test]
    fn missing_values_are_said_and_negative_ones_hang() {
        let mut bars = chart(3, 2);
        bars.series[0].1[1] = f64::NAN;
        bars.series[1].1.pop();
        bars.series[1].1[0] = -1.0;
        let sheet = lay_out(&bars).unwrap();
        assert_tidy(&sheet);
        assert_eq!(texts(&sheet).iter().filter(|t| **t == "–").count(), 2);
    }

    #[test]
    fn bars_of_nothing_say_so_and_zeros_have_an_axis() {
        let nothing = BarChart { title: "loss".into(), ..BarChart::default() };
        assert_eq!(texts(&lay_out(&nothing).unwrap()), ["loss", "no data yet"]);
        let zeros = BarChart {
            groups: vec!["a".into()],
            series: vec![("s".into(), vec![0.0])],
            ..BarChart::default()
        };
        assert_tidy(&lay_out(&zeros).unwrap());
    }
}
