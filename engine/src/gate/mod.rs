//! Gates: one learned number for each layer, head group, MLP channel and hidden dimension.
//!
//! All gate arithmetic is done in f64 on the host: there are a few thousand gates at most, and their
//! values decide what is cut. Only the sampled values travel to the device of the model.
//!
//! | file | what it is for |
//! |---|---|
//! | `error.rs` | what can be wrong with gates |
//! | `hard_concrete.rs` | the distribution: sampling, probabilities, gradients |
//! | `kind.rs` | which gates there are and what they multiply |
//! | `gates.rs` | the gates of one run: values, targets, evaluation |
//! | `edit.rs` | gates held open or closed, moved, aimed elsewhere |
//! | `lagrangian.rs` | constraints that pull the gates to the target |
//! | `random.rs` | a random structure, for comparison |
//! | `ranked.rs` | a structure of the parts with the highest scores |

mod edit;
mod error;
mod gates;
mod hard_concrete;
mod kind;
mod lagrangian;
mod random;
mod ranked;

pub use edit::GatePlace;
pub use error::GateError;
pub use gates::{EvalMode, GateRow, GateTensors, GateValues, Gates, Table};
pub use hard_concrete::HardConcrete;
pub use kind::GateKind;
pub use lagrangian::{Constraint, Evaluation, Lagrangian, Multipliers};
