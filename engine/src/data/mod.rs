//! Text to batches: domains, the loader that mixes them, and the mixture that learns from losses.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong, with file, line and one thing to try |
//! | `read.rs` | documents out of files |
//! | `pack.rs` | documents to rows of T tokens |
//! | `domains.rs` | the named domains of a run |
//! | `load.rs` | domains from a folder, tokenised in parallel |
//! | `texts.rs` | domains from texts in memory |
//! | `origin.rs` | how domains were made |
//! | `loader.rs` | batches drawn by mixture weights, with a small resumable state |
//! | `mixture.rs` | domain weights that follow the losses |
//! | `scaling.rs` | reference losses from three known models |
//! | `demo/` | five generated corpora with a known floor |
//! | `golden.rs` | where golden tests find their files |

pub mod demo;
mod domains;
mod error;
#[cfg(test)]
mod golden;
mod load;
mod loader;
mod mixture;
mod origin;
mod pack;
mod read;
pub mod scaling;
mod texts;

pub use domains::{Domain, DomainOptions, DomainSummary, Domains};
pub use error::DataError;
pub use loader::{Batch, Cursor, Loader, LoaderState};
pub use mixture::{Mixture, MixtureRule};
pub use origin::DataOrigin;
pub use pack::{Rows, Special};
pub use scaling::PowerLaw;
