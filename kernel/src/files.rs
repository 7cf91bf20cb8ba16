//! Files a session writes: whole or not at all, in folders made for them, with the path in the error.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use woolshed_engine::files;

/// A write that failed, with the path.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`: {source}", path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

fn named(path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_path_buf();
    move |source| WriteError { path, source }
}

/// Makes the folder a file will stand in.
///
/// # Errors
/// The folder cannot be made.
pub fn make_parent(path: &Path) -> Result<(), WriteError> {
    files::make_parent(path).map_err(named(path))
}

/// Writes a file and makes its folder.
///
/// # Errors
/// The file or its folder cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    make_parent(path)?;
    files::write_whole(path, |file| file.write_all(bytes)).map_err(named(path))
}
