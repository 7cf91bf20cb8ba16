//! How a run came to be: source, data, options and journal - enough to make it again from nothing.

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::{ShearOptions, TeacherOrigin, TrainOptions};
use crate::data::DataOrigin;
use crate::model::{Model, ModelOrigin};
use crate::shape::{ModelShape, TargetShape};

/// How a run came to be.
///
/// Two runs of one origin, on one machine and with one number of threads, have the same hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOrigin {
    /// Version of the engine that made it.
    pub version: String,
    /// The model it started from.
    pub model: ModelOrigin,
    /// SHA-256 of that model: configuration and weights.
    pub model_sha256: String,
    /// The domains it draws from.
    pub domains: DataOrigin,
    /// SHA-256 of their rows.
    pub data_sha256: String,
    /// What it does.
    pub how: How,
    /// The teacher that was given; none without one, and where the model itself is the teacher of a
    /// run that shears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherOrigin>,
    /// The options it was started with.
    pub train: TrainOptions,
    /// What was done to it since.
    pub journal: Journal,
}

/// What a run does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum How {
    /// Learns gates.
    Shear {
        /// The shape it was started for; in the global mode it has no effect.
        target: TargetShape,
        /// Options of the gates.
        options: Box<ShearOptions>,
    },
    /// Continues pre-training.
    Recover,
}

impl How {
    /// Parameters of the model that the run is to give, embeddings included.
    pub(super) fn parameters(&self, source: &Model, target: Option<&ModelShape>) -> f64 {
        let shape = source.shape();
        match (self, target) {
            (_, Some(target)) => target.parameters() as f64,
            (Self::Shear { options, .. }, None) => {
                let gone = options.sparsity.unwrap_or(0.0) * shape.prunable() as f64;
                shape.parameters() as f64 - gone
            }
            (Self::Recover, None) => shape.parameters() as f64,
        }
    }
}
