//! What of a network takes part in a pass: everything, or what the gates leave alive.
//!
//! A gate that is exactly 0 and passes no gradient (a clamped sample, a gate held closed, a gate closed
//! by an evaluation) takes what it multiplies out of the loss and out of every gradient. So the pass
//! runs on the rest. A gate that is 0 with a slope, or rounds to 0 in the type of the weights, stays.

use crate::gate::{GateKind, GateValues};
use crate::model::{LayerWeights, Weights};
use crate::shape::ModelShape;

/// Some of `n` places, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chosen {
    n: usize,
    /// None for all of them.
    some: Option<Vec<usize>>,
}

impl Chosen {
    /// How many places there are, chosen or not.
    pub fn full(&self) -> usize {
        self.n
    }

    pub fn all(n: usize) -> Self {
        Self { n, some: None }
    }

    pub fn of(n: usize, places: Vec<usize>) -> Self {
        Self { n, some: (places.len() < n).then_some(places) }
    }

    pub fn len(&self) -> usize {
        self.some.as_ref().map_or(self.n, Vec::len)
    }

    /// The places; none for all of them.
    pub fn some(&self) -> Option<&[usize]> {
        self.some.as_deref()
    }

    /// The place of the `i`-th that is chosen.
    pub fn at(&self, i: usize) -> usize {
        self.some.as_ref().map_or(i, |some| some[i])
    }

    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len()).map(|i| self.at(i))
    }

    /// The same with `width` places for each.
    fn spread(&self, width: usize) -> Self {
        let each = |&i: &usize| i * width..(i + 1) * width;
        Self {
            n: self.n * width,
            some: self.some.as_ref().map(|some| some.iter().flat_map(each).collect()),
        }
    }
}

/// What takes part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Live {
    /// Hidden dimensions.
    pub hidden: Chosen,
    /// Of each layer.
    pub layers: Vec<LiveLayer>,
}

/// What of a layer takes part; none for a part that does not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LiveLayer {
    pub attention: Option<LiveHeads>,
    /// MLP channels.
    pub mlp: Option<Chosen>,
}

/// Key/value groups, and the query heads of every group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LiveHeads {
    pub groups: Chosen,
    pub queries: Chosen,
    /// Rows of q, columns of o.
    pub q_rows: Chosen,
    /// Rows of k and v.
    pub kv_rows: Chosen,
}

impl LiveHeads {
    fn new(groups: Chosen, queries: Chosen, head_dim: usize) -> Self {
        let group = queries.n;
        let heads = groups.iter().flat_map(|g| queries.iter().map(move |j| g * group + j));
        let heads = Chosen::of(groups.n * group, heads.collect());
        let (q_rows, kv_rows) = (heads.spread(head_dim), groups.spread(head_dim));
        Self { groups, queries, q_rows, kv_rows }
    }

    /// Query heads that take part.
    pub fn heads(&self) -> usize {
        self.groups.len() * self.queries.len()
    }
}

impl Live {
    /// Share of the parameters in matrices that takes part.
    pub fn share(&self, weights: &Weights) -> f64 {
        let (size, d) = (candle_core::Tensor::elem_count, self.hidden.len());
        let head = size(weights.head.as_ref().unwrap_or(&weights.embed));
        let (mut taking, mut all) = (head / self.hidden.n * d, head);
        for (layer, live) in weights.layers.iter().zip(&self.layers) {
            if let Some(a) = &layer.attention {
                all += [&a.q, &a.k, &a.v, &a.o].map(size).iter().sum::<usize>();
                let rows = |h: &LiveHeads| 2 * (h.q_rows.len() + h.kv_rows.len());
                taking += d * live.attention.as_ref().map_or(0, rows);
            }
            if let Some(m) = &layer.mlp {
                all += 3 * size(&m.up);
                taking += 3 * d * live.mlp.as_ref().map_or(0, Chosen::len);
            }
        }
        taking as f64 / all.max(1) as f64
    }

    /// Everything there is.
    pub fn everything(weights: &Weights, head_dim: usize) -> Self {
        let layer = |layer: &LayerWeights| LiveLayer {
            attention: layer.attention.as_ref().map(|a| {
                let (heads, groups) = (a.q.dims()[0] / head_dim, a.k.dims()[0] / head_dim);
                LiveHeads::new(Chosen::all(groups), Chosen::all(heads / groups), head_dim)
            }),
            mlp: layer.mlp.as_ref().map(|m| Chosen::all(m.up.dims()[0])),
        };
        Self {
            hidden: Chosen::all(weights.embed.dims()[1]),
            layers: weights.layers.iter().map(layer).collect(),
        }
    }

    /// What the gates leave alive; everything when they leave no hidden dimension.
    pub fn under(weights: &Weights, source: &ModelShape, z: &GateValues) -> Self {
        let alive = |kind: GateKind, row: usize| {
            let (_, width) = kind.size(source);
            let Some(at) = z.kinds.iter().position(|&k| k == kind) else {
                return Chosen::all(width);
            };
            let first = row * width;
            let slope = |i: usize| z.slopes.get(at).map_or(0.0, |s| s[i]);
            let lives = |&i: &usize| z.values[at][first + i] != 0.0 || slope(first + i) != 0.0;
            Chosen::of(width, (0..width).filter(lives).collect())
        };
        let closed = |split: GateKind, l: usize| {
            let of = |kind| z.kinds.contains(&kind).then(|| alive(kind, 0));
            of(GateKind::Layer).or_else(|| of(split)).is_some_and(|c| !c.iter().any(|i| i == l))
        };
        let mut live = Self::everything(weights, source.head_dim);
        let hidden = alive(GateKind::Hidden, 0);
        if hidden.len() == 0 {
            return live;
        }
        live.hidden = hidden;
        for (l, layer) in live.layers.iter_mut().enumerate() {
            layer.attention = layer.attention.take().and_then(|_| {
                let (groups, queries) = (alive(GateKind::Head, l), alive(GateKind::Query, l));
                let heads = LiveHeads::new(groups, queries, source.head_dim);
                (heads.heads() > 0 && !closed(GateKind::HeadLayer, l)).then_some(heads)
            });
            layer.mlp = layer.mlp.take().and_then(|_| {
                let channels = alive(GateKind::Intermediate, l);
                (channels.len() > 0 && !closed(GateKind::Mlp, l)).then_some(channels)
            });
        }
        live
    }
}
