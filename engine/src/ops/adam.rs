//! AdamW in place, with moments that can be saved.
//!
//! ```text
//! m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g²
//! w <- w (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//! ```
//!
//! Source: Loshchilov & Hutter, "Decoupled weight decay regularization".

use std::marker::PhantomData;
use std::sync::Mutex;

use candle_core::{CpuStorage, DType, Error, InplaceOp1, Layout, Result, Tensor, Var};
use rayon::prelude::*;

use super::kernel::{CHUNK, Real, rows_per_task, vectorised, with_real, with_slice};
use super::plain;

/// What one AdamW step needs beside the tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// 1-based number of this step, for bias correction.
    pub t: u64,
    /// Factor on the gradient (clipping).
    pub grad_scale: f64,
}

/// Updates weight `w`, first moment `m` and second moment `v` in place from gradient `g`; all of one
/// shape and type.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn adam(w: &Tensor, m: &Tensor, v: &Tensor, g: &Tensor, step: &AdamStep) -> Result<()> {
    #[cfg(feature = "cuda")]
    if super::cuda::nodes::adam(w, None, [m, v], g, step)? {
        return Ok(());
    }
    if !w.device().is_cpu() {
        return plain::adam(w, m, v, g, step);
    }
    with_real!(w.dtype(), "adam", T => {
        with_slice::<T, _>(g, |g| adam_by(w, m, v, g, step))
    })
}

/// [`adam`] on the CPU, with the gradient as plain numbers.
///
/// # Errors
/// As [`adam`].
pub(crate) fn adam_by<T: Real>(
    w: &Tensor,
    m: &Tensor,
    v: &Tensor,
    g: &[T],
    step: &AdamStep,
) -> Result<()> {
    change(w, |w| {
        change(m, |m| {
            change(v, |v| {
                update::<T>(w, m, v, g, step);
                Ok(())
            })
        })
    })
}

/// As [`adam`] on the f32 weights `master`, whose values, rounded, go to `w`; the gradient has the type of
/// `w`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn adam_master(
    master: &Tensor,
    w: &Tensor,
    m: &Tensor,
    v: &Tensor,
    g: &Tensor,
    step: &AdamStep,
) -> Result<()> {
    #[cfg(feature = "cuda")]
    if super::cuda::nodes::adam(master, Some(w), [m, v], g, step)? {
        return Ok(());
    }
    adam(master, m, v, &g.to_dtype(DType::F32)?, step)?;
    Var::from_tensor(w)?.set(&master.detach().to_dtype(w.dtype())?)
}

/// Rows and columns of a matrix that have a gradient; none for all of them. It is 0 elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub rows: Option<&'a [usize]>,
    pub cols: Option<&'a [usize]>,
    /// Columns of the matrix.
    pub columns: usize,
}

/// [`adam_by`] with the gradient of `part` alone, row by row.
///
/// # Errors
/// As [`adam`].
pub(crate) fn adam_part<T: Real>(
    (w, m, v): (&Tensor, &Tensor, &Tensor),
    g: &[T],
    part: Rows<'_>,
    step: &AdamStep,
) -> Result<()> {
    change(w, |w| {
        change(m, |m| {
            change(v, |v| {
                update_part::<T>((w, m, v), g, part, step);
                Ok(())
            })
        })
    })
}

fn update_part<T: Real>(
    (w, m, v): (&mut [T], &mut [T], &mut [T]),
    g: &[T],
    part: Rows<'_>,
    step: &AdamStep,
) {
    let (rule, columns) = (Rule::<T>::of(step), part.columns);
    let width = part.cols.map_or(columns, <[usize]>::len);
    let mut place: Vec<Option<usize>> = vec![None; w.len() / columns];
    match part.rows {
        None => place.iter_mut().enumerate().for_each(|(i, at)| *at = Some(i)),
        Some(rows) => rows.iter().enumerate().for_each(|(i, &row)| place[row] = Some(i)),
    }
    let block = rows_per_task(columns);
    w.par_chunks_mut(columns * block)
        .zip(m.par_chunks_mut(columns * block))
        .zip(v.par_chunks_mut(columns * block))
        .zip(place.par_chunks(block))
        .for_each(|(((w, m), v), place)| {
            let nothing = vec![T::zero(); columns];
            let mut row = nothing.clone();
            vectorised!({
                let rows = w.chunks_exact_mut(columns).zip(m.chunks_exact_mut(columns));
                for (((w, m), v), place) in rows.zip(v.chunks_exact_mut(columns)).zip(place) {
                    let g = match (place, part.cols) {
                        (None, _) => &nothing,
                        (Some(i), None) => &g[i * width..][..width],
                        (Some(i), Some(cols)) => {
                            let g = &g[i * width..][..width];
                            cols.iter().zip(g).for_each(|(&c, &g)| row[c] = g);
                            &row
                        }
                    };
                    rule.apply(w, m, v, g);
                }
            });
        });
}

/// The numbers of a step in the type of the weights.
#[derive(Clone, Copy)]
struct Rule<T> {
    keep1: T,
    take1: T,
    keep2: T,
    take2: T,
    size: T,
    second: T,
    keep: T,
    eps: T,
    scale: T,
}

impl<T: Real> Rule<T> {
    fn of(step: &AdamStep) -> Self {
        let AdamStep { lr, betas: (b1, b2), eps, weight_decay, t, grad_scale } = *step;
        Self {
            keep1: T::of(b1),
            take1: T::of(1.0 - b1),
            keep2: T::of(b2),
            take2: T::of(1.0 - b2),
            size: T::of(lr / (1.0 - b1.powf(t as f64))),
            second: T::of(1.0 / (1.0 - b2.powf(t as f64))),
            keep: T::of(1.0 - lr * weight_decay),
            eps: T::of(eps),
            scale: T::of(grad_scale),
        }
    }

    #[inline(always)]
    fn apply(self, w: &mut [T], m: &mut [T], v: &mut [T], g: &[T]) {
        let Self { keep1, take1, keep2, take2, size, second, keep, eps, scale } = self;
        for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * scale;
            *m = keep1 * *m + take1 * g;
            *v = keep2 * *v + take2 * (g * g);
            *w = *w * keep - size * *m / ((*v * second).sqrt() + eps);
        }
    }
}

fn update<T: Real>(w: &mut [T], m: &mut [T], v: &mut [T], g: &[T], step: &AdamStep) {
    let rule = Rule::<T>::of(step);
    w.par_chunks_mut(CHUNK)
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .zip(g.par_chunks(CHUNK))
        .for_each(|(((w, m), v), g)| vectorised!(rule.apply(w, m, v, g)));
}

/// Calls `f` with the elements of a CPU tensor, to be changed in place.
fn change<T: Real>(t: &Tensor, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    t.inplace_op1(&Change(Mutex::new(Some(f)), PhantomData::<fn(T)>))
}

struct Change<F, T>(Mutex<Option<F>>, PhantomData<fn(T)>);

impl<T: Real, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for Change<F, T> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (start, end) =
            layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "adam" })?;
        let all = T::elements(storage).ok_or_else(|| {
            Error::Msg("adam: weight, moments and gradient differ in type".into())
        })?;
        match self.0.lock().unwrap_or_else(|e| e.into_inner()).take() {
            Some(f) => f(&mut all[start..end]),
            None => Ok(()),
        }
    }
}
