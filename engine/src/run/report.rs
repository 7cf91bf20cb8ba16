//! Where a run stands, for people: status, and the line of progress.

use std::time::Instant;

use super::state::State;
use super::{EpochRecord, Warning};
use crate::gate::{Constraint, GateKind, Multipliers};
use crate::progress::{Detail, Gauge, Progress, Trail};

/// What a call of [`super::Run::step`] did.
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
    /// Edits made so far.
    pub edits: usize,
    /// Where each domain that has been used up began again, the last time.
    pub epochs: Vec<EpochRecord>,
    /// What a person should know: a mixture gone astray, references beyond what is known.
    pub warnings: Vec<Warning>,
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

impl State {
    /// Says where the run stands.
    pub fn status(&self) -> RunStatus {
        let last = self.history.steps().last();
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
            tokens: self.tokens,
            sparsity,
            overall,
            edits: self.history.marks().len(),
            epochs: self.history.last_epochs(),
            warnings: Vec::new(),
        }
    }

    /// The sparsities on their way to their targets, and the mixture.
    pub fn gauges(&self) -> Vec<Gauge> {
        let mut gauges = Vec::new();
        let status = self.status();
        for (kind, k) in &status.sparsity {
            gauges.push(Gauge {
                group: "sparsity",
                name: kind.to_string(),
                value: k.expected,
                aim: k.target,
            });
        }
        if let (Some(value), Some(shear)) = (status.overall, &self.trainer.shear)
            && let Constraint::Sparsity(aim) = shear.lagrangian.constraint
        {
            let name = "prunable parameters".to_string();
            gauges.push(Gauge { group: "sparsity", name, value, aim: Some(aim) });
        }
        let mixture = &self.mixture;
        for (name, &value) in mixture.names.iter().zip(&mixture.weights) {
            gauges.push(Gauge { group: "mixture", name: name.clone(), value, aim: None });
        }
        gauges
    }

    /// The training loss of the steps so far.
    pub fn loss_trail(&self) -> Trail {
        Trail::of("loss", self.history.steps().iter().map(|s| s.figures.loss))
    }

    /// What stands beside the line of a call that began at step and moment `since`, or of the run.
    pub fn detail(&self, since: Option<(u64, Instant)>) -> Detail {
        let loss = self.history.steps().last().map(|s| format!("loss {:.3}", s.figures.loss));
        let pace = since.map(|(first, begin)| self.pace(first, begin));
        let note = loss.into_iter().chain(pace).collect::<Vec<_>>().join(" · ");
        Detail { note, gauges: self.gauges(), trails: vec![self.loss_trail()] }
    }

    /// Training tokens a second since a call began at step `first`.
    fn pace(&self, first: u64, begin: Instant) -> String {
        let tokens = (self.step - first) * self.tokens_per_step();
        let rate = tokens as f64 / begin.elapsed().as_secs_f64().max(1e-9);
        format!("{rate:.0} tokens/s")
    }

    /// The line of a call that began at step `first` and takes `n` steps.
    pub fn progress(&self, first: u64, n: u64, begin: Instant) -> Progress {
        let what = if self.trainer.shear.is_some() { "prune" } else { "recover" };
        let mut note = String::new();
        if let Some(last) = self.history.steps().last() {
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
        let begun = self.history.epochs().iter().rev().take_while(|e| e.step > first);
        let mut begun: Vec<&EpochRecord> = begun.collect();
        begun.sort_by_key(|e| e.epoch);
        if let Some(epoch) = begun.last() {
            note.push_str(&format!(" · {epoch}"));
        }
        note.push_str(&format!(" · {}", self.pace(first, begin)));
        Progress { what: what.into(), done: self.step - first, total: Some(n), unit: "steps", note }
    }
}
