//! Hears what the code of cells says, and tells the kernel in the same order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::frames::{Frame, LONGEST};
use crate::kernel::Kernel;

/// How long a display waits for a second form of the same thing, or for the end of its cell: then it is the
/// cell's value. On a busy machine the word that the cell is over takes its time.
const TOGETHER: Duration = Duration::from_millis(400);

/// How long text of stderr waits: what a `?` writes comes just before the word that one ended the cell.
const SHORTLY: Duration = Duration::from_millis(20);

/// The mime type in which the client crate tells of a panic: its place, a newline, its message.
const PANIC: &str = "application/x-woolshed-panic";

/// How a piece of code ended, as far as it said so itself.
#[derive(Debug, Default)]
pub struct Ending {
    /// The last display, if nothing was said after it: the value of the cell.
    pub value: Option<Value>,
    /// It panicked.
    pub panicked: bool,
    /// Place and message of the panic, if the client crate told.
    pub panic: Option<String>,
    /// A `?` ended it.
    pub returned: bool,
    /// The last line it wrote to stderr.
    pub last_error: String,
    /// It was loaded: it compiled and began to run.
    pub ran: bool,
    /// When it was loaded.
    pub began: Option<Instant>,
}

/// Bytes that become text, also when a character is cut in two.
#[derive(Debug, Default)]
struct Utf8(Vec<u8>);

impl Utf8 {
    fn take(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.0) {
            Ok(_) => self.0.len(),
            // A character that is not over yet: at most three bytes.
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.0.len(),
        };
        let bytes: Vec<u8> = self.0.drain(..whole).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn rest(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}

/// Listens to one runtime process after the other.
pub struct Listener {
    socket: UnixDatagram,
    stderr: File,
    kernel: Arc<Kernel>,
    endings: Sender<Ending>,
    running: Arc<AtomicBool>,
    ending: Ending,
    out: Utf8,
    err: Utf8,
    /// The line of stderr that is being written: one message comes in several pieces.
    line: String,
    /// Text of stderr that waits, and since when.
    held: (String, Option<Instant>),
    /// The code of the cell is over; its end has not been told.
    over: bool,
    content: Option<(String, Vec<u8>)>,
    /// A display that may get a second form.
    pending: Option<(BTreeMap<String, String>, Instant)>,
}

impl Listener {
    /// Listens to frames and to stderr (which must not block), tells `kernel`, and answers every
    /// [`Frame::Sync`] with how the code before it ended.
    pub fn new(
        socket: UnixDatagram,
        stderr: File,
        kernel: Arc<Kernel>,
        endings: Sender<Ending>,
        running: Arc<AtomicBool>,
    ) -> Self {
        Self {
            socket,
            stderr,
            kernel,
            endings,
            running,
            ending: Ending::default(),
            out: Utf8::default(),
            err: Utf8::default(),
            line: String::new(),
            held: Default::default(),
            over: false,
            content: None,
            pending: None,
        }
    }

    /// Works until nobody waits for endings any more.
    pub fn run(mut self) {
        let mut buffer = vec![0; LONGEST];
        loop {
            // The last display of a cell is its value, however long the end takes.
            let display = self.pending.as_ref().filter(|_| !self.over);
            let display = display.map(|(_, since)| (*since, TOGETHER));
            let stderr = self.held.1.map(|since| (since, SHORTLY));
            let left = [display, stderr].into_iter().flatten().map(|(since, time)| {
                let left = time.saturating_sub(since.elapsed());
                i32::try_from(left.as_millis()).unwrap_or(0) + 1
            });
            let wait = left.min().unwrap_or(-1);
            let (said, complained) = self.wait(wait);
            if display.is_some_and(|(since, time)| since.elapsed() >= time) {
                self.show_pending();
            }
            if self.held.1.is_some_and(|since| since.elapsed() >= SHORTLY) {
                self.show_held();
            }
            let received = if said { self.socket.recv(&mut buffer).ok() } else { None };
            if let Some(frame) = received.and_then(|n| Frame::read(&buffer[..n]))
                && !self.hear(frame)
            {
                return;
            }
            if complained {
                self.hear_stderr();
            }
        }
    }

    /// Waits for frames or stderr; a negative time waits without end.
    fn wait(&self, milliseconds: i32) -> (bool, bool) {
        let entry = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut asked = [entry(self.socket.as_raw_fd()), entry(self.stderr.as_raw_fd())];
        // SAFETY: two entries, as is said.
        unsafe { libc::poll(asked.as_mut_ptr(), 2, milliseconds) };
        (asked[0].revents & libc::POLLIN != 0, asked[1].revents & libc::POLLIN != 0)
    }

    /// Takes what is there of stderr.
    fn hear_stderr(&mut self) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(n) = self.stderr.read(&mut buffer) {
            if n == 0 {
                return;
            }
            let text = self.err.take(&buffer[..n]);
            self.line.push_str(&text);
            let last = self.line.lines().rev().find(|line| !line.trim().is_empty());
            if let Some(line) = last {
                self.ending.last_error = line.trim().to_owned();
            }
            let open = self.line.rfind('\n').map_or(0, |at| at + 1);
            self.line.drain(..open);
            self.show_pending();
            self.held.0.push_str(&text);
            self.held.1.get_or_insert_with(Instant::now);
        }
    }

    fn show_held(&mut self) {
        let (text, _) = std::mem::take(&mut self.held);
        self.kernel.text("stderr", &text);
    }

    /// False when nobody waits any more.
    fn hear(&mut self, frame: Frame) -> bool {
        match frame {
            Frame::Running => {
                self.running.store(true, Ordering::SeqCst);
                self.ending.ran = true;
                self.ending.began = Some(Instant::now());
                self.content = None;
                self.kernel.say(&json!({"say": "running"}));
            }
            Frame::Text(text) => {
                let text = self.out.take(&text);
                self.show_pending();
                self.show_held();
                self.kernel.text("stdout", &text);
            }
            Frame::Begin(mime) => {
                self.show_held();
                self.content = Some((mime, Vec::new()));
            }
            Frame::Part(part) => {
                if let Some((_, body)) = &mut self.content {
                    body.extend_from_slice(&part);
                }
            }
            Frame::End => {
                if let Some((mime, body)) = self.content.take() {
                    self.take_content(mime, String::from_utf8_lossy(&body).into_owned());
                }
            }
            Frame::Panicked => self.ending.panicked = true,
            Frame::Returned => {
                self.ending.returned = true;
                self.hear_stderr();
                // The reason is told as the cell's error, not twice.
                let text = self.held.0.trim_end().to_owned();
                let before = text.rfind('\n').map_or(0, |at| at + 1);
                self.held.0.truncate(before);
            }
            Frame::Done => {
                self.running.store(false, Ordering::SeqCst);
                self.over = true;
            }
            Frame::Sync => {
                self.running.store(false, Ordering::SeqCst);
                self.over = false;
                self.hear_stderr();
                let (out, err) = (self.out.rest(), self.err.rest());
                if !out.is_empty() || !err.is_empty() {
                    self.show_pending();
                }
                self.kernel.text("stdout", &out);
                self.held.0.push_str(&err);
                self.show_held();
                self.content = None;
                let mut ending = std::mem::take(&mut self.ending);
                ending.value = self.pending.take().map(|(forms, _)| bundle(forms));
                return self.endings.send(ending).is_ok();
            }
        }
        true
    }

    fn take_content(&mut self, mime: String, body: String) {
        if mime == PANIC {
            // A panic that may not go further is followed by one that says so.
            let second = body.ends_with("\npanic in a function that cannot unwind");
            if !second || self.ending.panic.is_none() {
                self.ending.panic = Some(body);
            }
            return;
        }
        // A text beside another form is that form for those who show text only; anything else is a
        // display of its own.
        let fits = self.pending.as_ref().is_some_and(|(forms, _)| {
            !forms.contains_key(&mime) && (mime == "text/plain" || forms.contains_key("text/plain"))
        });
        if !fits {
            self.show_pending();
        }
        let (forms, _) = self.pending.get_or_insert_with(|| (BTreeMap::new(), Instant::now()));
        forms.insert(mime, body);
    }

    fn show_pending(&mut self) {
        if let Some((forms, _)) = self.pending.take() {
            let data = bundle(forms);
            if data.as_object().is_some_and(|forms| !forms.is_empty()) {
                self.kernel.say(&json!({"say": "display", "data": data}));
            }
        }
    }
}

/// The forms of a display as Jupyter writes them: JSON as JSON. The text `()` is no value.
pub fn bundle(forms: impl IntoIterator<Item = (String, String)>) -> Value {
    let mut data = Map::new();
    for (mime, body) in forms {
        let is_json = mime.ends_with("/json") || mime.ends_with("+json");
        let value = is_json.then(|| serde_json::from_str(&body).ok()).flatten();
        if mime != "text/plain" || body.trim_end() != "()" {
            data.insert(mime, value.unwrap_or_else(|| Value::String(body)));
        }
    }
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    use super::*;

    /// What the kernel is told of frames that come one after the other.
    fn told(frames: &[Frame]) -> (Vec<Value>, Ending) {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (read, _write) = std::os::unix::net::UnixStream::pair().unwrap();
        read.set_nonblocking(true).unwrap();
        let (kernel, said) = Kernel::for_tests();
        let (endings, ended) = mpsc::channel();
        let stderr = File::from(OwnedFd::from(read));
        let listener = Listener::new(ours, stderr, kernel, endings, Arc::default());
        std::thread::spawn(move || listener.run());
        for frame in frames {
            frame.send(&theirs).unwrap();
        }
        Frame::Sync.send(&theirs).unwrap();
        let ending = ended.recv().unwrap();
        (said(), ending)
    }

    fn content(mime: &str, body: &str) -> [Frame; 3] {
        [Frame::Begin(mime.into()), Frame::Part(body.as_bytes().to_vec()), Frame::End]
    }

    #[test]
    fn two_displays_of_one_type_stay_two_and_the_last_is_the_value() {
        let frames = [content("text/html", "<b>1</b>"), content("text/html", "<b>2</b>")].concat();
        let (said, ending) = told(&frames);
        assert_eq!(said, [json!({"say": "display", "data": {"text/html": "<b>1</b>"}})]);
        assert_eq!(ending.value, Some(json!({"text/html": "<b>2</b>"})));
    }

    #[test]
    fn a_text_beside_a_picture_is_the_same_display_and_unit_is_none() {
        let frames = [content("text/html", "<b>1</b>"), content("text/plain", "1")].concat();
        let (_, ending) = told(&frames);
        assert_eq!(ending.value, Some(json!({"text/html": "<b>1</b>", "text/plain": "1"})));
        let (_, ending) = told(&content("text/plain", "()"));
        assert_eq!(ending.value, Some(json!({})));
        let (_, ending) = told(&content("application/json", "{\"a\": 1}"));
        assert_eq!(ending.value, Some(json!({"application/json": {"a": 1}})));
    }

    #[test]
    fn the_last_display_stays_the_value_when_the_end_takes_long() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (read, _write) = std::os::unix::net::UnixStream::pair().unwrap();
        read.set_nonblocking(true).unwrap();
        let (kernel, said) = Kernel::for_tests();
        let (endings, ended) = mpsc::channel();
        let stderr = File::from(OwnedFd::from(read));
        let listener = Listener::new(ours, stderr, kernel, endings, Arc::default());
        std::thread::spawn(move || listener.run());
        for frame in content("text/plain", "2").iter().chain([&Frame::Done]) {
            frame.send(&theirs).unwrap();
        }
        std::thread::sleep(3 * TOGETHER);
        Frame::Sync.send(&theirs).unwrap();
        assert_eq!(ended.recv().unwrap().value, Some(json!({"text/plain": "2"})));
        assert!(said().is_empty());
    }

    #[test]
    fn the_reason_of_a_question_mark_is_whole_although_it_comes_in_pieces() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (read, mut write) = std::os::unix::net::UnixStream::pair().unwrap();
        read.set_nonblocking(true).unwrap();
        let (kernel, said) = Kernel::for_tests();
        let (endings, ended) = mpsc::channel();
        let stderr = File::from(OwnedFd::from(read));
        let listener = Listener::new(ours, stderr, kernel, endings, Arc::default());
        std::thread::spawn(move || listener.run());
        for piece in ["before\n", "No such file", " (os error ", "2)", "\n"] {
            write.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        Frame::Returned.send(&theirs).unwrap();
        Frame::Sync.send(&theirs).unwrap();
        let ending = ended.recv().unwrap();
        assert!(ending.returned);
        assert_eq!(ending.last_error, "No such file (os error 2)");
        assert!(!said().iter().any(|m| m["text"].as_str().is_some_and(|t| t.contains("os"))));
    }

    #[test]
    fn text_cut_in_the_middle_of_a_character_comes_whole() {
        let bytes = "é\n".as_bytes();
        let frames = [Frame::Text(bytes[..1].to_vec()), Frame::Text(bytes[1..].to_vec())];
        let (said, _) = told(&frames);
        assert_eq!(said, [json!({"say": "stdout", "text": "é\n"})]);
    }

    #[test]
    fn a_process_that_dies_inside_a_content_spoils_nothing_after_it() {
        let mut frames = vec![Frame::Begin("text/html".into()), Frame::Part(b"<b>".to_vec())];
        frames.push(Frame::Running);
        frames.push(Frame::Text(b"a".to_vec()));
        let (said, ending) = told(&frames);
        assert_eq!(said[1], json!({"say": "stdout", "text": "a"}));
        assert!(ending.ran && ending.value.is_none());
    }
}
