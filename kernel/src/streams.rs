//! Lines to the process's own streams. A reader that has gone away (`woolshed ... | head`) ends
//! nobody's work: what cannot be written is dropped.

use std::fmt::Arguments;
use std::io::Write;

/// Writes to standard output as it is, at once.
pub fn out(text: Arguments<'_>) {
    let mut stream = std::io::stdout().lock();
    let _ = stream.write_fmt(text).and_then(|()| stream.flush());
}

/// Writes to standard error as it is.
pub fn err(text: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Writes a line to standard output.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::streams::out(format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Writes a line to standard error.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::streams::err(format_args!("{}\n", format_args!($($words)*)))
    };
}

pub(crate) use {say, tell};
