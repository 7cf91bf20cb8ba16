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

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use super::shear::{ShearGrads, value_grads};
use super::{AdamConfig, Parameters, Schedule, Shear, clip_factor};
use crate::gate::Multipliers;
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

/// Weights in training, with gates or without; a clone is cheap and independent.
#[derive(Clone, Debug)]
pub struct Trainer {
    model: Model,
    config: TrainerConfig,
    parameters: Parameters,
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
    /// Of the weights.
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
        if config.tokens > model.config.max_positions {
            return Err(ModelError::TooLong {
                tokens: config.tokens,
                max: model.config.max_positions,
            });
        }
        let parameters = Parameters::new(&model.weights, config.adam)?;
        Ok(Self::resume(model, config, parameters, shear))
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
        Self { model, config, parameters, rope, shear }
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
        let (gate_squares, multiplier_squares) =
            gate_grads.as_ref().map_or((0.0, 0.0), ShearGrads::sums_of_squares);
        let mut weight_squares = 0.0;
        for g in &grads {
            weight_squares += ops::sum_of_squares(g)?;
        }
        let grad_norm = (gate_squares + multiplier_squares + weight_squares).sqrt();
        if !grad_norm.is_finite() {
            return Ok(StepOutcome::NotFinite(grad_norm));
        }
        let scale = clip_factor(grad_norm, self.config.clip);
        drop(named);
        self.parameters.update(&grads, self.config.lr * factor, scale)?;
        self.model.weights = self.parameters.weights().clone();
        let mut multipliers = Vec::new();
        if let (Some(shear), Some(grads)) = (&mut self.shear, gate_grads) {
            multipliers.clone_from(&shear.lagrangian.multipliers);
            shear.update(grads, factor, scale);
        }
        let grad_norms = GradNorms {
            weights: weight_squares.sqrt(),
            gates: gate_squares.sqrt(),
            multipliers: multiplier_squares.sqrt(),
        };
        let constraint = sampled.map(|(_, _, constraint)| constraint);
        Ok(StepOutcome::Taken(match constraint {
            Some(c) => StepFigures {
                loss,
                lagrangian: c.value,
                expected: c.expected,
                target: c.target,
                overall: c.overall,
                multipliers,
                grad_norm,
                grad_norms,
                factor,
            },
            None => StepFigures {
                loss,
                lagrangian: 0.0,
                expected: Vec::new(),
                target: None,
                overall: 0.0,
                multipliers,
                grad_norm,
                grad_norms,
                factor,
            },
        }))
    }
}
