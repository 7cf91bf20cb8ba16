//! Chosen rows and columns of a matrix, out of it and back into it.

use rayon::prelude::*;

use super::live::Chosen;
use crate::ops::kernel::{
    CHUNK, Real, Shared, clear, dot, in_order, rows_per_task, sum, vectorised,
};

/// A matrix of `columns` elements a row, and what of it takes part.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub columns: usize,
    pub rows: &'a Chosen,
    pub cols: &'a Chosen,
}

impl Part<'_> {
    /// Elements that take part.
    pub fn len(&self) -> usize {
        self.rows.len() * self.cols.len()
    }

    /// Whether that is the matrix itself.
    pub fn is_whole(&self) -> bool {
        self.rows.some().is_none() && self.cols.some().is_none()
    }
}

/// Factors of rows and columns, in the order of those that take part; none for 1.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a, T> {
    pub row: Option<&'a [T]>,
    pub col: Option<&'a [T]>,
}

impl<T> Factors<'_, T> {
    pub const NONE: Self = Self { row: None, col: None };

    pub fn are_none(&self) -> bool {
        self.row.is_none() && self.col.is_none()
    }
}

/// Copies the part of `w` that takes part, times its factors, into `out`.
pub(super) fn gather<T: Real>(w: &[T], part: Part<'_>, by: Factors<'_, T>, out: &mut [T]) {
    let width = part.cols.len();
    // Numbers far apart: a task of fewer of them takes as long. To share out less than that takes longer
    // than to do it.
    let rows = rows_per_task(if out.len() < CHUNK { width } else { 4 * width });
    out.par_chunks_mut(width * rows).enumerate().for_each(|(block, out)| {
        vectorised!({
            for (r, out) in out.chunks_exact_mut(width).enumerate() {
                let i = block * rows + r;
                let w = &w[part.rows.at(i) * part.columns..][..part.columns];
                match part.cols.some() {
                    None => out.copy_from_slice(w),
                    Some(cols) => {
                        for (out, &c) in out.iter_mut().zip(cols) {
                            *out = w[c];
                        }
                    }
                }
                if let Some(f) = by.row {
                    out.iter_mut().for_each(|x| *x *= f[i]);
                }
                if let Some(f) = by.col {
                    out.iter_mut().zip(f).for_each(|(x, &f)| *x *= f);
                }
            }
        });
    });
}

/// Adds the gradient `dw` of what [`gather`] gave, without factors, to that of the matrix, or puts it in the
/// place of what is left over there.
pub(super) fn scatter<T: Real>(dw: &[T], part: Part<'_>, over: Over<'_, T>) {
    let Over { out, fresh } = over.cleared(part);
    let width = part.cols.len();
    let rows = rows_per_task(width);
    let shared = Shared::of(out);
    dw.par_chunks(width * rows).enumerate().for_each(|(block, dw)| {
        for (r, dw) in dw.chunks_exact(width).enumerate() {
            let at = part.rows.at(block * rows + r) * part.columns;
            // SAFETY: the rows that take part are different ones, and this task has this one alone.
            let out = unsafe { std::slice::from_raw_parts_mut(shared.at(at), part.columns) };
            add_row(dw, part.cols.some(), fresh, out);
        }
    });
}

/// The gradient of a tensor on its way.
pub(super) struct Over<'a, T> {
    pub out: &'a mut [T],
    /// Whether what is there is left over from a step before.
    pub fresh: bool,
}

impl<T: Real> Over<'_, T> {
    /// With 0 where `part` does not reach.
    fn cleared(self, part: Part<'_>) -> Self {
        if self.fresh && !part.is_whole() {
            clear(self.out);
            return Self { fresh: false, ..self };
        }
        self
    }
}

#[inline(always)]
fn add_row<T: Real>(dw: &[T], cols: Option<&[usize]>, fresh: bool, out: &mut [T]) {
    match cols {
        None if fresh => out.copy_from_slice(dw),
        None => out.iter_mut().zip(dw).for_each(|(out, &x)| *out += x),
        Some(cols) => cols.iter().zip(dw).for_each(|(&c, &x)| out[c] += x),
    }
}

/// Gradients by the factors that [`gather`] multiplied with: of each row, of each column.
pub(super) struct ByFactor<T> {
    pub row: Vec<T>,
    pub col: Vec<T>,
}

/// The backward pass of [`gather`] with factors: adds to the gradient of the matrix, where it is wanted,
/// and gives the gradients by the factors. `dw` is used up.
pub(super) fn unfold<T: Real>(
    dw: &mut [T],
    w: &[T],
    part: Part<'_>,
    by: Factors<'_, T>,
    over: Option<Over<'_, T>>,
) -> ByFactor<T> {
    let width = part.cols.len();
    let rows = rows_per_task(width);
    let over = over.map(|over| over.cleared(part));
    let fresh = over.as_ref().is_some_and(|over| over.fresh);
    let shared = over.map(|over| Shared::of(over.out));
    let parts: Vec<(Vec<T>, Vec<T>)> = dw
        .par_chunks_mut(width * rows)
        .enumerate()
        .map(|(block, dw)| {
            let mut col = vec![T::zero(); width];
            let mut row = Vec::with_capacity(rows);
            let mut product = vec![T::zero(); width];
            vectorised!({
                for (r, dw) in dw.chunks_exact_mut(width).enumerate() {
                    let i = block * rows + r;
                    let at = part.rows.at(i) * part.columns;
                    let w = &w[at..at + part.columns];
                    match part.cols.some() {
                        None => product.copy_from_slice(w),
                        Some(cols) => product.iter_mut().zip(cols).for_each(|(p, &c)| *p = w[c]),
                    }
                    let f = by.row.map_or(T::one(), |f| f[i]);
                    for j in 0..width {
                        product[j] *= dw[j];
                        col[j] += product[j] * f;
                        dw[j] *= f;
                    }
                    row.push(by.col.map_or_else(|| sum(&product), |z| dot(&product, z)));
                    if let Some(z) = by.col {
                        dw.iter_mut().zip(z).for_each(|(x, &z)| *x *= z);
                    }
                    if let Some(shared) = shared {
                        // SAFETY: the rows that take part are different ones, and this task has
                        // this one alone.
                        let out =
                            unsafe { std::slice::from_raw_parts_mut(shared.at(at), part.columns) };
                        add_row(dw, part.cols.some(), fresh, out);
                    }
                }
            });
            (row, col)
        })
        .collect();
    let (row, col): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    ByFactor { row: row.concat(), col: in_order(col, width) }
}
