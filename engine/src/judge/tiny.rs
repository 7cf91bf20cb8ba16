//! Small models and gates for the tests of the judges.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};

use crate::gate::{GateKind, Gates, HardConcrete};
use crate::model::{LlamaConfig, Model};
use crate::rng::Stream;
use crate::shape::TargetShape;

/// Families that differ in what a layer has: nothing more, biases, norms of heads.
pub(super) const FAMILIES: [&str; 3] = ["llama", "qwen2", "qwen3"];

/// A configuration by its sizes, as `config.json` would say it.
pub(super) fn config(
    family: &str,
    (layers, hidden, intermediate): (usize, usize, usize),
    (heads, kv_heads, head_dim): (usize, usize, usize),
    vocab: usize,
    tied: bool,
) -> LlamaConfig {
    let json = format!(
        r#"{{"model_type": "{family}", "num_hidden_layers": {layers}, "hidden_size": {hidden},
            "intermediate_size": {intermediate}, "num_attention_heads": {heads},
            "num_key_value_heads": {kv_heads}, "head_dim": {head_dim}, "vocab_size": {vocab},
            "tie_word_embeddings": {tied}, "max_position_embeddings": 64}}"#
    );
    LlamaConfig::from_bytes(Path::new("tiny"), json.as_bytes()).unwrap()
}

/// A random f64 model whose parts speak loudly enough that a mistake in any of them shows.
pub(super) fn tiny(tied: bool) -> Model {
    family("llama", tied)
}

/// The same of another family.
pub(super) fn family(name: &str, tied: bool) -> Model {
    let config = config(name, (3, 16, 20), (4, 2, 4), 30, tied);
    let model = Model::random("tiny", config, None, 5, DType::F64, &Device::Cpu).unwrap();
    let weights = model.weights.map(|t| if t.rank() == 2 { t * 15.0 } else { Ok(t.clone()) });
    Model { weights: Arc::new(weights.unwrap()), ..model }
}

/// Gates of five kinds with random log-alphas, to two layers, one group of one query head, 12 channels,
/// 12 dimensions.
pub(super) fn random_gates(model: &Model, mask_embeddings: bool, seed: u64) -> Gates {
    let source = model.shape();
    let target = TargetShape {
        layers: Some(2),
        hidden: Some(12),
        heads: Some(1),
        kv_heads: Some(1),
        intermediate: Some(12),
    };
    let target = target.resolve(&source).unwrap();
    let kinds = [
        GateKind::Layer,
        GateKind::Head,
        GateKind::Query,
        GateKind::Intermediate,
        GateKind::Hidden,
    ];
    let hc = HardConcrete::default();
    let mut gates = Gates::new(&source, Some(&target), &kinds, hc, mask_embeddings, seed).unwrap();
    let mut stream = Stream::new(seed, "log-alpha", 0);
    for table in &mut gates.tables {
        table.log_alpha.iter_mut().for_each(|a| *a = 1.0 + 1.5 * stream.normal());
    }
    gates
}

/// `rows` rows of `tokens` random ids.
pub(super) fn ids(model: &Model, rows: usize, tokens: usize) -> Vec<u32> {
    let mut stream = Stream::new(9, "ids", 0);
    (0..rows * tokens).map(|_| stream.below(model.config.vocab as u64) as u32).collect()
}
