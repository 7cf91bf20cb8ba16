//! Which loaders open a checkpoint of some shape, and why not.

use super::{Family, ModelShape};

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

/// Says which loaders open a checkpoint of this shape.
pub(super) fn loaders(shape: &ModelShape) -> Vec<Loader> {
    let own = Loader { name: "woolshed", opens: true, why: "reads `head_dim`".into() };
    vec![own, transformers(shape), candle(shape), llama_cpp(shape)]
}

fn transformers(shape: &ModelShape) -> Loader {
    let opens = shape.family != Family::Llama || shape.hidden.is_multiple_of(shape.heads);
    let why = match shape.family {
        Family::Llama if !opens => {
            format!("it wants hidden {} to be a multiple of heads {}", shape.hidden, shape.heads)
        }
        Family::Llama => "Llama with `head_dim` in config.json (4.40 or later)".into(),
        Family::Mistral => "Mistral with `head_dim` in config.json (4.42 or later)".into(),
        Family::Qwen2 => "Qwen2 with `head_dim` in config.json (4.48 or later)".into(),
        Family::Qwen3 => "Qwen3 (4.51 or later)".into(),
    };
    Loader { name: "transformers", opens, why }
}

fn candle(shape: &ModelShape) -> Loader {
    let ModelShape { hidden, heads, head_dim, .. } = *shape;
    let square = hidden == heads * head_dim;
    let (opens, why) = match shape.family {
        Family::Mistral if shape.tied => (false, "its Mistral knows no tied head".into()),
        Family::Mistral | Family::Qwen3 => (true, "reads `head_dim`".into()),
        Family::Llama if shape.attention_bias => {
            (false, "its Llama has no biases, and leaves these out in silence".into())
        }
        Family::Llama | Family::Qwen2 if square => (true, "hidden = heads x head width".into()),
        Family::Llama | Family::Qwen2 => {
            let product = format!("heads x head width = {heads} x {head_dim}");
            let needs = "so it needs a loader that reads `head_dim`";
            (false, format!("hidden {hidden} is not {product}, {needs}"))
        }
    };
    Loader { name: "candle-transformers", opens, why }
}

fn llama_cpp(shape: &ModelShape) -> Loader {
    let both = |of: usize| shape.hidden.is_multiple_of(of) && shape.intermediate.is_multiple_of(of);
    let why = if both(256) {
        "every quantised type"
    } else if both(32) {
        "F16, Q8_0, Q4_0; k-quants want widths that are multiples of 256"
    } else {
        "F32 and F16 only; block-quantised types want widths that are multiples of 32"
    };
    Loader { name: "llama.cpp (after conversion)", opens: true, why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_shape_depends_on_the_family() {
        let shape = |family, attention_bias| ModelShape {
            layers: 2,
            hidden: 40,
            heads: 6,
            kv_heads: 3,
            head_dim: 8,
            intermediate: 64,
            vocab: 100,
            tied: true,
            family,
            attention_bias,
        };
        let opened = |shape: ModelShape| {
            let opened = loaders(&shape).into_iter().filter(|loader| loader.opens);
            opened.map(|loader| loader.name).collect::<Vec<_>>()
        };
        let always = ["woolshed", "llama.cpp (after conversion)"];
        assert_eq!(opened(shape(Family::Llama, false)), always);
        let transformers = ["woolshed", "transformers", "llama.cpp (after conversion)"];
        assert_eq!(opened(shape(Family::Qwen2, true)), transformers);
        assert_eq!(opened(shape(Family::Mistral, false)), transformers);
        let untied = ModelShape { tied: false, ..shape(Family::Mistral, false) };
        assert_eq!(opened(untied).len(), 4);
        assert_eq!(opened(shape(Family::Qwen3, true)).len(), 4);
        // Square, and still not: the biases would be lost.
        let square = ModelShape { hidden: 48, ..shape(Family::Llama, true) };
        assert_eq!(opened(square), transformers);
    }
}
