//! The engine beside others, in turns on this machine: `cargo bench -p woolshed-engine --bench beside`, or
//! `-- generate`, `-- step` for a part of it.
//!
//! Generation stands beside candle-transformers' own Llama, on the same weights and from the same ids.
//! The shear step stands beside PyTorch (`masked_step.py`), in a Python that has it: the one that
//! `WOOLSHED_PYTHON` names, or `python3`. Figures are medians; `README.md` has those of one machine.

use std::io::Write;
use std::process::Command;
use std::time::Instant;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama;
use cpu_time::ProcessTime;
use woolshed_engine::model::checkpoint::LoadOptions;
use woolshed_engine::model::generate::GenerateOptions;
use woolshed_engine::model::save::SaveOptions;
use woolshed_engine::model::{LlamaConfig, Model};
use woolshed_engine::progress::Unwatched;
use woolshed_engine::run::{BenchCase, BenchStep};

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

/// Steps of PyTorch, with as many threads as ours has.
fn pytorch(python: &str, case: &str, keep: f64) -> Result<Times, Failure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/masked_step.py");
    let threads = rayon::current_num_threads().to_string();
    let done = Command::new(python)
        .args([script, "--worker", "--case", case, "--keep", &keep.to_string()])
        .args(["--steps", &STEPS.to_string(), "--threads", &threads])
        .env("OMP_NUM_THREADS", &threads)
        .output()?;
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).into());
    }
    let text = String::from_utf8(done.stdout)?;
    let report: serde_json::Value = serde_json::from_str(text.lines().last().unwrap_or_default())?;
    let of = |key: &str| serde_json::from_value(report[key].clone());
    Ok(Times { wall: of("wall_seconds")?, process: of("process_seconds")? })
}
