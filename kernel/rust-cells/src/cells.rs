//! evcxr: cells in, endings out.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use evcxr::{CommandContext, Error, EvalCallbacks, EvalContext, EvalOutputs};
use serde_json::{Value, json};

use crate::frames::{self, Frame};
use crate::haste;
use crate::kernel::Kernel;
use crate::library::{self, Library};
use crate::listener::{self, Ending, Listener};
use crate::{report, template};

/// Runs what the user's files of evcxr say.
const CONFIGURATION: &str = ":load_config --quiet";

/// What the kernel wants of a session of Rust cells.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where cells are built.
    pub folder: PathBuf,
    /// Where prepared build folders lie.
    pub templates: PathBuf,
    /// The client crate, loaded before the user's first cell.
    pub client: PathBuf,
    /// Environment of the process that runs code.
    pub env: Vec<(String, String)>,
}

/// What answers a question of a cell: none when nobody does.
pub type Answers<'a> = dyn Fn(&str, bool) -> Option<String> + 'a;

/// A session of Rust cells.
pub struct Cells {
    context: CommandContext,
    library: Library,
    /// What can be done before it is needed is done.
    settled: bool,
    client: PathBuf,
    /// Where cells are built.
    folder: PathBuf,
    /// The host's own end of the socket that the runtime speaks into.
    to_self: UnixDatagram,
    endings: Receiver<Ending>,
}

impl Cells {
    /// Starts evcxr, loads the client and then what the user's configuration asks for.
    ///
    /// # Errors
    /// There is no compiler, or something of that does not compile; the reason in words.
    pub fn start(
        wanted: &Wanted,
        kernel: Arc<Kernel>,
        running: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        fs::create_dir_all(&wanted.folder)
            .map_err(|e| format!("cannot make {}: {e}", wanted.folder.display()))?;
        // Both ask the compiler, which takes its time.
        let folder = Library::beside(&wanted.folder);
        let library = thread::spawn(move || Library::inside(&folder));
        let template =
            template::place(&wanted.templates, &wanted.client).ok_or_else(no_compiler)?;
        if template.is_dir() {
            // A copy that fails is no reason to stop: what is missing is built.
            let _ = template::copy(&template, &wanted.folder);
        }
        let plumbing = |e: io::Error| format!("the system gives no pipe: {e}");
        let (ours, theirs) = UnixDatagram::pair().map_err(plumbing)?;
        let (stderr, stderr_of_code) = pipe().map_err(plumbing)?;
        let library = library.join().map_err(|_| no_compiler())?;
        // SAFETY: no other thread of this process reads the environment yet: evcxr is started below.
        unsafe { std::env::set_var("EVCXR_TMPDIR", &wanted.folder) };
        let mut command =
            command(wanted, theirs.as_raw_fd(), &stderr_of_code).map_err(|e| e.to_string())?;
        if let Some(path) = library.loaded_from() {
            command.env(library::LOADER, path);
        }
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let (sender, endings) = mpsc::channel();
        let listener = Listener::new(ours, stderr, kernel.clone(), sender, running);
        thread::spawn(move || listener.run());

        library.show();
        library.name_compiler();
        let haste = haste::begin(&wanted.folder);
        let context = EvalContext::with_subprocess_command(command).map_err(error_text);
        drop(haste);
        let (context, outputs) = context?;
        // Held open for the processes to come.
        std::mem::forget(stderr_of_code);
        for (stream, lines) in [("stdout", outputs.stdout), ("stderr", outputs.stderr)] {
            let kernel = kernel.clone();
            thread::spawn(move || {
                for line in lines {
                    kernel.text(stream, &format!("{line}\n"));
                }
            });
        }
        let context = CommandContext::with_eval_context(context);
        let mut cells = Self {
            context,
            library,
            settled: false,
            client: wanted.client.clone(),
            folder: wanted.folder.clone(),
            to_self: theirs,
            endings,
        };
        cells.ending();
        let offline = offline(&wanted.folder);
        cells.load_client(offline)?;
        // Before the user's own dependencies: the template belongs to everybody.
        let _ = template::keep(&wanted.folder, &template);
        let configured = cells.run(CONFIGURATION, &AtomicBool::new(false), &|_, _| None);
        cells
            .ended(configured.map_err(error_text))
            .map_err(|e| format!("evcxr's configuration (evcxr.toml, init.evcxr) fails: {e}"))?;
        Ok(cells)
    }

    /// The process that runs code, also after a restart.
    pub fn process(&self) -> Arc<Mutex<Child>> {
        self.context.process_handle()
    }

    /// Loads the client. The `?` is one for evcxr to learn from: it compiles the first of a session in several
    /// tries, and they cost the cell's value its display.
    fn load_client(&mut self, offline: bool) -> Result<(), String> {
        let code = "#[allow(unused_imports)] use woolshed::prelude::*;\nwoolshed::begin()?;";
        self.depend(code, offline).map_err(|e| format!("the client crate does not compile: {e}"))
    }

    /// Names the client as a dependency, without the network (it has none itself), and runs code of ours. The
    /// manifest differs by the library's depth: rust-analyzer reads the library again when it changes, and
    /// cargo sees no difference.
    fn depend(&mut self, code: &str, offline: bool) -> Result<(), String> {
        let client = self.client.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
        let depth = " ".repeat(self.library.depth());
        let code = format!(":offline 1\n:dep woolshed = {{ path = \"{client}\"{depth} }}\n{code}");
        self.quiet(&code)?;
        if offline { Ok(()) } else { self.quiet(":offline 0").map(|_| ()) }
    }

    /// Has rust-analyzer read more of the standard library, if there is more.
    fn deepen(&mut self) -> bool {
        self.library.deepen() && self.depend("", offline(&self.folder)).is_ok()
    }

    /// Runs code of ours, which has nothing to say.
    fn quiet(&mut self, code: &str) -> Result<EvalOutputs, String> {
        let result = self.context.execute(code).map_err(error_text);
        self.ended(result)
    }

    /// What code of ours came to: a panic is a failure.
    fn ended(&self, result: Result<EvalOutputs, String>) -> Result<EvalOutputs, String> {
        let ending = self.ending();
        match result {
            Ok(_) if ending.panicked => Err(ending.last_error),
            other => other,
        }
    }

    /// Compiles and runs a cell. Where that fails for a type that may be one of the standard library's, more of
    /// it is read and the cell is compiled again: of a cell that does not compile nothing has run but the
    /// commands to the shell, and before these everything is read that helps.
    fn run(
        &mut self,
        code: &str,
        interrupted: &AtomicBool,
        answers: &Answers<'_>,
    ) -> Result<EvalOutputs, Error> {
        if self.library.is_sketch() && code.lines().any(|line| line.trim_start().starts_with('!')) {
            self.deepen();
        }
        // Of others rust-analyzer is not asked for a type.
        let variables = code.contains("let ") || code.starts_with(CONFIGURATION);
        loop {
            let result = self.context.execute_with_callbacks(
                code,
                &mut EvalCallbacks {
                    input_reader: &|request| {
                        answers(&request.prompt, request.is_password).unwrap_or_default()
                    },
                },
            );
            let of_a_type = match &result {
                Err(Error::CompilationErrors(_)) => self.library.is_sketch() && variables,
                Err(Error::Message(text)) => text.contains("determine type of variable"),
                _ => false,
            };
            if !of_a_type || interrupted.load(Ordering::SeqCst) || !self.deepen() {
                return result;
            }
        }
    }

    /// How the code since the last call ended, when all it said has been heard.
    fn ending(&self) -> Ending {
        if Frame::Sync.send(&self.to_self).is_err() {
            return Ending::default();
        }
        self.endings.recv().unwrap_or_default()
    }

    /// Runs a cell that people call `name`, and gives the message `done`. While `deaf` is set no interrupt
    /// reaches the compiler.
    pub fn execute(
        &mut self,
        (name, code): (&str, &str),
        (interrupted, deaf): (&AtomicBool, &AtomicBool),
        answers: &Answers<'_>,
    ) -> Value {
        let start = Instant::now();
        let before = self.variables();
        let result = self.run(code, interrupted, answers);
        let ending = self.ending();
        let end = Instant::now();
        let mut done = match result {
            Ok(outputs) => finished(outputs, &ending),
            Err(Error::CompilationErrors(_)) if interrupted.load(Ordering::SeqCst) => {
                json!({"status": "interrupted"})
            }
            Err(Error::CompilationErrors(errors)) => {
                json!({"status": "error", "error": report::errors(&errors, code, name)})
            }
            Err(Error::SubprocessTerminated(how)) => {
                // The interrupt that ended the process is repeated; what follows is not the user's.
                deaf.store(true, Ordering::SeqCst);
                let again = self.begin_again();
                json!({
                    "status": "ended",
                    "how": how.lines().last().unwrap_or_default(),
                    "panic": ending.panic.as_deref().and_then(|p| p.split_once('\n')).map(|(_, m)| m),
                    "interrupted": interrupted.load(Ordering::SeqCst),
                    "lost": before.iter().map(|(name, _)| name).collect::<Vec<_>>(),
                    "again": again.err(),
                })
            }
            Err(_) if interrupted.load(Ordering::SeqCst) => json!({"status": "interrupted"}),
            Err(other) => {
                let text = error_text(other);
                let traceback: Vec<&str> = text.lines().collect();
                let message = traceback.first().copied().unwrap_or_default();
                json!({"status": "error", "error":
                    {"name": "RustError", "message": message, "traceback": traceback}})
            }
        };
        if code.lines().any(|l| matches!(l.trim(), ":clear" | ":restart")) {
            // What fails here the next cell tells.
            deaf.store(true, Ordering::SeqCst);
            let _ = self.load_client(offline(&self.folder));
        }
        deaf.store(false, Ordering::SeqCst);
        let began = ending.began.unwrap_or(end);
        done["say"] = json!("done");
        done["compile"] = json!((began - start).as_secs_f64());
        done["run"] = json!((end - began).as_secs_f64());
        done["variables"] = json!(self.variables());
        if let Some(line) = ending.panic.as_deref().and_then(|p| self.line_of(p, code)) {
            done["line"] = json!(line);
        }
        done
    }

    /// Names and types of the variables.
    fn variables(&self) -> Vec<(String, String)> {
        let all = self.context.variables_and_types();
        let mut all: Vec<_> = all.map(|(n, t)| (n.to_string(), t.to_string())).collect();
        all.sort();
        all
    }

    /// What a new process needs before the next cell.
    fn begin_again(&mut self) -> Result<(), String> {
        self.quiet("woolshed::begin()?;").map(|_| ())
    }

    /// While nobody waits: has rust-analyzer read the standard library and look a type up in it, and compiles
    /// the way a value is shown, so that the first cells that need it are as fast as the later ones.
    pub fn settle(&mut self) {
        if self.settled {
            return;
        }
        self.settled = true;
        let code =
            "let a = vec![String::new()]; let b = a.iter().map(|s| s.len()).sum::<usize>(); b.co";
        let _ = self.complete(code, code.len());
        let _ = self.quiet("42");
    }

    /// The line of the cell in which a panic happened: the compiled source holds it word for word.
    fn line_of(&self, panic: &str, code: &str) -> Option<usize> {
        let place = panic.lines().next()?;
        let (file, rest) = place.split_once("lib.rs:")?;
        let in_cell = file.is_empty() || file.ends_with("src/");
        let number: usize = rest.split(':').next()?.parse().ok()?;
        let source = self.context.last_source().ok()?;
        let line = source.lines().nth(number.checked_sub(1)?)?.trim();
        let mut fitting =
            code.lines().enumerate().filter(|(_, own)| own.trim() == line && !line.is_empty());
        let (at, _) = fitting.next().filter(|_| in_cell)?;
        // Two lines of the same words: nobody can say which.
        fitting.next().is_none().then_some(at + 1)
    }

    /// A person who looks something up sees more than a sketch.
    fn look(&mut self) {
        if self.library.is_sketch() {
            self.deepen();
        }
    }

    /// What can stand at a byte of the code: the answer to `complete`.
    pub fn complete(&mut self, code: &str, cursor: usize) -> Value {
        self.look();
        let found = self.context.completions(code, floor(code, cursor)).unwrap_or_default();
        let matches: Vec<Value> = found
            .completions
            .iter()
            .map(|c| json!({"text": c.code, "kind": c.kind, "label": c.label}))
            .collect();
        json!({"say": "completions", "matches": matches,
            "start": found.start_offset, "end": found.end_offset})
    }

    /// Help for the name at a byte of the code: the answer to `inspect`.
    pub fn inspect(&mut self, code: &str, cursor: usize) -> Value {
        self.look();
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let cursor = floor(code, cursor);
        let rest: usize =
            code[cursor..].chars().take_while(|c| is_name(*c)).map(char::len_utf8).sum();
        let found = self.context.hover_at(code, cursor + rest).ok();
        match found.filter(|(text, _)| !text.trim().is_empty() && text != "No documentation found")
        {
            Some((text, html)) => json!({"say": "inspection", "text": text, "html": html}),
            None => json!({"say": "inspection"}),
        }
    }
}

/// Makes the template that sessions start from, if there is none.
///
/// # Errors
/// There is no compiler, or the client does not compile; the reason in words.
pub fn prepare(templates: &Path, client: &Path) -> Result<(), String> {
    let template = template::place(templates, client).ok_or_else(no_compiler)?;
    if template.is_dir() {
        return Ok(());
    }
    let name = template.file_name().unwrap_or_default().to_string_lossy();
    let folder = templates.join(format!(".{name}-build-{}", std::process::id()));
    let wanted = Wanted {
        folder: folder.clone(),
        templates: templates.to_owned(),
        client: client.to_owned(),
        env: Vec::new(),
    };
    let started = Cells::start(&wanted, Kernel::deaf(), Arc::default());
    // The user's own configuration, which comes after the template, is for sessions.
    let made =
        if template.is_dir() { Ok(()) } else { started.as_ref().map(|_| ()).map_err(Clone::clone) };
    drop(started);
    // Hidden, and used by nobody.
    let _ = fs::remove_dir_all(&folder);
    let _ = fs::remove_dir_all(Library::beside(&folder));
    made
}

fn no_compiler() -> String {
    "there is no Rust compiler (`rustc -vV` fails); install one from https://rustup.rs and restart the kernel"
        .to_owned()
}

/// The message of a cell that came to an end of its own.
fn finished(outputs: EvalOutputs, ending: &Ending) -> Value {
    if ending.panicked {
        let told = ending.panic.as_deref().and_then(|p| p.split_once('\n')).map(|(_, m)| m);
        let message = told.unwrap_or(&ending.last_error);
        return json!({"status": "error", "error":
            {"name": "Panic", "message": message, "traceback": []}});
    }
    if ending.returned {
        return json!({"status": "error", "error":
            {"name": "ErrorReturned", "message": ending.last_error, "traceback": []}});
    }
    let own = listener::bundle(outputs.content_by_mime_type);
    let has = |v: &Value| v.as_object().is_some_and(|forms| !forms.is_empty());
    let value = if has(&own) { Some(own) } else { ending.value.clone().filter(has) };
    json!({"status": "ok", "value": value, "timing": outputs.timing.map(|t| t.as_secs_f64())})
}

/// The command of the process that runs code. It gets the two ways to the host, a process group of its
/// own (a signal to the compiler is not for it), and nothing else that is open here.
fn command(wanted: &Wanted, socket: RawFd, stderr: &File) -> io::Result<Command> {
    let stderr = stderr.as_raw_fd();
    let mut command = Command::new(std::env::current_exe()?);
    command
        .envs(wanted.env.iter().map(|(k, v)| (k, v)))
        .env(frames::SOCKET, socket.to_string())
        .env(frames::STDERR, stderr.to_string())
        .process_group(0);
    // What is set for the compiler is not for the user's code; what the user has set is.
    for name in library::OURS {
        match std::env::var_os(name) {
            Some(own) => command.env(name, own),
            None => command.env_remove(name),
        };
    }
    // SAFETY: between fork and exec only two calls are made, both allowed there.
    unsafe {
        command.pre_exec(move || {
            for number in [socket, stderr] {
                if libc::fcntl(number, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(command)
}

/// A pipe whose reading end does not block; neither end is inherited.
fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: room for two numbers, owned by the files made of them.
    unsafe {
        if libc::pipe(ends.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let files = (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]));
        for number in ends {
            libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC);
        }
        libc::fcntl(ends[0], libc::F_SETFL, libc::O_NONBLOCK);
        Ok(files)
    }
}

/// Whether the user's evcxr.toml keeps cargo off the network: evcxr writes it down for cargo.
fn offline(folder: &Path) -> bool {
    fs::read_to_string(folder.join(".cargo").join("config.toml"))
        .is_ok_and(|text| text.contains("offline = true"))
}

/// The last boundary between characters at or before a byte.
fn floor(code: &str, cursor: usize) -> usize {
    (0..=cursor.min(code.len())).rev().find(|at| code.is_char_boundary(*at)).unwrap_or(0)
}

fn error_text(error: Error) -> String {
    match error {
        Error::CompilationErrors(errors) => {
            let rendered = errors.iter().map(|e| match e.rendered() {
                text if text.trim().is_empty() => e.message(),
                text => text,
            });
            rendered.collect::<Vec<_>>().join("\n")
        }
        other => other.to_string(),
    }
}
