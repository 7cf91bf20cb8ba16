//! The client crate, put in place: its source is in this program, and goes into the user's cache folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use sha2::{Digest, Sha256};

use super::RustError;
use crate::files;

/// The files of the crate.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../../client/Cargo.toml")),
    ("src/lib.rs", include_str!("../../client/src/lib.rs")),
    ("src/line.rs", include_str!("../../client/src/line.rs")),
    ("src/value.rs", include_str!("../../client/src/value.rs")),
    ("src/proxies.rs", include_str!("../../client/src/proxies.rs")),
];

/// Puts the crate in place, unless it is there, and gives its folder. Folders of other versions are
/// others, so sessions of two programs do not meet.
///
/// # Errors
/// The folder cannot be written.
pub fn put_in_place(cache: &Path) -> Result<PathBuf, RustError> {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(format!("{name} {}\n", text.len()));
        hash.update(text);
    }
    let hash: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let folder = cache.join(format!("client-{}-{hash}", env!("CARGO_PKG_VERSION")));
    if folder.is_dir() {
        return Ok(folder);
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
    written.map(|()| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crate_is_put_in_place_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let folder = put_in_place(cache.path()).unwrap();
        assert!(folder.join("Cargo.toml").is_file() && folder.join("src/proxies.rs").is_file());
        assert_eq!(put_in_place(cache.path()).unwrap(), folder);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "nothing else is left");
    }
}
