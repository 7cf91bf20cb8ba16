//! A prepared build folder: what the first cell of a session compiles is copied instead.
//!
//! Cargo takes a copy that keeps the times of its files for what it built itself. A template belongs to
//! one compiler, one client crate and one version of this program; it appears whole, by a rename.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::SystemTime;

use crate::library::COMPILER;

/// The place of the template for the compiler in use; none when there is no compiler.
pub fn place(templates: &Path, client: &Path) -> Option<PathBuf> {
    let rustc = std::env::var_os(COMPILER).unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output().ok().filter(|o| o.status.success())?;
    let mut hasher = DefaultHasher::new();
    said.stdout.hash(&mut hasher);
    client.hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    let place = templates.join(format!("rust-{:016x}", hasher.finish()));
    // What is used today is not cleared away; one that cannot be touched is made anew some day.
    let _ = fs::File::open(&place).and_then(|folder| folder.set_modified(SystemTime::now()));
    Some(place)
}

/// Copies what is worth it of one build folder into another: not the code of cells, nor what the
/// compiler remembers of it.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name_text = name.to_string_lossy();
        let kind = entry.file_type()?;
        let target = to.join(&name);
        if kind.is_dir() {
            if name_text != "incremental" {
                copy(&entry.path(), &target)?;
            }
        } else if kind.is_file() && !name_text.contains("code_") {
            fs::copy(entry.path(), &target)?;
            let modified = entry.metadata()?.modified()?;
            fs::File::options().write(true).open(&target)?.set_modified(modified)?;
        }
    }
    Ok(())
}

/// Makes a template of a build folder, if there is none yet.
///
/// # Errors
/// The folder cannot be written. Nothing half-made stays in its place.
pub fn keep(folder: &Path, template: &Path) -> io::Result<()> {
    if template.exists() {
        return Ok(());
    }
    let name = template.file_name().unwrap_or_default().to_string_lossy();
    let new = template.with_file_name(format!(".{name}-{}", process::id()));
    let made = copy(folder, &new).and_then(|()| fs::rename(&new, template));
    if made.is_err() {
        // What stays is hidden and used by nobody; the reason is what counts.
        let _ = fs::remove_dir_all(&new);
    }
    // Another session may have been faster: its template is as good.
    if template.exists() { Ok(()) } else { made }
}
