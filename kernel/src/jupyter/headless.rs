//! A cell without a front end: what it would send is handed to a function instead.
//!
//! Nothing here knows what a cell may say: the same [`CellOutput`] writes the same messages through the
//! same queue, so a notebook that is run without Jupyter stores what Jupyter would have stored.

use std::io;
use std::sync::Arc;

use serde_json::Value;
use tokio::runtime::Builder;
use woolshed_engine::progress::{Detail, Progress};

use super::cells::guarded;
use super::messages::{self, Failure};
use super::outbox::Outbox;
use super::output::{Asking, CellOutput};
use super::wire::Fields;
use super::{Cell, CellOutcome, CellRunner};
use crate::session::{Display, Output, Unanswered};

/// Runs a cell and gives `take` the type and content of every message it broadcasts, in order.
/// Progress is shown on `aside`, too.
///
/// # Errors
/// The system gives no thread or timer.
pub fn run_cell(
    runner: &mut dyn CellRunner,
    cell: Cell<'_>,
    aside: Arc<dyn Output>,
    mut take: impl FnMut(&str, &Value) + Send,
) -> io::Result<CellOutcome> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let outbox = Arc::new(Outbox::default());
    let parent = Arc::new(Fields::new());
    let asking = Asking { questions: Arc::default(), identities: None };
    let cell_output = Arc::new(CellOutput::new(outbox.clone(), parent.clone(), asking, false));
    let output: Arc<dyn Output> = Arc::new(Both { cell: cell_output.clone(), aside });
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| {
            runtime.block_on(async {
                while let Some((_, message)) = outbox.next().await {
                    take(&message.kind, &message.content);
                }
            });
        });
        let outcome = guarded(|| runner.run_cell(cell, &output));
        cell_output.finish();
        match (&outcome, Failure::of(&outcome)) {
            (_, Some(failure)) => outbox.broadcast(&parent, "error", failure.content()),
            (CellOutcome::Value(Some(value)), None) => {
                let content = messages::execute_result(cell.number, value);
                outbox.broadcast(&parent, "execute_result", content);
            }
            _ => {}
        }
        outbox.close();
        taken.join().map_err(|_| io::Error::other("the outputs of a cell could not be kept"))?;
        Ok(outcome)
    })
}

/// A cell's output, with its progress also elsewhere.
struct Both {
    cell: Arc<CellOutput>,
    aside: Arc<dyn Output>,
}

impl Output for Both {
    fn stdout(&self, text: &str) {
        self.cell.stdout(text);
    }

    fn stderr(&self, text: &str) {
        self.cell.stderr(text);
    }

    fn display(&self, display: &Display) {
        self.cell.display(display);
    }

    fn progress(&self, progress: &Progress) {
        self.cell.progress(progress);
        self.aside.progress(progress);
    }

    fn progress_with(&self, progress: &Progress, detail: &dyn Fn() -> Detail) {
        self.cell.progress_with(progress, detail);
        self.aside.progress_with(progress, detail);
    }

    fn headline(&self, line: &str) {
        self.cell.headline(line);
    }

    fn progress_done(&self, summary: &str) {
        self.cell.progress_done(summary);
        self.aside.progress_done("");
    }

    fn progress_done_with(&self, summary: &str, detail: &dyn Fn() -> Detail) {
        self.cell.progress_done_with(summary, detail);
        self.aside.progress_done("");
    }

    fn display_at(&self, place: &str, display: &Display) {
        self.cell.display_at(place, display);
    }

    fn clear(&self, wait: bool) {
        self.cell.clear(wait);
    }

    fn page(&self, display: &Display) {
        self.cell.page(display);
    }

    fn ask(&self, prompt: &str, stopped: &dyn Fn() -> bool) -> Result<String, Unanswered> {
        self.cell.ask(prompt, stopped)
    }
}
