//! The shapes that `bench` measures, and random weights that any language can make.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::BenchError;
use crate::model::{
    AttentionWeights, Family, LayerWeights, LlamaConfig, MlpWeights, Model, ModelError,
    ModelOrigin, Weights,
};
use crate::names::closest;

/// A shape to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BenchCase {
    /// What people call it.
    pub name: &'static str,
    /// Hidden dimensions, D.
    pub hidden: usize,
    /// Layers, L.
    pub layers: usize,
    /// Heads, H, each with keys and values of its own.
    pub heads: usize,
    /// MLP channels, F.
    pub intermediate: usize,
    /// Vocabulary, V.
    pub vocab: usize,
    /// Tokens of a sequence, T.
    pub tokens: usize,
    /// Sequences of a step, B.
    pub batch: usize,
}

impl BenchCase {
    /// Every case.
    pub const ALL: [Self; 3] = [
        Self {
            name: "small",
            hidden: 288,
            layers: 6,
            heads: 6,
            intermediate: 768,
            vocab: 4096,
            tokens: 256,
            batch: 8,
        },
        Self {
            name: "mid",
            hidden: 512,
            layers: 8,
            heads: 8,
            intermediate: 1376,
            vocab: 32_000,
            tokens: 256,
            batch: 4,
        },
        Self {
            name: "7b",
            hidden: 4096,
            layers: 32,
            heads: 32,
            intermediate: 11_008,
            vocab: 32_000,
            tokens: 4096,
            batch: 1,
        },
    ];

    /// The case of a name.
    ///
    /// # Errors
    /// [`BenchError::Case`].
    pub fn named(name: &str) -> Result<Self, BenchError> {
        Self::ALL.into_iter().find(|case| case.name == name).ok_or_else(|| {
            let nearest = closest(name, Self::ALL.map(|case| case.name)).unwrap_or("small");
            BenchError::Case { name: name.into(), nearest }
        })
    }

    /// Bytes that a step takes on a device, roughly: weights, optimiser, gradients, activations.
    pub fn memory(&self, device: &Device) -> u64 {
        let parameters = self.config().shape().parameters() as u64;
        if device.is_cpu() {
            // Weights twice (the source keeps its own), two moments, gradients.
            return 5 * 4 * parameters;
        }
        let tokens = (self.batch * self.tokens) as u64;
        let [l, d, f, v] =
            [self.layers, self.hidden, self.intermediate, self.vocab].map(|n| n as u64);
        // bf16 weights and gradients, f32 masters and two moments.
        let of_parameters = (2 + 2 + 3 * 4) * parameters;
        // What goes into each layer; one layer with its gradients; logits and theirs.
        of_parameters + tokens * 2 * (l * d + 2 * (10 * d + 8 * f) + 2 * v)
    }

    pub(super) fn config(&self) -> LlamaConfig {
        LlamaConfig {
            family: Family::Llama,
            attention_bias: false,
            vocab: self.vocab,
            hidden: self.hidden,
            intermediate: self.intermediate,
            layers: self.layers,
            heads: self.heads,
            kv_heads: self.heads,
            head_dim: self.hidden / self.heads,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            rope_scaling: None,
            max_positions: self.tokens,
            tied: false,
            bos: None,
            eos: Vec::new(),
            dtype: "float32".into(),
        }
    }
}

impl BenchCase {
    /// A model whose numbers any language can make: element `i` of the matrix `t`, in the order of
    /// [`Weights::named`] without the norms, is the mixed number of 2^40 t + i, spread evenly with
    /// deviation 0.02, or 0.02 / sqrt(2 L) where it writes into the residual stream. Norms are 1.
    pub(super) fn model(&self, config: LlamaConfig, device: &Device) -> Result<Model, ModelError> {
        let (d, f) = (self.hidden, self.intermediate);
        let dtype = dtype(device);
        let mut number = 0u64;
        let mut spread = |rows: usize, columns: usize, deviation: f64| {
            let first = number << 40;
            number += 1;
            let width = deviation * 12f64.sqrt();
            let value = |i: u64| ((mixed(first + i) >> 40) as f64 / 16_777_216.0 - 0.5) * width;
            let all = (0..(rows * columns) as u64).into_par_iter();
            let data: Vec<f32> = all.map(|i| value(i) as f32).collect();
            Tensor::from_vec(data, (rows, columns), &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(device)
        };
        let norm = Tensor::ones(d, dtype, device)?;
        let (usual, residual) = (0.02, 0.02 / (2.0 * self.layers as f64).sqrt());
        let embed = spread(self.vocab, d, usual)?;
        let mut layers = Vec::with_capacity(self.layers);
        for _ in 0..self.layers {
            let attention = AttentionWeights {
                norm: norm.clone(),
                q: spread(d, d, usual)?,
                k: spread(d, d, usual)?,
                v: spread(d, d, usual)?,
                o: spread(d, d, residual)?,
                biases: None,
                head_norms: None,
            };
            let mlp = MlpWeights {
                norm: norm.clone(),
                gate: spread(f, d, usual)?,
                up: spread(f, d, usual)?,
                down: spread(d, f, residual)?,
            };
            layers.push(LayerWeights { attention: Some(attention), mlp: Some(mlp) });
        }
        let head = Some(spread(self.vocab, d, usual)?);
        Ok(Model {
            name: self.name.into(),
            config,
            weights: Arc::new(Weights { embed, layers, norm, head }),
            tokenizer: None,
            provenance: Vec::new(),
            origin: ModelOrigin::Unknown,
        })
    }
}

/// The type of the weights on a device.
fn dtype(device: &Device) -> DType {
    if device.is_cuda() { DType::BF16 } else { DType::F32 }
}

/// SplitMix64's output for the state `n`: a number that looks random, and that numpy can make too.
pub(super) fn mixed(n: u64) -> u64 {
    let n = n.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    n ^ (n >> 31)
}
