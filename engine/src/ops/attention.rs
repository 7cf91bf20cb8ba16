//! Causal attention with rotary positions, for H query heads that share K key/value heads.
//!
//! ```text
//! c_j = softmax(rope(q_j) rope(k_g)ᵀ / sqrt(E) + causal) v_g,   g = j / (H/K)
//! ```
//!
//! One task takes one (sequence, key/value head) pair with all its query heads, so gradients of k
//! and v are summed inside the task and no two tasks write the same place. The T x T scores live in
//! the task's own buffer, 64 rows of products at a time, and are made again in the backward pass.

use std::ops::Range;
use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::elsewhere;
use super::kernel::{
    Mat, Real, Shared, dot, gemm, largest, rows, slice, sum, tensor, vectorised, with_real,
    with_slice,
};
use super::rope::Rope;
use crate::progress::Stop;

/// Rows of scores that are read up to the same column, and columns computed at a time.
const BLOCK: usize = 64;

/// Rows of scores computed at a time.
const PANEL: usize = 4 * BLOCK;

/// So few rows or columns are not computed by themselves: `gemm` sums small products in another order.
const FEW: usize = 16;

/// Attends: `q (B*T, H*E)`, `k (B*T, K*E)`, `v (B*T, K*E)` to the context `(B*T, H*E)`. H must be a
/// multiple of K; `rope` covers at least T positions.
///
/// # Errors
/// candle's, for shapes that do not fit.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tokens: usize,
    head_dim: usize,
    rope: &Rope,
) -> Result<Tensor> {
    if q.device().is_cpu() {
        let op = Attention { tokens, head_dim, rope: rope.clone() };
        q.contiguous()?.apply_op3(&k.contiguous()?, &v.contiguous()?, op)
    } else {
        elsewhere::attention(q, k, v, tokens, head_dim, rope)
    }
}

struct Attention {
    tokens: usize,
    head_dim: usize,
    rope: Rope,
}

/// Sizes of one call: sequences, tokens, query heads, key/value heads, head width, and the elements
/// from one row of queries, or of keys and values, to the next.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub b: usize,
    pub t: usize,
    pub h: usize,
    pub k: usize,
    pub e: usize,
    pub q_row: usize,
    pub kv_row: usize,
}

impl Size {
    fn group(self) -> usize {
        self.h / self.k
    }

    /// Offset of token 0 of head `head` in sequence `b` of rows of `row` elements.
    fn at(self, b: usize, row: usize, head: usize) -> usize {
        b * self.t * row + head * self.e
    }
}

/// Buffers of one task.
struct Scratch<T> {
    q: Vec<T>,
    k: Vec<T>,
    p: Vec<T>,
    dp: Vec<T>,
    dq: Vec<T>,
    dk: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new(s: Size, backward: bool) -> Self {
        let (te, tt) = (s.t * s.e, s.t * s.t);
        let zeros = |n| vec![T::zero(); n];
        let back = |n| zeros(if backward { n } else { 0 });
        Self { q: zeros(te), k: zeros(te), p: zeros(tt), dp: back(tt), dq: back(te), dk: back(te) }
    }
}

/// Buffers that tasks borrow and give back: as many as there are tasks at a time.
struct Shelf<T> {
    size: Size,
    backward: bool,
    free: Mutex<Vec<Scratch<T>>>,
}

impl<T: Real> Shelf<T> {
    fn new(size: Size, backward: bool) -> Self {
        Self { size, backward, free: Mutex::default() }
    }

    fn lend(&self, task: impl FnOnce(&mut Scratch<T>)) {
        let taken = self.free.lock().unwrap_or_else(|e| e.into_inner()).pop();
        let mut scratch = taken.unwrap_or_else(|| Scratch::new(self.size, self.backward));
        task(&mut scratch);
        self.free.lock().unwrap_or_else(|e| e.into_inner()).push(scratch);
    }
}

/// Copies one head out of a (T, heads*E) slab and turns it by its positions.
fn turn<T: Real>(x: &[T], stride: usize, s: Size, rope: (&[T], &[T]), out: &mut [T]) {
    vectorised!({
        for t in 0..s.t {
            turn_row(&x[t * stride..][..s.e], rope, t, T::one(), &mut out[t * s.e..][..s.e]);
        }
    });
}

/// Turns one head back and writes it into its (T, heads*E) slab.
///
/// # Safety
/// `out` points at token 0 of the head in a slab of `s.t` rows of `stride` elements; no other task
/// touches these `s.e` columns.
unsafe fn turn_back<T: Real>(x: &[T], stride: usize, s: Size, rope: (&[T], &[T]), out: *mut T) {
    vectorised!({
        for t in 0..s.t {
            // SAFETY: row t of the slab, by the caller's promise.
            let y = unsafe { std::slice::from_raw_parts_mut(out.add(t * stride), s.e) };
            turn_row(&x[t * s.e..][..s.e], rope, t, -T::one(), y);
        }
    });
}

/// Turns a row of one head by position `t`, or back by it where `way` is -1.
#[inline(always)]
fn turn_row<T: Real>(x: &[T], rope: (&[T], &[T]), t: usize, way: T, y: &mut [T]) {
    let half = x.len() / 2;
    let (xa, xb) = x.split_at(half);
    let (ya, yb) = y.split_at_mut(half);
    let (cos, sin) = (&rope.0[t * half..][..half], &rope.1[t * half..][..half]);
    // Eight at a time, as values: the compiler need not ask whether the rows overlap.
    let eights = half / 8;
    let (a8, b8) = (&xa.as_chunks::<8>().0[..eights], &xb.as_chunks::<8>().0[..eights]);
    let (c8, s8) = (&cos.as_chunks::<8>().0[..eights], &sin.as_chunks::<8>().0[..eights]);
    let (u8, v8) = (ya.as_chunks_mut::<8>().0, yb.as_chunks_mut::<8>().0);
    for (j, (u, v)) in u8.iter_mut().zip(v8).enumerate() {
        let (a, b, c, s) = (a8[j], b8[j], c8[j], s8[j]);
        let (mut first, mut second) = (a, b);
        for i in 0..8 {
            let s = s[i] * way;
            first[i] = a[i] * c[i] - b[i] * s;
            second[i] = b[i] * c[i] + a[i] * s;
        }
        (*u, *v) = (first, second);
    }
    for i in 8 * eights..half {
        let s = sin[i] * way;
        ya[i] = xa[i] * cos[i] - xb[i] * s;
        yb[i] = xb[i] * cos[i] + xa[i] * s;
    }
}

/// The products a bᵀ of rows of `a` and `b` that the causal mask lets through, and some beyond them, of the
/// rows `panel` of `into` (T, T): for each row at least up to the end of its [`BLOCK`].
///
/// Columns come in blocks, so that what lies turned in `b` is laid out anew once for all rows of the panel.
///
/// # Safety
/// `a` and `b` have `t` rows of `e` elements.
unsafe fn scores<T: Real>(a: Mat<T>, b: Mat<T>, s: Size, panel: Range<usize>, into: &mut [T]) {
    let mut c0 = 0;
    while c0 < panel.end {
        let c = if panel.end - c0 <= BLOCK + FEW { panel.end - c0 } else { BLOCK };
        let first = c0.max(panel.start);
        let out = into[first * s.t + c0..].as_mut_ptr();
        // SAFETY: rows `first..panel.end` of `a` and of the scores, rows c0..c0+c of `b`.
        unsafe {
            let a = Mat { at: a.at.add(first * a.row), ..a };
            let b = Mat { at: b.at.add(c0 * b.row), ..b };
            gemm(panel.end - first, c, s.e, out, s.t, a, b.t(), false, false);
        }
        c0 += c;
    }
}

/// The rows of scores that are computed before they are looked at, panel by panel; the last takes a few more
/// rather than leave them by themselves.
fn panels(s: Size) -> impl Iterator<Item = Range<usize>> {
    let all = s.t.saturating_sub(FEW).div_ceil(PANEL).max(1);
    (0..all).map(move |i| i * PANEL..if i + 1 == all { s.t } else { (i + 1) * PANEL })
}

/// Fills the lower triangle of `p` (T, T) with attention weights; what lies right of the diagonal
/// inside a block of rows is zero, what lies beyond the block is never read.
fn weights<T: Real>(q: &[T], k: &[T], s: Size, p: &mut [T]) {
    let scale = T::of(1.0 / (s.e as f64).sqrt());
    for panel in panels(s) {
        // SAFETY: q and k have T rows of E elements.
        unsafe { scores(rows(q, s.e), rows(k, s.e), s, panel.clone(), p) };
        vectorised!({
            for i in panel.clone() {
                let n = ((i / BLOCK + 1) * BLOCK).min(s.t);
                let row = &mut p[i * s.t..][..n];
                let top = largest(&row[..i + 1]);
                // Some of what lies right of the diagonal too: whole vectors, and no numbers one by one.
                let some = (i + 1).next_multiple_of(16).min(n);
                for x in &mut row[..some] {
                    *x = ((*x - top) * scale).exp_fast();
                }
                let inverse = T::one() / sum(&row[..i + 1]);
                for x in &mut row[..some] {
                    *x *= inverse;
                }
                row[i + 1..].fill(T::zero());
            }
        });
    }
}

impl Attention {
    fn size(&self, q: (usize, usize), k: (usize, usize)) -> Result<Size> {
        let (t, e) = (self.tokens, self.head_dim);
        let (h, kv) = (q.1 / e, k.1 / e);
        if t == 0
            || !q.0.is_multiple_of(t)
            || !q.1.is_multiple_of(e)
            || !k.1.is_multiple_of(e)
            || kv == 0
            || h % kv != 0
            || self.rope.positions() < t
        {
            return Err(candle_core::Error::Msg(format!(
                "attention: q {q:?} and k {k:?} do not fit {t} tokens of heads {e} wide ({} rotary positions)",
                self.rope.positions()
            )));
        }
        Ok(Size { b: q.0 / t, t, h, k: kv, e, q_row: q.1, kv_row: k.1 })
    }
}

/// The context of queries `q`, keys `k` and values `v` into `out (B*T, H*E)`. Each operand begins at
/// head 0 of its first row; rows are as far apart as `s` says.
pub(crate) fn attend<T: Real>(
    (q, k, v): (&[T], &[T], &[T]),
    s: Size,
    rope: &Rope,
    stop: &Stop<'_>,
    out: &mut [T],
) {
    let rope = T::rope(rope);
    let (hw, qw, kw) = (s.h * s.e, s.q_row, s.kv_row);
    let shared = Shared::of(out);
    let shelf = Shelf::new(s, false);
    (0..s.b * s.k).into_par_iter().for_each(|task| {
        shelf.lend(|w| {
            let (b, g) = (task / s.k, task % s.k);
            turn(&k[s.at(b, kw, g)..], kw, s, rope, &mut w.k);
            let values = Mat { at: v[s.at(b, kw, g)..].as_ptr(), row: kw, col: 1 };
            for h in g * s.group()..(g + 1) * s.group() {
                if stop.raised() {
                    return;
                }
                turn(&q[s.at(b, qw, h)..], qw, s, rope, &mut w.q);
                weights(&w.q, &w.k, s, &mut w.p);
                for r0 in (0..s.t).step_by(BLOCK) {
                    let (r, n) = (BLOCK.min(s.t - r0), (r0 + BLOCK).min(s.t));
                    // SAFETY: columns of head h in rows of sequence b belong to this task.
                    unsafe {
                        let c = shared.at(s.at(b, hw, h) + r0 * hw);
                        gemm(r, s.e, n, c, hw, rows(&w.p[r0 * s.t..], s.t), values, false, false);
                    }
                }
            }
        });
    });
}

/// What the backward pass of [`attend`] reads: its operands, its context and the context's gradient.
#[derive(Clone, Copy)]
pub(crate) struct Attended<'a, T> {
    pub q: &'a [T],
    pub k: &'a [T],
    pub v: &'a [T],
    pub out: &'a [T],
    pub g: &'a [T],
}

/// The backward pass of [`attend`]: gradients of queries, keys and values, in rows as far apart as
/// theirs.
///
/// # Safety
/// Each of `dq_out`, `dk_out` and `dv_out` begins at head 0 of the first of `B*T` rows, in memory that
/// nobody else uses; no element of one is an element of another.
pub(crate) unsafe fn attend_back<T: Real>(
    of: Attended<'_, T>,
    s: Size,
    rope: &Rope,
    stop: &Stop<'_>,
    dq_out: Shared<T>,
    dk_out: Shared<T>,
    dv_out: Shared<T>,
) {
    let Attended { q, k, v, out, g } = of;
    let rope = T::rope(rope);
    let (hw, qw, kw) = (s.h * s.e, s.q_row, s.kv_row);
    let scale = T::of(1.0 / (s.e as f64).sqrt());
    let shelf = Shelf::new(s, true);
    (0..s.b * s.k).into_par_iter().for_each(|task| {
        shelf.lend(|w| {
            let (b, kv) = (task / s.k, task % s.k);
            let kv_at = s.at(b, kw, kv);
            turn(&k[kv_at..], kw, s, rope, &mut w.k);
            let values = Mat { at: v[kv_at..].as_ptr(), row: kw, col: 1 };
            for (first, h) in (kv * s.group()..(kv + 1) * s.group()).enumerate() {
                if stop.raised() {
                    return;
                }
                let add = first > 0;
                let (h_at, q_at) = (s.at(b, hw, h), s.at(b, qw, h));
                turn(&q[q_at..], qw, s, rope, &mut w.q);
                weights(&w.q, &w.k, s, &mut w.p);
                let grad = |row: usize| Mat { at: g[h_at + row * hw..].as_ptr(), row: hw, col: 1 };
                for panel in panels(s) {
                    // SAFETY: the gradient and the values have T rows of E elements.
                    unsafe { scores(grad(0), values, s, panel.clone(), &mut w.dp) };
                    for r0 in panel.clone().step_by(BLOCK) {
                        let (r, n) = (BLOCK.min(s.t - r0), (r0 + BLOCK).min(s.t));
                        vectorised!({
                            for i in r0..r0 + r {
                                let at = h_at + i * hw;
                                let shared_part = dot(&g[at..at + s.e], &out[at..at + s.e]);
                                let (p, dp) = (&w.p[i * s.t..][..n], &mut w.dp[i * s.t..][..n]);
                                for j in 0..n {
                                    dp[j] = p[j] * (dp[j] - shared_part) * scale;
                                }
                            }
                        });
                        let dq = w.dq[r0 * s.e..].as_mut_ptr();
                        let (dp, k) = (rows(&w.dp[r0 * s.t..], s.t), rows(&w.k, s.e));
                        // SAFETY: rows r0..r0+r of this task's own buffers.
                        unsafe { gemm(r, s.e, n, dq, s.e, dp, k, false, false) };
                    }
                }
                // Columns c0.. of the scores: only rows from c0 down reach them.
                for c0 in (0..s.t).step_by(BLOCK) {
                    let (c, below) = (BLOCK.min(s.t - c0), s.t - c0);
                    let p = rows(&w.p[c0 * s.t + c0..], s.t).t();
                    let dp = rows(&w.dp[c0 * s.t + c0..], s.t).t();
                    // SAFETY: columns of kv head `kv` in sequence b belong to this task.
                    unsafe {
                        gemm(
                            c,
                            s.e,
                            below,
                            dv_out.at(kv_at + c0 * kw),
                            kw,
                            p,
                            grad(c0),
                            add,
                            false,
                        );
                        gemm(
                            c,
                            s.e,
                            below,
                            w.dk[c0 * s.e..].as_mut_ptr(),
                            s.e,
                            dp,
                            rows(&w.q[c0 * s.e..], s.e),
                            add,
                            false,
                        );
                    }
                }
                // SAFETY: columns of head h in sequence b belong to this task.
                unsafe { turn_back(&w.dq, qw, s, rope, dq_out.at(q_at)) };
            }
            // SAFETY: columns of kv head `kv` in sequence b belong to this task.
            unsafe { turn_back(&w.dk, kw, s, rope, dk_out.at(kv_at)) };
        });
    });
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(
        &self,
        qs: &CpuStorage,
        ql: &Layout,
        ks: &CpuStorage,
        kl: &Layout,
        vs: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let size = self.size(ql.shape().dims2()?, kl.shape().dims2()?)?;
        with_real!(qs.dtype(), "causal-attention", T => {
            let mut c = vec![T::default(); ql.shape().elem_count()];
            let of = (slice(qs, ql)?, slice(ks, kl)?, slice(vs, vl)?);
            attend::<T>(of, size, &self.rope, &Stop::never(), &mut c);
            Ok((T::to_cpu_storage_owned(c), ql.shape().clone()))
        })
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        out: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = self.size(q.dims2()?, k.dims2()?)?;
        with_real!(q.dtype(), "causal-attention", T => with_slice::<T, _>(q, |qs| with_slice(k, |ks| with_slice(v, |vs| with_slice(out, |os| with_slice(g, |gs| {
            let zeros = |x: &[T]| vec![T::default(); x.len()];
            let (mut dq, mut dk, mut dv) = (zeros(qs), zeros(ks), zeros(vs));
            let into = [Shared::of(&mut dq), Shared::of(&mut dk), Shared::of(&mut dv)];
            let of = Attended { q: qs, k: ks, v: vs, out: os, g: gs };
            // SAFETY: three fresh buffers of the operands' sizes.
            unsafe {
                attend_back(of, size, &self.rope, &Stop::never(), into[0], into[1], into[2]);
            }
            Ok((
                Some(tensor(dq, q.shape().clone(), q)?),
                Some(tensor(dk, k.shape().clone(), q)?),
                Some(tensor(dv, v.shape().clone(), q)?),
            ))
        }))))))
    }
}
