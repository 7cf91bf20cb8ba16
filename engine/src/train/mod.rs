//! One training step, and what it needs: optimiser state, schedule, clipping.
//!
//! | file | what it is for |
//! |---|---|
//! | `adam.rs` | Adam over numbers on the host (gates, multipliers) |
//! | `clock.rs` | where the time of a step goes |
//! | `gradient.rs` | loss and gradients of a micro-batch: by hand, or by a graph, straight or layer by layer |
//! | `lora.rs` | low-rank changes of frozen weights |
//! | `parameters.rs` | weights with their Adam moments, shared until changed |
//! | `schedule.rs` | the factor on every learning rate |
//! | `shear.rs` | gates, constraints and their optimisers |
//! | `step.rs` | the step: forward, backward, clip, update |

mod adam;
mod clock;
mod gradient;
mod lora;
mod parameters;
mod schedule;
mod shear;
mod step;

pub use adam::{AdamConfig, HostAdam};
pub use clock::Clock;
pub use gradient::Distill;
pub use lora::{Lora, Projection, UnknownProjection};
pub use parameters::Parameters;
pub use schedule::Schedule;
pub use shear::{LastStep, Shear, ShearRates};
pub use step::{GradNorms, StepFigures, StepOutcome, Trainer, TrainerConfig};

/// The factor that brings a gradient of norm `norm` to at most `limit`: min(1, limit / (norm + 1e-6)).
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}
