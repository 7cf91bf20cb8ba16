//! Domain weights that follow the losses: domains that lag behind their reference are drawn more.
//!
//! With weight w, loss l, reference r and excess D = l - r of each of n domains, an evaluation makes
//!
//! ```text
//! doremi          w <- (1 - c) softmax(ln w + eta D) + c / n
//! doremi-clipped  w <- softmax(ln w + eta max(D, 0))
//! bandit          w <- (1 - c) softmax(w + eta D) + c / n
//! constant        w
//! custom          what a function of the user says, see rule.rs
//! ```
//!
//! and then, for every rule, weights outside the floor and the ceiling are brought back (bounds.rs).
//!
//! Source: Sheared LLaMA, algorithm 1 (the paper clips the excess and does not smooth); its public
//! code does not clip, so that a domain already below its reference is drawn less, and smooths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::DataError;
use super::bounds::Bounds;
use super::error::nearest_name;
use super::rule::{CustomRule, LossRecord, RuleInput, check_weights};

/// How weights follow losses. See the module for the equations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixtureRule {
    /// Exponentiated excess, as in the public code: also lowers domains below their reference.
    #[default]
    Doremi,
    /// Exponentiated excess, as in the paper: never lowers a domain for being good.
    DoremiClipped,
    /// The weight enters linearly instead of by its logarithm: little memory of earlier updates.
    Bandit,
    /// Weights stay as they are.
    Constant,
    /// A function of the user decides, or a list of what one has decided before.
    Custom,
}

impl MixtureRule {
    /// Those that need nothing but numbers: all except `custom`.
    pub const ALL: [Self; 4] = [Self::Doremi, Self::DoremiClipped, Self::Bandit, Self::Constant];

    /// Gives the name that [`FromStr`] reads.
    pub fn name(self) -> &'static str {
        match self {
            Self::Doremi => "doremi",
            Self::DoremiClipped => "doremi-clipped",
            Self::Bandit => "bandit",
            Self::Constant => "constant",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for MixtureRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for MixtureRule {
    type Err = DataError;

    /// Reads a name; `_` and `-` are the same.
    fn from_str(name: &str) -> Result<Self, DataError> {
        let plain = name.replace('_', "-");
        let known = || Self::ALL.into_iter().chain([Self::Custom]);
        known().find(|rule| rule.name() == plain).ok_or_else(|| {
            let hint = nearest_name(&plain, known().map(Self::name));
            DataError::UnknownRule { name: name.into(), hint }
        })
    }
}

/// The weights of a run's domains and the rule that moves them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// The domains, in the order of every list here.
    pub names: Vec<String>,
    /// Probability of drawing each domain; they sum to 1.
    pub weights: Vec<f64>,
    /// The loss each domain should reach, nats/token.
    pub reference: Vec<f64>,
    /// How weights follow losses.
    pub rule: MixtureRule,
    /// eta, what one nat/token of excess adds to the logit. Default 1; at least 0.
    pub eta: f64,
    /// c, the share of the weight spread evenly at each update. Default 1e-4; from 0 to 1.
    pub smoothing: f64,
    /// Least and largest share of a domain, whatever the rule says. Default 0 and 1.
    #[serde(default, skip_serializing_if = "Bounds::are_open")]
    pub bounds: Bounds,
}

impl Mixture {
    /// Starts with `weights`, scaled to sum 1, and the default eta and smoothing.
    ///
    /// # Errors
    /// [`DataError::Count`], [`DataError::BadNumber`], [`DataError::NoWeight`].
    pub fn new(
        names: Vec<String>,
        weights: Vec<f64>,
        reference: Vec<f64>,
        rule: MixtureRule,
    ) -> Result<Self, DataError> {
        let bounds = Bounds::default();
        let mut mixture =
            Self { names, weights, reference, rule, eta: 1.0, smoothing: 1e-4, bounds };
        mixture.check()?;
        scale(&mut mixture.weights);
        Ok(mixture)
    }

    /// Moves the weights by the losses of an evaluation, nats/token.
    ///
    /// # Errors
    /// Those of [`Mixture::preview`]; the weights have then not moved.
    pub fn update(&mut self, losses: &[f64]) -> Result<(), DataError> {
        self.weights = self.preview(self.rule, losses)?;
        Ok(())
    }

    /// Gives the weights that `rule` would make of these losses, nats/token, and changes nothing.
    ///
    /// # Errors
    /// [`DataError::Count`] or [`DataError::BadNumber`] for the losses, or for fields set to values
    /// that cannot be computed with; [`DataError::NoFunction`] for `custom`, which
    /// [`Mixture::preview_custom`] serves.
    pub fn preview(&self, rule: MixtureRule, losses: &[f64]) -> Result<Vec<f64>, DataError> {
        self.check()?;
        let excess = self.excess(losses)?;
        let (eta, w) = (self.eta, &self.weights);
        let by = |logit: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            softmax(&w.iter().zip(&excess).map(|(w, d)| logit(*w, *d)).collect::<Vec<_>>())
        };
        let mut weights = match rule {
            MixtureRule::Constant => w.clone(),
            MixtureRule::Doremi => by(&|w, d| w.ln() + eta * d),
            MixtureRule::DoremiClipped => by(&|w, d| w.ln() + eta * d.max(0.0)),
            MixtureRule::Bandit => by(&|w, d| w + eta * d),
            MixtureRule::Custom => return Err(DataError::NoFunction),
        };
        if matches!(rule, MixtureRule::Doremi | MixtureRule::Bandit) {
            let even = self.smoothing / weights.len() as f64;
            weights.iter_mut().for_each(|w| *w = (1.0 - self.smoothing) * *w + even);
        }
        if rule != MixtureRule::Constant {
            scale(&mut weights);
        }
        self.bounds.project(&mut weights);
        Ok(weights)
    }

    /// Gives the weights that a function of the user would make of these losses, nats/token, after
    /// `step` steps and the evaluations in `history`, and changes nothing.
    ///
    /// # Errors
    /// As [`Mixture::preview`]; those of [`CustomRule::weights`].
    pub fn preview_custom(
        &self,
        rule: &CustomRule,
        step: u64,
        losses: &[f64],
        history: Vec<LossRecord>,
    ) -> Result<Vec<f64>, DataError> {
        self.check()?;
        let input = RuleInput {
            step,
            names: self.names.clone(),
            weights: self.weights.clone(),
            losses: losses.to_vec(),
            reference: self.reference.clone(),
            excess: self.excess(losses)?,
            history,
        };
        let mut weights = rule.weights(&input)?;
        self.bounds.project(&mut weights);
        Ok(weights)
    }

    /// Gives loss minus reference for each domain, nats/token.
    ///
    /// # Errors
    /// [`DataError::Count`], or [`DataError::BadNumber`] for a loss that is not finite.
    pub fn excess(&self, losses: &[f64]) -> Result<Vec<f64>, DataError> {
        self.check_list("losses", "loss", losses)?;
        Ok(losses.iter().zip(&self.reference).map(|(l, r)| l - r).collect())
    }

    /// Checks that the fields, which anybody may set, can be computed with.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        check_weights(&self.names, &self.weights)?;
        self.check_list("reference losses", "reference loss", &self.reference)?;
        self.bounds.check(self.names.len())?;
        let bad = |field, value: f64, legal: &str| {
            Err(DataError::BadOption { field, value: value.to_string(), legal: legal.into() })
        };
        if !(self.eta.is_finite() && self.eta >= 0.0) {
            return bad("eta", self.eta, "0 or a positive number");
        }
        if !(0.0..=1.0).contains(&self.smoothing) {
            return bad("smoothing", self.smoothing, "between 0 and 1");
        }
        Ok(())
    }

    fn check_list(
        &self,
        what: &'static str,
        one: &'static str,
        values: &[f64],
    ) -> Result<(), DataError> {
        let (got, want) = (values.len(), self.names.len());
        if got != want {
            return Err(DataError::Count { what, got, want, names: self.names.clone() });
        }
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(d) => Err(DataError::BadNumber {
                what: one,
                domain: self.names[d].clone(),
                value: values[d],
                legal: "finite",
            }),
        }
    }
}

/// Scales to sum 1; by the largest first, so that the sum of very large numbers stays finite.
pub(super) fn scale(weights: &mut [f64]) {
    let largest = weights.iter().copied().fold(0.0, f64::max);
    weights.iter_mut().for_each(|w| *w /= largest);
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|w| *w /= sum);
}

/// exp of the logits, scaled to sum 1. At least one logit is finite: some weight is positive.
fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut weights: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    scale(&mut weights);
    weights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::golden;
    use super::*;
    use crate::rng::pick;

    fn mixture(weights: &[f64], reference: &[f64], rule: MixtureRule) -> Mixture {
        let names = (0..weights.len()).map(|d| format!("d{d}")).collect();
        Mixture::new(names, weights.into(), reference.into(), rule).unwrap()
    }

    #[test]
    fn a_domain_below_its_reference_is_lowered_unless_the_rule_clips() {
        let m = mixture(&[0.5, 0.5], &[2.0, 2.0], MixtureRule::Doremi);
        let losses = [2.0, 1.5];
        let w = m.preview(MixtureRule::Doremi, &losses).unwrap();
        // softmax(0, -0.5), smoothed with c = 1e-4.
        let plain = 1.0 / (1.0 + (-0.5f64).exp());
        assert!((w[0] - (0.9999 * plain + 0.00005)).abs() < 1e-15);
        assert_eq!(m.preview(MixtureRule::DoremiClipped, &losses).unwrap(), [0.5, 0.5]);
        assert_eq!(m.preview(MixtureRule::Constant, &losses).unwrap(), [0.5, 0.5]);
        assert_eq!(m.excess(&losses).unwrap(), [0.0, -0.5]);
        assert_eq!(m.weights, [0.5, 0.5]);
    }

    #[test]
    fn smoothing_brings_a_domain_of_weight_0_back_and_huge_losses_stay_finite() {
        let mut m = mixture(&[1.0, 0.0], &[2.0, 2.0], MixtureRule::Doremi);
        m.update(&[1e300, 2.0]).unwrap();
        assert!((m.weights[1] - 0.00005).abs() < 1e-15, "{:?}", m.weights);
        let m = mixture(&[1e308, 1e308], &[2.0, 2.0], MixtureRule::Bandit);
        assert_eq!(m.weights, [0.5, 0.5]);
    }

    proptest! {
        #[test]
        fn weights_stay_a_distribution(
            start in prop::collection::vec(0.001..1.0f64, 5),
            losses in prop::collection::vec(prop::collection::vec(0.0..12.0f64, 5), 1..20),
            rule in prop::sample::select(MixtureRule::ALL.to_vec()),
            floor in prop_oneof![Just(0.0), 0.0..0.2f64],
            ceiling in prop_oneof![Just(1.0), 0.2..1.0f64],
        ) {
            let mut m = mixture(&start, &[2.0; 5], rule);
            m.bounds = Bounds { floor, ceiling };
            for losses in &losses {
                m.update(losses).unwrap();
                prop_assert!(m.weights.iter().all(|w| (floor..=ceiling).contains(w)));
                // Five additions of numbers below 1, and the rounding of the scale within bounds.
                prop_assert!((m.weights.iter().sum::<f64>() - 1.0).abs() < 1e-15 * 10.0);
            }
        }
    }

    #[test]
    fn a_function_decides_from_the_excess_and_the_bounds_have_the_last_word() {
        let mut m = mixture(&[0.5, 0.5], &[2.0, 2.0], MixtureRule::Custom);
        let rule = CustomRule::new(|input| Ok(input.excess.clone()));
        let next = |m: &Mixture| m.preview_custom(&rule, 10, &[3.0, 5.0], vec![]).unwrap();
        assert_eq!(next(&m), [0.25, 0.75]);
        m.bounds.floor = 0.375;
        assert_eq!(next(&m), [0.375, 0.625]);
        let error = m.preview(MixtureRule::Custom, &[3.0, 5.0]).unwrap_err().to_string();
        assert!(error.contains("`custom` needs its function"), "{error}");
        m.bounds.floor = 0.6;
        assert!(m.update(&[3.0, 5.0]).unwrap_err().to_string().contains("nearest: 0.5"));
    }

    #[test]
    fn names_of_rules_are_read_and_mistyped_ones_are_answered() {
        for rule in MixtureRule::ALL.into_iter().chain([MixtureRule::Custom]) {
            assert_eq!(rule.name().parse::<MixtureRule>().unwrap(), rule);
            assert_eq!(serde_json::to_string(&rule).unwrap(), format!("\"{rule}\""));
        }
        assert_eq!("doremi_clipped".parse::<MixtureRule>().unwrap(), MixtureRule::DoremiClipped);
        let error = "doremy".parse::<MixtureRule>().unwrap_err().to_string();
        assert_eq!(error, "there is no mixture rule `doremy`; did you mean `doremi`?");
        let error = "x".parse::<MixtureRule>().unwrap_err().to_string();
        assert!(
            error.ends_with("there are doremi, doremi-clipped, bandit, constant, custom"),
            "{error}"
        );
    }

    #[test]
    fn numbers_that_cannot_be_used_are_refused_by_domain_and_nothing_moves() {
        let mut m = mixture(&[0.5, 0.5], &[2.0, 2.0], MixtureRule::Doremi);
        let error = m.update(&[2.0, f64::NAN]).unwrap_err().to_string();
        assert_eq!(error, "the loss of domain `d1` is NaN; it must be finite");
        let error = m.update(&[2.0]).unwrap_err().to_string();
        assert!(error.starts_with("1 losses for 2 domains (d0, d1)"), "{error}");
        assert_eq!(m.weights, [0.5, 0.5]);
        m.smoothing = 2.0;
        assert!(m.update(&[2.0, 2.0]).unwrap_err().to_string().starts_with("smoothing is 2"));
        let names = vec!["a".to_string()];
        let new = |w, r| Mixture::new(names.clone(), vec![w], vec![r], MixtureRule::Doremi);
        assert!(new(0.0, 2.0).unwrap_err().to_string().contains("every domain's weight is 0"));
        assert!(new(-1.0, 2.0).unwrap_err().to_string().contains("weight of domain `a` is -1"));
        assert!(new(1.0, f64::INFINITY).unwrap_err().to_string().contains("reference loss"));
    }

    #[test]
    fn golden_mixture_updates_follow_the_published_code_and_the_paper() {
        let Some(golden) = golden::read("shearing/dynamic_loading.json") else {
            return;
        };
        // Ours is f64: equal to the f64 arithmetic up to rounding, and to the f32 one up to the
        // rounding of f32 numbers below 1, carried through the updates.
        let kinds = [
            ("proportions_float64", false, 1e-12),
            ("proportions_float32", false, 1e-6),
            ("proportions_paper_clipped", true, 1e-12),
        ];
        for sequence in golden["sequences"].as_array().expect("sequences") {
            let text = |key: &str| sequence[key].as_str().expect("a name");
            for (key, clipped, tolerance) in kinds {
                if clipped && text("update_type") != "doremi" {
                    continue;
                }
                let Some(expected) = sequence.get(key).and_then(|list| list.as_array()) else {
                    println!("not run: {} {} has no {key}", text("update_type"), text("reference"));
                    continue;
                };
                let rule = match clipped {
                    true => MixtureRule::DoremiClipped,
                    false => text("update_type").parse().unwrap(),
                };
                let names: Vec<String> =
                    serde_json::from_value(sequence["set_names"].clone()).unwrap();
                let weights = golden::numbers(&sequence["initial_proportion"]);
                let reference = golden::numbers(&sequence["reference_loss"]);
                let mut m = Mixture::new(names, weights, reference, rule).unwrap();
                m.eta = sequence["eta"].as_f64().unwrap();
                m.smoothing = sequence["c"].as_f64().unwrap();
                let losses = sequence["losses"].as_array().unwrap();
                assert_eq!(losses.len(), expected.len());
                let mut worst = 0.0f64;
                for (losses, expected) in losses.iter().zip(expected) {
                    m.update(&golden::numbers(losses)).unwrap();
                    for (ours, theirs) in m.weights.iter().zip(golden::numbers(expected)) {
                        worst = worst.max((ours - theirs).abs());
                    }
                }
                println!("{rule} {} {key}: worst difference {worst:.1e}", text("reference"));
                assert!(worst <= tolerance, "{rule} {key} {worst}");
            }
        }
    }

    #[test]
    fn golden_domain_picks_follow_the_uniform_draws() {
        let Some(golden) = golden::read("shearing/dynamic_loading.json") else {
            return;
        };
        let picks = &golden["domain_picks"];
        let weights = golden::numbers(&picks["proportion"]);
        let expected = golden::numbers(&picks["domain"]);
        let draws = golden::numbers(&picks["uniform"]);
        assert_eq!(draws.len(), expected.len());
        for (u, d) in draws.iter().zip(expected) {
            assert_eq!(pick(&weights, *u) as f64, d);
        }
        println!("{} picks met", draws.len());
    }
}
