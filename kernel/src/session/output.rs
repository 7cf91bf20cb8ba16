//! Where a session's output goes: a terminal, a notebook, a test.
//!
//! A session never prints. It hands streams, displays and progress to an [`Output`]; the command
//! line and the Jupyter kernel each have theirs.

use serde_json::Value;
use woolshed_engine::progress::{Detail, Progress};

/// One thing in every form it has; a front end takes the richest it can show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Display {
    /// Plain text, always there.
    pub text: String,
    /// HTML (tables).
    pub html: Option<String>,
    /// Markdown (tables, help).
    pub markdown: Option<String>,
    /// SVG (charts).
    pub svg: Option<String>,
    /// PNG (charts, on request).
    pub png: Option<Vec<u8>>,
    /// Further forms, by mime type (Rust cells).
    pub more: Vec<(String, Value)>,
    /// A short name for a file made of it: `sparsity`, `mixture`.
    pub name: String,
}

impl Display {
    /// A display that is only text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

/// The receiving side of a session. Methods are called from the thread that runs the script.
pub trait Output: Send + Sync {
    /// Text of `print`, with its newline.
    fn stdout(&self, text: &str);

    /// Text of `debug` and warnings, with its newline.
    fn stderr(&self, text: &str);

    /// A thing shown with `show(x)`.
    fn display(&self, display: &Display);

    /// A moment of long work; may come thousands of times a second.
    fn progress(&self, progress: &Progress);

    /// A moment of long work with more to see; `detail` is made only when it is drawn.
    fn progress_with(&self, progress: &Progress, _detail: &dyn Fn() -> Detail) {
        self.progress(progress);
    }

    /// A line that stands above all progress from now on; an empty one takes it away.
    fn headline(&self, _line: &str) {}

    /// The long work named by the last [`Output::progress`] is over; `summary` is the line to leave.
    fn progress_done(&self, summary: &str);

    /// The same, with what was to see at its end.
    fn progress_done_with(&self, summary: &str, _detail: &dyn Fn() -> Detail) {
        self.progress_done(summary);
    }

    /// A thing shown at a named place: whatever stood there before is replaced. Where nothing can be
    /// replaced it is shown again.
    fn display_at(&self, _place: &str, display: &Display) {
        self.display(display);
    }

    /// Takes away what the cell has shown so far; with `wait` only when the next thing comes. Where
    /// nothing can be taken away nothing happens.
    fn clear(&self, _wait: bool) {}

    /// Help somebody asked for: shown beside the cell and not kept with it, where that exists.
    fn page(&self, display: &Display) {
        self.display(display);
    }

    /// Asks the user and waits for the answer, a line without its end. `stopped` says when to give up.
    ///
    /// # Errors
    /// Nobody can answer, or the wait was stopped.
    fn ask(&self, _prompt: &str, _stopped: &dyn Fn() -> bool) -> Result<String, Unanswered> {
        Err(Unanswered::Nobody("nobody is asked where this runs".into()))
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// There is nobody to ask; the reason in words.
    #[error("{0}; take the value from `param(name, default)` instead")]
    Nobody(String),
    /// The user stopped the cell instead.
    #[error("the question was interrupted")]
    Interrupted,
}

/// Where a test sends what it does not look at.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub struct Quiet;

#[cfg(test)]
impl Output for Quiet {
    fn stdout(&self, _: &str) {}
    fn stderr(&self, _: &str) {}
    fn display(&self, _: &Display) {}
    fn progress(&self, _: &Progress) {}
    fn progress_done(&self, _: &str) {}
}
