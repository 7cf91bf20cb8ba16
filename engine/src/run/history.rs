//! What every step, evaluation and edit leaves behind.

use std::sync::Arc;

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

/// One edit, as tables and charts show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Steps taken before it.
    pub step: u64,
    /// What was changed, in a few words.
    pub what: String,
}

/// Everything a run remembers; a clone is cheap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub(super) steps: Arc<Vec<StepRecord>>,
    pub(super) evaluations: Arc<Vec<EvalRecord>>,
    pub(super) marks: Arc<Vec<Mark>>,
}

impl History {
    /// Every step taken.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// Every evaluation.
    pub fn evaluations(&self) -> &[EvalRecord] {
        &self.evaluations
    }

    /// Every edit.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    pub(super) fn new(
        steps: Vec<StepRecord>,
        evaluations: Vec<EvalRecord>,
        marks: Vec<Mark>,
    ) -> Self {
        Self { steps: Arc::new(steps), evaluations: Arc::new(evaluations), marks: Arc::new(marks) }
    }

    /// Makes room for a gate kind that joined at place `at` of every list by kind: until now nothing
    /// of it was closed and nothing was asked of it.
    pub(super) fn insert_kind(&mut self, at: usize) {
        for record in Arc::make_mut(&mut self.steps) {
            let figures = &mut record.figures;
            figures.expected.insert(at, 0.0);
            figures.multipliers.insert(at, Default::default());
            if let Some(target) = &mut figures.target {
                target.insert(at, 0.0);
            }
        }
    }
}
