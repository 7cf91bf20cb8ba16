//! Text to batches: domains, the loader that mixes them, and the mixture that learns from losses.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong, with file, line and one thing to try |
//! | `layout.rs` | what a data folder holds: domains, and the form of each |
//! | `read.rs` | documents out of files |
//! | `tokenise.rs` | documents to token ids, in parallel |
//! | `pack.rs` | documents to rows of T tokens |
//! | `rows.rs` | training rows, in memory or in mapped files |
//! | `domains.rs` | the named domains of a run |
//! | `load.rs` | domains from a folder |
//! | `remote.rs` | a data set of the hub as a folder |
//! | `prepare.rs` | a folder of text to token files or shards, in a way that can be gone on with |
//! | `formats/` | shards, token files, parquet: bit by bit |
//! | `texts.rs` | domains from texts in memory |
//! | `origin.rs` | how domains were made |
//! | `loader.rs` | batches drawn by mixture weights, with a small resumable state |
//! | `prefetch.rs` | rows on disk, read before their turn |
//! | `order.rs` | the order of a domain's rows, without a list of them |
//! | `mixture.rs` | domain weights that follow the losses |
//! | `bounds.rs` | a floor under and a ceiling over every share |
//! | `rule.rs` | a mixture rule written by the user |
//! | `scaling.rs` | reference losses from three known models |
//! | `demo/` | five generated corpora with a known floor |
//! | `golden.rs` | where golden tests find their files |

mod bounds;
pub mod demo;
mod domains;
mod error;
mod formats;
#[cfg(test)]
mod golden;
mod layout;
mod load;
mod loader;
mod mixture;
mod order;
mod origin;
mod pack;
mod prefetch;
mod prepare;
mod read;
mod remote;
mod rows;
mod rule;
pub mod scaling;
mod texts;
mod tokenise;

pub use bounds::Bounds;
pub use domains::{Domain, DomainOptions, DomainSummary, Domains};
pub use error::DataError;
pub use formats::fault::{IndexFault, ShardFault};
pub use formats::ids::TokenType;
pub use formats::mds::{MdsColumn, MdsOptions, MdsWriter};
pub use loader::{Batch, Cursor, Loader, LoaderState};
pub use mixture::{Mixture, MixtureRule};
pub use origin::DataOrigin;
pub use pack::{Rows, Special};
pub use prepare::{PrepareFormat, PrepareOptions, Prepared, PreparedDomain, prepare};
pub use remote::{Choice, Fetched, fetch};
pub use rows::TrainRows;
pub use rule::{CustomRule, LossRecord, RuleFn, RuleInput};
pub use scaling::PowerLaw;
