//! What the result of a point depends on, as one text: the closure's code with the functions it calls,
//! what it captured, the session's seed, the program's version, and the point's parameters.

use std::collections::BTreeSet;

use rhai::{Array, Dynamic, FnPtr, Map, NativeCallContext};
use woolshed_engine::model::Model;
use woolshed_engine::view::Table;

use crate::script::domains::DomainsHandle;
use crate::script::reference::script_type;
use crate::script::runs::RunHandle;
use crate::script::shapes::TargetHandle;
use crate::script::{ScriptResult, fail, host, raise, shapes};

/// Writes down all that the results of a sweep depend on, besides the parameters.
///
/// # Errors
/// A captured value that cannot be told from another.
pub(super) fn of_closure(ctx: &NativeCallContext, closure: &FnPtr) -> ScriptResult<String> {
    let host = host(ctx)?;
    let mut seen = BTreeSet::new();
    let mut text = format!("woolshed {} seed {}\n", env!("CARGO_PKG_VERSION"), host.seed());
    function(ctx, closure.fn_name(), &mut seen, &mut text);
    if seen.contains("param") {
        text.push_str(&format!("params {:?}\n", host.params()));
    }
    // Functions see variables of the notebook by their names.
    for name in &seen {
        if let Some(variable) = host.visible(name) {
            text.push_str(&format!("{name}: "));
            value(ctx, &variable, &mut text)?;
            text.push('\n');
        }
    }
    for captured in closure.iter_curry() {
        value(ctx, captured, &mut text)?;
        text.push('\n');
    }
    Ok(text)
}

/// Writes down the code of a script function and of those it names.
fn function(ctx: &NativeCallContext, name: &str, seen: &mut BTreeSet<String>, text: &mut String) {
    if !seen.insert(name.to_string()) {
        return;
    }
    let mut bodies = Vec::new();
    for module in ctx.iter_namespaces() {
        for (_, _, found, _, definition) in module.iter_script_fn_info() {
            if found == name {
                bodies.push(placeless(&format!("{:?} {:?}", definition.params, definition.body)));
            }
        }
    }
    // The library holds earlier cells; the newest definition comes first there, and all count.
    for body in &bodies {
        // The name of a closure is a hash of its code and its place.
        text.push_str(&format!("fn {}\n", closures_alike(body)));
    }
    for body in bodies {
        for called in named(&body) {
            function(ctx, &called, seen, text);
        }
    }
}

/// The quoted words of a printed body: names of functions and texts alike.
fn named(body: &str) -> BTreeSet<String> {
    body.split('"').filter(|w| !w.is_empty() && w.len() < 200).map(String::from).collect()
}

/// A printed body without the places in the file: `3:14`, ` @ 3:1-4:2`. Texts stay as they are.
fn placeless(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => text_length(rest),
            '0'..='9' => {
                let place = |c: char| c.is_ascii_digit() || ":-.".contains(c);
                let length = rest.find(|c| !place(c)).unwrap_or(rest.len());
                if rest[..length].contains(':') {
                    rest = &rest[length..];
                    continue;
                }
                length
            }
            // The character `"`, which begins no text.
            '\'' if rest.starts_with("'\"'") => 3,
            _ => c.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

/// The length of the quoted text that `from` begins with.
fn text_length(from: &str) -> usize {
    let mut escaped = false;
    for (at, c) in from.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    from.len()
}

/// A printed body with all its closures called alike.
fn closures_alike(body: &str) -> String {
    let mut parts = body.split("anon$");
    let mut out = parts.next().unwrap_or_default().to_string();
    for part in parts {
        out.push_str("anon$");
        out.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    out
}

/// Writes a value down, with every digit.
///
/// # Errors
/// A kind of value that cannot be told from another of its kind.
pub(super) fn value(ctx: &NativeCallContext, of: &Dynamic, text: &mut String) -> ScriptResult<()> {
    if let Some(array) = of.read_lock::<Array>() {
        text.push('[');
        for item in array.iter() {
            value(ctx, item, text)?;
            text.push(',');
        }
        text.push(']');
    } else if let Some(map) = of.read_lock::<Map>() {
        text.push('{');
        for (key, item) in map.iter() {
            text.push_str(&format!("{key:?}:"));
            value(ctx, item, text)?;
            text.push(',');
        }
        text.push('}');
    } else if let Some(model) = of.read_lock::<Model>() {
        text.push_str(&format!("Model {}", model.digest().map_err(raise)?));
    } else if let Some(domains) = of.read_lock::<DomainsHandle>() {
        text.push_str(&format!("Domains {}", domains.identity()));
    } else if let Some(target) = of.read_lock::<TargetHandle>() {
        text.push_str(&shapes::describe(&target));
    } else if let Some(run) = of.read_lock::<RunHandle>() {
        text.push_str(&format!("Run {}", run.lock().hash().map_err(raise)?));
    } else if let Some(table) = of.read_lock::<Table>() {
        text.push_str(&format!("Table {} {:?}", table.title(), table.column_names()));
        for name in table.column_names() {
            text.push_str(&format!(" {:?}", table.cells(&name).map_err(raise)?));
        }
    } else if let Some(closure) = of.read_lock::<FnPtr>() {
        text.push_str(&of_closure(ctx, &closure)?);
    } else if of.is_unit() || of.is_bool() || of.is_int() || of.is_string() || of.is_char() {
        text.push_str(&format!("{of:?}"));
    } else if let Ok(x) = of.as_float() {
        text.push_str(&format!("{x:?}f"));
    } else {
        return Err(fail(format!(
            "a sweep with `dir` cannot tell one {} from another; make it inside the closure",
            script_type(of.type_name())
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_code_elsewhere_has_the_same_text() {
        let code = "let k = [1]; sweep(|p| { let x = p.a + k[0]; if x > 1 { throw `no ${x}`; } \
                    switch p.b { 1 => #{y: f(x)}, \"c\" if x > 0 => k.map(|v| v * 2), _ => () } })";
        let text = |code: &str| {
            let ast = rhai::Engine::new().compile(code).unwrap();
            let mut all: Vec<String> = ast
                .shared_lib()
                .iter_script_fn_info()
                .map(|(.., of)| closures_alike(&placeless(&format!("{:?}", of.body))))
                .collect();
            all.sort();
            assert_eq!(all.len(), 2);
            all.concat()
        };
        assert_eq!(text(code), text(&format!("// moved\n\n      {code}")));
        for (from, to) in [("v * 2", "v * 3"), ("no ${x}", "no 1:2 ${x}"), ("x > 1", "x > 2")] {
            assert_ne!(text(code), text(&code.replace(from, to)), "{from}");
        }
    }

    #[test]
    fn places_and_names_of_closures_do_not_count() {
        let said =
            placeless("Var(x) @ 3:14, Throw(\"at 3:14 \\\" 1:2\", 5:1), 12.5 @ 3:1-4:2, '\"' 7:7");
        assert_eq!(said, "Var(x) @ , Throw(\"at 3:14 \\\" 1:2\", ), 12.5 @ , '\"' ");
        assert_eq!(closures_alike("f(\"anon$12ab\", \"anon$ff\")"), "f(\"anon$\", \"anon$\")");
    }
}
