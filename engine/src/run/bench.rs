//! The shear step on random weights, timed: what this machine will do.
//!
//! Model, batch, gates and rates are the same for everybody who asks for the same case, so figures can
//! be held against each other and against the same step written elsewhere (`engine/benches`).
//!
//! A share `keep` of the hidden dimensions, of each layer's key/value heads and of its MLP channels has
//! the sample z = 0.715, with a slope; the rest is exactly 0. Gates on layers are all open: how many
//! layers are left changes the time in proportion, and a small model has few to choose from. A published target
//! closes layers, too.
//!
//! | file | what it is for |
//! |---|---|
//! | `bench/case.rs` | the shapes, and their random weights |
//!
//! On a CUDA device weights are bf16 with f32 masters, and layers are run again in the backward pass.

mod case;

use std::time::Instant;

use candle_core::Device;
use cpu_time::ProcessTime;

pub use case::BenchCase;
use case::mixed;

use crate::device::device_memory;
use crate::gate::{Constraint, GateKind, Gates, HardConcrete, Lagrangian};
use crate::model::{Model, ModelError};
use crate::ops::attention_kernels;
use crate::progress::{Progress, Watch};
use crate::shape::{ModelShape, PRESETS, TargetShape};
use crate::train::{AdamConfig, Schedule, Shear, ShearRates, StepOutcome, Trainer, TrainerConfig};

/// Log-alpha of a gate that lives; with the noise 1/2 its sample is inside (0, 1).
const OPEN: f64 = 0.5;
/// Log-alpha of a gate that does not; with the noise 1/2 its sample is 0.
const CLOSED: f64 = -4.6;

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The shape.
    pub case: BenchCase,
    /// What is alive.
    pub keep: BenchKeep,
    /// Steps measured, after one that is not.
    pub steps: u64,
    /// Where the model is.
    pub device: Device,
}

/// What of a case is alive.
#[derive(Clone, Debug, PartialEq)]
pub enum BenchKeep {
    /// A share of each dimension but the layers, above 0 and at most 1.
    Share(f64),
    /// A published target by its name: `370m`, `1.3b`, `2.7b`, layers included.
    Target(String),
}

impl BenchKeep {
    /// Reads a share or the name of a target.
    ///
    /// # Errors
    /// [`BenchError::KeepName`].
    pub fn named(text: &str) -> Result<Self, BenchError> {
        let name = text.trim().to_lowercase();
        match name.parse() {
            Ok(share) => Ok(Self::Share(share)),
            Err(_) if PRESETS.contains(&name.as_str()) => Ok(Self::Target(name)),
            Err(_) => Err(BenchError::KeepName { name: text.into() }),
        }
    }

    /// Layers, hidden dimensions, key/value heads and MLP channels of a shape that are alive.
    fn of(&self, shape: &ModelShape) -> Result<[usize; 4], BenchError> {
        match self {
            &Self::Share(keep) if keep > 0.0 && keep <= 1.0 => {
                let [hidden, heads, intermediate] =
                    [shape.hidden, shape.kv_heads, shape.intermediate].map(|n| kept(n, keep));
                Ok([shape.layers, hidden, heads, intermediate])
            }
            &Self::Share(keep) => {
                Err(BenchError::Keep { keep, nearest: if keep > 1.0 { 1.0 } else { 0.25 } })
            }
            Self::Target(name) => {
                let unknown = |_| BenchError::KeepName { name: name.clone() };
                let target = TargetShape::preset(name).map_err(unknown)?;
                let asked = [target.layers, target.hidden, target.heads, target.intermediate];
                let all = [shape.layers, shape.hidden, shape.kv_heads, shape.intermediate];
                let alive = std::array::from_fn(|i| asked[i].unwrap_or(all[i]));
                if alive.iter().zip(&all).any(|(alive, all)| alive > all) {
                    return Err(BenchError::Target { name: name.clone() });
                }
                Ok(alive)
            }
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchReport {
    /// Process time of each step, seconds, over all threads.
    pub process_seconds: Vec<f64>,
    /// Wall time of each step, seconds.
    pub wall_seconds: Vec<f64>,
    /// Tokens of a step.
    pub tokens: usize,
    /// Parameters of the model.
    pub parameters: usize,
    /// Layers, hidden dimensions, key/value heads and MLP channels that are alive.
    pub alive: [usize; 4],
    /// Which attention ran, a line for each shape; empty on the CPU.
    pub attention: Vec<String>,
    /// Largest memory of the process so far, bytes; on a CUDA device what is taken of its memory at the end.
    /// None where the system does not say.
    pub peak_bytes: Option<u64>,
    /// Loss of every step, the unmeasured first one included, nats/token.
    pub losses: Vec<f64>,
}

/// What cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no such case.
    #[error("there is no case `{name}`; did you mean `{nearest}`? cases: small, mid, 7b")]
    Case {
        /// The name asked for.
        name: String,
        /// The known name closest to it.
        nearest: &'static str,
    },
    /// The share is out of range.
    #[error("`keep` is {keep}: a share of each dimension, above 0 and at most 1; try {nearest}")]
    Keep {
        /// The share asked for.
        keep: f64,
        /// The nearest legal value.
        nearest: f64,
    },
    /// Neither a share nor a target.
    #[error("`keep` is `{name}`: a share of each dimension, as 0.5, or a target: {}", PRESETS.join(", "))]
    KeepName {
        /// What was given.
        name: String,
    },
    /// The target is larger than the case.
    #[error("the target `{name}` is larger than this case; it is for `--case 7b`")]
    Target {
        /// The target.
        name: String,
    },
    /// No steps.
    #[error("`steps` is 0: at least 1; try 5")]
    Steps,
    /// The machine is too small.
    #[error(
        "the case `{case}` needs about {need} GB and {have} GB are free on {device}; try a smaller case, or a machine with more memory"
    )]
    Memory {
        /// The case.
        case: &'static str,
        /// The device.
        device: String,
        /// Gigabytes of weights, moments and gradients.
        need: u64,
        /// Gigabytes that are free.
        have: u64,
    },
    /// A loss that is no number.
    #[error("step {step} has a loss of {loss}, no number; this is a defect of woolshed: report it")]
    Diverged {
        /// The step.
        step: u64,
        /// Its loss.
        loss: f64,
    },
    /// It was stopped.
    #[error("interrupted; nothing was measured")]
    Interrupted,
    /// Of the model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Of the gates.
    #[error(transparent)]
    Gate(#[from] crate::gate::GateError),
}

/// How many of `n` a share keeps: rounded, at least 1.
fn kept(n: usize, keep: f64) -> usize {
    ((n as f64 * keep).round() as usize).clamp(1, n)
}

/// A trainer that takes the same step again and again.
#[derive(Debug)]
pub struct BenchStep {
    trainer: Trainer,
    ids: Vec<u32>,
    noise: Vec<Vec<f64>>,
    start: Option<Shear>,
    alive: [usize; 4],
    taken: u64,
}

impl BenchStep {
    /// Prepares the step of a case with a share of each dimension alive.
    ///
    /// # Errors
    /// A share out of range, a machine that is too small.
    pub fn new(case: &BenchCase, keep: f64) -> Result<Self, BenchError> {
        Self::on(case, &BenchKeep::Share(keep), &Device::Cpu)
    }

    /// As [`BenchStep::new`], on a device.
    ///
    /// # Errors
    /// As there.
    pub fn on(case: &BenchCase, keep: &BenchKeep, device: &Device) -> Result<Self, BenchError> {
        let config = case.config();
        let shape = config.shape();
        let alive = keep.of(&shape)?;
        let need = case.memory(device);
        let free = match device_memory(device) {
            Some((free, _)) => Some(free),
            None => memory("/proc/meminfo", "MemAvailable:"),
        };
        if let Some(free) = free.filter(|&free| free < need) {
            let giga = |bytes: u64| bytes.div_ceil(1_000_000_000);
            let (need, have) = (giga(need), free / 1_000_000_000);
            let device = crate::device::name(device);
            return Err(BenchError::Memory { case: case.name, device, need, have });
        }
        let model = case.model(config, device)?;
        let (trainer, noise) = trainer(case, &model, &shape, alive)?;
        let ids = (0..(case.batch * case.tokens) as u64)
            .map(|i| (mixed(i) % case.vocab as u64) as u32)
            .collect();
        let start = trainer.shear.clone();
        Ok(Self { trainer, ids, noise, start, alive, taken: 0 })
    }

    /// Takes a step, with the gates where they were at the start, so that every step has the same ones
    /// alive; gives its loss, nats/token.
    ///
    /// # Errors
    /// A loss that is no number, an interrupt; candle's.
    pub fn step(&mut self, watch: &dyn Watch) -> Result<f64, BenchError> {
        self.trainer.shear.clone_from(&self.start);
        let k = self.taken;
        self.taken += 1;
        let outcome = self.trainer.step(k, &self.ids, Some(&self.noise), watch);
        // A device may be behind: the step ends when its work does.
        self.trainer.model().weights.embed.device().synchronize().map_err(ModelError::from)?;
        match outcome {
            Ok(StepOutcome::Taken(figures)) => Ok(figures.loss),
            Ok(StepOutcome::NotFinite(loss)) => Err(BenchError::Diverged { step: k, loss }),
            Err(ModelError::Interrupted) => Err(BenchError::Interrupted),
            Err(error) => Err(error.into()),
        }
    }
}

/// Takes steps and measures them; `watch` is told of each.
///
/// # Errors
/// Options out of range, a machine that is too small, an interrupt.
pub fn bench(options: &BenchOptions, watch: &dyn Watch) -> Result<BenchReport, BenchError> {
    let BenchOptions { case, ref keep, steps, ref device } = *options;
    if steps == 0 {
        return Err(BenchError::Steps);
    }
    let mut of = BenchStep::on(&case, keep, device)?;
    let mut report = BenchReport {
        process_seconds: Vec::new(),
        wall_seconds: Vec::new(),
        tokens: of.ids.len(),
        parameters: case.config().shape().parameters(),
        alive: of.alive,
        attention: Vec::new(),
        peak_bytes: None,
        losses: Vec::new(),
    };
    for k in 0..=steps {
        if watch.stop_requested() {
            return Err(BenchError::Interrupted);
        }
        let (process, wall) = (ProcessTime::now(), Instant::now());
        report.losses.push(of.step(watch)?);
        if k > 0 {
            report.process_seconds.push(process.elapsed().as_secs_f64());
            report.wall_seconds.push(wall.elapsed().as_secs_f64());
        }
        watch.tick(&Progress {
            what: format!("bench {}", case.name),
            done: k,
            total: Some(steps),
            unit: "steps",
            note: String::new(),
        });
    }
    report.attention = attention_kernels(device);
    report.peak_bytes = match device_memory(device) {
        // What was freed is kept for the next step, so this is the most that was taken.
        Some((free, total)) => Some(total - free),
        None => memory("/proc/self/status", "VmHWM:"),
    };
    Ok(report)
}

/// A trainer whose gates keep so much of every dimension alive, and the noise that does it.
fn trainer(
    case: &BenchCase,
    model: &Model,
    shape: &ModelShape,
    [layers, hidden, heads, intermediate]: [usize; 4],
) -> Result<(Trainer, Vec<Vec<f64>>), BenchError> {
    let target = ModelShape { layers, hidden, heads, kv_heads: heads, intermediate, ..*shape };
    let kinds = [GateKind::Layer, GateKind::Head, GateKind::Intermediate, GateKind::Hidden];
    let mut gates = Gates::new(shape, Some(&target), &kinds, HardConcrete::default(), true, 17)?;
    for table in &mut gates.tables {
        let (width, keep) = (table.width, table.keep.unwrap_or(table.width));
        for (i, a) in table.log_alpha.iter_mut().enumerate() {
            // Spread evenly: place i lives where i * keep / width moves on.
            let i = i % width;
            let lives = i * keep / width != (i + 1) * keep / width;
            *a = if lives { OPEN } else { CLOSED };
        }
    }
    let noise = gates.tables.iter().map(|table| vec![0.5; table.log_alpha.len()]).collect();
    let adam = AdamConfig { betas: (0.9, 0.95), eps: 1e-8, weight_decay: 0.0 };
    let lagrangian = Lagrangian::new(Constraint::Shape, 1, &gates);
    let rates = ShearRates { gates: 1.0, multipliers: 1.0 };
    let shear = Shear::new(gates, lagrangian, rates, adam, 17);
    let config = TrainerConfig {
        lr: 1e-3,
        schedule: Schedule { warmup: 0, total: 1_000_000, floor: 0.1 },
        clip: 1.0,
        adam,
        tokens: case.tokens,
        accumulate: 1,
        recompute: model.weights.embed.device().is_cuda(),
        elastic: true,
        distill: None,
    };
    Ok((Trainer::new(model, config, Some(shear))?, noise))
}

/// The bytes that a line of one of Linux's tables names; none elsewhere.
fn memory(table: &str, line: &str) -> Option<u64> {
    let text = std::fs::read_to_string(table).ok()?;
    let kib = text.lines().find_map(|l| l.strip_prefix(line))?;
    kib.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

impl BenchReport {
    /// The middle one of the process times of a step, seconds.
    pub fn process_seconds_per_step(&self) -> f64 {
        median(&self.process_seconds)
    }

    /// The middle one of the wall times of a step, seconds.
    pub fn wall_seconds_per_step(&self) -> f64 {
        median(&self.wall_seconds)
    }

    /// Tokens a second of wall time.
    pub fn tokens_per_second(&self) -> f64 {
        self.tokens as f64 / self.wall_seconds_per_step().max(1e-9)
    }
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Unwatched;

    const TINY: BenchCase = BenchCase {
        name: "tiny",
        hidden: 16,
        layers: 2,
        heads: 4,
        intermediate: 24,
        vocab: 32,
        tokens: 8,
        batch: 2,
    };

    #[test]
    fn every_step_has_the_asked_share_alive_and_the_same_loss_in_every_bench() {
        let options =
            BenchOptions { case: TINY, keep: BenchKeep::Share(0.5), steps: 3, device: Device::Cpu };
        let (a, b) = (bench(&options, &Unwatched).unwrap(), bench(&options, &Unwatched).unwrap());
        assert_eq!(a.alive, [2, 8, 2, 12]);
        assert_eq!((a.process_seconds.len(), a.wall_seconds.len(), a.losses.len()), (3, 3, 4));
        assert_eq!(a.losses, b.losses);
        assert!(a.losses[3] < a.losses[0], "it learns its one batch: {:?}", a.losses);
        assert!(a.tokens_per_second() > 0.0);
        let shape = TINY.config().shape();
        let model = TINY.model(TINY.config(), &Device::Cpu).unwrap();
        let alive = BenchKeep::Share(0.3).of(&shape).unwrap();
        assert_eq!(alive, [2, 5, 1, 7]);
        let (trainer, noise) = trainer(&TINY, &model, &shape, alive).unwrap();
        let values = trainer.shear.unwrap().gates.sample(&noise).values;
        let open = |v: &[f64]| v.iter().filter(|&&z| z != 0.0).count();
        assert_eq!(values.iter().map(|v| open(v)).collect::<Vec<_>>(), [2, 2, 14, 5]);
        assert!(values.iter().flatten().all(|&z| z == 0.0 || (z - 0.715).abs() < 1e-3));
    }

    #[test]
    fn a_target_closes_layers_too_and_is_that_of_sheared_llama() {
        let of = |text: &str, case: &BenchCase| BenchKeep::named(text)?.of(&case.config().shape());
        let seven = BenchCase::named("7b").unwrap();
        assert_eq!(of("1.3B", &seven).unwrap(), [24, 2048, 16, 5504]);
        assert_eq!(of("0.5", &seven).unwrap(), [32, 2048, 16, 5504]);
        assert!(of("1.3b", &TINY).unwrap_err().to_string().contains("--case 7b"));
        let error = BenchKeep::named("half").unwrap_err().to_string();
        assert!(error.contains("0.5") && error.contains("1.3b"), "{error}");
        // Layers that a target closes are out of the step.
        let (shape, alive) = (TINY.config().shape(), [1, 8, 2, 12]);
        let model = TINY.model(TINY.config(), &Device::Cpu).unwrap();
        let (trainer, noise) = trainer(&TINY, &model, &shape, alive).unwrap();
        let values = trainer.shear.unwrap().gates.sample(&noise).values;
        let open = |v: &[f64]| v.iter().filter(|&&z| z != 0.0).count();
        assert_eq!(values.iter().map(|v| open(v)).collect::<Vec<_>>(), [1, 4, 24, 8]);
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn steps_on_a_cuda_device_have_the_losses_of_the_cpu_but_for_the_rounding_of_bf16() {
        let cuda = match crate::device::device("cuda:0") {
            Ok(cuda) => cuda,
            Err(error) => return eprintln!("NOT CHECKED on a GPU: steps: {error}"),
        };
        for keep in [1.0, 0.5] {
            let of = |device| {
                let keep = BenchKeep::Share(keep);
                bench(&BenchOptions { case: TINY, keep, steps: 3, device }, &Unwatched).unwrap()
            };
            let (cpu, cuda) = (of(Device::Cpu), of(cuda.clone()));
            for (a, b) in cpu.losses.iter().zip(&cuda.losses) {
                // Weights of three digits, activations rounded some twenty times; measured 2e-3.
                assert!((a / b - 1.0).abs() < 1e-2, "{:?} and {:?}", cpu.losses, cuda.losses);
            }
            assert!(cuda.losses[3] < cuda.losses[0], "it learns its one batch: {:?}", cuda.losses);
        }
    }

    #[test]
    fn steps_have_the_same_bits_on_one_thread_and_on_many() {
        // Large enough that every product is shared out, in tiles of columns and of rows.
        let case = BenchCase {
            hidden: 160,
            intermediate: 544,
            vocab: 1100,
            tokens: 100,
            batch: 3,
            heads: 5,
            ..TINY
        };
        for keep in [1.0, 0.6, 0.45] {
            let of = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let keep = BenchKeep::Share(keep);
                let options = BenchOptions { case, keep, steps: 3, device: Device::Cpu };
                pool.install(|| bench(&options, &Unwatched).unwrap().losses)
            };
            let one = of(1);
            for threads in [2, 3, 5, 16] {
                assert_eq!(one, of(threads), "{threads} threads, {keep} alive");
            }
        }
    }

    #[test]
    fn what_cannot_be_measured_is_refused_with_the_nearest_that_can() {
        let of = |case, keep, steps| {
            let keep = BenchKeep::Share(keep);
            bench(&BenchOptions { case, keep, steps, device: Device::Cpu }, &Unwatched)
                .unwrap_err()
                .to_string()
        };
        assert!(of(TINY, 1.5, 1).contains("try 1"), "{}", of(TINY, 1.5, 1));
        assert!(of(TINY, f64::NAN, 1).contains("above 0"));
        assert!(of(TINY, 1.0, 0).contains("at least 1"));
        let huge = BenchCase { vocab: 1 << 50, ..TINY };
        if memory("/proc/meminfo", "MemAvailable:").is_some() {
            assert!(of(huge, 1.0, 1).contains("GB are free"));
        }
        let unknown = BenchCase::named("medium").unwrap_err().to_string();
        assert!(unknown.contains("did you mean"), "{unknown}");
    }
}
