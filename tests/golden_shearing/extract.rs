//! Gates folded into weights, dead parts removed: `extract.json`, `extract.safetensors`.
//!
//! The reference scales the head by the hidden mask although the final norm carries it, and scales
//! the embeddings although its training does not. The fixtures hold its weights (`w`) and those
//! that give the masked logits (`w_exact`, `w_exact_unmasked_embedding`); the engine makes the
//! latter.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use serde_json::Value;
use woolshed_engine::gate::{EvalMode, GateValues, Gates};
use woolshed_engine::model::Model;
use woolshed_engine::model::fold::fold;
use woolshed_engine::shape::ModelShape;

use super::golden::{self, Comparison, Fixture, count, number};
use super::{EXACT, compare_masks, numbers, pass};

/// One case of `extract`: the model, its target, the gates.
struct Extract<'a> {
    fixture: &'a Fixture,
    name: &'a str,
    case: &'a Value,
    model: &'a Model,
    gates: Gates,
    ids: &'a (Vec<u32>, usize),
}

impl Extract<'_> {
    /// The deterministic gates at the target, with embeddings gated or not.
    fn values(&self, mask_embeddings: bool) -> GateValues {
        GateValues { mask_embeddings, ..self.gates.evaluate(EvalMode::Target) }
    }

    fn tensor(&self, name: &str) -> Vec<f64> {
        self.fixture.get(&format!("{}.{name}", self.name))
    }
}

fn for_every_extract(mut see: impl FnMut(&Extract)) {
    let Some(fixture) = Fixture::open("extract") else { return };
    let Some(model) = golden::model(DType::F64) else { return };
    let source = model.shape();
    // Without a batch of its own the fixture uses that of the forward fixture.
    let ids = match fixture.dims("input_ids") {
        Some(_) => fixture.ids("input_ids"),
        None => match Fixture::open("forward") {
            Some(forward) => forward.ids("input_ids"),
            None => return,
        },
    };
    for (name, case) in fixture.cases() {
        let config = &case["hf_config"];
        let target = ModelShape {
            layers: count(config, "num_hidden_layers"),
            hidden: count(config, "hidden_size"),
            heads: count(config, "num_attention_heads"),
            kv_heads: count(config, "num_key_value_heads"),
            intermediate: count(config, "intermediate_size"),
            ..source
        };
        let gates = fixture.gates(&format!("{name}.log_alpha."), &source, Some(&target), true);
        see(&Extract { fixture: &fixture, name, case, model: &model, gates, ids: &ids });
    }
}

#[test]
fn golden_extract_masks_and_kept_structure() {
    let mut compare = Comparison::new("extract structure");
    for_every_extract(|e| {
        let values = e.values(true);
        for (table, z) in e.gates.tables.iter().zip(&values.values) {
            let want = e.tensor(&format!("z.{}", table.kind));
            compare_masks(&mut compare, e.name, &e.gates, table, z, &want, EXACT);
        }
        let cut = fold(&e.model.weights, &e.model.shape(), &values).expect("a cut");
        let kept = &e.case["kept"];
        compare.same("layers", e.name, cut.layers.clone(), indices(&kept["layers"]));
        compare.same("hidden", e.name, cut.hidden, indices(&kept["hidden"]));
        for (i, l) in cut.layers.iter().enumerate() {
            let at = format!("{} layer {l}", e.name);
            let of = |key: &str| indices(&kept[key][l.to_string()]);
            compare.same("groups", &at, cut.groups[i].clone(), of("heads"));
            compare.same("channels", &at, cut.channels[i].clone(), of("intermediate"));
        }
    });
    compare.finish();
}

fn indices(list: &Value) -> Vec<usize> {
    let list = list.as_array().unwrap_or_else(|| panic!("a list of indices, not {list}"));
    list.iter().map(|i| i.as_u64().expect("an index") as usize).collect()
}

#[test]
fn golden_extract_weights_with_gated_and_with_plain_embeddings() {
    let mut compare = Comparison::new("extract weights");
    for_every_extract(|e| {
        for gated in [true, false] {
            // The reference scales the head too and always scales the embeddings; `w_exact*` hold
            // the tensors that reproduce the masked logits.
            let cut = e.model.cut(&e.values(gated)).expect("a cut");
            for (weight, got) in cut.weights.named() {
                let find = |form: &str| e.fixture.find(&format!("{}.{form}.{weight}", e.name));
                let plain = find("w_exact_unmasked_embedding").filter(|_| !gated);
                let want =
                    plain.or_else(|| find("w_exact")).or_else(|| find("w")).unwrap_or_default();
                let what = if gated { "gated embeddings" } else { "plain embeddings" };
                compare.close(what, &format!("{} {weight}", e.name), &numbers(got), &want, EXACT);
            }
            let names = e.fixture.under(&format!("{}.w.", e.name)).len();
            compare.same("tensors", e.name, cut.weights.named().len(), names);
        }
    });
    compare.finish();
}

#[test]
fn golden_extract_logits_and_losses_of_the_gated_and_of_the_cut_model() {
    let mut compare = Comparison::new("extract logits");
    for_every_extract(|e| {
        for (gated, end, loss) in
            [(true, "", "masked_ce"), (false, "_unmasked_embedding", "training_masked_ce")]
        {
            let values = e.values(gated);
            let want = e.tensor(&format!("masked_logits{end}"));
            let masked = pass(e.model, Some(&values), e.ids);
            compare.close("gated", e.name, &masked.logits, &want, EXACT);
            let cut = pass(&e.model.cut(&values).expect("a cut"), None, e.ids);
            compare.close("cut", e.name, &cut.logits, &want, EXACT);
            let exact = e.tensor(&format!("exact_pruned_logits{end}"));
            compare.close("cut, exact", e.name, &cut.logits, &exact, EXACT);
            compare.number("loss, gated", e.name, masked.loss, number(e.case, loss), EXACT);
            compare.number("loss, cut", e.name, cut.loss, number(e.case, loss), EXACT);
        }
    });
    compare.finish();
}

#[test]
fn golden_extract_weights_of_the_reference_give_the_logits_of_the_reference() {
    let mut compare = Comparison::new("extract, the reference's own weights");
    for_every_extract(|e| {
        let mut model = e.model.cut(&e.values(true)).expect("a cut");
        let mut names =
            model.weights.named().into_iter().map(|(name, _)| name).collect::<Vec<_>>().into_iter();
        let weights = model.weights.map(|t| {
            let data = e.tensor(&format!("w.{}", names.next().expect("a name a tensor")));
            Tensor::from_vec(data, t.shape(), t.device())
        });
        model.weights = Arc::new(weights.expect("tensors"));
        let pass = pass(&model, None, e.ids);
        compare.close("logits", e.name, &pass.logits, &e.tensor("ref_pruned_logits"), EXACT);
        compare.number("loss", e.name, pass.loss, number(e.case, "ref_pruned_ce"), EXACT);
    });
    compare.finish();
}
