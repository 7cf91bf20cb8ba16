//! The session as the notebook's cell runner.

use std::sync::Arc;

use super::{Display, HostOptions, Magics, Names, Outcome, Output, Session, magics};
use crate::jupyter::{
    self, Cell, CellOutcome, CellRunner, Completeness, Completion, Interrupt, LanguageInfo, Look,
};
use crate::script;

/// A session that runs notebook cells.
pub struct Cells {
    session: Session,
    magics: Magics,
}

impl Cells {
    /// Starts a session, and gives the way to interrupt it.
    pub fn new(options: HostOptions, output: Arc<dyn Output>) -> (Self, Interrupt) {
        let session = Session::new(options, output);
        let host = session.host().clone();
        (Self { session, magics: Magics::default() }, Arc::new(move || host.stop()))
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
fn told(outcome: Outcome) -> CellOutcome {
    match outcome {
        Outcome::Value(value) if value.is_unit() => CellOutcome::Value(None),
        Outcome::Value(value) => match script::display(&value) {
            Ok(display) => CellOutcome::Value(Some(display)),
            Err(error) => {
                let message = error.to_string();
                CellOutcome::Error { name: "ScriptError".into(), message, traceback: Vec::new() }
            }
        },
        Outcome::Interrupted => CellOutcome::Interrupted {
            message: "stopped; variables and runs keep their state and go on from here".into(),
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
        told(self.magics.run(&mut self.session, &name, cell.code, cell.remembered))
    }

    fn evaluate(&mut self, code: &str, output: &Arc<dyn Output>) -> CellOutcome {
        self.begin(output);
        told(self.session.run("expression", code))
    }

    fn names(&self) -> jupyter::Names {
        Arc::new(self.session.names())
    }

    fn language(&self) -> LanguageInfo {
        LanguageInfo {
            name: "rhai".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            mimetype: "text/x-rhai".into(),
            file_extension: ".rhai".into(),
            highlighted_as: "rust".into(),
            banner: format!("Woolshed {} - help() lists the functions", env!("CARGO_PKG_VERSION")),
        }
    }
}

impl Look for Cells {
    fn completeness(&self, code: &str) -> Completeness {
        magics::completeness(code, |code| self.session.completeness(code))
    }

    fn complete(&self, code: &str, cursor_chars: usize) -> Completion {
        magics::complete(code, cursor_chars)
            .unwrap_or_else(|| self.session.complete(code, cursor_chars))
    }

    fn inspect(&self, code: &str, cursor_chars: usize) -> Option<Display> {
        self.session.inspect(code, cursor_chars)
    }
}

impl Look for Names {
    fn completeness(&self, code: &str) -> Completeness {
        magics::completeness(code, |code| Names::completeness(self, code))
    }

    fn complete(&self, code: &str, cursor_chars: usize) -> Completion {
        magics::complete(code, cursor_chars)
            .unwrap_or_else(|| Names::complete(self, code, cursor_chars))
    }

    fn inspect(&self, code: &str, cursor_chars: usize) -> Option<Display> {
        Names::inspect(self, code, cursor_chars)
    }
}
