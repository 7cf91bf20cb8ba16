//! The program `woolshed-rust`: found, started, spoken with.
//!
//! Its own documentation lists the messages (`kernel/rust-cells/src/kernel.rs`).

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::RustError;

/// The program.
const NAME: &str = "woolshed-rust";

/// Says where the program is, for those who have it elsewhere.
const PLACE: &str = "WOOLSHED_RUST";

/// The messages that both sides know.
const PROTOCOL: u64 = 1;

/// How long the program may take to say hello.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the program is: where `WOOLSHED_RUST` says, beside this program, in `PATH`, or among cargo's.
pub fn find() -> Option<PathBuf> {
    if let Some(named) = env::var_os(PLACE).filter(|named| !named.is_empty()) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    let beside = env::current_exe().ok().and_then(|me| me.parent().map(PathBuf::from));
    let path = env::var_os("PATH").map(|p| env::split_paths(&p).collect::<Vec<_>>());
    let cargo = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| dirs::home_dir().map(|home| home.join(".cargo")));
    beside
        .into_iter()
        .chain(path.unwrap_or_default())
        .chain(cargo.map(|cargo| cargo.join("bin")))
        .map(|folder| folder.join(NAME))
        .find(|program| program.is_file())
}

/// A running program.
pub struct Process {
    line: Line,
    events: Receiver<Value>,
}

/// The way to a running program, from any thread.
#[derive(Clone)]
pub struct Line {
    input: Arc<Mutex<ChildStdin>>,
    child: Arc<Mutex<Child>>,
}

impl Line {
    /// Sends a message. A program that has ended is seen where its messages are read.
    pub fn send(&self, message: &Value) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(input, "{message}").and_then(|()| input.flush());
    }

    /// Ends the program at once.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended needs no end.
        let _ = child.kill();
    }
}

impl Process {
    /// Starts the program and waits for its hello.
    ///
    /// # Errors
    /// It is not installed, does not start, or is of another version.
    pub fn start() -> Result<Self, RustError> {
        let program = find().ok_or(RustError::NotInstalled)?;
        let spawned = Command::new(&program)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            spawned.map_err(|source| RustError::Start { program: program.clone(), source })?;
        let (sender, events) = mpsc::channel();
        let logs = sender.clone();
        let (Some(input), Some(output), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(RustError::Ended);
        };
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { break };
                let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
                if sender.send(message).is_err() {
                    break;
                }
            }
            let _ = sender.send(json!({"say": "gone"}));
        });
        thread::spawn(move || {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            // What cargo says of a dependency that takes minutes, mostly.
            while stderr.by_ref().take(1 << 20).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).into_owned();
                if logs.send(json!({"say": "log", "text": text})).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let line = Line { input: Arc::new(Mutex::new(input)), child: Arc::new(Mutex::new(child)) };
        let process = Self { line, events };
        let hello = loop {
            match process.next(PATIENCE)? {
                Some(message) if message["say"] == "hello" => break message,
                Some(_) => {}
                None => return Err(RustError::Ended),
            }
        };
        let version = hello["version"].as_str().unwrap_or_default();
        if hello["protocol"] != PROTOCOL || version != env!("CARGO_PKG_VERSION") {
            return Err(RustError::Version { program, got: version.to_owned() });
        }
        Ok(process)
    }

    /// The way to the program.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The next message; none when none comes in this time.
    ///
    /// # Errors
    /// The program has ended.
    pub fn next(&self, wait: Duration) -> Result<Option<Value>, RustError> {
        match self.events.recv_timeout(wait) {
            Ok(message) if message["say"] == "gone" => Err(RustError::Ended),
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RustError::Ended),
        }
    }
}

impl Drop for Process {
    /// Ends the program: politely, and after a second without asking.
    fn drop(&mut self) {
        self.line.send(&json!({"ask": "shutdown"}));
        let mut child = self.line.child.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..50 {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}
