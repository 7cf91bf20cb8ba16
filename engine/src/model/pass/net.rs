//! A network laid out for a pass: its tensors as slices, the gates in their type, what takes part.

use super::copies::Copies;
use super::live::{Live, LiveHeads};
use super::place::Part;
use crate::gate::{GateKind, GateValues};
use crate::model::{ModelError, Weights};
use crate::ops::Rope;
use crate::ops::kernel::Real;
use crate::progress::Stop;
use crate::shape::ModelShape;

/// The places of tensors in the order of [`Weights::named`].
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub embed: usize,
    pub layers: Vec<LayerPlaces>,
    pub norm: usize,
    /// The embeddings when tied.
    pub head: usize,
}

#[derive(Clone, Debug)]
pub(super) struct LayerPlaces {
    pub attention: Option<AttentionPlaces>,
    pub mlp: Option<MlpPlaces>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionPlaces {
    pub norm: usize,
    pub q: usize,
    pub k: usize,
    pub v: usize,
    pub o: usize,
    /// Of q; those of k and v follow.
    pub biases: Option<usize>,
    pub o_bias: Option<usize>,
    /// Of queries; that of keys follows.
    pub head_norms: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct MlpPlaces {
    pub norm: usize,
    pub gate: usize,
    pub up: usize,
    pub down: usize,
}

impl Places {
    pub fn of(weights: &Weights) -> Self {
        let mut next = 0;
        let mut take = |n: usize| {
            next += n;
            next - n
        };
        let embed = take(1);
        let layers = weights
            .layers
            .iter()
            .map(|layer| {
                let attention = layer.attention.as_ref().map(|a| {
                    let norm = take(5);
                    let biases = a.biases.as_ref().map(|_| take(3));
                    let o_bias = a.biases.as_ref().and_then(|b| b.o.as_ref()).map(|_| take(1));
                    let head_norms = a.head_norms.as_ref().map(|_| take(2));
                    AttentionPlaces {
                        norm,
                        q: norm + 1,
                        k: norm + 2,
                        v: norm + 3,
                        o: norm + 4,
                        biases,
                        o_bias,
                        head_norms,
                    }
                });
                let mlp = layer.mlp.as_ref().map(|_| {
                    let norm = take(4);
                    MlpPlaces { norm, gate: norm + 1, up: norm + 2, down: norm + 3 }
                });
                LayerPlaces { attention, mlp }
            })
            .collect();
        let norm = take(1);
        let head = weights.head.as_ref().map_or(embed, |_| take(1));
        Self { embed, layers, norm, head }
    }
}

/// The gates of a pass, compact: values of what takes part, in the type of the weights.
#[derive(Clone, Debug)]
pub(super) struct Gated<T> {
    /// Hidden dimensions; none without a hidden gate.
    pub hidden: Option<Vec<T>>,
    /// Whether it multiplies the embeddings.
    pub embeddings: bool,
    pub layers: Vec<LayerGates<T>>,
}

/// The gates of a layer; none where there is none.
#[derive(Clone, Debug)]
pub(super) struct LayerGates<T> {
    /// On the attention's output.
    pub attention: Option<T>,
    /// On the MLP's output.
    pub mlp: Option<T>,
    /// One a key/value group, one a query head of a group.
    pub groups: Option<Vec<T>>,
    pub queries: Option<Vec<T>>,
    /// Their product: one an element of the context.
    pub context: Option<Vec<T>>,
    /// One an MLP channel.
    pub channels: Option<Vec<T>>,
}

impl<T: Real> Gated<T> {
    /// No gates.
    pub fn none(layers: usize) -> Self {
        let layer = |_| LayerGates {
            attention: None,
            mlp: None,
            groups: None,
            queries: None,
            context: None,
            channels: None,
        };
        Self { hidden: None, embeddings: false, layers: (0..layers).map(layer).collect() }
    }

    pub fn of(z: &GateValues, source: &ModelShape, live: &Live) -> Self {
        let row = |kind: GateKind, row: usize| {
            let width = kind.size(source).1;
            z.of(kind).map(|v| &v[row * width..(row + 1) * width])
        };
        let pick = |values: Option<&[f64]>, places: &super::live::Chosen| {
            values.map(|v| places.iter().map(|i| T::of(v[i])).collect::<Vec<T>>())
        };
        let output = |split: GateKind, l: usize| {
            let of = |kind| row(kind, 0).map(|v| T::of(v[l]));
            of(GateKind::Layer).or_else(|| of(split))
        };
        let layer = |(l, live): (usize, &super::live::LiveLayer)| {
            let heads = live.attention.as_ref();
            let of_heads = |kind, places: fn(&LiveHeads) -> &super::live::Chosen| {
                heads.and_then(|h| pick(row(kind, l), places(h)))
            };
            let groups = of_heads(GateKind::Head, |h| &h.groups);
            let queries = of_heads(GateKind::Query, |h| &h.queries);
            let context = heads.filter(|_| groups.is_some() || queries.is_some()).map(|h| {
                let (k, j) = (h.groups.len(), h.queries.len());
                let one = |of: &Option<Vec<T>>, i: usize| of.as_ref().map_or(T::one(), |z| z[i]);
                (0..k * j)
                    .flat_map(|i| {
                        let z = one(&groups, i / j) * one(&queries, i % j);
                        std::iter::repeat_n(z, source.head_dim)
                    })
                    .collect()
            });
            LayerGates {
                attention: output(GateKind::HeadLayer, l),
                mlp: output(GateKind::Mlp, l),
                groups,
                queries,
                context,
                channels: live
                    .mlp
                    .as_ref()
                    .and_then(|channels| pick(row(GateKind::Intermediate, l), channels)),
            }
        };
        Self {
            hidden: pick(row(GateKind::Hidden, 0), &live.hidden),
            embeddings: z.mask_embeddings,
            layers: live.layers.iter().enumerate().map(layer).collect(),
        }
    }

    /// The factor on each hidden dimension of an output under the gate `z`; none for 1.
    pub fn output(&self, z: Option<T>, d: usize) -> Option<Vec<T>> {
        match (&self.hidden, z) {
            (None, None) => None,
            (None, Some(z)) => Some(vec![z; d]),
            (Some(hidden), None) => Some(hidden.clone()),
            (Some(hidden), Some(z)) => Some(hidden.iter().map(|&h| h * z).collect()),
        }
    }
}

/// Everything a pass reads.
pub(super) struct Net<'a, T> {
    /// The tensors, in the order of [`Weights::named`].
    pub w: Vec<&'a [T]>,
    pub at: Places,
    pub live: Live,
    pub gates: Gated<T>,
    pub rope: &'a Rope,
    pub eps: f64,
    /// Head width, E.
    pub e: usize,
    /// Tokens of a row, T.
    pub tokens: usize,
    /// Tokens in all, N = B*T.
    pub n: usize,
    /// Hidden dimensions, alive or not.
    pub full: usize,
    /// After a stop, what is computed is no result.
    pub stop: &'a Stop<'a>,
    /// The matrices of the layers, copied before the pass, where that is so.
    pub copies: Copies<T>,
}

impl<T: Real> Net<'_, T> {
    /// Ends a pass that somebody stopped.
    ///
    /// # Errors
    /// [`ModelError::Interrupted`].
    pub fn goes_on(&self) -> Result<(), ModelError> {
        if self.stop.raised() { Err(ModelError::Interrupted) } else { Ok(()) }
    }

    /// Hidden dimensions that take part.
    pub fn d(&self) -> usize {
        self.live.hidden.len()
    }

    /// Share of the parameters in matrices that take part.
    pub fn alive(&self) -> f64 {
        let (d, mut taking, mut all) = (self.d(), 0, 0);
        for (live, at) in self.live.layers.iter().zip(&self.at.layers) {
            if let Some(at) = at.attention {
                all += [at.q, at.k, at.v, at.o].map(|i| self.w[i].len()).iter().sum::<usize>();
                let rows = |h: &LiveHeads| 2 * (h.q_rows.len() + h.kv_rows.len());
                taking += d * live.attention.as_ref().map_or(0, rows);
            }
            if let Some(at) = at.mlp {
                all += 3 * self.w[at.up].len();
                taking += 3 * d * live.mlp.as_ref().map_or(0, super::live::Chosen::len);
            }
        }
        let head = self.w[self.at.head].len();
        (taking + head / self.full * d) as f64 / (all + head).max(1) as f64
    }

    /// A vector over the hidden dimensions, compact.
    pub fn compact(&self, place: usize) -> Vec<T> {
        self.live.hidden.iter().map(|i| self.w[place][i]).collect()
    }

    /// A matrix with rows of hidden dimensions.
    pub fn over_hidden<'p>(&'p self, rows: &'p super::live::Chosen) -> Part<'p> {
        Part { columns: self.full, rows, cols: &self.live.hidden }
    }

    /// A matrix whose rows are hidden dimensions.
    pub fn to_hidden<'p>(&'p self, cols: &'p super::live::Chosen, columns: usize) -> Part<'p> {
        Part { columns, rows: &self.live.hidden, cols }
    }
}
