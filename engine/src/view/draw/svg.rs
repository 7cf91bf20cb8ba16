//! A sheet as SVG, through plotters' SVG backend.
//!
//! The backend places everything on whole units. It is given a sheet ten times as large, and the
//! picture's `viewBox` shrinks it back: curves are smooth to a tenth of a pixel.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, RGBColor};

use super::super::error::ViewError;
use super::theme::{self, Ink};
use super::{Anchor, Mark, Sheet, Text, font};

/// Units of the backend for one unit of the sheet.
const FINE: f64 = 10.0;
/// plotters' SVG text is 1/1.24 as large as asked for.
const SVG_EM: f64 = 1.24;
/// plotters' middle is half an ex below the point (0.26 em in common fonts); the middle of capitals
/// is 0.36 em above the baseline.
const DOWN: f64 = 0.1;

/// Draws `sheet`.
pub(crate) fn draw(sheet: &Sheet) -> Result<String, ViewError> {
    let mut body = String::new();
    {
        let size = (unit(sheet.width) as u32, unit(sheet.height) as u32);
        let mut backend = SVGBackend::with_string(&mut body, size);
        marks(&mut backend, sheet).map_err(|source| ViewError::Draw {
            title: sheet.title.clone(),
            kind: "SVG",
            source,
        })?;
    }
    Ok(with_head(sheet, &body))
}

/// Replaces the backend's opening tag by one with the sheet's size, a name for screen readers and
/// the card.
fn with_head(sheet: &Sheet, body: &str) -> String {
    let rest = body.split_once('>').map_or("", |(_, rest)| rest);
    let (w, h) = (sheet.width, sheet.height);
    let (wide, high) = (unit(w), unit(h));
    let (card, edge, corner) = (hex(theme::CARD), hex(theme::EDGE), unit(theme::CORNER));
    let name = sheet.title.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    let half = unit(0.5);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {wide} {high}\" style=\"max-width:100%;height:auto\" \
         stroke-linejoin=\"round\" role=\"img\" aria-label=\"{name}\">\n\
         <rect x=\"{half}\" y=\"{half}\" width=\"{}\" height=\"{}\" rx=\"{corner}\" \
         fill=\"{card}\" stroke=\"{edge}\" stroke-width=\"{}\"/>{rest}",
        wide - 2 * half,
        high - 2 * half,
        unit(1.0),
    )
}

/// Draws every mark. The backend's error type lives in a crate the engine does not name.
fn marks(
    backend: &mut SVGBackend<'_>,
    sheet: &Sheet,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for mark in &sheet.marks {
        match mark {
            Mark::Rect { x, y, w, h, ink } => {
                backend.draw_rect(point(*x, *y), point(x + w, y + h), &colour(*ink), true)?;
            }
            Mark::Line { points, width, ink } => {
                let path = points.iter().map(|p| point(p.0, p.1));
                let pen = colour(*ink).stroke_width(unit(*width).max(1) as u32);
                backend.draw_path(path, &pen)?;
            }
            Mark::Band { columns, ink } => {
                let upper = columns.iter().map(|c| point(c.0, c.1));
                let lower = columns.iter().rev().map(|c| point(c.0, c.2));
                backend.fill_polygon(upper.chain(lower), &colour(*ink))?;
            }
            Mark::Dot { x, y, radius, ink } => {
                let radius = unit(*radius).max(1) as u32;
                backend.draw_circle(point(*x, *y), radius, &colour(*ink), true)?;
            }
            Mark::Text(text) => {
                let Text { x, y, size, .. } = text;
                let (x, y) =
                    if text.upright { (x + DOWN * size, *y) } else { (*x, y + DOWN * size) };
                let font = font::font(size * FINE * SVG_EM, text.bold).transform(turn(text));
                let style = font.color(&colour(text.ink)).pos(Pos::new(side(text), VPos::Center));
                backend.draw_text(&text.text, &style, point(x, y))?;
            }
        }
    }
    backend.present()?;
    Ok(())
}

fn unit(x: f64) -> i32 {
    (x * FINE).round() as i32
}

fn point(x: f64, y: f64) -> (i32, i32) {
    (unit(x), unit(y))
}

fn hex(ink: Ink) -> String {
    format!("#{:02X}{:02X}{:02X}", ink.0, ink.1, ink.2)
}

pub(crate) fn colour(ink: Ink) -> RGBColor {
    RGBColor(ink.0, ink.1, ink.2)
}

pub(crate) fn side(text: &Text) -> HPos {
    match text.anchor {
        Anchor::Start => HPos::Left,
        Anchor::Middle => HPos::Center,
        Anchor::End => HPos::Right,
    }
}

pub(crate) fn turn(text: &Text) -> FontTransform {
    if text.upright { FontTransform::Rotate270 } else { FontTransform::None }
}
