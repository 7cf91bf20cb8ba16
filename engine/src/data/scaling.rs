//! What loss a model of a given size reaches: loss(N) = a / N^b + c through three known models.
//!
//! The predictions are the reference losses of a mixture: a domain whose loss lies above its
//! reference gets more weight. Three points and three unknowns leave no residual, so nothing warns
//! of a bad fit: do not go far beyond the three sizes. Source: Sheared LLaMA, section 3.2 and
//! appendix B.

use serde::{Deserialize, Serialize};

use super::DataError;

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
