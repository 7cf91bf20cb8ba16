//! Shares on their way and numbers so far, as bars and sparklines: the live picture of long work and a
//! part of a run's portrait.

use std::fmt::Write as _;

use super::super::draw::theme;
use super::super::format::number;
use super::super::markup::{bar, bar_text, clipped, escaped, spark, spark_text};
use super::super::print::one_line;
use crate::progress::{Detail, Gauge, Trail};

/// Gauges of a group that are drawn; the rest is counted.
const MOST: usize = 16;
/// Longest name, in characters.
const WIDEST: usize = 32;

/// Cells of a row, a grid of three columns.
const GRID: &str = "display:inline-grid;grid-template-columns:auto auto auto;gap:1px 0.8em;\
                    align-items:center;margin:0.3em 2.5em 0.3em 0;vertical-align:top;\
                    font-variant-numeric:tabular-nums";

/// The groups in the order in which they first come.
fn groups(gauges: &[Gauge]) -> Vec<(&'static str, Vec<&Gauge>)> {
    let mut groups: Vec<(&'static str, Vec<&Gauge>)> = Vec::new();
    for gauge in gauges {
        match groups.iter_mut().find(|(name, _)| *name == gauge.group) {
            Some((_, list)) => list.push(gauge),
            None => groups.push((gauge.group, vec![gauge])),
        }
    }
    groups
}

fn name(text: &str) -> String {
    clipped(&one_line(text), WIDEST)
}

/// `0.21 of 0.25`
fn told(gauge: &Gauge) -> String {
    let aim = gauge.aim.map_or(String::new(), |aim| format!(" of {aim:.3}"));
    format!("{:.3}{aim}", gauge.value)
}

/// `4.201 → 2.310`
fn ends(trail: &Trail) -> Option<String> {
    let (first, last) = (trail.values.first()?, trail.values.last()?);
    Some(format!("{} → {}", number(*first), number(*last)))
}

/// Writes long work as HTML: a line above (may be empty), a bar where the end is known, the line of the
/// work, and what there is to see beside it.
pub fn work_html(above: &str, share: Option<f64>, line: &str, detail: Option<&Detail>) -> String {
    let mut out = String::from("<div class=\"woolshed-progress\">");
    if !above.is_empty() {
        let _ = write!(out, "<div style=\"opacity:0.8\">{}</div>", escaped(above));
    }
    let bar = share.map_or_else(String::new, |share| bar(share, None, theme::series(2)) + " ");
    let _ = write!(
        out,
        "<div style=\"font-variant-numeric:tabular-nums\">{bar}{}</div>",
        escaped(line)
    );
    out.push_str(&detail.map_or_else(String::new, to_html));
    out + "</div>\n"
}

/// Writes gauges and trails as HTML, side by side where there is room.
pub fn to_html(detail: &Detail) -> String {
    let mut out = String::from("<div>");
    for (i, (group, gauges)) in groups(&detail.gauges).into_iter().enumerate() {
        let _ = write!(
            out,
            "<div style=\"{GRID}\"><div style=\"grid-column:1/-1;opacity:0.75\">{group}</div>"
        );
        for gauge in gauges.iter().take(MOST) {
            let _ = write!(
                out,
                "<div>{}</div><div>{}</div><div>{}</div>",
                escaped(&name(&gauge.name)),
                bar(gauge.value, gauge.aim, theme::series(i)),
                told(gauge)
            );
        }
        if gauges.len() > MOST {
            let more = gauges.len() - MOST;
            let _ =
                write!(out, "<div style=\"grid-column:1/-1;opacity:0.75\">and {more} more</div>");
        }
        out.push_str("</div>");
    }
    for trail in &detail.trails {
        let drawn = spark(&trail.name, &trail.values);
        if let (Some(told), false) = (ends(trail), drawn.is_empty()) {
            let name = escaped(&name(&trail.name));
            let _ = write!(
                out,
                "<div style=\"{GRID}\"><div style=\"grid-column:1/-1;opacity:0.75\">{name}</div>\
                 <div style=\"grid-column:1/-1\">{drawn}</div>\
                 <div style=\"grid-column:1/-1\">{told}</div></div>"
            );
        }
    }
    out + "</div>\n"
}

/// Writes gauges and trails as plain text.
pub fn to_text(detail: &Detail) -> String {
    let mut out = String::new();
    let wide = |names: &mut dyn Iterator<Item = &String>| {
        names.map(|n| name(n).chars().count()).max().unwrap_or(0)
    };
    for (group, gauges) in groups(&detail.gauges) {
        let _ = writeln!(out, "{group}");
        let wide = wide(&mut gauges.iter().take(MOST).map(|g| &g.name));
        for gauge in gauges.iter().take(MOST) {
            let bar = bar_text(gauge.value, gauge.aim);
            let _ = writeln!(out, "  {:<wide$}  {bar}  {}", name(&gauge.name), told(gauge));
        }
        if gauges.len() > MOST {
            let _ = writeln!(out, "  and {} more", gauges.len() - MOST);
        }
    }
    for trail in &detail.trails {
        if let Some(told) = ends(trail) {
            let _ = writeln!(out, "{}  {}  {told}", name(&trail.name), spark_text(&trail.values));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(group: &'static str, name: &str, value: f64, aim: Option<f64>) -> Gauge {
        Gauge { group, name: name.into(), value, aim }
    }

    fn detail() -> Detail {
        Detail {
            note: String::new(),
            gauges: vec![
                gauge("sparsity", "head", 0.2, Some(0.5)),
                gauge("sparsity", "hidden", 0.1, Some(0.25)),
                gauge("mixture", "<script>", 0.4, None),
            ],
            trails: vec![Trail { name: "loss".into(), values: vec![4.0, 3.0, 2.0] }],
        }
    }

    #[test]
    fn gauges_stand_in_groups_with_their_aims() {
        let expected = "\
sparsity
  head    ██···│····  0.200 of 0.500
  hidden  █·│·······  0.100 of 0.250
mixture
  <script>  ████······  0.400
loss  █▅▁  4 → 2
";
        assert_eq!(to_text(&detail()), expected);
    }

    #[test]
    fn html_says_the_same_numbers_and_escapes_names() {
        let html = to_html(&detail());
        assert!(html.contains("0.200 of 0.500") && html.contains("4 → 2"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script"), "{html}");
        assert_eq!(html.matches("<svg").count(), 4);
    }

    #[test]
    fn a_picture_stays_small_whatever_it_is_of() {
        let long = "domain ".repeat(1000);
        let gauges = (0..5000).map(|_| gauge("mixture", &long, 0.1, None)).collect();
        let values = (0..100_000).map(f64::from);
        let trails = vec![Trail::of(long.clone(), values)];
        let detail = Detail { note: String::new(), gauges, trails };
        assert!(to_html(&detail).contains("and 4984 more"));
        // Five of these a second are 80 kB/s.
        assert!(to_html(&detail).len() < 16_000, "{}", to_html(&detail).len());
        assert!(to_text(&detail).len() < 4_000);
    }
}
