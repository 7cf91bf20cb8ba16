//! The families of models that are read, and what each has beside the plain Llama.
//!
//! | family | biases | norms of heads |
//! |---|---|---|
//! | Llama | on q, k, v and o if `attention_bias` | |
//! | Mistral | | |
//! | Qwen2 | on q, k and v, always | |
//! | Qwen3 | on q, k, v and o if `attention_bias` | on queries and keys |
//!
//! All share the rest: RMS norms before each part, rotary positions, grouped key/value heads, a gated
//! SiLU MLP without biases. Source: Hugging Face transformers 5.23, `modeling_*.py` of the four.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of models, as `model_type` in `config.json` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Llama 1 to 3, and what is built like them.
    #[default]
    Llama,
    /// Mistral whose sliding window, if any, spans all positions: computes as a Llama does.
    Mistral,
    /// Qwen2 and Qwen2.5.
    Qwen2,
    /// Qwen3 without experts.
    Qwen3,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Llama, Self::Mistral, Self::Qwen2, Self::Qwen3];

    /// The names of all, for messages.
    pub const SUPPORTED: &'static str = "llama, mistral, qwen2, qwen3";

    /// Its `model_type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Mistral => "mistral",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Gives the family of a `model_type`; none for one that is not read.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// Hugging Face's class for it.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "LlamaForCausalLM",
            Self::Mistral => "MistralForCausalLM",
            Self::Qwen2 => "Qwen2ForCausalLM",
            Self::Qwen3 => "Qwen3ForCausalLM",
        }
    }

    /// Whether its attention has biases: none where `attention_bias` chooses.
    pub fn fixed_bias(self) -> Option<bool> {
        match self {
            Self::Llama | Self::Qwen3 => None,
            Self::Mistral => Some(false),
            Self::Qwen2 => Some(true),
        }
    }

    /// Whether biases, where there are any, include one on the output projection.
    pub fn biases_output(self) -> bool {
        self != Self::Qwen2
    }

    /// Whether queries and keys are normed head by head before they turn.
    pub fn has_head_norms(self) -> bool {
        self == Self::Qwen3
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_name_and_named_in_messages() {
        for family in Family::ALL {
            assert_eq!(Family::from_name(family.name()), Some(family));
        }
        assert_eq!(Family::SUPPORTED, Family::ALL.map(Family::name).join(", "));
        assert_eq!(Family::from_name("gpt2"), None);
    }
}
