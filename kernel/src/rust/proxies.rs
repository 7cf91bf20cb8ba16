//! The part of the client crate that is made from the script functions: `client/src/proxies.rs`.
//!
//! Rust knows no two functions of one name. Of the forms of a script function the shortest keeps the
//! name; one that takes `options` besides is `.._with`; another is `.._by_` and the parameters that the
//! shortest has not. A form that differs in the types or order of its parameters only, or that takes a
//! closure, is left out.

use std::collections::BTreeSet;
use std::fmt::Write;

use rhai::Engine;

use crate::script::reference::{self, Function, HANDLES};

/// What the crate does itself.
const OWN: [&str; 1] = ["show"];

/// The text of the file.
pub fn source(rhai: &Engine) -> String {
    let mut out = String::from(
        "//! Made from the script functions by a test of the kernel (`rust/proxies.rs` there); not to be edited.\n\
         //!\n\
         //! A type for every kind of handle, its methods, and the functions that belong to none.\n\n\
         #![allow(clippy::len_without_is_empty, clippy::too_many_arguments)]\n\n\
         use crate::value::{display, text};\n\
         use crate::{Error, FromValue, Handle, Lab, Map, Result, Value};\n\n\
         macro_rules! proxy {\n\
         \x20   ($name:ident) => {\n\
         \x20       impl $name {\n\
         \x20           /// Shows it under a cell; the notebook calls this.\n\
         \x20           pub fn evcxr_display(&self) {\n\
         \x20               display(self.into());\n\
         \x20           }\n\
         \x20       }\n\n\
         \x20       impl std::fmt::Debug for $name {\n\
         \x20           fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {\n\
         \x20               f.write_str(&text(self.into()))\n\
         \x20           }\n\
         \x20       }\n\n\
         \x20       impl FromValue for $name {\n\
         \x20           fn from_value(value: Value) -> Result<Self> {\n\
         \x20               match value {\n\
         \x20                   Value::Handle(handle) if handle.kind() == stringify!($name) => Ok(Self(handle)),\n\
         \x20                   other => {\n\
         \x20                       Err(Error::Type { want: stringify!($name), got: other.kind().to_owned() })\n\
         \x20                   }\n\
         \x20               }\n\
         \x20           }\n\
         \x20       }\n\n\
         \x20       impl From<&$name> for Value {\n\
         \x20           fn from(proxy: &$name) -> Value {\n\
         \x20               Value::Handle(proxy.0.clone())\n\
         \x20           }\n\
         \x20       }\n\n\
         \x20       impl From<$name> for Value {\n\
         \x20           fn from(proxy: $name) -> Value {\n\
         \x20               Value::Handle(proxy.0)\n\
         \x20           }\n\
         \x20       }\n\
         \x20   };\n\
         }\n",
    );
    let all = reference::functions(rhai);
    let of = |handle: Option<&str>| -> Vec<(String, &Function)> {
        let mut fitting: Vec<&Function> = all
            .iter()
            .filter(|f| f.method_of() == handle && !OWN.contains(&f.name.as_str()))
            .collect();
        fitting.retain(|f| f.parameters.iter().all(|(_, kind)| kind != "closure"));
        named(&fitting)
    };
    out.push_str("\nimpl Lab {\n");
    for (i, handle) in HANDLES.iter().enumerate() {
        let gap = if i == 0 { "" } else { "\n" };
        let _ = write!(
            out,
            "{gap}    /// The `{handle}` that Rhai cells call `name`.\n    \
             pub fn {}(&self, name: &str) -> Result<{handle}> {{\n        self.get(name)\n    }}\n",
            snake(handle)
        );
    }
    out.push_str("}\n");
    for handle in HANDLES {
        let _ = write!(
            out,
            "\n/// A `{handle}` that lives in the kernel; clones are the same one.\n\
             #[derive(Clone, PartialEq)]\npub struct {handle}(Handle);\n\n\
             proxy!({handle});\n\nimpl {handle} {{\n"
        );
        for (i, (name, function)) in of(Some(handle)).iter().enumerate() {
            if i > 0 {
                out.push('\n');
            }
            out.push_str(&render(name, function, "    "));
        }
        out.push_str("}\n");
    }
    for (name, function) in of(None) {
        out.push('\n');
        out.push_str(&render(&name, function, ""));
    }
    out
}

/// Gives every function a name of its own; those that find none are left out.
fn named<'a>(functions: &[&'a Function]) -> Vec<(String, &'a Function)> {
    let mut taken = BTreeSet::new();
    let mut out: Vec<(String, &Function)> = Vec::new();
    for function in functions {
        // They come sorted by name and number of parameters: the first is the shortest.
        let first = out.iter().find(|(name, _)| *name == function.name).map(|(_, f)| *f);
        let name = match first {
            None => function.name.clone(),
            Some(first) => {
                let known = |name: &str| first.parameters.iter().any(|(n, _)| n == name);
                let new: Vec<&str> = function
                    .parameters
                    .iter()
                    .map(|(n, _)| n.as_str())
                    .filter(|n| !known(n))
                    .collect();
                match new.as_slice() {
                    [] => continue,
                    ["options"] => format!("{}_with", function.name),
                    new => {
                        let new: Vec<&str> =
                            new.iter().copied().filter(|n| *n != "options").collect();
                        format!("{}_by_{}", function.name, new.join("_"))
                    }
                }
            }
        };
        if taken.insert(name.clone()) {
            out.push((name, function));
        }
    }
    out
}

fn render(name: &str, function: &Function, indent: &str) -> String {
    let method = function.method_of().is_some();
    let skip = usize::from(method);
    let mut parameters: Vec<String> = Vec::new();
    let mut arguments: Vec<String> = Vec::new();
    for (parameter, kind) in &function.parameters[skip..] {
        let rust = match kind.as_str() {
            "text" => "&str".to_string(),
            "int" => "i64".to_string(),
            "float" => "f64".to_string(),
            "bool" => "bool".to_string(),
            handle if HANDLES.contains(&handle) => format!("&{handle}"),
            _ => "impl Into<Value>".to_string(),
        };
        parameters.push(format!("{parameter}: {rust}"));
        arguments.push(format!("{parameter}.into()"));
    }
    let returns = match function.returns.as_str() {
        "" => "()",
        "text" => "String",
        "int" => "i64",
        "float" => "f64",
        "bool" => "bool",
        "map" => "Map",
        handle if HANDLES.contains(&handle) => handle,
        _ => "Value",
    };
    let own = if method { "&self" } else { "" };
    let list: Vec<&str> = [own]
        .into_iter()
        .chain(parameters.iter().map(String::as_str))
        .filter(|p| !p.is_empty())
        .collect();
    let call = match (method, function.property) {
        (true, true) => format!("self.0.property(\"{}\")", function.name),
        (true, false) => {
            format!("self.0.call(\"{}\", vec![{}])", function.name, arguments.join(", "))
        }
        _ => format!("crate::lab.call(\"{}\", vec![{}])", function.name, arguments.join(", ")),
    };
    let mut out = String::new();
    for line in function.summary().lines() {
        let _ = writeln!(out, "{indent}/// {}", line.trim());
    }
    let _ = writeln!(out, "{indent}///\n{indent}/// As in Rhai: `{}`.", function.signature());
    let _ = writeln!(out, "{indent}pub fn {name}({}) -> Result<{returns}> {{", list.join(", "));
    let _ = writeln!(out, "{indent}    {call}?.to()");
    let _ = writeln!(out, "{indent}}}");
    out
}

/// `TargetShape` as `target_shape`.
fn snake(name: &str) -> String {
    let mut out = String::new();
    for (i, c) in name.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::session::{HostOptions, Quiet, Session};

    /// The functions with their code, one a line. Breaks are the formatter's affair, and the words of a
    /// comment may be older than those of the script function.
    fn bare(text: &str) -> Vec<String> {
        let code = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.starts_with("///") || line.starts_with("/// As in Rhai"));
        let text: String = code.flat_map(str::split_whitespace).collect();
        let text = text.replace(",)", ")").replace(",]", "]").replace(",}", "}");
        text.split("pubfn").map(String::from).collect()
    }

    /// With WOOLSHED_WRITE set, the test writes the file instead.
    #[test]
    fn the_client_crate_offers_what_the_script_functions_are() {
        let session = Session::new(HostOptions::default(), Arc::new(Quiet));
        let made = source(session.rhai());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("client/src/proxies.rs");
        if std::env::var_os("WOOLSHED_WRITE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap();
        let (there, made) = (bare(&there), bare(&made));
        let gone: Vec<&String> = there.iter().filter(|one| !made.contains(one)).collect();
        let new: Vec<&String> = made.iter().filter(|one| !there.contains(one)).collect();
        assert!(
            gone.is_empty() && new.is_empty(),
            "write it anew: WOOLSHED_WRITE=1 cargo test --release -p woolshed-kernel proxies, \
             then cargo fmt --all\nnot there: {new:?}\nno longer: {gone:?}"
        );
    }

    #[test]
    fn every_form_has_a_name_of_its_own() {
        let session = Session::new(HostOptions::default(), Arc::new(Quiet));
        let made = source(session.rhai());
        for function in [
            "pub fn step(&self, n: i64) -> Result<Map>",
            "pub fn hold_by_kind_layer_index(&self, kind: &str, layer: i64, index: i64, state: &str)",
            "pub fn prune_with(model: &Model, target: &TargetShape, domains: &Domains, \
             options: impl Into<Value>) -> Result<Run>",
            "pub fn target_shape_by_name(name: &str) -> Result<TargetShape>",
            "pub fn name(&self) -> Result<String>",
            "pub fn run(&self, name: &str) -> Result<Run>",
        ] {
            assert!(made.contains(function), "{function}");
        }
        assert!(!made.contains("pub fn sweep(points"), "closures cannot pass");
    }
}
