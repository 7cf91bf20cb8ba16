//! How long things take: `cargo bench -p woolshed-engine`, or `-- NAME` for some of it.
//!
//! `step` and the operations in `op` have the sizes of the case `small` (8.3 million parameters);
//! the others are on the demo model. Beside others: `beside.rs`. Results: `README.md`.

use candle_core::{DType, Device, Tensor};
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

/// A copy of the weights as they are.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn snapshot(bencher: Bencher<'_, '_>) {
    let run = run();
    bencher.bench_local(|| run.trainer().snapshot().expect("a copy"));
}

/// A saved state of a run on disk, brought there.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn save(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut run = run();
    bencher.bench_local(|| run.save(dir.path(), 1).expect("saved"));
}

/// Operations forward, and the optimiser's step: B 8, T 256, D 288, H 6, F 768, V 4096.
mod op {
    use std::sync::Arc;

    use woolshed_engine::ops::{self, AdamStep, RopeTable};

    use super::*;

    const N: usize = 8 * 256;

    fn random(rows: usize, columns: usize) -> Tensor {
        Tensor::randn(0f32, 1.0, (rows, columns), &Device::Cpu).expect("numbers")
    }

    fn ones(n: usize) -> Tensor {
        Tensor::ones(n, DType::F32, &Device::Cpu).expect("ones")
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn linear(bencher: Bencher<'_, '_>) {
        let (x, w) = (random(N, 288), random(768, 288));
        bencher.bench_local(|| ops::linear(&x, &w).expect("a product"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn rms_norm(bencher: Bencher<'_, '_>) {
        let (x, w, z) = (random(N, 288), ones(288), ones(288));
        bencher.bench_local(|| ops::rms_norm(&x, &w, &z, 1e-5).expect("a norm"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn attention(bencher: Bencher<'_, '_>) {
        let inverse: Vec<f64> = (0..24).map(|i| 1e4f64.powf(-f64::from(i) / 24.0)).collect();
        let rope = Arc::new(RopeTable::new(&inverse, 256));
        let (q, k, v) = (random(N, 288), random(N, 288), random(N, 288));
        bencher.bench_local(|| ops::attention(&q, &k, &v, 256, 48, &rope).expect("a context"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn swiglu(bencher: Bencher<'_, '_>) {
        let (gate, up, z) = (random(N, 768), random(N, 768), ones(768));
        bencher.bench_local(|| ops::swiglu(&gate, &up, &z).expect("activations"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn cross_entropy(bencher: Bencher<'_, '_>) {
        let (logits, targets) = (random(N, 4096), vec![17; N]);
        bencher.bench_local(|| ops::cross_entropy(&logits, &targets).expect("a loss"));
    }

    #[divan::bench(sample_count = 10, sample_size = 1)]
    fn adam(bencher: Bencher<'_, '_>) {
        let [w, m, g] = [(); 3].map(|()| random(4096, 288));
        let v = m.sqr().expect("squares");
        let (betas, eps, weight_decay) = ((0.9, 0.95), 1e-8, 0.0);
        let step = AdamStep { lr: 1e-3, betas, eps, weight_decay, t: 2, grad_scale: 1.0 };
        bencher.bench_local(|| ops::adam(&w, &m, &v, &g, &step).expect("a step"));
    }
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
