//! Groups of sequences, each taken through a part of the network by one task.
//!
//! Rows of the stream meet only in attention, and there only those of one sequence. Where the matrices are
//! small, a group goes through all layers without waiting for another: what a part leaves is still in the
//! cache when the next reads it, and threads wait for each other once, not after every product. Gradients of
//! weights are sums over all rows and stay outside.

use rayon::prelude::*;

use super::net::Net;
use super::space::{Left, Space, Temps, fit};
use crate::model::ModelError;
use crate::ops::kernel::Real;

/// Rows of a group, at least: its products are summed as those over all rows are.
const ROWS: usize = 160;

/// Groups a thread, at most.
const GROUPS: usize = 2;

/// A group on its way up: its rows of the streams and of what each layer leaves.
struct Group<'s, T> {
    ids: &'s [u32],
    streams: Vec<&'s mut [T]>,
    left: Vec<Left<'s, T>>,
    temps: &'s mut Temps<T>,
}

/// Cuts rows into `groups` of equal length; of none, each gets none.
pub(super) fn shares<T>(mut rows: &mut [T], groups: usize) -> Vec<&mut [T]> {
    let len = rows.len() / groups;
    let next = |_| {
        let (here, rest) = std::mem::take(&mut rows).split_at_mut(len);
        rows = rest;
        here
    };
    (0..groups).map(next).collect()
}

impl<T: Real> Net<'_, T> {
    /// How many groups of equally many sequences there are: 1 where matrices are large, and each is better
    /// laid out for all rows at a time.
    pub fn groups(&self) -> usize {
        let sequences = self.n / self.tokens;
        let fits = |&groups: &usize| {
            sequences.is_multiple_of(groups) && sequences / groups * self.tokens >= ROWS
        };
        match self.copies.are_made() {
            true => (1..=GROUPS * rayon::current_num_threads()).rev().find(fits).unwrap_or(1),
            false => 1,
        }
    }

    /// Fills the streams, and the slots; with `one_slot` all layers share one.
    pub fn forward(
        &self,
        ids: &[u32],
        space: &mut Space<T>,
        one_slot: bool,
    ) -> Result<(), ModelError> {
        let (layers, len) = (self.live.layers.len(), self.n * self.d());
        space.prepare(layers, if one_slot { 1 } else { layers });
        let groups = self.groups();
        if groups > 1 && !one_slot {
            self.by_groups(ids, space, groups);
            return self.goes_on();
        }
        let Space { streams, slots, temps, .. } = space;
        self.embed(ids, fit(&mut streams[0], len));
        for l in 0..layers {
            self.goes_on()?;
            let (below, above) = streams.split_at_mut(l + 1);
            let slot = if one_slot { &mut slots[0] } else { &mut slots[l] };
            self.layer(l, &below[l][..len], slot, fit(&mut above[0], len), temps);
        }
        self.goes_on()
    }

    fn by_groups(&self, ids: &[u32], space: &mut Space<T>, groups: usize) {
        let (layers, len) = (self.live.layers.len(), self.n * self.d());
        let Space { streams, slots, groups: temps, .. } = space;
        temps.resize_with(temps.len().max(groups), Temps::default);
        let mut all: Vec<Group<'_, T>> = ids
            .chunks(self.n / groups)
            .zip(temps)
            .map(|(ids, temps)| Group { ids, streams: Vec::new(), left: Vec::new(), temps })
            .collect();
        for stream in streams {
            for (group, rows) in all.iter_mut().zip(shares(fit(stream, len), groups)) {
                group.streams.push(rows);
            }
        }
        for (l, slot) in slots.iter_mut().enumerate() {
            for (group, left) in all.iter_mut().zip(slot.rows(self.left(l), self.n).shares(groups))
            {
                group.left.push(left);
            }
        }
        all.into_par_iter().with_max_len(1).for_each(|group| {
            let Group { ids, mut streams, left, temps } = group;
            self.embed(ids, streams[0]);
            for (l, left) in (0..layers).zip(left) {
                if self.stop.raised() {
                    return;
                }
                let (below, above) = streams.split_at_mut(l + 1);
                self.layer_rows(l, below[l], left, above[0], temps);
            }
        });
    }
}
