//! Script functions of the session itself: show, param, help.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, FnPtr, NativeCallContext};

use super::help::Catalog;
use super::reference::script_type;
use super::{ScriptResult, fail, host, parameters};

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
        host(&ctx)?.output().display(&Catalog::new(ctx.engine()).overview());
        Ok(())
    }

    /// Shows what a name means: a function with its options and an example (`"prune"`,
    /// `"run.step"`), a type (`"Run"`), or an option (`"lr"`, `"prune.lr"`).
    ///
    /// ```rhai
    /// help("prune");
    /// help("run.set.lr");
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_on(ctx: NativeCallContext, name: &str) -> ScriptResult<()> {
        let help = Catalog::new(ctx.engine()).help(name, false).map_err(fail)?;
        host(&ctx)?.output().display(&help);
        Ok(())
    }

    /// Shows what can be done with a value: the functions that are called on it.
    ///
    /// ```rhai
    /// help(load_model("demo"));
    /// ```
    #[rhai_fn(name = "help", return_raw)]
    pub fn help_on_value(ctx: NativeCallContext, value: Dynamic) -> ScriptResult<()> {
        let rhai = ctx.engine();
        let help = match value.clone().try_cast::<FnPtr>() {
            Some(pointer) => Catalog::new(rhai).help(pointer.fn_name(), false).map_err(fail)?,
            None => Catalog::new(rhai).of_type(&script_type(rhai.map_type_name(value.type_name()))),
        };
        host(&ctx)?.output().display(&help);
        Ok(())
    }
}
