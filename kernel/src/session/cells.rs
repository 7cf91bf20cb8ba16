//! The session as the notebook's cell runner.

use std::sync::Arc;

use super::{Display, HostOptions, Outcome, Output, Session};
use crate::jupyter::{CellOutcome, CellRunner, Completeness, Completion, Interrupt, LanguageInfo};
use crate::script;

/// A session that runs notebook cells.
pub struct Cells {
    session: Session,
    count: usize,
}

impl Cells {
    /// Starts a session, and gives the way to interrupt it.
    pub fn new(options: HostOptions, output: Arc<dyn Output>) -> (Self, Interrupt) {
        let session = Session::new(options, output);
        let host = session.host().clone();
        (Self { session, count: 0 }, Arc::new(move || host.stop()))
    }
}

impl CellRunner for Cells {
    fn run_cell(&mut self, code: &str, output: &Arc<dyn Output>) -> CellOutcome {
        self.count += 1;
        let host = self.session.host();
        host.clear_stop();
        host.set_output(output.clone());
        match self.session.run(&format!("cell {}", self.count), code) {
            Outcome::Value(value) if value.is_unit() => CellOutcome::Value(None),
            Outcome::Value(value) => match script::display(&value) {
                Ok(display) => CellOutcome::Value(Some(display)),
                Err(error) => {
                    let message = error.to_string();
                    CellOutcome::Error {
                        name: "ScriptError".into(),
                        message,
                        traceback: Vec::new(),
                    }
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

    fn completeness(&self, code: &str) -> Completeness {
        self.session.completeness(code)
    }

    fn complete(&self, code: &str, cursor_chars: usize) -> Completion {
        self.session.complete(code, cursor_chars)
    }

    fn inspect(&self, code: &str, cursor_chars: usize, _detail: u8) -> Option<Display> {
        self.session.inspect(code, cursor_chars)
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
