//! What can go wrong while a model is judged.

use crate::{gate::GateError, model::ModelError};

/// An error of the judges.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// There is nothing to run the model on.
    #[error("there are no rows to run the model on; give at least one row of tokens")]
    NoRows,
    /// The ids are no whole rows.
    #[error(
        "{ids} ids are no whole rows of {tokens} tokens; give {nearest} ids, {} rows",
        nearest / tokens
    )]
    PartRow {
        /// How many ids there are.
        ids: usize,
        /// Tokens a row.
        tokens: usize,
        /// The nearest number of ids that makes whole rows.
        nearest: usize,
    },
    /// Of models.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Of gates.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// A tensor operation failed.
    #[error("judging a model: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl JudgeError {
    /// True when the work stopped because its caller asked.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Model(ModelError::Interrupted))
    }
}

/// Checks that `ids` are whole rows that a model of `positions` positions takes.
pub(super) fn whole_rows(ids: usize, tokens: usize, positions: usize) -> Result<(), JudgeError> {
    if ids == 0 || tokens == 0 {
        return Err(JudgeError::NoRows);
    }
    if tokens > positions {
        return Err(ModelError::TooLong { tokens, max: positions }.into());
    }
    if !ids.is_multiple_of(tokens) {
        let nearest = (ids as f64 / tokens as f64).round().max(1.0) as usize * tokens;
        return Err(JudgeError::PartRow { ids, tokens, nearest });
    }
    Ok(())
}
