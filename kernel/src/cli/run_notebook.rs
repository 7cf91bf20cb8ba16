//! `woolshed run FILE.ipynb`: a notebook without a front end, its outputs in a copy.
//!
//! The copy is written after a cell when a second has gone by since the last time, and at the end,
//! however the notebook ends: what was said so far is never lost.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::run::{stop_on_ctrl_c, warn_of_unused};
use super::terminal::Terminal;
use super::{INTERRUPTED, SCRIPT_ERROR, USAGE, complain};
use crate::notebook::{self, Ended, Moment, Notebook};
use crate::session::{Cells, HostOptions, Language, Output};
use crate::streams::{say, tell};

/// The least time between two writings of the copy.
const PACE: Duration = Duration::from_secs(1);

/// The longest start of a cell's code that is shown, in characters.
const SHOWN: usize = 60;

/// Runs a notebook and gives the process its exit code.
pub fn run(file: &Path, output: Option<&Path>, options: HostOptions) -> ExitCode {
    let mut notebook = match Notebook::read(file) {
        Ok(notebook) => notebook,
        Err(error) => {
            tell!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let output = output.map_or_else(|| copy_of(file), Path::to_path_buf);
    // An hour of work is not to end at a folder that cannot be written.
    if let Err(error) = notebook.write(&output) {
        return complain(&error);
    }
    let terminal = Arc::new(Terminal::new(PathBuf::new()));
    let aside: Arc<dyn Output> = terminal.clone();
    let own = if notebook.is_rust() { Language::Rust } else { Language::Rhai };
    let (mut cells, interrupt) = Cells::new(options, aside.clone(), own);
    let host = cells.session().host().clone();
    stop_on_ctrl_c(interrupt);

    let mut written = Instant::now();
    let mut line = String::new();
    let ended = notebook::run(&mut notebook, &mut cells, &aside, &mut |notebook, moment| {
        match moment {
            Moment::Begins { number, of, source } => {
                line = format!("cell {number}/{of}  {}", start_of(source));
                terminal.headline(&line);
            }
            Moment::Over { took } => {
                terminal.progress_done("");
                terminal.headline("");
                tell!("{line}  {:.1} s", took.as_secs_f64());
                if written.elapsed() >= PACE {
                    notebook.write(&output)?;
                    written = Instant::now();
                }
            }
        }
        Ok(())
    });
    if let Err(error) = notebook.write(&output) {
        return complain(&error);
    }
    let code = match ended {
        Ok(Ended::Done) => {
            warn_of_unused(&host, "notebook");
            ExitCode::SUCCESS
        }
        Ok(Ended::Failed { number, said }) => {
            tell!("cell {number} of `{}` failed; the cells behind it did not run", file.display());
            tell!("{said}");
            ExitCode::from(SCRIPT_ERROR)
        }
        Ok(Ended::Interrupted { number }) => {
            tell!("interrupted in cell {number}; what was written before stays");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => complain(&error),
    };
    say!("{}", output.display());
    code
}

/// `a/b.ipynb` is run into `a/b.out.ipynb`.
fn copy_of(file: &Path) -> PathBuf {
    file.with_extension("out.ipynb")
}

/// The first line of code that says something.
fn start_of(source: &str) -> String {
    let lines = || source.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines().find(|line| !line.starts_with("//")).or_else(|| lines().next());
    let line = line.unwrap_or_default();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_string(),
    }
}
