//! Script functions that talk to the notebook: questions, what is shown where, waiting, variables.

use std::time::{Duration, Instant};

use rhai::plugin::*;
use rhai::{Dynamic, Engine, ImmutableString, NativeCallContext, Scope};
use woolshed_engine::model::Model;
use woolshed_engine::view::{Column, Table, whole};

use super::charts::Png;
use super::domains::DomainsHandle;
use super::runs::RunHandle;
use super::{INTERRUPTED, ScriptResult, fail, host, raise, tables};
use crate::session::Unanswered;

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
    // A native function sees no variables of its caller; custom syntax does. The function of the same
    // name below carries the documentation.
    rhai.register_custom_syntax_with_state_raw(
        "vars",
        |symbols, ahead, _| {
            Ok(match (symbols.len(), ahead) {
                (1, "()") => Some("()".into()),
                (1, _) => Some("(".into()),
                (2, _) if symbols[1] == "(" => Some(")".into()),
                _ => None,
            })
        },
        false,
        |context, _, _| Ok(Dynamic::from(variables(context.engine(), context.scope())?)),
    );
}

/// How often a wait looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// The longest summary of a value, in characters.
const SUMMARY: usize = 60;

/// A table of variables: name, type, summary, size and device. Of names that were declared again the
/// last one counts.
///
/// # Errors
/// The table cannot be made.
pub fn variables(rhai: &Engine, scope: &Scope<'_>) -> ScriptResult<Table> {
    let mut names: Vec<&str> = Vec::new();
    let (mut kinds, mut summaries) = (Vec::new(), Vec::new());
    let (mut sizes, mut devices) = (Vec::new(), Vec::new());
    for (name, _, value) in scope.iter() {
        if names.contains(&name) {
            continue;
        }
        names.push(name);
        kinds.push(super::reference::script_type(rhai.map_type_name(value.type_name())));
        summaries.push(summary(&value));
        sizes.push(size(&value));
        devices.push(device(&value).unwrap_or_default());
    }
    Table::new(
        "variables",
        vec![
            ("name", Column::Text(names.into_iter().map(String::from).collect())),
            ("type", Column::Text(kinds)),
            ("value", Column::Text(summaries)),
            ("size", Column::Text(sizes)),
            ("device", Column::Text(devices)),
        ],
    )
    .map_err(raise)
}

/// A value in one short line.
fn summary(value: &Dynamic) -> String {
    // A long array is not written out to be cut.
    if let Some(array) = value.read_lock::<rhai::Array>()
        && array.len() > SUMMARY
    {
        let first: rhai::Array = array[..8].to_vec();
        return format!("{}, ...", tables::plain(&Dynamic::from_array(first)));
    }
    let text = match value.read_lock::<ImmutableString>() {
        Some(text) => format!("{:?}", text.chars().take(SUMMARY + 1).collect::<String>()),
        None => tables::plain(value),
    };
    let mut line = text.lines().next().unwrap_or_default().to_string();
    if let Some((end, _)) = line.char_indices().nth(SUMMARY) {
        line.truncate(end);
        line.push_str(" ...");
    }
    line
}

/// How big a value is, in the unit that fits it.
fn size(value: &Dynamic) -> String {
    if let Some(model) = value.read_lock::<Model>() {
        return weights(&model);
    }
    if let Some(run) = value.read_lock::<RunHandle>() {
        return weights(run.lock().source());
    }
    if let Some(domains) = value.read_lock::<DomainsHandle>() {
        return domains.tokens().map_or(String::new(), |n| format!("{} tokens", whole(n)));
    }
    if let Some(png) = value.read_lock::<Png>() {
        return format!("{} bytes", png.bytes.len());
    }
    if let Some(table) = value.read_lock::<Table>() {
        return format!("{} rows", table.rows());
    }
    if let Some(array) = value.read_lock::<rhai::Array>() {
        return format!("{} items", array.len());
    }
    if let Some(map) = value.read_lock::<rhai::Map>() {
        return format!("{} keys", map.len());
    }
    match value.read_lock::<ImmutableString>() {
        Some(text) => format!("{} bytes", text.len()),
        None => String::new(),
    }
}

/// The bytes of a model's weights.
fn weights(model: &Model) -> String {
    // Counts are far below 2^53, where f64 is exact.
    let bytes = (model.parameters() * model.dtype().size_in_bytes()) as f64;
    if bytes < 1e9 { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.2} GB", bytes / 1e9) }
}

/// Where a handle lives; none for a value of the language.
fn device(value: &Dynamic) -> Option<String> {
    let of = |model: &Model| woolshed_engine::device::name(model.weights.embed.device());
    if let Some(model) = value.read_lock::<Model>() {
        return Some(of(&model));
    }
    if let Some(run) = value.read_lock::<RunHandle>() {
        return Some(of(run.lock().source()));
    }
    value.read_lock::<DomainsHandle>().map(|_| "cpu".to_string())
}

fn ask(ctx: &NativeCallContext, prompt: &str) -> ScriptResult<String> {
    let host = host(ctx)?;
    host.output().ask(prompt, &|| host.stopping()).map_err(|unanswered| match unanswered {
        Unanswered::Interrupted => interrupted(),
        nobody @ Unanswered::Nobody(_) => fail(format!("input() got no answer: {nobody}")),
    })
}

fn wait(ctx: &NativeCallContext, seconds: f64) -> ScriptResult<()> {
    let host = host(ctx)?;
    let Ok(wanted) = Duration::try_from_secs_f64(seconds) else {
        return Err(fail(format!("sleep takes seconds of at least 0, not {seconds}")));
    };
    let start = Instant::now();
    loop {
        if host.stopping() {
            return Err(interrupted());
        }
        let left = wanted.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// The error of a wait that was stopped; a script cannot catch it.
fn interrupted() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(INTERRUPTED), Position::NONE))
}

/// The notebook.
#[export_module]
mod functions {
    /// Asks the user for a line and gives it as text. Where nobody can answer, as in a notebook that
    /// runs by itself, it is an error; `param(name, default)` needs nobody.
    ///
    /// ```rhai
    /// let steps = 100;
    /// try { steps = parse_int(input("How many steps? ")); } catch (nobody) { print(nobody); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn input(ctx: NativeCallContext, prompt: &str) -> ScriptResult<String> {
        ask(&ctx, prompt)
    }

    /// Asks the user for a line without saying what for.
    ///
    /// ```rhai
    /// let answer = try_input();
    /// fn try_input() { try { input() } catch { "nobody" } }
    /// ```
    #[rhai_fn(name = "input", return_raw)]
    pub fn input_plain(ctx: NativeCallContext) -> ScriptResult<String> {
        ask(&ctx, "")
    }

    /// Takes away what the cell has shown so far. A terminal keeps it.
    ///
    /// ```rhai
    /// clear_output();
    /// ```
    #[rhai_fn(return_raw)]
    pub fn clear_output(ctx: NativeCallContext) -> ScriptResult<()> {
        host(&ctx)?.output().clear(false);
        Ok(())
    }

    /// Takes away what the cell has shown so far; with `true` only when the next thing comes, so that
    /// nothing flickers.
    ///
    /// ```rhai
    /// clear_output(true);
    /// ```
    #[rhai_fn(name = "clear_output", return_raw)]
    pub fn clear_output_later(ctx: NativeCallContext, wait: bool) -> ScriptResult<()> {
        host(&ctx)?.output().clear(wait);
        Ok(())
    }

    /// Shows a value at a named place of the notebook: what stood there before is replaced, also when
    /// an earlier cell put it there. A terminal shows each one.
    ///
    /// ```rhai
    /// for i in 1..=3 { show_at("count", i); }
    /// ```
    #[rhai_fn(return_raw)]
    pub fn show_at(ctx: NativeCallContext, place: &str, value: Dynamic) -> ScriptResult<()> {
        host(&ctx)?.output().display_at(place, &tables::display(&value)?);
        Ok(())
    }

    /// Waits for so many seconds; an interrupt ends the wait.
    ///
    /// ```rhai
    /// sleep(0.01);
    /// ```
    #[rhai_fn(return_raw, volatile)]
    pub fn sleep(ctx: NativeCallContext, seconds: f64) -> ScriptResult<()> {
        wait(&ctx, seconds)
    }

    /// Waits for so many whole seconds; an interrupt ends the wait.
    ///
    /// ```rhai
    /// sleep(0);
    /// ```
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep_whole(ctx: NativeCallContext, seconds: i64) -> ScriptResult<()> {
        // Nobody waits for 2^53 seconds.
        wait(&ctx, seconds as f64)
    }

    /// Lists the variables: name, type, value in short, size, and the device of handles. In a function
    /// they are the function's own. `vars` cannot be the name of a variable.
    ///
    /// ```rhai
    /// let speed = 2.5;
    /// show(vars());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn vars() -> ScriptResult<Table> {
        Err(fail("vars() is called by its name only"))
    }
}
