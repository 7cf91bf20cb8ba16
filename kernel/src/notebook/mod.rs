//! Notebooks as files: Jupyter's own form, scripts with `// %%` cells, and what a run leaves in them.
//!
//! A [`Notebook`] is a list of cells. It is read from and written to an `.ipynb` file or a `.rhai` script;
//! both ways keep every character of code and prose.
//!
//! | file | what it is for |
//! |---|---|
//! | `file.rs` | `.ipynb`: nbformat 4 read, nbformat 4.5 written |
//! | `percent.rs` | `.rhai` with `// %%` cells |
//! | `marker.rs` | the line a cell of a script begins with |
//! | `outputs.rs` | what cells say, as a notebook stores it |
//! | `run.rs` | runs the cells of a notebook, one after the other |

mod file;
mod marker;
mod outputs;
mod percent;
mod run;

use std::path::Path;

pub use file::{Cell, Kind, Notebook, NotebookError};
pub use percent::Script;
pub use run::{Ended, Moment, run};

/// The tag of the cell that sets parameters.
pub const PARAMETERS: &str = "parameters";

/// The tag of the cell that gives them their values of this run.
pub const INJECTED: &str = "injected-parameters";

/// True for a file that is a notebook by its name.
pub fn is_notebook(file: &Path) -> bool {
    file.extension().is_some_and(|e| e.eq_ignore_ascii_case("ipynb"))
}
