//! The client crate, put in place: its source is in this program, and goes into the user's cache folder.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};

use super::{RustError, prepare};
use crate::files;

/// The files of the crate.
const FILES: [(&str, &str); 7] = [
    ("Cargo.toml", include_str!("../../client/Cargo.toml")),
    ("src/lib.rs", include_str!("../../client/src/lib.rs")),
    ("src/line.rs", include_str!("../../client/src/line.rs")),
    ("src/packed.rs", include_str!("../../client/src/packed.rs")),
    ("src/socket.rs", include_str!("../../client/src/socket.rs")),
    ("src/value.rs", include_str!("../../client/src/value.rs")),
    ("src/proxies.rs", include_str!("../../client/src/proxies.rs")),
];

/// The crate in its place. While the value lives, no other version clears it away.
#[derive(Debug)]
pub struct Client {
    folder: PathBuf,
    _lock: Option<File>,
}

impl Client {
    fn at(folder: PathBuf) -> Self {
        prepare::touch(&folder);
        let lock = File::open(folder.join(LOCKED)).ok();
        // Where files cannot be locked, the folder's age protects it.
        let lock = lock.filter(|file| file.lock_shared().is_ok());
        Self { folder, _lock: lock }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The file of a crate that its sessions lock.
const LOCKED: &str = "Cargo.toml";

/// Whether a session holds the crate in a folder.
pub fn is_in_use(folder: &Path) -> bool {
    let file = File::open(folder.join(LOCKED));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Puts the crate in place, unless it is there. Folders of other versions are others, so sessions of two
/// programs do not meet.
///
/// # Errors
/// The folder cannot be written.
pub fn put_in_place(cache: &Path) -> Result<Client, RustError> {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(format!("{name} {}\n", text.len()));
        hash.update(text);
    }
    let hash: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let folder = cache.join(format!("client-{}-{hash}", env!("CARGO_PKG_VERSION")));
    if folder.is_dir() {
        return Ok(Client::at(folder));
    }
    let new = cache.join(format!(".client-{hash}-{}", process::id()));
    let written = (|| {
        let sources = new.join("src");
        fs::create_dir_all(&sources)
            .map_err(|source| RustError::Place { path: sources.clone(), source })?;
        for (name, text) in FILES {
            files::write(&new.join(name), text.as_bytes())?;
        }
        match fs::rename(&new, &folder) {
            Err(source) if !folder.is_dir() => {
                Err(RustError::Place { path: folder.clone(), source })
            }
            // Another session was faster: what it wrote is the same.
            _ => Ok(()),
        }
    })();
    // Hidden, and used by nobody.
    let _ = fs::remove_dir_all(&new);
    written.map(|()| Client::at(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_is_put_in_place_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let client = put_in_place(cache.path()).unwrap();
        let folder = client.folder();
        assert!(folder.join("Cargo.toml").is_file() && folder.join("src/proxies.rs").is_file());
        assert_eq!(put_in_place(cache.path()).unwrap().folder(), folder);
        assert!(is_in_use(folder));
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "nothing else is left");
    }
}
