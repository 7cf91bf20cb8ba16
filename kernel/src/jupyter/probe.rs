//! Starts a kernel as a front end does and asks it one thing: does it come up, and does it answer?

use std::fs;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};
use uuid::Uuid;
use zeromq::{DealerSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

use super::wire::{Outgoing, Wire};

/// How long a kernel may take.
const LIMIT: Duration = Duration::from_secs(15);

/// How long one call may take; between calls it is seen whether the program still runs.
const PATIENCE: Duration = Duration::from_millis(250);

/// How soon a kernel is called again.
const AGAIN: Duration = Duration::from_millis(10);

/// What the kernel is asked, and what it has to say.
const QUESTION: &str = "1 + 1";
const ANSWER: &str = "2";

/// Why the kernel gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The connection file cannot be written.
    #[error("no connection file can be written in {}: {source}", folder.display())]
    Runtime {
        /// The folder.
        folder: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// No port of this machine can be opened.
    #[error("no port of 127.0.0.1 can be opened: {0}")]
    Loopback(io::Error),
    /// The program does not start.
    #[error("`{program}` does not start: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The program ended.
    #[error("the kernel ended with {status}{said}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The end of what it wrote to stderr, with a blank line in front.
        said: String,
    },
    /// No answer in time.
    #[error("the kernel gave no answer in {} s", LIMIT.as_secs())]
    Silent,
    /// Another answer.
    #[error("the kernel says {QUESTION} is {0}")]
    Wrong(String),
    /// The socket failed.
    #[error("the socket of the kernel failed: {0}")]
    Socket(String),
}

/// How a kernel did.
#[derive(Clone, Copy, Debug)]
pub struct Probed {
    /// From its start to its first answer.
    pub start: Duration,
    /// One question and its answer after that.
    pub answer: Duration,
}

/// A kernel that ends with this value, and its connection file with it.
struct Started {
    child: Child,
    file: PathBuf,
}

impl Drop for Started {
    fn drop(&mut self) {
        // A process that is gone cannot be killed, and the file may never have been written.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// Starts the kernel of these arguments, with its connection file in `folder`, and asks it `1 + 1`.
///
/// # Errors
/// It does not start, does not answer, or answers wrongly.
pub fn probe(argv: &[String], folder: &Path) -> Result<Probed, ProbeError> {
    let begin = Instant::now();
    let listeners: Result<Vec<TcpListener>, io::Error> =
        (0..5).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
    let ports: Result<Vec<u16>, io::Error> = listeners
        .map_err(ProbeError::Loopback)?
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()))
        .collect();
    let ports = ports.map_err(ProbeError::Loopback)?;
    let key = Uuid::new_v4().to_string();
    let file = folder.join(format!("woolshed-doctor-{}.json", std::process::id()));
    let connection = json!({
        "ip": "127.0.0.1", "transport": "tcp", "key": key, "signature_scheme": "hmac-sha256",
        "shell_port": ports[0], "iopub_port": ports[1], "stdin_port": ports[2],
        "control_port": ports[3], "hb_port": ports[4],
    });
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, connection.to_string()))
        .map_err(|source| ProbeError::Runtime { folder: folder.into(), source })?;
    let place = file.display().to_string();
    let argv: Vec<String> = argv.iter().map(|a| a.replace("{connection_file}", &place)).collect();
    let program = argv.first().cloned().unwrap_or_default();
    let child = Command::new(&program)
        .args(argv.get(1..).unwrap_or_default())
        .env("WOOLSHED_HISTORY", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.map_err(|source| {
        // Nothing was started that could use it.
        let _ = fs::remove_file(&file);
        ProbeError::Start { program, source }
    })?;
    let mut started = Started { child, file };
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(ProbeError::Loopback)?;
    let asked = runtime.block_on(ask(&mut started, ports[0], &key, begin));
    // The kernel's own last words say more than the socket's.
    match (started.child.try_wait(), asked) {
        (Ok(Some(status)), Err(_)) => {
            let mut said = String::new();
            if let Some(mut stderr) = started.child.stderr.take() {
                // What cannot be read is left out.
                let _ = stderr.read_to_string(&mut said);
            }
            let last: Vec<&str> = said.trim().lines().rev().take(5).collect();
            let said: String = last.iter().rev().map(|line| format!("\n  {line}")).collect();
            Err(ProbeError::Ended { status, said })
        }
        (_, asked) => asked,
    }
}

async fn ask(
    started: &mut Started,
    port: u16,
    key: &str,
    begin: Instant,
) -> Result<Probed, ProbeError> {
    let failed = |error: zeromq::ZmqError| ProbeError::Socket(error.to_string());
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let mut socket = loop {
        let mut socket = DealerSocket::new();
        // The socket itself tries again where nobody listens, and knows nothing of the program.
        if let Ok(Ok(())) = timeout(PATIENCE, socket.connect(&endpoint)).await {
            break socket;
        }
        if begin.elapsed() > LIMIT || !matches!(started.child.try_wait(), Ok(None)) {
            return Err(ProbeError::Silent);
        }
        sleep(AGAIN).await;
    };
    let wire = Wire::new(key);
    let mut times = [Duration::ZERO; 2];
    let mut since = begin;
    for time in &mut times {
        let question = Outgoing {
            identities: Vec::new(),
            kind: "execute_request".to_owned(),
            parent: None,
            content: json!({"code": "", "silent": true, "user_expressions": {"x": QUESTION}}),
            buffers: Vec::new(),
        };
        let frames = ZmqMessage::try_from(wire.encode(question))
            .map_err(|error| ProbeError::Socket(error.to_string()))?;
        socket.send(frames).await.map_err(failed)?;
        let reply = timeout(LIMIT, socket.recv()).await.map_err(|_| ProbeError::Silent)?;
        let reply = wire
            .decode(reply.map_err(failed)?.into_vec())
            .map_err(|error| ProbeError::Socket(error.to_string()))?;
        let content = serde_json::Value::Object(reply.content);
        match content.pointer("/user_expressions/x/data/text~1plain").and_then(|v| v.as_str()) {
            Some(ANSWER) => {}
            _ => return Err(ProbeError::Wrong(content.to_string())),
        }
        *time = since.elapsed();
        since = Instant::now();
    }
    Ok(Probed { start: times[0], answer: times[1] })
}
