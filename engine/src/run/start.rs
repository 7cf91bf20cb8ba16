//! What a run was started with: source, teacher, options, first mixture.

use std::sync::OnceLock;

use super::recovery::Teacher;
use super::{How, RunError, TrainOptions};
use crate::model::Model;

/// What a run was started with; it never changes, and forks share it.
#[derive(Debug)]
pub(super) struct Start {
    pub source: Model,
    pub digest: OnceLock<String>,
    pub how: How,
    /// The teacher that was given.
    pub teacher: Option<Teacher>,
    pub options: TrainOptions,
    pub mixture: Vec<f64>,
}

impl Start {
    /// Hash of the source.
    pub fn digest(&self) -> Result<&str, RunError> {
        if self.digest.get().is_none() {
            let digest = self.source.digest()?;
            return Ok(self.digest.get_or_init(|| digest));
        }
        Ok(self.digest.get().map_or("", String::as_str))
    }

    /// The model that is learned from: the one given, or the source of a run that shears.
    pub fn teacher(&self) -> Option<&Model> {
        self.options.distill?;
        match (&self.teacher, &self.how) {
            (Some(teacher), _) => Some(&teacher.model),
            (None, How::Shear { .. }) => Some(&self.source),
            (None, How::Recover) => None,
        }
    }

    /// The teacher that a saved run has to hold: one that was given and is not the source.
    pub fn stored_teacher(&self) -> Result<Option<&Teacher>, RunError> {
        let source = self.digest()?;
        Ok(self.teacher.as_ref().filter(|teacher| teacher.sha256 != source))
    }

    /// Hash of the teacher that was given.
    pub fn teacher_sha256(&self) -> Option<&str> {
        self.teacher.as_ref().map(|teacher| teacher.sha256.as_str())
    }
}
