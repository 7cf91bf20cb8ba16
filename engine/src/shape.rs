//! Dimensions of a model, and the smaller dimensions a person asks for.
//!
//! A target names some dimensions; what it leaves out stays as the source has it. Whoever names query
//! heads or key/value heads alone prunes whole groups, so their ratio stays that of the source, and
//! naming one fixes the other. Whoever names both may ask for fewer query heads a group, the same
//! number in each. The width of a head is inherited.

mod family;
mod loaders;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::family::Family;
pub use self::loaders::Loader;

/// The dimensions of a model whose layers are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Layers, L.
    pub layers: usize,
    /// Hidden size, D.
    pub hidden: usize,
    /// Query heads a layer, H.
    pub heads: usize,
    /// Key/value heads a layer, K.
    pub kv_heads: usize,
    /// Width of a head, E.
    pub head_dim: usize,
    /// MLP width, F.
    pub intermediate: usize,
    /// Vocabulary, V.
    pub vocab: usize,
    /// Whether the output projection is the embedding table.
    pub tied: bool,
    /// The family, which says what else a layer has.
    #[serde(default)]
    pub family: Family,
    /// Whether the attention projections have biases; see [`Family`] for which of them.
    #[serde(default)]
    pub attention_bias: bool,
}

impl ModelShape {
    /// Query heads that share one key/value head.
    pub fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// Parameters of one key/value group: its slices of q, k, v and o.
    pub fn parameters_per_group(&self) -> usize {
        self.hidden * self.head_dim * (2 * self.group() + 2)
    }

    /// Parameters that gates can remove: attention and MLP projections, without embeddings, norms,
    /// biases and head.
    pub fn prunable(&self) -> usize {
        self.layers
            * (self.kv_heads * self.parameters_per_group() + 3 * self.hidden * self.intermediate)
    }

    /// All parameters, with norms and biases; a tied head counts once.
    ///
    /// Biases and norms of heads are a few thousandths of a layer and go with the heads they belong
    /// to, so they count here and not in [`ModelShape::prunable`], as the method counts norms.
    pub fn parameters(&self) -> usize {
        let tables = if self.tied { 1 } else { 2 };
        self.prunable()
            + tables * self.vocab * self.hidden
            + (2 * self.layers + 1) * self.hidden
            + self.layers * (self.biases_per_layer() + self.head_norms_per_layer())
    }

    /// Numbers in the biases of one layer.
    fn biases_per_layer(&self) -> usize {
        if !self.attention_bias {
            return 0;
        }
        let output = if self.family.biases_output() { self.hidden } else { 0 };
        (self.heads + 2 * self.kv_heads) * self.head_dim + output
    }

    /// Numbers in the head norms of one layer: one weight a channel for queries, one for keys.
    fn head_norms_per_layer(&self) -> usize {
        if self.family.has_head_norms() { 2 * self.head_dim } else { 0 }
    }
}

impl fmt::Display for ModelShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} layers, hidden {}, {} heads ({} kv) of {}, intermediate {}, vocabulary {}{}",
            self.layers,
            self.hidden,
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.intermediate,
            self.vocab,
            if self.tied { ", tied head" } else { "" }
        )?;
        if self.family != Family::Llama {
            write!(f, ", {}", self.family)?;
        }
        // In a family that always has biases, or never, its name says so.
        let told = self.attention_bias && self.family.fixed_bias().is_none();
        f.write_str(if told { ", attention biases" } else { "" })
    }
}

/// The dimensions to prune to; what is none stays as the source has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetShape {
    /// Layers to keep.
    pub layers: Option<usize>,
    /// Hidden size to keep.
    pub hidden: Option<usize>,
    /// Query heads a layer to keep.
    pub heads: Option<usize>,
    /// Key/value heads a layer to keep.
    pub kv_heads: Option<usize>,
    /// MLP width to keep.
    pub intermediate: Option<usize>,
}

/// Names of the presets, in the order of their size.
pub const PRESETS: [&str; 3] = ["370m", "1.3b", "2.7b"];

/// One thing that is wrong with a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeProblem {
    /// The field of the target.
    pub field: &'static str,
    /// The value it has.
    pub value: usize,
    /// Why it cannot be.
    pub why: String,
    /// The nearest legal value.
    pub nearest: usize,
}

impl fmt::Display for ShapeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}; nearest legal value: {}",
            self.field, self.value, self.why, self.nearest
        )
    }
}

/// What is wrong with a target or its name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// The target cannot be reached from the source.
    #[error("the target does not fit the source ({source_shape}):\n{}", list(.problems))]
    Illegal {
        /// The source's dimensions.
        source_shape: ModelShape,
        /// Everything that is wrong.
        problems: Vec<ShapeProblem>,
    },
    /// Nothing would be pruned.
    #[error(
        "the target equals the source ({0}), so there is nothing to prune; name a smaller dimension"
    )]
    NothingToPrune(ModelShape),
    /// No preset has this name.
    #[error("no preset target `{name}`; known: {}", PRESETS.join(", "))]
    UnknownPreset {
        /// The name asked for.
        name: String,
    },
}

fn list(problems: &[ShapeProblem]) -> String {
    problems.iter().map(|p| format!("  {p}")).collect::<Vec<_>>().join("\n")
}

/// What a target means for a source.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeReport {
    /// The source's dimensions.
    pub source: ModelShape,
    /// The dimensions that pruning gives; with problems, those of the nearest legal target.
    pub shape: ModelShape,
    /// What is illegal; empty when the target can be pruned to.
    pub problems: Vec<ShapeProblem>,
    /// Which loaders open the exported model, and why not.
    pub loaders: Vec<Loader>,
}

impl TargetShape {
    /// Gives a published target of Sheared LLaMA by name: `370m`, `1.3b`, `2.7b` (from Llama-2-7B).
    ///
    /// # Errors
    /// A name that is none of these.
    ///
    /// # Source
    /// Sheared LLaMA, table 8 and the public code's 370M configuration.
    pub fn preset(name: &str) -> Result<Self, ShapeError> {
        let (layers, hidden, heads, intermediate) = match name.to_lowercase().as_str() {
            "370m" => (24, 1024, 8, 2816),
            "1.3b" => (24, 2048, 16, 5504),
            "2.7b" => (32, 2560, 20, 6912),
            _ => return Err(ShapeError::UnknownPreset { name: name.to_string() }),
        };
        Ok(Self {
            layers: Some(layers),
            hidden: Some(hidden),
            heads: Some(heads),
            kv_heads: None,
            intermediate: Some(intermediate),
        })
    }

    /// Says what this target means for `source`: dimensions, problems, loaders.
    pub fn check(&self, source: &ModelShape) -> ShapeReport {
        let mut problems = Vec::new();
        let mut within = |field: &'static str, asked: Option<usize>, limit: usize| match asked {
            None => limit,
            Some(0) => {
                problems.push(ShapeProblem {
                    field,
                    value: 0,
                    why: "at least one must stay".into(),
                    nearest: 1,
                });
                1
            }
            Some(n) if n > limit => {
                let why = format!("the source has {limit}, and pruning only removes");
                problems.push(ShapeProblem { field, value: n, why, nearest: limit });
                limit
            }
            Some(n) => n,
        };
        let layers = within("layers", self.layers, source.layers);
        let hidden = within("hidden", self.hidden, source.hidden);
        let intermediate = within("intermediate", self.intermediate, source.intermediate);
        let heads = self.heads.map(|_| within("heads", self.heads, source.heads));
        let kv_heads = self.kv_heads.map(|_| within("kv_heads", self.kv_heads, source.kv_heads));
        let (heads, kv) = match (heads, kv_heads) {
            (None, None) => (source.heads, source.kv_heads),
            (None, Some(kv)) => (kv * source.group(), kv),
            (Some(heads), None) => whole_groups(source, heads, &mut problems),
            (Some(heads), Some(kv)) => equal_groups(source, heads, kv, &mut problems),
        };
        let shape = ModelShape { layers, hidden, heads, kv_heads: kv, intermediate, ..*source };
        ShapeReport { source: *source, shape, problems, loaders: loaders::loaders(&shape) }
    }

    /// Gives the dimensions that pruning `source` to this target ends with.
    ///
    /// # Errors
    /// Everything that is illegal, each with its nearest legal value; or nothing to prune.
    pub fn resolve(&self, source: &ModelShape) -> Result<ModelShape, ShapeError> {
        let report = self.check(source);
        if !report.problems.is_empty() {
            return Err(ShapeError::Illegal { source_shape: *source, problems: report.problems });
        }
        if report.shape == *source {
            return Err(ShapeError::NothingToPrune(*source));
        }
        Ok(report.shape)
    }
}

/// The heads of a target that names query heads alone: whole groups of the source.
fn whole_groups(
    source: &ModelShape,
    heads: usize,
    problems: &mut Vec<ShapeProblem>,
) -> (usize, usize) {
    let group = source.group();
    let groups = heads.saturating_add(group / 2) / group;
    let groups = groups.clamp(1, source.kv_heads);
    if !heads.is_multiple_of(group) {
        let why = format!(
            "{group} query heads share each KV head of the source and are pruned together, unless \
             `kv_heads` is named too"
        );
        let nearest = groups * group;
        problems.push(ShapeProblem { field: "heads", value: heads, why, nearest });
    }
    (groups * group, groups)
}

/// The heads of a target that names both: so many query heads in each of the groups that stay.
fn equal_groups(
    source: &ModelShape,
    heads: usize,
    kv: usize,
    problems: &mut Vec<ShapeProblem>,
) -> (usize, usize) {
    let group = source.group();
    let fits = |kv: usize| heads.is_multiple_of(kv) && heads / kv <= group;
    if fits(kv) {
        return (heads, kv);
    }
    let why = if heads.is_multiple_of(kv) {
        format!(
            "{heads} query heads are {} for each of {kv} KV heads, and the source has {group}",
            heads / kv
        )
    } else {
        format!("{kv} KV heads cannot share {heads} query heads evenly")
    };
    match (1..=source.kv_heads).filter(|&n| fits(n)).min_by_key(|n| n.abs_diff(kv)) {
        Some(nearest) => {
            problems.push(ShapeProblem { field: "kv_heads", value: kv, why, nearest });
            (heads, nearest)
        }
        None => {
            let nearest = kv * (heads.saturating_add(kv / 2) / kv).clamp(1, group);
            problems.push(ShapeProblem { field: "heads", value: heads, why, nearest });
            (nearest, kv)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA_2_7B: ModelShape = ModelShape {
        layers: 32,
        hidden: 4096,
        heads: 32,
        kv_heads: 32,
        head_dim: 128,
        intermediate: 11008,
        vocab: 32000,
        tied: false,
        family: Family::Llama,
        attention_bias: false,
    };
    const STORIES: ModelShape = ModelShape {
        layers: 5,
        hidden: 64,
        heads: 8,
        kv_heads: 4,
        head_dim: 8,
        intermediate: 172,
        vocab: 512,
        tied: true,
        family: Family::Llama,
        attention_bias: false,
    };

    #[test]
    fn published_targets_have_their_published_parameter_counts() {
        // Sheared LLaMA's checkpoints, counted from their tensors.
        assert_eq!(LLAMA_2_7B.parameters(), 6_738_415_616);
        assert_eq!(LLAMA_2_7B.prunable(), 6_476_005_376);
        for (name, total, prunable) in [
            ("2.7b", 2_701_560_320, 2_537_553_920),
            ("1.3b", 1_345_423_360, 1_214_251_008),
            ("370m", 373_867_520, 308_281_344),
        ] {
            let shape = TargetShape::preset(name).and_then(|t| t.resolve(&LLAMA_2_7B)).expect(name);
            assert_eq!((shape.parameters(), shape.prunable()), (total, prunable), "{name}");
        }
    }

    #[test]
    fn naming_query_heads_fixes_the_kv_heads() {
        let target = TargetShape { heads: Some(6), ..Default::default() };
        let shape = target.resolve(&STORIES).expect("legal");
        assert_eq!((shape.heads, shape.kv_heads), (6, 3));
        let target = TargetShape { kv_heads: Some(2), ..Default::default() };
        assert_eq!(target.resolve(&STORIES).expect("legal").heads, 4);
    }

    #[test]
    fn an_illegal_target_names_field_reason_and_nearest_value() {
        let target =
            TargetShape { hidden: Some(96), heads: Some(5), layers: Some(0), ..Default::default() };
        let report = target.check(&STORIES);
        let told: Vec<(&str, usize, usize)> =
            report.problems.iter().map(|p| (p.field, p.value, p.nearest)).collect();
        assert_eq!(told, [("layers", 0, 1), ("hidden", 96, 64), ("heads", 5, 6)]);
        assert!(target.resolve(&STORIES).is_err());
    }

    #[test]
    fn kv_heads_that_contradict_the_heads_are_refused() {
        let target = TargetShape { heads: Some(6), kv_heads: Some(4), ..Default::default() };
        let report = target.check(&STORIES);
        assert_eq!((report.problems[0].field, report.problems[0].nearest), ("kv_heads", 3));
    }

    #[test]
    fn naming_both_kinds_of_heads_may_ask_for_fewer_queries_a_group() {
        let ask = |heads, kv_heads| TargetShape {
            heads: Some(heads),
            kv_heads: Some(kv_heads),
            ..Default::default()
        };
        for (heads, kv_heads) in [(4, 4), (3, 3), (6, 3), (1, 1), (8, 4)] {
            let shape = ask(heads, kv_heads).check(&STORIES);
            assert!(shape.problems.is_empty(), "{heads} {kv_heads}: {:?}", shape.problems);
            assert_eq!((shape.shape.heads, shape.shape.kv_heads), (heads, kv_heads));
        }
        for (heads, kv_heads, field, nearest) in [
            (6, 4, "kv_heads", 3),
            (4, 1, "kv_heads", 2),
            (5, 4, "heads", 4),
            (7, 4, "heads", 8),
            (2, 4, "kv_heads", 2),
        ] {
            let report = ask(heads, kv_heads).check(&STORIES);
            let told = (report.problems[0].field, report.problems[0].nearest);
            assert_eq!(told, (field, nearest), "{heads} {kv_heads}");
            let target = ask(report.shape.heads, report.shape.kv_heads);
            assert!(target.check(&STORIES).problems.is_empty(), "what is offered is legal");
        }
        let alone = TargetShape { heads: Some(5), ..Default::default() };
        assert!(alone.check(&STORIES).problems[0].why.contains("`kv_heads`"));
    }

    #[test]
    fn biases_and_head_norms_count_as_parameters_and_not_as_prunable_ones() {
        // Counted by transformers 5.23: Qwen2.5-0.5B, Qwen3-0.6B.
        let qwen2 = ModelShape {
            layers: 24,
            hidden: 896,
            heads: 14,
            kv_heads: 2,
            head_dim: 64,
            intermediate: 4864,
            vocab: 151_936,
            tied: true,
            family: Family::Qwen2,
            attention_bias: true,
        };
        assert_eq!(qwen2.parameters(), 494_032_768);
        let qwen3 = ModelShape {
            layers: 28,
            hidden: 1024,
            heads: 16,
            kv_heads: 8,
            head_dim: 128,
            intermediate: 3072,
            family: Family::Qwen3,
            attention_bias: false,
            ..qwen2
        };
        assert_eq!(qwen3.parameters(), 596_049_920);
        let plain = ModelShape { family: Family::Mistral, ..qwen3 };
        assert_eq!(qwen3.prunable(), plain.prunable());
    }

    #[test]
    fn a_target_equal_to_the_source_is_nothing_to_prune() {
        let target = TargetShape { layers: Some(5), ..Default::default() };
        assert!(matches!(target.resolve(&STORIES), Err(ShapeError::NothingToPrune(_))));
        assert!(TargetShape::default().resolve(&STORIES).is_err());
    }
}
