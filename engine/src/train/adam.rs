//! Adam state: tensors for weights, f64 for gates and multipliers.

use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::ops::{self, AdamStep};

/// What all groups share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamConfig {
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on weights only.
    pub weight_decay: f64,
}

/// AdamW over a list of weight tensors, with moments in their type.
#[derive(Clone, Debug)]
pub struct WeightAdam {
    config: AdamConfig,
    moments: Vec<(Var, Var)>,
    steps: u64,
}

impl WeightAdam {
    /// Starts with moments at 0 for `weights`.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn new(weights: &[&Tensor], config: AdamConfig) -> Result<Self> {
        let zeros = |t: &Tensor| Var::zeros(t.shape(), t.dtype(), t.device());
        let moments = weights.iter().map(|t| Ok((zeros(t)?, zeros(t)?))).collect::<Result<_>>()?;
        Ok(Self { config, moments, steps: 0 })
    }

    /// Updates every weight in place; `grads` follow the order of [`WeightAdam::new`], `scale`
    /// multiplies them (clipping).
    ///
    /// # Errors
    /// candle's.
    pub fn update(
        &mut self,
        weights: &[&Tensor],
        grads: &[Tensor],
        lr: f64,
        scale: f64,
    ) -> Result<()> {
        self.steps += 1;
        let AdamConfig { betas, eps, weight_decay } = self.config;
        let step = AdamStep { lr, betas, eps, weight_decay, t: self.steps, grad_scale: scale };
        for ((w, g), (m, v)) in weights.iter().zip(grads).zip(&self.moments) {
            ops::adam(w, m, v, g, &step)?;
        }
        Ok(())
    }
}

/// Adam over numbers on the host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostAdam {
    config: AdamConfig,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: u64,
}

impl HostAdam {
    /// Starts with moments at 0 for `n` numbers.
    pub fn new(n: usize, config: AdamConfig) -> Self {
        Self { config, first: vec![0.0; n], second: vec![0.0; n], steps: 0 }
    }

    /// Gives the change of each number for gradients `grads` times `scale`: -lr m / (sqrt(v) + eps),
    /// bias-corrected. A negative `lr` climbs.
    pub fn changes(&mut self, grads: &[f64], lr: f64, scale: f64) -> Vec<f64> {
        self.steps += 1;
        let (b1, b2) = self.config.betas;
        let c1 = 1.0 - b1.powf(self.steps as f64);
        let c2 = 1.0 - b2.powf(self.steps as f64);
        let moments = self.first.iter_mut().zip(&mut self.second);
        moments
            .zip(grads)
            .map(|((m, v), g)| {
                let g = g * scale;
                *m = b1 * *m + (1.0 - b1) * g;
                *v = b2 * *v + (1.0 - b2) * g * g;
                -lr * (*m / c1) / ((*v / c2).sqrt() + self.config.eps)
            })
            .collect()
    }
}
