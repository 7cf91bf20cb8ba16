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

use super::kernel::{CHUNK, Real, vectorised, with_real, with_slice};
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

fn update<T: Real>(w: &mut [T], m: &mut [T], v: &mut [T], g: &[T], step: &AdamStep) {
    let AdamStep { lr, betas: (b1, b2), eps, weight_decay, t, grad_scale } = *step;
    let (keep1, take1, keep2, take2) = (T::of(b1), T::of(1.0 - b1), T::of(b2), T::of(1.0 - b2));
    let size = T::of(lr / (1.0 - b1.powf(t as f64)));
    let second = T::of(1.0 / (1.0 - b2.powf(t as f64)));
    let (keep, eps, scale) = (T::of(1.0 - lr * weight_decay), T::of(eps), T::of(grad_scale));
    w.par_chunks_mut(CHUNK)
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .zip(g.par_chunks(CHUNK))
        .for_each(|(((w, m), v), g)| {
            vectorised(|| {
                for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
                    let g = g * scale;
                    *m = keep1 * *m + take1 * g;
                    *v = keep2 * *v + take2 * (g * g);
                    *w = *w * keep - size * *m / ((*v * second).sqrt() + eps);
                }
            });
        });
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
