//! One live session: variables, handles, cancellation, output. The same for a script, a REPL and a
//! notebook.
//!
//! | file | what it is for |
//! |---|---|
//! | `output.rs` | where a session's output goes |
//! | `host.rs` | what script functions need of their session |
//! | `session.rs` | code in, values and diagnostics out |
//! | `diagnostic.rs` | an error with its place, cause and one thing to try |
//! | `languages.rs` | which language a cell is in |
//! | `assist.rs` | help at the cursor, is-it-complete: names and types without values |
//! | `completion.rs` | what can stand at the cursor |
//! | `cursor.rs` | what stands around a cursor, in code that does not parse |
//! | `files_near.rs` | files and cached models that a text may name |
//! | `known.rs` | what a name that is not there probably means |
//! | `visible.rs` | functions that see the notebook's variables |
//! | `magics.rs` | lines that begin with `%`: what a cell asks of the notebook |
//! | `transcript.rs` | the cells so far, as a script |
//! | `cells.rs` | the session as the notebook's cell runner |

mod assist;
mod cells;
mod completion;
mod cursor;
mod diagnostic;
mod files_near;
mod host;
mod known;
pub mod languages;
pub mod magics;
pub mod output;
#[expect(clippy::module_inception, reason = "the folder is named after the thing in this file")]
mod session;
mod transcript;
mod visible;

pub use assist::Names;
pub use cells::Cells;
pub use diagnostic::Diagnostic;
pub use host::{Host, HostOptions};
pub use known::Known;
pub use languages::Language;
pub use magics::Magics;
#[cfg(test)]
pub use output::Quiet;
pub use output::{Display, Output, Unanswered};
pub(crate) use session::is_interrupt;
pub use session::{Outcome, Session};
