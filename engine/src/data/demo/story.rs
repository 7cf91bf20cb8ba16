//! `story`: small English sentences whose verb agrees with its subject.
//!
//! "the small dogs near the tree see a red ball ." A place after the subject puts a noun of another
//! number between subject and verb, so the last noun seen does not decide the verb. A place follows
//! a subject or ends a sentence, never an object, so every sentence has one derivation.

use std::sync::OnceLock;

use super::draft::{Draft, Expected};
use super::grammar::{Grammar, Rule};

/// Probability that a document ends after a sentence.
pub(super) const STOP: f64 = 1.0 / 6.0;

const RULES: &[Rule] = &[
    ("SENTENCE", &[(6, &["ONE", "DOES", "."]), (4, &["MANY", "DO", "."])]),
    ("ONE", &[(3, &["ANIMAL"]), (1, &["ANIMAL", "PLACE"])]),
    ("MANY", &[(3, &["ANIMALS"]), (1, &["ANIMALS", "PLACE"])]),
    (
        "DOES",
        &[
            (3, &["RUNS"]),
            (2, &["RUNS", "PLACE"]),
            (5, &["SEES", "OBJECT"]),
            (2, &["SEES", "OBJECT", "PLACE"]),
        ],
    ),
    (
        "DO",
        &[
            (3, &["RUN"]),
            (2, &["RUN", "PLACE"]),
            (5, &["SEE", "OBJECT"]),
            (2, &["SEE", "OBJECT", "PLACE"]),
        ],
    ),
    ("OBJECT", &[(3, &["ANIMAL"]), (2, &["ANIMALS"]), (3, &["THING"]), (2, &["THINGS"])]),
    ("PLACE", &[(3, &["WHERE", "THING"]), (1, &["WHERE", "THINGS"])]),
    ("ANIMAL", &[(2, &["A", "DOG"]), (1, &["A", "BIG", "DOG"])]),
    ("ANIMALS", &[(2, &["SOME", "DOGS"]), (1, &["SOME", "BIG", "DOGS"])]),
    ("THING", &[(2, &["A", "TREE"]), (1, &["A", "BIG", "TREE"])]),
    ("THINGS", &[(2, &["SOME", "TREES"]), (1, &["SOME", "BIG", "TREES"])]),
    ("A", &[(6, &["the"]), (3, &["a"]), (1, &["one"])]),
    ("SOME", &[(6, &["the"]), (3, &["some"]), (1, &["two"])]),
    (
        "BIG",
        &[
            (6, &["small"]),
            (5, &["big"]),
            (4, &["old"]),
            (3, &["young"]),
            (2, &["red"]),
            (2, &["black"]),
            (1, &["quiet"]),
            (1, &["white"]),
        ],
    ),
    (
        "DOG",
        &[
            (8, &["dog"]),
            (6, &["cat"]),
            (5, &["bird"]),
            (4, &["fox"]),
            (3, &["cow"]),
            (2, &["hen"]),
            (1, &["goat"]),
            (1, &["horse"]),
        ],
    ),
    (
        "DOGS",
        &[
            (8, &["dogs"]),
            (6, &["cats"]),
            (5, &["birds"]),
            (4, &["foxes"]),
            (3, &["cows"]),
            (2, &["hens"]),
            (1, &["goats"]),
            (1, &["horses"]),
        ],
    ),
    (
        "TREE",
        &[
            (8, &["tree"]),
            (6, &["house"]),
            (5, &["ball"]),
            (4, &["river"]),
            (3, &["stone"]),
            (2, &["cart"]),
            (1, &["fence"]),
            (1, &["box"]),
        ],
    ),
    (
        "TREES",
        &[
            (8, &["trees"]),
            (6, &["houses"]),
            (5, &["balls"]),
            (4, &["rivers"]),
            (3, &["stones"]),
            (2, &["carts"]),
            (1, &["fences"]),
            (1, &["boxes"]),
        ],
    ),
    ("WHERE", &[(5, &["near"]), (3, &["behind"]), (2, &["beside"]), (1, &["under"])]),
    (
        "RUNS",
        &[
            (5, &["runs"]),
            (4, &["sleeps"]),
            (3, &["sings"]),
            (2, &["waits"]),
            (1, &["jumps"]),
            (1, &["rests"]),
        ],
    ),
    (
        "RUN",
        &[
            (5, &["run"]),
            (4, &["sleep"]),
            (3, &["sing"]),
            (2, &["wait"]),
            (1, &["jump"]),
            (1, &["rest"]),
        ],
    ),
    (
        "SEES",
        &[
            (6, &["sees"]),
            (4, &["finds"]),
            (3, &["follows"]),
            (2, &["likes"]),
            (2, &["watches"]),
            (1, &["chases"]),
            (1, &["hears"]),
            (1, &["wants"]),
        ],
    ),
    (
        "SEE",
        &[
            (6, &["see"]),
            (4, &["find"]),
            (3, &["follow"]),
            (2, &["like"]),
            (2, &["watch"]),
            (1, &["chase"]),
            (1, &["hear"]),
            (1, &["want"]),
        ],
    ),
];

fn grammar() -> &'static Grammar {
    static GRAMMAR: OnceLock<Grammar> = OnceLock::new();
    GRAMMAR.get_or_init(|| Grammar::new(RULES))
}

/// Writes one sentence.
pub(super) fn write(draft: &mut Draft) {
    grammar().write(draft);
}

/// Gives the expected cost and length of a sentence.
pub(super) fn expected() -> Expected {
    grammar().expected()
}

/// Reads one sentence: how many words it has and its probability.
pub(super) fn read(words: &[&str]) -> Option<(usize, f64)> {
    let end = 1 + words.iter().position(|word| *word == ".")?;
    Some((end, *grammar().read(&words[..end]).get(&end)?))
}

/// Lists the words.
pub(super) fn words() -> Vec<&'static str> {
    grammar().words()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legal(text: &str) -> bool {
        let words: Vec<&str> = text.split(' ').collect();
        read(&words).is_some_and(|(used, _)| used == words.len())
    }

    #[test]
    fn the_verb_agrees_with_the_subject_and_not_with_the_nearest_noun() {
        assert!(legal("the small dogs near the tree see a red ball ."));
        assert!(!legal("the small dogs near the tree sees a red ball ."));
        assert!(legal("one fox beside some carts sleeps under the house ."));
        assert!(!legal("one fox beside some carts sleep under the house ."));
        assert!(!legal("a dogs run ."));
    }
}
