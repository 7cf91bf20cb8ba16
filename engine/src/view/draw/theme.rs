//! How every chart looks: colours, sizes, distances.
//!
//! The colours of series are Okabe and Ito's, told apart with every common colour blindness, in
//! darker tones: each has a contrast of at least 3:1 with the card. The card is light on every page,
//! so that one picture serves white and black notebooks.
//!
//! Source: Okabe and Ito, "Color Universal Design", 2008.

/// An opaque colour: red, green, blue.
pub(crate) type Ink = (u8, u8, u8);

/// Width of every chart, in CSS pixels.
pub(crate) const WIDTH: f64 = 760.0;
/// Height of most charts, in CSS pixels.
pub(crate) const HEIGHT: f64 = 420.0;
/// Height of a chart without data.
pub(crate) const EMPTY_HEIGHT: f64 = 180.0;
/// Space between the edge of the card and anything on it.
pub(crate) const MARGIN: f64 = 22.0;
/// Radius of the card's corners in SVG.
pub(crate) const CORNER: f64 = 10.0;

/// Size of the title.
pub(crate) const TITLE: f64 = 15.0;
/// Middle of the title.
pub(crate) const TITLE_Y: f64 = 28.0;
/// Size of axis titles, series names and group names.
pub(crate) const LABEL: f64 = 11.5;
/// Size of tick labels and values.
pub(crate) const SMALL: f64 = 10.5;
/// Middle of the line under the title, which names the y axis.
pub(crate) const SUBTITLE_Y: f64 = 51.0;
/// Height of capitals, as a share of the size (DejaVu Sans: 1493 of 2048 units).
pub(crate) const CAPITALS: f64 = 0.729;

/// What a chart without data says.
pub(crate) const NO_DATA: &str = "no data yet";

/// The card.
pub(crate) const CARD: Ink = (0xFD, 0xFD, 0xFB);
/// The card's edge.
pub(crate) const EDGE: Ink = (0xDD, 0xDD, 0xD8);
/// Titles and names.
pub(crate) const INK: Ink = (0x22, 0x26, 0x2B);
/// Axis titles, tick labels, notes: 5.9:1 on the card.
pub(crate) const MUTED: Ink = (0x5C, 0x63, 0x6B);
/// Grid lines.
pub(crate) const GRID: Ink = (0xE7, 0xE7, 0xE3);
/// Axis lines and marks in time.
pub(crate) const AXIS: Ink = (0x9A, 0x9F, 0xA5);
/// Values that are no numbers.
pub(crate) const MISSING: Ink = (0xD0, 0xD0, 0xD0);

/// The colours of series, in the order they are given out.
const PALETTE: [Ink; 8] = [
    (0x00, 0x72, 0xB2), // blue
    (0xD5, 0x5E, 0x00), // vermilion
    (0x00, 0x8F, 0x6B), // green
    (0xA8, 0x4F, 0x8A), // purple
    (0xB8, 0x83, 0x00), // amber
    (0x2A, 0x93, 0xD1), // sky
    (0x4A, 0x4F, 0x55), // charcoal
    (0x8A, 0x5A, 0x3B), // brown
];

/// Gives the colour of series `i`; colours repeat after eight.
pub(crate) fn series(i: usize) -> Ink {
    PALETTE[i % PALETTE.len()]
}

/// The steps of the heat map's scale from lowest to highest: lightness falls evenly.
const HEAT: [Ink; 6] = [
    (0xF7, 0xF3, 0xDF),
    (0xCF, 0xE3, 0xBE),
    (0x86, 0xC4, 0xB4),
    (0x3F, 0x93, 0xB0),
    (0x26, 0x5C, 0x96),
    (0x17, 0x25, 0x5A),
];

/// Colours the heat map's scale has: enough to look even, few enough that neighbours often share one.
pub(crate) const HEAT_LEVELS: usize = 32;

/// Gives the colour of level `level` of [`HEAT_LEVELS`].
pub(crate) fn heat(level: usize) -> Ink {
    let place = level.min(HEAT_LEVELS - 1) as f64 / (HEAT_LEVELS - 1) as f64;
    let at = place * (HEAT.len() - 1) as f64;
    let low = (at.floor() as usize).min(HEAT.len() - 2);
    mix(HEAT[low], HEAT[low + 1], at - low as f64)
}

/// Mixes two colours; `share` is the part of the second.
pub(crate) fn mix(a: Ink, b: Ink, share: f64) -> Ink {
    let one = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    (one(a.0, b.0), one(a.1, b.1), one(a.2, b.2))
}

/// Relative luminance and contrast as WCAG 2.1 defines them.
#[cfg(test)]
pub(crate) fn contrast(a: Ink, b: Ink) -> f64 {
    let channel = |c: u8| {
        let c = f64::from(c) / 255.0;
        if c <= 0.039_28 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let light =
        |i: Ink| 0.2126 * channel(i.0) + 0.7152 * channel(i.1) + 0.0722 * channel(i.2) + 0.05;
    let (a, b) = (light(a), light(b));
    a.max(b) / a.min(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_and_every_text_stands_out_from_the_card() {
        for ink in PALETTE {
            assert!(contrast(ink, CARD) >= 3.0, "{ink:?}: {:.2}", contrast(ink, CARD));
        }
        assert!(contrast(MUTED, CARD) >= 4.5);
        assert!(contrast(INK, CARD) >= 7.0);
    }

    #[test]
    fn the_heat_scale_only_gets_darker() {
        let dark = |level| contrast(heat(level), (255, 255, 255));
        assert!((1..HEAT_LEVELS).all(|level| dark(level) > dark(level - 1)));
        assert_eq!(heat(0), HEAT[0]);
        assert_eq!(heat(HEAT_LEVELS - 1), HEAT[5]);
    }
}
