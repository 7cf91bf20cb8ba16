//! `woolshed lab`: JupyterLab with this kernel and the lessons, in one command.
//!
//! The JupyterLab on PATH is taken, else one in an environment of Woolshed's own, made on the first start.
//! Kernel and colours stand in a folder of Woolshed's own that `JUPYTER_PATH` names, so nothing of the
//! user's Jupyter changes. After the first start no network is needed.
//!
//! | file | what it is for |
//! |---|---|
//! | `environment.rs` | the environment of Woolshed's own |
//! | `lessons.rs` | the lessons, copied and kept up to date |
//! | `server.rs` | a running JupyterLab |

mod environment;
mod lessons;
mod server;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use self::environment::EnvironmentError;
use self::lessons::LessonError;
use self::server::{Server, ServerError, Start};
use super::install::{self, InstallError, own_program};
use super::places::{PlaceError, on_path, share};
use super::{USAGE, complain};
use crate::streams::{say, tell};

/// The folder of the lessons when none is named.
const FOLDER: &str = "woolshed-lab";

/// What `woolshed lab` takes.
#[derive(Args)]
pub struct LabArgs {
    /// The folder JupyterLab opens; the lessons are copied there
    #[arg(default_value = FOLDER)]
    folder: PathBuf,
    /// The port to listen on (the first free one from 8888)
    #[arg(long)]
    port: Option<u16>,
    /// Do not open a browser
    #[arg(long)]
    no_browser: bool,
    /// Make the environment without asking
    #[arg(long)]
    yes: bool,
}

/// Why JupyterLab does not run.
#[derive(Debug, thiserror::Error)]
enum LabError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Lesson(#[from] LessonError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Starts JupyterLab and waits for its end.
pub fn lab(args: &LabArgs) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(LabError::Environment(error @ EnvironmentError::NotAsked { .. })) => {
            tell!("error: {error}");
            ExitCode::from(USAGE)
        }
        Err(error) => complain(&error),
    }
}

fn start(args: &LabArgs) -> Result<(), LabError> {
    let home = dirs::data_dir().ok_or(PlaceError::NoHome)?.join("woolshed");
    let port = server::free_port(args.port)?;
    let program = match on_path("jupyter-lab") {
        Some(program) => program,
        None => environment::jupyter_lab(&home.join("lab"), args.yes)?,
    };
    let data = share(&home);
    install::install(&data, &own_program()?)?;
    let config = home.join("etc").join("jupyter");
    configure(&config)?;
    for line in lessons::copy(&args.folder)? {
        say!("{line}");
    }
    say!("starting {}", program.display());
    let mut server = Server::start(Start {
        program: &program,
        folder: &args.folder,
        port,
        browser: !args.no_browser,
        opens: lessons::FIRST,
        data: &data,
        config: &config,
        log: &home.join("lab.log"),
    })?;
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let handler = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(super::INTERRUPTED));
        }
    });
    if let Err(error) = handler {
        tell!("warning: Ctrl-C will leave JupyterLab running: {error}");
    }
    if server.wait_until_it_answers(&stop)? {
        say!("JupyterLab is at {}", server.url());
        say!("Ctrl-C stops it and its kernels");
    }
    server.wait(&stop)?;
    say!("stopped");
    Ok(())
}

/// Turns off what asks the network for news.
fn configure(config: &Path) -> Result<(), LabError> {
    let file = config.join("labconfig").join("page_config.json");
    let text =
        "{\"disabledExtensions\": {\"@jupyterlab/apputils-extension:announcements\": true}}\n";
    let folder = file.parent().unwrap_or(config);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, text))
        .map_err(|source| LabError::Write { path: file.clone(), source })
}
