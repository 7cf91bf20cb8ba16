//! What a model is worth: loss by domain.
//!
//! | file | what it is for |
//! |---|---|
//! | `domains.rs` | nats/token on the evaluation rows of each domain |

mod domains;

pub use domains::{domain_losses, model_losses};
