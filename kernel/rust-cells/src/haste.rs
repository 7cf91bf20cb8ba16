//! A context of evcxr without the cell that it begins with.
//!
//! evcxr compiles `42` before anything else, and has rust-analyzer read the whole project for it: a third of
//! the start, done again at once for the client crate. There is one way round that it has itself: where it
//! finds the linker `lld` and that cell fails, it goes on with the system's linker. So a file named `lld` is
//! shown where there is none, and a folder stands where the cell's source would be written.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is in place while a context is made; it goes with the value.
#[derive(Debug)]
pub struct Haste {
    source: PathBuf,
    path: Option<OsString>,
}

/// Puts it in place, unless a linker of the user's would be the worse for it, or it cannot be done.
pub fn begin(folder: &Path) -> Option<Haste> {
    let path = std::env::var_os("PATH");
    let mut places: Vec<PathBuf> = std::env::split_paths(path.as_ref()?).collect();
    if places.iter().any(|place| place.join("mold").exists() || place.join("lld").exists()) {
        return None;
    }
    let shown = folder.join("no-linker");
    fs::create_dir_all(&shown).ok()?;
    fs::write(shown.join("lld"), "").ok()?;
    fs::set_permissions(shown.join("lld"), fs::Permissions::from_mode(0o755)).ok()?;
    places.push(shown);
    let longer = std::env::join_paths(places).ok()?;
    let source = folder.join("src").join("lib.rs");
    // One of a prepared folder; it is written anew before anything is compiled.
    let _ = fs::remove_file(&source);
    fs::create_dir_all(&source).ok()?;
    // SAFETY: no thread of this process reads the environment other than through the standard library.
    unsafe { std::env::set_var("PATH", longer) };
    Some(Haste { source, path })
}

impl Drop for Haste {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            // SAFETY: as above.
            unsafe { std::env::set_var("PATH", path) };
        }
        // What cannot be removed makes the next cell fail, and that is told.
        let _ = fs::remove_dir(&self.source);
    }
}
