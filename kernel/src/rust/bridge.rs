//! The socket that code of Rust cells calls the session over.
//!
//! It lies in a folder that only its user can enter, is itself open to its user only, and serves whoever
//! knows the token; another gets no answer. Where there is no such file (the path is too long for one, or
//! the system has none) a port of the loopback takes its place; there the token alone keeps others out. A request of rubbish is answered with an error, and one whose
//! length no honest cell would send ends its connection. Nothing a connection sends ends the kernel.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::RustError;
use super::bench::Bench;
use super::calls::{Answer, Caller};
use super::stream::{Listener, Stream};
use super::wire::{Bytes, put_text};

const HELLO: u8 = 1;

/// The longest request, bytes: 16 GiB.
const LONGEST: u64 = 1 << 34;

/// The longest first message, bytes: a byte, a length and a token.
const LONGEST_HELLO: u64 = 256;

/// How long a stranger may take to say the token.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that is served. Threads that serve connections end with them.
#[derive(Debug)]
pub struct Bridge {
    address: String,
    token: String,
}

impl Bridge {
    /// Opens a socket in a private folder, else on the loopback, and serves the bench on it.
    ///
    /// # Errors
    /// Neither can be made.
    pub fn open(folder: &Path, bench: &Arc<Bench>) -> Result<Self, RustError> {
        let path = folder.join("bridge");
        let (listener, address) = Listener::file(&path)
            .or_else(|_| Listener::loopback())
            .map_err(|source| RustError::Place { path, source })?;
        Ok(Self::serving(listener, address, bench))
    }

    fn serving(listener: Listener, address: String, bench: &Arc<Bench>) -> Self {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (bench, expected) = (bench.clone(), token.clone());
        thread::spawn(move || {
            loop {
                let Ok(connection) = listener.accept() else {
                    // Out of files: one that is closed makes room.
                    thread::sleep(Duration::from_millis(50));
                    continue;
                };
                let (bench, expected) = (bench.clone(), expected.clone());
                // Without a thread the connection closes, and its cell is told.
                let _ = thread::Builder::new().name("bridge".into()).spawn(move || {
                    // An end of the other side is the usual end.
                    let _ = serve(connection, &bench, &expected);
                });
            }
        });
        Self { address, token }
    }

    /// What the code of cells needs to know, as its environment.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("WOOLSHED_SOCKET", self.address.clone()), ("WOOLSHED_TOKEN", self.token.clone())]
    }
}

/// Serves one connection to its end.
fn serve(mut connection: Stream, bench: &Bench, token: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let hello = receive(&mut connection, LONGEST_HELLO)?;
    let mut hello = Bytes(&hello);
    let said = (hello.byte().ok() == Some(HELLO)).then(|| hello.text().ok()).flatten();
    if !said.is_some_and(|said| same(said.as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    connection.set_read_timeout(None)?;
    send(&mut connection, &[0, 0], &[])?;
    let mut caller = Caller::new(bench);
    loop {
        let request = receive(&mut connection, LONGEST)?;
        let work = std::panic::AssertUnwindSafe(|| caller.answer(request));
        let answer = std::panic::catch_unwind(work).unwrap_or_else(|_| {
            let mut out = vec![1];
            put_text(&mut out, "Woolshed failed inside this call; please report it");
            Answer { head: out, long: None }
        });
        send(&mut connection, &answer.head, answer.long.as_deref().unwrap_or_default())?;
    }
}

/// Compares in a time that does not tell how much is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

/// Sends a message; its last part may be long and is not copied.
fn send(connection: &mut Stream, head: &[u8], long: &[u8]) -> io::Result<()> {
    let length = (head.len() as u64 + long.len() as u64).to_le_bytes();
    // One piece: the other side wakes once.
    connection.write_all(&[&length, head].concat())?;
    connection.write_all(long)
}

fn receive(connection: &mut Stream, longest: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    connection.read_first(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > longest {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Memory is taken as bytes come, so a length that lies costs nothing.
    let mut body = Vec::with_capacity(usize::try_from(length.min(1 << 27)).unwrap_or(0));
    connection.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::rust::wire;
    use crate::session::{HostOptions, Quiet, Session};

    struct Open {
        session: Session,
        bench: Arc<Bench>,
        bridge: Bridge,
        folder: tempfile::TempDir,
    }

    fn open() -> Open {
        open_at("")
    }

    /// A bridge in a folder of this name, in a temporary one.
    fn open_at(name: &str) -> Open {
        let session = Session::new(HostOptions::default(), Arc::new(Quiet));
        let bench = Arc::new(Bench::new(session.rhai().clone(), session.host().clone()));
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        let bridge = Bridge::open(&place, &bench).unwrap();
        Open { session, bench, bridge, folder }
    }

    impl Open {
        fn connect(&self, token: &str) -> Stream {
            let mut stream = match self.bridge.address.strip_prefix("tcp:") {
                Some(address) => Stream::Tcp(TcpStream::connect(address).unwrap()),
                None => Stream::Unix(UnixStream::connect(&self.bridge.address).unwrap()),
            };
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut hello = vec![HELLO];
            put_text(&mut hello, token);
            send(&mut stream, &hello, &[]).unwrap();
            stream
        }

        fn known(&self) -> Stream {
            let mut stream = self.connect(&self.bridge.token);
            assert_eq!(receive(&mut stream, 100).unwrap(), [0, 0]);
            stream
        }
    }

    fn ask(stream: &mut Stream, request: &[u8]) -> Vec<u8> {
        send(stream, request, &[]).unwrap();
        receive(stream, 1 << 20).unwrap()
    }

    /// The request that calls a function with whole numbers.
    fn call(name: &str, numbers: &[i64]) -> Vec<u8> {
        let mut request = vec![2, 0];
        put_text(&mut request, name);
        wire::put_count(&mut request, numbers.len());
        for n in numbers {
            request.push(2);
            request.extend_from_slice(&n.to_le_bytes());
        }
        request
    }

    fn text(answer: &[u8]) -> String {
        String::from_utf8_lossy(answer).into_owned()
    }

    #[test]
    fn only_its_user_can_open_the_socket_and_a_wrong_token_gets_nothing() {
        let open = open();
        let file = open.folder.path().join("bridge");
        let mode = std::fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let almost = format!("{}x", &open.bridge.token[..open.bridge.token.len() - 1]);
        for token in ["", "a", &almost] {
            let mut stream = open.connect(token);
            assert!(receive(&mut stream, 100).is_err(), "`{token}` was answered");
        }
        assert_eq!(ask(&mut open.known(), &[6]), [0, 0]);
    }

    #[test]
    fn where_no_socket_file_can_be_the_loopback_serves_those_who_know_the_token() {
        let open = open_at(&"long".repeat(40));
        assert!(open.bridge.address.starts_with("tcp:127.0.0.1:"), "{}", open.bridge.address);
        assert_eq!(ask(&mut open.known(), &[6]), [0, 0]);
        assert!(receive(&mut open.connect("a"), 100).is_err());
        // One who says nothing is left after five seconds; others do not wait for it.
        let _silent = open.connect("");
        assert_eq!(ask(&mut open.known(), &[6]), [0, 0]);
    }

    #[test]
    fn rubbish_is_answered_or_dropped_and_the_next_request_is_served() {
        let open = open();
        let mut random = 1_u64;
        let mut byte = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        };
        let mut stream = open.known();
        for length in 0..400 {
            let request: Vec<u8> = (0..length % 40).map(|_| byte()).collect();
            let answer = ask(&mut stream, &request);
            assert!(matches!(answer[0], 0..=2), "{request:?}: {answer:?}");
        }
        let mut long = open.known();
        long.write_all(&u64::MAX.to_le_bytes()).unwrap();
        assert!(receive(&mut long, 100).is_err(), "a length that lies ends its connection");
        assert_eq!(ask(&mut stream, &[6]), [0, 0]);
    }

    #[test]
    fn a_call_gives_what_the_function_gives_or_its_reason() {
        let mut open = open();
        assert!(matches!(
            open.session.run("a", "let kept = 7; fn twice(x) { 2 * x }"),
            crate::session::Outcome::Value(_)
        ));
        let mut stream = open.known();
        let mut named = vec![3];
        put_text(&mut named, "kep");
        assert!(text(&ask(&mut stream, &named)).contains("while a Rust cell runs"));
        let (scope, library) = open.session.lend();
        open.bench.lend(scope, library);
        assert!(text(&ask(&mut stream, &named)).contains("did you mean `kept`?"));
        let answer = ask(&mut stream, &call("twice", &[21]));
        assert_eq!(answer, [&[0, 2][..], &42_i64.to_le_bytes()].concat());
        let answer = text(&ask(&mut stream, &call("load_model", &[1])));
        assert!(answer.contains("does not take (int)"), "{answer}");
        let answer = text(&ask(&mut stream, &call("f(); loop {} //", &[])));
        assert!(answer.contains("no name of a function"), "{answer}");
        // What is millions of bytes goes and comes as it lies.
        let long: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let mut bind = vec![4];
        put_text(&mut bind, "blob");
        bind.push(5);
        wire::put_count(&mut bind, long.len());
        bind.extend_from_slice(&long);
        assert_eq!(ask(&mut stream, &bind), [0, 0]);
        let mut named = vec![3];
        put_text(&mut named, "blob");
        let answer = ask(&mut stream, &named);
        assert_eq!(answer[..10], [&[0, 5][..], &300_000_u64.to_le_bytes()].concat());
        assert_eq!(answer[10..], long);
        open.session.host().stop();
        assert_eq!(ask(&mut stream, &call("twice", &[21])), [2]);
        assert_eq!(ask(&mut stream, &[6]), [2]);
    }
}
