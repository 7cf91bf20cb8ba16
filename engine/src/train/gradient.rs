//! Loss and gradients of one micro-batch, in one of three ways.
//!
//! **By hand** (`model/pass`): on the CPU, without a graph.
//!
//! On other devices a graph of candle's is made, in one of two ways that agree to the bit.
//!
//! **Straight**: one graph over the whole network; every activation stays until the backward pass
//! has used it.
//!
//! **Recomputed**: only what goes into each layer stays; each layer runs a second time, alone, when
//! the backward pass comes to it. The operations and their inputs are the same. What several layers
//! share - the hidden gate, tied embeddings - collects its gradient from the last layer to the first
//! in both ways: the part that came so far is handed to the next layer as its first summand.

use std::sync::Arc;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::Clock;
use crate::gate::{GateKind, GateTensors};
use crate::model::forward::{Forward, next_tokens};
use crate::model::pass::{Asked, Flat, Memory, Pass, Taken};
use crate::model::{Model, ModelError, Weights};
use crate::ops::{self, Rope, RopeTable};
use crate::progress::Watch;

/// Learning from a teacher's distributions beside the text.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distill {
    /// Share of the divergence from the teacher in the loss, w; the cross-entropy has 1 - w.
    pub weight: f64,
    /// Temperature of both distributions.
    pub temperature: f64,
}

impl Default for Distill {
    fn default() -> Self {
        Self { weight: 0.5, temperature: 1.0 }
    }
}

/// A model whose distributions are learned; it learns nothing.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    model: Model,
    rope: Rope,
}

impl Teacher {
    /// Prepares passes over rows of `tokens` ids.
    pub fn new(model: &Model, tokens: usize) -> candle_core::Result<Self> {
        let weights: Weights = model.weights.map(|t| Ok::<_, candle_core::Error>(t.detach()))?;
        let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), tokens));
        Ok(Self { model: Model { weights: Arc::new(weights), ..model.clone() }, rope })
    }

    fn logits(&self, part: &Part<'_>) -> Result<Tensor, ModelError> {
        let Model { weights, config, .. } = &self.model;
        Forward::with_rope(weights, config, self.rope.clone())
            .watched(part.watch)
            .logits(part.ids, part.tokens)
    }
}

/// A micro-batch and what is asked of it.
pub(super) struct Part<'a> {
    pub ids: &'a [u32],
    pub tokens: usize,
    /// Its share of the step's rows; 1 for a step that is not divided.
    pub share: f64,
    pub teacher: Option<(&'a Teacher, Distill)>,
    /// Who may stop it.
    pub watch: &'a dyn Watch,
}

/// What a micro-batch gives.
pub(super) struct Gradients {
    /// Cross-entropy, nats/token.
    pub loss: f64,
    /// Divergence from the teacher, nats/token; none without one.
    pub distillation: Option<f64>,
    /// By each tensor in training, times the share; none where nothing depends on it.
    pub trained: Vec<Option<Tensor>>,
    /// By the gate values, table by table, times the share; empty without gates.
    pub values: Vec<Vec<f64>>,
}

/// Gradients, or the loss that is no number.
pub(super) type Outcome = Result<Gradients, f64>;

/// The loss of a part: what the backward pass starts from, the cross-entropy and the divergence.
struct Loss {
    root: Tensor,
    cross_entropy: f64,
    distillation: Option<f64>,
}

impl Part<'_> {
    fn loss(&self, logits: &Tensor, teacher: Option<Tensor>) -> Result<Loss, ModelError> {
        let targets = next_tokens(self.ids, self.tokens);
        let (loss, cross_entropy, distillation) = match (self.teacher, teacher) {
            (Some((_, Distill { weight, temperature })), Some(teacher)) => {
                let d = ops::distillation(logits, &teacher, &targets, weight, temperature)?;
                (d.loss, d.cross_entropy, Some(d.divergence))
            }
            _ => {
                let loss = ops::cross_entropy(logits, &targets)?;
                let number = loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
                (loss, number, None)
            }
        };
        let root = if self.share == 1.0 { loss } else { (loss * self.share)? };
        Ok(Loss { root, cross_entropy, distillation })
    }

    /// The teacher's logits.
    fn taught(&self) -> Result<Option<Tensor>, ModelError> {
        self.teacher.map(|(teacher, _)| teacher.logits(self)).transpose()
    }
}

impl Loss {
    /// The first part of the loss that is no number.
    fn broken(&self) -> Option<f64> {
        std::iter::once(self.cross_entropy).chain(self.distillation).find(|loss| !loss.is_finite())
    }
}

/// What a pass by hand gives beside [`Gradients`]: those of the tensors, still side by side.
pub(super) struct ByHand {
    pub loss: f64,
    pub distillation: Option<f64>,
    pub values: Vec<Vec<f64>>,
    pub clock: Clock,
    pub flat: Flat,
    /// As [`crate::model::pass::Given::taken`].
    pub taken: Vec<Option<Taken>>,
}

/// Without a graph; the gradients of the tensors that `wanted` names are added to `onto`. With `alone`
/// those of a part of a matrix may come without the zeros around them.
///
/// # Errors
/// An id beyond the vocabulary; an interrupt; candle's.
pub(super) fn by_hand(
    pass: &Pass<'_>,
    part: &Part<'_>,
    (recompute, alone): (bool, bool),
    wanted: &[bool],
    onto: Option<Flat>,
    memory: &Memory,
) -> Result<Result<ByHand, f64>, ModelError> {
    let begin = Instant::now();
    let taught = match (part.teacher, part.taught()?) {
        (Some((_, Distill { weight, temperature })), Some(t)) => Some((t, weight, temperature)),
        _ => None,
    };
    let asked = Asked { share: part.share, taught, recompute, wanted, alone };
    let taught = begin.elapsed().as_secs_f64();
    let given = pass.gradients(&asked, onto, memory)?;
    let [forward, head, backward] = given.seconds;
    let clock =
        Clock { forward, head: head + taught, backward, optimiser: 0.0, computed: given.alive };
    let (loss, distillation) = (given.cross_entropy, given.divergence);
    let broken = std::iter::once(loss).chain(distillation).find(|loss| !loss.is_finite());
    Ok(match broken {
        Some(broken) => Err(broken),
        None => {
            let (values, flat, taken) = (given.values, given.flat, given.taken);
            Ok(ByHand { loss, distillation, values, clock, flat, taken })
        }
    })
}

/// Gradients by the tensors in training from those by the weights they make: themselves, or through
/// low-rank changes.
///
/// # Errors
/// candle's.
pub(super) fn through(
    weights: &Weights,
    wanted: &[bool],
    flat: Flat,
    trained: &[&Tensor],
) -> Result<Vec<Option<Tensor>>, ModelError> {
    let flat = flat.tensor()?;
    let (mut at, mut views) = (0, Vec::new());
    for ((_, w), _) in weights.named().into_iter().zip(wanted).filter(|(_, wanted)| **wanted) {
        views.push((w.clone(), flat.narrow(0, at, w.elem_count())?.reshape(w.shape())?));
        at += w.elem_count();
    }
    if views.len() == trained.len() && views.iter().zip(trained).all(|(v, t)| v.0.id() == t.id()) {
        return Ok(views.into_iter().map(|(_, g)| Some(g)).collect());
    }
    let mut root: Option<Tensor> = None;
    for (w, g) in &views {
        let here = ops::given(w, 0.0, g)?;
        root = Some(match root {
            None => here,
            Some(root) => (root + here)?,
        });
    }
    let mut store = match root {
        None => return Ok(vec![None; trained.len()]),
        Some(root) => root.backward()?,
    };
    Ok(trained.iter().map(|t| store.remove(t)).collect())
}

/// One graph over the whole network.
///
/// # Errors
/// An id beyond the vocabulary; an interrupt; candle's.
pub(super) fn straight(
    forward: &Forward<'_>,
    part: &Part<'_>,
    gates: Option<&GateTensors>,
    trained: &[&Tensor],
) -> Result<Outcome, ModelError> {
    let teacher = part.taught()?;
    let loss = part.loss(&forward.logits(part.ids, part.tokens)?, teacher)?;
    if let Some(broken) = loss.broken() {
        return Ok(Err(broken));
    }
    let mut sums = Sums::new(trained, gates, None);
    sums.take(&mut loss.root.backward()?)?;
    Ok(Ok(sums.gradients(loss.cross_entropy, loss.distillation)?))
}

/// Layer by layer, each run twice.
///
/// # Errors
/// An id beyond the vocabulary; an interrupt; candle's.
pub(super) fn recomputed(
    forward: &Forward<'_>,
    part: &Part<'_>,
    gates: Option<&GateTensors>,
    trained: &[&Tensor],
) -> Result<Outcome, ModelError> {
    let teacher = part.taught()?;
    let leaf = |t: &Tensor| Var::from_tensor(&t.detach());
    let mut pass = forward.begin(part.tokens)?;
    let hidden = if pass.gated { Some(leaf(&pass.hidden)?) } else { None };
    if let Some(var) = &hidden {
        pass.hidden = var.as_tensor().clone();
    }
    let mut sums = Sums::new(trained, gates, hidden);
    let unseen = &mut |_, _: &Tensor| {};
    let layers = forward.weights().layers.len();
    let mut inputs = Vec::with_capacity(layers);
    let mut top = leaf(&forward.embed(part.ids, &pass)?)?;
    for l in 0..layers {
        let out = leaf(&forward.layer(l, top.as_tensor().clone(), &pass, unseen)?)?;
        inputs.push(std::mem::replace(&mut top, out));
    }
    let loss = part.loss(&forward.end(&top, &pass, unseen)?, teacher)?;
    if let Some(broken) = loss.broken() {
        return Ok(Err(broken));
    }
    let Loss { root, cross_entropy, distillation } = loss;
    let mut store = root.backward()?;
    drop(root);
    let mut flow = store.remove(&top);
    drop(top);
    sums.take(&mut store)?;
    for (l, input) in inputs.into_iter().enumerate().rev() {
        let Some(grad) = flow.take() else { break };
        let out = forward.layer(l, input.as_tensor().clone(), &pass, unseen)?;
        store = sums.before(out, &grad, &[])?.backward()?;
        flow = store.remove(&input);
        sums.take(&mut store)?;
    }
    if let Some(grad) = flow {
        let out = forward.embed(part.ids, &pass)?;
        // A tied head has given the embeddings a part of their gradient.
        store = sums.before(out, &grad, &[&forward.weights().embed])?.backward()?;
        sums.take(&mut store)?;
    }
    Ok(Ok(sums.gradients(cross_entropy, distillation)?))
}

/// The gradients that have come so far.
struct Sums<'a> {
    tensors: &'a [&'a Tensor],
    gates: Option<&'a GateTensors>,
    trained: Vec<Option<Tensor>>,
    values: Vec<Option<Tensor>>,
    /// The hidden gate where it is a leaf of its own.
    hidden: Option<(Var, Option<Tensor>)>,
}

impl<'a> Sums<'a> {
    fn new(tensors: &'a [&'a Tensor], gates: Option<&'a GateTensors>, hidden: Option<Var>) -> Self {
        Self {
            tensors,
            gates,
            trained: vec![None; tensors.len()],
            values: vec![None; gates.map_or(0, |gates| gates.vars.len())],
            hidden: hidden.map(|var| (var, None)),
        }
    }

    /// What a backward pass through `out` starts from: `grad`, after the parts that the hidden gate
    /// and `shared` have so far. candle visits the last summand first.
    fn before(
        &self,
        out: Tensor,
        grad: &Tensor,
        shared: &[&Tensor],
    ) -> candle_core::Result<Tensor> {
        let mut root = ops::given(&out, 0.0, grad)?;
        if let Some((var, Some(sum))) = &self.hidden {
            root = (root + ops::given(var, 0.0, sum)?)?;
        }
        for leaf in shared {
            let at = self.tensors.iter().position(|t| t.id() == leaf.id());
            if let Some(sum) = at.and_then(|at| self.trained[at].as_ref()) {
                root = (root + ops::given(leaf, 0.0, sum)?)?;
            }
        }
        Ok(root)
    }

    /// Takes what a backward pass gave. The sum of the hidden gate and of a tensor in training holds
    /// the part before; gates of layers have one part from each layer, in rows of their own.
    fn take(&mut self, store: &mut GradStore) -> candle_core::Result<()> {
        for (sum, tensor) in self.trained.iter_mut().zip(self.tensors) {
            *sum = store.remove(tensor).or(sum.take());
        }
        if let Some((var, sum)) = &mut self.hidden {
            *sum = store.remove(var).or(sum.take());
        }
        let vars = self.gates.into_iter().flat_map(|gates| &gates.vars);
        for (sum, (_, var)) in self.values.iter_mut().zip(vars) {
            *sum = match (store.remove(var), sum.take()) {
                (Some(part), Some(sum)) => Some((sum + part)?),
                (part, sum) => part.or(sum),
            };
        }
        Ok(())
    }

    fn gradients(self, loss: f64, distillation: Option<f64>) -> candle_core::Result<Gradients> {
        let hidden = self.hidden.and_then(|(_, sum)| sum);
        let vars = self.gates.into_iter().flat_map(|gates| &gates.vars).zip(self.values);
        let values = vars.map(|((kind, var), sum)| {
            match hidden.as_ref().filter(|_| *kind == GateKind::Hidden).or(sum.as_ref()) {
                Some(g) => g.to_dtype(DType::F64)?.flatten_all()?.to_vec1(),
                None => Ok(vec![0.0; var.elem_count()]),
            }
        });
        let values = values.collect::<candle_core::Result<_>>()?;
        Ok(Gradients { loss, distillation, trained: self.trained, values })
    }
}

#[cfg(test)]
mod tests;
