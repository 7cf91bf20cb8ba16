//! A person moves the mixture: with bounds, with a rule of their own, with other references - and the
//! run can still be made again, to the bit.

#[expect(dead_code, reason = "other tests use the rest")]
#[path = "support/runs.rs"]
mod runs;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runs::{domains, hash, model};
use sha2::{Digest, Sha256};
use woolshed_engine::data::scaling::KnownLosses;
use woolshed_engine::data::{
    Bounds, CustomRule, DomainOptions, Domains, Loader, MixtureRule, PrepareOptions, RuleInput,
    demo, prepare,
};
use woolshed_engine::model::Tokenizer;
use woolshed_engine::progress::Unwatched;
use woolshed_engine::rng::Stream;
use woolshed_engine::run::{
    Changes, Edit, Reference, ResumeOptions, Run, RunOrigin, TrainOptions, WhatIf,
};

fn recover(options: TrainOptions) -> Run {
    let model = model(&mut Stream::new(3, "mixture", 0));
    Run::recover(&model, domains(), options, &Unwatched).unwrap()
}

fn options(rule: MixtureRule) -> TrainOptions {
    TrainOptions { steps: 20, batch: 2, eval_every: 2, rule, ..TrainOptions::default() }
}

/// Gives more to the domains that are worst, and a little to all.
fn worst_first(input: &RuleInput) -> Result<Vec<f64>, String> {
    let worst = input.losses.iter().copied().fold(f64::MIN, f64::max);
    let seen = input.history.len() as f64;
    Ok(input.losses.iter().map(|l| (4.0 * (l - worst)).exp() + 0.01 * (1.0 + seen)).collect())
}

fn custom() -> TrainOptions {
    TrainOptions { custom: Some(CustomRule::new(worst_first)), ..options(MixtureRule::Custom) }
}

/// Makes a run again from what its origin says in a file, without any function.
fn again(run: &Run) -> Run {
    let json = serde_json::to_string(&run.origin().unwrap()).unwrap();
    let origin: RunOrigin = serde_json::from_str(&json).unwrap();
    let mut again = recover(origin.train);
    for operation in origin.journal.operations() {
        again.apply(operation, &Unwatched).unwrap();
    }
    again
}

fn set(run: &mut Run, changes: Changes) -> Result<(), String> {
    run.edit(&Edit::Set(Box::new(changes)), &Unwatched).map_err(|error| error.to_string())
}

#[test]
fn a_run_under_a_rule_of_the_user_is_made_again_without_it_by_hash() {
    let mut run = recover(custom());
    run.step(7, &Unwatched).unwrap();
    run.evaluate(&Unwatched).unwrap();
    let mixtures: Vec<_> = run.evaluations().iter().map(|e| e.mixture.clone()).collect();
    assert_eq!(mixtures.len(), 4);
    assert_ne!(mixtures[0], mixtures[1]);
    let mut replayed = again(&run);
    assert_eq!(hash(&replayed), hash(&run));
    assert_eq!(replayed.origin().unwrap(), run.origin().unwrap());
    // Beyond the end of the path the last weights stay.
    let last = run.mixture().weights.clone();
    replayed.step(4, &Unwatched).unwrap();
    assert_eq!(replayed.mixture().weights, last);
    assert_eq!(hash(&again(&replayed)), hash(&replayed));
}

#[test]
fn a_rule_that_comes_and_goes_is_made_again_by_hash() {
    let mut run = recover(options(MixtureRule::Doremi));
    run.step(3, &Unwatched).unwrap();
    run.use_rule(CustomRule::new(worst_first));
    set(&mut run, Changes { rule: Some(MixtureRule::Custom), ..Changes::default() }).unwrap();
    run.step(3, &Unwatched).unwrap();
    let n = run.mixture().names.len();
    let mixture = Some((1..=n).map(|d| d as f64).collect());
    set(&mut run, Changes { mixture, floor: Some(0.1), ..Changes::default() }).unwrap();
    run.step(3, &Unwatched).unwrap();
    set(&mut run, Changes { rule: Some(MixtureRule::Bandit), ..Changes::default() }).unwrap();
    run.step(3, &Unwatched).unwrap();
    assert!(run.mixture().weights.iter().all(|w| *w >= 0.1), "{:?}", run.mixture().weights);
    assert_eq!(hash(&again(&run)), hash(&run));
}

#[test]
fn a_resumed_run_asks_for_its_function_before_anything_changes_and_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut straight = recover(custom());
    straight.step(5, &Unwatched).unwrap();
    straight.save(dir.path(), 2).unwrap();
    let mut bare = Run::resume(dir.path(), &ResumeOptions::default(), &Unwatched).unwrap();
    let before = hash(&bare);
    assert_eq!(before, hash(&straight));
    let error = bare.step(1, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("`custom` needs its function"), "{error}");
    assert!(bare.evaluate(&Unwatched).is_err());
    assert_eq!(hash(&bare), before);
    straight.step(5, &Unwatched).unwrap();
    bare.use_rule(CustomRule::new(worst_first));
    bare.step(5, &Unwatched).unwrap();
    assert_eq!(hash(&bare), hash(&straight));
    let rule = Some(CustomRule::new(worst_first));
    let given = ResumeOptions { rule, ..ResumeOptions::default() };
    let mut resumed = Run::resume(dir.path(), &given, &Unwatched).unwrap();
    resumed.step(5, &Unwatched).unwrap();
    assert_eq!(hash(&resumed), hash(&straight));
    // The folder takes later snapshots of the run, whichever way it came back.
    resumed.save(dir.path(), 2).unwrap();
    straight.fork().save(dir.path(), 2).unwrap();
}

#[test]
fn a_rewind_does_not_ask_a_function_again_for_what_it_has_decided() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = asked.clone();
    // No function of its input: a second answer would be another one.
    let rule = CustomRule::new(move |input: &RuleInput| {
        let n = counter.fetch_add(1, Ordering::Relaxed) + 1;
        Ok((0..input.names.len() as u64).map(|d| (1 + d * n) as f64).collect())
    });
    let mut run = recover(TrainOptions { custom: Some(rule), ..options(MixtureRule::Custom) });
    run.keep(woolshed_engine::run::KeepPolicy { every: Some(100), ..Default::default() });
    run.step(5, &Unwatched).unwrap();
    let then = hash(&run);
    run.step(4, &Unwatched).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    run.rewind(5, &Unwatched).unwrap();
    assert_eq!((hash(&run), asked.load(Ordering::Relaxed)), (then, 4));
    run.step(1, &Unwatched).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 5, "what comes after is decided anew");
    assert_eq!(hash(&again(&run)), hash(&run));
}

#[test]
fn a_rule_that_fails_leaves_the_run_where_it_was_and_says_why() {
    let rule = CustomRule::new(|_| Err("no such key: los".into()));
    let mut run = recover(TrainOptions { custom: Some(rule), ..options(MixtureRule::Custom) });
    run.step(1, &Unwatched).unwrap();
    let before = run.mixture().clone();
    let error = run.step(1, &Unwatched).unwrap_err().to_string();
    assert_eq!(error, "the mixture rule failed after step 2: no such key: los");
    assert_eq!((run.mixture(), run.evaluations().len()), (&before, 0));
    run.use_rule(CustomRule::new(worst_first));
    run.step(1, &Unwatched).unwrap();
    assert_eq!((run.status().step, run.evaluations().len()), (3, 1));
}

#[test]
fn bounds_hold_from_the_first_mixture_on_and_impossible_ones_name_the_nearest() {
    for rule in MixtureRule::ALL {
        let bounds = Bounds { floor: 0.15, ceiling: 0.3 };
        let mixture = Some(vec![0.9, 0.1, 0.0, 0.0, 0.0]);
        let mut run = recover(TrainOptions { bounds, mixture, ..options(rule) });
        run.step(6, &Unwatched).unwrap();
        let taken = run.evaluations().iter().map(|e| e.mixture.as_slice());
        for weights in taken.chain([run.first_mixture()]) {
            assert!(weights.iter().all(|w| (0.15..=0.3).contains(w)), "{rule}: {weights:?}");
        }
        assert_eq!(hash(&again(&run)), hash(&run), "{rule}");
        let error = set(&mut run, Changes { floor: Some(0.21), ..Changes::default() }).unwrap_err();
        assert!(error.contains("`floor` is 0.21") && error.contains("nearest legal value: 0.2"));
    }
}

#[test]
fn an_exhausted_domain_says_that_it_begins_again() {
    let mut run = recover(TrainOptions { batch: 40, ..options(MixtureRule::Constant) });
    run.step(6, &Unwatched).unwrap();
    let rows: Vec<usize> = run.loader().domains().domains.iter().map(|d| d.train.len()).collect();
    for (d, name) in run.mixture().names.iter().enumerate() {
        let begun: Vec<_> = run.epochs().iter().filter(|e| e.domain == *name).collect();
        let passes = (run.loader().drawn()[d] as usize).saturating_sub(1) / rows[d];
        assert_eq!(begun.len(), passes, "{name}");
        assert!(begun.iter().zip(2..).all(|(e, epoch)| e.epoch == epoch), "{begun:?}");
    }
    assert!(!run.epochs().is_empty(), "some domain is small enough to be used up");
    let last = run.status().epochs;
    assert!(last[0].to_string().contains(": epoch 2 from step "), "{}", last[0]);
    assert_eq!(hash(&again(&run)), hash(&run));
}

#[test]
fn references_of_the_scaling_law_stand_in_the_origin_and_warn_beyond_the_known_sizes() {
    let names = domains().names();
    let losses = vec![[3.0, 2.5, 2.25]; names.len()];
    let known = Box::new(KnownLosses { sizes: [1e5, 2e5, 4e5], names, losses });
    let reference = |parameters, known| Reference::Scaling { parameters, known };
    let start = |reference| recover(TrainOptions { reference, ..options(MixtureRule::Doremi) });
    let mut run = start(reference(Some(4e5), Some(known.clone())));
    // The law goes through its points; the rounding of its exponent is magnified by the size.
    assert!(run.mixture().reference.iter().all(|r| (r - 2.25).abs() < 1e-9));
    assert_eq!(run.warnings(), []);
    run.step(2, &Unwatched).unwrap();
    assert_eq!(hash(&again(&run)), hash(&run));
    let run = start(reference(None, Some(known)));
    let fit = run.scaling().unwrap().unwrap();
    assert_eq!(fit.parameters, run.source().parameters() as f64);
    let warnings = run.warnings();
    assert!(warnings[0].what.contains("below the smallest of the three known models"));
    let model = model(&mut Stream::new(3, "mixture", 0));
    let options = TrainOptions { reference: reference(None, None), ..options(MixtureRule::Doremi) };
    let error = Run::recover(&model, domains(), options, &Unwatched).unwrap_err().to_string();
    assert!(error.contains("no losses of known models for domain"), "{error}");
}

/// Domains that stay on disk: texts prepared into token files.
fn on_disk(dir: &Path) -> Arc<Domains> {
    let (texts, out) = (dir.join("texts"), dir.join("tokens"));
    for (name, documents) in [("ash", 40), ("birch", 300), ("cedar", 7)] {
        fs::create_dir_all(texts.join(name)).unwrap();
        let line = |i: u64| format!("{name} {} says {} and {}\n", i, i * i, "more ".repeat(20));
        let lines: String = (0..documents).map(line).collect();
        fs::write(texts.join(name).join("all.txt"), lines).unwrap();
    }
    let json = demo::tokenizer_json().into_bytes();
    let tokenizer = Tokenizer::from_bytes(Path::new("demo"), json).unwrap();
    let special = demo::special();
    let options = PrepareOptions::default();
    prepare(&texts, &out, &tokenizer, special, &options, &Unwatched).unwrap();
    let options = DomainOptions { seq_len: 16, ..DomainOptions::default() };
    let domains = Domains::load(&out, &tokenizer, special, &options, &Unwatched).unwrap();
    assert!(domains.domains.iter().all(|d| d.train.is_mapped()), "token files are mapped");
    Arc::new(domains)
}

#[test]
fn rows_on_disk_come_in_the_same_order_with_any_number_of_workers_and_from_any_point() {
    let dir = tempfile::tempdir().unwrap();
    let domains = on_disk(dir.path());
    let steps = 80;
    // A step takes a few rows by weights of its own, as a mixture that moves would have it.
    let hash_of = |workers: usize, resumed_before: Option<u64>| {
        let mut hash = Sha256::new();
        let mut loader = Loader::new(domains.clone(), 17);
        loader.set_workers(workers);
        for step in 0..steps {
            if resumed_before == Some(step) {
                let state = loader.state();
                loader = Loader::new(domains.clone(), 17);
                loader.set_workers(workers);
                loader.restore(state).unwrap();
            }
            let mut stream = Stream::new(5, "test/weights", step);
            let weights = [stream.uniform(), stream.uniform(), stream.uniform()];
            let batch = loader.next_batch(&weights, 1 + stream.below(9) as usize).unwrap();
            batch.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        }
        hash.finalize()
    };
    let straight = hash_of(0, None);
    for workers in [1, 2, 8] {
        assert_eq!(hash_of(workers, None), straight, "{workers} workers");
    }
    let mut points = Stream::new(6, "test/points", 0);
    for _ in 0..100 {
        let point = points.below(steps);
        assert_eq!(hash_of(1, Some(point)), straight, "resumed before step {point}");
    }
}

#[test]
fn a_preview_tells_the_next_weights_and_a_replay_the_whole_path_and_neither_changes_the_run() {
    let mut run = recover(options(MixtureRule::Doremi));
    run.step(5, &Unwatched).unwrap();
    let before = hash(&run);
    let taken: Vec<_> = run.evaluations().iter().map(|e| e.mixture.clone()).collect();
    assert_eq!(run.mixture_replay(&WhatIf::default()).unwrap(), taken);
    let bandit = run.mixture_replay(&WhatIf::rule(MixtureRule::Bandit)).unwrap();
    assert_ne!(bandit, taken);
    let losses = run.evaluations()[0].losses.clone();
    let own = run.mixture_preview(&WhatIf::default(), &losses).unwrap();
    let what =
        WhatIf { custom: Some(CustomRule::new(worst_first)), ..WhatIf::rule(MixtureRule::Custom) };
    assert_ne!(run.mixture_preview(&what, &losses).unwrap(), own);
    assert!(run.mixture_preview(&WhatIf::rule(MixtureRule::Custom), &losses).is_err());
    assert_eq!(hash(&run), before);
}
