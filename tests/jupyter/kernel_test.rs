//! Jupyter's own test suite for kernels (`jupyter_kernel_test`), with Jupyter's own client.
//!
//! The first run makes a Python environment under the target folder: about 20 s and 40 MB from the
//! network. Where there is no Python or no network the test says that it did not run, unless
//! `WOOLSHED_REQUIRE_PYTHON` is set: then that is a failure. `WOOLSHED_PYTHON` names another Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The suite and the client it was written for. A change here makes a new environment.
const PACKAGES: [&str; 2] = ["jupyter_kernel_test==0.7.0", "jupyter_client>=8.6,<9"];

/// How many tests the suite has: those of a kernel, and the greeting on iopub.
const TESTS: usize = 13;

fn run(command: &mut Command) -> Result<Output, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{shown}: {}\n{}", output.status, said.trim()))
}

/// A Python that has the packages, made when it is not there yet.
fn python() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jupyter-kernel-test-0.7.0");
    let inside = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };
    let (python, ready) = (folder.join(inside), folder.join("ready"));
    if ready.exists() {
        return Ok(python);
    }
    let system = std::env::var("WOOLSHED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    run(Command::new(system).args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run(install.args(PACKAGES))?;
    fs::write(ready, PACKAGES.join("\n")).map_err(|error| error.to_string())?;
    Ok(python)
}

#[test]
fn every_test_of_jupyters_own_suite_passes_and_none_is_skipped() {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            let required = std::env::var_os("WOOLSHED_REQUIRE_PYTHON").is_some();
            assert!(!required, "no Python environment: {reason}");
            eprintln!("not run: no Python environment: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let program = env!("CARGO_BIN_EXE_woolshed");
    run(Command::new(program).arg("install").arg("--prefix").arg(&prefix)).unwrap();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/jupyter/kernel_test.py");
    let output = Command::new(python)
        .arg(suite)
        .arg("-v")
        .env("JUPYTER_PATH", prefix.join("share/jupyter"))
        .env("JUPYTER_RUNTIME_DIR", folder.path().join("runtime"))
        .env("JUPYTER_CONFIG_DIR", folder.path().join("config"))
        .env("WOOLSHED_HISTORY", folder.path().join("history"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("Ran {TESTS} tests")), "{said}");
    assert!(!said.contains("skipped"), "{said}");
}
