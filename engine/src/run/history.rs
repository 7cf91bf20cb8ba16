//! What every step and every evaluation leaves behind.

use serde::{Deserialize, Serialize};

use crate::train::StepFigures;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// 1-based number of the step.
    pub step: u64,
    /// What the step measured: loss, constraints, sparsities, gradient norm.
    pub figures: StepFigures,
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
