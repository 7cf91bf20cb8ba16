//! Values as the language writes them: what is read back is the same to the bit.

use std::fmt::Write;

/// A text in quotes.
pub(super) fn text(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                // Writing to a text cannot fail.
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A number with a point or an exponent: the shortest form that is read back to the same bits.
///
/// The language has no word for infinity or NaN; every option that ends up here is checked for both.
pub(super) fn float(value: f64) -> String {
    format!("{value:?}")
}

/// Numbers in brackets.
pub(super) fn floats(values: &[f64]) -> String {
    let list: Vec<String> = values.iter().map(|&x| float(x)).collect();
    format!("[{}]", list.join(", "))
}

/// A map of options; nothing for none.
pub(super) fn options(pairs: &[(&str, String)]) -> String {
    let list: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    format!("#{{{}}}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_to_the_bit() {
        let engine = rhai::Engine::new();
        let mut bits: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut numbers = vec![
            0.0,
            -0.0,
            1.0,
            0.1,
            1e-5,
            1e-7,
            2.5e-308,
            5e-324,
            f64::MAX,
            1e15,
            1e16,
            1e22,
            123e18,
        ];
        for _ in 0..2000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            numbers.push(f64::from_bits(bits));
        }
        for x in numbers.into_iter().filter(|x| x.is_finite()) {
            let written = float(x);
            let read = engine.eval::<f64>(&written).unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(read.to_bits(), x.to_bits(), "{written}");
        }
    }

    #[test]
    fn a_text_is_read_back_to_the_letter() {
        let engine = rhai::Engine::new();
        for value in [
            "",
            "a\"b\\c",
            "line\nline\r\n\tend",
            "\u{0}\u{7f}\u{85}\u{2028}",
            "Wörter ⟂ 羊🐑",
            "#{x}`${y}",
        ] {
            assert_eq!(engine.eval::<String>(&text(value)).unwrap(), value, "{}", text(value));
        }
    }
}
