//! The cells of all sessions on disk, so that a console finds yesterday's.
//!
//! A folder with a file a session, named by its number: `000042.jsonl`, a JSON object a cell. The number
//! is taken by making the file, which only one kernel can do, and only when the session has run its
//! first cell. A line is written in one call, so a killed kernel loses at most its last cell; what
//! cannot be read is skipped. The last [`KEPT`] sessions stay.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Sessions that are kept.
const KEPT: usize = 500;
/// The largest file of a session that is read, in bytes: a question is answered at once or not at all.
const READ: u64 = 32 << 20;

/// One cell of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number in the session.
    pub line: u64,
    /// Its code.
    pub source: String,
    /// The text of its value, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Where sessions are kept.
#[derive(Debug, Default)]
pub struct Archive {
    /// None where there is no folder for data: then nothing is kept.
    folder: Option<PathBuf>,
    /// This session: its number and its file, once it has a cell.
    own: Option<(i64, File)>,
}

impl Archive {
    /// The archive in a folder, which need not be there yet.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, own: None }
    }

    /// The folder in the user's data folder, or what `WOOLSHED_HISTORY` says; empty means none.
    pub fn usual_folder() -> Option<PathBuf> {
        match std::env::var_os("WOOLSHED_HISTORY") {
            Some(folder) if folder.is_empty() => None,
            Some(folder) => Some(PathBuf::from(folder)),
            None => {
                let data = dirs::state_dir().or_else(dirs::data_local_dir)?;
                Some(data.join("woolshed/notebook-history"))
            }
        }
    }

    /// The number of this session, 0 while it has no cell or cannot be kept.
    pub fn own_session(&self) -> i64 {
        self.own.as_ref().map_or(0, |(session, _)| *session)
    }

    /// Keeps a cell.
    ///
    /// # Errors
    /// The folder or file cannot be written.
    pub fn keep(&mut self, entry: &Entry) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        if self.own.is_none() {
            self.own = Some(begin(folder)?);
        }
        let Some((_, file)) = &mut self.own else { return Ok(()) };
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        file.write_all(&line)
    }

    /// The numbers of the sessions before this one, oldest first.
    pub fn earlier(&self) -> Vec<i64> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let own = self.own.as_ref().map_or(i64::MAX, |(session, _)| *session);
        let mut sessions = numbers(folder);
        sessions.retain(|session| *session < own);
        sessions
    }

    /// The cells of an earlier session; none when it is not there.
    pub fn read(&self, session: i64) -> Vec<Entry> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let path = file(folder, session);
        if fs::metadata(&path).is_ok_and(|m| m.len() > READ) {
            return Vec::new();
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

fn file(folder: &Path, session: i64) -> PathBuf {
    folder.join(format!("{session:06}.jsonl"))
}

/// The numbers of the sessions in a folder, in order.
fn numbers(folder: &Path) -> Vec<i64> {
    // A folder that is not there holds no session.
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |entry: io::Result<fs::DirEntry>| {
        entry.ok()?.file_name().to_str()?.strip_suffix(".jsonl")?.parse().ok()
    };
    let mut numbers: Vec<i64> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Takes the next number and drops sessions that are too old.
fn begin(folder: &Path) -> io::Result<(i64, File)> {
    make_folder(folder)?;
    let there = numbers(folder);
    let mut session = there.last().copied().unwrap_or(0);
    for old in there.iter().rev().skip(KEPT) {
        // Another kernel may have been quicker.
        let _ = fs::remove_file(file(folder, *old));
    }
    loop {
        session += 1;
        let mut options = OpenOptions::new();
        options.create_new(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(file(folder, session)) {
            Ok(file) => return Ok((session, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes the folder for nobody but the user: cells may hold what is nobody's business.
fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(line: u64, source: &str) -> Entry {
        Entry { line, source: source.to_owned(), output: None }
    }

    #[test]
    fn sessions_get_their_own_numbers_and_find_earlier_ones() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Archive::new(Some(folder.path().join("deep/history")));
        let mut second = Archive::new(first.folder.clone());
        assert_eq!((first.own_session(), first.earlier()), (0, vec![]));
        first.keep(&cell(1, "let a = 1;\n\"é\"")).unwrap();
        second.keep(&cell(1, "b")).unwrap();
        first.keep(&cell(2, "a")).unwrap();
        assert_eq!((first.own_session(), second.own_session()), (1, 2));
        assert_eq!(second.earlier(), [1]);
        assert_eq!(second.read(1), [cell(1, "let a = 1;\n\"é\""), cell(2, "a")]);
        assert_eq!(second.read(7), []);
    }

    #[test]
    fn a_broken_line_spoils_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let broken = "{\"line\":1,\"source\":\"a\"}\n{\"li";
        fs::write(folder.path().join("000001.jsonl"), broken).unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let mut archive = Archive::new(Some(folder.path().to_owned()));
        archive.keep(&cell(1, "b")).unwrap();
        assert_eq!(archive.own_session(), 2);
        assert_eq!(archive.read(1), [cell(1, "a")]);
    }

    #[test]
    fn old_sessions_go_and_without_a_folder_nothing_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for session in 1..=i64::try_from(KEPT).unwrap() + 3 {
            fs::write(file(folder.path(), session), "").unwrap();
        }
        let mut archive = Archive::new(Some(folder.path().to_owned()));
        archive.keep(&cell(1, "a")).unwrap();
        assert_eq!(archive.earlier().len(), KEPT);
        assert_eq!(archive.earlier()[0], 4);
        let mut nothing = Archive::default();
        nothing.keep(&cell(1, "a")).unwrap();
        assert_eq!((nothing.own_session(), nothing.earlier()), (0, vec![]));
    }
}
