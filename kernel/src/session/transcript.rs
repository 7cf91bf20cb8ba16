//! The cells so far, as a script that does the same again.
//!
//! A cell that failed is kept as a remark: half of it may have run, and running it again would fail
//! again. `%run FILE` is written as the code of the file, so the script stands alone.

use std::path::{Path, PathBuf};

use crate::files::{self, WriteError};

/// The first line of every file written here: such a file may be written over.
const HEADER: &str = "// The cells of a Woolshed session, as a script.";

/// Why the cells were not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The file is there and is something else.
    #[error("`{}` is there and was not made by %save", path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What ends a cell so that another can follow: the last expression of a cell needs no `;`, and one in
/// the middle of a script does. Behind a remark it stands on a line of its own.
fn end(code: &str) -> &'static str {
    let last = code.lines().next_back().unwrap_or_default();
    match last.trim_end().ends_with([';', '}']) {
        true => "",
        false if last.contains("//") => "\n;",
        false => ";",
    }
}

/// The cells of a session in the order they ran.
#[derive(Debug, Default)]
pub struct Transcript {
    cells: Vec<String>,
}

impl Transcript {
    /// Adds a cell by its name, `cell 3`; `ran` says whether it ran to its end.
    pub fn push(&mut self, name: &str, code: &str, ran: bool) {
        let code = code.trim_matches('\n').trim_end();
        if code.trim().is_empty() {
            return;
        }
        self.cells.push(if ran {
            format!("// %% {name}\n{code}{}\n", end(code))
        } else {
            let remark: String = code.lines().map(|line| format!("// {line}\n")).collect();
            format!("// %% {name} (failed)\n{remark}")
        });
    }

    /// Adds a Rust cell: a script cannot run it, so it is kept as a remark.
    pub fn push_rust(&mut self, name: &str, code: &str) {
        let remark: String = code
            .trim()
            .lines()
            .map(|line| format!("// {line}").trim_end().to_owned() + "\n")
            .collect();
        self.cells.push(format!("// %% {name} (Rust)\n{remark}"));
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The script.
    pub fn script(&self) -> String {
        format!("{HEADER}\n\n{}", self.cells.join("\n"))
    }

    /// Writes the script.
    ///
    /// # Errors
    /// The file cannot be written, or it is there, was not made here and `over` is not set.
    pub fn save(&self, path: &Path, over: bool) -> Result<(), SaveError> {
        // A file that cannot be read as text was not made here.
        let ours = |path| std::fs::read_to_string(path).is_ok_and(|text| text.starts_with(HEADER));
        if !over && path.exists() && !ours(path) {
            return Err(SaveError::Occupied { path: path.to_path_buf() });
        }
        Ok(files::write(path, self.script().as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_the_cells_that_ran_and_remarks_of_those_that_failed() {
        let mut transcript = Transcript::default();
        transcript.push("cell 1", "\nlet a = 1;\n", true);
        transcript.push("cell 2", "throw 1;\nlet b = 2;", false);
        transcript.push("cell 3", "  \n", true);
        assert_eq!(transcript.len(), 2);
        assert_eq!(
            transcript.script(),
            format!(
                "{HEADER}\n\n// %% cell 1\nlet a = 1;\n\n// %% cell 2 (failed)\n// throw 1;\n// let b = 2;\n"
            )
        );
    }

    #[test]
    fn cells_that_end_in_a_value_can_be_followed_by_others() {
        let mut transcript = Transcript::default();
        for code in
            ["let a = 1; a", "a // remark", "fn f() { 1 }", "if a > 0 { a } else { 0 }", "f()"]
        {
            transcript.push("cell", code, true);
        }
        rhai::Engine::new().run(&transcript.script()).unwrap();
    }

    #[test]
    fn only_its_own_files_are_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/x.rhai");
        let mut transcript = Transcript::default();
        transcript.save(&path, false).unwrap();
        transcript.push("cell 1", "1", true);
        transcript.save(&path, false).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("// %% cell 1\n1;\n"));
        std::fs::write(&path, "my own").unwrap();
        let refused = transcript.save(&path, false);
        assert!(matches!(refused, Err(SaveError::Occupied { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "my own");
        transcript.save(&path, true).unwrap();
    }
}
