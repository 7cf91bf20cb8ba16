//! The mixture over time, on paper, and where its references come from.

use super::{AreaChart, Chart, Column, LineChart, Series, Table, ViewError};
use crate::data::scaling::ScalingFit;
use crate::run::{EvalRecord, Run};

/// More moments than this are not marked on a chart: they would hide it.
const MARKS: usize = 12;
/// Points of a law's curve.
const CURVE: usize = 60;

/// Table of the mixture over time, a row an evaluation: step and the weight of each domain. The first
/// row is the mixture the run started with.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn mixture_history_table(run: &Run) -> Result<Table, ViewError> {
    let evaluations = run.evaluations();
    let steps = evaluations.iter().map(|e| e.step as usize);
    let mut columns = vec![("step".to_string(), Column::counts(std::iter::once(0).chain(steps)))];
    for (d, name) in run.mixture().names.iter().enumerate() {
        let later = evaluations.iter().map(move |e| e.mixture[d]);
        let weights = std::iter::once(run.first_mixture()[d]).chain(later);
        columns.push((name.clone(), Column::floats(weights)));
    }
    Table::new("mixture over time", columns)
}

/// Table of the domains over time, a row an evaluation and domain: step, domain, the weight that
/// followed, loss, reference, excess, tokens drawn before.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn domain_history_table(run: &Run) -> Result<Table, ViewError> {
    let names = &run.mixture().names;
    let seq_len = run.loader().domains().seq_len as u64;
    let rows: Vec<(&EvalRecord, usize)> =
        run.evaluations().iter().flat_map(|e| (0..names.len()).map(move |d| (e, d))).collect();
    let column = |value: &dyn Fn(&EvalRecord, usize) -> Option<f64>| {
        Column::Float(rows.iter().map(|(e, d)| value(e, *d)).collect())
    };
    let tokens = rows.iter().map(|(e, d)| e.drawn.get(*d).map_or(0, |n| (n * seq_len) as usize));
    let columns = vec![
        ("step", Column::counts(rows.iter().map(|(e, _)| e.step as usize))),
        ("domain", Column::text(rows.iter().map(|(_, d)| &names[*d]))),
        ("weight", column(&|e, d| e.mixture.get(d).copied())),
        ("loss", column(&|e, d| e.losses.get(d).copied())),
        ("reference", column(&|e, d| e.reference.get(d).copied())),
        ("excess", column(&|e, d| e.excess().get(d).copied())),
        ("tokens", Column::counts(tokens)),
    ];
    Table::new("domains over time", columns)
}

/// Loss minus reference of each domain over the evaluations; 0 is dashed. Above it a domain gains
/// weight, below it most rules let it lose some.
pub fn excess_chart(run: &Run) -> Chart {
    let mut series = by_domain(run, &|e, d| e.excess().get(d).copied());
    let ends = ends(run.evaluations());
    series.push(
        Series::new("reference", vec![(ends.0, 0.0), (ends.1, 0.0)])
            .dashed()
            .in_color(run.mixture().names.len()),
    );
    if run.evaluations().is_empty() {
        series.clear();
    }
    lines(run, "Excess: loss minus reference", "nats/token", series)
}

/// Loss of each domain over the evaluations, its reference dashed in the same colour.
pub fn domain_loss_chart(run: &Run) -> Chart {
    let mut series = by_domain(run, &|e, d| e.losses.get(d).copied());
    let references = by_domain(run, &|e, d| e.reference.get(d).copied());
    series.extend(references.into_iter().map(|s| Series { name: String::new(), ..s }.dashed()));
    lines(run, "Loss by domain; dashed: its reference", "nats/token", series)
}

/// Tokens drawn of each domain over the evaluations.
pub fn tokens_chart(run: &Run) -> Chart {
    let seq_len = run.loader().domains().seq_len as u64;
    let tokens = |e: &EvalRecord, d: usize| e.drawn.get(d).map(|n| (n * seq_len) as f64);
    lines(run, "Tokens drawn by domain", "tokens", by_domain(run, &tokens))
}

/// A line a domain.
fn by_domain(run: &Run, value: &dyn Fn(&EvalRecord, usize) -> Option<f64>) -> Vec<Series> {
    let names = run.mixture().names.iter().enumerate();
    let line = |(d, name): (usize, &String)| {
        let point = |e: &EvalRecord| Some((e.step as f64, value(e, d)?));
        let points = run.evaluations().iter().filter_map(point).collect();
        Series::new(name.clone(), points).in_color(d)
    };
    names.map(line).collect()
}

fn ends(evaluations: &[EvalRecord]) -> (f64, f64) {
    let step = |e: Option<&EvalRecord>| e.map_or(0.0, |e| e.step as f64);
    (step(evaluations.first()), step(evaluations.last()))
}

/// Lines over the steps, with the edits and the moments when a domain began again.
fn lines(run: &Run, title: &str, y_label: &str, series: Vec<Series>) -> Chart {
    let edits = run.marks().iter().map(|m| (m.step as f64, m.what.clone()));
    let begun = run.epochs().iter().map(|e| (e.step as f64, format!("{} again", e.domain)));
    let mut marks: Vec<(f64, String)> = edits.collect();
    if marks.len() + run.epochs().len() <= MARKS {
        marks.extend(begun);
    }
    let chart = LineChart {
        title: title.into(),
        x_label: "step".into(),
        y_label: y_label.into(),
        series,
        marks,
        ..LineChart::default()
    };
    chart.into()
}

/// Table of the weights that would follow: domain, loss, reference, excess, weight now, and the weight
/// under each of `next`, a label and its weights.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn preview_table(
    run: &Run,
    losses: &[f64],
    next: &[(String, Vec<f64>)],
) -> Result<Table, ViewError> {
    let mixture = run.mixture();
    let excess = losses.iter().zip(&mixture.reference).map(|(l, r)| l - r);
    let mut columns = vec![
        ("domain".to_string(), Column::Text(mixture.names.clone())),
        ("loss".into(), Column::floats(losses.iter().copied())),
        ("reference".into(), Column::floats(mixture.reference.iter().copied())),
        ("excess".into(), Column::floats(excess)),
        ("weight".into(), Column::floats(mixture.weights.iter().copied())),
    ];
    for (label, weights) in next {
        columns.push((label.clone(), Column::floats(weights.iter().copied())));
    }
    Table::new(format!("weights that would follow step {}", run.status().step), columns)
}

/// The mixture that the logged evaluations would have made under another rule, stacked. `path` holds
/// the weights after each evaluation; `first` are those of the start.
pub fn replay_chart(run: &Run, what: &str, first: &[f64], path: &[Vec<f64>]) -> Chart {
    let names = run.mixture().names.clone();
    let share =
        |d: usize| std::iter::once(first).chain(path.iter().map(Vec::as_slice)).map(move |w| w[d]);
    let shares = (0..names.len()).map(|d| share(d).collect()).collect();
    let steps = run.evaluations().iter().map(|e| e.step as f64);
    let chart = AreaChart {
        title: format!("Mixture on paper: {what}, with the losses of this run"),
        x_label: "step".into(),
        y_label: "share of samples".into(),
        xs: std::iter::once(0.0).chain(steps).collect(),
        names,
        shares,
        ..AreaChart::default()
    };
    chart.into()
}

/// The law of each domain through the known models, from the size asked for to the largest; marks
/// stand at the known sizes and at the size asked for.
pub fn scaling_chart(fit: &ScalingFit) -> Chart {
    let (low, high) = fit.range();
    let (from, to) = (low.min(fit.parameters).log10(), high.max(fit.parameters).log10());
    let at = |i: usize| from + (to - from) * i as f64 / (CURVE - 1) as f64;
    let mut series = Vec::new();
    for (d, (name, law)) in fit.known.names.iter().zip(&fit.laws).enumerate() {
        // Beyond the known sizes the law is a guess: dashed there.
        let inside = |x: f64| x >= low.log10() - 1e-9 && x <= high.log10() + 1e-9;
        let curve: Vec<(f64, f64)> =
            (0..CURVE).map(at).map(|x| (x, law.predict(10f64.powf(x)))).collect();
        let known = [low.log10(), high.log10()].map(|x| (x, law.predict(10f64.powf(x))));
        let middle = curve.iter().copied().filter(|p| inside(p.0));
        let mut solid: Vec<_> = middle.chain(known).collect();
        solid.sort_by(|a, b| a.0.total_cmp(&b.0));
        series.push(Series::new(name.clone(), solid).in_color(d));
        series.push(Series::new("", curve).dashed().in_color(d));
        let gap = (f64::NAN, f64::NAN);
        let measured = fit.known.sizes.iter().zip(fit.known.losses[d]);
        let target = (fit.parameters.log10(), fit.references[d]);
        let dots = measured.map(|(n, l)| (n.log10(), l)).chain([target]);
        series.push(Series::new("", dots.flat_map(|p| [p, gap]).collect()).in_color(d));
    }
    let mut marks: Vec<(f64, String)> =
        fit.known.sizes.iter().map(|n| (n.log10(), short(*n))).collect();
    marks.push((fit.parameters.log10(), format!("target {}", short(fit.parameters))));
    let chart = LineChart {
        title: "Loss by size: a / N^b + c through three known models".into(),
        x_label: "parameters N, log10 (9 is a billion)".into(),
        y_label: "nats/token".into(),
        series,
        marks,
        ..LineChart::default()
    };
    chart.into()
}

/// Table of the laws: domain, losses of the known models, a, b, c, and the reference they give.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn scaling_table(fit: &ScalingFit) -> Result<Table, ViewError> {
    let mut columns = vec![("domain".to_string(), Column::Text(fit.known.names.clone()))];
    for (i, size) in fit.known.sizes.iter().enumerate() {
        let losses = fit.known.losses.iter().map(|l| l[i]);
        columns.push((format!("loss at {}", short(*size)), Column::floats(losses)));
    }
    columns.push(("a".into(), Column::floats(fit.laws.iter().map(|law| law.a))));
    columns.push(("b".into(), Column::floats(fit.laws.iter().map(|law| law.b))));
    columns.push(("c".into(), Column::floats(fit.laws.iter().map(|law| law.c))));
    let label = format!("reference at {}", short(fit.parameters));
    columns.push((label, Column::floats(fit.references.iter().copied())));
    Table::new("references by the scaling law", columns)
}

/// A number of parameters in three digits: 1.35B, 260k.
fn short(n: f64) -> String {
    let (scaled, unit) = match n {
        n if n >= 1e9 => (n / 1e9, "B"),
        n if n >= 1e6 => (n / 1e6, "M"),
        n if n >= 1e3 => (n / 1e3, "k"),
        n => (n, ""),
    };
    let digits = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::super::draw::checks::assert_tidy;
    use super::*;
    use crate::data::scaling::KnownLosses;
    use crate::data::{DomainOptions, demo};
    use crate::model::{self, checkpoint::LoadOptions};
    use crate::progress::Unwatched;
    use crate::run::{Changes, Edit, TrainOptions, WhatIf};

    fn recovery(steps: u64) -> Run {
        let model = model::demo(&LoadOptions::default()).unwrap();
        let options = DomainOptions {
            seq_len: 32,
            max_tokens: Some(3000),
            eval_rows: 2,
            ..DomainOptions::default()
        };
        let domains = Arc::new(demo::domains(&options, 5, &Unwatched).unwrap());
        let train = TrainOptions { batch: 2, eval_every: 2, eta: 5.0, ..TrainOptions::default() };
        let mut run = Run::recover(&model, domains, train, &Unwatched).unwrap();
        run.step(steps, &Unwatched).unwrap();
        run
    }

    #[test]
    fn tables_over_time_have_a_row_an_evaluation() {
        let run = recovery(6);
        let (n, domains) = (run.evaluations().len(), run.mixture().names.len());
        let wide = mixture_history_table(&run).unwrap();
        assert_eq!((wide.rows(), wide.column_names().len()), (n + 1, domains + 1));
        let long = domain_history_table(&run).unwrap();
        assert_eq!(long.rows(), n * domains);
        let losses = run.evaluations()[0].losses.clone();
        let next = run.mixture_preview(&WhatIf::default(), &losses).unwrap();
        let preview = preview_table(&run, &losses, &[("doremi".into(), next)]).unwrap();
        assert_eq!((preview.rows(), preview.column_names().len()), (domains, 6));
    }

    #[test]
    fn charts_of_the_mixture_are_tidy_before_and_after_evaluations() {
        let mut run = recovery(8);
        let changes = Changes { eta: Some(1.0), ..Changes::default() };
        run.edit(&Edit::Set(Box::new(changes)), &Unwatched).unwrap();
        run.step(4, &Unwatched).unwrap();
        let path = run.mixture_replay(&WhatIf { floor: Some(0.15), ..WhatIf::default() }).unwrap();
        let known = KnownLosses::published();
        let fit = ScalingFit::new(&known, &known.names, 1_345_423_360.0).unwrap();
        let fresh = recovery(0);
        let charts = [
            ("excess", excess_chart(&run)),
            ("domain-loss", domain_loss_chart(&run)),
            ("tokens", tokens_chart(&run)),
            ("replay", replay_chart(&run, "floor 0.15", run.first_mixture(), &path)),
            ("scaling", scaling_chart(&fit)),
            ("excess-empty", excess_chart(&fresh)),
            ("domain-loss-empty", domain_loss_chart(&fresh)),
        ];
        for (name, chart) in charts {
            assert_tidy(&chart.sheet().unwrap());
            if let Some(folder) = std::env::var_os("WOOLSHED_SHOW") {
                let file = format!("mixture-{name}.png");
                fs::write(std::path::Path::new(&folder).join(file), chart.to_png(1.0).unwrap())
                    .unwrap();
            }
        }
        assert_eq!(scaling_table(&fit).unwrap().rows(), 7);
    }
}
