//! The gradients that a pass adds up: of tensors, in one flat buffer, and of gate values.

use super::live::{Chosen, LiveHeads};
use super::net::Net;
use super::place::{Factors, Over, Part, scatter};
use crate::gate::{GateKind, GateValues};
use crate::ops::Rows;
use crate::ops::kernel::{Mat, Real, clear, gemm_until, rows};
use crate::progress::Stop;
use crate::shape::ModelShape;

/// Gradients on their way.
pub(super) struct Sums<'a, T> {
    /// Those of the tensors that want one, side by side.
    pub flat: &'a mut [T],
    /// Where that of each tensor begins; none where nobody wants it.
    pub offsets: &'a [Option<usize>],
    /// Where what is in the buffer is left over from a step before: nothing has been added yet.
    pub fresh: Vec<bool>,
    /// Whether the gradient of what takes part may stand alone, at the beginning of its matrix's place.
    pub alone: bool,
    /// Where it does.
    pub taken: Vec<Option<Taken>>,
    /// By gate values, table by table.
    pub gates: GateSums,
    /// After a stop, what is here is no result.
    pub stop: &'a Stop<'a>,
}

/// Rows and columns that have a gradient.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Taken {
    rows: Chosen,
    cols: Chosen,
}

impl Taken {
    /// Numbers of the gradient.
    pub fn len(&self) -> usize {
        self.rows.len() * self.cols.len()
    }

    /// Rows and columns, for the optimiser.
    pub fn rows(&self) -> Rows<'_> {
        let (rows, cols) = (self.rows.some(), self.cols.some());
        Rows { rows, cols, columns: self.cols.full() }
    }
}

/// Gradients by gate values: whole tables, 0 where a gate takes no part.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct GateSums {
    kinds: Vec<GateKind>,
    widths: Vec<usize>,
    pub values: Vec<Vec<f64>>,
}

impl GateSums {
    pub fn new(z: Option<&GateValues>, source: &ModelShape) -> Self {
        let Some(z) = z else { return Self::default() };
        Self {
            kinds: z.kinds.clone(),
            widths: z.kinds.iter().map(|k| k.size(source).1).collect(),
            values: z.values.iter().map(|v| vec![0.0; v.len()]).collect(),
        }
    }

    pub fn add(&mut self, kind: GateKind, row: usize, index: usize, value: f64) {
        if let Some(at) = self.kinds.iter().position(|&k| k == kind) {
            self.values[at][row * self.widths[at] + index] += value;
        }
    }

    /// Adds one number a chosen place of a row.
    pub fn add_row<T: Real>(&mut self, kind: GateKind, row: usize, places: &Chosen, values: &[T]) {
        for (i, &v) in places.iter().zip(values) {
            self.add(kind, row, i, v.to_f64());
        }
    }

    /// Adds to the gate on a layer's output, in whichever form the run has it.
    pub fn add_output(&mut self, split: GateKind, layer: usize, value: f64) {
        self.add(GateKind::Layer, 0, layer, value);
        self.add(split, 0, layer, value);
    }

    /// Adds the gradients by the factor of each element of the context.
    pub fn add_context<T: Real>(
        &mut self,
        layer: usize,
        heads: &LiveHeads,
        z: (Option<&[T]>, Option<&[T]>),
        by_column: &[T],
        head_dim: usize,
    ) {
        let width = heads.queries.len();
        for (h, columns) in by_column.chunks_exact(head_dim).enumerate() {
            let by_head: f64 = columns.iter().map(|&x| x.to_f64()).sum();
            let (g, j) = (h / width, h % width);
            let of = |z: Option<&[T]>, i: usize| z.map_or(1.0, |z| z[i].to_f64());
            let (group, query) = (of(z.0, g), of(z.1, j));
            self.add(GateKind::Head, layer, heads.groups.at(g), by_head * query);
            self.add(GateKind::Query, layer, heads.queries.at(j), by_head * group);
        }
    }
}

impl<T: Real> Sums<'_, T> {
    /// Whether anybody wants the gradient of a tensor.
    pub fn wants(&self, place: usize) -> bool {
        self.offsets[place].is_some()
    }

    /// The gradient of the tensor `place` of `len` elements, if it is wanted.
    pub fn of(&mut self, place: usize, len: usize) -> Option<&mut [T]> {
        self.over(place, len).map(|Over { out, fresh }| {
            if fresh {
                clear(out);
            }
            out
        })
    }

    /// The same, for who writes all of it where it is fresh.
    pub fn over(&mut self, place: usize, len: usize) -> Option<Over<'_, T>> {
        let at = self.offsets[place]?;
        let fresh = std::mem::take(&mut self.fresh[place]);
        Some(Over { out: &mut self.flat[at..at + len], fresh })
    }

    /// Room for the gradient of a part alone, left over from before, where it may stand alone and
    /// nothing has been added; nothing else may be added then.
    pub fn alone(&mut self, place: usize, part: Part<'_>) -> Option<&mut [T]> {
        let at = self.offsets[place].filter(|_| self.alone && self.fresh[place])?;
        if part.is_whole() {
            return None;
        }
        self.fresh[place] = false;
        self.taken[place] = Some(Taken { rows: part.rows.clone(), cols: part.cols.clone() });
        Some(&mut self.flat[at..at + part.len()])
    }

    /// Sets to 0 what nothing was added to; `lengths` are those of all tensors.
    pub fn finish(&mut self, lengths: impl Iterator<Item = usize>) {
        for (place, len) in lengths.enumerate() {
            self.of(place, len);
        }
    }

    /// Adds to a vector over the hidden dimensions, times `factor`.
    pub fn add_hidden(&mut self, net: &Net<'_, T>, place: usize, by: &[T], factor: Option<&[T]>) {
        let Some(out) = self.of(place, net.full) else { return };
        for (j, (c, &x)) in net.live.hidden.iter().zip(by).enumerate() {
            out[c] += factor.map_or(x, |f| x * f[j]);
        }
    }

    /// Takes the sums of g x r of a norm: the gradient of its weight, and its part in that of the
    /// hidden gate.
    pub fn add_norm(&mut self, net: &Net<'_, T>, place: usize, gxr: &[T]) {
        let z = net.gates.hidden.as_deref();
        self.add_hidden(net, place, gxr, z);
        if z.is_some() {
            let w = net.compact(place);
            let by_z: Vec<T> = gxr.iter().zip(&w).map(|(&s, &w)| s * w).collect();
            self.gates.add_row(GateKind::Hidden, 0, &net.live.hidden, &by_z);
        }
    }

    /// Adds gᵀ x to the gradients of matrices that stand one below the other: `g` has their rows side by
    /// side (N, rows), `x` is (N, columns). `parts` are the places of the matrices and what of them
    /// takes part.
    pub fn add_product(
        &mut self,
        parts: &[(usize, Part<'_>)],
        n: usize,
        g: &[T],
        x: &[T],
        buffer: &mut Vec<T>,
    ) {
        let Some((_, first)) = parts.first() else { return };
        let k = first.cols.len();
        let width: usize = parts.iter().map(|(_, part)| part.rows.len()).sum();
        let whole = parts.iter().all(|(_, part)| part.is_whole());
        let mut next = self.offsets[parts[0].0];
        let side_by_side =
            parts.iter().all(|(place, part)| {
                let here = self.offsets[*place].is_some() && self.offsets[*place] == next;
                next = self.offsets[*place].map(|at| at + part.rows.len() * part.columns);
                here
            }) && parts.iter().all(|(place, _)| self.fresh[*place] == self.fresh[parts[0].0]);
        let (g, stop) = (rows(g, width), self.stop);
        if whole && side_by_side {
            let at = self.offsets[parts[0].0].unwrap_or_default();
            let add = !self.fresh[parts[0].0];
            parts.iter().for_each(|(place, _)| self.fresh[*place] = false);
            let out = &mut self.flat[at..at + width * k];
            // SAFETY: g is (n, width), x is (n, k), out is (width, k) and ours.
            unsafe { gemm_until(stop, width, k, n, out.as_mut_ptr(), k, g.t(), rows(x, k), add) };
            return;
        }
        let together = |&(place, part): &(usize, Part<'_>)| self.wants(place) && !part.is_whole();
        if parts.len() > 1 && parts.iter().all(together) {
            let dw = super::space::fit(buffer, width * k);
            // SAFETY: g is (n, width), x is (n, k), dw is (width, k) and ours.
            unsafe { gemm_until(stop, width, k, n, dw.as_mut_ptr(), k, g.t(), rows(x, k), false) };
            let mut rest = &*dw;
            for &(place, part) in parts {
                let (here, after) = rest.split_at(part.len());
                rest = after;
                if let Some(out) = self.alone(place, part) {
                    out.copy_from_slice(here);
                } else if let Some(over) = self.over(place, part.columns * full_rows(part)) {
                    scatter(here, part, over);
                }
            }
            return;
        }
        let mut column = 0;
        for &(place, part) in parts {
            let m = part.rows.len();
            // SAFETY: columns `column..column + m` of g.
            let g = Mat { at: unsafe { g.at.add(column) }, ..g };
            column += m;
            if !self.wants(place) {
                continue;
            }
            let total = part.columns * full_rows(part);
            if part.is_whole() {
                if let Some(Over { out, fresh }) = self.over(place, total) {
                    // SAFETY: g is (n, m), x is (n, k), out is (m, k) and ours.
                    unsafe {
                        gemm_until(stop, m, k, n, out.as_mut_ptr(), k, g.t(), rows(x, k), !fresh)
                    };
                }
                continue;
            }
            if let Some(out) = self.alone(place, part) {
                // SAFETY: g is (n, m), x is (n, k), out is (m, k) and ours.
                unsafe { gemm_until(stop, m, k, n, out.as_mut_ptr(), k, g.t(), rows(x, k), false) };
                continue;
            }
            let dw = super::space::fit(buffer, m * k);
            // SAFETY: g is (n, m), x is (n, k), dw is (m, k) and ours.
            unsafe { gemm_until(stop, m, k, n, dw.as_mut_ptr(), k, g.t(), rows(x, k), false) };
            if let Some(over) = self.over(place, total) {
                scatter(dw, part, over);
            }
        }
    }
}

/// Rows of a matrix, taking part or not.
pub(super) fn full_rows(part: Part<'_>) -> usize {
    part.rows.full()
}

/// Whether a folded matrix needs its gradient at all.
pub(super) fn matters<T: Real>(sums: &Sums<'_, T>, place: usize, by: Factors<'_, T>) -> bool {
    sums.wants(place) || !by.are_none()
}
