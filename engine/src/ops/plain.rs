//! The operations written in candle's own: the twin for other devices and the oracle of the tests.

use candle_core::{D, DType, Result, Tensor, Var};

use super::adam::AdamStep;
use super::distill::{Distilled, number};
use super::loss::IGNORE;
use super::rope::Rope;

/// Twin of [`super::linear`].
///
/// # Errors
/// candle's, here and below.
pub fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    x.matmul(&w.t()?)
}

/// Twin of [`super::rms_norm`].
///
/// # Errors
/// candle's.
pub fn rms_norm(x: &Tensor, w: &Tensor, z: &Tensor, eps: f64) -> Result<Tensor> {
    let keep = z.detach().ne(0.0)?.to_dtype(x.dtype())?;
    let count = keep.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?.max(1.0);
    let mean = (x.sqr()?.broadcast_mul(&keep)?.sum_keepdim(D::Minus1)? / count)?;
    let r = (mean + eps)?.sqrt()?.recip()?;
    x.broadcast_mul(&r)?.broadcast_mul(w)?.broadcast_mul(z)
}

/// Twin of [`super::scale_columns`].
///
/// # Errors
/// candle's.
pub fn scale_columns(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    let (n, columns) = x.dims2()?;
    let gates = z.elem_count();
    x.reshape((n, gates, columns / gates))?
        .broadcast_mul(&z.reshape((1, gates, 1))?)?
        .reshape((n, columns))
}

/// Twin of [`super::gated_sum`].
///
/// # Errors
/// candle's.
pub fn gated_sum(x: &Tensor, o: &Tensor, f: &Tensor) -> Result<Tensor> {
    x + o.broadcast_mul(f)?
}

/// Twin of [`super::swiglu`].
///
/// # Errors
/// candle's.
pub fn swiglu(gate: &Tensor, up: &Tensor, z: &Tensor) -> Result<Tensor> {
    (gate.silu()? * up)?.broadcast_mul(z)
}

/// Twin of [`super::attention`].
///
/// # Errors
/// candle's.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    tokens: usize,
    head_dim: usize,
    rope: &Rope,
) -> Result<Tensor> {
    let (n, qw) = q.dims2()?;
    let (_, kw) = k.dims2()?;
    let (b, h, kv) = (n / tokens, qw / head_dim, kw / head_dim);
    let (cos, sin) = rope.tensors(0, tokens, q.dtype(), q.device())?;
    let split = |x: &Tensor, heads: usize| {
        x.reshape((b, tokens, heads, head_dim))?.transpose(1, 2)?.contiguous()
    };
    let repeat = |x: &Tensor| -> Result<Tensor> {
        x.unsqueeze(2)?
            .expand((b, kv, h / kv, tokens, head_dim))?
            .reshape((b, h, tokens, head_dim))?
            .contiguous()
    };
    let q = candle_nn::rotary_emb::rope_slow(&split(q, h)?, &cos, &sin)?; // (B, H, T, E)
    let k = repeat(&candle_nn::rotary_emb::rope_slow(&split(k, kv)?, &cos, &sin)?)?;
    let v = repeat(&split(v, kv)?)?;
    let causal: Vec<f64> = (0..tokens * tokens)
        .map(|i| if i % tokens > i / tokens { f64::NEG_INFINITY } else { 0.0 })
        .collect();
    let causal = Tensor::from_vec(causal, (tokens, tokens), q.device())?.to_dtype(q.dtype())?;
    let scores = (q.matmul(&k.t()?)? * (1.0 / (head_dim as f64).sqrt()))?.broadcast_add(&causal)?;
    let p = candle_nn::ops::softmax(&scores, D::Minus1)?; // (B, H, T, T)
    p.matmul(&v)?.transpose(1, 2)?.reshape((n, qw))
}

/// Twin of [`super::cross_entropy`].
///
/// # Errors
/// candle's.
pub fn cross_entropy(logits: &Tensor, targets: &[u32]) -> Result<Tensor> {
    let (n, _) = logits.dims2()?;
    let keep: Vec<u32> = (0..n as u32).filter(|&i| targets[i as usize] != IGNORE).collect();
    let targets: Vec<u32> = keep.iter().map(|&i| targets[i as usize]).collect();
    let count = keep.len();
    let device = logits.device();
    let rows = logits.index_select(&Tensor::from_vec(keep, count, device)?, 0)?;
    let log_p = candle_nn::ops::log_softmax(&rows, D::Minus1)?;
    log_p.gather(&Tensor::from_vec(targets, (count, 1), device)?, 1)?.mean_all()?.neg()
}

/// Twin of [`super::distillation`].
///
/// # Errors
/// candle's.
pub fn distillation(
    student: &Tensor,
    teacher: &Tensor,
    targets: &[u32],
    weight: f64,
    temperature: f64,
) -> Result<Distilled> {
    let ce = cross_entropy(student, targets)?;
    let (n, _) = student.dims2()?;
    let keep: Vec<u32> = (0..n as u32).filter(|&i| targets[i as usize] != IGNORE).collect();
    let count = keep.len();
    let keep = Tensor::from_vec(keep, count, student.device())?;
    let log = |x: &Tensor| -> Result<Tensor> {
        candle_nn::ops::log_softmax(&(x.index_select(&keep, 0)? / temperature)?, D::Minus1)
    };
    let (log_p, log_q) = (log(&teacher.detach())?, log(student)?);
    let divergence = (log_p.exp()? * (log_p - log_q)?)?.sum_all()?;
    let divergence = (divergence * (temperature * temperature / count as f64))?;
    let (cross_entropy, kl) = (number(&ce)?, number(&divergence)?);
    let loss = ((ce * (1.0 - weight))? + (divergence * weight)?)?;
    Ok(Distilled { loss, cross_entropy, divergence: kl })
}

/// Twin of [`super::lora`].
///
/// # Errors
/// candle's.
pub fn lora(w: &Tensor, a: &Tensor, b: &Tensor, scale: f64) -> Result<Tensor> {
    w.detach() + (b.matmul(a)? * scale)?
}

/// Twin of [`super::given`].
///
/// # Errors
/// candle's.
pub fn given(x: &Tensor, value: f64, grad: &Tensor) -> Result<Tensor> {
    let product = (x * grad)?.sum_all()?;
    (&product - product.detach())? + value
}

/// Twin of [`super::embedding`].
///
/// # Errors
/// candle's.
pub fn embedding(w: &Tensor, ids: &[u32]) -> Result<Tensor> {
    w.index_select(&Tensor::from_slice(ids, ids.len(), w.device())?, 0)
}

/// Twin of [`super::part`].
///
/// # Errors
/// candle's.
pub fn part(w: &Tensor, rows: Option<&[u32]>, cols: Option<&[u32]>) -> Result<Tensor> {
    let places = |list: &[u32]| Tensor::from_slice(list, list.len(), w.device());
    let w = match rows {
        Some(rows) => w.index_select(&places(rows)?, 0)?,
        None => w.clone(),
    };
    match cols {
        Some(cols) => w.index_select(&places(cols)?, 1),
        None => Ok(w),
    }
}

/// Twin of [`super::adam`].
///
/// # Errors
/// candle's.
pub fn adam(w: &Tensor, m: &Tensor, v: &Tensor, g: &Tensor, step: &AdamStep) -> Result<()> {
    let (b1, b2) = step.betas;
    let g = (g * step.grad_scale)?;
    let next_m = ((m * b1)? + (&g * (1.0 - b1))?)?;
    let next_v = ((v * b2)? + (g.sqr()? * (1.0 - b2))?)?;
    let first = (&next_m / (1.0 - b1.powf(step.t as f64)))?;
    let second = (&next_v / (1.0 - b2.powf(step.t as f64)))?;
    let change = (first / (second.sqrt()? + step.eps)?)?;
    let next_w = ((w * (1.0 - step.lr * step.weight_decay))? - (change * step.lr)?)?;
    for (var, next) in [(m, next_m), (v, next_v), (w, next_w)] {
        Var::from_tensor(var)?.set(&next.detach())?;
    }
    Ok(())
}
