//! Option maps: `#{steps: 300, lr: 0.001}`, read by key and checked for keys nobody knows.

use rhai::{Array, Dynamic, EvalAltResult, FLOAT, INT, Map};

use woolshed_engine::names::nearest;

use super::option_list::OptionList;
use super::reference::script_type;
use super::{ScriptResult, fail, fail_hinting};

/// The options of one call.
pub(crate) struct Options {
    list: &'static OptionList,
    map: Map,
}

impl Options {
    /// Takes the options of a call; a key that its list does not have is an error.
    pub fn new(list: &'static OptionList, map: Map) -> ScriptResult<Self> {
        if let Some(key) = map.keys().find(|key| list.get(key).is_none()) {
            return Err(unknown(list, key));
        }
        Ok(Self { list, map })
    }

    /// The call that they are of.
    pub fn of(&self) -> &'static str {
        self.list.of
    }

    /// An option of the list has a value that it does not take.
    fn refuse(&self, key: &str, message: String) -> Box<EvalAltResult> {
        match self.list.get(key) {
            Some(option) => fail_hinting(message, option),
            None => fail(message),
        }
    }

    /// Says what a key takes instead of its value.
    pub fn wrong<T>(&self, key: &str, value: &Dynamic, want: &str) -> ScriptResult<T> {
        let (of, have) = (self.of(), script_type(value.type_name()));
        let message = format!("option `{key}` of {of} is {value} ({have}); it takes {want}");
        Err(self.refuse(key, message))
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
    pub fn no_choice(&self, key: &str, word: &str) -> Box<EvalAltResult> {
        let option = self.list.get(key);
        let known = option.as_ref().map_or(&[][..], |option| option.takes.words());
        let hint = nearest(word, known.iter().copied())
            .map_or(String::new(), |k| format!("; did you mean \"{k}\"?"));
        let known: Vec<String> = known.iter().map(|k| format!("\"{k}\"")).collect();
        let (of, known) = (self.of(), known.join(", "));
        self.refuse(key, format!("option `{key}` of {of} is \"{word}\"{hint} (known: {known})"))
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
            let hint = nearest(name, known.iter().copied())
                .map_or(String::new(), |k| format!("; did you mean `{k}`?"));
            return Err(fail(format!(
                "option `{key}` of {} names `{name}`, which is no domain{hint} (domains: {})",
                self.of(),
                known.join(", ")
            )));
        }
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            match map.get(name.as_str()).and_then(number) {
                Some(x) => numbers.push(x),
                None => {
                    return Err(fail(format!(
                        "option `{key}` of {} lacks a number for `{name}`",
                        self.of()
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
fn unknown(list: &OptionList, key: &str) -> Box<EvalAltResult> {
    let known = list.names();
    let near = nearest(key, known.iter().copied());
    let hint = near.map_or(String::new(), |k| format!("; did you mean `{k}`?"));
    let message =
        format!("unknown option `{key}` of {}{hint} (known: {})", list.of, known.join(", "));
    match near.and_then(|near| list.get(near)) {
        Some(option) => fail_hinting(message, option),
        None => fail(message),
    }
}
