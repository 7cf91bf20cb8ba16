//! The font of every chart: DejaVu Sans, carried by the program.
//!
//! It draws the PNG and measures every text. A browser that shows the SVG takes its own sans-serif
//! font; DejaVu is wider than those, so that what fits here fits there.

use std::sync::OnceLock;

use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};

use super::super::error::ViewError;

/// The fonts a browser is offered, best first; also the name DejaVu is registered under.
pub(crate) const FAMILY: &str =
    "Inter, Helvetica Neue, Segoe UI, Liberation Sans, Arial, DejaVu Sans, sans-serif";

/// The font size plotters' bitmap text needs for an em of one pixel: ab_glyph counts from ascender
/// to descender, in DejaVu Sans (1901 + 483) / 2048 em.
pub(crate) const BITMAP_EM: f64 = 2384.0 / 2048.0;

/// Makes the font known to plotters, once.
///
/// # Errors
/// The font's bytes are no font.
pub(crate) fn register() -> Result<(), ViewError> {
    static DONE: OnceLock<Result<(), &'static str>> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| "DejaVu Sans")?;
        register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold()).map_err(|_| "DejaVu Sans Bold")
    });
    done.map_err(|font| ViewError::Font { font })
}

/// Gives the font at a size in plotters' units.
pub(crate) fn font(size: f64, bold: bool) -> FontDesc<'static> {
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::Name(FAMILY), size, style)
}

/// Measures the width of a text, in units of `size`.
pub(crate) fn width(text: &str, size: f64, bold: bool) -> f64 {
    // plotters measures in whole pixels; 100 times the size makes the rounding invisible.
    const FINE: f64 = 100.0;
    match font(size * FINE * BITMAP_EM, bold).layout_box(text) {
        Ok(((left, _), (right, _))) => f64::from(right - left) / FINE,
        // Only when the font is not registered: an em a character is never too little.
        Err(_) => size * text.chars().count() as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_measured_in_the_units_of_its_size() {
        register().unwrap();
        // A digit of DejaVu Sans is 1303 of 2048 units wide.
        let expected = 10.0 * 1303.0 / 2048.0;
        // plotters rounds to a hundredth of a unit.
        assert!((width("0", 10.0, false) - expected).abs() < 0.02);
        assert!(width("0", 10.0, true) > expected);
    }
}
