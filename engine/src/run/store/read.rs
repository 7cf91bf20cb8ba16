//! Resuming: everything is checked before it is believed, the hash of the run last.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use candle_core::{Device, Tensor};

use super::super::decisions::Decisions;
use super::super::journal::Journal;
use super::super::recovery::Teacher;
use super::super::start::Start;
use super::super::state::{Saved, State, trainer_config};
use super::super::{History, Run, RunError};
use super::layout::{
    Entry, INDEX, Index, SOURCE, STATE, StateFile, TEACHER, TENSORS, check_sums, file, read_index,
};
use crate::data::{CustomRule, Domains, Loader, Special};
use crate::model::{LlamaConfig, Model, ModelOrigin, Tokenizer, Weights};
use crate::progress::{Progress, Watch};
use crate::train::{Parameters, Trainer};

/// What to resume, and with what.
#[derive(Clone, Debug)]
pub struct ResumeOptions {
    /// The snapshot after this step; none takes the last one saved.
    pub step: Option<u64>,
    /// The domains; none makes them again the way they were made.
    pub domains: Option<Arc<Domains>>,
    /// Where the tensors go.
    pub device: Device,
    /// The function of the rule `custom`, for a run that had one: an evaluation is refused without.
    pub rule: Option<CustomRule>,
}

impl Default for ResumeOptions {
    fn default() -> Self {
        Self { step: None, domains: None, device: Device::Cpu, rule: None }
    }
}

impl Run {
    /// Resumes a saved run: from there it goes on as if it had never stopped.
    ///
    /// # Errors
    /// No saved run, a newer format, a damaged file, other data, no such snapshot, an interrupt.
    pub fn resume(
        dir: &Path,
        options: &ResumeOptions,
        watch: &dyn Watch,
    ) -> Result<Self, RunError> {
        let index = read_index(dir)?;
        let entry = choose(dir, &index, options.step)?;
        let stage = |done: u64, note: &str| {
            watch.tick(&Progress {
                what: format!("resume step {}", entry.step),
                done,
                total: Some(4),
                unit: "parts",
                note: note.into(),
            });
            if watch.stop_requested() { Err(RunError::Interrupted) } else { Ok(()) }
        };
        stage(0, "check the files")?;
        let others: Vec<String> =
            index.all().filter(|e| *e != entry).map(|e| e.step.to_string()).collect();
        let hint = match others.as_slice() {
            [] => "no other snapshot is in the folder; start the run again".to_string(),
            _ => format!("resume another snapshot instead, of step {}", others.join(" or ")),
        };
        let folder = dir.join(&entry.folder);
        check_sums(&folder, Some(&entry.sums_sha256), &hint)?;
        let home = dir.join(SOURCE);
        check_sums(&home, None, "every snapshot of this folder needs it; copy the source again")?;
        stage(1, "load the source")?;
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        let damaged =
            |what: String| RunError::Damaged { path: path.clone(), what, hint: hint.clone() };
        let StateFile { mut origin, first_mixture, needs_rule, state: saved } =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let path_taken = std::mem::take(&mut origin.train.path);
        if saved.decided > path_taken.len() {
            return Err(damaged("it lacks decisions of the mixture rule".into()));
        }
        let decisions =
            Decisions::resume(path_taken, saved.decided, needs_rule, options.rule.clone());
        let source = read_model(&home, &options.device)?;
        let digest = source.digest()?;
        if digest != origin.model_sha256 {
            return Err(damaged(
                "the model in `source` is not the one the run started from".into(),
            ));
        }
        let teacher = match &origin.teacher {
            None => None,
            Some(of) => {
                let model = if of.sha256 == digest {
                    let name = source.name.clone();
                    Model { name, origin: of.model.clone(), ..source.clone() }
                } else {
                    let home = dir.join(TEACHER);
                    let hint = "every snapshot of this folder needs it; copy the teacher again";
                    check_sums(&home, None, hint)?;
                    read_model(&home, &options.device)?
                };
                if model.digest()? != of.sha256 {
                    let what = "the model in `teacher` is not the one the run learned from";
                    return Err(damaged(what.into()));
                }
                Some(Teacher { model, sha256: of.sha256.clone() })
            }
        };
        stage(2, "make the domains")?;
        let domains = match &options.domains {
            Some(domains) => domains.clone(),
            None => {
                let special = Special {
                    bos: source.config.bos,
                    eos: source.config.eos.first().copied(),
                    vocab: source.config.vocab,
                };
                Arc::new(origin.domains.open(source.tokenizer()?, special, watch)?)
            }
        };
        stage(3, "load weights and moments")?;
        let start = Start {
            source: source.clone(),
            digest: OnceLock::from(digest),
            how: origin.how,
            teacher,
            options: origin.train,
            mixture: first_mixture,
        };
        let reading = Reading { start: &start, domains: &domains, device: &options.device };
        let state = reading.state(&folder, saved, decisions, origin.journal, &hint)?;
        let mut run = Self::with(Arc::new(start), state);
        if run.hash()? != entry.hash {
            return Err(damaged("the hash of the run is not the one it was saved with".into()));
        }
        run.homes.push(dir.to_path_buf());
        if let Some(best) = index.best.as_ref().filter(|best| *best != entry) {
            run.recall_best(dir, best, options)?;
        }
        stage(4, "")?;
        Ok(run)
    }
}

impl Run {
    /// Takes the state of the best evaluation from the disk into memory, if this run came by it and
    /// memory may hold it.
    fn recall_best(
        &mut self,
        dir: &Path,
        best: &Entry,
        options: &ResumeOptions,
    ) -> Result<(), RunError> {
        let folder = dir.join(&best.folder);
        let tensors = folder.join(TENSORS);
        let bytes = tensors.metadata().map_err(file("read", &tensors))?.len();
        if self.best().is_none_or(|b| b.step != best.step) || bytes > self.kept.policy.bytes {
            return Ok(());
        }
        let hint = "remove `best` from run.json to resume without it";
        check_sums(&folder, Some(&best.sums_sha256), hint)?;
        let path = folder.join(STATE);
        let bytes = fs::read(&path).map_err(file("read", &path))?;
        let theirs: StateFile = serde_json::from_slice(&bytes).map_err(RunError::Json)?;
        if self.state.journal.since(theirs.journal()).is_none() {
            return Ok(());
        }
        let mut decisions =
            Decisions::resume(theirs.origin.train.path, theirs.state.decided, false, None);
        decisions.recall(&self.state.decisions);
        let domains = self.loader().domains().clone();
        let reading = Reading { start: &self.start, domains: &domains, device: &options.device };
        let journal = theirs.origin.journal;
        self.kept.keep_best(reading.state(&folder, theirs.state, decisions, journal, hint)?);
        Ok(())
    }
}

/// What every state of a saved run is read with.
struct Reading<'a> {
    start: &'a Start,
    domains: &'a Arc<Domains>,
    device: &'a Device,
}

impl Reading<'_> {
    fn state(
        &self,
        folder: &Path,
        saved: Saved,
        decisions: Decisions,
        journal: Journal,
        hint: &str,
    ) -> Result<State, RunError> {
        let source = &self.start.source;
        let mut loader = Loader::new(self.domains.clone(), saved.options.seed);
        loader.restore(saved.loader)?;
        let tensors = read_tensors(&folder.join(TENSORS), self.device)?;
        let config = trainer_config(&saved.options, self.domains.seq_len);
        let lora = saved.options.lora.as_ref();
        let parameters = Parameters::restore(
            &source.weights,
            config.adam,
            lora,
            saved.updates,
            |name, like| match tensors.get(name) {
                Some(t) if t.dims() == like.dims() && t.dtype() == like.dtype() => Ok(t.clone()),
                _ => Err(RunError::Damaged {
                    path: folder.join(STATE),
                    what: format!("tensor `{name}` is absent or of another shape"),
                    hint: hint.into(),
                }),
            },
        )?;
        let mut trainer = Trainer::resume(source, config, parameters, saved.shear);
        if let Some(teacher) = self.start.teacher() {
            trainer.teach(teacher)?;
        }
        Ok(State {
            step: saved.step,
            tokens: saved.tokens,
            due: saved.due,
            options: saved.options,
            target: saved.target,
            trainer,
            loader,
            mixture: saved.mixture,
            decisions,
            history: History::new(saved.steps, saved.evaluations, saved.marks, saved.epochs),
            journal,
        })
    }
}

fn choose<'a>(dir: &Path, index: &'a Index, step: Option<u64>) -> Result<&'a Entry, RunError> {
    let found = match step {
        None => index.snapshots.last(),
        Some(step) => index.all().rev().find(|entry| entry.step == step),
    };
    match (found, step) {
        (Some(entry), _) => Ok(entry),
        (None, None) => {
            let why = format!("its {INDEX} lists no snapshot");
            Err(RunError::NotARun { dir: dir.to_path_buf(), why })
        }
        (None, Some(step)) => {
            let mut kept: Vec<u64> = index.all().map(|entry| entry.step).collect();
            kept.sort_unstable();
            kept.dedup();
            Err(RunError::NoSnapshot { step, kept })
        }
    }
}

/// What `about.json` says of the source.
#[derive(serde::Deserialize)]
struct About {
    name: String,
    provenance: Vec<(String, String)>,
    origin: ModelOrigin,
}

fn read_model(folder: &Path, device: &Device) -> Result<Model, RunError> {
    let config = LlamaConfig::from_file(&folder.join("config.json"))?;
    let path = folder.join("about.json");
    let bytes = fs::read(&path).map_err(file("read", &path))?;
    let About { name, provenance, origin } =
        serde_json::from_slice(&bytes).map_err(RunError::Json)?;
    let path = folder.join("tokenizer.json");
    let tokenizer =
        if path.is_file() { Some(Arc::new(Tokenizer::from_file(&path)?)) } else { None };
    let path = folder.join(TENSORS);
    let mut tensors = read_tensors(&path, device)?;
    let weights = Weights::from_named(config.layers, |name| tensors.remove(name));
    let weights = weights.map_err(|name| RunError::Damaged {
        path: path.clone(),
        what: format!("tensor `{name}` is absent"),
        hint: "copy the folder again".into(),
    })?;
    Ok(Model { name, config, weights: Arc::new(weights), tokenizer, provenance, origin })
}

fn read_tensors(path: &Path, device: &Device) -> Result<HashMap<String, Tensor>, RunError> {
    candle_core::safetensors::load(path, device).map_err(|error| match error {
        candle_core::Error::Io(error) => file("read", path)(error),
        other => other.into(),
    })
}
