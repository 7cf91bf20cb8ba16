//! Layout of stacked areas: each share's height is its part, its name stands at the right end.

use super::chart::AreaChart;
use super::draw::axis::{Axis, Frame};
use super::draw::label::{LABEL_GAP, LABEL_ROOM, LEADER, Legend, Name, Sample, draw_ends};
use super::draw::{Mark, Sheet, theme};
use super::error::ViewError;
use super::format;
use super::lines::{FOOT, PlacedMarks, UNDER_NAMES};
use super::points::{drawable, extent};

/// More columns are averaged in bins.
const COLUMNS_SHOWN: usize = 500;

/// A column: x and the upper edge of every share, lowest first.
struct Stack {
    x: f64,
    edges: Vec<f64>,
}

/// Lays out `chart`.
pub(crate) fn lay_out(chart: &AreaChart) -> Result<Sheet, ViewError> {
    let runs: Vec<Vec<Stack>> = runs(chart).into_iter().map(binned).collect();
    let stacks = || runs.iter().flatten();
    let count = chart.names.len().min(chart.shares.len());
    let (Some((from, to)), Some((_, most))) =
        (extent(stacks().map(|s| s.x)), extent(stacks().filter_map(|s| s.edges.last().copied())))
    else {
        return Sheet::empty(&chart.title);
    };
    let mut sheet = Sheet::new(&chart.title, theme::HEIGHT)?;
    // Shares of one: rounding of weights leaves sums within a thousandth of 1.
    let of_one = (most - 1.0).abs() < 1e-3;
    let mut y =
        Axis::linear(0.0, if of_one { 1.0 } else { most }, if of_one { 4 } else { 6 }, false);
    if of_one {
        y.relabel(|v| format!("{:.0}%", 100.0 * v));
    }
    let left = theme::MARGIN + y.widest(&sheet) + 8.0;

    let last = stacks().last().map_or_else(Vec::new, |s| heights(&s.edges));
    let names: Vec<Name> = (0..count)
        .map(|i| {
            let value = last.get(i).copied().unwrap_or(0.0);
            let value = if of_one { format::percent(value) } else { format::number(value) };
            let name = sheet.fitted(&chart.names[i], theme::LABEL, false, LABEL_ROOM - 45.0);
            let text = format!("{name} {value}");
            Name { text, ink: soft(i), sample: Sample::Square }
        })
        .collect();
    let direct = count as f64 * LABEL_GAP <= sheet.height - FOOT - UNDER_NAMES;
    let widths = names.iter().map(|n| sheet.width_of(&n.text, theme::LABEL, false));
    let room = widths.fold(0.0, f64::max).min(LABEL_ROOM);
    let right = sheet.width - theme::MARGIN - if direct { LEADER + room } else { 8.0 };
    let legend = Legend::new(&sheet, if direct { Vec::new() } else { names.clone() });
    sheet.height += legend.height();
    legend.draw(&mut sheet, UNDER_NAMES);

    let (top, bottom) = (UNDER_NAMES + 4.0 + legend.height(), sheet.height - FOOT);
    let whole = stacks().all(|s| s.x.fract() == 0.0);
    let x = Axis::across(&sheet, from, to, right - left, whole);
    let mut frame = Frame { left, top, right, bottom, x, y };
    let marks = PlacedMarks::new(&sheet, &chart.marks, &frame, (from, to));
    frame.top += marks.height();
    frame.draw_grid(&mut sheet);
    for run in &runs {
        draw_run(&mut sheet, &frame, run, count);
    }
    marks.draw(&mut sheet, &frame);
    frame.draw_x(&mut sheet);
    frame.draw_names(&mut sheet, &chart.x_label, &chart.y_label);
    if let Some(edges) = stacks().last().map(|s| &s.edges).filter(|_| direct) {
        let low = |i: usize| if i == 0 { 0.0 } else { edges[i - 1] };
        let middle = |i: usize| frame.up(0.5 * (low(i) + edges[i]));
        let ends: Vec<_> =
            names.into_iter().enumerate().map(|(i, name)| (name, middle(i), true)).collect();
        draw_ends(&mut sheet, &ends, frame.right, frame.top + 5.0, frame.bottom - 5.0);
    }
    Ok(sheet)
}

/// Stacks the columns; a column that cannot be stacked ends a run.
fn runs(chart: &AreaChart) -> Vec<Vec<Stack>> {
    let count = chart.names.len().min(chart.shares.len());
    let mut runs = vec![Vec::new()];
    for (column, &x) in chart.xs.iter().enumerate() {
        let mut sum = 0.0;
        let edges: Option<Vec<f64>> = chart.shares[..count]
            .iter()
            .map(|share| {
                sum += share.get(column).copied().filter(|v| drawable(*v))?.max(0.0);
                Some(sum)
            })
            .collect();
        match edges.filter(|_| drawable(x) && drawable(sum) && count > 0) {
            Some(edges) => runs.last_mut().into_iter().for_each(|run: &mut Vec<Stack>| {
                run.push(Stack { x, edges: edges.clone() });
            }),
            None => runs.push(Vec::new()),
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Averages neighbouring columns of a long run; its first and last column stay as they are.
fn binned(run: Vec<Stack>) -> Vec<Stack> {
    if run.len() <= COLUMNS_SHOWN {
        return run;
    }
    let inner = &run[1..run.len() - 1];
    let bins = COLUMNS_SHOWN - 2;
    let mean = |b: usize| {
        let bin = &inner[b * inner.len() / bins..(b + 1) * inner.len() / bins];
        let over = |f: &dyn Fn(&Stack) -> f64| bin.iter().map(f).sum::<f64>() / bin.len() as f64;
        let edges = (0..bin[0].edges.len()).map(|i| over(&|s| s.edges[i])).collect();
        Stack { x: over(&|s| s.x), edges }
    };
    let mut out: Vec<Stack> = (0..bins).map(mean).collect();
    let mut ends = run.into_iter();
    let (first, last) = (ends.next(), ends.next_back());
    out.splice(0..0, first);
    out.extend(last);
    out
}

/// Large areas take a softer tone than lines.
fn soft(i: usize) -> theme::Ink {
    theme::mix(theme::series(i), theme::CARD, 0.22)
}

fn heights(edges: &[f64]) -> Vec<f64> {
    let below = std::iter::once(&0.0).chain(edges);
    edges.iter().zip(below).map(|(edge, below)| edge - below).collect()
}

fn draw_run(sheet: &mut Sheet, frame: &Frame, run: &[Stack], count: usize) {
    let place = |s: &Stack, i: usize| {
        let low = if i == 0 { 0.0 } else { s.edges[i - 1] };
        (frame.across(s.x), frame.up(s.edges[i]), frame.up(low))
    };
    for i in 0..count {
        let ink = soft(i);
        let mut columns: Vec<(f64, f64, f64)> = run.iter().map(|s| place(s, i)).collect();
        if let [(x, upper, lower)] = columns[..] {
            // A run of one column is a bar, so that it can be seen.
            let (from, to) = ((x - 2.0).max(frame.left), (x + 2.0).min(frame.right));
            columns = vec![(from, upper, lower), (to, upper, lower)];
        }
        sheet.marks.push(Mark::Band { columns, ink });
    }
    for i in 0..count.saturating_sub(1) {
        let edge = run.iter().map(|s| (frame.across(s.x), frame.up(s.edges[i]))).collect();
        sheet.line(edge, 1.0, theme::CARD);
    }
}

#[cfg(test)]
mod tests {
    use super::super::draw::checks::{assert_tidy, texts};
    use super::*;

    fn mixture(columns: usize, names: usize) -> AreaChart {
        let share = |i: usize, c: usize| 1.0 + ((i * 7 + c / 20) % 5) as f64;
        let sum = |c: usize| (0..names).map(|i| share(i, c)).sum::<f64>();
        AreaChart {
            title: "mixture".into(),
            x_label: "step".into(),
            y_label: "share of tokens".into(),
            names: (0..names).map(|i| format!("domain {i}")).collect(),
            xs: (0..columns).map(|c| c as f64).collect(),
            shares: (0..names)
                .map(|i| (0..columns).map(|c| share(i, c) / sum(c)).collect())
                .collect(),
            marks: vec![(0.0, "lr 0.1".into()), (1.0, "rule \"bandit\"".into())],
        }
    }

    #[test]
    fn every_size_is_tidy() {
        for (columns, names) in [(1, 1), (2, 7), (100, 4), (20_000, 7), (50, 40)] {
            let sheet = lay_out(&mixture(columns, names)).unwrap();
            assert_tidy(&sheet);
            assert!(texts(&sheet).contains(&"100%"));
        }
    }

    #[test]
    fn a_long_run_keeps_its_ends_and_its_sum() {
        let stacks = binned(runs(&mixture(20_000, 3)).remove(0));
        assert_eq!(stacks.len(), COLUMNS_SHOWN);
        assert_eq!((stacks[0].x, stacks[COLUMNS_SHOWN - 1].x), (0.0, 19_999.0));
        // Means of sums of one, to rounding.
        assert!(stacks.iter().all(|s| (s.edges[2] - 1.0).abs() < 1e-9));
    }

    #[test]
    fn a_column_with_a_missing_share_is_a_gap() {
        let mut chart = mixture(10, 2);
        chart.shares[0][4] = f64::NAN;
        chart.shares[1].pop();
        let lengths: Vec<usize> = runs(&chart).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4, 4]);
        lay_out(&chart).unwrap();
        chart.shares.clear();
        assert_eq!(texts(&lay_out(&chart).unwrap()), ["mixture", "no data yet"]);
    }
}
