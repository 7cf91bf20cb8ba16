//! An error with its place, its cause and one thing to try.

use std::fmt;

use rhai::{Engine, EvalAltResult, ParseError, ParseErrorType, Position};
use woolshed_engine::names::nearest;

use crate::script::reference::{self, script_type};

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
    pub fn runtime(name: &str, code: &str, error: &EvalAltResult, rhai: &Engine) -> Self {
        let (inner, position) = innermost(error);
        let message = match inner {
            EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
            EvalAltResult::ErrorParsing(error, _) => error.to_string(),
            other => {
                let mut bare = other.to_string();
                bare.truncate(bare.find(" (line ").unwrap_or(bare.len()));
                bare
            }
        };
        let mut diagnostic = Self::new("ScriptError", name, code, message, position);
        if let EvalAltResult::ErrorFunctionNotFound(signature, _) = inner {
            let (message, hint) = missing_function(signature, rhai);
            diagnostic.message = message;
            diagnostic.hint = hint;
        }
        if let EvalAltResult::ErrorDataRace(..) = inner {
            diagnostic.message =
                "a closure uses the variable whose own method it is given to".into();
            diagnostic.hint = Some(
                "take what the closure needs out before: `let n = t.len(); t.filter(|row| row.x < n)`, \
                 or call the method on a copy: `let copy = t;` before the closure is written"
                    .into(),
            );
        }
        if let EvalAltResult::ErrorStackOverflow(_) = inner {
            diagnostic.message = "the functions call each other too deeply".into();
            diagnostic.hint = Some("a function that calls itself needs an end".into());
        }
        if let EvalAltResult::ErrorVariableNotFound(variable, _) = inner {
            diagnostic.message = format!("there is no variable `{variable}`");
            let all = reference::functions(rhai);
            diagnostic.hint = all
                .iter()
                .find(|f| f.name == *variable)
                .map(|f| format!("`{variable}` is a function: {}", f.signature()));
        }
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
fn innermost(error: &EvalAltResult) -> (&EvalAltResult, Position) {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, position) => {
            let (inner, at) = innermost(inner);
            (inner, if at.is_none() { *position } else { at })
        }
        other => (other, other.position()),
    }
}

/// Says what is wrong with a call that fits no function: an unknown name or the wrong arguments.
fn missing_function(signature: &str, rhai: &Engine) -> (String, Option<String>) {
    let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ")"));
    let arguments = arguments.trim_end_matches(')');
    let arguments: Vec<String> =
        arguments.split(", ").filter(|a| !a.is_empty()).map(script_type).collect();
    let given = arguments.join(", ");
    let all = reference::functions(rhai);
    let same: Vec<String> =
        all.iter().filter(|f| f.name == name).map(reference::Function::signature).collect();
    if !same.is_empty() {
        let given = if given.is_empty() { "no arguments".into() } else { format!("({given})") };
        return (format!("`{name}` does not take {given}"), Some(same.join("  or  ")));
    }
    let first = arguments.first().map_or("", String::as_str);
    let find = |of: Option<&str>| {
        let fits = || all.iter().filter(move |f| f.method_of() == of);
        let near = nearest(name, fits().map(|f| f.name.as_str()))?;
        fits().find(|f| f.name == near)
    };
    let near = find(Some(first)).or_else(|| find(None));
    let what = if all.iter().any(|f| f.method_of() == Some(first)) {
        format!("a {first} has no function `{name}`")
    } else {
        format!("there is no function `{name}({given})`")
    };
    (what, Some(near.map_or("help() lists the functions".into(), reference::Function::signature)))
}
