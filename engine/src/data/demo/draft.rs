//! A document while it is written: its words, and the price of every choice made so far.

use crate::rng::Stream;

/// A document of a demo corpus.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its words; joined by spaces they are its text, and each is one token.
    pub words: Vec<&'static str>,
    /// -ln p(document), nats: what a perfect model pays for it, the end included.
    pub nats: f64,
}

impl Document {
    /// Gives the text.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }
}

/// The writing side of a [`Document`].
#[derive(Debug)]
pub(super) struct Draft {
    stream: Stream,
    document: Document,
}

impl Draft {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, document: Document { words: Vec::new(), nats: 0.0 } }
    }

    /// Writes a word that follows from what was chosen: costs nothing.
    pub(super) fn say(&mut self, word: &'static str) {
        self.document.words.push(word);
    }

    /// Chooses an index with probability proportional to `weights` and pays for it.
    pub(super) fn choose(&mut self, weights: &[f64]) -> usize {
        let i = self.stream.weighted(weights);
        self.document.nats -= (weights[i] / weights.iter().sum::<f64>()).ln();
        i
    }

    /// Chooses one of 0..n with equal probability and pays ln n.
    pub(super) fn any(&mut self, n: usize) -> usize {
        self.document.nats += (n as f64).ln();
        self.stream.below(n as u64) as usize
    }

    /// Chooses `n` different ones of `from` in a random order and pays for order and choice.
    pub(super) fn different(&mut self, n: usize, from: &[&'static str]) -> Vec<&'static str> {
        let mut left = from.to_vec();
        (0..n).map(|_| left.remove(self.any(left.len()))).collect()
    }

    pub(super) fn finish(self) -> Document {
        self.document
    }
}

/// What a piece of text costs and how long it is, in expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Nats.
    pub nats: f64,
    /// Tokens.
    pub tokens: f64,
}

/// Gives the entropy of a choice with probabilities proportional to `weights`, nats.
pub(super) fn entropy(weights: impl Iterator<Item = f64> + Clone) -> f64 {
    let sum: f64 = weights.clone().sum();
    weights.map(|w| -(w / sum) * (w / sum).ln()).sum()
}

/// Gives ln of the number of ordered choices of `n` different things out of `from`.
pub(super) fn ln_arrangements(n: usize, from: usize) -> f64 {
    (0..n).map(|i| ((from - i) as f64).ln()).sum()
}
