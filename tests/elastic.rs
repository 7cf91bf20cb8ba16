//! A step that leaves out what its gates close is the step over everything.
//!
//! Both are taken side by side on random models and gates in f64, where only the order of sums is left
//! to differ: losses, gradients, moments, weights, log-alphas, multipliers and the evaluations after.

#[path = "support/runs.rs"]
#[expect(dead_code, reason = "each test uses some of what they share")]
mod runs;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use woolshed_engine::gate::{Constraint, EvalMode, GateKind, Gates, HardConcrete, Lagrangian};
use woolshed_engine::judge;
use woolshed_engine::model::Model;
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{Run, ShearOptions, TrainOptions};
use woolshed_engine::shape::TargetShape;
use woolshed_engine::train::{
    AdamConfig, Schedule, Shear, ShearRates, StepOutcome, Trainer, TrainerConfig,
};

const TOKENS: usize = 12;

/// A trainer of a random model under all kinds of gates that go together there.
fn trainer(case: u64, dtype: DType, elastic: bool) -> Trainer {
    let stream = &mut Stream::new(case, "elastic", 0);
    let model = runs::model(stream);
    let weights =
        model.weights.map(|t| (t * if t.rank() == 2 { 10.0 } else { 1.0 })?.to_dtype(dtype));
    let model = Model { weights: Arc::new(weights.unwrap()), ..model };
    let source = model.shape();
    let split = [GateKind::HeadLayer, GateKind::Mlp];
    let mut kinds = vec![GateKind::Head, GateKind::Query, GateKind::Intermediate, GateKind::Hidden];
    kinds.extend(if stream.below(2) == 0 { &split[..] } else { &[GateKind::Layer] });
    kinds.retain(|_| stream.below(5) > 0);
    kinds.retain(|kind| *kind != GateKind::Query || source.group() > 1);
    if kinds.is_empty() {
        kinds.push(GateKind::Intermediate);
    }
    let mask = stream.below(2) == 0;
    let hc = HardConcrete::default();
    let gates = Gates::new(&source, Some(&source), &kinds, hc, mask, case).unwrap();
    let adam = AdamConfig { betas: (0.9, 0.95), eps: 1e-8, weight_decay: 0.1 };
    let rates = ShearRates { gates: 0.1, multipliers: 0.1 };
    let lagrangian = Lagrangian::new(Constraint::Shape, 2, &gates);
    let shear = Shear::new(gates, lagrangian, rates, adam, case);
    let config = TrainerConfig {
        lr: 1e-2,
        schedule: Schedule { warmup: 0, total: 10, floor: 0.1 },
        clip: 1.0,
        adam,
        tokens: TOKENS,
        accumulate: 1 + stream.below(2) as usize,
        recompute: stream.below(3) == 0,
        elastic,
        distill: None,
    };
    Trainer::new(&model, config, Some(shear)).unwrap()
}

/// Closes many gates: what had a gradient in the steps before has none from here on.
fn close_many(trainer: &mut Trainer, case: u64) {
    let stream = &mut Stream::new(case, "close", 0);
    let shear = trainer.shear.as_mut().unwrap();
    for table in &mut shear.gates.tables {
        for i in 0..table.log_alpha.len() {
            match stream.below(4) {
                0 => table.log_alpha[i] = -4.0,
                1 => drop(table.held.insert(i, stream.below(3) == 0)),
                2 => table.log_alpha[i] = 2.0 * stream.normal(),
                _ => {}
            }
        }
    }
}

/// Sequences of a step: few, or in every fourth case so many that groups of them are tasks of their own.
fn sequences(case: u64) -> usize {
    if case.is_multiple_of(4) { 64 } else { 4 }
}

/// Takes four steps, with many gates closed after the first two; gives the losses.
fn walk(trainer: &mut Trainer, case: u64) -> Vec<f64> {
    let stream = &mut Stream::new(case, "ids", 0);
    let vocab = trainer.model().config.vocab as u64;
    let step = |k: u64| {
        let ids: Vec<u32> =
            (0..sequences(case) * TOKENS).map(|_| stream.below(vocab) as u32).collect();
        if k == 2 {
            close_many(trainer, case);
        }
        match trainer.step(k, &ids, None, &Unwatched).unwrap() {
            StepOutcome::Taken(figures) => figures.loss,
            broken => panic!("case {case}, step {k}: {broken:?}"),
        }
    };
    (0..4).map(step).collect()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

/// The largest difference, as a share of the largest number (at least 1e-3).
fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let most = a.iter().fold(1e-3, |most: f64, x| most.max(x.abs()));
    let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs() / most);
    gaps.fold(0.0, |most, gap| if gap > most || gap.is_nan() { gap } else { most })
}

#[test]
fn elastic_steps_are_the_steps_over_everything_with_weights_moments_gates_and_evaluations() {
    let (mut worst, mut left_out) = (0.0f64, 0);
    let domains = runs::domains();
    for case in 0..60 {
        let (mut dense, mut elastic) =
            (trainer(case, DType::F64, false), trainer(case, DType::F64, true));
        let losses = (walk(&mut dense, case), walk(&mut elastic, case));
        assert_eq!(dense.clock().computed, 1.0);
        left_out += u32::from(elastic.clock().computed < 0.8);
        let mut see = |what: &str, a: &[f64], b: &[f64]| {
            let gap = gap(a, b);
            worst = worst.max(gap);
            // Rounding of 2e-16 in a gradient; Adam divides by the root of its square, so a small
            // gradient's share of it moves the weight: the limit of the golden trajectories.
            assert!(gap < 1e-9, "case {case}: {what} differs by {gap:e}");
        };
        see("loss", &losses.0, &losses.1);
        let (a, b) = (dense.parameters().named(), elastic.parameters().named());
        for ((name, a), (_, b)) in a.iter().zip(&b) {
            see(name, &numbers(a), &numbers(b));
        }
        let (a, b) = (dense.shear.as_ref().unwrap(), elastic.shear.as_ref().unwrap());
        for (a, b) in a.gates.tables.iter().zip(&b.gates.tables) {
            see(a.kind.name(), &a.log_alpha, &b.log_alpha);
        }
        for (a, b) in a.lagrangian.multipliers.iter().zip(&b.lagrangian.multipliers) {
            see("multipliers", &[a.linear, a.quadratic], &[b.linear, b.quadratic]);
        }
        for mode in [EvalMode::Current, EvalMode::Target] {
            let values = a.gates.evaluate(mode);
            let model = dense.model();
            let losses = |elastic| {
                let gates = Some((&values, &a.gates.source));
                let (weights, config) = (&model.weights, &model.config);
                judge::domain_losses(weights, config, gates, elastic, &domains, &Unwatched).unwrap()
            };
            see("evaluation", &losses(false), &losses(true));
        }
    }
    println!("worst {worst:.1e}; {left_out} of 60 left out a fifth or more");
    assert!(left_out > 20, "only {left_out} cases left anything out");
}

#[test]
fn elastic_steps_in_single_precision_differ_by_rounding() {
    let mut worst = 0.0f64;
    for case in 0..30 {
        let (mut dense, mut elastic) =
            (trainer(case, DType::F32, false), trainer(case, DType::F32, true));
        let gap = gap(&walk(&mut dense, case), &walk(&mut elastic, case));
        worst = worst.max(gap);
        // 6e-8 a rounding, over some hundred sums and four steps of Adam.
        assert!(gap < 1e-3, "case {case}: losses differ by {gap:e}");
    }
    println!("worst {worst:.1e}");
}

#[test]
fn an_elastic_step_gives_the_same_bits_every_time_and_those_of_the_whole_where_all_is_open() {
    for case in 0..20 {
        let bits = |elastic: bool, open: bool| {
            let mut trainer = trainer(case, DType::F32, elastic);
            if open {
                for table in &mut trainer.shear.as_mut().unwrap().gates.tables {
                    table.held.extend((0..table.log_alpha.len()).map(|i| (i, true)));
                }
                let ids: Vec<u32> = (0..2 * TOKENS as u32).map(|i| i % 11).collect();
                trainer.step(0, &ids, None, &Unwatched).unwrap();
                assert_eq!(trainer.clock().computed, 1.0);
            } else {
                walk(&mut trainer, case);
            }
            trainer.model().digest().unwrap()
        };
        assert_eq!(bits(true, false), bits(true, false), "case {case}");
        assert_eq!(bits(true, true), bits(false, true), "case {case}");
    }
}

#[test]
fn what_leaving_out_saved_is_in_the_speed_of_a_run_and_the_choice_in_its_hash() {
    let domains = runs::domains();
    let model = runs::model(&mut Stream::new(3, "model", 0));
    let target = TargetShape { hidden: Some(2), ..TargetShape::default() };
    let start = |elastic| {
        let train = TrainOptions { steps: 40, batch: 2, elastic, ..TrainOptions::default() };
        let options = ShearOptions::default();
        let mut run =
            Run::shear(&model, &target, domains.clone(), train, &options, &Unwatched).unwrap();
        let first = run.hash().unwrap();
        run.step(40, &Unwatched).unwrap();
        (run, first)
    };
    let ((elastic, a), (dense, b)) = (start(true), start(false));
    assert_ne!(a, b, "the choice is an option of the run");
    assert_eq!(start(true).0.hash().unwrap(), elastic.hash().unwrap());
    let (e, d) = (elastic.speed(), dense.speed());
    assert_eq!((e.steps, d.steps, d.computed(), d.saved), (40, 40, 1.0, 0.0));
    assert!(e.computed() < 0.9 && e.saved > 0.0, "{e:?}");
    let parts: f64 = e.parts().iter().map(|part| part.1).sum();
    assert_eq!(parts, e.total());
    assert_eq!(elastic.fork().speed().steps, 0);
}
