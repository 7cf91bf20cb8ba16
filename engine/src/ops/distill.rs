//! Distillation: cross-entropy with the text, mixed with the divergence from a teacher.
//!
//! ```text
//! loss = (1 - w) CE(x, target) + w t² KL(p || q),   p = softmax(teacher / t), q = softmax(x / t)
//! dloss/dx = ((1 - w) (softmax(x) - one-hot) + w t (q - p)) / count
//! ```
//!
//! t² keeps the size of the second gradient as t changes. Source: Hinton, Vinyals & Dean,
//! "Distilling the knowledge in a neural network", section 2.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::kernel::{Real, largest, rows_per_task, sum, tensor, vectorised, with_real, with_slice};
use super::loss::IGNORE;
use super::{given, plain};

/// The loss of a student, whole and in parts.
#[derive(Clone, Debug)]
pub struct Distilled {
    /// The mixed loss, a scalar with a gradient by the student's logits.
    pub loss: Tensor,
    /// Its cross-entropy, nats/token.
    pub cross_entropy: f64,
    /// Its divergence from the teacher, t² KL, nats/token.
    pub divergence: f64,
}

/// Mean losses over the positions that count: `student (N, V)`, `teacher (N, V)`, `targets` N ids or
/// [`IGNORE`]. The teacher takes no gradient.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn distillation(
    student: &Tensor,
    teacher: &Tensor,
    targets: &[u32],
    weight: f64,
    temperature: f64,
) -> Result<Distilled> {
    if !student.device().is_cpu() {
        return plain::distillation(student, teacher, targets, weight, temperature);
    }
    let (n, v) = student.dims2()?;
    let known = targets.iter().all(|&y| y == IGNORE || (y as usize) < v);
    if teacher.dims2()? != (n, v) || targets.len() != n || !known {
        return Err(candle_core::Error::Msg(format!(
            "distillation: student ({n}, {v}), teacher {:?}, {} targets, or a target beyond them",
            teacher.dims(),
            targets.len()
        )));
    }
    let teacher = teacher.to_dtype(student.dtype())?;
    let kernel = Kernel { targets, weight, temperature, v };
    let (ce, kl, grad) = with_real!(student.dtype(), "distillation", T => {
        with_slice::<T, _>(student, |x| with_slice::<T, _>(&teacher, |y| {
            let (ce, kl, grad) = kernel.run(x, y);
            Ok((ce, kl, tensor(grad, (n, v), student)?))
        }))
    })?;
    let loss = given(student, (1.0 - weight) * ce + weight * kl, &grad)?;
    Ok(Distilled { loss, cross_entropy: ce, divergence: kl })
}

struct Kernel<'a> {
    targets: &'a [u32],
    weight: f64,
    temperature: f64,
    v: usize,
}

impl Kernel<'_> {
    /// Cross-entropy, t² KL and the gradient of their mixture.
    fn run<T: Real>(&self, x: &[T], y: &[T]) -> (f64, f64, Vec<T>) {
        let (v, w, t) = (self.v, self.weight, self.temperature);
        let count = self.targets.iter().filter(|&&y| y != IGNORE).count().max(1) as f64;
        let (text, taught) = (T::of((1.0 - w) / count), T::of(w * t / count));
        let cooler = T::of(1.0 / t);
        let mut grad = vec![T::zero(); x.len()];
        let rows = rows_per_task(v);
        let parts: Vec<(f64, f64)> = grad
            .par_chunks_mut(v * rows)
            .zip(x.par_chunks(v * rows))
            .zip(y.par_chunks(v * rows))
            .zip(self.targets.par_chunks(rows))
            .map(|(((grad, x), y), targets)| {
                vectorised(|| {
                    let (mut ce, mut kl) = (0.0, 0.0);
                    let mut p = vec![T::zero(); v];
                    let mut q = vec![T::zero(); v];
                    let rows = grad.chunks_exact_mut(v).zip(x.chunks_exact(v));
                    for (((grad, x), y), &target) in rows.zip(y.chunks_exact(v)).zip(targets) {
                        if target == IGNORE {
                            continue;
                        }
                        let (top, teacher_top) = (largest(x), largest(y));
                        for i in 0..v {
                            grad[i] = (x[i] - top).exp_fast();
                            q[i] = ((x[i] - top) * cooler).exp_fast();
                            p[i] = ((y[i] - teacher_top) * cooler).exp_fast();
                        }
                        let (mass, q_mass, p_mass) = (sum(grad), sum(&q), sum(&p));
                        ce += (mass.ln() + top - x[target as usize]).to_f64();
                        let constant = q_mass.ln() - p_mass.ln();
                        let (k, one) = (text / mass, T::one());
                        let (p_share, q_share) = (one / p_mass, one / q_mass);
                        for i in 0..v {
                            // ln p - ln q
                            let gap = ((y[i] - teacher_top) - (x[i] - top)) * cooler + constant;
                            let share = p[i] * p_share;
                            grad[i] = grad[i] * k + taught * (q[i] * q_share - share);
                            p[i] = share * gap;
                        }
                        grad[target as usize] -= text;
                        kl += sum(&p).to_f64();
                    }
                    (ce, kl)
                })
            })
            .collect();
        let ce: f64 = parts.iter().map(|part| part.0).sum();
        let kl: f64 = parts.iter().map(|part| part.1).sum();
        (ce / count, t * t * kl / count, grad)
    }
}

/// The value of a scalar, in f64.
pub(super) fn number(t: &Tensor) -> Result<f64> {
    t.to_dtype(DType::F64)?.to_scalar()
}
