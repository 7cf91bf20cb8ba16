//! Masks handed in from outside: logits, loss and gradients of `forward.json`,
//! `forward.safetensors`. The embeddings are masked.

use candle_core::DType;
use serde_json::Value;

use super::golden::{self, Comparison, Fixture, number};
use super::{EXACT, Pass, numbers, pass, zeros};

/// Limit of logits in f32: the reference's own f32 is within 6e-6 of its f64.
const LOGITS_F32: f64 = 1e-5;
/// Limit of losses in f32.
const LOSS_F32: f64 = 1e-6;

/// Runs every case of `forward` in a computing type.
fn for_every_forward(dtype: DType, mut see: impl FnMut(&Fixture, &str, &Value, Pass)) {
    let Some(fixture) = Fixture::open("forward") else { return };
    let Some(model) = golden::model(dtype) else { return };
    let ids = fixture.ids("input_ids");
    for (name, case) in fixture.cases() {
        let values = fixture.values(&format!("{name}.z."), &model.shape(), true);
        see(&fixture, name, case, pass(&model, values.as_ref(), &ids));
    }
}

#[test]
fn golden_forward_logits_and_losses_in_f64() {
    let mut compare = Comparison::new("forward f64");
    for_every_forward(DType::F64, |fixture, name, case, pass| {
        compare.close("logits", name, &pass.logits, &fixture.get(&format!("{name}.logits")), EXACT);
        compare.number("loss", name, pass.loss, number(case, "loss"), EXACT);
        let counts = case["z_zero_counts"].as_object().into_iter().flatten();
        for (mask, zeros_there) in
            counts.filter(|(mask, _)| fixture.dims(&format!("{name}.z.{mask}")).is_some())
        {
            let z = fixture.get(&format!("{name}.z.{mask}"));
            compare.same("zeros", name, Some(zeros(&z).len() as u64), zeros_there.as_u64());
        }
    });
    compare.finish();
}

#[test]
fn golden_forward_logits_and_losses_in_f32() {
    let mut compare = Comparison::new("forward f32");
    for_every_forward(DType::F32, |fixture, name, case, pass| {
        if let Some(want) = fixture.find(&format!("{name}.logits_f32")) {
            compare.close("logits_f32", name, &pass.logits, &want, LOGITS_F32);
        }
        if let Some(want) = case["loss_f32"].as_f64() {
            compare.number("loss_f32", name, pass.loss, want, LOSS_F32);
        }
    });
    compare.finish();
}

#[test]
fn golden_forward_gradients_by_masks() {
    let mut compare = Comparison::new("forward dz");
    for_every_forward(DType::F64, |fixture, name, _, pass| {
        for (kind, var) in pass.gates.iter().flat_map(|gates| &gates.vars) {
            if let Some(want) = fixture.find(&format!("{name}.dz.{kind}")) {
                let got = pass.grads.get(var).map_or(vec![0.0; want.len()], numbers);
                compare.close(&format!("dz.{kind}"), name, &got, &want, EXACT);
            }
        }
    });
    compare.finish();
}

#[test]
fn golden_forward_gradients_by_weights() {
    let mut compare = Comparison::new("forward dw");
    for_every_forward(DType::F64, |fixture, name, _, pass| {
        let grads: Vec<(String, Vec<f64>)> = pass
            .weights
            .named()
            .into_iter()
            .map(|(weight, t)| {
                let grad = pass.grads.get(t).map_or(vec![0.0; t.elem_count()], numbers);
                (weight, grad)
            })
            .collect();
        for (weight, want) in fixture.under(&format!("{name}.dw.")) {
            let at = format!("{name} {weight}");
            let got = grads.iter().find(|(name, _)| *name == weight);
            compare.close("dw", &at, got.map_or(&[], |(_, grad)| grad), &want, EXACT);
        }
    });
    compare.finish();
}
