//! What every step, evaluation and edit leaves behind.

use std::fmt;
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
    /// The references it was compared with, nats/token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<f64>,
    /// Samples drawn before it, by domain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drawn: Vec<u64>,
}

impl EvalRecord {
    /// Loss minus reference of each domain, nats/token.
    pub fn excess(&self) -> Vec<f64> {
        self.losses.iter().zip(&self.reference).map(|(l, r)| l - r).collect()
    }
}

/// A domain whose rows have all been used: from here on they come again, in another order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The domain.
    pub domain: String,
    /// Which pass over its rows begins: 2 is the first repetition.
    pub epoch: u64,
    /// The step that takes its first rows.
    pub step: u64,
}

impl fmt::Display for EpochRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: epoch {} from step {}", self.domain, self.epoch, self.step)
    }
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
    pub(super) epochs: Arc<Vec<EpochRecord>>,
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

    /// Every time a domain began again.
    pub fn epochs(&self) -> &[EpochRecord] {
        &self.epochs
    }

    /// The last time each domain began again, in the order of those times.
    pub fn last_epochs(&self) -> Vec<EpochRecord> {
        let mut last: Vec<EpochRecord> = Vec::new();
        for record in self.epochs() {
            last.retain(|earlier| earlier.domain != record.domain);
            last.push(record.clone());
        }
        last
    }

    pub(super) fn new(
        steps: Vec<StepRecord>,
        evaluations: Vec<EvalRecord>,
        marks: Vec<Mark>,
        epochs: Vec<EpochRecord>,
    ) -> Self {
        let (steps, evaluations) = (Arc::new(steps), Arc::new(evaluations));
        Self { steps, evaluations, marks: Arc::new(marks), epochs: Arc::new(epochs) }
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
