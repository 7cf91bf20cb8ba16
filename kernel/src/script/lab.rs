//! Script functions of the session itself: show, param, help.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, NativeCallContext};

use super::options::whole;
use super::{ScriptResult, fail, host, reference};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
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

/// The session.
#[export_module]
mod functions {
    /// Shows a table, chart, map or any value: in a notebook as a picture or table, in a terminal as
    /// text, with charts written under `--out`.
    ///
    /// ```rhai
    /// show(table("x", [#{a: 1}]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn show(ctx: NativeCallContext, value: Dynamic) -> ScriptResult<()> {
        host(&ctx)?.output().display(&super::super::display(&value)?);
        Ok(())
    }

    /// Gives the value of `-p name=value`, read as the default's type, or the default. For an array
    /// it takes values with commas between, each read as the default's first.
    ///
    /// ```rhai
    /// let steps = param("steps", 300);
    /// ```
    #[rhai_fn(return_raw)]
    pub fn param(ctx: NativeCallContext, name: &str, default: Dynamic) -> ScriptResult<Dynamic> {
        let Some(given) = host(&ctx)?.param(name) else { return Ok(default) };
        let wrong = |want: &str| {
            fail(format!(
                "parameter `{name}` is \"{given}\"; it takes {want} (as its default {default})"
            ))
        };
        if let Some(array) = default.read_lock::<Array>() {
            let of = array.first().cloned().unwrap_or(Dynamic::UNIT);
            let items = given.split(',').map(|item| read_as(&of, item.trim()).map_err(&wrong));
            return Ok(Dynamic::from_array(items.collect::<ScriptResult<Array>>()?));
        }
        read_as(&default, &given).map_err(wrong)
    }

    /// Lists the script functions, a line each.
    ///
    /// ```rhai
    /// help();
    /// ```
    #[rhai_fn(return_raw)]
    pub fn help(ctx: NativeCallContext) -> ScriptResult<()> {
        host(&ctx)?.output().display(&reference::overview(ctx.engine()));
        Ok(())
    }

    /// Shows what a function does, with its options and an example.
    ///
    /// ```rhai
    /// help("prune");
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_on(ctx: NativeCallContext, name: &str) -> ScriptResult<()> {
        host(&ctx)?.output().display(&reference::help(ctx.engine(), name).map_err(fail)?);
        Ok(())
    }
}
