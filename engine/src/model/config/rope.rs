//! `rope_theta` and `rope_scaling`: the base of the rotary frequencies, and how they are stretched
//! for contexts longer than the training; read in both of Hugging Face's spellings, and written.
//!
//! # Source
//! Hugging Face transformers, `modeling_rope_utils.py`.

use serde_json::{Value, json};

use super::fields::Fields;
use crate::model::ModelError;

/// A stretching of rotary frequencies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Every frequency is divided by `factor`.
    Linear {
        /// At least 1.
        factor: f64,
    },
    /// Low frequencies are divided by `factor`, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Positions of the model before stretching, in tokens.
        original_max_position_embeddings: usize,
    },
}

impl RopeScaling {
    /// Writes the scaling as Hugging Face does.
    pub(super) fn to_json(self) -> Value {
        match self {
            Self::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            Self::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings,
            }),
        }
    }
}

/// Reads the rotary base and its scaling: `rope_parameters` (newer) or `rope_theta` with
/// `rope_scaling`.
pub(super) fn read(fields: &Fields) -> Result<(f64, Option<RopeScaling>), ModelError> {
    let theta = fields.positive("rope_theta", Some(1e4))?;
    let (name, section) = match fields.get("rope_parameters") {
        Some(_) => ("rope_parameters", "rope_parameters."),
        None => ("rope_scaling", "rope_scaling."),
    };
    let map = match fields.get(name) {
        None => return Ok((theta, None)),
        Some(Value::Object(map)) => map,
        Some(other) => {
            let rule = "an object or null";
            return Err(fields.bad(name, other, rule, "null".to_string()));
        }
    };
    let inner = Fields { file: fields.file, section, map };
    let theta = inner.positive("rope_theta", Some(theta))?;
    if inner.positive("partial_rotary_factor", Some(1.0))? != 1.0 {
        return Err(inner.unsupported("partial_rotary_factor", "1: all channels of a head turn"));
    }
    let key = if inner.get("rope_type").is_some() { "rope_type" } else { "type" };
    let scaling = match inner.text(key)? {
        None | Some("default") => None,
        Some("linear") => Some(RopeScaling::Linear { factor: stretch(&inner)? }),
        Some("llama3") => {
            let low = inner.positive("low_freq_factor", None)?;
            let high = inner.positive("high_freq_factor", None)?;
            if high <= low {
                let nearest = format!("{}", low * 4.0);
                return Err(inner.bad("high_freq_factor", high, "above low_freq_factor", nearest));
            }
            Some(RopeScaling::Llama3 {
                factor: stretch(&inner)?,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: inner
                    .count("original_max_position_embeddings", None)?,
            })
        }
        Some(_) => return Err(inner.unsupported(key, "default, linear, llama3")),
    };
    Ok((theta, scaling))
}

fn stretch(fields: &Fields) -> Result<f64, ModelError> {
    let factor = fields.positive("factor", None)?;
    if factor < 1.0 {
        return Err(fields.bad("factor", factor, "at least 1", "1".to_string()));
    }
    Ok(factor)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::model::config::tests::with;

    #[test]
    fn both_ways_to_write_rope_give_the_same() {
        let fields = json!({
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192
        });
        let mut old = fields.clone();
        old["rope_type"] = json!("llama3");
        let mut new = old.clone();
        new["rope_theta"] = json!(500000.0);
        let old = with(&[("rope_theta", json!(500000.0)), ("rope_scaling", old)]).unwrap();
        let new = with(&[("rope_parameters", new)]).unwrap();
        assert_eq!(old, new);
        assert_eq!(
            old.rope_scaling,
            Some(RopeScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192
            })
        );
        let linear = with(&[("rope_scaling", json!({"type": "linear", "factor": 2}))]).unwrap();
        assert_eq!(linear.rope_scaling, Some(RopeScaling::Linear { factor: 2.0 }));
        let plain = with(&[("rope_parameters", json!({"rope_type": "default"}))]).unwrap();
        assert_eq!((plain.rope_scaling, plain.rope_theta), (None, 1e4));
    }

    #[test]
    fn frequencies_fall_from_1_by_a_constant_ratio() {
        let config = with(&[("head_dim", json!(8))]).unwrap();
        // theta 10000, E 8: 10000^(-i/4).
        let expected = [1.0, 0.1, 0.01, 0.001];
        for (f, e) in config.inverse_frequencies().iter().zip(expected) {
            // One rounding of powf.
            assert!((f - e).abs() < 1e-15, "{f} {e}");
        }
        let linear = json!({"type": "linear", "factor": 4.0});
        let linear = with(&[("head_dim", json!(8)), ("rope_scaling", linear)]).unwrap();
        for (a, b) in linear.inverse_frequencies().iter().zip(config.inverse_frequencies()) {
            assert_eq!(*a, b / 4.0);
        }
    }

    #[test]
    fn llama3_keeps_fast_pairs_divides_slow_ones_and_blends_between() {
        // The published settings of Llama 3.1 8B: E 128, theta 500000, factor 8.
        let scaling = json!({
            "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192
        });
        let size = [("head_dim", json!(128)), ("rope_theta", json!(500000.0))];
        let plain = with(&size).unwrap().inverse_frequencies();
        let scaled = [size.as_slice(), &[("rope_scaling", scaling)]].concat();
        let scaled = with(&scaled).unwrap().inverse_frequencies();
        assert!(scaled.is_sorted_by(|a, b| a > b));
        for (f, s) in plain.iter().zip(&scaled) {
            // Kept below a wavelength of 8192/4 tokens, divided by 8 above 8192/1.
            let wavelength = TAU / f;
            if wavelength < 2048.0 {
                assert_eq!(f, s);
            } else if wavelength > 8192.0 {
                assert_eq!(f / 8.0, *s);
            } else {
                assert!(f / 8.0 < *s && s < f, "{wavelength}");
            }
        }
    }
}
