//! The socket that code of Rust cells calls the session over.
//!
//! It lies in a folder that only its user can enter, is itself open to its user only, and serves whoever
//! knows the token; another gets no answer. A request of rubbish is answered with an error, and one whose
//! length no honest cell would send ends its connection. Nothing a connection sends ends the kernel.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use uuid::Uuid;

use super::RustError;
use super::bench::Bench;
use super::calls::Caller;
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
    path: PathBuf,
    token: String,
}

impl Bridge {
    /// Opens a socket in a private folder and serves the bench on it.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn open(folder: &Path, bench: &Arc<Bench>) -> Result<Self, RustError> {
        let path = folder.join("bridge");
        let at = |source| RustError::Place { path: path.clone(), source };
        let listener = UnixListener::bind(&path).map_err(at)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(at)?;
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (bench, expected) = (bench.clone(), token.clone());
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else {
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
        Ok(Self { path, token })
    }

    /// What the code of cells needs to know, as its environment.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("WOOLSHED_SOCKET", self.path.display().to_string()),
            ("WOOLSHED_TOKEN", self.token.clone()),
        ]
    }
}

/// Serves one connection to its end.
fn serve(mut connection: UnixStream, bench: &Bench, token: &str) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let hello = receive(&mut connection, LONGEST_HELLO)?;
    let mut hello = Bytes(&hello);
    let said = (hello.byte().ok() == Some(HELLO)).then(|| hello.text().ok()).flatten();
    if !said.is_some_and(|said| same(said.as_bytes(), token.as_bytes())) {
        return Ok(());
    }
    connection.set_read_timeout(None)?;
    send(&mut connection, &[0, 0])?;
    let mut caller = Caller::new(bench);
    loop {
        let request = receive(&mut connection, LONGEST)?;
        let work = std::panic::AssertUnwindSafe(|| caller.answer(&request));
        let answer = std::panic::catch_unwind(work).unwrap_or_else(|_| {
            let mut out = vec![1];
            put_text(&mut out, "Woolshed failed inside this call; please report it");
            out
        });
        send(&mut connection, &answer)?;
    }
}

/// Compares in a time that does not tell how much is right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |all, (x, y)| all | (x ^ y)) == 0
}

fn send(connection: &mut UnixStream, body: &[u8]) -> io::Result<()> {
    let length = (body.len() as u64).to_le_bytes();
    if body.len() < 4096 {
        // One piece: the other side wakes once.
        return connection.write_all(&[&length, body].concat());
    }
    connection.write_all(&length)?;
    connection.write_all(body)
}

fn receive(connection: &mut UnixStream, longest: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    connection.read_exact(&mut length)?;
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
        let session = Session::new(HostOptions::default(), Arc::new(Quiet));
        let bench = Arc::new(Bench::new(session.rhai().clone(), session.host().clone()));
        let folder = tempfile::tempdir().unwrap();
        let bridge = Bridge::open(folder.path(), &bench).unwrap();
        Open { session, bench, bridge, folder }
    }

    impl Open {
        fn connect(&self, token: &str) -> UnixStream {
            let mut stream = UnixStream::connect(&self.bridge.path).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut hello = vec![HELLO];
            put_text(&mut hello, token);
            send(&mut stream, &hello).unwrap();
            stream
        }

        fn known(&self) -> UnixStream {
            let mut stream = self.connect(&self.bridge.token);
            assert_eq!(receive(&mut stream, 100).unwrap(), [0, 0]);
            stream
        }
    }

    fn ask(stream: &mut UnixStream, request: &[u8]) -> Vec<u8> {
        send(stream, request).unwrap();
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
        let mode = fs::metadata(open.folder.path().join("bridge")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let almost = format!("{}x", &open.bridge.token[..open.bridge.token.len() - 1]);
        for token in ["", "a", &almost] {
            let mut stream = open.connect(token);
            assert!(receive(&mut stream, 100).is_err(), "`{token}` was answered");
        }
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
        open.session.host().stop();
        assert_eq!(ask(&mut stream, &call("twice", &[21])), [2]);
        assert_eq!(ask(&mut stream, &[6]), [2]);
    }
}
