//! Help and the reference page, made from the doc comments of the script functions.

use rhai::Engine;
use woolshed_engine::names::nearest;

use crate::session::Display;

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
        let (_, kind) = self.parameters.first().filter(|_| self.method)?;
        HANDLES.into_iter().find(|h| h == kind)
    }

    /// How it is called: `run.step(n: int)`.
    pub fn signature(&self) -> String {
        let list = |p: &[(String, String)]| {
            p.iter()
                .map(|(n, t)| if t.is_empty() { n.clone() } else { format!("{n}: {t}") })
                .collect::<Vec<_>>()
                .join(", ")
        };
        let call = match self.method_of() {
            Some(_) if self.property => format!("{}.{}", self.parameters[0].0, self.name),
            Some(_) => {
                format!("{}.{}({})", self.parameters[0].0, self.name, list(&self.parameters[1..]))
            }
            None => format!("{}({})", self.name, list(&self.parameters)),
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

/// Types that scripts hold handles of.
pub(crate) const HANDLES: [&str; 7] =
    ["Model", "TargetShape", "Domains", "Run", "Sweep", "Table", "Chart"];

/// A Rust type as a script names it.
pub(crate) fn script_type(rust: &str) -> String {
    // Rhai lists every form of a text: `&str | ImmutableString | String`.
    let rust = rust.split(" | ").next().unwrap_or(rust);
    let inner = rust.trim().trim_start_matches("&mut ").trim_start_matches('&');
    let inner =
        inner.strip_prefix("ScriptResult<").and_then(|s| s.strip_suffix('>')).unwrap_or(inner);
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
            let m = info.metadata;
            let property = m.name.starts_with("get$");
            let name = m.name.trim_start_matches("get$");
            let hidden = ["to_string", "to_debug"].contains(&name) || name.contains('$');
            if m.comments.is_empty() || hidden {
                return None;
            }
            let params = || m.params_info.iter().filter(|p| !p.starts_with("ctx"));
            let method = params().next().is_some_and(|p| p.contains("&mut "));
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
        },
        false,
    );
    list.sort_by(|a, b| {
        let key = |f: &Function| (f.name.clone(), f.parameters.len(), f.parameters.clone());
        a.method_of().cmp(&b.method_of()).then_with(|| key(a).cmp(&key(b)))
    });
    list.dedup();
    list
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

/// Help on one name: every form of the function, with its documentation.
///
/// # Errors
/// No function has this name; the nearest is named.
pub fn help(rhai: &Engine, name: &str) -> Result<Display, String> {
    let all = functions(rhai);
    let found: Vec<&Function> = all.iter().filter(|f| f.name == name).collect();
    if found.is_empty() {
        let near = nearest(name, all.iter().map(|f| f.name.as_str()));
        let hint = near.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        return Err(format!("there is no function `{name}`{hint} (help() lists them all)"));
    }
    let markdown: Vec<String> =
        found.iter().map(|f| format!("**`{}`**\n\n{}", f.signature(), f.docs)).collect();
    let text: Vec<String> =
        found.iter().map(|f| format!("{}\n\n{}", f.signature(), f.docs)).collect();
    Ok(Display {
        text: text.join("\n\n"),
        markdown: Some(markdown.join("\n\n---\n\n")),
        name: format!("help-{name}"),
        ..Display::default()
    })
}

/// Every function in one line each.
pub fn overview(rhai: &Engine) -> Display {
    let all = functions(rhai);
    let mut text = String::new();
    let mut markdown = String::from("| call | what it does |\n|---|---|\n");
    for f in &all {
        text.push_str(&format!("{}\n    {}\n", f.signature(), f.summary()));
        markdown.push_str(&format!("| `{}` | {} |\n", f.signature(), f.summary()));
    }
    Display { text, markdown: Some(markdown), name: "help".into(), ..Display::default() }
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
            page.push_str(&format!("\n### `{}`\n\n{}\n", f.signature(), f.docs));
        }
    };
    part("Functions", None);
    for handle in HANDLES {
        part(&format!("Methods of `{handle}`"), Some(handle));
    }
    page
}
