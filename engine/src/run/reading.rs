//! What can be read of a run.

use super::{
    EpochRecord, EvalRecord, Journal, Mark, Run, RunError, RunStatus, Speed, StepRecord,
    TrainOptions,
};
use crate::data::{Loader, Mixture};
use crate::gate::{EvalMode, GateValues, Gates};
use crate::model::Model;
use crate::progress::Detail;
use crate::shape::ModelShape;
use crate::train::Trainer;

impl Run {
    /// Where the time of its steps went, since this handle was made.
    pub fn speed(&self) -> &Speed {
        &self.speed
    }

    /// Says where the run stands.
    pub fn status(&self) -> RunStatus {
        RunStatus { warnings: self.warnings(), ..self.state.status() }
    }

    /// Its sparsities beside their targets, the mixture, and the loss so far: what a live picture of
    /// the run shows.
    pub fn detail(&self) -> Detail {
        self.state.detail(None)
    }

    /// The gate values of an evaluation; none in recovery.
    pub fn gate_values(&self, mode: EvalMode) -> Option<GateValues> {
        self.trainer().shear.as_ref().map(|s| s.gates.evaluate(mode))
    }

    /// The model it started from.
    pub fn source(&self) -> &Model {
        &self.start.source
    }

    /// The shape it prunes to; none in recovery and in the global mode.
    pub fn target(&self) -> Option<&ModelShape> {
        self.state.target.as_ref()
    }

    /// Its options now.
    pub fn options(&self) -> &TrainOptions {
        &self.state.options
    }

    /// Its gates.
    ///
    /// # Errors
    /// A run without gates.
    pub fn gates(&self) -> Result<&Gates, RunError> {
        self.trainer().shear.as_ref().map(|s| &s.gates).ok_or(RunError::NoGates)
    }

    /// The weights and gates in training.
    pub fn trainer(&self) -> &Trainer {
        &self.state.trainer
    }

    /// The mixture it draws by.
    pub fn mixture(&self) -> &Mixture {
        &self.state.mixture
    }

    /// The mixture it started with.
    pub fn first_mixture(&self) -> &[f64] {
        &self.start.mixture
    }

    /// The loader it draws from.
    pub fn loader(&self) -> &Loader {
        &self.state.loader
    }

    /// What was done to it, in order.
    pub fn journal(&self) -> &Journal {
        &self.state.journal
    }

    /// Every step taken.
    pub fn steps(&self) -> &[StepRecord] {
        self.state.history.steps()
    }

    /// Every evaluation.
    pub fn evaluations(&self) -> &[EvalRecord] {
        self.state.history.evaluations()
    }

    /// Every time a domain began again.
    pub fn epochs(&self) -> &[EpochRecord] {
        self.state.history.epochs()
    }

    /// Every edit.
    pub fn marks(&self) -> &[Mark] {
        self.state.history.marks()
    }
}
