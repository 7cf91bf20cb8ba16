//! The Jupyter kernel: sockets on one side, a [`CellRunner`] on the other.
//!
//! ```text
//! front end ──shell───> reader ──execute──> cell thread ──> outbox ──> writer ──iopub, shell──> front end
//!           ──control─> control (interrupt, shutdown), answered while a cell runs
//!           <──stdin──> questions of a cell (`input`) and their answers
//! ```
//!
//! The sockets live on two tokio workers and never run code. Code runs on one thread of its own, cell
//! after cell. Everything that cell says, and the reply that ends it, goes through one ordered queue
//! ([`outbox`]). Completion and help are answered while a cell runs too, from the names there were when
//! it began ([`Look`]). Subshells and the debugger are not there and say so when they are asked for.
//! Source: "Messaging in Jupyter", protocol 5.5.
//!
//! | file | what it is for |
//! |---|---|
//! | `connection.rs` | the connection file: where to listen, and the key |
//! | `kernelspec.rs` | the kernels this program can be, as Jupyter is told |
//! | `server.rs` | the five sockets, from start to shutdown |
//! | `wire.rs` | frames, signatures, messages |
//! | `messages.rs` | the contents of what the kernel sends |
//! | `cells.rs` | the thread that runs cells |
//! | `output.rs` | what one cell says |
//! | `outbox.rs` | one ordered queue of everything the kernel says |
//! | `questions.rs` | questions of a cell to the user |
//! | `headless.rs` | a cell without a front end |
//! | `probe.rs` | starts a kernel and asks it one thing |
//! | `panel.rs` | the live picture of a cell that works for long |
//! | `interrupts.rs` | interrupts that are not lost |
//! | `history.rs` | the cells of this session and of earlier ones |
//! | `archive.rs` | the cells of all sessions on disk |
//! | `requests.rs` | the answers that need no cell |
//! | `shared.rs` | what the tasks and the cell thread share |
//! | `error.rs` | what ends the kernel, and what spoils one message |

pub mod archive;
pub mod cells;
pub mod connection;
pub mod error;
pub mod headless;
pub mod history;
pub mod interrupts;
pub mod kernelspec;
pub mod messages;
pub mod outbox;
pub mod output;
pub mod panel;
pub mod probe;
pub mod questions;
pub mod requests;
pub mod server;
pub mod shared;
pub mod wire;

use std::sync::Arc;

pub use server::serve;

use crate::session::{Display, Output};
use crate::streams::tell;

/// Called from another thread to stop the cell that runs: again and again, every 20 ms, until the cell
/// has ended, with how often the user has asked for it. It has to be quick; setting a flag that the runner
/// polls is right. True when the runner itself tells the user what a further interrupt does.
pub type Interrupt = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// What the kernel needs of a session: run a cell, and know about code without running it.
///
/// All methods are called from the cell thread, one at a time.
pub trait CellRunner: Look + Send {
    /// Runs a cell and sends what it says to `output`.
    ///
    /// An interrupt that comes while this runs ends it with [`CellOutcome::Interrupted`]. One that
    /// came before must not: clear the flag first. Nothing is lost by that, because interrupts for
    /// this cell are repeated.
    fn run_cell(&mut self, cell: Cell<'_>, output: &Arc<dyn Output>) -> CellOutcome;

    /// Gives the value of an expression that a front end wants to know; no cell of the user's.
    fn evaluate(&mut self, code: &str, output: &Arc<dyn Output>) -> CellOutcome;

    /// What can be known of code while a cell runs: the names as they are now.
    fn names(&self) -> Names;

    /// The language of the cells. Asked once, before the first cell.
    fn language(&self) -> LanguageInfo;
}

/// What answers from any thread while a runner is at work, without waiting for it.
pub type Names = Arc<dyn Look + Send + Sync>;

/// What can be known of code without running it. Positions are counted in characters (Unicode code
/// points), as the protocol counts them.
pub trait Look {
    /// Whether `code` can be run as it stands or waits for more lines.
    fn completeness(&self, code: &str) -> Completeness;

    /// What can stand at the cursor.
    fn complete(&self, code: &str, cursor_chars: usize) -> Completion;

    /// Help for the name at the cursor; `more` asks for everything there is to say.
    fn inspect(&self, code: &str, cursor_chars: usize, more: bool) -> Option<Display>;
}

/// A cell to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// Its code.
    pub code: &'a str,
    /// The number beside it; a cell that is not counted has that of the last one.
    pub number: u64,
    /// Whether it belongs to the notebook: a front end may run cells nobody sees.
    pub remembered: bool,
}

/// How a cell ends.
#[derive(Clone, Debug, PartialEq)]
pub enum CellOutcome {
    /// It ran to its end, with the value of its last expression if that is worth showing.
    Value(Option<Display>),
    /// It failed.
    Error {
        /// The kind of error in one word: `SyntaxError`, `RuntimeError`.
        name: String,
        /// The error in one line.
        message: String,
        /// The lines shown under the cell, with position, cause and one thing to try. When it is
        /// empty, name and message are shown.
        traceback: Vec<String>,
    },
    /// The user stopped it.
    Interrupted {
        /// What was stopped and what is left: `prune stopped at step 120; run keeps its state`.
        message: String,
    },
}

/// Whether code can be run as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can be run.
    Complete,
    /// More lines are expected.
    Incomplete {
        /// What the next line starts with.
        indent: String,
    },
    /// No further line makes it right.
    Invalid,
    /// Nobody can say now.
    Unknown,
}

/// What can stand at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// The candidates, best first.
    pub matches: Vec<Candidate>,
    /// Where the text that a candidate replaces starts, in characters.
    pub start: usize,
    /// Where it ends, in characters.
    pub end: usize,
}

/// One candidate of a [`Completion`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// The text to insert.
    pub text: String,
    /// `function`, `variable`, `keyword`, `property`; empty when not known.
    pub kind: String,
    /// Parameters and result of a function; empty when not known.
    pub signature: String,
}

/// The language of the cells, as front ends want to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageInfo {
    /// The language's name: `rhai`.
    pub name: String,
    /// The language's version.
    pub version: String,
    /// The mime type of a script: `text/x-rhai`.
    pub mimetype: String,
    /// With its dot: `.rhai`.
    pub file_extension: String,
    /// The language of Pygments whose colours fit: `rust`.
    pub highlighted_as: String,
    /// The mime type of CodeMirror's mode whose colours fit, where there is none of this language's name.
    pub coloured_as: String,
    /// The greeting of a console.
    pub banner: String,
}

/// Writes a line to the log of whoever started the kernel: front ends keep a kernel's stderr.
///
/// Only for what no user waits for: a dropped message, an unknown type, a front end that is gone.
fn log(line: std::fmt::Arguments<'_>) {
    tell!("woolshed kernel: {line}");
}
