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
        // Less than a block of rows and some more, a panel and some more, two panels.
        let cases =
            [(16, 4, 4, 8), (70, 4, 2, 8), (130, 6, 1, 20), (270, 2, 1, 48), (290, 1, 1, 16)];
        for (tokens, heads, kv, e) in cases {
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
fn distillation_equals_its_twin_and_its_parts_add_up() {
    both(|t| {
        let (x, y) = (random("x", &[40, 97], false, t), random("y", &[40, 97], false, t));
        let y = (y.detach() * 3.0).expect("teacher");
        let targets: Vec<u32> =
            (0..40).map(|i| if i % 16 == 15 { IGNORE } else { (i * 7) % 97 }).collect();
        for (weight, temperature) in [(0.3, 1.0), (0.5, 2.5), (1.0, 0.7)] {
            let fused = |x: &Tensor| distillation(x, &y, &targets, weight, temperature);
            let twin = |x: &Tensor| plain::distillation(x, &y, &targets, weight, temperature);
            agree(&[&x], |a| Ok(fused(a[0])?.loss), |a| Ok(twin(a[0])?.loss));
            let (a, b) = (fused(&x).expect("fused"), twin(&x).expect("twin"));
            // The largest value is some 10 nats.
            let limit = 10.0 * tolerance(t);
            assert!((a.cross_entropy - b.cross_entropy).abs() < limit);
            assert!((a.divergence - b.divergence).abs() < limit);
        }
        let same = distillation(&x, &x.detach(), &targets, 1.0, 2.0).expect("same");
        assert_eq!(same.divergence, 0.0);
        let ce = cross_entropy(&x, &targets).and_then(|l| l.to_dtype(DType::F64)?.to_scalar());
        assert!((same.cross_entropy - ce.unwrap_or(f64::NAN)).abs() < tolerance(t) * 10.0);
    });
}

#[test]
fn the_gradient_of_distillation_is_the_slope_of_its_loss() {
    let (x, y) = (random("x", &[3, 7], false, DType::F64), random("y", &[3, 7], false, DType::F64));
    let targets = [2, IGNORE, 6];
    let loss = |x: &Tensor| distillation(x, &y.detach(), &targets, 0.4, 1.7).expect("loss").loss;
    let grads = loss(&x).backward().expect("backward");
    let grad = grads.get(&x).and_then(|g| g.flatten_all().ok()?.to_vec1::<f64>().ok());
    let grad = grad.expect("gradient");
    let base = x.flatten_all().and_then(|x| x.to_vec1::<f64>()).expect("numbers");
    for i in 0..base.len() {
        let at = |h: f64| {
            let mut moved = base.clone();
            moved[i] += h;
            let x = Tensor::from_vec(moved, (3, 7), &Device::Cpu).expect("x");
            loss(&x).to_scalar::<f64>().expect("number")
        };
        let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
        // Central differences: an error of h² times the third derivative, and rounding over h.
        assert!((slope - grad[i]).abs() < 1e-9, "{i}: {slope} and {}", grad[i]);
    }
}

#[test]
fn a_low_rank_change_equals_its_twin_and_one_of_0_is_the_weight_to_the_bit() {
    both(|t| {
        let w = random("w", &[50, 24], false, t).detach();
        let (a, b) = (random("a", &[4, 24], false, t), random("b", &[50, 4], false, t));
        agree(&[&a, &b], |v| lora(&w, v[0], v[1], 2.0), |v| plain::lora(&w, v[0], v[1], 2.0));
        let zero = b.zeros_like().and_then(|b| lora(&w, &a, &b, 2.0)).expect("sum");
        assert_eq!(distance(&zero, &w), 0.0);
    });
}

#[test]
fn a_frozen_weight_costs_no_gradient_and_changes_none() {
    both(|t| {
        let (x, w) = (random("x", &[37, 24], false, t), random("w", &[50, 24], false, t));
        let grads = |w: &Tensor| {
            linear(&x, w).and_then(|y| y.sqr()?.sum_all()?.backward()).expect("backward")
        };
        let frozen = w.detach();
        let (learned, without) = (grads(&w), grads(&frozen));
        assert!(without.get(&frozen).is_none());
        let of = |g: &candle_core::backprop::GradStore| g.get(&x).expect("dx").clone();
        assert_eq!(distance(&of(&learned), &of(&without)), 0.0);
    });
}

#[test]
fn a_given_number_has_the_given_gradient() {
    both(|t| {
        let (x, g) = (random("x", &[5, 3], false, t), random("g", &[5, 3], false, t));
        let y = given(&x, 2.5, &g.detach()).expect("y");
        let grads = (&y * 2.0).and_then(|y| y.backward()).expect("backward");
        let twice = (g.as_tensor() * 2.0).expect("twice");
        assert_eq!(distance(grads.get(&x).expect("dx"), &twice), 0.0);
        assert_eq!(y.to_dtype(DType::F64).and_then(|y| y.to_scalar::<f64>()).expect("y"), 2.5);
        assert!(given(&x, 0.0, &g.t().expect("turned")).is_err());
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
