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
    /// No such gate.
    #[error("there is no `{kind}` gate {index} in row {row}: rows are 0..{rows}, gates 0..{width}; nearest: row {}, gate {}", row.min(&(rows - 1)), index.min(&(width - 1)))]
    NoGate {
        /// The kind asked for.
        kind: GateKind,
        /// The row asked for: the layer, or 0 for kinds with one row.
        row: usize,
        /// The gate asked for.
        index: usize,
        /// Rows there are.
        rows: usize,
        /// Gates a row.
        width: usize,
    },
    /// More gates would be held than the target leaves room for.
    #[error(
        "row {row} of `{kind}` would have {held} gates held {}, and the target leaves {room} of {width} {}; release one first, or change the target",
        if *open { "open" } else { "closed" },
        if *open { "open" } else { "closed" }
    )]
    NoRoom {
        /// The kind.
        kind: GateKind,
        /// The row.
        row: usize,
        /// Held gates with this one.
        held: usize,
        /// Whether they are held open.
        open: bool,
        /// How many the target has of them.
        room: usize,
        /// Gates a row.
        width: usize,
    },
    /// A log-alpha outside its bounds.
    #[error("log-alpha {value} is outside {low:.4}..{high:.4}; nearest: {:.4}", value.clamp(*low, *high))]
    Bounds {
        /// The value asked for.
        value: f64,
        /// Least log-alpha.
        low: f64,
        /// Most.
        high: f64,
    },
    /// A held gate cannot be moved.
    #[error("`{kind}` gate {index} of row {row} is held; release it before you set its log-alpha")]
    Held {
        /// Its kind.
        kind: GateKind,
        /// Its row.
        row: usize,
        /// Its place in the row.
        index: usize,
    },
    /// The gates aim at an overall sparsity, not at a shape.
    #[error(
        "this run aims at an overall sparsity and has no target shape; change `sparsity` instead"
    )]
    NoTarget,
    /// The gates aim at a shape, not at an overall sparsity.
    #[error("this run aims at a target shape, not at an overall sparsity; change `target` instead")]
    NoSparsity,
    /// Everything of a kind would be cut.
    #[error("every {what} is cut, so no model is left; raise the target or rewind")]
    NothingLeft {
        /// What is gone.
        what: &'static str,
    },
    /// The caller asked the work to stop.
    #[error("stopped on request")]
    Interrupted,
    /// Of shapes.
    #[error(transparent)]
    Shape(#[from] crate::shape::ShapeError),
    /// A tensor operation failed.
    #[error("gates: {0}")]
    Tensor(#[from] candle_core::Error),
}
