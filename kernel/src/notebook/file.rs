//! `.ipynb`: nbformat 4 of any minor version is read, 4.5 is written, in the form Jupyter gives its own
//! files (keys in order, one blank a level, long texts as lines), so that a diff shows what changed.
//!
//! Metadata and outputs stay JSON values: whatever a front end keeps there comes back as it was.
//! Source: "The Notebook file format", nbformat 5.10.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Value, json};

use crate::files::{self, WriteError};
use crate::jupyter::kernelspec::SPECS;

/// The minor version of nbformat 4 that is written: cells have ids since then.
const MINOR: u64 = 5;

/// Why a notebook cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NotebookError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The file is no JSON.
    #[error("`{}` is no notebook: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },

    /// The file is of another version.
    #[error(
        "`{}` has nbformat {found}; version 4 is read. `jupyter nbconvert --to notebook` brings it up to date",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version, or `none`.
        found: String,
    },

    /// A field is not what the format says.
    #[error("`{}`: {place} is not {wanted}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field: `cells[3].source`.
        place: String,
        /// What it has to be: `text`.
        wanted: &'static str,
    },

    /// The notebook is written in another language.
    #[error(
        "`{}` is a notebook of the kernel `{kernel}` ({language}), not of Woolshed",
        path.display()
    )]
    Language {
        /// The file.
        path: PathBuf,
        /// The kernel it names.
        kernel: String,
        /// Its language.
        language: String,
    },

    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Code to run.
    Code,
    /// Prose.
    Markdown,
    /// Text that nothing looks at.
    Raw,
}

impl Kind {
    /// As the file writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Markdown => "markdown",
            Self::Raw => "raw",
        }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What it holds.
    pub kind: Kind,
    /// Its name, the only one in the notebook.
    pub id: String,
    /// Its text.
    pub source: String,
    /// What front ends keep with it: tags, collapsed.
    pub metadata: Map<String, Value>,
    /// Pictures inside prose.
    pub attachments: Option<Value>,
    /// What the code said.
    pub outputs: Vec<Value>,
    /// The number beside it.
    pub execution_count: Option<u64>,
}

impl Cell {
    /// A cell with nothing but a text; the notebook gives it an id.
    pub fn new(kind: Kind, source: impl Into<String>) -> Self {
        Self {
            kind,
            id: String::new(),
            source: source.into(),
            metadata: Map::new(),
            attachments: None,
            outputs: Vec::new(),
            execution_count: None,
        }
    }

    /// True when it carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        let tags = self.metadata.get("tags").and_then(Value::as_array);
        tags.is_some_and(|tags| tags.iter().any(|t| t == tag))
    }

    /// True for a cell that is run.
    pub fn runs(&self) -> bool {
        self.kind == Kind::Code && !self.source.trim().is_empty() && !self.has_tag("skip-execution")
    }

    /// True for a cell behind which the others run also when it failed.
    pub fn may_fail(&self) -> bool {
        self.has_tag("raises-exception")
    }

    fn to_json(&self) -> Value {
        let mut cell = json!({
            "cell_type": self.kind.name(),
            "id": self.id,
            "metadata": self.metadata,
            "source": lines(&self.source),
        });
        if let Some(attachments) = &self.attachments {
            cell["attachments"] = attachments.clone();
        }
        if self.kind == Kind::Code {
            cell["execution_count"] = json!(self.execution_count);
            cell["outputs"] = self.outputs.iter().map(split).collect();
        }
        cell
    }
}

/// A notebook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notebook {
    /// The kernel, the language, and what front ends keep.
    pub metadata: Map<String, Value>,
    /// The cells in their order.
    pub cells: Vec<Cell>,
}

impl Notebook {
    /// Reads a notebook.
    ///
    /// # Errors
    /// The file cannot be read, is no notebook, or is written for another language.
    pub fn read(path: &Path) -> Result<Self, NotebookError> {
        let path_buf = || path.to_path_buf();
        let text = fs::read_to_string(path)
            .map_err(|source| NotebookError::Read { path: path_buf(), source })?;
        let file: Value = serde_json::from_str(&text)
            .map_err(|source| NotebookError::Json { path: path_buf(), source })?;
        let notebook = Self::parse(&file).map_err(|(place, wanted)| match place.as_str() {
            "nbformat" => NotebookError::Version {
                path: path_buf(),
                found: file.get("nbformat").map_or("none".into(), Value::to_string),
            },
            _ => NotebookError::Field { path: path_buf(), place, wanted },
        })?;
        let (kernel, language) = notebook.language();
        let known = SPECS.iter().any(|spec| spec.name == kernel);
        if !known && !matches!(language.to_lowercase().as_str(), "" | "rhai") {
            return Err(NotebookError::Language { path: path_buf(), kernel, language });
        }
        Ok(notebook)
    }

    /// True when its cells are Rust unless they say otherwise.
    pub fn is_rust(&self) -> bool {
        self.language().1.eq_ignore_ascii_case("rust")
    }

    /// The kernel's name and the language of its cells; empty where the notebook does not say.
    fn language(&self) -> (String, String) {
        let field = |owner: &str, name: &str| {
            let found = self.metadata.get(owner).and_then(|o| o.get(name)).and_then(Value::as_str);
            found.unwrap_or_default().to_string()
        };
        let language = match field("kernelspec", "language") {
            language if language.is_empty() => field("language_info", "name"),
            language => language,
        };
        (field("kernelspec", "name"), language)
    }

    /// Reads the JSON of a notebook, or says which field is not what.
    fn parse(file: &Value) -> Result<Self, (String, &'static str)> {
        if file.get("nbformat") != Some(&json!(4)) {
            return Err(("nbformat".into(), "4"));
        }
        let object = |value: Option<&Value>, place: &str| match value {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map.clone()),
            Some(_) => Err((place.to_string(), "an object")),
        };
        let mut notebook =
            Self { metadata: object(file.get("metadata"), "metadata")?, cells: Vec::new() };
        let cells = file.get("cells").and_then(Value::as_array);
        for (i, cell) in cells.ok_or(("cells".into(), "a list"))?.iter().enumerate() {
            let place = |field: &str| format!("cells[{i}].{field}");
            let kind = match cell.get("cell_type").and_then(Value::as_str) {
                Some("code") => Kind::Code,
                Some("markdown") => Kind::Markdown,
                Some("raw") => Kind::Raw,
                _ => return Err((place("cell_type"), "code, markdown or raw")),
            };
            let source = cell.get("source").and_then(joined);
            notebook.cells.push(Cell {
                id: cell.get("id").and_then(Value::as_str).unwrap_or_default().to_string(),
                metadata: object(cell.get("metadata"), &place("metadata"))?,
                attachments: cell.get("attachments").cloned(),
                outputs: match cell.get("outputs") {
                    None => Vec::new(),
                    Some(Value::Array(outputs)) => outputs.clone(),
                    Some(_) => return Err((place("outputs"), "a list")),
                },
                execution_count: cell.get("execution_count").and_then(Value::as_u64),
                ..Cell::new(kind, source.ok_or((place("source"), "text"))?)
            });
        }
        notebook.name_cells();
        Ok(notebook)
    }

    /// Gives every cell without an id of its own one: that of its place, `cell-07`.
    pub fn name_cells(&mut self) {
        let mut taken = HashSet::new();
        for cell in &mut self.cells {
            let legal = (1..=64).contains(&cell.id.len())
                && cell.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            if !legal || !taken.insert(cell.id.clone()) {
                cell.id.clear();
            }
        }
        for (i, cell) in self.cells.iter_mut().enumerate() {
            if cell.id.is_empty() {
                cell.id = id_of_place(i);
                while !taken.insert(cell.id.clone()) {
                    cell.id.push('b');
                }
            }
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let cells: Vec<Value> = self.cells.iter().map(Cell::to_json).collect();
        let file = in_order(json!({
            "cells": cells,
            "metadata": self.metadata,
            "nbformat": 4,
            "nbformat_minor": MINOR,
        }));
        let mut text = Vec::new();
        let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
        file.serialize(&mut writer).expect("a JSON value goes into memory");
        text.push(b'\n');
        String::from_utf8(text).expect("JSON is written as UTF-8")
    }

    /// Writes the notebook, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), NotebookError> {
        Ok(files::write(path, self.to_text().as_bytes())?)
    }
}

/// The id of a cell that brings none.
pub fn id_of_place(place: usize) -> String {
    format!("cell-{place:02}")
}

/// A text that a file may hold as lines.
fn joined(text: &Value) -> Option<String> {
    match text {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A text as lines that keep their ends.
fn lines(text: &str) -> Value {
    text.split_inclusive('\n').map(Value::from).collect()
}

/// An output with its long texts as lines.
fn split(output: &Value) -> Value {
    let mut output = output.clone();
    if let Some(Value::String(text)) = output.get("text") {
        output["text"] = lines(text);
    }
    if let Some(Value::Object(data)) = output.get_mut("data") {
        for (mime, value) in data {
            let is_text = mime.starts_with("text/")
                || matches!(mime.as_str(), "image/svg+xml" | "application/javascript");
            if let (true, Value::String(text)) = (is_text, &*value) {
                *value = lines(text);
            }
        }
    }
    output
}

/// The same value with the keys of every object in order.
fn in_order(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().map(|(k, v)| (k, in_order(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_wrong_is_named() {
        let wrong = |file: Value| Notebook::parse(&file).unwrap_err();
        assert_eq!(wrong(json!({"nbformat": 3})).0, "nbformat");
        assert_eq!(wrong(json!({"nbformat": 4})), ("cells".into(), "a list"));
        let cell = json!({"nbformat": 4, "cells": [{"cell_type": "code"}]});
        assert_eq!(wrong(cell), ("cells[0].source".into(), "text"));
        let cell = json!({"nbformat": 4, "cells": [{"cell_type": "heading", "source": ""}]});
        assert_eq!(wrong(cell).0, "cells[0].cell_type");
    }

    #[test]
    fn cells_without_a_legal_id_of_their_own_get_one_of_their_place() {
        let ids = ["", "a", "a", "cell-00", "no blanks"];
        let cell = |id: &str| Cell { id: id.into(), ..Cell::new(Kind::Code, "") };
        let cells = ids.map(cell).to_vec();
        let mut notebook = Notebook { cells, ..Notebook::default() };
        notebook.name_cells();
        let ids: Vec<&str> = notebook.cells.iter().map(|c| c.id.as_str()).collect();
        assert_eq!(ids, ["cell-00b", "a", "cell-02", "cell-00", "cell-04"]);
    }

    #[test]
    fn a_notebook_of_another_language_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ipynb");
        let file = json!({"nbformat": 4, "cells": [], "metadata":
            {"kernelspec": {"name": "python3", "language": "python"}}});
        fs::write(&path, file.to_string()).unwrap();
        let error = Notebook::read(&path).unwrap_err().to_string();
        assert!(error.contains("`python3` (python)"), "{error}");
    }

    #[test]
    fn the_committed_lessons_are_written_as_they_stand() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "ipynb") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(Notebook::read(&path).unwrap().to_text() == text, "{}", path.display());
            }
        }
    }
}
