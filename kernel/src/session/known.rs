//! What a name that is not there probably means: the nearest one of the right kind, with its signature.

use rhai::{Dynamic, Map};
use woolshed_engine::names::nearest;

use crate::script::help::Catalog;
use crate::script::reference::{Function, script_type};

/// A message, and one thing to try.
type Told = (String, Option<String>);

/// What there is where code failed.
pub struct Known<'a> {
    /// Every function of Woolshed and the language.
    pub catalog: &'a Catalog,
    /// Functions that cells have defined.
    pub defined: Vec<Function>,
    /// Variables.
    pub variables: Vec<&'a str>,
    /// Keys of the maps among them.
    pub keys: Vec<String>,
}

/// The keys of a map and of the maps in it.
pub(super) fn keys_of(value: &Dynamic) -> Vec<String> {
    let Some(map) = value.read_lock::<Map>() else { return Vec::new() };
    map.iter().flat_map(|(k, v)| std::iter::once(k.to_string()).chain(keys_of(v))).collect()
}

/// A type with its article.
fn a(kind: &str) -> String {
    match kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => format!("an {kind}"),
        false => format!("a {kind}"),
    }
}

impl<'a> Known<'a> {
    /// What there is without a session around: functions.
    pub fn functions(catalog: &'a Catalog) -> Self {
        Self { catalog, defined: Vec::new(), variables: Vec::new(), keys: Vec::new() }
    }

    fn all(&self) -> impl Iterator<Item = &Function> {
        self.defined.iter().chain(self.catalog.all())
    }

    /// A call that fits no function: an unknown name, or the wrong arguments. `signature` is as Rhai
    /// writes it: `step (Run, string)`.
    pub(super) fn no_function(&self, signature: &str) -> Told {
        let (name, arguments) = signature.split_once(" (").unwrap_or((signature, ")"));
        let arguments = arguments.trim_end_matches(')');
        let arguments: Vec<String> =
            arguments.split(", ").filter(|a| !a.is_empty()).map(script_type).collect();
        let first = arguments.first().map_or("", String::as_str);
        let of_first: Vec<&Function> =
            self.all().filter(|f| f.name == name && f.method_of() == Some(first)).collect();
        if !of_first.is_empty()
            && self.catalog.functions.iter().any(|f| f.method_of() == Some(first))
        {
            return wrong_arguments(&of_first[0].call(), &arguments[1..], &of_first, 1);
        }
        // Of the language's own functions those of this type; of others every form may be meant.
        let ours = |f: &&Function| f.name == name && (!f.method || f.method_of() != Some(first));
        let mut same: Vec<&Function> =
            self.defined.iter().chain(&self.catalog.functions).filter(ours).collect();
        if same.is_empty() {
            same = self.catalog.language.iter().filter(|f| f.name == name).collect();
            if same.iter().any(|f| f.method_of() == Some(first)) {
                same.retain(|f| f.method_of() == Some(first));
            }
            same.truncate(4);
        }
        let on_others = same.iter().all(|f| f.method);
        let has_methods = self.catalog.functions.iter().any(|f| f.method_of() == Some(first));
        let elsewhere = on_others && has_methods;
        if !elsewhere && !same.is_empty() {
            return wrong_arguments(name, &arguments, &same, 0);
        }
        let near = |fits: &dyn Fn(&Function) -> bool| {
            let names = self.all().filter(|f| fits(f)).map(|f| f.name.as_str());
            let near = nearest(name, names)?;
            self.all().find(|f| fits(f) && f.name == near)
        };
        let near = near(&|f| f.method_of() == Some(first))
            .or_else(|| self.all().find(|f| f.name == name))
            .or_else(|| near(&|f| !f.method));
        let what = match has_methods {
            true => format!("{} has no function `{name}`", a(first)),
            false => format!("there is no function `{name}({})`", arguments.join(", ")),
        };
        let hint = near.map(Function::signature);
        let otherwise = match has_methods {
            true => format!("help(\"{first}\") lists what {} has", a(first)),
            false => "help() lists the functions".to_string(),
        };
        (what, Some(hint.unwrap_or(otherwise)))
    }

    /// A variable that is not there.
    pub(super) fn no_variable(&self, variable: &str) -> Told {
        let message = format!("there is no variable `{variable}`");
        let function = |name: &str| self.all().find(|f| f.name == name && !f.method);
        if let Some(f) = function(variable) {
            return (message, Some(format!("`{variable}` is a function: {}", f.signature())));
        }
        if let Some(near) = nearest(variable, self.variables.iter().copied()) {
            return (message, Some(format!("`{near}`, a variable")));
        }
        let names = self.all().filter(|f| !f.method).map(|f| f.name.as_str());
        let near = nearest(variable, names).and_then(function);
        (message, near.map(Function::signature))
    }

    /// A key that a map does not have.
    pub(super) fn no_key(&self, key: &str) -> Told {
        let message = format!("this map has no `{key}`");
        let hint = match nearest(key, self.keys.iter().map(String::as_str)) {
            Some(near) => format!("`{near}`, a key of a map here"),
            None => format!("its `keys()`; `\"{key}\" in map` asks whether there is one"),
        };
        (message, Some(hint))
    }

    /// A property that is not there. `text` is as Rhai writes it.
    pub(super) fn no_property(&self, text: &str) -> Told {
        let parts = || {
            let rest = text
                .strip_prefix("Unknown property \'")
                .or_else(|| text.strip_prefix("No writable property \'"))?;
            let (name, rest) = rest.split_once('\'')?;
            let (_, kind) = rest.split_once("for type \'")?;
            Some((name, script_type(kind.split('\'').next()?)))
        };
        let Some((name, kind)) = parts() else { return (text.to_string(), None) };
        let sets = text.contains("a setter is");
        let message = match sets {
            true => format!("{} has no property `{name}` that can be set", a(&kind)),
            false => format!("{} has no property `{name}`", a(&kind)),
        };
        let methods: Vec<&Function> = self.catalog.methods(&kind).collect();
        if let Some(f) = methods.iter().find(|f| f.name == name) {
            let what = if f.property { "can only be read" } else { "is a function" };
            return (message, Some(format!("`{name}` {what}: {}", f.signature())));
        }
        let near = nearest(name, methods.iter().map(|f| f.name.as_str()));
        let near = near.and_then(|near| methods.iter().find(|f| f.name == near));
        let hint = match (near, methods.is_empty()) {
            (Some(f), _) => Some(f.signature()),
            (None, false) => Some(format!("help(\"{kind}\") lists what {} has", a(&kind))),
            (None, true) => None,
        };
        (message, hint)
    }
}

/// A call of something that is there with arguments that no form of it takes. `skip` parameters stand
/// before the dot.
fn wrong_arguments(call: &str, given: &[String], forms: &[&Function], skip: usize) -> Told {
    let list =
        if given.is_empty() { "no arguments".into() } else { format!("({})", given.join(", ")) };
    let mut message = format!("`{call}` does not take {list}");
    // With one form of that many parameters, it is known which argument is wrong.
    let mut fitting = forms.iter().filter(|f| f.parameters.len() == given.len() + skip);
    if let (Some(form), None) = (fitting.next(), fitting.next()) {
        let wrong = form.parameters[skip..]
            .iter()
            .zip(given)
            .find(|((_, wanted), is)| !wanted.is_empty() && wanted != "any" && wanted != *is);
        if let Some(((name, wanted), is)) = wrong {
            message.push_str(&format!(": `{name}` is {}, not {}", a(wanted), a(is)));
        }
    }
    let forms: Vec<String> = forms.iter().map(|f| f.signature()).collect();
    (message, Some(forms.join("  or  ")))
}
