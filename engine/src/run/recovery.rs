//! Recovery: options of how a step makes its gradients, the teacher, what it is compared with, its best.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::options::{positive, refuse};
use super::{How, Run, RunError, TrainOptions};
use crate::data::Domains;
use crate::judge;
use crate::model::{Model, ModelOrigin};
use crate::progress::Watch;
use crate::train::{Lora, Projection};

/// The type a run computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The type of the model: f32, or f64 in checks.
    #[default]
    F32,
    /// bfloat16, on a device that has it.
    Bf16,
}

impl Precision {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

pub(super) fn one() -> usize {
    1
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_yes(on: &bool) -> bool {
    *on
}

pub(super) fn is_one(n: &usize) -> bool {
    *n == 1
}

/// The model that a run learns from beside the text, as its origin has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherOrigin {
    /// How it was made.
    pub model: ModelOrigin,
    /// SHA-256 of its configuration and weights.
    pub sha256: String,
}

/// A teacher that is given, with its hash.
#[derive(Clone, Debug)]
pub(super) struct Teacher {
    pub model: Model,
    pub sha256: String,
}

/// The evaluation of a run with the lowest mean loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// Steps taken before it.
    pub step: u64,
    /// Mean of the domains' losses, nats/token.
    pub loss: f64,
}

/// Checks what stands in the options alone.
///
/// # Errors
/// The first option that is out of range, with the nearest legal value.
pub(super) fn check(options: &TrainOptions) -> Result<(), RunError> {
    if options.accumulate == 0 {
        refuse("accumulate", 0, "at least 1", 1)?;
    }
    if options.dtype == Precision::Bf16 {
        refuse(
            "dtype",
            "bf16",
            "the CPU computes in f32, and so do runs on a CUDA device; `bench` has bf16 there",
            "f32",
        )?;
    }
    if let Some(distill) = &options.distill {
        let w = distill.weight;
        if !(w > 0.0 && w <= 1.0) {
            let nearest = if w > 1.0 { 1.0 } else { 0.5 };
            refuse("distill.weight", w, "a share of the loss, above 0 and at most 1", nearest)?;
        }
        positive("distill.temperature", distill.temperature, 1.0)?;
    }
    let Some(lora) = &options.lora else { return Ok(()) };
    positive("lora.alpha", lora.alpha, 2.0 * lora.rank.max(1) as f64)?;
    let twice = lora.targets.iter().enumerate().any(|(i, t)| lora.targets[..i].contains(t));
    if lora.targets.is_empty() || twice {
        let shown: Vec<&str> = lora.targets.iter().map(|t| t.name()).collect();
        let why = "each of some projections, once";
        refuse("lora.targets", format!("[{}]", shown.join(", ")), why, Projection::names())?;
    }
    Ok(())
}

/// Checks low-rank options beside the model they change.
///
/// # Errors
/// A rank that no change can have; no weight to change.
pub(super) fn check_lora(lora: &Lora, model: &Model) -> Result<(), RunError> {
    let targeted = lora.targeted(&model.weights);
    let sides = targeted.iter().flat_map(|(_, t)| t.dims().iter().copied());
    let Some(most) = sides.min() else {
        let shown: Vec<&str> = lora.targets.iter().map(|t| t.name()).collect();
        let why = "the model has none of these projections";
        return refuse("lora.targets", shown.join(", "), why, Projection::names());
    };
    if lora.rank == 0 || lora.rank > most {
        let why = format!("from 1 to the smallest side of a changed weight, {most}");
        return refuse("lora.rank", lora.rank, &why, lora.rank.clamp(1, most));
    }
    Ok(())
}

/// Checks a teacher beside the model that learns.
///
/// # Errors
/// `distill` without a teacher or the reverse; another vocabulary; too few positions.
pub(super) fn check_teacher(
    options: &TrainOptions,
    teacher: Option<&Model>,
    model: &Model,
    tokens: usize,
) -> Result<(), RunError> {
    let Some(teacher) = teacher else {
        return match options.distill {
            None => Ok(()),
            Some(_) => refuse(
                "teacher",
                "absent",
                "`distill` learns from a teacher",
                "the model that this one was cut from",
            ),
        };
    };
    if options.distill.is_none() {
        let why = "a teacher has no effect without `distill`";
        return refuse("teacher", &teacher.name, why, "`distill: 0.5` beside it");
    }
    let (theirs, ours) = (teacher.config.vocab, model.config.vocab);
    if theirs != ours {
        let why = format!("it knows {theirs} tokens and this model {ours}");
        let nearest = "a teacher with this model's tokenizer";
        return refuse("teacher", &teacher.name, &why, nearest);
    }
    let positions = teacher.config.max_positions;
    if positions < tokens {
        let why = format!("it has {positions} positions and rows have {tokens} tokens");
        let nearest = format!("rows of {positions} tokens (`seq_len`)");
        return refuse("teacher", &teacher.name, &why, nearest);
    }
    Ok(())
}

/// What a saved model's provenance calls the reference losses it was made with.
pub(super) const REFERENCES: &str = "references";

/// The losses that [`Reference::Source`](super::Reference::Source) stands for, in the domains' order.
///
/// A model that was made by a run is a smaller or worn copy of what that run started from: it is
/// compared with the references of that run, which it carries by domain. Its own losses would be a
/// bar that any training clears.
///
/// # Errors
/// The evaluation's; an interrupt.
pub(super) fn source_losses(
    model: &Model,
    how: &How,
    domains: &Domains,
    watch: &dyn Watch,
) -> Result<Vec<f64>, RunError> {
    let carried = model.provenance.iter().rev().find_map(|(key, value)| {
        let (_, key) = key.split_once('.')?;
        (key == REFERENCES).then(|| serde_json::from_str::<BTreeMap<String, f64>>(value).ok())?
    });
    let names = domains.names();
    let inherited: Option<Vec<f64>> = carried.filter(|_| *how == How::Recover).and_then(|all| {
        names.iter().map(|name| all.get(name).copied().filter(|l| l.is_finite())).collect()
    });
    match inherited {
        Some(losses) => Ok(losses),
        None => Ok(judge::model_losses(model, domains, watch)?),
    }
}

impl Run {
    /// Gives the losses that a reference of `source` stands for, in the domains' order, nats/token:
    /// those of the source model; in a recovery of a model that another run made, the references of
    /// that run, if it knew the same domains.
    ///
    /// # Errors
    /// The evaluation's; an interrupt.
    pub fn source_losses(&self, watch: &dyn Watch) -> Result<Vec<f64>, RunError> {
        source_losses(self.source(), &self.start.how, self.loader().domains(), watch)
    }

    /// The evaluation with the lowest mean loss over the domains, the first of equal ones; none while
    /// nothing was evaluated, and none for a run with gates, whose losses rise as it closes them.
    pub fn best(&self) -> Option<Best> {
        self.state.best()
    }

    /// Gives the model of [`Run::best`]: from its snapshot, or by taking its steps again where that
    /// had no room. The run stays where it is.
    ///
    /// # Errors
    /// No evaluation yet; no snapshot that early; an interrupt.
    pub fn best_model(&self, watch: &dyn Watch) -> Result<Model, RunError> {
        let best = self.best().ok_or(RunError::NoBest { gates: self.gates().is_ok() })?;
        let mut branch = self.fork();
        branch.rewind(best.step, watch)?;
        branch.extract()
    }

    /// Goes back to the step of [`Run::best`], as [`Run::rewind`] does.
    ///
    /// # Errors
    /// As [`Run::best_model`].
    pub fn rewind_best(&mut self, watch: &dyn Watch) -> Result<Best, RunError> {
        let best = self.best().ok_or(RunError::NoBest { gates: self.gates().is_ok() })?;
        self.rewind(best.step, watch)?;
        Ok(best)
    }

    /// The model it learns from beside the text; none without `distill`.
    pub fn teacher(&self) -> Option<&Model> {
        self.start.teacher()
    }
}
