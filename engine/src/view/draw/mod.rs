//! The sheet a chart is laid out on.
//!
//! A layout places marks on a [`Sheet`] in units of one CSS pixel; `svg.rs` and `png.rs` then draw the
//! same marks through plotters' backends. Between the two, a sheet is plain data that tests can
//! measure: no text may leave the card, no label may cover another.
//!
//! | file | what it is for |
//! |---|---|
//! | `theme.rs` | colours, sizes, distances |
//! | `axis.rs` | where a value goes, and which ticks name it |
//! | `label.rs` | names at the ends of lines, and the legend |
//! | `path.rs` | lines cut at the edges of the plot, and dashes |
//! | `font.rs` | the font, and how wide a text is |
//! | `svg.rs` | a sheet as SVG |
//! | `png.rs` | a sheet as PNG |

pub(crate) mod axis;
mod font;
pub(crate) mod label;
pub(crate) mod path;
mod png;
mod svg;
pub(crate) mod theme;

use super::error::ViewError;
use super::print::one_line;
use theme::Ink;

/// Where a text sits relative to its point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A piece of text; `y` is the middle of its capitals.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    pub x: f64,
    pub y: f64,
    pub text: String,
    pub size: f64,
    pub bold: bool,
    pub anchor: Anchor,
    /// True for text that reads upwards.
    pub upright: bool,
    pub ink: Ink,
}

/// Anything drawn.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A filled rectangle.
    Rect { x: f64, y: f64, w: f64, h: f64, ink: Ink },
    /// An open line through points.
    Line { points: Vec<(f64, f64)>, width: f64, ink: Ink },
    /// The area between two curves over the same x: (x, upper, lower).
    Band { columns: Vec<(f64, f64, f64)>, ink: Ink },
    /// A filled circle.
    Dot { x: f64, y: f64, radius: f64, ink: Ink },
    /// A piece of text.
    Text(Text),
}

/// A card with marks on it.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub title: String,
    pub width: f64,
    pub height: f64,
    pub marks: Vec<Mark>,
}

impl Sheet {
    /// Opens a card with its title set.
    ///
    /// # Errors
    /// The built-in font cannot be read.
    pub fn new(title: &str, height: f64) -> Result<Self, ViewError> {
        font::register()?;
        let title = one_line(title);
        let mut sheet = Self { title, width: theme::WIDTH, height, marks: Vec::new() };
        let room = sheet.width - 2.0 * theme::MARGIN;
        let text = sheet.fitted(&sheet.title, theme::TITLE, true, room);
        sheet.marks.push(Mark::Text(Text {
            x: theme::MARGIN,
            y: theme::TITLE_Y,
            text,
            size: theme::TITLE,
            bold: true,
            anchor: Anchor::Start,
            upright: false,
            ink: theme::INK,
        }));
        Ok(sheet)
    }

    /// Opens a card that says that there is nothing to draw.
    ///
    /// # Errors
    /// The built-in font cannot be read.
    pub fn empty(title: &str) -> Result<Self, ViewError> {
        let mut sheet = Self::new(title, theme::EMPTY_HEIGHT)?;
        let (x, y) = (sheet.width / 2.0, sheet.height / 2.0);
        sheet.text(x, y, theme::NO_DATA, theme::TITLE, Anchor::Middle, theme::MUTED);
        Ok(sheet)
    }

    /// Places a text.
    pub fn text(&mut self, x: f64, y: f64, text: &str, size: f64, anchor: Anchor, ink: Ink) {
        if text.is_empty() {
            return;
        }
        let text = one_line(text);
        let (bold, upright) = (false, false);
        self.marks.push(Mark::Text(Text { x, y, text, size, bold, anchor, upright, ink }));
    }

    /// Places a text that reads upwards from (x, y).
    pub fn upright(&mut self, x: f64, y: f64, text: &str, size: f64, ink: Ink) {
        let text = one_line(text);
        let (bold, upright, anchor) = (false, true, Anchor::Start);
        self.marks.push(Mark::Text(Text { x, y, text, size, bold, anchor, upright, ink }));
    }

    /// Places a line through `points`.
    pub fn line(&mut self, points: Vec<(f64, f64)>, width: f64, ink: Ink) {
        self.marks.push(Mark::Line { points, width, ink });
    }

    /// Places a filled rectangle.
    pub fn rect(&mut self, x: f64, y: f64, w: f64, h: f64, ink: Ink) {
        self.marks.push(Mark::Rect { x, y, w, h, ink });
    }

    /// Measures the width of a text.
    pub fn width_of(&self, text: &str, size: f64, bold: bool) -> f64 {
        font::width(text, size, bold)
    }

    /// Gives the longest beginning of `text` that fits into `room`, with `…` if something is cut.
    pub fn fitted(&self, text: &str, size: f64, bold: bool, room: f64) -> String {
        let text = one_line(text);
        if self.width_of(&text, size, bold) <= room {
            return text;
        }
        let chars: Vec<char> = text.chars().collect();
        let cut = |n: usize| {
            let kept: String = chars[..n].iter().collect();
            format!("{}…", kept.trim_end())
        };
        // Widths grow with the number of characters, so that the longest fit is found by halving.
        let (mut fits, mut fails) = (0, chars.len());
        while fits + 1 < fails {
            let half = (fits + fails) / 2;
            if self.width_of(&cut(half), size, bold) <= room { fits = half } else { fails = half }
        }
        cut(fits)
    }

    /// Draws the sheet as SVG.
    ///
    /// # Errors
    /// The drawing backend fails.
    pub fn to_svg(&self) -> Result<String, ViewError> {
        svg::draw(self)
    }

    /// Draws the sheet as PNG, `scale` pixels for one unit.
    ///
    /// # Errors
    /// The scale is out of range, or the drawing backend fails.
    pub fn to_png(&self, scale: f64) -> Result<Vec<u8>, ViewError> {
        png::draw(self, scale)
    }
}

/// Checks that tests of every layout share.
#[cfg(test)]
pub(crate) mod checks {
    use super::*;

    /// The box of a text: left, top, right, bottom.
    pub fn bounds(sheet: &Sheet, t: &Text) -> (f64, f64, f64, f64) {
        let long = sheet.width_of(&t.text, t.size, t.bold);
        let half = 0.5 * theme::CAPITALS * t.size;
        if t.upright {
            return (t.x - half, t.y - long, t.x + half, t.y);
        }
        let left = match t.anchor {
            Anchor::Start => t.x,
            Anchor::Middle => t.x - long / 2.0,
            Anchor::End => t.x - long,
        };
        (left, t.y - half, left + long, t.y + half)
    }

    /// Every text lies on the card and covers no other text.
    pub fn assert_tidy(sheet: &Sheet) {
        let texts: Vec<&Text> = sheet
            .marks
            .iter()
            .filter_map(|m| if let Mark::Text(t) = m { Some(t) } else { None })
            .collect();
        for (i, text) in texts.iter().enumerate() {
            let a = bounds(sheet, text);
            let inside =
                a.0 >= 4.0 && a.1 >= 4.0 && a.2 <= sheet.width - 4.0 && a.3 <= sheet.height - 4.0;
            assert!(inside, "`{}` leaves the card: {a:?}", text.text);
            for other in &texts[..i] {
                let b = bounds(sheet, other);
                let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
                assert!(apart, "`{}` covers `{}`: {a:?} {b:?}", text.text, other.text);
            }
        }
    }

    /// The texts of a sheet, in the order they were placed.
    pub fn texts(sheet: &Sheet) -> Vec<&str> {
        sheet
            .marks
            .iter()
            .filter_map(|m| if let Mark::Text(t) = m { Some(t.text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn a_long_title_is_cut_to_the_card() {
        let sheet = Sheet::new(&"a very long title ".repeat(20), theme::HEIGHT).unwrap();
        assert_tidy(&sheet);
        assert!(texts(&sheet)[0].ends_with('…'));
    }

    #[test]
    fn an_empty_sheet_says_so() {
        assert_eq!(texts(&Sheet::empty("loss").unwrap()), ["loss", "no data yet"]);
    }
}
