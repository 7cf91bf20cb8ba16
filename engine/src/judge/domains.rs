//! Loss by domain: mean next-token cross-entropy over a domain's evaluation rows, in nats/token.

use std::sync::Arc;

use crate::data::{Domains, Rows};
use crate::gate::{GateTensors, GateValues};
use crate::model::forward::{Forward, next_tokens};
use crate::model::pass::live::Live;
use crate::model::pass::{self, Memory, Pass};
use crate::model::{LlamaConfig, Model, ModelError, Weights};
use crate::ops::{self, Rope, RopeTable};
use crate::progress::{Progress, Watch};
use crate::shape::ModelShape;

/// Tokens of one evaluation batch: enough to fill the cores, few enough to stay small.
const TOKENS_AT_ONCE: usize = 4096;

/// Gives the loss of each domain for weights under gates of a source's dimensions, in the domains' order.
/// With `elastic`, what the gates close is left out: the same losses but for the order of sums.
///
/// # Errors
/// A token beyond the vocabulary, rows longer than the model's positions, an interrupt; candle's.
pub fn domain_losses(
    weights: &Weights,
    config: &LlamaConfig,
    gates: Option<(&GateValues, &ModelShape)>,
    elastic: bool,
    domains: &Domains,
    watch: &dyn Watch,
) -> Result<Vec<f64>, ModelError> {
    let tokens = domains.seq_len;
    if tokens > config.max_positions {
        return Err(ModelError::TooLong { tokens, max: config.max_positions });
    }
    // Detached weights: an evaluation keeps no graph.
    let weights = weights.map(|t| Ok::<_, ModelError>(t.detach()))?;
    let rope: Rope = Arc::new(RopeTable::new(&config.inverse_frequencies(), tokens));
    let (dtype, device) = (weights.embed.dtype(), weights.embed.device());
    let handmade = pass::can(&weights);
    let tensors = match gates.filter(|_| !handmade) {
        Some((values, source)) => Some(values.tensors(source, dtype, device)?),
        None => None,
    };
    let gone = gates.filter(|_| elastic && !handmade);
    let live = gone.map(|(values, source)| Live::under(&weights, source, values));
    let memory = Memory::default();
    let losses_of = |ids: &[u32]| -> Result<Vec<f64>, ModelError> {
        if handmade {
            let (weights, rope) = (&weights, &rope);
            return Pass { weights, config, rope, gates, elastic, ids, tokens, watch }
                .losses(&memory);
        }
        let forward = Forward::with_rope(&weights, config, rope.clone()).watched(watch);
        by_operations(forward, (tensors.as_ref(), live.as_ref()), ids, tokens)
    };
    let total: u64 = domains.domains.iter().map(|d| d.eval.len() as u64).sum();
    let progress = |done: u64, domain: &str| Progress {
        what: "evaluate".into(),
        done,
        total: Some(total),
        unit: "rows",
        note: domain.into(),
    };
    let mut done = 0;
    watch.tick(&progress(done, ""));
    let mut losses = Vec::with_capacity(domains.domains.len());
    for domain in &domains.domains {
        losses.push(rows_loss(&losses_of, &domain.eval, &mut |rows| {
            done += rows as u64;
            watch.tick(&progress(done, &domain.name));
            watch.stop_requested()
        })?);
    }
    Ok(losses)
}

/// The losses of some rows where no pass by hand is: under gates, and without what they close.
fn by_operations<'a>(
    mut forward: Forward<'a>,
    (gates, live): (Option<&'a GateTensors>, Option<&Live>),
    ids: &[u32],
    tokens: usize,
) -> Result<Vec<f64>, ModelError> {
    if let Some(gates) = gates {
        forward = forward.gated(gates);
    }
    if let Some(live) = live {
        forward = forward.elastic(live.clone());
    }
    Ok(ops::token_losses(&forward.logits(ids, tokens)?, &next_tokens(ids, tokens))?)
}

/// Gives the loss of each domain for a model.
///
/// # Errors
/// As [`domain_losses`].
pub fn model_losses(
    model: &Model,
    domains: &Domains,
    watch: &dyn Watch,
) -> Result<Vec<f64>, ModelError> {
    domain_losses(&model.weights, &model.config, None, false, domains, watch)
}

/// The loss of every position of some rows that counts.
type LossesOf<'a> = dyn Fn(&[u32]) -> Result<Vec<f64>, ModelError> + 'a;

fn rows_loss(
    losses_of: &LossesOf<'_>,
    rows: &Rows,
    after_batch: &mut dyn FnMut(usize) -> bool,
) -> Result<f64, ModelError> {
    let tokens = rows.seq_len();
    let at_once = (TOKENS_AT_ONCE / tokens).max(1);
    let (mut total, mut count) = (0.0, 0);
    for first in (0..rows.len()).step_by(at_once) {
        let n = at_once.min(rows.len() - first);
        let ids = &rows.ids()[first * tokens..(first + n) * tokens];
        let losses = losses_of(ids)?;
        total += losses.iter().sum::<f64>();
        count += losses.len();
        if after_batch(n) {
            return Err(ModelError::Interrupted);
        }
    }
    Ok(total / count as f64)
}

#[cfg(test)]
mod tests {
    use super::super::tiny::{FAMILIES, family, ids, random_gates};
    use super::*;
    use crate::gate::EvalMode;
    use crate::progress::Unwatched;

    #[test]
    fn losses_on_other_devices_are_those_by_hand_with_and_without_what_gates_close() {
        for (name, seed) in FAMILIES.into_iter().zip(3..) {
            let model = family(name, false);
            let (weights, config) = (&*model.weights, &model.config);
            let source = model.shape();
            let values = random_gates(&model, true, seed).evaluate(EvalMode::Target);
            let (ids, tokens) = (ids(&model, 3, 7), 7);
            let rope: Rope = Arc::new(RopeTable::new(&config.inverse_frequencies(), tokens));
            let tensors = values.tensors(&source, weights.embed.dtype(), weights.embed.device());
            let tensors = tensors.unwrap();
            let live = Live::under(weights, &source, &values);
            assert!(live.share(weights) < 0.7, "the gates close much: {}", live.share(weights));
            let of = |live| {
                let forward = Forward::with_rope(weights, config, rope.clone());
                by_operations(forward, (Some(&tensors), live), &ids, tokens).unwrap()
            };
            for (found, elastic) in [(of(None), false), (of(Some(&live)), true)] {
                let gates = Some((&values, &source));
                let (ids, rope, watch) = (&ids[..], &rope, &Unwatched);
                let pass = Pass { weights, config, rope, gates, elastic, ids, tokens, watch };
                let wanted = pass.losses(&Memory::default()).unwrap();
                assert_eq!(found.len(), wanted.len());
                for (a, b) in found.iter().zip(&wanted) {
                    // f64, sums in other orders.
                    assert!((a - b).abs() < 1e-11, "{name}: {a} and {b}");
                }
            }
        }
    }
}
