//! Runs in bf16: their f32 masters are what is extracted, saved, hashed and resumed. Whole ones on a CUDA
//! device, where there is one; on the CPU, which has no products in bf16, all but their steps.

use std::path::Path;

use candle_core::DType;

use super::*;
use crate::data::{DomainOptions, demo};
use crate::device::device;
use crate::gate::EvalMode;
use crate::judge;
use crate::progress::Unwatched;
use crate::rng::Stream;
use crate::run::{Precision, ShearOptions, TrainOptions};
use crate::shape::TargetShape;
use crate::train::{Distill, Lora};

fn model(device: &Device) -> Model {
    let json = format!(
        r#"{{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 24,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": {},
            "max_position_embeddings": 64}}"#,
        demo::special().vocab
    );
    let config = LlamaConfig::from_bytes(Path::new("tiny"), json.as_bytes()).unwrap();
    let tokenizer = Tokenizer::from_bytes(Path::new("demo"), demo::tokenizer_json().into_bytes());
    let tokenizer = Some(Arc::new(tokenizer.unwrap()));
    Model::random("tiny", config, tokenizer, 3, DType::F32, device).unwrap()
}

fn domains() -> Arc<Domains> {
    let options = DomainOptions {
        seq_len: 16,
        eval_rows: 2,
        max_tokens: Some(800),
        ..DomainOptions::default()
    };
    Arc::new(demo::domains(&options, 5, &Unwatched).unwrap())
}

fn train(dtype: Precision) -> TrainOptions {
    TrainOptions {
        steps: 8,
        batch: 2,
        lr: 3e-3,
        lr_warmup: Some(0),
        eval_every: 2,
        dtype,
        ..TrainOptions::default()
    }
}

fn start(model: &Model, shear: bool, train: TrainOptions) -> Result<Run, RunError> {
    if !shear {
        return Run::recover(model, domains(), train, &Unwatched);
    }
    let target =
        TargetShape { intermediate: Some(16), kv_heads: Some(1), ..TargetShape::default() };
    let shear = ShearOptions::default();
    Run::shear(model, &target, domains(), train, &shear, &Unwatched)
}

/// What a run in bf16 is on a device before its first step, on the CPU.
fn rounded(model: &Model, shear: bool) -> Run {
    let mut run = start(model, shear, train(Precision::F32)).unwrap();
    let (config, shear) = (*run.trainer().config(), run.trainer().shear.clone());
    run.state.trainer = Trainer::rounded(model, config, shear, DType::BF16).unwrap();
    run.state.options.dtype = Precision::Bf16;
    Arc::get_mut(&mut run.start).expect("no fork").options.dtype = Precision::Bf16;
    run
}

/// Puts a run where training may have brought it: masters that bf16 has no numbers for.
fn train_on(run: &mut Run, seed: u64) {
    let trainer = run.trainer();
    let moved = |name: &str, like: &Tensor| -> candle_core::Result<Tensor> {
        let mut stream = Stream::new(seed, name, 0);
        let data: Vec<f32> =
            (0..like.elem_count()).map(|_| stream.normal().abs() as f32 / 16.0).collect();
        Tensor::from_vec(data, like.shape(), like.device())
    };
    let weights = trainer.parameters().weights();
    let config = *trainer.config();
    let parameters = Parameters::restore(weights, config.adam, None, 3, moved).unwrap();
    let shear = trainer.shear.clone();
    run.state.trainer = Trainer::resume(run.source(), config, parameters, shear);
}

/// Names, types and bits.
fn bits(named: Vec<(String, &Tensor)>) -> Vec<(String, DType, Vec<u32>)> {
    let of = |t: &Tensor| {
        let wide: Vec<f32> =
            t.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1()).unwrap();
        wide.into_iter().map(f32::to_bits).collect()
    };
    named.into_iter().map(|(name, t)| (name, t.dtype(), of(t))).collect()
}

#[test]
fn a_run_in_bf16_starts_from_the_exact_weights_and_gives_them_back() {
    let model = model(&Device::Cpu);
    let run = rounded(&model, false);
    let computing = run.trainer().parameters().weights();
    let one = computing.map(|t| t.to_dtype(DType::F32)).unwrap();
    assert!(computing.named().iter().all(|(_, t)| t.dtype() == DType::BF16));
    assert_ne!(bits(one.named()), bits(model.weights.named()), "bf16 has fewer numbers");
    let by_rounding = model.weights.map(|t| t.to_dtype(DType::BF16)).unwrap();
    assert_eq!(bits(computing.named()), bits(by_rounding.named()));
    assert_eq!(bits(run.trainer().model().weights.named()), bits(model.weights.named()));
    assert_eq!(run.extract().unwrap().digest().unwrap(), model.digest().unwrap());
}

#[test]
fn what_leaves_a_run_in_bf16_is_made_of_its_masters() {
    let source = model(&Device::Cpu);
    for shear in [false, true] {
        let mut run = rounded(&source, shear);
        train_on(&mut run, 1);
        let weights = run.trainer().parameters().masters();
        assert!(weights.named().iter().all(|(_, t)| t.dtype() == DType::F32));
        let masters = Model { weights, ..source.clone() };
        let wanted = match run.gate_values(EvalMode::Target) {
            Some(values) => masters.cut(&values).unwrap(),
            None => masters,
        };
        let extracted = run.extract().unwrap();
        assert_eq!(bits(extracted.weights.named()), bits(wanted.weights.named()));
        assert_eq!(extracted.dtype(), DType::F32);
        // A change of a master that its rounded copy does not show is another run.
        let fork = run.fork();
        assert_eq!(fork.hash().unwrap(), run.hash().unwrap());
        let parameters = run.trainer().parameters();
        let nudged = Parameters::restore::<candle_core::Error>(
            parameters.weights(),
            run.trainer().config().adam,
            None,
            3,
            |name, _| {
                let mut named = parameters.named().into_iter();
                let t = named.find(|(n, _)| n == name).expect("a name of its own").1.copy()?;
                if name != "weight/model.norm.weight" {
                    return Ok(t);
                }
                let bits = |x: f32| f32::from_bits(x.to_bits() ^ 1);
                let data: Vec<f32> = t.to_vec1()?.into_iter().map(bits).collect();
                Tensor::from_vec(data, t.shape(), t.device())
            },
        );
        let nudged = nudged.unwrap();
        assert_eq!(bits(nudged.weights().named()), bits(parameters.weights().named()));
        let (config, gates) = (*run.trainer().config(), run.trainer().shear.clone());
        let mut other = run.fork();
        other.state.trainer = Trainer::resume(&source, config, nudged, gates);
        assert_ne!(other.hash().unwrap(), run.hash().unwrap());
    }
}

#[test]
fn a_saved_run_in_bf16_is_read_back_to_the_bit_and_refused_by_the_cpu() {
    let source = model(&Device::Cpu);
    for shear in [false, true] {
        let mut run = rounded(&source, shear);
        train_on(&mut run, 2);
        let dir = tempfile::tempdir().unwrap();
        let folder = run.save(dir.path(), 1).unwrap();
        let options = ResumeOptions { domains: Some(domains()), ..ResumeOptions::default() };
        let error = Run::resume(dir.path(), &options, &Unwatched).unwrap_err().to_string();
        assert!(error.contains("the CPU computes in f32") && error.contains("cuda:0"), "{error}");
        let bytes = fs::read(folder.join(STATE)).unwrap();
        let file: StateFile = serde_json::from_slice(&bytes).unwrap();
        let domains = domains();
        let reading = Reading { start: &run.start, domains: &domains, device: &Device::Cpu };
        let decisions = Decisions::resume(Vec::new(), 0, false, None);
        let state = reading.state(&folder, file.state, decisions, file.origin.journal, "").unwrap();
        let hash = state.hash(run.start.digest().unwrap(), None).unwrap();
        assert_eq!(hash, run.hash().unwrap());
        let (ours, theirs) = (run.trainer().parameters(), state.trainer.parameters());
        assert_eq!(bits(ours.named()), bits(theirs.named()));
        assert_eq!(bits(ours.weights().named()), bits(theirs.weights().named()));
        assert_eq!(theirs.weights().embed.dtype(), DType::BF16);
        let kept = &state.trainer.model().weights;
        assert_eq!(bits(kept.named()), bits(run.trainer().model().weights.named()));
    }
}

#[test]
fn a_run_in_bf16_on_a_device_is_the_run_of_the_cpu_but_for_rounding_and_resumes_to_the_bit() {
    let gpu = match device("cuda:0") {
        Ok(gpu) => gpu,
        Err(error) => return eprintln!("NOT CHECKED on a GPU: runs in bf16: {error}"),
    };
    let (here, there) = (model(&Device::Cpu), model(&gpu));
    for (shear, recompute) in [(true, true), (true, false), (false, true)] {
        let case = (shear, recompute);
        let options = |dtype| TrainOptions { recompute, ..train(dtype) };
        let mut cpu = start(&here, shear, options(Precision::F32)).unwrap();
        let mut run = start(&there, shear, options(Precision::Bf16)).unwrap();
        assert_eq!(run.trainer().model().digest().unwrap(), here.digest().unwrap());
        for run in [&mut cpu, &mut run] {
            run.step(4, &Unwatched).unwrap();
        }
        for (a, b) in cpu.steps().iter().zip(run.steps()) {
            let (a, b) = (a.figures.loss, b.figures.loss);
            // Weights of three digits, activations rounded some twenty times, as in `bench`.
            assert!((a / b - 1.0).abs() < 1e-2, "{case:?}: {a} and {b}");
        }
        for (a, b) in cpu.evaluations().iter().zip(run.evaluations()) {
            for (a, b) in a.losses.iter().zip(&b.losses) {
                assert!((a / b - 1.0).abs() < 1e-2, "{case:?}: {a} and {b}");
            }
        }
        let now = run.domain_losses(EvalMode::Current, &Unwatched).unwrap();
        let values = run.gate_values(EvalMode::Current);
        let (shape, masters) = (there.shape(), run.trainer().model());
        let gates = values.as_ref().map(|values| (values, &shape));
        let (weights, config) = (&masters.weights, &masters.config);
        let exact = judge::domain_losses(weights, config, gates, true, &domains(), &Unwatched);
        assert_ne!(now, exact.unwrap(), "{case:?}: evaluations compute in bf16");
        // Under gates a cut takes kernels of candle's, which the made-up driver has not.
        if !shear {
            let extracted = run.extract().unwrap();
            assert_eq!(extracted.dtype(), DType::F32);
            assert_eq!(extracted.digest().unwrap(), run.trainer().model().digest().unwrap());
            assert_ne!(extracted.digest().unwrap(), here.digest().unwrap());
        }

        let dir = tempfile::tempdir().unwrap();
        run.save(dir.path(), 1).unwrap();
        let options = ResumeOptions { device: gpu.clone(), ..ResumeOptions::default() };
        let mut resumed = Run::resume(dir.path(), &options, &Unwatched).unwrap();
        let mut fork = run.fork();
        for run in [&mut run, &mut resumed, &mut fork] {
            run.step(3, &Unwatched).unwrap();
        }
        let hash = run.hash().unwrap();
        assert_eq!(resumed.hash().unwrap(), hash, "{case:?}: resumed");
        assert_eq!(fork.hash().unwrap(), hash, "{case:?}: forked");
        run.rewind(5, &Unwatched).unwrap();
        run.step(2, &Unwatched).unwrap();
        assert_eq!(run.hash().unwrap(), hash, "{case:?}: rewound");
    }
    let low_rank = TrainOptions { lora: Some(Lora::default()), ..train(Precision::Bf16) };
    let error = start(&there, false, low_rank).unwrap_err().to_string();
    assert!(error.contains("`lora`") && error.contains("nearest legal value: f32"), "{error}");
}

/// Beside the other test, as both need kernels of candle's: the made-up driver has none of them.
#[test]
fn a_run_in_bf16_learns_from_a_teacher_and_is_cut_on_a_gpu_of_nvidia() {
    let gpu = match device("cuda:0") {
        Ok(gpu) => gpu,
        Err(error) => return eprintln!("NOT CHECKED on a GPU: distillation in bf16: {error}"),
    };
    let (here, there) = (model(&Device::Cpu), model(&gpu));
    let mut run = start(&there, true, train(Precision::Bf16)).unwrap();
    run.step(2, &Unwatched).unwrap();
    assert_eq!(run.extract().unwrap().dtype(), DType::F32);
    let distill = Some(Distill::default());
    let taught = |model: &Model, dtype| {
        let train = TrainOptions { distill, ..train(dtype) };
        let mut run = Run::recover_taught(model, model, domains(), train, &Unwatched).unwrap();
        run.step(4, &Unwatched).unwrap();
        run.steps().iter().map(|s| s.figures.loss).collect::<Vec<f64>>()
    };
    let both = [taught(&here, Precision::F32), taught(&there, Precision::Bf16)];
    assert!(both[0].iter().zip(&both[1]).all(|(a, b)| (a / b - 1.0).abs() < 1e-2), "{both:?}");
}
