//! `woolshed run FILE.rhai`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::terminal::Terminal;
use super::{INTERRUPTED, SCRIPT_ERROR, USAGE};
use crate::session::{HostOptions, Outcome, Session};

/// Runs a script and gives the process its exit code.
pub fn run(file: &Path, options: HostOptions) -> ExitCode {
    let code = match std::fs::read_to_string(file) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: cannot read the script `{}`: {error}", file.display());
            return ExitCode::from(USAGE);
        }
    };
    let terminal =
        Arc::new(Terminal::new(options.out.clone().unwrap_or_else(|| "woolshed-out".into())));
    let mut session = Session::new(options, terminal);
    let host = session.host().clone();
    let stop = host.clone();
    let handler = ctrlc::set_handler(move || {
        if stop.stopping() {
            // The second Ctrl-C ends a native call that does not stop.
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!("\nstopping at the next step boundary; Ctrl-C again to end at once");
        stop.stop();
    });
    if let Err(error) = handler {
        eprintln!("warning: Ctrl-C will end the program at once: {error}");
    }
    match session.run(&file.display().to_string(), &code) {
        Outcome::Value(value) => {
            if !value.is_unit() {
                println!("{value}");
            }
            for name in host.unused_params() {
                eprintln!("warning: the script has no parameter `{name}`");
            }
            ExitCode::SUCCESS
        }
        Outcome::Failed(diagnostic) => {
            eprintln!("{diagnostic}");
            ExitCode::from(SCRIPT_ERROR)
        }
        Outcome::Interrupted => {
            eprintln!("interrupted; what was written before stays");
            ExitCode::from(INTERRUPTED)
        }
    }
}
