//! The session as the notebook's cell runner.

use std::sync::Arc;

use super::languages;
use super::{Display, HostOptions, Language, Magics, Names, Outcome, Output, Session, magics};
use crate::jupyter::{
    self, Cell, CellOutcome, CellRunner, Completeness, Completion, Interrupt, LanguageInfo, Look,
};
use crate::rust::RustCells;
use crate::script;

/// A session that runs notebook cells.
pub struct Cells {
    session: Session,
    magics: Magics,
    own: Language,
}

impl Cells {
    /// Starts a session whose cells are in the language `own` unless they say otherwise, and gives the way
    /// to interrupt it.
    pub fn new(options: HostOptions, output: Arc<dyn Output>, own: Language) -> (Self, Interrupt) {
        let session = Session::new(options, output);
        let host = session.host().clone();
        let magics = Magics::of(own);
        if own == Language::Rust {
            // While the user writes the first cell.
            magics.rust().warm(&session);
        }
        let rust = magics.rust().interrupter();
        let interrupt = move |asked| {
            host.stop();
            rust.interrupt(asked)
        };
        (Self { session, magics, own }, Arc::new(interrupt))
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Lets the session speak to `output`, and forgets interrupts of earlier cells.
    fn begin(&mut self, output: &Arc<dyn Output>) {
        let host = self.session.host();
        host.clear_stop();
        host.set_output(output.clone());
    }
}

/// An outcome as a front end is told it.
fn told(session: &Session, outcome: Outcome) -> CellOutcome {
    match outcome {
        Outcome::Value(value) if value.is_unit() => CellOutcome::Value(None),
        Outcome::Value(value) => match script::display(&value) {
            Ok(display) => CellOutcome::Value(Some(display)),
            Err(error) => {
                let message = error.to_string();
                CellOutcome::Error { name: "ScriptError".into(), message, traceback: Vec::new() }
            }
        },
        Outcome::Shown(display) => CellOutcome::Value(Some(*display)),
        Outcome::Interrupted => CellOutcome::Interrupted {
            message: match session.stopped_at() {
                place if place.is_empty() => "stopped; variables and runs keep their state".into(),
                place => {
                    format!(
                        "stopped at {place}; variables and runs keep their state and go on from here"
                    )
                }
            },
        },
        Outcome::Failed(diagnostic) => CellOutcome::Error {
            name: diagnostic.kind.into(),
            message: diagnostic.message.clone(),
            traceback: diagnostic.to_string().lines().map(String::from).collect(),
        },
    }
}

impl CellRunner for Cells {
    fn run_cell(&mut self, cell: Cell<'_>, output: &Arc<dyn Output>) -> CellOutcome {
        self.begin(output);
        let name = format!("cell {}", cell.number);
        let outcome = self.magics.run(&mut self.session, &name, cell.code, cell.remembered);
        told(&self.session, outcome)
    }

    fn evaluate(&mut self, code: &str, output: &Arc<dyn Output>) -> CellOutcome {
        self.begin(output);
        let outcome = self.session.run("expression", code);
        told(&self.session, outcome)
    }

    fn names(&self) -> jupyter::Names {
        Arc::new(Busy { names: self.session.names(), own: self.own })
    }

    fn language(&self) -> LanguageInfo {
        if self.own == Language::Rust {
            return LanguageInfo {
                name: "rust".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                mimetype: "text/rust".into(),
                file_extension: ".rs".into(),
                highlighted_as: "rust".into(),
                coloured_as: "text/x-rustsrc".into(),
                banner: format!(
                    "Woolshed {} - Rust cells; %%rhai makes a cell Rhai, :help lists evcxr's commands",
                    env!("CARGO_PKG_VERSION")
                ),
            };
        }
        LanguageInfo {
            name: "rhai".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            mimetype: "text/x-rhai".into(),
            file_extension: ".rhai".into(),
            highlighted_as: "rust".into(),
            coloured_as: "text/x-rustsrc".into(),
            banner: format!("Woolshed {} - help() lists the functions", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Look for Cells {
    fn completeness(&self, code: &str) -> Completeness {
        match self.magics.rust_cell(code) {
            Some(cell) => RustCells::completeness(&cell.code),
            None => magics::completeness(code, |code| self.session.completeness(code)),
        }
    }

    fn complete(&self, code: &str, cursor_chars: usize) -> Completion {
        if let Some(found) = magics::complete(code, cursor_chars) {
            return found;
        }
        match self.magics.rust_cell(code) {
            Some(cell) => self.magics.rust().complete(&cell.code, cursor_chars),
            None => self.session.complete(code, cursor_chars),
        }
    }

    fn inspect(&self, code: &str, cursor_chars: usize, more: bool) -> Option<Display> {
        match self.magics.rust_cell(code) {
            Some(cell) => self.magics.rust().inspect(&cell.code, cursor_chars),
            None => self.session.inspect(code, cursor_chars, more),
        }
    }
}

/// What answers while a cell runs. Of Rust only the brackets are known then: the compiler is at work.
struct Busy {
    names: Names,
    own: Language,
}

impl Look for Busy {
    fn completeness(&self, code: &str) -> Completeness {
        match languages::rust_cell(code, self.own) {
            Some(cell) => RustCells::completeness(&cell.code),
            None => magics::completeness(code, |code| self.names.completeness(code)),
        }
    }

    fn complete(&self, code: &str, cursor_chars: usize) -> Completion {
        if let Some(found) = magics::complete(code, cursor_chars) {
            return found;
        }
        match languages::rust_cell(code, self.own) {
            Some(_) => Completion { matches: Vec::new(), start: cursor_chars, end: cursor_chars },
            None => self.names.complete(code, cursor_chars),
        }
    }

    fn inspect(&self, code: &str, cursor_chars: usize, more: bool) -> Option<Display> {
        match languages::rust_cell(code, self.own) {
            Some(_) => None,
            None => self.names.inspect(code, cursor_chars, more),
        }
    }
}
