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
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use zeromq::{
    RepSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend,
    XPubSocket, ZmqMessage,
};

use super::cells::{CellThread, without_runner};
use super::connection::Connection;
use super::error::JupyterError;
use super::outbox::Channel;
use super::shared::Shared;
use super::wire::{Incoming, Outgoing};
use super::{CellRunner, Interrupt, log, messages};

/// How long a broadcast waits for a front end that does not read.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same once it has not read for that long, until it reads again.
const SHORT_PATIENCE: Duration = Duration::from_millis(50);
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

    let shared = Arc::new(Shared::new(&connection.key, runner.language(), interrupt));
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
    let writer = tokio::spawn(write(iopub, shell_out, shared.clone()));
    let shell = tokio::spawn(read_shell(shell_in, requests, shared.clone(), stop.clone()));
    tokio::spawn(read_control(control, shared.clone(), stop.clone()));
    tokio::spawn(drain(stdin, shared.clone()));
    tokio::spawn(beat(heartbeat));
    let interrupted = shared.clone();
    tokio::spawn(async move { interrupted.interrupts.pass_on().await });

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
    loop {
        match socket.recv().await {
            Ok(frames) => match shared.wire.decode(frames.into_vec()) {
                Ok(message) => return message,
                Err(error) => log(format_args!("{name}: message dropped: {error}")),
            },
            Err(error) => {
                log(format_args!("{name}: {error}"));
                // A socket that fails again and again must not take a whole core.
                sleep(LINGER).await;
            }
        }
    }
}

/// Hands code to the cell thread and answers everything else at once.
async fn read_shell(
    mut socket: RouterRecvHalf,
    requests: Sender<Incoming>,
    shared: Arc<Shared>,
    stop: Arc<Notify>,
) {
    loop {
        let request = receive(&mut socket, &shared, "shell").await;
        let passed_on = match request.kind() {
            "execute_request" => {
                shared.cell_comes();
                requests.send(request)
            }
            "complete_request" | "inspect_request" | "is_complete_request" => {
                if shared.is_busy() {
                    let content = without_runner(&request);
                    shared.answer(&request, content);
                    Ok(())
                } else {
                    requests.send(request)
                }
            }
            "shutdown_request" => {
                let content = shutdown_reply(&request);
                shared.answer(&request, content);
                stop.notify_one();
                Ok(())
            }
            "comm_open" => {
                // No target is known here; closing at once is what the protocol asks for.
                let closed = json!({"comm_id": request.text("comm_id"), "data": {}});
                shared.outbox.broadcast(&request.header, "comm_close", closed);
                Ok(())
            }
            "comm_msg" | "comm_close" => Ok(()),
            kind => {
                match knowledge(&request, &shared) {
                    Some(content) => shared.answer(&request, content),
                    None => log(format_args!("shell: {kind} is not known; it is ignored")),
                }
                Ok(())
            }
        };
        if passed_on.is_err() {
            // The cell thread has ended: nothing can run any more.
            stop.notify_one();
            return;
        }
    }
}

/// Answers that need nobody else.
fn knowledge(request: &Incoming, shared: &Shared) -> Option<Value> {
    match request.kind() {
        "kernel_info_request" => Some(messages::kernel_info(&shared.language)),
        "history_request" => Some(shared.history().reply(request)),
        "comm_info_request" => Some(json!({"status": "ok", "comms": {}})),
        "connect_request" => Some(json!({"status": "ok"})),
        _ => None,
    }
}

fn shutdown_reply(request: &Incoming) -> Value {
    json!({"status": "ok", "restart": request.flag("restart", false)})
}

/// Interrupt and shutdown.
async fn read_control(mut socket: RouterSocket, shared: Arc<Shared>, stop: Arc<Notify>) {
    loop {
        let request = receive(&mut socket, &shared, "control").await;
        let content = match request.kind() {
            "interrupt_request" => {
                shared.interrupts.request();
                Some(json!({"status": "ok"}))
            }
            "shutdown_request" => Some(shutdown_reply(&request)),
            _ => knowledge(&request, &shared),
        };
        let Some(content) = content else {
            log(format_args!("control: {} is not known; it is ignored", request.kind()));
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
async fn write(mut iopub: XPubSocket, mut shell: RouterSendHalf, shared: Arc<Shared>) {
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
            Channel::Iopub => match timeout(patience, send(&mut iopub, &shared, message)).await {
                Ok(sent) => {
                    patience = PATIENCE;
                    if let Err(error) = sent {
                        log(format_args!("iopub: a broadcast is lost: {error}"));
                    }
                }
                Err(_) => {
                    if patience == PATIENCE {
                        log(format_args!("iopub: a front end has not read for 5 s"));
                    }
                    patience = SHORT_PATIENCE;
                }
            },
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
    loop {
        match socket.recv().await {
            Ok(frames) => {
                // A front end that left between its question and the answer needs none.
                let _ = socket.send(frames).await;
            }
            Err(_) => sleep(LINGER).await,
        }
    }
}

/// Reads what comes on the stdin socket: no cell asks the user anything yet.
async fn drain(mut socket: RouterSocket, shared: Arc<Shared>) {
    loop {
        receive(&mut socket, &shared, "stdin").await;
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
