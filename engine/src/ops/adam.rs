//! AdamW in place, with moments that can be saved.
//!
//! ```text
//! m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g²
//! w <- w (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//! ```
//!
//! Source: Loshchilov & Hutter, "Decoupled weight decay regularization".

use candle_core::{CpuStorage, Error, InplaceOp2, InplaceOp3, Layout, Result, Tensor};
use rayon::prelude::*;

use super::kernel::{CHUNK, Real, slice, vectorised, with_real};
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
    if !w.device().is_cpu() {
        return plain::adam(w, m, v, g, step);
    }
    let g = g.contiguous()?;
    let (b1, b2) = step.betas;
    m.inplace_op2(&g, &Moment { decay: b1, grad_scale: step.grad_scale, square: false })?;
    v.inplace_op2(&g, &Moment { decay: b2, grad_scale: step.grad_scale, square: true })?;
    w.inplace_op3(m, v, &Update(*step))
}

struct Moment {
    decay: f64,
    grad_scale: f64,
    square: bool,
}

fn elements<'a, T: Real>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [T]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "adam" })?;
    let all = T::elements(storage)
        .ok_or_else(|| Error::Msg("adam: weight, moments and gradient differ in type".into()))?;
    Ok(&mut all[start..end])
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "adam-moment"
    }

    fn cpu_fwd(
        &self,
        ms: &mut CpuStorage,
        ml: &Layout,
        gs: &CpuStorage,
        gl: &Layout,
    ) -> Result<()> {
        use candle_core::backend::BackendStorage;
        with_real!(gs.dtype(), "adam", T => {
            let (m, g) = (elements::<T>(ms, ml)?, slice::<T>(gs, gl)?);
            let (keep, take, scale) = (T::of(self.decay), T::of(1.0 - self.decay), T::of(self.grad_scale));
            m.par_chunks_mut(CHUNK).zip(g.par_chunks(CHUNK)).for_each(|(m, g)| vectorised(|| {
                for (m, &g) in m.iter_mut().zip(g) {
                    let g = g * scale;
                    *m = keep * *m + take * if self.square { g * g } else { g };
                }
            }));
            Ok(())
        })
    }
}

struct Update(AdamStep);

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adam-update"
    }

    fn cpu_fwd(
        &self,
        ws: &mut CpuStorage,
        wl: &Layout,
        ms: &CpuStorage,
        ml: &Layout,
        vs: &CpuStorage,
        vl: &Layout,
    ) -> Result<()> {
        use candle_core::backend::BackendStorage;
        let AdamStep { lr, betas: (b1, b2), eps, weight_decay, t, .. } = self.0;
        with_real!(ms.dtype(), "adam", T => {
            let (w, m, v) = (elements::<T>(ws, wl)?, slice::<T>(ms, ml)?, slice::<T>(vs, vl)?);
            let step = T::of(lr / (1.0 - b1.powf(t as f64)));
            let second = T::of(1.0 / (1.0 - b2.powf(t as f64)));
            let (keep, eps) = (T::of(1.0 - lr * weight_decay), T::of(eps));
            w.par_chunks_mut(CHUNK).zip(m.par_chunks(CHUNK)).zip(v.par_chunks(CHUNK)).for_each(|((w, m), v)| vectorised(|| {
                for ((w, &m), &v) in w.iter_mut().zip(m).zip(v) {
                    *w = *w * keep - step * m / ((v * second).sqrt() + eps);
                }
            }));
            Ok(())
        })
    }
}
