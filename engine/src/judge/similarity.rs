//! How alike the residual stream is before and after each layer.
//!
//! ```text
//! x_0 = the stream after the embedding,  x_i = the stream after i layers
//! S_ij = mean over tokens of  cos(x_i, x_j)
//! influence of layer i = 1 - S_{i,i+1}
//! ```
//!
//! A layer of low influence hardly turns the stream, so it is a candidate to go; the matrix shows
//! which stretches of layers do the same. Cosines see direction only: a layer that merely scales the
//! stream has influence 0, and the norms behind it would undo that scaling anyway.
//! Source: block influence of ShortGPT, Men et al. 2024, "ShortGPT: Layers in large language models
//! are more redundant than you expect", equation 1.

use candle_core::{DType, Tensor};

use super::error::{JudgeError, whole_rows};
use crate::data::Domains;
use crate::gate::{GateKind, GateValues};
use crate::model::forward::{Forward, Place};
use crate::model::{Model, ModelError, Weights};
use crate::progress::{Progress, Watch};

/// Evaluation rows of each domain that a person gets without asking for a number.
pub const ROWS_A_DOMAIN: usize = 8;
/// Tokens of one pass: it keeps the stream after every layer.
const TOKENS_AT_ONCE: usize = 512;

/// How alike the stream is at all pairs of depths.
#[derive(Clone, Debug, PartialEq)]
pub struct Similarity {
    /// S, (L+1, L+1): row and column i stand for the stream after i layers. Symmetric, with ones on
    /// the diagonal.
    pub cosine: Vec<Vec<f64>>,
    /// Block influence of each layer (L), between 0 and 2.
    pub influence: Vec<f64>,
    /// How many tokens the means run over.
    pub tokens: usize,
}

/// Compares the stream after every number of layers, over the first `rows` evaluation rows of each
/// domain, of a model as it is or under gate values.
///
/// Under gates the cosines run over the live hidden dimensions: those the cut model has.
///
/// # Errors
/// No rows, rows longer than the model's positions; an interrupt; candle's.
pub fn similarity(
    model: &Model,
    values: Option<&GateValues>,
    domains: &Domains,
    rows: usize,
    watch: &dyn Watch,
) -> Result<Similarity, JudgeError> {
    let tokens = domains.seq_len;
    let ids: Vec<u32> = domains
        .domains
        .iter()
        .flat_map(|d| &d.eval.ids()[..rows.min(d.eval.len()) * tokens])
        .copied()
        .collect();
    whole_rows(ids.len(), tokens, model.config.max_positions)?;
    let shape = model.shape();
    let device = model.weights.embed.device();
    let weights = model.weights.map(|t| Ok::<_, ModelError>(t.detach()))?;
    let gates = values.map(|z| z.tensors(&shape, model.dtype(), device)).transpose()?;
    let forward = Forward::new(&weights, &model.config, tokens);
    let forward = match &gates {
        Some(gates) => forward.gated(gates),
        None => forward,
    };
    let live = values.and_then(|z| z.of(GateKind::Hidden)).map(|z| live_index(z, device));
    let live = live.transpose()?;
    let depths = weights.layers.len() + 1;
    let mut sums = vec![0.0; depths * depths];
    let at_once = (TOKENS_AT_ONCE / tokens).max(1) * tokens;
    let mut done = 0;
    for batch in ids.chunks(at_once) {
        if watch.stop_requested() {
            return Err(ModelError::Interrupted.into());
        }
        let streams = streams(&forward, &weights, batch, tokens)?;
        add_cosines(&streams, live.as_ref(), &mut sums)?;
        done += batch.len() / tokens;
        watch.tick(&Progress {
            what: "compare layers".into(),
            done: done as u64,
            total: Some((ids.len() / tokens) as u64),
            unit: "rows",
            note: String::new(),
        });
    }
    let mean =
        |i: usize, j: usize| if i == j { 1.0 } else { sums[i * depths + j] / ids.len() as f64 };
    let cosine: Vec<Vec<f64>> =
        (0..depths).map(|i| (0..depths).map(|j| mean(i, j)).collect()).collect();
    let influence = (1..depths).map(|i| 1.0 - cosine[i - 1][i]).collect();
    Ok(Similarity { cosine, influence, tokens: ids.len() })
}

fn live_index(z: &[f64], device: &candle_core::Device) -> candle_core::Result<Tensor> {
    let live: Vec<u32> = (0..z.len()).filter(|&i| z[i] != 0.0).map(|i| i as u32).collect();
    Tensor::from_slice(&live, live.len(), device)
}

/// The stream after 0, 1, .. L layers; after a layer without parts it is what it was before.
fn streams(
    forward: &Forward<'_>,
    weights: &Weights,
    ids: &[u32],
    tokens: usize,
) -> Result<Vec<Tensor>, JudgeError> {
    let mut after: Vec<Option<Tensor>> = vec![None; weights.layers.len() + 1];
    for (place, x) in forward.trace(ids, tokens)?.places {
        match place {
            Place::Embedding => after[0] = Some(x),
            Place::Attention(l) | Place::Mlp(l) => after[l + 1] = Some(x),
            Place::Norm => {}
        }
    }
    let mut streams: Vec<Tensor> = Vec::with_capacity(after.len());
    for x in after {
        streams.extend(x.or_else(|| streams.last().cloned()));
    }
    Ok(streams)
}

/// Adds the cosines of every pair of streams, summed over tokens, to `sums`.
fn add_cosines(
    streams: &[Tensor],
    live: Option<&Tensor>,
    sums: &mut [f64],
) -> Result<(), JudgeError> {
    let all = Tensor::stack(streams, 1)?; // (B*T, L+1, D)
    let all = match live {
        Some(live) => all.index_select(live, 2)?,
        None => all,
    };
    let all = all.to_dtype(DType::F64)?;
    let products = all.matmul(&all.t()?)?.flatten_all()?.to_vec1::<f64>()?; // (B*T, L+1, L+1)
    let depths = streams.len();
    for dots in products.chunks(depths * depths) {
        for i in 0..depths {
            for j in 0..i {
                let norms = (dots[i * depths + i] * dots[j * depths + j]).sqrt();
                // A stream of zeros has no direction; it is like nothing else.
                let cosine = if norms == 0.0 { 0.0 } else { dots[i * depths + j] / norms };
                let cosine = cosine.clamp(-1.0, 1.0);
                sums[i * depths + j] += cosine;
                sums[j * depths + i] += cosine;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tiny::{random_gates, tiny};
    use super::*;
    use crate::data::DomainOptions;
    use crate::data::demo;
    use crate::gate::EvalMode;
    use crate::model::checkpoint::LoadOptions;
    use crate::progress::Unwatched;

    fn demo_domains() -> Domains {
        let options =
            DomainOptions { seq_len: 32, max_tokens: Some(4000), ..DomainOptions::default() };
        demo::domains(&options, 1, &Unwatched).unwrap()
    }

    fn assert_matrix(found: &Similarity, layers: usize) {
        assert_eq!((found.cosine.len(), found.influence.len()), (layers + 1, layers));
        for (i, row) in found.cosine.iter().enumerate() {
            assert_eq!(row[i], 1.0);
            for (j, &s) in row.iter().enumerate() {
                assert_eq!(s, found.cosine[j][i]);
                assert!((-1.0..=1.0).contains(&s));
            }
        }
        for (i, &influence) in found.influence.iter().enumerate() {
            assert_eq!(influence, 1.0 - found.cosine[i][i + 1]);
        }
    }

    #[test]
    fn similarity_is_symmetric_with_ones_on_the_diagonal() {
        let model = crate::model::demo(&LoadOptions::default()).unwrap();
        let found = similarity(&model, None, &demo_domains(), ROWS_A_DOMAIN, &Unwatched).unwrap();
        assert_matrix(&found, 4);
        assert_eq!(found.tokens, 5 * 8 * 32);
        // Trained layers: each turns the stream, none turns it round.
        assert!(found.influence.iter().all(|i| (0.001..1.0).contains(i)), "{found:?}");
    }

    /// One domain of ids below 30, for the tiny model.
    fn few() -> Domains {
        let mut domains = demo_domains();
        domains.domains.truncate(1);
        let eval = &mut domains.domains[0].eval;
        let ids = eval.ids().iter().map(|id| id % 30).collect();
        *eval = crate::data::Rows::new(32, ids);
        domains
    }

    #[test]
    fn cosines_of_two_streams_equal_those_computed_one_by_one() {
        let model = tiny(false);
        let domains = few();
        let found = similarity(&model, None, &domains, 2, &Unwatched).unwrap();
        assert_matrix(&found, 3);
        let ids = &domains.domains[0].eval.ids()[..64];
        let trace = Forward::new(&model.weights, &model.config, 32).trace(ids, 32).unwrap();
        let at = |place: Place| {
            let (_, x) = trace.places.iter().find(|(p, _)| *p == place).unwrap();
            x.to_vec2::<f64>().unwrap()
        };
        let (before, after) = (at(Place::Mlp(0)), at(Place::Mlp(2)));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let cosine = |(a, b): (&Vec<f64>, &Vec<f64>)| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let mean = before.iter().zip(&after).map(cosine).sum::<f64>() / 64.0;
        // The same 16 products in another order, 64 of them averaged.
        assert!((found.cosine[1][3] - mean).abs() < 1e-14);
    }

    #[test]
    fn a_closed_layer_has_no_influence_and_gates_show_the_cut_model() {
        let model = tiny(false);
        let values = random_gates(&model, true, 3).evaluate(EvalMode::Target);
        let masked = similarity(&model, Some(&values), &few(), 4, &Unwatched).unwrap();
        assert_matrix(&masked, 3);
        let closed = values.of(GateKind::Layer).unwrap().iter().position(|&z| z == 0.0).unwrap();
        // A stream beside itself: the two norms round once each.
        assert!(masked.influence[closed].abs() < 1e-15);
        let cut = similarity(&model.cut(&values).unwrap(), None, &few(), 4, &Unwatched).unwrap();
        let open = |l: &usize| *l != closed;
        let left: Vec<f64> = (0..3).filter(open).map(|l| masked.influence[l]).collect();
        for (a, b) in left.iter().zip(&cut.influence) {
            assert!((a - b).abs() < 1e-12, "masked equals cut");
        }
    }

    #[test]
    fn a_layer_without_parts_leaves_the_stream_as_it_is() {
        let model = tiny(false);
        let mut weights = (*model.weights).clone();
        (weights.layers[1].attention, weights.layers[1].mlp) = (None, None);
        let model = Model { weights: Arc::new(weights), ..model };
        let found = similarity(&model, None, &few(), 2, &Unwatched).unwrap();
        assert_matrix(&found, 3);
        assert!(found.influence[1].abs() < 1e-15);
        assert!(found.influence[2] > 1e-3);
    }

    #[test]
    fn no_rows_are_refused() {
        let error = similarity(&tiny(true), None, &few(), 0, &Unwatched).unwrap_err();
        assert!(matches!(error, JudgeError::NoRows));
    }
}
