//! The script functions as their definitions describe them, and the reference page made of them.

use rhai::{AST, Engine, FuncInfo};

use super::option_list::{self, OptionList};

/// A script function as its definition describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters with their types; the first is the handle of a method.
    pub parameters: Vec<(String, String)>,
    /// Whether it is a method: its first parameter is a handle it is called on.
    pub method: bool,
    /// Whether it is read without parentheses: `model.name`.
    pub property: bool,
    /// What it returns.
    pub returns: String,
    /// Its documentation, Markdown.
    pub docs: String,
}

impl Function {
    /// The type whose method it is, if it is one.
    pub fn method_of(&self) -> Option<&str> {
        self.parameters.first().filter(|_| self.method).map(|(_, kind)| kind.as_str())
    }

    /// What is called: `prune`, `run.step`.
    pub fn call(&self) -> String {
        match self.parameters.first().filter(|_| self.method) {
            Some((handle, _)) => format!("{handle}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The options it takes in a map, if it takes any.
    pub fn options(&self) -> Option<&'static OptionList> {
        let (name, kind) = self.parameters.last()?;
        // A map of texts by domain is no map of options.
        if kind == "map" && name != "texts" { option_list::of(&self.call()) } else { None }
    }

    /// Its documentation with its options before the first example.
    pub fn docs_with(&self, options: impl Fn(&OptionList) -> String) -> String {
        let Some(list) = self.options() else { return self.docs.clone() };
        let mut text = options(list);
        inside(list, &options, &mut text);
        let (before, after) = match self.docs.find("```") {
            Some(at) => self.docs.split_at(at),
            None => (self.docs.as_str(), ""),
        };
        format!("{}\n\n{text}\n{after}", before.trim_end()).trim_end().to_string()
    }

    /// How it is called: `run.step(n: int)`.
    pub fn signature(&self) -> String {
        let list = |p: &[(String, String)]| {
            p.iter()
                .map(|(n, t)| if t.is_empty() { n.clone() } else { format!("{n}: {t}") })
                .collect::<Vec<_>>()
                .join(", ")
        };
        let call = self.call();
        let call = match self.method {
            true if self.property => call,
            true => format!("{call}({})", list(&self.parameters[1..])),
            false => format!("{call}({})", list(&self.parameters)),
        };
        if self.returns.is_empty() { call } else { format!("{call} -> {}", self.returns) }
    }

    /// The first sentence of its documentation.
    pub fn summary(&self) -> String {
        let text = self.docs.split("\n\n").next().unwrap_or("").replace('\n', " ");
        match text.split_once(". ") {
            Some((first, _)) => format!("{first}."),
            None => text,
        }
    }
}

/// Adds the options inside options.
fn inside(list: &OptionList, options: &impl Fn(&OptionList) -> String, text: &mut String) {
    for option in list.options() {
        if let Some(deeper) = option.takes.inside() {
            text.push_str(&format!("\nInside `{}`:\n\n{}", option.name, options(deeper)));
            inside(deeper, options, text);
        }
    }
}

/// Types that scripts hold handles of.
pub(crate) const HANDLES: [&str; 7] =
    ["Model", "TargetShape", "Domains", "Run", "Sweep", "Table", "Chart"];

/// A Rust type as a script names it.
pub(crate) fn script_type(rust: &str) -> String {
    // Rhai lists every form of a text: `&str | ImmutableString | String`.
    let rust = rust.split(" | ").next().unwrap_or(rust);
    let inner = rust.trim().trim_start_matches("&mut ").trim_start_matches('&');
    let result = inner.strip_prefix("ScriptResult<").or(inner.strip_prefix("RhaiResultOf<"));
    let inner = result.and_then(|s| s.strip_suffix('>')).unwrap_or(inner).trim();
    let last = inner.rsplit("::").next().unwrap_or(inner).trim();
    match last {
        "INT" | "i64" => "int",
        "FLOAT" | "f64" => "float",
        "str" | "string" | "String" | "ImmutableString" => "text",
        "bool" => "bool",
        "Map" => "map",
        "Array" => "array",
        "Dynamic" => "any",
        "()" | "" => "",
        "RunHandle" => "Run",
        "DomainsHandle" => "Domains",
        "TargetHandle" => "TargetShape",
        "SweepHandle" => "Sweep",
        "FnPtr" | "Fn" => "closure",
        other => other,
    }
    .to_string()
}

/// Lists the script functions of Woolshed (not those of the language itself).
pub fn functions(rhai: &Engine) -> Vec<Function> {
    let mut list = rhai.collect_fn_metadata(
        None,
        |info| {
            let function = described(&info)?;
            let method = function.method
                && HANDLES.contains(&function.parameters.first().map_or("", |(_, kind)| kind));
            Some(Function { method, ..function })
        },
        false,
    );
    order(&mut list);
    list
}

/// Lists the functions of the language itself. What can be called on a value of it counts as a method
/// of its type.
pub fn language(rhai: &Engine) -> Vec<Function> {
    let ours = functions(rhai);
    let mut list = rhai.collect_fn_metadata(
        None,
        |info| {
            let mut function = described(&info)?;
            let (_, kind) = function.parameters.first()?;
            function.method = !kind.is_empty() && kind != "any";
            Some(function)
        },
        true,
    );
    list.retain(|f| !ours.iter().any(|our| our.name == f.name && our.docs == f.docs));
    order(&mut list);
    list
}

/// Lists the functions that scripts have defined.
pub fn defined(library: &AST) -> Vec<Function> {
    let named = |f: &rhai::ScriptFnMetadata| !f.name.starts_with("anon$");
    let list = library.iter_functions().filter(named).map(|f| Function {
        name: f.name.to_string(),
        parameters: f.params.iter().map(|p| (p.to_string(), String::new())).collect(),
        method: false,
        property: false,
        returns: String::new(),
        docs: clean(&f.comments),
    });
    list.collect()
}

fn order(list: &mut Vec<Function>) {
    list.sort_by(|a, b| {
        let key = |f: &Function| (f.name.clone(), f.parameters.len(), f.parameters.clone());
        let of = |f: &Function| f.method_of().map(str::to_string);
        of(a).cmp(&of(b)).then_with(|| key(a).cmp(&key(b)))
    });
    list.dedup();
}

/// A function with documentation; none for one that nobody calls by its name.
fn described(info: &FuncInfo<'_>) -> Option<Function> {
    let m = info.metadata;
    let property = m.name.starts_with("get$");
    let name = m.name.trim_start_matches("get$");
    let hidden = ["to_string", "to_debug"].contains(&name)
        || !name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        || name.contains('$');
    if m.comments.is_empty() || hidden {
        return None;
    }
    let mut params = m.params_info.iter().filter(|p| !p.starts_with("ctx"));
    let method = params.next().is_some_and(|p| p.contains("&mut "));
    let parameters: Vec<(String, String)> = m
        .params_info
        .iter()
        .map(|p| match p.split_once(':') {
            Some((name, kind)) => (name.trim().to_string(), script_type(kind)),
            None => (p.to_string(), String::new()),
        })
        .filter(|(name, _)| name != "ctx")
        .collect();
    let returns = script_type(m.return_type.as_str());
    Some(Function {
        name: name.to_string(),
        parameters,
        method,
        property,
        returns,
        docs: clean(&m.comments),
    })
}

/// Doc comments without their slashes.
fn clean(comments: &[impl AsRef<str>]) -> String {
    let lines = comments.iter().flat_map(|c| c.as_ref().lines());
    let text: Vec<&str> = lines
        .map(|l| {
            l.trim_start()
                .trim_start_matches("///")
                .strip_prefix(' ')
                .unwrap_or(l.trim_start().trim_start_matches("///"))
        })
        .collect();
    text.join("\n").trim().to_string()
}

/// The reference page, Markdown.
pub fn page(rhai: &Engine) -> String {
    let all = functions(rhai);
    let mut page = String::from(
        "# Script functions\n\nMade from the comments on the functions' definitions by `woolshed reference`; a test keeps it true.\n",
    );
    let mut part = |title: &str, of: Option<&str>| {
        page.push_str(&format!("\n## {title}\n"));
        for f in all.iter().filter(|f| f.method_of() == of) {
            page.push_str(&format!(
                "\n### `{}`\n\n{}\n",
                f.signature(),
                f.docs_with(OptionList::markdown)
            ));
        }
    };
    part("Functions", None);
    for handle in HANDLES {
        part(&format!("Methods of `{handle}`"), Some(handle));
    }
    page
}
