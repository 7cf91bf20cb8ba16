//! A kernel as a child process, and an independent client for it.
//!
//! The client comes from `jupyter-zmq-client`, which shares no code with the kernel's own wire
//! module: the two agree on the protocol or a test fails. Every wait has a limit, [`LIMIT`].

use std::collections::HashMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use jupyter_protocol::connection_info::Transport;
use jupyter_protocol::{
    ConnectionInfo, ErrorOutput, ExecuteReply, ExecuteRequest, ExecutionState, InterruptRequest,
    JupyterMessage, JupyterMessageContent, Media, MediaType, ReplyStatus, ShutdownRequest,
    Stdio as StreamName,
};
use jupyter_zmq_client::{
    ClientControlConnection, ClientHeartbeatConnection, ClientIoPubConnection,
    ClientShellConnection, create_client_control_connection, create_client_heartbeat_connection,
    create_client_iopub_connection, create_client_shell_connection_with_identity,
    peer_identity_for_session, wait_for_iopub_welcome,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

/// How long anything may take before a test fails. Far above what is expected: it is there to end a
/// test that hangs, on a machine that does other work too.
pub const LIMIT: Duration = Duration::from_secs(180);

/// A running kernel; killed when it is dropped.
pub struct Kernel {
    child: Child,
    info: ConnectionInfo,
    folder: TempDir,
    how: How,
}

/// How the program is started, besides its connection file.
#[derive(Default)]
struct How {
    arguments: Vec<&'static str>,
    environment: Vec<(String, PathBuf)>,
}

impl Kernel {
    /// Starts the kernel on free TCP ports.
    pub fn start() -> Self {
        Self::start_how(How::default())
    }

    /// Starts the kernel with more environment variables.
    #[allow(dead_code, reason = "for the tests of Rust cells")]
    pub fn start_with(environment: &[(&str, &Path)]) -> Self {
        Self::start_how(How { environment: owned(environment), ..How::default() })
    }

    /// Starts the kernel whose cells are Rust, with more environment variables.
    #[allow(dead_code, reason = "for the tests of Rust cells")]
    pub fn start_rust(environment: &[(&str, &Path)]) -> Self {
        Self::start_how(How { arguments: vec!["--rust"], environment: owned(environment) })
    }

    /// The process of the kernel.
    #[allow(dead_code, reason = "for the tests of Rust cells")]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    fn start_how(how: How) -> Self {
        let ports: Vec<u16> = (0..5).map(|_| free_port()).collect();
        let folder = TempDir::new().unwrap();
        Self::start_on(Transport::TCP, "127.0.0.1".to_owned(), &ports, folder, how)
    }

    /// Starts the kernel on socket files.
    pub fn start_ipc() -> Self {
        let folder = TempDir::new().unwrap();
        let prefix = folder.path().join("kernel-ipc").to_str().unwrap().to_owned();
        Self::start_on(Transport::IPC, prefix, &[1, 2, 3, 4, 5], folder, How::default())
    }

    fn start_on(
        transport: Transport,
        ip: String,
        ports: &[u16],
        folder: TempDir,
        how: How,
    ) -> Self {
        let info = ConnectionInfo {
            ip,
            transport,
            shell_port: ports[0],
            iopub_port: ports[1],
            stdin_port: ports[2],
            control_port: ports[3],
            hb_port: ports[4],
            key: "a key of the tests".to_owned(),
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: Some("woolshed".to_owned()),
        };
        let file = folder.path().join("connection.json");
        fs::write(&file, serde_json::to_string(&info).unwrap()).unwrap();
        Self { child: spawn(&file, &how), info, folder, how }
    }

    /// Waits for the process to end, then starts another with the same connection file, as a front
    /// end's restart does.
    pub fn start_again(&mut self) {
        self.wait_for_end();
        self.child = spawn(&self.folder.path().join("connection.json"), &self.how);
    }

    /// How a client reaches this kernel.
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// A new client.
    pub fn client(&self) -> Client {
        Client::connect(&self.info)
    }

    /// Waits until the process has ended by itself, with success.
    pub fn wait_for_end(&mut self) {
        let start = Instant::now();
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return assert!(status.success(), "the kernel ended with {status}"),
                None => assert!(start.elapsed() < LIMIT, "the kernel does not end"),
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills the process and starts another with the same connection file.
    pub fn kill_and_start_again(&mut self) {
        self.kill();
        self.child = spawn(&self.folder.path().join("connection.json"), &self.how);
    }

    /// Sends SIGINT, as Ctrl-C in a terminal does.
    #[cfg(unix)]
    pub fn ctrl_c(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port nobody listens on, given to nobody else in this process.
///
/// Ports come from below the range that systems give to outgoing connections (32768 on Linux): one
/// from that range may be gone again before the kernel has started.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test programs that run at the same time begin at different places.
        let first = std::process::id() % 40 * 500;
        let place = first + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(12_000 + place % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[allow(dead_code, reason = "for the tests of Rust cells")]
fn owned(environment: &[(&str, &Path)]) -> Vec<(String, PathBuf)> {
    environment.iter().map(|(name, value)| (name.to_string(), value.to_path_buf())).collect()
}

fn spawn(connection_file: &Path, how: &How) -> Child {
    Command::new(env!("CARGO_BIN_EXE_woolshed"))
        .args(["kernel", "--connection-file"])
        .arg(connection_file)
        .args(&how.arguments)
        // The history of the tests is nobody's.
        .env("WOOLSHED_HISTORY", connection_file.with_file_name("history"))
        .envs(how.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .spawn()
        .expect("the kernel was built with the tests")
}

/// Everything a cell said, and how it ended.
#[derive(Debug)]
pub struct CellRun {
    /// The reply.
    pub reply: ExecuteReply,
    /// The broadcasts it caused, in order, from `busy` to `idle`.
    pub said: Vec<JupyterMessageContent>,
}

impl CellRun {
    /// The text of a stream, whatever pieces it came in.
    fn stream(&self, wanted: fn(&StreamName) -> bool) -> String {
        let pieces = self.said.iter().filter_map(|content| match content {
            JupyterMessageContent::StreamContent(stream) if wanted(&stream.name) => {
                Some(stream.text.as_str())
            }
            _ => None,
        });
        pieces.collect()
    }

    /// What the cell printed.
    pub fn stdout(&self) -> String {
        self.stream(|name| matches!(name, StreamName::Stdout))
    }

    /// What the cell wrote to stderr.
    pub fn stderr(&self) -> String {
        self.stream(|name| matches!(name, StreamName::Stderr))
    }

    /// The text of the cell's value.
    pub fn result(&self) -> Option<String> {
        self.said.iter().find_map(|content| match content {
            JupyterMessageContent::ExecuteResult(result) => plain(&result.data),
            _ => None,
        })
    }

    /// The error shown under the cell.
    pub fn error(&self) -> Option<&ErrorOutput> {
        self.said.iter().find_map(|content| match content {
            JupyterMessageContent::ErrorOutput(error) => Some(error),
            _ => None,
        })
    }

    /// The types of the broadcasts, in order.
    pub fn kinds(&self) -> Vec<&str> {
        self.said.iter().map(JupyterMessageContent::message_type).collect()
    }
}

/// The plain text of a bundle.
fn plain(data: &Media) -> Option<String> {
    data.content.iter().find_map(|media| match media {
        MediaType::Plain(text) => Some(text.clone()),
        _ => None,
    })
}

/// A front end without a face.
pub struct Client {
    runtime: Runtime,
    shell: ClientShellConnection,
    control: ClientControlConnection,
    iopub: ClientIoPubConnection,
    heartbeat: ClientHeartbeatConnection,
    /// Replies that came while another was awaited, by the id of their request.
    replies: HashMap<String, JupyterMessageContent>,
    /// Broadcasts, by the id of the request that caused them.
    said: HashMap<String, Vec<JupyterMessageContent>>,
}

impl Client {
    /// Connects every channel and waits for the kernel's greeting.
    pub fn connect(info: &ConnectionInfo) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        // The kernel may not listen yet: it was started a moment ago.
        let start = Instant::now();
        let (shell, control, iopub, heartbeat) = loop {
            match runtime.block_on(connect(info)) {
                Ok(connections) => break connections,
                Err(error) => assert!(start.elapsed() < LIMIT, "no connection: {error}"),
            }
            sleep(Duration::from_millis(2));
        };
        Self {
            runtime,
            shell,
            control,
            iopub,
            heartbeat,
            replies: HashMap::new(),
            said: HashMap::new(),
        }
    }

    /// Runs a cell and waits for its end.
    pub fn run(&mut self, code: &str) -> CellRun {
        let id = self.send_cell(code);
        self.finish(&id)
    }

    /// Sends a cell and gives the id of its request.
    pub fn send_cell(&mut self, code: &str) -> String {
        self.send(ExecuteRequest::new(code.to_owned()))
    }

    /// Sends a request on the shell channel and gives its id.
    pub fn send(&mut self, request: impl Into<JupyterMessage>) -> String {
        let message: JupyterMessage = request.into();
        let id = message.header.msg_id.clone();
        self.runtime.block_on(self.shell.send(message)).unwrap();
        id
    }

    /// Waits for the reply and the `idle` of a cell.
    pub fn finish(&mut self, id: &str) -> CellRun {
        let JupyterMessageContent::ExecuteReply(reply) = self.reply(id) else {
            panic!("the reply to {id} is no execute_reply");
        };
        self.wait_until_idle(id);
        CellRun { reply, said: self.said.remove(id).unwrap_or_default() }
    }

    /// Waits until a cell has begun to run.
    pub fn wait_until_running(&mut self, id: &str) {
        self.hear_until(id, |content| matches!(content, JupyterMessageContent::ExecuteInput(_)));
    }

    /// Waits until a cell has ended and all that it said is heard.
    pub fn wait_until_idle(&mut self, id: &str) {
        self.hear_until(id, |content| is_status(content, &ExecutionState::Idle));
    }

    /// Waits for the broadcast of a request that fits.
    pub fn hear_until(&mut self, id: &str, fits: impl Fn(&JupyterMessageContent) -> bool) {
        while !self.said.get(id).is_some_and(|said| said.iter().any(&fits)) {
            let (cause, content) = self.hear(LIMIT).unwrap_or_else(|| panic!("{id}: not heard"));
            self.said.entry(cause).or_default().push(content);
        }
    }

    /// The next broadcast with the id of its cause, or nothing for that long.
    pub fn hear(&mut self, limit: Duration) -> Option<(String, JupyterMessageContent)> {
        let read = self.runtime.block_on(async { timeout(limit, self.iopub.read()).await });
        let message = read.ok()?.expect("a sound broadcast");
        let cause = message.parent_header.map(|header| header.msg_id).unwrap_or_default();
        Some((cause, message.content))
    }

    /// Waits for the reply to a request.
    pub fn reply(&mut self, id: &str) -> JupyterMessageContent {
        self.reply_within(id, LIMIT).unwrap_or_else(|| panic!("no reply to {id}"))
    }

    /// The reply to a request, or nothing after that long.
    pub fn reply_within(&mut self, id: &str, limit: Duration) -> Option<JupyterMessageContent> {
        loop {
            if let Some(reply) = self.replies.remove(id) {
                return Some(reply);
            }
            let read = self.runtime.block_on(async { timeout(limit, self.shell.read()).await });
            let message = read.ok()?.expect("a sound reply");
            let cause = message.parent_header.expect("a reply has a cause").msg_id;
            self.replies.insert(cause, message.content);
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, request: impl Into<JupyterMessage>) -> JupyterMessageContent {
        let id = self.send(request);
        self.reply(&id)
    }

    /// Interrupts the running cell and waits for the reply.
    pub fn interrupt(&mut self) {
        self.control(InterruptRequest {});
    }

    /// Asks the kernel to end and waits for the reply.
    pub fn shut_down(&mut self, restart: bool) {
        let JupyterMessageContent::ShutdownReply(reply) = self.control(ShutdownRequest { restart })
        else {
            panic!("the reply is no shutdown_reply");
        };
        assert_eq!((reply.status, reply.restart), (ReplyStatus::Ok, restart));
    }

    /// Asks on the control channel and waits for the answer.
    pub fn control(&mut self, request: impl Into<JupyterMessage>) -> JupyterMessageContent {
        let request: JupyterMessage = request.into();
        let answer = self.runtime.block_on(async {
            self.control.send(request).await.unwrap();
            timeout(LIMIT, self.control.read()).await
        });
        answer.expect("an answer on control").expect("a sound answer").content
    }

    /// Sends a heartbeat and tells how long its return took.
    pub fn heartbeat(&mut self) -> Duration {
        let start = Instant::now();
        let beat = self
            .runtime
            .block_on(async { timeout(LIMIT, self.heartbeat.single_heartbeat()).await });
        beat.expect("a heartbeat").unwrap();
        start.elapsed()
    }
}

type Connections = (
    ClientShellConnection,
    ClientControlConnection,
    ClientIoPubConnection,
    ClientHeartbeatConnection,
);

async fn connect(info: &ConnectionInfo) -> jupyter_zmq_client::Result<Connections> {
    let session = uuid::Uuid::new_v4().to_string();
    let identity = peer_identity_for_session(&session)?;
    let mut iopub = create_client_iopub_connection(info, "", &session).await?;
    let greeting = wait_for_iopub_welcome(&mut iopub, LIMIT).await?;
    assert_eq!(greeting.as_deref(), Some(""), "the kernel greets a subscriber");
    Ok((
        create_client_shell_connection_with_identity(info, &session, identity).await?,
        create_client_control_connection(info, &session).await?,
        iopub,
        create_client_heartbeat_connection(info).await?,
    ))
}

fn is_status(content: &JupyterMessageContent, state: &ExecutionState) -> bool {
    matches!(content, JupyterMessageContent::Status(status) if status.execution_state == *state)
}

/// Whether the kernel answers a cell that is signed with the key of `info`, within a time. The answer
/// is not read: a kernel with another key signs with another key.
pub fn is_answered(info: &ConnectionInfo, code: &str, limit: Duration) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let session = uuid::Uuid::new_v4().to_string();
        let identity = peer_identity_for_session(&session).unwrap();
        let mut shell =
            create_client_shell_connection_with_identity(info, &session, identity).await.unwrap();
        shell.send(ExecuteRequest::new(code.to_owned()).into()).await.unwrap();
        timeout(limit, shell.read()).await.is_ok()
    })
}
