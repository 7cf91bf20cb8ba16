//! y = x Wᵀ, and its two gradients as two products: dx = g W, dW = gᵀ x.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

use super::kernel::{Real, gemm, rows, slice, tensor, with_real, with_slice};
use super::plain;

/// Multiplies rows by a weight: `x (N, K)`, `w (M, K)` to `(N, M)`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?.apply_op2(&w.contiguous()?, Linear)
    } else {
        plain::linear(x, w)
    }
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
        let (mut dx, mut dw) = (vec![T::zero(); n * k], vec![T::zero(); m * k]);
        // SAFETY: g is (n, m), w is (m, k), x is (n, k); dx (n, k) and dw (m, k) are fresh.
        unsafe {
            gemm(n, k, m, dx.as_mut_ptr(), k, rows(g, m), rows(w, k), false, true);
            gemm(m, k, n, dw.as_mut_ptr(), k, rows(g, m).t(), rows(x, k), false, true);
        }
        (dx, dw)
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
            return Err(candle_core::Error::ShapeMismatchBinaryOp {
                lhs: xl.shape().clone(),
                rhs: wl.shape().clone(),
                op: "linear",
            }
            .bt());
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
