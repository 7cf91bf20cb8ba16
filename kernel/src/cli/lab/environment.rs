//! A Python environment with JupyterLab that nobody else uses.
//!
//! It counts as made when its last file, `ready`, is there: what an interrupt or a lost network leaves
//! behind is made anew. `uv` makes it where there is one, else Python's own `venv` and `pip`.

use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use crate::cli::places::on_path;
use crate::streams::{self, say, tell};

/// What is installed. A change makes a new environment.
const PACKAGES: &str = "jupyterlab>=4.2,<5";

/// What it takes, as measured with JupyterLab 4.6: on the disk and from the network.
const SIZE: &str = "about 240 MB on the disk, 46 MB from the network, one or two minutes";

/// Pythons that are looked for.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Nobody can be asked, and `--yes` is not there.
    #[error(
        "there is no JupyterLab on PATH. `woolshed lab --yes` makes an environment for it in {} \
         ({SIZE}); `pip install jupyterlab` brings one of your own",
        folder.display()
    )]
    NotAsked {
        /// Where it would be made.
        folder: PathBuf,
    },
    /// The user said no.
    #[error("nothing was made; `pip install jupyterlab` brings a JupyterLab of your own")]
    Refused,
    /// There is nothing to make it with.
    #[error(
        "there is no Python: neither `uv` nor `python3` is on PATH. Install one of them, 3.10 or later"
    )]
    NoPython,
    /// The disk is full.
    #[error("the disk is full: the environment in {} takes {SIZE}", folder.display())]
    Full {
        /// Where it was made.
        folder: PathBuf,
    },
    /// The packages could not be fetched.
    #[error(
        "JupyterLab could not be fetched: the network or the package index did not answer. The first \
         start needs it, later ones do not. The last line was: {said}"
    )]
    NoNetwork {
        /// The last line of the tool.
        said: String,
    },
    /// Debian's Python comes without `venv`.
    #[error("this Python cannot make environments. On Debian and Ubuntu: apt install python3-venv")]
    NoVenv,
    /// The tool failed.
    #[error("`{command}` ended with {status}. Its last lines:\n{said}")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines.
        said: String,
    },
    /// A program did not start, or a file could not be written.
    #[error("{}: {source}", path.display())]
    System {
        /// The program or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The JupyterLab in this environment, which is made when it is not there.
///
/// # Errors
/// It is not there, and cannot or must not be made.
pub fn jupyter_lab(folder: &Path, yes: bool) -> Result<PathBuf, EnvironmentError> {
    let inside = if cfg!(windows) { "Scripts" } else { "bin" };
    let program =
        |name: &str| folder.join(inside).join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let ready = folder.join("ready");
    if fs::read_to_string(&ready).is_ok_and(|made_of| made_of == PACKAGES) {
        return Ok(program("jupyter-lab"));
    }
    let uv = on_path("uv");
    let python = PYTHONS.iter().find_map(|name| on_path(name));
    if uv.is_none() && python.is_none() {
        return Err(EnvironmentError::NoPython);
    }
    let with = if uv.is_some() { "uv" } else { "venv and pip" };
    if !yes {
        if !io::stdin().is_terminal() {
            return Err(EnvironmentError::NotAsked { folder: folder.into() });
        }
        say!("There is no JupyterLab on PATH.");
        say!("I would make an environment for it with {with}, used by nothing else:");
        say!("  {} ({SIZE})", folder.display());
        streams::out(format_args!("Go on? [Y/n] "));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        let refused = answer.trim().to_lowercase().starts_with('n');
        if refused || !read.is_ok_and(|bytes| bytes > 0) {
            return Err(EnvironmentError::Refused);
        }
    }
    say!("making an environment with JupyterLab in {} ({SIZE})", folder.display());
    let system = |path: &Path| {
        let path = path.to_path_buf();
        move |source| EnvironmentError::System { path, source }
    };
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(system(folder))?;
    }
    let wanted = || Command::new(program("python"));
    let (mut make, mut fill) = match (&uv, &python) {
        (Some(uv), _) => {
            let mut make = Command::new(uv);
            make.args(["venv", "--python", ">=3.10"]);
            let mut fill = Command::new(uv);
            fill.args(["pip", "install", "--python"]).arg(program("python"));
            (make, fill)
        }
        (None, Some(python)) => {
            let mut make = Command::new(python);
            make.args(["-m", "venv"]);
            let mut fill = wanted();
            fill.args(["-m", "pip", "install", "--disable-pip-version-check"]);
            (make, fill)
        }
        (None, None) => return Err(EnvironmentError::NoPython),
    };
    run(make.arg(folder), folder)?;
    run(fill.arg(PACKAGES), folder)?;
    fs::write(&ready, PACKAGES).map_err(system(&ready))?;
    Ok(program("jupyter-lab"))
}

/// Runs a tool to its end; what it says is shown, and its last lines tell why it failed.
fn run(command: &mut Command, folder: &Path) -> Result<(), EnvironmentError> {
    let shown = format!("{command:?}").replace('"', "");
    let program = PathBuf::from(command.get_program());
    let system = |source| EnvironmentError::System { path: program.clone(), source };
    tell!("  {shown}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(system)?;
    let stdout = child.stdout.take();
    let listener = std::thread::spawn(move || stdout.map_or_else(Vec::new, listen));
    let mut said = child.stderr.take().map_or_else(Vec::new, listen);
    // A thread that panicked has nothing to add.
    said.splice(0..0, listener.join().unwrap_or_default());
    let status = child.wait().map_err(system)?;
    match status.success() {
        true => Ok(()),
        false => Err(failure(shown, status, &said, folder)),
    }
}

/// Shows the lines of a tool and gives the last of them.
fn listen(stream: impl io::Read) -> Vec<String> {
    let mut last = Vec::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        tell!("  {}", line.trim_end());
        last.push(line);
        if last.len() > 20 {
            last.remove(0);
        }
    }
    last
}

/// What the last lines of a tool that failed mean.
fn failure(
    command: String,
    status: ExitStatus,
    said: &[String],
    folder: &Path,
) -> EnvironmentError {
    let all = said.join("\n");
    let says = |words: &[&str]| {
        let all = all.to_lowercase();
        words.iter().any(|word| all.contains(word))
    };
    if says(&["no space left", "disk full", "not enough space"]) {
        return EnvironmentError::Full { folder: folder.into() };
    }
    if says(&["ensurepip is not available", "no module named venv"]) {
        return EnvironmentError::NoVenv;
    }
    let network = [
        "name resolution",
        "newconnectionerror",
        "connection refused",
        "connection reset",
        "timed out",
        "network is unreachable",
        "dns error",
        "failed to fetch",
        "from versions: none",
        "proxyerror",
    ];
    if says(&network) {
        let said = said.iter().rev().find(|line| !line.trim().is_empty());
        return EnvironmentError::NoNetwork { said: said.map_or("", |line| line.trim()).into() };
    }
    EnvironmentError::Failed { command, status, said: all }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_tool_that_fails_is_understood_by_its_last_lines() {
        let failed = |said: &str| {
            let script = format!("echo '{said}' >&2; exit 3");
            run(Command::new("sh").args(["-c", &script]), Path::new("/env")).unwrap_err()
        };
        assert!(matches!(
            failed("[Errno 28] No space left on device"),
            EnvironmentError::Full { .. }
        ));
        let lost = failed("NewConnectionError: Temporary failure in name resolution");
        assert!(lost.to_string().contains("later ones do not"), "{lost}");
        assert!(matches!(failed("ensurepip is not available"), EnvironmentError::NoVenv));
        let other = failed("an egg").to_string();
        assert!(other.contains("an egg") && other.contains('3'), "{other}");
    }
}
