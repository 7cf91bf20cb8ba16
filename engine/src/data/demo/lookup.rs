//! `lookup`: values stored under keys, then asked back.
//!
//! "a 3 k 7 c 1 ? k 7 a 3 ." Two different keys are asked; the answers follow from the record. Keys
//! come back in later records with other values, so only the last one counts. A value stands right
//! behind its key, so that the skill that `copy` teaches serves here too.

use super::copy::LETTERS;
use super::draft::{Draft, Expected, ln_arrangements};
use super::sums::DIGITS;

/// Probability that a document ends after a record.
pub(super) const STOP: f64 = 1.0 / 3.0;

/// Fewest and most pairs in a record; every number between is as likely.
const FEWEST: usize = 2;
const MOST: usize = 4;

/// Questions per record.
const ASKED: usize = 2;

/// Writes one record and its questions.
pub(super) fn write(draft: &mut Draft) {
    let n = FEWEST + draft.any(MOST - FEWEST + 1);
    let keys = draft.different(n, &LETTERS);
    let values: Vec<_> = keys.iter().map(|_| DIGITS[draft.any(DIGITS.len())]).collect();
    for (key, value) in keys.iter().zip(&values) {
        [*key, *value].into_iter().for_each(|word| draft.say(word));
    }
    draft.say("?");
    for key in draft.different(ASKED, &keys) {
        let at = keys.iter().position(|k| *k == key).expect("asked keys are keys of the record");
        [key, values[at]].into_iter().for_each(|word| draft.say(word));
    }
    draft.say(".");
}

/// Gives the expected cost and length of a record, over the numbers of pairs.
pub(super) fn expected() -> Expected {
    let numbers = (MOST - FEWEST + 1) as f64;
    let mut total = Expected { nats: numbers.ln(), tokens: (2 * ASKED + 2) as f64 };
    for n in FEWEST..=MOST {
        let values = n as f64 * (DIGITS.len() as f64).ln();
        let keys = ln_arrangements(n, LETTERS.len()) + ln_arrangements(ASKED, n);
        total.nats += (keys + values) / numbers;
        total.tokens += 2.0 * n as f64 / numbers;
    }
    total
}

/// Reads one record and its questions: how many words they have and their probability.
pub(super) fn read(words: &[&str]) -> Option<(usize, f64)> {
    let middle = words.iter().position(|word| *word == "?")?;
    let end = words.iter().position(|word| *word == ".")?;
    let (record, questions) = (&words[..middle], words.get(middle + 1..end)?);
    let n = record.len() / 2;
    let paired = record.len().is_multiple_of(2) && questions.len() == 2 * ASKED;
    if !paired || !(FEWEST..=MOST).contains(&n) {
        return None;
    }
    let mut p = 1.0 / (MOST - FEWEST + 1) as f64;
    let mut stored: Vec<(&str, &str)> = Vec::new();
    for pair in record.chunks(2) {
        let [key, value] = *pair else {
            return None;
        };
        let known = LETTERS.contains(&key) && DIGITS.contains(&value);
        if !known || stored.iter().any(|(k, _)| *k == key) {
            return None;
        }
        p /= ((LETTERS.len() - stored.len()) * DIGITS.len()) as f64;
        stored.push((key, value));
    }
    for question in questions.chunks(2) {
        let [key, value] = *question else {
            return None;
        };
        p /= stored.len() as f64;
        // An asked key cannot be asked again.
        let at = stored.iter().position(|pair| *pair == (key, value))?;
        stored.remove(at);
    }
    Some((end + 1, p))
}

/// Lists the words.
pub(super) fn words() -> Vec<&'static str> {
    LETTERS.into_iter().chain(DIGITS).chain(["?", "."]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_right_answers_to_two_different_questions_are_legal() {
        let legal = |text: &str| read(&text.split(' ').collect::<Vec<_>>()).is_some();
        assert!(legal("a 3 k 7 c 1 ? k 7 a 3 ."));
        assert!(!legal("a 3 k 7 c 1 ? k 3 a 3 ."));
        assert!(!legal("a 3 k 7 c 1 ? k 7 k 7 ."));
        assert!(!legal("a 3 a 7 c 1 ? c 1 a 3 ."));
        assert!(!legal("a 3 k 7 ? k 7 ."));
    }
}
