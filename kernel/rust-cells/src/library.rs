//! The standard library's sources, as rust-analyzer reads them.
//!
//! Left alone it asks cargo for the library's own dependencies, which a machine that has never been online
//! does not have: then it knows no type of the library. And it reads everything at every change of the
//! dependencies. A folder that holds the library's crates and no manifest is read as it lies, in half the
//! time, without cargo.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that says where the sources are.
pub const PLACE: &str = "RUST_SRC_PATH";

/// The environment variable that says where Linux looks for libraries.
pub const LOADER: &str = "LD_LIBRARY_PATH";

/// The library that belongs to the compiler.
#[derive(Debug)]
pub struct Library {
    /// Of the library; none where its sources are not installed or the user has named a place.
    whole: Option<PathBuf>,
    /// Of the compiled library.
    compiled: Option<PathBuf>,
}

impl Library {
    /// Makes a folder of links inside a build folder. What cannot be made is not shown.
    pub fn beside(folder: &Path) -> Self {
        let compiled = libraries();
        if std::env::var_os(PLACE).is_some() {
            return Self { whole: None, compiled };
        }
        // SYSROOT/lib/rustlib/TARGET/lib and SYSROOT/lib/rustlib/src
        let rustlib = compiled.as_deref().and_then(|folder| folder.ancestors().nth(2));
        let whole = rustlib.and_then(|rustlib| links(rustlib, &folder.join("library")));
        Self { whole, compiled }
    }

    /// Where the system's loader has to look for the compiled library, besides where it looks anyway. Cells
    /// name it by a path that is wrong where build folder and compiler have a folder above them in common.
    pub fn loaded_from(&self) -> Option<OsString> {
        let own = self.compiled.clone().filter(|_| cfg!(target_os = "linux"))?;
        let others = std::env::var_os(LOADER).unwrap_or_default();
        let others = std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
        std::env::join_paths(others.chain([own])).ok()
    }

    /// Shows it to rust-analyzer.
    pub fn show(&self) {
        if let Some(whole) = &self.whole {
            // SAFETY: no thread of this process reads the environment other than through the standard library.
            unsafe { std::env::set_var(PLACE, whole) };
        }
    }
}

/// The folder of the compiled library.
fn libraries() -> Option<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).args(["--print", "target-libdir"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim()))
}

/// A folder of links to the library's crates.
fn links(rustlib: &Path, folder: &Path) -> Option<PathBuf> {
    let sources = rustlib.join("src/rust/library");
    fs::create_dir_all(folder).ok()?;
    for entry in fs::read_dir(sources).ok()? {
        let entry = entry.ok()?;
        let link = folder.join(entry.file_name());
        if entry.path().is_dir() && !link.exists() {
            std::os::unix::fs::symlink(entry.path(), link).ok()?;
        }
    }
    folder.join("core").is_dir().then(|| folder.to_owned())
}
