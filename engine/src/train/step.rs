//! One training step.
//!
//! ```text
//! clamp log-alphas -> sample gates -> forward -> constraints at step k -> backward
//! -> one global-norm clip over weights, log-alphas and multipliers
//! -> Adam: weights (lr), log-alphas (gate lr), multipliers (climbing), all times the schedule
//! ```
//!
//! A step without gates is a step of continued pre-training: the same without the gate parts.
//!
//! A step can be divided into micro-batches. Each samples gates of its own; loss and gradients are
//! the means over the tokens of all, and clipping, constraints and updates come once a step. Memory
//! is that of one micro-batch and of one set of gradients.

use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::gradient::{Part, Teacher, by_hand, recomputed, straight, through};
use super::parameters::Grads;
use super::shear::ShearGrads;
use super::{AdamConfig, Clock, Distill, Lora, Parameters, Schedule, Shear, clip_factor};
use crate::gate::{GateValues, Multipliers};
use crate::model::forward::Forward;
use crate::model::pass::live::Live;
use crate::model::pass::{self, Flat, Memory, Pass};
use crate::model::{Model, ModelError, Weights};
use crate::ops::{Rope, RopeTable};
use crate::progress::Watch;

/// Settings of a trainer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerConfig {
    /// Peak learning rate of the weights.
    pub lr: f64,
    /// The factor on every rate.
    pub schedule: Schedule,
    /// Global gradient-norm limit.
    pub clip: f64,
    /// Adam's settings.
    pub adam: AdamConfig,
    /// Tokens of a sequence, T.
    pub tokens: usize,
    /// Micro-batches of a step.
    pub accumulate: usize,
    /// Keep only what goes into each layer, and run each again in the backward pass.
    pub recompute: bool,
    /// Leave out of a step what its sample of the gates closes; the same step but for the order of sums.
    pub elastic: bool,
    /// How much is learned from the teacher; without one it has no effect.
    pub distill: Option<Distill>,
}

/// Weights in training, with gates or without; a clone is cheap and independent.
#[derive(Clone, Debug)]
pub struct Trainer {
    model: Model,
    config: TrainerConfig,
    parameters: Parameters,
    rope: Rope,
    teacher: Option<Arc<Teacher>>,
    memory: Memory,
    clock: Clock,
    /// Gates in training; none in recovery.
    pub shear: Option<Shear>,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// It was taken.
    Taken(StepFigures),
    /// Its loss or gradient norm is this, no number; nothing has changed.
    NotFinite(f64),
}

/// What one step measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepFigures {
    /// Cross-entropy of the batch, nats/token.
    pub loss: f64,
    /// Divergence from the teacher, t² KL, nats/token; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<f64>,
    /// Value of the constraints; 0 without gates.
    pub lagrangian: f64,
    /// Expected sparsity of each gate kind.
    pub expected: Vec<f64>,
    /// Target sparsity of each gate kind at this step; none without a target shape.
    pub target: Option<Vec<f64>>,
    /// Expected sparsity of the prunable parameters; 0 without gates.
    pub overall: f64,
    /// Multipliers of each gate kind at this step; those of the overall constraint in the global
    /// mode.
    pub multipliers: Vec<Multipliers>,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// The same by group.
    pub grad_norms: GradNorms,
    /// The schedule's factor.
    pub factor: f64,
}

/// Gradient norms of the groups of a step, before clipping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GradNorms {
    /// Of the weights, or of their low-rank changes.
    pub weights: f64,
    /// Of the log-alphas.
    pub gates: f64,
    /// Of the multipliers.
    pub multipliers: f64,
}

impl Trainer {
    /// Starts training a copy of `model`.
    ///
    /// # Errors
    /// Sequences longer than the model's positions; candle's.
    pub fn new(
        model: &Model,
        config: TrainerConfig,
        shear: Option<Shear>,
    ) -> Result<Self, ModelError> {
        check_length(model, config.tokens)?;
        let parameters = Parameters::new(&model.weights, config.adam)?;
        Ok(Self::resume(model, config, parameters, shear))
    }

    /// Starts training low-rank changes of `model`, whose weights stay as they are.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub fn low_rank(
        model: &Model,
        config: TrainerConfig,
        shear: Option<Shear>,
        lora: &Lora,
        seed: u64,
    ) -> Result<Self, ModelError> {
        check_length(model, config.tokens)?;
        let parameters = Parameters::low_rank(&model.weights, config.adam, lora, seed)?;
        Ok(Self::resume(model, config, parameters, shear))
    }

    /// Gives the trainer a teacher of the same vocabulary.
    ///
    /// # Errors
    /// As [`Trainer::new`], of the teacher.
    pub fn teach(&mut self, teacher: &Model) -> Result<(), ModelError> {
        check_length(teacher, self.config.tokens)?;
        self.teacher = Some(Arc::new(Teacher::new(teacher, self.config.tokens)?));
        Ok(())
    }

    /// Goes on with the parameters and gates of an earlier trainer; `model` says everything of it
    /// but the weights.
    pub fn resume(
        model: &Model,
        config: TrainerConfig,
        parameters: Parameters,
        shear: Option<Shear>,
    ) -> Self {
        let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), config.tokens));
        let model = Model { weights: parameters.weights().clone(), ..model.clone() };
        let (memory, clock) = (Memory::default(), Clock::default());
        Self { model, config, parameters, rope, teacher: None, memory, clock, shear }
    }

    /// Sets rates, schedule and clipping anew.
    pub fn configure(&mut self, config: TrainerConfig) {
        self.config = config;
    }

    /// Its settings.
    pub fn config(&self) -> &TrainerConfig {
        &self.config
    }

    /// Weights and moments.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Where the time of the last step went.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The model in training; its tensors change with every step.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Copies the weights as they are now, low-rank changes included.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn snapshot(&self) -> Result<Weights, ModelError> {
        self.model.weights.map(|t| Ok(t.detach().copy()?))
    }

    /// Takes step `k` (0-based) on `ids`, rows of T tokens for all its micro-batches, which are as
    /// even as they can be. `noise` replaces the gate noise that the seed gives. A loss or gradient
    /// that is no number changes nothing.
    ///
    /// # Errors
    /// An id beyond the vocabulary; an interrupt, which changes nothing; candle's.
    pub fn step(
        &mut self,
        k: u64,
        ids: &[u32],
        noise: Option<&[Vec<f64>]>,
        watch: &dyn Watch,
    ) -> Result<StepOutcome, ModelError> {
        if !pass::can(&self.model.weights) {
            return self.step_here(k, ids, noise, watch);
        }
        // All of it inside the pool: to go in and out for every kernel takes longer than some do.
        rayon::scope(|_| self.step_here(k, ids, noise, watch))
    }

    fn step_here(
        &mut self,
        k: u64,
        ids: &[u32],
        noise: Option<&[Vec<f64>]>,
        watch: &dyn Watch,
    ) -> Result<StepOutcome, ModelError> {
        let factor = self.config.schedule.factor(k);
        let constraint = self.shear.as_mut().map(|shear| {
            shear.gates.clamp();
            shear.lagrangian.evaluate(&shear.gates, k)
        });
        let Sum { loss, distillation, grads, gates, clock } =
            match self.gradients(k, ids, noise, watch)? {
                Ok(sum) => sum,
                Err(broken) => return Ok(StepOutcome::NotFinite(broken)),
            };
        let begin = Instant::now();
        let gate_grads = constraint.as_ref().map(|constraint| Shear::grads(&gates, constraint));
        let (gate_squares, multiplier_squares) =
            gate_grads.as_ref().map_or((0.0, 0.0), ShearGrads::sums_of_squares);
        let lengths = self.parameters.trained().into_iter().map(|(_, t)| t.elem_count());
        let weight_squares = grads.squares(lengths)?;
        let grad_norm = (gate_squares + multiplier_squares + weight_squares).sqrt();
        if !grad_norm.is_finite() {
            return Ok(StepOutcome::NotFinite(grad_norm));
        }
        let scale = clip_factor(grad_norm, self.config.clip);
        self.parameters.update(&grads, self.config.lr * factor, scale)?;
        if let Grads::Flat(flat, _) = grads {
            self.memory.keep(flat);
        }
        self.model.weights = self.parameters.weights().clone();
        let mut multipliers = Vec::new();
        if let (Some(shear), Some(grads)) = (&mut self.shear, gate_grads) {
            multipliers.clone_from(&shear.lagrangian.multipliers);
            shear.update(grads, factor, scale);
        }
        self.clock = Clock { optimiser: begin.elapsed().as_secs_f64(), ..clock };
        let grad_norms = GradNorms {
            weights: weight_squares.sqrt(),
            gates: gate_squares.sqrt(),
            multipliers: multiplier_squares.sqrt(),
        };
        let (lagrangian, expected, target, overall) = match constraint {
            Some(c) => (c.value, c.expected, c.target, c.overall),
            None => (0.0, Vec::new(), None, 0.0),
        };
        Ok(StepOutcome::Taken(StepFigures {
            loss,
            distillation,
            lagrangian,
            expected,
            target,
            overall,
            multipliers,
            grad_norm,
            grad_norms,
            factor,
        }))
    }

    /// Loss and gradients of step `k`, summed over its micro-batches in their order; or the first
    /// loss that is no number.
    fn gradients(
        &self,
        k: u64,
        ids: &[u32],
        noise: Option<&[Vec<f64>]>,
        watch: &dyn Watch,
    ) -> Result<Result<Sum, f64>, ModelError> {
        let tokens = self.config.tokens;
        let in_training = self.parameters.trained();
        let trained: Vec<&Tensor> = in_training.iter().map(|(_, t)| *t).collect();
        let teacher = self.teacher.as_deref().zip(self.config.distill);
        let mut sum = Sum::default();
        let mut grads: Vec<Option<Tensor>> = vec![None; trained.len()];
        let named = self.model.weights.named();
        let wanted: Vec<bool> = named.iter().map(|(_, t)| t.track_op()).collect();
        let handmade = pass::can(&self.model.weights);
        let mut flat: Option<Flat> = None;
        // Whether the weights themselves are in training, all of them.
        let themselves = wanted.iter().all(|wanted| *wanted)
            && named.len() == trained.len()
            && named.iter().zip(&trained).all(|((_, w), t)| w.id() == t.id());
        let mut taken = Vec::new();
        let rows = (ids.len() / tokens).div_ceil(self.config.accumulate.max(1)).max(1);
        for (j, part) in ids.chunks(rows * tokens).enumerate() {
            let sample = self.shear.as_ref().map(|shear| match noise {
                Some(noise) => shear.gates.sample(noise),
                None => shear.gates.sample(&shear.gates.part_noise(shear.seed, k, j)),
            });
            let weights = &self.model.weights;
            let share = part.len() as f64 / ids.len() as f64;
            if handmade {
                let source = self.shear.as_ref().map(|shear| &shear.gates.source);
                let pass = Pass {
                    weights,
                    config: &self.model.config,
                    rope: &self.rope,
                    gates: sample.as_ref().zip(source),
                    elastic: self.config.elastic,
                    ids: part,
                    tokens,
                    watch,
                };
                let part = Part { ids: part, tokens, share, teacher, watch };
                let how = (self.config.recompute, themselves && share == 1.0);
                let of = match by_hand(&pass, &part, how, &wanted, flat.take(), &self.memory)? {
                    Ok(of) => of,
                    Err(broken) => return Ok(Err(broken)),
                };
                sum.clock.add(&Clock { computed: of.clock.computed * share, ..of.clock });
                sum.take(of.loss, of.distillation, share);
                sum.gates.extend(sample.map(|sample| (sample, of.values)));
                (flat, taken) = (Some(of.flat), of.taken);
                continue;
            }
            let (dtype, device) = (weights.embed.dtype(), weights.embed.device());
            let tensors = match (&self.shear, &sample) {
                (Some(s), Some(sample)) => Some(sample.tensors(&s.gates.source, dtype, device)?),
                _ => None,
            };
            let mut forward =
                Forward::with_rope(weights, &self.model.config, self.rope.clone()).watched(watch);
            if let Some(tensors) = &tensors {
                forward = forward.gated(tensors);
            }
            let mut computed = 1.0;
            if let (true, Some(shear), Some(sample)) = (self.config.elastic, &self.shear, &sample) {
                let live = Live::under(weights, &shear.gates.source, sample);
                computed = live.share(weights);
                forward = forward.elastic(live);
            }
            let part = Part { ids: part, tokens, share, teacher, watch };
            let way = if self.config.recompute { recomputed } else { straight };
            let begin = Instant::now();
            let of = match way(&forward, &part, tensors.as_ref(), &trained)? {
                Ok(gradients) => gradients,
                Err(broken) => return Ok(Err(broken)),
            };
            let backward = begin.elapsed().as_secs_f64();
            sum.clock.add(&Clock { backward, computed: computed * share, ..Clock::default() });
            sum.take(of.loss, of.distillation, share);
            for (total, g) in grads.iter_mut().zip(of.trained) {
                *total = match (total.take(), g) {
                    (Some(total), Some(g)) => Some((total + g)?),
                    (total, g) => total.or(g),
                };
            }
            sum.gates.extend(sample.map(|sample| (sample, of.values)));
        }
        match flat {
            Some(flat) if themselves => {
                sum.grads = Grads::Flat(flat, taken);
                return Ok(Ok(sum));
            }
            Some(flat) => grads = through(&self.model.weights, &wanted, flat, &trained)?,
            None => {}
        }
        let whole = |(g, w): (Option<Tensor>, &&Tensor)| g.map_or_else(|| w.zeros_like(), Ok);
        let grads = grads.into_iter().zip(&trained).map(whole).collect::<Result<_, _>>()?;
        sum.grads = Grads::Each(grads);
        Ok(Ok(sum))
    }
}

/// Loss and gradients of a step.
#[derive(Default)]
struct Sum {
    loss: f64,
    distillation: Option<f64>,
    /// By the tensors in training.
    grads: Grads,
    /// The gate values of each micro-batch with the gradients by them; empty without gates.
    gates: Vec<(GateValues, Vec<Vec<f64>>)>,
    clock: Clock,
}

impl Sum {
    /// Adds the losses of a micro-batch.
    fn take(&mut self, loss: f64, distillation: Option<f64>, share: f64) {
        self.loss += loss * share;
        if let Some(d) = distillation {
            self.distillation = Some(self.distillation.unwrap_or(0.0) + d * share);
        }
    }
}

/// Refuses rows longer than the positions of a model.
fn check_length(model: &Model, tokens: usize) -> Result<(), ModelError> {
    let max = model.config.max_positions;
    if tokens > max { Err(ModelError::TooLong { tokens, max }) } else { Ok(()) }
}
