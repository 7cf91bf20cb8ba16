//! `copy`: a few different letters, then the same letters again.
//!
//! "say k w z e : k w z e ;" Up to ":" the letters are random; after it every token follows from
//! looking back to the letter after the last one copied: the task of induction heads.

use super::draft::{Draft, Expected, ln_arrangements};

/// Probability that a document ends after a copy.
pub(super) const STOP: f64 = 1.0 / 4.0;

/// The letters to copy.
pub(super) const LETTERS: [&str; 26] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s",
    "t", "u", "v", "w", "x", "y", "z",
];

/// Shortest and longest piece, letters; every length between is as likely.
const SHORTEST: usize = 3;
const LONGEST: usize = 6;

/// Writes one copy.
pub(super) fn write(draft: &mut Draft) {
    let n = SHORTEST + draft.any(LONGEST - SHORTEST + 1);
    let letters = draft.different(n, &LETTERS);
    draft.say("say");
    letters.iter().for_each(|letter| draft.say(letter));
    draft.say(":");
    letters.iter().for_each(|letter| draft.say(letter));
    draft.say(";");
}

/// Gives the expected cost and length of a copy, over the lengths.
pub(super) fn expected() -> Expected {
    let lengths = (LONGEST - SHORTEST + 1) as f64;
    let mut total = Expected { nats: lengths.ln(), tokens: 3.0 };
    for n in SHORTEST..=LONGEST {
        total.nats += ln_arrangements(n, LETTERS.len()) / lengths;
        total.tokens += 2.0 * n as f64 / lengths;
    }
    total
}

/// Reads one copy: how many words it has and its probability.
pub(super) fn read(words: &[&str]) -> Option<(usize, f64)> {
    let end = words.iter().position(|word| *word == ";")?;
    let ["say", spoken @ ..] = &words[..end] else {
        return None;
    };
    let colon = spoken.iter().position(|word| *word == ":")?;
    let (first, second) = (&spoken[..colon], &spoken[colon + 1..]);
    if first != second || !(SHORTEST..=LONGEST).contains(&first.len()) {
        return None;
    }
    let mut p = 1.0 / (LONGEST - SHORTEST + 1) as f64;
    for (i, letter) in first.iter().enumerate() {
        if !LETTERS.contains(letter) || first[..i].contains(letter) {
            return None;
        }
        p /= (LETTERS.len() - i) as f64;
    }
    Some((end + 1, p))
}

/// Lists the words.
pub(super) fn words() -> Vec<&'static str> {
    ["say", ":", ";"].into_iter().chain(LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_copy_of_different_letters_is_legal() {
        let legal = |text: &str| read(&text.split(' ').collect::<Vec<_>>()).is_some();
        assert!(legal("say k w z e : k w z e ;"));
        assert!(!legal("say k w z e : k w e z ;"));
        assert!(!legal("say k w z k : k w z k ;"));
        assert!(!legal("say k w : k w ;"));
    }
}
