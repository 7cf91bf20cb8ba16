//! The plain-text twin of every chart, for terminals, logs and screen readers.
//!
//! A series is a line of blocks and its first and last value; a heat map is rows of shades.

use std::fmt::Write as _;

use super::chart::{AreaChart, BarChart, Chart, HeatMap, LineChart, Style};
use super::draw::theme::NO_DATA;
use super::format::{number, percent};
use super::heat::{binned, level, range};
use super::points::{drawable, extent};
use super::print::one_line;
use super::table::{Column, Table};

/// Characters of a line of blocks.
const LINE: usize = 40;
/// Characters of a row of shades.
const ROW: usize = 60;
/// Eight heights.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Five shades, low to high.
const SHADES: [char; 5] = ['·', '░', '▒', '▓', '█'];
/// What is no number.
const GAP: char = ' ';

/// Writes `chart` as text.
pub(crate) fn of(chart: &Chart) -> String {
    let body = match chart {
        Chart::Lines(c) => lines(c),
        Chart::Areas(c) => areas(c),
        Chart::Heat(c) => heat(c),
        Chart::Bars(c) => bars(c),
    };
    let title = one_line(chart.title());
    let body = if body.is_empty() { format!("{NO_DATA}\n") } else { body };
    if title.is_empty() { body } else { format!("{title}\n{body}") }
}

fn lines(chart: &LineChart) -> String {
    let shown = |y: f64| drawable(y) && (!chart.log_y || y > 0.0);
    let points = || chart.series.iter().flat_map(|s| &s.points);
    let good = || points().filter(|p| drawable(p.0) && shown(p.1));
    let (Some(xs), Some(ys)) = (extent(good().map(|p| p.0)), extent(good().map(|p| p.1))) else {
        return String::new();
    };
    let scaled = |y: f64| if chart.log_y { y.ln() } else { y };
    let ys = (scaled(ys.0), scaled(ys.1));
    let mut rows = Vec::new();
    for series in &chart.series {
        let points: Vec<(f64, f64)> =
            series.points.iter().copied().filter(|p| drawable(p.0) && shown(p.1)).collect();
        let values: Vec<(f64, f64)> = points.iter().map(|p| (p.0, scaled(p.1))).collect();
        let dashed = if series.style == Style::Dashed { " (dashed)" } else { "" };
        let name = format!("{}{dashed}", one_line(&series.name));
        let told = match (points.first(), points.last()) {
            (Some(a), Some(b)) => format!("{} → {}", number(a.1), number(b.1)),
            _ => NO_DATA.to_string(),
        };
        rows.push([name, blocks(&columns(&values, xs), ys), told]);
    }
    let mut out = axes(&chart.y_label, &chart.x_label, xs);
    out.push_str(&aligned(&rows));
    out.push_str(&marks(&chart.marks));
    out
}

/// Marks in time, a line each.
fn marks(marks: &[(f64, String)]) -> String {
    let line =
        |(x, label): &(f64, String)| format!("mark at {}: {}\n", number(*x), one_line(label));
    marks.iter().map(line).collect()
}

fn areas(chart: &AreaChart) -> String {
    let good = chart.xs.iter().copied().filter(|&x| drawable(x));
    let Some(xs) = extent(good) else {
        return String::new();
    };
    // Shares of one read as percentages, other amounts as they are.
    let most = extent(chart.shares.iter().flatten().copied()).map_or(1.0, |e| e.1);
    let write = if most <= 1.001 { percent } else { number };
    let mut rows = Vec::new();
    for (name, share) in chart.names.iter().zip(&chart.shares) {
        let points: Vec<(f64, f64)> = chart
            .xs
            .iter()
            .copied()
            .zip(share.iter().copied())
            .filter(|p| drawable(p.0) && drawable(p.1))
            .collect();
        let told = match (points.first(), points.last()) {
            (Some(a), Some(b)) => format!("{} → {}", write(a.1), write(b.1)),
            _ => NO_DATA.to_string(),
        };
        rows.push([one_line(name), blocks(&columns(&points, xs), (0.0, most)), told]);
    }
    if rows.is_empty() {
        return String::new();
    }
    axes(&chart.y_label, &chart.x_label, xs) + &aligned(&rows) + &marks(&chart.marks)
}

fn heat(map: &HeatMap) -> String {
    let Some(data) = extent(map.rows.iter().flat_map(|r| r.values.iter().copied())) else {
        return String::new();
    };
    let range = range(map.range, data);
    let rows: Vec<[String; 3]> = map
        .rows
        .iter()
        .map(|row| {
            let shade = |v: f64| level(v, range, SHADES.len()).map_or(GAP, |l| SHADES[l]);
            let cells: String = binned(&row.values, ROW).into_iter().map(shade).collect();
            let mean = binned(&row.values, 1).first().copied();
            let told = mean.map_or_else(String::new, |m| {
                format!("{} wide, mean {}", row.values.len(), number(m))
            });
            [one_line(&row.label), cells, told]
        })
        .collect();
    let shades: String = SHADES.iter().collect();
    let mut out = format!("{} {shades} {}", number(range.0), number(range.1));
    if !map.y_label.is_empty() {
        let _ = write!(out, "  {}", one_line(&map.y_label));
    }
    out.push('\n');
    out.push_str(&aligned(&rows));
    for line in [&map.x_label, &map.note] {
        if !line.is_empty() {
            let _ = writeln!(out, "{}", one_line(line));
        }
    }
    out
}

fn bars(chart: &BarChart) -> String {
    let groups = chart.groups.len();
    let values = chart.series.iter().flat_map(|s| s.1.iter().take(groups).copied());
    if extent(values).is_none() {
        return String::new();
    }
    let first = if chart.x_label.is_empty() { "group" } else { &chart.x_label };
    let mut columns = vec![(first.to_string(), Column::Text(chart.groups.clone()))];
    for (i, (name, values)) in chart.series.iter().enumerate() {
        // Names of columns must differ, names of series need not.
        let taken = columns.iter().any(|c| c.0 == *name);
        let name = if taken { format!("{name} #{}", i + 1) } else { name.clone() };
        let cell = |g: usize| values.get(g).copied().filter(|&v| drawable(v));
        columns.push((name, Column::Float((0..groups).map(cell).collect())));
    }
    let Ok(table) = Table::new(one_line(&chart.y_label), columns) else {
        return String::new();
    };
    table.to_text()
}

/// One line on the axes: `loss, nats/token · step 0 to 400`.
fn axes(y: &str, x: &str, (from, to): (f64, f64)) -> String {
    let x = if x.is_empty() { "x" } else { x };
    let over = format!("{} {} to {}", one_line(x), number(from), number(to));
    if y.is_empty() { format!("{over}\n") } else { format!("{} · {over}\n", one_line(y)) }
}

/// Means of points in equal columns of x; a column without points has none.
fn columns(points: &[(f64, f64)], (from, to): (f64, f64)) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0u32); LINE];
    for &(x, y) in points {
        let share = if to > from { (x - from) / (to - from) } else { 0.0 };
        let column = ((share * LINE as f64) as usize).min(LINE - 1);
        sums[column].0 += y;
        sums[column].1 += 1;
    }
    let mut means: Vec<Option<f64>> =
        sums.iter().map(|&(sum, n)| (n > 0).then(|| sum / f64::from(n))).collect();
    if points.len() < LINE {
        // A few points are steps: each holds until the next.
        let last = means.iter().rposition(Option::is_some).unwrap_or(0);
        for i in 1..=last {
            means[i] = means[i].or(means[i - 1]);
        }
    }
    means
}

pub(super) fn blocks(values: &[Option<f64>], (lo, hi): (f64, f64)) -> String {
    let range = if lo < hi { (lo, hi) } else { (lo - 0.5, lo + 0.5) };
    let block = |v: &Option<f64>| v.and_then(|v| level(v, range, BLOCKS.len()));
    values.iter().map(|v| block(v).map_or(GAP, |l| BLOCKS[l])).collect()
}

/// Sets rows of name, picture and words in columns.
fn aligned(rows: &[[String; 3]]) -> String {
    let wide = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let (first, second) = (wide(0), wide(1));
    let mut out = String::new();
    for [name, picture, told] in rows {
        let line = format!("{name:<first$}  {picture:<second$}  {told}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::chart::{HeatRow, Series};
    use super::*;

    #[test]
    fn a_line_is_blocks_with_its_first_and_last_value() {
        let falling = (0..=400).map(|i| (f64::from(i), 4.0 - 0.005 * f64::from(i))).collect();
        let chart = Chart::from(LineChart {
            title: "loss".into(),
            x_label: "step".into(),
            y_label: "nats/token".into(),
            series: vec![
                Series::new("train", falling),
                Series::new("floor", vec![(0.0, 2.0), (400.0, 2.0)]).dashed(),
            ],
            marks: vec![(100.0, "warm-up ends".into())],
            ..LineChart::default()
        });
        let expected = "\
loss
nats/token · step 0 to 400
train           ███████▇▇▇▇▇▆▆▆▆▆▅▅▅▅▅▄▄▄▄▄▃▃▃▃▃▂▂▂▂▂▁▁▁  4 → 2
floor (dashed)  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁  2 → 2
mark at 100: warm-up ends
";
        let text = chart.to_text();
        // The heights of single blocks depend on rounding at their edges; the words do not.
        let words = |t: &str| t.chars().filter(|c| !BLOCKS.contains(c)).collect::<String>();
        assert_eq!(words(&text), words(expected), "{text}");
        let train = text.lines().nth(2).unwrap();
        assert!(train.contains('█') && train.contains("▁  4 → 2"), "{train}");
    }

    #[test]
    fn a_heat_map_is_shades() {
        let row = |label: &str, values: Vec<f64>| HeatRow { label: label.into(), values };
        let chart = Chart::from(HeatMap {
            title: "gates".into(),
            rows: vec![
                row("heads", vec![0.0, 1.0, 0.5, f64::NAN, 1.0]),
                row("mlp", (0..120).map(|i| f64::from(i / 60)).collect()),
            ],
            range: (0.0, 1.0),
            ..HeatMap::default()
        });
        let text = chart.to_text();
        assert!(text.starts_with("gates\n0 ·░▒▓█ 1\nheads  ·█▒ █ "), "{text}");
        let mlp = format!("mlp    {}{}", "·".repeat(30), "█".repeat(30));
        assert!(text.contains(&mlp), "{text}");
        assert!(text.contains("120 wide, mean 0.5"), "{text}");
    }

    #[test]
    fn bars_are_a_table() {
        let chart = Chart::from(BarChart {
            title: "loss by domain".into(),
            x_label: "domain".into(),
            groups: vec!["book".into(), "code".into()],
            series: vec![("source".into(), vec![2.0, 1.5]), ("source".into(), vec![2.25])],
            ..BarChart::default()
        });
        let expected = "\
loss by domain
domain │ source │ source #2
───────┼────────┼──────────
book   │    2.0 │      2.25
code   │    1.5 │         –
";
        assert_eq!(chart.to_text(), expected);
    }

    #[test]
    fn a_chart_without_data_says_so() {
        let areas = AreaChart { title: "mixture".into(), ..AreaChart::default() };
        assert_eq!(Chart::from(areas).to_text(), "mixture\nno data yet\n");
        assert_eq!(Chart::from(LineChart::default()).to_text(), "no data yet\n");
        assert_eq!(Chart::from(HeatMap::default()).to_text(), "no data yet\n");
        assert_eq!(Chart::from(BarChart::default()).to_text(), "no data yet\n");
    }
}
