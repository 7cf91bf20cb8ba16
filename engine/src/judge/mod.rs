//! What a model is worth: loss by domain, what it costs, what its layers do, whether its cut equals it.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can go wrong |
//! | `domains.rs` | nats/token on the evaluation rows of each domain |
//! | `check.rs` | masked equals cut, place by place |
//! | `similarity.rs` | how alike the residual stream is before and after each layer |
//! | `size.rs` | parameters, arithmetic, memory and measured speed |
//! | `preview.rs` | which parameters would go now |
//! | `tiny.rs` | small models and gates, for tests |

mod check;
mod domains;
mod error;
mod preview;
mod similarity;
mod size;
#[cfg(test)]
mod tiny;

pub use check::{Check, CheckRow, check, tolerance};
pub use domains::{domain_losses, model_losses};
pub use error::JudgeError;
pub use preview::{LayerPreview, Part, PartCount, Preview, preview};
pub use similarity::{ROWS_A_DOMAIN, Similarity, similarity};
pub use size::{Cost, Speed, speed};
