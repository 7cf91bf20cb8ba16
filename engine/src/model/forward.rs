//! Logits of a model, with or without gates.
//!
//! ```text
//! x = E[ids] (z_hidden)
//! each layer:  x += o( z_head * z_query * attention(rms(x)) ) * z_attention * z_hidden
//!              x += down( silu(gate b) * (up b) * z_intermediate ) * z_mlp * z_hidden,  b = rms(x)
//! logits = head( rms(x) )
//! ```
//!
//! The norms run over the live hidden dimensions (see `ops/norm.rs`). Widths come from the tensors,
//! so layers may differ and may lack a part. Biases and norms of heads are used where there are any;
//! a bias of o goes with the last head of its layer, as it does in the cut model.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::elastic::{self, part, pick};
use super::pass::live::{Chosen, Live};
use super::{AttentionWeights, LlamaConfig, MlpWeights, ModelError, Weights};
use crate::gate::GateTensors;
use crate::ops::{self, Rope, RopeTable};
use crate::progress::Watch;

/// Everything a forward pass needs beside the ids.
pub struct Forward<'a> {
    weights: &'a Weights,
    gates: Option<&'a GateTensors>,
    live: Option<Live>,
    eps: f64,
    head_dim: usize,
    rope: Rope,
    watch: Option<&'a dyn Watch>,
}

/// A place of the residual stream. Layers count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// After the embedding.
    Embedding,
    /// After the attention of a layer.
    Attention(usize),
    /// After the MLP of a layer.
    Mlp(usize),
    /// After the final norm, before the head.
    Norm,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedding => f.write_str("embedding"),
            Self::Attention(l) => write!(f, "layer {l} attention"),
            Self::Mlp(l) => write!(f, "layer {l} MLP"),
            Self::Norm => f.write_str("final norm"),
        }
    }
}

/// Logits with the residual stream on the way to them.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The stream (B*T, D) at every place, in order; a part that a layer lacks has no place.
    pub places: Vec<(Place, Tensor)>,
    /// The logits (B*T, V).
    pub logits: Tensor,
}

impl<'a> Forward<'a> {
    /// Prepares passes of up to `tokens` tokens.
    pub fn new(weights: &'a Weights, config: &LlamaConfig, tokens: usize) -> Self {
        let rope = Arc::new(RopeTable::new(&config.inverse_frequencies(), tokens));
        Self::with_rope(weights, config, rope)
    }

    /// Prepares passes with a rotary table made before.
    pub fn with_rope(weights: &'a Weights, config: &LlamaConfig, rope: Rope) -> Self {
        let (eps, head_dim) = (config.rms_norm_eps, config.head_dim);
        Self { weights, gates: None, live: None, eps, head_dim, rope, watch: None }
    }

    /// Puts gates on.
    pub fn gated(mut self, gates: &'a GateTensors) -> Self {
        self.gates = Some(gates);
        self
    }

    /// Leaves out what takes no part; everything else comes out as without it, but for rounding.
    pub(crate) fn elastic(mut self, live: Live) -> Self {
        self.live = Some(live);
        self
    }

    /// Lets whoever watches stop a pass between two layers: one of a large model takes seconds.
    pub fn watched(mut self, watch: &'a dyn Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    /// Gives the logits `(B*T, V)` of `ids`, B rows of `tokens` ids.
    ///
    /// # Errors
    /// An id beyond the vocabulary; an interrupt by whoever watches; candle's.
    pub fn logits(&self, ids: &[u32], tokens: usize) -> Result<Tensor, ModelError> {
        self.pass(ids, tokens, &mut |_, _| {})
    }

    /// Gives the logits with the stream they came from: what stands in the residual stream after
    /// the embedding and after every part there is, and the normed stream before the head.
    ///
    /// # Errors
    /// An id beyond the vocabulary; candle's.
    pub fn trace(&self, ids: &[u32], tokens: usize) -> Result<Trace, ModelError> {
        let mut places = Vec::with_capacity(2 * self.weights.layers.len() + 2);
        let logits = self.pass(ids, tokens, &mut |place, x| places.push((place, x.clone())))?;
        Ok(Trace { places, logits })
    }

    /// The pass behind both; `see` is shown the stream at every place.
    fn pass(
        &self,
        ids: &[u32],
        tokens: usize,
        see: &mut dyn FnMut(Place, &Tensor),
    ) -> Result<Tensor, ModelError> {
        let pass = self.begin(tokens)?;
        let mut x = self.embed(ids, &pass)?;
        see(Place::Embedding, &x);
        for l in 0..self.weights.layers.len() {
            if self.watch.is_some_and(Watch::stop_requested) {
                return Err(ModelError::Interrupted);
            }
            x = self.layer(l, x, &pass, see)?;
        }
        self.end(&x, &pass, see)
    }

    /// What the layers of a pass over rows of `tokens` ids share.
    ///
    /// A pass is `begin`, `embed`, every `layer` in turn and `end`; who keeps only what goes into a
    /// layer can run it again.
    ///
    /// # Errors
    /// candle's, here and below.
    pub(crate) fn begin(&self, tokens: usize) -> Result<Pass, ModelError> {
        let embed = &self.weights.embed;
        let gate = self.gates.map(GateTensors::hidden).transpose()?.flatten();
        let gated = gate.is_some();
        let hidden = match gate {
            Some(z) => z,
            None => Tensor::ones(embed.dim(1)?, embed.dtype(), embed.device())?,
        };
        let chosen = match &self.live {
            Some(live) => live.hidden.clone(),
            None => Chosen::all(embed.dim(1)?),
        };
        Ok(Pass { hidden, gated, chosen, tokens })
    }

    /// The residual stream (B*T, D) of `ids` before the first layer.
    ///
    /// # Errors
    /// An id beyond the vocabulary.
    pub(crate) fn embed(&self, ids: &[u32], pass: &Pass) -> Result<Tensor, ModelError> {
        let vocab = self.weights.embed.dim(0)?;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let x = ops::embedding(&self.weights.embed, ids)?; // (B*T, D)
        let x = part(&x, None, Some(&pass.chosen))?;
        if pass.gated && self.gates.is_some_and(|g| g.mask_embeddings) {
            return Ok(ops::scale_columns(&x, &pass.z()?)?);
        }
        Ok(x)
    }

    /// The stream after layer `l`.
    pub(crate) fn layer(
        &self,
        l: usize,
        mut x: Tensor,
        pass: &Pass,
        see: &mut dyn FnMut(Place, &Tensor),
    ) -> Result<Tensor, ModelError> {
        let (attention, mlp) = self.parts(l)?;
        if let Some(a) = &attention {
            let gate = self.gates.map(|g| g.attention(l)).transpose()?.flatten();
            let heads = self.head_gates(a, l)?;
            let out = self.attention(a, &x, pass, heads)?;
            x = pass.residual(x, &out, gate)?;
            see(Place::Attention(l), &x);
        }
        if let Some(m) = &mlp {
            let gate = self.gates.map(|g| g.mlp(l)).transpose()?.flatten();
            let channels = self.gates.map(|g| g.intermediate(l)).transpose()?.flatten();
            let channels =
                match (channels, self.live.as_ref().and_then(|live| live.layers[l].mlp.as_ref())) {
                    (Some(z), Some(live)) => Some(pick(&z, live)?),
                    (z, _) => z,
                };
            let out = self.mlp(m, &x, pass, channels)?;
            x = pass.residual(x, &out, gate)?;
            see(Place::Mlp(l), &x);
        }
        Ok(x)
    }

    /// The attention and the MLP of layer `l`, as far as they take part.
    fn parts(
        &self,
        l: usize,
    ) -> candle_core::Result<(Option<AttentionWeights>, Option<MlpWeights>)> {
        let layer = &self.weights.layers[l];
        let Some(live) = &self.live else {
            return Ok((layer.attention.clone(), layer.mlp.clone()));
        };
        let (hidden, of) = (&live.hidden, &live.layers[l]);
        let attention = layer.attention.as_ref().zip(of.attention.as_ref());
        let mlp = layer.mlp.as_ref().zip(of.mlp.as_ref());
        Ok((
            attention.map(|(w, live)| elastic::attention(w, hidden, live)).transpose()?,
            mlp.map(|(w, live)| elastic::mlp(w, hidden, live)).transpose()?,
        ))
    }

    /// The logits of the stream after the last layer.
    pub(crate) fn end(
        &self,
        x: &Tensor,
        pass: &Pass,
        see: &mut dyn FnMut(Place, &Tensor),
    ) -> Result<Tensor, ModelError> {
        let norm = pick(&self.weights.norm, &pass.chosen)?;
        let x = ops::rms_norm(x, &norm, &pass.z()?, self.eps)?;
        see(Place::Norm, &x);
        let head = self.weights.head.as_ref().unwrap_or(&self.weights.embed);
        Ok(ops::linear(&x, &part(head, None, Some(&pass.chosen))?)?)
    }

    /// The weights it computes with.
    pub(crate) fn weights(&self) -> &'a Weights {
        self.weights
    }

    fn attention(
        &self,
        w: &AttentionWeights,
        x: &Tensor,
        pass: &Pass,
        heads: Option<Tensor>,
    ) -> Result<Tensor, ModelError> {
        let a = ops::rms_norm(x, &w.norm, &pass.z()?, self.eps)?;
        let (mut q, mut k) = (ops::linear(&a, &w.q)?, ops::linear(&a, &w.k)?);
        let mut v = ops::linear(&a, &w.v)?;
        if let Some(b) = &w.biases {
            (q, k, v) = (q.broadcast_add(&b.q)?, k.broadcast_add(&b.k)?, v.broadcast_add(&b.v)?);
        }
        if let Some(n) = &w.head_norms {
            (q, k) = (self.norm_heads(&q, &n.q)?, self.norm_heads(&k, &n.k)?);
        }
        let context = ops::attention(&q, &k, &v, pass.tokens, self.head_dim, &self.rope)?; // (B*T, H*E)
        let context = match &heads {
            Some(z) => ops::scale_columns(&context, z)?,
            None => context,
        };
        let out = ops::linear(&context, &w.o)?;
        let Some(bias) = w.biases.as_ref().and_then(|b| b.o.as_ref()) else { return Ok(out) };
        Ok(match &heads {
            Some(z) => out.broadcast_add(&bias.broadcast_mul(&any_open(z)?)?)?,
            None => out.broadcast_add(bias)?,
        })
    }

    /// The gates on the context of layer `l`: one a key/value group (K) when its query heads have none
    /// of their own, else one a query head (H).
    fn head_gates(&self, w: &AttentionWeights, l: usize) -> Result<Option<Tensor>, ModelError> {
        let Some(gates) = self.gates else { return Ok(None) };
        let (mut groups, mut queries) = (gates.heads(l)?, gates.queries(l)?);
        if let Some(live) = self.live.as_ref().and_then(|live| live.layers[l].attention.as_ref()) {
            groups = groups.map(|z| pick(&z, &live.groups)).transpose()?;
            queries = queries.map(|z| pick(&z, &live.queries)).transpose()?;
        }
        let Some(queries) = queries else { return Ok(groups) };
        let kv_heads = w.k.dim(0)? / self.head_dim;
        let queries = queries.unsqueeze(0)?; // (1, H/K)
        let gates = match groups {
            Some(z) => z.unsqueeze(1)?.broadcast_mul(&queries)?, // (K, H/K)
            None => queries.broadcast_as((kv_heads, queries.dim(1)?))?,
        };
        Ok(Some(gates.flatten_all()?))
    }

    /// Norms every head of `x (B*T, heads*E)` by itself.
    fn norm_heads(&self, x: &Tensor, w: &Tensor) -> Result<Tensor, ModelError> {
        let (n, columns) = x.dims2()?;
        let heads = x.reshape((n * columns / self.head_dim, self.head_dim))?;
        let ones = Tensor::ones(self.head_dim, x.dtype(), x.device())?;
        Ok(ops::rms_norm(&heads, w, &ones, self.eps)?.reshape((n, columns))?)
    }

    fn mlp(
        &self,
        w: &MlpWeights,
        x: &Tensor,
        pass: &Pass,
        channels: Option<Tensor>,
    ) -> Result<Tensor, ModelError> {
        let b = ops::rms_norm(x, &w.norm, &pass.z()?, self.eps)?;
        let (gate, up) = (ops::linear(&b, &w.gate)?, ops::linear(&b, &w.up)?); // (B*T, F)
        let z = match channels {
            Some(z) => z,
            None => Tensor::ones(gate.dim(1)?, gate.dtype(), gate.device())?,
        };
        Ok(ops::linear(&ops::swiglu(&gate, &up, &z)?, &w.down)?)
    }
}

/// One if a gate of `z` is not 0, else 0: (1), without a gradient.
fn any_open(z: &Tensor) -> candle_core::Result<Tensor> {
    z.detach().ne(&z.zeros_like()?)?.to_dtype(z.dtype())?.max_keepdim(0)
}

/// What the layers of one pass share.
pub(crate) struct Pass {
    /// The hidden gate (D), ones when there is none.
    pub(crate) hidden: Tensor,
    /// Whether there is one.
    pub(crate) gated: bool,
    /// The hidden dimensions that take part.
    chosen: Chosen,
    tokens: usize,
}

impl Pass {
    /// The hidden gate of the dimensions that take part.
    fn z(&self) -> candle_core::Result<Tensor> {
        pick(&self.hidden, &self.chosen)
    }

    /// x + out * gate * z_hidden, without the factors that are not there.
    fn residual(
        &self,
        x: Tensor,
        out: &Tensor,
        gate: Option<Tensor>,
    ) -> Result<Tensor, ModelError> {
        Ok(match (gate, self.gated) {
            (None, false) => (x + out)?,
            (None, true) => ops::gated_sum(&x, out, &self.z()?)?,
            (Some(z), _) => ops::gated_sum(&x, out, &self.z()?.broadcast_mul(&z)?)?,
        })
    }
}

/// The targets of next-token prediction for rows of `tokens` ids: each row shifted by one, its last
/// position ignored.
pub fn next_tokens(ids: &[u32], tokens: usize) -> Vec<u32> {
    ids.chunks(tokens).flat_map(|row| row[1..].iter().copied().chain([ops::IGNORE])).collect()
}

impl super::Model {
    /// Gives the logits of one sequence of `ids`: a (T, V) tensor in the model's type.
    ///
    /// # Errors
    /// An id beyond the vocabulary, no ids, more ids than positions; candle's.
    pub fn logits(&self, ids: &[u32]) -> Result<Tensor, ModelError> {
        if ids.is_empty() || ids.len() > self.config.max_positions {
            return Err(ModelError::TooLong { tokens: ids.len(), max: self.config.max_positions });
        }
        Forward::new(&self.weights, &self.config, ids.len()).logits(ids, ids.len())
    }

    /// The type in which it computes.
    pub fn dtype(&self) -> DType {
        self.weights.embed.dtype()
    }
}
