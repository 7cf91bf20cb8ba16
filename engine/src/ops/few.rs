//! y = x Wᵀ for a few rows of x, as in generation: W is read once, which is all the time it takes.

use rayon::prelude::*;

use super::kernel::{Real, Shared, dot, vectorised};

/// Rows of x up to which this is the way; a matrix product shares more between many rows.
pub(crate) const FEW: usize = 6;

/// Elements of W that make a task: to share out less costs more than it brings.
const TASK: usize = 64 * 1024;

/// Where the products go: into, or onto, `columns` of rows of `width` elements.
pub(crate) struct Into<'a, T> {
    pub out: &'a mut [T],
    pub width: usize,
    pub column: usize,
    pub add: bool,
}

/// Multiplies: rows `x (N, k)` with `w (M, k)` to (N, M). With `parallel` all threads share it.
///
/// # Determinism
/// One thread makes each number, so the bits do not depend on how many there are.
pub(crate) fn few_rows<T: Real>(x: &[T], w: &[T], k: usize, into: Into<'_, T>, parallel: bool) {
    let Into { out, width, column, add } = into;
    let n = x.len() / k;
    debug_assert!(column + w.len() / k <= width && out.len() >= n * width);
    let out = Shared::of(out);
    let block = |first: usize, w: &[T]| {
        vectorised!({
            for (j, w) in w.chunks_exact(k).enumerate() {
                for (i, x) in x.chunks_exact(k).enumerate() {
                    let y = dot(x, w);
                    // SAFETY: row i and column first + j of the result: inside `out`, and of this
                    // task alone.
                    let at = unsafe { &mut *out.at(i * width + column + first + j) };
                    *at = if add { *at + y } else { y };
                }
            }
        });
    };
    let rows = (TASK / k).max(1);
    if parallel && w.len() > rows * k {
        w.par_chunks(rows * k).enumerate().for_each(|(task, w)| block(task * rows, w));
    } else {
        block(0, w);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_have_the_products_of_the_plain_sum_however_they_are_shared_out() {
        for (n, m, k) in [(1, 1, 5), (1, 7, 16), (3, 10, 33), (2, 901, 288)] {
            let number = |i: usize| ((i * 7919) % 1009) as f64 / 1009.0 - 0.5;
            let x: Vec<f64> = (0..n * k).map(number).collect();
            let w: Vec<f64> = (0..m * k).map(|i| number(i + 17)).collect();
            let width = m + 3;
            let of = |parallel| {
                let mut out = vec![0.25; n * width];
                let into = Into { out: &mut out, width, column: 2, add: true };
                few_rows(&x, &w, k, into, parallel);
                out
            };
            let out = of(false);
            assert_eq!(out, of(true), "the same bits");
            for (i, row) in out.chunks(width).enumerate() {
                assert_eq!([row[0], row[1], row[width - 1]], [0.25; 3], "beside the columns");
                for j in 0..m {
                    let sum: f64 = (0..k).map(|l| x[i * k + l] * w[j * k + l]).sum();
                    // 288 products of size 1/4 in another order.
                    assert!((row[2 + j] - 0.25 - sum).abs() < 1e-12, "({i}, {j}) of {n}x{m}x{k}");
                }
            }
        }
    }
}
