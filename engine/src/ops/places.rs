//! Rows and columns by their numbers: embeddings, and the part of a matrix that an elastic step runs on.
//!
//! The CPU's pass by hand has these in its own loops (`model/pass`); here they are nodes of a graph.

use candle_core::{Result, Tensor};

use super::elsewhere;
use super::plain;

/// Rows of a table by their ids: `w (V, D)` to `(N, D)`.
///
/// # Errors
/// candle's, for an id beyond the table.
pub fn embedding(w: &Tensor, ids: &[u32]) -> Result<Tensor> {
    if w.device().is_cpu() { plain::embedding(w, ids) } else { elsewhere::embedding(w, ids) }
}

/// The chosen rows and columns of `w (R, C)`; none for all of them. Each is chosen once.
///
/// # Errors
/// candle's, for a number beyond the matrix.
pub fn part(w: &Tensor, rows: Option<&[u32]>, cols: Option<&[u32]>) -> Result<Tensor> {
    if rows.is_none() && cols.is_none() {
        return Ok(w.clone());
    }
    if w.device().is_cpu() { plain::part(w, rows, cols) } else { elsewhere::part(w, rows, cols) }
}
