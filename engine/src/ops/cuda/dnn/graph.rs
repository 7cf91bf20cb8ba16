//! Causal attention and its gradients as graphs of cuDNN's operations.
//!
//! cuDNN knows an attention by its graph: products, a mask, a softmax written out. It computes the whole in one
//! kernel, so what is virtual here is never stored. With s = q kᵀ / sqrt(E), masked where the row is before the
//! column:
//!
//! ```text
//! lse = max s + ln Σ exp(s - max s)    out = softmax(s) v
//! p = exp(s - lse)    D = Σ g · out    dv = pᵀ g    ds = p (g vᵀ - D) / sqrt(E)    dk = dsᵀ q    dq = ds k
//! ```
//!
//! Source: cuDNN's documentation of scaled dot product attention; the graphs are those that its frontend
//! (1.32) makes for a causal mask, operation by operation. H query heads share K key/value heads: products repeat
//! the K heads, and gradients of keys and values are summed over the heads that share them.

use super::numbers::*;
use crate::ops::cuda::calls::Heads;

/// The memory that a graph reads or writes; the number is cuDNN's name of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Q = 1,
    K,
    V,
    Out,
    Lse,
    Grad,
    Dq,
    Dk,
    Dv,
    /// Σ g · out of each row, f32 (B, H, T).
    Shares,
    /// dq while it is summed, f32 (B, H, T, E).
    DqSum,
}

/// Where the numbers of an operand are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    Memory(Role),
    Value(f32),
    Virtual,
}

/// A tensor of four dimensions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operand {
    pub uid: i64,
    pub data: i32,
    pub dims: [i64; 4],
    pub strides: [i64; 4],
    pub place: Place,
}

/// An operation on operands by their numbers in the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    /// `y = x`, or `x op b`, chosen by `t` for a selection; `axis` for an index.
    Pointwise {
        mode: i32,
        x: usize,
        b: Option<usize>,
        t: Option<usize>,
        y: usize,
        axis: Option<i64>,
    },
    Matmul {
        a: usize,
        b: usize,
        c: usize,
    },
    Reduction {
        mode: i32,
        x: usize,
        y: usize,
    },
    Reshape {
        x: usize,
        y: usize,
    },
}

/// Operands and operations, in the order in which they depend on each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Graph {
    pub operands: Vec<Operand>,
    pub operations: Vec<Operation>,
}

/// Sizes as cuDNN counts them.
#[derive(Clone, Copy)]
struct Sizes {
    b: i64,
    t: i64,
    h: i64,
    k: i64,
    e: i64,
}

impl Sizes {
    fn of(s: Heads) -> Self {
        let [b, t, h, k, e] = [s.b, s.t, s.h, s.k, s.e].map(|n| n as i64);
        Self { b, t, h, k, e }
    }

    fn scale(self) -> f32 {
        1.0 / (self.e as f32).sqrt()
    }
}

/// Dimensions and strides of rows (B*T, heads*E), by head.
fn heads(s: Sizes, n: i64) -> ([i64; 4], [i64; 4]) {
    ([s.b, n, s.t, s.e], [s.t * n * s.e, s.e, n * s.e, 1])
}

/// The same, each head's rows as columns.
fn turned(s: Sizes, n: i64) -> ([i64; 4], [i64; 4]) {
    ([s.b, n, s.e, s.t], [s.t * n * s.e, s.e, 1, n * s.e])
}

/// Without gaps.
fn packed(dims: [i64; 4]) -> ([i64; 4], [i64; 4]) {
    let [_, h, t, e] = dims;
    (dims, [h * t * e, t * e, e, 1])
}

impl Graph {
    fn add(&mut self, data: i32, (dims, strides): ([i64; 4], [i64; 4]), place: Place) -> usize {
        let uid = match place {
            Place::Memory(role) => role as i64,
            Place::Value(_) | Place::Virtual => 100 + self.operands.len() as i64,
        };
        self.operands.push(Operand { uid, data, dims, strides, place });
        self.operands.len() - 1
    }

    fn memory(&mut self, role: Role, data: i32, layout: ([i64; 4], [i64; 4])) -> usize {
        self.add(data, layout, Place::Memory(role))
    }

    fn value(&mut self, x: f32) -> usize {
        self.add(CUDNN_DATA_FLOAT, packed([1; 4]), Place::Value(x))
    }

    /// A virtual tensor with the layout of another.
    fn like(&mut self, other: usize, data: i32) -> usize {
        let Operand { dims, strides, .. } = self.operands[other];
        self.add(data, (dims, strides), Place::Virtual)
    }

    /// A virtual f32 tensor of these dimensions, without gaps.
    fn between(&mut self, dims: [i64; 4]) -> usize {
        self.add(CUDNN_DATA_FLOAT, packed(dims), Place::Virtual)
    }

    fn pointwise_into(&mut self, mode: i32, x: usize, b: Option<usize>, y: usize) -> usize {
        self.operations.push(Operation::Pointwise { mode, x, b, t: None, y, axis: None });
        y
    }

    fn pointwise(&mut self, mode: i32, x: usize, b: Option<usize>) -> usize {
        let y = self.like(x, CUDNN_DATA_FLOAT);
        self.pointwise_into(mode, x, b, y)
    }

    fn matmul(&mut self, a: usize, b: usize, c: usize) -> usize {
        self.operations.push(Operation::Matmul { a, b, c });
        c
    }

    fn reduce(&mut self, mode: i32, x: usize, y: usize) -> usize {
        self.operations.push(Operation::Reduction { mode, x, y });
        y
    }

    /// Rows as columns: the same memory with the last two dimensions exchanged.
    fn turn(&mut self, x: usize, data: i32) -> usize {
        let Operand { dims: [b, h, t, e], strides: [sb, sh, st, se], .. } = self.operands[x];
        let y = self.add(data, ([b, h, e, t], [sb, sh, se, st]), Place::Virtual);
        self.operations.push(Operation::Reshape { x, y });
        y
    }

    /// q kᵀ / sqrt(E).
    fn scores(&mut self, s: Sizes, q: usize, k: usize, scale: usize) -> usize {
        let raw = self.between([s.b, s.h, s.t, s.t]);
        self.matmul(q, k, raw);
        self.pointwise(CUDNN_POINTWISE_MUL, raw, Some(scale))
    }

    /// Scores where the row is not before the column, `never` elsewhere.
    fn causal(&mut self, x: usize, never: f32) -> usize {
        let index = |of: &mut Self, axis| {
            let y = of.like(x, CUDNN_DATA_INT32);
            let (mode, axis) = (CUDNN_POINTWISE_GEN_INDEX, Some(axis));
            of.operations.push(Operation::Pointwise { mode, x, b: None, t: None, y, axis });
            y
        };
        let (row, column) = (index(self, 2), index(self, 3));
        let seen = self.like(x, CUDNN_DATA_BOOLEAN);
        self.pointwise_into(CUDNN_POINTWISE_CMP_GE, row, Some(column), seen);
        let (never, y) = (self.value(never), self.like(x, CUDNN_DATA_FLOAT));
        let (mode, b, t) = (CUDNN_POINTWISE_BINARY_SELECT, Some(never), Some(seen));
        self.operations.push(Operation::Pointwise { mode, x, b, t, y, axis: None });
        y
    }
}

/// The score of what a row does not see: versions before 9.10 take no infinity.
fn never(version: usize) -> f32 {
    if version < 91_000 { f32::MIN } else { f32::NEG_INFINITY }
}

/// Contexts of turned queries and keys, and the logarithms of masses.
pub(super) fn forward(s: Heads, version: usize) -> Graph {
    let (s, mut g) = (Sizes::of(s), Graph::default());
    let scale = g.value(s.scale());
    let q = g.memory(Role::Q, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    let k = g.memory(Role::K, CUDNN_DATA_BFLOAT16, turned(s, s.k));
    let v = g.memory(Role::V, CUDNN_DATA_BFLOAT16, heads(s, s.k));
    let lse = g.memory(Role::Lse, CUDNN_DATA_FLOAT, packed([s.b, s.h, s.t, 1]));
    let out = g.memory(Role::Out, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    let scaled = g.scores(s, q, k, scale);
    let scores = g.causal(scaled, never(version));
    let of_rows = [s.b, s.h, s.t, 1];
    let top = g.between(of_rows);
    g.reduce(CUDNN_REDUCE_TENSOR_MAX, scores, top);
    let below = g.pointwise(CUDNN_POINTWISE_SUB, scores, Some(top));
    let weights = g.pointwise(CUDNN_POINTWISE_EXP, below, None);
    let mass = g.between(of_rows);
    g.reduce(CUDNN_REDUCE_TENSOR_ADD, weights, mass);
    let ln = g.pointwise(CUDNN_POINTWISE_LOG, mass, None);
    g.pointwise_into(CUDNN_POINTWISE_ADD, top, Some(ln), lse);
    let p = g.like(weights, CUDNN_DATA_BFLOAT16);
    g.pointwise_into(CUDNN_POINTWISE_DIV, weights, Some(mass), p);
    g.matmul(p, v, out);
    g
}

/// Gradients by turned queries and keys and by values.
pub(super) fn backward(s: Heads, version: usize) -> Graph {
    let (s, mut g) = (Sizes::of(s), Graph::default());
    let scale = g.value(s.scale());
    let lse = g.memory(Role::Lse, CUDNN_DATA_FLOAT, packed([s.b, s.h, s.t, 1]));
    let grad = g.memory(Role::Grad, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    let out = g.memory(Role::Out, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    let v = g.memory(Role::V, CUDNN_DATA_BFLOAT16, turned(s, s.k));
    let k = g.memory(Role::K, CUDNN_DATA_BFLOAT16, turned(s, s.k));
    let q = g.memory(Role::Q, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    let dv = g.memory(Role::Dv, CUDNN_DATA_BFLOAT16, heads(s, s.k));
    let dk = g.memory(Role::Dk, CUDNN_DATA_BFLOAT16, heads(s, s.k));
    let dq = g.memory(Role::Dq, CUDNN_DATA_BFLOAT16, heads(s, s.h));
    // D = Σ g · out
    let (dims, [sequence, _, row, one]) = heads(s, s.h);
    // The frontend's strides of it, odd as they are: nothing is stored there.
    let strides = [sequence, s.t * s.e, row, one];
    let shared = g.add(CUDNN_DATA_FLOAT, (dims, strides), Place::Virtual);
    g.pointwise_into(CUDNN_POINTWISE_MUL, grad, Some(out), shared);
    let share = g.between([s.b, s.h, s.t, 1]);
    g.reduce(CUDNN_REDUCE_TENSOR_ADD, shared, share);
    let one = g.value(1.0);
    let shares = g.memory(Role::Shares, CUDNN_DATA_FLOAT, packed([s.b, s.h, s.t, 1]));
    g.pointwise_into(CUDNN_POINTWISE_MUL, share, Some(one), shares);
    // p = exp(s - lse), dv = pᵀ g
    let scaled = g.scores(s, q, k, scale);
    let below = g.pointwise(CUDNN_POINTWISE_SUB, scaled, Some(lse));
    let masked = g.causal(below, never(version));
    let p = g.pointwise(CUDNN_POINTWISE_EXP, masked, None);
    let p_turned = g.turn(p, CUDNN_DATA_BFLOAT16);
    product_of_shared(&mut g, s, p_turned, grad, dv);
    // ds = p (g vᵀ - D) / sqrt(E)
    let dp = g.between([s.b, s.h, s.t, s.t]);
    g.matmul(grad, v, dp);
    let less = g.pointwise(CUDNN_POINTWISE_SUB, dp, Some(shares));
    let weighted = g.pointwise(CUDNN_POINTWISE_MUL, less, Some(p));
    let ds = g.pointwise(CUDNN_POINTWISE_MUL, weighted, Some(scale));
    let ds_turned = g.turn(ds, CUDNN_DATA_BFLOAT16);
    product_of_shared(&mut g, s, ds_turned, q, dk);
    // dq = ds k
    let k_rows = g.turn(k, CUDNN_DATA_FLOAT);
    let sum = g.memory(Role::DqSum, CUDNN_DATA_FLOAT, packed([s.b, s.h, s.t, s.e]));
    g.matmul(ds, k_rows, sum);
    g.pointwise_into(CUDNN_POINTWISE_IDENTITY, sum, None, dq);
    g
}

/// `a b` for each query head, summed over the heads that share a key/value head into `y`.
fn product_of_shared(g: &mut Graph, s: Sizes, a: usize, b: usize, y: usize) {
    if s.h == s.k {
        g.matmul(a, b, y);
        return;
    }
    let each = g.add(CUDNN_DATA_BFLOAT16, packed([s.b, s.h, s.t, s.e]), Place::Virtual);
    g.matmul(a, b, each);
    g.reduce(CUDNN_REDUCE_TENSOR_ADD, each, y);
}
