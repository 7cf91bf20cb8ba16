//! What a configuration promises: the name and shape of every tensor, and the fields behind a
//! shape.
//!
//! Loading compares files with it, saving compares a model with it.

use crate::model::LlamaConfig;

/// A dimension of a tensor, by the fields of `config.json` that give it.
#[derive(Clone, Copy, Debug)]
enum Dim {
    /// V.
    Vocab,
    /// D.
    Hidden,
    /// F.
    Intermediate,
    /// H*E.
    Queries,
    /// K*E.
    Keys,
    /// E.
    Head,
}

impl Dim {
    fn size(self, c: &LlamaConfig) -> usize {
        match self {
            Self::Vocab => c.vocab,
            Self::Hidden => c.hidden,
            Self::Intermediate => c.intermediate,
            Self::Queries => c.heads * c.head_dim,
            Self::Keys => c.kv_heads * c.head_dim,
            Self::Head => c.head_dim,
        }
    }

    fn says(self, c: &LlamaConfig) -> String {
        match self {
            Self::Vocab => format!("vocab_size {}", c.vocab),
            Self::Hidden => format!("hidden_size {}", c.hidden),
            Self::Intermediate => format!("intermediate_size {}", c.intermediate),
            Self::Queries => format!("num_attention_heads {} x head_dim {}", c.heads, c.head_dim),
            Self::Keys => format!("num_key_value_heads {} x head_dim {}", c.kv_heads, c.head_dim),
            Self::Head => format!("head_dim {}", c.head_dim),
        }
    }
}

/// A tensor that the configuration promises.
pub(in crate::model) struct Promise {
    /// Its name in the checkpoint.
    pub(in crate::model) name: String,
    dims: &'static [Dim],
}

impl Promise {
    /// Gives the shape.
    pub(in crate::model) fn shape(&self, config: &LlamaConfig) -> Vec<usize> {
        self.dims.iter().map(|dim| dim.size(config)).collect()
    }

    /// Names the fields behind the dimensions in which `found` differs.
    pub(in crate::model) fn because(&self, config: &LlamaConfig, found: &[usize]) -> Box<str> {
        let same_rank = found.len() == self.dims.len();
        let differs = |i: usize, dim: &Dim| !same_rank || found[i] != dim.size(config);
        let fields: Vec<String> = (self.dims.iter().enumerate())
            .filter(|(i, dim)| differs(*i, dim))
            .map(|(_, dim)| dim.says(config))
            .collect();
        fields.join(" and ").into()
    }
}

/// Lists every tensor a configuration promises, in the order of [`crate::model::Weights::named`].
/// It is an iterator because a configuration may promise absurdly many layers.
pub(in crate::model) fn promises(config: &LlamaConfig) -> impl Iterator<Item = Promise> {
    use Dim::{Head, Hidden, Intermediate, Keys, Queries, Vocab};
    const ATTENTION: [(&str, &[Dim]); 5] = [
        ("input_layernorm.weight", &[Hidden]),
        ("self_attn.q_proj.weight", &[Queries, Hidden]),
        ("self_attn.k_proj.weight", &[Keys, Hidden]),
        ("self_attn.v_proj.weight", &[Keys, Hidden]),
        ("self_attn.o_proj.weight", &[Hidden, Queries]),
    ];
    const BIASES: [(&str, &[Dim]); 4] = [
        ("self_attn.q_proj.bias", &[Queries]),
        ("self_attn.k_proj.bias", &[Keys]),
        ("self_attn.v_proj.bias", &[Keys]),
        ("self_attn.o_proj.bias", &[Hidden]),
    ];
    const HEAD_NORMS: [(&str, &[Dim]); 2] =
        [("self_attn.q_norm.weight", &[Head]), ("self_attn.k_norm.weight", &[Head])];
    const MLP: [(&str, &[Dim]); 4] = [
        ("post_attention_layernorm.weight", &[Hidden]),
        ("mlp.gate_proj.weight", &[Intermediate, Hidden]),
        ("mlp.up_proj.weight", &[Intermediate, Hidden]),
        ("mlp.down_proj.weight", &[Hidden, Intermediate]),
    ];
    let promise = |name: &str, dims| Promise { name: name.to_string(), dims };
    let biases = match (config.attention_bias, config.family.biases_output()) {
        (false, _) => 0,
        (true, false) => 3,
        (true, true) => 4,
    };
    let norms = if config.family.has_head_norms() { HEAD_NORMS.len() } else { 0 };
    let layers = (0..config.layers).flat_map(move |l| {
        (ATTENTION.iter().chain(&BIASES[..biases]).chain(&HEAD_NORMS[..norms]).chain(&MLP))
            .map(move |(name, dims)| Promise { name: format!("model.layers.{l}.{name}"), dims })
    });
    let head = (!config.tied).then(|| promise("lm_head.weight", &[Vocab, Hidden]));
    std::iter::once(promise("model.embed_tokens.weight", &[Vocab, Hidden]))
        .chain(layers)
        .chain(std::iter::once(promise("model.norm.weight", &[Hidden])))
        .chain(head)
}
