//! One training step.
//!
//! ```text
//! clamp log-alphas -> sample gates -> forward -> constraints at step k -> backward
//! -> one global-norm clip over weights, log-alphas and multipliers
//! -> Adam: weights (lr), log-alphas (gate lr), multipliers (climbing), all times the schedule
//! ```
//!
//! A step without gates is a step of continued pre-training: the same without the gate parts.

use std::sync::Arc;

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::shear::{ShearGrads, value_grads};
use super::{AdamConfig, Schedule, Shear, WeightAdam, clip_factor};
use crate::model::forward::{Forward, next_tokens};
use crate::model::{Model, ModelError, Weights};
use crate::ops::{self, Rope, RopeTable};

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
}

/// Weights in training, with gates or without.
#[derive(Debug)]
pub struct Trainer {
    model: Model,
    config: TrainerConfig,
    adam: WeightAdam,
    rope: Rope,
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
    /// Value of the constraints; 0 without gates.
    pub lagrangian: f64,
    /// Expected sparsity of each gate kind.
    pub expected: Vec<f64>,
    /// Target sparsity of each gate kind at this step; none without a target shape.
    pub target: Option<Vec<f64>>,
    /// Expected sparsity of the prunable parameters; 0 without gates.
    pub overall: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// The schedule's factor.
    pub factor: f64,
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
        if config.tokens > model.config.max_positions {
            return Err(ModelError::TooLong {
                tokens: config.tokens,
                max: model.config.max_positions,
            });
        }
        let vars = model.weights.map(|t| {
            Ok::<_, ModelError>(Var::from_tensor(&t.contiguous()?)?.as_tensor().clone())
        })?;
        let tensors: Vec<&Tensor> = vars.named().into_iter().map(|(_, t)| t).collect();
        let adam = WeightAdam::new(&tensors, config.adam)?;
        let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), config.tokens));
        let model = Model { weights: Arc::new(vars), ..model.clone() };
        Ok(Self { model, config, adam, rope, shear })
    }

    /// The model in training; its tensors change with every step.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Copies the weights as they are now.
    ///
    /// # Errors
    /// candle's, if the device has no room.
    pub fn snapshot(&self) -> Result<Weights, ModelError> {
        self.model.weights.map(|t| Ok(t.detach().copy()?))
    }

    /// Takes step `k` (0-based) on `ids`, rows of T tokens. `noise` replaces the gate noise that the
    /// seed gives. A loss or gradient that is no number changes nothing.
    ///
    /// # Errors
    /// An id beyond the vocabulary; candle's.
    pub fn step(
        &mut self,
        k: u64,
        ids: &[u32],
        noise: Option<&[Vec<f64>]>,
    ) -> Result<StepOutcome, ModelError> {
        let tokens = self.config.tokens;
        let factor = self.config.schedule.factor(k);
        let mut sampled = None;
        if let Some(shear) = &mut self.shear {
            shear.gates.clamp();
            let sample = match noise {
                Some(noise) => shear.gates.sample(noise),
                None => shear.gates.sample(&shear.gates.noise(shear.seed, k)),
            };
            let weights = &self.model.weights;
            let tensors = sample.tensors(
                &shear.gates.source,
                weights.embed.dtype(),
                weights.embed.device(),
            )?;
            let constraint = shear.lagrangian.evaluate(&shear.gates, k);
            sampled = Some((sample, tensors, constraint));
        }
        let mut forward =
            Forward::with_rope(&self.model.weights, &self.model.config, self.rope.clone());
        if let Some((_, tensors, _)) = &sampled {
            forward = forward.gated(tensors);
        }
        let logits = forward.logits(ids, tokens)?;
        let loss_tensor = ops::cross_entropy(&logits, &next_tokens(ids, tokens))?;
        let loss = loss_tensor.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        if !loss.is_finite() {
            return Ok(StepOutcome::NotFinite(loss));
        }
        let mut store = loss_tensor.backward()?;
        let gate_grads: Option<ShearGrads> = match &sampled {
            Some((sample, tensors, constraint)) => {
                Some(Shear::grads(sample, &value_grads(tensors, &store)?, constraint))
            }
            None => None,
        };
        let named = self.model.weights.named();
        let weights: Vec<&Tensor> = named.iter().map(|(_, t)| *t).collect();
        let grads: Vec<Tensor> = weights
            .iter()
            .map(|w| store.remove(w).map_or_else(|| w.zeros_like(), Ok))
            .collect::<Result<_, _>>()?;
        let mut squares = gate_grads.as_ref().map_or(0.0, ShearGrads::sum_of_squares);
        for g in &grads {
            squares += ops::sum_of_squares(g)?;
        }
        let grad_norm = squares.sqrt();
        if !grad_norm.is_finite() {
            return Ok(StepOutcome::NotFinite(grad_norm));
        }
        let scale = clip_factor(grad_norm, self.config.clip);
        self.adam.update(&weights, &grads, self.config.lr * factor, scale)?;
        if let (Some(shear), Some(grads)) = (&mut self.shear, &gate_grads) {
            shear.update(grads, factor, scale);
        }
        let constraint = sampled.map(|(_, _, constraint)| constraint);
        Ok(StepOutcome::Taken(match constraint {
            Some(c) => StepFigures {
                loss,
                lagrangian: c.value,
                expected: c.expected,
                target: c.target,
                overall: c.overall,
                grad_norm,
                factor,
            },
            None => StepFigures {
                loss,
                lagrangian: 0.0,
                expected: Vec::new(),
                target: None,
                overall: 0.0,
                grad_norm,
                factor,
            },
        }))
    }
}
