//! Gates on columns.
//!
//! ```text
//! scale_columns: y[n, g*W + i] = x[n, g*W + i] * z[g]        W columns share a gate
//! gated_sum:     y[n, d]       = x[n, d] + o[n, d] * f[d]    residual sum
//! ```

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::elsewhere;
use super::kernel::{
    Real, in_order, rows_per_task, slice, sum, tensor, vectorised, with_real, with_slice,
};

/// Multiplies columns by gates: `x (N, G*W)`, `z (G)` to `(N, G*W)`; W columns share a gate.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn scale_columns(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?.apply_op2(&z.contiguous()?, ScaleColumns)
    } else {
        elsewhere::scale_columns(x, z)
    }
}

/// Adds a gated output to the residual stream: `x (N, D)`, `o (N, D)`, `f (D)` to `x + o * f`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn gated_sum(x: &Tensor, o: &Tensor, f: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        x.contiguous()?.apply_op3(&o.contiguous()?, &f.contiguous()?, GatedSum)
    } else {
        elsewhere::gated_sum(x, o, f)
    }
}

struct ScaleColumns;

impl ScaleColumns {
    fn forward<T: Real>(x: &[T], z: &[T], columns: usize) -> Vec<T> {
        let full = spread(z, columns);
        let mut y = vec![T::zero(); x.len()];
        let block = columns * rows_per_task(columns);
        y.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(y, x)| {
            vectorised!({
                for (y, x) in y.chunks_exact_mut(columns).zip(x.chunks_exact(columns)) {
                    for i in 0..columns {
                        y[i] = x[i] * full[i];
                    }
                }
            });
        });
        y
    }

    fn backward<T: Real>(x: &[T], z: &[T], g: &[T], columns: usize) -> (Vec<T>, Vec<T>) {
        let dx = Self::forward(g, z, columns);
        let gx = column_sums(g, x, columns);
        let dz = gx.chunks_exact(columns / z.len()).map(|c| sum(c)).collect();
        (dx, dz)
    }
}

/// Repeats each gate over its columns.
fn spread<T: Real>(z: &[T], columns: usize) -> Vec<T> {
    let width = columns / z.len();
    z.iter().flat_map(|&z| std::iter::repeat_n(z, width)).collect()
}

/// Σ over rows of aᵢ bᵢ, column by column, in a fixed order.
fn column_sums<T: Real>(a: &[T], b: &[T], columns: usize) -> Vec<T> {
    let block = columns * rows_per_task(columns);
    let parts = a
        .par_chunks(block)
        .zip(b.par_chunks(block))
        .map(|(a, b)| {
            let mut total = vec![T::zero(); columns];
            vectorised!({
                for (a, b) in a.chunks_exact(columns).zip(b.chunks_exact(columns)) {
                    for i in 0..columns {
                        total[i] += a[i] * b[i];
                    }
                }
            });
            total
        })
        .collect();
    in_order(parts, columns)
}

impl CustomOp2 for ScaleColumns {
    fn name(&self) -> &'static str {
        "scale-columns"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        zs: &CpuStorage,
        zl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let (_, columns) = xl.shape().dims2()?;
        let gates = zl.shape().elem_count();
        if gates == 0 || columns % gates != 0 {
            return Err(candle_core::Error::ShapeMismatchBinaryOp {
                lhs: xl.shape().clone(),
                rhs: zl.shape().clone(),
                op: "scale-columns",
            }
            .bt());
        }
        with_real!(xs.dtype(), "scale-columns", T => {
            let y = Self::forward::<T>(slice(xs, xl)?, slice(zs, zl)?, columns);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        z: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, columns) = x.dims2()?;
        with_real!(x.dtype(), "scale-columns", T => with_slice::<T, _>(x, |xs| with_slice(z, |zs| with_slice(g, |gs| {
            let (dx, dz) = Self::backward::<T>(xs, zs, gs, columns);
            Ok((Some(tensor(dx, x.shape().clone(), x)?), Some(tensor(dz, z.shape().clone(), x)?)))
        }))))
    }
}

struct GatedSum;

impl GatedSum {
    fn forward<T: Real>(x: &[T], o: &[T], f: &[T]) -> Vec<T> {
        let d = f.len();
        let mut y = vec![T::zero(); x.len()];
        let block = d * rows_per_task(d);
        y.par_chunks_mut(block).zip(x.par_chunks(block)).zip(o.par_chunks(block)).for_each(
            |((y, x), o)| {
                vectorised!({
                    for ((y, x), o) in
                        y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(o.chunks_exact(d))
                    {
                        for i in 0..d {
                            y[i] = x[i] + o[i] * f[i];
                        }
                    }
                });
            },
        );
        y
    }
}

impl CustomOp3 for GatedSum {
    fn name(&self) -> &'static str {
        "gated-sum"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xl: &Layout,
        os: &CpuStorage,
        ol: &Layout,
        fs: &CpuStorage,
        fl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        with_real!(xs.dtype(), "gated-sum", T => {
            let y = Self::forward::<T>(slice(xs, xl)?, slice(os, ol)?, slice(fs, fl)?);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        o: &Tensor,
        f: &Tensor,
        _y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (_, d) = x.dims2()?;
        with_real!(x.dtype(), "gated-sum", T => with_slice::<T, _>(o, |os| with_slice(f, |fs| with_slice(g, |gs| {
            let output = ScaleColumns::forward::<T>(gs, fs, d);
            let factor = column_sums::<T>(gs, os, d);
            Ok((
                Some(g.clone()),
                Some(tensor(output, o.shape().clone(), x)?),
                Some(tensor(factor, f.shape().clone(), x)?),
            ))
        }))))
    }
}
