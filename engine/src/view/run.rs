//! A run as tables and charts.

use super::{AreaChart, Chart, Column, HeatMap, HeatRow, LineChart, Series, Table, ViewError};
use crate::gate::{EvalMode, GateKind};
use crate::run::{Run, RunError};

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
    Table::new(format!("mixture after step {}", run.status().step), columns)
}

/// Table of the gates of one kind: layer, gate, log-alpha, probability of being open, value at the
/// target (0: it would be cut now).
///
/// # Errors
/// A kind that the run does not have.
pub fn gates_table(run: &Run, kind: GateKind) -> Result<Table, ViewError> {
    let rows = run.gates()?.list(kind).map_err(RunError::from)?;
    let columns = vec![
        ("layer", Column::counts(rows.iter().map(|r| r.row))),
        ("gate", Column::counts(rows.iter().map(|r| r.index))),
        ("log_alpha", Column::floats(rows.iter().map(|r| r.log_alpha))),
        ("probability", Column::floats(rows.iter().map(|r| r.probability))),
        ("value", Column::floats(rows.iter().map(|r| r.value))),
        ("cut", Column::Flag(rows.iter().map(|r| r.value == 0.0).collect())),
    ];
    Table::new(format!("{kind} gates after step {}", run.status().step), columns)
}

/// Expected sparsity of each gate kind over the steps, its target dashed in the same colour.
pub fn sparsity_chart(run: &Run) -> Chart {
    let steps = run.steps();
    let mut chart = LineChart {
        title: "Expected sparsity and its target".into(),
        x_label: "step".into(),
        y_label: "share of gates closed".into(),
        ..LineChart::default()
    };
    let kinds = run.gates().map(|g| g.kinds()).unwrap_or_default();
    for (k, kind) in kinds.iter().enumerate() {
        let expected = steps.iter().map(|s| (s.step as f64, s.figures.expected[k])).collect();
        chart.series.push(Series::new(kind.name(), expected).in_color(k));
        if run.target().is_some() {
            let target =
                |s: &crate::run::StepRecord| Some((s.step as f64, s.figures.target.as_ref()?[k]));
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
    };
    chart.into()
}

/// Heat map of the gates of one kind, a row a layer: the value each has at the target shape.
///
/// # Errors
/// A kind that the run does not have.
pub fn gate_chart(run: &Run, kind: GateKind) -> Result<Chart, ViewError> {
    let gates = run.gates()?;
    let table = gates.table(kind).map_err(RunError::from)?;
    let values =
        gates.evaluate(if run.target().is_some() { EvalMode::Target } else { EvalMode::Current });
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
