//! Small random runs, and small random things to do to them.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use woolshed_engine::data::{DomainOptions, Domains, MixtureRule, demo};
use woolshed_engine::gate::{GateKind, GatePlace};
use woolshed_engine::model::{Family, LlamaConfig, Model, Tokenizer};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{Changes, Edit, Operation, Run, ShearOptions, TrainOptions};
use woolshed_engine::shape::TargetShape;
use woolshed_engine::train::{Distill, Lora, Projection};

/// The demo domains in rows of 16 tokens, a few rows each.
pub fn domains() -> Arc<Domains> {
    let options = DomainOptions {
        seq_len: 16,
        eval_rows: 2,
        max_tokens: Some(800),
        ..DomainOptions::default()
    };
    Arc::new(demo::domains(&options, 5, &Unwatched).expect("the demo domains"))
}

fn one_of<T: Clone>(stream: &mut Stream, items: &[T]) -> T {
    items[stream.below(items.len() as u64) as usize].clone()
}

/// A random model that speaks the demo's words: 2 to 4 layers, 1 to 3 groups, tied or not.
pub fn model(stream: &mut Stream) -> Model {
    let special = demo::special();
    let kv_heads = 1 + stream.below(3) as usize;
    let heads = kv_heads * (1 + stream.below(2) as usize);
    let head_dim = one_of(stream, &[2, 4]);
    let config = LlamaConfig {
        family: Family::Llama,
        attention_bias: false,
        vocab: special.vocab,
        hidden: 4 + 4 * stream.below(3) as usize,
        intermediate: 4 + stream.below(9) as usize,
        layers: 2 + stream.below(3) as usize,
        heads,
        kv_heads,
        head_dim,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_positions: 64,
        tied: stream.below(2) == 0,
        bos: special.bos,
        eos: special.eos.into_iter().collect(),
        dtype: "float32".into(),
    };
    let json = demo::tokenizer_json().into_bytes();
    let tokenizer = Tokenizer::from_bytes(Path::new("demo"), json).expect("the demo's tokenizer");
    let (tokenizer, seed) = (Some(tokenizer.into()), stream.below(1 << 40));
    Model::random("random", config, tokenizer, seed, DType::F32, &Device::Cpu).expect("a model")
}

/// A target that makes some dimensions of a model smaller.
pub fn target(stream: &mut Stream, model: &Model) -> TargetShape {
    let source = model.shape();
    loop {
        let mut some =
            |most: usize| (stream.below(2) == 0).then(|| 1 + stream.below(most as u64) as usize);
        let target = TargetShape {
            layers: some(source.layers),
            hidden: some(source.hidden),
            kv_heads: some(source.kv_heads),
            heads: None,
            intermediate: some(source.intermediate),
        };
        if target.resolve(&source).is_ok() {
            return target;
        }
    }
}

/// Random ways to make gradients, from a stream of their own: micro-batches, layers run twice, a
/// teacher, low-rank changes; each is absent in most cases.
fn recovery(train: &mut TrainOptions) {
    let stream = &mut Stream::new(train.seed, "recovery", 0);
    train.accumulate = one_of(stream, &[1, 1, 2, 3]);
    train.recompute = stream.below(3) == 0;
    if stream.below(3) == 0 {
        let temperature = one_of(stream, &[1.0, 2.5]);
        train.distill = Some(Distill { weight: 0.1 + 0.9 * stream.uniform(), temperature });
    }
    if stream.below(3) == 0 {
        let mut targets = Projection::ALL.to_vec();
        stream.shuffle(&mut targets);
        targets.truncate(1 + stream.below(7) as usize);
        train.lora = Some(Lora { rank: 1 + stream.below(2) as usize, alpha: 4.0, targets });
    }
}

/// A random run on `domains`: it shears, by shape or overall sparsity, or recovers.
pub fn run(stream: &mut Stream, domains: &Arc<Domains>) -> Run {
    run_with(stream, domains, |_| {})
}

/// As [`run`], with options changed.
pub fn run_with(
    stream: &mut Stream,
    domains: &Arc<Domains>,
    change: impl Fn(&mut TrainOptions),
) -> Run {
    let model = model(stream);
    let mut train = TrainOptions {
        steps: 4 + stream.below(12),
        batch: 1 + stream.below(2) as usize,
        lr: one_of(stream, &[1e-4, 1e-3, 1e-2]),
        seed: stream.below(1 << 40),
        eval_every: 2 + stream.below(3),
        rule: one_of(stream, &MixtureRule::ALL),
        ..TrainOptions::default()
    };
    recovery(&mut train);
    change(&mut train);
    if stream.below(4) == 0 {
        let domains = domains.clone();
        let run = match train.distill {
            None => Run::recover(&model, domains, train, &Unwatched),
            // The model itself, or another that speaks the same words.
            Some(_) if train.seed.is_multiple_of(2) => {
                Run::recover_taught(&model, &model, domains, train, &Unwatched)
            }
            Some(_) => {
                let teacher = self::model(&mut Stream::new(train.seed, "teacher", 0));
                Run::recover_taught(&model, &teacher, domains, train, &Unwatched)
            }
        };
        return run.expect("a run");
    }
    let split = [GateKind::HeadLayer, GateKind::Mlp, GateKind::Head, GateKind::Intermediate];
    let sparsity = (stream.below(4) == 0).then_some(0.4);
    let shear = ShearOptions {
        gates: (stream.below(3) == 0).then(|| split.to_vec()),
        sparsity,
        mask_embeddings: stream.below(2) == 0,
        ..ShearOptions::default()
    };
    let target = target(stream, &model);
    Run::shear(&model, &target, domains.clone(), train, &shear, &Unwatched).expect("a run")
}

/// Something to do to `run`; not every edit of these is legal there.
pub fn operation(stream: &mut Stream, run: &Run) -> Operation {
    let shear = run.gates().ok();
    let edits = if shear.is_some() { 9 } else { 4 };
    let place = |stream: &mut Stream| {
        let gates = shear.expect("gates");
        let table = &gates.tables[stream.below(gates.tables.len() as u64) as usize];
        GatePlace {
            kind: table.kind,
            row: stream.below(table.rows as u64) as usize,
            index: stream.below(table.width as u64) as usize,
        }
    };
    let n = run.mixture().names.len();
    let edit = match stream.below(edits) {
        0 | 1 => return Operation::Step { steps: 1 + stream.below(3) },
        2 => return Operation::Evaluate,
        3 => {
            let mixture: Vec<f64> = (0..n).map(|_| 0.1 + stream.uniform()).collect();
            let changes = Changes {
                lr: Some(one_of(stream, &[1e-4, 3e-3])),
                eval_every: Some(1 + stream.below(4)),
                batch: Some(1 + stream.below(2) as usize),
                accumulate: (run.options().accumulate > 1).then_some(1 + run.options().batch),
                recompute: run.options().lora.is_some().then_some(!run.options().recompute),
                steps: Some(10 + stream.below(20)),
                rule: Some(one_of(stream, &MixtureRule::ALL)),
                mixture: (stream.below(2) == 0).then_some(mixture),
                gate_lr: shear.map(|_| 0.5 + stream.uniform()),
                ..Changes::default()
            };
            Edit::Set(Box::new(changes))
        }
        4 | 5 => Edit::Hold { gates: vec![place(stream)], open: stream.below(2) == 0 },
        6 => Edit::Release { gates: vec![place(stream)] },
        7 => Edit::LogAlpha { gate: place(stream), value: 4.0 * stream.uniform() - 2.0 },
        _ => Edit::Target { target: target(stream, run.source()) },
    };
    Operation::Edit(edit)
}

/// Does up to `n` random things; an edit that is refused is left out. Gives how many were edits.
pub fn play(stream: &mut Stream, run: &mut Run, n: usize) -> usize {
    for _ in 0..n {
        let operation = operation(stream, run);
        let done = run.apply(&operation, &Unwatched);
        assert!(done.is_ok() || matches!(operation, Operation::Edit(_)), "{operation:?}: {done:?}");
    }
    run.marks().len()
}

/// The hash of a run.
pub fn hash(run: &Run) -> String {
    run.hash().expect("a hash")
}
