//! How domains were made: enough to make them again.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::domains::{DomainOptions, Domains};
use super::pack::Special;
use super::{Choice, DataError, demo};
use crate::hub::HubOptions;
use crate::model::Tokenizer;
use crate::progress::Watch;

/// How domains were made, short of the tokenizer: rows are made for a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DataOrigin {
    /// The generated corpora.
    Demo {
        /// How documents become rows.
        options: DomainOptions,
        /// Seed of the documents.
        seed: u64,
    },
    /// Read from a folder.
    Folder {
        /// The folder, absolute.
        path: PathBuf,
        /// How documents become rows.
        options: DomainOptions,
    },
    /// Fetched from the hub.
    Hub {
        /// `org/name`.
        id: String,
        /// The commit its files are from.
        commit: String,
        /// Which of its files.
        choice: Choice,
        /// How documents become rows.
        options: DomainOptions,
    },
    /// Texts in memory.
    Texts {
        /// The documents of each domain.
        texts: Vec<(String, Vec<String>)>,
        /// How documents become rows.
        options: DomainOptions,
    },
    /// Put together by a program, which alone knows how.
    #[default]
    Unknown,
}

impl DataOrigin {
    /// Makes the domains again.
    ///
    /// # Errors
    /// Those of the way they were made; [`DataError::UnknownOrigin`].
    pub fn open(
        &self,
        tokenizer: &Tokenizer,
        special: Special,
        watch: &dyn Watch,
    ) -> Result<Domains, DataError> {
        match self {
            Self::Demo { options, seed } => demo::domains(options, *seed, watch),
            Self::Folder { path, options } => {
                Domains::load(path, tokenizer, special, options, watch)
            }
            Self::Hub { id, commit, choice, options } => {
                let hub = HubOptions { revision: commit.clone(), ..HubOptions::default() };
                Domains::from_hub(id, choice, &hub, tokenizer, special, options, watch)
            }
            Self::Texts { texts, options } => {
                Domains::from_texts(texts, tokenizer, special, options)
            }
            Self::Unknown => Err(DataError::UnknownOrigin),
        }
    }
}
