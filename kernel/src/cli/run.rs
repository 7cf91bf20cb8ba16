//! `woolshed run FILE.rhai`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use woolshed_engine::names::nearest;

use super::terminal::Terminal;
use super::{INTERRUPTED, OUT, SCRIPT_ERROR, USAGE, complain};
use crate::script;
use crate::session::{HostOptions, Outcome, Output, Session};
use crate::streams::tell;

/// Runs a script and gives the process its exit code.
pub fn run(file: &Path, mut options: HostOptions) -> ExitCode {
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
    let host = session.host().clone();
    let stop = host.clone();
    let handler = ctrlc::set_handler(move || {
        if stop.stopping() {
            // The second Ctrl-C ends a native call that does not stop.
            std::process::exit(i32::from(INTERRUPTED));
        }
        tell!("\nstopping at the next step boundary; Ctrl-C again to end at once");
        stop.stop();
    });
    if let Err(error) = handler {
        tell!("warning: Ctrl-C will end the program at once: {error}");
    }
    match session.run(&file.display().to_string(), &code) {
        Outcome::Value(value) => {
            let asked = host.asked_params();
            let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
            for name in host.unused_params() {
                let near = nearest(&name, asked.iter().copied());
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                tell!("warning: the script has no parameter `{name}`{hint}");
            }
            if value.is_unit() {
                return ExitCode::SUCCESS;
            }
            match script::display(&value) {
                Ok(display) => {
                    terminal.display(&display);
                    ExitCode::SUCCESS
                }
                Err(error) => complain(&error),
            }
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
