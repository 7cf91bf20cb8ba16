//! Every operation on a CUDA device beside the CPU, through the graph: values and gradients, both types.
//!
//! Runs where `cuda:0` works, and says plainly where it does not. Without a GPU `engine/cuda/build.sh made-up`
//! runs it on a driver that computes on the host.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};

use crate::device::device;
use crate::ops::{self, AdamStep, IGNORE, RopeTable};
use crate::rng::Stream;

/// The device, or a line that says why nothing is checked.
fn gpu(what: &str) -> Option<Device> {
    match device("cuda:0") {
        Ok(device) => Some(device),
        Err(error) => {
            eprintln!("NOT CHECKED on a GPU: {what}: {error}");
            None
        }
    }
}

const TYPES: [DType; 2] = [DType::F32, DType::BF16];

/// As in `tests.rs`; in f32 a device's own exp and division may differ in the last places.
fn limit(dtype: DType, steps: usize) -> f64 {
    if dtype == DType::F32 { 2e-5 } else { steps as f64 / 256.0 }
}

fn random(name: &str, shape: &[usize], zeros: bool, dtype: DType) -> Tensor {
    let mut stream = Stream::new(31, name, 0);
    let data: Vec<f64> = (0..shape.iter().product())
        .map(|i| if zeros && i % 3 == 1 { 0.0 } else { stream.normal() })
        .collect();
    let t = Tensor::from_vec(data, shape, &Device::Cpu).and_then(|t| t.to_dtype(dtype));
    t.and_then(|t| t.to_dtype(DType::F64)).expect("a tensor")
}

fn host(t: &Tensor) -> Vec<f64> {
    let t =
        t.to_device(&Device::Cpu).and_then(|t| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1());
    t.expect("numbers")
}

#[track_caller]
fn near(what: &str, found: &Tensor, wanted: &Tensor, limit: f64) {
    assert_eq!(found.dims(), wanted.dims(), "{what}");
    let (found, wanted) = (host(found), host(wanted));
    let most = wanted.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let gap = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs() / most);
    let gap = gap.fold(0.0, |most, gap| if gap > most || gap.is_nan() { gap } else { most });
    assert!(gap <= limit, "{what} differs by {gap:e} of its largest number (limit {limit:e})");
}

/// Value and gradients under a probe.
fn through(args: &[Tensor], f: &dyn Fn(&[&Tensor]) -> Result<Tensor>) -> Result<Vec<Tensor>> {
    let vars: Vec<Var> = args.iter().map(Var::from_tensor).collect::<Result<_>>()?;
    let y = f(&vars.iter().map(Var::as_tensor).collect::<Vec<_>>())?;
    let dtype = if y.rank() == 0 { y.dtype() } else { args[0].dtype() };
    let probe = random("probe", y.dims(), false, DType::BF16).to_dtype(dtype)?;
    let probe = probe.to_device(y.device())?;
    let mut store = (&y * &probe)?.sum_all()?.backward()?;
    let grads = vars.iter().map(|v| store.remove(v).expect("a gradient"));
    Ok(std::iter::once(y.detach()).chain(grads).collect())
}

fn agree(
    what: &str,
    gpu: &Device,
    args: &[(&[usize], bool)],
    steps: usize,
    f: impl Fn(&[&Tensor]) -> Result<Tensor>,
) {
    for dtype in TYPES {
        let args: Vec<Tensor> = args
            .iter()
            .enumerate()
            .map(|(i, (shape, zeros))| random(&format!("{what}{i}"), shape, *zeros, dtype))
            .collect();
        let there: Vec<Tensor> = args
            .iter()
            .map(|t| t.to_dtype(dtype).and_then(|t| t.to_device(gpu)).expect("a copy"))
            .collect();
        let wanted = through(&args, &f).expect("the oracle");
        let found = through(&there, &f).unwrap_or_else(|error| panic!("{what} {dtype:?}: {error}"));
        for (i, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            near(&format!("{what} {dtype:?}, result {i}"), found, wanted, limit(dtype, steps));
        }
    }
}

#[test]
fn every_operation_on_a_device_equals_that_of_the_cpu() {
    let Some(gpu) = gpu("the operations") else { return };
    let (n, d, f) = (70, 48, 40);
    agree("linear", &gpu, &[(&[n, d], false), (&[f, d], false)], 2, |a| ops::linear(a[0], a[1]));
    agree("norm", &gpu, &[(&[n, d], false), (&[d], false), (&[d], true)], 2, |a| {
        ops::rms_norm(a[0], a[1], a[2], 1e-5)
    });
    agree("swiglu", &gpu, &[(&[n, f], false), (&[n, f], false), (&[f], true)], 2, |a| {
        ops::swiglu(a[0], a[1], a[2])
    });
    agree("columns", &gpu, &[(&[n, d], false), (&[6], true)], 2, |a| {
        ops::scale_columns(a[0], a[1])
    });
    agree("sum", &gpu, &[(&[n, d], false), (&[n, d], false), (&[d], true)], 2, |a| {
        ops::gated_sum(a[0], a[1], a[2])
    });
    let ids: Vec<u32> = (0..90u32).map(|i| i * i % 29).collect();
    agree("embedding", &gpu, &[(&[n, d], false)], 2, |a| ops::embedding(a[0], &ids));
    agree("part", &gpu, &[(&[n, d], false)], 1, |a| {
        ops::part(a[0], Some(&[3, 5, 60]), Some(&[0, 40]))
    });
    agree("rows", &gpu, &[(&[n, d], false)], 1, |a| ops::part(a[0], Some(&[3, 5, 60]), None));
    let targets: Vec<u32> =
        (0..n as u32).map(|i| if i % 8 == 7 { IGNORE } else { i % 40 }).collect();
    agree("loss", &gpu, &[(&[n, f], false)], 2, |a| ops::cross_entropy(a[0], &targets));
    let shapes = [(70, 35, 4, 2, 8), (70, 70, 2, 1, 64), (70, 35, 2, 2, 80), (70, 35, 2, 1, 6)];
    // The last ones are lengths that cuDNN takes.
    for (n, t, h, k, e) in shapes.into_iter().chain([(256, 128, 4, 2, 16), (128, 128, 2, 2, 64)]) {
        let rope: Vec<f64> = (0..e / 2).map(|i| 1e4f64.powf(-2.0 * i as f64 / e as f64)).collect();
        let rope = Arc::new(RopeTable::new(&rope, t));
        let wide = [n, h * e];
        let narrow = [n, k * e];
        let args: [(&[usize], bool); 3] = [(&wide, false), (&narrow, false), (&narrow, false)];
        agree(&format!("attention {t} {e}"), &gpu, &args, 6, |a| {
            ops::attention(a[0], a[1], a[2], t, e, &rope)
        });
    }
    for line in ops::attention_kernels(&gpu) {
        eprintln!("attention: {line}");
    }
}

#[test]
fn losses_norms_and_updates_on_a_device_equal_those_of_the_cpu() {
    let Some(gpu) = gpu("losses of rows, norms of gradients, AdamW") else { return };
    for dtype in TYPES {
        let there =
            |t: &Tensor, dtype| t.to_dtype(dtype).and_then(|t| t.to_device(&gpu)).expect("a copy");
        let x = random("logits", &[20, 77], false, dtype);
        let targets: Vec<u32> =
            (0..20u32).map(|i| if i % 8 == 7 { IGNORE } else { i * 3 }).collect();
        let (a, b) =
            (ops::token_losses(&x, &targets), ops::token_losses(&there(&x, dtype), &targets));
        for (a, b) in a.expect("losses").iter().zip(b.expect("losses")) {
            assert!((a - b).abs() < 1e-5, "{a} and {b}");
        }
        let (a, b) = (ops::sum_of_squares(&x), ops::sum_of_squares(&there(&x, dtype)));
        assert!((b.expect("a sum") / a.expect("a sum") - 1.0).abs() < 1e-12);
        let g = random("gradient", &[300], false, dtype);
        let w = random("weights", &[300], false, dtype);
        let zeros = |device: &Device, dtype| Tensor::zeros(300, dtype, device).expect("zeros");
        let (m, v) = (zeros(&Device::Cpu, DType::F64), zeros(&Device::Cpu, DType::F64));
        let (m_there, v_there) = (zeros(&gpu, DType::F32), zeros(&gpu, DType::F32));
        let (master, rounded) = (there(&w, DType::F32), there(&w, dtype));
        let step = AdamStep {
            lr: 0.01,
            betas: (0.9, 0.95),
            eps: 1e-8,
            weight_decay: 0.1,
            t: 1,
            grad_scale: 0.5,
        };
        ops::adam(&w, &m, &v, &g, &step).expect("the oracle");
        let on_gpu =
            ops::adam_master(&master, &rounded, &m_there, &v_there, &there(&g, dtype), &step);
        on_gpu.expect("an update");
        near("master", &master, &w, 2e-6);
        near("moment", &v_there, &v, 2e-6);
        near("weights", &rounded, &w, limit(dtype, 1));
    }
}
