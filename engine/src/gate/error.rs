//! What can be wrong with gates.

use super::GateKind;

/// An error of the gates.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The combination of kinds is not legal.
    #[error("gates {kinds:?}: {why}")]
    Combination {
        /// The kinds asked for.
        kinds: Vec<GateKind>,
        /// What is wrong and what to do.
        why: String,
    },
    /// No such kind.
    #[error("no gate kind `{name}`; nearest: `{nearest}` (known: {})", GateKind::names())]
    UnknownKind {
        /// The name asked for.
        name: String,
        /// The nearest known name.
        nearest: &'static str,
    },
    /// This run has no gates of that kind.
    #[error("this run has no `{kind}` gates; it has: {have}")]
    Absent {
        /// The kind asked for.
        kind: GateKind,
        /// The kinds there are.
        have: String,
    },
    /// Everything of a kind would be cut.
    #[error("every {what} is cut, so no model is left; raise the target or rewind")]
    NothingLeft {
        /// What is gone.
        what: &'static str,
    },
    /// Of shapes.
    #[error(transparent)]
    Shape(#[from] crate::shape::ShapeError),
    /// A tensor operation failed.
    #[error("gates: {0}")]
    Tensor(#[from] candle_core::Error),
}
