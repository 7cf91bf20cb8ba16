//! Dimensions of a model, and the smaller dimensions a person asks for.
//!
//! A target names some dimensions; what it leaves out stays as the source has it. Query heads and
//! key/value heads are pruned together in whole groups, so their ratio stays that of the source, and
//! naming one of them fixes the other. The width of a head is inherited.

use std::fmt;

use serde::{Deserialize, Serialize};

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

    /// Parameters that gates can remove: attention and MLP projections, without embeddings, norms
    /// and head.
    pub fn prunable(&self) -> usize {
        self.layers
            * (self.kv_heads * self.parameters_per_group() + 3 * self.hidden * self.intermediate)
    }

    /// All parameters; a tied head counts once.
    pub fn parameters(&self) -> usize {
        let tables = if self.tied { 1 } else { 2 };
        self.prunable() + tables * self.vocab * self.hidden + (2 * self.layers + 1) * self.hidden
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
        )
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

/// Whether one loader opens a model of some shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Its name.
    pub name: &'static str,
    /// Whether it opens the model.
    pub opens: bool,
    /// Why, or on what condition.
    pub why: String,
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
        let group = source.group();
        let kv = match (heads, kv_heads) {
            (None, None) => source.kv_heads,
            (None, Some(kv)) => kv,
            (Some(heads), kv) => {
                let groups = (heads as f64 / group as f64)
                    .round()
                    .clamp(1.0, source.kv_heads as f64) as usize;
                if heads % group != 0 {
                    let why = format!(
                        "{group} query heads share each KV head of the source and are pruned together"
                    );
                    problems.push(ShapeProblem {
                        field: "heads",
                        value: heads,
                        why,
                        nearest: groups * group,
                    });
                } else if let Some(kv) = kv
                    && kv != groups
                {
                    let why = format!(
                        "{heads} query heads are {groups} whole groups of {group}, one KV head each"
                    );
                    problems.push(ShapeProblem {
                        field: "kv_heads",
                        value: kv,
                        why,
                        nearest: groups,
                    });
                }
                groups
            }
        };
        let shape =
            ModelShape { layers, hidden, heads: kv * group, kv_heads: kv, intermediate, ..*source };
        ShapeReport { source: *source, shape, problems, loaders: loaders(&shape) }
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

/// Says which loaders open a checkpoint of this shape.
fn loaders(shape: &ModelShape) -> Vec<Loader> {
    let square = shape.hidden == shape.heads * shape.head_dim;
    let whole = shape.hidden.is_multiple_of(shape.heads);
    let needs_head_dim = format!(
        "hidden {} is not heads x head width = {} x {}, so it needs a loader that reads `head_dim`",
        shape.hidden, shape.heads, shape.head_dim
    );
    let plain = |ok: &str| if square { ok.to_string() } else { needs_head_dim.clone() };
    vec![
        Loader { name: "woolshed", opens: true, why: "reads `head_dim`".into() },
        Loader {
            name: "transformers",
            opens: whole,
            why: if whole {
                "Llama with `head_dim` in config.json (4.40 or later)".into()
            } else {
                format!(
                    "it wants hidden {} to be a multiple of heads {}",
                    shape.hidden, shape.heads
                )
            },
        },
        Loader {
            name: "candle-transformers",
            opens: square,
            why: plain("hidden = heads x head width"),
        },
        Loader {
            name: "llama.cpp (after conversion)",
            opens: true,
            why: if shape.hidden.is_multiple_of(256) && shape.intermediate.is_multiple_of(256) {
                "every quantised type".into()
            } else if shape.hidden.is_multiple_of(32) && shape.intermediate.is_multiple_of(32) {
                "F16, Q8_0, Q4_0; k-quants want widths that are multiples of 256".into()
            } else {
                "F32 and F16 only; block-quantised types want widths that are multiples of 32"
                    .into()
            },
        },
    ]
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
    fn a_target_equal_to_the_source_is_nothing_to_prune() {
        let target = TargetShape { layers: Some(5), ..Default::default() };
        assert!(matches!(target.resolve(&STORIES), Err(ShapeError::NothingToPrune(_))));
        assert!(TargetShape::default().resolve(&STORIES).is_err());
    }
}
