//! A pass by hand beside candle's graph: random models of every family, random gates.

use std::path::Path;

use candle_core::{Device, Var};

use super::*;
use crate::gate::{GateValues, Gates, HardConcrete};
use crate::model::LlamaConfig;
use crate::model::pass::live::Live;
use crate::progress::Unwatched;
use crate::rng::Stream;

/// A random model whose parts speak loudly enough that a mistake in any of them shows.
fn model(stream: &mut Stream, dtype: DType) -> Model {
    let mut some = |from: usize, to: usize| from + stream.below((to - from + 1) as u64) as usize;
    let family = ["llama", "qwen2", "qwen3", "mistral"][some(0, 3)];
    let (kv, group, head_dim) = (some(1, 3), some(1, 2), 2 * some(1, 3));
    let json = format!(
        r#"{{"model_type": "{family}", "num_hidden_layers": {}, "hidden_size": {},
            "intermediate_size": {}, "num_attention_heads": {}, "num_key_value_heads": {kv},
            "head_dim": {head_dim}, "vocab_size": {}, "tie_word_embeddings": {},
            "attention_bias": {}, "max_position_embeddings": 64}}"#,
        some(1, 3),
        some(5, 40),
        some(4, 30),
        kv * group,
        some(20, 40),
        some(0, 1) == 0,
        family == "llama" && some(0, 1) == 0 || family == "qwen3" && some(0, 1) == 0,
    );
    let config = LlamaConfig::from_bytes(Path::new("random"), json.as_bytes()).unwrap();
    let seed = stream.below(1 << 40);
    let model = Model::random("random", config, None, seed, DType::F64, &Device::Cpu).unwrap();
    let weights = model.weights.map(|t| {
        let noise: Vec<f64> = (0..t.elem_count()).map(|_| 0.2 * stream.normal()).collect();
        let noise = Tensor::from_vec(noise, t.shape(), &Device::Cpu)?;
        let t = ((t * 10.0)? / if t.rank() == 1 { 10.0 } else { 1.0 })?;
        Ok::<_, candle_core::Error>(Var::from_tensor(&(t + noise)?.to_dtype(dtype)?)?.into_inner())
    });
    Model { weights: Arc::new(weights.unwrap()), ..model }
}

/// Samples of random gates of a random legal combination; none in one of four cases.
fn gates(stream: &mut Stream, model: &Model) -> Option<(Gates, GateValues)> {
    let source = model.shape();
    if stream.below(4) == 0 {
        return None;
    }
    let kinds = loop {
        let set = stream.below(1 << GateKind::ALL.len());
        let chosen = |(i, kind): (usize, &GateKind)| (set >> i & 1 == 1).then_some(*kind);
        let kinds: Vec<_> = GateKind::ALL.iter().enumerate().filter_map(chosen).collect();
        if GateKind::legal(&kinds, &source).is_ok() {
            break kinds;
        }
    };
    let (hc, mask) = (HardConcrete::default(), stream.below(2) == 0);
    let mut gates = Gates::new(&source, Some(&source), &kinds, hc, mask, 0).unwrap();
    let mean = 4.0 * stream.uniform() - 2.0;
    for table in &mut gates.tables {
        table.log_alpha.iter_mut().for_each(|a| *a = mean + 1.5 * stream.normal());
        for i in 0..table.log_alpha.len() {
            if stream.below(10) == 0 {
                table.held.insert(i, stream.below(2) == 0);
            }
        }
    }
    let values = gates.sample(&gates.noise(stream.below(1 << 40), 0));
    Some((gates, values))
}

/// The largest gap between two lists, as a share of the largest number of the first.
fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let most = a.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs() / most);
    gaps.fold(0.0, |most, gap| if gap > most || gap.is_nan() { gap } else { most })
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Compares random cases in a type; gives how many had gates, were elastic in some dimension, tied.
fn compare(dtype: DType, cases: u64, limit: f64) {
    let (mut worst, mut gated, mut smaller, mut taught) = (0.0f64, 0, 0, 0);
    for case in 0..cases {
        let stream = &mut Stream::new(case, "by-hand", 0);
        let model = model(stream, dtype);
        let gates = gates(stream, &model);
        let (rows, tokens) = (1 + stream.below(3) as usize, 2 + stream.below(70) as usize % 60);
        let vocab = model.config.vocab as u64;
        let ids: Vec<u32> = (0..rows * tokens).map(|_| stream.below(vocab) as u32).collect();
        let teacher =
            Teacher::new(&self::model(&mut Stream::new(case, "teacher", 0), dtype), tokens);
        let teacher = teacher.unwrap();
        let fits = teacher.model.config.vocab == model.config.vocab;
        let same = Teacher::new(&model, tokens).unwrap();
        let teacher = if fits { &teacher } else { &same };
        let distill = Distill { weight: 0.3, temperature: 1.7 };
        let teacher = (case % 3 == 0).then_some((teacher, distill));
        let part = Part {
            ids: &ids,
            tokens,
            share: 0.25 + 0.5 * stream.uniform(),
            teacher,
            watch: &Unwatched,
        };
        let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), tokens));
        let named = model.weights.named();
        let trained: Vec<&Tensor> = named.iter().map(|(_, t)| *t).collect();
        let source = model.shape();
        let tensors =
            gates.as_ref().map(|(_, values)| values.tensors(&source, dtype, &Device::Cpu).unwrap());
        let mut forward = Forward::with_rope(&model.weights, &model.config, rope.clone());
        if let Some(tensors) = &tensors {
            forward = forward.gated(tensors);
        }
        let graph = straight(&forward, &part, tensors.as_ref(), &trained).unwrap().unwrap();
        let twice = recomputed(&forward, &part, tensors.as_ref(), &trained).unwrap().unwrap();
        assert_eq!(graph.loss, twice.loss);
        if let Some((_, values)) = &gates {
            elastic_graph(&model, values, tensors.as_ref().unwrap(), &part, &rope, &graph, limit);
        }
        for (elastic, recompute) in [(false, false), (false, true), (true, false), (true, true)] {
            let pass = Pass {
                weights: &model.weights,
                config: &model.config,
                rope: &rope,
                gates: gates.as_ref().map(|(_, values)| (values, &source)),
                elastic,
                ids: &ids,
                tokens,
                watch: &Unwatched,
            };
            let wanted = vec![true; named.len()];
            let memory = Memory::default();
            let mut see = |what: &str, a: &[f64], b: &[f64]| {
                let gap = gap(a, b);
                worst = worst.max(gap);
                assert!(gap <= limit, "case {case}, elastic {elastic}: {what} differs by {gap:e}");
            };
            let hand =
                by_hand(&pass, &part, (recompute, false), &wanted, None, &memory).unwrap().unwrap();
            see("loss", &[graph.loss], &[hand.loss]);
            let positions = pass.losses(&memory).unwrap();
            let mean = positions.iter().sum::<f64>() / positions.len() as f64;
            see("mean of the positions' losses", &[graph.loss], &[mean]);
            if let (Some(a), Some(b)) = (graph.distillation, hand.distillation) {
                see("divergence", &[a], &[b]);
                taught += 1;
            }
            smaller += u32::from(hand.clock.computed < 1.0);
            let slopes = gates.as_ref().map_or(&[][..], |(_, values)| &values.slopes);
            for ((kind, slopes), (a, b)) in
                source_kinds(&gates).iter().zip(slopes).zip(graph.values.iter().zip(&hand.values))
            {
                let through =
                    |x: &[f64]| -> Vec<f64> { x.iter().zip(slopes).map(|(x, s)| x * s).collect() };
                see(kind.name(), &through(a), &through(b));
                gated += 1;
            }
            let hand = through(&model.weights, &wanted, hand.flat, &trained).unwrap();
            for (((name, w), a), b) in named.iter().zip(&graph.trained).zip(&hand) {
                let zeros = w.zeros_like().unwrap();
                let (a, b) = (a.as_ref().unwrap_or(&zeros), b.as_ref().unwrap());
                see(name, &numbers(a), &numbers(b));
            }
        }
    }
    println!("{dtype:?}: worst {worst:.1e}; {gated} tables, {smaller} elastic, {taught} taught");
    assert!(gated > 0 && smaller > 0 && taught > 0);
}

/// Holds the graph over what the gates leave alive beside the graph over everything.
fn elastic_graph(
    model: &Model,
    values: &GateValues,
    tensors: &GateTensors,
    part: &Part<'_>,
    rope: &Rope,
    whole: &Gradients,
    limit: f64,
) {
    let named = model.weights.named();
    let trained: Vec<&Tensor> = named.iter().map(|(_, t)| *t).collect();
    let live = Live::under(&model.weights, &model.shape(), values);
    let forward = Forward::with_rope(&model.weights, &model.config, rope.clone())
        .gated(tensors)
        .elastic(live);
    for way in [straight, recomputed] {
        let of = way(&forward, part, Some(tensors), &trained).unwrap().unwrap();
        let see = |what: &str, a: &[f64], b: &[f64]| {
            let gap = gap(a, b);
            assert!(gap <= limit, "elastic graph: {what} differs by {gap:e}");
        };
        see("loss", &[whole.loss], &[of.loss]);
        for ((kind, slopes), (a, b)) in
            values.kinds.iter().zip(&values.slopes).zip(whole.values.iter().zip(&of.values))
        {
            let through =
                |x: &[f64]| -> Vec<f64> { x.iter().zip(slopes).map(|(x, s)| x * s).collect() };
            see(kind.name(), &through(a), &through(b));
        }
        for (((name, w), a), b) in named.iter().zip(&whole.trained).zip(&of.trained) {
            let zeros = w.zeros_like().unwrap();
            let (a, b) = (a.as_ref().unwrap_or(&zeros), b.as_ref().unwrap_or(&zeros));
            see(name, &numbers(a), &numbers(b));
        }
    }
}

fn source_kinds(gates: &Option<(Gates, GateValues)>) -> Vec<GateKind> {
    gates.as_ref().map_or_else(Vec::new, |(_, values)| values.kinds.clone())
}

#[test]
fn a_pass_by_hand_is_that_of_the_graph_elastic_or_not_in_f64() {
    // Sums of up to some hundred terms in another order: some units in the last place of 2e-16 of the
    // largest number, over up to three layers that amplify them.
    compare(DType::F64, 240, 1e-11);
}

#[test]
fn a_pass_by_hand_is_that_of_the_graph_elastic_or_not_in_f32() {
    // The same in units of 6e-8.
    compare(DType::F32, 120, 2e-3);
}

#[test]
fn gradients_by_hand_are_the_slopes_of_the_loss() {
    const STEP: f64 = 1e-5;
    let (mut gated, mut smaller) = (0, 0);
    for case in 0..32 {
        let stream = &mut Stream::new(case, "slopes", 0);
        let model = model(stream, DType::F64);
        let (gates, tokens, elastic) = (gates(stream, &model), 7, case % 4 > 0);
        let (source, vocab) = (model.shape(), model.config.vocab as u64);
        let ids: Vec<u32> = (0..2 * tokens).map(|_| stream.below(vocab) as u32).collect();
        let rope = Arc::new(RopeTable::new(&model.config.inverse_frequencies(), tokens));
        let values = gates.as_ref().map(|(_, values)| values);
        let pass = Pass {
            weights: &model.weights,
            config: &model.config,
            rope: &rope,
            gates: values.map(|values| (values, &source)),
            elastic,
            ids: &ids,
            tokens,
            watch: &Unwatched,
        };
        let part = Part { ids: &ids, tokens, share: 1.0, teacher: None, watch: &Unwatched };
        let named = model.weights.named();
        let (wanted, memory) = (vec![true; named.len()], Memory::default());
        let hand = by_hand(&pass, &part, (case % 3 == 0, false), &wanted, None, &memory);
        let hand = hand.unwrap().unwrap();
        smaller += u32::from(hand.clock.computed < 1.0);
        let loss = |pass: Pass<'_>| {
            let all = pass.losses(&memory).unwrap();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let see = |what: &str, g: f64, of: &dyn Fn(f64) -> f64| {
            let slope = (of(STEP) - of(-STEP)) / (2.0 * STEP);
            // Third derivatives times 1e-10, and a loss of some nats in units of 1e-16 over 1e-5.
            let limit = 1e-6 * (1.0 + g.abs());
            assert!(
                (slope - g).abs() < limit,
                "case {case}, {what}: {g} where the slope is {slope}"
            );
        };
        for (t, (values, by)) in
            values.iter().flat_map(|values| values.values.iter().zip(&hand.values)).enumerate()
        {
            let Some((_, all)) = &gates else { continue };
            // At 0 a hidden dimension would enter the mean of a norm.
            for i in (0..values.len()).filter(|&i| all.slopes[t][i] != 0.0 && values[i] > 1e-3) {
                see(all.kinds[t].name(), by[i], &|by| {
                    let mut moved = all.clone();
                    moved.values[t][i] += by;
                    loss(Pass { gates: Some((&moved, &source)), ..pass })
                });
                gated += 1;
            }
        }
        let trained: Vec<&Tensor> = named.iter().map(|(_, t)| *t).collect();
        let by_tensor = through(&model.weights, &wanted, hand.flat, &trained).unwrap();
        for (t, ((name, w), g)) in named.iter().zip(&by_tensor).enumerate() {
            let i = stream.below(w.elem_count() as u64) as usize;
            see(name, numbers(g.as_ref().unwrap())[i], &|by| {
                let mut place = 0..named.len();
                let moved = model.weights.map(|w| {
                    let mut all = numbers(w);
                    if place.next() == Some(t) {
                        all[i] += by;
                    }
                    Tensor::from_vec(all, w.shape(), &Device::Cpu)
                });
                loss(Pass { weights: &moved.unwrap(), ..pass })
            });
        }
    }
    assert!(gated > 100 && smaller > 5, "{gated} gates, {smaller} elastic");
}
