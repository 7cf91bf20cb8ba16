//! The operations as nodes of candle's graph: values and gradients by our kernels.
//!
//! What the kernels do not take - another device, f64, a head wider than 128 - goes to the twins in `plain.rs`.

use std::sync::Mutex;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Error, Layout, Result, Shape,
    Storage, Tensor,
};

use super::calls::{Attended, Heads, Kind, MOST_E, On, Sorted};
use super::dnn::chosen;
use super::gpu::{Gpu, Made, kind, reading};
use crate::ops::adam::AdamStep;
use crate::ops::loss::{IGNORE, counted};
use crate::ops::plain;
use crate::ops::rope::Rope;

pub(crate) use crate::ops::plain::{distillation, lora};

/// The type of the kernels, if these tensors are on a CUDA device and share one.
fn fit(tensors: &[&Tensor]) -> Option<Kind> {
    let first = kind(tensors[0])?;
    let alike = |t: &&Tensor| t.device().is_cuda() && kind(t) == Some(first);
    tensors.iter().all(alike).then_some(first)
}

/// A node whose value is there already.
struct Node<B> {
    name: &'static str,
    made: Mutex<Option<(CudaStorage, Shape)>>,
    back: B,
}

impl<B> Node<B> {
    fn new(name: &'static str, made: Made, shape: impl Into<Shape>, back: B) -> Self {
        Self { name, made: Mutex::new(Some((made.storage(), shape.into()))), back }
    }

    fn take(&self) -> Result<(CudaStorage, Shape)> {
        let made = self.made.lock().unwrap_or_else(|e| e.into_inner()).take();
        made.ok_or_else(|| Error::Msg(format!("{}: its value was taken before", self.name)))
    }

    fn elsewhere(&self) -> Error {
        Error::Msg(format!("{}: a CUDA node on another device", self.name))
    }
}

/// Gradients by N arguments, from them, the value and the gradient by it.
trait Back<const N: usize>:
    Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Tensor; N]> + Send + Sync
{
}
impl<const N: usize, F> Back<N> for F where
    F: Fn([&Tensor; N], &Tensor, &Tensor) -> Result<[Tensor; N]> + Send + Sync
{
}

impl<B: Back<1>> CustomOp1 for Node<B> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Err(self.elsewhere())
    }
    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.take()
    }
    fn bwd(&self, x: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        let [dx] = (self.back)([&x.detach()], y, g)?;
        Ok(Some(dx))
    }
}

impl<B: Back<2>> CustomOp2 for Node<B> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Err(self.elsewhere())
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.take()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [da, db] = (self.back)([&a.detach(), &b.detach()], y, g)?;
        Ok((Some(da), Some(db)))
    }
}

impl<B: Back<3>> CustomOp3 for Node<B> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Err(self.elsewhere())
    }
    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        self.take()
    }
    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        y: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [da, db, dc] = (self.back)([&a.detach(), &b.detach(), &c.detach()], y, g)?;
        Ok((Some(da), Some(db), Some(dc)))
    }
}

fn on(gpu: &Gpu, kind: Kind) -> On<'_, Gpu> {
    On { machine: gpu, kind }
}

fn misfit(op: &'static str, lhs: &Tensor, rhs: &Tensor) -> Error {
    Error::ShapeMismatchBinaryOp { lhs: lhs.shape().clone(), rhs: rhs.shape().clone(), op }.bt()
}

// SAFETY, for every call of a kernel below: each address is that of a tensor whose shape was compared with the
// sizes, or of memory made for them, and lives until the kernel was launched; the stream keeps the order.

pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    if fit(&[x, w]).is_none() {
        return plain::linear(x, w);
    }
    let ((_, k), (_, wk)) = (x.dims2()?, w.dims2()?);
    if k != wk {
        return Err(misfit("linear", x, w));
    }
    if x.track_op() && !w.track_op() {
        return x.apply_op1(Frozen { w: w.detach() });
    }
    x.apply_op2(w, Linear)
}

/// x Wᵀ by cuBLAS.
fn by_rows(
    xs: &CudaStorage,
    xl: &Layout,
    ws: &CudaStorage,
    wl: &Layout,
) -> Result<(CudaStorage, Shape)> {
    let ((n, k), (m, _)) = (xl.shape().dims2()?, wl.shape().dims2()?);
    Ok((xs.matmul(ws, (1, n, m, k), xl, &wl.transpose(0, 1)?)?, (n, m).into()))
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }
    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Err(Error::Msg("linear: a CUDA node on another device".into()))
    }
    fn cuda_fwd(
        &self,
        xs: &CudaStorage,
        xl: &Layout,
        ws: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        by_rows(xs, xl, ws, wl)
    }
    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        g: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(g.matmul(&w.detach())?), Some(g.t()?.matmul(&x.detach())?)))
    }
}

/// A weight that nothing learns.
struct Frozen {
    w: Tensor,
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "linear-frozen"
    }
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Err(Error::Msg("linear: a CUDA node on another device".into()))
    }
    fn cuda_fwd(&self, xs: &CudaStorage, xl: &Layout) -> Result<(CudaStorage, Shape)> {
        let (storage, wl) = self.w.storage_and_layout();
        match &*storage {
            Storage::Cuda(ws) => by_rows(xs, xl, ws, wl),
            _ => Err(Error::Msg("linear: a CUDA node on another device".into())),
        }
    }
    fn bwd(&self, _: &Tensor, _: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(g.matmul(&self.w)?))
    }
}

/// The memory of a tensor that nothing else holds.
fn made(t: Tensor) -> Result<Made> {
    let (storage, layout) = t.storage_and_layout();
    match &*storage {
        // A second handle to the same memory is not to be had: a copy on the device.
        Storage::Cuda(cuda) => Gpu::of(&t)?.placed(cuda.try_clone(layout)?),
        _ => Err(Error::Msg("a CUDA node got a tensor of another device".into())),
    }
}

pub(crate) fn rms_norm(x: &Tensor, w: &Tensor, z: &Tensor, eps: f64) -> Result<Tensor> {
    let Some(kind) = fit(&[x, w, z]) else { return plain::rms_norm(x, w, z, eps) };
    let (n, d) = x.dims2()?;
    if w.elem_count() != d || z.elem_count() != d {
        return Err(misfit("gated-rms-norm", x, w));
    }
    let y = reading([x, w, z], |gpu, [x, w, z]| {
        let y = gpu.made(kind, n * d)?;
        unsafe { on(gpu, kind).norm(x, w, z, y.at, (n, d), eps)? };
        Ok(y)
    })?;
    let back = move |[x, w, z]: [&Tensor; 3], _: &Tensor, g: &Tensor| {
        reading([x, w, z, g], |gpu, args| {
            let (dx, dw, dz) = (gpu.made(kind, n * d)?, gpu.made(kind, d)?, gpu.made(kind, d)?);
            unsafe { on(gpu, kind).norm_back(args, [dx.at, dw.at, dz.at], (n, d), eps)? };
            Ok([dx.tensor((n, d)), dw.tensor(d), dz.tensor(d)])
        })
    };
    x.apply_op3(w, z, Node::new("gated-rms-norm", y, (n, d), back))
}

pub(crate) fn swiglu(gate: &Tensor, up: &Tensor, z: &Tensor) -> Result<Tensor> {
    let Some(kind) = fit(&[gate, up, z]) else { return plain::swiglu(gate, up, z) };
    let (n, f) = gate.dims2()?;
    if up.dims() != gate.dims() || z.elem_count() != f {
        return Err(misfit("gated-swiglu", gate, up));
    }
    let y = reading([gate, up, z], |gpu, args| {
        let y = gpu.made(kind, n * f)?;
        unsafe { on(gpu, kind).swiglu(args, y.at, (n, f))? };
        Ok(y)
    })?;
    let back = move |[gate, up, z]: [&Tensor; 3], _: &Tensor, g: &Tensor| {
        reading([gate, up, z, g], |gpu, args| {
            let (dg, du, dz) = (gpu.made(kind, n * f)?, gpu.made(kind, n * f)?, gpu.made(kind, f)?);
            unsafe { on(gpu, kind).swiglu_back(args, [dg.at, du.at, dz.at], (n, f))? };
            Ok([dg.tensor((n, f)), du.tensor((n, f)), dz.tensor(f)])
        })
    };
    gate.apply_op3(up, z, Node::new("gated-swiglu", y, (n, f), back))
}

pub(crate) fn scale_columns(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    let Some(kind) = fit(&[x, z]) else { return plain::scale_columns(x, z) };
    let ((n, d), gates) = (x.dims2()?, z.elem_count());
    if gates == 0 || !d.is_multiple_of(gates) {
        return Err(misfit("scale-columns", x, z));
    }
    let y = reading([x, z], |gpu, [x, z]| {
        let y = gpu.made(kind, n * d)?;
        unsafe { on(gpu, kind).scale_columns(x, z, y.at, (n, d), gates)? };
        Ok(y)
    })?;
    let back = move |[x, z]: [&Tensor; 2], _: &Tensor, g: &Tensor| {
        scaled_back(kind, [x, z, g], (n, d), gates)
    };
    x.apply_op2(z, Node::new("scale-columns", y, (n, d), back))
}

fn scaled_back(
    kind: Kind,
    of: [&Tensor; 3],
    (n, d): (usize, usize),
    gates: usize,
) -> Result<[Tensor; 2]> {
    reading(of, |gpu, args| {
        let (dx, dz) = (gpu.made(kind, n * d)?, gpu.made(kind, gates)?);
        unsafe { on(gpu, kind).scale_columns_back(args, [dx.at, dz.at], (n, d), gates)? };
        Ok([dx.tensor((n, d)), dz.tensor(gates)])
    })
}

pub(crate) fn gated_sum(x: &Tensor, o: &Tensor, f: &Tensor) -> Result<Tensor> {
    let Some(kind) = fit(&[x, o, f]) else { return plain::gated_sum(x, o, f) };
    let (n, d) = x.dims2()?;
    if o.dims() != x.dims() || f.elem_count() != d {
        return Err(misfit("gated-sum", x, o));
    }
    let y = reading([x, o, f], |gpu, args| {
        let y = gpu.made(kind, n * d)?;
        unsafe { on(gpu, kind).gated_sum(args, y.at, (n, d))? };
        Ok(y)
    })?;
    let back = move |[_, o, f]: [&Tensor; 3], _: &Tensor, g: &Tensor| {
        let [by_o, by_f] = scaled_back(kind, [o, f, g], (n, d), d)?;
        Ok([g.clone(), by_o, by_f])
    };
    x.apply_op3(o, f, Node::new("gated-sum", y, (n, d), back))
}

pub(crate) fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tokens: usize,
    head_dim: usize,
    rope: &Rope,
) -> Result<Tensor> {
    let fits = fit(&[q, k, v]).filter(|_| head_dim <= MOST_E && head_dim.is_multiple_of(2));
    let Some(kind) = fits else { return plain::attention(q, k, v, tokens, head_dim, rope) };
    let ((n, qw), (kn, kw)) = (q.dims2()?, k.dims2()?);
    let s = Heads { b: n / tokens, t: tokens, h: qw / head_dim, k: kw / head_dim, e: head_dim };
    let sound = n == s.b * tokens
        && n == kn
        && v.dims() == k.dims()
        && qw == s.h * head_dim
        && kw == s.k * head_dim;
    if !sound || s.k == 0 || !s.h.is_multiple_of(s.k) || rope.positions() < tokens {
        return Err(misfit("causal-attention", q, k));
    }
    let (cos, sin) = rope.on(q.device())?;
    let lse = Gpu::of(q)?.made(Kind::F32, s.b * s.t * s.h)?;
    let lse = lse.tensor(s.b * s.t * s.h);
    let out = turned(kind, [q, k], [&cos, &sin], s, |gpu, [q, k]| {
        reading([v, &lse], |_, [v, lse]| {
            let out = gpu.made(kind, n * qw)?;
            let of = Attended { q, k, v, out: out.at, lse };
            unsafe { chosen::attention(&on(gpu, kind), of, s)? };
            Ok(out)
        })
    })?;
    let back = move |[q, k, v]: [&Tensor; 3], out: &Tensor, g: &Tensor| {
        turned(kind, [q, k], [&cos, &sin], s, |gpu, [q, k]| {
            reading([v, out, g, &lse, &cos, &sin], |_, [v, out, g, lse, cos, sin]| {
                let (dq, dk, dv) =
                    (gpu.made(kind, n * qw)?, gpu.made(kind, n * kw)?, gpu.made(kind, n * kw)?);
                let on = on(gpu, kind);
                unsafe {
                    let of = Attended { q, k, v, out, lse };
                    chosen::attention_back(&on, of, g, [dq.at, dk.at, dv.at], s)?;
                    on.rope((dq.at, dq.at), (cos, sin), s, s.h, true)?;
                    on.rope((dk.at, dk.at), (cos, sin), s, s.k, true)?;
                }
                Ok([dq.tensor((n, qw)), dk.tensor((n, kw)), dv.tensor((n, kw))])
            })
        })
    };
    q.apply_op3(k, v, Node::new("causal-attention", out, (n, qw), back))
}

/// Calls `f` with the addresses of queries and keys that are turned by their positions.
fn turned<R>(
    kind: Kind,
    [q, k]: [&Tensor; 2],
    [cos, sin]: [&Tensor; 2],
    s: Heads,
    f: impl FnOnce(&Gpu, [u64; 2]) -> Result<R>,
) -> Result<R> {
    reading([q, k, cos, sin], |gpu, [q, k, cos, sin]| {
        let n = s.b * s.t;
        let (to_q, to_k) = (gpu.made(kind, n * s.h * s.e)?, gpu.made(kind, n * s.k * s.e)?);
        let on = on(gpu, kind);
        unsafe {
            on.rope((q, to_q.at), (cos, sin), s, s.h, false)?;
            on.rope((k, to_k.at), (cos, sin), s, s.k, false)?;
        }
        f(gpu, [to_q.at, to_k.at])
    })
}

/// Losses of rows, f32 (N), and the logits or their gradient in their place.
fn losses(logits: &Tensor, kind: Kind, targets: &[u32], share: f64) -> Result<(Tensor, Tensor)> {
    let (n, v) = logits.dims2()?;
    if n != targets.len() || targets.iter().any(|&y| y != IGNORE && y as usize >= v) {
        return Err(Error::Msg(format!(
            "cross-entropy: {} targets for {n} rows of {v} classes, or a target beyond them",
            targets.len()
        )));
    }
    let changed = if share == 0.0 { logits.contiguous()? } else { logits.copy()? };
    let of_rows = reading([&changed], |gpu, [x]| {
        let (ids, of_rows) = (gpu.ids(targets)?, gpu.made(Kind::F32, n)?);
        unsafe { on(gpu, kind).cross_entropy(x, ids.at, of_rows.at, (n, v), share)? };
        Ok(of_rows.tensor(n))
    })?;
    Ok((of_rows, changed))
}

/// The loss is f32 whatever the type of the logits: eight bits are too few for it.
pub(crate) fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let Some(kind) = fit(&[logits]) else { return plain::cross_entropy(logits, targets) };
    let count = counted(targets);
    let (of_rows, grad) = losses(&logits.detach(), kind, targets, 1.0 / count)?;
    let mean = (of_rows.sum_all()? / count)?;
    let back = move |_: [&Tensor; 1], _: &Tensor, g: &Tensor| {
        let factor = f64::from(g.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        Ok([if factor == 1.0 { grad.clone() } else { (&grad * factor)? }])
    };
    logits.apply_op1(Node::new("cross-entropy", made(mean)?, (), back))
}

/// Losses of the rows that count, without a gradient; none where the kernels do not fit.
pub(crate) fn token_losses(logits: &Tensor, targets: &[u32]) -> Result<Option<Vec<f64>>> {
    let Some(kind) = fit(&[logits]) else { return Ok(None) };
    let (of_rows, _) = losses(&logits.detach(), kind, targets, 0.0)?;
    let of_rows = of_rows.to_vec1::<f32>()?.into_iter().zip(targets);
    Ok(Some(of_rows.filter(|(_, y)| **y != IGNORE).map(|(loss, _)| f64::from(loss)).collect()))
}

pub(crate) fn given(x: &Tensor, value: f64, grad: &Tensor) -> Result<Tensor> {
    let Some(kind) = fit(&[x, grad]) else { return plain::given(x, value, grad) };
    let number = Gpu::of(x)?.number(kind, value)?;
    let grad = grad.detach();
    let back = move |_: [&Tensor; 1], _: &Tensor, g: &Tensor| {
        let factor = f64::from(g.to_dtype(DType::F32)?.to_scalar::<f32>()?);
        Ok([if factor == 1.0 { grad.clone() } else { (&grad * factor)? }])
    };
    x.apply_op1(Node::new("given", number, (), back))
}

pub(crate) fn embedding(w: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let Some(kind) = fit(&[w]) else { return plain::embedding(w, ids) };
    let ((v, d), n) = (w.dims2()?, ids.len());
    if let Some(id) = ids.iter().find(|&&id| id as usize >= v) {
        return Err(Error::Msg(format!("embedding: the id {id} is beyond the vocabulary of {v}")));
    }
    let y = reading([w], |gpu, [w]| {
        let (at, y) = (gpu.ids(ids)?, gpu.made(kind, n * d)?);
        unsafe { on(gpu, kind).embed(w, at.at, y.at, (n, d))? };
        Ok(y)
    })?;
    let sorted = Sorted::new(ids);
    let back = move |_: [&Tensor; 1], _: &Tensor, g: &Tensor| {
        reading([g], |gpu, [g]| {
            let (lists, dw) = (gpu.ids(&sorted.lists())?, gpu.zeros(kind, v * d)?);
            unsafe { on(gpu, kind).embed_back(g, lists.at, &sorted, dw.at, d)? };
            Ok([dw.tensor((v, d))])
        })
    };
    w.apply_op1(Node::new("embedding", y, (n, d), back))
}

/// Rows and columns of a matrix; none for all of them.
pub(crate) fn part(w: &Tensor, rows: Option<&[u32]>, cols: Option<&[u32]>) -> Result<Tensor> {
    let Some(kind) = fit(&[w]) else { return plain::part(w, rows, cols) };
    let (all, columns) = w.dims2()?;
    let beyond =
        |list: Option<&[u32]>, n: usize| list.is_some_and(|l| l.iter().any(|&i| i as usize >= n));
    if beyond(rows, all) || beyond(cols, columns) {
        return Err(Error::Msg("a row or column beyond the matrix".into()));
    }
    let (r, c) = (rows.map_or(all, <[u32]>::len), cols.map_or(columns, <[u32]>::len));
    let lists = [rows.map(<[u32]>::to_vec), cols.map(<[u32]>::to_vec)];
    let placed = move |gpu: &Gpu| -> Result<[Option<Made>; 2]> {
        let of = |list: &Option<Vec<u32>>| list.as_ref().map(|list| gpu.ids(list)).transpose();
        Ok([of(&lists[0])?, of(&lists[1])?])
    };
    let at = |made: &[Option<Made>; 2]| {
        let of = |i: usize| made[i].as_ref().map_or(0, |made| made.at);
        (of(0), of(1))
    };
    let y = reading([w], |gpu, [w]| {
        let (places, y) = (placed(gpu)?, gpu.made(kind, r * c)?);
        unsafe { on(gpu, kind).gather(w, at(&places), y.at, (r, c), columns)? };
        Ok(y)
    })?;
    let back = move |_: [&Tensor; 1], _: &Tensor, g: &Tensor| {
        reading([g], |gpu, [g]| {
            let (places, dw) = (placed(gpu)?, gpu.zeros(kind, all * columns)?);
            unsafe { on(gpu, kind).scatter(g, at(&places), dw.at, (r, c), columns)? };
            Ok([dw.tensor((all, columns))])
        })
    };
    w.apply_op1(Node::new("part", y, (r, c), back))
}

/// AdamW in place: f32 weights `master` and moments, rounded to `w` where that is another tensor.
pub(crate) fn adam(
    master: &Tensor,
    w: Option<&Tensor>,
    [m, v]: [&Tensor; 2],
    g: &Tensor,
    step: &AdamStep,
) -> Result<bool> {
    let (Some(Kind::F32), Some(kind)) = (fit(&[master, m, v]), fit(&[g])) else { return Ok(false) };
    let n = g.elem_count();
    let alike = [master, m, v].iter().all(|t| t.elem_count() == n && t.is_contiguous());
    if !alike
        || w.is_some_and(|w| w.elem_count() != n || fit(&[w, g]).is_none() || !w.is_contiguous())
    {
        return Err(misfit("adam", master, g));
    }
    reading([master, m, v, g, w.unwrap_or(master)], |gpu, [master, m, v, g, rounded]| {
        let rounded = if w.is_some() { rounded } else { 0 };
        unsafe { on(gpu, kind).adam([master, rounded, m, v, g], n, step) }
    })?;
    Ok(true)
}

/// Σ x²; none where the kernels do not fit.
pub(crate) fn sum_of_squares(t: &Tensor) -> Result<Option<f64>> {
    let Some(kind) = fit(&[t]) else { return Ok(None) };
    let n = t.elem_count();
    let sum =
        reading([t], |gpu, [x]| gpu.read_f64(|sum| unsafe { on(gpu, kind).squares(x, n, sum) }))?;
    Ok(Some(sum))
}
