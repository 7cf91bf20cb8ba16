//! Weights in training with their Adam moments, shared until somebody takes a step.
//!
//! A clone costs nothing: it holds the same tensors. The first update of either holder copies them,
//! so that no holder ever sees the step of another. That is what makes snapshots and forks cheap.

use std::sync::Arc;

use candle_core::{Result, Tensor, Var};

use super::AdamConfig;
use crate::model::Weights;
use crate::ops::{self, AdamStep};

/// Weights, their moments and the number of updates; clones share the tensors.
#[derive(Clone, Debug)]
pub struct Parameters {
    config: AdamConfig,
    tensors: Arc<Tensors>,
    updates: u64,
}

#[derive(Debug)]
struct Tensors {
    weights: Arc<Weights>,
    /// First and second moment of each weight, in the order of [`Weights::named`].
    moments: Vec<(Tensor, Tensor)>,
}

/// A copy that can be updated in place and takes gradients.
fn variable(t: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(&t.detach())?.into_inner())
}

impl Parameters {
    /// Copies `weights` and starts with moments at 0.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn new(weights: &Weights, config: AdamConfig) -> Result<Self> {
        let weights = weights.map(variable)?;
        let named = weights.named();
        let moments = named.iter().map(|(_, t)| Ok((t.zeros_like()?, t.zeros_like()?)));
        let moments = moments.collect::<Result<_>>()?;
        drop(named);
        let tensors = Arc::new(Tensors { weights: Arc::new(weights), moments });
        Ok(Self { config, tensors, updates: 0 })
    }

    /// Puts back what [`Parameters::named`] and [`Parameters::updates`] gave: `get` is asked for each
    /// name of it, `weights` says which there are.
    ///
    /// # Errors
    /// Those of `get`; candle's.
    pub fn restore<E: From<candle_core::Error>>(
        weights: &Weights,
        config: AdamConfig,
        updates: u64,
        mut get: impl FnMut(&str, &Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Self, E> {
        let names: Vec<String> = weights.named().into_iter().map(|(name, _)| name).collect();
        let mut of = names.iter();
        let restored = weights.map(|like| {
            let name = of.next().map(String::as_str).unwrap_or_default();
            Ok::<_, E>(variable(&get(&format!("{WEIGHT}{name}"), like)?)?)
        })?;
        let mut moments = Vec::with_capacity(names.len());
        for (name, like) in restored.named() {
            let first = get(&format!("{FIRST}{name}"), like)?;
            moments.push((first, get(&format!("{SECOND}{name}"), like)?));
        }
        let tensors = Arc::new(Tensors { weights: Arc::new(restored), moments });
        Ok(Self { config, tensors, updates })
    }

    /// The weights; they change in place with every update that does not copy first.
    pub fn weights(&self) -> &Arc<Weights> {
        &self.tensors.weights
    }

    /// How many updates were made: t of the bias correction.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Every tensor under a name: `weight/NAME`, `first/NAME`, `second/NAME`, in a fixed order.
    pub fn named(&self) -> Vec<(String, &Tensor)> {
        let weights = self.tensors.weights.named();
        let mut all = Vec::with_capacity(3 * weights.len());
        for ((name, weight), (first, second)) in weights.into_iter().zip(&self.tensors.moments) {
            all.push((format!("{WEIGHT}{name}"), weight));
            all.push((format!("{FIRST}{name}"), first));
            all.push((format!("{SECOND}{name}"), second));
        }
        all
    }

    /// Bytes of the tensors.
    pub fn bytes(&self) -> u64 {
        let size = |t: &Tensor| (t.elem_count() * t.dtype().size_in_bytes()) as u64;
        self.named().into_iter().map(|(_, t)| size(t)).sum()
    }

    /// Whether two hold the same tensors.
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tensors, &other.tensors)
    }

    /// Updates every weight by AdamW; `grads` follow the order of [`Weights::named`], `scale`
    /// multiplies them (clipping). Shared tensors are copied first.
    ///
    /// # Errors
    /// candle's.
    pub fn update(&mut self, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        if Arc::strong_count(&self.tensors) > 1 {
            let moments = self.tensors.moments.iter();
            let moments =
                moments.map(|(m, v)| Ok((m.copy()?, v.copy()?))).collect::<Result<_>>()?;
            let weights = Arc::new(self.tensors.weights.map(variable)?);
            self.tensors = Arc::new(Tensors { weights, moments });
        }
        self.updates += 1;
        let AdamConfig { betas, eps, weight_decay } = self.config;
        let step = AdamStep { lr, betas, eps, weight_decay, t: self.updates, grad_scale: scale };
        let weights = self.tensors.weights.named();
        for (((_, w), g), (m, v)) in weights.into_iter().zip(grads).zip(&self.tensors.moments) {
            ops::adam(w, m, v, g, &step)?;
        }
        Ok(())
    }
}

const WEIGHT: &str = "weight/";
const FIRST: &str = "first/";
const SECOND: &str = "second/";
