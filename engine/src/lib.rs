//! Woolshed's engine: structured pruning of Llama-family language models as a plain Rust library.
//!
//! Data flows one way: a [`model::Model`] and [`data::Domains`] go into a [`run::Run`], which learns
//! [`gate`]s for a [`shape::TargetShape`], and comes out as a smaller model, charts and tables
//! ([`view`]). Nothing here knows Rhai, Jupyter or a terminal. See `engine/src/README.md` for the rooms.

pub mod data;
pub mod device;
pub mod digest;
pub mod error;
pub mod files;
pub mod gate;
pub mod hub;
pub mod judge;
pub mod model;
pub mod names;
pub mod ops;
pub mod progress;
pub mod rng;
pub mod run;
pub mod shape;
pub mod train;
pub mod view;

pub use error::{Error, Result};
