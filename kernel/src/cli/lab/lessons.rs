//! The lessons, in the program and in a folder of the user's.
//!
//! A hidden file beside them keeps the hash of each as it was copied. A lesson that still has it is
//! replaced by a newer one; a lesson that was run or changed belongs to the user and stays.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use woolshed_engine::digest::hex;

use crate::files;

/// The lesson that is opened.
pub const FIRST: &str = "quickstart.ipynb";

/// Every lesson.
const LESSONS: [(&str, &[u8]); 4] = [
    (FIRST, include_bytes!("../../../../notebooks/quickstart.ipynb")),
    ("branches.ipynb", include_bytes!("../../../../notebooks/branches.ipynb")),
    ("mixture.ipynb", include_bytes!("../../../../notebooks/mixture.ipynb")),
    ("rust-cells.ipynb", include_bytes!("../../../../notebooks/rust-cells.ipynb")),
];

/// The file that keeps the hashes.
const KEPT: &str = ".woolshed-lessons.json";

/// A lesson that could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum LessonError {
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Copies the lessons into a folder; gives a line about what was written and one about what was left.
///
/// # Errors
/// A file cannot be read or written.
pub fn copy(folder: &Path) -> Result<Vec<String>, LessonError> {
    let list = folder.join(KEPT);
    let kept = fs::read(&list).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut kept: Map<String, Value> = kept.unwrap_or_default();
    let (mut written, mut left) = (Vec::new(), Vec::new());
    for (name, bytes) in LESSONS {
        let path = folder.join(name);
        let there = match fs::read(&path) {
            Ok(there) => Some(hash(&there)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(LessonError::Read { path, source }),
        };
        let ours = hash(bytes);
        if there.as_ref() == Some(&ours) {
            kept.insert(name.into(), ours.into());
            continue;
        }
        if there.is_some() && there.as_deref() != kept.get(name).and_then(Value::as_str) {
            left.push(name);
            continue;
        }
        files::write(&path, bytes)?;
        kept.insert(name.into(), ours.into());
        written.push(name);
    }
    files::write(&list, format!("{:#}\n", Value::Object(kept)).as_bytes())?;
    let mut lines = Vec::new();
    if !written.is_empty() {
        lines.push(format!("copied to {}: {}", folder.display(), written.join(", ")));
    }
    if !left.is_empty() {
        lines.push(format!("left as you have them in {}: {}", folder.display(), left.join(", ")));
    }
    Ok(lines)
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lesson_of_the_checkout_is_in_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
        let mut there: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".ipynb"))
            .collect();
        there.sort();
        let mut ours: Vec<&str> = LESSONS.map(|(name, _)| name).to_vec();
        ours.sort_unstable();
        assert_eq!(there, ours);
    }

    #[test]
    fn a_lesson_is_copied_kept_up_to_date_and_left_alone_once_it_is_the_users() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("deep/lab");
        assert_eq!(copy(&folder).unwrap().len(), 1);
        assert!(copy(&folder).unwrap().is_empty(), "nothing to do the second time");
        // An older version, untouched: its hash is the one that was kept.
        let lesson = folder.join("branches.ipynb");
        fs::write(&lesson, "older").unwrap();
        let list = folder.join(KEPT);
        let kept: Value = serde_json::from_slice(&fs::read(&list).unwrap()).unwrap();
        let mut older = kept.clone();
        older["branches.ipynb"] = hash(b"older").into();
        fs::write(&list, older.to_string()).unwrap();
        assert!(copy(&folder).unwrap()[0].starts_with("copied to"));
        assert!(fs::read(&lesson).unwrap().len() > 1000);
        // Changed by hand: stays, also when the list is lost.
        fs::write(&lesson, "mine").unwrap();
        for _ in 0..2 {
            assert!(copy(&folder).unwrap()[0].starts_with("left as you have them"));
            assert_eq!(fs::read(&lesson).unwrap(), b"mine");
            fs::remove_file(&list).unwrap();
        }
    }
}
