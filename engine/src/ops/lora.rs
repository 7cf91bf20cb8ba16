//! A frozen weight with a low-rank change: W + s B A, and the gradients of A and B.
//!
//! ```text
//! dA = s Bᵀ G,  dB = s G Aᵀ    where G is the gradient of the sum
//! ```
//!
//! A change of exactly 0 gives W to the bit. Source: Hu et al., "LoRA: low-rank adaptation of large
//! language models", section 4.1.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, WithDType};

use super::elsewhere;
use super::kernel::{Real, gemm, rows, slice, tensor, with_real, with_slice};

/// Adds the change: `w (M, K)`, `a (R, K)`, `b (M, R)` to `(M, K)`. `w` takes no gradient.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn lora(w: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    if w.device().is_cpu() {
        a.contiguous()?.apply_op2(&b.contiguous()?, Lora { w: w.detach(), scale })
    } else {
        elsewhere::lora(w, a, b, scale)
    }
}

struct Lora {
    w: Tensor,
    scale: f64,
}

impl Lora {
    /// s B.
    fn scaled<T: Real>(&self, b: &[T]) -> Vec<T> {
        let scale = T::of(self.scale);
        b.iter().map(|&b| b * scale).collect()
    }
}

impl CustomOp2 for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn cpu_fwd(
        &self,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let ((r, k), (m, br)) = (al.shape().dims2()?, bl.shape().dims2()?);
        if r != br || self.w.dims2()? != (m, k) {
            return Err(candle_core::Error::ShapeMismatchBinaryOp {
                lhs: al.shape().clone(),
                rhs: bl.shape().clone(),
                op: "lora",
            }
            .bt());
        }
        with_real!(a.dtype(), "lora", T => with_slice::<T, _>(&self.w, |w| {
            let (a, b) = (slice::<T>(a, al)?, slice::<T>(b, bl)?);
            let mut y = w.to_vec();
            if b.iter().any(|b| *b != T::default()) {
                let b = self.scaled(b);
                // SAFETY: b is (m, r), a is (r, k); y (m, k) is a fresh copy.
                unsafe { gemm(m, k, r, y.as_mut_ptr(), k, rows(&b, r), rows(a, k), true, true) };
            }
            Ok((T::to_cpu_storage_owned(y), (m, k).into()))
        }))
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((r, k), (m, _)) = (a.dims2()?, b.dims2()?);
        with_real!(a.dtype(), "lora", T => with_slice::<T, _>(a, |av| with_slice(b, |bv| with_slice(g, |g| {
            let scaled = self.scaled(bv);
            let (mut da, mut db) = (vec![T::default(); r * k], vec![T::default(); m * r]);
            // SAFETY: scaled is (m, r), g is (m, k), a is (r, k); da (r, k) and db (m, r) are fresh.
            unsafe {
                gemm(r, k, m, da.as_mut_ptr(), k, rows(&scaled, r).t(), rows(g, k), false, true);
                gemm(m, r, k, db.as_mut_ptr(), r, rows(g, k), rows(av, k).t(), false, true);
            }
            let db = self.scaled(&db);
            Ok((Some(tensor(da, (r, k), a)?), Some(tensor(db, (m, r), b)?)))
        }))))
    }
}
