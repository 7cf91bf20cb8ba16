//! Where the time of a run's steps goes, and what leaving out closed parts has saved.
//!
//! Times are of this handle since it was made or resumed; they are no part of the run: neither its hash
//! nor its files know them.

use crate::train::Clock;

/// Seconds of the steps taken so far, part by part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Speed {
    /// Steps taken.
    pub steps: u64,
    /// Tokens of these steps.
    pub tokens: u64,
    /// Drawing batches.
    pub loader: f64,
    /// What the steps themselves measured.
    pub step: Clock,
    /// Evaluations of the domains.
    pub evaluation: f64,
    /// Telling the caller: the progress line, warnings.
    pub panel: f64,
    /// Snapshots in memory and saves.
    pub keeping: f64,
    /// What the steps would have taken more over everything, an estimate: the time of forward, head and
    /// backward pass in proportion to the products that were left out.
    pub saved: f64,
}

impl Speed {
    /// Takes in a step.
    pub(super) fn take(&mut self, tokens: u64, loader: f64, step: &Clock) {
        self.steps += 1;
        self.tokens += tokens;
        self.loader += loader;
        self.step.add(step);
        if step.computed > 0.0 {
            self.saved += step.passes() * (1.0 / step.computed - 1.0);
        }
    }

    /// Share of the products with weights that the steps computed, 1 for everything.
    pub fn computed(&self) -> f64 {
        if self.steps == 0 { 1.0 } else { self.step.computed / self.steps as f64 }
    }

    /// The parts with their seconds, in the order of a step.
    pub fn parts(&self) -> [(&'static str, f64); 8] {
        [
            ("loader", self.loader),
            ("forward", self.step.forward),
            ("head and loss", self.step.head),
            ("backward", self.step.backward),
            ("optimiser", self.step.optimiser),
            ("evaluation", self.evaluation),
            ("panel", self.panel),
            ("snapshots and saves", self.keeping),
        ]
    }

    /// All of it, seconds.
    pub fn total(&self) -> f64 {
        self.parts().iter().map(|part| part.1).sum()
    }
}
