//! `config.json`: read, checked once into a valid type, written.
//!
//! A [`LlamaConfig`] from a file has passed every check, so the forward pass never asks again. Keys
//! the engine has no use for are tolerated; absent ones take the defaults of Hugging Face's class for
//! the family, except the five sizes, whose defaults (a 7B model) would hide a mistake.

mod family;
mod fields;
mod rope;

use std::path::Path;

use serde_json::{Map, Value, json};

use self::family::Defaults;
use self::fields::{COUNT, Fields, MOST, POSITIVE, divisors, multiples};
pub use self::rope::RopeScaling;
use super::ModelError;
use crate::shape::{Family, ModelShape};

/// The configuration of a model: of a Llama, or of a family built like one.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// The family.
    pub family: Family,
    /// Whether the attention projections have biases: always in a Qwen2, never in a Mistral. They
    /// stand on q, k and v, and on o as well save in a Qwen2.
    pub attention_bias: bool,
    /// Vocabulary, V.
    pub vocab: usize,
    /// Hidden size, D.
    pub hidden: usize,
    /// MLP width, F.
    pub intermediate: usize,
    /// Layers, L.
    pub layers: usize,
    /// Query heads a layer, H.
    pub heads: usize,
    /// Key/value heads a layer, K; divides H.
    pub kv_heads: usize,
    /// Width of a head, E; even, because rotary positions turn pairs.
    pub head_dim: usize,
    /// Added to the mean square in RMS norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies: pair i turns by `theta^(-2i/E)` radians a token.
    pub rope_theta: f64,
    /// How the rotary frequencies are stretched for long contexts; none leaves them as they are.
    pub rope_scaling: Option<RopeScaling>,
    /// Positions, in tokens.
    pub max_positions: usize,
    /// Whether the output projection is the embedding table.
    pub tied: bool,
    /// The token a text begins with.
    pub bos: Option<u32>,
    /// The tokens that end a text; may be empty.
    pub eos: Vec<u32>,
    /// The number type the checkpoint is stored in: `float32`, `bfloat16`, ..
    pub dtype: String,
}

impl LlamaConfig {
    /// Reads and checks a `config.json`.
    ///
    /// # Errors
    /// The file cannot be read or is no JSON object; a field is absent, illegal or unsupported.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(ModelError::io("read", path))?;
        Self::from_bytes(path, &bytes)
    }

    /// Checks the bytes of a `config.json`; `file` is the name that errors use.
    ///
    /// # Errors
    /// As [`LlamaConfig::from_file`].
    pub fn from_bytes(file: &Path, bytes: &[u8]) -> Result<Self, ModelError> {
        let map: Map<String, Value> = serde_json::from_slice(bytes)
            .map_err(|source| ModelError::Json { file: file.to_path_buf(), source })?;
        let fields = Fields { file, section: "", map: &map };
        let family = family::read(&fields)?;
        let defaults = Defaults::of(family);
        let heads = fields.count("num_attention_heads", None)?;
        let hidden = fields.count("hidden_size", None)?;
        // Null is not absent: it means one for each query head, in every family.
        let kv_default = defaults.kv_heads.filter(|_| !map.contains_key("num_key_value_heads"));
        let head_dim = match fields.get("head_dim") {
            Some(_) => fields.count("head_dim", None)?,
            None if defaults.head_dim.is_some() => fields.count("head_dim", defaults.head_dim)?,
            None if hidden % heads == 0 => hidden / heads,
            None => {
                let rule = "a divisor of hidden_size when head_dim is absent";
                let nearest = format!("{}, or add head_dim", divisors(hidden, heads));
                return Err(fields.bad("num_attention_heads", heads, rule, nearest));
            }
        };
        let (rope_theta, rope_scaling) = rope::read(&fields)?;
        let vocab = fields.count("vocab_size", None)?;
        let small = |id: Option<u32>| id.filter(|&id| (id as usize) < vocab);
        let config = Self {
            family,
            attention_bias: family::attention_bias(&fields, family)?,
            vocab,
            hidden,
            intermediate: fields.count("intermediate_size", None)?,
            layers: fields.count("num_hidden_layers", None)?,
            heads,
            kv_heads: fields.count("num_key_value_heads", Some(kv_default.unwrap_or(heads)))?,
            head_dim,
            rms_norm_eps: fields.positive("rms_norm_eps", Some(1e-6))?,
            rope_theta,
            rope_scaling,
            max_positions: fields.count("max_position_embeddings", Some(defaults.max_positions))?,
            tied: fields.flag("tie_word_embeddings", false)?,
            bos: fields.ids("bos_token_id", small(defaults.ends.0))?.first().copied(),
            eos: fields.ids("eos_token_id", small(defaults.ends.1))?,
            dtype: stored_dtype(&fields)?,
        };
        config.check(file)?;
        family::refuse_short_window(&fields, family, config.max_positions)?;
        Ok(config)
    }

    /// Checks that the numbers fit together; `file` is the name that errors use.
    ///
    /// # Errors
    /// [`ModelError::BadField`] for the first field that does not fit, with the nearest that would.
    pub fn check(&self, file: &Path) -> Result<(), ModelError> {
        let map = Map::new();
        let fields = Fields { file, section: "", map: &map };
        for (name, value) in [
            ("vocab_size", self.vocab),
            ("hidden_size", self.hidden),
            ("intermediate_size", self.intermediate),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_positions),
        ] {
            if !(1..=MOST).contains(&value) {
                return Err(fields.bad(name, value, COUNT, value.clamp(1, MOST).to_string()));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            let rule = "a multiple of num_key_value_heads";
            let nearest = format!(
                "{}; or num_key_value_heads {} in place of {}",
                multiples(self.heads, self.kv_heads),
                divisors(self.heads, self.kv_heads),
                self.kv_heads
            );
            return Err(fields.bad("num_attention_heads", self.heads, rule, nearest));
        }
        if let Some(fixed) = self.family.fixed_bias()
            && fixed != self.attention_bias
        {
            let rule = "as the family has it: true in a qwen2, false in a mistral";
            let value = self.attention_bias;
            return Err(fields.bad("attention_bias", value, rule, fixed.to_string()));
        }
        if !self.head_dim.is_multiple_of(2) {
            let nearest = multiples(self.head_dim, 2);
            let rule = "even: rotary positions turn pairs of channels";
            return Err(fields.bad("head_dim", self.head_dim, rule, nearest));
        }
        for (name, value) in [("rms_norm_eps", self.rms_norm_eps), ("rope_theta", self.rope_theta)]
        {
            if !(value.is_finite() && value > 0.0) {
                let nearest = if name == "rope_theta" { "10000" } else { "1e-6" };
                return Err(fields.bad(name, value, POSITIVE, nearest.to_string()));
            }
        }
        for (name, id) in self
            .bos
            .iter()
            .map(|&id| ("bos_token_id", id))
            .chain(self.eos.iter().map(|&id| ("eos_token_id", id)))
        {
            if id as usize >= self.vocab {
                let nearest = format!("{}, or null", self.vocab - 1);
                return Err(fields.bad(name, id, "below vocab_size", nearest));
            }
        }
        Ok(())
    }

    /// Writes the configuration as Hugging Face's class of its family reads it.
    pub fn to_json(&self) -> Value {
        let mut json = json!({
            "architectures": [self.family.architecture()],
            "model_type": self.family.name(),
            "vocab_size": self.vocab,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling.map(RopeScaling::to_json),
            "max_position_embeddings": self.max_positions,
            "tie_word_embeddings": self.tied,
            "bos_token_id": self.bos,
            "eos_token_id": self.eos_json(),
            "torch_dtype": self.dtype,
            "use_cache": true,
        });
        family::write(self, json.as_object_mut().expect("an object was made"));
        json
    }

    /// Gives the end tokens as Hugging Face writes them: null, one id or a list.
    pub(super) fn eos_json(&self) -> Value {
        match self.eos.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            more => json!(more),
        }
    }

    /// Gives the dimensions.
    pub fn shape(&self) -> ModelShape {
        ModelShape {
            layers: self.layers,
            hidden: self.hidden,
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            intermediate: self.intermediate,
            vocab: self.vocab,
            tied: self.tied,
            family: self.family,
            attention_bias: self.attention_bias,
        }
    }
}

/// Reads the type the checkpoint is stored in, under its older or newer name.
fn stored_dtype(fields: &Fields) -> Result<String, ModelError> {
    let name = if fields.get("torch_dtype").is_some() { "torch_dtype" } else { "dtype" };
    Ok(fields.text(name)?.unwrap_or("float32").to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn base() -> Value {
        json!({
            "model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 172,
            "num_hidden_layers": 5, "num_attention_heads": 8
        })
    }

    pub(super) fn read(config: &Value) -> Result<LlamaConfig, ModelError> {
        LlamaConfig::from_bytes(Path::new("x/config.json"), config.to_string().as_bytes())
    }

    pub(in crate::model) fn with(changes: &[(&str, Value)]) -> Result<LlamaConfig, ModelError> {
        let mut config = base();
        for (name, value) in changes {
            config[*name] = value.clone();
        }
        read(&config)
    }

    fn message(changes: &[(&str, Value)]) -> String {
        with(changes).unwrap_err().to_string()
    }

    #[test]
    fn absent_fields_take_the_defaults_of_hugging_face() {
        let config = read(&base()).unwrap();
        assert_eq!((config.kv_heads, config.head_dim), (8, 8));
        assert_eq!((config.rope_theta, config.rms_norm_eps), (1e4, 1e-6));
        assert_eq!((config.max_positions, config.tied), (2048, false));
        assert_eq!((config.bos, config.eos.as_slice()), (Some(1), [2].as_slice()));
        assert_eq!((config.rope_scaling, config.dtype.as_str()), (None, "float32"));
    }

    #[test]
    fn unknown_keys_and_nulls_are_tolerated() {
        let config = with(&[
            ("pretraining_tp", json!(1)),
            ("num_key_value_heads", Value::Null),
            ("head_dim", Value::Null),
            ("rope_scaling", Value::Null),
            ("eos_token_id", Value::Null),
            ("bos_token_id", Value::Null),
        ]);
        let config = config.unwrap();
        assert_eq!((config.kv_heads, config.head_dim, config.bos), (8, 8, None));
        assert!(config.eos.is_empty());
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let scaling = json!({
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192
        });
        for changes in [
            vec![],
            vec![("eos_token_id", json!([2, 3])), ("tie_word_embeddings", json!(true))],
            vec![("bos_token_id", Value::Null), ("eos_token_id", Value::Null)],
            vec![("rope_scaling", scaling), ("dtype", json!("bfloat16")), ("head_dim", json!(16))],
            vec![("rope_scaling", json!({"rope_type": "linear", "factor": 4.0}))],
        ] {
            let config = with(&changes).unwrap();
            assert_eq!(read(&config.to_json()).unwrap(), config);
        }
    }

    #[test]
    fn heads_that_cannot_share_kv_heads_are_refused_with_the_nearest() {
        let text = message(&[
            ("num_attention_heads", json!(14)),
            ("num_key_value_heads", json!(4)),
            ("head_dim", json!(8)),
        ]);
        for part in ["config.json", "num_attention_heads is 14", "12 or 16", "2 or 7 in place of 4"]
        {
            assert!(text.contains(part), "{part} in: {text}");
        }
        let text = message(&[("num_attention_heads", json!(6))]);
        assert!(text.contains("4 or 8, or add head_dim"), "{text}");
    }

    #[test]
    fn bad_numbers_name_field_value_and_the_nearest() {
        for (name, value, part) in [
            ("hidden_size", json!(0), "nearest: 1"),
            ("hidden_size", json!(-64), "nearest: 1"),
            ("hidden_size", json!("64"), "nearest: 64"),
            ("hidden_size", json!(64.5), "nearest: 65"),
            ("hidden_size", json!([64]), "a number without quotes"),
            ("num_hidden_layers", json!(1e18), "nearest: 2147483648"),
            ("head_dim", json!(7), "nearest: 6 or 8"),
            ("rms_norm_eps", json!(0.0), "nearest: 0.000001"),
            ("rope_theta", json!(-1), "nearest: 10000"),
            ("tie_word_embeddings", json!("yes"), "true or false"),
            ("bos_token_id", json!(512), "nearest: 511, or null"),
            ("eos_token_id", json!([2, 600]), "eos_token_id is 600"),
            ("eos_token_id", json!("</s>"), "a token id"),
            ("rope_scaling", json!("linear"), "an object or null"),
        ] {
            let text = message(&[(name, value)]);
            assert!(text.contains(name) && text.contains(part), "{part} in: {text}");
        }
    }

    #[test]
    fn an_absent_size_is_refused_by_name() {
        for name in ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"] {
            let mut config = base();
            config.as_object_mut().unwrap().remove(name);
            let error = read(&config).unwrap_err();
            assert!(matches!(&error, ModelError::MissingField { field, .. } if field == name));
        }
        let text = message(&[("rope_scaling", json!({"type": "llama3", "low_freq_factor": 1}))]);
        assert!(text.contains("rope_scaling.high_freq_factor"), "{text}");
    }

    #[test]
    fn what_the_engine_does_not_compute_is_refused_by_name() {
        for (name, value, part) in [
            ("model_type", json!("gpt2"), "supported: llama, mistral, qwen2, qwen3"),
            ("hidden_act", json!("gelu"), "supported: silu"),
            ("mlp_bias", json!(true), "without biases"),
            ("quantization_config", json!({"bits": 4}), "bf16"),
            ("rope_scaling", json!({"type": "yarn", "factor": 2.0}), "default, linear, llama3"),
            ("rope_parameters", json!({"partial_rotary_factor": 0.5}), "all channels"),
        ] {
            let error = with(&[(name, value)]).unwrap_err();
            assert!(matches!(error, ModelError::Unsupported { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(part), "{part} in: {text}");
        }
    }

    #[test]
    fn bad_json_says_where() {
        let bytes = b"{\"model_type\": \"llama\",, }";
        let error = LlamaConfig::from_bytes(Path::new("x/config.json"), bytes).unwrap_err();
        assert!(error.to_string().contains("line 1 column 24"), "{error}");
    }
}
