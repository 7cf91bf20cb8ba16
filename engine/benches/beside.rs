//! The engine beside others, in turns on this machine: `cargo bench -p woolshed-engine --bench beside`, or
//! `-- generate`, `-- step`, `-- run` for a part of it.
//!
//! Generation stands beside candle-transformers' own Llama, on the same weights and from the same ids.
//! The shear step (`masked_step.py`) and the quickstart's pruning run (`quickstart_run.py`) stand beside
//! PyTorch, in a Python that has it: the one that `WOOLSHED_PYTHON` names, or `python3`. Figures are medians;
//! `README.md` has those of one machine.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama;
use cpu_time::ProcessTime;
use woolshed_engine::data::{DomainOptions, Domains, demo};
use woolshed_engine::model::checkpoint::LoadOptions;
use woolshed_engine::model::generate::GenerateOptions;
use woolshed_engine::model::save::SaveOptions;
use woolshed_engine::model::{LlamaConfig, Model};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::run::{BenchCase, BenchStep, Run, ShearOptions, TrainOptions};
use woolshed_engine::shape::TargetShape;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|a| name.contains(a.as_str()));
    if wanted("generate") {
        generate()?;
    }
    if wanted("step") {
        step()?;
    }
    if wanted("run") {
        run()?;
    }
    Ok(())
}

/// Seconds of a few repetitions: wall time and process time.
#[derive(Default)]
struct Times {
    wall: Vec<f64>,
    process: Vec<f64>,
}

impl Times {
    fn take<R>(&mut self, f: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
        let (process, wall) = (ProcessTime::now(), Instant::now());
        let value = f()?;
        self.wall.push(wall.elapsed().as_secs_f64());
        self.process.push(process.elapsed().as_secs_f64());
        Ok(value)
    }

    fn medians(&self) -> (f64, f64) {
        (median(&self.wall), median(&self.process))
    }
}

fn median(x: &[f64]) -> f64 {
    let mut x = x.to_vec();
    x.sort_by(f64::total_cmp);
    x.get(x.len() / 2).copied().unwrap_or(f64::NAN)
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // Nobody reads any more: nothing to do about it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Ids of the prompt, and ids that are added.
const PROMPT: usize = 16;
const ADDED: usize = 200;

/// The demo model, and one of the case `small` with random weights; neither ends a text.
fn models() -> Result<Vec<Model>, Failure> {
    let mut demo = woolshed_engine::model::demo(&LoadOptions::default())?;
    (demo.config.bos, demo.config.eos) = (None, Vec::new());
    let BenchCase { hidden, layers, heads, intermediate, vocab, .. } = BenchCase::ALL[0];
    let config = LlamaConfig {
        vocab,
        hidden,
        intermediate,
        layers,
        heads,
        kv_heads: heads,
        head_dim: hidden / heads,
        tied: false,
        ..demo.config.clone()
    };
    let small = Model::random("small", config, None, 17, DType::F32, &Device::Cpu)?;
    Ok(vec![demo, small])
}

/// Greedy text of one row, the tokens of a second.
fn generate() -> Result<(), Failure> {
    say("greedy generation, 16 ids and 200 more:");
    for model in models()? {
        let dir = tempfile::tempdir()?;
        model.save(dir.path(), &SaveOptions::default())?;
        let read = |name: &str| std::fs::read(dir.path().join(name));
        let config: llama::LlamaConfig = serde_json::from_slice(&read("config.json")?)?;
        let config = config.into_config(false);
        let weights = read("model.safetensors")?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        let llama = llama::Llama::load(weights, &config)?;
        let vocab = model.config.vocab as u32;
        let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| (i * 37 + 1) % vocab).collect();
        let options = GenerateOptions { max_tokens: ADDED, ..GenerateOptions::default() };
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for round in 0..8 {
            let (mut a, mut b) = (Times::default(), Times::default());
            let text = a.take(|| {
                let rows = model.generate_ids(std::slice::from_ref(&prompt), &options, &Unwatched);
                Ok(rows?.remove(0))
            })?;
            let cache = llama::Cache::new(true, DType::F32, &config, &Device::Cpu)?;
            let other = b.take(|| by_candle(&llama, cache, &prompt))?;
            let same = text.iter().zip(&other).take_while(|(a, b)| a == b).count();
            if round == 0 {
                say(&format!("  {}: {same} of {} ids are the same", model.name, text.len()));
                continue;
            }
            ours.wall.extend(a.wall);
            ours.process.extend(a.process);
            theirs.wall.extend(b.wall);
            theirs.process.extend(b.process);
        }
        let ((wall, process), (their_wall, their_process)) = (ours.medians(), theirs.medians());
        say(&format!(
            "  {}: {:.0} tokens/s beside {:.0} of candle-transformers: {:.2} times as many, {:.2} by process time",
            model.name,
            ADDED as f64 / wall,
            ADDED as f64 / their_wall,
            their_wall / wall,
            their_process / process,
        ));
    }
    Ok(())
}

fn by_candle(
    llama: &llama::Llama,
    mut cache: llama::Cache,
    prompt: &[u32],
) -> Result<Vec<u32>, Failure> {
    let mut ids = prompt.to_vec();
    let mut seen = 0;
    while ids.len() < prompt.len() + ADDED {
        let input = Tensor::new(&ids[seen..], &Device::Cpu)?.unsqueeze(0)?;
        let logits = llama.forward(&input, seen, &mut cache)?;
        seen = ids.len();
        ids.push(logits.argmax(D::Minus1)?.flatten_all()?.to_vec1::<u32>()?[0]);
    }
    Ok(ids)
}

/// The Python that has PyTorch; none where there is none.
fn python() -> Option<String> {
    let named = std::env::var("WOOLSHED_PYTHON").ok();
    named.into_iter().chain(["python3".to_owned()]).find(|python| {
        let import = Command::new(python).args(["-c", "import torch, numpy"]).output();
        import.is_ok_and(|done| done.status.success())
    })
}

/// Steps of one run of either, and how often they take turns.
const STEPS: usize = 5;
const TURNS: usize = 3;

/// The shear step, dense and with closed parts.
fn step() -> Result<(), Failure> {
    let python = python();
    match &python {
        Some(python) => say(&format!("the shear step beside PyTorch of `{python}`:")),
        None => say(
            "the shear step; no ratio to PyTorch: neither WOOLSHED_PYTHON nor python3 can import torch and numpy",
        ),
    }
    let mut dense = None;
    for (case, keep) in
        [("small", 1.0), ("small", 0.75), ("small", 0.5), ("small", 0.25), ("mid", 1.0)]
    {
        let (mut ours, mut theirs) = (Times::default(), Times::default());
        for _ in 0..TURNS {
            let mut step = BenchStep::new(&BenchCase::named(case)?, keep)?;
            step.step(&Unwatched)?;
            for _ in 0..STEPS {
                ours.take(|| Ok(step.step(&Unwatched)?))?;
            }
            drop(step);
            if let Some(python) = &python {
                let of = pytorch(python, case, keep)?;
                theirs.wall.extend(of.wall);
                theirs.process.extend(of.process);
            }
        }
        let (wall, process) = ours.medians();
        let mut line = format!(
            "  {case}, {:.0} % alive: {wall:.3} s, {process:.3} s of process time",
            keep * 100.0
        );
        if keep == 1.0 {
            dense = Some((wall, process));
        } else if let Some(dense) = dense {
            line += &format!("; of the dense step {:.2}, {:.2}", wall / dense.0, process / dense.1);
        }
        if python.is_some() {
            let (w, p) = theirs.medians();
            line += &format!(
                "; of PyTorch's {w:.3} s and {p:.3} s: {:.2}, {:.2}",
                wall / w,
                process / p
            );
        }
        say(&line);
    }
    Ok(())
}

/// Steps of PyTorch.
fn pytorch(python: &str, case: &str, keep: f64) -> Result<Times, Failure> {
    let (keep, steps) = (keep.to_string(), STEPS.to_string());
    let asked = ["--worker", "--case", case, "--keep", &keep, "--steps", &steps];
    let report = program(python, "masked_step.py", &asked)?;
    let of = |key: &str| serde_json::from_value(report[key].clone());
    Ok(Times { wall: of("wall_seconds")?, process: of("process_seconds")? })
}

/// What a program of this folder says in its last line, with as many threads as ours has.
fn program(python: &str, name: &str, asked: &[&str]) -> Result<serde_json::Value, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name);
    let threads = rayon::current_num_threads().to_string();
    let done = Command::new(python)
        .arg(script)
        .args(asked)
        .args(["--threads", &threads])
        .env("OMP_NUM_THREADS", &threads)
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let text = String::from_utf8(done.stdout)?;
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}

/// The pruning run of `scripts/quickstart.rhai`: 160 steps on the demo, evaluated every 20.
fn run() -> Result<(), Failure> {
    let model = woolshed_engine::model::demo(&LoadOptions::default())?;
    let options =
        DomainOptions { seq_len: 256, max_tokens: Some(400_000), ..DomainOptions::default() };
    let domains: Arc<Domains> = demo::domains(&options, 17, &Unwatched)?.into();
    let target = TargetShape {
        layers: Some(3),
        hidden: Some(64),
        kv_heads: Some(2),
        intermediate: Some(160),
        ..TargetShape::default()
    };
    let steps = 160;
    let train = TrainOptions {
        steps,
        batch: 8,
        eval_every: 20,
        smoothing: 0.1,
        lr: 0.002,
        ..TrainOptions::default()
    };
    let gates = ShearOptions::default();
    let dir = tempfile::tempdir()?;
    write_run(dir.path(), &model, &domains, &target, &train, &gates)?;
    let python = python();
    let turns = if python.is_some() { 2 } else { 1 };
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    let mut mean = (0.0, 0.0);
    for _ in 0..turns {
        let run = ours.take(|| {
            let domains = domains.clone();
            let mut run = Run::shear(&model, &target, domains, train.clone(), &gates, &Unwatched)?;
            run.step(steps, &Unwatched)?;
            Ok(run)
        })?;
        let last = run.evaluations().last().map_or(&[][..], |e| &e.losses);
        mean.0 = last.iter().sum::<f64>() / last.len().max(1) as f64;
        let speed = run.speed();
        let share = |seconds: f64| 100.0 * seconds / speed.total().max(1e-9);
        say(&format!(
            "the pruning run of the quickstart: {:.2} s, {:.2} s of process time; evaluations {:.0} % of it",
            ours.medians().0,
            ours.medians().1,
            share(speed.evaluation),
        ));
        let Some(python) = &python else { continue };
        let folder = dir.path().to_string_lossy();
        let report = program(python, "quickstart_run.py", &[&folder])?;
        let seconds = |key: &str| report[key].as_f64().unwrap_or(f64::NAN);
        theirs.wall.push(seconds("wall_seconds"));
        theirs.process.push(seconds("process_seconds"));
        let losses: BTreeMap<String, f64> = serde_json::from_value(report["losses"].clone())?;
        mean.1 = losses.values().sum::<f64>() / losses.len().max(1) as f64;
    }
    if python.is_some() {
        let ((w, p), (their_w, their_p)) = (ours.medians(), theirs.medians());
        say(&format!(
            "  PyTorch takes {their_w:.2} s and {their_p:.2} s: {:.2}, {:.2} of it; mean loss at the end {:.3} beside {:.3}",
            w / their_w,
            p / their_p,
            mean.0,
            mean.1,
        ));
    }
    Ok(())
}

/// Writes what `quickstart_run.py` reads.
fn write_run(
    dir: &Path,
    model: &Model,
    domains: &Domains,
    target: &TargetShape,
    train: &TrainOptions,
    gates: &ShearOptions,
) -> Result<(), Failure> {
    model.save(&dir.join("model"), &SaveOptions::default())?;
    let bytes = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
    for domain in &domains.domains {
        let rows = domain.train.to_memory()?;
        std::fs::write(dir.join(format!("{}.train", domain.name)), bytes(rows.ids()))?;
        std::fs::write(dir.join(format!("{}.eval", domain.name)), bytes(domain.eval.ids()))?;
    }
    let shape = target.resolve(&model.shape())?;
    let run = serde_json::json!({
        "domains": domains.names(),
        "seq_len": domains.seq_len,
        "target": {
            "layers": shape.layers,
            "kv_heads": shape.kv_heads,
            "intermediate": shape.intermediate,
            "hidden": shape.hidden,
        },
        "steps": train.steps,
        "batch": train.batch,
        "eval_every": train.eval_every,
        "lr": train.lr,
        "lr_warmup": train.steps / 10,
        "lr_floor": train.lr_floor,
        "gate_lr": gates.gate_lr,
        "multiplier_lr": gates.multiplier_lr,
        "sparsity_warmup": train.steps / 5,
        "eta": train.eta,
        "smoothing": train.smoothing,
    });
    Ok(std::fs::write(dir.join("run.json"), run.to_string())?)
}
