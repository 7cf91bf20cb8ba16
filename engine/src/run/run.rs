//! The run itself: start, step, evaluate, edit, fork, rewind.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::decisions::Decisions;
use super::journal::{Edit, Journal, Operation};
use super::recovery::{self, Teacher};
use super::snapshots::Snapshots;
use super::start::Start;
use super::state::{State, trainer_config};
use super::store::Autosave;
use super::{
    History, How, KeepPolicy, Reference, RunError, RunOrigin, ShearOptions, Speed, StepReport,
    TeacherOrigin, TrainOptions, takeover,
};
use crate::data::{CustomRule, Domains, Loader, Mixture, MixtureRule};
use crate::gate::{Constraint, EvalMode, GateKind, GatePlace, Gates, Lagrangian};
use crate::judge;
use crate::model::{Model, ModelError};
use crate::progress::{Progress, Watch};
use crate::shape::{ModelShape, TargetShape};
use crate::train::{Shear, ShearRates, Trainer};

/// A model in training: a value that can be looked into, changed, copied and taken back.
#[derive(Debug)]
pub struct Run {
    pub(super) start: Arc<Start>,
    pub(super) state: State,
    pub(super) kept: Snapshots,
    pub(super) autosave: Option<Autosave>,
    /// Folders that this run saved into or came from.
    pub(super) homes: Vec<PathBuf>,
    pub(super) speed: Speed,
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
        let how = How::Shear { target: *target, options: Box::new(shear.clone()) };
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
        Self::start((model, None), shape, domains, train, Some(shear), how, watch)
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
        Self::start((model, None), None, domains, train, None, How::Recover, watch)
    }

    /// Starts to continue the pre-training of `model` with a teacher, as `distill` says.
    ///
    /// # Errors
    /// As [`Run::recover`]; a teacher of another vocabulary, or without `distill`.
    pub fn recover_taught(
        model: &Model,
        teacher: &Model,
        domains: Arc<Domains>,
        train: TrainOptions,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        train.check(domains.domains.len())?;
        Self::start((model, Some(teacher)), None, domains, train, None, How::Recover, watch)
    }

    fn start(
        (model, teacher): (&Model, Option<&Model>),
        target: Option<ModelShape>,
        domains: Arc<Domains>,
        mut options: TrainOptions,
        shear: Option<Shear>,
        how: How,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        let decisions = Decisions::new(std::mem::take(&mut options.path), options.custom.take());
        let taught =
            teacher.or(shear.as_ref().filter(|_| options.distill.is_some()).map(|_| model));
        recovery::check_teacher(&options, taught, model, domains.seq_len)?;
        let config = trainer_config(&options, domains.seq_len);
        let mut trainer = match &options.lora {
            None => Trainer::new(model, config, shear)?,
            Some(lora) => {
                recovery::check_lora(lora, model)?;
                Trainer::low_rank(model, config, shear, lora, options.seed)?
            }
        };
        if let Some(teacher) = taught {
            trainer.teach(teacher)?;
        }
        let teacher = match teacher {
            Some(model) => Some(Teacher { model: model.clone(), sha256: model.digest()? }),
            None => None,
        };
        let parameters = how.parameters(model, target.as_ref());
        let reference = reference_losses((model, &how), &domains, &options, parameters, watch)?;
        let n = domains.domains.len();
        let weights = options.mixture.clone().unwrap_or_else(|| vec![1.0; n]);
        let total: f64 = weights.iter().sum();
        let mut weights: Vec<f64> = weights.iter().map(|w| w / total).collect();
        options.bounds.project(&mut weights);
        let mixture = Mixture {
            names: domains.names(),
            weights,
            reference,
            rule: options.rule,
            eta: options.eta,
            smoothing: options.smoothing,
            bounds: options.bounds,
        };
        let start = Start {
            source: model.clone(),
            digest: OnceLock::new(),
            how,
            teacher,
            options: options.clone(),
            mixture: mixture.weights.clone(),
        };
        let loader = Loader::new(domains, options.seed);
        let state = State {
            step: 0,
            tokens: 0,
            due: false,
            options,
            target,
            trainer,
            loader,
            mixture,
            decisions,
            history: History::default(),
            journal: Journal::default(),
        };
        Ok(Self::with(Arc::new(start), state))
    }

    /// A run that stands at `state`.
    pub(super) fn with(start: Arc<Start>, state: State) -> Self {
        let mut kept = Snapshots::default();
        kept.keep(&state);
        let (homes, speed) = (Vec::new(), Speed::default());
        Self { start, state, kept, autosave: None, homes, speed }
    }

    /// Takes up to `n` steps; evaluates every domain and updates the mixture every `eval_every`.
    ///
    /// Stops when the watch asks, and gives up the step it is in; a run that stopped goes on from there
    /// as if it had not.
    ///
    /// # Errors
    /// A loss that is no number: the run stays at the step before. An autosave that fails: the step
    /// is taken.
    pub fn step(&mut self, n: u64, watch: &dyn Watch) -> Result<StepReport, RunError> {
        let begin = Instant::now();
        let first = self.state.step;
        let every = self.state.options.eval_every;
        if self.state.due || (first + n) / every > first / every {
            self.check_rule()?;
        }
        let mut interrupted = false;
        // The first step of a large model takes long: a bar stands from the start.
        if n > 0 {
            let begun = self.state.progress(first, n, begin);
            watch.tick(&Progress { note: String::new(), ..begun });
        }
        while self.state.due || self.state.step < first + n {
            if watch.stop_requested() {
                interrupted = true;
                break;
            }
            if self.state.due {
                let evaluating = Instant::now();
                let settled = self.settle(watch);
                self.speed.evaluation += evaluating.elapsed().as_secs_f64();
                match settled {
                    Err(RunError::Model(ModelError::Interrupted)) => {
                        interrupted = true;
                        break;
                    }
                    other => other?,
                }
            } else {
                let drawing = match self.state.advance(watch) {
                    Err(RunError::Model(ModelError::Interrupted)) => {
                        interrupted = true;
                        break;
                    }
                    other => other?,
                };
                let tokens = self.state.tokens_per_step();
                self.speed.take(tokens, drawing, self.state.trainer.clock());
                let telling = Instant::now();
                let mut progress = self.state.progress(first, n, begin);
                let astray = takeover(self.mixture(), self.first_mixture(), self.evaluations());
                if let Some(warning) = astray {
                    progress.note.push_str(&format!(" · {}", warning.about));
                }
                watch.tick_with(&progress, &|| self.state.detail(Some((first, begin))));
                self.speed.panel += telling.elapsed().as_secs_f64();
            }
            if !self.state.due {
                let keeping = Instant::now();
                self.kept.offer(&self.state);
                self.autosave_if_due()?;
                self.speed.keeping += keeping.elapsed().as_secs_f64();
            }
        }
        let taken = self.state.step - first;
        let seconds = begin.elapsed().as_secs_f64();
        let tokens = taken * self.state.tokens_per_step();
        Ok(StepReport {
            taken,
            interrupted,
            seconds,
            tokens_per_second: tokens as f64 / seconds.max(1e-9),
        })
    }

    /// Makes up for an evaluation that an interrupt put off.
    fn settle(&mut self, watch: &dyn Watch) -> Result<(), RunError> {
        if self.state.due {
            let losses = self.domain_losses(EvalMode::Current, watch)?;
            self.state.take_losses(losses)?;
        }
        Ok(())
    }

    /// Evaluates every domain with the gates as they are now and updates the mixture.
    ///
    /// # Errors
    /// An interrupt; candle's.
    pub fn evaluate(&mut self, watch: &dyn Watch) -> Result<(), RunError> {
        self.check_rule()?;
        self.settle(watch)?;
        let losses = self.domain_losses(EvalMode::Current, watch)?;
        self.state.take_losses(losses)?;
        self.state.journal.push(Operation::Evaluate);
        Ok(())
    }

    /// Gives the run the function that the rule `custom` asks from now on: what it decides stands in
    /// the history, and in the run's origin, so that the run can be made again without it.
    pub fn use_rule(&mut self, rule: CustomRule) {
        self.state.decisions.use_function(rule);
    }

    /// Refuses, before anything changes, an evaluation that nobody could decide on.
    fn check_rule(&self) -> Result<(), RunError> {
        match self.state.mixture.rule {
            MixtureRule::Custom => self.state.decisions.ready(),
            _ => Ok(()),
        }
    }

    /// Gives the loss of each domain now, nats/token, under deterministic gates.
    ///
    /// # Errors
    /// An interrupt; candle's.
    pub fn domain_losses(&self, mode: EvalMode, watch: &dyn Watch) -> Result<Vec<f64>, RunError> {
        let model = self.trainer().model();
        let shear = self.trainer().shear.as_ref();
        let values = shear.map(|shear| (shear.gates.evaluate(mode), &shear.gates.source));
        let gates = values.as_ref().map(|(values, source)| (values, *source));
        let (elastic, domains) = (self.options().elastic, self.loader().domains());
        let Model { weights, config, .. } = model;
        Ok(judge::domain_losses(weights, config, gates, elastic, domains, watch)?)
    }

    /// Changes the run by hand. The change stands in the journal and in the history.
    ///
    /// # Errors
    /// A change that cannot be, with the nearest that can; nothing changes then. An interrupt of the
    /// evaluation that was due before.
    pub fn edit(&mut self, edit: &Edit, watch: &dyn Watch) -> Result<(), RunError> {
        self.settle(watch)?;
        let mut next = self.state.clone();
        next.edit(edit)?;
        self.state = next;
        Ok(())
    }

    /// The gates that keep layer `l` in the model: hold them open to protect it.
    ///
    /// # Errors
    /// A run without gates on layers; a layer the source does not have.
    pub fn layer_gates(&self, l: usize) -> Result<Vec<GatePlace>, RunError> {
        let gates = self.gates()?;
        let of = [GateKind::Layer, GateKind::HeadLayer, GateKind::Mlp];
        let kinds: Vec<GateKind> = gates.kinds().into_iter().filter(|k| of.contains(k)).collect();
        if kinds.is_empty() {
            return Err(RunError::NoLayerGates);
        }
        let layers = gates.source.layers;
        if l >= layers {
            return Err(RunError::NoLayer { layer: l, layers });
        }
        Ok(kinds.into_iter().map(|kind| GatePlace { kind, row: 0, index: l }).collect())
    }

    /// Gives a run that stands where this one stands and goes its own way from here: weights,
    /// moments, gates, multipliers, random streams, loader. It costs nothing until one of the two
    /// takes a step, which copies weights and moments.
    pub fn fork(&self) -> Self {
        Self {
            start: self.start.clone(),
            state: self.state.clone(),
            kept: self.kept.clone(),
            autosave: None,
            homes: Vec::new(),
            speed: Speed::default(),
        }
    }

    /// Goes back to the end of step `step`. It starts from the last snapshot at or before it and
    /// takes the steps between again, with the edits that were made then; edits made at that very
    /// step are undone. Snapshots after it are dropped: fork first to keep this branch.
    ///
    /// # Errors
    /// A step that is yet to come; no snapshot that early; an interrupt. The run stays where it is
    /// then.
    pub fn rewind(&mut self, step: u64, watch: &dyn Watch) -> Result<(), RunError> {
        if step > self.state.step {
            return Err(RunError::NotYet { step, now: self.state.step });
        }
        let mut from = self.kept.at_or_before(step)?.clone();
        let rest = self.state.journal.since(&from.journal).unwrap_or_default();
        // What a function has decided is not asked again.
        from.decisions.recall(&self.state.decisions);
        let mut again = Self { state: from, ..self.fork() };
        for operation in rest {
            if again.state.step == step && !again.state.due {
                break;
            }
            let report = match operation {
                Operation::Step { steps } => {
                    again.step(steps.min(step - again.state.step), watch)?.interrupted
                }
                other => {
                    again.apply(&other, watch)?;
                    false
                }
            };
            if report {
                return Err(RunError::Interrupted);
            }
        }
        again.state.decisions.forget_rest();
        again.kept.cut(step);
        again.autosave = self.autosave.take();
        again.homes = std::mem::take(&mut self.homes);
        again.speed = std::mem::take(&mut self.speed);
        *self = again;
        Ok(())
    }

    /// Does one operation of a journal.
    ///
    /// # Errors
    /// Those of the operation.
    pub fn apply(&mut self, operation: &Operation, watch: &dyn Watch) -> Result<(), RunError> {
        match operation {
            Operation::Step { steps } => {
                if self.step(*steps, watch)?.interrupted {
                    return Err(RunError::Interrupted);
                }
                Ok(())
            }
            Operation::Evaluate => self.evaluate(watch),
            Operation::Edit(edit) => self.edit(edit, watch),
        }
    }

    /// Sets when snapshots are taken and how much they may hold.
    pub fn keep(&mut self, policy: KeepPolicy) {
        self.kept.set_policy(policy);
    }

    /// The steps that can be gone back to at once, and the bytes of their snapshots.
    pub fn snapshots(&self) -> (Vec<u64>, u64) {
        (self.kept.steps(), self.kept.bytes())
    }

    /// Hashes everything that decides how the run goes on, and its history: 64 hexadecimal digits.
    /// Runs of one origin have one hash, on one machine and with one number of threads.
    ///
    /// # Errors
    /// candle's, if a device cannot be read.
    pub fn hash(&self) -> Result<String, RunError> {
        self.state.hash(self.start.digest()?, self.start.teacher_sha256())
    }

    /// Says how the run came to be.
    ///
    /// # Errors
    /// candle's, if the source cannot be read.
    pub fn origin(&self) -> Result<RunOrigin, RunError> {
        let domains = self.loader().domains();
        Ok(RunOrigin {
            version: env!("CARGO_PKG_VERSION").into(),
            model: self.start.source.origin.clone(),
            model_sha256: self.start.digest()?.into(),
            domains: domains.origin.clone(),
            data_sha256: domains.hash.clone(),
            how: self.start.how.clone(),
            teacher: self.start.teacher.as_ref().map(|teacher| TeacherOrigin {
                model: teacher.model.origin.clone(),
                sha256: teacher.sha256.clone(),
            }),
            train: TrainOptions {
                path: self.state.decisions.path().to_vec(),
                ..self.start.options.clone()
            },
            journal: self.state.journal.clone(),
        })
    }

    /// Whether two runs began alike: the same model, data and options.
    ///
    /// # Errors
    /// candle's, if a source cannot be read.
    pub fn same_start(&self, other: &Self) -> Result<bool, RunError> {
        let (a, b) = (&self.start, &other.start);
        if Arc::ptr_eq(a, b) {
            return Ok(true);
        }
        let data = |run: &Self| run.loader().domains().hash.clone();
        let alike = (&a.how, &a.options) == (&b.how, &b.options) && data(self) == data(other);
        Ok(alike && a.digest()? == b.digest()?)
    }
}

/// Gives the reference losses the options ask for.
fn reference_losses(
    (model, how): (&Model, &How),
    domains: &Domains,
    options: &TrainOptions,
    parameters: f64,
    watch: &dyn Watch,
) -> Result<Vec<f64>, RunError> {
    let refuse = |why: String| RunError::Reference { why, domains: domains.names().join(", ") };
    match &options.reference {
        Reference::Source => recovery::source_losses(model, how, domains, watch),
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
        scaling => {
            let fit = scaling.fit(&domains.names(), parameters)?;
            Ok(fit.map_or_else(Vec::new, |fit| fit.references))
        }
    }
}
