//! Weights in training with their Adam moments, shared until somebody takes a step.
//!
//! A clone costs nothing: it holds the same tensors. The first update of either holder copies them,
//! so that no holder ever sees the step of another. That is what makes snapshots and forks cheap.
//!
//! Weights in bf16 are rounded copies: what is in training then, and what is saved, is an f32 master of each,
//! and moments are f32 too. A change too small for bf16 is kept there until it is large enough.
//!
//! What is in training is every weight, or the low-rank changes of some (see `lora.rs`); moments
//! exist for what is in training, and only that is saved.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::lora::{Adapters, variable};
use super::{AdamConfig, Lora};
use crate::model::Weights;
use crate::model::pass::{Flat, Taken};
use crate::ops::kernel::{Real, squares};
use crate::ops::{self, AdamStep};

/// Weights, their moments and the number of updates; clones share the tensors.
#[derive(Clone, Debug)]
pub struct Parameters {
    config: AdamConfig,
    tensors: Arc<Tensors>,
    updates: u64,
}

/// Gradients by the tensors in training, in their order.
#[derive(Debug)]
pub(crate) enum Grads {
    /// Side by side, on the CPU; of some matrices the gradient of a part stands alone.
    Flat(Flat, Vec<Option<Taken>>),
    /// One by one.
    Each(Vec<Tensor>),
}

impl Default for Grads {
    fn default() -> Self {
        Self::Each(Vec::new())
    }
}

impl Grads {
    /// Σ g²; `lengths` are those of the tensors.
    ///
    /// # Errors
    /// candle's.
    pub(crate) fn squares(&self, lengths: impl Iterator<Item = usize>) -> Result<f64> {
        fn side_by_side<T: Real>(
            all: &[T],
            taken: &[Option<Taken>],
            lengths: impl Iterator<Item = usize>,
        ) -> f64 {
            let of = places(all, taken, lengths);
            let each: Vec<f64> = of.into_par_iter().map(|(g, _)| squares(g)).collect();
            each.into_iter().sum()
        }
        match self {
            Self::Flat(Flat::Single(g), taken) => Ok(side_by_side(g, taken, lengths)),
            Self::Flat(Flat::Double(g), taken) => Ok(side_by_side(g, taken, lengths)),
            Self::Each(grads) => grads.iter().map(ops::sum_of_squares).sum(),
        }
    }
}

/// The places of tensors among gradients side by side, and what of them stands there alone.
fn places<'a, T>(
    mut all: &'a [T],
    taken: &'a [Option<Taken>],
    lengths: impl Iterator<Item = usize>,
) -> Vec<(&'a [T], Option<&'a Taken>)> {
    let next = |(n, taken): (usize, &'a Option<Taken>)| {
        let (here, rest) = all.split_at(n);
        all = rest;
        (&here[..taken.as_ref().map_or(n, Taken::len)], taken.as_ref())
    };
    lengths.zip(taken).map(next).collect()
}

/// Updates tensors, several at a time, from their places among the gradients.
fn by_parts<T: Real>(
    trained: &[&Tensor],
    moments: &[(Tensor, Tensor)],
    all: &[T],
    taken: &[Option<Taken>],
    step: &AdamStep,
) -> Result<()> {
    let of = places(all, taken, trained.iter().map(|t| t.elem_count()));
    trained.par_iter().zip(moments).zip(of).try_for_each(|((w, (m, v)), (g, taken))| match taken {
        None => ops::adam_by(w, m, v, g, step),
        Some(taken) => ops::adam_part((w, m, v), g, taken.rows(), step),
    })
}

#[derive(Debug)]
struct Tensors {
    /// What the forward pass computes with.
    weights: Arc<Weights>,
    /// The low-rank changes in it; none when the weights themselves are in training.
    adapters: Option<Adapters>,
    /// What the tensors in training are rounded from, in their order; empty when they are not.
    masters: Vec<Tensor>,
    /// First and second moment of each tensor in training, in their order.
    moments: Vec<(Tensor, Tensor)>,
}

impl Tensors {
    fn trained(&self) -> Vec<(String, &Tensor)> {
        self.adapters.as_ref().map_or_else(|| self.weights.named(), Adapters::named)
    }

    /// What says everything of the tensors in training: their masters, or themselves.
    fn saved(&self) -> Vec<(String, &Tensor)> {
        let mut trained = self.trained();
        for ((_, t), master) in trained.iter_mut().zip(&self.masters) {
            *t = master;
        }
        trained
    }

    /// With moments at 0.
    fn start(weights: Weights, adapters: Option<Adapters>) -> Result<Self> {
        let weights = Arc::new(weights);
        let mut start = Self { weights, adapters, masters: Vec::new(), moments: Vec::new() };
        let trained: Vec<Tensor> = start.trained().into_iter().map(|(_, t)| t.clone()).collect();
        let zeros = |t: &Tensor| {
            let zeros = || Tensor::zeros(t.shape(), wide(t.dtype()), t.device());
            Ok((zeros()?, zeros()?))
        };
        start.moments = trained.iter().map(zeros).collect::<Result<_>>()?;
        if trained.iter().any(is_rounded) {
            let master = |t: &Tensor| match is_rounded(t) {
                true => t.detach().to_dtype(wide(t.dtype())),
                false => t.detach().copy(),
            };
            start.masters = trained.iter().map(master).collect::<Result<_>>()?;
        }
        Ok(start)
    }
}

/// The type of masters and moments: f32 for bf16, else the type itself.
fn wide(dtype: DType) -> DType {
    if dtype == DType::BF16 { DType::F32 } else { dtype }
}

fn is_rounded(t: &Tensor) -> bool {
    wide(t.dtype()) != t.dtype()
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
        let mut masters = Vec::new();
        let mut tensor = |name: String, like: &Tensor| -> std::result::Result<Tensor, E> {
            if !is_rounded(like) {
                return Ok(variable(&get(&name, like)?)?);
            }
            let master = get(&name, &like.detach().to_dtype(wide(like.dtype()))?)?;
            let rounded = variable(&master.to_dtype(like.dtype())?)?;
            masters.push(master.copy()?);
            Ok(rounded)
        };
        let mut tensors = match lora {
            None => {
                let names: Vec<String> =
                    weights.named().into_iter().map(|(name, _)| name).collect();
                let mut of = names.iter();
                let weights = weights.map(|like| {
                    let name = of.next().map(String::as_str).unwrap_or_default();
                    tensor(format!("{WEIGHT}{name}"), like)
                })?;
                let (masters, moments) = (Vec::new(), Vec::new());
                Tensors { weights: Arc::new(weights), adapters: None, masters, moments }
            }
            Some(lora) => {
                // Every tensor is replaced, so the seed has no effect.
                let adapters = Adapters::new(weights, lora, 0)?
                    .map(|name, like| tensor(format!("{WEIGHT}{name}"), like))?;
                let weights = Arc::new(adapters.changed()?);
                let (masters, moments) = (Vec::new(), Vec::new());
                Tensors { weights, adapters: Some(adapters), masters, moments }
            }
        };
        let mut moments = Vec::new();
        tensors.masters = masters;
        for (name, like) in tensors.saved() {
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
        let saved = self.tensors.saved();
        let mut all = Vec::with_capacity(3 * saved.len());
        for ((name, weight), (first, second)) in saved.into_iter().zip(&self.tensors.moments) {
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
        let rounded =
            self.tensors.trained().into_iter().filter(|_| !self.tensors.masters.is_empty());
        let named = named + rounded.map(|(_, t)| size(t)).sum::<u64>();
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
    pub(crate) fn update(&mut self, grads: &Grads, lr: f64, scale: f64) -> Result<()> {
        if Arc::strong_count(&self.tensors) > 1 {
            let Tensors { weights, adapters, masters, moments } = &*self.tensors;
            let masters = masters.iter().map(Tensor::copy).collect::<Result<_>>()?;
            let moments = moments.iter().map(|(m, v)| Ok((m.copy()?, v.copy()?)));
            let moments = moments.collect::<Result<_>>()?;
            let (weights, adapters) = match adapters {
                None => (Arc::new(weights.map(variable)?), None),
                Some(adapters) => (weights.clone(), Some(adapters.map(|_, t| variable(t))?)),
            };
            self.tensors = Arc::new(Tensors { weights, adapters, masters, moments });
        }
        self.updates += 1;
        let AdamConfig { betas, eps, weight_decay } = self.config;
        let step = AdamStep { lr, betas, eps, weight_decay, t: self.updates, grad_scale: scale };
        let trained: Vec<&Tensor> = self.tensors.trained().into_iter().map(|(_, t)| t).collect();
        let moments = &self.tensors.moments;
        match grads {
            Grads::Each(grads) => {
                for (i, ((w, g), (m, v))) in trained.iter().zip(grads).zip(moments).enumerate() {
                    match self.tensors.masters.get(i) {
                        Some(master) => ops::adam_master(master, w, m, v, g, &step)?,
                        None => ops::adam(w, m, v, g, &step)?,
                    }
                }
            }
            Grads::Flat(Flat::Single(g), taken) => by_parts(&trained, moments, g, taken, &step)?,
            Grads::Flat(Flat::Double(g), taken) => by_parts(&trained, moments, g, taken, &step)?,
        }
        if let Some(adapters) = &self.tensors.adapters {
            // The tensors are handles; what is new is the sums.
            self.tensors = Arc::new(Tensors {
                weights: Arc::new(adapters.changed()?),
                adapters: Some(adapters.clone()),
                masters: self.tensors.masters.clone(),
                moments: self.tensors.moments.clone(),
            });
        }
        Ok(())
    }
}

const WEIGHT: &str = "weight/";
const FIRST: &str = "first/";
const SECOND: &str = "second/";

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::{LayerWeights, Weights};

    fn weights(dtype: DType) -> Weights {
        let t = |n: usize| {
            let data: Vec<f32> = (0..n).map(|i| 1.0 + i as f32 / 64.0).collect();
            Tensor::from_vec(data, n, &Device::Cpu).and_then(|t| t.to_dtype(dtype)).unwrap()
        };
        let layers = vec![LayerWeights { attention: None, mlp: None }];
        Weights { embed: t(6), layers, norm: t(3), head: None }
    }

    fn numbers(t: &Tensor) -> Vec<f32> {
        t.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    fn step(parameters: &mut Parameters, times: usize) {
        let dtype = parameters.weights().embed.dtype();
        for _ in 0..times {
            let grads = [6, 3].map(|n| Tensor::ones(n, dtype, &Device::Cpu).unwrap());
            parameters.update(&Grads::Each(grads.into()), 1e-4, 1.0).unwrap();
        }
    }

    #[test]
    fn weights_in_bf16_keep_what_is_too_small_for_them_in_f32_masters() {
        let config = AdamConfig { betas: (0.9, 0.95), eps: 1e-8, weight_decay: 0.0 };
        let mut wide = Parameters::new(&weights(DType::F32), config).unwrap();
        let mut rounded = Parameters::new(&weights(DType::BF16), config).unwrap();
        let first = rounded.clone();
        // A step of 1e-4 is a 40th of the distance of two numbers of bf16 at 1: alone it would be lost.
        step(&mut wide, 80);
        step(&mut rounded, 80);
        for ((name, a), (_, b)) in wide.named().into_iter().zip(rounded.named()) {
            assert_eq!((a.dtype(), b.dtype()), (DType::F32, DType::F32), "{name}");
            assert_eq!(numbers(a), numbers(b), "{name}");
        }
        let of = |p: &Parameters| numbers(&p.weights().embed);
        let master = numbers(rounded.named()[0].1);
        assert!(of(&rounded)[0] < 1.0 && (of(&rounded)[0] - master[0]).abs() <= 1.0 / 512.0);
        assert_eq!(of(&first)[0], 1.0, "a clone keeps what it had");
        let state: Vec<(String, Tensor)> =
            rounded.named().into_iter().map(|(n, t)| (n, t.copy().unwrap())).collect();
        let back = Parameters::restore::<candle_core::Error>(
            &weights(DType::BF16),
            config,
            None,
            rounded.updates(),
            |name, like| {
                let found = &state.iter().find(|(n, _)| n == name).expect(name).1;
                assert_eq!((found.dims(), found.dtype()), (like.dims(), like.dtype()));
                Ok(found.clone())
            },
        );
        let mut back = back.unwrap();
        assert_eq!(of(&back), of(&rounded));
        step(&mut back, 40);
        step(&mut rounded, 40);
        for ((name, a), (_, b)) in back.named().into_iter().zip(rounded.named()) {
            assert_eq!(numbers(a), numbers(b), "{name}");
        }
        assert_eq!(rounded.bytes(), 9 * (3 * 4 + 2));
    }
}
