//! Masks and constraints: `l0.json`, `l0.safetensors`.

use serde_json::Value;
use woolshed_engine::gate::{Constraint, EvalMode, GateKind, Gates, Lagrangian, Multipliers};
use woolshed_engine::shape::{Family, ModelShape};

use super::golden::{self, Comparison, Fixture, count, number, object, target_shape};
use super::{EXACT, compare_info, compare_masks};

/// One set of masks with its constraints.
struct Set<'a> {
    name: &'a str,
    case: &'a Value,
    source: ModelShape,
    target: ModelShape,
    gates: Gates,
    lagrangian: Lagrangian,
}

/// The sets of `l0`, with log-alphas from the tensors that end in `log_alpha`.
fn sets<'a>(l0: &'a Fixture, log_alpha: &str) -> Vec<Set<'a>> {
    l0.cases().map(|(name, case)| set(l0, name, case, log_alpha)).collect()
}

fn set<'a>(l0: &Fixture, name: &'a str, case: &'a Value, log_alpha: &str) -> Set<'a> {
    let base = &l0.json["base"];
    let heads = count(base, "num_heads");
    let head_masks = |(name, _): (&String, &Value)| l0.dims(&format!("{name}.head.{log_alpha}"));
    let source = ModelShape {
        layers: count(base, "num_layers"),
        hidden: count(base, "hidden_size"),
        heads,
        // One mask a group: a table of head masks is as wide as there are key/value heads.
        kv_heads: l0.cases().find_map(head_masks).map_or(heads, |dims| dims[1]),
        head_dim: count(base, "head_dim"),
        intermediate: count(base, "intermediate_size"),
        vocab: count(base, "vocab_size"),
        tied: false,
        family: Family::Llama,
        attention_bias: false,
    };
    let target = target_shape(&l0.json["target"], &source);
    let masks = object(case, "masks");
    let shaped = masks.values().all(|mask| !mask["target_mask_size"].is_null());
    let kinds: Vec<GateKind> = masks.keys().map(|name| name.parse().expect("a kind")).collect();
    let aim = shaped.then_some(&target);
    let gates = Gates::new(&source, aim, &kinds, golden::distribution(), false, 0);
    let mut gates = gates.unwrap_or_else(|e| panic!("{name}: {e}"));
    for table in &mut gates.tables {
        table.log_alpha = l0.get(&format!("{name}.{}.{log_alpha}", table.kind));
        assert_eq!(table.log_alpha.len(), table.rows * table.width, "{name}.{}", table.kind);
    }
    let constraint = match shaped {
        true => Constraint::Shape,
        false => Constraint::Sparsity(number(case, "overall_target_sparsity")),
    };
    let lagrangian = Lagrangian::new(constraint, count(&l0.json, "warmup_steps") as u64, &gates);
    let mut set = Set { name, case, source, target, gates, lagrangian };
    for (i, at) in set.pairs().iter().enumerate() {
        let lambda = |order| number(&case["lambdas"], &format!("lambda_{order}{at}"));
        set.lagrangian.multipliers[i] = Multipliers { linear: lambda(1), quadratic: lambda(2) };
    }
    set
}

impl Set<'_> {
    /// What stands after `lambda_1` in the name of each pair of multipliers.
    fn pairs(&self) -> Vec<String> {
        match self.lagrangian.constraint {
            Constraint::Shape => self.gates.kinds().iter().map(|k| format!("_{k}")).collect(),
            Constraint::Sparsity(_) => vec![String::new()],
        }
    }
}

#[test]
fn golden_l0_raw_log_alphas_are_clamped() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 clamp");
    for mut set in sets(&l0, "log_alpha_raw") {
        set.gates.clamp();
        for table in &set.gates.tables {
            let at = format!("{}.{}", set.name, table.kind);
            compare.close(
                "clamped",
                &at,
                &table.log_alpha,
                &l0.get(&format!("{at}.log_alpha")),
                EXACT,
            );
        }
    }
    compare.finish();
}

#[test]
fn golden_l0_samples_follow_from_noise_and_pass_its_gradient() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 samples");
    for set in sets(&l0, "log_alpha") {
        let of = |name: &str| -> Vec<Vec<f64>> {
            let tensor = |kind: &GateKind| l0.get(&format!("{}.{kind}.{name}", set.name));
            set.gates.kinds().iter().map(tensor).collect()
        };
        let sample = set.gates.sample(&of("u"));
        let (probes, z, slopes) = (of("probe"), of("z_train"), of("dprobe_dlog_alpha"));
        let mut sum = 0.0;
        for (i, kind) in sample.kinds.iter().enumerate() {
            let at = format!("{}.{kind}", set.name);
            let times =
                |a: &[f64]| -> Vec<f64> { a.iter().zip(&probes[i]).map(|(a, p)| a * p).collect() };
            compare.close("z_train", &at, &sample.values[i], &z[i], EXACT);
            compare.close("dprobe_dlog_alpha", &at, &times(&sample.slopes[i]), &slopes[i], EXACT);
            sum += times(&sample.values[i]).iter().sum::<f64>();
        }
        compare.number("probe_sum", set.name, sum, number(set.case, "probe_sum"), EXACT);
    }
    compare.finish();
}

#[test]
fn golden_l0_probabilities_scores_and_expected_sparsities() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 probabilities");
    for set in sets(&l0, "log_alpha") {
        for table in &set.gates.tables {
            let at = format!("{}.{}", set.name, table.kind);
            let want = |name: &str| l0.get(&format!("{at}.{name}"));
            let closed: Vec<f64> =
                table.log_alpha.iter().map(|&a| set.gates.distribution.closed(a).0).collect();
            let gates = set.gates.list(table.kind).expect("a kind of this set");
            let open: Vec<f64> = gates.iter().map(|gate| gate.probability).collect();
            let mean = |row: &[f64]| 1.0 - row.iter().sum::<f64>() / row.len() as f64;
            let sparsity: Vec<f64> = open.chunks(table.width).map(mean).collect();
            compare.close("cdf0", &at, &closed, &want("cdf0"), EXACT);
            compare.close("score", &at, &open, &want("score"), EXACT);
            compare.close("sparsity", &at, &sparsity, &want("sparsity"), EXACT);
        }
    }
    let (initial, hc) = (&l0.json["initial_state"], golden::distribution());
    if initial.is_object() {
        let start = hc.clamp(number(&l0.json["constants"], "init_mean"));
        let mut initially =
            |key: &str, got| compare.number(key, "initial", got, number(initial, key), EXACT);
        initially("log_alpha_after_clamp", start);
        initially("score", hc.open(start));
        initially("soft_mask_value", hc.value(start));
    }
    compare.finish();
}

#[test]
fn golden_l0_deterministic_masks_at_the_target_and_at_the_expected_size() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 deterministic masks");
    for set in sets(&l0, "log_alpha") {
        for (mode, name) in
            [(EvalMode::Target, "z_eval_target"), (EvalMode::Current, "z_eval_current")]
        {
            let z = set.gates.evaluate(mode);
            for (table, z) in set.gates.tables.iter().zip(&z.values) {
                let at = format!("{}.{} {name}", set.name, table.kind);
                if let Some(want) = l0.find(&format!("{}.{}.{name}", set.name, table.kind)) {
                    compare_masks(&mut compare, &at, &set.gates, table, z, &want, EXACT);
                }
            }
        }
    }
    compare.finish();
}

#[test]
fn golden_l0_lagrangian_its_information_and_its_gradients_at_every_step() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 Lagrangian");
    compare.number("start sparsity", "l0", 0.0, number(&l0.json, "start_sparsity"), 0.0);
    for set in sets(&l0, "log_alpha") {
        for (step, want) in object(set.case, "steps") {
            let at = format!("{} step {step}", set.name);
            let got = set.lagrangian.evaluate(&set.gates, step.parse().expect("a step"));
            compare.number("value", &at, got.value, number(want, "lagrangian"), EXACT);
            let shown = (&got.expected[..], got.target.as_deref(), got.overall);
            compare_info(&mut compare, &at, &set.gates, shown, &want["info"], EXACT);
            for (pair, name) in got.multipliers.iter().zip(set.pairs()) {
                for (order, slope) in [(1, pair.linear), (2, pair.quadratic)] {
                    let want = number(&want["lambda_grads"], &format!("lambda_{order}{name}"));
                    compare.number("lambda gradients", &at, slope, want, EXACT);
                }
            }
            if got.target.is_none() {
                // One pair on the overall sparsity: its linear gradient is the gap to the target.
                let target = got.overall - got.multipliers[0].linear;
                let want = number(&want["info"], "target_sparsity");
                compare.number("target sparsity", &at, target, want, EXACT);
            }
            for (kind, slope) in set.gates.kinds().iter().zip(&got.log_alpha) {
                let want = l0.get(&format!("{}.step{step}.{kind}.dlag_dlog_alpha", set.name));
                compare.close("dlag_dlog_alpha", &at, slope, &want, EXACT);
            }
        }
    }
    compare.finish();
}

#[test]
fn golden_l0_prunable_and_expected_sizes() {
    let Some(l0) = Fixture::open("l0") else { return };
    let mut compare = Comparison::new("l0 sizes");
    for set in sets(&l0, "log_alpha") {
        let prunable = set.source.prunable();
        compare.same("prunable", set.name, prunable, count(set.case, "prunable_model_size"));
        let left = 1.0 - set.lagrangian.evaluate(&set.gates, 0).overall;
        let want = number(set.case, "expected_num_params");
        // A count of parameters: the limit is on its share of all prunable ones.
        let (share, want) = (left, want / prunable as f64);
        compare.number("expected parameters (share)", set.name, share, want, EXACT);
        if set.lagrangian.constraint == Constraint::Shape {
            let overall = 1.0 - set.target.prunable() as f64 / prunable as f64;
            let want = number(set.case, "overall_target_sparsity");
            compare.number("overall target", set.name, overall, want, EXACT);
        }
        let full = set.lagrangian.evaluate(&set.gates, u64::MAX).target;
        for (i, table) in set.gates.tables.iter().enumerate() {
            let mask = &set.case["masks"][table.kind.name()];
            if let Some(target) = &full {
                let want = number(mask, "target_sparsity");
                compare.number("target of each kind", set.name, target[i], want, EXACT);
            }
            let size = mask["target_mask_size"].as_u64().map(|n| n as usize);
            compare.same("mask size", set.name, table.width, count(mask, "mask_size"));
            compare.same("target mask size", set.name, table.keep, size);
        }
    }
    compare.finish();
}
