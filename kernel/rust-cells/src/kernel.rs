//! The line to the kernel: a message is a line of JSON, on the streams this process was started with.
//!
//! | from the kernel: `ask` | |
//! |---|---|
//! | `start` | `private`, a folder to be removed at the end, `folder` in it for the builds, `templates` to copy them from, `client` to load first, `env` for the code of cells |
//! | `execute` | `code`, and `name` for errors |
//! | `complete`, `inspect` | `code`, `cursor` in bytes |
//! | `answer` | `text` for the last question |
//! | `interrupt` | `level`: 1 stops the compiler, 2 also ends the process that runs code |
//! | `shutdown` | the end |
//!
//! | to the kernel: `say` | |
//! |---|---|
//! | `hello` | `protocol`, `version`: once, first |
//! | `ready`, `failed` | the answer to `start`: `seconds`, or `message` |
//! | `running` | the code of the cell compiled and runs |
//! | `stdout`, `stderr` | `text` |
//! | `display` | `data`: forms by mime type |
//! | `question` | `prompt`, `password` |
//! | `done` | how a cell ended: `status` and what belongs to it |
//! | `completions`, `inspection` | the answers |

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::FromRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

/// The number of this protocol: kernel and host of different numbers do not speak.
pub const PROTOCOL: u64 = 1;

/// The writing side of the line.
pub struct Kernel(Mutex<Box<dyn Write + Send>>);

impl Kernel {
    /// Takes stdin and stdout of this process for the line. What libraries print goes to stderr.
    ///
    /// # Errors
    /// The system gives no further file numbers.
    pub fn take_streams() -> io::Result<(File, Arc<Self>)> {
        let take = |stream: libc::c_int, instead: libc::c_int| {
            // SAFETY: the streams are open; the new number is owned by the file made of it.
            unsafe {
                let number = libc::fcntl(stream, libc::F_DUPFD_CLOEXEC, 3);
                if number < 0 || libc::dup2(instead, stream) < 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(File::from_raw_fd(number))
            }
        };
        let nothing = File::open("/dev/null")?;
        let input = take(libc::STDIN_FILENO, std::os::fd::AsRawFd::as_raw_fd(&nothing))?;
        let output = take(libc::STDOUT_FILENO, libc::STDERR_FILENO)?;
        Ok((input, Arc::new(Self(Mutex::new(Box::new(output))))))
    }

    /// A line that nobody hears: for work before there is a kernel.
    pub fn deaf() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Box::new(io::sink()))))
    }

    /// Sends a message. A kernel that is gone hears nothing; its end is seen where it is read.
    pub fn say(&self, message: &Value) {
        let line = format!("{message}\n");
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    }

    /// Sends text of a stream, if there is any.
    pub fn text(&self, stream: &str, text: &str) {
        if !text.is_empty() {
            self.say(&json!({"say": stream, "text": text}));
        }
    }

    /// A line that keeps what is said, and a way to read it.
    #[cfg(test)]
    pub fn for_tests() -> (Arc<Self>, impl Fn() -> Vec<Value>) {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let kernel = Arc::new(Self(Mutex::new(Box::new(kept.clone()))));
        let said = move || {
            let bytes = kept.0.lock().unwrap().clone();
            let text = String::from_utf8(bytes).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        (kernel, said)
    }
}
