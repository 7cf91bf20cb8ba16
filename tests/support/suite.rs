//! Jupyter's own test suite for kernels (`jupyter_kernel_test`), with Jupyter's own client.
//!
//! The first run makes a Python environment under the target folder: about 20 s and 40 MB from the network.

use std::path::Path;
use std::process::Command;

use crate::python::{python, run};

/// The suite and the client it was written for. A change here makes a new environment.
const PACKAGES: [&str; 2] = ["jupyter_kernel_test==0.7.0", "jupyter_client>=8.6,<9"];

/// Runs the suite `script` of `tests/jupyter` on kernels that `woolshed install` puts, with `install`'s further
/// arguments and further variables: all of its `tests` must pass, and none be skipped. The environment
/// `name` is made where there is none; without Python nothing runs, with a word.
pub fn every_test_passes(
    name: &str,
    script: &str,
    tests: usize,
    install: &[&str],
    variables: &[(&str, &Path)],
) {
    let Some(python) = python(name, &PACKAGES) else { return };
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let mut woolshed = Command::new(env!("CARGO_BIN_EXE_woolshed"));
    run(woolshed.arg("install").args(install).arg("--prefix").arg(&prefix)).unwrap();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/jupyter").join(script);
    let output = Command::new(python)
        .arg(suite)
        .arg("-v")
        .env("JUPYTER_PATH", prefix.join("share/jupyter"))
        .env("JUPYTER_RUNTIME_DIR", folder.path().join("runtime"))
        .env("JUPYTER_CONFIG_DIR", folder.path().join("config"))
        .env("WOOLSHED_HISTORY", folder.path().join("history"))
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("Ran {tests} tests")), "{said}");
    assert!(!said.contains("skipped"), "{said}");
}
