//! What a run is started with.

use serde::{Deserialize, Serialize};

use super::RunError;
use super::recovery::{self, Precision};
use crate::data::scaling::{KnownLosses, ScalingFit};
use crate::data::{Bounds, CustomRule, MixtureRule};
use crate::gate::{GateKind, HardConcrete};
use crate::train::{AdamConfig, Distill, Lora, Schedule};

/// Where the mixture's reference losses come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The source model's own loss on each domain, measured when the run starts. In a recovery of a
    /// model that another run made, the references of that run, if it knew the same domains.
    Source,
    /// The entropy of each domain, where it is known (the demo).
    Floor,
    /// Given, in the domains' order, nats/token.
    Losses(Vec<f64>),
    /// What a model of a given size reaches by the law through three known models.
    Scaling {
        /// Parameters of that model; none means those of the target, or of the model that recovers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameters: Option<f64>,
        /// The three models; none means the published ones, Llama-2 on the domains of RedPajama.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<Box<KnownLosses>>,
    },
}

impl Reference {
    /// Fits the law of [`Reference::Scaling`] for domains and a model of `parameters`, unless it
    /// names a size of its own; none for other references.
    ///
    /// # Errors
    /// A domain without known losses, losses without a law, a size that is none.
    pub fn fit(&self, domains: &[String], parameters: f64) -> Result<Option<ScalingFit>, RunError> {
        let Self::Scaling { parameters: asked, known } = self else { return Ok(None) };
        let known = known.as_deref().cloned().unwrap_or_else(KnownLosses::published);
        Ok(Some(ScalingFit::new(&known, domains, asked.unwrap_or(parameters))?))
    }
}

/// Options of every run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainOptions {
    /// Steps the schedules are laid out for; more can be taken, at the floor of the rate.
    pub steps: u64,
    /// Sequences a micro-batch, B; a step without `accumulate` is one micro-batch.
    pub batch: usize,
    /// Micro-batches a step: a step sees `accumulate` times `batch` sequences.
    #[serde(default = "recovery::one", skip_serializing_if = "recovery::is_one")]
    pub accumulate: usize,
    /// Keep only what goes into each layer and run each again in the backward pass: less memory, more
    /// time, the same bits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// Leave out of each step, and of each evaluation, what the gates close: less time, the same step but
    /// for the order of sums. Default true.
    #[serde(default = "recovery::yes", skip_serializing_if = "recovery::is_yes")]
    pub elastic: bool,
    /// Learn from a teacher's distributions beside the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distill: Option<Distill>,
    /// Learn low-rank changes and leave the weights as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// The type it computes in.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub dtype: Precision,
    /// Peak learning rate of the weights.
    pub lr: f64,
    /// Steps of learning-rate warm-up; none means a tenth of `steps`.
    pub lr_warmup: Option<u64>,
    /// The rate's factor at the end of the cosine.
    pub lr_floor: f64,
    /// Global gradient-norm limit.
    pub clip: f64,
    /// Adam's moment decays, epsilon and weight decay.
    pub adam: AdamConfig,
    /// Seed of every random stream.
    pub seed: u64,
    /// Steps between evaluations, each of which updates the mixture.
    pub eval_every: u64,
    /// How the mixture is updated.
    pub rule: MixtureRule,
    /// The first mixture, in the domains' order; none means equal shares.
    pub mixture: Option<Vec<f64>>,
    /// Reference losses of the rule.
    pub reference: Reference,
    /// Step size of the rule.
    pub eta: f64,
    /// Share of the uniform mixture mixed in by `doremi` and `bandit`.
    pub smoothing: f64,
    /// Least and largest share of a domain, from the first mixture on, whatever the rule. Default 0 and 1.
    #[serde(default, skip_serializing_if = "Bounds::are_open")]
    pub bounds: Bounds,
    /// What the rule `custom` has decided before: the weights after each evaluation under it, in
    /// order. When they are used up the function decides; without one the last weights stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<Vec<f64>>,
    /// The function of the rule `custom`. No file holds it: what it decides becomes the `path` of the
    /// run's origin.
    #[serde(skip)]
    pub custom: Option<CustomRule>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            steps: 300,
            batch: 16,
            accumulate: 1,
            recompute: false,
            elastic: true,
            distill: None,
            lora: None,
            dtype: Precision::F32,
            lr: 1e-3,
            lr_warmup: None,
            lr_floor: 0.1,
            clip: 1.0,
            adam: AdamConfig { betas: (0.9, 0.95), eps: 1e-8, weight_decay: 0.0 },
            seed: 17,
            eval_every: 50,
            rule: MixtureRule::Doremi,
            mixture: None,
            reference: Reference::Source,
            eta: 1.0,
            smoothing: 1e-4,
            bounds: Bounds::default(),
            path: Vec::new(),
            custom: None,
        }
    }
}

/// Options of a run that shears, beside those of every run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShearOptions {
    /// Kinds of gates; none means those whose dimension the target makes smaller.
    pub gates: Option<Vec<GateKind>>,
    /// Learning rate of log-alphas.
    pub gate_lr: f64,
    /// Rate at which multipliers climb.
    pub multiplier_lr: f64,
    /// Steps over which the target sparsity rises; none means a fifth of `steps`.
    pub sparsity_warmup: Option<u64>,
    /// Whether the hidden gate multiplies the embeddings too.
    pub mask_embeddings: bool,
    /// Aim at this overall sparsity of the prunable parameters instead of the target's sizes.
    pub sparsity: Option<f64>,
    /// Constants of the gate distribution.
    pub distribution: HardConcrete,
}

impl Default for ShearOptions {
    fn default() -> Self {
        Self {
            gates: None,
            gate_lr: 1.0,
            multiplier_lr: 1.0,
            sparsity_warmup: None,
            mask_embeddings: true,
            sparsity: None,
            distribution: HardConcrete::default(),
        }
    }
}

/// Refuses an option with its nearest legal value.
pub(super) fn refuse(
    option: &'static str,
    value: impl ToString,
    why: &str,
    nearest: impl ToString,
) -> Result<(), RunError> {
    Err(RunError::Option {
        option,
        value: value.to_string(),
        why: why.into(),
        nearest: nearest.to_string(),
    })
}

/// Checks that a number is finite and above 0.
pub(super) fn positive(option: &'static str, value: f64, nearest: f64) -> Result<(), RunError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    refuse(option, value, "it must be a number above 0", nearest)
}

/// Checks the rates of gates and multipliers and an overall sparsity, where they are given.
///
/// # Errors
/// The first that is out of range, with the nearest legal value.
pub(super) fn check_rates(
    gate_lr: Option<f64>,
    multiplier_lr: Option<f64>,
    sparsity: Option<f64>,
) -> Result<(), RunError> {
    gate_lr.map_or(Ok(()), |lr| positive("gate_lr", lr, 1.0))?;
    multiplier_lr.map_or(Ok(()), |lr| positive("multiplier_lr", lr, 1.0))?;
    match sparsity {
        Some(s) if !(s > 0.0 && s < 1.0) => {
            let why = "a share of the prunable parameters, between 0 and 1";
            refuse("sparsity", s, why, 0.5)
        }
        _ => Ok(()),
    }
}

/// True for one weight a domain, 0 or more, not all 0.
fn can_be_drawn_by(weights: &[f64], domains: usize) -> bool {
    weights.len() == domains
        && weights.iter().all(|w| w.is_finite() && *w >= 0.0)
        && weights.iter().any(|w| *w > 0.0)
}

impl TrainOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// The first option that is out of range, with the nearest legal value.
    pub fn check(&self, domains: usize) -> Result<(), RunError> {
        let at_least_one = |option, value: u64| match value {
            0 => refuse(option, value, "at least 1", 1),
            _ => Ok(()),
        };
        at_least_one("steps", self.steps)?;
        at_least_one("batch", self.batch as u64)?;
        at_least_one("eval_every", self.eval_every)?;
        recovery::check(self)?;
        positive("lr", self.lr, 1e-3)?;
        positive("clip", self.clip, 1.0)?;
        positive("eta", self.eta, 1.0)?;
        if !(0.0..=1.0).contains(&self.lr_floor) {
            refuse("lr_floor", self.lr_floor, "a factor in 0..1", self.lr_floor.clamp(0.0, 1.0))?;
        }
        if !(0.0..1.0).contains(&self.smoothing) {
            refuse("smoothing", self.smoothing, "a share in 0..1", 1e-4)?;
        }
        if let Some((bound, value, why, nearest)) = self.bounds.conflict(domains) {
            refuse(bound, value, &why, nearest)?;
        }
        if let Some(at) = self.path.iter().position(|w| !can_be_drawn_by(w, domains)) {
            let why = "each holds one weight a domain, 0 or more, and one above 0";
            refuse("path", format!("{:?} at place {at}", self.path[at]), why, "equal weights")?;
        }
        if self.lr_warmup.is_some_and(|w| w > self.steps) {
            refuse("lr_warmup", self.lr_warmup.unwrap_or(0), "longer than `steps`", self.steps)?;
        }
        if let Some(mixture) = &self.mixture {
            let shown = format!("{mixture:?}");
            if mixture.len() != domains {
                refuse("mixture", shown, "one weight a domain", format!("{domains} weights"))?;
            } else if !can_be_drawn_by(mixture, domains) {
                refuse(
                    "mixture",
                    shown,
                    "weights are 0 or more, and one is above 0",
                    "equal weights",
                )?;
            }
        }
        Ok(())
    }

    /// The learning-rate schedule.
    pub fn schedule(&self) -> Schedule {
        let warmup = self.lr_warmup.unwrap_or(self.steps / 10);
        Schedule { warmup, total: self.steps, floor: self.lr_floor }
    }
}

impl ShearOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// The first option that is out of range, with the nearest legal value.
    pub fn check(&self) -> Result<(), RunError> {
        check_rates(Some(self.gate_lr), Some(self.multiplier_lr), self.sparsity)?;
        positive("temperature", self.distribution.temperature, 2.0 / 3.0)?;
        if let Some(kinds) = &self.gates {
            GateKind::combination(kinds)?;
        }
        Ok(())
    }
}
