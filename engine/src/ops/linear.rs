//! y = x Wᵀ, and its two gradients as two products: dx = g W, dW = gᵀ x.
//!
//! A weight that nothing learns costs no dW: the operation then knows x alone.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

use super::elsewhere;
use super::kernel::{Real, gemm, rows, slice, tensor, with_real, with_slice};

/// Multiplies rows by a weight: `x (N, K)`, `w (M, K)` to `(N, M)`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if !x.device().is_cpu() {
        elsewhere::linear(x, w)
    } else if x.track_op() && !w.track_op() {
        x.contiguous()?.apply_op1(Frozen { w: w.contiguous()? })
    } else {
        x.contiguous()?.apply_op2(&w.contiguous()?, Linear)
    }
}

fn misfit(x: &Shape, w: &Shape) -> candle_core::Error {
    let (lhs, rhs) = (x.clone(), w.clone());
    candle_core::Error::ShapeMismatchBinaryOp { lhs, rhs, op: "linear" }.bt()
}

struct Linear;

impl Linear {
    fn forward<T: Real>(x: &[T], w: &[T], (n, k): (usize, usize), m: usize) -> Vec<T> {
        let mut y = vec![T::zero(); n * m];
        // SAFETY: x is (n, k), w is (m, k), y is (n, m) and fresh.
        unsafe { gemm(n, m, k, y.as_mut_ptr(), m, rows(x, k), rows(w, k).t(), false, true) };
        y
    }

    fn backward<T: Real>(
        x: &[T],
        w: &[T],
        g: &[T],
        (n, k): (usize, usize),
        m: usize,
    ) -> (Vec<T>, Vec<T>) {
        let mut dw = vec![T::zero(); m * k];
        // SAFETY: g is (n, m), x is (n, k); dw (m, k) is fresh.
        unsafe { gemm(m, k, n, dw.as_mut_ptr(), k, rows(g, m).t(), rows(x, k), false, true) };
        (Self::by_input(w, g, (n, k), m), dw)
    }

    fn by_input<T: Real>(w: &[T], g: &[T], (n, k): (usize, usize), m: usize) -> Vec<T> {
        let mut dx = vec![T::zero(); n * k];
        // SAFETY: g is (n, m), w is (m, k); dx (n, k) is fresh.
        unsafe { gemm(n, k, m, dx.as_mut_ptr(), k, rows(g, m), rows(w, k), false, true) };
        dx
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        ws: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((n, k), (m, wk)) = (xl.shape().dims2()?, wl.shape().dims2()?);
        if k != wk {
            return Err(misfit(xl.shape(), wl.shape()));
        }
        use candle_core::backend::BackendStorage;
        with_real!(xs.dtype(), "linear", T => {
            let y = Self::forward::<T>(slice(xs, xl)?, slice(ws, wl)?, (n, k), m);
            Ok((T::to_cpu_storage_owned(y), (n, m).into()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((n, k), (m, _)) = (x.dims2()?, w.dims2()?);
        with_real!(x.dtype(), "linear", T => with_slice::<T, _>(x, |xs| with_slice(w, |ws| with_slice(g, |gs| {
            let (dx, dw) = Self::backward::<T>(xs, ws, gs, (n, k), m);
            Ok((Some(tensor(dx, (n, k), x)?), Some(tensor(dw, (m, k), w)?)))
        }))))
    }
}

/// A weight that nothing learns.
struct Frozen {
    w: Tensor,
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "linear-frozen"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let ((n, k), (m, wk)) = (xl.shape().dims2()?, self.w.dims2()?);
        if k != wk {
            return Err(misfit(xl.shape(), self.w.shape()));
        }
        with_real!(xs.dtype(), "linear", T => with_slice::<T, _>(&self.w, |w| {
            let y = Linear::forward::<T>(slice(xs, xl)?, w, (n, k), m);
            Ok((T::to_cpu_storage_owned(y), (n, m).into()))
        }))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let ((n, k), (m, _)) = (x.dims2()?, self.w.dims2()?);
        with_real!(x.dtype(), "linear", T => with_slice::<T, _>(&self.w, |w| with_slice(g, |g| {
            Ok(Some(tensor(Linear::by_input::<T>(w, g, (n, k), m), (n, k), x)?))
        })))
    }
}
