//! A layer, forward and backward.
//!
//! Gates on outputs and on heads are multiplied into the output projections, so a part adds to the stream
//! as one product. Their gradients come back with that of the projection (`place.rs`).

use super::copies::Stack;
use super::live::{Chosen, LiveHeads};
use super::net::{AttentionPlaces, MlpPlaces, Net};
use super::place::{Factors, Part, gather, unfold};
use super::space::{Left, Slot, Temps, fit};
use super::sums::{Sums, full_rows, matters};
use crate::gate::GateKind;
use crate::ops::attention::{Attended, Size, attend, attend_back};
use crate::ops::kernel::{
    Real, Shared, copy, gemm_shared, gemm_until, rows, rows_per_task, vectorised,
};
use crate::ops::norm::{NormScale, norm_and_copy, norm_heads, norm_heads_back, norm_rows_back};
use crate::ops::swiglu::{swiglu_rows, swiglu_rows_back};
use rayon::prelude::*;

/// Rows of queries, keys and values in `qkv`, and what of their matrices takes part.
struct Heads<'a> {
    live: &'a LiveHeads,
    at: AttentionPlaces,
    /// Columns of the queries, of keys or values, of all three.
    q: usize,
    kv: usize,
    width: usize,
}

impl<T: Real> Net<'_, T> {
    /// Takes the stream `x` into layer `l`, which is at its place, to the stream `out` of it.
    pub fn layer(
        &self,
        l: usize,
        x: &[T],
        slot: &mut Slot<T>,
        out: &mut [T],
        temps: &mut Temps<T>,
    ) {
        self.layer_rows(l, x, slot.rows(self.left(l), self.n), out, temps);
    }

    /// Elements a row of what layer `l` leaves, in the order of [`Slot`].
    pub fn left(&self, l: usize) -> [usize; 4] {
        let (qkv, context) = self.heads(l).map_or((0, 0), |heads| (heads.width, heads.q));
        let channels = self.at.layers[l].mlp.and(self.live.layers[l].mlp.as_ref());
        [qkv, context, self.d(), 2 * channels.map_or(0, Chosen::len)]
    }

    /// [`Net::layer`] for some sequences.
    pub fn layer_rows(
        &self,
        l: usize,
        x: &[T],
        left: Left<'_, T>,
        out: &mut [T],
        temps: &mut Temps<T>,
    ) {
        let Left { qkv, context, mid, gu } = left;
        match self.heads(l) {
            Some(heads) => self.attention(l, &heads, (x, mid), (qkv, context), temps),
            None => copy(x, mid),
        }
        match (self.at.layers[l].mlp, &self.live.layers[l].mlp) {
            (Some(at), Some(channels)) => {
                self.mlp((l, at), channels, (mid, out), gu, temps);
            }
            _ => copy(mid, out),
        }
    }

    /// Takes the gradient of the stream out of layer `l`, in `temps.dx`, to that of the stream `x` into
    /// it, and adds up the gradients on the way.
    pub fn layer_back(
        &self,
        l: usize,
        x: &[T],
        slot: &mut Slot<T>,
        temps: &mut Temps<T>,
        sums: &mut Sums<'_, T>,
    ) {
        if let (Some(at), Some(channels)) = (self.at.layers[l].mlp, &self.live.layers[l].mlp) {
            self.mlp_back((l, at), channels, &slot.mid, &mut slot.gu, temps, sums);
        }
        if let Some(heads) = self.heads(l) {
            self.attention_back(l, &heads, x, (&slot.qkv, &slot.context), temps, sums);
        }
    }

    fn heads(&self, l: usize) -> Option<Heads<'_>> {
        let (at, live) = (self.at.layers[l].attention?, self.live.layers[l].attention.as_ref()?);
        let (q, kv) = (live.q_rows.len(), live.kv_rows.len());
        Some(Heads { live, at, q, kv, width: q + 2 * kv })
    }

    fn norm(&self, place: usize) -> NormScale<T> {
        NormScale::new(&self.compact(place), self.gates.hidden.as_deref(), self.eps)
    }

    /// Matrices that read the normed stream, one below the other.
    fn readers<'p>(&'p self, heads: &'p Heads<'_>) -> [(usize, Part<'p>); 3] {
        let AttentionPlaces { q, k, v, .. } = heads.at;
        let kv = self.over_hidden(&heads.live.kv_rows);
        [(q, self.over_hidden(&heads.live.q_rows)), (k, kv), (v, kv)]
    }

    /// Copies what takes part of matrices, one below the other.
    fn stack<'t>(
        &'t self,
        (l, stack): (usize, Stack),
        parts: &[(usize, Part<'_>)],
        buffer: &'t mut Vec<T>,
    ) -> &'t [T] {
        if let Some(copy) = self.copies.of(l, stack) {
            return copy;
        }
        let total = parts.iter().map(|(_, part)| part.len()).sum();
        let all = fit(buffer, total);
        let mut rest = &mut *all;
        for &(place, part) in parts {
            let (here, after) = rest.split_at_mut(part.len());
            gather(self.w[place], part, Factors::NONE, here);
            rest = after;
        }
        all
    }

    /// A matrix times its factors: itself where all of it takes part and there are none.
    fn folded<'t>(
        &'t self,
        (l, stack): (usize, Stack),
        place: usize,
        part: Part<'_>,
        by: Factors<'_, T>,
        buffer: &'t mut Vec<T>,
    ) -> &'t [T] {
        if let Some(copy) = self.copies.of(l, stack) {
            return copy;
        }
        if part.is_whole() && by.are_none() {
            return self.w[place];
        }
        let out = fit(buffer, part.len());
        gather(self.w[place], part, by, out);
        out
    }

    /// Sizes of the attention over `n` rows.
    fn size(&self, heads: &Heads<'_>, n: usize) -> Size {
        Size {
            b: n / self.tokens,
            t: self.tokens,
            h: heads.live.heads(),
            k: heads.live.groups.len(),
            e: self.e,
            q_row: heads.width,
            kv_row: heads.width,
        }
    }

    /// Queries and keys as the attention sees them: after the norms of heads, where there are some.
    fn normed<'t>(&self, heads: &Heads<'_>, qkv: &'t [T], buffer: &'t mut Vec<T>) -> &'t [T] {
        let Some(place) = heads.at.head_norms else { return qkv };
        let normed = fit(buffer, qkv.len());
        let scales = self.head_scales(place);
        norm_heads(qkv, heads.width, (heads.q, heads.kv), (&scales.0, &scales.1), normed);
        normed
    }

    fn head_scales(&self, place: usize) -> (NormScale<T>, NormScale<T>) {
        let of = |place: usize| NormScale::new(self.w[place], None, self.eps);
        (of(place), of(place + 1))
    }

    /// Whether a bias of the output counts: some head is open.
    fn bias_counts(&self, l: usize) -> bool {
        self.gates.layers[l].context.as_ref().is_none_or(|z| z.iter().any(|z| !z.is_zero()))
    }

    fn attention(
        &self,
        l: usize,
        heads: &Heads<'_>,
        (x, out): (&[T], &mut [T]),
        (qkv, context): (&mut [T], &mut [T]),
        temps: &mut Temps<T>,
    ) {
        let (d, width) = (self.d(), heads.width);
        let n = x.len() / d;
        let a = fit(&mut temps.a, n * d);
        norm_and_copy(x, &self.norm(heads.at.norm), a, out);
        let w = self.stack((l, Stack::Readers), &self.readers(heads), &mut temps.w);
        if let Some(bias) = heads.at.biases {
            let bias = self.biases(bias, heads);
            qkv.par_chunks_mut(width).for_each(|row| row.copy_from_slice(&bias));
        }
        let add = heads.at.biases.is_some();
        self.times(a, d, (w, true), width, qkv, add);
        let turned = self.normed(heads, qkv, &mut temps.normed);
        let (q, k, v) = (turned, &turned[heads.q..], &turned[heads.q + heads.kv..]);
        attend((q, k, v), self.size(heads, n), self.rope, self.stop, context);
        let gates = &self.gates.layers[l];
        let row = self.gates.output(gates.attention, d);
        let by = Factors { row: row.as_deref(), col: gates.context.as_deref() };
        let part = self.to_hidden(&heads.live.q_rows, heads.live.q_rows.full());
        let w = self.folded((l, Stack::Output), heads.at.o, part, by, &mut temps.w);
        let he = heads.q;
        self.times(context, he, (w, true), d, out, true);
        if let Some(place) = heads.at.o_bias.filter(|_| self.bias_counts(l)) {
            let mut bias = self.compact(place);
            if let Some(f) = &row {
                bias.iter_mut().zip(f).for_each(|(b, &f)| *b *= f);
            }
            out.par_chunks_mut(d).for_each(|row| {
                row.iter_mut().zip(&bias).for_each(|(x, &b)| *x += b);
            });
        }
    }

    /// The biases of queries, keys and values, side by side.
    fn biases(&self, first: usize, heads: &Heads<'_>) -> Vec<T> {
        let LiveHeads { q_rows, kv_rows, .. } = heads.live;
        let of = |place: usize, rows: &Chosen| rows.iter().map(|i| self.w[place][i]).collect();
        let all: [Vec<T>; 3] = [of(first, q_rows), of(first + 1, kv_rows), of(first + 2, kv_rows)];
        all.concat()
    }

    fn attention_back(
        &self,
        l: usize,
        heads: &Heads<'_>,
        x: &[T],
        (qkv, context): (&[T], &[T]),
        temps: &mut Temps<T>,
        sums: &mut Sums<'_, T>,
    ) {
        let (n, d, width, he) = (self.n, self.d(), heads.width, heads.q);
        let (qkv, context) = (&qkv[..n * width], &context[..n * he]);
        let gates = &self.gates.layers[l];
        let row = self.gates.output(gates.attention, d);
        let by = Factors { row: row.as_deref(), col: gates.context.as_deref() };
        let part = self.to_hidden(&heads.live.q_rows, heads.live.q_rows.full());
        let grad = fit(&mut temps.wide, n * he);
        let dx = fit(&mut temps.dx, n * d);
        let dqkv = fit(&mut temps.dqkv, n * width);
        let a = fit(&mut temps.a, n * d);
        let made = match heads.at.head_norms {
            None => self.copies.of(l, Stack::Output).zip(self.copies.of(l, Stack::Readers)),
            Some(_) => None,
        };
        if let Some((output, readers)) = made {
            // Sequences at a time, all the way: what one product leaves the next reads from the cache.
            let at_once = n / self.groups();
            let parts = dx.par_chunks(at_once * d).zip(grad.par_chunks_mut(at_once * he));
            let parts = parts.zip(dqkv.par_chunks_mut(at_once * width));
            let parts = parts.zip(a.par_chunks_mut(at_once * d));
            let parts = parts.zip(qkv.par_chunks(at_once * width));
            parts.zip(context.par_chunks(at_once * he)).with_max_len(1).for_each(
                |(((((dx, grad), dqkv), a), qkv), context)| {
                    self.times(dx, d, (output, false), he, grad, false);
                    self.attend_back(heads, qkv, context, grad, dqkv);
                    self.times(dqkv, width, (readers, false), d, a, false);
                },
            );
        } else {
            let w = self.folded((l, Stack::Output), heads.at.o, part, by, &mut temps.w);
            self.times(dx, d, (w, false), he, grad, false);
        }
        if let Some(place) = heads.at.o_bias.filter(|_| self.bias_counts(l)) {
            let by_out = column_sums(dx, d);
            sums.add_hidden(self, place, &by_out, row.as_deref());
            let bias = self.compact(place);
            let by_row: Vec<T> = by_out.iter().zip(&bias).map(|(&g, &b)| g * b).collect();
            self.output_gate(GateKind::HeadLayer, l, gates.attention, &by_row, sums);
        }
        if by.are_none() {
            sums.add_product(&[(heads.at.o, part)], n, dx, context, &mut temps.dw);
        } else if matters(sums, heads.at.o, by) {
            let by = self.unfolded(heads.at.o, part, by, (dx, context), &mut temps.dw, sums);
            self.output_gate(GateKind::HeadLayer, l, gates.attention, &by.row, sums);
            let z = (gates.groups.as_deref(), gates.queries.as_deref());
            sums.gates.add_context(l, heads.live, z, &by.col, self.e);
        }
        if made.is_none() {
            let turned = self.normed(heads, qkv, &mut temps.normed);
            self.attend_back(heads, turned, context, grad, dqkv);
        }
        if let Some(place) = heads.at.head_norms {
            let scales = self.head_scales(place);
            let split = (heads.q, heads.kv);
            let by = norm_heads_back(qkv, width, split, (&scales.0, &scales.1), dqkv);
            for (place, by) in [(place, by.0), (place + 1, by.1)] {
                if let Some(out) = sums.of(place, self.e) {
                    out.iter_mut().zip(by).for_each(|(out, x)| *out += x);
                }
            }
        }
        if let Some(first) = heads.at.biases {
            let by = column_sums(dqkv, width);
            let LiveHeads { q_rows, kv_rows, .. } = heads.live;
            let mut rest = &by[..];
            for (place, rows) in [(first, q_rows), (first + 1, kv_rows), (first + 2, kv_rows)] {
                let (here, after) = rest.split_at(rows.len());
                rest = after;
                if let Some(out) = sums.of(place, rows.full()) {
                    rows.iter().zip(here).for_each(|(i, &x)| out[i] += x);
                }
            }
        }
        let readers = self.readers(heads);
        if made.is_none() {
            let w = self.stack((l, Stack::Readers), &readers, &mut temps.w);
            self.times(dqkv, width, (w, false), d, a, false);
        }
        let gxr = norm_rows_back(x, &self.norm(heads.at.norm), a, dx);
        sums.add_norm(self, heads.at.norm, &gxr);
        sums.add_product(&readers, n, dqkv, a, &mut temps.dw);
    }

    /// The product of rows `g` of `m` elements with `w (m, k)`, or with the transposed of `w (k, m)`, into
    /// `out`, or added to it. Of some rows only, one thread takes it: the others have their own.
    fn times(
        &self,
        g: &[T],
        m: usize,
        (w, turned): (&[T], bool),
        k: usize,
        out: &mut [T],
        add: bool,
    ) {
        let n = g.len() / m;
        let threads = if n < self.n { 1 } else { rayon::current_num_threads() };
        let (w, out) = (&w[..m * k], &mut out[..n * k]);
        let w = if turned { rows(w, m).t() } else { rows(w, k) };
        let (stop, g, out) = (self.stop, rows(g, m), out.as_mut_ptr());
        // SAFETY: g is (n, m), w is (m, k), out is (n, k) and ours.
        unsafe { gemm_shared(threads, stop, n, k, m, out, k, g, w, add) };
    }

    /// The gradients of queries, keys and values of some sequences, from that of their context.
    fn attend_back(&self, heads: &Heads<'_>, qkv: &[T], out: &[T], g: &[T], dqkv: &mut [T]) {
        let size = self.size(heads, qkv.len() / heads.width);
        let (k, v) = (heads.q, heads.q + heads.kv);
        let of = Attended { q: qkv, k: &qkv[k..], v: &qkv[v..], out, g };
        let into = Shared::of(dqkv);
        // SAFETY: columns of queries, of keys and of values in rows of one buffer of ours.
        unsafe { attend_back(of, size, self.rope, self.stop, into, into.from(k), into.from(v)) };
    }

    /// The gradient gᵀ x of a folded matrix, put where it belongs; gives those by its factors.
    fn unfolded(
        &self,
        place: usize,
        part: Part<'_>,
        by: Factors<'_, T>,
        (g, x): (&[T], &[T]),
        buffer: &mut Vec<T>,
        sums: &mut Sums<'_, T>,
    ) -> super::place::ByFactor<T> {
        let (m, k) = (part.rows.len(), part.cols.len());
        let product = |dw: &mut [T]| {
            let (g, x) = (rows(g, m).t(), rows(x, k));
            // SAFETY: g is (n, m), x is (n, k), dw is (m, k) and ours.
            unsafe { gemm_until(self.stop, m, k, self.n, dw.as_mut_ptr(), k, g, x, false) };
        };
        if let Some(dw) = sums.alone(place, part) {
            product(dw);
            return unfold(dw, self.w[place], part, by, None);
        }
        let dw = fit(buffer, m * k);
        product(dw);
        let out = sums.over(place, full_rows(part) * part.columns);
        unfold(dw, self.w[place], part, by, out)
    }

    /// Takes the gradients by the factors of an output: those of the hidden gate and of the part's.
    fn output_gate(
        &self,
        split: GateKind,
        l: usize,
        z: Option<T>,
        by_row: &[T],
        sums: &mut Sums<'_, T>,
    ) {
        if self.gates.hidden.is_some() {
            let times: Vec<T> = by_row.iter().map(|&g| z.map_or(g, |z| g * z)).collect();
            sums.gates.add_row(GateKind::Hidden, 0, &self.live.hidden, &times);
        }
        if z.is_some() {
            let hidden = self.gates.hidden.as_deref();
            let one = |i: usize| hidden.map_or(1.0, |h| h[i].to_f64());
            let total = by_row.iter().enumerate().map(|(i, &g)| g.to_f64() * one(i)).sum();
            sums.gates.add_output(split, l, total);
        }
    }

    fn mlp_readers<'p>(&'p self, at: MlpPlaces, channels: &'p Chosen) -> [(usize, Part<'p>); 2] {
        let part = self.over_hidden(channels);
        [(at.gate, part), (at.up, part)]
    }

    fn mlp(
        &self,
        (l, at): (usize, MlpPlaces),
        channels: &Chosen,
        (x, out): (&[T], &mut [T]),
        gu: &mut [T],
        temps: &mut Temps<T>,
    ) {
        let (d, f) = (self.d(), channels.len());
        let n = x.len() / d;
        let b = fit(&mut temps.a, n * d);
        norm_and_copy(x, &self.norm(at.norm), b, out);
        let w = self.stack((l, Stack::GateUp), &self.mlp_readers(at, channels), &mut temps.w);
        self.times(b, d, (w, true), 2 * f, gu, false);
        let y = fit(&mut temps.wide, n * f);
        swiglu_rows(gu, f, y);
        let gates = &self.gates.layers[l];
        let row = self.gates.output(gates.mlp, d);
        let by = Factors { row: row.as_deref(), col: gates.channels.as_deref() };
        let w = self.folded(
            (l, Stack::Down),
            at.down,
            self.to_hidden(channels, channels.full()),
            by,
            &mut temps.w,
        );
        self.times(y, f, (w, true), d, out, true);
    }

    fn mlp_back(
        &self,
        (l, at): (usize, MlpPlaces),
        channels: &Chosen,
        x: &[T],
        gu: &mut [T],
        temps: &mut Temps<T>,
        sums: &mut Sums<'_, T>,
    ) {
        let (n, d, f) = (self.n, self.d(), channels.len());
        let (x, gu) = (&x[..n * d], &mut gu[..n * 2 * f]);
        let gates = &self.gates.layers[l];
        let row = self.gates.output(gates.mlp, d);
        let by = Factors { row: row.as_deref(), col: gates.channels.as_deref() };
        let part = self.to_hidden(channels, channels.full());
        let y = fit(&mut temps.wide, n * f);
        let dx = fit(&mut temps.dx, n * d);
        let b = fit(&mut temps.a, n * d);
        let made = (self.copies.of(l, Stack::Down), self.copies.of(l, Stack::GateUp));
        if let (Some(down), Some(readers)) = made {
            // Rows at a time, all the way: what one product leaves the next reads from the cache.
            let at_once = n / self.groups();
            let parts = dx.par_chunks(at_once * d).zip(y.par_chunks_mut(at_once * f));
            let parts = parts.zip(gu.par_chunks_mut(at_once * 2 * f));
            parts.zip(b.par_chunks_mut(at_once * d)).with_max_len(1).for_each(
                |(((dx, y), gu), b)| {
                    self.times(dx, d, (down, false), f, y, false);
                    swiglu_rows_back(gu, f, y);
                    self.times(gu, 2 * f, (readers, false), d, b, false);
                },
            );
        } else {
            let w = self.folded((l, Stack::Down), at.down, part, by, &mut temps.w);
            self.times(dx, d, (w, false), f, y, false);
            swiglu_rows_back(gu, f, y);
        }
        if by.are_none() {
            sums.add_product(&[(at.down, part)], n, dx, y, &mut temps.dw);
        } else if matters(sums, at.down, by) {
            let by = self.unfolded(at.down, part, by, (dx, y), &mut temps.dw, sums);
            self.output_gate(GateKind::Mlp, l, gates.mlp, &by.row, sums);
            if gates.channels.is_some() {
                sums.gates.add_row(GateKind::Intermediate, l, channels, &by.col);
            }
        }
        let readers = self.mlp_readers(at, channels);
        if made.1.is_none() {
            let w = self.stack((l, Stack::GateUp), &readers, &mut temps.w);
            self.times(gu, 2 * f, (w, false), d, b, false);
        }
        let gxr = norm_rows_back(x, &self.norm(at.norm), b, dx);
        sums.add_norm(self, at.norm, &gxr);
        sums.add_product(&readers, n, gu, b, &mut temps.dw);
    }
}

/// Σ over rows, column by column, in a fixed order.
fn column_sums<T: Real>(x: &[T], width: usize) -> Vec<T> {
    let parts = x
        .par_chunks(width * rows_per_task(width))
        .map(|x| {
            let mut total = vec![T::zero(); width];
            vectorised!({
                for x in x.chunks_exact(width) {
                    total.iter_mut().zip(x).for_each(|(t, &x)| *t += x);
                }
            });
            total
        })
        .collect();
    crate::ops::kernel::in_order(parts, width)
}
