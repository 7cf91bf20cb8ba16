//! Low-rank recovery: the weights stay as they are, and what is learned is a small change of some.
//!
//! ```text
//! W' = W + (alpha / r) B A      A (r, in) ~ N(0, 1/r),  B (out, r) = 0 at the start
//! ```
//!
//! The changed weights are made once a step, as nodes of candle's graph, so that everything which
//! reads a model reads W', and an extracted model is a plain one. Adam's two moments exist for A and
//! B alone. The price: one more copy of the changed weights in memory, and a step computes the
//! gradient of W' on its way to those of A and B, so it takes about the time of a full one.
//!
//! Source: Hu et al., "LoRA: low-rank adaptation of large language models".

use std::{fmt, str::FromStr, sync::Arc};

use candle_core::{Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::model::Weights;
use crate::names::closest;
use crate::ops;
use crate::rng::Stream;

/// A projection that can be given a low-rank change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Output of the attention.
    O,
    /// Gate of the MLP.
    Gate,
    /// Up-projection of the MLP.
    Up,
    /// Down-projection of the MLP.
    Down,
}

impl Projection {
    /// Every projection, in the order of the weights.
    pub const ALL: [Self; 7] =
        [Self::Q, Self::K, Self::V, Self::O, Self::Gate, Self::Up, Self::Down];

    /// Its name in scripts and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q => "q",
            Self::K => "k",
            Self::V => "v",
            Self::O => "o",
            Self::Gate => "gate",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// All names, separated by commas.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The projection that a weight of this name is.
    fn of(weight: &str) -> Option<Self> {
        let stem = weight.strip_suffix("_proj.weight")?.rsplit('.').next()?;
        Self::ALL.into_iter().find(|projection| projection.name() == stem)
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No projection has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no projection `{name}`; nearest: `{nearest}`; there are {}", Projection::names())]
pub struct UnknownProjection {
    /// The name asked for.
    pub name: String,
    /// The known name closest to it.
    pub nearest: &'static str,
}

impl FromStr for Projection {
    type Err = UnknownProjection;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownProjection> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            let nearest = closest(name, Self::ALL.map(Self::name)).unwrap_or_default();
            UnknownProjection { name: name.to_string(), nearest }
        })
    }
}

/// Options of a low-rank recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Rank of every change, r.
    pub rank: usize,
    /// Size of the change: it is multiplied by alpha / r.
    pub alpha: f64,
    /// The projections that change.
    pub targets: Vec<Projection>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, targets: Projection::ALL.to_vec() }
    }
}

impl Lora {
    /// The targeted weights of a model with their (out, in), in the order of [`Weights::named`].
    pub fn targeted<'a>(&self, weights: &'a Weights) -> Vec<(String, &'a Tensor)> {
        let wanted = |name: &str| Projection::of(name).is_some_and(|p| self.targets.contains(&p));
        weights.named().into_iter().filter(|(name, _)| wanted(name)).collect()
    }
}

/// The changes in training, and the weights they change.
#[derive(Clone, Debug)]
pub(super) struct Adapters {
    base: Arc<Weights>,
    scale: f64,
    pairs: Vec<Pair>,
}

/// One change.
#[derive(Clone, Debug)]
struct Pair {
    /// Name of the weight.
    of: String,
    a: Tensor,
    b: Tensor,
}

/// A copy that can be updated in place and takes gradients.
pub(super) fn variable(t: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(&t.detach())?.into_inner())
}

impl Adapters {
    /// Starts with changes of 0; `weights` are shared and never written.
    ///
    /// # Determinism
    /// The A of a weight is drawn from the stream `lora/NAME`.
    ///
    /// # Errors
    /// candle's.
    pub fn new(weights: &Weights, lora: &Lora, seed: u64) -> Result<Self> {
        let base = weights.map(|t| Ok::<_, candle_core::Error>(t.detach()))?;
        let deviation = (1.0 / lora.rank as f64).sqrt();
        let pair = |(of, w): (String, &Tensor)| -> Result<Pair> {
            let (out, inner) = w.dims2()?;
            let mut stream = Stream::new(seed, &format!("lora/{of}"), 0);
            let normal: Vec<f64> =
                (0..lora.rank * inner).map(|_| deviation * stream.normal()).collect();
            let a = Tensor::from_vec(normal, (lora.rank, inner), w.device())?;
            let a = variable(&a.to_dtype(w.dtype())?)?;
            let b = variable(&Tensor::zeros((out, lora.rank), w.dtype(), w.device())?)?;
            Ok(Pair { of, a, b })
        };
        let pairs = lora.targeted(&base).into_iter().map(pair).collect::<Result<_>>()?;
        Ok(Self { base: Arc::new(base), scale: lora.alpha / lora.rank as f64, pairs })
    }

    /// The tensors in training, in a fixed order.
    pub fn named(&self) -> Vec<(String, &Tensor)> {
        let both = |p: &'_ Pair| [format!("{}.lora_a", p.of), format!("{}.lora_b", p.of)];
        let tensors = self.pairs.iter().flat_map(|p| [&p.a, &p.b]);
        self.pairs.iter().flat_map(both).zip(tensors).collect()
    }

    /// The same with every tensor in training replaced by `f(name, tensor)`.
    ///
    /// # Errors
    /// The first error of `f`.
    pub fn map<E>(
        &self,
        mut f: impl FnMut(&str, &Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Self, E> {
        let pair = |p: &Pair| {
            let a = f(&format!("{}.lora_a", p.of), &p.a)?;
            Ok(Pair { of: p.of.clone(), a, b: f(&format!("{}.lora_b", p.of), &p.b)? })
        };
        let pairs = self.pairs.iter().map(pair).collect::<std::result::Result<_, E>>()?;
        Ok(Self { base: self.base.clone(), scale: self.scale, pairs })
    }

    /// The weights with their changes as they are now; gradients reach A and B through them.
    ///
    /// # Errors
    /// candle's.
    pub fn changed(&self) -> Result<Weights> {
        let names: Vec<String> = self.base.named().into_iter().map(|(name, _)| name).collect();
        let mut of = names.iter();
        let mut pairs = self.pairs.iter().peekable();
        self.base.map(|w| {
            let name = of.next();
            match pairs.next_if(|pair| Some(&pair.of) == name) {
                Some(pair) => ops::lora(w, &pair.a, &pair.b, self.scale),
                None => Ok(w.clone()),
            }
        })
    }

    /// Bytes of the copies that the changed weights are.
    pub fn copies(&self) -> u64 {
        let size = |p: &Pair| {
            let elements = p.a.dim(1).unwrap_or(0) * p.b.dim(0).unwrap_or(0);
            (elements * p.a.dtype().size_in_bytes()) as u64
        };
        self.pairs.iter().map(size).sum()
    }
}
