//! What the mixture would do under another rule: the next weights, or a whole run on paper.
//!
//! On paper the losses stay as they were logged. Under another mixture they would have been others, so
//! the path of weights is exact for the first evaluation and a sketch after it.

use super::decisions::loss_records;
use super::{EvalRecord, Run, RunError};
use crate::data::{CustomRule, Mixture, MixtureRule};

/// What to change about the mixture, on paper; none leaves a setting as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WhatIf {
    /// The rule.
    pub rule: Option<MixtureRule>,
    /// The function of the rule `custom`.
    pub custom: Option<CustomRule>,
    /// Step size.
    pub eta: Option<f64>,
    /// Share of the uniform mixture mixed in.
    pub smoothing: Option<f64>,
    /// Least share of a domain.
    pub floor: Option<f64>,
    /// Largest share of a domain.
    pub ceiling: Option<f64>,
    /// Reference losses, in the domains' order, nats/token.
    pub reference: Option<Vec<f64>>,
}

impl WhatIf {
    /// Another rule, and all else as it is.
    pub fn rule(rule: MixtureRule) -> Self {
        Self { rule: Some(rule), ..Self::default() }
    }

    /// Gives a mixture with these settings.
    pub fn apply(&self, mixture: &Mixture) -> Mixture {
        let mut changed = mixture.clone();
        changed.rule = self.rule.unwrap_or(mixture.rule);
        changed.eta = self.eta.unwrap_or(mixture.eta);
        changed.smoothing = self.smoothing.unwrap_or(mixture.smoothing);
        changed.bounds.floor = self.floor.unwrap_or(mixture.bounds.floor);
        changed.bounds.ceiling = self.ceiling.unwrap_or(mixture.bounds.ceiling);
        if let Some(reference) = &self.reference {
            changed.reference = reference.clone();
        }
        changed
    }
}

/// Gives the weights that follow from losses, nats/token, under the rule and settings of `mixture`.
///
/// # Errors
/// Settings or losses that cannot be computed with; the rule `custom` without its function.
pub fn next_weights(
    mixture: &Mixture,
    custom: Option<&CustomRule>,
    step: u64,
    losses: &[f64],
    earlier: &[EvalRecord],
) -> Result<Vec<f64>, RunError> {
    match (mixture.rule, custom) {
        (MixtureRule::Custom, Some(rule)) => {
            Ok(mixture.preview_custom(rule, step, losses, loss_records(earlier))?)
        }
        (rule, _) => Ok(mixture.preview(rule, losses)?),
    }
}

/// Runs logged evaluations through the rule and settings of `first`, which holds the weights of the
/// start: gives the weights after each. References are those of each evaluation, unless `first` asks
/// for others by `own_reference`.
///
/// # Errors
/// As [`next_weights`].
pub fn replay(
    first: &Mixture,
    custom: Option<&CustomRule>,
    own_reference: bool,
    evaluations: &[EvalRecord],
) -> Result<Vec<Vec<f64>>, RunError> {
    let mut mixture = first.clone();
    mixture.bounds.check(mixture.names.len())?;
    mixture.bounds.project(&mut mixture.weights);
    let mut path = Vec::with_capacity(evaluations.len());
    for (i, e) in evaluations.iter().enumerate() {
        if !own_reference && !e.reference.is_empty() {
            mixture.reference.clone_from(&e.reference);
        }
        mixture.weights = next_weights(&mixture, custom, e.step, &e.losses, &evaluations[..i])?;
        path.push(mixture.weights.clone());
    }
    Ok(path)
}

impl Run {
    /// Gives the weights that would follow from these losses, nats/token, with other settings. Nothing
    /// changes.
    ///
    /// # Errors
    /// As [`next_weights`].
    pub fn mixture_preview(&self, what: &WhatIf, losses: &[f64]) -> Result<Vec<f64>, RunError> {
        let mixture = what.apply(self.mixture());
        let custom = what.custom.as_ref().or(self.state.decisions.function());
        next_weights(&mixture, custom, self.state.step, losses, self.evaluations())
    }

    /// Gives the weights after each evaluation of this run, had it had other settings from the start.
    /// Changes of the mixture by hand are left out.
    ///
    /// # Errors
    /// As [`next_weights`].
    pub fn mixture_replay(&self, what: &WhatIf) -> Result<Vec<Vec<f64>>, RunError> {
        let mut first = what.apply(self.mixture());
        first.weights = self.first_mixture().to_vec();
        let custom = what.custom.as_ref().or(self.state.decisions.function());
        replay(&first, custom, what.reference.is_some(), self.evaluations())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(mixture: &Mixture, losses: &[[f64; 2]]) -> Vec<EvalRecord> {
        let mut mixture = mixture.clone();
        let record = |(i, losses): (usize, &[f64; 2])| {
            mixture.update(losses).unwrap();
            EvalRecord {
                step: i as u64,
                losses: losses.to_vec(),
                mixture: mixture.weights.clone(),
                reference: mixture.reference.clone(),
                drawn: vec![],
            }
        };
        losses.iter().enumerate().map(record).collect()
    }

    #[test]
    fn a_run_replayed_under_its_own_rule_is_the_path_it_took() {
        let names = vec!["ash".into(), "birch".into()];
        for rule in MixtureRule::ALL {
            let first = Mixture::new(names.clone(), vec![0.3, 0.7], vec![2.0; 2], rule).unwrap();
            let log = logged(&first, &[[2.5, 2.1], [2.2, 2.4], [1.9, 2.2]]);
            let taken: Vec<Vec<f64>> = log.iter().map(|e| e.mixture.clone()).collect();
            assert_eq!(replay(&first, None, false, &log).unwrap(), taken, "{rule}");
        }
    }

    #[test]
    fn another_rule_takes_another_path_and_bounds_hold_on_it() {
        let names = vec!["ash".into(), "birch".into()];
        let first = Mixture::new(names, vec![0.5, 0.5], vec![2.0; 2], MixtureRule::Doremi).unwrap();
        let log = logged(&first, &[[4.0, 2.0]; 3]);
        assert!(log[2].mixture[0] > 0.99);
        let what = WhatIf { floor: Some(0.2), ..WhatIf::rule(MixtureRule::DoremiClipped) };
        let path = replay(&what.apply(&first), None, false, &log).unwrap();
        // Within the rounding of a sum of two.
        assert!(path.iter().all(|w| (w[0] - 0.8).abs() < 1e-15), "{path:?}");
        let rule = CustomRule::new(|input| Ok(vec![1.0, input.history.len() as f64]));
        let what = WhatIf::rule(MixtureRule::Custom).apply(&first);
        let path = replay(&what, Some(&rule), false, &log).unwrap();
        assert_eq!(path, [[1.0, 0.0], [0.5, 0.5], [1.0 / 3.0, 2.0 / 3.0]]);
        let what = WhatIf { floor: Some(0.6), ..WhatIf::default() };
        let error = replay(&what.apply(&first), None, false, &log).unwrap_err().to_string();
        assert!(error.contains("floor is 0.6") && error.ends_with("nearest: 0.5"), "{error}");
    }
}
