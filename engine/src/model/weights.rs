//! The tensors of a Llama, in one struct that knows their checkpoint names.
//!
//! Layers may differ in width, and a layer may lack its attention or its MLP: that is what a cut
//! with free (non-uniform) gates leaves behind. A plain checkpoint has every layer alike.

use candle_core::Tensor;

/// Every tensor of a model.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Token embeddings (V, D).
    pub embed: Tensor,
    /// The layers, first to last.
    pub layers: Vec<LayerWeights>,
    /// Final norm (D).
    pub norm: Tensor,
    /// Output projection (V, D); none when tied to the embeddings.
    pub head: Option<Tensor>,
}

/// The tensors of one layer; a part that was cut away is none.
#[derive(Clone, Debug)]
pub struct LayerWeights {
    /// Attention and the norm before it.
    pub attention: Option<AttentionWeights>,
    /// MLP and the norm before it.
    pub mlp: Option<MlpWeights>,
}

/// Attention of one layer: H query heads and K key/value heads of width E.
#[derive(Clone, Debug)]
pub struct AttentionWeights {
    /// Norm before attention (D).
    pub norm: Tensor,
    /// Query projection (H*E, D).
    pub q: Tensor,
    /// Key projection (K*E, D).
    pub k: Tensor,
    /// Value projection (K*E, D).
    pub v: Tensor,
    /// Output projection (D, H*E).
    pub o: Tensor,
}

/// Gated MLP of one layer, F channels wide.
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// Norm before the MLP (D).
    pub norm: Tensor,
    /// Gate projection (F, D).
    pub gate: Tensor,
    /// Up projection (F, D).
    pub up: Tensor,
    /// Down projection (D, F).
    pub down: Tensor,
}

impl Weights {
    /// Lists every tensor under its Hugging Face name, in a fixed order: embeddings, layers, final
    /// norm, head.
    pub fn named(&self) -> Vec<(String, &Tensor)> {
        let mut list = vec![("model.embed_tokens.weight".to_string(), &self.embed)];
        for (l, layer) in self.layers.iter().enumerate() {
            for (name, tensor) in layer.named() {
                list.push((format!("model.layers.{l}.{name}"), tensor));
            }
        }
        list.push(("model.norm.weight".to_string(), &self.norm));
        if let Some(head) = &self.head {
            list.push(("lm_head.weight".to_string(), head));
        }
        list
    }

    /// Makes a new set of weights with every tensor replaced by `f(tensor)`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn map<E>(&self, mut f: impl FnMut(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        let embed = f(&self.embed)?;
        let layers = self.layers.iter().map(|layer| layer.map(&mut f)).collect::<Result<_, E>>()?;
        let norm = f(&self.norm)?;
        let head = self.head.as_ref().map(&mut f).transpose()?;
        Ok(Self { embed, layers, norm, head })
    }

    /// Counts the parameters; a tied head counts once.
    pub fn parameters(&self) -> usize {
        self.named().iter().map(|(_, t)| t.elem_count()).sum()
    }
}

impl LayerWeights {
    fn named(&self) -> Vec<(&'static str, &Tensor)> {
        let mut list = Vec::new();
        if let Some(a) = &self.attention {
            list.extend([
                ("input_layernorm.weight", &a.norm),
                ("self_attn.q_proj.weight", &a.q),
                ("self_attn.k_proj.weight", &a.k),
                ("self_attn.v_proj.weight", &a.v),
                ("self_attn.o_proj.weight", &a.o),
            ]);
        }
        if let Some(m) = &self.mlp {
            list.extend([
                ("post_attention_layernorm.weight", &m.norm),
                ("mlp.gate_proj.weight", &m.gate),
                ("mlp.up_proj.weight", &m.up),
                ("mlp.down_proj.weight", &m.down),
            ]);
        }
        list
    }

    fn map<E>(&self, f: &mut impl FnMut(&Tensor) -> Result<Tensor, E>) -> Result<Self, E> {
        let attention = match &self.attention {
            Some(a) => Some(AttentionWeights {
                norm: f(&a.norm)?,
                q: f(&a.q)?,
                k: f(&a.k)?,
                v: f(&a.v)?,
                o: f(&a.o)?,
            }),
            None => None,
        };
        let mlp = match &self.mlp {
            Some(m) => Some(MlpWeights {
                norm: f(&m.norm)?,
                gate: f(&m.gate)?,
                up: f(&m.up)?,
                down: f(&m.down)?,
            }),
            None => None,
        };
        Ok(Self { attention, mlp })
    }
}
