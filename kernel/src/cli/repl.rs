//! `woolshed repl`: line editing, history, completion.

use std::process::ExitCode;
use std::sync::Arc;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Editor, Helper};

use super::terminal::Terminal;
use super::{OUT, SCRIPT_ERROR, complain};
use crate::jupyter::Completeness;
use crate::script;
use crate::session::{HostOptions, Magics, Outcome, Output, Session, magics};
use crate::streams::{say, tell};

/// What the line editor asks of the session.
struct Assist(Session);

impl Helper for Assist {}
impl Hinter for Assist {
    type Hint = String;
}
impl Highlighter for Assist {}

impl Validator for Assist {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let session = &self.0;
        Ok(match magics::completeness(ctx.input(), |code| session.completeness(code)) {
            Completeness::Incomplete { .. } => ValidationResult::Incomplete,
            _ => ValidationResult::Valid(None),
        })
    }
}

impl Completer for Assist {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let cursor = line[..pos].chars().count();
        let found = magics::complete(line, cursor).unwrap_or_else(|| self.0.complete(line, cursor));
        let start = line.char_indices().nth(found.start).map_or(line.len(), |(byte, _)| byte);
        let pair = |c: crate::jupyter::Candidate| Pair {
            display: if c.signature.is_empty() { c.text.clone() } else { c.signature },
            replacement: c.text,
        };
        Ok((start, found.matches.into_iter().map(pair).collect()))
    }
}

/// Reads and runs lines until the input ends.
pub fn repl(mut options: HostOptions) -> ExitCode {
    let out = options.out.get_or_insert_with(|| OUT.into());
    let terminal = Arc::new(Terminal::new(out.clone()));
    let session = Session::new(options, terminal.clone());
    let host = session.host().clone();
    let mut magics = Magics::default();
    let (stop, rust) = (host.clone(), magics.rust().interrupter());
    let handler = move || {
        // A second Ctrl-C ends the process of Rust cells; without one nothing happens.
        let asked = if stop.stopping() { 2 } else { 1 };
        stop.stop();
        rust.interrupt(asked);
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tell!("warning: Ctrl-C will end the program at once: {error}");
    }
    let mut editor = match Editor::<Assist, FileHistory>::new() {
        Ok(editor) => editor,
        Err(error) => return complain(&error),
    };
    editor.set_helper(Some(Assist(session)));
    let history =
        dirs::state_dir().or_else(dirs::data_local_dir).map(|d| d.join("woolshed/history"));
    if let Some(history) = &history {
        // A first start has no history.
        let _ = editor.load_history(history);
    }
    say!(
        "woolshed {} - help() lists the functions, %help the magics, Tab completes, Ctrl-D ends",
        env!("CARGO_PKG_VERSION")
    );
    let mut count = 0;
    let code = loop {
        let line = match editor.readline("> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break ExitCode::SUCCESS,
            Err(error) => {
                tell!("error: {error}");
                break ExitCode::from(SCRIPT_ERROR);
            }
        };
        if line.trim().is_empty() {
            continue;
        }
        // A history that cannot grow costs nobody the session.
        let _ = editor.add_history_entry(&line);
        count += 1;
        host.clear_stop();
        let Some(Assist(session)) = editor.helper_mut() else { continue };
        match magics.run(session, &format!("line {count}"), &line, true) {
            Outcome::Value(value) if value.is_unit() => {}
            Outcome::Value(value) => match script::display(&value) {
                Ok(display) => terminal.display(&display),
                Err(error) => tell!("error: {error}"),
            },
            Outcome::Shown(display) => terminal.display(&display),
            Outcome::Failed(diagnostic) => tell!("{diagnostic}"),
            Outcome::Interrupted => tell!("stopped; variables and runs keep their state"),
        }
    };
    if let Some(history) = &history
        && crate::files::make_parent(history).is_ok()
    {
        // As above.
        let _ = editor.save_history(history);
    }
    code
}
