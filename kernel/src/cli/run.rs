//! `woolshed run FILE`: a script here, a notebook in `run_notebook.rs`.
//!
//! A script with `// %%` cells runs cell by cell, as the notebook does that it can be turned into: each
//! cell's last value is shown, and lines that begin with `%` behind a remark do what they do in a cell.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use woolshed_engine::names::nearest;

use super::terminal::Terminal;
use super::{INTERRUPTED, OUT, SCRIPT_ERROR, USAGE, complain, run_notebook};
use crate::jupyter::Interrupt;
use crate::notebook::{self, PARAMETERS, Script};
use crate::script::{self, parameters};
use crate::session::{Diagnostic, Host, HostOptions, Magics, Outcome, Output, Session};
use crate::streams::tell;

/// How often a stop is asked for again.
const AGAIN: Duration = Duration::from_millis(20);

/// Runs a file and gives the process its exit code.
pub fn run(file: &Path, output: Option<&Path>, mut options: HostOptions) -> ExitCode {
    if notebook::is_notebook(file) {
        return run_notebook::run(file, output, options);
    }
    if let Some(output) = output {
        tell!("error: --output {} is for notebooks; a script writes to --out", output.display());
        return ExitCode::from(USAGE);
    }
    let code = match std::fs::read_to_string(file) {
        Ok(code) => code,
        Err(error) => {
            tell!("error: cannot read the script `{}`: {error}", file.display());
            return ExitCode::from(USAGE);
        }
    };
    let out = options.out.get_or_insert_with(|| OUT.into());
    let terminal = Arc::new(Terminal::new(out.clone()));
    let mut session = Session::new(options, terminal.clone());
    let mut magics = Magics::default();
    let (stop, rust) = (session.host().clone(), magics.rust().interrupter());
    stop_on_ctrl_c(Arc::new(move |asked| {
        stop.stop();
        rust.interrupt(asked)
    }));
    let name = file.display().to_string();
    let outcome = match Script::has_cells(&code) {
        true => cells(&mut session, &mut magics, &terminal, &name, &code),
        false => session.run(&name, &code),
    };
    match outcome {
        Outcome::Value(value) => {
            warn_of_unused(session.host(), "script");
            match show(&terminal, &value) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => complain(&error),
            }
        }
        Outcome::Shown(display) => {
            terminal.display(&display);
            ExitCode::SUCCESS
        }
        Outcome::Failed(diagnostic) => {
            tell!("{diagnostic}");
            ExitCode::from(SCRIPT_ERROR)
        }
        Outcome::Interrupted => {
            tell!("interrupted; what was written before stays");
            ExitCode::from(INTERRUPTED)
        }
    }
}

/// Runs the cells of a script up to the first that fails; gives how the last one ended.
fn cells(
    session: &mut Session,
    magics: &mut Magics,
    terminal: &Terminal,
    name: &str,
    code: &str,
) -> Outcome {
    let script = Script::parse(code, &Default::default());
    let mut last = Outcome::Value(rhai::Dynamic::UNIT);
    for (cell, lines) in script.notebook.cells.iter().zip(&script.lines) {
        if !cell.runs() {
            continue;
        }
        if let Outcome::Value(value) = &last
            && let Err(error) = show(terminal, value)
        {
            terminal.stderr(&format!("error: {error}\n"));
        }
        // Blank lines in front keep the numbers of the lines.
        let source = format!("{}{}", "\n".repeat(lines.start), cell.source);
        last = magics.run(session, name, &source, true);
        if let Outcome::Shown(display) = &last {
            terminal.display(display);
            last = Outcome::Value(rhai::Dynamic::UNIT);
        }
        if let (Outcome::Failed(diagnostic), true) = (&last, cell.may_fail()) {
            tell!("{diagnostic}");
            last = Outcome::Value(rhai::Dynamic::UNIT);
        }
        if cell.has_tag(PARAMETERS) && matches!(last, Outcome::Value(_)) {
            let set = match parameters::over(session.scope(), session.host()) {
                Ok(code) => session.run("the given parameters", &code),
                Err(message) => Outcome::Failed(Diagnostic {
                    kind: "ParameterError",
                    message,
                    name: format!("{name}, the cell tagged `{PARAMETERS}`"),
                    place: None,
                    source_line: String::new(),
                    hint: None,
                    drawn: Vec::new(),
                }),
            };
            if !matches!(set, Outcome::Value(_)) {
                last = set;
            }
        }
        if !matches!(last, Outcome::Value(_)) {
            break;
        }
    }
    last
}

/// Shows a value that is one.
fn show(terminal: &Terminal, value: &rhai::Dynamic) -> Result<(), Box<rhai::EvalAltResult>> {
    if !value.is_unit() {
        terminal.display(&script::display(value)?);
    }
    Ok(())
}

/// Lets Ctrl-C stop what runs, and a second one end the program.
pub fn stop_on_ctrl_c(interrupt: Interrupt) {
    let asked = AtomicBool::new(false);
    let handler = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::SeqCst) {
            // The second Ctrl-C ends a native call that does not stop.
            std::process::exit(i32::from(INTERRUPTED));
        }
        tell!("\nstopping; Ctrl-C again to end at once");
        interrupt(1);
        let interrupt = interrupt.clone();
        // A cell that begins forgets what was asked of the one before it.
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(AGAIN);
                interrupt(1);
            }
        });
    });
    if let Err(error) = handler {
        tell!("warning: Ctrl-C will end the program at once: {error}");
    }
}

/// Says which parameters were given and not asked for.
pub fn warn_of_unused(host: &Host, what: &str) {
    let asked = host.asked_params();
    for name in host.unused_params() {
        let near = nearest(&name, asked.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        tell!("warning: the {what} has no parameter `{name}`{hint}");
    }
}
