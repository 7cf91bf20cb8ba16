//! A run: a model in training, step by step, that can be looked into at any step.
//!
//! A run shears (learns gates for a target shape) or recovers (continues pre-training of a plain
//! model). Both draw batches by the same loader and update the mixture from evaluations.
//!
//! | file | what it is for |
//! |---|---|
//! | `options.rs` | what a run is started with, checked |
//! | `recovery.rs` | options of how gradients are made; the teacher; the best evaluation |
//! | `origin.rs` | how a run came to be: enough to make it again |
//! | `journal.rs` | what was done to it: steps, evaluations, edits |
//! | `decisions.rs` | what a mixture rule of the user decided, written down |
//! | `state.rs` | all that a step changes, as one value; its hash |
//! | `run.rs` | the run itself: start, step, evaluate, edit, fork, rewind |
//! | `reading.rs` | what can be read of it |
//! | `start.rs` | what a run was started with |
//! | `snapshots.rs` | states kept in memory to go back to |
//! | `store/` | runs on disk: save, autosave, resume |
//! | `history.rs` | what every step, evaluation and edit leaves behind |
//! | `report.rs` | where a run stands, for people |
//! | `whatif.rs` | the mixture under another rule, on paper |
//! | `warning.rs` | a domain that takes over, or is pushed out |
//! | `extract.rs` | the model it has made so far, with its provenance |
//! | `speed.rs` | where the time of a run's steps goes |
//! | `bench.rs` | the shear step on random weights, timed |
//! | `error.rs` | what can go wrong |

mod bench;
mod decisions;
mod error;
mod extract;
mod history;
mod journal;
mod options;
mod origin;
mod reading;
mod recovery;
mod report;
#[expect(clippy::module_inception, reason = "the folder is named after the thing in this file")]
mod run;
mod snapshots;
mod speed;
mod start;
mod state;
mod store;
mod warning;
mod whatif;

pub use bench::{BenchCase, BenchError, BenchKeep, BenchOptions, BenchReport, BenchStep, bench};
pub use error::RunError;
pub use history::{EpochRecord, EvalRecord, History, Mark, StepRecord};
pub use journal::{Changes, Edit, Journal, Operation};
pub use options::{Reference, ShearOptions, TrainOptions};
pub use origin::{How, RunOrigin};
pub use recovery::{Best, Precision, TeacherOrigin};
pub use report::{KindStatus, RunStatus, StepReport};
pub use run::Run;
pub use snapshots::KeepPolicy;
pub use speed::Speed;
pub use store::{Autosave, ResumeOptions};
pub use warning::{Warning, takeover};
pub use whatif::{WhatIf, next_weights, replay};
