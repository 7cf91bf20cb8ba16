//! Numbers as people read them: four significant digits, thousands separators, tidy ticks.

/// Writes a whole number, with separators from 10,000 on: `9999`, `12,345`.
pub fn whole(n: i64) -> String {
    if n.unsigned_abs() < 10_000 { n.to_string() } else { grouped(&n.to_string()) }
}

/// Writes a number with four significant digits and no trailing zeros: `2.31`, `0.0021`, `1.5e-6`,
/// `12,346`. Digits before the point are never rounded away.
pub fn number(x: f64) -> String {
    with_decimals(x, decimals_needed(x).unwrap_or(0))
}

/// Decimals that show `x` with four significant digits, trailing zeros dropped; none when `x` is
/// not finite, too small or too large for plain digits.
pub(crate) fn decimals_needed(x: f64) -> Option<usize> {
    if !is_plain(x) {
        return None;
    }
    let text = format!("{x:.*}", decimals_most(x));
    let fraction = text.split_once('.').map_or("", |(_, f)| f);
    Some(fraction.trim_end_matches('0').len())
}

/// Writes `x` with `decimals` decimals, or fewer where four significant digits need fewer.
///
/// Columns pass the most decimals any of their cells needs, so that short numbers line up.
pub(crate) fn with_decimals(x: f64, decimals: usize) -> String {
    if !is_plain(x) {
        return odd(x);
    }
    fixed(x, decimals.min(decimals_most(x)))
}

/// Writes `x` with exactly `decimals` decimals; a number too small or too large for plain digits keeps
/// its power of ten.
pub(crate) fn fixed(x: f64, decimals: usize) -> String {
    if !is_plain(x) {
        return odd(x);
    }
    let text = format!("{x:.decimals$}");
    // A negative number that rounds to zero would print as -0.
    let text = if text.trim_start_matches('-').chars().all(|c| c == '0' || c == '.') {
        text.trim_start_matches('-').to_string()
    } else {
        text
    };
    if x.abs() < 9_999.5 { text } else { grouped(&text) }
}

/// True for numbers that read well as plain digits.
fn is_plain(x: f64) -> bool {
    x == 0.0 || (1e-4..1e15).contains(&x.abs())
}

/// Decimals that show `x` with four significant digits, at most seven.
pub(crate) fn decimals_most(x: f64) -> usize {
    if x == 0.0 {
        return 0;
    }
    // 10^3 has four digits before the point, 10^-4 needs seven decimals.
    let magnitude = x.abs().log10().floor() as i32;
    (3 - magnitude).clamp(0, 7) as usize
}

fn odd(x: f64) -> String {
    if x.is_nan() {
        "nan".to_string()
    } else if x.is_infinite() {
        if x > 0.0 { "inf" } else { "-inf" }.to_string()
    } else {
        tidy_exponent(&format!("{x:.3e}"))
    }
}

/// `1.500e-6` becomes `1.5e-6`.
fn tidy_exponent(text: &str) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            format!("{mantissa}e{exponent}")
        }
        _ => text.to_string(),
    }
}

/// Puts a comma before every third digit of the part before the point.
fn grouped(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let (before, after) = match digits.split_once('.') {
        Some((before, after)) => (before, Some(after)),
        None => (digits, None),
    };
    let mut out = String::from(sign);
    for (i, c) in before.chars().enumerate() {
        if i > 0 && (before.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    if let Some(after) = after {
        out.push('.');
        out.push_str(after);
    }
    out
}

/// Writes the ticks of one axis, all in the same unit and with the decimals their `step` needs.
///
/// From a million on the unit is M, B or T; below a thousandth the ticks are powers of ten.
pub(crate) fn ticks(values: &[f64], step: f64) -> Vec<String> {
    let most = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    if most >= 1e15 || (most > 0.0 && most < 1e-3) {
        return values.iter().map(|&v| tick_in_powers(v, step)).collect();
    }
    let (unit, suffix) = match most {
        m if m >= 1e12 => (1e12, "T"),
        m if m >= 1e9 => (1e9, "B"),
        m if m >= 1e6 => (1e6, "M"),
        _ => (1.0, ""),
    };
    let decimals = step_decimals(step / unit);
    let one = |&v: &f64| {
        if v.abs() < step * 1e-6 {
            return "0".to_string();
        }
        let text = format!("{:.decimals$}", v / unit);
        let text = if (v / unit).abs() < 999.5 { text } else { grouped(&text) };
        format!("{text}{suffix}")
    };
    values.iter().map(one).collect()
}

fn tick_in_powers(v: f64, step: f64) -> String {
    if v.abs() < step * 1e-6 { "0".to_string() } else { tidy_exponent(&format!("{v:.2e}")) }
}

/// Decimals that tell neighbouring multiples of `step` apart: 0.25 needs two, 20 needs none.
fn step_decimals(step: f64) -> usize {
    (0..12)
        .find(|&d| {
            let scaled = step * 10f64.powi(d);
            scaled > 0.5 && (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(12) as usize
}

/// Writes a value beside others of which `most` is the largest: three significant digits of that one,
/// and as many decimals for all.
pub(crate) fn within(x: f64, most: f64) -> String {
    if !is_plain(most) || most == 0.0 || x == 0.0 {
        return number(x);
    }
    let decimals = (2 - most.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.decimals$}");
    if x.abs() < 9_999.5 { text } else { grouped(&text) }
}

/// Writes a share of one: `0.354` becomes `35.4%`.
pub(crate) fn percent(x: f64) -> String {
    if x.is_finite() { format!("{:.1}%", 100.0 * x) } else { odd(x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_grouped_from_ten_thousand_on() {
        assert_eq!(whole(9_999), "9999");
        assert_eq!(whole(10_000), "10,000");
        assert_eq!(whole(-1_234_567), "-1,234,567");
        assert_eq!(whole(i64::MIN), "-9,223,372,036,854,775,808");
    }

    #[test]
    fn numbers_keep_four_significant_digits_and_every_whole_digit() {
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(2.305_44), "2.305");
        assert_eq!(number(23.456), "23.46");
        assert_eq!(number(0.002_15), "0.00215");
        assert_eq!(number(12_345.678), "12,346");
        assert_eq!(number(9_999.7), "10,000");
        assert_eq!(number(1.5e-6), "1.5e-6");
        assert_eq!(number(1e300), "1e300");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(-0.0), "0");
        assert_eq!(number(f64::NAN), "nan");
        assert_eq!(number(f64::NEG_INFINITY), "-inf");
    }

    #[test]
    fn a_column_shows_short_numbers_with_the_same_decimals() {
        assert_eq!(with_decimals(2.31, 3), "2.310");
        assert_eq!(with_decimals(0.0, 3), "0");
        assert_eq!(with_decimals(1234.5, 3), "1234");
    }

    #[test]
    fn values_beside_each_other_have_the_same_decimals() {
        assert_eq!([1.38, 1.4449, 4.85].map(|x| within(x, 4.85)), ["1.38", "1.44", "4.85"]);
        assert_eq!([12.0, 23_456.0].map(|x| within(x, 23_456.0)), ["12", "23,456"]);
        assert_eq!(within(-0.031, 0.2), "-0.031");
        assert_eq!(within(0.0, 0.0), "0");
    }

    #[test]
    fn ticks_show_no_rounding_noise_and_share_a_unit() {
        let tenths: Vec<f64> = (0..4).map(|i| f64::from(i) * 0.1).collect();
        assert_eq!(ticks(&tenths, 0.1), ["0", "0.1", "0.2", "0.3"]);
        assert_eq!(ticks(&[0.0, 500.0, 1000.0], 500.0), ["0", "500", "1,000"]);
        assert_eq!(ticks(&[0.0, 5e5, 1e6], 5e5), ["0", "0.5M", "1.0M"]);
        assert_eq!(ticks(&[0.0, 2.5e-5], 2.5e-5), ["0", "2.5e-5"]);
        assert_eq!(ticks(&[0.25, 0.5], 0.25), ["0.25", "0.50"]);
    }
}
