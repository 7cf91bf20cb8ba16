//! A model small enough to look at, for tests.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::model::{
    AttentionWeights, Family, LayerWeights, LlamaConfig, MlpWeights, Model, Tokenizer, Weights,
};
use crate::rng::Stream;

/// Eight words, split at blanks; BOS in front of every text.
pub(crate) const TOKENIZER: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null, "added_tokens": [
        {"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true},
        {"id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
         "normalized": false, "special": true}],
    "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                   {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                 {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
    "model": {"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<unk>": 0, "<s>": 1,
        "</s>": 2, "the": 3, "sheep": 4, "and": 5, "wool": 6, "grass": 7}}}"#;

/// Two layers, D 8, H 4, K 2, E 2, F 12, V 8; weights drawn from a named stream.
pub(crate) fn model(tied: bool) -> Model {
    let config = LlamaConfig {
        family: Family::Llama,
        attention_bias: false,
        vocab: 8,
        hidden: 8,
        intermediate: 12,
        layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 2,
        rms_norm_eps: 1e-5,
        rope_theta: 1e4,
        rope_scaling: None,
        max_positions: 64,
        tied,
        bos: Some(1),
        eos: vec![2],
        dtype: "float32".to_string(),
    };
    let mut stream = Stream::new(1, "tiny", 0);
    let mut draw = |shape: &[usize]| {
        let numbers = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
        Tensor::from_vec::<_, f32>(numbers, shape, &Device::Cpu).unwrap()
    };
    let embed = draw(&[8, 8]);
    let mut layers = Vec::new();
    for _ in 0..2 {
        let attention = AttentionWeights {
            norm: draw(&[8]),
            q: draw(&[8, 8]),
            k: draw(&[4, 8]),
            v: draw(&[4, 8]),
            o: draw(&[8, 8]),
            biases: None,
            head_norms: None,
        };
        let mlp = MlpWeights {
            norm: draw(&[8]),
            gate: draw(&[12, 8]),
            up: draw(&[12, 8]),
            down: draw(&[8, 12]),
        };
        layers.push(LayerWeights { attention: Some(attention), mlp: Some(mlp) });
    }
    let weights = Weights {
        embed,
        layers,
        norm: draw(&[8]),
        head: if tied { None } else { Some(draw(&[8, 8])) },
    };
    let tokenizer = Tokenizer::from_bytes(Path::new("tiny"), TOKENIZER.into()).unwrap();
    Model {
        name: "tiny".to_string(),
        config,
        weights: Arc::new(weights),
        tokenizer: Some(Arc::new(tokenizer)),
        provenance: vec![("source".to_string(), "tiny".to_string())],
        origin: crate::model::ModelOrigin::Unknown,
    }
}

/// Every family with and without biases, as far as it has the choice.
pub(crate) const FAMILIES: [(Family, bool); 6] = [
    (Family::Llama, false),
    (Family::Llama, true),
    (Family::Mistral, false),
    (Family::Qwen2, true),
    (Family::Qwen3, false),
    (Family::Qwen3, true),
];

/// The untied model with random weights and what a family adds.
pub(crate) fn family(family: Family, attention_bias: bool) -> Model {
    let plain = model(false);
    let config = LlamaConfig { family, attention_bias, ..plain.config };
    Model::random("tiny", config, plain.tokenizer, 1, DType::F32, &Device::Cpu).unwrap()
}

/// Every number of a model, tensor by tensor, with the names.
pub(crate) fn numbers(model: &Model) -> Vec<(String, Vec<f64>)> {
    let numbers = |t: &Tensor| -> Vec<f64> {
        t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    };
    model.weights.named().into_iter().map(|(name, t)| (name, numbers(t))).collect()
}
