//! Where the time of a run's steps goes, as a table.

use super::{Column, Table, ViewError, number};
use crate::run::Run;

/// Table of the parts of a step: milliseconds a step, share of the time. The title says how fast the steps
/// are and what leaving out closed parts has saved.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn speed_table(run: &Run) -> Result<Table, ViewError> {
    let speed = run.speed();
    let (steps, total) = (speed.steps.max(1) as f64, speed.total().max(f64::MIN_POSITIVE));
    let mut parts: Vec<(&str, f64)> = speed.parts().to_vec();
    parts.push(("all", speed.total()));
    let mut title = format!("speed over {} steps", speed.steps);
    if speed.steps > 0 {
        title.push_str(&format!(": {} tokens/s", number(speed.tokens as f64 / total)));
    }
    let left_out = 1.0 - speed.computed();
    if left_out > 0.0005 {
        title.push_str(&format!(
            "; {:.1} % of the products left out, about {} s saved",
            100.0 * left_out,
            number(speed.saved)
        ));
    }
    let columns = vec![
        ("part", Column::text(parts.iter().map(|p| p.0))),
        ("ms a step", Column::floats(parts.iter().map(|p| 1e3 * p.1 / steps))),
        ("share", Column::floats(parts.iter().map(|p| p.1 / total))),
    ];
    Table::new(title, columns)
}
