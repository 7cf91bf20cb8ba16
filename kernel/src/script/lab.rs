//! Script functions of the session itself: show, param, help.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, NativeCallContext};

use super::{ScriptResult, fail, host, parameters, reference};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
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
        parameters::read(name, &default, &given).map_err(fail)
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
