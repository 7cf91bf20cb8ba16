//! What every step and every evaluation leaves behind.

use serde::{Deserialize, Serialize};

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// 1-based number of the step.
    pub step: u64,
    /// Cross-entropy of the batch, nats/token.
    pub loss: f64,
    /// Value of the constraints.
    pub lagrangian: f64,
    /// Expected sparsity of each gate kind before the step.
    pub expected: Vec<f64>,
    /// Target sparsity of each gate kind at the step; none without a target shape.
    pub target: Option<Vec<f64>>,
    /// Expected sparsity of the prunable parameters.
    pub overall: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate of the weights.
    pub lr: f64,
    /// Tokens seen so far.
    pub tokens: u64,
}

/// One evaluation of every domain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Steps taken before it.
    pub step: u64,
    /// Loss of each domain, nats/token.
    pub losses: Vec<f64>,
    /// The mixture that follows from it.
    pub mixture: Vec<f64>,
}
