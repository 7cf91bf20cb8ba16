//! What the kernel asks, done in order on one thread; interrupts and answers at once.

use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cells::{Cells, Wanted};
use crate::kernel::{Kernel, PROTOCOL};

/// How long nothing is asked before work is done that nobody waits for: longer than between the cells of a
/// notebook that is run from top to bottom.
const REST: Duration = Duration::from_millis(500);

/// What both threads know.
#[derive(Default)]
struct State {
    /// The code of a cell runs: it has compiled.
    running: Arc<AtomicBool>,
    /// The work at hand is to be stopped.
    interrupted: AtomicBool,
    /// What is compiled is not the user's: interrupts are not for it.
    deaf: AtomicBool,
    /// Pieces of work that wait or go on.
    work: AtomicU64,
    /// The folder that goes with this process.
    folder: Mutex<Option<PathBuf>>,
    /// The process that runs code.
    process: Mutex<Option<Arc<Mutex<Child>>>>,
}

impl State {
    /// Stops the compiler, and with `level` 2 the process that runs code.
    fn interrupt(&self, level: u64) {
        if self.work.load(Ordering::SeqCst) == 0 || self.deaf.load(Ordering::SeqCst) {
            return;
        }
        self.interrupted.store(true, Ordering::SeqCst);
        if !self.running.load(Ordering::SeqCst) {
            // SAFETY: a signal to the own process group: cargo, rustc, and this process, which
            // hears it and does nothing. The process that runs code has a group of its own.
            unsafe { libc::kill(0, libc::SIGINT) };
        } else if level > 1 {
            self.kill();
        }
    }

    fn kill(&self) {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(process) = process {
            let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
            // One that has ended needs no end.
            let _ = process.kill();
        }
    }
}

/// Serves the kernel until it goes.
///
/// # Errors
/// The standard streams cannot be taken.
pub fn serve() -> io::Result<()> {
    own_group();
    let (input, kernel) = Kernel::take_streams()?;
    let version = env!("CARGO_PKG_VERSION");
    kernel.say(&json!({"say": "hello", "protocol": PROTOCOL, "version": version}));
    let state = Arc::new(State::default());
    let (work, to_do) = mpsc::channel::<Value>();
    let (answer, answers) = mpsc::channel::<Option<String>>();
    let (shared, speaks) = (state.clone(), kernel.clone());
    thread::spawn(move || {
        Worker { kernel: speaks, state: shared, answers, cells: None }.run(&to_do)
    });
    for line in BufReader::new(input).lines() {
        let Ok(line) = line else { break };
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        match message["ask"].as_str() {
            Some("interrupt") => {
                state.interrupt(message["level"].as_u64().unwrap_or(1));
                // A cell that waits for an answer gets none.
                let _ = answer.send(None);
            }
            Some("answer") => {
                let _ = answer.send(message["text"].as_str().map(String::from));
            }
            Some("shutdown") => break,
            _ => give(&state, &work, message),
        }
    }
    // The kernel is gone or goes: nobody hears what is still to come.
    state.work.fetch_add(1, Ordering::SeqCst);
    state.deaf.store(false, Ordering::SeqCst);
    state.running.store(false, Ordering::SeqCst);
    state.interrupt(1);
    state.kill();
    if let Some(folder) = state.folder.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // A compiler that is just being stopped may still write.
        for _ in 0..10 {
            if std::fs::remove_dir_all(&folder).is_ok() || !folder.exists() {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

fn give(state: &State, work: &Sender<Value>, message: Value) {
    if state.work.fetch_add(1, Ordering::SeqCst) == 0 {
        state.interrupted.store(false, Ordering::SeqCst);
    }
    // The worker ends with this process only.
    let _ = work.send(message);
}

/// Makes this process the head of a group, and SIGINT a thing it hears without ending. The compiler it
/// starts does not inherit that: a handler is gone after exec.
fn own_group() {
    extern "C" fn hear(_: libc::c_int) {}
    // SAFETY: the handler does nothing, which is allowed at any moment.
    unsafe {
        libc::setpgid(0, 0);
        libc::signal(libc::SIGINT, hear as *const () as libc::sighandler_t);
    }
}

/// The thread that owns evcxr.
struct Worker {
    kernel: Arc<Kernel>,
    state: Arc<State>,
    answers: Receiver<Option<String>>,
    cells: Option<Cells>,
}

impl Worker {
    fn run(mut self, work: &Receiver<Value>) {
        let mut next = work.recv().ok();
        while let Some(message) = next {
            let reply = self.answer(&message);
            self.state.work.fetch_sub(1, Ordering::SeqCst);
            self.kernel.say(&reply);
            next = match work.recv_timeout(REST) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Disconnected) => None,
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(cells) = &mut self.cells {
                        cells.settle();
                    }
                    work.recv().ok()
                }
            };
        }
    }

    fn answer(&mut self, message: &Value) -> Value {
        let code = message["code"].as_str().unwrap_or_default();
        let cursor = message["cursor"].as_u64().and_then(|c| c.try_into().ok()).unwrap_or(0);
        match (message["ask"].as_str(), &mut self.cells) {
            (Some("start"), _) => self.start(message),
            (Some("execute"), Some(cells)) => {
                self.state.interrupted.store(false, Ordering::SeqCst);
                while self.answers.try_recv().is_ok() {}
                let (kernel, answers) = (&self.kernel, &self.answers);
                let ask = |prompt: &str, password: bool| {
                    kernel.say(&json!({"say": "question", "prompt": prompt, "password": password}));
                    answers.recv().ok().flatten()
                };
                let name = message["name"].as_str().unwrap_or("cell");
                let flags = (&self.state.interrupted, &self.state.deaf);
                cells.execute((name, code), flags, &ask)
            }
            (Some("complete"), Some(cells)) => cells.complete(code, cursor),
            (Some("inspect"), Some(cells)) => cells.inspect(code, cursor),
            (Some("complete"), None) => json!({"say": "completions", "matches": []}),
            (Some("inspect"), None) => json!({"say": "inspection"}),
            (asked, _) => json!({"say": "done", "status": "error", "error": {
                "name": "RustError", "traceback": [],
                "message": format!("nothing can be done with {:?} now", asked.unwrap_or_default()),
            }}),
        }
    }

    fn start(&mut self, message: &Value) -> Value {
        let path = |key: &str| PathBuf::from(message[key].as_str().unwrap_or_default());
        let env = message["env"].as_object().into_iter().flatten();
        let wanted = Wanted {
            folder: path("folder"),
            templates: path("templates"),
            client: path("client"),
            env: env.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().into())).collect(),
        };
        let own = message["private"].as_str().map(PathBuf::from);
        *self.state.folder.lock().unwrap_or_else(PoisonError::into_inner) = own;
        let start = Instant::now();
        match Cells::start(&wanted, self.kernel.clone(), self.state.running.clone()) {
            Ok(cells) => {
                let process = cells.process();
                *self.state.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process);
                self.cells = Some(cells);
                json!({"say": "ready", "seconds": start.elapsed().as_secs_f64()})
            }
            Err(reason) => json!({"say": "failed", "message": reason}),
        }
    }
}
