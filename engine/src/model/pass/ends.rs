//! The two ends of a network: embeddings at the bottom; final norm, head and loss on top.
//!
//! Logits exist for some rows at a time, and their gradient takes their place, so that no (N, V) buffer
//! is ever held.

use rayon::prelude::*;

use super::live::Chosen;
use super::net::Net;
use super::place::{Factors, Over, Part, gather, scatter};
use super::space::{Temps, fit};
use super::sums::Sums;
use crate::gate::GateKind;
use crate::ops::distill::DistilledRows;
use crate::ops::kernel::{Real, apart, clear, gemm_until, rows, rows_per_task};
use crate::ops::loss::{counted, cross_entropy_rows, losses_of_rows};
use crate::ops::norm::{NormScale, norm_rows, norm_rows_back};

/// Logits that exist at a time, elements: 8 MB in f32, which a cache can hold.
const LOGITS_AT_ONCE: usize = 2 << 20;

/// Rows of logits that exist at a time, at least: each block goes over the gradient of the head once.
const ROWS_AT_ONCE: usize = 256;

/// A teacher's logits (N, V), the share of the divergence in the loss, the temperature.
pub(super) type Taught<'a, T> = (&'a [T], f64, f64);

/// Cross-entropy and divergence from the teacher, means in nats/token.
pub(super) struct Loss {
    pub cross_entropy: f64,
    pub divergence: Option<f64>,
}

impl<T: Real> Net<'_, T> {
    /// The stream of `ids` before the first layer, into `x`.
    pub fn embed(&self, ids: &[u32], x: &mut [T]) {
        let d = self.d();
        let z = self.gates.hidden.as_deref().filter(|_| self.gates.embeddings);
        let table = self.w[self.at.embed];
        let block = rows_per_task(d);
        x.par_chunks_mut(d * block).zip(ids.par_chunks(block)).for_each(|(x, ids)| {
            for (x, &id) in x.chunks_exact_mut(d).zip(ids) {
                let row = &table[id as usize * self.full..][..self.full];
                match self.live.hidden.some() {
                    None => x.copy_from_slice(row),
                    Some(cols) => x.iter_mut().zip(cols).for_each(|(x, &c)| *x = row[c]),
                }
                if let Some(z) = z {
                    x.iter_mut().zip(z).for_each(|(x, &z)| *x *= z);
                }
            }
        });
    }

    /// Takes the gradient `dx` of the stream before the first layer to that of the embeddings.
    pub fn embed_back(&self, ids: &[u32], dx: &[T], sums: &mut Sums<'_, T>) {
        let d = self.d();
        let z = self.gates.hidden.as_deref().filter(|_| self.gates.embeddings);
        let table = self.w[self.at.embed];
        let hidden = &self.live.hidden;
        if z.is_some() {
            let mut by_z = vec![T::zero(); d];
            // Each task some of the dimensions: rows are added in one order.
            let few = d.div_ceil(rayon::current_num_threads());
            by_z.par_chunks_mut(few).enumerate().with_max_len(1).for_each(|(i, by_z)| {
                let places: Vec<usize> = (0..by_z.len()).map(|j| hidden.at(i * few + j)).collect();
                for (dx, &id) in dx.chunks_exact(d).zip(ids) {
                    let row = &table[id as usize * self.full..][..self.full];
                    let dx = &dx[i * few..][..places.len()];
                    for ((by_z, &g), &c) in by_z.iter_mut().zip(dx).zip(&places) {
                        *by_z += g * row[c];
                    }
                }
            });
            sums.gates.add_row(GateKind::Hidden, 0, hidden, &by_z);
        }
        let every = Chosen::all(table.len() / self.full);
        if let Some(out) = sums.alone(self.at.embed, self.over_hidden(&every)) {
            // Each task some of the words: rows are added in one order.
            let few = (out.len() / d).div_ceil(rayon::current_num_threads());
            out.par_chunks_mut(few * d).enumerate().with_max_len(1).for_each(|(i, out)| {
                out.fill(T::zero());
                for (dx, &id) in dx.chunks_exact(d).zip(ids) {
                    let Some(word) = (id as usize).checked_sub(i * few) else { continue };
                    let Some(row) = out.get_mut(word * d..(word + 1) * d) else { continue };
                    match z {
                        None => row.iter_mut().zip(dx).for_each(|(out, &g)| *out += g),
                        Some(z) => {
                            row.iter_mut().zip(dx).zip(z).for_each(|((out, &g), &z)| *out += g * z)
                        }
                    }
                }
            });
            return;
        }
        let Some(out) = sums.of(self.at.embed, table.len()) else { return };
        for (dx, &id) in dx.chunks_exact(d).zip(ids) {
            let row = &mut out[id as usize * self.full..][..self.full];
            for (j, c) in hidden.iter().enumerate() {
                row[c] += z.map_or(dx[j], |z| dx[j] * z[j]);
            }
        }
    }

    /// The head as a matrix over what takes part: itself, or a copy.
    fn head<'t>(&'t self, every: &Chosen, buffer: &'t mut Vec<T>) -> &'t [T] {
        let part = self.over_hidden(every);
        if part.is_whole() {
            return self.w[self.at.head];
        }
        let out = fit(buffer, part.len());
        gather(self.w[self.at.head], part, Factors::NONE, out);
        out
    }

    fn vocab(&self) -> usize {
        self.w[self.at.head].len() / self.full
    }

    /// Rows of logits that exist at a time.
    fn rows_at_once(&self) -> usize {
        (LOGITS_AT_ONCE / self.vocab()).max(ROWS_AT_ONCE).min(self.n)
    }

    /// The logits of the normed rows `a`, in rows that begin [`apart`].
    fn logits<'t>(&self, a: &[T], head: &[T], buffer: &'t mut Vec<T>) -> &'t mut [T] {
        let (d, v) = (self.d(), self.vocab());
        let (r, row) = (a.len() / d, apart(v));
        let logits = fit(buffer, r * row);
        let (a, head) = (rows(a, d), rows(head, d).t());
        // SAFETY: a is (r, d), head is (v, d), logits is (r, v) in rows of `row` elements and ours.
        unsafe {
            gemm_until(self.stop, r, v, d, logits.as_mut_ptr(), row, a, head, false);
        }
        logits
    }

    fn final_norm(&self) -> NormScale<T> {
        let w = self.compact(self.at.norm);
        NormScale::new(&w, self.gates.hidden.as_deref(), self.eps)
    }

    /// Takes the stream `x` out of the last layer to the loss, and the gradient of `share` times the loss
    /// back to the stream, into `temps.dx`.
    pub fn top(
        &self,
        x: &[T],
        targets: &[u32],
        share: f64,
        taught: Option<Taught<'_, T>>,
        temps: &mut Temps<T>,
        sums: &mut Sums<'_, T>,
    ) -> Loss {
        let (n, d, v) = (self.n, self.d(), self.vocab());
        let every = Chosen::all(v);
        let part: Part<'_> = self.over_hidden(&every);
        let Temps { head, dhead, logits, a, dx, .. } = temps;
        let head = self.head(&every, head);
        let wanted = sums.wants(self.at.head);
        let (norm, count) = (self.final_norm(), counted(targets));
        let a = fit(a, n * d);
        norm_rows(x, &norm, a);
        let tied = self.at.head == self.at.embed;
        let alone = match wanted && !tied && sums.alone(self.at.head, part).is_some() {
            true => sums.offsets[self.at.head],
            false => None,
        };
        let (mut cross_entropy, mut divergence) = (0.0, 0.0);
        let (step, row) = (self.rows_at_once(), apart(v));
        for (block, (a, targets)) in a.chunks_mut(step * d).zip(targets.chunks(step)).enumerate() {
            if self.stop.raised() {
                break;
            }
            let r = targets.len();
            let logits = self.logits(a, head, logits);
            match taught {
                None => {
                    cross_entropy += cross_entropy_rows(logits, (v, row), targets, share / count);
                }
                Some((teacher, weight, temperature)) => {
                    let teacher = &teacher[block * step * v..][..r * v];
                    let mixed = DistilledRows { weight, temperature, count: count / share };
                    let (ce, kl) = mixed.run(logits, teacher, (v, row), targets);
                    cross_entropy += ce;
                    divergence += kl;
                }
            }
            if wanted {
                let (out, add) = match (part.is_whole(), alone) {
                    (true, _) => match sums.over(self.at.head, v * self.full) {
                        Some(Over { out, fresh }) => (out, !fresh),
                        None => continue,
                    },
                    (false, Some(at)) => (&mut sums.flat[at..at + v * d], block > 0),
                    (false, None) => (fit(dhead, v * d), block > 0),
                };
                let g = rows(logits, row).t();
                // SAFETY: logits is (r, v), a is (r, d), out is (v, d) and ours.
                unsafe { gemm_until(self.stop, v, d, r, out.as_mut_ptr(), d, g, rows(a, d), add) };
            }
            // SAFETY: logits is (r, v), head is (v, d), a is (r, d) and ours.
            unsafe {
                gemm_until(
                    self.stop,
                    r,
                    d,
                    v,
                    a.as_mut_ptr(),
                    d,
                    rows(logits, row),
                    rows(head, d),
                    false,
                )
            };
        }
        if wanted
            && !part.is_whole()
            && alone.is_none()
            && let Some(over) = sums.over(self.at.head, v * self.full)
        {
            scatter(&dhead[..v * d], part, over);
        }
        let dx = fit(dx, n * d);
        clear(dx);
        let gxr = norm_rows_back(x, &norm, a, dx);
        sums.add_norm(self, self.at.norm, &gxr);
        let divergence = taught.map(|_| divergence / count);
        Loss { cross_entropy: cross_entropy / count, divergence }
    }

    /// The loss of every position that counts, from the stream `x` out of the last layer, in nats.
    pub fn losses(&self, x: &[T], targets: &[u32], temps: &mut Temps<T>) -> Vec<f64> {
        let (n, d, v) = (self.n, self.d(), self.vocab());
        let every = Chosen::all(v);
        let Temps { head, logits, a, .. } = temps;
        let head = self.head(&every, head);
        let a = fit(a, n * d);
        norm_rows(x, &self.final_norm(), a);
        let step = self.rows_at_once();
        let mut all = Vec::with_capacity(n);
        for (a, targets) in a.chunks(step * d).zip(targets.chunks(step)) {
            if self.stop.raised() {
                break;
            }
            let logits = self.logits(a, head, logits);
            all.extend(losses_of_rows(logits, (v, apart(v)), targets));
        }
        all
    }
}
