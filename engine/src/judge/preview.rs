//! Which parameters would go now: gate values as lists and counts, before anything is cut.
//!
//! A part goes when its own gate is 0 or when nothing inside it is left: attention without live
//! groups or query heads, an MLP without live channels. A closed part takes its norm and everything
//! inside it along, whatever the inner gates say. Counts are those of the cut (`model/fold.rs`),
//! worked out from the sizes of tensors: no weight is copied.

use std::fmt;

use crate::gate::{GateKind, GateValues};
use crate::model::Weights;
use crate::shape::ModelShape;

/// A part of a model, as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The embedding table; the head too when tied.
    Embeddings,
    /// The attention of a layer, without its norm.
    Attention(usize),
    /// The MLP of a layer, without its norm.
    Mlp(usize),
    /// The norms before a layer's attention and MLP.
    Norms(usize),
    /// The norm before the head.
    FinalNorm,
    /// The output projection, when it has a table of its own.
    Head,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embeddings => f.write_str("embeddings"),
            Self::Attention(l) => write!(f, "layer {l} attention"),
            Self::Mlp(l) => write!(f, "layer {l} MLP"),
            Self::Norms(l) => write!(f, "layer {l} norms"),
            Self::FinalNorm => f.write_str("final norm"),
            Self::Head => f.write_str("head"),
        }
    }
}

/// The parameters of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartCount {
    /// The part.
    pub part: Part,
    /// Its parameters in the source.
    pub before: usize,
    /// Its parameters after a cut by these values.
    pub after: usize,
}

/// What goes of one layer; numbers are those of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPreview {
    /// Whether all of its attention goes.
    pub attention: bool,
    /// Whether all of its MLP goes.
    pub mlp: bool,
    /// Key/value groups that go; all of them with the attention.
    pub groups: Vec<usize>,
    /// Query heads that go of every group; all of them with the attention.
    pub queries: Vec<usize>,
    /// MLP channels that go; all of them with the MLP.
    pub channels: Vec<usize>,
}

impl LayerPreview {
    /// True when nothing of the layer stays.
    pub fn gone(&self) -> bool {
        self.attention && self.mlp
    }
}

/// Which parameters would go now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Dimensions of the source.
    pub source: ModelShape,
    /// Parameters by part, in the order of the forward pass.
    pub parts: Vec<PartCount>,
    /// What goes of each layer of the source.
    pub layers: Vec<LayerPreview>,
    /// Hidden dimensions that go.
    pub hidden: Vec<usize>,
}

impl Preview {
    /// Layers of which nothing stays.
    pub fn layers_gone(&self) -> Vec<usize> {
        (0..self.layers.len()).filter(|&l| self.layers[l].gone()).collect()
    }

    /// All parameters of the source.
    pub fn before(&self) -> usize {
        self.parts.iter().map(|p| p.before).sum()
    }

    /// All parameters after a cut by these values.
    pub fn after(&self) -> usize {
        self.parts.iter().map(|p| p.after).sum()
    }
}

/// Says what a cut of `weights`, of the dimensions `source`, by deterministic gate values removes.
pub fn preview(weights: &Weights, source: &ModelShape, z: &GateValues) -> Preview {
    let hidden = closed(z.of(GateKind::Hidden).unwrap_or(&[]));
    let layers: Vec<LayerPreview> = (0..source.layers).map(|l| layer(source, z, l)).collect();
    let mut parts: Vec<PartCount> = Vec::new();
    for (name, tensor) in weights.named() {
        let before = tensor.elem_count();
        let (part, inside) = locate(&name);
        let dims = Live {
            hidden: source.hidden - hidden.len(),
            layer: part.layer().and_then(|l| layers.get(l)),
            source,
        };
        let after = dims.of(part, inside, before);
        match parts.iter_mut().find(|p| p.part == part) {
            Some(count) => {
                (count.before, count.after) = (count.before + before, count.after + after)
            }
            None => parts.push(PartCount { part, before, after }),
        }
    }
    parts.sort_by_key(|p| p.part.place());
    Preview { source: *source, parts, layers, hidden }
}

fn closed(values: &[f64]) -> Vec<usize> {
    (0..values.len()).filter(|&i| values[i] == 0.0).collect()
}

/// What goes of layer `l`.
fn layer(source: &ModelShape, z: &GateValues, l: usize) -> LayerPreview {
    let inner = |kind: GateKind| -> Vec<usize> {
        let (_, width) = kind.size(source);
        z.of(kind).map_or(Vec::new(), |z| closed(&z[l * width..(l + 1) * width]))
    };
    let shut = |split: GateKind| {
        z.of(GateKind::Layer).or_else(|| z.of(split)).is_some_and(|z| z[l] == 0.0)
    };
    let (mut groups, mut queries, mut channels) =
        (inner(GateKind::Head), inner(GateKind::Query), inner(GateKind::Intermediate));
    let attention = shut(GateKind::HeadLayer)
        || groups.len() == source.kv_heads
        || queries.len() == source.group();
    let mlp = shut(GateKind::Mlp) || channels.len() == source.intermediate;
    if attention {
        (groups, queries) = ((0..source.kv_heads).collect(), (0..source.group()).collect());
    }
    if mlp {
        channels = (0..source.intermediate).collect();
    }
    LayerPreview { attention, mlp, groups, queries, channels }
}

impl Part {
    fn layer(self) -> Option<usize> {
        match self {
            Self::Attention(l) | Self::Mlp(l) | Self::Norms(l) => Some(l),
            _ => None,
        }
    }

    /// Its place in the forward pass: (stage, layer, part of the layer).
    fn place(self) -> (usize, usize, usize) {
        match self {
            Self::Embeddings => (0, 0, 0),
            Self::Attention(l) => (1, l, 0),
            Self::Mlp(l) => (1, l, 1),
            Self::Norms(l) => (1, l, 2),
            Self::FinalNorm => (2, 0, 0),
            Self::Head => (3, 0, 0),
        }
    }
}

/// The part a tensor belongs to, and its name inside its layer.
fn locate(name: &str) -> (Part, &str) {
    let inside = name.strip_prefix("model.layers.").and_then(|rest| {
        let (l, inside) = rest.split_once('.')?;
        Some((l.parse().ok()?, inside))
    });
    match (inside, name) {
        (Some((l, inside)), _) if inside.starts_with("self_attn.") => (Part::Attention(l), inside),
        (Some((l, inside)), _) if inside.starts_with("mlp.") => (Part::Mlp(l), inside),
        (Some((l, inside)), _) => (Part::Norms(l), inside),
        (None, "model.norm.weight") => (Part::FinalNorm, name),
        (None, "lm_head.weight") => (Part::Head, name),
        (None, _) => (Part::Embeddings, name),
    }
}

/// What stays around one tensor.
struct Live<'a> {
    hidden: usize,
    layer: Option<&'a LayerPreview>,
    source: &'a ModelShape,
}

impl Live<'_> {
    /// How many of a tensor's `before` numbers stay.
    fn of(&self, part: Part, inside: &str, before: usize) -> usize {
        let (s, d) = (self.source, self.hidden);
        let Some(layer) = self.layer else {
            // Tables (V, D) and the final norm (D) have one number or V for each hidden dimension.
            return before / s.hidden * d;
        };
        let groups = s.kv_heads - layer.groups.len();
        let key_rows = groups * s.head_dim;
        let query_rows = key_rows * (s.group() - layer.queries.len());
        let channels = s.intermediate - layer.channels.len();
        match (part, inside) {
            (Part::Attention(_), _) | (_, "input_layernorm.weight") if layer.attention => 0,
            (Part::Mlp(_), _) | (_, "post_attention_layernorm.weight") if layer.mlp => 0,
            (Part::Norms(_), _) | (_, "self_attn.o_proj.bias") => d,
            (_, "self_attn.q_proj.weight" | "self_attn.o_proj.weight") => query_rows * d,
            (_, "self_attn.k_proj.weight" | "self_attn.v_proj.weight") => key_rows * d,
            (_, "self_attn.q_proj.bias") => query_rows,
            (_, "self_attn.k_proj.bias" | "self_attn.v_proj.bias") => key_rows,
            (Part::Mlp(_), _) => channels * d,
            // Norms of single heads (E) are shared by all of them.
            _ => before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tiny::{FAMILIES, family, random_gates, tiny};
    use super::*;
    use crate::gate::{EvalMode, GateError};
    use crate::rng::Stream;

    fn after(preview: &Preview, part: Part) -> (usize, usize) {
        let count = preview.parts.iter().find(|p| p.part == part).unwrap();
        (count.before, count.after)
    }

    #[test]
    fn the_counts_are_those_of_the_cut_for_any_values() {
        let mut stream = Stream::new(4, "preview", 0);
        let mut cut_some = 0;
        for seed in 0..60 {
            let model = family(FAMILIES[seed as usize % 3], seed % 2 == 0);
            let mut values = random_gates(&model, true, seed).evaluate(EvalMode::Target);
            // More zeros than any target asks for: whole parts go.
            for value in values.values.iter_mut().flatten() {
                if stream.uniform() < 0.3 {
                    *value = 0.0;
                }
            }
            let found = preview(&model.weights, &model.shape(), &values);
            assert_eq!(found.before(), model.parameters());
            match model.cut(&values) {
                Ok(cut) => {
                    assert_eq!(found.after(), cut.parameters(), "{found:?}");
                    assert_eq!(3 - found.layers_gone().len(), cut.weights.layers.len());
                    assert_eq!(16 - found.hidden.len(), cut.weights.embed.dims()[1]);
                    cut_some += 1;
                }
                Err(GateError::NothingLeft { .. }) => {
                    assert!(found.layers_gone().len() == 3 || found.hidden.len() == 16);
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(cut_some > 30, "only {cut_some} of 60 left something");
    }

    #[test]
    fn a_closed_layer_takes_its_inner_units_with_it() {
        let model = tiny(false);
        let mut values = random_gates(&model, true, 1).evaluate(EvalMode::Target);
        values.values.iter_mut().flatten().for_each(|v| *v = 1.0);
        let at = |kind| values.kinds.iter().position(|&k| k == kind).unwrap();
        let (layer, head, query, channel, hidden) = (
            at(GateKind::Layer),
            at(GateKind::Head),
            at(GateKind::Query),
            at(GateKind::Intermediate),
            at(GateKind::Hidden),
        );
        values.values[layer][1] = 0.0;
        values.values[head][0] = 0.0;
        values.values[query][2 * 2 + 1] = 0.0;
        values.values[channel][2 * 20 + 3] = 0.0;
        values.values[hidden][5] = 0.0;
        let found = preview(&model.weights, &model.shape(), &values);
        assert_eq!((found.layers_gone(), &found.hidden[..]), (vec![1], &[5][..]));
        let [first, second, third] = &found.layers[..] else { panic!("{found:?}") };
        assert_eq!((&first.groups[..], first.channels.len()), (&[0][..], 0));
        assert!(first.queries.is_empty() && !first.attention && !first.mlp);
        assert_eq!((&second.groups[..], second.channels.len()), (&[0, 1][..], 20));
        assert_eq!((&third.groups[..], &third.channels[..]), (&[][..], &[3][..]));
        assert_eq!((&third.queries[..], &second.queries[..]), (&[1][..], &[0, 1][..]));
        // D 16 to 15; a group of q, k, v, o is (2 x 2 + 2) x 4 wide.
        assert_eq!(after(&found, Part::Embeddings), (480, 450));
        assert_eq!(after(&found, Part::Attention(0)), (768, 24 * 15));
        assert_eq!(after(&found, Part::Attention(1)), (768, 0));
        // Both groups stay with one query head of two: 2 x (1 + 1 + 1 + 1) x 4 wide.
        assert_eq!(after(&found, Part::Attention(2)), (768, 2 * 4 * 4 * 15));
        assert_eq!(after(&found, Part::Norms(1)), (32, 0));
        assert_eq!(after(&found, Part::Norms(2)), (32, 30));
        assert_eq!(after(&found, Part::Mlp(2)), (960, 3 * 19 * 15));
        assert_eq!(after(&found, Part::FinalNorm), (16, 15));
        assert_eq!(after(&found, Part::Head), (480, 450));
    }

    #[test]
    fn an_attention_without_groups_goes_with_its_norm() {
        let model = tiny(false);
        let mut values = random_gates(&model, true, 1).evaluate(EvalMode::Target);
        values.values.iter_mut().flatten().for_each(|v| *v = 1.0);
        let head = values.kinds.iter().position(|&k| k == GateKind::Head).unwrap();
        values.values[head][2..4].fill(0.0);
        let found = preview(&model.weights, &model.shape(), &values);
        assert!(found.layers[1].attention && !found.layers[1].mlp && !found.layers[1].gone());
        assert_eq!(after(&found, Part::Norms(1)), (32, 16));
    }
}
