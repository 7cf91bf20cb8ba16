//! A number whose gradient is known already: y = c, dy/dx = G.
//!
//! It hangs a gradient that was computed elsewhere into candle's graph: that of a fused loss, or
//! the one that flows into a layer from the layer above it. The gradient is passed on to the bit.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType};

use super::elsewhere;
use super::kernel::{Real, with_real};

/// Gives the scalar `value` with gradient `grad` by `x`; both of one shape and type.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn given(x: &Tensor, value: f64, grad: &Tensor) -> Result<Tensor> {
    if x.dims() != grad.dims() {
        return Err(candle_core::Error::ShapeMismatchBinaryOp {
            lhs: x.shape().clone(),
            rhs: grad.shape().clone(),
            op: "given",
        }
        .bt());
    }
    if x.device().is_cpu() {
        return x.apply_op1(Given { value, grad: grad.clone() });
    }
    elsewhere::given(x, value, grad)
}

struct Given {
    value: f64,
    grad: Tensor,
}

impl CustomOp1 for Given {
    fn name(&self) -> &'static str {
        "given"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        with_real!(xs.dtype(), "given", T => {
            Ok((T::to_cpu_storage_owned(vec![T::of(self.value)]), ().into()))
        })
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let factor = g.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        Ok(Some(if factor == 1.0 { self.grad.clone() } else { (&self.grad * factor)? }))
    }
}
