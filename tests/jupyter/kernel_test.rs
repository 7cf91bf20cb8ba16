//! Jupyter's own test suite for kernels (`jupyter_kernel_test`), with Jupyter's own client.
//!
//! The first run makes a Python environment under the target folder: about 20 s and 40 MB from the network.

use std::path::Path;
use std::process::Command;

use crate::python::{python, run};

/// The suite and the client it was written for. A change here makes a new environment.
const PACKAGES: [&str; 2] = ["jupyter_kernel_test==0.7.0", "jupyter_client>=8.6,<9"];

/// How many tests the suite has: those of a kernel, and the greeting on iopub.
const TESTS: usize = 13;

#[test]
fn every_test_of_jupyters_own_suite_passes_and_none_is_skipped() {
    let Some(python) = python("jupyter-kernel-test-0.7.0", &PACKAGES) else { return };
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
