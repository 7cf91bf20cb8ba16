//! How long things take: `cargo bench -p woolshed-engine`, or `-- NAME` for some of it.
//!
//! `step` and `evaluate` are on seeded random weights of the case `small` (8.3 million parameters),
//! `branch` and `generate` on the demo model. Beside PyTorch: `masked_step.py`. Results: `README.md`.

use divan::Bencher;
use woolshed_engine::data::{DomainOptions, Domains, demo};
use woolshed_engine::model::Model;
use woolshed_engine::model::checkpoint::{LoadOptions, load_folder};
use woolshed_engine::model::generate::GenerateOptions;
use woolshed_engine::model::save::SaveOptions;
use woolshed_engine::progress::Unwatched;
use woolshed_engine::run::{BenchCase, BenchStep, Run, ShearOptions, TrainOptions};
use woolshed_engine::shape::TargetShape;

fn main() {
    divan::main();
}

/// The shear step with a percentage of every dimension alive.
#[divan::bench(args = [100, 75, 50, 25], sample_count = 5, sample_size = 1)]
fn step(bencher: Bencher<'_, '_>, keep: u32) {
    let mut step = BenchStep::new(&BenchCase::ALL[0], f64::from(keep) / 100.0).expect("a case");
    step.step(&Unwatched).expect("a step");
    bencher.bench_local(|| step.step(&Unwatched).expect("a step"));
}

fn domains() -> std::sync::Arc<Domains> {
    let options = DomainOptions { seq_len: 64, max_tokens: Some(8000), ..DomainOptions::default() };
    demo::domains(&options, 17, &Unwatched).expect("the demo domains").into()
}

/// A run on the demo model, two steps old.
fn run() -> Run {
    let model = woolshed_engine::model::demo(&LoadOptions::default()).expect("the demo model");
    let target = TargetShape { hidden: Some(64), ..TargetShape::default() };
    let train = TrainOptions { batch: 4, ..TrainOptions::default() };
    let options = ShearOptions::default();
    let mut run =
        Run::shear(&model, &target, domains(), train, &options, &Unwatched).expect("a run");
    run.step(2, &Unwatched).expect("steps");
    run
}

/// Every domain of the demo, under the gates of a run.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn evaluate(bencher: Bencher<'_, '_>) {
    let run = run();
    let mode = run.final_mode();
    bencher.bench_local(|| run.domain_losses(mode, &Unwatched).expect("losses"));
}

/// A branch of a run: it shares everything until one of the two takes a step.
#[divan::bench]
fn fork(bencher: Bencher<'_, '_>) {
    let run = run();
    bencher.bench_local(|| run.fork());
}

/// The smaller model.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn extract(bencher: Bencher<'_, '_>) {
    let run = run();
    bencher.bench_local(|| run.extract().expect("a model"));
}

/// Tokens of greedy text that a generation adds.
const ADDED: usize = 48;

/// Greedy text from the demo model.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn generate(bencher: Bencher<'_, '_>) {
    let model = woolshed_engine::model::demo(&LoadOptions::default()).expect("the demo model");
    let options = GenerateOptions { max_tokens: ADDED, ..GenerateOptions::default() };
    bencher.bench_local(|| model.generate_ids(&[vec![1]], &options, &Unwatched).expect("ids"));
}

/// The demo model from a folder.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn load(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a folder");
    let model: Model =
        woolshed_engine::model::demo(&LoadOptions::default()).expect("the demo model");
    model.save(dir.path(), &SaveOptions::default()).expect("saved");
    let options = LoadOptions::default();
    bencher.bench_local(|| load_folder(dir.path(), &options, &Unwatched).expect("loads"));
}
