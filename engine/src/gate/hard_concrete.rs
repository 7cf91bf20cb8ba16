//! The hard-concrete distribution: a stretched, clamped sigmoid of noise.
//!
//! ```text
//! u ~ U(eps, 1-eps)
//! s = sigmoid((ln u - ln(1-u) + a) / beta)            a = log-alpha
//! z = clamp(s (zeta - gamma) + gamma, 0, 1)
//! P(z = 0) = sigmoid(beta ln(-gamma/zeta) - a)
//! ```
//!
//! A clamped z is exactly 0 or 1 and passes no gradient.
//! Source: Louizos, Welling & Kingma, "Learning sparse neural networks through L0 regularization";
//! constants of Sheared LLaMA's public code (the paper prints beta 0.83).

use serde::{Deserialize, Serialize};

/// The constants of the distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HardConcrete {
    /// Temperature beta.
    pub temperature: f64,
    /// Lower end of the stretched interval, gamma.
    pub low: f64,
    /// Upper end of the stretched interval, zeta.
    pub high: f64,
    /// Keeps noise and probabilities off 0 and 1.
    pub epsilon: f64,
    /// Slope of the deterministic value: sigmoid(a / beta * slope).
    pub slope: f64,
    /// Bounds of log-alpha, applied before every step.
    pub bounds: (f64, f64),
}

impl Default for HardConcrete {
    fn default() -> Self {
        Self {
            temperature: 2.0 / 3.0,
            low: -0.1,
            high: 1.1,
            epsilon: 1e-6,
            slope: 0.8,
            bounds: (0.01f64.ln(), 100f64.ln()),
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl HardConcrete {
    /// Brings log-alpha inside its bounds.
    pub fn clamp(&self, log_alpha: f64) -> f64 {
        log_alpha.clamp(self.bounds.0, self.bounds.1)
    }

    /// Maps a uniform draw in [0, 1) to noise in [eps, 1 - eps).
    pub fn noise(&self, uniform: f64) -> f64 {
        self.epsilon + (1.0 - 2.0 * self.epsilon) * uniform
    }

    /// Samples a gate from noise `u`: its value and the derivative of the value by log-alpha.
    pub fn sample(&self, log_alpha: f64, u: f64) -> (f64, f64) {
        let s = sigmoid((u.ln() - (1.0 - u).ln() + log_alpha) / self.temperature);
        let width = self.high - self.low;
        let stretched = s * width + self.low;
        if (0.0..=1.0).contains(&stretched) {
            (stretched, s * (1.0 - s) / self.temperature * width)
        } else {
            (stretched.clamp(0.0, 1.0), 0.0)
        }
    }

    /// The probability that the gate is exactly 0, and its derivative by log-alpha.
    pub fn closed(&self, log_alpha: f64) -> (f64, f64) {
        let x = (0.0 - self.low) / (self.high - self.low);
        let p = sigmoid((x / (1.0 - x)).ln() * self.temperature - log_alpha);
        if p <= self.epsilon || p >= 1.0 - self.epsilon {
            (p.clamp(self.epsilon, 1.0 - self.epsilon), 0.0)
        } else {
            (p, -p * (1.0 - p))
        }
    }

    /// The probability that the gate is not 0.
    pub fn open(&self, log_alpha: f64) -> f64 {
        1.0 - self.closed(log_alpha).0
    }

    /// The deterministic value of a gate that stays.
    pub fn value(&self, log_alpha: f64) -> f64 {
        sigmoid(log_alpha / self.temperature * self.slope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_at_the_upper_bound_is_open_with_the_published_probability() {
        // shearing.md section 2: 0.997982, soft value 0.996035.
        let hc = HardConcrete::default();
        let a = hc.clamp(5.0);
        assert!((hc.open(a) - 0.997982).abs() < 1e-6);
        assert!((hc.value(a) - 0.996035).abs() < 1e-6);
    }

    #[test]
    fn derivatives_equal_finite_differences() {
        let hc = HardConcrete::default();
        let h = 1e-6;
        for a in [-3.0, -0.5, 0.0, 1.2, 4.0] {
            for u in [0.01, 0.3, 0.5, 0.9] {
                let slope = (hc.sample(a + h, u).0 - hc.sample(a - h, u).0) / (2.0 * h);
                assert!((slope - hc.sample(a, u).1).abs() < 1e-8, "sample at {a}, {u}");
            }
            let slope = (hc.closed(a + h).0 - hc.closed(a - h).0) / (2.0 * h);
            assert!((slope - hc.closed(a).1).abs() < 1e-8, "closed at {a}");
        }
    }
}
