//! Every fused operation against its plain twin, forward and backward, in f64 and f32.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::*;
use crate::rng::Stream;

/// A random tensor; some elements exactly 0 when `zeros` is set.
fn random(name: &str, shape: &[usize], zeros: bool, dtype: DType) -> Var {
    let mut stream = Stream::new(17, name, 0);
    let data: Vec<f64> = (0..shape.iter().product())
        .map(|i| if zeros && i % 3 == 1 { 0.0 } else { stream.normal() })
        .collect();
    let t = Tensor::from_vec(data, shape, &Device::Cpu).and_then(|t| t.to_dtype(dtype));
    Var::from_tensor(&t.expect("tensor")).expect("var")
}

/// f64: rounding of sums of a few hundred terms. f32: the same, and the polynomial exponential (1e-7).
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 2e-5 }
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let gap = (a - b)
        .and_then(|d| d.abs()?.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>());
    gap.expect("distance")
}

/// Compares value and every gradient of `fused` and `plain` under a random probe.
fn agree(
    vars: &[&Var],
    fused: impl Fn(&[&Tensor]) -> Result<Tensor>,
    plain: impl Fn(&[&Tensor]) -> Result<Tensor>,
) {
    let args: Vec<&Tensor> = vars.iter().map(|v| v.as_tensor()).collect();
    let dtype = args[0].dtype();
    let (a, b) = (fused(&args).expect("fused"), plain(&args).expect("plain"));
    let limit = tolerance(dtype)
        * (1.0
            + b.abs()
                .and_then(|b| b.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>())
                .expect("size"));
    let gap = distance(&a, &b);
    assert!(gap <= limit, "value differs by {gap:e} (limit {limit:e}, {dtype:?})");
    let probe = random("probe", a.dims(), false, dtype);
    let grads = |y: &Tensor| {
        (y * probe.as_tensor()).and_then(|y| y.sum_all()?.backward()).expect("backward")
    };
    let (ga, gb) = (grads(&a), grads(&b));
    for (i, v) in vars.iter().enumerate() {
        let (a, b) = (ga.get(v).expect("fused gradient"), gb.get(v).expect("plain gradient"));
        let scale = b
            .abs()
            .and_then(|b| b.flatten_all()?.max(0)?.to_dtype(DType::F64)?.to_scalar::<f64>())
            .expect("size");
        let (gap, limit) = (distance(a, b), 20.0 * tolerance(dtype) * (1.0 + scale));
        assert!(gap <= limit, "gradient {i} differs by {gap:e} (limit {limit:e}, {dtype:?})");
    }
}

fn both(check: impl Fn(DType)) {
    check(DType::F64);
    check(DType::F32);
}

#[test]
fn linear_equals_its_twin() {
    both(|t| {
        let (x, w) = (random("x", &[37, 24], false, t), random("w", &[50, 24], false, t));
        agree(&[&x, &w], |a| linear(a[0], a[1]), |a| plain::linear(a[0], a[1]));
    });
}

#[test]
fn rms_norm_equals_its_twin_with_and_without_dropped_dimensions() {
    both(|t| {
        for (zeros, d) in [(false, 33), (true, 48), (true, 8)] {
            let (x, w, z) = (
                random("x", &[29, d], false, t),
                random("w", &[d], false, t),
                random("z", &[d], zeros, t),
            );
            agree(
                &[&x, &w, &z],
                |a| rms_norm(a[0], a[1], a[2], 1e-5),
                |a| plain::rms_norm(a[0], a[1], a[2], 1e-5),
            );
        }
    });
}

#[test]
fn gates_on_columns_equal_their_twins() {
    both(|t| {
        let (x, o) = (random("x", &[31, 24], false, t), random("o", &[31, 24], false, t));
        let (z, f) = (random("z", &[6], true, t), random("f", &[24], true, t));
        agree(&[&x, &z], |a| scale_columns(a[0], a[1]), |a| plain::scale_columns(a[0], a[1]));
        agree(
            &[&x, &o, &f],
            |a| gated_sum(a[0], a[1], a[2]),
            |a| plain::gated_sum(a[0], a[1], a[2]),
        );
    });
}

#[test]
fn swiglu_equals_its_twin() {
    both(|t| {
        let (g, u, z) = (
            random("g", &[31, 40], false, t),
            random("u", &[31, 40], false, t),
            random("z", &[40], true, t),
        );
        agree(&[&g, &u, &z], |a| swiglu(a[0], a[1], a[2]), |a| plain::swiglu(a[0], a[1], a[2]));
    });
}

#[test]
fn attention_equals_its_twin_with_shared_kv_heads_and_odd_lengths() {
    both(|t| {
        for (tokens, heads, kv) in [(16, 4, 4), (70, 4, 2), (130, 6, 1)] {
            let e = 8;
            let frequencies: Vec<f64> =
                (0..e / 2).map(|i| 1e4f64.powf(-2.0 * i as f64 / e as f64)).collect();
            let rope = Arc::new(RopeTable::new(&frequencies, tokens));
            let q = random("q", &[2 * tokens, heads * e], false, t);
            let k = random("k", &[2 * tokens, kv * e], false, t);
            let v = random("v", &[2 * tokens, kv * e], false, t);
            agree(
                &[&q, &k, &v],
                |a| attention(a[0], a[1], a[2], tokens, e, &rope),
                |a| plain::attention(a[0], a[1], a[2], tokens, e, &rope),
            );
        }
    });
}

#[test]
fn cross_entropy_equals_its_twin_and_ignores_marked_positions() {
    both(|t| {
        let x = random("x", &[40, 97], false, t);
        let targets: Vec<u32> =
            (0..40).map(|i| if i % 16 == 15 { IGNORE } else { (i * 7) % 97 }).collect();
        agree(&[&x], |a| cross_entropy(a[0], &targets), |a| plain::cross_entropy(a[0], &targets));
        let losses = token_losses(&x, &targets).expect("losses");
        let mean = cross_entropy(&x, &targets)
            .and_then(|l| l.to_dtype(DType::F64)?.to_scalar::<f64>())
            .expect("mean");
        assert_eq!(losses.len(), 38);
        assert!((losses.iter().sum::<f64>() / 38.0 - mean).abs() < tolerance(t));
    });
}

#[test]
fn adam_equals_its_twin_over_steps() {
    both(|t| {
        let zeros = || Var::zeros(100, t, &Device::Cpu).expect("zeros");
        let (w1, m1, v1) = (random("w", &[100], false, t), zeros(), zeros());
        let (w2, m2, v2) = (random("w", &[100], false, t), zeros(), zeros());
        for k in 1..=5 {
            let g = random(&format!("g{k}"), &[100], false, t);
            let step = AdamStep {
                lr: 0.01,
                betas: (0.9, 0.95),
                eps: 1e-8,
                weight_decay: 0.1,
                t: k,
                grad_scale: 0.5,
            };
            adam(&w1, &m1, &v1, &g, &step).expect("fused");
            plain::adam(&w2, &m2, &v2, &g, &step).expect("plain");
        }
        assert!(distance(&w1, &w2) < tolerance(t) * 10.0);
    });
}

#[test]
fn fused_operations_give_the_same_bits_each_time() {
    let (x, w, z) = (
        random("x", &[4096, 64], false, DType::F32),
        random("w", &[64], false, DType::F32),
        random("z", &[64], true, DType::F32),
    );
    let once = || {
        let y = rms_norm(&x, &w, &z, 1e-5).expect("norm");
        let grads = y.sqr().and_then(|y| y.sum_all()?.backward()).expect("backward");
        let bits = |t: &Tensor| {
            t.flatten_all()
                .and_then(|t| t.to_vec1::<f32>())
                .expect("bits")
                .iter()
                .map(|x| x.to_bits())
                .collect::<Vec<_>>()
        };
        (bits(&y), bits(grads.get(&w).expect("dw")), bits(grads.get(&z).expect("dz")))
    };
    assert_eq!(once(), once());
}
