//! What a model costs: parameters, arithmetic, memory, and measured speed.
//!
//! ```text
//! FLOPs of one token, forward, mean over the T positions of a row (a multiply-add is 2):
//!   2 (projections + V D)                          matrix products; looking up an embedding is free
//!   + sum over layers  4 H E (T + 1) / 2           scores and context; a token sees (T + 1) / 2 keys
//! keys and values of one token:  sum over layers  2 K E
//! ```
//!
//! Norms, rotary positions, softmax, biases and activations are left out: they are below a hundredth
//! in models of usual width. Widths come from the tensors, so layers may differ. A masked model costs
//! what the dense one costs: closed gates multiply by 0 and save nothing before the cut.

use std::time::Instant;

use super::error::{JudgeError, whole_rows};
use crate::gate::GateTensors;
use crate::model::forward::Forward;
use crate::model::{LlamaConfig, ModelError, Weights};
use crate::progress::{Progress, Watch};

/// Bytes of one f32.
const F32: u64 = 4;
/// Bytes of one bf16.
const BF16: u64 = 2;
/// Fewest timed passes.
const PASSES: usize = 3;

/// What a model costs, counted from its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// All parameters; a tied head counts once.
    pub parameters: u64,
    /// Parameters that gates can remove: the projections of attention and MLP.
    pub prunable: u64,
    /// FLOPs of a forward pass a token, mean over rows of [`Cost::tokens`] tokens.
    pub flops_per_token: u64,
    /// T, the row length of `flops_per_token`.
    pub tokens: usize,
    /// The weights in f32, bytes.
    pub weight_bytes_f32: u64,
    /// The weights in bf16, bytes.
    pub weight_bytes_bf16: u64,
    /// Keys and values of one token in f32, bytes.
    pub kv_cache_bytes_per_token: u64,
    /// Adam's two moments of every parameter in f32, bytes.
    pub adam_bytes: u64,
}

impl Cost {
    /// Counts what `weights` cost on rows of `tokens` tokens.
    pub fn of(weights: &Weights, tokens: usize) -> Self {
        let count = |t: &candle_core::Tensor| t.elem_count() as u64;
        let rows = |t: &candle_core::Tensor| t.dims().first().map_or(0, |&n| n as u64);
        let (mut prunable, mut scores, mut cache) = (0, 0, 0);
        for layer in &weights.layers {
            if let Some(a) = &layer.attention {
                prunable += count(&a.q) + count(&a.k) + count(&a.v) + count(&a.o);
                scores += 2 * rows(&a.q) * (tokens as u64 + 1);
                cache += (rows(&a.k) + rows(&a.v)) * F32;
            }
            if let Some(m) = &layer.mlp {
                prunable += count(&m.gate) + count(&m.up) + count(&m.down);
            }
        }
        let parameters = weights.parameters() as u64;
        let head = count(weights.head.as_ref().unwrap_or(&weights.embed));
        Self {
            parameters,
            prunable,
            flops_per_token: 2 * (prunable + head) + scores,
            tokens,
            weight_bytes_f32: parameters * F32,
            weight_bytes_bf16: parameters * BF16,
            kv_cache_bytes_per_token: cache,
            adam_bytes: 2 * parameters * F32,
        }
    }
}

/// A measured speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Tokens a second, from the median time of a pass.
    pub tokens_per_second: f64,
    /// How many passes were timed.
    pub passes: usize,
    /// Tokens of one pass.
    pub tokens: usize,
}

/// Measures the forward pass from `ids`, rows of `tokens` ids, to logits.
///
/// One pass warms up. Then passes are timed one by one until `seconds` are over, at least three; the
/// speed is that of the median pass, which a neighbour's short burst of work does not move.
///
/// # Determinism
/// A measurement: it depends on the machine and on what else runs there. No result rests on it.
///
/// # Errors
/// Ids that are no whole rows, lie beyond the vocabulary or are longer than the model's positions; an
/// interrupt; candle's.
pub fn speed(
    weights: &Weights,
    config: &LlamaConfig,
    gates: Option<&GateTensors>,
    ids: &[u32],
    tokens: usize,
    seconds: f64,
    watch: &dyn Watch,
) -> Result<Speed, JudgeError> {
    whole_rows(ids.len(), tokens, config.max_positions)?;
    // Detached weights: a measured pass keeps no graph.
    let weights = weights.map(|t| Ok::<_, ModelError>(t.detach()))?;
    let forward = Forward::new(&weights, config, tokens);
    let forward = match gates {
        Some(gates) => forward.gated(gates),
        None => forward,
    };
    forward.logits(ids, tokens)?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < PASSES || begin.elapsed().as_secs_f64() < seconds {
        if watch.stop_requested() {
            return Err(ModelError::Interrupted.into());
        }
        let start = Instant::now();
        forward.logits(ids, tokens)?;
        times.push(start.elapsed().as_secs_f64());
        watch.tick(&Progress {
            what: "measure speed".into(),
            done: times.len() as u64,
            total: None,
            unit: "passes",
            note: String::new(),
        });
    }
    times.sort_unstable_by(f64::total_cmp);
    let median = times[times.len() / 2].max(1e-9);
    Ok(Speed {
        tokens_per_second: ids.len() as f64 / median,
        passes: times.len(),
        tokens: ids.len(),
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::super::tiny::{config, ids, random_gates, tiny};
    use super::*;
    use crate::gate::EvalMode;
    use crate::model::Model;
    use crate::progress::Unwatched;

    #[test]
    fn the_cost_of_a_tiny_shape_is_what_a_hand_counts() {
        // L 3, D 16, H 4, K 2, E 4, F 20, V 30, T 10.
        // A layer: q and o 16 x 16, k and v 16 x 8: 768; MLP 3 x 16 x 20 = 960; 1728 in all.
        // Table 30 x 16 = 480; norms (2 x 3 + 1) x 16 = 112.
        let untied = Cost::of(&tiny(false).weights, 10);
        assert_eq!(untied.prunable, 3 * 1728);
        assert_eq!(untied.parameters, 3 * 1728 + 2 * 480 + 112);
        // Scores and context: 16 wide, 5.5 keys a token, 2 products of 2 FLOPs: 352 a layer.
        assert_eq!(untied.flops_per_token, 2 * (5184 + 480) + 3 * 352);
        // Keys and values: 2 x 8 numbers a layer.
        assert_eq!(untied.kv_cache_bytes_per_token, 3 * 16 * 4);
        let tied = Cost::of(&tiny(true).weights, 10);
        assert_eq!(tied.parameters, 5776);
        assert_eq!(tied.flops_per_token, untied.flops_per_token);
        assert_eq!((tied.weight_bytes_f32, tied.weight_bytes_bf16), (23_104, 11_552));
        assert_eq!(tied.adam_bytes, 46_208);
    }

    #[test]
    fn llama_2_7b_has_its_published_size() {
        // The model without its memory: one number, repeated in every tensor of the true shape.
        let small = config("llama", (32, 4, 6), (2, 2, 2), 7, false);
        let model = Model::random("7b", small, None, 0, DType::F32, &Device::Cpu).unwrap();
        let real = |&n: &usize| match n {
            4 => 4096,
            6 => 11_008,
            _ => 32_000,
        };
        let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
        let weights = model
            .weights
            .map(|t| one.broadcast_as(t.dims().iter().map(real).collect::<Vec<_>>()))
            .unwrap();
        let cost = Cost::of(&weights, 4096);
        assert_eq!((cost.parameters, cost.prunable), (6_738_415_616, 6_476_005_376));
        // 2 x (6,476,005,376 + 32,000 x 4096) and 32 x 2 x 4096 x 4097.
        assert_eq!(cost.flops_per_token, 13_214_154_752 + 1_074_003_968);
        // 32 layers of 2 x 4096 numbers: half a mebibyte a token in 16 bits, one in 32.
        assert_eq!(cost.kv_cache_bytes_per_token, 1 << 20);
    }

    #[test]
    fn uneven_layers_are_counted_by_their_own_widths() {
        let model = tiny(true);
        let mut gates = random_gates(&model, true, 3);
        // Free shapes: no table keeps a fixed number.
        gates.tables.iter_mut().for_each(|t| t.keep = None);
        let mut values = gates.evaluate(EvalMode::Current);
        for (kind, table) in values.kinds.iter().zip(&mut values.values) {
            match kind.name() {
                // Layer 0 keeps one group, layer 1 both; layer 2 loses all channels.
                "head" => table.copy_from_slice(&[1.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
                "intermediate" => {
                    table.fill(1.0);
                    table[..5].fill(0.0);
                    table[40..].fill(0.0);
                }
                _ => table.fill(1.0),
            }
        }
        let cut = model.cut(&values).unwrap();
        let cost = Cost::of(&cut.weights, 10);
        // A group: (2 x 2 + 2) x 4 x 16 = 384; a channel 48.
        assert_eq!(cost.prunable, (1 + 2 + 2) * 384 + (15 + 20) * 48);
        assert_eq!(cost.parameters, cost.prunable + 480 + (3 + 2 + 1) * 16);
        assert_eq!(cost.kv_cache_bytes_per_token, (1 + 2 + 2) * 8 * 4);
        // Query rows 8 + 16 + 16.
        assert_eq!(cost.flops_per_token, 2 * (cost.prunable + 480) + 2 * 40 * 11);
    }

    #[test]
    fn speed_is_measured_over_at_least_three_passes_and_stops_when_asked() {
        struct Stop;
        impl Watch for Stop {
            fn stop_requested(&self) -> bool {
                true
            }
        }
        let model = tiny(true);
        let ids = ids(&model, 2, 8);
        let measure = |seconds, watch: &dyn Watch| {
            speed(&model.weights, &model.config, None, &ids, 8, seconds, watch)
        };
        let found = measure(0.0, &Unwatched).unwrap();
        assert_eq!((found.passes, found.tokens), (3, 16));
        assert!(found.tokens_per_second > 0.0);
        // Half a second: a busy machine may take 100 ms for a pass of microseconds.
        assert!(measure(0.5, &Unwatched).unwrap().passes > 3);
        assert!(measure(60.0, &Stop).unwrap_err().is_interrupted());
    }
}
