//! Lines that begin with `%`: what a cell asks of the notebook and not of the language.
//!
//! `%%name` in the first lines is about the whole cell, `%name` about itself. A line inside code is a
//! magic only where a statement could begin and the name is known: `a` on one line and `% b` on the
//! next stay a remainder. Lines keep their numbers, so that errors point at the right one.

use std::path::Path;
use std::time::Instant;

use rhai::{Dynamic, Engine};
use woolshed_engine::device::device;
use woolshed_engine::names::nearest;

use super::languages::{self, Language, RustCell};
use super::transcript::{SaveError, Transcript};
use super::{Diagnostic, Display, Outcome, Session};
use crate::jupyter::{Candidate, Completeness, Completion};
use crate::rust::RustCells;
use crate::script::{self, help::Catalog};

/// Every magic: its name, what stands behind it, what it does.
const MAGICS: [(&str, &str, &str); 10] = [
    ("%%time", "", "runs the cell and says how long it took"),
    ("%%rhai", "", "the cell is Rhai"),
    ("%%rust", "", "the cell is Rust, compiled; `lab` holds the variables of Rhai cells"),
    ("%time", "CODE", "runs the line and says how long it took"),
    ("%run", "FILE.rhai", "runs a script in this session"),
    ("%save", "[-f] FILE.rhai", "writes the cells so far as a script; -f writes over any file"),
    ("%who", "", "the variables, with type, size and device"),
    ("%device", "[NAME]", "the devices of this machine, or whether NAME can be used"),
    ("%help", "", "this list"),
    ("name?", "", "help beside the cell; name?? says more"),
];

/// The longest name that `name?` is read as, in bytes.
const LONGEST: usize = 200;

/// Runs cells with their magics, and remembers them.
#[derive(Default)]
pub struct Magics {
    transcript: Transcript,
    /// The language of cells that name none.
    own: Language,
    rust: RustCells,
}

/// A line that begins with `%`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line<'a> {
    /// From 1.
    number: usize,
    text: &'a str,
    name: &'a str,
    rest: &'a str,
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    /// Code, with blank lines before it so that its lines have their numbers.
    Code {
        code: String,
        timed: bool,
    },
    Magic(Line<'a>),
    /// `name?`, as it is written.
    Help(&'a str),
}

#[derive(Debug, Default, PartialEq)]
struct Parsed<'a> {
    timed: bool,
    parts: Vec<Part<'a>>,
}

impl Magics {
    /// The magics of a kernel whose own language is `own`.
    pub fn of(own: Language) -> Self {
        Self { own, ..Self::default() }
    }

    /// The Rust cells.
    pub fn rust(&self) -> &RustCells {
        &self.rust
    }

    /// The Rust in a cell; none when it is no Rust cell.
    pub fn rust_cell(&self, code: &str) -> Option<RustCell> {
        languages::rust_cell(code, self.own)
    }

    /// Runs a cell that people call `name`. One that is not `remembered` is left out of `%save`.
    pub fn run(
        &mut self,
        session: &mut Session,
        name: &str,
        code: &str,
        remembered: bool,
    ) -> Outcome {
        if let Some(cell) = self.rust_cell(code) {
            let start = Instant::now();
            let outcome = self.rust.run(session, name, &cell.code);
            if cell.timed {
                say_time(session, start);
            }
            if remembered {
                self.transcript.push_rust(name, &cell.code);
            }
            return outcome;
        }
        let parsed = match parse(session.rhai(), code) {
            Ok(parsed) => parsed,
            Err((line, message, hint)) => {
                return Outcome::Failed(complaint(name, line, message, hint));
            }
        };
        let start = Instant::now();
        let mut last = Outcome::Value(Dynamic::UNIT);
        let mut written = String::new();
        for part in &parsed.parts {
            last = self.part(session, name, part, &mut written);
            if !matches!(last, Outcome::Value(_)) {
                break;
            }
        }
        if parsed.timed {
            say_time(session, start);
        }
        if remembered {
            self.transcript.push(name, &written, matches!(last, Outcome::Value(_)));
        }
        last
    }

    /// Runs a part and adds to `written` what does the same in a script.
    fn part(
        &self,
        session: &mut Session,
        name: &str,
        part: &Part<'_>,
        written: &mut String,
    ) -> Outcome {
        match part {
            Part::Code { code, timed } => {
                written.push_str(code.trim_matches('\n'));
                written.push('\n');
                let start = Instant::now();
                let outcome = session.run(name, code);
                if *timed {
                    say_time(session, start);
                }
                outcome
            }
            Part::Help(wanted) => match help(session, wanted) {
                Ok(help) => {
                    session.host().output().page(&help);
                    Outcome::Value(Dynamic::UNIT)
                }
                Err(message) => {
                    let text = (*wanted).to_string();
                    let line = Line { number: 1, text: &text, name: "", rest: "" };
                    Outcome::Failed(complaint(name, line, message, None))
                }
            },
            Part::Magic(line) => match self.magic(session, *line, written) {
                Ok(outcome) => outcome,
                Err((message, hint)) => Outcome::Failed(complaint(name, *line, message, hint)),
            },
        }
    }

    /// Does what a line asks for.
    fn magic(
        &self,
        session: &mut Session,
        line: Line<'_>,
        written: &mut String,
    ) -> Result<Outcome, (String, Option<String>)> {
        let output = session.host().output();
        match line.name {
            "%run" => {
                let file = wanted(line)?;
                let code = std::fs::read_to_string(file)
                    .map_err(|e| (format!("cannot read the script `{file}`: {e}"), None))?;
                written.push_str(&format!("// {}\n{}\n", line.text.trim(), code.trim_end()));
                return Ok(session.run(file, &code));
            }
            "%save" => {
                let (over, file) = match line.rest.strip_prefix("-f ") {
                    Some(file) => (true, file.trim()),
                    None => (false, wanted(line)?),
                };
                self.transcript.save(Path::new(file), over).map_err(|error| {
                    let occupied = matches!(error, SaveError::Occupied { .. });
                    let hint = format!("%save -f {file} writes over it");
                    (error.to_string(), occupied.then_some(hint))
                })?;
                output.stdout(&format!("saved {} cells in {file}\n", self.transcript.len()));
            }
            "%who" => match session.scope().is_empty() {
                true => output.stdout("no variables\n"),
                false => {
                    let table = script::variables(session.rhai(), session.scope());
                    let shown = table.and_then(|t| script::display(&Dynamic::from(t)));
                    output.display(&shown.map_err(|error| (error.to_string(), None))?);
                }
            },
            "%device" => output.stdout(&devices(line.rest).map_err(|message| (message, None))?),
            _ => output.display(&list()),
        }
        Ok(Outcome::Value(Dynamic::UNIT))
    }
}

/// What stands behind a magic that needs something there.
fn wanted(line: Line<'_>) -> Result<&str, (String, Option<String>)> {
    if !line.rest.is_empty() {
        return Ok(line.rest);
    }
    let form = MAGICS.iter().find(|(name, ..)| *name == line.name).map_or("", |(_, form, _)| form);
    Err((format!("{} needs a file", line.name), Some(format!("{} {form}", line.name))))
}

/// The devices of this machine, a line each; with a name, that one.
fn devices(name: &str) -> Result<String, String> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let called = |name: &str| device(name).map(|found| woolshed_engine::device::name(&found));
    if !name.is_empty() {
        return match called(name).map_err(|e| e.to_string())? {
            found if found == name => Ok(format!("{name} can be used\n")),
            found => Ok(format!("{name} is {found}, which can be used\n")),
        };
    }
    let auto = called("auto").unwrap_or_else(|_| "cpu".into());
    let mut text = format!("cpu: ready, {cores} cores\n");
    match called("cuda:0") {
        Ok(_) => text.push_str("cuda:0: ready\n"),
        Err(error) => text.push_str(&format!("cuda:0: {error}\n")),
    }
    text.push_str(&format!("auto is {auto}\n"));
    Ok(text)
}

/// The list of magics.
fn list() -> Display {
    let rows = || MAGICS.iter().map(|(name, rest, what)| (format!("{name} {rest}"), what));
    let text: String =
        rows().map(|(form, what)| format!("{:<24} {what}\n", form.trim_end())).collect();
    let table: String =
        rows().map(|(form, what)| format!("| `{}` | {what} |\n", form.trim_end())).collect();
    Display {
        text: format!("{text}help() lists the script functions"),
        markdown: Some(format!(
            "| line | what it does |\n|---|---|\n{table}\n`help()` lists the script functions."
        )),
        name: "magics".into(),
        ..Display::default()
    }
}

fn say_time(session: &Session, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let text = match seconds {
        0.0..0.001 => format!("{:.0} us", seconds * 1e6),
        0.001..1.0 => format!("{:.1} ms", seconds * 1e3),
        1.0..120.0 => format!("{seconds:.2} s"),
        _ => format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0),
    };
    session.host().output().stdout(&format!("time {text}\n"));
}

fn complaint(name: &str, line: Line<'_>, message: String, hint: Option<String>) -> Diagnostic {
    let column = line.text.len() - line.text.trim_start().len() + 1;
    Diagnostic {
        kind: "MagicError",
        message,
        name: name.to_string(),
        place: Some((line.number, column)),
        source_line: line.text.to_string(),
        hint,
        drawn: Vec::new(),
    }
}

/// Reads a line that begins with `%` and a letter, or `%%` and a letter.
fn line(number: usize, text: &str) -> Option<Line<'_>> {
    let trimmed = text.trim();
    let word = trimmed.trim_start_matches('%');
    if !(1..=2).contains(&(trimmed.len() - word.len()))
        || !word.starts_with(|c: char| c.is_ascii_alphabetic())
    {
        return None;
    }
    let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
    Some(Line { number, text, name: &trimmed[..end], rest: trimmed[end..].trim() })
}

fn is_known(name: &str) -> bool {
    MAGICS.iter().any(|(known, ..)| *known == name)
}

/// The page of `name?`, and of `name??` with what can be done with it.
fn help(session: &Session, wanted: &str) -> Result<Display, String> {
    let more = wanted.ends_with("??") || wanted.starts_with("??");
    let name = wanted.trim_matches('?').trim();
    match session.inspect(name, name.chars().count(), more) {
        Some(found) => Ok(found),
        None => Catalog::new(session.rhai()).help(name, more),
    }
}

/// The name in a cell that is only `name?`, `?name` or `run.step?`.
fn question(code: &str) -> Option<&str> {
    let code = code.trim();
    let bare = code.trim_matches('?');
    let fits = bare.len() < code.len()
        && bare.len() <= LONGEST
        && !bare.trim_matches('.').is_empty()
        && bare.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    fits.then_some(code)
}

/// The cell without first lines that only say its language.
fn behind_languages(code: &str) -> &str {
    let code = code.trim_start();
    match code.split_once('\n') {
        Some(("%%rhai", rest)) => behind_languages(rest),
        _ => code,
    }
}

/// Why a cell cannot be read: the line, the message, one thing to try.
type Unreadable<'a> = (Line<'a>, String, Option<String>);

/// Cuts a cell into code and magics.
fn parse<'a>(rhai: &Engine, code: &'a str) -> Result<Parsed<'a>, Unreadable<'a>> {
    // Every cell comes by here, and nearly none holds a magic.
    if !code.contains(['%', '?']) {
        let code = code.to_string();
        return Ok(Parsed { timed: false, parts: vec![Part::Code { code, timed: false }] });
    }
    if let Some(name) = question(behind_languages(code)) {
        return Ok(Parsed { timed: false, parts: vec![Part::Help(name)] });
    }
    let mut parsed = Parsed::default();
    let mut block = String::new();
    let mut head = true;
    for (i, text) in code.lines().enumerate() {
        let found = line(i + 1, text);
        // Remarks before a magic change nothing.
        let bare = block.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with("//"));
        head &= found.is_some_and(|l| l.name.starts_with("%%")) || text.trim().is_empty();
        match found {
            Some(line) if head => {
                match line.name {
                    "%%time" => parsed.timed = true,
                    "%%rhai" | "%%rust" => {}
                    _ => return Err(unknown(line)),
                }
                block.push('\n');
            }
            Some(line) if bare && (!is_known(line.name) || line.name.starts_with("%%")) => {
                return Err(unknown(line));
            }
            Some(line)
                if is_known(line.name)
                    && !line.name.starts_with("%%")
                    && (bare || rhai.compile(&block).is_ok()) =>
            {
                if !bare {
                    parsed.parts.push(Part::Code { code: block, timed: false });
                }
                block = "\n".repeat(i + 1);
                parsed.parts.push(match line.name {
                    "%time" => {
                        // The code keeps its column.
                        let before = text.len() - line.rest.len();
                        let code = format!("{}{}{}", "\n".repeat(i), " ".repeat(before), line.rest);
                        Part::Code { code, timed: true }
                    }
                    _ => Part::Magic(line),
                });
            }
            _ => {
                block.push_str(text);
                block.push('\n');
            }
        }
    }
    if !block.trim().is_empty() {
        parsed.parts.push(Part::Code { code: block, timed: false });
    }
    Ok(parsed)
}

fn unknown(line: Line<'_>) -> Unreadable<'_> {
    if is_known(line.name) {
        let message = format!("{} belongs in the first line of a cell", line.name);
        return (line, message, None);
    }
    let near = nearest(line.name, MAGICS.iter().map(|(name, ..)| *name));
    let hint = near.map_or("%help lists them".to_string(), ToString::to_string);
    (line, format!("there is no `{}`", line.name), Some(hint))
}

/// Whether a cell is complete: magics are, whatever the language thinks of them.
pub fn completeness(code: &str, of_code: impl Fn(&str) -> Completeness) -> Completeness {
    if question(behind_languages(code)).is_some() {
        return Completeness::Complete;
    }
    let plain: Vec<&str> =
        code.lines().map(|text| if line(1, text).is_some() { "" } else { text }).collect();
    of_code(&plain.join("\n"))
}

/// The magics that can stand at the cursor; none when it is not in the name of one.
pub fn complete(code: &str, cursor: usize) -> Option<Completion> {
    let before: String = code.chars().take(cursor).collect();
    let word = before.rsplit('\n').next()?.trim_start();
    if !word.starts_with('%') || word.contains(char::is_whitespace) {
        return None;
    }
    let fitting = MAGICS.iter().filter(|(name, ..)| name.starts_with(word));
    let matches = fitting.map(|(name, rest, what)| Candidate {
        text: name.to_string(),
        kind: "magic".into(),
        signature: format!("{rest} - {what}").trim_start_matches([' ', '-']).to_string(),
    });
    Some(Completion {
        matches: matches.collect(),
        start: cursor - word.chars().count(),
        end: cursor,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use woolshed_engine::progress::Progress;

    use super::*;
    use crate::session::{HostOptions, Output};

    #[derive(Default)]
    struct Said(Mutex<String>);

    impl Output for Said {
        fn stdout(&self, text: &str) {
            self.0.lock().unwrap().push_str(text);
        }
        fn stderr(&self, _: &str) {}
        fn display(&self, display: &Display) {
            self.stdout(&display.text);
        }
        fn progress(&self, _: &Progress) {}
        fn progress_done(&self, _: &str) {}
    }

    /// Runs cells in one session: what was said, and the end of the last.
    fn run(cells: &[&str]) -> (String, Outcome) {
        let said = Arc::new(Said::default());
        let mut session = Session::new(HostOptions::default(), said.clone());
        let mut magics = Magics::default();
        let mut last = Outcome::Interrupted;
        for (i, cell) in cells.iter().enumerate() {
            last = magics.run(&mut session, &format!("cell {}", i + 1), cell, true);
        }
        let said = said.0.lock().unwrap().clone();
        (said, last)
    }

    fn failure(cell: &str) -> Diagnostic {
        match run(&[cell]).1 {
            Outcome::Failed(diagnostic) => diagnostic,
            other => panic!("{cell}: {other:?}"),
        }
    }

    fn int(outcome: Outcome) -> i64 {
        let Outcome::Value(value) = outcome else { panic!("{outcome:?}") };
        value.as_int().unwrap()
    }

    #[test]
    fn a_timed_cell_gives_its_value_and_its_time() {
        let (said, last) = run(&["%%time\nlet a = 40;\na + 2"]);
        assert!(said.starts_with("time "), "{said}");
        assert_eq!(int(last), 42);
        let (said, last) = run(&["let a = 1;\n%time a + 1"]);
        assert!(said.starts_with("time "), "{said}");
        assert_eq!(int(last), 2);
    }

    #[test]
    fn a_remainder_over_two_lines_stays_a_remainder() {
        assert_eq!(int(run(&["let b = 4; 10\n% b"]).1), 2);
        assert_eq!(int(run(&["let b = 4; 10\n%b"]).1), 2);
        assert_eq!(int(run(&["let time = 4; 10 +\n10\n% time"]).1), 12);
    }

    #[test]
    fn errors_keep_their_line_and_column() {
        let failed = failure("%%time\n// a remark\nlet a = ;");
        assert_eq!(failed.place.unwrap().0, 3);
        let failed = failure("let a = 1;\n%time nothing");
        assert_eq!(failed.place, Some((2, 7)));
    }

    #[test]
    fn an_unknown_magic_names_the_nearest() {
        let failed = failure("%whoo");
        assert_eq!(failed.message, "there is no `%whoo`");
        assert_eq!(failed.hint.as_deref(), Some("%who"));
        assert_eq!(failure("%%tim\n1").hint.as_deref(), Some("%%time"));
        assert!(failure("1;\n%%time").message.contains('%'));
        assert!(failure("// why\n%%time\n1").message.contains("first line"));
        assert_eq!(failure("%run").hint.as_deref(), Some("%run FILE.rhai"));
        assert!(failure("%device cudo").message.contains("cudo"));
        assert!(failure("lod_model?").message.contains("load_model"));
    }

    #[test]
    fn a_script_runs_in_the_session_and_the_cells_come_back_as_a_script() {
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join("part.rhai");
        std::fs::write(&part, "let a = 40;\n").unwrap();
        let saved = folder.path().join("all.rhai");
        let cells = [
            &format!("%run {}\nlet b = 2;", part.display()),
            "%%time\na + b",
            "throw 1",
            "%who",
            &format!("%save {}", saved.display()),
        ];
        let (said, _) = run(&cells);
        assert!(said.contains("saved 3 cells"), "{said}");
        let script = std::fs::read_to_string(&saved).unwrap();
        assert!(script.contains("(failed)\n// throw 1\n"), "{script}");
        assert_eq!(int(run(&[&script, "a + b"]).1), 42);
    }

    #[test]
    fn who_lists_the_variables_and_help_the_magics() {
        let (said, _) = run(&["let speed = 2.5; let name = \"x\";", "%who"]);
        assert!(said.contains("speed") && said.contains("text"), "{said}");
        assert_eq!(run(&["%who"]).0, "no variables\n");
        assert!(run(&["%help"]).0.contains("%save [-f] FILE.rhai"));
        assert!(run(&["load_model?"]).0.contains("load_model("));
        assert!(run(&["%device"]).0.starts_with("cpu: ready"));
    }

    #[test]
    fn magics_are_complete_code_and_are_completed() {
        let session = Session::new(HostOptions::default(), Arc::new(Said::default()));
        let of = |code: &str| completeness(code, |code| session.completeness(code));
        assert_eq!(of("%%time\n1 + 1"), Completeness::Complete);
        assert_eq!(of("%who"), Completeness::Complete);
        assert_eq!(of("prune?"), Completeness::Complete);
        assert!(matches!(of("%%time\nfn f() {"), Completeness::Incomplete { .. }));
        let found = complete("let é = 1;\n  %ti", 17).unwrap();
        assert_eq!((found.start, found.end), (14, 17));
        assert_eq!(found.matches[0].text, "%time");
        assert_eq!(complete("a % ti", 6), None);
    }
}
