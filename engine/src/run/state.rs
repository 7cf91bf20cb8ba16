//! All that a step changes, as one value: cheap to clone, independent once cloned.
//!
//! Snapshots, forks and saved runs are states. The tensors are shared between clones until one of
//! them takes a step; the rest is small.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::decisions::Decisions;
use super::journal::{Changes, Edit, Journal, Operation};
use super::{Best, EpochRecord, EvalRecord, History, Mark, RunError, StepRecord, TrainOptions};
use crate::data::{Loader, LoaderState, Mixture, MixtureRule};
use crate::digest::Digest;
use crate::gate::Constraint;
use crate::progress::Watch;
use crate::shape::{ModelShape, TargetShape};
use crate::train::{Shear, StepOutcome, Trainer, TrainerConfig};

/// Where a run stands.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Steps taken.
    pub step: u64,
    /// Training tokens seen.
    pub tokens: u64,
    /// An evaluation is due that an interrupt put off; it comes before anything else.
    pub due: bool,
    pub options: TrainOptions,
    /// The shape aimed at; none in recovery and in the global mode.
    pub target: Option<ModelShape>,
    pub trainer: Trainer,
    pub loader: Loader,
    pub mixture: Mixture,
    pub decisions: Decisions,
    pub history: History,
    pub journal: Journal,
}

/// A state without tensors, journal and data, as files and hashes have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    pub step: u64,
    pub tokens: u64,
    pub due: bool,
    pub options: TrainOptions,
    pub target: Option<ModelShape>,
    /// Updates of the weights: t of Adam's bias correction.
    pub updates: u64,
    pub shear: Option<Shear>,
    pub loader: LoaderState,
    pub mixture: Mixture,
    pub steps: Vec<StepRecord>,
    pub evaluations: Vec<EvalRecord>,
    pub marks: Vec<Mark>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<EpochRecord>,
    /// Evaluations under the rule `custom`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub decided: usize,
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

/// The settings of a trainer that options give.
pub(super) fn trainer_config(options: &TrainOptions, tokens: usize) -> TrainerConfig {
    TrainerConfig {
        lr: options.lr,
        schedule: options.schedule(),
        clip: options.clip,
        adam: options.adam,
        tokens,
        accumulate: options.accumulate,
        recompute: options.recompute,
        elastic: options.elastic,
        distill: options.distill,
    }
}

impl State {
    /// Rows of a step, over its micro-batches.
    fn rows_per_step(&self) -> usize {
        self.options.batch * self.options.accumulate
    }

    /// Tokens of a step: rows x T.
    pub fn tokens_per_step(&self) -> u64 {
        (self.rows_per_step() * self.loader.domains().seq_len) as u64
    }

    /// The evaluation with the lowest mean loss; none for a run with gates.
    pub fn best(&self) -> Option<Best> {
        if self.trainer.shear.is_some() {
            return None;
        }
        let mean = |r: &EvalRecord| r.losses.iter().sum::<f64>() / r.losses.len() as f64;
        let all = self.history.evaluations().iter();
        all.map(|r| Best { step: r.step, loss: mean(r) })
            .reduce(|best, next| if next.loss < best.loss { next } else { best })
    }

    /// Takes one step; gives the seconds that drawing its batch took.
    ///
    /// # Errors
    /// A loss that is no number, an interrupt; the state is then as before.
    pub fn advance(&mut self, watch: &dyn Watch) -> Result<f64, RunError> {
        let begin = Instant::now();
        let before = self.loader.clone();
        let batch = self.loader.next_batch(&self.mixture.weights, self.rows_per_step())?;
        let drawing = begin.elapsed().as_secs_f64();
        let figures = match self.trainer.step(self.step, &batch.ids, None, watch) {
            Ok(StepOutcome::Taken(figures)) => figures,
            Ok(StepOutcome::NotFinite(loss)) => {
                self.loader = before;
                return Err(RunError::Diverged { step: self.step, loss, lr: self.options.lr });
            }
            Err(error) => {
                self.loader = before;
                return Err(error.into());
            }
        };
        self.step += 1;
        for (d, (new, old)) in self.loader.cursors().iter().zip(before.cursors()).enumerate() {
            if new.epoch > old.epoch {
                let domain = self.mixture.names[d].clone();
                let record = EpochRecord { domain, epoch: new.epoch + 1, step: self.step };
                Arc::make_mut(&mut self.history.epochs).push(record);
            }
        }
        self.tokens += self.tokens_per_step();
        let lr = self.options.lr * figures.factor;
        let record = StepRecord { step: self.step, lr, figures, tokens: self.tokens };
        Arc::make_mut(&mut self.history.steps).push(record);
        self.journal.push(Operation::Step { steps: 1 });
        self.due = self.step.is_multiple_of(self.options.eval_every);
        Ok(drawing)
    }

    /// Takes the losses of an evaluation: moves the mixture and remembers both.
    ///
    /// # Errors
    /// Losses the mixture cannot be moved by; nothing changes then.
    pub fn take_losses(&mut self, losses: Vec<f64>) -> Result<(), RunError> {
        self.mixture.weights = match self.mixture.rule {
            MixtureRule::Custom => {
                let evaluations = self.history.evaluations();
                self.decisions.decide(&self.mixture, self.step, &losses, evaluations)?
            }
            rule => self.mixture.preview(rule, &losses)?,
        };
        let record = EvalRecord {
            step: self.step,
            losses,
            mixture: self.mixture.weights.clone(),
            reference: self.mixture.reference.clone(),
            drawn: self.loader.drawn().to_vec(),
        };
        Arc::make_mut(&mut self.history.evaluations).push(record);
        self.due = false;
        Ok(())
    }

    /// Makes an edit; one that names nothing leaves no trace. On an error the state may be half
    /// changed, so the caller edits a clone.
    ///
    /// # Errors
    /// An edit that cannot be, with the nearest that can.
    pub fn edit(&mut self, edit: &Edit) -> Result<(), RunError> {
        if edit.is_empty() {
            return Ok(());
        }
        match edit {
            Edit::Hold { gates, open } => {
                let shear = self.shear()?;
                gates.iter().try_for_each(|&gate| shear.gates.hold(gate, *open))?;
            }
            Edit::Release { gates } => {
                let shear = self.shear()?;
                gates.iter().try_for_each(|&gate| shear.gates.release(gate))?;
            }
            Edit::LogAlpha { gate, value } => self.shear()?.gates.set_log_alpha(*gate, *value)?,
            Edit::Target { target } => self.retarget(target)?,
            Edit::Set(changes) => self.set(changes)?,
        }
        let mark = Mark { step: self.step, what: edit.to_string() };
        Arc::make_mut(&mut self.history.marks).push(mark);
        self.journal.push(Operation::Edit(edit.clone()));
        Ok(())
    }

    fn shear(&mut self) -> Result<&mut Shear, RunError> {
        self.trainer.shear.as_mut().ok_or(RunError::NoGates)
    }

    fn retarget(&mut self, target: &TargetShape) -> Result<(), RunError> {
        let shear = self.shear()?;
        let shape = target.resolve(&shear.gates.source)?;
        for at in shear.retarget(&shape)? {
            self.history.insert_kind(at);
        }
        self.target = Some(shape);
        Ok(())
    }

    fn set(&mut self, changes: &Changes) -> Result<(), RunError> {
        let c = changes.clone();
        let o = &mut self.options;
        // The warm-up that was laid out stays, however long the schedule becomes.
        let warmup = o.schedule().warmup;
        if c.steps.is_some() && c.lr_warmup.is_none() {
            o.lr_warmup = Some(warmup.min(c.steps.unwrap_or(warmup)));
        }
        fn put<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        put(&mut o.steps, c.steps);
        put(&mut o.batch, c.batch);
        put(&mut o.accumulate, c.accumulate);
        put(&mut o.recompute, c.recompute);
        put(&mut o.elastic, c.elastic);
        put(&mut o.lr, c.lr);
        if c.lr_warmup.is_some() {
            o.lr_warmup = c.lr_warmup;
        }
        put(&mut o.lr_floor, c.lr_floor);
        put(&mut o.clip, c.clip);
        put(&mut o.eval_every, c.eval_every);
        put(&mut o.rule, c.rule);
        put(&mut o.eta, c.eta);
        put(&mut o.smoothing, c.smoothing);
        put(&mut o.bounds.floor, c.floor);
        put(&mut o.bounds.ceiling, c.ceiling);
        let mut asked = o.clone();
        asked.mixture = c.mixture.clone().or(asked.mixture);
        asked.check(self.mixture.names.len())?;
        let mixture = &mut self.mixture;
        if let Some(weights) = c.mixture {
            let (names, reference) = (mixture.names.clone(), mixture.reference.clone());
            mixture.weights = Mixture::new(names, weights, reference, asked.rule)?.weights;
        }
        put(&mut mixture.reference, c.reference);
        (mixture.rule, mixture.eta, mixture.smoothing) = (asked.rule, asked.eta, asked.smoothing);
        mixture.bounds = asked.bounds;
        mixture.check()?;
        mixture.bounds.project(&mut mixture.weights);
        let tokens = self.trainer.config().tokens;
        self.trainer.configure(trainer_config(&self.options, tokens));
        if c.gate_lr.or(c.multiplier_lr).or(c.sparsity).is_some() || c.sparsity_warmup.is_some() {
            super::options::check_rates(c.gate_lr, c.multiplier_lr, c.sparsity)?;
            let shear = self.shear()?;
            put(&mut shear.rates.gates, c.gate_lr);
            put(&mut shear.rates.multipliers, c.multiplier_lr);
            put(&mut shear.lagrangian.warmup, c.sparsity_warmup);
            if let Some(sparsity) = c.sparsity {
                match &mut shear.lagrangian.constraint {
                    Constraint::Sparsity(aim) => *aim = sparsity,
                    Constraint::Shape => return Err(crate::gate::GateError::NoSparsity.into()),
                }
            }
        }
        Ok(())
    }

    /// The state without tensors, journal and data.
    pub fn saved(&self) -> Saved {
        Saved {
            step: self.step,
            tokens: self.tokens,
            due: self.due,
            options: self.options.clone(),
            target: self.target,
            updates: self.trainer.parameters().updates(),
            shear: self.trainer.shear.clone(),
            loader: self.loader.state(),
            mixture: self.mixture.clone(),
            steps: self.history.steps.to_vec(),
            evaluations: self.history.evaluations.to_vec(),
            marks: self.history.marks.to_vec(),
            epochs: self.history.epochs.to_vec(),
            decided: self.decisions.taken(),
        }
    }

    /// Hashes everything that decides how the run goes on, and its history: weights, moments, gates,
    /// multipliers, random streams, loader, mixture, options, and the hashes of the source and of a
    /// teacher that was given.
    ///
    /// # Errors
    /// candle's, if a device cannot be read.
    pub fn hash(&self, source: &str, teacher: Option<&str>) -> Result<String, RunError> {
        let mut digest = Digest::of("woolshed run 1");
        digest.text(source);
        if let Some(teacher) = teacher {
            digest.text("teacher");
            digest.text(teacher);
        }
        let json = serde_json::to_string(&self.saved()).map_err(RunError::Json)?;
        digest.text(&json);
        for (name, tensor) in self.trainer.parameters().named() {
            digest.tensor(&name, tensor)?;
        }
        Ok(digest.hex())
    }

    /// Bytes that a snapshot of this state holds once the run has moved on.
    pub fn bytes(&self) -> u64 {
        let gates = self.trainer.shear.as_ref().map_or(0, |shear| {
            // Log-alpha, two moments, last sample and gradient: five f64 a gate.
            shear.gates.tables.iter().map(|table| 5 * 8 * table.log_alpha.len() as u64).sum()
        });
        let records = 256 * self.history.steps.len() as u64;
        self.trainer.parameters().bytes() + gates + records
    }
}
