//! What Rust cells need in the user's cache: made before the first of them, cleared when nobody uses it.
//!
//! ```text
//! CACHE/woolshed/client-VERSION-HASH   the crate that cells call; in use while a session holds its lock
//! CACHE/woolshed/rust-HASH             a prepared build folder, copied at the start of a session
//! ```
//!
//! Each is for one version, so another version leaves its own behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::{Duration, SystemTime};

use super::client::{self, Client};
use super::{RustError, process as program};

/// How long what no session has used stays.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long what a program left half-made stays.
const HALF_MADE: Duration = Duration::from_secs(24 * 3600);

/// The folder of what Rust cells need.
///
/// # Errors
/// It cannot be made.
pub fn cache() -> Result<PathBuf, RustError> {
    let cache = dirs::cache_dir().unwrap_or_else(std::env::temp_dir).join("woolshed");
    fs::create_dir_all(&cache)
        .map_err(|source| RustError::Place { path: cache.clone(), source })?;
    Ok(cache)
}

/// Makes the build folder that the first cell of every session starts from, if it is not there: some
/// 15 s. Gives the program that does it.
///
/// # Errors
/// `woolshed-rust` is not installed, is another version, or says why not.
pub fn prepare() -> Result<PathBuf, RustError> {
    let program = program::find().ok_or(RustError::NotInstalled)?;
    let cache = cache()?;
    let client = client::put_in_place(&cache)?;
    clear_old(&cache, &client);
    let said = Command::new(&program)
        .arg("--prepare")
        .args([cache.as_path(), client.folder()])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| RustError::Start { program: program.clone(), source })?;
    let text = String::from_utf8_lossy(&said.stdout);
    match text.trim().rsplit_once(' ') {
        Some(("ready", env!("CARGO_PKG_VERSION"))) => Ok(program),
        Some(("ready", version)) => Err(RustError::Version { program, got: version.to_owned() }),
        _ => {
            let reason = String::from_utf8_lossy(&said.stderr);
            let reason = reason.trim().strip_prefix("woolshed-rust: ").unwrap_or(reason.trim());
            Err(RustError::Failed(match reason {
                "" => format!("`{}` does not know what to prepare", program.display()),
                reason => reason.to_owned(),
            }))
        }
    }
}

/// Removes what other versions have left and nobody has used for a month. What cannot be removed stays.
pub fn clear_old(cache: &Path, own: &Client) {
    let Ok(entries) = fs::read_dir(cache) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let age = entry.metadata().and_then(|m| m.modified()).ok();
        let age = age.and_then(|then| SystemTime::now().duration_since(then).ok());
        let is_old = |limit| age.is_some_and(|age| age > limit);
        let path = entry.path();
        if [".client-", ".rust-", ".old-"].iter().any(|begin| name.starts_with(begin)) {
            if is_old(HALF_MADE) {
                let _ = fs::remove_dir_all(&path);
            }
            continue;
        }
        let ours = name.starts_with("client-") || name.starts_with("rust-");
        if !ours || path == own.folder() || !is_old(KEPT) || client::is_in_use(&path) {
            continue;
        }
        // Out of the way at once: a session that starts now sees the whole of it or none.
        let away = cache.join(format!(".old-{name}-{}", process::id()));
        if fs::rename(&path, &away).is_ok() {
            let _ = fs::remove_dir_all(&away);
        }
    }
}

/// Says that a folder is used today.
pub fn touch(folder: &Path) {
    // A folder that cannot be touched is made anew a month later.
    let _ = File::open(folder).and_then(|f| f.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_session_has_used_for_a_month_goes_and_what_one_holds_stays() {
        let cache = tempfile::tempdir().unwrap();
        let own = client::put_in_place(cache.path()).unwrap();
        let make = |name: &str, days: u64| {
            let folder = cache.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("Cargo.toml"), "").unwrap();
            let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
            File::open(&folder).unwrap().set_modified(then).unwrap();
            folder
        };
        let gone = [make("client-0.0.1-a", 40), make("rust-1", 31), make(".client-b-7", 2)];
        let kept = [make("client-0.0.1-c", 29), make("rust-2", 1), make("history", 400)];
        let held = make("client-0.0.1-d", 40);
        let lock = File::open(held.join("Cargo.toml")).unwrap();
        lock.lock_shared().unwrap();
        clear_old(cache.path(), &own);
        assert!(gone.iter().all(|folder| !folder.exists()));
        assert!(kept.iter().chain([&held]).all(|folder| folder.exists()));
        assert!(own.folder().is_dir());
        drop(lock);
        clear_old(cache.path(), &own);
        assert!(!held.exists(), "the session that held it has ended");
    }
}
