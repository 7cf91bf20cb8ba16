//! Gates folded into weights, dead parts removed: the smaller model, exactly.
//!
//! | tensor | times | keeps |
//! |---|---|---|
//! | embeddings | z_hidden, if the embeddings were gated | columns of live dimensions |
//! | norms | z_hidden | live dimensions |
//! | q | | rows of live heads of live groups, live columns |
//! | k | | rows of live groups, live columns |
//! | v | z_head of its group (rows) | rows of live groups, live columns |
//! | o | z_attention z_hidden (rows), z_query of its head (columns) | live rows, columns of live heads |
//! | biases of q, k, v, o | as the rows they are added to | as the rows they are added to |
//! | norms of heads | nothing | all |
//! | gate | | live channels, live columns |
//! | up | z_intermediate (rows) | live channels, live columns |
//! | down | z_mlp z_hidden (rows) | live rows, live channels |
//! | head | nothing | live columns |
//!
//! The head is never scaled: the final norm carries z_hidden already. With a tied head the shared
//! table carries it (gated embeddings) and the final norm stays unscaled, or the reverse. A part
//! whose gate is 0 disappears; a layer without parts is dropped and the rest renumbered.

use candle_core::{DType, Tensor};

use super::{AttentionBiases, AttentionWeights, LayerWeights, MlpWeights, Weights};
use crate::gate::{GateError, GateKind, GateValues};
use crate::shape::ModelShape;

/// A cut model: its weights and what of the source they keep.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The folded weights.
    pub weights: Weights,
    /// Source numbers of the layers that are left.
    pub layers: Vec<usize>,
    /// Source numbers of the hidden dimensions that are left.
    pub hidden: Vec<usize>,
    /// Key/value groups left in each layer that is left.
    pub groups: Vec<Vec<usize>>,
    /// Query heads left in every group of each layer that is left, by their place in the group.
    pub queries: Vec<Vec<usize>>,
    /// MLP channels left in each layer that is left.
    pub channels: Vec<Vec<usize>>,
}

/// Folds deterministic gate values into `weights` of the dimensions `source`.
///
/// # Errors
/// Nothing left of the layers or the hidden dimensions; candle's.
pub fn fold(weights: &Weights, source: &ModelShape, z: &GateValues) -> Result<Cut, GateError> {
    let fold = Fold::new(weights, source, z)?;
    let (mut layers, mut kept) = (Vec::new(), Vec::new());
    let (mut all_groups, mut all_queries, mut all_channels) = (Vec::new(), Vec::new(), Vec::new());
    for (l, layer) in weights.layers.iter().enumerate() {
        let (groups, queries) = (fold.live(GateKind::Head, l), fold.live(GateKind::Query, l));
        let channels = fold.live(GateKind::Intermediate, l);
        let any_head = !groups.is_empty() && !queries.is_empty();
        let attention = layer.attention.as_ref().filter(|_| any_head);
        let attention = attention.map(|a| fold.attention(a, l, &groups, &queries));
        let attention = attention.transpose()?.flatten();
        let mlp = layer.mlp.as_ref().filter(|_| !channels.is_empty());
        let mlp = mlp.map(|m| fold.mlp(m, l, &channels)).transpose()?.flatten();
        if attention.is_some() || mlp.is_some() {
            layers.push(LayerWeights { attention, mlp });
            kept.push(l);
            all_groups.push(groups);
            all_queries.push(queries);
            all_channels.push(channels);
        }
    }
    if layers.is_empty() {
        return Err(GateError::NothingLeft { what: "layer" });
    }
    let tied = weights.head.is_none();
    let gated = z.mask_embeddings;
    let embed = fold.columns(&weights.embed)?;
    let norm = fold.columns(&weights.norm)?;
    let weights = Weights {
        embed: if gated { fold.times_hidden(&embed)? } else { embed },
        layers,
        norm: if tied && gated { norm } else { fold.times_hidden(&norm)? },
        head: weights.head.as_ref().map(|h| fold.columns(h)).transpose()?,
    };
    Ok(Cut {
        weights,
        layers: kept,
        hidden: fold.hidden,
        groups: all_groups,
        queries: all_queries,
        channels: all_channels,
    })
}

struct Fold<'a> {
    z: &'a GateValues,
    source: &'a ModelShape,
    dtype: DType,
    device: candle_core::Device,
    /// Live hidden dimensions.
    hidden: Vec<usize>,
    /// Their index tensor and gate values; none when nothing is gated there.
    hidden_index: Option<Tensor>,
    hidden_values: Option<Vec<f64>>,
}

fn live(values: &[f64]) -> Vec<usize> {
    (0..values.len()).filter(|&i| values[i] != 0.0).collect()
}

impl<'a> Fold<'a> {
    fn new(
        weights: &Weights,
        source: &'a ModelShape,
        z: &'a GateValues,
    ) -> Result<Self, GateError> {
        let (dtype, device) = (weights.embed.dtype(), weights.embed.device().clone());
        let (hidden, hidden_index, hidden_values) = match z.of(GateKind::Hidden) {
            None => ((0..source.hidden).collect(), None, None),
            Some(values) => {
                let kept = live(values);
                if kept.is_empty() {
                    return Err(GateError::NothingLeft { what: "hidden dimension" });
                }
                let index = index_tensor(&kept, 1, &device)?;
                let values = kept.iter().map(|&i| values[i]).collect();
                (kept, Some(index), Some(values))
            }
        };
        Ok(Self { z, source, dtype, device, hidden, hidden_index, hidden_values })
    }

    /// The gate on the output of layer `l`'s attention or MLP.
    fn output(&self, split: GateKind, l: usize) -> f64 {
        self.z.of(GateKind::Layer).or_else(|| self.z.of(split)).map_or(1.0, |z| z[l])
    }

    /// Live gates of layer `l`, by number.
    fn live(&self, kind: GateKind, l: usize) -> Vec<usize> {
        let (_, width) = kind.size(self.source);
        self.z.of(kind).map_or((0..width).collect(), |z| live(&z[l * width..(l + 1) * width]))
    }

    /// Gate values of the given gates of layer `l`.
    fn values(&self, kind: GateKind, l: usize, which: &[usize]) -> Option<Vec<f64>> {
        let (_, width) = kind.size(self.source);
        self.z.of(kind).map(|z| which.iter().map(|&i| z[l * width + i]).collect())
    }

    /// Takes the live hidden columns (the last dimension).
    fn columns(&self, t: &Tensor) -> Result<Tensor, GateError> {
        Ok(match &self.hidden_index {
            Some(index) => t.contiguous()?.index_select(index, t.rank() - 1)?,
            None => t.clone(),
        })
    }

    /// Multiplies the last dimension by the hidden gate.
    fn times_hidden(&self, t: &Tensor) -> Result<Tensor, GateError> {
        match &self.hidden_values {
            Some(z) => Ok(t.broadcast_mul(&self.vector(z)?)?),
            None => Ok(t.clone()),
        }
    }

    fn vector(&self, values: &[f64]) -> Result<Tensor, GateError> {
        Ok(Tensor::from_slice(values, values.len(), &self.device)?.to_dtype(self.dtype)?)
    }

    /// Takes rows of a projection and its live columns, and multiplies rows by `scale`.
    fn rows(&self, t: &Tensor, rows: &Tensor, scale: Option<&[f64]>) -> Result<Tensor, GateError> {
        let t = self.columns(&t.contiguous()?.index_select(rows, 0)?)?;
        match scale {
            Some(z) => Ok(t.broadcast_mul(&self.vector(z)?.unsqueeze(1)?)?),
            None => Ok(t),
        }
    }

    /// Takes the given numbers of a bias and multiplies them by `scale`.
    fn bias(&self, t: &Tensor, rows: &Tensor, scale: Option<&[f64]>) -> Result<Tensor, GateError> {
        let t = t.contiguous()?.index_select(rows, 0)?;
        match scale {
            Some(z) => Ok(t.broadcast_mul(&self.vector(z)?)?),
            None => Ok(t),
        }
    }

    /// Takes live rows and the given columns of an output projection, rows times `z` and z_hidden.
    fn output_rows(&self, t: &Tensor, columns: &Tensor, z: f64) -> Result<Tensor, GateError> {
        let t = t.contiguous()?.index_select(columns, 1)?;
        let t = match &self.hidden_index {
            Some(index) => t.index_select(index, 0)?,
            None => t,
        };
        match &self.hidden_values {
            Some(hidden) => {
                let factor: Vec<f64> = hidden.iter().map(|h| h * z).collect();
                Ok(t.broadcast_mul(&self.vector(&factor)?.unsqueeze(1)?)?)
            }
            None if z != 1.0 => Ok((t * z)?),
            None => Ok(t),
        }
    }

    fn attention(
        &self,
        a: &AttentionWeights,
        l: usize,
        groups: &[usize],
        queries: &[usize],
    ) -> Result<Option<AttentionWeights>, GateError> {
        let z = self.output(GateKind::HeadLayer, l);
        if z == 0.0 {
            return Ok(None);
        }
        let (e, group) = (self.source.head_dim, self.source.group());
        let heads: Vec<usize> =
            groups.iter().flat_map(|g| queries.iter().map(move |j| g * group + j)).collect();
        let kv_rows = index_tensor(groups, e, &self.device)?;
        let q_rows = index_tensor(&heads, e, &self.device)?;
        let per_channel =
            |z: &[f64]| z.iter().flat_map(|&z| std::iter::repeat_n(z, e)).collect::<Vec<f64>>();
        let by_group = self.values(GateKind::Head, l, groups).map(|z| per_channel(&z));
        let by_query = self.values(GateKind::Query, l, queries);
        let by_query = by_query.map(|z| per_channel(&z.repeat(groups.len())));
        let o = self.output_rows(&a.o, &q_rows, z)?;
        let biases = match &a.biases {
            Some(b) => Some(AttentionBiases {
                q: self.bias(&b.q, &q_rows, None)?,
                k: self.bias(&b.k, &kv_rows, None)?,
                v: self.bias(&b.v, &kv_rows, by_group.as_deref())?,
                o: match &b.o {
                    Some(o) => Some((self.times_hidden(&self.columns(o)?)? * z)?),
                    None => None,
                },
            }),
            None => None,
        };
        Ok(Some(AttentionWeights {
            norm: self.times_hidden(&self.columns(&a.norm)?)?,
            q: self.rows(&a.q, &q_rows, None)?,
            k: self.rows(&a.k, &kv_rows, None)?,
            v: self.rows(&a.v, &kv_rows, by_group.as_deref())?,
            o: match by_query {
                Some(z) => o.broadcast_mul(&self.vector(&z)?)?,
                None => o,
            },
            biases,
            head_norms: a.head_norms.clone(),
        }))
    }

    fn mlp(
        &self,
        m: &MlpWeights,
        l: usize,
        channels: &[usize],
    ) -> Result<Option<MlpWeights>, GateError> {
        let z = self.output(GateKind::Mlp, l);
        if z == 0.0 {
            return Ok(None);
        }
        let index = index_tensor(channels, 1, &self.device)?;
        let scale = self.values(GateKind::Intermediate, l, channels);
        Ok(Some(MlpWeights {
            norm: self.times_hidden(&self.columns(&m.norm)?)?,
            gate: self.rows(&m.gate, &index, None)?,
            up: self.rows(&m.up, &index, scale.as_deref())?,
            down: self.output_rows(&m.down, &index, z)?,
        }))
    }
}

/// The rows of the given blocks, `width` rows each.
fn index_tensor(
    blocks: &[usize],
    width: usize,
    device: &candle_core::Device,
) -> candle_core::Result<Tensor> {
    let rows: Vec<u32> =
        blocks.iter().flat_map(|&b| (b * width..(b + 1) * width).map(|i| i as u32)).collect();
    Tensor::from_slice(&rows, rows.len(), device)
}
