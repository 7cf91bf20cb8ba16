//! A gated model and the model cut from it have the same logits.
//!
//! Random tiny models of every family, random gates of every legal combination, both ways to evaluate
//! them. This is the promise behind export: what is measured under masks is what is saved.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use woolshed_engine::gate::{
    EvalMode, GateError, GateKind, GateTensors, GateValues, Gates, HardConcrete,
};
use woolshed_engine::model::forward::Forward;
use woolshed_engine::model::{
    AttentionBiases, AttentionWeights, Family, HeadNorms, LayerWeights, LlamaConfig, MlpWeights,
    Model, ModelOrigin, Weights,
};
use woolshed_engine::rng::Stream;
use woolshed_engine::shape::ModelShape;

/// One random model with gates.
#[derive(Clone, Debug)]
struct Case {
    source: ModelShape,
    target: ModelShape,
    kinds: Vec<GateKind>,
    mask_embeddings: bool,
    mode: EvalMode,
    tokens: usize,
    /// Mean of the log-alphas: low ones leave ragged layers, and layers without a part.
    mean: f64,
    seed: u64,
}

fn sources() -> impl Strategy<Value = ModelShape> {
    let sizes = (1usize..=3, 8usize..=24, 1usize..=3, 1usize..=3);
    let widths = (prop_oneof![Just(4usize), Just(8)], 6usize..=20, any::<bool>());
    let families = (proptest::sample::select(&Family::ALL), any::<bool>());
    (sizes, widths, families).prop_map(
        |(
            (layers, hidden, kv_heads, group),
            (head_dim, intermediate, tied),
            (family, attention_bias),
        )| ModelShape {
            layers,
            hidden,
            heads: kv_heads * group,
            kv_heads,
            head_dim,
            intermediate,
            vocab: 30,
            tied,
            family,
            attention_bias: family.fixed_bias().unwrap_or(attention_bias),
        },
    )
}

/// Every target that `source` can reach.
fn targets(source: ModelShape) -> impl Strategy<Value = ModelShape> {
    let sizes = (
        1..=source.layers,
        1..=source.hidden,
        1..=source.kv_heads,
        1..=source.group(),
        1..=source.intermediate,
    );
    sizes.prop_map(move |(layers, hidden, kv_heads, group, intermediate)| ModelShape {
        layers,
        hidden,
        heads: kv_heads * group,
        kv_heads,
        intermediate,
        ..source
    })
}

/// Every combination of kinds that is legal for `source`, each as likely.
fn kinds(source: ModelShape) -> impl Strategy<Value = Vec<GateKind>> {
    let chosen = |set: u32| -> Vec<GateKind> {
        let picked = |(i, kind): (usize, &GateKind)| (set >> i & 1 == 1).then_some(*kind);
        GateKind::ALL.iter().enumerate().filter_map(picked).collect()
    };
    let sets = 0..1u32 << GateKind::ALL.len();
    let legal: Vec<_> =
        sets.map(chosen).filter(|kinds| GateKind::legal(kinds, &source).is_ok()).collect();
    proptest::sample::select(legal)
}

fn cases() -> impl Strategy<Value = Case> {
    let shapes = sources().prop_flat_map(|source| (Just(source), targets(source), kinds(source)));
    let modes = prop_oneof![Just(EvalMode::Target), Just(EvalMode::Current)];
    (shapes, any::<bool>(), modes, 1usize..=9, -3.0..3.0f64, any::<u64>()).prop_map(
        |((source, target, kinds), mask_embeddings, mode, tokens, mean, seed)| Case {
            source,
            target,
            kinds,
            mask_embeddings,
            mode,
            tokens,
            mean,
            seed,
        },
    )
}

/// A model of the dimensions of `case` with random weights in f64.
fn model(case: &Case) -> Model {
    let s = &case.source;
    let (d, f) = (s.hidden, s.intermediate);
    let (q, kv) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
    let mut stream = Stream::new(case.seed, "weights", 0);
    let mut draw = |shape: &[usize], mean: f64, spread: f64| -> Tensor {
        let count = shape.iter().product();
        let data: Vec<f64> = (0..count).map(|_| mean + spread * stream.normal()).collect();
        Tensor::from_vec(data, shape, &Device::Cpu).expect("tensor")
    };
    let mut layer = || LayerWeights {
        attention: Some(AttentionWeights {
            norm: draw(&[d], 1.0, 0.2),
            q: draw(&[q, d], 0.0, 0.3),
            k: draw(&[kv, d], 0.0, 0.3),
            v: draw(&[kv, d], 0.0, 0.3),
            o: draw(&[d, q], 0.0, 0.3),
            biases: s.attention_bias.then(|| AttentionBiases {
                q: draw(&[q], 0.0, 0.5),
                k: draw(&[kv], 0.0, 0.5),
                v: draw(&[kv], 0.0, 0.5),
                o: s.family.biases_output().then(|| draw(&[d], 0.0, 0.5)),
            }),
            head_norms: s.family.has_head_norms().then(|| HeadNorms {
                q: draw(&[s.head_dim], 1.0, 0.2),
                k: draw(&[s.head_dim], 1.0, 0.2),
            }),
        }),
        mlp: Some(MlpWeights {
            norm: draw(&[d], 1.0, 0.2),
            gate: draw(&[f, d], 0.0, 0.3),
            up: draw(&[f, d], 0.0, 0.3),
            down: draw(&[d, f], 0.0, 0.3),
        }),
    };
    let layers = (0..s.layers).map(|_| layer()).collect();
    let weights = Weights {
        embed: draw(&[s.vocab, d], 0.0, 1.0),
        layers,
        norm: draw(&[d], 1.0, 0.2),
        head: (!s.tied).then(|| draw(&[s.vocab, d], 0.0, 0.5)),
    };
    let config = LlamaConfig {
        family: s.family,
        attention_bias: s.attention_bias,
        vocab: s.vocab,
        hidden: d,
        intermediate: f,
        layers: s.layers,
        heads: s.heads,
        kv_heads: s.kv_heads,
        head_dim: s.head_dim,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_positions: 16,
        tied: s.tied,
        bos: None,
        eos: Vec::new(),
        dtype: "float32".into(),
    };
    let weights = Arc::new(weights);
    Model {
        name: "random".into(),
        config,
        weights,
        tokenizer: None,
        provenance: Vec::new(),
        origin: ModelOrigin::Unknown,
    }
}

fn in_type(model: &Model, dtype: DType) -> Model {
    let weights = model.weights.map(|t| t.to_dtype(dtype)).expect("conversion");
    Model { weights: Arc::new(weights), ..model.clone() }
}

/// Logits of two rows of random ids.
fn logits(model: &Model, forward: &Forward, case: &Case) -> Vec<f64> {
    let mut stream = Stream::new(case.seed, "ids", 0);
    let ids: Vec<u32> =
        (0..2 * case.tokens).map(|_| stream.below(model.config.vocab as u64) as u32).collect();
    let logits = forward.logits(&ids, case.tokens).expect("logits");
    logits.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).expect("numbers")
}

/// What came of a case.
enum Outcome {
    /// Largest deviation between the logits, as a share of the largest logit.
    Deviation(f64),
    /// Everything of a kind was cut.
    NothingLeft,
}

fn compare(case: &Case, dtype: DType) -> Outcome {
    let model = in_type(&model(case), dtype);
    let hc = HardConcrete::default();
    assert_eq!(model.parameters(), case.source.parameters(), "the shape counts every number");
    let gates =
        Gates::new(&case.source, Some(&case.target), &case.kinds, hc, case.mask_embeddings, 0);
    let mut gates = gates.expect("a legal combination");
    let mut stream = Stream::new(case.seed, "log-alpha", 0);
    for table in &mut gates.tables {
        table.log_alpha.iter_mut().for_each(|a| *a = case.mean + 3.0 * stream.normal());
    }
    gates.clamp();
    let values = gates.evaluate(case.mode);
    let cut = match model.cut(&values) {
        Ok(cut) => cut,
        Err(GateError::NothingLeft { .. }) => return Outcome::NothingLeft,
        Err(error) => panic!("{error}"),
    };
    let tensors = values.tensors(&case.source, dtype, &Device::Cpu).expect("gates");
    let gated = Forward::new(&model.weights, &model.config, case.tokens).gated(&tensors);
    let gated = logits(&model, &gated, case);
    let forward = Forward::new(&cut.weights, &cut.config, case.tokens);
    let cut = logits(&cut, &forward, case);
    assert_eq!(gated.len(), cut.len());
    let largest = gated.iter().fold(f64::MIN_POSITIVE, |top, x| top.max(x.abs()));
    let gaps = gated.iter().zip(&cut).map(|(a, b)| (a - b).abs() / largest);
    // A NaN is above every limit.
    let gaps = gaps.map(|gap| if gap.is_nan() { f64::INFINITY } else { gap });
    Outcome::Deviation(gaps.fold(0.0, f64::max))
}

/// Random models to compare.
const CASES: u32 = 512;

/// Runs all cases; none may deviate by more than `limit`.
fn gated_equals_cut(dtype: DType, limit: f64) {
    let config = Config {
        cases: CASES,
        rng_seed: RngSeed::Fixed(17),
        failure_persistence: None,
        ..Config::default()
    };
    let (mut compared, mut skipped, mut worst) = (0, 0, 0.0f64);
    let counters = std::cell::RefCell::new((&mut compared, &mut skipped, &mut worst));
    let outcome = TestRunner::new(config).run(&cases(), |case| {
        let mut counters = counters.borrow_mut();
        match compare(&case, dtype) {
            Outcome::NothingLeft => *counters.1 += 1,
            Outcome::Deviation(gap) => {
                *counters.0 += 1;
                *counters.2 = counters.2.max(gap);
                prop_assert!(gap <= limit, "logits differ by {gap:e} of the largest ({limit:e})");
            }
        }
        Ok(())
    });
    println!("{dtype:?}: {compared} compared, {skipped} with nothing left, worst {worst:.1e}");
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(compared >= CASES * 3 / 4, "only {compared} of {CASES} cases are left to compare");
}

#[test]
fn a_gated_model_and_its_cut_have_the_same_logits_in_f64() {
    // Sums of some tens of terms in another order: a few units in the last place of 2e-16.
    gated_equals_cut(DType::F64, 1e-12);
}

#[test]
fn a_gated_model_and_its_cut_have_the_same_logits_in_f32() {
    // The same sums in units of 6e-8, over up to three layers.
    gated_equals_cut(DType::F32, 1e-5);
}

/// One model with everything a family can have, under all kinds of gates that go together.
fn everything() -> Case {
    let source = ModelShape {
        layers: 2,
        hidden: 8,
        heads: 6,
        kv_heads: 2,
        head_dim: 4,
        intermediate: 6,
        vocab: 30,
        tied: true,
        family: Family::Qwen3,
        attention_bias: true,
    };
    use GateKind::{Head, HeadLayer, Hidden, Intermediate, Mlp, Query};
    Case {
        source,
        target: source,
        kinds: vec![HeadLayer, Mlp, Head, Query, Intermediate, Hidden],
        mask_embeddings: true,
        mode: EvalMode::Current,
        tokens: 5,
        mean: 0.0,
        seed: 3,
    }
}

/// Compares the derivatives of a weighted sum of logits by `gradient` with finite differences of it.
fn follows(what: &str, gradient: &[f64], numbers: &[f64], mut sum: impl FnMut(&[f64]) -> f64) {
    let h = 1e-5;
    for i in 0..numbers.len() {
        let mut at = |change: f64| {
            let mut moved = numbers.to_vec();
            moved[i] += change;
            sum(&moved)
        };
        let slope = (at(h) - at(-h)) / (2.0 * h);
        // The next term of the difference is of size h^2 = 1e-10, rounding of 1e-15 / h.
        let gap = (slope - gradient[i]).abs() / (1.0 + slope.abs());
        assert!(gap < 1e-7, "{what} {i}: {slope} by differences, {} by gradient", gradient[i]);
    }
    assert!(gradient.iter().any(|g| g.abs() > 1e-3), "{what} does not move the logits");
}

#[test]
fn gradients_of_gates_biases_and_head_norms_equal_finite_differences() {
    let case = everything();
    let model = model(&case);
    let mut stream = Stream::new(case.seed, "gates", 0);
    let values = |kind: &GateKind| -> Vec<f64> {
        let (rows, width) = kind.size(&case.source);
        (0..rows * width).map(|_| 0.2 + 0.8 * stream.uniform()).collect()
    };
    let gates = GateValues {
        kinds: case.kinds.clone(),
        values: case.kinds.iter().map(values).collect(),
        slopes: Vec::new(),
        mask_embeddings: true,
    };
    let on_device =
        |gates: &GateValues| gates.tensors(&case.source, DType::F64, &Device::Cpu).expect("gates");
    let weighted = |weights: &Weights, gates: &GateTensors| -> Tensor {
        let ids: Vec<u32> = (0..case.tokens as u32).map(|i| 7 * i % 30).collect();
        let forward = Forward::new(weights, &model.config, case.tokens).gated(gates);
        let logits = forward.logits(&ids, case.tokens).and_then(|x| Ok(x.flatten_all()?));
        let logits = logits.expect("logits");
        let probe: Vec<f64> = (0..logits.elem_count()).map(|i| (i as f64).sin()).collect();
        let probe = Tensor::from_vec(probe, logits.shape(), &Device::Cpu).expect("a probe");
        (logits * probe).and_then(|x| x.sum_all()).expect("a sum")
    };
    let number = |t: Tensor| t.to_scalar::<f64>().expect("a number");
    let numbers = |t: &Tensor| -> Vec<f64> { t.flatten_all().unwrap().to_vec1().unwrap() };

    let weights = model.weights.map(|t| Var::from_tensor(t).map(Var::into_inner));
    let weights = weights.expect("variables");
    let tensors = on_device(&gates);
    let gradients = weighted(&weights, &tensors).backward().expect("gradients");
    for (t, (kind, var)) in tensors.vars.iter().enumerate() {
        let gradient = numbers(gradients.get(var).expect("a gradient"));
        follows(kind.name(), &gradient, &gates.values[t], |moved| {
            let mut gates = gates.clone();
            gates.values[t] = moved.to_vec();
            number(weighted(&model.weights, &on_device(&gates)))
        });
    }
    for (place, (name, tensor)) in weights.named().into_iter().enumerate() {
        if !name.ends_with(".bias") && !name.contains("q_norm") && !name.contains("k_norm") {
            continue;
        }
        let gradient = numbers(gradients.get(tensor).expect("a gradient"));
        follows(&name, &gradient, &numbers(tensor), |moved| {
            let mut at = 0;
            let changed = model.weights.map(|t| {
                at += 1;
                if at - 1 == place {
                    Tensor::from_slice(moved, t.shape(), &Device::Cpu)
                } else {
                    Ok(t.clone())
                }
            });
            number(weighted(&changed.expect("weights"), &tensors))
        });
    }
}
