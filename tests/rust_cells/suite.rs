//! Jupyter's own test suite for kernels, for the kernel whose cells are Rust.

use crate::jupyter_suite::every_test_passes;
use crate::rust_program;

/// How many tests there are: those of the suite, the greeting on iopub, a silent cell, comm_info.
const TESTS: usize = 15;

#[test]
fn every_test_of_jupyters_own_suite_passes_for_rust_cells_and_none_is_skipped() {
    let Some(program) = rust_program() else { return };
    every_test_passes(
        "jupyter-kernel-test-0.7.0-rust",
        "kernel_test_rust.py",
        TESTS,
        &["--no-rust"],
        &[("WOOLSHED_RUST", &program)],
    );
}
