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

use super::elsewhere;
use super::kernel::{
    Real, in_order, rows_per_task, slice, tensor, vectorised, with_real, with_slice,
};

/// Normalises rows: `x (N, D)`, `w (D)`, gate `z (D)` (all ones for none) to `(N, D)`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn rms_norm(x: &Tensor, w: &Tensor, z: &Tensor, eps: f64) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?.apply_op3(&w.contiguous()?, &z.contiguous()?, RmsNorm { eps })
    } else {
        elsewhere::rms_norm(x, w, z, eps)
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
            vectorised!({
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
                vectorised!({
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

/// What a norm needs beside its rows: w z, which dimensions its mean runs over, how many.
pub(crate) struct NormScale<T> {
    scale: Vec<T>,
    keep: Vec<T>,
    count: T,
    eps: T,
}

impl<T: Real> NormScale<T> {
    /// Of the weight `w (D)` under the gate `z (D)`, if there is one.
    pub fn new(w: &[T], z: Option<&[T]>, eps: f64) -> Self {
        let eps = T::of(eps);
        match z {
            Some(z) => {
                let (keep, count) = kept(z);
                let scale = w.iter().zip(z).map(|(&w, &z)| w * z).collect();
                Self { scale, keep, count, eps }
            }
            None => {
                let keep = vec![T::one(); w.len()];
                Self { scale: w.to_vec(), keep, count: T::of(w.len().max(1) as f64), eps }
            }
        }
    }

    /// Elements of the rows a task takes.
    fn block(&self) -> usize {
        self.scale.len() * rows_per_task(self.scale.len())
    }

    fn rows(&self, x: &[T], y: &mut [T]) {
        let d = self.scale.len();
        vectorised!({
            // As long as a row: the compiler asks once, not at every element.
            let (scale, keep) = (&self.scale[..d], &self.keep[..d]);
            for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
                let r = inverse_rms(x, keep, self.count, self.eps);
                for i in 0..d {
                    y[i] = x[i] * r * scale[i];
                }
            }
        });
    }
}

/// Norms rows: `x (N, D)` into `y (N, D)`.
pub(crate) fn norm_rows<T: Real>(x: &[T], norm: &NormScale<T>, y: &mut [T]) {
    let block = norm.block();
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| norm.rows(x, y));
}

/// [`norm_rows`], with a copy of the rows into `copy`, to which what comes of them is going to be added.
pub(crate) fn norm_and_copy<T: Real>(x: &[T], norm: &NormScale<T>, y: &mut [T], copy: &mut [T]) {
    let block = norm.block();
    y.par_chunks_mut(block).zip(x.par_chunks(block)).zip(copy.par_chunks_mut(block)).for_each(
        |((y, x), copy)| {
            norm.rows(x, y);
            copy.copy_from_slice(x);
        },
    );
}

/// The backward pass of [`norm_rows`]: adds to `dx` what the gradient `g` of its output means for its
/// input, and puts the output itself in the place of `g`. Gives the sums of g x r over rows: times z
/// the gradient of w, times w that of z.
pub(crate) fn norm_rows_back<T: Real>(
    x: &[T],
    norm: &NormScale<T>,
    g: &mut [T],
    dx: &mut [T],
) -> Vec<T> {
    let NormScale { scale, keep, count, eps } = norm;
    let d = scale.len();
    let block = d * rows_per_task(d);
    let parts = dx
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .zip(g.par_chunks_mut(block))
        .map(|((dx, x), g)| {
            let mut sums = vec![T::zero(); d];
            vectorised!({
                let (scale, keep, gxr) = (&scale[..d], &keep[..d], &mut sums[..d]);
                let rows = dx.chunks_exact_mut(d).zip(x.chunks_exact(d));
                for ((dx, x), g) in rows.zip(g.chunks_exact_mut(d)) {
                    let r = inverse_rms(x, keep, *count, *eps);
                    for i in 0..d {
                        gxr[i] += g[i] * x[i] * r;
                        g[i] *= scale[i];
                    }
                    let c = super::kernel::dot(g, x) * r * r * r / *count;
                    for i in 0..d {
                        dx[i] += g[i] * r - x[i] * keep[i] * c;
                        g[i] = x[i] * r * scale[i];
                    }
                }
            });
            sums
        })
        .collect();
    in_order(parts, d)
}

/// Norms every head of the queries and keys in rows of `width` elements, each by itself; what comes after
/// them is copied. `split` is how many elements are queries and how many are keys.
pub(crate) fn norm_heads<T: Real>(
    x: &[T],
    width: usize,
    split: (usize, usize),
    by: (&NormScale<T>, &NormScale<T>),
    y: &mut [T],
) {
    let (block, e) = (width * rows_per_task(width), by.0.scale.len());
    y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
        vectorised!({
            for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                let turned = split.0 + split.1;
                y[turned..].copy_from_slice(&x[turned..]);
                let heads = y[..turned].chunks_exact_mut(e).zip(x.chunks_exact(e));
                for (h, (y, x)) in heads.enumerate() {
                    let norm = if h * e < split.0 { by.0 } else { by.1 };
                    let r = inverse_rms(x, &norm.keep, norm.count, norm.eps);
                    for i in 0..e {
                        y[i] = x[i] * r * norm.scale[i];
                    }
                }
            }
        });
    });
}

/// The backward pass of [`norm_heads`], with the gradient in place; gives the gradients of both weights.
pub(crate) fn norm_heads_back<T: Real>(
    x: &[T],
    width: usize,
    split: (usize, usize),
    by: (&NormScale<T>, &NormScale<T>),
    g: &mut [T],
) -> (Vec<T>, Vec<T>) {
    let (block, e) = (width * rows_per_task(width), by.0.scale.len());
    let parts = g
        .par_chunks_mut(block)
        .zip(x.par_chunks(block))
        .map(|(g, x)| {
            let mut both = vec![T::zero(); 2 * e];
            vectorised!({
                for (g, x) in g.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                    let heads = g[..split.0 + split.1].chunks_exact_mut(e).zip(x.chunks_exact(e));
                    for (h, (g, x)) in heads.enumerate() {
                        let second = h * e >= split.0;
                        let norm = if second { by.1 } else { by.0 };
                        let gxr = &mut both[if second { e } else { 0 }..][..e];
                        let r = inverse_rms(x, &norm.keep, norm.count, norm.eps);
                        for i in 0..e {
                            gxr[i] += g[i] * x[i] * r;
                            g[i] *= norm.scale[i];
                        }
                        let c = super::kernel::dot(g, x) * r * r * r / norm.count;
                        for i in 0..e {
                            g[i] = g[i] * r - x[i] * c;
                        }
                    }
                }
            });
            both
        })
        .collect();
    let mut first = in_order(parts, 2 * e);
    let second = first.split_off(e);
    (first, second)
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
