//! Token by token, by hand: what [`crate::model::cache`] computes in candle's operations, on the CPU.
//!
//! Keys and values have their room from the start. Keys stand position beside position, (E, P), so that
//! the scores of all positions come out of one loop without sums across a vector.

use rayon::prelude::*;

use super::live::Live;
use super::net::{AttentionPlaces, Gated, MlpPlaces, Net, Places};
use super::{Typed, can, cpu};
use crate::model::cache::Next;
use crate::model::{Model, ModelError};
use crate::ops::RopeTable;
use crate::ops::attention::{Size, attend};
use crate::ops::few::{FEW, Into, few_rows};
use crate::ops::kernel::{Real, Shared, gemm_until, largest, rows, sum, vectorised};
use crate::ops::norm::{NormScale, norm_heads, norm_rows};
use crate::ops::swiglu::swiglu_rows;
use crate::progress::{Stop, Watch};
use candle_core::{DType, Tensor};
use std::sync::Arc;

/// Multiplications of a pass from which several threads are quicker than one.
const SHARED_FROM: usize = 1 << 21;

/// Calls `f` with a pass over `b` sequences of up to `positions` tokens; none where there is no such pass,
/// on another device or in another type.
///
/// # Errors
/// Those of `f`; candle's.
pub(crate) fn with_next<R>(
    model: &Model,
    b: usize,
    positions: usize,
    f: impl FnOnce(&mut dyn Next) -> Result<R, ModelError>,
) -> Option<Result<R, ModelError>> {
    can(&model.weights).then(|| match model.weights.embed.dtype() {
        DType::F64 => with_next_in::<f64, R>(model, b, positions, f),
        _ => with_next_in::<f32, R>(model, b, positions, f),
    })
}

fn with_next_in<T: Typed, R>(
    model: &Model,
    b: usize,
    positions: usize,
    f: impl FnOnce(&mut dyn Next) -> Result<R, ModelError>,
) -> Result<R, ModelError> {
    let weights = &*model.weights;
    let whole: Vec<Tensor> =
        weights.named().iter().map(|(_, t)| t.contiguous()).collect::<Result<_, _>>()?;
    let guards: Vec<_> = whole.iter().map(Tensor::storage_and_layout).collect();
    let w = guards.iter().map(|(s, l)| cpu::<T>(s, l)).collect::<Result<Vec<_>, _>>()?;
    let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), positions));
    let live = Live::everything(weights, model.config.head_dim);
    let gates = Gated::none(live.layers.len());
    let stop = Stop::never();
    let net = Net {
        copies: super::copies::Copies::default(),
        stop: &stop,
        w,
        at: Places::of(weights),
        live,
        gates,
        rope: &rope,
        eps: model.config.rms_norm_eps,
        e: model.config.head_dim,
        tokens: 1,
        n: b,
        full: weights.embed.dim(1)?,
    };
    f(&mut ByHand::new(&net, b, positions))
}

/// Keys (B, K, E, P), turned by their positions, and values (B, K, P, E) of a layer.
#[derive(Default)]
struct Kept<T> {
    k: Vec<T>,
    v: Vec<T>,
}

/// Norms of a layer, made once.
struct Norms<T> {
    attention: Option<NormScale<T>>,
    heads: Option<(NormScale<T>, NormScale<T>)>,
    mlp: Option<NormScale<T>>,
}

struct ByHand<'a, T> {
    net: &'a Net<'a, T>,
    b: usize,
    positions: usize,
    /// Tokens of a sequence so far.
    position: usize,
    kept: Vec<Kept<T>>,
    norms: Vec<Norms<T>>,
    last: NormScale<T>,
    /// Multiplications with weights for one token.
    work: usize,
}

/// What the parts of one pass share.
#[derive(Clone, Copy)]
struct Sizes<'a> {
    /// Tokens of a sequence in this pass, and of all sequences.
    t: usize,
    n: usize,
    parallel: bool,
    stop: &'a Stop<'a>,
}

/// Heads of an attention: query heads, key/value heads, elements of a row of all three.
#[derive(Clone, Copy)]
struct Heads {
    h: usize,
    k: usize,
    width: usize,
}

impl<T: Real> Next for ByHand<'_, T> {
    fn append(&mut self, ids: &[u32], watch: &dyn Watch) -> Result<Vec<f32>, ModelError> {
        let vocab = self.net.w[self.net.at.embed].len() / self.net.full;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(ModelError::TokenOutOfRange { id, vocab });
        }
        let n = ids.len();
        let parallel = n * self.work >= SHARED_FROM && rayon::current_num_threads() > 1;
        let stop = Stop::by(watch);
        let s = Sizes { t: n / self.b, n, parallel, stop: &stop };
        if !parallel {
            return self.pass(ids, s);
        }
        // All of it inside the pool: to go in and out for every product takes longer than some do.
        rayon::scope(|_| self.pass(ids, s))
    }
}

impl<'a, T: Real> ByHand<'a, T> {
    fn new(net: &'a Net<'a, T>, b: usize, positions: usize) -> Self {
        let scale = |place: usize| NormScale::new(net.w[place], None, net.eps);
        let norms = |layer: &super::net::LayerPlaces| Norms {
            attention: layer.attention.map(|at| scale(at.norm)),
            heads: layer.attention.and_then(|at| at.head_norms).map(|p| (scale(p), scale(p + 1))),
            mlp: layer.mlp.map(|at| scale(at.norm)),
        };
        let kept = |layer: &super::net::LayerPlaces| {
            let width = layer.attention.map_or(0, |at| net.w[at.k].len() / net.full);
            let zeros = || vec![T::zero(); b * positions * width];
            Kept { k: zeros(), v: zeros() }
        };
        let embed = net.w[net.at.embed].len();
        let all: usize = net.w.iter().map(|w| w.len()).sum();
        let work = if net.at.head == net.at.embed { all } else { all - embed };
        Self {
            net,
            b,
            positions,
            position: 0,
            kept: net.at.layers.iter().map(kept).collect(),
            norms: net.at.layers.iter().map(norms).collect(),
            last: scale(net.at.norm),
            work,
        }
    }

    fn pass(&mut self, ids: &[u32], s: Sizes<'_>) -> Result<Vec<f32>, ModelError> {
        let (net, d) = (self.net, self.net.full);
        let table = net.w[net.at.embed];
        let mut x: Vec<T> = Vec::with_capacity(s.n * d);
        for &id in ids {
            x.extend_from_slice(&table[id as usize * d..][..d]);
        }
        let mut a = vec![T::zero(); s.n * d];
        for (l, layer) in net.at.layers.iter().enumerate() {
            if s.stop.raised() {
                return Err(ModelError::Interrupted);
            }
            if let (Some(at), Some(norm)) = (layer.attention, &self.norms[l].attention) {
                norm_rows(&x, norm, &mut a);
                self.attention(l, at, &a, s, &mut x);
            }
            if let (Some(at), Some(norm)) = (layer.mlp, &self.norms[l].mlp) {
                norm_rows(&x, norm, &mut a);
                self.mlp(at, &a, s, &mut x);
            }
        }
        self.position += s.t;
        // The last token of each sequence.
        let (b, t) = (self.b, s.t);
        let last: Vec<T> = x.chunks_exact(t * d).flat_map(|x| &x[(t - 1) * d..]).copied().collect();
        let a = &mut a[..b * d];
        norm_rows(&last, &self.last, a);
        let head = net.w[net.at.head];
        let vocab = head.len() / d;
        let mut logits = vec![T::zero(); b * vocab];
        let s = Sizes { t: 1, n: b, ..s };
        let into = Into { out: &mut logits, width: vocab, column: 0, add: false };
        product(a, head, d, into, s);
        if s.stop.raised() {
            return Err(ModelError::Interrupted);
        }
        Ok(logits.iter().map(|&x| x.to_f64() as f32).collect())
    }

    fn attention(&mut self, l: usize, at: AttentionPlaces, a: &[T], s: Sizes<'_>, x: &mut [T]) {
        let (net, d, e) = (self.net, self.net.full, self.net.e);
        let wide = |place: usize| net.w[place].len() / d;
        let (q, kv) = (wide(at.q), wide(at.k));
        let heads = Heads { h: q / e, k: kv / e, width: q + 2 * kv };
        let width = heads.width;
        let mut qkv = vec![T::zero(); s.n * width];
        if let Some(first) = at.biases {
            let bias = [net.w[first], net.w[first + 1], net.w[first + 2]].concat();
            qkv.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(&bias));
        }
        for (place, column) in [(at.q, 0), (at.k, q), (at.v, q + kv)] {
            let add = at.biases.is_some();
            product(a, net.w[place], d, Into { out: &mut qkv, width, column, add }, s);
        }
        if let Some((of_q, of_k)) = &self.norms[l].heads {
            let plain = qkv.clone();
            norm_heads(&plain, width, (q, kv), (of_q, of_k), &mut qkv);
        }
        let mut context = vec![T::zero(); s.n * q];
        self.keep(l, &qkv, heads, s);
        if self.position == 0 && s.t > 1 {
            let (h, k) = (heads.h, heads.k);
            let size = Size { b: self.b, t: s.t, h, k, e, q_row: width, kv_row: width };
            attend((&qkv, &qkv[q..], &qkv[q + kv..]), size, net.rope, s.stop, &mut context);
        } else {
            self.look_back(l, &qkv, heads, s, &mut context);
        }
        let into = Into { out: x, width: d, column: 0, add: true };
        product(&context, net.w[at.o], q, into, s);
        if let Some(bias) = at.o_bias.map(|place| net.w[place]) {
            for x in x.chunks_exact_mut(d) {
                x.iter_mut().zip(bias).for_each(|(x, &b)| *x += b);
            }
        }
    }

    /// Puts keys, turned, and values to those of the tokens before.
    fn keep(&mut self, l: usize, qkv: &[T], heads: Heads, s: Sizes<'_>) {
        let (e, positions) = (self.net.e, self.positions);
        let Kept { k: keys, v: values } = &mut self.kept[l];
        let mut turned = vec![T::zero(); e];
        for (i, row) in qkv.chunks_exact(heads.width).enumerate() {
            let at = self.position + i % s.t;
            for g in 0..heads.k {
                let first = ((i / s.t) * heads.k + g) * positions * e;
                let k = &row[(heads.h + g) * e..][..e];
                turn(k, at, self.net.rope, &mut turned);
                for (j, &x) in turned.iter().enumerate() {
                    keys[first + j * positions + at] = x;
                }
                let v = &row[(heads.h + heads.k + g) * e..][..e];
                values[first + at * e..][..e].copy_from_slice(v);
            }
        }
    }

    /// The context of queries that see all tokens up to their own.
    fn look_back(&self, l: usize, qkv: &[T], heads: Heads, s: Sizes<'_>, context: &mut [T]) {
        let (e, positions, group) = (self.net.e, self.positions, heads.h / heads.k);
        let Kept { k: keys, v: values } = &self.kept[l];
        let scale = T::of(1.0 / (e as f64).sqrt());
        let shared = Shared::of(context);
        let task = |task: usize| {
            let (i, g) = (task / heads.k, task % heads.k);
            let at = self.position + i % s.t;
            let first = ((i / s.t) * heads.k + g) * positions * e;
            let (keys, values) = (&keys[first..][..positions * e], &values[first..]);
            let (mut q, mut p) = (vec![T::zero(); e], vec![T::zero(); at + 1]);
            for h in g * group..(g + 1) * group {
                turn(&qkv[i * heads.width + h * e..][..e], at, self.net.rope, &mut q);
                // SAFETY: the columns of head h in row i belong to this task.
                let c = unsafe { shared.at((i * heads.h + h) * e) };
                // SAFETY: as above; e elements of the row.
                let c = unsafe { std::slice::from_raw_parts_mut(c, e) };
                vectorised!({
                    p.fill(T::zero());
                    for (keys, &q) in keys.chunks_exact(positions).zip(&q) {
                        let q = q * scale;
                        p.iter_mut().zip(keys).for_each(|(p, &k)| *p += q * k);
                    }
                    let top = largest(&p);
                    p.iter_mut().for_each(|p| *p = (*p - top).exp_fast());
                    let inverse = T::one() / sum(&p);
                    for (v, &p) in values.chunks_exact(e).zip(&p) {
                        let p = p * inverse;
                        c.iter_mut().zip(v).for_each(|(c, &v)| *c += p * v);
                    }
                });
            }
        };
        let tasks = s.n * heads.k;
        if s.parallel && s.n * heads.h * e * (self.position + s.t) >= SHARED_FROM / 8 {
            (0..tasks).into_par_iter().for_each(task);
        } else {
            (0..tasks).for_each(task);
        }
    }

    fn mlp(&self, at: MlpPlaces, b: &[T], s: Sizes<'_>, x: &mut [T]) {
        let (net, d) = (self.net, self.net.full);
        let f = net.w[at.up].len() / d;
        let mut gu = vec![T::zero(); s.n * 2 * f];
        for (place, column) in [(at.gate, 0), (at.up, f)] {
            let into = Into { out: &mut gu, width: 2 * f, column, add: false };
            product(b, net.w[place], d, into, s);
        }
        let mut y = vec![T::zero(); s.n * f];
        swiglu_rows(&gu, f, &mut y);
        product(&y, net.w[at.down], f, Into { out: x, width: d, column: 0, add: true }, s);
    }
}

/// x Wᵀ of rows of `k` elements.
fn product<T: Real>(x: &[T], w: &[T], k: usize, into: Into<'_, T>, s: Sizes<'_>) {
    if s.n <= FEW {
        return few_rows(x, w, k, into, s.parallel);
    }
    let Into { out, width, column, add } = into;
    let c = out[column..].as_mut_ptr();
    // SAFETY: x is (n, k), w is (m, k); columns `column..column + m` of rows of `width` are ours.
    unsafe { gemm_until(s.stop, s.n, w.len() / k, k, c, width, rows(x, k), rows(w, k).t(), add) };
}

/// Turns one head by its position.
fn turn<T: Real>(x: &[T], position: usize, rope: &RopeTable, out: &mut [T]) {
    let half = x.len() / 2;
    let (cos, sin) = T::rope(rope);
    let (cos, sin) = (&cos[position * half..][..half], &sin[position * half..][..half]);
    let (xa, xb) = x.split_at(half);
    let (ya, yb) = out.split_at_mut(half);
    for i in 0..half {
        ya[i] = xa[i] * cos[i] - xb[i] * sin[i];
        yb[i] = xb[i] * cos[i] + xa[i] * sin[i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cache::CachedForward;
    use crate::model::save::tiny::{FAMILIES, family};
    use crate::progress::Unwatched;
    use crate::rng::Stream;

    /// Logits of a prompt, of single tokens after it, and of some more at once.
    fn logits(
        pass: &mut dyn Next,
        b: usize,
        lengths: &[usize],
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut stream = Stream::new(3, "next", 0);
        let mut ids = |n: usize| (0..n).map(|_| stream.below(8) as u32).collect::<Vec<_>>();
        lengths.iter().map(|t| pass.append(&ids(b * t), &Unwatched)).collect()
    }

    #[test]
    fn by_hand_the_next_token_has_the_logits_of_the_pass_in_candles_operations() {
        for (i, (name, bias)) in FAMILIES.into_iter().enumerate() {
            let mut model = family(name, bias);
            // Loud enough that a mistake in any part shows.
            let louder = |t: &Tensor| if t.rank() == 2 { t * 15.0 } else { t.copy() };
            let mut weights = model.weights.map(louder).unwrap();
            if i % 2 == 1 {
                weights.layers[0].mlp = None;
                weights.layers[1].attention = None;
            }
            model.weights = Arc::new(weights);
            for (b, lengths) in [(1, &[1, 1, 1, 4][..]), (2, &[5, 1, 1, 2]), (9, &[3, 1, 1])] {
                let positions = lengths.iter().sum();
                let by_hand = with_next(&model, b, positions, |pass| logits(pass, b, lengths));
                let by_hand = by_hand.expect("a pass on the CPU").unwrap();
                let theirs = logits(&mut CachedForward::new(&model, b, positions), b, lengths);
                let theirs = theirs.unwrap();
                for (ours, theirs) in by_hand.iter().zip(&theirs) {
                    let top = theirs.iter().fold(0f32, |top, x| top.max(x.abs()));
                    let gap = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
                    let gap = gap.fold(0f32, f32::max);
                    // f32, two layers, sums in another order: some units in the last place.
                    assert!(
                        gap <= 1e-5 * top.max(1.0),
                        "{name:?} {bias}, {b} rows: {gap:e} of {top}"
                    );
                    assert_eq!(ours.len(), theirs.len());
                }
            }
            let refused = with_next(&model, 1, 4, |pass| pass.append(&[8], &Unwatched));
            assert!(matches!(refused, Some(Err(ModelError::TokenOutOfRange { id: 8, vocab: 8 }))));
        }
    }
}
