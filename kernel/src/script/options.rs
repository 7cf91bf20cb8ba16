//! Option maps: `#{steps: 300, lr: 0.001}`, read by key and checked for keys nobody knows.

use rhai::{Array, Dynamic, EvalAltResult, FLOAT, INT, Map};

use super::reference::script_type;
use woolshed_engine::names::nearest;

use super::{ScriptResult, fail};

/// The options of one call.
pub(crate) struct Options {
    of: &'static str,
    map: Map,
}

impl Options {
    /// Takes the options of function `of`; `known` are all keys it has.
    pub fn new(of: &'static str, map: Map, known: &[&str]) -> ScriptResult<Self> {
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(fail(unknown(of, key, known)));
        }
        Ok(Self { of, map })
    }

    /// Says what a key takes instead of its value.
    pub fn wrong<T>(&self, key: &str, value: &Dynamic, want: &str) -> ScriptResult<T> {
        let (of, have) = (self.of, script_type(value.type_name()));
        Err(fail(format!("option `{key}` of {of} is {value} ({have}); it takes {want}")))
    }

    /// A number; whole numbers serve too.
    pub fn float(&self, key: &str) -> ScriptResult<Option<f64>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(v) if v.is_unit() => Ok(None),
            Some(v) => match v.as_float().ok().or(v.as_int().ok().map(|i| i as FLOAT)) {
                Some(x) => Ok(Some(x)),
                None => self.wrong(key, v, "a number"),
            },
        }
    }

    /// A whole number of at least 0; 2000.0 serves too.
    pub fn count(&self, key: &str) -> ScriptResult<Option<u64>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(v) if v.is_unit() => Ok(None),
            Some(v) => match whole(v) {
                Some(n) if n >= 0 => Ok(Some(n as u64)),
                _ => self.wrong(key, v, "a whole number of at least 0"),
            },
        }
    }

    /// A whole number of at least 0, for sizes.
    pub fn size(&self, key: &str) -> ScriptResult<Option<usize>> {
        Ok(self.count(key)?.map(|n| n as usize))
    }

    /// True or false.
    pub fn flag(&self, key: &str) -> ScriptResult<Option<bool>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(v) => match v.as_bool() {
                Ok(b) => Ok(Some(b)),
                Err(_) => self.wrong(key, v, "true or false"),
            },
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> ScriptResult<Option<String>> {
        match self.map.get(key) {
            None => Ok(None),
            Some(v) if v.is_unit() => Ok(None),
            Some(v) => match v.clone().into_string() {
                Ok(s) => Ok(Some(s)),
                Err(_) => self.wrong(key, v, "a text"),
            },
        }
    }

    /// An array of texts.
    pub fn texts(&self, key: &str) -> ScriptResult<Option<Vec<String>>> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let array = value.clone().try_cast::<Array>();
        let texts = array.and_then(|a| a.into_iter().map(|v| v.into_string().ok()).collect());
        match texts {
            Some(texts) => Ok(Some(texts)),
            None => self.wrong(key, value, "an array of texts"),
        }
    }

    /// Says which words a key takes, and which of them is nearest.
    pub fn no_choice(&self, key: &str, word: &str, known: &[&str]) -> Box<EvalAltResult> {
        let hint = nearest(word, known.iter().copied())
            .map_or(String::new(), |k| format!("; did you mean \"{k}\"?"));
        let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
        let (of, known) = (self.of, known.join(", "));
        fail(format!("option `{key}` of {of} is \"{word}\"{hint} (known: {known})"))
    }

    /// A handle: a value of the program's own; `want` is what a person calls it.
    pub fn handle<T: Clone + 'static>(&self, key: &str, want: &str) -> ScriptResult<Option<T>> {
        let Some(value) = self.map.get(key).filter(|v| !v.is_unit()) else { return Ok(None) };
        match value.clone().try_cast::<T>() {
            Some(handle) => Ok(Some(handle)),
            None => self.wrong(key, value, want),
        }
    }

    /// Any value.
    pub fn value(&self, key: &str) -> Option<&Dynamic> {
        self.map.get(key)
    }

    /// Numbers by name, an array in the order of `names`, or a map that names each.
    pub fn by_name(&self, key: &str, names: &[String]) -> ScriptResult<Option<Vec<f64>>> {
        let Some(value) = self.map.get(key) else { return Ok(None) };
        let number = |v: &Dynamic| v.as_float().ok().or(v.as_int().ok().map(|i| i as f64));
        if let Some(array) = value.clone().try_cast::<Array>() {
            return match array.iter().map(number).collect::<Option<Vec<f64>>>() {
                Some(numbers) if numbers.len() == names.len() => Ok(Some(numbers)),
                _ => self.wrong(key, value, &format!("{} numbers, one a domain", names.len())),
            };
        }
        let Some(map) = value.clone().try_cast::<Map>() else {
            return self.wrong(key, value, "a map from domain to number");
        };
        let known: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Some(name) = map.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(fail(unknown(&format!("`{key}`"), name, &known)));
        }
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            match map.get(name.as_str()).and_then(number) {
                Some(x) => numbers.push(x),
                None => {
                    return Err(fail(format!(
                        "option `{key}` of {} lacks a number for `{name}`",
                        self.of
                    )));
                }
            }
        }
        Ok(Some(numbers))
    }
}

/// A whole number, also when written with a point.
pub(crate) fn whole(v: &Dynamic) -> Option<INT> {
    v.as_int().ok().or_else(|| {
        let x = v.as_float().ok()?;
        (x.fract() == 0.0 && x.abs() < 9e15).then_some(x as INT)
    })
}

/// Says that a key is unknown, and which known one is nearest.
fn unknown(of: &str, key: &str, known: &[&str]) -> String {
    let hint = nearest(key, known.iter().copied())
        .map_or(String::new(), |k| format!("; did you mean `{k}`?"));
    format!("unknown option `{key}` of {of}{hint} (known: {})", known.join(", "))
}
