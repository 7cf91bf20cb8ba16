//! The MLP's activation with its gate: y = silu(g) · u · z, with silu(g) = g / (1 + e^-g).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::elsewhere;
use super::kernel::{
    Real, in_order, rows_per_task, slice, tensor, vectorised, with_real, with_slice,
};

/// Activates: `gate (N, F)`, `up (N, F)`, `z (F)` (all ones for none) to `(N, F)`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn swiglu(gate: &Tensor, up: &Tensor, z: &Tensor) -> Result<Tensor> {
    if gate.device().is_cpu() {
        gate.contiguous()?.apply_op3(&up.contiguous()?, &z.contiguous()?, SwiGlu)
    } else {
        elsewhere::swiglu(gate, up, z)
    }
}

struct SwiGlu;

impl SwiGlu {
    fn forward<T: Real>(gate: &[T], up: &[T], z: &[T]) -> Vec<T> {
        let f = z.len();
        let mut y = vec![T::zero(); gate.len()];
        let block = f * rows_per_task(f);
        y.par_chunks_mut(block).zip(gate.par_chunks(block)).zip(up.par_chunks(block)).for_each(
            |((y, g), u)| {
                vectorised!({
                    for ((y, g), u) in
                        y.chunks_exact_mut(f).zip(g.chunks_exact(f)).zip(u.chunks_exact(f))
                    {
                        for i in 0..f {
                            y[i] = g[i] / (T::one() + (-g[i]).exp_fast()) * u[i] * z[i];
                        }
                    }
                });
            },
        );
        y
    }

    fn backward<T: Real>(gate: &[T], up: &[T], z: &[T], grad: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
        let f = z.len();
        let (mut dg, mut du) = (vec![T::zero(); gate.len()], vec![T::zero(); gate.len()]);
        let block = f * rows_per_task(f);
        let parts = dg
            .par_chunks_mut(block)
            .zip(du.par_chunks_mut(block))
            .zip(gate.par_chunks(block))
            .zip(up.par_chunks(block))
            .zip(grad.par_chunks(block))
            .map(|((((dg, du), g), u), grad)| {
                let mut dz = vec![T::zero(); f];
                vectorised!({
                    for r in 0..g.len() / f {
                        let at = r * f;
                        let (dg, du) = (&mut dg[at..at + f], &mut du[at..at + f]);
                        let (g, u, grad) = (&g[at..at + f], &u[at..at + f], &grad[at..at + f]);
                        for i in 0..f {
                            let s = T::one() / (T::one() + (-g[i]).exp_fast());
                            let silu = g[i] * s;
                            let gz = grad[i] * z[i];
                            du[i] = gz * silu;
                            dg[i] = gz * u[i] * s * (T::one() + g[i] * (T::one() - s));
                            dz[i] += grad[i] * silu * u[i];
                        }
                    }
                });
                dz
            })
            .collect();
        (dg, du, in_order(parts, f))
    }
}

/// Activates rows of `gu (N, 2F)`, each a gate beside its up, into `y (N, F)`.
pub(crate) fn swiglu_rows<T: Real>(gu: &[T], f: usize, y: &mut [T]) {
    let rows = rows_per_task(f);
    y.par_chunks_mut(f * rows).zip(gu.par_chunks(2 * f * rows)).for_each(|(y, gu)| {
        vectorised!({
            for (y, gu) in y.chunks_exact_mut(f).zip(gu.chunks_exact(2 * f)) {
                let (g, u) = gu.split_at(f);
                let (y, u) = (&mut y[..f], &u[..f]);
                for i in 0..f {
                    y[i] = g[i] / (T::one() + (-g[i]).exp_fast()) * u[i];
                }
            }
        });
    });
}

/// The backward pass of [`swiglu_rows`]: puts the gradients of gate and up in their places in `gu`, and
/// the output itself in the place of its gradient in `dy`.
pub(crate) fn swiglu_rows_back<T: Real>(gu: &mut [T], f: usize, dy: &mut [T]) {
    let rows = rows_per_task(f);
    dy.par_chunks_mut(f * rows).zip(gu.par_chunks_mut(2 * f * rows)).for_each(|(dy, gu)| {
        vectorised!({
            for (dy, gu) in dy.chunks_exact_mut(f).zip(gu.chunks_exact_mut(2 * f)) {
                let (g, u) = gu.split_at_mut(f);
                let (dy, u) = (&mut dy[..f], &mut u[..f]);
                for i in 0..f {
                    let s = T::one() / (T::one() + (-g[i]).exp_fast());
                    let silu = g[i] * s;
                    let (grad, up) = (dy[i], u[i]);
                    dy[i] = silu * up;
                    u[i] = grad * silu;
                    g[i] = grad * up * s * (T::one() + g[i] * (T::one() - s));
                }
            }
        });
    });
}

impl CustomOp3 for SwiGlu {
    fn name(&self) -> &'static str {
        "gated-swiglu"
    }

    fn cpu_fwd(
        &self,
        gs: &CpuStorage,
        gl: &Layout,
        us: &CpuStorage,
        ul: &Layout,
        zs: &CpuStorage,
        zl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        with_real!(gs.dtype(), "gated-swiglu", T => {
            let y = Self::forward::<T>(slice(gs, gl)?, slice(us, ul)?, slice(zs, zl)?);
            Ok((T::to_cpu_storage_owned(y), gl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        gate: &Tensor,
        up: &Tensor,
        z: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        with_real!(gate.dtype(), "gated-swiglu", T => with_slice::<T, _>(gate, |gs| with_slice(up, |us| with_slice(z, |zs| with_slice(grad, |grads| {
            let (dg, du, dz) = Self::backward::<T>(gs, us, zs, grads);
            Ok((
                Some(tensor(dg, gate.shape().clone(), gate)?),
                Some(tensor(du, up.shape().clone(), gate)?),
                Some(tensor(dz, z.shape().clone(), gate)?),
            ))
        })))))
    }
}
