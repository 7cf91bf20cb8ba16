//! When the mixture goes astray: one domain takes over, or one is pushed out.
//!
//! A rule that multiplies weights by exp(eta x excess) has no place to rest while an excess keeps its
//! sign: a domain that stays above its reference takes everything in time, and one that stays below it
//! vanishes. Both are as the equations say and seldom as the user means. A reference that the source
//! model sets on text it has never seen is the common cause of the second: it is so high that any
//! progress looks like a task done.

use std::fmt;

use super::{EvalRecord, Run, RunError};
use crate::data::scaling::ScalingFit;
use crate::data::{Mixture, MixtureRule};

/// A share above this has taken over.
const TAKEN_OVER: f64 = 0.8;
/// A share below this is as good as gone.
const GONE: f64 = 0.01;
/// nats/token below its reference at which a domain is not ahead, but measured against nothing.
const FAR_BELOW: f64 = 1.0;
/// A reference this many times the median of the others is no reference.
const IMPLAUSIBLE: f64 = 1.5;
/// A domain comes nearer to its reference if an evaluation takes away this part of its excess.
const NEARER: f64 = 0.05;

/// Something a person should know about a run that goes on all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about, in a few words that stay the same while it lasts.
    pub about: String,
    /// What it is, and why.
    pub what: String,
    /// What to try.
    pub hint: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.hint)
    }
}

/// Says whether a domain is taking over the mixture or is being pushed out of it, why, and what to
/// try; none while neither happens, and for the rule `constant`.
///
/// `mixture` is the one after the last of `evaluations`, `first` are the weights of the start.
pub fn takeover(mixture: &Mixture, first: &[f64], evaluations: &[EvalRecord]) -> Option<Warning> {
    let (last, earlier) = evaluations.split_last()?;
    if mixture.rule == MixtureRule::Constant || mixture.names.len() < 2 {
        return None;
    }
    let before = earlier.last().map_or(first, |e| &e.mixture);
    let case = Case { mixture, evaluations, last, excess: last.excess() };
    let domains = || 0..mixture.names.len().min(case.excess.len());
    let large = domains().find(|&d| last.mixture[d] > TAKEN_OVER && last.mixture[d] > before[d]);
    if let Some(d) = large {
        return Some(case.takes_over(d));
    }
    let pushed = domains().filter(|&d| {
        let (now, start) = (last.mixture[d], first[d]);
        let far = case.excess[d] <= -FAR_BELOW && now < 0.5 * start;
        now < start && (now < before[d] || now < GONE) && (now < GONE || far)
    });
    let mut pushed: Vec<usize> = pushed.collect();
    pushed.sort_by(|&i, &j| case.excess[i].total_cmp(&case.excess[j]));
    let (worst, others) = pushed.split_first()?;
    Some(case.pushed_out(*worst, others))
}

impl Run {
    /// What a person should know about the mixture: a domain that takes over or is pushed out,
    /// references that lie beyond what is known.
    pub fn warnings(&self) -> Vec<Warning> {
        let scaling = self.scaling().ok().flatten();
        let far = scaling.filter(|fit| fit.references == self.mixture().reference);
        let far = far.and_then(|fit| fit.warning()).map(|what| Warning {
            about: "references".into(),
            what,
            hint: "compare with `reference: \"source\"`, or give losses of models that you trust"
                .into(),
        });
        let astray = takeover(self.mixture(), self.first_mixture(), self.evaluations());
        astray.into_iter().chain(far).collect()
    }

    /// Parameters of the model it is to give, embeddings included.
    pub fn parameters_aimed_at(&self) -> f64 {
        self.start.how.parameters(&self.start.source, self.target())
    }

    /// The law that its reference losses come from; none for other references.
    ///
    /// # Errors
    /// None for a run that was started: its law was fitted then.
    pub fn scaling(&self) -> Result<Option<ScalingFit>, RunError> {
        self.start.options.reference.fit(&self.mixture().names, self.parameters_aimed_at())
    }
}

struct Case<'a> {
    mixture: &'a Mixture,
    evaluations: &'a [EvalRecord],
    last: &'a EvalRecord,
    excess: Vec<f64>,
}

impl Case<'_> {
    fn takes_over(&self, d: usize) -> Warning {
        let (name, share) = (&self.mixture.names[d], self.last.mixture[d]);
        let (loss, reference) = (self.last.losses[d], self.last.reference[d]);
        let mut what = format!("`{name}` has {share:.2} of the mixture and grows: ");
        if self.excess[d] > 0.0 {
            let above = |e: &&EvalRecord| e.excess().get(d).is_some_and(|x| *x > 0.0);
            let streak: Vec<_> = self.evaluations.iter().rev().take_while(above).collect();
            let n = streak.len();
            let often =
                if n == 1 { "the last evaluation".into() } else { format!("{n} evaluations") };
            what.push_str(&format!(
                "its loss, {loss:.3} nats/token, lies above its reference, {reference:.3}, for {often}"
            ));
            let was = streak.last().map_or(0.0, |e| e.excess()[d]);
            let fallen = (1.0 - NEARER * (n as f64 - 1.0)).max(0.5) * was;
            if n > 1 && self.excess[d] > fallen {
                what.push_str(" and comes hardly nearer, so it may be out of reach");
            }
        } else {
            what.push_str("the other domains lie further below their references than it does");
        }
        let hint = format!(
            "try `floor` (say {}) or `ceiling: 0.6`, a smaller `eta` (now {}), or another `reference`",
            self.floor(),
            self.mixture.eta
        );
        Warning { about: format!("`{name}` takes over"), what, hint }
    }

    fn pushed_out(&self, d: usize, others: &[usize]) -> Warning {
        let (name, share) = (&self.mixture.names[d], self.last.mixture[d]);
        let (loss, reference) = (self.last.losses[d], self.last.reference[d]);
        let share = if share < 1e-4 { "under 0.0001".into() } else { format!("{share:.4}") };
        let mut what = format!("`{name}` has {share} of the mixture: ");
        let mut hints = vec![format!("try `floor` (say {})", self.floor())];
        if self.excess[d] < 0.0 {
            let below = -self.excess[d];
            what.push_str(&format!(
                "its loss, {loss:.3} nats/token, lies {below:.3} below its reference, {reference:.3}, so the rule takes it for learned"
            ));
            let median = self.median_of_others(d);
            if reference > IMPLAUSIBLE * median || below >= FAR_BELOW {
                what.push_str(&format!(
                    ". That reference (the median of the others is {median:.3}) is no aim: a source model that has hardly seen such text sets it this high"
                ));
                hints.push(
                    "a `reference` that can be reached: \"scaling\", or losses of your own".into(),
                );
            }
            if matches!(self.mixture.rule, MixtureRule::Doremi | MixtureRule::Bandit) {
                hints.push(
                    "the rule `doremi-clipped`, which lowers no domain for being good".into(),
                );
            }
        } else {
            what.push_str("the other domains lie further above their references than it does");
            hints.push(format!("a smaller `eta` (now {})", self.mixture.eta));
        }
        if !others.is_empty() {
            let names = others.iter().map(|&d| format!("`{}`", self.mixture.names[d]));
            what.push_str(&format!("; {} go the same way", names.collect::<Vec<_>>().join(", ")));
        }
        Warning { about: format!("`{name}` is pushed out"), what, hint: hints.join(", ") }
    }

    fn median_of_others(&self, d: usize) -> f64 {
        let others = self.last.reference.iter().enumerate().filter(|(i, _)| *i != d);
        let mut others: Vec<f64> = others.map(|(_, r)| *r).collect();
        others.sort_by(f64::total_cmp);
        others.get(others.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// A fifth of an equal share, in whole hundredths.
    fn floor(&self) -> f64 {
        (20.0 / self.mixture.names.len() as f64).round().max(1.0) / 100.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a rule on losses by evaluation and warns at the end.
    fn warned(rule: MixtureRule, reference: &[f64], losses: &[Vec<f64>]) -> Option<Warning> {
        let names = ["ash", "birch", "cedar"].map(String::from).to_vec();
        let first = vec![1.0 / 3.0; 3];
        let mut mixture = Mixture::new(names, first.clone(), reference.into(), rule).unwrap();
        let mut evaluations = Vec::new();
        for (i, losses) in losses.iter().enumerate() {
            mixture.update(losses).unwrap();
            evaluations.push(EvalRecord {
                step: 50 * (i as u64 + 1),
                losses: losses.clone(),
                mixture: mixture.weights.clone(),
                reference: reference.into(),
                drawn: vec![],
            });
        }
        takeover(&mixture, &first, &evaluations)
    }

    #[test]
    fn a_domain_that_cannot_reach_its_reference_takes_over() {
        let losses: Vec<_> = (0..8).map(|i| vec![3.0 - 0.001 * f64::from(i), 2.0, 2.0]).collect();
        let warning = warned(MixtureRule::Doremi, &[2.5, 2.0, 2.0], &losses).unwrap();
        assert!(warning.what.starts_with("`ash` has 0.9"), "{warning}");
        assert!(warning.what.contains("for 8 evaluations and comes hardly nearer"), "{warning}");
        assert!(warning.hint.contains("`floor` (say 0.07)"), "{warning}");
        assert_eq!(warned(MixtureRule::Constant, &[2.5, 2.0, 2.0], &losses), None);
        assert_eq!(warned(MixtureRule::Doremi, &[2.5, 2.0, 2.0], &losses[..2]), None);
    }

    #[test]
    fn a_domain_that_the_source_has_never_seen_is_pushed_out_and_the_reference_is_named() {
        // Training brings the loss on new text far below what the source scores on it.
        let losses: Vec<_> = (0..2).map(|_| vec![5.5, 2.1, 2.1]).collect();
        let reference = [8.0, 2.0, 2.0];
        let warning = warned(MixtureRule::Doremi, &reference, &losses).unwrap();
        assert!(warning.what.contains("`ash` has 0.00"), "{warning}");
        assert!(warning.what.contains("lies 2.500 below its reference, 8.000"), "{warning}");
        assert!(warning.what.contains("median of the others is 2.000"), "{warning}");
        assert!(warning.hint.contains("doremi-clipped"), "{warning}");
        assert_eq!(warned(MixtureRule::DoremiClipped, &reference, &losses), None);
    }

    #[test]
    fn a_mixture_that_moves_as_it_should_is_left_in_peace() {
        let losses: Vec<_> =
            (0..20).map(|i| vec![2.0 + 0.5 * (-0.4 * f64::from(i)).exp(), 2.0, 1.95]).collect();
        assert_eq!(warned(MixtureRule::Doremi, &[2.0; 3], &losses), None);
        assert_eq!(warned(MixtureRule::Bandit, &[2.0; 3], &losses), None);
    }
}
