//! Which kernels an operation launches, over which grids, with which arguments.
//!
//! Nothing here knows a device: addresses are numbers, and a [`Machine`] launches. One machine is a GPU
//! (`gpu.rs`), another runs the same kernels on the host, for the tests. What the kernels promise stands in
//! `engine/cuda/kernels`.

use candle_core::Result;

use crate::ops::AdamStep;

/// Element types of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    F32,
    Bf16,
}

impl Kind {
    #[cfg(test)]
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    fn of(self, kernel: &str) -> String {
        match self {
            Self::F32 => format!("{kernel}_f32"),
            Self::Bf16 => format!("{kernel}_bf16"),
        }
    }
}

/// An address on the machine; 0 for nothing.
pub(crate) type At = u64;

/// An argument of a kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    At(At),
    U32(u32),
    U64(u64),
    F32(f32),
}

/// A launch: grid, threads of a block, bytes of shared memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared: u32,
}

/// Something that launches kernels, one after another.
pub(crate) trait Machine {
    /// Memory that is given back when this is dropped, after what was launched before.
    type Room;
    /// Memory for intermediate results.
    fn room(&self, bytes: usize) -> Result<(Self::Room, At)>;
    /// Memory with a copy of these bytes.
    fn send(&self, bytes: &[u8]) -> Result<(Self::Room, At)>;
    /// A copy of bytes of the machine, once what was launched before has run.
    fn fetch(&self, at: At, bytes: usize) -> Result<Vec<u8>>;
    /// Launches a kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel, and every address has the memory that it reads and writes.
    unsafe fn launch(&self, kernel: &str, shape: Shape, args: &[Arg]) -> Result<()>;
}

/// The nearest bf16, ties to even.
pub(crate) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

const LANES: u32 = 32;
/// Rows that a sum over columns takes together.
const SPAN: usize = 64;

/// A size as the kernels take it.
fn small(n: usize) -> Result<u32> {
    u32::try_from(n).map_err(|_| {
        candle_core::Error::Msg(format!("a dimension of {n} is beyond the 2^32 of a kernel"))
    })
}

/// A warp for each of `n` rows.
fn warps(n: usize) -> Result<Shape> {
    Ok(Shape { grid: [small(n.div_ceil(8))?.max(1), 1, 1], threads: 8 * LANES, shared: 0 })
}

/// A thread for each of `columns`, which goes down every so many of `n` rows.
fn table(n: usize, columns: usize) -> Result<Shape> {
    let down = n.div_ceil(8).clamp(1, 65_535);
    Ok(Shape {
        grid: [small(columns.div_ceil(256))?.max(1), small(down)?, 1],
        threads: 256,
        shared: 0,
    })
}

macro_rules! args {
    ($($kind:ident $value:expr),* $(,)?) => { &[$(Arg::$kind($value)),*] };
}

/// Operations on a machine, in an element type.
#[derive(Clone, Copy)]
pub(crate) struct On<'a, M: Machine> {
    pub machine: &'a M,
    pub kind: Kind,
}

/// Sizes of an attention: sequences, tokens, query heads, key/value heads, head width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub b: usize,
    pub t: usize,
    pub h: usize,
    pub k: usize,
    pub e: usize,
}

/// Largest head width of the kernels.
pub(crate) const MOST_E: usize = 128;

/// Where an attention's operands and results are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attended {
    pub q: At,
    pub k: At,
    pub v: At,
    pub out: At,
    /// Logarithms of masses, f32 (B, H, T).
    pub lse: At,
}

// SAFETY, for every `launch` below: the arguments are in the kernel's order and types, and the caller of each
// function promises memory of the sizes that it names.
impl<M: Machine> On<'_, M> {
    unsafe fn launch(&self, kernel: &str, shape: Shape, args: &[Arg]) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.machine.launch(&self.kind.of(kernel), shape, args) }
    }

    /// `x (N, D)`, `w (D)`, `z (D)` to `y (N, D)`.
    pub unsafe fn norm(
        &self,
        x: At,
        w: At,
        z: At,
        y: At,
        (n, d): (usize, usize),
        eps: f64,
    ) -> Result<()> {
        let (rows, cols) = (small(n)?, small(d)?);
        let args = args![At x, At w, At z, At y, U32 rows, U32 cols, F32 eps as f32];
        unsafe { self.launch("norm", warps(n)?, args) }
    }

    /// Gradients `dx (N, D)`, `dw (D)`, `dz (D)` for `g (N, D)`.
    pub unsafe fn norm_back(
        &self,
        [x, w, z, g]: [At; 4],
        [dx, dw, dz]: [At; 3],
        (n, d): (usize, usize),
        eps: f64,
    ) -> Result<()> {
        let (rows, cols) = (small(n)?, small(d)?);
        let (_room, rs) = self.machine.room(4 * n)?;
        let args = args![At x, At w, At z, At g, At dx, At rs, U32 rows, U32 cols, F32 eps as f32];
        unsafe { self.launch("norm_back", warps(n)?, args)? };
        unsafe { self.column_sums([g, x, 0], rs, (n, d), 1, [z, w], [dw, dz]) }
    }

    /// Over rows, of `a b`, or of `a silu(b) c` where there is a `c`, times the factors `by (N)` where there
    /// are some; `width` neighbouring columns together, times each of two vectors, into each of two.
    unsafe fn column_sums(
        &self,
        [a, b, c]: [At; 3],
        by: At,
        (n, columns): (usize, usize),
        width: usize,
        times: [At; 2],
        into: [At; 2],
    ) -> Result<()> {
        let splits = n.div_ceil(SPAN).max(1);
        let (rows, cols) = (small(n)?, small(columns)?);
        let (_room, parts) = self.machine.room(4 * splits * columns)?;
        let grid = [small(columns.div_ceil(128))?, small(splits)?, 1];
        let args = args![At a, At b, At c, At by, At parts, U32 rows, U32 cols, U32 SPAN as u32];
        unsafe { self.launch("column_sums", Shape { grid, threads: 128, shared: 0 }, args)? };
        let threads = if width == 1 { columns } else { columns / width * LANES as usize };
        let grid = [small(threads.div_ceil(128))?, 1, 1];
        let args = args![
            At parts, At times[0], At times[1], At into[0], At into[1], U32 small(splits)?, U32 cols,
            U32 small(width)?
        ];
        unsafe { self.launch("fold", Shape { grid, threads: 128, shared: 0 }, args) }
    }

    /// `gate (N, F)`, `up (N, F)`, `z (F)` to `y (N, F)`.
    pub unsafe fn swiglu(
        &self,
        [gate, up, z]: [At; 3],
        y: At,
        (n, f): (usize, usize),
    ) -> Result<()> {
        let args = args![At gate, At up, At z, At y, U32 small(n)?, U32 small(f)?];
        unsafe { self.launch("swiglu", table(n, f)?, args) }
    }

    /// Gradients of gate, up and z for `g (N, F)`.
    pub unsafe fn swiglu_back(
        &self,
        [gate, up, z, g]: [At; 4],
        [dgate, dup, dz]: [At; 3],
        (n, f): (usize, usize),
    ) -> Result<()> {
        let args =
            args![At gate, At up, At z, At g, At dgate, At dup, U32 small(n)?, U32 small(f)?];
        unsafe { self.launch("swiglu_back", table(n, f)?, args)? };
        unsafe { self.column_sums([g, gate, up], 0, (n, f), 1, [0, 0], [dz, 0]) }
    }

    /// `x (N, G*W)`, `z (G)` to `y (N, G*W)`.
    pub unsafe fn scale_columns(
        &self,
        x: At,
        z: At,
        y: At,
        (n, columns): (usize, usize),
        gates: usize,
    ) -> Result<()> {
        let width = small(columns / gates)?;
        let args = args![At x, At z, At y, U32 small(n)?, U32 small(columns)?, U32 width];
        unsafe { self.launch("scale_columns", table(n, columns)?, args) }
    }

    /// Gradients of both for `g (N, G*W)`.
    pub unsafe fn scale_columns_back(
        &self,
        [x, z, g]: [At; 3],
        [dx, dz]: [At; 2],
        (n, columns): (usize, usize),
        gates: usize,
    ) -> Result<()> {
        unsafe { self.scale_columns(g, z, dx, (n, columns), gates)? };
        unsafe { self.column_sums([g, x, 0], 0, (n, columns), columns / gates, [0, 0], [dz, 0]) }
    }

    /// `x (N, D) + o (N, D) f (D)` into `y (N, D)`.
    pub unsafe fn gated_sum(
        &self,
        [x, o, f]: [At; 3],
        y: At,
        (n, d): (usize, usize),
    ) -> Result<()> {
        let args = args![At x, At o, At f, At y, U32 small(n)?, U32 small(d)?];
        unsafe { self.launch("gated_sum", table(n, d)?, args) }
    }

    /// The loss of each row of logits `x (N, V)` in nats into `losses (N)` f32, and the gradient of their sum
    /// times `share` in the place of the logits, unless `share` is 0. `targets (N)` are u32.
    pub unsafe fn cross_entropy(
        &self,
        x: At,
        targets: At,
        losses: At,
        (n, v): (usize, usize),
        share: f64,
    ) -> Result<()> {
        let shape = Shape { grid: [small(n)?, 1, 1], threads: 256, shared: 0 };
        let args = args![At x, At targets, At losses, U32 small(v)?, F32 share as f32];
        unsafe { self.launch("cross_entropy", shape, args) }
    }

    /// Turns the heads of rows `x (N, heads*E)` into `y`, which may be `x`; back with `back`. The tables are
    /// f32 (T, E/2).
    pub unsafe fn rope(
        &self,
        (x, y): (At, At),
        (cos, sin): (At, At),
        s: Heads,
        heads: usize,
        back: bool,
    ) -> Result<()> {
        let (n, sign) = (s.b * s.t, if back { -1.0 } else { 1.0 });
        let args = args![
            At x, At y, At cos, At sin, U32 small(n)?, U32 small(s.t)?, U32 small(heads)?, U32 small(s.e)?,
            F32 sign
        ];
        unsafe { self.launch("rope", table(n, heads * s.e / 2)?, args) }
    }

    /// The width that a kernel for tensor cores is compiled for, if one takes these heads.
    fn flash(&self, s: Heads) -> Option<usize> {
        let fits = self.kind == Kind::Bf16 && s.e.is_multiple_of(8) && s.e <= MOST_E;
        fits.then_some(if s.e <= 64 { 64 } else { 128 })
    }

    /// Causal attention of turned queries and keys: contexts into `out`, masses into `lse`.
    pub unsafe fn attention(&self, of: Attended, s: Heads) -> Result<()> {
        let Attended { q, k, v, out, lse } = of;
        let scale = 1.0 / (s.e as f32).sqrt();
        let args = args![
            At q, At k, At v, At out, At lse, U32 small(s.t)?, U32 small(s.h)?, U32 small(s.k)?,
            U32 small(s.e)?, F32 scale
        ];
        let (h, b) = (small(s.h)?, small(s.b)?);
        match self.flash(s) {
            Some(w) => {
                let grid = [small(s.t.div_ceil(64))?, h, b];
                let shape = Shape { grid, threads: 128, shared: small(3 * 64 * (w + 8) * 2)? };
                unsafe { self.machine.launch(&format!("flash_{w}"), shape, args) }
            }
            None => {
                let grid = [small(s.t.div_ceil(32))?, h, b];
                let shared = small((3 * 32 * (s.e + 1) + 32 * 33) * 4)?;
                unsafe { self.launch("attend", Shape { grid, threads: 128, shared }, args) }
            }
        }
    }

    /// Its gradients by turned queries and keys and by values, for the gradient `g` of the context.
    pub unsafe fn attention_back(
        &self,
        of: Attended,
        g: At,
        [dq, dk, dv]: [At; 3],
        s: Heads,
    ) -> Result<()> {
        let Attended { q, k, v, out, lse } = of;
        let n = s.b * s.t;
        let (_room, delta) = self.machine.room(4 * n * s.h)?;
        let (t, h, kv, e) = (small(s.t)?, small(s.h)?, small(s.k)?, small(s.e)?);
        let args = args![At g, At out, At delta, U32 small(n)?, U32 t, U32 h, U32 e];
        unsafe { self.launch("shares", warps(n * s.h)?, args)? };
        let scale = 1.0 / (s.e as f32).sqrt();
        let by_q = args![
            At q, At k, At v, At g, At lse, At delta, At dq, U32 t, U32 h, U32 kv, U32 e, F32 scale
        ];
        let by_kv = args![
            At q, At k, At v, At g, At lse, At delta, At dk, At dv, U32 t, U32 h, U32 kv, U32 e, F32 scale
        ];
        let b = small(s.b)?;
        match self.flash(s) {
            Some(w) => {
                let tiles = small(s.t.div_ceil(64))?;
                let shared = small((2 * 64 + 2 * 32) * (w + 8) * 2)?;
                let shape = |heads| Shape { grid: [tiles, heads, b], threads: 128, shared };
                unsafe { self.machine.launch(&format!("flash_back_q_{w}"), shape(h), by_q)? };
                unsafe { self.machine.launch(&format!("flash_back_kv_{w}"), shape(kv), by_kv) }
            }
            None => {
                let tiles = small(s.t.div_ceil(32))?;
                let shape = |heads, scores: usize| {
                    let shared = small((4 * 32 * (s.e + 1) + scores * 32 * 33) * 4)?;
                    Ok::<_, candle_core::Error>(Shape {
                        grid: [tiles, heads, b],
                        threads: 128,
                        shared,
                    })
                };
                unsafe { self.launch("attend_back_q", shape(h, 1)?, by_q)? };
                unsafe { self.launch("attend_back_kv", shape(kv, 2)?, by_kv) }
            }
        }
    }

    /// AdamW on `n` elements: f32 weights and moments, the gradient in this type; the weights rounded to this
    /// type go to `w` unless it is 0.
    pub unsafe fn adam(
        &self,
        [master, w, m, v, g]: [At; 5],
        n: usize,
        step: &AdamStep,
    ) -> Result<()> {
        let AdamStep { lr, betas: (b1, b2), eps, weight_decay, t, grad_scale } = *step;
        let size = lr / (1.0 - b1.powf(t as f64));
        let second = 1.0 / (1.0 - b2.powf(t as f64));
        let args = args![
            At master, At w, At m, At v, At g, U64 n as u64, F32 grad_scale as f32, F32 b1 as f32,
            F32 (1.0 - b1) as f32, F32 b2 as f32, F32 (1.0 - b2) as f32, F32 size as f32,
            F32 second as f32, F32 (1.0 - lr * weight_decay) as f32, F32 eps as f32
        ];
        let blocks = small(n.div_ceil(1024).clamp(1, 1 << 16))?;
        unsafe {
            self.launch("adam", Shape { grid: [blocks, 1, 1], threads: 256, shared: 0 }, args)
        }
    }

    /// The sum of squares of `n` elements, f64, into `sum`.
    pub unsafe fn squares(&self, x: At, n: usize, sum: At) -> Result<()> {
        const SPAN: usize = 1 << 16;
        let blocks = n.div_ceil(SPAN).max(1);
        let (_room, parts) = self.machine.room(8 * blocks)?;
        let shape = |blocks| Shape { grid: [blocks, 1, 1], threads: 256, shared: 256 * 8 };
        let args = args![At x, At parts, U64 n as u64, U32 SPAN as u32];
        unsafe { self.launch("squares", shape(small(blocks)?), args)? };
        let args = args![At parts, At sum, U32 small(blocks)?];
        unsafe { self.machine.launch("total_f64", shape(1), args) }
    }

    /// Rows `ids (N)` of `w (V, D)` into `y (N, D)`.
    pub unsafe fn embed(&self, w: At, ids: At, y: At, (n, d): (usize, usize)) -> Result<()> {
        let args = args![At w, At ids, At y, U32 small(n)?, U32 small(d)?];
        unsafe { self.launch("embed", table(n, d)?, args) }
    }

    /// The gradient of the rows that were taken into `dw (V, D)`, which holds zeros; `sorted` has its three
    /// lists side by side at `lists`.
    pub unsafe fn embed_back(
        &self,
        g: At,
        lists: At,
        sorted: &Sorted,
        dw: At,
        d: usize,
    ) -> Result<()> {
        let (n, count) = (sorted.order.len(), sorted.ids.len());
        let (starts, ids) = (lists + 4 * n as u64, lists + 4 * (n + count + 1) as u64);
        let args =
            args![At g, At lists, At starts, At ids, At dw, U32 small(count)?, U32 small(d)?];
        unsafe { self.launch("embed_back", table(count, d)?, args) }
    }

    /// Rows and columns of `w`, whose rows have `columns` elements, into `y (R, C)`; the lists are u32, 0 for
    /// all of them.
    pub unsafe fn gather(
        &self,
        w: At,
        (rows, cols): (At, At),
        y: At,
        (r, c): (usize, usize),
        columns: usize,
    ) -> Result<()> {
        let args = args![
            At w, At rows, At cols, At y, U32 small(r)?, U32 small(c)?, U32 small(columns)?
        ];
        unsafe { self.launch("gather", table(r, c)?, args) }
    }

    /// `g (R, C)` back to its rows and columns in `dw`, which holds zeros.
    pub unsafe fn scatter(
        &self,
        g: At,
        (rows, cols): (At, At),
        dw: At,
        (r, c): (usize, usize),
        columns: usize,
    ) -> Result<()> {
        let args = args![
            At g, At rows, At cols, At dw, U32 small(r)?, U32 small(c)?, U32 small(columns)?
        ];
        unsafe { self.launch("scatter", table(r, c)?, args) }
    }
}

/// Positions by the id that stands there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sorted {
    /// The positions, by id and then in their order.
    pub order: Vec<u32>,
    /// Where each id begins in `order`, and the end.
    pub starts: Vec<u32>,
    /// The ids there are.
    pub ids: Vec<u32>,
}

impl Sorted {
    pub fn new(ids: &[u32]) -> Self {
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|&i| ids[i as usize]);
        let mut sorted = Self { order, starts: Vec::new(), ids: Vec::new() };
        for (at, &i) in sorted.order.iter().enumerate() {
            let id = ids[i as usize];
            if sorted.ids.last() != Some(&id) {
                sorted.starts.push(at as u32);
                sorted.ids.push(id);
            }
        }
        sorted.starts.push(ids.len() as u32);
        sorted
    }

    /// The lists side by side.
    pub fn lists(&self) -> Vec<u32> {
        [&self.order[..], &self.starts, &self.ids].concat()
    }
}
