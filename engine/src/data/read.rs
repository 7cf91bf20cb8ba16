//! Documents out of files: `.jsonl`, `.jsonl.zst` and `.txt`.
//!
//! A line of a JSON-lines file is a document: its field `text`, whatever else the line holds. A
//! `.txt` file is one document, blank lines included. Empty documents and blank lines are skipped.
//! Files and folders whose name starts with a dot, and files of other kinds, are no data.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::DataError;

/// A document, and the line of its file where it starts.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Lines,
    CompressedLines,
    Text,
}

fn kind(file: &Path) -> Option<Kind> {
    let name = file.file_name()?.to_string_lossy().to_lowercase();
    match name {
        name if name.ends_with(".jsonl") => Some(Kind::Lines),
        name if name.ends_with(".jsonl.zst") => Some(Kind::CompressedLines),
        name if name.ends_with(".txt") => Some(Kind::Text),
        _ => None,
    }
}

/// Lists the domains of a data folder, name and folder, by name.
///
/// # Errors
/// [`DataError::MissingFolder`], [`DataError::NotAFolder`], [`DataError::NoDomains`],
/// [`DataError::Read`].
pub(crate) fn domain_folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    if !dir.exists() {
        return Err(DataError::MissingFolder { dir: dir.into() });
    }
    if !dir.is_dir() {
        return Err(DataError::NotAFolder { path: dir.into() });
    }
    let (folders, rest): (Vec<_>, Vec<_>) = visible(dir)?.into_iter().partition(|e| e.1.is_dir());
    if folders.is_empty() {
        return Err(DataError::NoDomains { dir: dir.into(), found: listing(&rest) });
    }
    Ok(folders)
}

/// Lists the data files of a domain's folder, by name.
///
/// # Errors
/// [`DataError::NoFiles`], [`DataError::Read`].
pub(crate) fn data_files(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let (files, rest): (Vec<_>, Vec<_>) =
        visible(dir)?.into_iter().partition(|(_, path)| path.is_file() && kind(path).is_some());
    if files.is_empty() {
        return Err(DataError::NoFiles { dir: dir.into(), found: listing(&rest) });
    }
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Lists what is in a folder, name and path, by name.
fn visible(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Read { path: dir.into(), source };
    let mut entries = Vec::new();
    for entry in dir.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Says what a folder holds: `only a.pdf, b.json`.
fn listing(entries: &[(String, PathBuf)]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<&str> = entries.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    match entries.len() {
        0 => "it is empty".into(),
        n if n > SHOWN => format!("only {} and {} more", names.join(", "), n - SHOWN),
        _ => format!("only {}", names.join(", ")),
    }
}

/// The documents of one file, in order.
pub(crate) struct Documents {
    path: PathBuf,
    kind: Kind,
    reader: Box<dyn BufRead>,
    /// The same open file: it shares its position with the reader's.
    position: Option<File>,
    line: usize,
    buffer: Vec<u8>,
}

impl Documents {
    /// Opens a file that [`data_files`] lists.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Compressed`].
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let position = file.try_clone().ok();
        let kind = kind(path).unwrap_or(Kind::Text);
        let reader: Box<dyn BufRead> = match kind {
            Kind::CompressedLines => {
                let decoder = zstd::stream::read::Decoder::new(file).map_err(|source| {
                    DataError::Compressed { file: path.into(), line: 1, source }
                })?;
                Box::new(BufReader::new(decoder))
            }
            Kind::Lines | Kind::Text => Box::new(BufReader::new(file)),
        };
        Ok(Self { path: path.into(), kind, reader, position, line: 0, buffer: Vec::new() })
    }

    /// Tells how many bytes of the file have been read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.position.as_ref().and_then(|mut file| file.stream_position().ok()).unwrap_or(0)
    }

    /// Gives the next document that is not empty; none at the end of the file.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Compressed`], [`DataError::NotUtf8`],
    /// [`DataError::NotJson`], [`DataError::NoText`], [`DataError::TextNotString`].
    pub(crate) fn next(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            self.buffer.clear();
            let read = match self.kind {
                Kind::Text => self.reader.read_to_end(&mut self.buffer),
                _ => self.reader.read_until(b'\n', &mut self.buffer),
            };
            self.line += 1;
            if read.map_err(|source| self.failed(source))? == 0 {
                return Ok(None);
            }
            let raw = self.utf8()?;
            if raw.trim().is_empty() {
                continue;
            }
            let text = match self.kind {
                Kind::Text => raw.to_string(),
                _ => self.text_field(raw)?,
            };
            if !text.trim().is_empty() {
                return Ok(Some(Document { text, line: self.line }));
            }
        }
    }

    fn failed(&self, source: std::io::Error) -> DataError {
        match self.kind {
            Kind::CompressedLines => {
                DataError::Compressed { file: self.path.clone(), line: self.line, source }
            }
            _ => DataError::Read { path: self.path.clone(), source },
        }
    }

    /// Gives the buffer as text, without the byte-order mark some editors put first.
    fn utf8(&self) -> Result<&str, DataError> {
        let text = std::str::from_utf8(&self.buffer).map_err(|error| {
            let good = &self.buffer[..error.valid_up_to()];
            let start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            DataError::NotUtf8 {
                file: self.path.clone(),
                line: self.line + good.iter().filter(|byte| **byte == b'\n').count(),
                byte: good.len() - start + 1,
            }
        })?;
        Ok(if self.line == 1 { text.trim_start_matches('\u{feff}') } else { text })
    }

    fn text_field(&self, line: &str) -> Result<String, DataError> {
        let at = || (self.path.clone(), self.line);
        // Without its line end, so that the parser's column is one of this line.
        let value: Value = serde_json::from_str(line.trim_end()).map_err(|source| {
            let (file, line) = at();
            DataError::NotJson { file, line, source }
        })?;
        let fields = match value {
            Value::Object(mut object) => match object.remove("text") {
                Some(Value::String(text)) => return Ok(text),
                Some(other) => {
                    let (file, line) = at();
                    return Err(DataError::TextNotString { file, line, kind: kind_of(&other) });
                }
                None if object.is_empty() => "an empty object".to_string(),
                None => object.keys().cloned().collect::<Vec<_>>().join(", "),
            },
            other => kind_of(&other).to_string(),
        };
        let (file, line) = at();
        Err(DataError::NoText { file, line, fields })
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(name: &str, bytes: &[u8]) -> Result<Vec<Document>, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mut documents = Documents::open(&path)?;
        let mut found = Vec::new();
        while let Some(document) = documents.next()? {
            found.push(document);
        }
        assert_eq!(documents.bytes_read(), bytes.len() as u64);
        Ok(found)
    }

    fn error(name: &str, bytes: &[u8]) -> String {
        let error = read(name, bytes).unwrap_err().to_string();
        error.split_once(name).map_or(error.clone(), |(_, rest)| rest.trim().to_string())
    }

    fn document(text: &str, line: usize) -> Document {
        Document { text: text.into(), line }
    }

    const TWO: &str = "{\"text\": \"one\", \"meta\": {\"text\": 1}}\n\n{\"text\":\"\"}\r\n\
                       {\"n\": 3, \"text\": \"two\\nlines\"}";

    #[test]
    fn lines_are_documents_and_empty_ones_are_skipped() {
        let two = [document("one", 1), document("two\nlines", 4)];
        assert_eq!(read("x.jsonl", TWO.as_bytes()).unwrap(), two);
        assert_eq!(read("x.jsonl", format!("\u{feff}{TWO}\n").as_bytes()).unwrap(), two);
        let packed = zstd::stream::encode_all(TWO.as_bytes(), 3).unwrap();
        assert_eq!(read("x.jsonl.zst", &packed).unwrap(), two);
    }

    #[test]
    fn a_text_file_is_one_document() {
        assert_eq!(read("x.txt", b"one\n\ntwo\n").unwrap(), [document("one\n\ntwo\n", 1)]);
        assert_eq!(read("x.txt", b" \n\n").unwrap(), []);
    }

    #[test]
    fn broken_lines_are_named() {
        let lines = "{\"text\": \"fine\"}\n".repeat(16);
        let broken = error("x.jsonl", format!("{lines}{{\"text\": \"cut of").as_bytes());
        assert!(broken.starts_with("line 17: not JSON: EOF while parsing"), "{broken}");
        assert_eq!(
            error("x.jsonl", b"{\"content\": \"a\", \"id\": 3}\n"),
            "line 1 has no field `text`, only content, id: rename the field that holds the document"
        );
        assert!(error("x.jsonl", b"[1]\n").starts_with("line 1 has no field `text`, only a list"));
        assert!(error("x.jsonl", b"{\"text\": 7}\n").starts_with("line 1: `text` is a number"));
        assert!(error("x.jsonl", b"{\"text\": null}").starts_with("line 1: `text` is null"));
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_named() {
        let latin = b"{\"text\": \"fine\"}\n{\"text\": \"caf\xe9\"}\n";
        assert!(error("x.jsonl", latin).starts_with("line 2, byte 14 of the line: not UTF-8"));
        assert!(error("x.txt", b"fine\nca\xe9\n").starts_with("line 2, byte 3 of the line"));
    }

    #[test]
    fn damaged_compression_is_named() {
        assert!(error("x.jsonl.zst", TWO.as_bytes()).contains("not sound zstd data"));
        let packed = zstd::stream::encode_all(TWO.as_bytes(), 3).unwrap();
        assert!(error("x.jsonl.zst", &packed[..packed.len() - 4]).contains("not sound zstd data"));
    }
}
