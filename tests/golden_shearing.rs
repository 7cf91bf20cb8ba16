//! The engine beside the public reference implementation of the shearing method, number by number.
//!
//! The fixtures come from runs of the reference code on a tiny network in f64 with recorded noise
//! (`golden/shearing/README.md`). Every test runs over whatever a folder of that form holds; what
//! it lacks is printed as `not run`. `WOOLSHED_GOLDEN` names another folder that holds `shearing/`.
//! With `--nocapture` every group of numbers prints its worst deviation.
//!
//! | file | what it compares |
//! |---|---|
//! | `l0.rs` | sampling, probabilities, deterministic masks, the Lagrangian and all its gradients |
//! | `forward.rs` | logits, losses, gradients by masks and by weights, f64 and f32 |
//! | `extract.rs` | kept structure, folded weights, logits of the cut model |
//! | `trajectories.rs` | every figure of every optimiser step, and the end of the run |

#[path = "support/golden.rs"]
mod golden;

#[path = "golden_shearing/extract.rs"]
mod extract;
#[path = "golden_shearing/forward.rs"]
mod forward;
#[path = "golden_shearing/l0.rs"]
mod l0;
#[path = "golden_shearing/trajectories.rs"]
mod trajectories;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use golden::{Comparison, number};
use serde_json::Value;
use woolshed_engine::gate::{GateTensors, GateValues, Gates, Table};
use woolshed_engine::model::forward::{Forward, next_tokens};
use woolshed_engine::model::{Model, Weights};
use woolshed_engine::ops::cross_entropy;

/// Limit of one evaluation in f64: the fixtures were computed a second time, from the text of the
/// method, and agreed to 1e-13.
const EXACT: f64 = 1e-12;

/// One forward and backward pass with masks handed in.
struct Pass {
    logits: Vec<f64>,
    loss: f64,
    weights: Weights,
    gates: Option<GateTensors>,
    grads: GradStore,
}

fn pass(model: &Model, values: Option<&GateValues>, (ids, tokens): &(Vec<u32>, usize)) -> Pass {
    let variable = |t: &Tensor| Var::from_tensor(t).map(|v| v.as_tensor().clone());
    let weights = model.weights.map(variable).expect("variables");
    let on_device =
        |v: &GateValues| v.tensors(&model.shape(), model.dtype(), weights.embed.device());
    let gates = values.map(on_device).transpose().expect("gates");
    let forward = Forward::new(&weights, &model.config, *tokens);
    let forward = match &gates {
        Some(gates) => forward.gated(gates),
        None => forward,
    };
    let logits = forward.logits(ids, *tokens).expect("logits");
    let loss = cross_entropy(&logits, &next_tokens(ids, *tokens)).expect("loss");
    let grads = loss.backward().expect("gradients");
    Pass { logits: numbers(&logits), loss: numbers(&loss)[0], weights, gates, grads }
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

/// The places of exact zeros.
fn zeros(z: &[f64]) -> Vec<usize> {
    (0..z.len()).filter(|&i| z[i] == 0.0).collect()
}

/// Compares expected and target sparsities: of each kind, and expected of all prunable parameters.
fn compare_info(
    compare: &mut Comparison,
    at: &str,
    gates: &Gates,
    (expected, target, overall): (&[f64], Option<&[f64]>, f64),
    info: &Value,
    limit: f64,
) {
    for (i, kind) in gates.kinds().iter().enumerate() {
        let want = number(info, &format!("expected_{kind}_sparsity"));
        compare.number("expected sparsity", at, expected[i], want, limit);
        if let Some(target) = target {
            let want = number(info, &format!("target_{kind}_sparsity"));
            compare.number("target sparsity", at, target[i], want, limit);
        }
    }
    compare.number("overall sparsity", at, overall, number(info, "expected_sparsity"), limit);
}

/// Compares deterministic masks row by row, values and places of zeros.
///
/// Where the cut falls among gates whose log-alphas differ by less than `limit`, the reference
/// takes whatever its top-k kernel returns. The places are open there, the values are not: those
/// gates are compared in order of size.
fn compare_masks(
    compare: &mut Comparison,
    at: &str,
    gates: &Gates,
    table: &Table,
    got: &[f64],
    want: &[f64],
    limit: f64,
) {
    assert_eq!(got.len(), want.len(), "{at}: number of gates");
    let rows = got.chunks(table.width).zip(want.chunks(table.width));
    let log_alpha: Vec<f64> =
        table.log_alpha.iter().map(|&a| gates.distribution.clamp(a)).collect();
    for (log_alpha, (got, want)) in log_alpha.chunks(table.width).zip(rows) {
        let cut = zeros(got).into_iter().map(|i| log_alpha[i]).fold(f64::NEG_INFINITY, f64::max);
        let order: Vec<usize> = (0..got.len()).collect();
        let (ties, rest): (Vec<usize>, Vec<usize>) =
            order.into_iter().partition(|&i| (log_alpha[i] - cut).abs() <= limit);
        let of = |z: &[f64], places: &[usize]| places.iter().map(|&i| z[i]).collect::<Vec<f64>>();
        let by_size = |z: &[f64]| {
            let mut values = of(z, &ties);
            values.sort_by(f64::total_cmp);
            values
        };
        for (got, want) in [(of(got, &rest), of(want, &rest)), (by_size(got), by_size(want))] {
            compare.close("masks", at, &got, &want, limit);
            compare.same("zeros", at, zeros(&got), zeros(&want));
        }
    }
}
