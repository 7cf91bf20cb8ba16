//! Sampling text from a model.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling};

use super::cache::{CachedForward, Next};
use super::pass::with_next;
use super::{Model, ModelError};
use crate::progress::{Progress, Watch};
use crate::rng::Stream;

/// How to sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GenerateOptions {
    /// Tokens to add at most.
    pub max_tokens: usize,
    /// Temperature; 0 takes the likeliest token each time.
    pub temperature: f64,
    /// Sample among the k likeliest tokens only.
    pub top_k: Option<usize>,
    /// Sample among the likeliest tokens that make up this probability.
    pub top_p: Option<f64>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self { max_tokens: 100, temperature: 0.0, top_k: None, top_p: None, seed: 17 }
    }
}

impl GenerateOptions {
    fn sampling(&self) -> Sampling {
        let temperature = self.temperature;
        match (temperature > 0.0, self.top_k, self.top_p) {
            (false, _, _) => Sampling::ArgMax,
            (true, None, None) => Sampling::All { temperature },
            (true, Some(k), None) => Sampling::TopK { k, temperature },
            (true, None, Some(p)) => Sampling::TopP { p, temperature },
            (true, Some(k), Some(p)) => Sampling::TopKThenTopP { k, p, temperature },
        }
    }
}

impl Model {
    /// Continues `prompt` and gives the whole text, prompt included. Stops at an end-of-text token,
    /// at the model's last position, or when the watch asks.
    ///
    /// # Determinism
    /// A function of model, prompt and options.
    ///
    /// # Errors
    /// No tokenizer; a prompt longer than the model's positions.
    pub fn generate(
        &self,
        prompt: &str,
        options: &GenerateOptions,
        watch: &dyn Watch,
    ) -> Result<String, ModelError> {
        let tokenizer = self.tokenizer()?;
        let mut ids = tokenizer.encode(prompt, false)?;
        if let Some(bos) = self.config.bos
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        let mut rows = self.generate_ids(&[ids], options, watch)?;
        tokenizer.decode(&rows.remove(0))
    }

    /// Continues rows of ids, all of one length, each with its own stream of draws; a row ends with
    /// its end-of-text token.
    ///
    /// # Errors
    /// No rows, rows of different or no length, rows longer than the model's positions.
    pub fn generate_ids(
        &self,
        prompts: &[Vec<u32>],
        options: &GenerateOptions,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let first = prompts.first().map_or(0, Vec::len);
        let max = self.config.max_positions;
        if first == 0 || first > max || prompts.iter().any(|p| p.len() != first) {
            return Err(ModelError::TooLong { tokens: first, max });
        }
        let mut samplers: Vec<LogitsProcessor> = (0..prompts.len())
            .map(|i| {
                let seed = Stream::new(options.seed, "generate", i as u64).below(u64::MAX);
                LogitsProcessor::from_sampling(seed, options.sampling())
            })
            .collect();
        let limit = options.max_tokens.min(max - first);
        let (b, positions) = (prompts.len(), first + limit);
        let mut go = |pass: &mut dyn Next| self.go_on(prompts, pass, &mut samplers, limit, watch);
        match with_next(self, b, positions, &mut go) {
            Some(rows) => rows,
            None => go(&mut CachedForward::new(self, b, positions)),
        }
    }

    /// Continues rows by the logits that `pass` gives.
    fn go_on(
        &self,
        prompts: &[Vec<u32>],
        pass: &mut dyn Next,
        samplers: &mut [LogitsProcessor],
        limit: usize,
        watch: &dyn Watch,
    ) -> Result<Vec<Vec<u32>>, ModelError> {
        let mut rows = prompts.to_vec();
        let mut open = vec![true; rows.len()];
        let mut next: Vec<u32> = prompts.concat();
        for done in 0..limit {
            if watch.stop_requested() {
                break;
            }
            let logits = match pass.append(&next, watch) {
                Err(ModelError::Interrupted) => break,
                logits => logits?,
            };
            let vocab = logits.len() / rows.len();
            next.clear();
            for (i, row) in rows.iter_mut().enumerate() {
                let logits = &logits[i * vocab..(i + 1) * vocab];
                let id = samplers[i].sample(&Tensor::from_slice(logits, vocab, &Device::Cpu)?)?;
                if open[i] {
                    row.push(id);
                    open[i] = !self.ends_text(id);
                }
                next.push(id);
            }
            watch.tick(&Progress {
                what: "generate".into(),
                done: done as u64 + 1,
                total: Some(limit as u64),
                unit: "tokens",
                note: String::new(),
            });
            if !open.contains(&true) {
                break;
            }
        }
        Ok(rows)
    }

    /// True for a token after which a text is over: end of text, or the beginning of another.
    fn ends_text(&self, id: u32) -> bool {
        self.config.eos.contains(&id) || self.config.bos == Some(id)
    }
}
