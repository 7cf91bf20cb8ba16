//! Files written whole or not at all.

use std::fs;
use std::io;
use std::path::Path;

/// A write that failed, with the path.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`: {source}", path.display())]
pub struct WriteError {
    path: std::path::PathBuf,
    source: io::Error,
}

/// Makes the folder a file will stand in.
///
/// # Errors
/// The folder cannot be made.
pub fn make_parent(path: &Path) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_path_buf(), source };
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            fs::create_dir_all(parent).map_err(failed)
        }
        _ => Ok(()),
    }
}

/// Writes a file by way of a temporary sibling, so that a failure leaves the old one.
///
/// # Errors
/// The file or its folder cannot be written.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let failed = |source| WriteError { path: path.to_path_buf(), source };
    make_parent(path)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    fs::write(&temporary, bytes).map_err(failed)?;
    fs::rename(&temporary, path).map_err(|source| {
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}
