//! Rotary frequencies: pair i of a head turns by theta^(-2i/E) radians a token, long wavelengths
//! stretched as `rope_scaling` says.
//!
//! Llama 3 keeps wavelengths below original/high, divides those above original/low by `factor`, and
//! blends linearly in between. Source: Hugging Face transformers, `_compute_llama3_parameters`.

use super::{LlamaConfig, RopeScaling};

impl LlamaConfig {
    /// Gives the inverse frequencies of half a head (E/2), in radians a token.
    pub fn inverse_frequencies(&self) -> Vec<f64> {
        let e = self.head_dim as f64;
        let plain = (0..self.head_dim / 2).map(|i| self.rope_theta.powf(-2.0 * i as f64 / e));
        match self.rope_scaling {
            None => plain.collect(),
            Some(RopeScaling::Linear { factor }) => plain.map(|f| f / factor).collect(),
            Some(RopeScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings,
            }) => {
                let original = original_max_position_embeddings as f64;
                let stretch = |f: f64| {
                    let turns = original * f / std::f64::consts::TAU;
                    if turns > high {
                        f
                    } else if turns < low {
                        f / factor
                    } else {
                        let keep = (turns - low) / (high - low);
                        (1.0 - keep) * f / factor + keep * f
                    }
                };
                plain.map(stretch).collect()
            }
        }
    }
}
