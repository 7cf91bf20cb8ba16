//! The matrices of the layers in an elastic pass, copied once.
//!
//! Where little is left alive, the copies of all layers take little room: they are made before the pass, on
//! all threads at a time, and serve both ways. Else each is made where it is needed, and again on the way
//! down.

use std::ops::Range;

use rayon::prelude::*;

use super::net::Net;
use super::place::{Factors, Part, gather};
use super::space::fit;
use crate::ops::kernel::Real;

/// The copies are made before the pass where they take at most this part of what the matrices take.
const PART: usize = 4;

/// Matrices of a layer that are copied one below the other, or one by itself.
#[derive(Clone, Copy)]
pub(super) enum Stack {
    /// Of queries, keys and values.
    Readers,
    /// The attention's output, times its gates.
    Output,
    /// Gate and up.
    GateUp,
    /// The MLP's output, times its gates.
    Down,
}

/// Copies of what takes part, side by side.
#[derive(Default)]
pub(super) struct Copies<T> {
    pub all: Vec<T>,
    /// By layer, in the order of [`Stack`]; empty where they are made when needed.
    at: Vec<[Range<usize>; 4]>,
}

impl<T> Copies<T> {
    /// Whether they were made.
    pub fn are_made(&self) -> bool {
        !self.at.is_empty()
    }

    /// The copy of some matrices of a layer, if there is one.
    pub fn of(&self, l: usize, stack: Stack) -> Option<&[T]> {
        self.at.get(l).map(|at| &self.all[at[stack as usize].clone()])
    }
}

/// One matrix to copy: its place, what of it, and the factor of each of its rows and columns.
type Copy<'a, T> = (usize, Part<'a>, Option<Vec<T>>, Option<&'a [T]>);

impl<T: Real> Net<'_, T> {
    /// Makes the copies in `buffer`, or leaves it empty of them where they are large.
    pub fn copies(&self, mut buffer: Vec<T>) -> Copies<T> {
        let layers: Vec<[Vec<Copy<'_, T>>; 4]> =
            (0..self.live.layers.len()).map(|l| self.of_layer(l)).collect();
        let len = |of: &[Copy<'_, T>]| of.iter().map(|of| of.1.len()).sum::<usize>();
        let total: usize = layers.iter().flatten().map(|of| len(of)).sum();
        let whole: usize = layers.iter().flatten().flatten().map(|of| self.w[of.0].len()).sum();
        if PART * total > whole {
            return Copies { all: buffer, at: Vec::new() };
        }
        let mut rest = fit(&mut buffer, total);
        let (mut tasks, mut at, mut next) = (Vec::new(), Vec::new(), 0);
        for layer in &layers {
            at.push(layer.each_ref().map(|of| {
                let first = next;
                next += len(of);
                first..next
            }));
            for copy in layer.iter().flatten() {
                let (here, after) = std::mem::take(&mut rest).split_at_mut(copy.1.len());
                rest = after;
                tasks.push((copy, here));
            }
        }
        tasks.into_par_iter().with_max_len(1).for_each(|((place, part, row, col), out)| {
            gather(self.w[*place], *part, Factors { row: row.as_deref(), col: *col }, out);
        });
        Copies { all: buffer, at }
    }

    fn of_layer(&self, l: usize) -> [Vec<Copy<'_, T>>; 4] {
        let (at, live, gates) = (&self.at.layers[l], &self.live.layers[l], &self.gates.layers[l]);
        let mut of = [const { Vec::new() }; 4];
        if let (Some(at), Some(heads)) = (at.attention, &live.attention) {
            let kv = self.over_hidden(&heads.kv_rows);
            let readers = [(at.q, self.over_hidden(&heads.q_rows)), (at.k, kv), (at.v, kv)];
            of[0].extend(readers.map(|(place, part)| (place, part, None, None)));
            let part = self.to_hidden(&heads.q_rows, heads.q_rows.full());
            let row = self.gates.output(gates.attention, self.d());
            of[1].push((at.o, part, row, gates.context.as_deref()));
        }
        if let (Some(at), Some(channels)) = (at.mlp, &live.mlp) {
            let part = self.over_hidden(channels);
            of[2].extend([at.gate, at.up].map(|place| (place, part, None, None)));
            let part = self.to_hidden(channels, channels.full());
            let row = self.gates.output(gates.mlp, self.d());
            of[3].push((at.down, part, row, gates.channels.as_deref()));
        }
        of
    }
}
