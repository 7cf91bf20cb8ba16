//! What can go wrong with a run.

use std::path::PathBuf;

use crate::{data::DataError, gate::GateError, model::ModelError, shape::ShapeError};

/// An error of a run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An option has a value that cannot be.
    #[error("option `{option}` is {value}: {why}; nearest legal value: {nearest}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        why: String,
        /// The nearest legal value.
        nearest: String,
    },
    /// A reference loss is missing or names no domain.
    #[error("option `reference`: {why}; domains: {domains}")]
    Reference {
        /// What is wrong.
        why: String,
        /// The domains there are.
        domains: String,
    },
    /// Something was asked of the gates of a run that has none.
    #[error("this run recovers a plain model and has no gates; ask the run that `prune` gave")]
    NoGates,
    /// The run has no gates that could keep a layer.
    #[error(
        "this run keeps every layer: it has no `layer`, `head_layer` or `mlp` gates to hold open; to prune layers, start it with a target that has fewer"
    )]
    NoLayerGates,
    /// No such layer.
    #[error("there is no layer {layer}: layers are 0..{layers}; nearest: {}", layers - 1)]
    NoLayer {
        /// The layer asked for.
        layer: usize,
        /// Layers of the source.
        layers: usize,
    },
    /// A step that is yet to come.
    #[error("the run is at step {now}, and step {step} is yet to come; take {} more steps", step - now)]
    NotYet {
        /// The step asked for.
        step: u64,
        /// Where the run stands.
        now: u64,
    },
    /// No snapshot to go back to.
    #[error("no snapshot of step {step}{}", kept_steps(*step, .kept))]
    NoSnapshot {
        /// The step asked for.
        step: u64,
        /// The steps there are snapshots of.
        kept: Vec<u64>,
    },
    /// The run has no best evaluation.
    #[error(
        "the run has no best evaluation: {}",
        if *gates {
            "it has gates, and its losses rise as they close; ask the recovery that follows"
        } else {
            "nothing was evaluated yet; take `eval_every` steps or evaluate now"
        }
    )]
    NoBest {
        /// It learns gates.
        gates: bool,
    },
    /// The system refused.
    #[error("cannot {verb} {}: {source}", .path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder holds no saved run.
    #[error(
        "{} holds no saved run: {why}; give a folder that `save` has written",
        .dir.display()
    )]
    NotARun {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A newer engine wrote it.
    #[error(
        "{} was written by {by} in format {version}, and this version reads formats up to {reads}; resume it with the newer version",
        .path.display()
    )]
    Newer {
        /// The file that says so.
        path: PathBuf,
        /// Its format.
        version: u64,
        /// The newest format this engine reads.
        reads: u64,
        /// What wrote it.
        by: String,
    },
    /// A file is not what was written.
    #[error("{} is damaged: {what}; {hint}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to try.
        hint: String,
    },
    /// The folder belongs to another run.
    #[error("{} holds another run: {why}; save into another folder", .dir.display())]
    OtherRun {
        /// The folder.
        dir: PathBuf,
        /// How it differs.
        why: String,
    },
    /// A value that JSON cannot hold, or JSON that is not what was written.
    #[error("the state of the run: {0}")]
    Json(serde_json::Error),
    /// The loss is no number any more.
    #[error(
        "the loss is {loss} at step {step}; the run stays at step {step} - start again with a lower `lr` (now {lr:e})"
    )]
    Diverged {
        /// The step that failed.
        step: u64,
        /// The loss it gave.
        loss: f64,
        /// The learning rate.
        lr: f64,
    },
    /// The caller asked the work to stop.
    #[error("interrupted")]
    Interrupted,
    /// Of shapes.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Of models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Of gates.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// Of data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// The snapshots there are, and the nearest.
fn kept_steps(step: u64, kept: &[u64]) -> String {
    let Some(nearest) = kept.iter().min_by_key(|k| k.abs_diff(step)) else {
        return ": none is kept in memory; save the run to a folder and resume it, or raise `snapshot_mb`".into();
    };
    let list: Vec<String> = kept.iter().map(u64::to_string).collect();
    format!("; there are {}; nearest: {nearest}", list.join(", "))
}
