//! Memory of passes, kept from one to the next: a step asks for the same sizes again and again.

use super::groups::shares;
use crate::ops::kernel::Real;

/// What the forward pass leaves for the backward pass, and what lies between.
#[derive(Debug, Default)]
pub(crate) struct Space<T> {
    /// The stream (N, D) into each layer, and out of the last.
    pub(super) streams: Vec<Vec<T>>,
    /// One a layer, or one for all when layers run twice.
    pub(super) slots: Vec<Slot<T>>,
    pub(super) temps: Temps<T>,
    /// One a group of sequences.
    pub(super) groups: Vec<Temps<T>>,
    /// Matrices of an elastic pass.
    pub(super) copies: Vec<T>,
    /// Gradients of tensors, given back after a step.
    pub(super) flat: Vec<T>,
}

/// What a layer leaves.
#[derive(Debug, Default)]
pub(super) struct Slot<T> {
    /// Queries, keys and values side by side (N, (H+2K) E).
    pub qkv: Vec<T>,
    /// Context (N, H E).
    pub context: Vec<T>,
    /// The stream between attention and MLP (N, D).
    pub mid: Vec<T>,
    /// Gate and up side by side (N, 2F).
    pub gu: Vec<T>,
}

/// Rows of what a layer leaves.
pub(super) struct Left<'s, T> {
    pub qkv: &'s mut [T],
    pub context: &'s mut [T],
    pub mid: &'s mut [T],
    pub gu: &'s mut [T],
}

impl<T: Real> Slot<T> {
    /// Room for `n` rows of so many elements each.
    pub fn rows(&mut self, [qkv, context, mid, gu]: [usize; 4], n: usize) -> Left<'_, T> {
        Left {
            qkv: fit(&mut self.qkv, n * qkv),
            context: fit(&mut self.context, n * context),
            mid: fit(&mut self.mid, n * mid),
            gu: fit(&mut self.gu, n * gu),
        }
    }
}

impl<'s, T> Left<'s, T> {
    /// Those of each of `groups` groups of equally many rows.
    pub fn shares(self, groups: usize) -> impl Iterator<Item = Self> + use<'s, T> {
        let of = |rows: &'s mut [T]| shares(rows, groups).into_iter();
        let rows = of(self.qkv).zip(of(self.context)).zip(of(self.mid)).zip(of(self.gu));
        rows.map(|(((qkv, context), mid), gu)| Left { qkv, context, mid, gu })
    }
}

/// What is used within a part of a layer.
#[derive(Debug, Default)]
pub(super) struct Temps<T> {
    /// Weights of the part, compact.
    pub w: Vec<T>,
    /// Their gradient.
    pub dw: Vec<T>,
    /// A normed stream (N, D).
    pub a: Vec<T>,
    /// The gradient of the stream (N, D).
    pub dx: Vec<T>,
    /// Activations (N, F), gradients of the context (N, H E).
    pub wide: Vec<T>,
    /// Gradients of queries, keys and values.
    pub dqkv: Vec<T>,
    /// Queries and keys after the norms of heads.
    pub normed: Vec<T>,
    /// Rows of logits.
    pub logits: Vec<T>,
    /// The head, compact.
    pub head: Vec<T>,
    pub dhead: Vec<T>,
}

impl<T: Real> Space<T> {
    /// Makes room for `layers` layers and `slots` slots.
    pub(super) fn prepare(&mut self, layers: usize, slots: usize) {
        self.streams.resize_with(layers + 1, Vec::new);
        self.slots.resize_with(slots, Slot::default);
    }
}

/// The first `n` elements of a buffer, grown where it is shorter; what they hold is left over from before.
pub(super) fn fit<T: Real>(buffer: &mut Vec<T>, n: usize) -> &mut [T] {
    if buffer.len() < n {
        // Not `resize`, which would copy what nobody reads.
        *buffer = Vec::new();
        *buffer = vec![T::zero(); n];
    }
    &mut buffer[..n]
}
