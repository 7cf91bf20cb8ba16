//! The progress line of a cell that works for long.
//!
//! One line with a bar, drawn once the work has taken 0.4 s and then at most five times a second. When
//! the work is over it turns into one short line of text, so a saved notebook keeps the result and no
//! bar; short work that has nothing to say leaves no trace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use woolshed_engine::progress::Progress;

/// The least time between two drawings.
const PACE: Duration = Duration::from_millis(200);

/// How long work goes on before it is worth a line.
const PATIENCE: Duration = Duration::from_millis(400);

/// What is known of the work that is shown.
#[derive(Debug)]
pub struct Panel {
    /// Names the display that is updated.
    pub id: String,
    last: Progress,
    /// When the work now shown began, and how much was done then.
    began: Instant,
    done_then: u64,
    drawn: Instant,
    /// A line that stands above; empty for none.
    pub headline: String,
    /// Whether the display is there.
    pub shown: bool,
}

impl Panel {
    /// A panel for work that reports for the first time.
    pub fn new(id: String, progress: &Progress, now: Instant) -> Self {
        let (last, done_then) = (progress.clone(), progress.done);
        Self { id, last, began: now, done_then, drawn: now, headline: String::new(), shown: false }
    }

    /// Takes a report. True when it is time to draw.
    pub fn take(&mut self, progress: &Progress, now: Instant) -> bool {
        if progress.what != self.last.what || progress.done < self.last.done {
            self.began = now;
            self.done_then = progress.done;
        }
        self.last.clone_from(progress);
        let wait = if self.shown { PACE } else { PATIENCE };
        let due = now.duration_since(self.drawn) >= wait;
        if due {
            self.drawn = now;
        }
        due
    }

    /// The mime bundle of work under way.
    pub fn bundle(&self, now: Instant) -> Value {
        let line = self.line(now);
        let bar = match self.last.total {
            Some(total) if total > 0 => {
                format!("<progress value=\"{}\" max=\"{total}\"></progress> ", self.last.done)
            }
            _ => "<progress></progress> ".to_owned(),
        };
        let (mut above, mut text) = (String::new(), line.clone());
        if !self.headline.is_empty() {
            above = format!("{}<br>", escape(&self.headline));
            text = format!("{}\n{line}", self.headline);
        }
        let html =
            format!("<div style=\"font-family:monospace\">{above}{bar}{}</div>", escape(&line));
        json!({"text/plain": text, "text/html": html})
    }

    /// What is left of work that ended without a summary: `prune: stopped at 120/500 steps`.
    pub fn stopped(&self) -> String {
        format!("{}: stopped at {}", self.last.what, amount(&self.last))
    }

    /// `prune 120/500 steps · loss 2.31 · 31 s left`
    fn line(&self, now: Instant) -> String {
        let mut line = format!("{} {}", self.last.what, amount(&self.last));
        for part in [self.last.note.clone(), self.left(now).unwrap_or_default()] {
            if !part.is_empty() {
                line.push_str(" · ");
                line.push_str(&part);
            }
        }
        line
    }

    /// The time left at the pace so far; nothing in the first second, when it would be a guess.
    fn left(&self, now: Instant) -> Option<String> {
        let elapsed = now.duration_since(self.began).as_secs_f64();
        let total = self.last.total?;
        let done = self.last.done.checked_sub(self.done_then).filter(|done| *done > 0)?;
        let remaining = total.checked_sub(self.last.done).filter(|left| *left > 0)?;
        if elapsed < 1.0 {
            return None;
        }
        // Counts are far below 2^53, where f64 is exact.
        let seconds = (elapsed / done as f64 * remaining as f64).ceil() as u64;
        Some(match seconds {
            0..120 => format!("{seconds} s left"),
            120..7200 => format!("{} min left", seconds / 60),
            _ => format!("{} h {} min left", seconds / 3600, seconds % 3600 / 60),
        })
    }
}

/// `120/500 steps`, `1.5/3.0 MB`, `17 documents`
fn amount(progress: &Progress) -> String {
    if progress.unit == "bytes" {
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        return match progress.total {
            Some(total) => format!("{}/{} MB", mb(progress.done), mb(total)),
            None => format!("{} MB", mb(progress.done)),
        };
    }
    match progress.total {
        Some(total) => format!("{}/{total} {}", progress.done, progress.unit),
        None => format!("{} {}", progress.done, progress.unit),
    }
}

/// Text as HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64) -> Progress {
        Progress {
            what: "prune".to_owned(),
            done,
            total: Some(500),
            unit: "steps",
            note: "loss 2.31".to_owned(),
        }
    }

    #[test]
    fn a_panel_is_drawn_at_most_five_times_a_second() {
        let start = Instant::now();
        let mut panel = Panel::new("id".to_owned(), &at(0), start);
        panel.shown = true;
        let drawn = (1..=2000)
            .filter(|ms| panel.take(&at(ms / 5), start + Duration::from_millis(*ms)))
            .count();
        assert_eq!(drawn, 10, "2 s at 5 a second");
    }

    #[test]
    fn short_work_is_not_drawn() {
        let start = Instant::now();
        let mut panel = Panel::new("id".to_owned(), &at(0), start);
        assert!(!panel.take(&at(1), start + Duration::from_millis(399)));
        assert!(panel.take(&at(2), start + Duration::from_millis(400)));
    }

    #[test]
    fn the_line_tells_what_how_far_and_how_long() {
        let start = Instant::now();
        let mut panel = Panel::new("id".to_owned(), &at(100), start);
        assert_eq!(panel.line(start), "prune 100/500 steps · loss 2.31");
        let later = start + Duration::from_secs(10);
        panel.take(&at(200), later);
        // 100 steps in 10 s, 300 to go.
        assert_eq!(panel.line(later), "prune 200/500 steps · loss 2.31 · 30 s left");
        assert_eq!(panel.stopped(), "prune: stopped at 200/500 steps");
    }

    #[test]
    fn a_headline_stands_above_the_line() {
        let now = Instant::now();
        let mut panel = Panel::new("id".to_owned(), &at(100), now);
        panel.headline = "sweep: point 1 of 2 · a < b".to_owned();
        let bundle = panel.bundle(now);
        let text = "sweep: point 1 of 2 · a < b\nprune 100/500 steps · loss 2.31";
        assert_eq!(bundle["text/plain"], text);
        let html = bundle["text/html"].as_str().unwrap();
        assert!(html.contains("sweep: point 1 of 2 · a &lt; b<br><progress"), "{html}");
    }

    #[test]
    fn bytes_read_as_megabytes_and_an_unknown_total_has_no_end() {
        let download = Progress {
            what: "download <a>".to_owned(),
            done: 1_500_000,
            total: None,
            unit: "bytes",
            note: String::new(),
        };
        let now = Instant::now();
        let panel = Panel::new("id".to_owned(), &download, now);
        assert_eq!(panel.line(now), "download <a> 1.5 MB");
        let html = panel.bundle(now)["text/html"].as_str().unwrap().to_owned();
        assert!(html.contains("<progress></progress> download &lt;a&gt; 1.5 MB"), "{html}");
    }
}
