//! The run itself: start, step, evaluate, extract.

use std::sync::Arc;
use std::time::Instant;

use super::{EvalRecord, Reference, RunError, ShearOptions, StepRecord, TrainOptions};
use crate::data::{Domains, Loader, Mixture};
use crate::gate::{Constraint, EvalMode, GateKind, GateValues, Gates, Lagrangian, Multipliers};
use crate::judge;
use crate::model::{LlamaConfig, Model};
use crate::progress::{Progress, Watch};
use crate::shape::{ModelShape, TargetShape};
use crate::train::{Shear, ShearRates, StepOutcome, Trainer, TrainerConfig};

/// A model in training.
#[derive(Debug)]
pub struct Run {
    source: Model,
    target: Option<ModelShape>,
    options: TrainOptions,
    trainer: Trainer,
    loader: Loader,
    mixture: Mixture,
    first_mixture: Vec<f64>,
    step: u64,
    steps: Vec<StepRecord>,
    evaluations: Vec<EvalRecord>,
}

/// What a call of [`Run::step`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps taken by this call.
    pub taken: u64,
    /// Whether it stopped because the caller asked.
    pub interrupted: bool,
    /// Wall time, seconds.
    pub seconds: f64,
    /// Training tokens a second.
    pub tokens_per_second: f64,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RunStatus {
    /// Steps taken.
    pub step: u64,
    /// Loss of the last batch, nats/token; none before the first step.
    pub loss: Option<f64>,
    /// Value of the constraints at the last step.
    pub lagrangian: f64,
    /// Training tokens seen.
    pub tokens: u64,
    /// Per gate kind: expected sparsity now, target of the shape, target at this step.
    pub sparsity: Vec<(GateKind, KindStatus)>,
    /// Expected sparsity of the prunable parameters now.
    pub overall: Option<f64>,
}

/// One gate kind in [`RunStatus`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KindStatus {
    /// Expected sparsity now, mean over layers.
    pub expected: f64,
    /// Sparsity of the target shape; none in the global mode.
    pub target: Option<f64>,
    /// The target's part that applies now, during the sparsity warm-up.
    pub scheduled: Option<f64>,
    /// Its multipliers; those of the overall constraint in the global mode.
    pub multipliers: Multipliers,
}

impl Run {
    /// Starts to shear `model` to `target` on `domains`.
    ///
    /// # Errors
    /// An illegal target or option, references that do not fit; an interrupt during the evaluation
    /// of the source.
    pub fn shear(
        model: &Model,
        target: &TargetShape,
        domains: Arc<Domains>,
        train: TrainOptions,
        shear: &ShearOptions,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        train.check(domains.domains.len())?;
        shear.check()?;
        let source = model.shape();
        let (shape, constraint) = match shear.sparsity {
            Some(sparsity) => (None, Constraint::Sparsity(sparsity)),
            None => (Some(target.resolve(&source)?), Constraint::Shape),
        };
        let kinds = match (&shear.gates, &shape) {
            (Some(kinds), _) => kinds.clone(),
            (None, Some(shape)) => GateKind::needed(&source, shape),
            (None, None) => {
                vec![GateKind::Layer, GateKind::Head, GateKind::Intermediate, GateKind::Hidden]
            }
        };
        let gates = Gates::new(
            &source,
            shape.as_ref(),
            &kinds,
            shear.distribution,
            shear.mask_embeddings,
            train.seed,
        )?;
        let warmup = shear.sparsity_warmup.unwrap_or(train.steps / 5);
        let lagrangian = Lagrangian::new(constraint, warmup, &gates);
        let rates = ShearRates { gates: shear.gate_lr, multipliers: shear.multiplier_lr };
        let shear = Shear::new(gates, lagrangian, rates, train.adam, train.seed);
        Self::start(model, shape, domains, train, Some(shear), watch)
    }

    /// Starts to continue the pre-training of `model` on `domains`.
    ///
    /// # Errors
    /// As [`Run::shear`], without the target.
    pub fn recover(
        model: &Model,
        domains: Arc<Domains>,
        train: TrainOptions,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        train.check(domains.domains.len())?;
        Self::start(model, None, domains, train, None, watch)
    }

    fn start(
        model: &Model,
        target: Option<ModelShape>,
        domains: Arc<Domains>,
        options: TrainOptions,
        shear: Option<Shear>,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        let config = TrainerConfig {
            lr: options.lr,
            schedule: options.schedule(),
            clip: options.clip,
            adam: options.adam,
            tokens: domains.seq_len,
        };
        let trainer = Trainer::new(model, config, shear)?;
        let reference = reference_losses(model, &domains, &options, watch)?;
        let n = domains.domains.len();
        let weights = options.mixture.clone().unwrap_or_else(|| vec![1.0; n]);
        let total: f64 = weights.iter().sum();
        let mixture = Mixture {
            names: domains.names(),
            weights: weights.iter().map(|w| w / total).collect(),
            reference,
            rule: options.rule,
            eta: options.eta,
            smoothing: options.smoothing,
        };
        let first_mixture = mixture.weights.clone();
        let loader = Loader::new(domains, options.seed);
        Ok(Self {
            source: model.clone(),
            target,
            options,
            trainer,
            loader,
            mixture,
            first_mixture,
            step: 0,
            steps: Vec::new(),
            evaluations: Vec::new(),
        })
    }

    /// Takes up to `n` steps; evaluates every domain and updates the mixture every `eval_every`.
    ///
    /// Stops at the next step boundary when the watch asks; a run that stopped goes on from there.
    ///
    /// # Errors
    /// A loss that is no number: the run stays at the step before.
    pub fn step(&mut self, n: u64, watch: &dyn Watch) -> Result<StepReport, RunError> {
        let begin = Instant::now();
        let first = self.step;
        let mut interrupted = false;
        for _ in 0..n {
            if watch.stop_requested() {
                interrupted = true;
                break;
            }
            self.one_step()?;
            watch.tick(&self.progress(first, n, begin));
            if self.step.is_multiple_of(self.options.eval_every) {
                match self.evaluate(watch) {
                    Err(RunError::Model(crate::model::ModelError::Interrupted)) => {
                        interrupted = true;
                        break;
                    }
                    other => other?,
                }
            }
        }
        let taken = self.step - first;
        let seconds = begin.elapsed().as_secs_f64();
        let tokens = taken * self.tokens_per_step();
        Ok(StepReport {
            taken,
            interrupted,
            seconds,
            tokens_per_second: tokens as f64 / seconds.max(1e-9),
        })
    }

    fn tokens_per_step(&self) -> u64 {
        (self.options.batch * self.loader.domains().seq_len) as u64
    }

    fn one_step(&mut self) -> Result<(), RunError> {
        let before = self.loader.state();
        let batch = self.loader.next_batch(&self.mixture.weights, self.options.batch)?;
        let figures = match self.trainer.step(self.step, &batch.ids, None)? {
            StepOutcome::Taken(figures) => figures,
            StepOutcome::NotFinite(loss) => {
                self.loader.restore(before)?;
                return Err(RunError::Diverged { step: self.step, loss, lr: self.options.lr });
            }
        };
        self.step += 1;
        self.steps.push(StepRecord {
            step: self.step,
            lr: self.options.lr * figures.factor,
            figures,
            tokens: self.step * self.tokens_per_step(),
        });
        Ok(())
    }

    /// Evaluates every domain with the gates as they are now and updates the mixture.
    ///
    /// # Errors
    /// An interrupt; candle's.
    pub fn evaluate(&mut self, watch: &dyn Watch) -> Result<(), RunError> {
        let losses = self.domain_losses(EvalMode::Current, watch)?;
        self.mixture.update(&losses)?;
        let mixture = self.mixture.weights.clone();
        self.evaluations.push(EvalRecord { step: self.step, losses, mixture });
        Ok(())
    }

    /// Gives the loss of each domain now, nats/token, under deterministic gates.
    ///
    /// # Errors
    /// An interrupt; candle's.
    pub fn domain_losses(&self, mode: EvalMode, watch: &dyn Watch) -> Result<Vec<f64>, RunError> {
        let model = self.trainer.model();
        let gates = match &self.trainer.shear {
            Some(shear) => {
                let values = shear.gates.evaluate(mode);
                Some(values.tensors(
                    &shear.gates.source,
                    model.dtype(),
                    model.weights.embed.device(),
                )?)
            }
            None => None,
        };
        let domains = self.loader.domains();
        Ok(judge::domain_losses(&model.weights, &model.config, gates.as_ref(), domains, watch)?)
    }

    fn progress(&self, first: u64, n: u64, begin: Instant) -> Progress {
        let (what, mut note) =
            (if self.trainer.shear.is_some() { "prune" } else { "recover" }, String::new());
        if let Some(last) = self.steps.last() {
            note = format!("loss {:.3}", last.figures.loss);
            if let (Some(shear), Some(target)) = (&self.trainer.shear, &last.figures.target) {
                for ((kind, s), t) in
                    shear.gates.kinds().iter().zip(&last.figures.expected).zip(target)
                {
                    note.push_str(&format!(" · {kind} {s:.2}/{t:.2}"));
                }
            } else if self.trainer.shear.is_some() {
                note.push_str(&format!(" · sparsity {:.2}", last.figures.overall));
            }
        }
        let taken = self.step - first;
        let rate =
            (taken * self.tokens_per_step()) as f64 / begin.elapsed().as_secs_f64().max(1e-9);
        note.push_str(&format!(" · {rate:.0} tokens/s"));
        Progress { what: what.into(), done: taken, total: Some(n), unit: "steps", note }
    }

    /// Says where the run stands.
    pub fn status(&self) -> RunStatus {
        let last = self.steps.last();
        let (mut sparsity, mut overall) = (Vec::new(), None);
        if let Some(shear) = &self.trainer.shear {
            let mut gates = shear.gates.clone();
            gates.clamp();
            let now = shear.lagrangian.evaluate(&gates, self.step);
            let full = shear.lagrangian.evaluate(&gates, u64::MAX);
            overall = Some(now.overall);
            for (i, kind) in gates.kinds().into_iter().enumerate() {
                let multipliers = &shear.lagrangian.multipliers;
                let status = KindStatus {
                    expected: now.expected[i],
                    target: full.target.as_ref().map(|t| t[i]),
                    scheduled: now.target.as_ref().map(|t| t[i]),
                    multipliers: multipliers[i.min(multipliers.len() - 1)],
                };
                sparsity.push((kind, status));
            }
        }
        RunStatus {
            step: self.step,
            loss: last.map(|r| r.figures.loss),
            lagrangian: last.map_or(0.0, |r| r.figures.lagrangian),
            tokens: self.step * self.tokens_per_step(),
            sparsity,
            overall,
        }
    }

    /// Gives the model as it is now: cut at the target shape while shearing (or at the current gates
    /// in the global mode), a copy of the weights in recovery.
    ///
    /// Its logits equal those of the gated model.
    ///
    /// # Errors
    /// Nothing left of the layers; candle's.
    pub fn extract(&self) -> Result<Model, RunError> {
        let weights = self.trainer.snapshot()?;
        let Some(shear) = &self.trainer.shear else {
            return Ok(self.derived(weights, self.source.config.clone(), "recovered"));
        };
        let mode = if self.target.is_some() { EvalMode::Target } else { EvalMode::Current };
        let model = Model { weights: Arc::new(weights), ..self.source.clone() };
        let cut = model.cut(&shear.gates.evaluate(mode))?;
        Ok(self.derived(Arc::unwrap_or_clone(cut.weights), cut.config, "sheared"))
    }

    /// The gate values of an evaluation; none in recovery.
    pub fn gate_values(&self, mode: EvalMode) -> Option<GateValues> {
        self.trainer.shear.as_ref().map(|s| s.gates.evaluate(mode))
    }

    fn derived(&self, weights: crate::model::Weights, config: LlamaConfig, how: &str) -> Model {
        let mut provenance = self.source.provenance.clone();
        let mut note = |key: &str, value: String| provenance.push((format!("{how}.{key}"), value));
        note("parent", self.source.name.clone());
        note("parent_shape", self.source.shape().to_string());
        note("data_sha256", self.loader.domains().hash.clone());
        note("steps", self.step.to_string());
        note("tokens", (self.step * self.tokens_per_step()).to_string());
        note("seed", self.options.seed.to_string());
        Model {
            name: format!("{}-{how}", self.source.name),
            config,
            weights: Arc::new(weights),
            tokenizer: self.source.tokenizer.clone(),
            provenance,
            origin: crate::model::ModelOrigin::Unknown,
        }
    }

    /// The model it started from.
    pub fn source(&self) -> &Model {
        &self.source
    }

    /// The shape it prunes to; none in recovery and in the global mode.
    pub fn target(&self) -> Option<&ModelShape> {
        self.target.as_ref()
    }

    /// Its options.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// Its gates.
    ///
    /// # Errors
    /// A run without gates.
    pub fn gates(&self) -> Result<&Gates, RunError> {
        self.trainer.shear.as_ref().map(|s| &s.gates).ok_or(RunError::NoGates)
    }

    /// The weights and gates in training.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The mixture it draws by.
    pub fn mixture(&self) -> &Mixture {
        &self.mixture
    }

    /// The mixture it started with.
    pub fn first_mixture(&self) -> &[f64] {
        &self.first_mixture
    }

    /// The loader it draws from.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Every step taken.
    pub fn steps(&self) -> &[StepRecord] {
        &self.steps
    }

    /// Every evaluation.
    pub fn evaluations(&self) -> &[EvalRecord] {
        &self.evaluations
    }
}

/// Gives the reference losses the options ask for.
fn reference_losses(
    model: &Model,
    domains: &Domains,
    options: &TrainOptions,
    watch: &dyn Watch,
) -> Result<Vec<f64>, RunError> {
    let refuse = |why: String| RunError::Reference { why, domains: domains.names().join(", ") };
    match &options.reference {
        Reference::Source => Ok(judge::model_losses(model, domains, watch)?),
        Reference::Floor => domains
            .domains
            .iter()
            .map(|d| {
                d.floor.ok_or_else(|| {
                    refuse(format!("the entropy of `{}` is not known; use \"source\"", d.name))
                })
            })
            .collect(),
        Reference::Losses(losses) if losses.len() != domains.domains.len() => {
            Err(refuse(format!("{} losses for {} domains", losses.len(), domains.domains.len())))
        }
        Reference::Losses(losses) if losses.iter().any(|l| !l.is_finite()) => {
            Err(refuse(format!("{losses:?} holds a value that is no number")))
        }
        Reference::Losses(losses) => Ok(losses.clone()),
    }
}
