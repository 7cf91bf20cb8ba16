//! Weights in training with their Adam moments, shared until somebody takes a step.
//!
//! A clone costs nothing: it holds the same tensors. The first update of either holder copies them,
//! so that no holder ever sees the step of another. That is what makes snapshots and forks cheap.
//!
//! What is in training is every weight, or the low-rank changes of some (see `lora.rs`); moments
//! exist for what is in training, and only that is saved.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::lora::{Adapters, variable};
use super::{AdamConfig, Lora};
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
    /// What the forward pass computes with.
    weights: Arc<Weights>,
    /// The low-rank changes in it; none when the weights themselves are in training.
    adapters: Option<Adapters>,
    /// First and second moment of each tensor in training, in their order.
    moments: Vec<(Tensor, Tensor)>,
}

impl Tensors {
    fn trained(&self) -> Vec<(String, &Tensor)> {
        self.adapters.as_ref().map_or_else(|| self.weights.named(), Adapters::named)
    }

    /// With moments at 0.
    fn start(weights: Weights, adapters: Option<Adapters>) -> Result<Self> {
        let mut start = Self { weights: Arc::new(weights), adapters, moments: Vec::new() };
        let zeros = |(_, t): (String, &Tensor)| Ok((t.zeros_like()?, t.zeros_like()?));
        start.moments = start.trained().into_iter().map(zeros).collect::<Result<_>>()?;
        Ok(start)
    }
}

impl Parameters {
    /// Copies `weights` and starts with moments at 0.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn new(weights: &Weights, config: AdamConfig) -> Result<Self> {
        let tensors = Arc::new(Tensors::start(weights.map(variable)?, None)?);
        Ok(Self { config, tensors, updates: 0 })
    }

    /// Shares `weights` and starts with low-rank changes of 0; `seed` draws their first factors.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn low_rank(weights: &Weights, config: AdamConfig, lora: &Lora, seed: u64) -> Result<Self> {
        let adapters = Adapters::new(weights, lora, seed)?;
        let tensors = Arc::new(Tensors::start(adapters.changed()?, Some(adapters))?);
        Ok(Self { config, tensors, updates: 0 })
    }

    /// Puts back what [`Parameters::named`] and [`Parameters::updates`] gave: `get` is asked for each
    /// name of it; `weights`, those of the start, and `lora` say which there are.
    ///
    /// # Errors
    /// Those of `get`; candle's.
    pub fn restore<E: From<candle_core::Error>>(
        weights: &Weights,
        config: AdamConfig,
        lora: Option<&Lora>,
        updates: u64,
        mut get: impl FnMut(&str, &Tensor) -> std::result::Result<Tensor, E>,
    ) -> std::result::Result<Self, E> {
        let mut tensors = match lora {
            None => {
                let names: Vec<String> =
                    weights.named().into_iter().map(|(name, _)| name).collect();
                let mut of = names.iter();
                let weights = weights.map(|like| {
                    let name = of.next().map(String::as_str).unwrap_or_default();
                    Ok::<_, E>(variable(&get(&format!("{WEIGHT}{name}"), like)?)?)
                })?;
                Tensors { weights: Arc::new(weights), adapters: None, moments: Vec::new() }
            }
            Some(lora) => {
                // Every tensor is replaced, so the seed has no effect.
                let adapters = Adapters::new(weights, lora, 0)?.map(|name, like| {
                    Ok::<_, E>(variable(&get(&format!("{WEIGHT}{name}"), like)?)?)
                })?;
                let weights = Arc::new(adapters.changed()?);
                Tensors { weights, adapters: Some(adapters), moments: Vec::new() }
            }
        };
        let mut moments = Vec::new();
        for (name, like) in tensors.trained() {
            let first = get(&format!("{FIRST}{name}"), like)?;
            moments.push((first, get(&format!("{SECOND}{name}"), like)?));
        }
        tensors.moments = moments;
        Ok(Self { config, tensors: Arc::new(tensors), updates })
    }

    /// The tensors in training, in a fixed order; gradients come in it.
    pub fn trained(&self) -> Vec<(String, &Tensor)> {
        self.tensors.trained()
    }

    /// The weights; they change in place with every update that does not copy first.
    pub fn weights(&self) -> &Arc<Weights> {
        &self.tensors.weights
    }

    /// How many updates were made: t of the bias correction.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Every tensor in training under a name: `weight/NAME`, `first/NAME`, `second/NAME`, in a fixed
    /// order.
    pub fn named(&self) -> Vec<(String, &Tensor)> {
        let trained = self.tensors.trained();
        let mut all = Vec::with_capacity(3 * trained.len());
        for ((name, weight), (first, second)) in trained.into_iter().zip(&self.tensors.moments) {
            all.push((format!("{WEIGHT}{name}"), weight));
            all.push((format!("{FIRST}{name}"), first));
            all.push((format!("{SECOND}{name}"), second));
        }
        all
    }

    /// Bytes of the tensors that a copy has for itself.
    pub fn bytes(&self) -> u64 {
        let size = |t: &Tensor| (t.elem_count() * t.dtype().size_in_bytes()) as u64;
        let named: u64 = self.named().into_iter().map(|(_, t)| size(t)).sum();
        named + self.tensors.adapters.as_ref().map_or(0, Adapters::copies)
    }

    /// Whether two hold the same tensors.
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tensors, &other.tensors)
    }

    /// Updates every tensor in training by AdamW; `grads` follow the order of
    /// [`Parameters::trained`], `scale` multiplies them (clipping). Shared tensors are copied first.
    ///
    /// # Errors
    /// candle's.
    pub fn update(&mut self, grads: &[Tensor], lr: f64, scale: f64) -> Result<()> {
        if Arc::strong_count(&self.tensors) > 1 {
            let Tensors { weights, adapters, moments } = &*self.tensors;
            let moments = moments.iter().map(|(m, v)| Ok((m.copy()?, v.copy()?)));
            let moments = moments.collect::<Result<_>>()?;
            let (weights, adapters) = match adapters {
                None => (Arc::new(weights.map(variable)?), None),
                Some(adapters) => (weights.clone(), Some(adapters.map(|_, t| variable(t))?)),
            };
            self.tensors = Arc::new(Tensors { weights, adapters, moments });
        }
        self.updates += 1;
        let AdamConfig { betas, eps, weight_decay } = self.config;
        let step = AdamStep { lr, betas, eps, weight_decay, t: self.updates, grad_scale: scale };
        let trained = self.tensors.trained();
        for (((_, w), g), (m, v)) in trained.into_iter().zip(grads).zip(&self.tensors.moments) {
            ops::adam(w, m, v, g, &step)?;
        }
        if let Some(adapters) = &self.tensors.adapters {
            // The tensors are handles; what is new is the sums.
            self.tensors = Arc::new(Tensors {
                weights: Arc::new(adapters.changed()?),
                adapters: Some(adapters.clone()),
                moments: self.tensors.moments.clone(),
            });
        }
        Ok(())
    }
}

const WEIGHT: &str = "weight/";
const FIRST: &str = "first/";
const SECOND: &str = "second/";
