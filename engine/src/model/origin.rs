//! How a model was made: enough to make it again.
//!
//! An origin is data without the weights. It is what a run's script is printed from and what an
//! exported model carries; two models of one origin, on one machine, are the same.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::shape::TargetShape;

/// How a model was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelOrigin {
    /// The model inside the program.
    Demo,
    /// Loaded from a folder.
    Folder {
        /// The folder, absolute.
        path: PathBuf,
    },
    /// Loaded from the hub.
    Hub {
        /// Its id, `org/name`.
        id: String,
        /// Its commit, or the revision asked for where the cache does not know the commit.
        commit: String,
    },
    /// Random weights.
    Random {
        /// Its configuration, as `config.json` would hold it.
        config: serde_json::Value,
        /// Seed of the weights.
        seed: u64,
    },
    /// A random structure of a target shape.
    RandomCut {
        /// The model it was cut from.
        of: Box<ModelOrigin>,
        /// The shape it was cut to.
        target: TargetShape,
        /// Seed of the choice.
        seed: u64,
    },
    /// The structure of a target shape whose weights are largest.
    MagnitudeCut {
        /// The model it was cut from.
        of: Box<ModelOrigin>,
        /// The shape it was cut to.
        target: TargetShape,
    },
    /// Taken out of a run.
    Extracted {
        /// The run, as its own origin writes itself: `run::RunOrigin` stands on a higher floor.
        run: Box<serde_json::Value>,
    },
    /// Put together by a program, which alone knows how.
    #[default]
    Unknown,
}
