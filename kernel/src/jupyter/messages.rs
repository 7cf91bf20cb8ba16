//! The contents of messages the kernel sends, as the protocol writes them.
//!
//! Everything the schema calls an object is an object, never `null`: strict clients refuse the rest.

use serde_json::{Map, Value, json};

use super::output::mime_bundle;
use super::wire::PROTOCOL;
use super::{CellOutcome, Completeness, Completion, LanguageInfo};
use crate::session::Display;

/// Content of `kernel_info_reply`.
pub fn kernel_info(language: &LanguageInfo) -> Value {
    json!({
        "status": "ok",
        "protocol_version": PROTOCOL,
        "implementation": "woolshed",
        "implementation_version": env!("CARGO_PKG_VERSION"),
        "language_info": language_info(language),
        "banner": language.banner,
        "help_links": [],
        "debugger": false,
        "supported_features": [],
    })
}

/// What a kernel and a notebook file say of the language.
///
/// JupyterLab looks for a mode of that name, which the extension that is installed with the kernel brings,
/// and then for one of that mime type, which it has itself.
pub fn language_info(language: &LanguageInfo) -> Value {
    json!({
        "name": language.name,
        "version": language.version,
        "mimetype": language.mimetype,
        "file_extension": language.file_extension,
        "pygments_lexer": language.highlighted_as,
        "codemirror_mode": {"name": language.name, "mime": language.coloured_as},
        "nbconvert_exporter": "script",
    })
}

/// Content of `status`: `busy` or `idle`.
pub fn status(state: &str) -> Value {
    json!({"execution_state": state})
}

/// What a front end shows of a failed cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error in one word.
    pub name: String,
    /// The error in one line.
    pub message: String,
    /// The lines shown under the cell; never empty.
    pub traceback: Vec<String>,
}

impl Failure {
    /// The failure in an outcome, if it is one.
    pub fn of(outcome: &CellOutcome) -> Option<Self> {
        let (name, message, traceback) = match outcome {
            CellOutcome::Value(_) => return None,
            CellOutcome::Error { name, message, traceback } => (name.as_str(), message, traceback),
            CellOutcome::Interrupted { message } => ("Interrupted", message, &Vec::new()),
        };
        let traceback = match traceback.as_slice() {
            [] => vec![format!("{name}: {message}")],
            lines => lines.to_vec(),
        };
        Some(Self { name: name.to_owned(), message: message.clone(), traceback })
    }

    /// Content of the broadcast `error`.
    pub fn content(&self) -> Value {
        json!({"ename": self.name, "evalue": self.message, "traceback": self.traceback})
    }
}

/// Content of `execute_result`.
pub fn execute_result(count: u64, value: &Display) -> Value {
    json!({
        "execution_count": count,
        "data": mime_bundle(value),
        "metadata": {},
        "transient": {},
    })
}

/// Content of `execute_reply` for a cell that ran.
pub fn execute_reply(
    count: u64,
    failure: Option<&Failure>,
    payload: Vec<Value>,
    expressions: Map<String, Value>,
) -> Value {
    let mut reply = json!({
        "status": "ok",
        "execution_count": count,
        "payload": payload,
        "user_expressions": expressions,
    });
    if let Some(failure) = failure {
        reply["status"] = json!("error");
        reply["ename"] = json!(failure.name);
        reply["evalue"] = json!(failure.message);
        reply["traceback"] = json!(failure.traceback);
    }
    reply
}

/// Content of `execute_reply` for a cell that did not run because an earlier one failed.
pub fn aborted(count: u64) -> Value {
    json!({"status": "aborted", "execution_count": count, "payload": [], "user_expressions": {}})
}

/// Content of a reply that says no: with the kind of error in one word, and the error in one line.
pub fn refused(name: &str, message: &str) -> Value {
    json!({
        "status": "error",
        "ename": name,
        "evalue": message,
        "traceback": [format!("{name}: {message}")],
    })
}

/// The value of one of `user_expressions`.
pub fn user_expression(outcome: &CellOutcome) -> Value {
    match (Failure::of(outcome), outcome) {
        (Some(failure), _) => {
            let mut content = failure.content();
            content["status"] = json!("error");
            content
        }
        (None, CellOutcome::Value(Some(value))) => {
            json!({"status": "ok", "data": mime_bundle(value), "metadata": {}})
        }
        (None, _) => json!({"status": "ok", "data": {}, "metadata": {}}),
    }
}

/// Content of `is_complete_reply`.
pub fn is_complete(completeness: &Completeness) -> Value {
    match completeness {
        Completeness::Complete => json!({"status": "complete"}),
        Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
        Completeness::Invalid => json!({"status": "invalid"}),
        Completeness::Unknown => json!({"status": "unknown"}),
    }
}

/// Content of `complete_reply`. Kinds and signatures go where JupyterLab looks for them.
pub fn complete(completion: &Completion) -> Value {
    let matches: Vec<&str> = completion.matches.iter().map(|found| found.text.as_str()).collect();
    let types: Vec<Value> = completion
        .matches
        .iter()
        .map(|found| {
            json!({
                "text": found.text,
                "type": found.kind,
                "signature": found.signature,
                "start": completion.start,
                "end": completion.end,
            })
        })
        .collect();
    json!({
        "status": "ok",
        "matches": matches,
        "cursor_start": completion.start,
        "cursor_end": completion.end,
        "metadata": {"_jupyter_types_experimental": types},
    })
}

/// Content of `inspect_reply`.
pub fn inspect(found: Option<&Display>) -> Value {
    let data = found.map_or_else(|| json!({}), mime_bundle);
    json!({"status": "ok", "found": found.is_some(), "data": data, "metadata": {}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_without_traceback_still_shows_something() {
        let outcome = CellOutcome::Interrupted { message: "stopped".to_owned() };
        let failure = Failure::of(&outcome).unwrap();
        assert_eq!(failure.content()["traceback"], json!(["Interrupted: stopped"]));
        let reply = execute_reply(3, Some(&failure), Vec::new(), Map::new());
        assert_eq!(reply["status"], "error");
        assert_eq!(reply["ename"], "Interrupted");
    }

    #[test]
    fn a_cell_without_a_value_is_no_failure() {
        assert_eq!(Failure::of(&CellOutcome::Value(None)), None);
        let reply = execute_reply(1, None, Vec::new(), Map::new());
        assert_eq!(reply["status"], "ok");
        assert!(reply.get("ename").is_none());
    }
}
