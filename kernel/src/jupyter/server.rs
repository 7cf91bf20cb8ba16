//! The five sockets, and the life of the kernel from start to shutdown.
//!
//! Each socket has a task; none of them runs code. The iopub socket cannot be split in halves, so one
//! task both sends and hears who subscribes. Control has its own task and sends its replies itself:
//! an interrupt is answered even when everything else is waiting.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use zeromq::{
    RepSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend,
    XPubSocket, ZmqMessage,
};

use super::archive::Archive;
use super::cells::CellThread;
use super::connection::Connection;
use super::error::JupyterError;
use super::outbox::{Channel, Stream};
use super::shared::Shared;
use super::wire::{Incoming, Outgoing};
use super::{CellRunner, Interrupt, log, messages, requests};
use crate::session::Unanswered;

/// How long a broadcast waits for a front end that does not read.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same once it has not read for that long, until it reads again.
const SHORT_PATIENCE: Duration = Duration::from_millis(50);
/// How long replies wait behind a broadcast that a front end does not take.
const OVERTAKE: Duration = Duration::from_millis(100);
/// How long shutdown waits for the running cell; then the process ends under it.
const LAST_CELL: Duration = Duration::from_secs(1);
/// Time for the system to take the last bytes from the sockets' own queues.
const LINGER: Duration = Duration::from_millis(50);
/// Stack of the cell thread, in bytes: scripts recurse, and so do drops of long graphs.
const STACK: usize = 64 << 20;

/// Runs a kernel for the front end that wrote `connection_file`; returns after shutdown.
///
/// `interrupt` has to make the running [`CellRunner::run_cell`] end soon. On an interrupt request, on
/// SIGINT and at shutdown it is called from another thread every 20 ms until the cell has ended.
///
/// A cell that does not stop within a second of a shutdown is left running on its thread: the caller
/// ends the process when this returns.
///
/// # Errors
/// The connection file is unusable, a port is taken, or the system gives no thread.
pub fn serve(
    connection_file: &Path,
    runner: Box<dyn CellRunner>,
    interrupt: Interrupt,
) -> Result<(), JupyterError> {
    let connection = Connection::read(connection_file)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("jupyter")
        .enable_all()
        .build()
        .map_err(|source| JupyterError::Start { what: "socket threads", source })?;
    let done = runtime.block_on(live(&connection, runner, interrupt));
    runtime.shutdown_timeout(LINGER);
    for file in connection.socket_files() {
        // Already gone when the socket was closed in time.
        let _ = std::fs::remove_file(file);
    }
    done
}

async fn live(
    connection: &Connection,
    runner: Box<dyn CellRunner>,
    interrupt: Interrupt,
) -> Result<(), JupyterError> {
    clear_stale(connection);
    let shell: RouterSocket = bind("shell", &connection.shell).await?;
    let control: RouterSocket = bind("control", &connection.control).await?;
    let stdin: RouterSocket = bind("stdin", &connection.stdin).await?;
    let iopub: XPubSocket = bind("iopub", &connection.iopub).await?;
    let heartbeat: RepSocket = bind("heartbeat", &connection.heartbeat).await?;

    let archive = Archive::new(Archive::usual_folder());
    let (language, names) = (runner.language(), runner.names());
    let shared = Arc::new(Shared::new(&connection.key, language, interrupt, names, archive));
    let connection = Arc::new(connection.clone());
    let (requests, receiver) = channel();
    let cells = CellThread::new(runner, receiver, shared.clone());
    let cells = thread::Builder::new()
        .name("cells".to_owned())
        .stack_size(STACK)
        .spawn(move || cells.run())
        .map_err(|source| JupyterError::Start { what: "cell thread", source })?;
    let interrupted = shared.clone();
    if let Err(error) = ctrlc::set_handler(move || interrupted.interrupts.request()) {
        log(format_args!("Ctrl-C will not interrupt cells: {error}"));
    }

    let stop = Arc::new(Notify::new());
    let (shell_out, shell_in) = shell.split();
    let (stdin_out, stdin_in) = stdin.split();
    let (ask, questions) = unbounded_channel();
    let writer = tokio::spawn(write(iopub, shell_out, ask, shared.clone()));
    let shell = Shell { shared: shared.clone(), connection: connection.clone(), requests };
    let shell = tokio::spawn(shell.read(shell_in, stop.clone()));
    tokio::spawn(read_control(control, shared.clone(), connection, stop.clone()));
    tokio::spawn(ask_questions(stdin_out, questions, shared.clone()));
    tokio::spawn(read_answers(stdin_in, shared.clone()));
    tokio::spawn(beat(heartbeat));
    let interrupted = shared.clone();
    tokio::spawn(async move { interrupted.interrupts.pass_on(|| say_stuck(&interrupted)).await });

    tokio::select! {
        () = stop.notified() => {}
        () = parent_gone() => log(format_args!("the front end is gone; the kernel ends")),
    }
    shared.stop();
    // Its end drops the sender of the requests, and that ends the cell thread.
    shell.abort();
    let deadline = Instant::now() + LAST_CELL;
    while !cells.is_finished() && Instant::now() < deadline {
        sleep(Duration::from_millis(5)).await;
    }
    shared.outbox.close();
    if timeout(LAST_CELL, writer).await.is_err() {
        log(format_args!("a front end does not read; its last messages are dropped"));
    }
    sleep(LINGER).await;
    Ok(())
}

async fn bind<S: Socket>(socket: &'static str, endpoint: &str) -> Result<S, JupyterError> {
    let mut opened = S::new();
    opened.bind(endpoint).await.map_err(|error| JupyterError::Bind {
        socket,
        endpoint: endpoint.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(opened)
}

/// Removes socket files that a killed kernel left: a restart uses the same paths.
fn clear_stale(connection: &Connection) {
    #[cfg(unix)]
    for file in connection.socket_files() {
        if file.exists() && std::os::unix::net::UnixStream::connect(&file).is_err() {
            // If it stays, binding reports it.
            let _ = std::fs::remove_file(file);
        }
    }
    #[cfg(not(unix))]
    let _ = connection;
}

/// The next sound message of a socket. What cannot be read is logged and dropped.
async fn receive(socket: &mut impl SocketRecv, shared: &Shared, name: &str) -> Incoming {
    let mut failures = 0;
    loop {
        match socket.recv().await {
            Ok(frames) => match shared.wire.decode(frames.into_vec()) {
                Ok(message) => return message,
                Err(error) => shared.dropped.log(name, &error),
            },
            Err(error) => {
                shared.dropped.log(name, &error);
                failures += 1;
                pause(failures).await;
            }
        }
    }
}

/// Waits after a socket has failed so often in a row: one broken frame holds nobody up, and a socket
/// that is broken for good does not take a whole core.
async fn pause(failures: u32) {
    if failures < 1000 {
        tokio::task::yield_now().await;
    } else {
        sleep(LINGER).await;
    }
}

/// Hands code to the cell thread and answers everything else at once.
struct Shell {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    requests: Sender<Incoming>,
}

impl Shell {
    async fn read(self, mut socket: RouterRecvHalf, stop: Arc<Notify>) {
        loop {
            let request = receive(&mut socket, &self.shared, "shell").await;
            let ends = request.kind() == "shutdown_request";
            // When the cell thread has ended, nothing can run any more.
            let goes_on = self.take(request);
            if ends || !goes_on {
                stop.notify_one();
            }
            if !goes_on {
                return;
            }
        }
    }

    /// Answers a request or passes it on. False when there is no cell thread to pass it on to.
    fn take(&self, request: Incoming) -> bool {
        let shared = &self.shared;
        if let Some(content) = requests::complaint(&request) {
            shared.answer(&request, content);
            return true;
        }
        match request.kind() {
            "execute_request" => {
                shared.cell_comes();
                return self.requests.send(request).is_ok();
            }
            "complete_request" | "inspect_request" | "is_complete_request" => {
                if !shared.is_busy() {
                    return self.requests.send(request).is_ok();
                }
                let content = requests::look(shared.names().as_ref(), &request);
                shared.answer(&request, content);
            }
            "shutdown_request" => shared.answer(&request, requests::shutdown(&request)),
            "comm_open" | "comm_msg" | "comm_close" => self.comm(&request),
            kind => match requests::knowledge(&request, shared, &self.connection) {
                Some(content) => shared.answer(&request, content),
                None => shared.dropped.log("shell", &format_args!("{kind:.80} is not known")),
            },
        }
        true
    }

    /// No target of a comm is known here; closing at once is what the protocol asks for.
    fn comm(&self, request: &Incoming) {
        let (outbox, parent) = (&self.shared.outbox, &request.header);
        outbox.broadcast(parent, "status", messages::status("busy"));
        if request.kind() == "comm_open" {
            let closed = json!({"comm_id": request.text("comm_id"), "data": {}});
            outbox.broadcast(parent, "comm_close", closed);
        }
        outbox.broadcast(parent, "status", messages::status("idle"));
    }
}

/// Tells under the running cell why it does not stop, and what can be done.
fn say_stuck(shared: &Shared) {
    let Some(parent) = shared.running() else { return };
    shared.outbox.text(
        &parent,
        Stream::Stderr,
        "The cell has been asked to stop and is inside a call that does not look. It stops when that \
         call returns. To end it now, restart the kernel: saved runs and files stay, variables are \
         lost.\n",
    );
}

/// Interrupt and shutdown.
async fn read_control(
    mut socket: RouterSocket,
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    stop: Arc<Notify>,
) {
    loop {
        let request = receive(&mut socket, &shared, "control").await;
        let content = match request.kind() {
            "interrupt_request" => {
                shared.interrupts.request();
                Some(json!({"status": "ok"}))
            }
            "shutdown_request" => Some(requests::shutdown(&request)),
            _ => requests::knowledge(&request, &shared, &connection),
        };
        let Some(content) = content else {
            shared.dropped.log("control", &format_args!("{:.80} is not known", request.kind()));
            continue;
        };
        let (outbox, parent) = (&shared.outbox, &request.header);
        outbox.broadcast(parent, "status", messages::status("busy"));
        let ends = request.kind() == "shutdown_request";
        if ends {
            // Other front ends of the same kernel learn of it here.
            outbox.broadcast(parent, "shutdown_reply", content.clone());
        }
        if let Err(error) = send(&mut socket, &shared, request.reply(content)).await {
            log(format_args!("control: a reply is lost: {error}"));
        }
        outbox.broadcast(parent, "status", messages::status("idle"));
        if ends {
            stop.notify_one();
            // The socket has to live until the reply has left its queue.
            sleep(PATIENCE).await;
        }
    }
}

/// Sends what the outbox gives, and greets who subscribes.
async fn write(
    mut iopub: XPubSocket,
    mut shell: RouterSendHalf,
    ask: UnboundedSender<Outgoing>,
    shared: Arc<Shared>,
) {
    let mut patience = PATIENCE;
    loop {
        let (channel, message) = tokio::select! {
            biased;
            heard = iopub.recv() => match heard.ok().and_then(|frames| welcome(&frames)) {
                Some(message) => (Channel::Iopub, message),
                None => continue,
            },
            next = shared.outbox.next() => match next {
                Some(next) => next,
                None => break,
            },
        };
        match channel {
            Channel::Shell => {
                if let Err(error) = send(&mut shell, &shared, message).await {
                    log(format_args!("shell: a reply is lost: {error}"));
                }
            }
            // It ends with the kernel only.
            Channel::Stdin => drop(ask.send(message)),
            Channel::Iopub => {
                match broadcast(&mut iopub, &mut shell, &shared, message, patience).await {
                    Some(sent) => {
                        patience = PATIENCE;
                        if let Err(error) = sent {
                            log(format_args!("iopub: a broadcast is lost: {error}"));
                        }
                    }
                    None => {
                        if patience == PATIENCE {
                            log(format_args!("iopub: a front end has not read for 5 s"));
                        }
                        patience = SHORT_PATIENCE;
                    }
                }
            }
        }
    }
}

async fn send(
    socket: &mut impl SocketSend,
    shared: &Shared,
    message: Outgoing,
) -> Result<(), zeromq::ZmqError> {
    let frames = shared.wire.encode(message);
    let frames = ZmqMessage::try_from(frames).expect("a message has at least six frames");
    socket.send(frames).await
}

/// Sends a broadcast; none when a front end did not take it in time. Replies do not wait behind a front
/// end that does not read: they overtake then.
async fn broadcast(
    iopub: &mut XPubSocket,
    shell: &mut RouterSendHalf,
    shared: &Shared,
    message: Outgoing,
    patience: Duration,
) -> Option<Result<(), zeromq::ZmqError>> {
    let start = Instant::now();
    let mut sending = std::pin::pin!(send(iopub, shared, message));
    loop {
        if let Ok(sent) = timeout(OVERTAKE.min(patience), &mut sending).await {
            return Some(sent);
        }
        if start.elapsed() >= patience {
            return None;
        }
        while let Some(reply) = shared.outbox.next_reply() {
            if let Err(error) = send(shell, shared, reply).await {
                log(format_args!("shell: a reply is lost: {error}"));
            }
        }
    }
}

/// The greeting of a new subscriber; its topic is the subscription, or it would not arrive.
fn welcome(frames: &ZmqMessage) -> Option<Outgoing> {
    let (&subscribes, topic) = frames.get(0)?.split_first()?;
    (subscribes == 1).then(|| Outgoing {
        identities: vec![Bytes::copy_from_slice(topic)],
        kind: "iopub_welcome".to_owned(),
        parent: None,
        content: json!({"subscription": String::from_utf8_lossy(topic)}),
        buffers: Vec::new(),
    })
}

/// Sends every heartbeat back.
async fn beat(mut socket: RepSocket) {
    let mut failures = 0;
    loop {
        match socket.recv().await {
            Ok(frames) => {
                failures = 0;
                // A front end that left between its question and the answer needs none.
                let _ = socket.send(frames).await;
            }
            Err(_) => {
                failures += 1;
                pause(failures).await;
            }
        }
    }
}

/// Sends the questions of cells. A front end opens its sockets one after the other, so one that is not
/// there yet is tried again for a moment.
async fn ask_questions(
    mut socket: RouterSendHalf,
    mut questions: UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
) {
    while let Some(question) = questions.recv().await {
        let deadline = Instant::now() + LAST_CELL;
        while let Err(error) = send(&mut socket, &shared, question.clone()).await {
            if Instant::now() >= deadline {
                log(format_args!("stdin: a question is lost: {error}"));
                let gone = "the front end has no stdin channel".to_owned();
                shared.questions.answer(Err(Unanswered::Nobody(gone)));
                break;
            }
            sleep(LINGER).await;
        }
    }
}

/// Hands answers of the user to the cell that waits for them.
async fn read_answers(mut socket: RouterRecvHalf, shared: Arc<Shared>) {
    loop {
        let answer = receive(&mut socket, &shared, "stdin").await;
        if answer.kind() == "input_reply" {
            shared.questions.answer(Ok(answer.text("value").to_owned()));
        } else {
            shared.dropped.log("stdin", &format_args!("{:.80} is not known", answer.kind()));
        }
    }
}

/// Ends when the front end that started this process is gone. Without one it never ends.
async fn parent_gone() {
    #[cfg(unix)]
    if std::env::var_os("JPY_PARENT_PID").is_some() {
        use std::os::unix::process::parent_id;
        let parent = parent_id();
        while parent_id() == parent {
            sleep(Duration::from_secs(1)).await;
        }
        return;
    }
    std::future::pending().await
}
