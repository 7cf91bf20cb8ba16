//! Completion, help at the cursor, and whether code is complete.

use std::sync::Arc;

use rhai::{Engine, LexError, ParseErrorType, Position};

use super::{Display, Session};
use crate::jupyter::{Candidate, Completeness, Completion};
use crate::script::reference;

/// The word that ends at the cursor, what stands before its dot, and where the word starts.
struct AtCursor {
    word: String,
    object: Option<String>,
    start: usize,
}

fn at_cursor(code: &str, cursor: usize) -> AtCursor {
    let chars: Vec<char> = code.chars().take(cursor).collect();
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let length = |end: usize| chars[..end].iter().rev().take_while(|c| is_name(c)).count();
    let start = chars.len() - length(chars.len());
    let word: String = chars[start..].iter().collect();
    let object = (start > 0 && chars[start - 1] == '.').then(|| {
        let end = start - 1;
        chars[end - length(end)..end].iter().collect::<String>()
    });
    AtCursor { word, object, start }
}

/// The longest name that is looked up, in bytes: nobody writes a longer one by hand.
const LONGEST: usize = 200;

/// As [`at_cursor`], with the whole word the cursor stands in; none for a word too long to be a name.
fn around_cursor(code: &str, cursor: usize) -> Option<AtCursor> {
    let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
    let rest = code.chars().skip(cursor).take_while(is_name).count();
    Some(at_cursor(code, cursor + rest)).filter(|at| at.word.len() <= LONGEST)
}

/// Whether a place lies behind the last character of the code.
fn past_end(code: &str, place: Position) -> bool {
    let code = code.trim_end();
    let (lines, last) = (code.lines().count(), code.lines().next_back().unwrap_or_default());
    match (place.line(), place.position()) {
        (Some(line), Some(column)) => {
            line > lines || (line == lines && column > last.chars().count())
        }
        _ => true,
    }
}

/// What can be known of code without running it: the language, and the names and types of variables.
/// It holds no value, so it answers while a cell works on them.
#[derive(Clone)]
pub struct Names {
    rhai: Arc<Engine>,
    /// Variables with their types, as scripts name them.
    variables: Vec<(String, String)>,
}

impl Session {
    /// The names as they are now.
    pub fn names(&self) -> Names {
        let variables = self.scope().iter().map(|(name, _, value)| {
            (name.to_string(), self.rhai().map_type_name(value.type_name()).to_string())
        });
        Names { variables: variables.collect(), rhai: self.rhai().clone() }
    }

    /// Whether code can run as it stands or waits for more lines.
    pub fn completeness(&self, code: &str) -> Completeness {
        completeness(self.rhai(), code)
    }

    /// What can stand at the cursor (a position in characters).
    pub fn complete(&self, code: &str, cursor: usize) -> Completion {
        self.names().complete(code, cursor)
    }

    /// Help for the name at the cursor.
    pub fn inspect(&self, code: &str, cursor: usize) -> Option<Display> {
        let at = around_cursor(code, cursor)?;
        if at.object.is_none()
            && let Some((_, _, value)) = self.scope().iter().find(|(name, _, _)| *name == at.word)
        {
            return crate::script::display(&value).ok();
        }
        reference::help(self.rhai(), &at.word).ok()
    }
}

/// Whether code can run as it stands or waits for more lines.
fn completeness(rhai: &Engine, code: &str) -> Completeness {
    let Err(error) = rhai.compile(code) else { return Completeness::Complete };
    let open = match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        // A text between backticks may go on; one between quotes ends with its line.
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            !code.matches('`').count().is_multiple_of(2)
        }
        // The parser ran out of code: what it still wants may stand on the next line.
        _ => past_end(code, error.position()),
    };
    if open { Completeness::Incomplete { indent: "    ".into() } } else { Completeness::Invalid }
}

impl Names {
    /// As [`Session::completeness`].
    pub fn completeness(&self, code: &str) -> Completeness {
        completeness(&self.rhai, code)
    }

    /// As [`Session::complete`].
    pub fn complete(&self, code: &str, cursor: usize) -> Completion {
        let at = at_cursor(code, cursor);
        let functions = reference::functions(&self.rhai);
        let mut matches: Vec<Candidate> = Vec::new();
        let mut add = |text: String, kind: &str, signature: String| {
            if text.starts_with(&at.word) && !matches.iter().any(|m| m.text == text) {
                matches.push(Candidate { text, kind: kind.into(), signature });
            }
        };
        match &at.object {
            Some(object) => {
                let kind = self.type_of(object);
                for f in &functions {
                    let fits = match kind {
                        Some(kind) => f.method_of() == Some(kind),
                        None => f.method_of().is_some(),
                    };
                    if fits {
                        add(f.name.clone(), "function", f.signature());
                    }
                }
            }
            None => {
                for (name, kind) in &self.variables {
                    add(name.clone(), "instance", kind.clone());
                }
                for f in functions.iter().filter(|f| f.method_of().is_none()) {
                    add(f.name.clone(), "function", f.signature());
                }
                for word in KEYWORDS {
                    add(word.to_string(), "keyword", String::new());
                }
            }
        }
        Completion { matches, start: at.start, end: cursor }
    }

    /// Help for the name at the cursor; of a variable only its type, as its value may be at work.
    pub fn inspect(&self, code: &str, cursor: usize) -> Option<Display> {
        let at = around_cursor(code, cursor)?;
        if at.object.is_none()
            && let Some(kind) = self.type_of(&at.word)
        {
            let text = format!("{}: {kind} (its value is shown when the cell has ended)", at.word);
            return Some(Display::text(text));
        }
        reference::help(&self.rhai, &at.word).ok()
    }

    /// The type of a variable, as scripts name it.
    fn type_of(&self, variable: &str) -> Option<&str> {
        let found = self.variables.iter().rev().find(|(name, _)| name == variable);
        found.map(|(_, kind)| kind.as_str())
    }
}

/// Words of the language.
const KEYWORDS: [&str; 21] = [
    "let", "const", "if", "else", "for", "in", "while", "loop", "do", "until", "break", "continue",
    "return", "throw", "try", "catch", "fn", "switch", "true", "false", "print",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use woolshed_engine::progress::Progress;

    use super::*;
    use crate::session::{HostOptions, Output};

    struct Quiet;

    impl Output for Quiet {
        fn stdout(&self, _: &str) {}
        fn stderr(&self, _: &str) {}
        fn display(&self, _: &Display) {}
        fn progress(&self, _: &Progress) {}
        fn progress_done(&self, _: &str) {}
    }

    #[test]
    fn code_that_stops_too_early_waits_for_more_and_wrong_code_does_not() {
        let session = Session::new(HostOptions::default(), Arc::new(Quiet));
        for code in ["1 + 1", "let x = 3;", "fn f() { 1 }", "// a remark"] {
            assert_eq!(session.completeness(code), Completeness::Complete, "{code}");
        }
        let open = [
            "fn f() {",
            "let x = [1,",
            "f(1,",
            "#{a: 1,",
            "1 +",
            "if true {\n  1\n",
            "let t = `a\n",
        ];
        for code in open {
            let said = session.completeness(code);
            assert!(matches!(said, Completeness::Incomplete { .. }), "{code}: {said:?}");
        }
        for code in ["let = 3;", "let x = ;", "let t = \"a", "1 + ) 2\n3"] {
            assert_eq!(session.completeness(code), Completeness::Invalid, "{code}");
        }
    }
}
