//! The learned part of a shear step that is not weights: gates, multipliers, their Adam states.

use serde::{Deserialize, Serialize};

use super::{AdamConfig, HostAdam};
use crate::gate::{Evaluation, GateError, GateValues, Gates, Lagrangian, Multipliers};
use crate::shape::ModelShape;

/// Learning rates of the gates and the multipliers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShearRates {
    /// Of log-alphas (descent).
    pub gates: f64,
    /// Of multipliers (ascent).
    pub multipliers: f64,
}

/// Gates in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shear {
    /// The gates.
    pub gates: Gates,
    /// Their constraints.
    pub lagrangian: Lagrangian,
    /// Seed of the gate noise.
    pub seed: u64,
    /// Learning rates.
    pub rates: ShearRates,
    adam: AdamConfig,
    /// One a gate table.
    gate_adam: Vec<HostAdam>,
    /// One a pair of multipliers.
    multiplier_adam: Vec<HostAdam>,
    last: Option<LastStep>,
}

/// What the gates did in the last step, table by table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastStep {
    /// The sampled values; those of the first micro-batch.
    pub sample: Vec<Vec<f64>>,
    /// Derivatives of loss plus constraints by log-alpha, before clipping.
    pub grads: Vec<Vec<f64>>,
}

/// Gradients of one step for everything in [`Shear`].
pub(super) struct ShearGrads {
    pub sample: Vec<Vec<f64>>,
    pub log_alpha: Vec<Vec<f64>>,
    pub multipliers: Vec<Multipliers>,
}

impl ShearGrads {
    /// Σ g² of the gates, and of the multipliers.
    pub fn sums_of_squares(&self) -> (f64, f64) {
        let gates = self.log_alpha.iter().flatten().map(|g| g * g).sum();
        let pair = |m: &Multipliers| m.linear * m.linear + m.quadratic * m.quadratic;
        (gates, self.multipliers.iter().map(pair).sum())
    }
}

impl Shear {
    /// Starts with multipliers and moments at 0.
    pub fn new(
        gates: Gates,
        lagrangian: Lagrangian,
        rates: ShearRates,
        adam: AdamConfig,
        seed: u64,
    ) -> Self {
        let adam = AdamConfig { weight_decay: 0.0, ..adam };
        let gate_adam =
            gates.tables.iter().map(|t| HostAdam::new(t.log_alpha.len(), adam)).collect();
        let multiplier_adam = vec![HostAdam::new(2, adam); lagrangian.multipliers.len()];
        Self { gates, lagrangian, seed, rates, adam, gate_adam, multiplier_adam, last: None }
    }

    /// Adds up the gradients of a log-alpha: through the sampled values of every part of the step,
    /// and from the constraints. The sample that is remembered is that of the first part.
    pub(super) fn grads(
        parts: &[(GateValues, Vec<Vec<f64>>)],
        constraint: &Evaluation,
    ) -> ShearGrads {
        let through = |table: usize, i: usize| -> f64 {
            let of = |(sample, by_value): &(GateValues, Vec<Vec<f64>>)| {
                sample.slopes[table][i] * by_value[table][i]
            };
            parts.iter().map(of).reduce(|sum, part| sum + part).unwrap_or(0.0)
        };
        let table = |(table, by_a): (usize, &Vec<f64>)| {
            by_a.iter().enumerate().map(|(i, a)| through(table, i) + a).collect()
        };
        let log_alpha = constraint.log_alpha.iter().enumerate().map(table).collect();
        let sample = parts.first().map_or_else(Vec::new, |(sample, _)| sample.values.clone());
        ShearGrads { sample, log_alpha, multipliers: constraint.multipliers.clone() }
    }

    /// Takes one Adam step: log-alphas down, multipliers up.
    pub(super) fn update(&mut self, grads: ShearGrads, factor: f64, scale: f64) {
        for ((table, adam), g) in
            self.gates.tables.iter_mut().zip(&mut self.gate_adam).zip(&grads.log_alpha)
        {
            let changes = adam.changes(g, self.rates.gates * factor, scale);
            for (i, change) in changes.into_iter().enumerate() {
                if !table.held.contains_key(&i) {
                    table.log_alpha[i] += change;
                }
            }
        }
        let rate = -self.rates.multipliers * factor;
        let pairs = self.lagrangian.multipliers.iter_mut().zip(&mut self.multiplier_adam);
        for ((pair, adam), by) in pairs.zip(&grads.multipliers) {
            let changes = adam.changes(&[by.linear, by.quadratic], rate, scale);
            pair.linear += changes[0];
            pair.quadratic += changes[1];
        }
        self.last = Some(LastStep { sample: grads.sample, grads: grads.log_alpha });
    }

    /// What the gates did in the last step; none before the first and after a change of the target
    /// that brought gates.
    pub fn last(&self) -> Option<&LastStep> {
        self.last.as_ref()
    }

    /// Aims the gates at another shape; gives the places of tables that are new.
    ///
    /// # Errors
    /// Those of [`Gates::retarget`]; nothing changes then.
    pub fn retarget(&mut self, target: &ModelShape) -> Result<Vec<usize>, GateError> {
        let fresh = self.gates.retarget(target, self.seed)?;
        for &at in &fresh {
            let gates = self.gates.tables[at].log_alpha.len();
            self.gate_adam.insert(at, HostAdam::new(gates, self.adam));
            self.multiplier_adam.insert(at, HostAdam::new(2, self.adam));
            self.lagrangian.multipliers.insert(at, Multipliers::default());
            self.last = None;
        }
        Ok(fresh)
    }
}
