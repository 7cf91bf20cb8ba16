//! Stands between the code of a cell and evcxr, inside the process that runs that code.
//!
//! ```text
//! code ──stdout──> pipe ──> relay ──markers──> evcxr
//!                             └────frames────> host
//! evcxr ──stdin──> feed ──> pipe ──> evcxr's loop, and code that reads stdin
//! ```
//!
//! stderr goes straight to the host: what a crash says last is not lost. Text that waits in the buffer
//! of the standard library is flushed every 50 ms while a cell runs, and before its end is told.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::frames::{self, Frame};
use crate::markers::{Found, Markers};

/// The environment variable in which the client crate says how stdout is flushed: the address of an
/// `extern "C" fn()`. Cells have a standard library of their own, so this program's flush is not theirs.
const FLUSH: &str = "WOOLSHED_FLUSH";

/// How long text may wait in a buffer while a cell runs.
const SOON: Duration = Duration::from_millis(50);

/// How long the end of a cell waits for a flush: a thread of the user's may hold stdout for ever.
const PATIENCE: Duration = Duration::from_millis(200);

/// Puts the relay in place; does nothing in a process that has no host.
///
/// # Errors
/// The system gives no pipe.
pub fn install() -> io::Result<()> {
    let number = |name: &str| env::var(name).ok().and_then(|n| n.parse::<RawFd>().ok());
    let (Some(socket), Some(stderr)) = (number(frames::SOCKET), number(frames::STDERR)) else {
        return Ok(());
    };
    // SAFETY: the host opened both for this process and told their numbers to nobody else.
    let host = unsafe { UnixDatagram::from_raw_fd(socket) };
    close_on_exec(socket)?;
    // SAFETY: dup2 onto stderr of a number that is open; what stderr was is not used any more.
    unsafe {
        check(libc::dup2(stderr, libc::STDERR_FILENO))?;
        libc::close(stderr);
    }
    let evcxr_in = duplicate(libc::STDIN_FILENO)?;
    let evcxr_out = duplicate(libc::STDOUT_FILENO)?;
    let (code_out, _) = stand_in(libc::STDOUT_FILENO)?;
    let (_, code_in) = stand_in(libc::STDIN_FILENO)?;
    prefer_this_process_when_memory_is_short();

    let host = Arc::new(host);
    let running = Arc::new(AtomicBool::new(false));
    let flusher = flusher(running.clone());
    let (feed_host, feed_running) = (host.clone(), running.clone());
    thread::spawn(move || feed(evcxr_in, code_in, &feed_host, &feed_running));
    thread::spawn(move || relay(code_out, evcxr_out, &host, &running, &flusher));
    Ok(())
}

/// Passes the code's stdout on.
fn relay(
    mut from: File,
    mut evcxr: File,
    host: &UnixDatagram,
    running: &AtomicBool,
    flusher: &Sender<Sender<()>>,
) {
    let mut markers = Markers::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => n,
        };
        for found in markers.take(&buffer[..n]) {
            let gone = match found {
                Found::Say(frame) => frame.send(host).is_err(),
                Found::Marker(line) => evcxr.write_all(&line).is_err(),
                Found::Complete(line) => {
                    running.store(false, Ordering::SeqCst);
                    let told = Frame::Done.send(host).is_ok();
                    let (done, flushed) = mpsc::channel();
                    if flusher.send(done).is_ok() {
                        let _ = flushed.recv_timeout(PATIENCE);
                    }
                    // What the flush wrote stands behind the marker; it belongs to this cell.
                    let mut late = Markers::default();
                    while ready(&from) {
                        match from.read(&mut buffer) {
                            Ok(n) if n > 0 => {
                                for found in late.take(&buffer[..n]) {
                                    if let Found::Say(frame) = found {
                                        let _ = frame.send(host);
                                    }
                                }
                            }
                            _ => break,
                        }
                    }
                    !told || evcxr.write_all(&line).is_err()
                }
            };
            if gone {
                return;
            }
        }
    }
}

/// Passes evcxr's commands on, and tells the host when code begins to run.
fn feed(mut from: File, mut to: File, host: &UnixDatagram, running: &AtomicBool) {
    let mut buffer = [0; 4096];
    let mut line = Vec::new();
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        for byte in &buffer[..n] {
            line.push(*byte);
            if *byte != b'\n' {
                continue;
            }
            if line.starts_with(b"LOAD_AND_RUN ") {
                running.store(true, Ordering::SeqCst);
                let _ = Frame::Running.send(host);
            }
            if to.write_all(&line).is_err() {
                break;
            }
            line.clear();
        }
    }
    // The host is gone. Code in an endless loop would outlive it.
    // SAFETY: ends the process at once; nobody is left who could read what is unsaid.
    unsafe { libc::_exit(0) }
}

/// A thread that flushes the code's stdout: every 50 ms while a cell runs, and when it is asked.
fn flusher(running: Arc<AtomicBool>) -> Sender<Sender<()>> {
    let (ask, asked) = mpsc::channel::<Sender<()>>();
    thread::spawn(move || {
        loop {
            match asked.recv_timeout(SOON) {
                Ok(done) => {
                    flush();
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) if running.load(Ordering::SeqCst) => flush(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    ask
}

fn flush() {
    let address = env::var(FLUSH).ok().and_then(|hex| usize::from_str_radix(&hex, 16).ok());
    if let Some(address) = address.filter(|a| *a != 0) {
        // SAFETY: the client crate writes the address of its `extern "C" fn()` there, in this process;
        // the code of cells is never unloaded.
        let flush: extern "C" fn() = unsafe { std::mem::transmute(address) };
        flush();
    }
}

/// Puts a pipe in the place of a standard stream and gives both of its ends; the one that the stream
/// has become is closed in the pair.
fn stand_in(stream: RawFd) -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two numbers; both are owned by the files made of them.
    let (read, write) = unsafe {
        check(libc::pipe(ends.as_mut_ptr()))?;
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    };
    close_on_exec(ends[0])?;
    close_on_exec(ends[1])?;
    let own = if stream == libc::STDIN_FILENO { ends[0] } else { ends[1] };
    // SAFETY: both numbers are open.
    unsafe { check(libc::dup2(own, stream))? };
    Ok((read, write))
}

fn duplicate(stream: RawFd) -> io::Result<File> {
    // SAFETY: the stream is open, and the new number is owned by the file made of it.
    let number = unsafe { check(libc::fcntl(stream, libc::F_DUPFD_CLOEXEC, 3))? };
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(number) }))
}

fn close_on_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: changes a flag of an open number.
    unsafe { check(libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC)) }.map(|_| ())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Whether a read would give something at once.
fn ready(file: &File) -> bool {
    use std::os::fd::AsRawFd;
    let mut asked = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, as is said.
    unsafe { libc::poll(&mut asked, 1, 0) == 1 && asked.revents & libc::POLLIN != 0 }
}

/// When memory runs out, Linux ends this process before the one that holds the models.
fn prefer_this_process_when_memory_is_short() {
    if cfg!(target_os = "linux") {
        // Where that is not allowed, nothing is lost but the preference.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    }
}
