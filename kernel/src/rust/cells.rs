//! Rust cells as the session runs them.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use uuid::Uuid;

use super::bench::Bench;
use super::bridge::Bridge;
use super::client::Client;
use super::process::{Line, Process};
use super::{RustError, client, prepare, unfinished};
use crate::jupyter::{Candidate, Completeness, Completion};
use crate::session::{Diagnostic, Display, Outcome, Session};

/// How often a wait looks for an interrupt.
const LOOK: Duration = Duration::from_millis(50);

/// How long an interrupted cell runs on before the user is told what a second interrupt does.
const UNMOVED: Duration = Duration::from_secs(1);

/// How long an answer about code may take before the front end gets none.
const ANSWER: Duration = Duration::from_secs(10);

/// The Rust cells of a session. Their process starts with the first.
#[derive(Default)]
pub struct RustCells {
    live: Mutex<Option<Live>>,
    interrupter: Arc<Interrupter>,
}

/// What there is while the process runs.
struct Live {
    process: Process,
    bench: Arc<Bench>,
    ready: bool,
    /// What the cells are compiled with.
    _client: Client,
    /// Dropped last: the process builds in it.
    _folder: Folder,
}

/// A folder that only its user can enter; it goes with the value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // The process removes it too, for a kernel that ends without dropping this.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Stops a Rust cell, from any thread.
#[derive(Default)]
pub struct Interrupter(Mutex<Interrupted>);

#[derive(Default)]
struct Interrupted {
    /// The way to the process while a cell runs.
    line: Option<Line>,
    /// What was asked last, and when.
    last: Option<(u64, Instant)>,
}

impl Interrupter {
    fn state(&self) -> MutexGuard<'_, Interrupted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the running cell to stop; `asked` says how often the user has asked. The first stops the
    /// compiler, the second ends the process that runs code, the third the whole of it. May be called
    /// again and again; without a Rust cell nothing happens, and the answer is false.
    pub fn interrupt(&self, asked: u64) -> bool {
        let mut state = self.state();
        let Some(line) = state.line.clone() else { return false };
        let again = match state.last {
            None => true,
            Some((before, when)) => asked > before || when.elapsed() >= Duration::from_millis(100),
        };
        if again {
            state.last = Some((asked, Instant::now()));
            drop(state);
            if asked >= 3 {
                line.kill();
            } else {
                line.send(&json!({"ask": "interrupt", "level": asked}));
            }
        }
        true
    }
}

impl RustCells {
    /// What stops a cell.
    pub fn interrupter(&self) -> Arc<Interrupter> {
        self.interrupter.clone()
    }

    fn live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process and does not wait for it. What keeps it from starting is told by the first cell.
    pub fn warm(&self, session: &Session) {
        let mut live = self.live();
        if live.is_none() {
            *live = Live::start(session).ok();
        }
    }

    /// Runs a cell that people call `name`.
    pub fn run(&self, session: &mut Session, name: &str, code: &str) -> Outcome {
        let mut live = self.live();
        let result = self.run_in(&mut live, session, name, code);
        self.interrupter.state().line = None;
        let error = match result {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        if !matches!(error, RustError::Interrupted) {
            *live = None;
        }
        let kind = match &error {
            RustError::Interrupted => return Outcome::Interrupted,
            RustError::Ended => "ProcessEnded",
            _ => "RustError",
        };
        Outcome::Failed(told(kind, name, error.to_string(), error.hint().into_iter().collect()))
    }

    fn run_in(
        &self,
        live: &mut Option<Live>,
        session: &mut Session,
        name: &str,
        code: &str,
    ) -> Result<Outcome, RustError> {
        if live.is_none() {
            *live = Some(Live::start(session)?);
        }
        let Some(live) = live else { return Err(RustError::Ended) };
        {
            let mut state = self.interrupter.state();
            state.line = Some(live.process.line().clone());
            state.last = None;
        }
        live.wait_until_ready(session)?;
        let (scope, library) = session.lend();
        live.bench.lend(scope, library);
        live.process.line().send(&json!({"ask": "execute", "name": name, "code": code}));
        let ended = live.listen(session);
        if let Some(scope) = live.bench.take_back() {
            session.take_back(scope);
        }
        let done = ended?;
        session.host().progress_done("");
        Ok(outcome(&done, name, code, session))
    }

    /// What can stand at the cursor (a position in characters); nothing while there is no process.
    pub fn complete(&self, code: &str, cursor: usize) -> Completion {
        let byte = |chars: usize| code.char_indices().nth(chars).map_or(code.len(), |(at, _)| at);
        let found = self
            .ask(json!({"ask": "complete", "code": code, "cursor": byte(cursor)}), "completions");
        let Some(found) = found else {
            return Completion { matches: Vec::new(), start: cursor, end: cursor };
        };
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let matches = found["matches"].as_array().into_iter().flatten().map(|m| Candidate {
            text: text(&m["text"]),
            kind: text(&m["kind"]),
            signature: text(&m["label"]),
        });
        let chars = |key: &str| {
            let at = found[key].as_u64().and_then(|n| usize::try_from(n).ok());
            at.and_then(|at| code.get(..at)).map_or(cursor, |before| before.chars().count())
        };
        Completion { matches: matches.collect(), start: chars("start"), end: chars("end") }
    }

    /// Help for the name at the cursor.
    pub fn inspect(&self, code: &str, cursor: usize) -> Option<Display> {
        let byte = code.char_indices().nth(cursor).map_or(code.len(), |(at, _)| at);
        let found =
            self.ask(json!({"ask": "inspect", "code": code, "cursor": byte}), "inspection")?;
        let html = found["html"].as_str().map(String::from);
        Some(Display { html, ..Display::text(found["text"].as_str()?) })
    }

    /// Whether a cell can be run as it stands.
    pub fn completeness(code: &str) -> Completeness {
        unfinished::completeness(code)
    }

    /// Asks a process that is at rest; none when there is none or it takes too long.
    fn ask(&self, question: Value, answer: &str) -> Option<Value> {
        let mut live = self.live.try_lock().ok()?;
        let live = live.as_mut()?;
        let mut wait = Duration::ZERO;
        while !live.ready {
            let message = live.process.next(wait).ok()??;
            live.ready = message["say"] == "ready";
        }
        live.process.line().send(&question);
        wait = ANSWER;
        let start = Instant::now();
        while start.elapsed() < ANSWER {
            let message = live.process.next(wait).ok()??;
            if message["say"] == answer {
                return Some(message);
            }
        }
        None
    }
}

impl Live {
    /// Starts the process and asks it to make itself ready.
    fn start(session: &Session) -> Result<Self, RustError> {
        // First, as it is what is missing on most machines.
        let process = Process::start()?;
        let folder = std::env::temp_dir().join(format!("woolshed-{}", Uuid::new_v4().simple()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|source| RustError::Place { path: folder.clone(), source })?;
        let folder = Folder(folder);
        let cache = prepare::cache()?;
        let client = client::put_in_place(&cache)?;
        prepare::clear_old(&cache, &client);
        let bench = Arc::new(Bench::new(session.rhai().clone(), session.host().clone()));
        let bridge = Bridge::open(&folder.0, &bench)?;
        let text = |path: &Path| path.display().to_string();
        process.line().send(&json!({
            "ask": "start",
            "private": text(&folder.0),
            "folder": text(&folder.0.join("build")),
            "templates": text(&cache),
            "client": text(client.folder()),
            "env": bridge.environment().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        }));
        Ok(Self { process, bench, ready: false, _client: client, _folder: folder })
    }

    fn wait_until_ready(&mut self, session: &Session) -> Result<(), RustError> {
        while !self.ready {
            if session.host().stopping() {
                return Err(RustError::Interrupted);
            }
            let Some(message) = self.process.next(LOOK)? else { continue };
            match message["say"].as_str() {
                Some("ready") => self.ready = true,
                Some("failed") => {
                    let reason = message["message"].as_str().unwrap_or_default();
                    return Err(RustError::Failed(reason.to_owned()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes on what the cell says, until it is done.
    fn listen(&self, session: &Session) -> Result<Value, RustError> {
        let host = session.host();
        let output = host.output();
        let (mut running, mut unmoved) = (false, None::<Instant>);
        let mut told = false;
        loop {
            let message = self.process.next(LOOK)?;
            if running && host.stopping() && !told {
                let since = unmoved.get_or_insert_with(Instant::now);
                if since.elapsed() >= UNMOVED {
                    told = true;
                    output.stderr(
                        "This Rust code does not look for interrupts (woolshed::check()? does). \
                         Interrupt again to end its process: Rust variables are lost, handles and Rhai \
                         variables stay.\n",
                    );
                }
            }
            let Some(message) = message else { continue };
            let text = || message["text"].as_str().unwrap_or_default();
            match message["say"].as_str() {
                Some("stdout") => output.stdout(text()),
                Some("stderr" | "log") => output.stderr(text()),
                Some("display") => output.display(&display(&message["data"])),
                Some("running") => running = true,
                Some("question") => {
                    let prompt = message["prompt"].as_str().unwrap_or_default();
                    let answer = output.ask(prompt, &|| host.stopping());
                    if let Err(error) = &answer {
                        output.stderr(&format!("{error}\n"));
                    }
                    self.process.line().send(&json!({"ask": "answer", "text": answer.ok()}));
                }
                Some("done") => return Ok(message),
                _ => {}
            }
        }
    }
}

/// How a cell ended, from the message that says so.
fn outcome(done: &Value, name: &str, code: &str, session: &Session) -> Outcome {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    match done["status"].as_str() {
        Some("ok") => {
            if let Some(seconds) = done["timing"].as_f64() {
                session.host().output().stdout(&format!("Took {:.0}ms\n", seconds * 1e3));
            }
            match &done["value"] {
                Value::Object(forms) if !forms.is_empty() => {
                    Outcome::Shown(Box::new(display(&done["value"])))
                }
                _ => Outcome::Value(rhai::Dynamic::UNIT),
            }
        }
        Some("interrupted") => Outcome::Interrupted,
        Some("ended") => Outcome::Failed(ended(done, name)),
        _ if session.host().stopping() => Outcome::Interrupted,
        _ => {
            let error = &done["error"];
            let kind = match error["name"].as_str() {
                Some("CompileError") => "CompileError",
                Some("Panic") => "Panic",
                Some("ErrorReturned") => "ErrorReturned",
                _ => "RustError",
            };
            let lines = error["traceback"].as_array().into_iter().flatten();
            let mut failed = told(kind, name, text(&error["message"]), Vec::new());
            failed.drawn = lines.map(text).collect();
            let line = done["line"].as_u64().and_then(|n| usize::try_from(n).ok());
            if let Some(line) = line {
                let source = code.lines().nth(line - 1).unwrap_or_default();
                let indent = source.len() - source.trim_start().len();
                failed.place = Some((line, indent + 1));
                failed.source_line = source.to_owned();
            }
            Outcome::Failed(failed)
        }
    }
}

/// The process that ran the code is no more: what that cost.
fn ended(done: &Value, name: &str) -> Diagnostic {
    let how = done["how"].as_str().unwrap_or_default();
    let how = how.split_once("status: ").map_or(how, |(_, status)| status);
    let lost: Vec<&str> =
        done["lost"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let lost = match lost.as_slice() {
        [] => "no Rust variable of an earlier cell".to_owned(),
        names => format!("the Rust variables {}", names.join(", ")),
    };
    let by_user = done["interrupted"].as_bool() == Some(true);
    let (kind, message) = match by_user {
        true => ("Interrupted", "the Rust process was ended by the second interrupt".to_owned()),
        false => {
            let panic = done["panic"]
                .as_str()
                .map_or(String::new(), |said| format!(" after a panic: {said}"));
            ("ProcessEnded", format!("the Rust process ended: {how}{panic}"))
        }
    };
    let mut ended = told(kind, name, message, Vec::new());
    ended.drawn = vec![
        format!("error: {}", ended.message),
        format!(" = lost: {lost}, and what this cell made"),
        " = kept: Rust functions, types, `use` and dependencies; every Rhai variable, run and model".into(),
    ];
    if let Some(again) = done["again"].as_str() {
        ended.drawn.push(format!(" = the new process is not in order: {again}"));
    }
    ended
}

fn told(kind: &'static str, name: &str, message: String, hints: Vec<String>) -> Diagnostic {
    Diagnostic {
        kind,
        message,
        name: name.to_owned(),
        place: None,
        source_line: String::new(),
        hint: (!hints.is_empty()).then(|| hints.join("\n")),
        drawn: Vec::new(),
    }
}

/// A display from its forms by mime type.
fn display(data: &Value) -> Display {
    let mut display = Display { name: "rust".into(), ..Display::default() };
    for (mime, body) in data.as_object().into_iter().flatten() {
        let text = body.as_str().map(String::from);
        match (mime.as_str(), text) {
            ("text/plain", Some(text)) => display.text = text.trim_end_matches('\n').to_owned(),
            ("text/html", text @ Some(_)) => display.html = text,
            ("text/markdown", text @ Some(_)) => display.markdown = text,
            ("image/svg+xml", text @ Some(_)) => display.svg = text,
            _ => display.more.push((mime.clone(), body.clone())),
        }
    }
    display
}
