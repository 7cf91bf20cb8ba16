//! What the CPU kernels share: the element type, slices of tensors, matrix products, dispatch.

use candle_core::{CpuStorage, DType, Error, Layout, Result, Shape, Storage, Tensor, WithDType};
use rayon::prelude::*;

use crate::progress::Stop;

/// Elements a kernel hands to one task: small enough to share out, large enough to pay for it.
pub(crate) const CHUNK: usize = 16 * 1024;

/// An element type of the CPU kernels: f32 to compute, f64 to check.
pub(crate) trait Real:
    WithDType + num_traits::Float + num_traits::NumAssign + Default
{
    /// e to the power `self`, in a form that the compiler turns into vector instructions.
    fn exp_fast(self) -> Self;
    /// The rotary tables in this type.
    fn rope(table: &super::rope::RopeTable) -> (&[Self], &[Self]);
    /// The elements of a storage about to be written; none for another type.
    fn elements(storage: &mut CpuStorage) -> Option<&mut [Self]>;
    /// Rounds from f64.
    fn of(x: f64) -> Self {
        <Self as WithDType>::from_f64(x)
    }
}

impl Real for f32 {
    #[inline(always)]
    fn exp_fast(self) -> f32 {
        // Range reduction x = n ln 2 + r, then a degree-5 polynomial in r (Cephes' coefficients);
        // relative error about 1e-7. Adding and taking away 1.5 * 2^23 rounds to a whole number
        // without a library call.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-87.0, 88.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let mut p = 1.987_569_1e-4f32;
        p = p * r + 1.398_199_9e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 0.5;
        let y = p * (r * r) + r + 1.0;
        // The last bits of the shifted number are n itself: 2^n by putting them into an exponent.
        let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
        y * f32::from_bits(exponent << 23)
    }
    fn rope(table: &super::rope::RopeTable) -> (&[f32], &[f32]) {
        table.f32()
    }
    fn elements(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        match storage {
            CpuStorage::F32(x) => Some(x),
            _ => None,
        }
    }
}

impl Real for f64 {
    #[inline(always)]
    fn exp_fast(self) -> f64 {
        self.exp()
    }
    fn rope(table: &super::rope::RopeTable) -> (&[f64], &[f64]) {
        table.f64()
    }
    fn elements(storage: &mut CpuStorage) -> Option<&mut [f64]> {
        match storage {
            CpuStorage::F64(x) => Some(x),
            _ => None,
        }
    }
}

/// Runs `body` with `$t` bound to the Rust type of `$dtype`; other types are candle's error.
macro_rules! with_real {
    ($dtype:expr, $op:literal, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, $op).bt()),
        }
    };
}
pub(crate) use with_real;

/// Gives an expression, compiled for every vector unit there is and run on the widest of this machine.
///
/// A macro, because the expression has to be a closure that is always inlined: left to itself the compiler
/// compiles a large one once, for the smallest unit. What it calls has to be inlined too.
macro_rules! vectorised {
    ($body:expr) => {
        pulp::Arch::new().dispatch($crate::ops::kernel::Inlined(
            #[inline(always)]
            || $body,
        ))
    };
}
pub(crate) use vectorised;

/// A closure to run on a vector unit. A plain one would be called through `FnOnce::call_once`, which nobody
/// can have inlined.
pub(crate) struct Inlined<F>(pub F);

impl<R, F: FnMut() -> R> pulp::NullaryFnOnce for Inlined<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}

/// The elements of a contiguous operand.
pub(crate) fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let (start, end) =
        layout.contiguous_offsets().ok_or(Error::RequiresContiguous { op: "fused" })?;
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

/// Calls `f` with the elements of a CPU tensor, made contiguous if it is not.
pub(crate) fn with_slice<T: Real, R>(t: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let t = t.contiguous()?;
    let (storage, layout) = t.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => f(slice(cpu, layout)?),
        _ => Err(Error::Msg("a CPU kernel got a tensor of another device".into())),
    }
}

/// A tensor from freshly computed elements.
pub(crate) fn tensor<T: Real>(
    data: Vec<T>,
    shape: impl Into<Shape>,
    like: &Tensor,
) -> Result<Tensor> {
    Tensor::from_vec(data, shape.into(), like.device())
}

/// Matrix operand: pointer to the first element with row and column strides.
#[derive(Clone, Copy)]
pub(crate) struct Mat<T> {
    pub at: *const T,
    pub row: usize,
    pub col: usize,
}

/// A row-major matrix that starts at `data[0]` with `cols` elements a row.
pub(crate) fn rows<T>(data: &[T], cols: usize) -> Mat<T> {
    Mat { at: data.as_ptr(), row: cols, col: 1 }
}

impl<T> Mat<T> {
    /// The transposed view.
    pub fn t(self) -> Self {
        Self { at: self.at, row: self.col, col: self.row }
    }
}

/// C (m, n) = A (m, k) B (k, n), or C += A B with `add`. C has `c_row` elements a row.
///
/// # Safety
/// Every element named by the sizes and strides lies in an allocation that lives through the call;
/// C overlaps neither A nor B and nobody else reads or writes it.
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many sizes")]
pub(crate) unsafe fn gemm<T: Real>(
    m: usize,
    n: usize,
    k: usize,
    c: *mut T,
    c_row: usize,
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
    parallel: bool,
) {
    let threads = if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let one = T::one();
    // SAFETY: the caller's promise, passed on.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            1,
            c_row as isize,
            add,
            a.at,
            a.col as isize,
            a.row as isize,
            b.at,
            b.col as isize,
            b.row as isize,
            one,
            one,
            false,
            false,
            false,
            threads,
        )
    }
}

/// Multiplications of a tile of [`gemm_until`], at most: some 30 ms on one core.
const MULTIPLICATIONS_AT_ONCE: usize = 1 << 30;

/// Multiplications from which a product is shared out.
const SHARED_FROM: usize = 1 << 20;

/// What the columns and the rows of a tile are a multiple of, but for the last: some turns of the innermost
/// loop. A tile has at least two of them, and more than 64 rows or columns, so that it is summed as the
/// whole is: `gemm` sums small products in another order.
const TILE_COLUMNS: usize = 64;
const TILE_ROWS: usize = 24;
const TILE_ROWS_OF_FEW_COLUMNS: usize = 66;
const TILE_COLUMNS_OF_FEW_ROWS: usize = 16;

/// [`gemm`] on all threads, in tiles of C, none of them begun after a stop: C is no result then.
///
/// A tile is columns of C where A lies as it is read and there are enough of them, or else rows: so that
/// what has to be laid out anew is laid out once.
///
/// # Determinism
/// Each element is summed in one order, whatever the tiles.
///
/// # Safety
/// As [`gemm`].
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many sizes")]
pub(crate) unsafe fn gemm_until<T: Real>(
    stop: &Stop<'_>,
    m: usize,
    n: usize,
    k: usize,
    c: *mut T,
    c_row: usize,
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) {
    // SAFETY: the caller's promise, passed on.
    unsafe { gemm_shared(rayon::current_num_threads(), stop, m, n, k, c, c_row, a, b, add) }
}

/// [`gemm_until`] in as many tiles as so many threads want.
///
/// # Safety
/// As [`gemm`].
#[expect(clippy::too_many_arguments, reason = "a matrix product has this many sizes")]
pub(crate) unsafe fn gemm_shared<T: Real>(
    threads: usize,
    stop: &Stop<'_>,
    m: usize,
    n: usize,
    k: usize,
    c: *mut T,
    c_row: usize,
    a: Mat<T>,
    b: Mat<T>,
    add: bool,
) {
    let work = m.saturating_mul(n).saturating_mul(k);
    let threads = if work < SHARED_FROM { 1 } else { threads };
    let many = n / TILE_COLUMNS;
    let even =
        many >= 4 * threads || (n.is_multiple_of(TILE_COLUMNS) && many.is_multiple_of(threads));
    let large = a.col == 1 && even && many >= 2 * threads;
    // Too few rows for every thread: columns, where the rows are enough for a tile by themselves.
    let few = m > 64 && m.div_ceil(TILE_ROWS) < 2 * threads && n >= 4 * TILE_COLUMNS_OF_FEW_ROWS;
    let by_columns = large || few;
    let (length, unit) = match by_columns {
        true if large => (n, TILE_COLUMNS),
        true => (n, TILE_COLUMNS_OF_FEW_ROWS),
        false if n > 64 => (m, TILE_ROWS),
        false => (m, TILE_ROWS_OF_FEW_COLUMNS),
    };
    let units = length.div_ceil(unit);
    let share = if large && many >= 4 * threads { 2 * threads } else { threads };
    let tiles = share.max(work.div_ceil(MULTIPLICATIONS_AT_ONCE)).min(units / 2).max(1);
    let (a_at, b_at, into) = (Shared(a.at.cast_mut()), Shared(b.at.cast_mut()), Shared(c));
    let ((ar, ac), (br, bc)) = ((a.row, a.col), (b.row, b.col));
    let tile = |i: usize| {
        if stop.raised() {
            return;
        }
        let first = i * units / tiles * unit;
        let size = ((i + 1) * units / tiles * unit).min(length) - first;
        // SAFETY: rows or columns `first..first + size` of the caller's operands and of C; no other tile
        // writes these.
        unsafe {
            let (mut a, mut b) = (
                Mat { at: a_at.at(0).cast_const(), row: ar, col: ac },
                Mat { at: b_at.at(0).cast_const(), row: br, col: bc },
            );
            let (m, n, at) = match by_columns {
                true => (m, size, first),
                false => (size, n, first * c_row),
            };
            match by_columns {
                true => b.at = b.at.add(first * b.col),
                false => a.at = a.at.add(first * a.row),
            }
            gemm(m, n, k, into.at(at), c_row, a, b, add, false);
        }
    };
    if threads == 1 || tiles == 1 {
        (0..tiles).for_each(tile);
    } else {
        (0..tiles).into_par_iter().with_max_len(1).for_each(tile);
    }
}

/// Copies on all threads.
pub(crate) fn copy<T: Real>(from: &[T], to: &mut [T]) {
    to.par_chunks_mut(4 * CHUNK).zip(from.par_chunks(4 * CHUNK)).for_each(|(to, from)| {
        to.copy_from_slice(from);
    });
}

/// Sets to 0 on all threads.
pub(crate) fn clear<T: Real>(x: &mut [T]) {
    x.par_chunks_mut(4 * CHUNK).for_each(|x| x.fill(T::zero()));
}

/// Σ aᵢ bᵢ in 16 interleaved sums.
#[inline(always)]
pub(crate) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut sums = [T::zero(); 16];
    let (a_blocks, b_blocks) = (a.chunks_exact(16), b.chunks_exact(16));
    let mut total = T::zero();
    for (&x, &y) in a_blocks.remainder().iter().zip(b_blocks.remainder()) {
        total += x * y;
    }
    for (x, y) in a_blocks.zip(b_blocks) {
        for i in 0..16 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().fold(total, |total, &s| total + s)
}

/// Σ aᵢ in 16 interleaved sums.
#[inline(always)]
pub(crate) fn sum<T: Real>(a: &[T]) -> T {
    let mut sums = [T::zero(); 16];
    let blocks = a.chunks_exact(16);
    let mut total = blocks.remainder().iter().fold(T::zero(), |total, &x| total + x);
    for x in blocks {
        for i in 0..16 {
            sums[i] += x[i];
        }
    }
    for s in sums {
        total += s;
    }
    total
}

/// e to the power `x - top` in the place of each x, and what [`sum`] gives of them.
#[inline(always)]
pub(crate) fn exp_and_sum<T: Real>(x: &mut [T], top: T) -> T {
    let mut sums = [T::zero(); 16];
    let mut total = T::zero();
    let (blocks, rest) = x.as_chunks_mut::<16>();
    for x in rest {
        *x = (*x - top).exp_fast();
        total += *x;
    }
    for x in blocks {
        let mut y = *x;
        for i in 0..16 {
            y[i] = (y[i] - top).exp_fast();
            sums[i] += y[i];
        }
        *x = y;
    }
    sums.iter().fold(total, |total, &s| total + s)
}

/// The largest element, -inf for none.
#[inline(always)]
pub(crate) fn largest<T: Real>(a: &[T]) -> T {
    let mut best = [T::neg_infinity(); 16];
    let blocks = a.chunks_exact(16);
    let mut top = T::neg_infinity();
    for &x in blocks.remainder() {
        top = if x > top { x } else { top };
    }
    for x in blocks {
        for i in 0..16 {
            best[i] = if x[i] > best[i] { x[i] } else { best[i] };
        }
    }
    for x in best {
        top = if x > top { x } else { top };
    }
    top
}

/// How far apart rows of `width` elements best begin that are read column by column: at an odd number of
/// cache lines. At a power of two all of a column would compete for few places of a cache.
pub(crate) fn apart(width: usize) -> usize {
    (width.div_ceil(16) | 1) * 16
}

/// Rows a task takes when a row has `width` elements.
pub(crate) fn rows_per_task(width: usize) -> usize {
    (CHUNK / width.max(1)).max(1)
}

/// Adds up partial results of tasks in their order, so that the bits do not depend on scheduling.
pub(crate) fn in_order<T: Real>(parts: Vec<Vec<T>>, width: usize) -> Vec<T> {
    let mut total = vec![T::zero(); width];
    for part in parts {
        for (t, p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
    total
}

/// Σ x² of a tensor, in f64 and in a fixed order.
///
/// # Errors
/// candle's, for a type or device that it cannot read.
pub fn sum_of_squares(t: &Tensor) -> Result<f64> {
    #[cfg(feature = "cuda")]
    if let Some(sum) = super::cuda::nodes::sum_of_squares(t)? {
        return Ok(sum);
    }
    if !t.device().is_cpu() {
        return t.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar();
    }
    with_real!(t.dtype(), "sum_of_squares", T => with_slice::<T, f64>(t, |x| Ok(squares(x))))
}

/// Σ x², in f64 and in a fixed order.
pub(crate) fn squares<T: Real>(x: &[T]) -> f64 {
    let parts: Vec<f64> = x
        .par_chunks(CHUNK)
        .map(|x| {
            vectorised!({
                let mut sums = [0f64; 8];
                for x in x.chunks(8) {
                    for (s, &x) in sums.iter_mut().zip(x) {
                        let x = x.to_f64();
                        *s += x * x;
                    }
                }
                sums.iter().sum::<f64>()
            })
        })
        .collect();
    parts.iter().sum()
}

/// Shares a mutable buffer among tasks that write disjoint parts of it.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: whoever calls `Shared::at` promises to touch only elements no other task touches.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn of(data: &mut [T]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// The buffer from element `i` on.
    ///
    /// # Safety
    /// `i` is inside the buffer.
    pub unsafe fn from(self, i: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { self.0.add(i) })
    }

    /// The pointer to element `i`.
    ///
    /// # Safety
    /// `i` is inside the buffer, and no other task uses the elements reached through it.
    pub unsafe fn at(self, i: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(i) }
    }
}
