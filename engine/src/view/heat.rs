//! Layout of a heat map: every row fills the width, light is low and dark is high.
//!
//! A row with more than 128 columns is shown as the means of 128 equal bins, and the map says so.

use super::chart::{HeatMap, HeatRow};
use super::draw::axis::{Axis, crisp, name_y};
use super::draw::{Anchor, Sheet, theme};
use super::error::ViewError;
use super::format;
use super::lines::UNDER_NAMES;
use super::points::{drawable, extent};

/// Columns a row shows at most.
const COLUMNS_SHOWN: usize = 128;
/// Highest and lowest row.
const ROW_HEIGHTS: (f64, f64) = (30.0, 2.0);
/// Height the rows share unless that makes them too low or too high.
const ROWS_TALL: f64 = 290.0;
/// Lowest row before a map grows taller than most charts.
const ROW_COMFORT: f64 = 8.0;
/// Tallest map.
const TALLEST: f64 = 900.0;
/// Narrowest cell that stands apart from its neighbours.
const CELL_APART: f64 = 8.0;
/// Width of the colour scale.
const SCALE: f64 = 128.0;

/// Lays out `map`.
pub(crate) fn lay_out(map: &HeatMap) -> Result<Sheet, ViewError> {
    let all = map.rows.iter().flat_map(|r| r.values.iter().copied());
    let Some(data) = extent(all) else {
        return Sheet::empty(&map.title);
    };
    let (lo, hi) = range(map.range, data);
    let tall = ROWS_TALL / map.rows.len() as f64;
    let row_tall = tall.clamp(ROW_COMFORT.min(TALLEST / map.rows.len() as f64), ROW_HEIGHTS.0);
    // Whole pixels keep the edges of rows sharp.
    let row_tall = row_tall.floor().max(ROW_HEIGHTS.1);
    let long = map.rows.iter().map(|r| r.values.len()).max().unwrap_or(0);
    let even = map.rows.iter().all(|r| r.values.len() == long);
    let note = note(map, long);

    let top = UNDER_NAMES + if even { 4.0 } else { 16.0 };
    let bottom = top + row_tall * map.rows.len() as f64;
    let foot = 18.0
        + if even { 16.0 } else { 0.0 }
        + if map.x_label.is_empty() { 0.0 } else { 18.0 }
        + if note.is_empty() { 0.0 } else { 18.0 };
    let mut sheet = Sheet::new(&map.title, bottom + foot)?;
    let labels = map.rows.iter().map(|r| sheet.width_of(&r.label, theme::SMALL, false));
    let label_room = labels.fold(0.0, f64::max).min(170.0);
    let left = theme::MARGIN + label_room + if label_room > 0.0 { 8.0 } else { 0.0 };
    let counts = map.rows.iter().map(|r| sheet.width_of(&count(r), theme::SMALL, false));
    let count_room = if even { 0.0 } else { counts.fold(0.0, f64::max).max(WIDTH_HEADER) + 8.0 };
    let right = sheet.width - theme::MARGIN - count_room;

    let scale_left = draw_scale(&mut sheet, (lo, hi));
    name_y(&mut sheet, &map.y_label, scale_left - 12.0 - theme::MARGIN);
    let every = (12.0 / row_tall).ceil().max(1.0) as usize;
    for (r, row) in map.rows.iter().enumerate() {
        let y = top + row_tall * r as f64;
        draw_row(&mut sheet, row, (left, y, right - left, row_tall), (lo, hi));
        if r % every == 0 {
            let y = y + 0.5 * row_tall;
            let label = sheet.fitted(&row.label, theme::SMALL, false, label_room);
            sheet.text(left - 8.0, y, &label, theme::SMALL, Anchor::End, theme::INK);
            if !even {
                let x = right + count_room;
                sheet.text(x, y, &count(row), theme::SMALL, Anchor::End, theme::MUTED);
            }
        }
    }
    let mut y = bottom + 2.0;
    if even {
        draw_ticks(&mut sheet, long, (left, right), bottom);
        y += 16.0;
    } else {
        let x = right + count_room;
        sheet.text(x, top - 10.0, "width", theme::SMALL, Anchor::End, theme::MUTED);
    }
    if !map.x_label.is_empty() {
        y += 18.0;
        let label = sheet.fitted(&map.x_label, theme::LABEL, false, right - left);
        let middle = 0.5 * (left + right);
        sheet.text(middle, y - 5.0, &label, theme::LABEL, Anchor::Middle, theme::MUTED);
    }
    if !note.is_empty() {
        y += 18.0;
        let note = sheet.fitted(&note, theme::SMALL, false, sheet.width - 2.0 * theme::MARGIN);
        sheet.text(theme::MARGIN, y - 4.0, &note, theme::SMALL, Anchor::Start, theme::MUTED);
    }
    Ok(sheet)
}

/// Least room for the header over the widths of rows, `width` in small letters.
const WIDTH_HEADER: f64 = 32.0;

/// The range asked for if that is one, the data's otherwise.
pub(crate) fn range(asked: (f64, f64), data: (f64, f64)) -> (f64, f64) {
    let (lo, hi) = asked;
    if drawable(lo) && drawable(hi) && lo < hi {
        asked
    } else if data.0 < data.1 {
        data
    } else {
        (data.0 - 0.5, data.0 + 0.5)
    }
}

fn count(row: &HeatRow) -> String {
    format::whole(i64::try_from(row.values.len()).unwrap_or(i64::MAX))
}

/// The note asked for and what the map itself has to say.
fn note(map: &HeatMap, long: usize) -> String {
    let mut parts: Vec<String> = Vec::new();
    if !map.note.is_empty() {
        parts.push(map.note.clone());
    }
    if long > COLUMNS_SHOWN {
        parts.push(format!("rows over {COLUMNS_SHOWN} wide show means of {COLUMNS_SHOWN} bins"));
    }
    if map.rows.iter().flat_map(|r| &r.values).any(|&v| !drawable(v)) {
        parts.push("grey: not a number".to_string());
    }
    parts.join(" · ")
}

/// Averages a long row in equal bins; a bin's mean leaves out what is no number.
pub(crate) fn binned(values: &[f64], most: usize) -> Vec<f64> {
    if values.len() <= most {
        return values.to_vec();
    }
    (0..most)
        .map(|b| {
            let bin = &values[b * values.len() / most..(b + 1) * values.len() / most];
            let good: Vec<f64> = bin.iter().copied().filter(|&v| drawable(v)).collect();
            good.iter().sum::<f64>() / good.len() as f64
        })
        .collect()
}

/// The level of a value among the scale's colours; none for what is no number.
pub(crate) fn level(value: f64, (lo, hi): (f64, f64), levels: usize) -> Option<usize> {
    if !drawable(value) {
        return None;
    }
    let share = ((value - lo) / (hi - lo)).clamp(0.0, 1.0);
    Some(((share * levels as f64) as usize).min(levels - 1))
}

fn draw_row(
    sheet: &mut Sheet,
    row: &HeatRow,
    (left, top, wide, tall): (f64, f64, f64, f64),
    range: (f64, f64),
) {
    let cells = binned(&row.values, COLUMNS_SHOWN);
    let gap = if tall >= 10.0 {
        2.0
    } else if tall >= 5.0 {
        1.0
    } else {
        0.0
    };
    let (top, tall) = (top + 0.5 * gap, tall - gap);
    let each = wide / cells.len().max(1) as f64;
    let ink =
        |value: f64| level(value, range, theme::HEAT_LEVELS).map_or(theme::MISSING, theme::heat);
    if each >= CELL_APART {
        for (i, &value) in cells.iter().enumerate() {
            sheet.rect(left + each * i as f64, top, each - 1.0, tall, ink(value));
        }
        return;
    }
    // Neighbours of one colour are one rectangle. It reaches a little under the next one, so that no
    // seam of the card shows between the two.
    let inks: Vec<theme::Ink> = cells.into_iter().map(ink).collect();
    let mut start = 0;
    for run in inks.chunk_by(|a, b| a == b) {
        let x = left + each * start as f64;
        let under = if start + run.len() < inks.len() { 0.6 } else { 0.0 };
        sheet.rect(x, top, each * run.len() as f64 + under, tall, run[0]);
        start += run.len();
    }
}

/// Draws the colour scale at the right of the line under the title; gives its left edge.
fn draw_scale(sheet: &mut Sheet, (lo, hi): (f64, f64)) -> f64 {
    let y = theme::SUBTITLE_Y;
    let right = sheet.width - theme::MARGIN;
    let (low, high) = (format::number(lo), format::number(hi));
    let end = right - sheet.width_of(&high, theme::SMALL, false) - 6.0;
    let start = end - SCALE;
    sheet.rect(start - 1.0, y - 6.0, SCALE + 2.0, 12.0, theme::EDGE);
    for level in 0..theme::HEAT_LEVELS {
        let x = start + SCALE * level as f64 / theme::HEAT_LEVELS as f64;
        sheet.rect(x, y - 5.0, end - x, 10.0, theme::heat(level));
    }
    sheet.text(right, y, &high, theme::SMALL, Anchor::End, theme::MUTED);
    sheet.text(start - 6.0, y, &low, theme::SMALL, Anchor::End, theme::MUTED);
    start - 6.0 - sheet.width_of(&low, theme::SMALL, false)
}

/// Draws the numbers of columns, counted from 0, under rows of one length.
fn draw_ticks(sheet: &mut Sheet, long: usize, (left, right): (f64, f64), bottom: f64) {
    let last = long as f64 - 1.0;
    let each = (right - left) / long as f64;
    let axis = Axis::across(sheet, 0.0, last.max(1.0), right - left - each, true);
    for (value, label) in axis.ticks.iter().filter(|t| t.0 <= last) {
        let x = crisp(left + each * (value + 0.5));
        sheet.line(vec![(x, bottom + 1.0), (x, bottom + 5.0)], 1.0, theme::AXIS);
        sheet.text(x, bottom + 13.0, label, theme::SMALL, Anchor::Middle, theme::MUTED);
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::checks::{assert_tidy, texts};
    use super::*;

    fn map(widths: &[usize]) -> HeatMap {
        let row = |(r, &n): (usize, &usize)| HeatRow {
            label: format!("layer {r} · heads"),
            values: (0..n).map(|i| ((i * 37 + r) % 101) as f64 / 100.0).collect(),
        };
        HeatMap {
            title: "gates by layer".into(),
            x_label: "index".into(),
            y_label: "gate".into(),
            rows: widths.iter().enumerate().map(row).collect(),
            range: (0.0, 1.0),
            note: "0 is cut, 1 is kept".into(),
        }
    }

    #[test]
    fn every_size_is_tidy() {
        let wide = vec![2816; 24];
        for widths in [&[8][..], &[1], &[8, 352, 128], &[16; 64], &wide, &[4; 500], &[0, 3]] {
            assert_tidy(&lay_out(&map(widths)).unwrap());
        }
    }

    #[test]
    fn a_wide_row_is_binned_and_the_map_says_so() {
        let said = |n| lay_out(&map(&[n])).unwrap();
        assert!(texts(&said(352)).iter().any(|t| t.contains("means of 128 bins")));
        assert!(!texts(&said(128)).iter().any(|t| t.contains("bins")));
        let bins = binned(&[1.0, 3.0, f64::NAN, 5.0, f64::NAN, f64::NAN], 3);
        assert_eq!(bins[..2], [2.0, 5.0]);
        assert!(bins[2].is_nan());
    }

    #[test]
    fn values_beyond_the_range_take_the_colour_of_its_end() {
        assert_eq!(level(-3.0, (0.0, 1.0), 32), Some(0));
        assert_eq!(level(1.0, (0.0, 1.0), 32), Some(31));
        assert_eq!(level(f64::NAN, (0.0, 1.0), 32), None);
    }

    #[test]
    fn nothing_to_draw_says_so_and_a_bad_range_fits_the_data() {
        let mut chart = map(&[0, 0]);
        assert_eq!(texts(&lay_out(&chart).unwrap()), ["gates by layer", "no data yet"]);
        chart = map(&[3]);
        chart.range = (1.0, f64::NAN);
        assert!(texts(&lay_out(&chart).unwrap()).contains(&"0.74"));
    }
}
