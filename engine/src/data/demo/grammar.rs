//! Probabilistic context-free grammars: writing, exact entropy, and the probability of a sentence.
//!
//! A rule rewrites a symbol in one of several ways, each with a weight. Without recursion the
//! entropy is a finite sum: H(A) = H(choice) + sum over ways p(way) * sum over its parts H(part).
//! That is also the cross-entropy of the text itself as long as no text has two derivations.

use std::collections::BTreeMap;

use super::draft::{Draft, Expected, entropy};

/// A rule as people write it: the symbol, then each way to rewrite it with its weight. A word in
/// capitals is a symbol, any other is text.
pub(super) type Rule = (&'static str, &'static [(u32, &'static [&'static str])]);

/// A grammar with its symbols resolved.
#[derive(Debug)]
pub(super) struct Grammar {
    rules: Vec<Vec<Way>>,
}

#[derive(Debug)]
struct Way {
    weight: f64,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Word(&'static str),
    Symbol(usize),
}

impl Grammar {
    /// Resolves the symbols; the first rule is the sentence. The tables are part of the program and
    /// tested, hence the panic.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let resolve = |word: &'static str| match rules.iter().position(|(name, _)| *name == word) {
            Some(symbol) => Part::Symbol(symbol),
            None => {
                assert!(!word.starts_with(|c: char| c.is_ascii_uppercase()), "no rule {word}");
                Part::Word(word)
            }
        };
        let way = |(weight, parts): &(u32, &'static [&'static str])| Way {
            weight: f64::from(*weight),
            parts: parts.iter().map(|word| resolve(word)).collect(),
        };
        Self { rules: rules.iter().map(|(_, ways)| ways.iter().map(way).collect()).collect() }
    }

    /// Writes one sentence.
    pub(super) fn write(&self, draft: &mut Draft) {
        self.rewrite(0, draft);
    }

    fn rewrite(&self, symbol: usize, draft: &mut Draft) {
        let ways = &self.rules[symbol];
        let weights: Vec<f64> = ways.iter().map(|way| way.weight).collect();
        let chosen = if ways.len() == 1 { 0 } else { draft.choose(&weights) };
        for part in &ways[chosen].parts {
            match *part {
                Part::Word(word) => draft.say(word),
                Part::Symbol(symbol) => self.rewrite(symbol, draft),
            }
        }
    }

    /// Gives the expected cost and length of a sentence.
    pub(super) fn expected(&self) -> Expected {
        self.expected_of(0)
    }

    fn expected_of(&self, symbol: usize) -> Expected {
        let ways = &self.rules[symbol];
        let sum: f64 = ways.iter().map(|way| way.weight).sum();
        let mut total = Expected { nats: entropy(ways.iter().map(|way| way.weight)), tokens: 0.0 };
        for way in ways {
            for part in &way.parts {
                let part = match *part {
                    Part::Word(_) => Expected { nats: 0.0, tokens: 1.0 },
                    Part::Symbol(symbol) => self.expected_of(symbol),
                };
                total.nats += way.weight / sum * part.nats;
                total.tokens += way.weight / sum * part.tokens;
            }
        }
        total
    }

    /// Gives every place where a sentence that starts at word 0 may end, with the probability of
    /// that sentence summed over all its derivations.
    pub(super) fn read(&self, words: &[&str]) -> BTreeMap<usize, f64> {
        self.read_symbol(0, words, 0)
    }

    fn read_symbol(&self, symbol: usize, words: &[&str], start: usize) -> BTreeMap<usize, f64> {
        let ways = &self.rules[symbol];
        let sum: f64 = ways.iter().map(|way| way.weight).sum();
        let mut ends = BTreeMap::new();
        for way in ways {
            let mut here = BTreeMap::from([(start, way.weight / sum)]);
            for part in &way.parts {
                let mut next = BTreeMap::new();
                for (at, p) in here {
                    match *part {
                        Part::Word(word) if words.get(at) == Some(&word) => {
                            *next.entry(at + 1).or_insert(0.0) += p;
                        }
                        Part::Word(_) => {}
                        Part::Symbol(symbol) => {
                            for (end, q) in self.read_symbol(symbol, words, at) {
                                *next.entry(end).or_insert(0.0) += p * q;
                            }
                        }
                    }
                }
                here = next;
            }
            for (end, p) in here {
                *ends.entry(end).or_insert(0.0) += p;
            }
        }
        ends
    }

    /// Lists the words in the order of the rules.
    pub(super) fn words(&self) -> Vec<&'static str> {
        let parts = self.rules.iter().flatten().flat_map(|way| &way.parts);
        parts
            .filter_map(|part| match part {
                Part::Word(word) => Some(*word),
                Part::Symbol(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entropy_and_probability_match_a_grammar_counted_by_hand() {
        let grammar = Grammar::new(&[
            ("S", &[(3, &["a", "N"]), (1, &["b"])]),
            ("N", &[(1, &["x"]), (1, &["y"])]),
        ]);
        // Texts: a x (3/8), a y (3/8), b (1/4).
        let nats = -2.0 * 0.375 * 0.375f64.ln() - 0.25 * 0.25f64.ln();
        assert!((grammar.expected().nats - nats).abs() < 1e-15);
        assert_eq!(grammar.expected().tokens, 1.75);
        assert_eq!(grammar.read(&["a", "y"]), BTreeMap::from([(2, 0.375)]));
        assert_eq!(grammar.read(&["b", "y"]), BTreeMap::from([(1, 0.25)]));
        assert!(grammar.read(&["a"]).is_empty());
        assert_eq!(grammar.words(), ["a", "b", "x", "y"]);
    }

    #[test]
    fn the_derivations_of_an_ambiguous_text_add_up() {
        let grammar = Grammar::new(&[
            ("S", &[(1, &["N", "P"]), (1, &["N"])]),
            ("N", &[(1, &["x"]), (1, &["x", "P"])]),
            ("P", &[(1, &["p"])]),
        ]);
        // x p: S -> N P with N -> x, or S -> N with N -> x P.
        assert_eq!(grammar.read(&["x", "p"])[&2], 0.5);
    }
}
