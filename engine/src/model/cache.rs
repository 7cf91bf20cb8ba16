//! Token by token: a forward pass that keeps keys and values.
//!
//! For inference only. On the CPU it is made by hand (`pass/next.rs`). This is its form in candle's
//! operations, for every device and type.

use candle_core::{DType, Tensor};

use super::{AttentionWeights, Model, ModelError};
use crate::ops::RopeTable;
use crate::progress::Watch;

/// A forward pass that goes on where it stopped, for B sequences of one length.
pub(super) trait Next {
    /// Appends `ids (B, t)`, row by row, and gives the logits (B, V) after the last.
    ///
    /// # Errors
    /// An id beyond the vocabulary; an interrupt, after which there is no going on; candle's.
    fn append(&mut self, ids: &[u32], watch: &dyn Watch) -> Result<Vec<f32>, ModelError>;
}

/// The pass in candle's operations.
pub(super) struct CachedForward<'a> {
    model: &'a Model,
    b: usize,
    rope: RopeTable,
    kept: Vec<Option<(Tensor, Tensor)>>,
    position: usize,
}

impl Next for CachedForward<'_> {
    fn append(&mut self, ids: &[u32], watch: &dyn Watch) -> Result<Vec<f32>, ModelError> {
        let weights = &self.model.weights;
        let (b, vocab) = (self.b, weights.embed.dim(0)?);
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let t = ids.len() / b;
        let device = weights.embed.device();
        let eps = self.model.config.rms_norm_eps as f32;
        let mut x = weights.embed.index_select(&Tensor::from_slice(ids, ids.len(), device)?, 0)?; // (B*t, D)
        let (cos, sin) = self.rope.tensors(self.position, t, x.dtype(), device)?;
        for l in 0..weights.layers.len() {
            if watch.stop_requested() {
                return Err(ModelError::Interrupted);
            }
            let layer = &weights.layers[l];
            if let Some(a) = &layer.attention {
                let h = candle_nn::ops::rms_norm(&x, &a.norm, eps)?;
                x = (x + self.attention(l, a, &h, (b, t), (&cos, &sin))?)?;
            }
            if let Some(m) = &layer.mlp {
                let h = candle_nn::ops::rms_norm(&x, &m.norm, eps)?;
                let activated = (h.matmul(&m.gate.t()?)?.silu()? * h.matmul(&m.up.t()?)?)?;
                x = (x + activated.matmul(&m.down.t()?)?)?;
            }
        }
        self.position += t;
        let d = x.dim(1)?;
        let last = x.reshape((b, t, d))?.narrow(1, t - 1, 1)?.squeeze(1)?.contiguous()?; // (B, D)
        let last = candle_nn::ops::rms_norm(&last, &weights.norm, eps)?;
        let logits = last.matmul(&weights.head.as_ref().unwrap_or(&weights.embed).t()?)?;
        Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }
}

impl<'a> CachedForward<'a> {
    /// Prepares for `b` sequences of up to `positions` tokens.
    pub fn new(model: &'a Model, b: usize, positions: usize) -> Self {
        let rope = RopeTable::new(&model.config.inverse_frequencies(), positions);
        Self { model, b, rope, kept: vec![None; model.weights.layers.len()], position: 0 }
    }
    fn attention(
        &mut self,
        l: usize,
        a: &AttentionWeights,
        h: &Tensor,
        (b, t): (usize, usize),
        (cos, sin): (&Tensor, &Tensor),
    ) -> Result<Tensor, ModelError> {
        let e = self.model.config.head_dim;
        let eps = self.model.config.rms_norm_eps as f32;
        let split = |w: &Tensor, bias: Option<&Tensor>, norm: Option<&Tensor>| {
            let heads = w.dim(0)? / e;
            let x = project(h, w, bias)?.reshape((b, t, heads, e))?;
            let x = match norm {
                Some(norm) => candle_nn::ops::rms_norm(&x, norm, eps)?,
                None => x,
            };
            x.transpose(1, 2)?.contiguous()
        };
        let (biases, norms) = (a.biases.as_ref(), a.head_norms.as_ref());
        let q = split(&a.q, biases.map(|b| &b.q), norms.map(|n| &n.q))?;
        let k = split(&a.k, biases.map(|b| &b.k), norms.map(|n| &n.k))?;
        let v = split(&a.v, biases.map(|b| &b.v), None)?;
        let q = candle_nn::rotary_emb::rope(&q, cos, sin)?; // (B, H, t, E)
        let k = candle_nn::rotary_emb::rope(&k, cos, sin)?; // (B, K, t, E)
        let (k, v) = match &self.kept[l] {
            Some((old_k, old_v)) => (Tensor::cat(&[old_k, &k], 2)?, Tensor::cat(&[old_v, &v], 2)?),
            None => (k, v),
        };
        self.kept[l] = Some((k.clone(), v.clone()));
        let (heads, kv_heads, seen) = (q.dim(1)?, k.dim(1)?, k.dim(2)?);
        let group = heads / kv_heads;
        // Query heads of a group stand one after the other: their queries share one product.
        let q = q.reshape((b, kv_heads, group * t, e))?;
        let scores = (q.matmul(&k.t()?)? * (1.0 / (e as f64).sqrt()))?; // (B, K, G*t, seen)
        let scores =
            if t == 1 { scores } else { scores.broadcast_add(&causal(t, seen, group, &q)?)? };
        let p = candle_nn::ops::softmax_last_dim(&scores)?;
        let c = p.matmul(&v)?.reshape((b, heads, t, e))?;
        let c = c.transpose(1, 2)?.reshape((b * t, heads * e))?;
        Ok(project(&c, &a.o, biases.and_then(|b| b.o.as_ref()))?)
    }
}

/// x Wᵀ, plus the bias if there is one.
fn project(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> candle_core::Result<Tensor> {
    let y = x.matmul(&w.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// -inf where a query would see a later key: (G*t, seen).
fn causal(t: usize, seen: usize, group: usize, like: &Tensor) -> candle_core::Result<Tensor> {
    let before = seen - t;
    let mask: Vec<f64> = (0..group * t * seen)
        .map(|i| if i % seen > before + (i / seen) % t { f64::NEG_INFINITY } else { 0.0 })
        .collect();
    Tensor::from_vec(mask, (group * t, seen), like.device())?
        .to_dtype(DType::F32)?
        .to_dtype(like.dtype())
}
