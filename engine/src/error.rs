//! The union of the areas' errors, for callers that do not care which area failed.

/// Any error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Of shapes and targets.
    #[error(transparent)]
    Shape(#[from] crate::shape::ShapeError),
    /// Of devices.
    #[error(transparent)]
    Device(#[from] crate::device::DeviceError),
    /// Of models and their files.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Of gates.
    #[error(transparent)]
    Gate(#[from] crate::gate::GateError),
    /// Of domains and loaders.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// Of the judges.
    #[error(transparent)]
    Judge(#[from] crate::judge::JudgeError),
    /// Of runs.
    #[error(transparent)]
    Run(#[from] crate::run::RunError),
    /// Of charts and tables.
    #[error(transparent)]
    View(#[from] crate::view::ViewError),
}

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// True when the work stopped because its caller asked.
    pub fn is_interrupted(&self) -> bool {
        use crate::{
            data::DataError, gate::GateError, hub::HubError, judge::JudgeError, model::ModelError,
            run::RunError,
        };
        let data = |error: &DataError| {
            matches!(error, DataError::Interrupted { .. } | DataError::Hub(HubError::Interrupted))
        };
        match self {
            Self::Model(ModelError::Interrupted)
            | Self::Gate(GateError::Interrupted)
            | Self::Judge(JudgeError::Model(ModelError::Interrupted))
            | Self::Run(RunError::Interrupted | RunError::Model(ModelError::Interrupted)) => true,
            Self::Data(error) | Self::Run(RunError::Data(error)) => data(error),
            _ => false,
        }
    }
}
