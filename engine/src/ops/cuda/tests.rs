//! The kernels on the host beside the operations of the CPU: values and gradients, in both types.
//!
//! Every comparison runs twice, with threads and blocks in both orders, and the bits must be the same: a
//! missing barrier shows there. The oracle computes in f64 on the same rounded numbers.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use sha2::{Digest, Sha256};

use super::calls::{Attended, Heads, Kind, On, Sorted};
use super::emulated::{Elements, Host, folder, library, rounded};
use crate::ops::{self, AdamStep, IGNORE, RopeTable};
use crate::rng::Stream;

const KINDS: [Kind; 2] = [Kind::F32, Kind::Bf16];

/// How far a result may be from the oracle, as a share of the oracle's largest number. f32: sums of some
/// hundred terms in another order (1e-7 each) and the host's expf. bf16: a result is rounded once (2^-9);
/// `steps` is how many rounded numbers stand one behind the other on the way to it.
fn limit(kind: Kind, steps: usize) -> f64 {
    match kind {
        Kind::F32 => 4e-6,
        Kind::Bf16 => steps as f64 / 256.0,
    }
}

fn random(name: &str, shape: &[usize], zeros: bool, kind: Kind) -> Var {
    let mut stream = Stream::new(29, name, 0);
    let data: Vec<f64> = (0..shape.iter().product())
        .map(|i| if zeros && i % 3 == 1 { 0.0 } else { stream.normal() })
        .collect();
    let t = Tensor::from_vec(data, shape, &Device::Cpu).expect("a tensor");
    Var::from_tensor(&rounded(kind, &t)).expect("a variable")
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

#[track_caller]
fn near(what: &str, found: &Tensor, wanted: &Tensor, limit: f64) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let (found, wanted) = (numbers(found), numbers(wanted));
    let most = wanted.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let gap = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / most);
    let gap = gap.fold(0.0, |most, gap| if gap > most || gap.is_nan() { gap } else { most });
    assert!(gap <= limit, "{what} differs by {gap:e} of its largest number (limit {limit:e})");
}

/// Runs `body` in both orders where there is a compiler, and compares the bits.
fn both_orders(body: impl Fn(&Host) -> Vec<Tensor>) -> Option<Vec<Tensor>> {
    let library = library()?;
    let [first, second] = [false, true].map(|backwards| body(&Host { library, backwards }));
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(numbers(a), numbers(b), "the order of threads changes the bits");
    }
    Some(first)
}

fn run(result: candle_core::Result<()>) {
    result.expect("a launch");
}

/// The value of the oracle and its gradients under a probe, which is rounded too.
fn oracle(
    vars: &[&Var],
    kind: Kind,
    f: impl Fn(&[&Tensor]) -> candle_core::Result<Tensor>,
) -> (Tensor, Tensor, Vec<Tensor>) {
    let args: Vec<&Tensor> = vars.iter().map(|v| v.as_tensor()).collect();
    let y = f(&args).expect("the oracle");
    let probe = random("probe", y.dims(), false, kind);
    let store = (&y * probe.as_tensor()).and_then(|y| y.sum_all()?.backward()).expect("gradients");
    let grads = vars.iter().map(|v| store.get(v).expect("a gradient").clone()).collect();
    (y, probe.as_tensor().clone(), grads)
}

#[test]
fn the_committed_ptx_is_that_of_the_committed_kernels() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).expect(name);
    let list = read("kernels/kernels.txt");
    let source: String = list.lines().map(|name| read(&format!("kernels/{name}"))).collect();
    let sum: String =
        Sha256::digest(source.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let ptx = read("kernels.ptx");
    let written = ptx.lines().nth(1).and_then(|line| line.strip_prefix("// ")).unwrap_or_default();
    assert_eq!(written, sum, "the kernels changed: `engine/cuda/build.sh ptx` compiles them anew");
    let entries = ptx.lines().filter_map(|line| line.split_once(".entry ").map(|(_, name)| name));
    let mut entries: Vec<&str> = entries.map(|name| name.trim_end_matches('(')).collect();
    entries.sort_unstable();
    if let Some(library) = library() {
        assert_eq!(entries, library.names(), "the emulation has every kernel");
    }
}

#[test]
fn norms_equal_those_of_the_cpu_with_and_without_dropped_dimensions() {
    for kind in KINDS {
        for (n, d, zeros) in [(29, 33, false), (130, 96, true), (3, 8, true)] {
            let x = random("x", &[n, d], false, kind);
            let (w, z) = (random("w", &[d], false, kind), random("z", &[d], zeros, kind));
            let (y, g, grads) =
                oracle(&[&x, &w, &z], kind, |a| ops::rms_norm(a[0], a[1], a[2], 1e-5));
            let found = both_orders(|machine| {
                let on = On { machine, kind };
                let [x, w, z, g] = [&x, &w, &z, &g].map(|t| Elements::of(kind, t));
                let out = [n * d, n * d, d, d].map(|n| Elements::unset(kind, n));
                // SAFETY: elements of the sizes named.
                unsafe {
                    run(on.norm(x.at(), w.at(), z.at(), out[0].at(), (n, d), 1e-5));
                    let into = [out[1].at(), out[2].at(), out[3].at()];
                    run(on.norm_back([x.at(), w.at(), z.at(), g.at()], into, (n, d), 1e-5));
                }
                vec![
                    out[0].read(&[n, d]),
                    out[1].read(&[n, d]),
                    out[2].read(&[d]),
                    out[3].read(&[d]),
                ]
            });
            let Some(found) = found else { return };
            near("y", &found[0], &y, limit(kind, 1));
            for (i, grad) in grads.iter().enumerate() {
                near(&format!("gradient {i}"), &found[i + 1], grad, limit(kind, 1));
            }
        }
    }
}

#[test]
fn the_activation_equals_that_of_the_cpu() {
    for kind in KINDS {
        let (n, f) = (131, 40);
        let (g, u) = (random("g", &[n, f], false, kind), random("u", &[n, f], false, kind));
        let z = random("z", &[f], true, kind);
        let (y, probe, grads) = oracle(&[&g, &u, &z], kind, |a| ops::swiglu(a[0], a[1], a[2]));
        let found = both_orders(|machine| {
            let on = On { machine, kind };
            let [g, u, z, dy] = [&g, &u, &z, &probe].map(|t| Elements::of(kind, t));
            let out = [n * f, n * f, n * f, f].map(|n| Elements::unset(kind, n));
            // SAFETY: elements of the sizes named.
            unsafe {
                run(on.swiglu([g.at(), u.at(), z.at()], out[0].at(), (n, f)));
                let into = [out[1].at(), out[2].at(), out[3].at()];
                run(on.swiglu_back([g.at(), u.at(), z.at(), dy.at()], into, (n, f)));
            }
            vec![
                out[0].read(&[n, f]),
                out[1].read(&[n, f]),
                out[2].read(&[n, f]),
                out[3].read(&[f]),
            ]
        });
        let Some(found) = found else { return };
        near("y", &found[0], &y, limit(kind, 1));
        for (i, grad) in grads.iter().enumerate() {
            near(&format!("gradient {i}"), &found[i + 1], grad, limit(kind, 1));
        }
    }
}

#[test]
fn gates_on_columns_equal_those_of_the_cpu() {
    for kind in KINDS {
        for (n, gates, width) in [(131, 6, 4), (70, 3, 48), (9, 40, 1)] {
            let d = gates * width;
            let (x, o) = (random("x", &[n, d], false, kind), random("o", &[n, d], false, kind));
            let (z, f) = (random("z", &[gates], true, kind), random("f", &[d], true, kind));
            let (y, g, by) = oracle(&[&x, &z], kind, |a| ops::scale_columns(a[0], a[1]));
            let (sum, _, by_sum) = oracle(&[&o, &f], kind, |a| ops::gated_sum(&x, a[0], a[1]));
            let found = both_orders(|machine| {
                let on = On { machine, kind };
                let [x, o, z, f, g] = [&x, &o, &z, &f, &g].map(|t| Elements::of(kind, t));
                let out = [n * d, n * d, gates, n * d, n * d, d].map(|n| Elements::unset(kind, n));
                let at = |i: usize| out[i].at();
                // SAFETY: elements of the sizes named.
                unsafe {
                    run(on.scale_columns(x.at(), z.at(), at(0), (n, d), gates));
                    run(on.scale_columns_back(
                        [x.at(), z.at(), g.at()],
                        [at(1), at(2)],
                        (n, d),
                        gates,
                    ));
                    run(on.gated_sum([x.at(), o.at(), f.at()], at(3), (n, d)));
                    run(on.scale_columns_back([o.at(), f.at(), g.at()], [at(4), at(5)], (n, d), d));
                }
                let table = |i: usize| out[i].read(&[n, d]);
                vec![
                    table(0),
                    table(1),
                    out[2].read(&[gates]),
                    table(3),
                    table(4),
                    out[5].read(&[d]),
                ]
            });
            let Some(found) = found else { return };
            let wanted = [&y, &by[0], &by[1], &sum, &by_sum[0], &by_sum[1]];
            for (i, wanted) in wanted.into_iter().enumerate() {
                near(&format!("result {i}"), &found[i], wanted, limit(kind, 1));
            }
        }
    }
}

#[test]
fn losses_and_their_gradients_equal_those_of_the_cpu() {
    for kind in KINDS {
        let (n, v) = (21, 1003);
        let x = random("x", &[n, v], false, kind);
        let targets: Vec<u32> =
            (0..n as u32).map(|i| if i % 8 == 7 { IGNORE } else { (i * 7) % v as u32 }).collect();
        let wanted = ops::cross_entropy(&x, &targets).expect("the oracle");
        let grad = wanted.backward().expect("gradients").get(&x).expect("a gradient").clone();
        let counted = targets.iter().filter(|&&y| y != IGNORE).count() as f64;
        let found = both_orders(|machine| {
            let on = On { machine, kind };
            let (x, ids) = (Elements::of(kind, &x), Elements::of_ids(&targets));
            let (seen, losses) = (Elements::unset(Kind::F32, n), Elements::unset(Kind::F32, n));
            // SAFETY: elements of the sizes named.
            unsafe {
                run(on.cross_entropy(x.at(), ids.at(), seen.at(), (n, v), 0.0));
                run(on.cross_entropy(x.at(), ids.at(), losses.at(), (n, v), 1.0 / counted));
            }
            vec![losses.read(&[n]), seen.read(&[n]), x.read(&[n, v])]
        });
        let Some(found) = found else { return };
        assert_eq!(numbers(&found[0]), numbers(&found[1]), "with and without the gradient");
        let mean = numbers(&found[0]).iter().sum::<f64>() / counted;
        // The losses are f32 in both types.
        assert!((mean - numbers(&wanted)[0]).abs() < 1e-5, "{mean} and {wanted}");
        near("gradient", &found[2], &grad, limit(kind, 1));
        let ignored = found[2].get(7).expect("a row");
        assert!(numbers(&ignored).iter().all(|&g| g == 0.0));
    }
}

#[test]
fn a_loss_of_rubbish_is_no_number() {
    let (n, v) = (2, 70);
    let mut x = vec![0.5f64; n * v];
    (x[3], x[v + 4]) = (f64::NAN, f64::INFINITY);
    let x = Tensor::from_vec(x, (n, v), &Device::Cpu).expect("x");
    let found = both_orders(|machine| {
        let (x, ids) = (Elements::of(Kind::F32, &x), Elements::of_ids(&[1, 2]));
        let losses = Elements::unset(Kind::F32, n);
        let on = On { machine, kind: Kind::F32 };
        // SAFETY: elements of the sizes named.
        run(unsafe { on.cross_entropy(x.at(), ids.at(), losses.at(), (n, v), 0.0) });
        let finite = numbers(&losses.read(&[n])).iter().map(|l| f64::from(l.is_finite())).collect();
        vec![Tensor::from_vec::<_, f64>(finite, n, &Device::Cpu).expect("flags")]
    });
    let Some(found) = found else { return };
    assert_eq!(numbers(&found[0]), [0.0, 0.0]);
}

#[test]
fn attention_equals_that_of_the_cpu_with_shared_heads_odd_lengths_and_every_width() {
    for kind in KINDS {
        // Widths of 8 and more in eights go to the tensor cores in bf16; 6 and 20 do not.
        for (t, h, k, e) in [
            (16, 4, 4, 8),
            (70, 4, 2, 6),
            (131, 2, 1, 64),
            (97, 2, 2, 128),
            (65, 3, 1, 80),
            (33, 2, 2, 20),
        ] {
            let b = 2;
            let frequencies: Vec<f64> =
                (0..e / 2).map(|i| 1e4f64.powf(-2.0 * i as f64 / e as f64)).collect();
            let rope = Arc::new(RopeTable::new(&frequencies, t));
            let q = random("q", &[b * t, h * e], false, kind);
            let (key, v) = (
                random("k", &[b * t, k * e], false, kind),
                random("v", &[b * t, k * e], false, kind),
            );
            let (y, g, grads) =
                oracle(&[&q, &key, &v], kind, |a| ops::attention(a[0], a[1], a[2], t, e, &rope));
            let s = Heads { b, t, h, k, e };
            let (cos, sin) = rope.tensors(0, t, DType::F64, &Device::Cpu).expect("tables");
            let found = both_orders(|machine| {
                let on = On { machine, kind };
                let [q, key, v, g] = [q.as_tensor(), key.as_tensor(), v.as_tensor(), &g]
                    .map(|x| Elements::of(kind, x));
                let tables = [&cos, &sin].map(|x| Elements::of(Kind::F32, x));
                let tables = (&tables[0], &tables[1]);
                let angles = (tables.0.at(), tables.1.at());
                let (wide, narrow) = (b * t * h * e, b * t * k * e);
                let out =
                    [wide, narrow, wide, wide, narrow, narrow].map(|n| Elements::unset(kind, n));
                let lse = Elements::unset(Kind::F32, b * t * h);
                let of = Attended {
                    q: out[0].at(),
                    k: out[1].at(),
                    v: v.at(),
                    out: out[2].at(),
                    lse: lse.at(),
                };
                // SAFETY: elements of the sizes named.
                unsafe {
                    run(on.rope((q.at(), of.q), angles, s, h, false));
                    run(on.rope((key.at(), of.k), angles, s, k, false));
                    run(on.attention(of, s));
                    let [dq, dk, dv] = [out[3].at(), out[4].at(), out[5].at()];
                    run(on.attention_back(of, g.at(), [dq, dk, dv], s));
                    run(on.rope((dq, dq), angles, s, h, true));
                    run(on.rope((dk, dk), angles, s, k, true));
                }
                assert!(numbers(&lse.read(&[b * t * h])).iter().all(|x| x.is_finite()));
                vec![
                    out[2].read(&[b * t, h * e]),
                    out[3].read(&[b * t, h * e]),
                    out[4].read(&[b * t, k * e]),
                    out[5].read(&[b * t, k * e]),
                ]
            });
            let Some(found) = found else { return };
            let case = format!("{kind:?} t {t} h {h} k {k} e {e}");
            // In bf16: turned operands, weights, their gradient and the result are rounded.
            near(&format!("{case}: context"), &found[0], &y, limit(kind, 3));
            for (i, grad) in grads.iter().enumerate() {
                near(&format!("{case}: gradient {i}"), &found[i + 1], grad, limit(kind, 6));
            }
        }
    }
}

#[test]
fn adam_with_masters_equals_that_of_the_cpu_over_steps() {
    for kind in KINDS {
        let n = 2500;
        let w = random("w", &[n], false, kind);
        let zeros = || Var::zeros(n, DType::F64, &Device::Cpu).expect("zeros");
        let (oracle, m1, v1) =
            (Var::from_tensor(&w.copy().expect("w")).expect("w"), zeros(), zeros());
        let steps: Vec<(AdamStep, Var)> = (1..=5)
            .map(|t| {
                let step = AdamStep {
                    lr: 0.01,
                    betas: (0.9, 0.95),
                    eps: 1e-8,
                    weight_decay: 0.1,
                    t,
                    grad_scale: 0.5,
                };
                (step, random(&format!("g{t}"), &[n], false, kind))
            })
            .collect();
        for (step, g) in &steps {
            ops::adam(&oracle, &m1, &v1, g, step).expect("the oracle");
        }
        let found = both_orders(|machine| {
            let on = On { machine, kind };
            let master = Elements::of(Kind::F32, &w);
            let rounded = Elements::unset(kind, n);
            let (m, v) = (Elements::zeros(Kind::F32, n), Elements::zeros(Kind::F32, n));
            for (step, g) in &steps {
                let g = Elements::of(kind, g);
                let places = [master.at(), rounded.at(), m.at(), v.at(), g.at()];
                // SAFETY: elements of the sizes named.
                run(unsafe { on.adam(places, n, step) });
            }
            vec![master.read(&[n]), rounded.read(&[n]), m.read(&[n]), v.read(&[n])]
        });
        let Some(found) = found else { return };
        // Master and moments are f32 in both types: five steps of rounding.
        near("master", &found[0], &oracle, 4e-6);
        near("first moment", &found[2], &m1, 4e-6);
        near("second moment", &found[3], &v1, 4e-6);
        near("weights", &found[1], &oracle, limit(kind, 1));
    }
}

#[test]
fn sums_of_squares_equal_those_of_the_cpu() {
    for kind in KINDS {
        let n = 200_003;
        let x = random("x", &[n], false, kind);
        let wanted = ops::sum_of_squares(&x).expect("the oracle");
        let found = both_orders(|machine| {
            let (x, mut sum) = (Elements::of(kind, &x), vec![0f64]);
            // The kernel writes behind the compiler's back.
            let at = std::hint::black_box(&mut sum).as_mut_ptr() as u64;
            // SAFETY: elements of the sizes named.
            run(unsafe { On { machine, kind }.squares(x.at(), n, at) });
            let sum = std::hint::black_box(sum);
            vec![Tensor::from_slice(&sum, 1, &Device::Cpu).expect("a number")]
        });
        let Some(found) = found else { return };
        // f64 sums of 200,000 terms.
        assert!((numbers(&found[0])[0] / wanted - 1.0).abs() < 1e-12);
    }
}

#[test]
fn embeddings_and_parts_of_matrices_equal_those_of_the_cpu() {
    for kind in KINDS {
        let (vocab, d) = (50, 33);
        let w = random("w", &[vocab, d], false, kind);
        let ids: Vec<u32> = (0..70u32).map(|i| i * i % 13 * 3).collect();
        let n = ids.len();
        let at = Tensor::from_slice(&ids, n, &Device::Cpu).expect("ids");
        let (y, g, grads) = oracle(&[&w], kind, |a| a[0].index_select(&at, 0));
        let (rows, cols) = ([3u32, 4, 9, 40], [0u32, 5, 6, 32]);
        let of = |list: &[u32]| Tensor::from_slice(list, list.len(), &Device::Cpu).expect("places");
        let (rows_at, cols_at) = (of(&rows), of(&cols));
        let (part, by_part, part_grads) =
            oracle(&[&w], kind, |a| a[0].index_select(&rows_at, 0)?.index_select(&cols_at, 1));
        let sorted = Sorted::new(&ids);
        let found = both_orders(|machine| {
            let on = On { machine, kind };
            let [w, g, by_part] = [w.as_tensor(), &g, &by_part].map(|t| Elements::of(kind, t));
            let (ids, lists) = (Elements::of_ids(&ids), Elements::of_ids(&sorted.lists()));
            let (rows, cols) = (Elements::of_ids(&rows), Elements::of_ids(&cols));
            let out = [n * d, 16, vocab * d].map(|n| Elements::unset(kind, n));
            let zeros = [vocab * d, vocab * d].map(|n| Elements::zeros(kind, n));
            let places = (rows.at(), cols.at());
            // SAFETY: elements of the sizes named.
            unsafe {
                run(on.embed(w.at(), ids.at(), out[0].at(), (n, d)));
                run(on.embed_back(g.at(), lists.at(), &sorted, zeros[0].at(), d));
                run(on.gather(w.at(), places, out[1].at(), (4, 4), d));
                run(on.scatter(by_part.at(), places, zeros[1].at(), (4, 4), d));
                run(on.gather(w.at(), (0, 0), out[2].at(), (vocab, d), d));
            }
            let whole = |x: &Elements| x.read(&[vocab, d]);
            vec![
                out[0].read(&[n, d]),
                whole(&zeros[0]),
                out[1].read(&[4, 4]),
                whole(&zeros[1]),
                whole(&out[2]),
            ]
        });
        let Some(found) = found else { return };
        let wanted = [&y, &grads[0], &part, &part_grads[0], w.as_tensor()];
        for (i, wanted) in wanted.into_iter().enumerate() {
            // Copies are exact; sums are rounded once.
            near(
                &format!("result {i}"),
                &found[i],
                wanted,
                if i == 1 { limit(kind, 1) } else { 0.0 },
            );
        }
    }
}
