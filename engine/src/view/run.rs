//! A run as tables and charts.

use super::{AreaChart, Chart, Column, HeatMap, HeatRow, LineChart, Series, Table, ViewError};
use crate::gate::{GateKind, GateRow, Multipliers};
use crate::run::{Operation, Run, RunError, StepRecord};

/// Table of every step: loss, constraints, expected and target sparsity by kind, rate, tokens.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn history_table(run: &Run) -> Result<Table, ViewError> {
    let steps = run.steps();
    let floats = |f: &dyn Fn(usize) -> f64| Column::floats((0..steps.len()).map(f));
    let mut columns = vec![
        ("step".to_string(), Column::counts(steps.iter().map(|s| s.step as usize))),
        ("loss".to_string(), floats(&|i| steps[i].figures.loss)),
    ];
    if let Ok(gates) = run.gates() {
        columns.push(("lagrangian".into(), floats(&|i| steps[i].figures.lagrangian)));
        columns.push(("sparsity".into(), floats(&|i| steps[i].figures.overall)));
        for (k, kind) in gates.kinds().into_iter().enumerate() {
            columns.push((format!("{kind} expected"), floats(&|i| steps[i].figures.expected[k])));
            if run.target().is_some() {
                let target = |i: usize| steps[i].figures.target.as_ref().map_or(f64::NAN, |t| t[k]);
                columns.push((format!("{kind} target"), floats(&target)));
            }
        }
    }
    columns.push(("grad norm".into(), floats(&|i| steps[i].figures.grad_norm)));
    columns.push(("lr".into(), floats(&|i| steps[i].lr)));
    columns.push(("tokens".into(), Column::counts(steps.iter().map(|s| s.tokens as usize))));
    Table::new("history", columns)
}

/// Table of the mixture now: domain, weight, last evaluated loss, reference, excess, tokens seen.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn mixture_table(run: &Run) -> Result<Table, ViewError> {
    let mixture = run.mixture();
    let last = run.evaluations().last();
    let loss = |i: usize| last.map(|e| e.losses[i]);
    let n = mixture.names.len();
    let tokens = run.loader().domains().seq_len as u64;
    let columns = vec![
        ("domain", Column::Text(mixture.names.clone())),
        ("weight", Column::floats(mixture.weights.iter().copied())),
        ("loss", Column::Float((0..n).map(loss).collect())),
        ("reference", Column::floats(mixture.reference.iter().copied())),
        ("excess", Column::Float((0..n).map(|i| Some(loss(i)? - mixture.reference[i])).collect())),
        ("tokens", Column::counts(run.loader().drawn().iter().map(|d| (d * tokens) as usize))),
    ];
    let title = format!("mixture after step {}", run.status().step);
    Ok(Table::new(title, columns)?.with_bars(&["weight"]))
}

/// A gate with what it did in the last step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateDetail {
    /// The gate.
    pub gate: GateRow,
    /// The value sampled in the last step; none before the first.
    pub sampled: Option<f64>,
    /// Derivative of loss plus constraints by its log-alpha in the last step, before clipping.
    pub gradient: Option<f64>,
}

/// The gates of one kind, row by row.
///
/// # Errors
/// A run without gates; a kind that it does not have.
pub fn gate_rows(run: &Run, kind: GateKind) -> Result<Vec<GateDetail>, ViewError> {
    let gates = run.gates()?;
    let rows = gates.list(kind).map_err(RunError::from)?;
    let table = gates.kinds().iter().position(|k| *k == kind);
    let last = run.trainer().shear.as_ref().and_then(|shear| shear.last());
    let of = |lists: &[Vec<f64>], i: usize| lists.get(table?)?.get(i).copied();
    let detail = |(i, gate)| GateDetail {
        gate,
        sampled: last.and_then(|last| of(&last.sample, i)),
        gradient: last.and_then(|last| of(&last.grads, i)),
    };
    Ok(rows.into_iter().enumerate().map(detail).collect())
}

/// Table of the gates of one kind: layer, gate, log-alpha, probability of being open, the value
/// sampled last, the deterministic values now and at the target (0: it would be cut now), the
/// gradient of the last step, whether it is held.
///
/// # Errors
/// A run without gates; a kind that it does not have.
pub fn gates_table(run: &Run, kind: GateKind) -> Result<Table, ViewError> {
    let rows = gate_rows(run, kind)?;
    let held = |open: Option<bool>| match open {
        Some(true) => "open",
        Some(false) => "closed",
        None => "",
    };
    let columns = vec![
        ("layer", Column::counts(rows.iter().map(|r| r.gate.row))),
        ("gate", Column::counts(rows.iter().map(|r| r.gate.index))),
        ("log_alpha", Column::floats(rows.iter().map(|r| r.gate.log_alpha))),
        ("probability", Column::floats(rows.iter().map(|r| r.gate.probability))),
        ("sampled", Column::Float(rows.iter().map(|r| r.sampled).collect())),
        ("current", Column::floats(rows.iter().map(|r| r.gate.current))),
        ("value", Column::floats(rows.iter().map(|r| r.gate.value))),
        ("gradient", Column::Float(rows.iter().map(|r| r.gradient).collect())),
        ("held", Column::text(rows.iter().map(|r| held(r.gate.held)))),
        ("cut", Column::Flag(rows.iter().map(|r| r.gate.value == 0.0).collect())),
    ];
    Table::new(format!("{kind} gates after step {}", run.status().step), columns)
}

/// What the pairs of multipliers act on: each gate kind, or the overall sparsity.
fn constrained(run: &Run) -> Result<Vec<String>, ViewError> {
    let kinds = run.gates()?.kinds();
    Ok(match run.target() {
        Some(_) => kinds.into_iter().map(|kind| kind.to_string()).collect(),
        None => vec!["overall".into()],
    })
}

/// Table of the multipliers, a row a step: linear and quadratic of every constraint.
///
/// # Errors
/// A run without gates.
pub fn multiplier_table(run: &Run) -> Result<Table, ViewError> {
    let steps = run.steps();
    let mut columns =
        vec![("step".to_string(), Column::counts(steps.iter().map(|s| s.step as usize)))];
    for (k, name) in constrained(run)?.into_iter().enumerate() {
        let pair = |s: &StepRecord| s.figures.multipliers.get(k).copied();
        let linear = steps.iter().map(|s| Some(pair(s)?.linear)).collect();
        let quadratic = steps.iter().map(|s| Some(pair(s)?.quadratic)).collect();
        columns.push((format!("{name} linear"), Column::Float(linear)));
        columns.push((format!("{name} quadratic"), Column::Float(quadratic)));
    }
    Table::new("multipliers", columns)
}

/// The multipliers over the steps; the quadratic one is dashed in the colour of the linear one.
///
/// # Errors
/// A run without gates.
pub fn multiplier_chart(run: &Run) -> Result<Chart, ViewError> {
    let mut series = Vec::new();
    for (k, name) in constrained(run)?.into_iter().enumerate() {
        let points = |value: fn(&Multipliers) -> f64| {
            let point =
                |s: &StepRecord| Some((s.step as f64, value(s.figures.multipliers.get(k)?)));
            run.steps().iter().filter_map(point).collect()
        };
        series.push(Series::new(format!("{name} linear"), points(|m| m.linear)).in_color(k));
        let quadratic = Series::new(format!("{name} quadratic"), points(|m| m.quadratic));
        series.push(quadratic.dashed().in_color(k));
    }
    let chart = LineChart {
        title: "Multipliers of the constraints".into(),
        x_label: "step".into(),
        y_label: "multiplier".into(),
        series,
        marks: edits(run),
        ..LineChart::default()
    };
    Ok(chart.into())
}

/// Table of the layers: expected and target sparsity of the kinds with gates in every layer, and the
/// probability that the gates of the layer itself are open.
///
/// # Errors
/// A run without gates.
pub fn layer_table(run: &Run) -> Result<Table, ViewError> {
    let gates = run.gates()?;
    let layers = gates.source.layers;
    let mut columns = vec![("layer".to_string(), Column::counts(0..layers))];
    for kind in gates.kinds() {
        let rows = gates.list(kind).map_err(RunError::from)?;
        let table = gates.table(kind).map_err(RunError::from)?;
        if table.rows == layers && !kind.one_row() {
            let mean = |row: &[GateRow]| {
                1.0 - row.iter().map(|gate| gate.probability).sum::<f64>() / row.len() as f64
            };
            columns.push((
                format!("{kind} expected"),
                Column::floats(rows.chunks(table.width).map(mean)),
            ));
            if let Some(keep) = table.keep {
                let target = 1.0 - keep as f64 / table.width as f64;
                let target = std::iter::repeat_n(target, layers);
                columns.push((format!("{kind} target"), Column::floats(target)));
            }
        } else if kind.one_row() && table.width == layers {
            let open = rows.iter().map(|gate| gate.probability);
            columns.push((format!("{kind} open"), Column::floats(open)));
        }
    }
    Table::new(format!("layers after step {}", run.status().step), columns)
}

/// Table of what was done to the run, first to last.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn journal_table(run: &Run) -> Result<Table, ViewError> {
    let (mut from, mut rows) = (0, Vec::new());
    for operation in run.journal().operations() {
        match operation {
            Operation::Step { steps } => {
                rows.push((from, "step", format!("{steps} steps")));
                from += *steps as usize;
            }
            Operation::Evaluate => rows.push((from, "evaluate", "every domain".to_string())),
            Operation::Edit(edit) => rows.push((from, "edit", edit.to_string())),
        }
    }
    let columns = vec![
        ("after step", Column::counts(rows.iter().map(|r| r.0))),
        ("operation", Column::text(rows.iter().map(|r| r.1))),
        ("what", Column::text(rows.iter().map(|r| &r.2))),
    ];
    Table::new("journal", columns)
}

/// The edits of a run as marks of a chart.
pub(super) fn edits(run: &Run) -> Vec<(f64, String)> {
    run.marks().iter().map(|mark| (mark.step as f64, mark.what.clone())).collect()
}

/// Expected sparsity of each gate kind over the steps, its target dashed in the same colour.
pub fn sparsity_chart(run: &Run) -> Chart {
    let steps = run.steps();
    let mut chart = LineChart {
        title: "Expected sparsity and its target".into(),
        x_label: "step".into(),
        y_label: "share of gates closed".into(),
        marks: edits(run),
        ..LineChart::default()
    };
    let kinds = run.gates().map(|g| g.kinds()).unwrap_or_default();
    for (k, kind) in kinds.iter().enumerate() {
        let expected = steps.iter().map(|s| (s.step as f64, s.figures.expected[k])).collect();
        chart.series.push(Series::new(kind.name(), expected).in_color(k));
        if run.target().is_some() {
            let target = |s: &StepRecord| Some((s.step as f64, s.figures.target.as_ref()?[k]));
            let points = steps.iter().filter_map(target).collect();
            chart.series.push(Series::new(format!("{kind} target"), points).dashed().in_color(k));
        }
    }
    if !kinds.is_empty() && run.target().is_none() {
        let overall = steps.iter().map(|s| (s.step as f64, s.figures.overall)).collect();
        chart.series.push(Series::new("prunable parameters", overall).in_color(kinds.len()));
    }
    chart.into()
}

/// Training loss over the steps, and the evaluated loss of each domain.
pub fn loss_chart(run: &Run) -> Chart {
    let names = &run.mixture().names;
    let mut series = vec![
        Series::new(
            "training batch",
            run.steps().iter().map(|s| (s.step as f64, s.figures.loss)).collect(),
        )
        .in_color(0),
    ];
    for (i, name) in names.iter().enumerate().filter(|_| !run.evaluations().is_empty()) {
        let points = run.evaluations().iter().map(|e| (e.step as f64, e.losses[i])).collect();
        series.push(Series::new(name.clone(), points).in_color(i + 1));
    }
    let chart = LineChart {
        title: "Loss".into(),
        x_label: "step".into(),
        y_label: "nats/token".into(),
        series,
        marks: edits(run),
        ..LineChart::default()
    };
    chart.into()
}

/// Domain weights over the evaluations, stacked; the first are those the run started with.
pub fn mixture_chart(run: &Run) -> Chart {
    let evaluations = run.evaluations();
    let names = run.mixture().names.clone();
    let share = |i: usize| {
        let later = evaluations.iter().map(move |e| e.mixture[i]);
        std::iter::once(run.first_mixture()[i]).chain(later).collect()
    };
    let shares = (0..names.len()).map(share).collect();
    let xs = std::iter::once(0.0).chain(evaluations.iter().map(|e| e.step as f64)).collect();
    let chart = AreaChart {
        title: "Mixture of domains".into(),
        x_label: "step".into(),
        y_label: "share of samples".into(),
        xs,
        names,
        shares,
        marks: edits(run),
    };
    chart.into()
}

/// Heat map of all gates, a row for each row of gates: the value each has at the target shape.
///
/// # Errors
/// A run without gates.
pub fn gates_chart(run: &Run) -> Result<Chart, ViewError> {
    let gates = run.gates()?;
    let values = gates.evaluate(run.final_mode());
    let mut rows = Vec::new();
    for kind in gates.kinds() {
        let table = gates.table(kind).map_err(RunError::from)?;
        let layers = values.of(kind).unwrap_or(&[]).chunks(table.width);
        rows.extend(layers.enumerate().map(|(l, row)| HeatRow {
            label: if table.rows == 1 { kind.to_string() } else { format!("{kind} {l}") },
            values: row.to_vec(),
        }));
    }
    let chart = HeatMap {
        title: format!("Gates after step {}", run.status().step),
        x_label: "gates of the row".into(),
        y_label: String::new(),
        rows,
        range: (0.0, 1.0),
        note: "value at the target; 0 is cut".into(),
    };
    Ok(chart.into())
}

/// Heat map of the gates of one kind, a row a layer: the value each has at the target shape.
///
/// # Errors
/// A kind that the run does not have.
pub fn gate_chart(run: &Run, kind: GateKind) -> Result<Chart, ViewError> {
    let gates = run.gates()?;
    let table = gates.table(kind).map_err(RunError::from)?;
    let values = gates.evaluate(run.final_mode());
    let values = values.of(kind).unwrap_or(&[]);
    let one_row = table.rows == 1;
    let rows = values.chunks(table.width).enumerate();
    let rows = rows.map(|(l, row)| HeatRow {
        label: if one_row { "all".into() } else { format!("layer {l}") },
        values: row.to_vec(),
    });
    let chart = HeatMap {
        title: format!("{kind} gates after step {}", run.status().step),
        x_label: if one_row { kind.name().into() } else { format!("{kind} gate of the layer") },
        y_label: String::new(),
        rows: rows.collect(),
        range: (0.0, 1.0),
        note: "value at the target; 0 is cut".into(),
    };
    Ok(chart.into())
}
