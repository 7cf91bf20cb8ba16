//! The model that a run has made so far, with what it says of where it came from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::recovery::REFERENCES;
use super::{Run, RunError};
use crate::gate::EvalMode;
use crate::model::{LlamaConfig, Model, ModelOrigin, Weights};

impl Run {
    /// Gives the model as it is now: cut at the target shape while shearing (or at the current gates
    /// in the global mode), a copy of the weights in recovery.
    ///
    /// Its logits equal those of the gated model.
    ///
    /// # Errors
    /// Nothing left of the layers; candle's.
    pub fn extract(&self) -> Result<Model, RunError> {
        let weights = self.trainer().snapshot()?;
        let Some(shear) = &self.trainer().shear else {
            return self.derived(weights, self.source().config.clone(), "recovered");
        };
        let model = Model { weights: Arc::new(weights), ..self.source().clone() };
        let cut = model.cut(&shear.gates.evaluate(self.final_mode()))?;
        self.derived(Arc::unwrap_or_clone(cut.weights), cut.config, "sheared")
    }

    /// The evaluation that extraction uses: the target's, or the current one where there is no
    /// target shape.
    pub fn final_mode(&self) -> EvalMode {
        if self.target().is_some() { EvalMode::Target } else { EvalMode::Current }
    }

    fn derived(&self, weights: Weights, config: LlamaConfig, how: &str) -> Result<Model, RunError> {
        let source = self.source();
        let origin = self.origin()?;
        let mut provenance = source.provenance.clone();
        let mut note = |key: &str, value: String| provenance.push((format!("{how}.{key}"), value));
        note("parent", source.name.clone());
        note("parent_sha256", origin.model_sha256.clone());
        note("parent_shape", source.shape().to_string());
        note("data_sha256", origin.data_sha256.clone());
        note("domains", self.mixture().names.join(", "));
        note("steps", self.status().step.to_string());
        note("tokens", self.status().tokens.to_string());
        note("seed", self.options().seed.to_string());
        if let Some(teacher) = self.teacher() {
            note("teacher", teacher.name.clone());
        }
        if let Some(teacher) = &origin.teacher {
            note("teacher_sha256", teacher.sha256.clone());
        }
        if let Some(lora) = &self.options().lora {
            note("lora", serde_json::to_string(lora).map_err(RunError::Json)?);
        }
        if let Some(target) = self.target() {
            note("target", target.to_string());
        }
        let mixture = self.mixture();
        let references: BTreeMap<_, _> =
            mixture.names.iter().zip(mixture.reference.iter().copied()).collect();
        note(REFERENCES, serde_json::to_string(&references).map_err(RunError::Json)?);
        let path: Vec<(u64, &[f64])> = std::iter::once((0, self.first_mixture()))
            .chain(self.evaluations().iter().map(|e| (e.step, e.mixture.as_slice())))
            .collect();
        note("mixture_path", serde_json::to_string(&path).map_err(RunError::Json)?);
        let edits: Vec<String> =
            self.marks().iter().map(|mark| format!("step {}: {}", mark.step, mark.what)).collect();
        if !edits.is_empty() {
            note("edits", edits.join("; "));
        }
        note("run_sha256", self.hash()?);
        note("version", origin.version.clone());
        let run = Box::new(serde_json::to_value(origin).map_err(RunError::Json)?);
        Ok(Model {
            name: format!("{}-{how}", source.name),
            config,
            weights: Arc::new(weights),
            tokenizer: source.tokenizer.clone(),
            provenance,
            origin: ModelOrigin::Extracted { run },
        })
    }
}
