//! Branches of a run side by side: one chart, one table.

use super::run::edits;
use super::{Chart, Column, LineChart, Series, Table, ViewError};
use crate::run::{Journal, Operation, Run};

/// A run with the name it has in a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Branch<'a> {
    /// Its name.
    pub name: &'a str,
    /// The run.
    pub run: &'a Run,
}

/// Mean evaluated loss of every branch over the steps, its training loss dashed in the same colour,
/// and a mark for every edit; one that several branches share stands once.
pub fn loss_chart(branches: &[Branch<'_>]) -> Chart {
    let mut series = Vec::new();
    let mut marks: Vec<(f64, String)> = Vec::new();
    for (i, Branch { name, run }) in branches.iter().enumerate() {
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        let evaluated = run.evaluations().iter().map(|e| (e.step as f64, mean(&e.losses)));
        series.push(Series::new(*name, evaluated.collect()).in_color(i));
        let trained = run.steps().iter().map(|s| (s.step as f64, s.figures.loss)).collect();
        series.push(Series::new(format!("{name}, training"), trained).dashed().in_color(i));
        for mark in edits(run) {
            let shared = |other: &&Branch<'_>| edits(other.run).contains(&mark);
            let all = branches.iter().filter(shared).count() == branches.len();
            let mark = if all { mark } else { (mark.0, format!("{name}: {}", mark.1)) };
            if !marks.contains(&mark) {
                marks.push(mark);
            }
        }
    }
    let chart = LineChart {
        title: "Loss of the branches".into(),
        x_label: "step".into(),
        y_label: "mean of the domains, nats/token".into(),
        series,
        marks,
        ..LineChart::default()
    };
    chart.into()
}

/// Table of the branches, a row each; `losses` are those of the domains now, branch by branch.
///
/// `common to step` is the last step up to which a branch did what another branch of the same start
/// did; it is empty for a branch that shares its start with none.
///
/// # Errors
/// Two branches of one name in a table of columns that do not fit; candle's.
pub fn table(branches: &[Branch<'_>], losses: &[Vec<f64>]) -> Result<Table, ViewError> {
    let runs = || branches.iter().map(|b| b.run);
    let mut common = Vec::with_capacity(branches.len());
    for (i, a) in branches.iter().enumerate() {
        let mut most = None;
        for (j, b) in branches.iter().enumerate() {
            if i != j && a.run.same_start(b.run)? {
                most = most.max(Some(common_steps(a.run.journal(), b.run.journal())));
            }
        }
        common.push(most.map(|step| step as i64));
    }
    let mean = |losses: &Vec<f64>| losses.iter().sum::<f64>() / losses.len() as f64;
    let mut columns = vec![
        ("branch".to_string(), Column::text(branches.iter().map(|b| b.name))),
        ("common to step".into(), Column::Int(common)),
        ("step".into(), Column::counts(runs().map(|run| run.status().step as usize))),
        ("edits".into(), Column::counts(runs().map(|run| run.marks().len()))),
        (
            "overall sparsity".into(),
            Column::Float(runs().map(|run| run.status().overall).collect()),
        ),
        ("mean loss".into(), Column::floats(losses.iter().map(mean))),
    ];
    // Branches with other domains have a column for each domain that one of them has.
    let mut names: Vec<&String> = Vec::new();
    for name in runs().flat_map(|run| &run.mixture().names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let loss = |(run, losses): (&Run, &Vec<f64>)| {
            losses.get(run.mixture().names.iter().position(|n| n == name)?).copied()
        };
        let values = runs().zip(losses).map(loss).collect();
        columns.push((name.clone(), Column::Float(values)));
    }
    Table::new("branches, loss at the target in nats/token", columns)
}

/// Steps that two journals begin with alike, edits and evaluations included.
fn common_steps(a: &Journal, b: &Journal) -> u64 {
    let mut common = 0;
    for pair in a.operations().iter().zip(b.operations()) {
        match pair {
            (Operation::Step { steps: a }, Operation::Step { steps: b }) => {
                common += a.min(b);
                if a != b {
                    break;
                }
            }
            (a, b) if a == b => {}
            _ => break,
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(operations: &[Operation]) -> Journal {
        let mut journal = Journal::default();
        operations.iter().for_each(|operation| journal.push(operation.clone()));
        journal
    }

    #[test]
    fn branches_are_alike_up_to_the_first_thing_that_differs() {
        let steps = |n| Operation::Step { steps: n };
        let straight = journal(&[steps(7)]);
        let forked = journal(&[steps(4), Operation::Evaluate, steps(9)]);
        assert_eq!(common_steps(&straight, &forked), 4);
        assert_eq!(common_steps(&forked, &forked), 13);
        let longer = journal(&[steps(4), Operation::Evaluate, steps(2), Operation::Evaluate]);
        assert_eq!(common_steps(&longer, &forked), 6);
        assert_eq!(common_steps(&Journal::default(), &forked), 0);
    }
}
