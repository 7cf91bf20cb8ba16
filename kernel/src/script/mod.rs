//! The script language: Rhai with the engine's handles and functions.
//!
//! | file | what it is for |
//! |---|---|
//! | `models.rs` | load, ask and save models |
//! | `shapes.rs` | target shapes |
//! | `domains.rs` | domains of text |
//! | `remote.rs` | what of models and data may come from the hub |
//! | `prepare.rs` | text to tokens on the disk |
//! | `runs.rs` | prune, recover, step, extract |
//! | `run_options.rs` | what runs are started with and changed by |
//! | `branches.rs` | fork, rewind, save, resume, compare |
//! | `edits.rs` | gates held and moved, targets and options changed |
//! | `mixtures.rs` | the mixture over time, under other rules, and its references |
//! | `rules.rs` | a mixture rule as a closure; scaling laws as options |
//! | `inspect.rs` | gates, multipliers, layers, charts, judges |
//! | `recipe.rs` | the script that makes a run or a model again |
//! | `literal.rs` | values as the language writes them |
//! | `tables.rs` | tables, and how every value shows itself |
//! | `portraits.rs` | what handles show of themselves |
//! | `table_ops.rs` | filter, sort, group, join: tables from tables |
//! | `table_files.rs` | tables and values as files, and tables out of files |
//! | `charts.rs` | charts, and saving them |
//! | `sweep.rs` | an experiment over many points |
//! | `cells.rs` | input, clear_output, show_at, sleep, vars: the notebook |
//! | `lab.rs` | show, param, help: the session itself |
//! | `parameters.rs` | values given from outside, read as the type of what they stand in for |
//! | `options.rs` | option maps, read and checked |
//! | `option_list.rs` | what a call can be told: the one description of each option |
//! | `model_lists.rs` | the options of models, described |
//! | `run_lists.rs` | the options of runs, described |
//! | `convert.rs` | engine values to script values |
//! | `help.rs` | help on functions, types, options and values |
//! | `reference.rs` | the functions as their definitions describe them; the reference page |
//!
//! A script function is documented once, in the comment on its Rust definition: that text is the
//! help in a cell and the reference page.

mod branches;
mod cells;
mod charts;
mod convert;
mod domains;
mod edits;
pub mod help;
mod inspect;
mod lab;
mod literal;
mod mixtures;
mod model_lists;
mod models;
pub mod option_list;
mod options;
pub mod parameters;
mod portraits;
mod prepare;
mod recipe;
pub mod reference;
mod remote;
mod rules;
mod run_lists;
mod run_options;
mod runs;
mod shapes;
mod sweep;
mod table_files;
mod table_ops;
mod tables;

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, Position};
use woolshed_engine as engine;

use crate::session::Host;

pub use cells::variables;
pub use run_lists::{KINDS as GATE_KINDS, RULES as MIXTURE_RULES};
pub use tables::display;

/// What a script function gives: a value, or an error that stops the script.
pub(crate) type ScriptResult<T> = Result<T, Box<EvalAltResult>>;

/// Makes the Rhai engine of a session.
pub fn engine(host: &Host) -> Engine {
    // Rhai's hashes of code are else drawn anew in every process, and a sweep knows its closure by them.
    // An error says that an earlier session has set them.
    let _ = rhai::config::hashing::set_hashing_seed(Some([1, 2, 3, 4]));
    let mut rhai = Engine::new();
    rhai.set_default_tag(Dynamic::from(host.clone()));
    rhai.set_max_call_levels(128);
    // `status().stpe` would else be a silent `()`.
    rhai.set_fail_on_invalid_map_property(true);
    rhai.set_max_expr_depths(256, 256);
    let stop = host.clone();
    rhai.on_progress(move |_| stop.stopping().then(|| Dynamic::from(INTERRUPTED)));
    let print = host.clone();
    rhai.on_print(move |text| print.output().stdout(&format!("{text}\n")));
    let debug = host.clone();
    rhai.on_debug(move |text, _, position| {
        debug.output().stderr(&format!("{position:?} | {text}\n"));
    });
    models::register(&mut rhai);
    shapes::register(&mut rhai);
    domains::register(&mut rhai);
    prepare::register(&mut rhai);
    runs::register(&mut rhai);
    branches::register(&mut rhai);
    edits::register(&mut rhai);
    inspect::register(&mut rhai);
    mixtures::register(&mut rhai);
    tables::register(&mut rhai);
    table_ops::register(&mut rhai);
    table_files::register(&mut rhai);
    charts::register(&mut rhai);
    sweep::register(&mut rhai);
    lab::register(&mut rhai);
    cells::register(&mut rhai);
    rhai
}

/// The token of a script that was stopped from outside.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// The session a function was called in.
pub(crate) fn host(ctx: &NativeCallContext) -> ScriptResult<Host> {
    ctx.tag()
        .and_then(|tag| tag.clone().try_cast::<Host>())
        .ok_or_else(|| fail("this function was called outside a session"))
}

/// An error with a message, placed at the call.
pub(crate) fn fail(message: impl std::fmt::Display) -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorRuntime(Dynamic::from(message.to_string()), Position::NONE))
}

/// What stands between a message and the one thing to try.
pub(crate) const TRY: &str = "\n = try: ";

/// As [`fail`], with one thing to try.
pub(crate) fn fail_hinting(
    message: impl std::fmt::Display,
    hint: impl std::fmt::Display,
) -> Box<EvalAltResult> {
    fail(format!("{message}{TRY}{hint}"))
}

/// Turns an engine error into a script error; an interrupt ends the script and cannot be caught.
pub(crate) fn raise(error: impl Into<engine::Error>) -> Box<EvalAltResult> {
    let error = error.into();
    if error.is_interrupted() {
        return interrupted();
    }
    fail(error)
}

/// The error that ends a script and cannot be caught.
pub(crate) fn interrupted() -> Box<EvalAltResult> {
    Box::new(EvalAltResult::ErrorTerminated(Dynamic::from(INTERRUPTED), Position::NONE))
}

/// Registers the functions of a plugin module in the global namespace.
pub(crate) fn register_global(rhai: &mut Engine, module: rhai::Module) {
    rhai.register_global_module(Arc::new(module));
}
