//! The one connection of this process to the kernel.
//!
//! evcxr links a copy of this crate into every cell. What must be one for all of them, the open
//! connection, lies at an address that an environment variable of this process tells.

use std::env;
use std::io::{self, Read, Write};
use std::mem::ManuallyDrop;
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::{FromRawFd, IntoRawFd};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
#[cfg(windows)]
use std::os::windows::io::{FromRawSocket, IntoRawSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::line::introduce;
use crate::{Error, Result};

/// A connection to the kernel.
pub enum Socket {
    /// Over a file that only its user can open.
    #[cfg(unix)]
    Unix(UnixStream),
    /// Over the loopback, where there are no such files.
    Tcp(TcpStream),
}

impl Socket {
    /// Opens a connection: `tcp:` before an address of the loopback, anything else is a file.
    fn open(place: &str) -> io::Result<Self> {
        if let Some(address) = place.strip_prefix("tcp:") {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            return Ok(Self::Tcp(stream));
        }
        #[cfg(unix)]
        return UnixStream::connect(place).map(Self::Unix);
        #[cfg(not(unix))]
        return Err(io::ErrorKind::Unsupported.into());
    }

    /// Sends all of it.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }

    fn set_nonblocking(&self, whether: bool) -> io::Result<()> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(whether),
            Self::Tcp(stream) => stream.set_nonblocking(whether),
        }
    }

    /// Fills the buffer with the first bytes of an answer. The thread looks out for them before it sleeps: most
    /// answers take a few microseconds, and to be woken takes longer.
    pub fn read_first(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        const AWAKE: Duration = Duration::from_micros(50);
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

    /// Gives the connection up: its number, and whether it is one of the loopback.
    fn into_number(self) -> (u64, bool) {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => (stream.into_raw_fd() as u64, false),
            #[cfg(unix)]
            Self::Tcp(stream) => (stream.into_raw_fd() as u64, true),
            #[cfg(windows)]
            Self::Tcp(stream) => (stream.into_raw_socket(), true),
        }
    }

    /// The connection behind a number.
    ///
    /// # Safety
    /// The number was given up by [`Socket::into_number`], with this word, and nobody else closes it.
    unsafe fn from_number(number: u64, tcp: bool) -> Self {
        // SAFETY: as the caller says; on Unix the number was widened from an `i32`.
        unsafe {
            #[cfg(unix)]
            return match tcp {
                true => Self::Tcp(TcpStream::from_raw_fd(number as i32)),
                false => Self::Unix(UnixStream::from_raw_fd(number as i32)),
            };
            #[cfg(windows)]
            return {
                let _ = tcp;
                Self::Tcp(TcpStream::from_raw_socket(number))
            };
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
        }
    }
}

/// The connection as all copies of this crate know it: fields in a fixed order.
#[repr(C)]
pub struct Shared {
    taken: AtomicBool,
    tcp: bool,
    number: u64,
}

/// The right to speak; given back when it goes.
pub struct Turn(&'static Shared);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

impl Turn {
    /// Waits for the right to speak.
    pub fn take(shared: &'static Shared) -> Self {
        let mut tries = 0_u32;
        while shared.taken.swap(true, Ordering::Acquire) {
            tries += 1;
            if tries < 100 {
                std::thread::yield_now();
            } else {
                // Another thread's call may take minutes.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Self(shared)
    }

    /// The connection, left open when the value goes.
    pub fn socket(&self) -> ManuallyDrop<Socket> {
        // SAFETY: the number was given up when it was opened and is never closed.
        ManuallyDrop::new(unsafe { Socket::from_number(self.0.number, self.0.tcp) })
    }
}

/// The one connection of this process, opened on its first use.
pub fn shared() -> Result<&'static Shared> {
    const ADDRESS: &str = "WOOLSHED_LINE";
    if let Some(address) = env::var(ADDRESS).ok().and_then(|a| usize::from_str_radix(&a, 16).ok()) {
        // SAFETY: a copy of this crate in this process put a leaked `Shared` there; its layout is C's.
        return Ok(unsafe { &*(address as *const Shared) });
    }
    let said = |name: &str| {
        env::var(name).map_err(|_| {
            Error::NoKernel("this is no cell of a Woolshed notebook (no address is given)".into())
        })
    };
    let (place, token) = (said("WOOLSHED_SOCKET")?, said("WOOLSHED_TOKEN")?);
    let mut socket = Socket::open(&place).map_err(|e| Error::NoKernel(e.to_string()))?;
    introduce(&mut socket, &token)?;
    let (number, tcp) = socket.into_number();
    let shared = Shared { taken: AtomicBool::new(false), tcp, number };
    let shared: &'static Shared = Box::leak(Box::new(shared));
    env::set_var(ADDRESS, format!("{:x}", shared as *const Shared as usize));
    Ok(shared)
}

/// Tells the machinery under the cell how this standard library's stdout is flushed.
pub fn publish_flush() {
    extern "C" fn flush() {
        // There is nobody to tell.
        let _ = io::stdout().flush();
    }
    env::set_var("WOOLSHED_FLUSH", format!("{:x}", flush as *const () as usize));
}
