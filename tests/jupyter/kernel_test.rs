//! Jupyter's own test suite for kernels, for Rhai cells.

use crate::suite::every_test_passes;

/// How many tests the suite has: those of a kernel, and the greeting on iopub.
const TESTS: usize = 13;

#[test]
fn every_test_of_jupyters_own_suite_passes_and_none_is_skipped() {
    every_test_passes("jupyter-kernel-test-0.7.0", "kernel_test.py", TESTS, &[], &[]);
}
