//! Small pieces of pages: escaped text, bars and sparklines as SVG, and their twins in letters.
//!
//! What stands in a page takes the page's own colour of text (`currentColor`), and its fills have a
//! contrast of at least 3:1 with white and with #111: one picture serves light and dark themes. What
//! a bar or a line says stands beside it in digits, for a page that strips SVG.

use std::fmt::Write as _;

use super::draw::theme::{self, Ink};
use super::points::{drawable, extent};
use super::twin::blocks;

/// Width and height of a bar, in CSS pixels.
const BAR: (f64, f64) = (120.0, 10.0);
/// Width and height of a sparkline, in CSS pixels.
const SPARK: (f64, f64) = (240.0, 40.0);
/// Characters of a bar of letters.
const LETTERS: usize = 10;
/// Characters of a sparkline of letters.
const SPARK_LETTERS: usize = 30;

/// Escapes text for HTML and XML, also inside an attribute's quotes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Keeps the beginning of a text, with `…` where something is cut.
pub(crate) fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let mut kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept.push('…');
    kept
}

/// A share as a part of the width; what is no share is none of it.
fn share(value: f64) -> f64 {
    if value.is_finite() { value.clamp(0.0, 1.0) } else { 0.0 }
}

/// A colour as a page writes it.
pub(super) fn hex(ink: Ink) -> String {
    format!("#{:02X}{:02X}{:02X}", ink.0, ink.1, ink.2)
}

/// Opens an SVG in a page. `what` is its name for screen readers.
pub(super) fn svg(what: &str, width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\" \
         style=\"vertical-align:middle;max-width:100%\">",
        escaped(what)
    )
}

/// A bar for a share, with a tick where it is to go.
pub(super) fn bar(value: f64, aim: Option<f64>, ink: Ink) -> String {
    let (wide, high) = BAR;
    let mut out = svg(&format!("{value:.2}"), wide, high);
    let _ = write!(
        out,
        "<rect y=\"1\" width=\"{wide}\" height=\"{}\" rx=\"2\" fill=\"currentColor\" \
         fill-opacity=\"0.14\"/><rect y=\"1\" width=\"{:.1}\" height=\"{}\" rx=\"2\" fill=\"{}\"/>",
        high - 2.0,
        share(value) * wide,
        high - 2.0,
        hex(ink)
    );
    if let Some(aim) = aim {
        let x = (share(aim) * wide).clamp(1.0, wide - 1.0) - 1.0;
        let _ =
            write!(out, "<rect x=\"{x:.1}\" width=\"2\" height=\"{high}\" fill=\"currentColor\"/>");
    }
    out + "</svg>"
}

/// A bar in letters: `███▌······`, with `│` where it is to go.
pub(super) fn bar_text(value: f64, aim: Option<f64>) -> String {
    const EIGHTHS: [char; 8] = ['·', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    // At most 8 * LETTERS.
    let eighths = (share(value) * (8 * LETTERS) as f64).round() as usize;
    let letter = |i: usize| match eighths.saturating_sub(8 * i) {
        n @ 0..8 => EIGHTHS[n],
        _ => '█',
    };
    let mut letters: Vec<char> = (0..LETTERS).map(letter).collect();
    if let Some(aim) = aim {
        let at = (share(aim) * LETTERS as f64) as usize;
        letters[at.min(LETTERS - 1)] = '│';
    }
    letters.into_iter().collect()
}

/// A line through values, evenly spaced; nothing for fewer than two.
pub(super) fn spark(what: &str, values: &[f64]) -> String {
    let (wide, high) = SPARK;
    let good: Vec<(usize, f64)> =
        values.iter().copied().enumerate().filter(|v| drawable(v.1)).collect();
    let Some((lo, hi)) = extent(good.iter().map(|v| v.1)).filter(|_| good.len() > 1) else {
        return String::new();
    };
    let last = (values.len() - 1) as f64;
    let x = |i: usize| 2.0 + (wide - 4.0) * i as f64 / last;
    let up = |v: f64| if hi > lo { (v - lo) / (hi - lo) } else { 0.5 };
    let y = |v: f64| high - 3.0 - (high - 6.0) * up(v);
    let mut out = svg(what, wide, high);
    let points: Vec<String> =
        good.iter().map(|&(i, v)| format!("{:.1},{:.1}", x(i), y(v))).collect();
    let (end, value) = good[good.len() - 1];
    let ink = hex(theme::series(5));
    let _ = write!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"1.5\"/>\
         <circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"{ink}\"/></svg>",
        points.join(" "),
        x(end),
        y(value)
    );
    out
}

/// A line through values in letters: `█▆▅▃▂▁`.
pub(super) fn spark_text(values: &[f64]) -> String {
    let many = values.len();
    let most = many.min(SPARK_LETTERS);
    let mean = |i: usize| {
        let bin = &values[i * many / most..(i + 1) * many / most];
        let mean = bin.iter().sum::<f64>() / bin.len() as f64;
        drawable(mean).then_some(mean)
    };
    let means: Vec<Option<f64>> = (0..most).map(mean).collect();
    extent(means.iter().flatten().copied()).map_or_else(String::new, |range| blocks(&means, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_of_letters_fills_by_eighths_and_ticks_its_aim() {
        assert_eq!(bar_text(0.0, None), "··········");
        assert_eq!(bar_text(0.55, None), "█████▌····");
        assert_eq!(bar_text(1.0, None), "██████████");
        assert_eq!(bar_text(0.2, Some(0.5)), "██···│····");
        assert_eq!(bar_text(f64::NAN, Some(7.0)), "·········│");
    }

    #[test]
    fn a_bar_stays_in_its_frame_for_any_number() {
        for value in [-1.0, 0.3, 9.0, f64::NAN, f64::INFINITY] {
            let bar = bar(value, Some(value), theme::series(0));
            for width in bar.split("width=\"").skip(1).filter_map(|s| s.split('"').next()) {
                let width: f64 = width.parse().unwrap();
                assert!((0.0..=BAR.0).contains(&width), "{value}: {bar}");
            }
        }
    }

    #[test]
    fn a_sparkline_draws_what_is_a_number_and_needs_two() {
        assert_eq!(spark("loss", &[]), "");
        assert_eq!(spark("loss", &[1.0]), "");
        let drawn = spark("<loss>", &[3.0, f64::NAN, 1.0]);
        assert!(drawn.contains("aria-label=\"&lt;loss&gt;\""), "{drawn}");
        assert!(drawn.contains("points=\"2.0,3.0 238.0,37.0\""), "{drawn}");
        assert_eq!(spark_text(&[2.0, 1.0]), "█▁");
        assert_eq!(spark_text(&[]), "");
        assert_eq!(spark_text(&[0.5; 300]).chars().count(), SPARK_LETTERS);
    }

    #[test]
    fn fills_stand_out_from_white_and_from_black_pages() {
        // WCAG 2.1 asks 3:1 of what is no text.
        for ink in [0, 1, 2, 5].map(theme::series) {
            for page in [(255, 255, 255), (0x11, 0x11, 0x11)] {
                let contrast = theme::contrast(ink, page);
                assert!(contrast >= 3.0, "{ink:?} on {page:?}: {contrast:.2}");
            }
        }
    }
}
