//! What long work tells its caller while it runs, and how the caller asks it to stop.
//!
//! Every operation that can take more than 50 ms takes a [`Watch`]. It reports with
//! [`Watch::tick`] and polls [`Watch::stop_requested`] at every natural boundary (a step, a batch, a
//! file, a chunk of a download). Stopping leaves every handle usable.

/// A moment of long work.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// What is being done, in a few words: `prune`, `tokenise book`, `download model.safetensors`.
    pub what: String,
    /// How much is done, in `unit`.
    pub done: u64,
    /// How much there is in all, when known.
    pub total: Option<u64>,
    /// What is counted: `steps`, `bytes`, `documents`, `tokens`.
    pub unit: &'static str,
    /// What else a person would like to see on the line: `loss 2.31 · head 0.21/0.25`.
    pub note: String,
}

/// The caller's side of long work: sees progress, may ask it to stop.
pub trait Watch: Sync {
    /// Takes a report. Cheap to call: an implementation limits how often it draws.
    fn tick(&self, _progress: &Progress) {}

    /// True once the caller wants the work to stop at the next boundary.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// Nobody watches and nobody stops the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
