//! A model from nothing: random weights, for training a small one from scratch and for benchmarks.
//!
//! Projections are normal with deviation 0.02, those that write into the residual stream 0.02 / sqrt(2 L);
//! norms are 1. Biases, where a family has them, are drawn too, with 0.02, so that a model that
//! lost them would not pass for the same. Source: Radford et al., "Language models are unsupervised multitask learners".

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{
    AttentionBiases, AttentionWeights, HeadNorms, LayerWeights, LlamaConfig, MlpWeights, Model,
    ModelError, ModelOrigin, Tokenizer, Weights,
};
use crate::progress::{Unwatched, Watch};
use crate::rng::Stream;

const DEVIATION: f64 = 0.02;

impl Model {
    /// Makes a model of random weights.
    ///
    /// # Determinism
    /// Each tensor has its own stream, named by its number, so the values do not depend on the device.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn random(
        name: &str,
        config: LlamaConfig,
        tokenizer: Option<Arc<Tokenizer>>,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Self::random_watched(name, config, tokenizer, seed, dtype, device, &Unwatched)
    }

    /// As [`Model::random`], stopped on request.
    ///
    /// # Errors
    /// As [`Model::random`]; an interrupt.
    pub fn random_watched(
        name: &str,
        config: LlamaConfig,
        tokenizer: Option<Arc<Tokenizer>>,
        seed: u64,
        dtype: DType,
        device: &Device,
        watch: &dyn Watch,
    ) -> Result<Self, ModelError> {
        let origin = ModelOrigin::Random { config: config.to_json(), seed };
        let mut number = 0;
        let mut normal =
            |rows: usize, columns: usize, deviation: f64| -> Result<Tensor, ModelError> {
                number += 1;
                let mut stream = Stream::new(seed, "init", number);
                let mut data: Vec<f32> = Vec::with_capacity(rows * columns);
                for _ in 0..rows {
                    if watch.stop_requested() {
                        return Err(ModelError::Interrupted);
                    }
                    data.extend((0..columns).map(|_| (deviation * stream.normal()) as f32));
                }
                Ok(Tensor::from_vec(data, (rows, columns), device)?.to_dtype(dtype)?)
            };
        let ones = |n: usize| Tensor::ones(n, dtype, device);
        let (d, f) = (config.hidden, config.intermediate);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let residual = DEVIATION / (2.0 * config.layers as f64).sqrt();
        let embed = normal(config.vocab, d, DEVIATION)?;
        let mut layers = Vec::with_capacity(config.layers);
        for _ in 0..config.layers {
            let mut attention = AttentionWeights {
                norm: ones(d)?,
                q: normal(q, d, DEVIATION)?,
                k: normal(kv, d, DEVIATION)?,
                v: normal(kv, d, DEVIATION)?,
                o: normal(d, q, residual)?,
                biases: None,
                head_norms: None,
            };
            if config.attention_bias {
                let mut bias = |n: usize| Ok::<_, ModelError>(normal(1, n, DEVIATION)?.squeeze(0)?);
                let o = config.family.biases_output().then(|| bias(d)).transpose()?;
                attention.biases =
                    Some(AttentionBiases { q: bias(q)?, k: bias(kv)?, v: bias(kv)?, o });
            }
            if config.family.has_head_norms() {
                let e = config.head_dim;
                attention.head_norms = Some(HeadNorms { q: ones(e)?, k: ones(e)? });
            }
            let mlp = MlpWeights {
                norm: ones(d)?,
                gate: normal(f, d, DEVIATION)?,
                up: normal(f, d, DEVIATION)?,
                down: normal(d, f, residual)?,
            };
            layers.push(LayerWeights { attention: Some(attention), mlp: Some(mlp) });
        }
        let head = if config.tied { None } else { Some(normal(config.vocab, d, DEVIATION)?) };
        let weights = Weights { embed, layers, norm: ones(d)?, head };
        Ok(Self {
            name: name.to_string(),
            config,
            weights: Arc::new(weights),
            tokenizer,
            provenance: vec![("random.init_seed".into(), seed.to_string())],
            origin,
        })
    }
}
