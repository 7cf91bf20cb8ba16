//! What of the weights takes part in an elastic step, as nodes of a graph: parts of matrices, whose
//! gradients come back to their places.
//!
//! The CPU's pass by hand has the same in its own loops (`pass/place.rs`).

use candle_core::{Result, Tensor};

use super::pass::live::{Chosen, LiveHeads};
use super::{AttentionBiases, AttentionWeights, MlpWeights};
use crate::ops;

/// The chosen elements of a vector (N).
pub(super) fn pick(t: &Tensor, of: &Chosen) -> Result<Tensor> {
    let Some(places) = numbers(of) else { return Ok(t.clone()) };
    ops::part(&t.unsqueeze(0)?, None, Some(&places))?.squeeze(0)
}

/// The chosen rows and columns of a matrix.
pub(super) fn part(w: &Tensor, rows: Option<&Chosen>, cols: Option<&Chosen>) -> Result<Tensor> {
    let (rows, cols) = (rows.and_then(numbers), cols.and_then(numbers));
    ops::part(w, rows.as_deref(), cols.as_deref())
}

fn numbers(of: &Chosen) -> Option<Vec<u32>> {
    of.some().map(|places| places.iter().map(|&i| i as u32).collect())
}

/// The part of an attention; what belongs to a width of a head stays.
pub(super) fn attention(
    w: &AttentionWeights,
    hidden: &Chosen,
    live: &LiveHeads,
) -> Result<AttentionWeights> {
    let (q_rows, kv_rows) = (&live.q_rows, &live.kv_rows);
    let biases = w.biases.as_ref().map(|b| {
        Ok::<_, candle_core::Error>(AttentionBiases {
            q: pick(&b.q, q_rows)?,
            k: pick(&b.k, kv_rows)?,
            v: pick(&b.v, kv_rows)?,
            o: b.o.as_ref().map(|o| pick(o, hidden)).transpose()?,
        })
    });
    Ok(AttentionWeights {
        norm: pick(&w.norm, hidden)?,
        q: part(&w.q, Some(q_rows), Some(hidden))?,
        k: part(&w.k, Some(kv_rows), Some(hidden))?,
        v: part(&w.v, Some(kv_rows), Some(hidden))?,
        o: part(&w.o, Some(hidden), Some(q_rows))?,
        biases: biases.transpose()?,
        head_norms: w.head_norms.clone(),
    })
}

/// The part of an MLP.
pub(super) fn mlp(w: &MlpWeights, hidden: &Chosen, channels: &Chosen) -> Result<MlpWeights> {
    Ok(MlpWeights {
        norm: pick(&w.norm, hidden)?,
        gate: part(&w.gate, Some(channels), Some(hidden))?,
        up: part(&w.up, Some(channels), Some(hidden))?,
        down: part(&w.down, Some(hidden), Some(channels))?,
    })
}
