//! The factor on every learning rate: linear warm-up, then a cosine to a floor.
//!
//! ```text
//! k < W:  k / W                                   (the very first step has rate 0)
//! else:   f + (1 - f)/2 (1 + cos(pi (k - W) / (T - W)))
//! ```
//!
//! Source: Sheared LLaMA's public code, f = 0.1.

use serde::{Deserialize, Serialize};

/// A schedule of `total` steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Steps of warm-up, W.
    pub warmup: u64,
    /// Steps in all, T; later steps stay at the floor.
    pub total: u64,
    /// The factor at the end, f.
    pub floor: f64,
}

impl Schedule {
    /// Gives the factor at 0-based step `k`.
    pub fn factor(&self, k: u64) -> f64 {
        if k < self.warmup {
            return k as f64 / self.warmup as f64;
        }
        if k >= self.total {
            return self.floor;
        }
        let part = (k - self.warmup) as f64 / (self.total - self.warmup) as f64;
        self.floor + (1.0 - self.floor) / 2.0 * (1.0 + (std::f64::consts::PI * part).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_starts_at_0_peaks_after_warm_up_and_ends_at_its_floor() {
        let s = Schedule { warmup: 3, total: 10, floor: 0.1 };
        assert_eq!(s.factor(0), 0.0);
        assert_eq!(s.factor(3), 1.0);
        assert!((s.factor(10) - 0.1).abs() < 1e-15);
        assert!((s.factor(500) - 0.1).abs() < 1e-15);
        assert!((1..10).all(|k| s.factor(k) > 0.1));
    }
}
