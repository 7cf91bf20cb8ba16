//! Why there are no Rust cells.

use std::io;
use std::path::PathBuf;

use crate::files::WriteError;

/// What keeps a Rust cell from running.
#[derive(Debug, thiserror::Error)]
pub enum RustError {
    /// The program is not installed.
    #[error("Rust cells need the program `woolshed-rust`, which is not installed")]
    NotInstalled,

    /// The program cannot be started.
    #[error("`{}` does not start: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The program is of another version.
    #[error(
        "`{}` is version {got}, and this is {}; install the two together",
        program.display(), env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The program.
        program: PathBuf,
        /// Its version.
        got: String,
    },

    /// The program says why it has no Rust cells.
    #[error("{0}")]
    Failed(String),

    /// The program ended.
    #[error(
        "the process of the Rust cells has ended: their variables, functions and dependencies are gone. \
         Rhai variables and all handles are as they were; the next Rust cell starts anew"
    )]
    Ended,

    /// The private folder, the socket or the client crate cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Place {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// A file of the client crate cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),

    /// The user stopped it while it was made ready.
    #[error("stopped before the cell ran")]
    Interrupted,
}

impl RustError {
    /// One thing to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            RustError::NotInstalled => Some(
                "install it with `cargo install --locked --path kernel/rust-cells` in Woolshed's \
                 source, or name it in WOOLSHED_RUST"
                    .into(),
            ),
            RustError::Version { .. } => {
                Some("`cargo install --locked --path kernel/rust-cells`".into())
            }
            _ => None,
        }
    }
}
