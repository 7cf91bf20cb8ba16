//! A run: a model in training, step by step, that can be looked into at any step.
//!
//! A run shears (learns gates for a target shape) or recovers (continues pre-training of a plain
//! model). Both draw batches by the same loader and update the mixture from evaluations.
//!
//! | file | what it is for |
//! |---|---|
//! | `options.rs` | what a run is started with, checked |
//! | `history.rs` | what every step and evaluation leaves behind |
//! | `error.rs` | what can go wrong |
//! | `run.rs` | the run itself: start, step, evaluate, extract |

mod error;
mod history;
mod options;
#[expect(clippy::module_inception, reason = "the folder is named after the thing in this file")]
mod run;

pub use error::RunError;
pub use history::{EvalRecord, StepRecord};
pub use options::{Reference, ShearOptions, TrainOptions};
pub use run::{KindStatus, Run, RunStatus, StepReport};
