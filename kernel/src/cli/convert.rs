//! `woolshed convert`: a notebook to a script with `// %%` cells, and back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::{SCRIPT_ERROR, USAGE};
use crate::files::{self, WriteError};
use crate::jupyter::kernelspec;
use crate::notebook::{Kind, Notebook, NotebookError, Script, is_notebook};
use crate::session::Language;
use crate::session::languages::rust_cell;
use crate::streams::{say, tell};

/// Why nothing was converted.
#[derive(Debug, thiserror::Error)]
enum ConvertError {
    /// Both files are notebooks, or neither is.
    #[error("one of `{}` and `{}` has to end in .ipynb and the other in .rhai", from.display(), to.display())]
    Forms { from: PathBuf, to: PathBuf },

    /// The file is there.
    #[error(
        "`{}` is there; --force writes over it (a notebook keeps the outputs of code that is the same)",
        path.display()
    )]
    Occupied { path: PathBuf },

    /// The script cannot be read.
    #[error("cannot read the script `{}`: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },

    #[error(transparent)]
    Notebook(#[from] NotebookError),

    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Converts a file and gives the process its exit code.
pub fn convert(from: &Path, to: &Path, force: bool) -> ExitCode {
    match converted(from, to, force) {
        Ok(cells) => {
            say!("{}: {cells} cells", to.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell!("error: {error}");
            let is_use =
                matches!(error, ConvertError::Forms { .. } | ConvertError::Occupied { .. });
            ExitCode::from(if is_use { USAGE } else { SCRIPT_ERROR })
        }
    }
}

fn converted(from: &Path, to: &Path, force: bool) -> Result<usize, ConvertError> {
    let is_script = |path: &Path| path.extension().is_some_and(|e| e == "rhai");
    let forward = is_notebook(from) && is_script(to);
    let backward = is_script(from) && is_notebook(to);
    if !forward && !backward {
        return Err(ConvertError::Forms { from: from.into(), to: to.into() });
    }
    if to.exists() && !force {
        return Err(ConvertError::Occupied { path: to.into() });
    }
    let usual = kernelspec::USUAL.metadata();
    if forward {
        let mut notebook = Notebook::read(from)?;
        if notebook.is_rust() {
            name_languages(&mut notebook);
            notebook.metadata.remove("language_info");
            notebook.metadata.extend(usual.clone());
        }
        files::write(to, Script::write(&notebook, &usual).as_bytes())?;
        return Ok(notebook.cells.len());
    }
    let text = std::fs::read_to_string(from)
        .map_err(|source| ConvertError::Read { path: from.into(), source })?;
    let mut notebook = Script::parse(&text, &usual).notebook;
    if to.exists() {
        keep_outputs(&mut notebook, Notebook::read(to)?);
    }
    notebook.write(to)?;
    Ok(notebook.cells.len())
}

/// Makes the cells of a Rust notebook say that they are Rust: those of a script are Rhai.
fn name_languages(notebook: &mut Notebook) {
    for cell in notebook.cells.iter_mut().filter(|cell| cell.kind == Kind::Code) {
        let is_rust = |own| rust_cell(&cell.source, own).is_some();
        if is_rust(Language::Rust) && !is_rust(Language::Rhai) {
            cell.source.insert_str(0, "%%rust\n");
        }
    }
}

/// Gives code the outputs it has in an older notebook, in order.
fn keep_outputs(notebook: &mut Notebook, old: Notebook) {
    if let Some(language) = old.metadata.get("language_info") {
        notebook.metadata.entry("language_info").or_insert(language.clone());
    }
    let mut old: Vec<_> = old.cells.into_iter().filter(|cell| cell.kind == Kind::Code).collect();
    for cell in notebook.cells.iter_mut().filter(|cell| cell.kind == Kind::Code) {
        if let Some(at) = old.iter().position(|other| other.source == cell.source) {
            let same = old.remove(at);
            cell.outputs = same.outputs;
            cell.execution_count = same.execution_count;
        }
    }
}
