//! A Python environment for other people's programs, made under the target folder on first use.
//!
//! Where there is no Python or no network a test says that it did not run, unless `WOOLSHED_REQUIRE_PYTHON`
//! is set: then that is a failure. `WOOLSHED_PYTHON` names another Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs a command to its end.
///
/// # Errors
/// It does not start, or fails: then what it wrote to stderr.
pub fn run(command: &mut Command) -> Result<Output, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let also = String::from_utf8_lossy(&output.stdout);
    Err(format!("{shown}: {}\n{}\n{}", output.status, also.trim(), said.trim()))
}

/// A Python that has the packages, made when it is not there yet; none where that cannot be. A change of
/// the packages needs another `name`.
pub fn python(name: &str, packages: &[&str]) -> Option<PathBuf> {
    match made(name, packages) {
        Ok(python) => Some(python),
        Err(reason) => {
            let required = std::env::var_os("WOOLSHED_REQUIRE_PYTHON").is_some();
            assert!(!required, "no Python environment: {reason}");
            eprintln!("not run: no Python environment: {reason}");
            None
        }
    }
}

fn made(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let (python, ready) = (folder.join(inside), folder.join("ready"));
    if ready.exists() {
        return Ok(python);
    }
    let system = std::env::var("WOOLSHED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(packages))?;
    fs::write(ready, packages.join("\n")).map_err(|error| error.to_string())?;
    Ok(python)
}
