//! Files that appear whole or not at all.
//!
//! A file is filled beside its place and moved there when it is complete, so that an interrupt or a
//! full disk never leaves half of it, and the old one stays until then.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Fills a file beside `path`, then moves it to `path`.
///
/// # Errors
/// The first error of `fill` or of the system; `path` is then as it was.
pub fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let beside = sibling(path)?;
    let filled = File::create(&beside).and_then(|file| {
        let mut file = BufWriter::new(file);
        fill(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()
    });
    let moved = filled.and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // The first error is the one to tell; a file that was never made cannot be removed either.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// Makes the folder that `path` stands in.
///
/// # Errors
/// The system's.
pub fn make_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

/// `folder/loss.csv` is written as `folder/.loss.csv.1234.part` first; 1234 is the process.
fn sibling(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not end in a file name")
    })?;
    let mut part = OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, |f| f.write_all(b"old")).unwrap();
        let failed = write_whole(&path, |f| {
            f.write_all(b"new")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
