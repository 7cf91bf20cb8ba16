//! Rubbish on every socket: nothing that is not signed is accepted, nothing ends the kernel, and the
//! next sound cell is answered.
//!
//! The messages are mutations of sound ones, from a fixed seed. On shell, control and stdin they are
//! mutated messages of the protocol; the heartbeat and the subscriptions take any frames.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use zeromq::{DealerSocket, Socket, SocketSend, ZmqMessage};

use crate::raw::{Channel, Raw};
use crate::support::client::Kernel;

/// SplitMix64: the mutations need no better randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % sides as u64).unwrap()
    }

    fn bytes(&mut self, longest: usize) -> Bytes {
        let length = self.roll(longest + 1);
        (0..length).map(|_| u8::try_from(self.roll(256)).unwrap()).collect::<Vec<u8>>().into()
    }

    fn value(&mut self) -> Value {
        match self.roll(9) {
            0 => Value::Null,
            1 => json!(self.roll(2) == 0),
            2 => json!(-5),
            3 => json!(1e300),
            4 => json!(u64::MAX),
            5 if self.roll(100) == 0 => json!("x".repeat(2_000_000)),
            5 => json!("x".repeat(self.roll(2000))),
            6 => json!([[], {}, "a"]),
            7 => json!({"a": {"b": [1, 2]}}),
            _ => json!("\u{0}\u{1f600}\u{202e}"),
        }
    }
}

/// Messages a front end sends. None of the cells changes `planted` when it is signed.
fn sound() -> Vec<(&'static str, Value)> {
    vec![
        (
            "execute_request",
            json!({"code": "1 + 1", "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false, "stop_on_error": false}),
        ),
        ("complete_request", json!({"code": "pri", "cursor_pos": 3})),
        ("inspect_request", json!({"code": "prune", "cursor_pos": 3, "detail_level": 0})),
        ("is_complete_request", json!({"code": "fn f() {"})),
        (
            "history_request",
            json!({"hist_access_type": "search", "pattern": "*1*", "n": 3, "unique": true, "raw": true, "output": false, "session": 0, "start": 0, "stop": 5}),
        ),
        ("kernel_info_request", json!({})),
        ("comm_info_request", json!({"target_name": "x"})),
        ("comm_open", json!({"comm_id": "a", "target_name": "x", "data": {}})),
        ("comm_msg", json!({"comm_id": "a", "data": {}})),
        ("connect_request", json!({})),
        (
            "debug_request",
            json!({"type": "request", "seq": 1, "command": "evaluate", "arguments": {}}),
        ),
        ("create_subshell_request", json!({})),
        ("interrupt_request", json!({})),
        ("input_reply", json!({"status": "ok", "value": "x"})),
        ("message_of_the_future_request", json!({"anything": 1})),
    ]
}

/// A mutated message. Those whose signature does not fit say `planted = true` in their code.
fn mutated(raw: &Raw, dice: &mut Dice, sound: &[(&'static str, Value)]) -> Vec<Bytes> {
    let (kind, content) = &sound[dice.roll(sound.len())];
    let mut content = content.clone();
    match dice.roll(8) {
        // Signed, and wrong in its content.
        0..=2 => {
            if let Value::Object(fields) = &mut content {
                let keys: Vec<String> = fields.keys().cloned().collect();
                if !keys.is_empty() {
                    let key = keys[dice.roll(keys.len())].clone();
                    if dice.roll(3) == 0 {
                        fields.remove(&key);
                    } else {
                        // Code stays code that ends: a signed cell may do anything.
                        let value = dice.value();
                        fields.insert(key, value);
                    }
                }
                fields.insert("a field of the future".to_owned(), dice.value());
            }
            raw.message(kind, &content).0
        }
        // Signed, with frames that are no objects or miss fields.
        3 => {
            let parts = [json!({"msg_type": kind}), json!({}), json!({}), content];
            let mut body: Vec<Bytes> =
                parts.iter().map(|part| Bytes::from(part.to_string())).collect();
            let at = dice.roll(4);
            body[at] = match dice.roll(4) {
                0 => dice.bytes(100),
                1 => Bytes::from(dice.value().to_string()),
                2 => Bytes::from("{".repeat(dice.roll(500))),
                _ => Bytes::from(format!("{{\"msg_type\":{}}}", dice.value())),
            };
            raw.signed(body)
        }
        // Not signed, or not by us: it must not run.
        4 | 5 => {
            let planted = json!({"code": "planted = true;", "silent": true});
            let mut frames = raw.message("execute_request", &planted).0;
            match dice.roll(4) {
                0 => frames[1] = Bytes::new(),
                1 => frames[1] = dice.bytes(64),
                2 => {
                    let mut signature = frames[1].to_vec();
                    let at = dice.roll(signature.len());
                    signature[at] = if signature[at] == b'0' { b'1' } else { b'0' };
                    frames[1] = signature.into();
                }
                _ => {
                    // The signature of another message.
                    frames[1] = raw.message("kernel_info_request", &json!({})).0[1].clone();
                }
            }
            frames
        }
        // Cut.
        6 => {
            let mut frames = raw.message(kind, &content).0;
            frames.truncate(1 + dice.roll(frames.len()));
            let last = frames.len() - 1;
            let length = dice.roll(frames[last].len() + 1);
            frames[last].truncate(length);
            frames
        }
        // No message at all.
        _ => (0..=dice.roll(9)).map(|_| dice.bytes(60)).collect(),
    }
}

/// Sends so many messages, each to one of the five sockets, and checks the kernel now and then.
fn bombard(messages: usize, seed: u64) {
    let mut kernel = Kernel::start();
    // A client that is kept without reading would hold up everybody's broadcasts.
    kernel.client().run("let planted = false;");
    let mut raw = Raw::connect(kernel.info());
    let mut dice = Dice(seed);
    let sound = sound();
    let start = Instant::now();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut heartbeat, mut iopub) = (DealerSocket::new(), zeromq::XSubSocket::new());
    runtime.block_on(async {
        heartbeat.connect(&kernel.info().hb_url()).await.unwrap();
        iopub.connect(&kernel.info().iopub_url()).await.unwrap();
    });
    for i in 1..=messages {
        match dice.roll(10) {
            0 => {
                let frames: Vec<Bytes> = (0..=dice.roll(3)).map(|_| dice.bytes(40)).collect();
                let frames = ZmqMessage::try_from(frames).unwrap();
                runtime.block_on(heartbeat.send(frames)).unwrap();
            }
            1 => {
                // Few subscriptions only: every broadcast is held against each of them.
                let first = if dice.roll(50) == 0 { 1 } else { 2 + dice.roll(250) as u8 };
                let mut frame = vec![first];
                frame.extend_from_slice(&dice.bytes(40));
                let mut frames = vec![Bytes::from(frame)];
                frames.extend((0..dice.roll(2)).map(|_| dice.bytes(20)));
                let frames = ZmqMessage::try_from(frames).unwrap();
                runtime.block_on(iopub.send(frames)).unwrap();
            }
            at => {
                let frames = mutated(&raw, &mut dice, &sound);
                let channel = [Channel::Shell, Channel::Shell, Channel::Control, Channel::Stdin];
                raw.send_frames(channel[at % 4], frames);
            }
        }
        // Answers are read, or they would fill the sockets.
        if i % 50 == 0 {
            for channel in [Channel::Shell, Channel::Control, Channel::Stdin] {
                while raw.read_within(channel, Duration::ZERO).is_some() {}
            }
            while raw.hear_within(Duration::ZERO).is_some() {}
        }
        if i % (messages / 10) == 0 {
            raw.ask(Channel::Shell, "kernel_info_request", json!({}));
        }
    }
    println!("{messages} messages in {:?}", start.elapsed());
    drop(raw);
    let mut client = kernel.client();
    assert_eq!(client.run("planted").result().as_deref(), Some("false"));
    assert_eq!(client.run("6 * 7").result().as_deref(), Some("42"));
    client.heartbeat();
    client.interrupt();
    client.shut_down(false);
    kernel.wait_for_end();
}

#[test]
fn rubbish_on_every_socket_is_survived() {
    // 13 s on two shared cores.
    bombard(100_000, 1);
}
