//! RMSNorm under a hidden gate z.
//!
//! ```text
//! K   = { i : z_i != 0 }
//! r   = 1 / sqrt(mean_{i in K} x_i^2 + eps)
//! y_i = w_i x_i r z_i
//! ```
//!
//! The mean runs over the kept dimensions alone, so a network with hard-zero gates equals its
//! physically smaller counterpart. No gradient runs through the choice of K.
//! Source: Sheared LLaMA, public code; see `HOW_IT_WORKS.md`.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::kernel::{
    Real, in_order, rows_per_task, slice, tensor, vectorised, with_real, with_slice,
};
use super::plain;

/// Normalises rows: `x (N, D)`, `w (D)`, gate `z (D)` (all ones for none) to `(N, D)`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn rms_norm(x: &Tensor, w: &Tensor, z: &Tensor, eps: f64) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?.apply_op3(&w.contiguous()?, &z.contiguous()?, RmsNorm { eps })
    } else {
        plain::rms_norm(x, w, z, eps)
    }
}

struct RmsNorm {
    eps: f64,
}

/// One for a kept dimension and zero for a dropped one, and how many are kept (at least 1).
fn kept<T: Real>(z: &[T]) -> (Vec<T>, T) {
    let keep: Vec<T> =
        z.iter().map(|&z| if z != T::zero() { T::one() } else { T::zero() }).collect();
    let count = keep.iter().filter(|k| !k.is_zero()).count().max(1);
    (keep, T::of(count as f64))
}

#[inline(always)]
fn inverse_rms<T: Real>(x: &[T], keep: &[T], count: T, eps: T) -> T {
    let mut sums = [T::zero(); 16];
    let mut total = T::zero();
    let blocks = x.chunks_exact(16);
    for (&x, &k) in blocks.remainder().iter().zip(&keep[keep.len() - keep.len() % 16..]) {
        total += x * x * k;
    }
    for (x, k) in blocks.zip(keep.chunks_exact(16)) {
        for i in 0..16 {
            sums[i] += x[i] * x[i] * k[i];
        }
    }
    for s in sums {
        total += s;
    }
    T::one() / (total / count + eps).sqrt()
}

impl RmsNorm {
    fn forward<T: Real>(&self, x: &[T], w: &[T], z: &[T]) -> Vec<T> {
        let d = w.len();
        let ((keep, count), eps) = (kept(z), T::of(self.eps));
        let mut y = vec![T::zero(); x.len()];
        let block = d * rows_per_task(d);
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            vectorised(|| {
                for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                    let r = inverse_rms(x, &keep, count, eps);
                    for i in 0..d {
                        y[i] = x[i] * r * w[i] * z[i];
                    }
                }
            });
        });
        y
    }

    fn backward<T: Real>(&self, x: &[T], w: &[T], z: &[T], g: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
        let d = w.len();
        let ((keep, count), eps) = (kept(z), T::of(self.eps));
        let mut dx = vec![T::zero(); x.len()];
        let block = d * rows_per_task(d);
        // Each task sums g_i x_i r; dw = that times z, dz = that times w.
        let parts: Vec<Vec<T>> = dx
            .par_chunks_mut(block)
            .zip(x.par_chunks(block))
            .zip(g.par_chunks(block))
            .map(|((dx, x), g)| {
                let mut gxr = vec![T::zero(); d];
                vectorised(|| {
                    for ((dx, x), g) in
                        dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(g.chunks_exact(d))
                    {
                        let r = inverse_rms(x, &keep, count, eps);
                        for i in 0..d {
                            gxr[i] += g[i] * x[i] * r;
                            dx[i] = g[i] * w[i] * z[i];
                        }
                        let c = super::kernel::dot(dx, x) * r * r * r / count;
                        for i in 0..d {
                            dx[i] = dx[i] * r - x[i] * keep[i] * c;
                        }
                    }
                });
                gxr
            })
            .collect();
        let gxr = in_order(parts, d);
        let dw = gxr.iter().zip(z).map(|(&s, &z)| s * z).collect();
        let dz = gxr.iter().zip(w).map(|(&s, &w)| s * w).collect();
        (dx, dw, dz)
    }
}

impl CustomOp3 for RmsNorm {
    fn name(&self) -> &'static str {
        "gated-rms-norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
        zs: &CpuStorage,
        zl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        with_real!(xs.dtype(), "gated-rms-norm", T => {
            let y = self.forward::<T>(slice(xs, xl)?, slice(ws, wl)?, slice(zs, zl)?);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        z: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_real!(x.dtype(), "gated-rms-norm", T => with_slice::<T, _>(x, |xs| with_slice(w, |ws| with_slice(z, |zs| with_slice(g, |gs| {
            let (dx, dw, dz) = self.backward::<T>(xs, ws, zs, gs);
            Ok((
                Some(tensor(dx, x.shape().clone(), x)?),
                Some(tensor(dw, w.shape().clone(), x)?),
                Some(tensor(dz, z.shape().clone(), x)?),
            ))
        })))))
    }
}
