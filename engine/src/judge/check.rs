//! Does the masked model equal the cut one? The residual stream of both, place by place.
//!
//! ```text
//! place        masked model, gates on            cut model, gates folded in
//! embedding    x[live dimensions]        ==      x'
//! each part    x[live dimensions]        ==      x'        (parts that are left)
//! final norm   y[live dimensions]        ==      y'        (see below)
//! logits       logits                    ==      logits'
//! ```
//!
//! A part whose gate is 0 adds nothing to the stream, so the places that are left still line up. The
//! first place that differs is where the cut went wrong; all later ones inherit its error.
//!
//! One place differs by design: with a tied head and gated embeddings the shared table carries
//! z_hidden in the cut model, and the final norm does not (`model/fold.rs`). There y' is compared
//! after it is multiplied by z_hidden, and the row says so.

use std::fmt;

use candle_core::{DType, Tensor};

use super::error::{JudgeError, whole_rows};
use crate::gate::{GateKind, GateValues};
use crate::model::fold::{Cut, fold};
use crate::model::forward::{Forward, Place, Trace};
use crate::model::{Model, ModelError};
use crate::progress::{Progress, Watch};

/// Why the final norm of some cut models is multiplied before it is compared.
const TABLE_CARRIES: &str = "cut times z_hidden, which its tied table carries";

/// The comparison of a masked model with the model cut from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Every place in order: embedding, parts that are left, final norm, logits.
    pub places: Vec<CheckRow>,
    /// Largest relative difference that still counts as equal.
    pub tolerance: f64,
    /// The first place beyond the tolerance; none when the two models are equal.
    pub first: Option<usize>,
    /// How many tokens both models were run on.
    pub tokens: usize,
}

/// One place of a [`Check`].
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRow {
    /// What it is called: `layer 3 attention`, with the layer's number in the source.
    pub place: String,
    /// Largest absolute difference between the two models, over tokens and live dimensions.
    pub difference: f64,
    /// Largest absolute value of the masked model there.
    pub largest: f64,
    /// `difference / largest`; NaN if either model holds a NaN.
    pub relative: f64,
    /// What was done to compare it; mostly empty.
    pub note: &'static str,
}

impl Check {
    /// True when no place is beyond the tolerance.
    pub fn equal(&self) -> bool {
        self.first.is_none()
    }

    /// The place with the largest relative difference.
    fn worst(&self) -> Option<&CheckRow> {
        self.places.iter().max_by(|a, b| a.relative.total_cmp(&b.relative))
    }
}

/// Writes the verdict in one line.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, tokens) = (self.places.len(), self.tokens);
        if let Some(row) = self.first.and_then(|i| self.places.get(i)) {
            return write!(
                f,
                "masked and cut differ first at {}: by {:.1e} of its largest value (tolerance {:.0e})",
                row.place, row.relative, self.tolerance
            );
        }
        write!(f, "masked equals cut at all {n} places over {tokens} tokens")?;
        match self.worst() {
            Some(row) if row.relative > 0.0 => write!(
                f,
                "; largest difference {:.1e} of the largest value, at {} (tolerance {:.0e})",
                row.relative, row.place, self.tolerance
            ),
            _ => f.write_str(", to the last bit"),
        }
    }
}

/// The relative difference that counts as equal in a type: 1e-12 in f64, 1e-5 in others.
///
/// Both models add the same terms in another order and round factors at other moments. Each sum is
/// then off by a few units in the last place (2e-16 in f64, 6e-8 in f32) of its largest terms, and
/// layers pass that on: 1e-15 and 5e-7 in models of three layers, 2e-6 in f32 in 32 layers of width
/// 1024. A wrong row or a lost factor is off by a hundredth or more.
pub fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-12 } else { 1e-5 }
}

/// Compares `model` under deterministic gate values with the model cut by them, on `ids`: rows of
/// `tokens` ids.
///
/// # Errors
/// Ids that are no whole rows, lie beyond the vocabulary or are longer than the model's positions;
/// gates that leave nothing; an interrupt; candle's.
pub fn check(
    model: &Model,
    values: &GateValues,
    ids: &[u32],
    tokens: usize,
    watch: &dyn Watch,
) -> Result<Check, JudgeError> {
    whole_rows(ids.len(), tokens, model.config.max_positions)?;
    tick(watch, 0)?;
    let weights = model.weights.map(|t| Ok::<_, ModelError>(t.detach()))?;
    let cut = fold(&weights, &model.shape(), values)?;
    compare(model, values, &cut, ids, tokens, watch)
}

fn tick(watch: &dyn Watch, done: u64) -> Result<(), JudgeError> {
    if watch.stop_requested() {
        return Err(ModelError::Interrupted.into());
    }
    watch.tick(&Progress {
        what: "check".into(),
        done,
        total: Some(3),
        unit: "passes",
        note: String::new(),
    });
    Ok(())
}

/// Compares the gated model with a cut that was made before.
fn compare(
    model: &Model,
    values: &GateValues,
    cut: &Cut,
    ids: &[u32],
    tokens: usize,
    watch: &dyn Watch,
) -> Result<Check, JudgeError> {
    let device = model.weights.embed.device();
    let weights = model.weights.map(|t| Ok::<_, ModelError>(t.detach()))?;
    tick(watch, 1)?;
    let gates = values.tensors(&model.shape(), model.dtype(), device)?;
    let masked = Forward::new(&weights, &model.config, tokens).gated(&gates).trace(ids, tokens)?;
    tick(watch, 2)?;
    let smaller = Forward::new(&cut.weights, &model.config, tokens).trace(ids, tokens)?;
    tick(watch, 3)?;

    let live: Vec<u32> = cut.hidden.iter().map(|&i| i as u32).collect();
    let live = Tensor::from_slice(&live, live.len(), device)?;
    let table_carries = model.weights.head.is_none() && values.mask_embeddings;
    let hidden_gate: Option<Vec<f64>> = values
        .of(GateKind::Hidden)
        .filter(|_| table_carries)
        .map(|z| cut.hidden.iter().map(|&i| z[i]).collect());
    let mut places = Vec::with_capacity(smaller.places.len() + 1);
    for (place, stream) in &smaller.places {
        let place = in_source(*place, &cut.layers);
        let Some(whole) = at(&masked, place) else { continue };
        let whole = whole.index_select(&live, 1)?; // (B*T, live D)
        match (&hidden_gate, place) {
            (Some(z), Place::Norm) => {
                let z = Tensor::from_slice(z, z.len(), device)?.to_dtype(stream.dtype())?;
                let stream = stream.broadcast_mul(&z)?;
                places.push(row(place.to_string(), &whole, &stream, TABLE_CARRIES)?);
            }
            _ => places.push(row(place.to_string(), &whole, stream, "")?),
        }
    }
    places.push(row("logits".into(), &masked.logits, &smaller.logits, "")?);
    let tolerance = tolerance(model.dtype());
    let beyond = |row: &CheckRow| row.relative.is_nan() || row.relative > tolerance;
    let first = places.iter().position(beyond);
    Ok(Check { places, tolerance, first, tokens: ids.len() })
}

/// The place of the source that a place of the cut model was.
fn in_source(place: Place, layers: &[usize]) -> Place {
    match place {
        Place::Attention(l) => Place::Attention(layers[l]),
        Place::Mlp(l) => Place::Mlp(layers[l]),
        other => other,
    }
}

fn at(trace: &Trace, place: Place) -> Option<&Tensor> {
    trace.places.iter().find(|(p, _)| *p == place).map(|(_, x)| x)
}

fn row(
    place: String,
    masked: &Tensor,
    cut: &Tensor,
    note: &'static str,
) -> Result<CheckRow, JudgeError> {
    let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (masked, cut) = (numbers(masked)?, numbers(cut)?);
    // A NaN stays: it is a difference whatever stands on the other side.
    let most = |top: f64, x: f64| if x.is_nan() || x > top { x } else { top };
    let largest = masked.iter().map(|x| x.abs()).fold(0.0, most);
    let difference = masked.iter().zip(&cut).map(|(a, b)| (a - b).abs()).fold(0.0, most);
    let relative = if difference == 0.0 { 0.0 } else { difference / largest };
    Ok(CheckRow { place, difference, largest, relative, note })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tiny::{FAMILIES, family, ids, random_gates, tiny};
    use super::*;
    use crate::gate::{EvalMode, GateError};
    use crate::progress::Unwatched;
    use crate::rng::Stream;

    fn in_type(model: &Model, dtype: DType) -> Model {
        let weights = model.weights.map(|t| t.to_dtype(dtype)).unwrap();
        Model { weights: Arc::new(weights), ..model.clone() }
    }

    #[test]
    fn masked_equals_cut_at_every_place_in_both_types_with_both_heads() {
        let mut checked = 0;
        for (tied, mask_embeddings) in [(false, true), (false, false), (true, true), (true, false)]
        {
            for dtype in [DType::F64, DType::F32] {
                for seed in 0..9 {
                    let model = in_type(&family(FAMILIES[seed as usize % 3], tied), dtype);
                    let mut values =
                        random_gates(&model, mask_embeddings, seed).evaluate(EvalMode::Target);
                    // Some cases: more zeros than any target asks for, so that parts go alone.
                    let mut stream = Stream::new(seed, "zeros", 0);
                    for value in values.values.iter_mut().flatten() {
                        if seed >= 6 && stream.uniform() < 0.2 {
                            *value = 0.0;
                        }
                    }
                    match check(&model, &values, &ids(&model, 3, 7), 7, &Unwatched) {
                        Ok(found) => {
                            let case = (tied, mask_embeddings, dtype, seed);
                            assert!(found.equal(), "{case:?}: {found}");
                            // At most two layers stay: embedding, four parts, norm, logits.
                            assert!((4..=7).contains(&found.places.len()), "{found:?}");
                            assert!(found.places.iter().all(|row| row.largest > 0.0));
                            checked += 1;
                        }
                        Err(JudgeError::Gate(GateError::NothingLeft { .. })) => assert!(seed >= 6),
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }
        assert!(checked > 54, "only {checked} of 72 left something");
    }

    #[test]
    fn a_tied_table_that_carries_the_gate_is_said_at_the_final_norm() {
        for (tied, mask_embeddings) in [(true, true), (true, false), (false, true)] {
            let model = tiny(tied);
            let values = random_gates(&model, mask_embeddings, 3).evaluate(EvalMode::Target);
            let found = check(&model, &values, &ids(&model, 1, 5), 5, &Unwatched).unwrap();
            let norm = found.places.iter().find(|row| row.place == "final norm").unwrap();
            assert_eq!(!norm.note.is_empty(), tied && mask_embeddings);
        }
    }

    /// Checks with a cut that `spoil` has changed.
    fn spoilt(spoil: impl Fn(&mut Cut)) -> Check {
        let model = tiny(false);
        let values = random_gates(&model, true, 3).evaluate(EvalMode::Target);
        let mut cut = fold(&model.weights, &model.shape(), &values).unwrap();
        assert_eq!(cut.layers.len(), 2);
        spoil(&mut cut);
        compare(&model, &values, &cut, &ids(&model, 2, 6), 6, &Unwatched).unwrap()
    }

    #[test]
    fn a_cut_that_is_wrong_in_one_part_is_named_by_the_number_of_the_source() {
        assert!(spoilt(|_| {}).equal());
        let model = tiny(false);
        let values = random_gates(&model, true, 3).evaluate(EvalMode::Target);
        let second = fold(&model.weights, &model.shape(), &values).unwrap().layers[1];
        let found = spoilt(|cut| {
            let mlp = cut.weights.layers[1].mlp.as_mut().unwrap();
            mlp.down = (&mlp.down * 1.01).unwrap();
        });
        let first = &found.places[found.first.unwrap()];
        assert_eq!(first.place, format!("layer {second} MLP"));
        let said = found.to_string();
        assert!(
            said.starts_with(&format!("masked and cut differ first at layer {second} MLP: by"))
        );
        let found = spoilt(|cut| cut.weights.norm = (&cut.weights.norm * 1.001).unwrap());
        assert_eq!(found.places[found.first.unwrap()].place, "final norm");
    }

    #[test]
    fn a_nan_is_a_difference() {
        let found = spoilt(|cut| cut.weights.norm = (&cut.weights.norm * f64::NAN).unwrap());
        let first = &found.places[found.first.unwrap()];
        assert_eq!(first.place, "final norm");
        assert!(first.relative.is_nan());
    }

    #[test]
    fn ids_that_are_no_rows_and_a_watch_that_stops_are_refused() {
        struct Stop;
        impl Watch for Stop {
            fn stop_requested(&self) -> bool {
                true
            }
        }
        let model = tiny(true);
        let values = random_gates(&model, true, 1).evaluate(EvalMode::Target);
        let ids = ids(&model, 2, 5);
        let run = |ids: &[u32], tokens, watch: &dyn Watch| {
            check(&model, &values, ids, tokens, watch).unwrap_err()
        };
        assert!(run(&ids, 5, &Stop).is_interrupted());
        assert!(matches!(run(&[], 5, &Unwatched), JudgeError::NoRows));
        let said = run(&ids[..9], 5, &Unwatched).to_string();
        assert_eq!(said, "9 ids are no whole rows of 5 tokens; give 10 ids, 2 rows");
        assert!(run(&ids, 1000, &Unwatched).to_string().contains("1000"));
    }
}
