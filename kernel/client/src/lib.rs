//! Woolshed's live models, runs and tables in a Rust cell.
//!
//! ```text
//! let run = lab.run("run")?;          // the run that a Rhai cell calls `run`
//! run.step(10)?;                      // its next Rhai cell sees ten steps more
//! let z = run.gates("head")?;         // a table
//! lab.bind("z", &z)?;                 // a Rhai cell calls it `z`
//! ```
//!
//! What is here holds no model: every call goes to the kernel, which has them all. A handle names a
//! thing there; the thing stays when this process ends.
//!
//! | file | what it is for |
//! |---|---|
//! | `value.rs` | values that pass between the two |
//! | `line.rs` | what goes over the connection |
//! | `packed.rs` | millions of numbers as the bytes they are |
//! | `socket.rs` | the one connection of this process |
//! | `proxies.rs` | a type for every kind of handle, a function for every script function; made by a program |

#![deny(unsafe_op_in_unsafe_fn)]

mod line;
mod packed;
mod proxies;
mod socket;
mod value;

use std::fmt;
use std::io::Write;

pub use line::Handle;
pub use proxies::*;
pub use value::{FromValue, Map, Value};

/// What a cell usually needs.
pub mod prelude {
    pub use crate::proxies::*;
    pub use crate::{check, lab, options, show, Map, Value};
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The function says no; its reason.
    Failed(String),
    /// The user stopped the cell.
    Interrupted,
    /// There is no kernel at the other end.
    NoKernel(String),
    /// A value is of another type than the one asked for.
    Type {
        /// The type asked for.
        want: &'static str,
        /// The value there.
        got: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Failed(reason) => f.write_str(reason),
            Error::Interrupted => f.write_str("interrupted"),
            Error::NoKernel(reason) => write!(f, "the kernel does not answer: {reason}"),
            Error::Type { want, got } => write!(f, "this is {got}, not {want}"),
        }
    }
}

impl std::error::Error for Error {}

/// The result of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// The session that Rhai cells and Rust cells share.
#[derive(Clone, Copy, Debug)]
pub struct Lab;

/// The session that Rhai cells and Rust cells share.
#[allow(non_upper_case_globals)]
pub static lab: Lab = Lab;

impl Lab {
    /// The value that a Rhai cell calls `name`.
    ///
    /// # Errors
    /// There is no such variable; the nearest is named.
    pub fn value(&self, name: &str) -> Result<Value> {
        line::named(name)
    }

    /// The value that a Rhai cell calls `name`, as a Rust type: `lab.get::<f64>("loss")`.
    ///
    /// # Errors
    /// There is no such variable, or it is of another type.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T> {
        T::from_value(self.value(name)?)
    }

    /// Makes a value or handle known to Rhai cells as `name`.
    ///
    /// # Errors
    /// The name cannot be that of a variable.
    pub fn bind(&self, name: &str, value: impl Into<Value>) -> Result<()> {
        line::bind(name, value.into())
    }

    /// Shows a table, a chart or any value, as `show` does in a Rhai cell.
    ///
    /// # Errors
    /// A handle is of an earlier session.
    pub fn show(&self, value: impl Into<Value>) -> Result<()> {
        let forms = line::forms(value.into())?;
        let mut out = std::io::stdout().lock();
        // The text comes first: it joins the other forms to one display.
        for plain in [true, false] {
            for (mime, body) in forms.iter().filter(|(mime, _)| (*mime == "text/plain") == plain) {
                let body = body.as_str().unwrap_or_default();
                // A front end that is gone shows nothing; the cell goes on.
                let _ = writeln!(out, "EVCXR_BEGIN_CONTENT {mime}\n{body}\nEVCXR_END_CONTENT");
            }
        }
        Ok(())
    }

    /// Calls a script function by its name; a method has its handle as first argument. For functions
    /// that Rhai cells define, too.
    ///
    /// # Errors
    /// There is no such function for these arguments, or it fails.
    pub fn call(&self, function: &str, arguments: Vec<Value>) -> Result<Value> {
        line::call(function, false, arguments)
    }
}

/// Shows a table, a chart or any value, as in a Rhai cell: `lab.show`.
///
/// # Errors
/// A handle is of an earlier session.
pub fn show(value: impl Into<Value>) -> Result<()> {
    lab.show(value)
}

/// Fails when the user wants the cell to stop: for loops of one's own.
///
/// # Errors
/// The user interrupted the cell.
pub fn check() -> Result<()> {
    line::check()
}

/// Prepares the process that runs cells; the kernel calls it before the first cell.
///
/// # Errors
/// None; cells are compiled faster when one before them had a `?`.
pub fn begin() -> Result<()> {
    socket::publish_flush();
    let usual = std::panic::take_hook();
    let cells = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        // A panic of the cell itself is told as its error, without the stack of the notebook's machinery.
        if std::thread::current().id() != cells {
            return usual(panic);
        }
        let message = panic.payload();
        let text = message
            .downcast_ref::<&str>()
            .map(|s| s.to_string())
            .or_else(|| message.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        println!(
            "EVCXR_BEGIN_CONTENT application/x-woolshed-panic\n{place}\n{text}\nEVCXR_END_CONTENT"
        );
    }));
    Ok(())
}

/// A map of options: `options! { steps: 300, seed: 7 }`.
#[macro_export]
macro_rules! options {
    ($($key:ident : $value:expr),* $(,)?) => {{
        #[allow(unused_mut)]
        let mut map = $crate::Map::new();
        $(map.insert(stringify!($key).to_owned(), $crate::Value::from($value));)*
        map
    }};
}
