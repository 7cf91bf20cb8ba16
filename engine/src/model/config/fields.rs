//! The fields of a JSON object, read one by one: an error names file, field, value and the nearest
//! legal value, where a derived parser would give a line and a column.

use std::path::Path;

use serde_json::{Map, Value};

use crate::model::ModelError;

/// The largest size or count: far above every model, and the product of two still fits 64 bits.
pub(super) const MOST: usize = 1 << 31;

pub(super) const COUNT: &str = "a whole number from 1 to 2147483648";
pub(super) const POSITIVE: &str = "a number above 0";

/// The fields of one JSON object, read one by one so that an error names file, field and value.
pub(super) struct Fields<'a> {
    pub(super) file: &'a Path,
    /// What stands before a field's name: nothing, or the object's name with a dot.
    pub(super) section: &'static str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Gives a value; null counts as absent, as Hugging Face writes it for "default".
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn count(&self, name: &str, default: Option<usize>) -> Result<usize, ModelError> {
        let Some(value) = self.get(name) else {
            return default.ok_or_else(|| self.missing(name, "it has no default; add it"));
        };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if (1..=MOST).contains(&n) => Ok(n),
            _ => {
                let nearest = match as_number(value) {
                    Some(n) => format!("{}", n.round().clamp(1.0, MOST as f64)),
                    None => "a number without quotes".to_string(),
                };
                Err(self.bad(name, value, COUNT, nearest))
            }
        }
    }

    pub(super) fn positive(&self, name: &str, default: Option<f64>) -> Result<f64, ModelError> {
        let Some(value) = self.get(name) else {
            return default.ok_or_else(|| self.missing(name, "it has no default; add it"));
        };
        match value.as_f64() {
            Some(n) if n.is_finite() && n > 0.0 => Ok(n),
            _ => {
                let usual = as_number(value).filter(|&n| n > 0.0).or(default);
                let nearest = usual.map_or_else(|| "1".to_string(), |n| n.to_string());
                Err(self.bad(name, value, POSITIVE, nearest))
            }
        }
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, ModelError> {
        match self.get(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.bad(name, other, "true or false", default.to_string())),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, ModelError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.bad(name, other, "a text in quotes", format!("\"{other}\""))),
        }
    }

    /// Reads one id, a list of ids, or null; `default` stands in when the key is absent.
    pub(super) fn ids(&self, name: &str, default: Option<u32>) -> Result<Vec<u32>, ModelError> {
        let values = match self.map.get(name) {
            None => return Ok(default.into_iter().collect()),
            Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list.as_slice(),
            Some(one) => std::slice::from_ref(one),
        };
        let id = |value: &Value| {
            let id = value.as_u64().and_then(|id| u32::try_from(id).ok());
            let rule = "a token id, a list of token ids, or null";
            id.ok_or_else(|| self.bad(name, value, rule, "null".to_string()))
        };
        values.iter().map(id).collect()
    }

    pub(super) fn missing(&self, name: &str, hint: &'static str) -> ModelError {
        let field = format!("{}{name}", self.section);
        ModelError::MissingField { file: self.file.to_path_buf(), field, hint }
    }

    pub(super) fn bad(
        &self,
        name: &str,
        value: impl std::fmt::Display,
        rule: &'static str,
        nearest: String,
    ) -> ModelError {
        ModelError::BadField {
            file: self.file.to_path_buf(),
            field: format!("{}{name}", self.section),
            value: value.to_string(),
            rule,
            nearest,
        }
    }

    pub(super) fn unsupported(&self, name: &str, supported: &'static str) -> ModelError {
        ModelError::Unsupported {
            file: self.file.to_path_buf(),
            field: format!("{}{name}", self.section),
            value: self.get(name).map_or_else(|| "absent".to_string(), Value::to_string),
            supported,
        }
    }
}

/// Reads a number, also one that stands in quotes by mistake.
fn as_number(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    number.filter(|n| n.is_finite())
}

/// Names the multiples of `of` beside `n`: `12 or 16`.
pub(super) fn multiples(n: usize, of: usize) -> String {
    match n / of * of {
        0 => of.to_string(),
        below => format!("{below} or {}", below + of),
    }
}

/// Names the divisors of `n` beside `near`: `2 or 7`. It looks 10,000 numbers far, so that absurd
/// sizes do not make the message take seconds.
pub(super) fn divisors(n: usize, near: usize) -> String {
    let below = (1..=near.min(n)).rev().take(10_000).find(|d| n.is_multiple_of(*d));
    let above = (near + 1..=n).take(10_000).find(|d| n.is_multiple_of(*d));
    match (below, above) {
        (Some(below), Some(above)) => format!("{below} or {above}"),
        (one, other) => one.or(other).unwrap_or(1).to_string(),
    }
}
