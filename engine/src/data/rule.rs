//! A mixture rule written by the user: a function from an evaluation to weights.
//!
//! What it gives is checked and scaled to sum 1. It cannot be saved, so a run writes down what it
//! decided; a function that is a function of its input alone decides the same when it is asked again.

use std::fmt;
use std::sync::Arc;

use super::DataError;
use super::mixture::scale;

/// What a rule knows when it is asked for the weights that follow an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleInput {
    /// Steps taken.
    pub step: u64,
    /// The domains, in the order of every list here.
    pub names: Vec<String>,
    /// The weights until now; they sum to 1.
    pub weights: Vec<f64>,
    /// The loss of each domain now, nats/token.
    pub losses: Vec<f64>,
    /// The loss each domain should reach, nats/token.
    pub reference: Vec<f64>,
    /// Loss minus reference, nats/token.
    pub excess: Vec<f64>,
    /// The evaluations before this one, first to last.
    pub history: Vec<LossRecord>,
}

/// An earlier evaluation, as a rule sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossRecord {
    /// Steps taken before it.
    pub step: u64,
    /// Loss of each domain, nats/token.
    pub losses: Vec<f64>,
}

/// The function of a rule: weights of at least 0, not all 0, or why there are none.
pub type RuleFn = dyn Fn(&RuleInput) -> Result<Vec<f64>, String> + Send + Sync;

/// A mixture rule written by the user. A clone is the same function.
#[derive(Clone)]
pub struct CustomRule(Arc<RuleFn>);

impl CustomRule {
    /// Takes a function.
    pub fn new(
        rule: impl Fn(&RuleInput) -> Result<Vec<f64>, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(rule))
    }

    /// Asks for the weights that follow an evaluation, scaled to sum 1.
    ///
    /// # Errors
    /// [`DataError::CustomRule`] with the function's own reason; [`DataError::Count`],
    /// [`DataError::BadNumber`] or [`DataError::NoWeight`] for weights that cannot be drawn by.
    pub fn weights(&self, input: &RuleInput) -> Result<Vec<f64>, DataError> {
        let names = &input.names;
        let mut weights =
            (self.0)(input).map_err(|why| DataError::CustomRule { step: input.step, why })?;
        check_weights(names, &weights)?;
        scale(&mut weights);
        Ok(weights)
    }
}

/// Checks that weights, one a domain, can be drawn by.
///
/// # Errors
/// [`DataError::Count`], [`DataError::BadNumber`] or [`DataError::NoWeight`].
pub(crate) fn check_weights(names: &[String], weights: &[f64]) -> Result<(), DataError> {
    if weights.len() != names.len() {
        let (got, want) = (weights.len(), names.len());
        return Err(DataError::Count { what: "weights", got, want, names: names.to_vec() });
    }
    if let Some(d) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        return Err(DataError::BadNumber {
            what: "weight",
            domain: names[d].clone(),
            value: weights[d],
            legal: "0 or a positive number",
        });
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(DataError::NoWeight { names: names.to_vec() });
    }
    Ok(())
}

impl fmt::Debug for CustomRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomRule")
    }
}

impl PartialEq for CustomRule {
    /// True for clones of one function.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(
        rule: impl Fn(&RuleInput) -> Result<Vec<f64>, String> + Send + Sync + 'static,
    ) -> Result<Vec<f64>, String> {
        let input = RuleInput {
            step: 50,
            names: vec!["ash".into(), "birch".into()],
            excess: vec![0.5, 1.5],
            ..RuleInput::default()
        };
        CustomRule::new(rule).weights(&input).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_of_a_rule_are_scaled_to_sum_1() {
        assert_eq!(ask(|input| Ok(input.excess.clone())).unwrap(), [0.25, 0.75]);
        assert_eq!(ask(|_| Ok(vec![1e308, 1e308])).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn what_no_run_could_draw_by_is_refused_and_says_why() {
        let error = ask(|_| Err("no such function: frobnicate".into())).unwrap_err();
        assert!(error.contains("step 50") && error.contains("frobnicate"), "{error}");
        assert!(ask(|_| Ok(vec![1.0])).unwrap_err().starts_with("1 weights for 2 domains"));
        assert!(ask(|_| Ok(vec![1.0, f64::NAN])).unwrap_err().contains("`birch` is NaN"));
        assert!(ask(|_| Ok(vec![-1.0, 2.0])).unwrap_err().contains("`ash` is -1"));
        assert!(ask(|_| Ok(vec![0.0, 0.0])).unwrap_err().contains("every domain's weight is 0"));
    }
}
