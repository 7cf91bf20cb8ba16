//! Llama-family models: configuration, weights, checkpoint folders and hub, forward pass, generation.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong, with file, field and one thing to try |
//! | `config.rs` | `config.json`: read, checked, written |
//! | `origin.rs` | how a model was made |
//! | `weights.rs` | the tensors and their checkpoint names |
//! | `checkpoint.rs` | a model from a folder of safetensors |
//! | `demo.rs` | the model inside the program |
//! | `hub.rs` | a model from a hub id |
//! | `card.rs` | the model card of a model that was made here |
//! | `save.rs` | a model to a folder that usual loaders open |
//! | `tokenizer.rs` | text to token ids and back |
//! | `forward.rs` | logits, with or without gates |
//! | `elastic.rs` | the weights that take part in an elastic step, in a graph |
//! | `pass/` | loss and gradients by hand, on the CPU |
//! | `init.rs` | random weights, for training from nothing |
//! | `frequencies.rs` | rotary frequencies and their scaling |
//! | `cache.rs` | token by token, with keys and values kept |
//! | `generate.rs` | sampling text |
//! | `digest.rs` | the hash of a model |
//! | `fold.rs` | gates folded into weights, dead parts removed |
//! | `cut.rs` | a smaller model from gate values |
//! | `magnitude.rs` | how large the weights of each part are |

mod cache;
mod card;
pub mod checkpoint;
pub mod config;
mod cut;
mod demo;
mod digest;
mod elastic;
mod error;
pub mod fold;
pub mod forward;
mod frequencies;
pub mod generate;
pub mod hub;
mod init;
mod magnitude;
mod origin;
pub(crate) mod pass;
pub mod save;
pub mod tokenizer;
pub mod weights;

use std::sync::Arc;

pub use config::{LlamaConfig, RopeScaling};
pub use demo::demo;
pub use error::ModelError;
pub use origin::ModelOrigin;
pub use tokenizer::Tokenizer;
pub use weights::{
    AttentionBiases, AttentionWeights, HeadNorms, LayerWeights, MlpWeights, Weights,
};

pub use crate::shape::Family;
use crate::shape::ModelShape;

/// A language model: configuration, weights and, usually, a tokenizer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    /// What people call it: `demo`, the folder's name or the hub id.
    pub name: String,
    /// Its configuration.
    pub config: LlamaConfig,
    /// Its tensors, in the computing type (f32, or f64 in checks).
    pub weights: Arc<Weights>,
    /// Its tokenizer; a model without one can score ids but not text.
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// Where it came from, as pairs that end up in exported metadata.
    pub provenance: Vec<(String, String)>,
    /// How it was made.
    pub origin: ModelOrigin,
}

impl Model {
    /// Gives the dimensions.
    pub fn shape(&self) -> ModelShape {
        self.config.shape()
    }

    /// Counts the parameters; a tied head counts once.
    pub fn parameters(&self) -> usize {
        self.weights.parameters()
    }
}
