//! What can go wrong with a run.

use crate::{data::DataError, gate::GateError, model::ModelError, shape::ShapeError};

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An option has a value that cannot be.
    #[error("option `{option}` is {value}: {why}; nearest legal value: {nearest}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
        /// The nearest legal value.
        nearest: String,
    },
    /// A reference loss is missing or names no domain.
    #[error("option `reference`: {why}; domains: {domains}")]
    Reference {
        /// What is wrong.
        why: String,
        /// The domains there are.
        domains: String,
    },
    /// Something was asked of the gates of a run that has none.
    #[error("this run recovers a plain model and has no gates; ask the run that `prune` gave")]
    NoGates,
    /// The loss is no number any more.
    #[error(
        "the loss is {loss} at step {step}; the run stays at step {step} - start again with a lower `lr` (now {lr:e})"
    )]
    Diverged {
        /// The step that failed.
        step: u64,
        /// The loss it gave.
        loss: f64,
        /// The learning rate.
        lr: f64,
    },
    /// The caller asked the work to stop.
    #[error("interrupted")]
    Interrupted,
    /// Of shapes.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Of models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Of gates.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Of data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
