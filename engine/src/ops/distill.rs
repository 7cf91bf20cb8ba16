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
use super::loss::{IGNORE, counted};
use super::{elsewhere, given};

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
        return elsewhere::distillation(student, teacher, targets, weight, temperature);
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
    let count = counted(targets);
    let kernel = DistilledRows { weight, temperature, count };
    let (ce, kl, grad) = with_real!(student.dtype(), "distillation", T => {
        with_slice::<T, _>(student, |x| with_slice::<T, _>(&teacher, |y| {
            let mut grad = x.to_vec();
            let (ce, kl) = kernel.run(&mut grad, y, (v, v), targets);
            Ok((ce / count, kl / count, tensor(grad, (n, v), student)?))
        }))
    })?;
    let loss = given(student, (1.0 - weight) * ce + weight * kl, &grad)?;
    Ok(Distilled { loss, cross_entropy: ce, divergence: kl })
}

/// The mixed loss of rows, and what it is divided by.
#[derive(Clone, Copy)]
pub(crate) struct DistilledRows {
    /// Share of the divergence.
    pub weight: f64,
    /// Temperature of both distributions.
    pub temperature: f64,
    /// Positions that count, over which gradients are means.
    pub count: f64,
}

impl DistilledRows {
    /// Cross-entropy and t² KL of rows of logits `x (N, V)` beside a teacher's `y (N, V)`, each summed, in
    /// nats; in the place of the logits comes the gradient of the mixture's mean. Rows of logits begin
    /// `row` apart.
    pub fn run<T: Real>(
        self,
        x: &mut [T],
        y: &[T],
        (v, row): (usize, usize),
        targets: &[u32],
    ) -> (f64, f64) {
        let (w, t) = (self.weight, self.temperature);
        let (text, taught) = (T::of((1.0 - w) / self.count), T::of(w * t / self.count));
        let cooler = T::of(1.0 / t);
        let rows = rows_per_task(v);
        let parts: Vec<(f64, f64)> = x
            .par_chunks_mut(row * rows)
            .zip(y.par_chunks(v * rows))
            .zip(targets.par_chunks(rows))
            .map(|((x, y), targets)| {
                vectorised!({
                    let (mut ce, mut kl) = (0.0, 0.0);
                    let mut p = vec![T::zero(); v];
                    let mut q = vec![T::zero(); v];
                    let rows = x.chunks_exact_mut(row).zip(y.chunks_exact(v));
                    for ((x, y), &target) in rows.zip(targets) {
                        let x = &mut x[..v];
                        if target == IGNORE {
                            x.fill(T::zero());
                            continue;
                        }
                        let (top, teacher_top) = (largest(x), largest(y));
                        let hit = x[target as usize];
                        let mut mass = T::zero();
                        for i in 0..v {
                            mass += (x[i] - top).exp_fast();
                            q[i] = ((x[i] - top) * cooler).exp_fast();
                            p[i] = ((y[i] - teacher_top) * cooler).exp_fast();
                        }
                        let (q_mass, p_mass) = (sum(&q), sum(&p));
                        ce += (mass.ln() + top - hit).to_f64();
                        let constant = q_mass.ln() - p_mass.ln();
                        let (k, one) = (text / mass, T::one());
                        let (p_share, q_share) = (one / p_mass, one / q_mass);
                        for i in 0..v {
                            // ln p - ln q
                            let gap = ((y[i] - teacher_top) - (x[i] - top)) * cooler + constant;
                            let share = p[i] * p_share;
                            x[i] = (x[i] - top).exp_fast() * k + taught * (q[i] * q_share - share);
                            p[i] = share * gap;
                        }
                        x[target as usize] -= text;
                        kl += sum(&p).to_f64();
                    }
                    (ce, kl)
                })
            })
            .collect();
        let ce: f64 = parts.iter().map(|part| part.0).sum();
        let kl: f64 = parts.iter().map(|part| part.1).sum();
        (ce, t * t * kl)
    }
}

/// The value of a scalar, in f64.
pub(super) fn number(t: &Tensor) -> Result<f64> {
    t.to_dtype(DType::F64)?.to_scalar()
}
