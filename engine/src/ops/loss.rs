//! Next-token cross-entropy: -ln softmax(x)[target], in nats.
//!
//! The gradient (softmax - one-hot) / count is made in the forward pass, while the row is at hand.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::elsewhere;
use super::kernel::{
    Real, exp_and_sum, largest, rows_per_task, slice, sum, tensor, vectorised, with_real,
    with_slice,
};

/// The target of a position that does not count (the last of each sequence).
pub const IGNORE: u32 = u32::MAX;

/// Mean loss over the positions that count: `logits (N, V)`, `targets` N ids or [`IGNORE`], to a
/// scalar in nats/token.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    if logits.device().is_cpu() {
        logits
            .contiguous()?
            .apply_op1(CrossEntropy { targets: targets.to_vec(), grad: Mutex::new(None) })
    } else {
        elsewhere::cross_entropy(logits, targets)
    }
}

/// Loss of every position that counts, in their order, in nats: `logits (N, V)`, `targets` N ids or
/// [`IGNORE`].
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn token_losses(logits: &Tensor, targets: &[u32]) -> Result<Vec<f64>> {
    let (_, v) = logits.dims2()?;
    #[cfg(feature = "cuda")]
    if let Some(losses) = super::cuda::nodes::token_losses(logits, targets)? {
        return Ok(losses);
    }
    let host = logits.to_device(&candle_core::Device::Cpu)?;
    with_real!(host.dtype(), "token-losses", T => with_slice::<T, _>(&host, |x| {
        Ok(losses_of_rows(x, (v, v), targets))
    }))
}

struct CrossEntropy {
    targets: Vec<u32>,
    grad: Mutex<Option<Tensor>>,
}

impl CrossEntropy {
    fn forward<T: Real>(&self, x: &[T], v: usize) -> (f64, Vec<T>) {
        let count = counted(&self.targets);
        let mut grad = x.to_vec();
        (cross_entropy_rows(&mut grad, (v, v), &self.targets, 1.0 / count) / count, grad)
    }
}

/// How many positions count, at least 1.
pub(crate) fn counted(targets: &[u32]) -> f64 {
    targets.iter().filter(|&&y| y != IGNORE).count().max(1) as f64
}

/// Losses of rows of logits `x (N, V)`, summed, in nats; in the place of the logits comes the gradient of
/// the sum times `share`. Rows of `v` elements begin `row` apart.
pub(crate) fn cross_entropy_rows<T: Real>(
    x: &mut [T],
    (v, row): (usize, usize),
    targets: &[u32],
    share: f64,
) -> f64 {
    let share = T::of(share);
    let rows = rows_per_task(v);
    let parts: Vec<f64> = x
        .par_chunks_mut(row * rows)
        .zip(targets.par_chunks(rows))
        .map(|(x, y)| {
            vectorised!({
                let mut total = 0.0;
                for (x, &y) in x.chunks_exact_mut(row).zip(y) {
                    let x = &mut x[..v];
                    if y == IGNORE {
                        x.fill(T::zero());
                        continue;
                    }
                    let (top, hit) = (largest(x), x[y as usize]);
                    let mass = exp_and_sum(x, top);
                    let k = share / mass;
                    for x in x.iter_mut() {
                        *x *= k;
                    }
                    x[y as usize] -= share;
                    total += (mass.ln() + top - hit).to_f64();
                }
                total
            })
        })
        .collect();
    parts.iter().sum()
}

/// The loss of each row of logits `x (N, V)` that counts, in their order, in nats; rows as in
/// [`cross_entropy_rows`].
pub(crate) fn losses_of_rows<T: Real>(
    x: &[T],
    (v, row): (usize, usize),
    targets: &[u32],
) -> Vec<f64> {
    x.par_chunks(row)
        .zip(targets)
        .filter(|&(_, &y)| y != IGNORE)
        .map(|(x, &y)| {
            vectorised!({
                let x = &x[..v];
                let top = largest(x);
                let (mut total, mut some) = (T::zero(), [T::zero(); 256]);
                for x in x.chunks(some.len()) {
                    let some = &mut some[..x.len()];
                    some.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - top).exp_fast());
                    total += sum(some);
                }
                (total.ln() + top - x[y as usize]).to_f64()
            })
        })
        .collect()
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, xs: &CpuStorage, xl: &Layout) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let (n, v) = xl.shape().dims2()?;
        if n != self.targets.len() || self.targets.iter().any(|&y| y != IGNORE && y as usize >= v) {
            return Err(candle_core::Error::Msg(format!(
                "cross-entropy: {} targets for {n} rows of {v} classes, or a target beyond them",
                self.targets.len()
            )));
        }
        with_real!(xs.dtype(), "cross-entropy", T => {
            let (loss, grad) = self.forward::<T>(slice(xs, xl)?, v);
            let grad = Tensor::from_vec(grad, (n, v), &candle_core::Device::Cpu)?;
            *self.grad.lock().unwrap_or_else(|e| e.into_inner()) = Some(grad);
            Ok((T::to_cpu_storage_owned(vec![T::of(loss)]), ().into()))
        })
    }

    fn bwd(&self, x: &Tensor, _loss: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let grad = self.grad.lock().unwrap_or_else(|e| e.into_inner()).take();
        let grad = match grad {
            Some(grad) => grad,
            None => with_real!(x.dtype(), "cross-entropy", T => with_slice::<T, _>(x, |xs| {
                let (_, v) = x.dims2()?;
                tensor(self.forward::<T>(xs, v).1, x.shape().clone(), x)
            }))?,
        };
        let factor = g.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        Ok(Some(if factor == 1.0 { grad } else { (grad * factor)? }))
    }
}
