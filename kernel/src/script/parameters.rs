//! Values given from outside (`-p name=value`), read as the type of what they stand in for.
//!
//! A script asks for them with `param(name, default)`. A cell tagged `parameters` asks for nothing: it
//! sets variables, and the given values are set over them.

use rhai::{Array, Dynamic, Scope};

use super::literal;
use super::options::whole;
use crate::session::Host;

/// Reads the value given for the parameter `name` as the type of its default. For an array it takes
/// values with commas between, each read as the default's first.
///
/// # Errors
/// A sentence that says what the parameter takes.
pub fn read(name: &str, default: &Dynamic, given: &str) -> Result<Dynamic, String> {
    let wrong = |want: &str| {
        format!("parameter `{name}` is \"{given}\"; it takes {want} (as its default {default})")
    };
    if let Some(array) = default.read_lock::<Array>() {
        let of = array.first().cloned().unwrap_or(Dynamic::UNIT);
        let items = given.split(',').map(|item| read_as(&of, item.trim()).map_err(wrong));
        return Ok(Dynamic::from_array(items.collect::<Result<Array, String>>()?));
    }
    read_as(default, given).map_err(wrong)
}

/// Reads a text as the type of `like`, or says what that type takes.
fn read_as(like: &Dynamic, given: &str) -> Result<Dynamic, &'static str> {
    if like.is_int() {
        let float = given.parse::<f64>().ok().and_then(|x| whole(&Dynamic::from_float(x)));
        return given.parse().ok().or(float).map(Dynamic::from_int).ok_or("a whole number");
    }
    if like.is_float() {
        return given.parse().map(Dynamic::from_float).map_err(|_| "a number");
    }
    if like.is_bool() {
        return given.parse().map(Dynamic::from_bool).map_err(|_| "true or false");
    }
    Ok(Dynamic::from(given.to_string()))
}

/// The code that sets the given values over the variables of these names; empty when none of them is
/// there, or all have been asked for.
///
/// # Errors
/// As [`read`].
pub fn over(scope: &Scope<'_>, host: &Host) -> Result<String, String> {
    let asked = host.asked_params();
    let mut code = String::new();
    for (name, given) in host.params() {
        let Some(default) = scope.get(name).filter(|_| !asked.contains(name)) else { continue };
        let value = read(name, default, given)?;
        // What is asked for counts as used.
        host.param(name);
        code.push_str(&format!("let {name} = {};\n", written(&value)));
    }
    Ok(code)
}

/// A value of [`read`] as the language writes it.
fn written(value: &Dynamic) -> String {
    if let Some(array) = value.read_lock::<Array>() {
        let items: Vec<String> = array.iter().map(written).collect();
        return format!("[{}]", items.join(", "));
    }
    match (value.as_float(), value.is_string()) {
        (Ok(x), _) => literal::float(x),
        (_, true) => literal::text(&value.to_string()),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::{HostOptions, Output, Session};

    struct Nowhere;

    impl Output for Nowhere {
        fn stdout(&self, _: &str) {}
        fn stderr(&self, _: &str) {}
        fn display(&self, _: &crate::session::Display) {}
        fn progress(&self, _: &woolshed_engine::progress::Progress) {}
        fn progress_done(&self, _: &str) {}
    }

    fn session(code: &str, given: &[(&str, &str)]) -> Session {
        let params = given.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        let options = HostOptions { params, ..HostOptions::default() };
        let mut session = Session::new(options, Arc::new(Nowhere));
        session.run("cell 1", code);
        session
    }

    #[test]
    fn a_given_value_takes_the_type_of_the_variable_it_is_set_over() {
        let session = session(
            "let n = 1; let x = 0.5; let on = true; let name = \"a\"; let list = [1.0]; let free = 2;",
            &[
                ("n", "3"),
                ("x", "1"),
                ("on", "false"),
                ("name", "b\"c"),
                ("list", "1,2.5"),
                ("q", "1"),
            ],
        );
        assert_eq!(
            over(session.scope(), session.host()).unwrap(),
            "let list = [1.0, 2.5];\nlet n = 3;\nlet name = \"b\\\"c\";\nlet on = false;\nlet x = 1.0;\n"
        );
        assert_eq!(session.host().unused_params(), ["q"]);
    }

    #[test]
    fn what_was_asked_for_is_not_set_again_and_a_wrong_type_is_named() {
        let asked = session("let n = param(\"n\", 1);", &[("n", "3")]);
        assert_eq!(over(asked.scope(), asked.host()).unwrap(), "");
        let wrong = session("let n = 1;", &[("n", "many")]);
        let error = over(wrong.scope(), wrong.host()).unwrap_err();
        assert_eq!(error, "parameter `n` is \"many\"; it takes a whole number (as its default 1)");
    }
}
