//! What a rule of the user has decided: written down, so that a run can be made again without it.
//!
//! The rule `custom` asks a function, and no file holds a function. So a run keeps the weights of
//! every decision, in order: its path. A run that is made again takes its decisions from the path
//! before it asks a function, and both are, by hash, one run.

use std::sync::Arc;

use super::{EvalRecord, RunError};
use crate::data::{CustomRule, DataError, LossRecord, Mixture};

/// How far a sum may be from 1 in weights that are taken as they are: rounding of a few additions.
const ROUNDING: f64 = 1e-12;

/// The decisions of a run. A clone is cheap.
#[derive(Clone, Debug, Default)]
pub(super) struct Decisions {
    path: Arc<Vec<Vec<f64>>>,
    /// How many of the path have been taken.
    taken: usize,
    /// How many were given from outside: they stay in the path whether taken or not.
    given: usize,
    function: Option<CustomRule>,
    /// Whether a function decides when the path is at its end: without it an evaluation is refused,
    /// and the last weights do not stay.
    open: bool,
}

impl Decisions {
    /// Starts with decisions to repeat and the function that decides after them.
    pub fn new(mut path: Vec<Vec<f64>>, function: Option<CustomRule>) -> Self {
        for weights in &mut path {
            let sum: f64 = weights.iter().sum();
            if (sum - 1.0).abs() > ROUNDING {
                weights.iter_mut().for_each(|w| *w /= sum);
            }
        }
        Self::resume(path, 0, false, function)
    }

    /// Goes on after `taken` decisions of a saved run; `open` says that a function made the last.
    pub fn resume(
        path: Vec<Vec<f64>>,
        taken: usize,
        open: bool,
        function: Option<CustomRule>,
    ) -> Self {
        let (given, open) = (path.len(), open || function.is_some());
        Self { path: Arc::new(path), taken, given, function, open }
    }

    /// Checks that the next evaluation can be decided on.
    ///
    /// # Errors
    /// [`DataError::NoFunction`].
    pub fn ready(&self) -> Result<(), RunError> {
        let repeats = self.taken < self.path.len();
        let stays = !self.open && !self.path.is_empty();
        if repeats || stays || self.function.is_some() {
            return Ok(());
        }
        Err(DataError::NoFunction.into())
    }

    /// Decides on the weights that follow an evaluation, and writes them down.
    ///
    /// # Errors
    /// [`DataError::NoFunction`]; those of the function; losses that are no numbers. Nothing changes
    /// then.
    pub fn decide(
        &mut self,
        mixture: &Mixture,
        step: u64,
        losses: &[f64],
        earlier: &[EvalRecord],
    ) -> Result<Vec<f64>, RunError> {
        self.ready()?;
        mixture.excess(losses)?;
        let mut weights = match (self.path.get(self.taken), &self.function) {
            (Some(weights), _) => weights.clone(),
            (None, Some(rule)) => {
                mixture.preview_custom(rule, step, losses, loss_records(earlier))?
            }
            (None, None) => mixture.weights.clone(),
        };
        if self.taken == self.path.len() {
            Arc::make_mut(&mut self.path).push(weights.clone());
        }
        mixture.bounds.project(&mut weights);
        self.taken += 1;
        Ok(weights)
    }

    /// Takes a function; it decides when the path is at its end.
    pub fn use_function(&mut self, rule: CustomRule) {
        self.function = Some(rule);
        self.open = true;
    }

    /// Takes over, from a later state of the same run, its function and what that has decided.
    pub fn recall(&mut self, later: &Self) {
        if later.open {
            let taken = self.taken;
            *self = Self { taken, ..later.clone() };
        }
    }

    /// Drops what the function decided after this point.
    pub fn forget_rest(&mut self) {
        let rest = self.taken.max(self.given);
        if self.path.len() > rest {
            Arc::make_mut(&mut self.path).truncate(rest);
        }
    }

    /// Every decision, first to last.
    pub fn path(&self) -> &[Vec<f64>] {
        &self.path
    }

    /// How many have been taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// The function, if there is one.
    pub fn function(&self) -> Option<&CustomRule> {
        self.function.as_ref()
    }

    /// Whether the run needs a function to go on under `custom`.
    pub fn open(&self) -> bool {
        self.open
    }
}

/// Evaluations as a rule sees them.
pub(super) fn loss_records(evaluations: &[EvalRecord]) -> Vec<LossRecord> {
    let record = |e: &EvalRecord| LossRecord { step: e.step, losses: e.losses.clone() };
    evaluations.iter().map(record).collect()
}
