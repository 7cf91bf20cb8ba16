//! Runs on disk: saved whole or not at all, checked when they are read.
//!
//! ```text
//! DIR/run.json                        which snapshots there are; the last is the one to resume, and
//!                                     that of a recovery's best evaluation stays beside them
//! DIR/source/                         the model the run started from, written once
//! DIR/step-00000120-1a2b3c4d/         one snapshot: its step and the beginning of the run's hash
//!     state.json                      options, gates, multipliers, loader, mixture, history, journal
//!     tensors.safetensors             weight/NAME, first/NAME, second/NAME: weights and moments
//!     sums.json                       bytes and SHA-256 of the other files
//! ```
//!
//! A folder is filled under a name that begins with a dot, brought to the disk, and renamed; then
//! `run.json` is replaced in one move. A kill at any instant leaves the `run.json` of before or
//! after, and both name whole snapshots. What a killed save leaves behind, the next one removes.
//!
//! | file | what it is for |
//! |---|---|
//! | `layout.rs` | names, versions, the two JSON files that describe a folder |
//! | `write.rs` | saving, and saving every few steps |
//! | `read.rs` | resuming |

mod layout;
mod read;
mod write;

pub use read::ResumeOptions;
pub use write::Autosave;
