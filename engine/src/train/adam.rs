//! Adam over numbers on the host: gates and multipliers.

use serde::{Deserialize, Serialize};

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
