//! What long work tells its caller while it runs, and how the caller asks it to stop.
//!
//! Every operation that can take more than 50 ms takes a [`Watch`]. It reports with
//! [`Watch::tick`] and polls [`Watch::stop_requested`] at every natural boundary (a step, a batch, a
//! file, a chunk of a download). Stopping leaves every handle usable.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// A share that work moves: a sparsity on its way to a target, a domain's part of the mixture.
#[derive(Clone, Debug, PartialEq)]
pub struct Gauge {
    /// What it belongs to: `sparsity`, `mixture`.
    pub group: &'static str,
    /// What it is: a gate kind, a domain.
    pub name: String,
    /// Where it stands, from 0 to 1.
    pub value: f64,
    /// Where it is to go, from 0 to 1, when that is known.
    pub aim: Option<f64>,
}

/// A number over the work so far: the loss of the steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Trail {
    /// What it is, with its unit: `loss, nats/token`.
    pub name: String,
    /// Its values, first to last; at most [`Trail::MOST`].
    pub values: Vec<f64>,
}

impl Trail {
    /// The most values of a trail: one for each point of a small picture.
    pub const MOST: usize = 120;

    /// A trail of many values: each that is left is the mean of its neighbours.
    pub fn of(name: impl Into<String>, values: impl ExactSizeIterator<Item = f64>) -> Self {
        let (many, mut values) = (values.len(), values);
        let most = many.min(Self::MOST);
        let mean = |i: usize| {
            let count = (i + 1) * many / most - i * many / most;
            values.by_ref().take(count).sum::<f64>() / count as f64
        };
        Self { name: name.into(), values: (0..most).map(mean).collect() }
    }
}

/// What a person sees beside the bar of long work, where there is room for a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// What the gauges and trails leave out: `loss 2.31 · 3,120 tokens/s`.
    pub note: String,
    /// Shares on their way.
    pub gauges: Vec<Gauge>,
    /// Numbers so far.
    pub trails: Vec<Trail>,
}

/// The caller's side of long work: sees progress, may ask it to stop.
pub trait Watch: Sync {
    /// Takes a report. Cheap to call: an implementation limits how often it draws.
    fn tick(&self, _progress: &Progress) {}

    /// Takes a report with more to see. `detail` is made only when it is drawn, so that work may
    /// report every step.
    fn tick_with(&self, progress: &Progress, _detail: &dyn Fn() -> Detail) {
        self.tick(progress);
    }

    /// True once the caller wants the work to stop at the next boundary.
    fn stop_requested(&self) -> bool {
        false
    }
}

/// A wish to stop that stays once it was seen: work that left out a part knows so at its end. Any thread
/// may ask.
pub(crate) struct Stop<'a> {
    watch: &'a dyn Watch,
    raised: AtomicBool,
}

impl<'a> Stop<'a> {
    /// Nobody stops the work.
    pub fn never() -> Stop<'static> {
        Stop::by(&Unwatched)
    }

    /// Asks `watch`.
    pub fn by(watch: &'a dyn Watch) -> Self {
        Self { watch, raised: AtomicBool::new(false) }
    }

    /// True from the first time that the watch wants a stop.
    pub fn raised(&self) -> bool {
        if !self.raised.load(Ordering::Relaxed) && self.watch.stop_requested() {
            self.raised.store(true, Ordering::Relaxed);
        }
        self.raised.load(Ordering::Relaxed)
    }
}

/// Nobody watches and nobody stops the work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_trail_is_shortened_to_means_and_a_short_one_is_kept() {
        let ramp = |n: u32| Trail::of("loss", (0..n).map(f64::from));
        assert_eq!(ramp(3).values, [0.0, 1.0, 2.0]);
        assert!(ramp(0).values.is_empty());
        let long = ramp(1201).values;
        assert_eq!(long.len(), Trail::MOST);
        // Ten or eleven values a mean: 0 to 9 give 4.5, 1190 to 1200 give 1195.
        assert_eq!((long[0], long[119]), (4.5, 1195.0));
    }
}
