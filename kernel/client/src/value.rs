//! Values that pass between a Rust cell and the kernel.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use crate::{packed, Error, Handle, Result};

/// A map with text keys: options, rows of a table.
pub type Map = BTreeMap<String, Value>;

/// What a script value is in Rust.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// No value.
    Unit,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes: a blob of Rhai's.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Values by name.
    Map(Map),
    /// Numbers in single precision, packed. Rhai gets an array of numbers.
    F32(Vec<f32>),
    /// Numbers, packed: what an array of numbers comes as.
    F64(Vec<f64>),
    /// Whole numbers, packed: what an array of whole numbers comes as.
    I64(Vec<i64>),
    /// A thing that lives in the kernel.
    Handle(Handle),
}

static UNIT: Value = Value::Unit;

impl Value {
    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(x) => Some(*x),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Numbers as bytes, four each, little end first: a blob of Rhai's. For millions of them, which no
    /// Rhai cell would look at one by one.
    pub fn blob(numbers: &[f32]) -> Value {
        Value::Bytes(match packed::bytes(numbers) {
            Some(bytes) => bytes.to_vec(),
            None => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        })
    }

    /// The numbers in a blob, as [`Value::blob`] puts them there.
    ///
    /// # Errors
    /// It is no blob, or its length is no multiple of 4.
    pub fn floats(&self) -> Result<Vec<f32>> {
        match self {
            Value::Bytes(bytes) if bytes.len() % 4 == 0 => Ok(packed::numbers(bytes)),
            other => other.not("a blob of numbers of four bytes"),
        }
    }

    /// As a Rust type: `value.to::<Vec<f64>>()`.
    ///
    /// # Errors
    /// It is of another type.
    pub fn to<T: FromValue>(self) -> Result<T> {
        T::from_value(self)
    }

    /// How many values an array or map holds; 0 for what holds none.
    pub fn len(&self) -> usize {
        match self {
            Value::Array(values) => values.len(),
            Value::Map(values) => values.len(),
            Value::F32(values) => values.len(),
            Value::F64(values) => values.len(),
            Value::I64(values) => values.len(),
            Value::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Whether it holds no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &str {
        match self {
            Value::Unit => "no value",
            Value::Bool(_) => "true or false",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::Array(_) => "an array",
            Value::Map(_) => "a map",
            Value::F32(_) | Value::F64(_) => "an array of numbers",
            Value::I64(_) => "an array of whole numbers",
            Value::Handle(handle) => handle.kind(),
        }
    }

    fn not<T>(&self, want: &'static str) -> Result<T> {
        Err(Error::Type { want, got: self.kind().to_owned() })
    }

    /// Shows the value under a cell; the notebook calls it.
    pub fn evcxr_display(&self) {
        display(self.clone());
    }
}

/// Shows a value under a cell, or says why not.
pub(crate) fn display(value: Value) {
    if let Err(error) = crate::lab.show(value) {
        eprintln!("{error}");
    }
}

/// The text in which a thing of the kernel's is shown; its kind where there is no kernel.
pub(crate) fn text(value: Value) -> String {
    let kind = value.kind().to_owned();
    let forms = crate::line::forms(value).unwrap_or_default();
    let text = forms.get("text/plain").and_then(Value::as_str);
    text.map_or(kind, |text| text.trim_end().to_owned())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unit => f.write_str("()"),
            Value::Bool(x) => fmt::Display::fmt(x, f),
            Value::Int(x) => fmt::Display::fmt(x, f),
            Value::Float(x) => fmt::Display::fmt(x, f),
            Value::Text(x) => fmt::Display::fmt(x, f),
            Value::Handle(x) => f.write_str(x.kind()),
            other => write!(f, "{other:?}"),
        }
    }
}

/// As Rust writes what is in it: `3`, `"x"`, `[0.5]`, `{"a": 1}`.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unit => f.write_str("()"),
            Value::Bool(x) => fmt::Debug::fmt(x, f),
            Value::Int(x) => fmt::Debug::fmt(x, f),
            Value::Float(x) => fmt::Debug::fmt(x, f),
            Value::Text(x) => fmt::Debug::fmt(x, f),
            Value::Bytes(x) => write!(f, "{} bytes", x.len()),
            Value::Array(x) => fmt::Debug::fmt(x, f),
            Value::Map(x) => fmt::Debug::fmt(x, f),
            Value::F32(x) => fmt::Debug::fmt(x, f),
            Value::F64(x) => fmt::Debug::fmt(x, f),
            Value::I64(x) => fmt::Debug::fmt(x, f),
            Value::Handle(x) => f.write_str(x.kind()),
        }
    }
}

impl Index<&str> for Value {
    type Output = Value;

    /// The value of a map under a key; [`Value::Unit`] where there is none.
    fn index(&self, key: &str) -> &Value {
        match self {
            Value::Map(map) => map.get(key).unwrap_or(&UNIT),
            _ => &UNIT,
        }
    }
}

impl Index<usize> for Value {
    type Output = Value;

    /// The value of an array at a place; [`Value::Unit`] where there is none. Packed numbers are read
    /// with [`Value::to`].
    fn index(&self, at: usize) -> &Value {
        match self {
            Value::Array(values) => values.get(at).unwrap_or(&UNIT),
            _ => &UNIT,
        }
    }
}

/// A Rust type that a script value can be read as.
pub trait FromValue: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// The value is of another type.
    fn from_value(value: Value) -> Result<Self>;
}

macro_rules! between {
    ($($rust:ty, $want:literal, $value:pat => $read:expr, $own:ident => $make:expr;)*) => {$(
        impl FromValue for $rust {
            fn from_value(value: Value) -> Result<Self> {
                match value {
                    $value => Ok($read),
                    other => other.not($want),
                }
            }
        }

        impl From<$rust> for Value {
            fn from($own: $rust) -> Value {
                $make
            }
        }
    )*};
}

between! {
    (), "no value", Value::Unit => (), _own => Value::Unit;
    bool, "true or false", Value::Bool(x) => x, x => Value::Bool(x);
    i64, "a whole number", Value::Int(x) => x, x => Value::Int(x);
    String, "text", Value::Text(x) => x, x => Value::Text(x);
    Map, "a map", Value::Map(x) => x, x => Value::Map(x);
    Handle, "a handle", Value::Handle(x) => x, x => Value::Handle(x);
}

impl FromValue for Value {
    fn from_value(value: Value) -> Result<Self> {
        Ok(value)
    }
}

impl FromValue for f64 {
    fn from_value(value: Value) -> Result<Self> {
        value.as_f64().map_or_else(|| value.not("a number"), Ok)
    }
}

impl FromValue for usize {
    fn from_value(value: Value) -> Result<Self> {
        let whole = value.as_i64().and_then(|n| n.try_into().ok());
        whole.map_or_else(|| value.not("a whole number from 0"), Ok)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Unit => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

impl<T: FromValue + 'static> FromValue for Vec<T> {
    fn from_value(value: Value) -> Result<Self> {
        // Numbers of the right type are handed over as they lie.
        fn same<A: 'static, B: 'static>(values: Vec<A>) -> std::result::Result<Vec<B>, Vec<A>> {
            let mut values = Some(values);
            let any: &mut dyn std::any::Any = &mut values;
            match any.downcast_mut::<Option<Vec<B>>>().and_then(Option::take) {
                Some(values) => Ok(values),
                None => Err(values.expect("it was not taken")),
            }
        }
        match value {
            Value::Array(values) => values.into_iter().map(T::from_value).collect(),
            Value::F64(values) => same(values).or_else(|values| {
                values.into_iter().map(|x| T::from_value(Value::Float(x))).collect()
            }),
            Value::F32(values) => same(values).or_else(|values| {
                values.into_iter().map(|x| T::from_value(Value::Float(x.into()))).collect()
            }),
            Value::I64(values) => same(values).or_else(|values| {
                values.into_iter().map(|x| T::from_value(Value::Int(x))).collect()
            }),
            Value::Bytes(bytes) => {
                same(bytes).or_else(|_| Value::Bytes(Vec::new()).not("an array"))
            }
            other => other.not("an array"),
        }
    }
}

impl FromValue for f32 {
    fn from_value(value: Value) -> Result<Self> {
        f64::from_value(value).map(|x| x as f32)
    }
}

impl FromValue for u8 {
    fn from_value(value: Value) -> Result<Self> {
        let whole = value.as_i64().and_then(|n| n.try_into().ok());
        whole.map_or_else(|| value.not("a whole number from 0 to 255"), Ok)
    }
}

macro_rules! into_int {
    ($($rust:ty)*) => {$(
        impl From<$rust> for Value {
            fn from(n: $rust) -> Value {
                Value::Int(n.into())
            }
        }
    )*};
}

into_int! { i8 u8 i16 u16 i32 u32 }

impl From<usize> for Value {
    fn from(n: usize) -> Value {
        i64::try_from(n).map_or(Value::Float(n as f64), Value::Int)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Value {
        Value::Float(x)
    }
}

impl From<f32> for Value {
    fn from(x: f32) -> Value {
        Value::Float(x.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Value {
        Value::Text(text.clone())
    }
}

impl From<&Value> for Value {
    fn from(value: &Value) -> Value {
        value.clone()
    }
}

impl From<Vec<f32>> for Value {
    fn from(values: Vec<f32>) -> Value {
        Value::F32(values)
    }
}

impl From<Vec<f64>> for Value {
    fn from(values: Vec<f64>) -> Value {
        Value::F64(values)
    }
}

impl From<Vec<i64>> for Value {
    fn from(values: Vec<i64>) -> Value {
        Value::I64(values)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Bytes(bytes)
    }
}

macro_rules! from_vec {
    ($($rust:ty)*) => {$(
        impl From<Vec<$rust>> for Value {
            fn from(values: Vec<$rust>) -> Value {
                Value::Array(values.into_iter().map(Value::from).collect())
            }
        }
    )*};
}

from_vec! { bool i32 usize String &str Map Value Vec<f64> Vec<i64> Vec<Value> }

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Unit, Into::into)
    }
}

impl<T: Into<Value>, const N: usize> From<[T; N]> for Value {
    fn from(values: [T; N]) -> Value {
        Value::Array(values.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_what_they_are_and_say_what_they_are_not() {
        assert_eq!(Value::from(3).to::<f64>(), Ok(3.0));
        assert_eq!(Value::F64(vec![0.5]).to::<Vec<f64>>(), Ok(vec![0.5]));
        assert_eq!(Value::F64(vec![0.5]).to::<Vec<f32>>(), Ok(vec![0.5]));
        assert_eq!(Value::from(["a", "b"]).to::<Vec<String>>(), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(Value::Unit.to::<Option<i64>>(), Ok(None));
        let error = Value::from("x").to::<i64>().unwrap_err();
        assert_eq!(error.to_string(), "this is text, not a whole number");
        assert!(Value::from(-1).to::<usize>().is_err());
        assert_eq!(Value::blob(&[0.5, -1.0]).floats(), Ok(vec![0.5, -1.0]));
        assert!(Value::Bytes(vec![1, 2, 3]).floats().is_err());
    }

    #[test]
    fn a_key_that_is_not_there_gives_no_value() {
        let map = Value::from(crate::options! { steps: 300, name: "a" });
        assert_eq!(map["steps"].as_i64(), Some(300));
        assert_eq!(map["nothing"], Value::Unit);
        assert_eq!(format!("{map:?}"), r#"{"name": "a", "steps": 300}"#);
        assert_eq!(map["steps"][3], Value::Unit);
    }
}
