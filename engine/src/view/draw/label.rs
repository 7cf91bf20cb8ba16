//! Names of series: at the end of their lines where there is room, in a legend otherwise.
//!
//! Neither ever covers data: end labels stand right of the plot, the legend above it.

use super::theme::{self, Ink};
use super::{Anchor, Sheet};

/// Distance between the middles of two end labels.
pub(crate) const LABEL_GAP: f64 = 15.0;
/// Widest end label.
pub(crate) const LABEL_ROOM: f64 = 165.0;
/// From the plot's edge to the text of an end label.
pub(crate) const LEADER: f64 = 32.0;
/// Height of one row of a legend.
const LEGEND_ROW: f64 = 19.0;
/// From the start of a legend's sample to its text.
const SAMPLE: f64 = 22.0;

/// How a series is shown beside its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sample {
    Line,
    Dashes,
    Square,
}

/// A name with the look of its series.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub text: String,
    pub ink: Ink,
    pub sample: Sample,
}

/// Moves `wanted` places apart by at least `gap`, each as little as possible, all within
/// `low..=high`. The order of places stays; without room they are spread evenly.
pub(crate) fn spread(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    let n = wanted.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let gap = if n > 1 { gap.min((high - low) / (n - 1) as f64) } else { gap };
    // Touching labels form blocks; a block sits at the mean of what its members want.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for &i in &order {
        let mut block = (wanted[i], 1);
        while let Some(&(middle, size)) = blocks.last() {
            let apart = 0.5 * gap * (size + block.1) as f64;
            let high_enough = held(block, gap, low, high) - held((middle, size), gap, low, high);
            if high_enough >= apart - 1e-9 {
                break;
            }
            let both = size + block.1;
            let mean = (middle * size as f64 + block.0 * block.1 as f64) / both as f64;
            block = (mean, both);
            blocks.pop();
        }
        blocks.push(block);
    }
    let mut places = vec![0.0; n];
    let mut members = order.iter();
    for block in blocks {
        let first = held(block, gap, low, high) - 0.5 * gap * (block.1 - 1) as f64;
        for (k, &i) in members.by_ref().take(block.1).enumerate() {
            places[i] = first + gap * k as f64;
        }
    }
    places
}

/// The middle of a block, held so that its members stay within `low..=high`.
fn held((middle, size): (f64, usize), gap: f64, low: f64, high: f64) -> f64 {
    let half = 0.5 * gap * (size - 1) as f64;
    middle.min(high - half).max(low + half)
}

/// Places names right of `edge`; `ends` are the heights of the series there, none for a series that
/// ends earlier at the given height.
pub(crate) fn draw_ends(
    sheet: &mut Sheet,
    names: &[(Name, f64, bool)],
    edge: f64,
    top: f64,
    bottom: f64,
) {
    let wanted: Vec<f64> = names.iter().map(|n| n.1).collect();
    let places = spread(&wanted, LABEL_GAP, top, bottom);
    for ((name, end, reaches), y) in names.iter().zip(places) {
        if *reaches {
            let path = vec![(edge + 3.0, *end), (edge + 11.0, y)];
            sheet.line(path, 1.0, theme::mix(name.ink, theme::CARD, 0.35));
        }
        draw_sample(sheet, name, edge + 12.0, y);
        let text = sheet.fitted(&name.text, theme::LABEL, false, LABEL_ROOM);
        sheet.text(edge + LEADER, y, &text, theme::LABEL, Anchor::Start, theme::INK);
    }
}

/// A sample of the series, 15 units wide, from `x` on.
fn draw_sample(sheet: &mut Sheet, name: &Name, x: f64, y: f64) {
    match name.sample {
        Sample::Line => sheet.line(vec![(x, y), (x + 15.0, y)], 2.5, name.ink),
        Sample::Dashes => {
            sheet.line(vec![(x, y), (x + 6.0, y)], 2.0, name.ink);
            sheet.line(vec![(x + 9.0, y), (x + 15.0, y)], 2.0, name.ink);
        }
        Sample::Square => sheet.rect(x + 3.0, y - 5.0, 10.0, 10.0, name.ink),
    }
}

/// A legend: names in rows, left to right.
#[derive(Clone, Debug)]
pub(crate) struct Legend {
    /// Name, x, row.
    items: Vec<(Name, f64, usize)>,
    rows: usize,
}

impl Legend {
    /// Arranges names in the width of the sheet.
    pub fn new(sheet: &Sheet, names: Vec<Name>) -> Self {
        let (mut x, mut row) = (theme::MARGIN, 0);
        let mut items = Vec::with_capacity(names.len());
        for mut name in names {
            name.text = sheet.fitted(&name.text, theme::LABEL, false, 2.0 * LABEL_ROOM);
            let long = SAMPLE + sheet.width_of(&name.text, theme::LABEL, false);
            if x > theme::MARGIN && x + long > sheet.width - theme::MARGIN {
                (x, row) = (theme::MARGIN, row + 1);
            }
            items.push((name, x, row));
            x += long + 20.0;
        }
        let rows = if items.is_empty() { 0 } else { row + 1 };
        Self { items, rows }
    }

    /// Gives the height of the legend.
    pub fn height(&self) -> f64 {
        LEGEND_ROW * self.rows as f64
    }

    /// Draws the legend with its upper edge at `top`.
    pub fn draw(&self, sheet: &mut Sheet, top: f64) {
        for (name, x, row) in &self.items {
            let y = top + LEGEND_ROW * (*row as f64 + 0.5);
            draw_sample(sheet, name, *x, y);
            sheet.text(x + SAMPLE, y, &name.text, theme::LABEL, Anchor::Start, theme::INK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_stand_apart_stay_where_they_are() {
        assert_eq!(spread(&[50.0, 10.0, 90.0], 15.0, 0.0, 100.0), [50.0, 10.0, 90.0]);
    }

    #[test]
    fn labels_are_moved_apart_within_the_plot_and_keep_their_order() {
        let wanted = [99.0, 100.0, 98.0, 3.0, 3.5];
        let places = spread(&wanted, 15.0, 0.0, 100.0);
        let mut sorted: Vec<(f64, f64)> = wanted.into_iter().zip(places).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        for pair in sorted.windows(2) {
            // Sums of gaps are exact to a few rounding errors.
            assert!(pair[1].1 - pair[0].1 >= 15.0 - 1e-6, "{sorted:?}");
        }
        assert!(sorted.iter().all(|p| (-1e-6..=100.0 + 1e-6).contains(&p.1)), "{sorted:?}");
    }

    #[test]
    fn without_room_labels_are_spread_evenly() {
        assert_eq!(spread(&[5.0, 5.0, 5.0], 15.0, 0.0, 10.0), [0.0, 5.0, 10.0]);
        assert_eq!(spread(&[], 15.0, 0.0, 10.0), Vec::<f64>::new());
    }
}
