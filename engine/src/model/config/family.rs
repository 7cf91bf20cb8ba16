//! What the families differ in as far as `config.json` goes: refusals, defaults, and the keys that
//! only some of them have.
//!
//! # Source
//! Hugging Face transformers 5.23: `LlamaConfig`, `MistralConfig`, `Qwen2Config`, `Qwen3Config`.

use serde_json::{Map, Value, json};

use super::LlamaConfig;
use super::fields::Fields;
use crate::model::ModelError;
use crate::shape::Family;

/// What Hugging Face's class of a family takes for a key that is absent.
pub(super) struct Defaults {
    /// Key/value heads; none means one for each query head.
    pub kv_heads: Option<usize>,
    /// Width of a head; none means hidden over heads.
    pub head_dim: Option<usize>,
    /// Positions, in tokens.
    pub max_positions: usize,
    /// First and last token.
    pub ends: (Option<u32>, Option<u32>),
}

impl Defaults {
    /// Gives those of a family.
    pub fn of(family: Family) -> Self {
        let plain =
            Self { kv_heads: None, head_dim: None, max_positions: 2048, ends: (Some(1), Some(2)) };
        let qwen = Self { kv_heads: Some(32), max_positions: 32_768, ends: (None, None), ..plain };
        match family {
            Family::Llama => plain,
            Family::Mistral => Self { kv_heads: Some(8), max_positions: 131_072, ..plain },
            Family::Qwen2 => qwen,
            Family::Qwen3 => Self { head_dim: Some(128), ..qwen },
        }
    }
}

/// Reads the family and refuses what the forward pass does not compute.
pub(super) fn read(fields: &Fields) -> Result<Family, ModelError> {
    let Some(name) = fields.text("model_type")? else {
        return Err(fields.missing("model_type", "add \"model_type\": \"llama\" if it is one"));
    };
    let family = Family::from_name(name)
        .ok_or_else(|| fields.unsupported("model_type", Family::SUPPORTED))?;
    if !matches!(fields.text("hidden_act")?, None | Some("silu" | "swish")) {
        return Err(fields.unsupported("hidden_act", "silu"));
    }
    if fields.flag("mlp_bias", false)? {
        return Err(fields.unsupported("mlp_bias", "false: an MLP without biases"));
    }
    if fields.get("quantization_config").is_some() {
        let supported = "checkpoints in f32, bf16, f16 or f64";
        return Err(fields.unsupported("quantization_config", supported));
    }
    Ok(family)
}

/// Tells whether the attention projections have biases.
pub(super) fn attention_bias(fields: &Fields, family: Family) -> Result<bool, ModelError> {
    let asked = fields.flag("attention_bias", false)?;
    match family.fixed_bias() {
        None => Ok(asked),
        // Hugging Face's Qwen2 has its biases whatever this key says.
        Some(true) => Ok(true),
        Some(false) if asked => Err(fields.unsupported("attention_bias", "false in a mistral")),
        Some(false) => Ok(false),
    }
}

/// Refuses a window that attention would have to respect within the model's positions.
pub(super) fn refuse_short_window(
    fields: &Fields,
    family: Family,
    max_positions: usize,
) -> Result<(), ModelError> {
    let on = match family {
        Family::Llama => false,
        Family::Mistral => true,
        Family::Qwen2 | Family::Qwen3 => fields.flag("use_sliding_window", false)?,
    };
    if !on {
        return Ok(());
    }
    // The default is 4096 when the key is absent; null means no window.
    let window = match fields.map.get("sliding_window") {
        Some(Value::Null) => return Ok(()),
        Some(_) => fields.count("sliding_window", None)?,
        None => 4096,
    };
    if window >= max_positions {
        return Ok(());
    }
    let nearest = format!(
        "{max_positions}; or set max_position_embeddings to {window} to use the model inside its window"
    );
    let rule = "null or at least max_position_embeddings: attention here has no sliding window";
    Err(fields.bad("sliding_window", window, rule, nearest))
}

/// Writes the keys that only some families have.
pub(super) fn write(config: &LlamaConfig, map: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Value| map.insert(key.to_string(), value);
    match config.family {
        Family::Llama => {
            put("attention_bias", json!(config.attention_bias));
            put("mlp_bias", json!(false));
        }
        Family::Mistral => {
            put("sliding_window", Value::Null);
        }
        Family::Qwen2 | Family::Qwen3 => {
            if config.family == Family::Qwen3 {
                put("attention_bias", json!(config.attention_bias));
            }
            put("use_sliding_window", json!(false));
            // Some loaders want the two numbers even where no window is used: none of them bites.
            put("sliding_window", json!(config.max_positions));
            put("max_window_layers", json!(config.layers));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::{read, with};

    fn of(family: &str, changes: &[(&str, Value)]) -> Result<LlamaConfig, ModelError> {
        with(&[&[("model_type", json!(family))], changes].concat())
    }

    #[test]
    fn absent_keys_take_the_defaults_of_the_family() {
        let heads = [("num_attention_heads", json!(32))];
        let wide = [("hidden_size", json!(128)), ("num_attention_heads", json!(32))];
        let told = |c: LlamaConfig| (c.kv_heads, c.head_dim, c.max_positions, c.bos, c.eos);
        let llama = (32, 2, 2048, Some(1), vec![2]);
        assert_eq!(told(of("llama", &heads).unwrap()), llama);
        let window = ("sliding_window", Value::Null);
        let mistral = of("mistral", &[heads[0].clone(), window]).unwrap();
        assert_eq!(told(mistral), (8, 2, 131_072, Some(1), vec![2]));
        assert_eq!(told(of("qwen2", &wide).unwrap()), (32, 4, 32_768, None, vec![]));
        assert_eq!(told(of("qwen3", &wide).unwrap()), (32, 128, 32_768, None, vec![]));
        // Null is not absent: one key/value head for each query head.
        let null = of("qwen3", &[("num_key_value_heads", Value::Null)]).unwrap();
        assert_eq!((null.kv_heads, null.rope_theta, null.rms_norm_eps), (8, 1e4, 1e-6));
        assert!(!null.tied);
    }

    #[test]
    fn biases_are_there_by_family_or_by_choice() {
        let kv = ("num_key_value_heads", json!(4));
        let bias = |family: &str, asked: bool| {
            let changes =
                [kv.clone(), ("attention_bias", json!(asked)), ("sliding_window", Value::Null)];
            of(family, &changes).map(|config| config.attention_bias)
        };
        for family in ["llama", "qwen3"] {
            assert!(bias(family, true).unwrap() && !bias(family, false).unwrap());
        }
        assert!(bias("qwen2", true).unwrap() && bias("qwen2", false).unwrap());
        let text = bias("mistral", true).unwrap_err().to_string();
        assert!(text.contains("attention_bias") && text.contains("mistral"), "{text}");
    }

    #[test]
    fn every_family_reads_back_what_it_writes() {
        for (family, bias) in [
            ("llama", true),
            ("mistral", false),
            ("qwen2", true),
            ("qwen3", false),
            ("qwen3", true),
        ] {
            let changes = [
                ("num_key_value_heads", json!(4)),
                ("sliding_window", Value::Null),
                ("attention_bias", json!(bias)),
            ];
            let config = of(family, &changes).unwrap();
            let json = config.to_json();
            assert_eq!(json["model_type"], family);
            assert_eq!(json["architectures"], json!([config.family.architecture()]));
            assert_eq!(read(&json).unwrap(), config);
        }
    }

    #[test]
    fn a_short_window_is_refused_where_it_is_in_use() {
        let window = |family: &str, on: bool, size: Value| {
            let changes = [
                ("num_key_value_heads", json!(4)),
                ("max_position_embeddings", json!(8192)),
                ("use_sliding_window", json!(on)),
                ("sliding_window", size),
            ];
            of(family, &changes)
        };
        for family in ["qwen2", "qwen3"] {
            assert!(window(family, false, json!(4096)).is_ok());
            assert!(window(family, true, json!(8192)).is_ok());
            assert!(window(family, true, Value::Null).is_ok());
            let text = window(family, true, json!(4096)).unwrap_err().to_string();
            assert!(text.contains("set max_position_embeddings to 4096"), "{text}");
        }
        assert!(window("mistral", false, Value::Null).is_ok());
        assert!(window("mistral", false, json!(8192)).is_ok());
        let text = window("mistral", false, json!(4096)).unwrap_err().to_string();
        assert!(text.contains("set max_position_embeddings to 4096"), "{text}");
    }
}
