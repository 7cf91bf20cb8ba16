//! A run: sparsities beside their targets, the loss so far, the mixture, and what to look out for.

use super::super::format::{number, whole};
use super::super::run::mixture_table;
use super::{Part, Portrait};
use crate::progress::Detail;
use crate::run::Run;

impl Portrait {
    /// A run: where it stands, its targets, its losses and its mixture.
    pub fn of_run(run: &Run) -> Self {
        let status = run.status();
        let what = if status.sparsity.is_empty() { "recovers" } else { "prunes" };
        let mut facts = vec![format!("{what} · step {} of {}", status.step, run.options().steps)];
        facts.extend(status.loss.map(|loss| format!("loss {loss:.4} nats/token")));
        facts.extend(status.overall.map(|s| format!("{s:.3} of prunable parameters closed")));
        let tokens = i64::try_from(status.tokens).unwrap_or(i64::MAX);
        facts.push(format!("{} tokens", whole(tokens)));
        if status.edits > 0 {
            facts.push(format!("{} edits", status.edits));
        }
        let mut portrait =
            Self::new(format!("Run of {}", run.source().name)).line(facts.join(" · "));
        if let Some(target) = run.target() {
            portrait = portrait.line(format!("target: {target}"));
        }
        if let Some(last) = run.evaluations().last() {
            let mean = last.losses.iter().sum::<f64>() / last.losses.len().max(1) as f64;
            let mean = number(mean);
            portrait = portrait
                .line(format!("evaluated after step {}: mean of the domains {mean}", last.step));
        }
        // The mixture is a table of its own, with its losses.
        let detail = run.detail();
        let gauges = detail.gauges.into_iter().filter(|g| g.group != "mixture").collect();
        portrait = portrait.part(Part::Detail(Detail { gauges, ..detail }));
        if let Ok(table) = mixture_table(run) {
            portrait = portrait.part(Part::Table(table));
        }
        for warning in &status.warnings {
            portrait = portrait.part(Part::Warning(warning.to_string()));
        }
        portrait
    }
}
