//! Where Rust code and the session meet: a socket file of their user, or the loopback.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a thread looks out for a message before it sleeps.
const AWAKE: Duration = Duration::from_micros(50);

/// A connection.
#[derive(Debug)]
pub enum Stream {
    /// Over a socket file.
    #[cfg(unix)]
    Unix(UnixStream),
    /// Over the loopback.
    Tcp(TcpStream),
}

impl Stream {
    /// How long a read may wait.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn set_read_timeout(&self, time: Option<Duration>) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_read_timeout(time),
            Self::Tcp(stream) => stream.set_read_timeout(time),
        }
    }

    fn set_nonblocking(&self, whether: bool) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(whether),
            Self::Tcp(stream) => stream.set_nonblocking(whether),
        }
    }

    /// Fills the buffer with the first bytes of a message. For a moment the thread looks out for them before
    /// it sleeps: calls come in rows, and to be woken takes longer than a call.
    ///
    /// # Errors
    /// The connection is gone, or nothing came for as long as a read may wait.
    pub fn read_first(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.set_nonblocking(true)?;
        let start = Instant::now();
        let looked = loop {
            match self.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && start.elapsed() < AWAKE => {
                    std::thread::yield_now();
                }
                other => break other,
            }
        };
        self.set_nonblocking(false)?;
        let read = match looked {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.read_exact(&mut buffer[read..])
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

/// What connections come to.
#[derive(Debug)]
pub enum Listener {
    /// A socket file.
    #[cfg(unix)]
    Unix(UnixListener),
    /// A port of the loopback.
    Tcp(TcpListener),
}

impl Listener {
    /// A socket file that only its user can open, and its address.
    ///
    /// # Errors
    /// The system has no such files, or this path is too long for one.
    pub fn file(path: &Path) -> io::Result<(Self, String)> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let listener = UnixListener::bind(path)?;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
            Ok((Self::Unix(listener), path.display().to_string()))
        }
        #[cfg(not(unix))]
        Err(io::Error::new(io::ErrorKind::Unsupported, path.display().to_string()))
    }

    /// A free port of the loopback, and its address.
    ///
    /// # Errors
    /// There is none.
    pub fn loopback() -> io::Result<(Self, String)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = format!("tcp:{}", listener.local_addr()?);
        Ok((Self::Tcp(listener), address))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// The process has too many files open.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            #[cfg(unix)]
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // An answer is one piece; waiting for more would cost each call 40 ms.
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }
}
