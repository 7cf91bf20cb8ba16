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
    /// Biases of the projections, in families that have them.
    pub biases: Option<AttentionBiases>,
    /// Norms of queries and keys, in families that have them.
    pub head_norms: Option<HeadNorms>,
}

/// What is added to the projections of an attention.
#[derive(Clone, Debug)]
pub struct AttentionBiases {
    /// To the queries (H*E).
    pub q: Tensor,
    /// To the keys (K*E).
    pub k: Tensor,
    /// To the values (K*E).
    pub v: Tensor,
    /// To the output (D); none in a Qwen2.
    pub o: Option<Tensor>,
}

/// RMS norms over the channels of a head, before rotary positions; all heads of a layer share them.
#[derive(Clone, Debug)]
pub struct HeadNorms {
    /// Of query heads (E).
    pub q: Tensor,
    /// Of key heads (E).
    pub k: Tensor,
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

    /// Puts tensors back under the names of [`Weights::named`]; a part that has none is none.
    ///
    /// # Errors
    /// The name of a tensor that is missing.
    pub fn from_named(
        layers: usize,
        mut get: impl FnMut(&str) -> Option<Tensor>,
    ) -> Result<Self, String> {
        let mut need = |name: String| get(&name).ok_or(name);
        let embed = need("model.embed_tokens.weight".into())?;
        let mut all = Vec::with_capacity(layers);
        for l in 0..layers {
            let mut bias = |of: &str| need(format!("model.layers.{l}.self_attn.{of}_proj.bias"));
            let biases = match bias("q") {
                Err(_) => None,
                Ok(q) => {
                    Some(AttentionBiases { q, k: bias("k")?, v: bias("v")?, o: bias("o").ok() })
                }
            };
            let mut part = |name: &str| need(format!("model.layers.{l}.{name}.weight"));
            let head_norms = match part("self_attn.q_norm") {
                Err(_) => None,
                Ok(q) => Some(HeadNorms { q, k: part("self_attn.k_norm")? }),
            };
            let attention = match part("input_layernorm") {
                Err(_) => None,
                Ok(norm) => Some(AttentionWeights {
                    norm,
                    q: part("self_attn.q_proj")?,
                    k: part("self_attn.k_proj")?,
                    v: part("self_attn.v_proj")?,
                    o: part("self_attn.o_proj")?,
                    biases,
                    head_norms,
                }),
            };
            let mlp = match part("post_attention_layernorm") {
                Err(_) => None,
                Ok(norm) => Some(MlpWeights {
                    norm,
                    gate: part("mlp.gate_proj")?,
                    up: part("mlp.up_proj")?,
                    down: part("mlp.down_proj")?,
                }),
            };
            all.push(LayerWeights { attention, mlp });
        }
        let norm = need("model.norm.weight".into())?;
        Ok(Self { embed, layers: all, norm, head: need("lm_head.weight".into()).ok() })
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
            if let Some(b) = &a.biases {
                list.extend([
                    ("self_attn.q_proj.bias", &b.q),
                    ("self_attn.k_proj.bias", &b.k),
                    ("self_attn.v_proj.bias", &b.v),
                ]);
                list.extend(b.o.iter().map(|o| ("self_attn.o_proj.bias", o)));
            }
            if let Some(n) = &a.head_norms {
                list.extend([("self_attn.q_norm.weight", &n.q), ("self_attn.k_norm.weight", &n.k)]);
            }
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
                biases: match &a.biases {
                    Some(b) => Some(AttentionBiases {
                        q: f(&b.q)?,
                        k: f(&b.k)?,
                        v: f(&b.v)?,
                        o: b.o.as_ref().map(&mut *f).transpose()?,
                    }),
                    None => None,
                },
                head_norms: match &a.head_norms {
                    Some(n) => Some(HeadNorms { q: f(&n.q)?, k: f(&n.k)? }),
                    None => None,
                },
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::model::save::tiny;

    #[test]
    fn weights_of_every_family_come_back_from_their_names() {
        for (family, biases) in tiny::FAMILIES {
            let weights = tiny::family(family, biases).weights;
            let mut named: HashMap<String, &Tensor> = weights.named().into_iter().collect();
            let back = Weights::from_named(2, |name| named.remove(name).cloned()).unwrap();
            let names = |w: &Weights| w.named().into_iter().map(|(n, _)| n).collect::<Vec<_>>();
            assert_eq!(names(&back), names(&weights));
            assert!(named.is_empty(), "{family}: not taken: {:?}", named.keys());
        }
    }
}
