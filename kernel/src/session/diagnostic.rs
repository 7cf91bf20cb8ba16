//! An error with its place, its cause and one thing to try.

use std::fmt;

use rhai::{EvalAltResult, ParseError, ParseErrorType, Position};

use super::known::Known;
use crate::script::TRY;

/// What a person is told about code that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind in one word: `SyntaxError` or `ScriptError`.
    pub kind: &'static str,
    /// What went wrong.
    pub message: String,
    /// The file or cell.
    pub name: String,
    /// Line and column, both from 1; none when the error has no place.
    pub place: Option<(usize, usize)>,
    /// The line of code.
    pub source_line: String,
    /// One thing to try.
    pub hint: Option<String>,
    /// The lines to show instead of place, source line and hint, when a compiler drew them.
    pub drawn: Vec<String>,
}

impl Diagnostic {
    /// Of code that does not parse.
    pub fn syntax(name: &str, code: &str, error: &ParseError) -> Self {
        let message = error.err_type().to_string();
        let mut diagnostic = Self::new("SyntaxError", name, code, message, error.position());
        if matches!(error.err_type(), ParseErrorType::MissingToken(token, _) if token == ";") {
            diagnostic.hint = Some("end the statement before this place with `;`".into());
        }
        diagnostic
    }

    /// Of code that failed while it ran.
    pub fn runtime(name: &str, code: &str, error: &EvalAltResult, known: &Known<'_>) -> Self {
        let (inner, position) = innermost(error);
        let (message, hint) = match inner {
            EvalAltResult::ErrorRuntime(value, _) => {
                let text = value.to_string();
                match text.split_once(TRY) {
                    Some((message, hint)) => (message.to_string(), Some(hint.to_string())),
                    None => (text, None),
                }
            }
            EvalAltResult::ErrorParsing(error, _) => (error.to_string(), None),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => known.no_function(signature),
            EvalAltResult::ErrorVariableNotFound(variable, _) => known.no_variable(variable),
            EvalAltResult::ErrorDotExpr(text, _) => known.no_property(text),
            EvalAltResult::ErrorPropertyNotFound(key, _) => known.no_key(key),
            EvalAltResult::ErrorDataRace(..) => (
                "a closure uses the variable whose own method it is given to".into(),
                Some(
                    "take what the closure needs out before: `let n = t.len(); t.filter(|row| row.x < n)`, \
                     or call the method on a copy: `let copy = t;` before the closure is written"
                        .into(),
                ),
            ),
            EvalAltResult::ErrorStackOverflow(_) => (
                "the functions call each other too deeply".into(),
                Some("a function that calls itself needs an end".into()),
            ),
            other => {
                let mut bare = other.to_string();
                bare.truncate(bare.find(" (line ").unwrap_or(bare.len()));
                (bare, None)
            }
        };
        let mut diagnostic = Self::new("ScriptError", name, code, message, position);
        diagnostic.hint = hint;
        diagnostic
    }

    fn new(
        kind: &'static str,
        name: &str,
        code: &str,
        message: String,
        position: Position,
    ) -> Self {
        let place = position.line().map(|line| (line, position.position().unwrap_or(1)));
        let source_line =
            place.and_then(|(line, _)| code.lines().nth(line - 1)).unwrap_or_default();
        Self {
            kind,
            message,
            name: name.to_string(),
            place,
            source_line: source_line.to_string(),
            hint: None,
            drawn: Vec::new(),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.drawn.is_empty() {
            return f.write_str(&self.drawn.join("\n"));
        }
        write!(f, "error: {}", self.message)?;
        if let Some((line, column)) = self.place {
            let gutter = line.to_string().len();
            write!(f, "\n{:gutter$}--> {}, line {line}, column {column}", "", self.name)?;
            // A tab is one column; drawn as one blank it keeps the mark in its place.
            write!(f, "\n{line} | {}", self.source_line.replace('\t', " "))?;
            write!(f, "\n{:gutter$} | {:>column$}", "", "^")?;
        } else {
            write!(f, "\n --> {}", self.name)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n = try: {hint}"),
            None => Ok(()),
        }
    }
}

/// The error inside calls of script functions, and where it stands.
pub(super) fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Position) {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, position) => {
            let (inner, at) = innermost(inner);
            (inner, if at.is_none() { *position } else { at })
        }
        other => (other, other.position()),
    }
}
