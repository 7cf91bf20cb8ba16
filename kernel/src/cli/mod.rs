//! The command line.
//!
//! | file | what it is for |
//! |---|---|
//! | `run.rs` | `woolshed run FILE.rhai` |
//! | `run_notebook.rs` | `woolshed run FILE.ipynb` |
//! | `convert.rs` | `woolshed convert`: notebook to script and back |
//! | `repl.rs` | `woolshed repl` |
//! | `bench.rs` | `woolshed bench`: the shear step, timed |
//! | `doctor.rs` | `woolshed doctor` |
//! | `faults.rs` | what keeps a kernel from starting, each with one thing to try |
//! | `install.rs` | `woolshed install`, `uninstall`: the kernels, and the colours of JupyterLab |
//! | `places.rs` | where Jupyter keeps its things |
//! | `lab.rs` | `woolshed lab`: JupyterLab with the kernel and the lessons |
//! | `terminal.rs` | a session's output on a terminal and in files |

mod bench;
mod convert;
mod doctor;
mod faults;
mod install;
mod lab;
mod places;
mod repl;
mod run;
mod run_notebook;
mod terminal;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};

use self::install::InstallError;
use self::lab::LabArgs;
use self::places::PlaceArgs;
use crate::jupyter;
use crate::jupyter::kernelspec::USUAL;
use crate::pages;
use crate::rust::{self, RustError};
use crate::script;
use crate::session::{Cells, HostOptions, Language, Session};
use crate::streams::{self, say, tell};

/// Exit codes: 0 is success.
const SCRIPT_ERROR: u8 = 1;
const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Where charts and relative paths go when `--out` names no folder.
const OUT: &str = "woolshed-out";

/// Prune language models step by step, in a script, a REPL or a notebook.
#[derive(Parser)]
#[command(name = "woolshed", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a script or a notebook
    Run {
        /// FILE.rhai or FILE.ipynb
        file: PathBuf,
        /// The copy of a notebook that gets the outputs (FILE.out.ipynb)
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        session: SessionArgs,
    },
    /// Make a script with `// %%` cells from a notebook, or a notebook from a script
    Convert {
        /// FILE.ipynb or FILE.rhai
        from: PathBuf,
        /// FILE.rhai or FILE.ipynb
        to: PathBuf,
        /// Write over a file that is there; a notebook keeps the outputs of code that is the same
        #[arg(short, long)]
        force: bool,
    },
    /// Type script lines and see what they give
    Repl {
        #[command(flatten)]
        session: SessionArgs,
    },
    /// Time the shear step on random weights: what this machine will do
    Bench(bench::BenchArgs),
    /// Say what this machine and this program have: devices, features, versions, Jupyter
    Doctor,
    /// Start JupyterLab with this kernel and the lessons
    Lab(LabArgs),
    /// Tell Jupyter about the kernel, and JupyterLab about its colours
    Install {
        #[command(flatten)]
        place: PlaceArgs,
        /// Do not prepare Rust cells; the first one then takes some 15 s longer
        #[arg(long)]
        no_rust: bool,
    },
    /// Take out of Jupyter what `install` put there
    Uninstall(PlaceArgs),
    /// Serve a Jupyter front end (Jupyter starts this)
    Kernel {
        /// The connection file Jupyter wrote
        #[arg(long)]
        connection_file: PathBuf,
        /// Cells are Rust unless they begin with %%rhai
        #[arg(long)]
        rust: bool,
    },
    /// Print the reference of the script functions, Markdown
    Reference,
}

#[derive(Args)]
struct SessionArgs {
    /// A value for `param(name, default)`, or for a variable of the cell tagged `parameters`; may be
    /// given many times
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    param: Vec<(String, String)>,
    /// The folder charts and relative paths are written to (woolshed-out)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The seed of everything that names none
    #[arg(long)]
    seed: Option<u64>,
}

impl SessionArgs {
    fn options(self) -> HostOptions {
        HostOptions { out: self.out, params: self.param.into_iter().collect(), seed: self.seed }
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    if !matches!(command, Command::Kernel { .. }) {
        pages::usual();
    }
    match command {
        Command::Run { file, output, session } => {
            run::run(&file, output.as_deref(), session.options())
        }
        Command::Convert { from, to, force } => convert::convert(&from, &to, force),
        Command::Repl { session } => repl::repl(session.options()),
        Command::Bench(args) => bench::run(args),
        Command::Doctor => doctor::doctor(),
        Command::Lab(args) => lab::lab(&args),
        Command::Install { place, no_rust } => install_in(&place, !no_rust),
        Command::Uninstall(place) => uninstall_from(&place),
        Command::Kernel { connection_file, rust } => {
            let own = if rust { Language::Rust } else { Language::Rhai };
            let (cells, interrupt) =
                Cells::new(HostOptions::default(), Arc::new(terminal::Silent), own);
            match jupyter::serve(&connection_file, Box::new(cells), interrupt) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&error),
            }
        }
        Command::Reference => {
            let session = Session::new(HostOptions::default(), Arc::new(terminal::Silent));
            streams::out(format_args!("{}", script::reference::page(session.rhai())));
            ExitCode::SUCCESS
        }
    }
}

fn install_in(place: &PlaceArgs, with_rust: bool) -> ExitCode {
    let data = place.data_folder().map_err(InstallError::from);
    match data.and_then(|data| install::install(&data, &install::own_program()?)) {
        Ok(folders) => {
            for folder in folders {
                say!("installed {}", folder.display());
            }
            if with_rust {
                prepare_rust();
            }
            say!("start it with: jupyter lab   (or: jupyter console --kernel {})", USUAL.name);
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error),
    }
}

/// Makes Rust cells ready, and says how that went; without them everything else is as it should be.
fn prepare_rust() {
    if rust::find().is_some() {
        say!("Rust cells: making ready what every first one needs, once for each compiler ...");
    }
    let start = Instant::now();
    match rust::prepare() {
        Ok(program) => {
            say!(
                "Rust cells: ready after {:.1} s ({})",
                start.elapsed().as_secs_f64(),
                program.display()
            );
        }
        Err(error @ RustError::NotInstalled) => {
            say!(
                "Rust cells: none; they need `woolshed-rust`: {}",
                error.hint().unwrap_or_default()
            );
        }
        Err(error) => {
            tell!("Rust cells: not ready: {error}");
            if let Some(hint) = error.hint() {
                tell!("try: {hint}");
            }
        }
    }
}

fn uninstall_from(place: &PlaceArgs) -> ExitCode {
    let data = match place.data_folder() {
        Ok(data) => data,
        Err(error) => return complain(&error),
    };
    match install::uninstall(&data) {
        Ok(gone) => {
            for folder in &gone {
                say!("removed {}", folder.display());
            }
            if gone.is_empty() {
                say!("nothing of Woolshed is in {}", data.display());
            }
            let others =
                places::data_folders().into_iter().flat_map(|data| install::folders(&data));
            for other in others.filter(|folder| folder.exists()) {
                say!("there is one more in {}", other.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => complain(&error),
    }
}

fn complain(error: &dyn std::error::Error) -> ExitCode {
    tell!("error: {error}");
    ExitCode::from(SCRIPT_ERROR)
}
