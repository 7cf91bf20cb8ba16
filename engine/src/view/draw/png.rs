//! A sheet as PNG, through plotters' bitmap backend.
//!
//! The backend's own edges are rough. The sheet is drawn several times larger and every pixel of the
//! picture is the mean of a square of those: edges, joints and letters come out smooth. A PNG has no
//! transparent corners; the card fills the picture.

use std::error::Error;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::style::text_anchor::{Pos, VPos};

use super::super::error::ViewError;
use super::svg::{colour, side, turn};
use super::theme::{self, Ink};
use super::{Mark, Sheet, Text, font};

/// The smallest and the largest scale: 380 to 3040 pixels wide.
const SCALES: (f64, f64) = (0.5, 4.0);
/// Drawn pixels for one unit of the sheet, at least.
const FINE: f64 = 6.0;
/// Middle of plotters' bitmap text to the middle of capitals, in em: the backend sets the baseline
/// 0.5 * 1.164 em below the top of a box that starts 0.5 * 1.164 / 1.24 em above the point.
const DOWN: f64 = 0.5 * theme::CAPITALS - 0.5 * font::BITMAP_EM * (1.0 - 1.0 / 1.24);

/// Draws `sheet` with `scale` pixels for one unit.
pub(crate) fn draw(sheet: &Sheet, scale: f64) -> Result<Vec<u8>, ViewError> {
    let (least, most) = SCALES;
    if !(least..=most).contains(&scale) {
        return Err(ViewError::Scale { scale, least, most });
    }
    let failed = |source| ViewError::Draw { title: sheet.title.clone(), kind: "PNG", source };
    let across = (FINE / scale).ceil().max(2.0) as u32;
    let size = ((sheet.width * scale).round() as u32, (sheet.height * scale).round() as u32);
    let large = (size.0 * across, size.1 * across);
    let mut pixels = vec![0; 3 * large.0 as usize * large.1 as usize];
    {
        let mut backend = BitMapBackend::with_buffer(&mut pixels, large);
        let pen = Pen { backend: &mut backend, unit: f64::from(large.0) / sheet.width };
        pen.sheet(sheet, large).map_err(failed)?;
    }
    encoded(&shrunk(&pixels, size, across), size).map_err(failed)
}

/// Takes the mean of every square of `across` x `across` pixels.
fn shrunk(pixels: &[u8], (width, height): (u32, u32), across: u32) -> Vec<u8> {
    let (width, height, across) = (width as usize, height as usize, across as usize);
    let row = 3 * width * across;
    let count = across * across;
    let mut out = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let mut sums = [0usize; 3];
            for dy in 0..across {
                let start = (y * across + dy) * row + 3 * x * across;
                for pixel in pixels[start..start + 3 * across].chunks_exact(3) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum += usize::from(value);
                    }
                }
            }
            out.extend(sums.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    out
}

/// Encodes pixels as PNG.
///
/// plotters' encoder only writes files; the picture takes the way through a scratch file.
fn encoded(pixels: &[u8], size: (u32, u32)) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("woolshed-chart-{}-{number}.png", std::process::id());
    let path = std::env::temp_dir().join(name);
    let written = {
        let mut backend = BitMapBackend::new(&path, size);
        backend.blit_bitmap((0, 0), size, pixels).and_then(|()| backend.present())
    };
    let bytes = written
        .map_err(|e| e.to_string())
        .and_then(|()| fs::read(&path).map_err(|e| format!("{}: {e}", path.display())));
    // The scratch file may not exist when writing failed; that error is already on its way.
    let _ = fs::remove_file(&path);
    Ok(bytes?)
}

/// Draws marks in the pixels of the large picture.
struct Pen<'a, 'b> {
    backend: &'a mut BitMapBackend<'b>,
    unit: f64,
}

impl Pen<'_, '_> {
    fn sheet(
        mut self,
        sheet: &Sheet,
        size: (u32, u32),
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.fill((0.0, 0.0), (f64::from(size.0), f64::from(size.1)), theme::CARD)?;
        for mark in &sheet.marks {
            match mark {
                Mark::Rect { x, y, w, h, ink } => {
                    let (from, to) = (self.at((*x, *y)), self.at((x + w, y + h)));
                    self.fill(from, to, *ink)?;
                }
                Mark::Line { points, width, ink } => self.line(points, *width, *ink)?,
                Mark::Band { columns, ink } => self.band(columns, *ink)?,
                Mark::Dot { x, y, radius, ink } => {
                    let centre = self.at((*x, *y));
                    self.dot(centre, radius * self.unit, *ink)?;
                }
                Mark::Text(text) => self.text(text)?,
            }
        }
        Ok(())
    }

    fn at(&self, point: (f64, f64)) -> (f64, f64) {
        (point.0 * self.unit, point.1 * self.unit)
    }

    fn fill(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        ink: Ink,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(self.backend.draw_rect(whole(from), whole(to), &colour(ink), true)?)
    }

    fn dot(
        &mut self,
        centre: (f64, f64),
        radius: f64,
        ink: Ink,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let radius = radius.round().max(1.0) as u32;
        Ok(self.backend.draw_circle(whole(centre), radius, &colour(ink), true)?)
    }

    /// A line is a box for every piece and a dot at every joint between two.
    fn line(
        &mut self,
        points: &[(f64, f64)],
        width: f64,
        ink: Ink,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let half = 0.5 * width * self.unit;
        let points: Vec<(f64, f64)> = points.iter().map(|&p| self.at(p)).collect();
        for (i, pair) in points.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            if i > 0 {
                self.dot(a, half, ink)?;
            }
            let (dx, dy) = (b.0 - a.0, b.1 - a.1);
            let long = dx.hypot(dy);
            if long < 1.0 {
                continue;
            }
            let (nx, ny) = (-dy / long * half, dx / long * half);
            if dx == 0.0 || dy == 0.0 {
                let from = (a.0.min(b.0) - nx.abs(), a.1.min(b.1) - ny.abs());
                let to = (a.0.max(b.0) + nx.abs(), a.1.max(b.1) + ny.abs());
                self.fill(from, to, ink)?;
                continue;
            }
            let corners = [
                (a.0 + nx, a.1 + ny),
                (b.0 + nx, b.1 + ny),
                (b.0 - nx, b.1 - ny),
                (a.0 - nx, a.1 - ny),
            ];
            self.backend.fill_polygon(corners.map(whole), &colour(ink))?;
        }
        Ok(())
    }

    /// A band is filled column by column of pixels.
    fn band(
        &mut self,
        columns: &[(f64, f64, f64)],
        ink: Ink,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for pair in columns.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let (from, to) = (a.0 * self.unit, b.0 * self.unit);
            for x in (from.round() as i64)..(to.round() as i64) {
                let share = ((x as f64 + 0.5 - from) / (to - from)).clamp(0.0, 1.0);
                let upper = (a.1 + share * (b.1 - a.1)) * self.unit;
                let lower = (a.2 + share * (b.2 - a.2)) * self.unit;
                self.fill((x as f64, upper), (x as f64 + 1.0, lower), ink)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &Text) -> Result<(), Box<dyn Error + Send + Sync>> {
        let down = DOWN * text.size;
        let (x, y) = if text.upright { (text.x + down, text.y) } else { (text.x, text.y + down) };
        let size = text.size * self.unit * font::BITMAP_EM;
        let font = font::font(size, text.bold).transform(turn(text));
        let style = font.color(&colour(text.ink)).pos(Pos::new(side(text), VPos::Center));
        let place = whole(self.at((x, y)));
        Ok(self.backend.draw_text(&text.text, &style, place)?)
    }
}

fn whole(point: (f64, f64)) -> (i32, i32) {
    (point.0.round() as i32, point.1.round() as i32)
}
