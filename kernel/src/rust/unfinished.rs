//! Whether Rust code waits for more lines.
//!
//! Brackets, texts and remarks are read as the compiler reads them; nothing else is looked at.

use crate::jupyter::Completeness;

/// Whether a cell of Rust can be run as it stands.
pub fn completeness(code: &str) -> Completeness {
    let open = || Completeness::Incomplete { indent: "    ".into() };
    let chars: Vec<char> = code.chars().collect();
    let mut brackets = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let before = at.checked_sub(1).map(|b| chars[b]);
        let in_word = before.is_some_and(|b| b.is_alphanumeric() || b == '_');
        at = match c {
            '/' if next == Some('/') => line_end(&chars, at),
            '/' if next == Some('*') => match remark_end(&chars, at) {
                Some(end) => end,
                None => return open(),
            },
            '"' => match text_end(&chars, at + 1) {
                Some(end) => end,
                None => return open(),
            },
            'r' if !in_word || before == Some('b') => match raw_end(&chars, at) {
                Some(Some(end)) => end,
                Some(None) => return open(),
                None => at + 1,
            },
            '\'' => quote_end(&chars, at),
            '(' | '[' | '{' => {
                brackets.push(c);
                at + 1
            }
            ')' | ']' | '}' => {
                let fits = matches!(
                    (brackets.pop(), c),
                    (Some('('), ')') | (Some('['), ']') | (Some('{'), '}')
                );
                if !fits {
                    return Completeness::Invalid;
                }
                at + 1
            }
            _ => at + 1,
        };
    }
    if brackets.is_empty() { Completeness::Complete } else { open() }
}

fn line_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| from + n)
}

/// Behind a remark of several lines; they nest.
fn remark_end(chars: &[char], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = from;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => {
                depth += 1;
                at += 2;
            }
            ('*', '/') => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Behind a text whose first quote stands before `from`.
fn text_end(chars: &[char], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Behind a raw text that begins at `from`; the inner none is one without an end, the outer no raw text.
fn raw_end(chars: &[char], from: usize) -> Option<Option<usize>> {
    let hashes = chars[from + 1..].iter().take_while(|c| **c == '#').count();
    let quote = from + 1 + hashes;
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let ends = |at: usize| {
        chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some((quote + 1..chars.len()).find(|at| ends(*at)).map(|at| at + 1 + hashes))
}

/// Behind a character, or behind the sign of a lifetime.
fn quote_end(chars: &[char], from: usize) -> usize {
    match (chars.get(from + 1), chars.get(from + 2)) {
        (Some('\\'), _) => {
            let close = chars.iter().skip(from + 3).position(|c| *c == '\'');
            close.map_or(chars.len(), |n| from + 3 + n + 1)
        }
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_texts_and_remarks_that_are_open_wait_for_more() {
        let complete = [
            "1 + 1",
            "fn f<'a>(x: &'a str) -> char { '}' }",
            "let t = \"(\"; // (",
            "let t = r#\"a \" ( \"#;",
            "/* /* ( */ */ ()",
            "let c = '\\''; let d = '\"';",
            ":dep serde = { version = \"1\" }",
            "let br = [1]; for r in 0..3 {}",
        ];
        for code in complete {
            assert_eq!(completeness(code), Completeness::Complete, "{code}");
        }
        for code in ["fn f() {", "let t = \"a", "f(1,", "/* /* */", "let t = r#\"a\"", "vec!["] {
            assert!(matches!(completeness(code), Completeness::Incomplete { .. }), "{code}");
        }
        for code in ["}", "f(]", "(1))"] {
            assert_eq!(completeness(code), Completeness::Invalid, "{code}");
        }
    }
}
