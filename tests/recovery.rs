//! A person recovers a model with little memory, from a teacher, or by low-rank changes - and gets the
//! numbers of the plain way.

#[path = "support/runs.rs"]
mod runs;

use std::fs;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use runs::{domains, hash, model, play, run_with};
use woolshed_engine::data::Domains;
use woolshed_engine::judge;
use woolshed_engine::model::checkpoint::{LoadOptions, load_folder};
use woolshed_engine::model::{Model, Weights};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{
    Changes, Edit, KeepPolicy, Precision, Reference, ResumeOptions, Run, TrainOptions,
};
use woolshed_engine::train::{Distill, Lora, Projection};

fn stream(name: &str, case: u64) -> Stream {
    Stream::new(3, name, case)
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).and_then(|t| t.flatten_all()?.to_vec1()).unwrap()
}

fn furthest(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn exact(model: &Model) -> Model {
    let weights = model.weights.map(|t| t.to_dtype(DType::F64)).unwrap();
    Model { weights: Arc::new(weights), ..model.clone() }
}

fn recover(model: &Model, domains: &Arc<Domains>, train: TrainOptions) -> Run {
    Run::recover(model, domains.clone(), train, &Unwatched).unwrap()
}

/// Options of a short recovery at full rate from the first step.
fn short() -> TrainOptions {
    TrainOptions {
        steps: 12,
        batch: 2,
        lr: 3e-3,
        lr_warmup: Some(0),
        eval_every: 4,
        ..TrainOptions::default()
    }
}

/// The weights that a run computes with.
fn weights(run: &Run) -> &Weights {
    &run.trainer().model().weights
}

fn ids(run: &Run) -> Vec<u32> {
    run.loader().domains().domains[0].eval.row(0).to_vec()
}

#[test]
fn three_micro_batches_of_two_are_one_batch_of_six() {
    let domains = domains();
    for case in 0..4 {
        let model = exact(&model(&mut stream("accumulate", case)));
        let teacher = exact(&runs::model(&mut stream("accumulate", case + 100)));
        let distill = (case % 2 == 1).then(Distill::default);
        let start = |batch, accumulate| {
            let train = TrainOptions { batch, accumulate, distill, ..short() };
            let teacher = distill.map(|_| &teacher);
            let mut run = match teacher {
                None => recover(&model, &domains, train),
                Some(teacher) => {
                    let domains = domains.clone();
                    Run::recover_taught(&model, teacher, domains, train, &Unwatched).unwrap()
                }
            };
            run.step(5, &Unwatched).unwrap();
            run
        };
        let (whole, divided) = (start(6, 1), start(2, 3));
        for (a, b) in whole.steps().iter().zip(divided.steps()) {
            let (a, b) = (&a.figures, &b.figures);
            // Sums of some hundred f64 terms in another order; five steps of Adam.
            assert!((a.loss - b.loss).abs() < 1e-12, "case {case}: {} {}", a.loss, b.loss);
            assert!((a.grad_norm - b.grad_norm).abs() < 1e-12 * (1.0 + a.grad_norm));
            assert_eq!(a.distillation.is_some(), distill.is_some());
        }
        for ((name, a), (_, b)) in weights(&whole).named().iter().zip(weights(&divided).named()) {
            let gap = furthest(&numbers(a), &numbers(b));
            assert!(gap < 1e-12, "case {case}: {name} differs by {gap:e}");
        }
        assert_eq!(whole.loader().state(), divided.loader().state());
        assert_eq!(whole.status().tokens, divided.status().tokens);
        assert_eq!(divided.status().tokens, 5 * 6 * 16);
    }
}

#[test]
fn every_micro_batch_samples_gates_of_its_own_and_the_first_has_those_of_an_undivided_step() {
    let domains = domains();
    let run = (0..)
        .map(|case| runs::run(&mut stream("noise", case), &domains))
        .find(|run| run.gates().is_ok())
        .expect("some case shears");
    let gates = run.gates().unwrap();
    assert_eq!(gates.part_noise(5, 9, 0), gates.noise(5, 9));
    let parts: Vec<_> = (0..3).map(|part| gates.part_noise(5, 9, part)).collect();
    assert_ne!(parts[0], parts[1]);
    assert_ne!(parts[1], parts[2]);
    assert_ne!(parts[1], gates.part_noise(5, 10, 1));
}

#[test]
fn layers_run_twice_give_the_same_bits() {
    let domains = domains();
    let (mut gated, mut low_rank, mut taught) = (0, 0, 0);
    for case in 0..80 {
        let start = |recompute| {
            let mut run = run_with(&mut stream("recompute", case), &domains, |train| {
                train.recompute = recompute;
                train.lr_warmup = Some(0);
            });
            run.step(3, &Unwatched).unwrap();
            run
        };
        let (straight, twice) = (start(false), start(true));
        assert_eq!(straight.steps(), twice.steps(), "case {case}");
        assert_eq!(straight.trainer().shear, twice.trainer().shear, "case {case}");
        let bits = |run: &Run| run.trainer().model().digest().unwrap();
        assert_eq!(bits(&straight), bits(&twice), "case {case}");
        gated += u32::from(straight.gates().is_ok());
        low_rank += u32::from(straight.options().lora.is_some());
        taught += u32::from(straight.teacher().is_some());
    }
    assert!(gated > 40 && low_rank > 10 && taught > 10, "{gated}, {low_rank}, {taught}");
}

#[test]
fn a_low_rank_run_starts_at_its_model_to_the_bit_and_writes_nothing_into_it() {
    let domains = domains();
    for case in 0..6 {
        let model = model(&mut stream("lora", case));
        let lora = Lora { rank: 2, ..Lora::default() };
        let before = model.digest().unwrap();
        let train = TrainOptions { lora: Some(lora.clone()), ..short() };
        let mut run = recover(&model, &domains, train);
        let ids = ids(&run);
        let at = |model: &Model| numbers(&model.logits(&ids).unwrap());
        assert_eq!(at(run.trainer().model()), at(&model), "case {case}");
        assert_eq!(run.extract().unwrap().digest().unwrap(), before);
        run.step(6, &Unwatched).unwrap();
        assert_eq!(model.digest().unwrap(), before);
        assert_ne!(at(run.trainer().model()), at(&model));
        // What no change is for is the source's own memory.
        assert_eq!(weights(&run).norm.id(), model.weights.norm.id());
        let merged = run.extract().unwrap();
        assert_eq!(at(&merged), at(run.trainer().model()), "case {case}");
        let unmerged = at(&unmerged(&run, &model, &lora));
        let size = unmerged.iter().fold(1.0, |most: f64, x| most.max(x.abs()));
        let gap = furthest(&at(&merged), &unmerged);
        // f32 keeps 6e-8 of a weight; some layers of sums of a few dozen terms.
        assert!(gap < 1e-5 * size, "case {case}: {gap:e}");
        assert!(merged.origin != model.origin);
        let note = merged.provenance.iter().find(|(key, _)| key == "recovered.lora");
        assert!(note.is_some_and(|(_, value)| value.contains("\"rank\":2")));
    }
}

/// W + s B A in f64, from the tensors that a saved run would hold.
fn unmerged(run: &Run, model: &Model, lora: &Lora) -> Model {
    let named = run.trainer().parameters().named();
    let get = |name: &str| {
        let found = named.iter().find(|(n, _)| n == name).map(|(_, t)| *t);
        found.map(|t| t.detach().to_dtype(DType::F64).unwrap())
    };
    let exact = exact(model);
    let mut weights = exact.weights.named();
    let changed = weights.iter_mut().map(|(name, w)| {
        let a = get(&format!("weight/{name}.lora_a"));
        let b = get(&format!("weight/{name}.lora_b"));
        let sum = match a.zip(b) {
            Some((a, b)) => {
                let change = (b.matmul(&a).unwrap() * (lora.alpha / lora.rank as f64)).unwrap();
                (&**w + change).unwrap()
            }
            None => w.clone(),
        };
        (name.clone(), sum)
    });
    let mut changed: std::collections::HashMap<String, Tensor> = changed.collect();
    let weights = Weights::from_named(model.config.layers, |name| changed.remove(name)).unwrap();
    Model { weights: Arc::new(weights), ..model.clone() }
}

#[test]
fn a_low_rank_run_has_moments_and_files_for_its_changes_alone() {
    let domains = domains();
    let model = model(&mut stream("lora-size", 0));
    let targets = vec![Projection::Q, Projection::Down];
    let lora = Lora { rank: 1, alpha: 2.0, targets };
    let mut run = recover(&model, &domains, TrainOptions { lora: Some(lora), ..short() });
    run.step(2, &Unwatched).unwrap();
    let named = run.trainer().parameters().named();
    assert_eq!(named.len(), 3 * 2 * 2 * model.config.layers);
    assert!(named.iter().all(|(name, _)| name.contains(".lora_")));
    let c = &model.config;
    let per_layer = (c.hidden + c.heads * c.head_dim) + (c.intermediate + c.hidden);
    let elements: usize = named.iter().map(|(_, t)| t.elem_count()).sum();
    assert_eq!(elements, 3 * c.layers * per_layer);
    let count = named.len();
    let dir = tempfile::tempdir().unwrap();
    let saved = run.save(dir.path(), 1).unwrap().join("tensors.safetensors");
    let tensors = candle_core::safetensors::load(saved, &Device::Cpu).unwrap();
    assert_eq!(tensors.len(), count);
}

#[test]
fn a_student_comes_closer_to_its_teacher_and_its_folder_holds_the_teacher() {
    let domains = domains();
    let (student, teacher) = (model(&mut stream("student", 0)), model(&mut stream("teacher", 1)));
    let distill = Some(Distill { weight: 1.0, temperature: 1.0 });
    let train = TrainOptions { steps: 60, lr: 1e-2, batch: 4, distill, ..short() };
    let mut run =
        Run::recover_taught(&student, &teacher, domains.clone(), train, &Unwatched).unwrap();
    run.step(60, &Unwatched).unwrap();
    let divergence: Vec<f64> =
        run.steps().iter().map(|s| s.figures.distillation.unwrap()).collect();
    let (first, last) = (divergence[0], divergence[59]);
    assert!(first > 0.0 && last < 0.5 * first, "from {first} to {last}");
    let origin = run.origin().unwrap().teacher.unwrap();
    assert_eq!(origin.sha256, teacher.digest().unwrap());
    assert_eq!(origin.model, teacher.origin);

    let dir = tempfile::tempdir().unwrap();
    run.save(dir.path(), 1).unwrap();
    let options = ResumeOptions { domains: Some(domains.clone()), ..ResumeOptions::default() };
    let resumed = Run::resume(dir.path(), &options, &Unwatched).unwrap();
    assert_eq!(hash(&resumed), hash(&run));
    assert_eq!(resumed.teacher().unwrap().name, teacher.name);
    let tensors = dir.path().join("teacher/tensors.safetensors");
    let mut bytes = fs::read(&tensors).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&tensors, bytes).unwrap();
    let error = Run::resume(dir.path(), &options, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("teacher") && error.contains("copy the teacher again"), "{error}");
}

#[test]
fn another_teacher_is_another_run() {
    let domains = domains();
    let student = model(&mut stream("student", 0));
    let train = TrainOptions { distill: Some(Distill::default()), ..short() };
    let start = |case| {
        let teacher = model(&mut stream("teacher", case));
        Run::recover_taught(&student, &teacher, domains.clone(), train.clone(), &Unwatched).unwrap()
    };
    let (mut one, mut other) = (start(1), start(2));
    assert_ne!(hash(&one), hash(&other));
    let dir = tempfile::tempdir().unwrap();
    one.save(dir.path(), 1).unwrap();
    let error = other.save(dir.path(), 1).unwrap_err().to_string();
    assert!(error.contains("another teacher"), "{error}");
}

#[test]
fn the_best_evaluation_is_kept_found_and_gone_back_to() {
    let domains = domains();
    let model = model(&mut stream("best", 0));
    // The loss falls, and then bursts at a rate far too high.
    let train = TrainOptions { lr: 3e-2, eval_every: 2, ..short() };
    let mut run = recover(&model, &domains, train);
    assert!(run.best().is_none());
    let error = run.best_model(&Unwatched).unwrap_err().to_string();
    assert!(error.contains("nothing was evaluated yet"), "{error}");
    run.keep(KeepPolicy { every: Some(1000), ..KeepPolicy::default() });
    run.step(12, &Unwatched).unwrap();
    let spoil = Changes { lr: Some(30.0), ..Changes::default() };
    run.edit(&Edit::Set(Box::new(spoil)), &Unwatched).unwrap();
    run.step(6, &Unwatched).unwrap();
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let all: Vec<(u64, f64)> =
        run.evaluations().iter().map(|e| (e.step, mean(&e.losses))).collect();
    let lowest = all.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    let best = run.best().unwrap();
    assert_eq!((best.step, best.loss), *lowest, "{all:?}");
    assert!(best.step < 18, "the burst: {all:?}");
    assert_eq!(run.snapshots().0, [0, best.step], "the start and the best");
    let now = hash(&run);
    let kept = run.best_model(&Unwatched).unwrap();
    assert_eq!(hash(&run), now);
    let losses = woolshed_engine::judge::model_losses(&kept, &domains, &Unwatched).unwrap();
    assert_eq!(mean(&losses), best.loss);
    // On the disk it stays beside the last snapshot, and a resumed run has it back.
    let dir = tempfile::tempdir().unwrap();
    let mut saved = run.fork();
    saved.save(dir.path(), 1).unwrap();
    let options = ResumeOptions { domains: Some(domains.clone()), ..ResumeOptions::default() };
    let mut resumed = Run::resume(dir.path(), &options, &Unwatched).unwrap();
    assert_eq!((resumed.best(), hash(&resumed)), (Some(best), now.clone()));
    let again = resumed.best_model(&Unwatched).unwrap();
    assert_eq!(again.digest().unwrap(), kept.digest().unwrap());
    // Another save keeps it, and it is found by its step.
    resumed.step(2, &Unwatched).unwrap();
    resumed.save(dir.path(), 1).unwrap();
    let snapshots = |dir: &std::path::Path| {
        let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("step-")).count()
    };
    assert_eq!(snapshots(dir.path()), 2, "the last and the best");
    let then = ResumeOptions { step: Some(best.step), ..options.clone() };
    let then = Run::resume(dir.path(), &then, &Unwatched).unwrap();
    assert_eq!(then.extract().unwrap().digest().unwrap(), kept.digest().unwrap());
    // Saved while memory has let it go, it is not there to go back to, and the error says so.
    let other = tempfile::tempdir().unwrap();
    let mut bare = run.fork();
    bare.keep(KeepPolicy { every: Some(0), ..KeepPolicy::default() });
    bare.save(other.path(), 1).unwrap();
    let bare = Run::resume(other.path(), &options, &Unwatched).unwrap();
    let error = bare.best_model(&Unwatched).unwrap_err().to_string();
    assert!(error.contains(&format!("no snapshot of step {}", best.step)), "{error}");
    assert_eq!(run.rewind_best(&Unwatched).unwrap(), best);
    assert_eq!(run.status().step, best.step);
    assert_eq!(run.extract().unwrap().digest().unwrap(), kept.digest().unwrap());
}

#[test]
fn a_recovery_is_measured_by_the_references_of_the_run_that_made_its_model() {
    let domains = domains();
    let source = model(&mut stream("references", 0));
    let references: Vec<f64> = (0..domains.domains.len()).map(|i| 1.0 + i as f64 / 8.0).collect();
    let given = Reference::Losses(references.clone());
    let first = recover(&source, &domains, TrainOptions { reference: given, ..short() });
    let made = first.extract().unwrap();
    let second = recover(&made, &domains, short());
    assert_eq!(second.mixture().reference, references);
    // A copy on the disk carries them, and the next one inherits them.
    let dir = tempfile::tempdir().unwrap();
    second.extract().unwrap().save(dir.path(), &Default::default()).unwrap();
    let options = LoadOptions { dtype: DType::F64, ..LoadOptions::default() };
    let read = load_folder(dir.path(), &options, &Unwatched).unwrap();
    assert_eq!(recover(&read, &domains, short()).mixture().reference, references);
    // A model that no run made, or one that was made on other domains, is measured by its own losses.
    let own = |model: &Model| judge::model_losses(model, &domains, &Unwatched).unwrap();
    assert_eq!(recover(&source, &domains, short()).mixture().reference, own(&source));
    let mut renamed = Domains::clone(&domains);
    renamed.domains[0].name = "another".into();
    let elsewhere = recover(&made, &Arc::new(renamed), short());
    assert_eq!(elsewhere.mixture().reference, own(&made));
}

#[test]
fn a_run_with_gates_has_no_best_and_says_why() {
    let domains = domains();
    let mut run = (0..)
        .map(|case| runs::run(&mut stream("no-best", case), &domains))
        .find(|run| run.gates().is_ok())
        .expect("some case shears");
    play(&mut stream("no-best", 0), &mut run, 3);
    run.evaluate(&Unwatched).unwrap();
    assert!(run.best().is_none());
    let error = run.best_model(&Unwatched).unwrap_err().to_string();
    assert!(error.contains("ask the recovery that follows"), "{error}");
}

#[test]
fn an_option_that_cannot_be_names_the_nearest_that_can() {
    let domains = domains();
    let model = model(&mut stream("options", 0));
    let refused = |change: &dyn Fn(&mut TrainOptions)| {
        let mut train = short();
        change(&mut train);
        Run::recover(&model, domains.clone(), train, &Unwatched).unwrap_err().to_string()
    };
    let lora = |rank, alpha, targets: &[Projection]| {
        let lora = Lora { rank, alpha, targets: targets.to_vec() };
        refused(&|train| train.lora = Some(lora.clone()))
    };
    let distill = |weight, temperature| {
        refused(&|train| train.distill = Some(Distill { weight, temperature }))
    };
    let says = |error: String, words: &[&str]| {
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    says(refused(&|t| t.accumulate = 0), &["`accumulate` is 0", "nearest legal value: 1"]);
    says(refused(&|t| t.dtype = Precision::Bf16), &["the CPU computes in f32", "value: f32"]);
    says(distill(0.0, 1.0), &["`distill.weight` is 0", "0.5"]);
    says(distill(1.5, 1.0), &["`distill.weight` is 1.5", "value: 1"]);
    says(distill(f64::NAN, 1.0), &["`distill.weight` is NaN"]);
    says(distill(0.5, 0.0), &["`distill.temperature`", "value: 1"]);
    says(distill(0.5, 1.0), &["`teacher` is absent", "cut from"]);
    says(lora(0, 16.0, &Projection::ALL), &["`lora.rank` is 0", "value: 1"]);
    let k = &model.weights.layers[0].attention.as_ref().unwrap().k;
    let most = k.dims().iter().min().unwrap();
    let nearest = format!("value: {most}");
    says(lora(999, 16.0, &[Projection::K]), &["`lora.rank` is 999", &nearest]);
    says(lora(1, -1.0, &Projection::ALL), &["`lora.alpha` is -1", "value: 2"]);
    says(lora(1, 2.0, &[]), &["`lora.targets`", "q, k, v, o"]);
    says(lora(1, 2.0, &[Projection::Q, Projection::Q]), &["`lora.targets`", "once"]);
    let error = "gat".parse::<Projection>().unwrap_err().to_string();
    assert!(error.contains("nearest: `gate`"), "{error}");

    let taught = |teacher: &Model, distill| {
        let train = TrainOptions { distill, ..short() };
        Run::recover_taught(&model, teacher, domains.clone(), train, &Unwatched)
            .unwrap_err()
            .to_string()
    };
    says(taught(&model, None), &["`teacher`", "no effect without `distill`"]);
    let mut other = model.clone();
    other.config.vocab += 1;
    says(taught(&other, Some(Distill::default())), &["`teacher`", "this model's tokenizer"]);
    let mut short_sighted = model.clone();
    short_sighted.config.max_positions = 8;
    says(taught(&short_sighted, Some(Distill::default())), &["8 positions", "16 tokens"]);
}

#[test]
fn options_that_are_not_used_leave_no_trace_in_files_and_hashes() {
    let json = serde_json::to_string(&TrainOptions::default()).unwrap();
    for name in ["accumulate", "recompute", "distill", "lora", "dtype"] {
        assert!(!json.contains(name), "{json}");
    }
    let used = TrainOptions {
        accumulate: 2,
        recompute: true,
        distill: Some(Distill::default()),
        lora: Some(Lora::default()),
        ..TrainOptions::default()
    };
    let json = serde_json::to_string(&used).unwrap();
    assert_eq!(serde_json::from_str::<TrainOptions>(&json).unwrap(), used);
}
