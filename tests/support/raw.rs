//! A client that writes every frame itself, to say what no library would: wrong types, cut messages,
//! foreign signatures. It shares no code with the kernel.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jupyter_protocol::ConnectionInfo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use zeromq::util::PeerIdentity;
use zeromq::{DealerSocket, Socket, SocketOptions, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use crate::support::client::LIMIT;

/// The sockets that take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Shell,
    Control,
    Stdin,
}

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    pub kind: String,
    /// The id of the request that caused it.
    pub cause: String,
    pub content: Value,
}

/// Writes and reads frames.
pub struct Raw {
    runtime: Runtime,
    key: String,
    session: String,
    shell: DealerSocket,
    control: DealerSocket,
    stdin: DealerSocket,
    iopub: SubSocket,
}

impl Raw {
    /// Connects to a kernel that answers already.
    pub fn connect(info: &ConnectionInfo) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let session = uuid::Uuid::new_v4().to_string();
        let dealer = || {
            // Shell and stdin go by one name: questions follow the cell to its sender.
            let mut options = SocketOptions::default();
            options.peer_identity(PeerIdentity::try_from(session.clone().into_bytes()).unwrap());
            DealerSocket::with_options(options)
        };
        let (mut shell, mut control, mut stdin) = (dealer(), dealer(), dealer());
        let mut iopub = SubSocket::new();
        runtime.block_on(async {
            shell.connect(&info.shell_url()).await.unwrap();
            control.connect(&info.control_url()).await.unwrap();
            stdin.connect(&info.stdin_url()).await.unwrap();
            iopub.connect(&info.iopub_url()).await.unwrap();
            iopub.subscribe("").await.unwrap();
        });
        let mut raw =
            Self { runtime, key: info.key.clone(), session, shell, control, stdin, iopub };
        while raw.hear().kind != "iopub_welcome" {}
        raw
    }

    /// The frames of a sound message, from the delimiter on, and its id.
    pub fn message(&self, kind: &str, content: &Value) -> (Vec<Bytes>, String) {
        let id = uuid::Uuid::new_v4().to_string();
        let header = json!({
            "msg_id": id, "session": self.session, "username": "raw", "msg_type": kind,
            "date": "2026-01-01T00:00:00Z", "version": "5.5", "a field of the future": [1],
        });
        let body = [header, json!({}), json!({}), content.clone()].map(|part| part.to_string());
        (self.signed(body.map(Bytes::from).to_vec()), id)
    }

    /// The delimiter, the signature and four frames.
    pub fn signed(&self, body: Vec<Bytes>) -> Vec<Bytes> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_bytes()).unwrap();
        body.iter().for_each(|frame| mac.update(frame));
        let signature: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut frames = vec![Bytes::from_static(b"<IDS|MSG>"), Bytes::from(signature)];
        frames.extend(body);
        frames
    }

    fn socket(&mut self, channel: Channel) -> &mut DealerSocket {
        match channel {
            Channel::Shell => &mut self.shell,
            Channel::Control => &mut self.control,
            Channel::Stdin => &mut self.stdin,
        }
    }

    /// Sends frames as they are.
    pub fn send_frames(&mut self, channel: Channel, frames: Vec<Bytes>) {
        let frames = ZmqMessage::try_from(frames).expect("at least one frame");
        let runtime = self.runtime.handle().clone();
        let socket = self.socket(channel);
        let sent = runtime.block_on(async { timeout(LIMIT, socket.send(frames)).await });
        sent.expect("the kernel reads").unwrap();
    }

    /// Sends a sound message and gives its id.
    pub fn send(&mut self, channel: Channel, kind: &str, content: &Value) -> String {
        let (frames, id) = self.message(kind, content);
        self.send_frames(channel, frames);
        id
    }

    /// Sends a cell that may ask questions.
    pub fn send_cell(&mut self, code: &str) -> String {
        self.send(Channel::Shell, "execute_request", &json!({"code": code, "allow_stdin": true}))
    }

    /// The next message of a socket, or none after that long.
    pub fn read_within(&mut self, channel: Channel, limit: Duration) -> Option<Message> {
        let runtime = self.runtime.handle().clone();
        let socket = self.socket(channel);
        let read = runtime.block_on(async { timeout(limit, socket.recv()).await });
        Some(parse(&read.ok()?.unwrap()))
    }

    /// The next broadcast.
    pub fn hear(&mut self) -> Message {
        let read = self.runtime.block_on(async { timeout(LIMIT, self.iopub.recv()).await });
        parse(&read.expect("a broadcast").unwrap())
    }

    /// The next broadcast, or none after that long.
    pub fn hear_within(&mut self, limit: Duration) -> Option<Message> {
        let read = self.runtime.block_on(async { timeout(limit, self.iopub.recv()).await });
        Some(parse(&read.ok()?.unwrap()))
    }

    /// Waits for the message that a request caused.
    pub fn reply(&mut self, channel: Channel, id: &str) -> Message {
        loop {
            let message = self.read_within(channel, LIMIT).expect("a reply");
            if message.cause == id {
                return message;
            }
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, channel: Channel, kind: &str, content: Value) -> Message {
        let id = self.send(channel, kind, &content);
        self.reply(channel, &id)
    }

    /// Everything a request has caused on iopub, from `busy` to `idle`.
    pub fn said(&mut self, id: &str) -> Vec<Message> {
        let mut said = Vec::new();
        loop {
            let message = self.hear();
            if message.cause != id {
                continue;
            }
            let idle = message.content["execution_state"] == "idle";
            said.push(message);
            if idle {
                return said;
            }
        }
    }

    /// Waits until a cell says something of this kind.
    pub fn hear_kind(&mut self, id: &str, kind: &str) -> Message {
        loop {
            let message = self.hear();
            if message.cause == id && message.kind == kind {
                return message;
            }
        }
    }
}

fn parse(message: &ZmqMessage) -> Message {
    let frames: Vec<&Bytes> = message.iter().collect();
    let at = frames.iter().position(|f| f.as_ref() == b"<IDS|MSG>").expect("a delimiter");
    let part = |i: usize| -> Value { serde_json::from_slice(frames[at + i]).unwrap() };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Message { kind: text(&part(2)["msg_type"]), cause: text(&part(3)["msg_id"]), content: part(5) }
}
