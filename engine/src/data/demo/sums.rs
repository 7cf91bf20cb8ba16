//! `sums`: single digits added, subtracted and multiplied; the digits of the result are tokens.
//!
//! "7 + 8 = 1 5 ;" Only the question is random; after "=" every token follows. A negative result is
//! written "3 - 8 = - 5 ;".

use super::draft::{Draft, Expected};

/// Probability that a document ends after a sum.
pub(super) const STOP: f64 = 1.0 / 8.0;

/// The digits, each at its value.
pub(super) const DIGITS: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

const SIGNS: [&str; 3] = ["+", "-", "x"];

fn result(a: usize, sign: usize, b: usize) -> Vec<&'static str> {
    let (a, b) = (a as i32, b as i32);
    let value = [a + b, a - b, a * b][sign];
    let magnitude = value.unsigned_abs() as usize;
    let mut words = Vec::new();
    if value < 0 {
        words.push("-");
    }
    if magnitude >= 10 {
        words.push(DIGITS[magnitude / 10]);
    }
    words.push(DIGITS[magnitude % 10]);
    words
}

/// Writes one sum.
pub(super) fn write(draft: &mut Draft) {
    let (a, sign, b) = (draft.any(10), draft.any(3), draft.any(10));
    for word in [DIGITS[a], SIGNS[sign], DIGITS[b], "="] {
        draft.say(word);
    }
    result(a, sign, b).into_iter().for_each(|word| draft.say(word));
    draft.say(";");
}

/// Gives the expected cost and length of a sum, over all 300.
pub(super) fn expected() -> Expected {
    let digits: usize = (0..300).map(|i| result(i / 30, i % 3, i / 3 % 10).len()).sum();
    Expected { nats: 300f64.ln(), tokens: 5.0 + digits as f64 / 300.0 }
}

/// Reads one sum: how many words it has and its probability.
pub(super) fn read(words: &[&str]) -> Option<(usize, f64)> {
    let end = words.iter().position(|word| *word == ";")?;
    let [a, sign, b, "=", shown @ ..] = &words[..end] else {
        return None;
    };
    let digit = |word: &str| word.parse::<i32>().ok().filter(|_| word.len() == 1);
    let (a, b) = (digit(a)?, digit(b)?);
    let value = match *sign {
        "+" => a + b,
        "-" => a - b,
        "x" => a * b,
        _ => return None,
    };
    // "1 5" is 15 and "- 5" is -5, each digit a word of its own and no zero in front.
    let digits: Vec<String> = value.to_string().chars().map(String::from).collect();
    (digits == shown).then_some((end + 1, 1.0 / 300.0))
}

/// Lists the words.
pub(super) fn words() -> Vec<&'static str> {
    DIGITS.into_iter().chain(SIGNS).chain(["=", ";"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_right_and_wrong_ones_are_refused() {
        let read = |text: &str| read(&text.split(' ').collect::<Vec<_>>()).map(|(used, _)| used);
        assert_eq!(read("7 + 8 = 1 5 ; 1"), Some(7));
        assert_eq!(read("3 - 8 = - 5 ;"), Some(7));
        assert_eq!(read("9 x 9 = 8 1 ;"), Some(7));
        assert_eq!(read("0 x 9 = 0 ;"), Some(6));
        assert_eq!(read("7 + 8 = 1 6 ;"), None);
        assert_eq!(read("7 + 8 = 0 1 5 ;"), None);
    }
}
