//! Jupyter's own test suite for kernels (`jupyter_kernel_test`), for the kernel whose cells are Rust.

use std::path::Path;
use std::process::Command;

use crate::python::{python, run};
use crate::rust_program;

/// The suite and the client it was written for, as for Rhai: one environment serves both.
const PACKAGES: [&str; 2] = ["jupyter_kernel_test==0.7.0", "jupyter_client>=8.6,<9"];

/// How many tests there are: those of the suite, the greeting on iopub, a silent cell, comm_info.
const TESTS: usize = 15;

#[test]
fn every_test_of_jupyters_own_suite_passes_for_rust_cells_and_none_is_skipped() {
    let Some(program) = rust_program() else { return };
    let Some(python) = python("jupyter-kernel-test-0.7.0-rust", &PACKAGES) else { return };
    let folder = tempfile::tempdir().unwrap();
    let prefix = folder.path().join("prefix");
    let woolshed = env!("CARGO_BIN_EXE_woolshed");
    let mut install = Command::new(woolshed);
    run(install.args(["install", "--no-rust", "--prefix"]).arg(&prefix)).unwrap();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/jupyter/kernel_test_rust.py");
    let output = Command::new(python)
        .arg(suite)
        .arg("-v")
        .env("WOOLSHED_RUST", program)
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
