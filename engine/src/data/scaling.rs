//! What loss a model of a given size reaches: loss(N) = a / N^b + c through three known models.
//!
//! The predictions are the reference losses of a mixture: a domain whose loss lies above its
//! reference gets more weight. Three points and three unknowns leave no residual, so nothing warns
//! of a bad fit: do not go far beyond the three sizes. Source: Sheared LLaMA, section 3.2 and
//! appendix B.
//!
//! A [`ScalingFit`] is what a run needs of it: a law for each of its domains, the references at the
//! size asked for, and a word of warning when that size lies outside the three.

use serde::{Deserialize, Serialize};

use super::DataError;
use super::error::nearest_name;

/// The law loss(N) = a / N^b + c.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PowerLaw {
    /// Scale, nats/token at N = 1 above `c`.
    pub a: f64,
    /// Exponent, positive.
    pub b: f64,
    /// Loss of an infinitely large model, nats/token; a fit may make it negative.
    pub c: f64,
}

impl PowerLaw {
    /// Gives the loss at `n` parameters, nats/token.
    pub fn predict(&self, n: f64) -> f64 {
        self.a * n.powf(-self.b) + self.c
    }
}

/// Finds the law through three models: `sizes` in parameters, `losses` in nats/token, in any order.
///
/// With x = ln N and sizes ascending, b solves
///
/// ```text
/// (e^(b (x2 - x1)) - 1) / (1 - e^(-b (x3 - x2))) = (l1 - l2) / (l2 - l3)
/// ```
///
/// whose left side grows with b, so bisection finds it to the last bit; a and c follow.
///
/// # Errors
/// [`DataError::NoPowerLaw`] when the sizes are not three different positive numbers, the losses do
/// not fall with size, or they fall at least as fast as in a straight line over ln N.
pub fn fit(sizes: [f64; 3], losses: [f64; 3]) -> Result<PowerLaw, DataError> {
    let refuse = |why| Err(DataError::NoPowerLaw { sizes, losses, why });
    let mut points: Vec<(f64, f64)> = sizes.into_iter().zip(losses).collect();
    points.sort_by(|p, q| p.0.total_cmp(&q.0));
    let x: Vec<f64> = points.iter().map(|p| p.0.ln()).collect();
    let l: Vec<f64> = points.iter().map(|p| p.1).collect();
    if !(x.iter().chain(&l).all(|v| v.is_finite()) && x[0] < x[1] && x[1] < x[2]) {
        return refuse("give three different positive sizes and finite losses");
    }
    if !(l[0] > l[1] && l[1] > l[2]) {
        return refuse("a larger model must have a smaller loss");
    }
    let ratio = (l[0] - l[1]) / (l[1] - l[2]);
    let (d1, d2) = (x[1] - x[0], x[2] - x[1]);
    if ratio <= d1 / d2 {
        return refuse("the gain per doubling of the size must shrink as models grow");
    }
    let side = |b: f64| (b * d1).exp_m1() / -(-b * d2).exp_m1();
    let mut low = 0.0;
    let mut high = 1.0;
    while side(high) < ratio {
        low = high;
        high *= 2.0;
    }
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if side(middle) < ratio { low = middle } else { high = middle }
    }
    let b = high;
    let a = (l[0] - l[1]) / ((-b * x[0]).exp() * -(-b * d1).exp_m1());
    if !a.is_finite() {
        return refuse("the gain between the two larger models is too small to extrapolate from");
    }
    Ok(PowerLaw { a, b, c: l[0] - a * (-b * x[0]).exp() })
}

/// Losses of three models of one family on some domains.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownLosses {
    /// Parameters of the three models, embeddings included.
    pub sizes: [f64; 3],
    /// The domains.
    pub names: Vec<String>,
    /// Losses of the three models on each domain, nats/token.
    pub losses: Vec<[f64; 3]>,
}

impl KnownLosses {
    /// Gives the published ones: Llama-2 7B, 13B and 70B on the seven domains of RedPajama.
    ///
    /// # Source
    /// Sheared LLaMA, appendix B; the losses are those that give its published references.
    pub fn published() -> Self {
        let known = [
            ("cc", [1.7520, 1.6680, 1.4621]),
            ("github", [0.6216, 0.5791, 0.4890]),
            ("book", [1.9063, 1.8242, 1.6450]),
            ("stackexchange", [1.4482, 1.3936, 1.2805]),
            ("wiki", [1.4844, 1.3945, 1.2118]),
            ("arxiv", [1.2637, 1.2109, 1.1148]),
            ("c4-rp", [1.9219, 1.8486, 1.6848]),
        ];
        Self {
            sizes: [6_738_415_616.0, 13_015_864_320.0, 68_976_648_192.0],
            names: known.iter().map(|(name, _)| (*name).into()).collect(),
            losses: known.iter().map(|(_, losses)| *losses).collect(),
        }
    }

    /// Finds a domain: capitals do not count, `_` is `-`, and `c4` is `c4-rp`.
    fn of(&self, domain: &str) -> Result<[f64; 3], DataError> {
        let plain = |name: &str| match name.to_lowercase().replace('_', "-").as_str() {
            "c4" => "c4-rp".to_string(),
            other => other.to_string(),
        };
        let found = self.names.iter().position(|name| plain(name) == plain(domain));
        found.and_then(|d| self.losses.get(d).copied()).ok_or_else(|| {
            let hint = nearest_name(domain, self.names.iter().map(String::as_str));
            DataError::NoKnownLosses { domain: domain.into(), hint }
        })
    }
}

/// The laws of a run's domains and what they say for one size.
#[derive(Clone, Debug, PartialEq)]
pub struct ScalingFit {
    /// What the laws go through, in the order of the run's domains.
    pub known: KnownLosses,
    /// One law a domain.
    pub laws: Vec<PowerLaw>,
    /// N, the size asked for, parameters.
    pub parameters: f64,
    /// The loss of each domain at that size, nats/token.
    pub references: Vec<f64>,
}

impl ScalingFit {
    /// Fits a law to each of `domains` and asks it for models of `parameters` parameters.
    ///
    /// # Errors
    /// [`DataError::NoKnownLosses`] for a domain that the three models were not measured on,
    /// [`DataError::NoPowerLaw`], [`DataError::BadOption`] for a size that is none.
    pub fn new(
        known: &KnownLosses,
        domains: &[String],
        parameters: f64,
    ) -> Result<Self, DataError> {
        if !(parameters.is_finite() && parameters >= 1.0) {
            return Err(DataError::BadOption {
                field: "parameters",
                value: parameters.to_string(),
                legal: "a number of at least 1, such as 1.3e9".into(),
            });
        }
        let losses: Vec<[f64; 3]> =
            domains.iter().map(|domain| known.of(domain)).collect::<Result<_, _>>()?;
        let laws: Vec<PowerLaw> =
            losses.iter().map(|losses| fit(known.sizes, *losses)).collect::<Result<_, _>>()?;
        let references = laws.iter().map(|law| law.predict(parameters)).collect();
        let known = KnownLosses { sizes: known.sizes, names: domains.to_vec(), losses };
        Ok(Self { known, laws, parameters, references })
    }

    /// Gives the smallest and the largest of the known sizes, parameters.
    pub fn range(&self) -> (f64, f64) {
        let sizes = self.known.sizes;
        (sizes.into_iter().fold(f64::MAX, f64::min), sizes.into_iter().fold(0.0, f64::max))
    }

    /// Says what it means that the size asked for lies outside the known ones; none when it does not.
    pub fn warning(&self) -> Option<String> {
        let (low, high) = self.range();
        let n = self.parameters;
        let (times, side) = match n {
            n if n < low => (low / n, "below the smallest"),
            n if n > high => (n / high, "above the largest"),
            _ => return None,
        };
        let times = if times < 10.0 { format!("{times:.1}") } else { format!("{times:.0}") };
        Some(format!(
            "the reference losses are extrapolated: {n:.3e} parameters lie {times} times {side} of the three known models ({low:.2e} to {high:.2e}); a law with three unknowns passes through three points whatever the truth is, so nothing tells how wrong it is out there, and it speaks of models trained like those three"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn a_law_is_recovered_from_three_of_its_points() {
        let law = PowerLaw { a: 406.4, b: 0.336, c: 0.69 };
        let sizes = [7e10, 7e9, 1.3e10];
        let found = fit(sizes, sizes.map(|n| law.predict(n))).unwrap();
        // Losses near 1 carry 1e-16 of rounding; their differences near 0.01 magnify it 100 times,
        // the exponent 100 times more.
        assert!((found.b - law.b).abs() < 1e-11, "{found:?}");
        assert!((found.c - law.c).abs() < 1e-11, "{found:?}");
        assert!((found.a / law.a - 1.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn points_without_a_law_are_refused_with_the_reason() {
        let error = |sizes, losses| fit(sizes, losses).unwrap_err().to_string();
        assert!(error([1e9, 2e9, 4e9], [2.0, 2.1, 1.9]).contains("must have a smaller loss"));
        assert!(error([1e9, 2e9, 4e9], [2.0, 1.9, 1.8]).contains("must shrink as models grow"));
        assert!(error([1e9, 1e9, 4e9], [2.0, 1.9, 1.8]).contains("three different"));
        assert!(error([1e9, -2e9, 4e9], [2.0, 1.9, 1.8]).contains("three different"));
        assert!(error([1e9, 2e9, 4e9], [2.0, f64::NAN, 1.8]).contains("finite losses"));
        assert!(error([1e9, 2e9, 4e9], [2.0, 1.0, 1.0 - 1e-16]).contains("too small"));
    }

    #[test]
    fn the_published_losses_give_the_published_references() {
        let known = KnownLosses::published();
        // Sheared LLaMA, table 6; the sizes are those of its three models, embeddings included.
        let published = [
            (373_867_520.0, [2.1401, 0.8694, 2.3625, 1.7791, 2.0470, 1.6637, 2.3139]),
            (1_345_423_360.0, [1.9643, 0.7459, 2.1393, 1.6117, 1.7590, 1.4449, 2.1251]),
            (2_701_560_320.0, [1.8712, 0.6883, 2.0325, 1.5353, 1.6297, 1.3560, 2.0328]),
        ];
        for (parameters, losses) in published {
            let fit = ScalingFit::new(&known, &known.names, parameters).unwrap();
            for (ours, theirs) in fit.references.iter().zip(losses) {
                assert_eq!(format!("{ours:.4}"), format!("{theirs:.4}"), "{parameters}");
            }
        }
    }

    #[test]
    fn laws_are_matched_to_domains_by_name_and_in_their_order() {
        let known = KnownLosses::published();
        let names = ["wiki".to_string(), "C4_RP".into(), "c4".into()];
        let fit = ScalingFit::new(&known, &names, 1.3e10).unwrap();
        assert_eq!(fit.known.losses[0], known.losses[4]);
        assert_eq!(fit.laws[1], fit.laws[2]);
        assert_eq!(fit.warning(), None);
        let error = ScalingFit::new(&known, &["wikipedia".into()], 1e9).unwrap_err().to_string();
        assert!(error.contains("`wikipedia`") && error.contains("cc, github"), "{error}");
        assert!(ScalingFit::new(&known, &names, f64::NAN).unwrap_err().to_string().contains("NaN"));
    }

    #[test]
    fn a_size_outside_the_known_ones_says_how_far_outside() {
        let known = KnownLosses::published();
        let warning = |n| ScalingFit::new(&known, &known.names, n).unwrap().warning();
        let below = warning(1_345_423_360.0).unwrap();
        assert!(below.contains("1.345e9 parameters lie 5.0 times below the smallest"), "{below}");
        assert!(warning(7e11).unwrap().contains("10 times above the largest"));
        assert_eq!(warning(known.sizes[0]), None);
        assert_eq!(warning(known.sizes[2]), None);
    }

    #[test]
    fn golden_scaling_law_gives_the_published_reference_losses() {
        let Some(golden) = golden::read("shearing/scaling_law.json") else {
            return;
        };
        let three = |value| <[f64; 3]>::try_from(golden::numbers(value)).unwrap();
        let sizes = three(&golden["model_sizes"]);
        let mut checked = 0;
        for (d, (name, losses)) in golden["source_losses"].as_object().unwrap().iter().enumerate() {
            let law = fit(sizes, three(losses)).unwrap();
            let theirs = &golden["fit"][name];
            for (ours, key) in [(law.a, "a"), (law.b, "b"), (law.c, "c")] {
                let theirs = theirs[key].as_f64().unwrap();
                // Their fit iterates until its residual is 1e-16; the parameters are looser.
                assert!((ours / theirs - 1.0).abs() < 1e-8, "{name} {key} {ours} {theirs}");
            }
            for published in golden["published"].as_object().unwrap().values() {
                let loss = law.predict(published["N"].as_f64().unwrap());
                let theirs = golden::numbers(&published["loss"])[d];
                assert_eq!(format!("{loss:.4}"), format!("{theirs:.4}"), "{name}");
                checked += 1;
            }
        }
        println!("{checked} published losses met to the 4th decimal");
    }
}
