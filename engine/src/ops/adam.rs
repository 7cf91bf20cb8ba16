//! AdamW in place, with moments that can be saved.
//!
//! ```text
//! m <- b1 m + (1-b1) g        v <- b2 v + (1-b2) g²
//! w <- w (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
//! ```
//!
//! A moment below 1e-31 in f32 is 0 from then on: what it would change is far below half a unit in the last
//! place of any weight, and the arithmetic of numbers that small is 30 times slower on many processors. A
//! weight that has no gradient for long, as behind a closed gate, so comes to rest: without decay its update
//! is no change at all, and rows of such weights are passed over.
//!
//! Source: Loshchilov & Hutter, "Decoupled weight decay regularization".

use std::marker::PhantomData;
use std::sync::Mutex;

use candle_core::{CpuStorage, DType, Error, InplaceOp1, Layout, Result, Tensor, Var};
use rayon::prelude::*;

use super::kernel::{CHUNK, Real, rows_per_task, vectorised, with_real, with_slice};
use super::plain;

/// What one AdamW step needs beside the tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// 1-based number of this step, for bias correction.
    pub t: u64,
    /// Factor on the gradient (clipping).
    pub grad_scale: f64,
}

/// Updates weight `w`, first moment `m` and second moment `v` in place from gradient `g`; all of one
/// shape and type.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn adam(w: &Tensor, m: &Tensor, v: &Tensor, g: &Tensor, step: &AdamStep) -> Result<()> {
    #[cfg(feature = "cuda")]
    if super::cuda::nodes::adam(w, None, [m, v], g, step)? {
        return Ok(());
    }
    if !w.device().is_cpu() {
        return plain::adam(w, m, v, g, step);
    }
    with_real!(w.dtype(), "adam", T => {
        with_slice::<T, _>(g, |g| adam_by(w, m, v, g, step))
    })
}

/// [`adam`] on the CPU, with the gradient as plain numbers.
///
/// # Errors
/// As [`adam`].
pub(crate) fn adam_by<T: Real>(
    w: &Tensor,
    m: &Tensor,
    v: &Tensor,
    g: &[T],
    step: &AdamStep,
) -> Result<()> {
    change(w, |w| {
        change(m, |m| {
            change(v, |v| {
                update::<T>(w, m, v, g, step);
                Ok(())
            })
        })
    })
}

/// As [`adam`] on the f32 weights `master`, whose values, rounded, go to `w`; the gradient has the type of
/// `w`.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn adam_master(
    master: &Tensor,
    w: &Tensor,
    m: &Tensor,
    v: &Tensor,
    g: &Tensor,
    step: &AdamStep,
) -> Result<()> {
    #[cfg(feature = "cuda")]
    if super::cuda::nodes::adam(master, Some(w), [m, v], g, step)? {
        return Ok(());
    }
    adam(master, m, v, &g.to_dtype(DType::F32)?, step)?;
    Var::from_tensor(w)?.set(&master.detach().to_dtype(w.dtype())?)
}

/// Rows and columns of a matrix that have a gradient; none for all of them. It is 0 elsewhere.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub rows: Option<&'a [usize]>,
    pub cols: Option<&'a [usize]>,
    /// Columns of the matrix.
    pub columns: usize,
}

/// [`adam_by`] with the gradient of `part` alone, row by row.
///
/// # Errors
/// As [`adam`].
pub(crate) fn adam_part<T: Real>(
    (w, m, v): (&Tensor, &Tensor, &Tensor),
    g: &[T],
    part: Rows<'_>,
    step: &AdamStep,
) -> Result<()> {
    change(w, |w| {
        change(m, |m| {
            change(v, |v| {
                update_part::<T>((w, m, v), g, part, step);
                Ok(())
            })
        })
    })
}

fn update_part<T: Real>(
    (w, m, v): (&mut [T], &mut [T], &mut [T]),
    g: &[T],
    part: Rows<'_>,
    step: &AdamStep,
) {
    let (rule, columns) = (Rule::<T>::of(step), part.columns);
    let width = part.cols.map_or(columns, <[usize]>::len);
    let mut place: Vec<Option<usize>> = vec![None; w.len() / columns];
    match part.rows {
        None => place.iter_mut().enumerate().for_each(|(i, at)| *at = Some(i)),
        Some(rows) => rows.iter().enumerate().for_each(|(i, &row)| place[row] = Some(i)),
    }
    // Memory, not arithmetic, is what takes the time here: smaller tasks are shared out more evenly.
    let block = rows_per_task(4 * columns);
    w.par_chunks_mut(columns * block)
        .zip(m.par_chunks_mut(columns * block))
        .zip(v.par_chunks_mut(columns * block))
        .zip(place.par_chunks(block))
        .for_each(|(((w, m), v), place)| {
            let nothing = vec![T::zero(); columns];
            let mut row = nothing.clone();
            vectorised!({
                let rows = w.chunks_exact_mut(columns).zip(m.chunks_exact_mut(columns));
                for (((w, m), v), place) in rows.zip(v.chunks_exact_mut(columns)).zip(place) {
                    if place.is_none() && rule.leaves(m, v) {
                        continue;
                    }
                    let g = match (place, part.cols) {
                        (None, _) => &nothing,
                        (Some(i), None) => &g[i * width..][..width],
                        (Some(i), Some(cols)) => {
                            let g = &g[i * width..][..width];
                            cols.iter().zip(g).for_each(|(&c, &g)| row[c] = g);
                            &row
                        }
                    };
                    rule.apply(w, m, v, g);
                }
            });
        });
}

/// The numbers of a step in the type of the weights.
#[derive(Clone, Copy)]
struct Rule<T> {
    keep1: T,
    take1: T,
    keep2: T,
    take2: T,
    size: T,
    second: T,
    keep: T,
    eps: T,
    scale: T,
    least: T,
}

impl<T: Real> Rule<T> {
    fn of(step: &AdamStep) -> Self {
        let AdamStep { lr, betas: (b1, b2), eps, weight_decay, t, grad_scale } = *step;
        Self {
            keep1: T::of(b1),
            take1: T::of(1.0 - b1),
            keep2: T::of(b2),
            take2: T::of(1.0 - b2),
            size: T::of(lr / (1.0 - b1.powf(t as f64))),
            second: T::of(1.0 / (1.0 - b2.powf(t as f64))),
            keep: T::of(1.0 - lr * weight_decay),
            eps: T::of(eps),
            scale: T::of(grad_scale),
            least: T::min_positive_value() / T::epsilon(),
        }
    }

    /// Whether a step without a gradient changes nothing where the moments are `m` and `v`.
    #[inline(always)]
    fn leaves(self, m: &[T], v: &[T]) -> bool {
        self.keep == T::one() && at_rest(m) && at_rest(v)
    }

    #[inline(always)]
    fn apply(self, w: &mut [T], m: &mut [T], v: &mut [T], g: &[T]) {
        let Self { keep1, take1, keep2, take2, size, second, keep, eps, scale, least } = self;
        let above = |x: T| if x.abs() < least { T::zero() } else { x };
        for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
            let g = g * scale;
            *m = above(keep1 * *m + take1 * g);
            *v = above(keep2 * *v + take2 * (g * g));
            *w = *w * keep - size * *m / ((*v * second).sqrt() + eps);
        }
    }
}

/// Whether all are 0.
#[inline(always)]
fn at_rest<T: Real>(moments: &[T]) -> bool {
    let (blocks, rest) = moments.as_chunks::<16>();
    let mut sizes = [T::zero(); 16];
    for x in blocks {
        for i in 0..16 {
            sizes[i] += x[i].abs();
        }
    }
    sizes.iter().chain(rest).all(|x| x.is_zero())
}

fn update<T: Real>(w: &mut [T], m: &mut [T], v: &mut [T], g: &[T], step: &AdamStep) {
    let rule = Rule::<T>::of(step);
    w.par_chunks_mut(CHUNK)
        .zip(m.par_chunks_mut(CHUNK))
        .zip(v.par_chunks_mut(CHUNK))
        .zip(g.par_chunks(CHUNK))
        .for_each(|(((w, m), v), g)| vectorised!(rule.apply(w, m, v, g)));
}

/// Calls `f` with the elements of a CPU tensor, to be changed in place.
fn change<T: Real>(t: &Tensor, f: impl FnOnce(&mut [T]) -> Result<()>) -> Result<()> {
    t.inplace_op1(&Change(Mutex::new(Some(f)), PhantomData::<fn(T)>))
}

struct Change<F, T>(Mutex<Option<F>>, PhantomData<fn(T)>);

impl<T: Real, F: FnOnce(&mut [T]) -> Result<()>> InplaceOp1 for Change<F, T> {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (start, end) =
            layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "adam" })?;
        let all = T::elements(storage).ok_or_else(|| {
            Error::Msg("adam: weight, moments and gradient differ in type".into())
        })?;
        match self.0.lock().unwrap_or_else(|e| e.into_inner()).take() {
            Some(f) => f(&mut all[start..end]),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const COLUMNS: usize = 5;

    /// Weights and moments of six rows, none of them 0.
    fn start() -> [Tensor; 3] {
        let of = |f: fn(usize) -> f32| {
            let data: Vec<f32> = (0..6 * COLUMNS).map(f).collect();
            Tensor::from_vec(data, (6, COLUMNS), &Device::Cpu).unwrap()
        };
        let (w, m) = (of(|i| (i as f32).sin()), of(|i| 1e-3 * (i as f32).cos()));
        [w, m, of(|i| 1e-6 * (1.5 + (i as f32).sin()))]
    }

    fn numbers(t: &Tensor) -> Vec<f32> {
        t.flatten_all().and_then(|t| t.to_vec1()).unwrap()
    }

    /// Takes 2,600 steps in which rows 0, 2, 3 and 5 and column 1 have no gradient, then five in which all
    /// have one: by part and with the zeros written out. Gives the state before the five and after them.
    fn long(weight_decay: f64) -> [[Vec<f32>; 3]; 2] {
        let (part, whole) = (start(), start());
        let (rows, cols) = ([1, 4], [0, 2, 3, 4]);
        let mut before = None;
        for t in 1..=2605 {
            let step = AdamStep {
                lr: 1e-3,
                betas: (0.9, 0.95),
                eps: 1e-8,
                weight_decay,
                t,
                grad_scale: 0.5,
            };
            let number = |i: usize| 1e-2 * ((i as f32) + t as f32).sin();
            let mut g: Vec<f32> = (0..6 * COLUMNS).map(number).collect();
            if t <= 2600 {
                let some: Vec<f32> =
                    rows.iter().flat_map(|r| cols.map(|c| g[r * COLUMNS + c])).collect();
                let taking = |i: usize| rows.contains(&(i / COLUMNS)) && cols.contains(&(i % 5));
                g.iter_mut().enumerate().filter(|(i, _)| !taking(*i)).for_each(|(_, g)| *g = 0.0);
                let of = Rows { rows: Some(&rows), cols: Some(&cols), columns: COLUMNS };
                adam_part((&part[0], &part[1], &part[2]), &some, of, &step).unwrap();
            } else {
                adam_by(&part[0], &part[1], &part[2], &g, &step).unwrap();
            }
            adam_by(&whole[0], &whole[1], &whole[2], &g, &step).unwrap();
            for (a, b) in part.iter().zip(&whole) {
                assert_eq!(numbers(a), numbers(b), "step {t}");
                assert!(numbers(a).iter().all(|x| !x.is_subnormal()), "step {t}");
            }
            if t == 2600 {
                before = Some(part.each_ref().map(numbers));
            }
        }
        [before.unwrap(), part.each_ref().map(numbers)]
    }

    #[test]
    fn a_row_without_a_gradient_comes_to_rest_and_wakes_as_if_it_had_been_updated_all_the_time() {
        let [[w, m, v], [awake, ..]] = long(0.0);
        let row = |of: &[f32], r: usize| of[r * COLUMNS..(r + 1) * COLUMNS].to_vec();
        for r in [0, 2, 3, 5] {
            assert_eq!((row(&m, r), row(&v, r)), (vec![0.0; 5], vec![0.0; 5]), "row {r}");
            assert_ne!(row(&w, r), row(&awake, r), "row {r}");
        }
        assert!(row(&m, 1).iter().enumerate().all(|(c, m)| (*m == 0.0) == (c == 1)));
    }

    #[test]
    fn weights_at_rest_still_decay() {
        let [[w, ..], _] = long(0.1);
        let first = numbers(&start()[0]);
        // 2,600 steps at 1 - 1e-4; the moments of the start move it by some hundredths.
        let left = (1.0f32 - 1e-4).powi(2600);
        for i in (0..COLUMNS).filter(|&i| first[i].abs() > 0.3) {
            let share = w[i] / first[i];
            assert!((share - left).abs() < 0.1, "weight {i}: {share} of it is left, not {left}");
        }
    }
}
