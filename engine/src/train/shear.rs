//! The learned part of a shear step that is not weights: gates, multipliers, their Adam states.

use serde::{Deserialize, Serialize};

use super::{AdamConfig, HostAdam};
use crate::gate::{Evaluation, GateTensors, GateValues, Gates, Lagrangian, Multipliers};

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
    gate_adam: Vec<HostAdam>,
    multiplier_adam: HostAdam,
}

/// Gradients of one step for everything in [`Shear`].
pub(super) struct ShearGrads {
    pub log_alpha: Vec<Vec<f64>>,
    pub multipliers: Vec<Multipliers>,
}

impl ShearGrads {
    /// Σ g² of all of them.
    pub fn sum_of_squares(&self) -> f64 {
        let gates: f64 = self.log_alpha.iter().flatten().map(|g| g * g).sum();
        let pairs: f64 =
            self.multipliers.iter().map(|m| m.linear * m.linear + m.quadratic * m.quadratic).sum();
        gates + pairs
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
        let multiplier_adam = HostAdam::new(2 * lagrangian.multipliers.len(), adam);
        Self { gates, lagrangian, seed, rates, gate_adam, multiplier_adam }
    }

    /// Adds up the gradients of a log-alpha: through the sampled value and from the constraints.
    pub(super) fn grads(
        sample: &GateValues,
        by_value: &[Vec<f64>],
        constraint: &Evaluation,
    ) -> ShearGrads {
        let log_alpha = sample
            .slopes
            .iter()
            .zip(by_value)
            .zip(&constraint.log_alpha)
            .map(|((slope, by_z), by_a)| {
                slope.iter().zip(by_z).zip(by_a).map(|((s, z), a)| s * z + a).collect()
            })
            .collect();
        ShearGrads { log_alpha, multipliers: constraint.multipliers.clone() }
    }

    /// Takes one Adam step: log-alphas down, multipliers up.
    pub(super) fn update(&mut self, grads: &ShearGrads, factor: f64, scale: f64) {
        for ((table, adam), g) in
            self.gates.tables.iter_mut().zip(&mut self.gate_adam).zip(&grads.log_alpha)
        {
            let changes = adam.changes(g, self.rates.gates * factor, scale);
            table.log_alpha.iter_mut().zip(changes).for_each(|(a, c)| *a += c);
        }
        let flat: Vec<f64> =
            grads.multipliers.iter().flat_map(|m| [m.linear, m.quadratic]).collect();
        let changes = self.multiplier_adam.changes(&flat, -self.rates.multipliers * factor, scale);
        for (pair, change) in self.lagrangian.multipliers.iter_mut().zip(changes.chunks_exact(2)) {
            pair.linear += change[0];
            pair.quadratic += change[1];
        }
    }
}

/// Reads the gradients of gate values from a backward pass, table by table, in f64.
pub(super) fn value_grads(
    tensors: &GateTensors,
    grads: &candle_core::backprop::GradStore,
) -> candle_core::Result<Vec<Vec<f64>>> {
    tensors
        .vars
        .iter()
        .map(|(_, var)| match grads.get(var) {
            Some(g) => g.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1(),
            None => Ok(vec![0.0; var.elem_count()]),
        })
        .collect()
}
