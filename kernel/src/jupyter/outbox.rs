//! One ordered queue of everything the kernel says.
//!
//! Broadcasts and replies of the shell leave in the order they were put in, so a reply always comes
//! after its cell's outputs. Text of a stream joins the text that already waits; it leaves 25 ms
//! after its first piece, when 64 KB are together, or when something stands behind it. Twenty
//! thousand `print`s become a few dozen messages.
//!
//! The thread that runs code waits for room when 16 MB are waiting: a script that prints faster than
//! the front end reads is slowed down and does not fill the memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::wire::{Outgoing, Parent};

/// How long text of a stream waits for more.
const GATHER: Duration = Duration::from_millis(25);
/// Text of a stream that leaves without waiting, in bytes.
const FULL: usize = 64 << 10;
/// What may wait before the thread that runs code is held, in bytes.
const ROOM: usize = 16 << 20;

/// The socket a message leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// To every front end.
    Iopub,
    /// To the sender of a request on the shell socket.
    Shell,
    /// A question to the sender of a request, on its stdin socket.
    Stdin,
}

/// A text stream of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What `print` writes.
    Stdout,
    /// What `debug` and warnings write.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The queue. Any thread puts in, one task takes out.
#[derive(Default)]
pub struct Outbox {
    state: Mutex<State>,
    news: Notify,
    room: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    bytes: usize,
    closed: bool,
}

enum Entry {
    Message { channel: Channel, message: Outgoing, bytes: usize },
    Text { parent: Parent, stream: Stream, text: String, since: Instant },
}

/// What the front of the queue allows.
enum Front {
    Leaves(Channel, Outgoing),
    WaitsUntil(Instant),
    Empty,
}

impl Outbox {
    /// Puts a broadcast behind everything that waits.
    pub fn broadcast(&self, parent: &Parent, kind: &str, content: Value) {
        self.put(Channel::Iopub, Outgoing::broadcast(parent, kind, content));
    }

    /// Puts a reply of the shell socket behind everything that waits.
    pub fn reply(&self, reply: Outgoing) {
        self.put(Channel::Shell, reply);
    }

    /// Puts a question on the stdin socket behind everything that waits.
    pub fn question(&self, question: Outgoing) {
        self.put(Channel::Stdin, question);
    }

    fn put(&self, channel: Channel, message: Outgoing) {
        let bytes = text_bytes(&message.content);
        let mut state = self.lock();
        state.bytes += bytes;
        state.waiting.push_back(Entry::Message { channel, message, bytes });
        drop(state);
        self.news.notify_one();
    }

    /// Adds text to a stream of the cell that `parent` started.
    pub fn text(&self, parent: &Parent, stream: Stream, more: &str) {
        if more.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.bytes += more.len();
        match state.waiting.back_mut() {
            Some(Entry::Text { parent: same, stream: s, text, .. })
                if *s == stream && text.len() < FULL && std::sync::Arc::ptr_eq(same, parent) =>
            {
                text.push_str(more);
                if text.len() < FULL {
                    return;
                }
            }
            _ => state.waiting.push_back(Entry::Text {
                parent: parent.clone(),
                stream,
                text: more.to_owned(),
                since: Instant::now(),
            }),
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits until less than 16 MB wait. Only for the thread that runs code, never for a task.
    pub fn wait_for_room(&self) {
        let mut state = self.lock();
        while state.bytes > ROOM && !state.closed {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the queue: what waits still leaves, then [`Outbox::next`] gives `None`.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.notify_all();
        self.news.notify_one();
    }

    /// The next message, or `None` once the queue is closed and empty. Dropping the future loses
    /// nothing.
    pub async fn next(&self) -> Option<(Channel, Outgoing)> {
        loop {
            let front = {
                let mut state = self.lock();
                match state.take(Instant::now()) {
                    Front::Empty if state.closed => return None,
                    front => front,
                }
            };
            match front {
                Front::Leaves(channel, message) => {
                    self.room.notify_all();
                    return Some((channel, message));
                }
                Front::WaitsUntil(when) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(when.into()) => {}
                        () = self.news.notified() => {}
                    }
                }
                Front::Empty => self.news.notified().await,
            }
        }
    }

    /// The next reply of the shell socket, past everything that waits before it: for a front end that
    /// does not read its broadcasts.
    pub fn next_reply(&self) -> Option<Outgoing> {
        let mut state = self.lock();
        let is_reply = |e: &Entry| matches!(e, Entry::Message { channel: Channel::Shell, .. });
        let at = state.waiting.iter().position(is_reply)?;
        let Some(Entry::Message { message, bytes, .. }) = state.waiting.remove(at) else {
            return None;
        };
        state.bytes -= bytes;
        Some(message)
    }

    /// A panic elsewhere leaves the queue whole: every change is one push or pop.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, now: Instant) -> Front {
        if let Some(Entry::Text { text, since, .. }) = self.waiting.front() {
            let due = *since + GATHER;
            if text.len() < FULL && self.waiting.len() == 1 && now < due && !self.closed {
                return Front::WaitsUntil(due);
            }
        }
        match self.waiting.pop_front() {
            None => Front::Empty,
            Some(Entry::Message { channel, message, bytes }) => {
                self.bytes -= bytes;
                Front::Leaves(channel, message)
            }
            Some(Entry::Text { parent, stream, text, .. }) => {
                self.bytes -= text.len();
                let content = json!({"name": stream.name(), "text": text});
                Front::Leaves(Channel::Iopub, Outgoing::broadcast(&parent, "stream", content))
            }
        }
    }
}

/// Bytes of the strings in a message: what makes messages big.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.values().map(text_bytes).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jupyter::wire::Fields;

    fn parent() -> Parent {
        Arc::new(Fields::new())
    }

    /// Everything that waits, as (type, text).
    fn drain(outbox: &Outbox) -> Vec<(String, String)> {
        outbox.close();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            while let Some((_, message)) = outbox.next().await {
                let text = message.content["text"].as_str().unwrap_or_default().to_owned();
                all.push((message.kind, text));
            }
            all
        })
    }

    #[test]
    fn text_of_one_stream_joins_and_order_is_kept() {
        let (outbox, cell) = (Outbox::default(), parent());
        outbox.text(&cell, Stream::Stdout, "a\n");
        outbox.text(&cell, Stream::Stdout, "b\n");
        outbox.text(&cell, Stream::Stderr, "c\n");
        outbox.broadcast(&cell, "display_data", json!({}));
        outbox.text(&cell, Stream::Stdout, "d\n");
        outbox.text(&parent(), Stream::Stdout, "of another cell\n");
        let kinds = drain(&outbox);
        let expected = [
            ("stream", "a\nb\n"),
            ("stream", "c\n"),
            ("display_data", ""),
            ("stream", "d\n"),
            ("stream", "of another cell\n"),
        ];
        assert_eq!(kinds, expected.map(|(kind, text)| (kind.to_owned(), text.to_owned())));
    }

    #[test]
    fn a_thousand_short_lines_become_a_few_messages_and_none_is_lost() {
        let (outbox, cell) = (Outbox::default(), parent());
        let line = "0123456789012345678901234567890123456789012345678901234567890123456789\n";
        for _ in 0..2000 {
            outbox.text(&cell, Stream::Stdout, line);
        }
        let messages = drain(&outbox);
        assert_eq!(messages.len(), 3, "142000 bytes in pieces of 64 KB");
        let total: usize = messages.iter().map(|(_, text)| text.len()).sum();
        assert_eq!(total, 2000 * line.len());
    }

    #[test]
    fn text_waits_for_more_but_not_longer_than_a_moment() {
        let (outbox, cell) = (Outbox::default(), parent());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            outbox.text(&cell, Stream::Stdout, "first");
            outbox.text(&cell, Stream::Stdout, " second");
            let (_, message) = outbox.next().await.unwrap();
            assert_eq!(message.content["text"], "first second");
            assert!(start.elapsed() >= GATHER);
            let start = Instant::now();
            outbox.text(&cell, Stream::Stdout, "third");
            outbox.broadcast(&cell, "status", json!({}));
            outbox.next().await.unwrap();
            assert!(start.elapsed() < GATHER, "something behind the text sends it at once");
        });
    }

    #[test]
    fn the_producer_is_held_while_too_much_waits() {
        let (outbox, cell) = (Arc::new(Outbox::default()), parent());
        outbox.text(&cell, Stream::Stdout, &"x".repeat(ROOM + 1));
        let held = outbox.clone();
        let thread = std::thread::spawn(move || held.wait_for_room());
        std::thread::sleep(Duration::from_millis(30));
        assert!(!thread.is_finished());
        assert_eq!(drain(&outbox).len(), 1);
        thread.join().unwrap();
    }
}
