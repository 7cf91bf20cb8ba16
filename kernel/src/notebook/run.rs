//! Runs the cells of a notebook, one after the other, and keeps what they say in it.
//!
//! Tags have the meaning that nbclient and papermill give them: behind the cell tagged `parameters` comes
//! one with the given values, tagged `injected-parameters`; a cell with `raises-exception` may fail; one
//! with `skip-execution` is left out, as is a cell of nothing but blanks.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::outputs::Recorder;
use super::{Cell, INJECTED, Kind, Notebook, NotebookError, PARAMETERS};
use crate::jupyter::{self, CellOutcome, CellRunner, headless, messages};
use crate::script::parameters;
use crate::session::{Cells, Output};

/// What happens while a notebook runs.
#[derive(Clone, Copy, Debug)]
pub enum Moment<'a> {
    /// A cell begins.
    Begins {
        /// Its number, as a front end shows it.
        number: u64,
        /// How many there are.
        of: u64,
        /// Its code.
        source: &'a str,
    },
    /// It is over.
    Over {
        /// How long it took.
        took: Duration,
    },
}

/// How a notebook ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ended {
    /// Every cell ran.
    Done,
    /// A cell failed.
    Failed {
        /// Its number.
        number: u64,
        /// What is shown under it.
        said: String,
    },
    /// The user stopped it.
    Interrupted {
        /// The number of the cell.
        number: u64,
    },
}

/// Why a notebook could not be run on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A parameter is not what it stands in for.
    #[error("{0}")]
    Parameter(String),
    /// The outputs cannot be written.
    #[error(transparent)]
    Notebook(#[from] NotebookError),
    /// The system gives no thread.
    #[error("the cell cannot be run: {0}")]
    System(#[from] io::Error),
}

/// Runs all cells. `tell` hears of every cell and gets the notebook as it is then; progress goes to
/// `aside`.
///
/// # Errors
/// A parameter has the wrong type, or `tell` fails. A cell that fails is no error: see [`Ended`].
pub fn run(
    notebook: &mut Notebook,
    runner: &mut Cells,
    aside: &Arc<dyn Output>,
    tell: &mut dyn FnMut(&Notebook, Moment<'_>) -> Result<(), RunError>,
) -> Result<Ended, RunError> {
    let language = messages::language_info(&runner.language());
    notebook.metadata.insert("language_info".into(), language);
    let given = !runner.session().host().params().is_empty();
    if given && notebook.cells.iter().any(|cell| cell.has_tag(PARAMETERS)) {
        notebook.cells.retain(|cell| !cell.has_tag(INJECTED));
    }
    for cell in &mut notebook.cells {
        cell.outputs.clear();
        cell.execution_count = None;
    }
    let mut recorder = Recorder::default();
    let (mut number, mut at) = (0, 0);
    while at < notebook.cells.len() {
        if !notebook.cells[at].runs() {
            at += 1;
            continue;
        }
        number += 1;
        let source = notebook.cells[at].source.clone();
        let left = notebook.cells[at + 1..].iter().filter(|cell| cell.runs()).count();
        tell(notebook, Moment::Begins { number, of: number + left as u64, source: &source })?;
        let start = Instant::now();
        notebook.cells[at].execution_count = Some(number);
        recorder.begin(&mut notebook.cells, at);
        let cell = jupyter::Cell { code: &source, number, remembered: true };
        let cells = &mut notebook.cells;
        let take = |kind: &str, content: &Value| recorder.take(cells, at, kind, content);
        let outcome = headless::run_cell(runner, cell, aside.clone(), take)?;
        tell(notebook, Moment::Over { took: start.elapsed() })?;
        match outcome {
            CellOutcome::Interrupted { .. } => return Ok(Ended::Interrupted { number }),
            CellOutcome::Error { name, message, traceback } if !notebook.cells[at].may_fail() => {
                let said = match traceback.is_empty() {
                    true => format!("{name}: {message}"),
                    false => traceback.join("\n"),
                };
                return Ok(Ended::Failed { number, said });
            }
            _ => {}
        }
        if given && notebook.cells[at].has_tag(PARAMETERS) {
            let session = runner.session();
            let code = parameters::over(session.scope(), session.host());
            let code = code.map_err(RunError::Parameter)?;
            if !code.is_empty() {
                notebook.cells.insert(at + 1, injected(&code));
                notebook.name_cells();
                recorder.moved(at + 1);
            }
        }
        at += 1;
    }
    Ok(Ended::Done)
}

/// The cell that sets the given values.
fn injected(code: &str) -> Cell {
    let mut cell = Cell::new(Kind::Code, format!("// Parameters\n{}", code.trim_end()));
    cell.id = INJECTED.into();
    cell.metadata.insert("tags".into(), json!([INJECTED]));
    cell
}
