//! A floor under and a ceiling over every domain's share.
//!
//! Weights that lie outside are brought back in proportion: with a scale s such that the sum is 1,
//!
//! ```text
//! w <- min(ceiling, max(floor, s w))
//! ```
//!
//! Domains between the bounds keep their ratios. When every domain with a weight is at the ceiling,
//! those of weight 0 share what is left evenly.

use serde::{Deserialize, Serialize};

use super::DataError;

/// Weights below this are 0 to the bounds.
const VANISHING: f64 = 1e-250;

/// What a domain's share may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Least share of a domain. Default 0; at most 1/n for n domains.
    pub floor: f64,
    /// Largest share of a domain. Default 1; at least 1/n for n domains.
    pub ceiling: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { floor: 0.0, ceiling: 1.0 }
    }
}

impl Bounds {
    /// True when they bound nothing.
    pub fn are_open(&self) -> bool {
        *self == Self::default()
    }

    /// Gives the bound of `n` domains that no weights can meet: its name, its value, why, and the
    /// nearest value that can be met. None when there is no such bound.
    pub fn conflict(&self, n: usize) -> Option<(&'static str, f64, String, f64)> {
        let even = 1.0 / n as f64;
        let say = |what: String| format!("{what}; {n} domains have 1/{n} each when they are equal");
        if !(self.floor >= 0.0 && self.floor <= even) {
            let why = say("the floors of all domains must not add up to more than 1".into());
            return Some(("floor", self.floor, why, if self.floor > even { even } else { 0.0 }));
        }
        if !(self.ceiling >= even && self.ceiling <= 1.0) {
            let why = say("the ceilings of all domains must add up to at least 1".into());
            let nearest = if self.ceiling < even { even } else { 1.0 };
            return Some(("ceiling", self.ceiling, why, nearest));
        }
        None
    }

    /// Checks that `n` domains can meet the bounds.
    ///
    /// # Errors
    /// [`DataError::BadOption`] with the nearest bound that can be met.
    pub fn check(&self, n: usize) -> Result<(), DataError> {
        match self.conflict(n) {
            None => Ok(()),
            Some((field, value, why, nearest)) => Err(DataError::BadOption {
                field,
                value: value.to_string(),
                legal: format!("a share that can be met: {why}; nearest: {nearest}"),
            }),
        }
    }

    /// Brings weights that sum to 1 inside. Weights that are inside stay as they are, to the bit.
    pub(crate) fn project(&self, weights: &mut [f64]) {
        let Self { floor, ceiling } = *self;
        if weights.iter().all(|w| (floor..=ceiling).contains(w)) {
            return;
        }
        // A weight that a scale could only bring to a bound by way of infinity counts as 0.
        weights.iter_mut().filter(|w| **w < VANISHING).for_each(|w| *w = 0.0);
        let positive: Vec<f64> = weights.iter().copied().filter(|w| *w > 0.0).collect();
        let zeros = (weights.len() - positive.len()) as f64;
        // The sum over s is a rising line between the values where a weight meets a bound.
        let mut bends: Vec<f64> = positive.iter().flat_map(|w| [floor / w, ceiling / w]).collect();
        bends.sort_by(f64::total_cmp);
        let sum = |s: f64| {
            let inside = positive.iter().map(|w| (s * w).clamp(floor, ceiling));
            inside.sum::<f64>() + zeros * floor
        };
        let Some(above) = bends.iter().position(|&s| sum(s) >= 1.0) else {
            let left = (1.0 - ceiling * positive.len() as f64).max(0.0) / zeros.max(1.0);
            let share = left.clamp(floor, ceiling);
            weights.iter_mut().for_each(|w| *w = if *w > 0.0 { ceiling } else { share });
            return;
        };
        let low = if above == 0 { 0.0 } else { bends[above - 1] };
        let middle = 0.5 * (low + bends[above]);
        let (mut fixed, mut free) = (zeros * floor, 0.0);
        for w in &positive {
            match middle * w {
                s if s <= floor => fixed += floor,
                s if s >= ceiling => fixed += ceiling,
                _ => free += w,
            }
        }
        let s = if free > 0.0 { (1.0 - fixed) / free } else { bends[above] };
        weights.iter_mut().for_each(|w| *w = (s * *w).clamp(floor, ceiling));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn projected(floor: f64, ceiling: f64, weights: &[f64]) -> Vec<f64> {
        let mut weights = weights.to_vec();
        Bounds { floor, ceiling }.project(&mut weights);
        weights
    }

    /// Sums of a few numbers below 1, and one division.
    const ROUNDING: f64 = 1e-14;

    fn close(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < ROUNDING)
    }

    #[test]
    fn domains_between_the_bounds_keep_their_ratios() {
        let w = projected(0.1, 1.0, &[0.6, 0.3, 0.1 - 1e-3, 1e-3]);
        assert!(close(&w, &[0.8 * 2.0 / 3.0, 0.8 / 3.0, 0.1, 0.1]), "{w:?}");
        let w = projected(0.0, 0.5, &[0.9, 0.06, 0.04]);
        assert!(close(&w, &[0.5, 0.3, 0.2]), "{w:?}");
        assert_eq!(projected(0.1, 0.6, &[0.5, 0.25, 0.25]), [0.5, 0.25, 0.25]);
    }

    #[test]
    fn domains_of_weight_0_take_what_the_ceiling_leaves() {
        assert!(close(&projected(0.0, 0.5, &[1.0, 0.0, 0.0]), &[0.5, 0.25, 0.25]));
        assert!(close(&projected(0.1, 1.0, &[1.0, 0.0, 0.0]), &[0.8, 0.1, 0.1]));
        assert!(close(&projected(0.25, 0.25, &[1.0, 0.0, 0.0, 0.0]), &[0.25; 4]));
    }

    #[test]
    fn bounds_that_no_weights_meet_name_the_nearest_that_some_do() {
        let error = |floor, ceiling| {
            Bounds { floor, ceiling }.check(4).map_err(|e| e.to_string()).unwrap_err()
        };
        assert!(error(0.3, 1.0).starts_with("floor is 0.3"), "{}", error(0.3, 1.0));
        assert!(error(0.3, 1.0).ends_with("nearest: 0.25"));
        assert!(error(0.0, 0.2).starts_with("ceiling is 0.2") && error(0.0, 0.2).ends_with("0.25"));
        assert!(error(-0.1, 1.0).ends_with("nearest: 0"));
        assert!(error(0.0, 1.5).ends_with("nearest: 1"));
        assert!(error(f64::NAN, 1.0).starts_with("floor is NaN"));
        assert!(Bounds { floor: 0.25, ceiling: 0.25 }.check(4).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_brought_inside_is_a_distribution_in_the_old_order(
            raw in prop::collection::vec(prop_oneof![Just(0.0), Just(5e-324), 1e-12..1e-9f64, 0.0..1.0f64], 2..9),
            low in 0.0..=1.0f64,
            high in 0.0..=1.0f64,
        ) {
            let sum: f64 = raw.iter().sum();
            prop_assume!(sum > 0.0);
            let before: Vec<f64> = raw.iter().map(|w| w / sum).collect();
            let even = 1.0 / before.len() as f64;
            let (floor, ceiling) = (low * even, even + high * (1.0 - even));
            let after = projected(floor, ceiling, &before);
            prop_assert!(after.iter().all(|w| (floor..=ceiling).contains(w)), "{after:?}");
            prop_assert!((after.iter().sum::<f64>() - 1.0).abs() < ROUNDING, "{after:?}");
            for (i, j) in (0..before.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                let flips = (before[i] < before[j]) && (after[i] > after[j]);
                prop_assert!(!flips, "{before:?} {after:?}");
            }
            prop_assert_eq!(projected(floor, ceiling, &after), after.clone());
        }
    }
}
