//! Documents out of files: `.jsonl`, `.txt` (either also `.gz` or `.zst`), `.parquet`, and the text
//! column of shards.
//!
//! A line of a JSON-lines file is a document: one field of it, whatever else the line holds. A `.txt`
//! file is one document, blank lines included; a long one comes in several parts. Empty documents and
//! blank lines are skipped.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::DataError;
use super::error::field_hint;
use super::formats::mds::Mds;
use super::formats::parquet::{Cell, ParquetRows};
use super::tokenise::whole_pieces;
use crate::progress::Watch;

/// Longest part of a `.txt` file in memory at once, bytes.
const PART: usize = 4 << 20;

/// A document or a part of one.
#[derive(Debug, PartialEq)]
pub(crate) struct Document {
    pub(crate) body: Body,
    /// The line, row or sample of its file where it starts, from 1.
    pub(crate) line: usize,
    /// True for the first part of a document.
    pub(crate) starts: bool,
    /// True for the last part of a document.
    pub(crate) ends: bool,
}

/// What a document holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Body {
    Text(String),
    /// Token ids, which are taken as they are.
    Ids(Vec<u32>),
}

impl Document {
    fn whole(text: String, line: usize) -> Self {
        Self { body: Body::Text(text), line, starts: true, ends: true }
    }

    /// Counts the bytes of memory its body takes.
    pub(crate) fn size(&self) -> usize {
        match &self.body {
            Body::Text(text) => text.len(),
            Body::Ids(ids) => 4 * ids.len(),
        }
    }
}

/// The names that documents and tokens go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Lines,
    Text,
    Parquet,
    Shards,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Codec {
    Plain,
    Gzip,
    Zstd,
}

impl Codec {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Plain | Self::Zstd => "zstd",
        }
    }
}

fn form(file: &Path) -> Option<(Form, Codec)> {
    let name = file.file_name()?.to_string_lossy().to_lowercase();
    let (stem, codec) = match () {
        () if name.ends_with(".gz") => (name.trim_end_matches(".gz"), Codec::Gzip),
        () if name.ends_with(".zst") => (name.trim_end_matches(".zst"), Codec::Zstd),
        () => (name.as_str(), Codec::Plain),
    };
    let form = match stem {
        "index.json" => Form::Shards,
        _ if stem.ends_with(".jsonl") => Form::Lines,
        _ if stem.ends_with(".txt") => Form::Text,
        _ if stem.ends_with(".parquet") => Form::Parquet,
        _ => return None,
    };
    let whole = matches!(form, Form::Parquet | Form::Shards) && codec != Codec::Plain;
    (!whole).then_some((form, codec))
}

/// Tells whether a file is one of documents, by its name.
pub(crate) fn holds_documents(file: &Path) -> bool {
    form(file).is_some_and(|(form, _)| form != Form::Shards)
}

/// The documents of one file, in order.
pub(crate) struct Documents(Source);

enum Source {
    Stream(Box<Stream>),
    Parquet(Box<ParquetRows>),
    Shards(ShardTexts),
}

impl Documents {
    /// Opens a file of documents, or the `index.json` of shards that hold text.
    ///
    /// # Errors
    /// Those of the form the file has, by its name.
    pub(crate) fn open(path: &Path, fields: Fields, watch: &dyn Watch) -> Result<Self, DataError> {
        let (form, codec) = form(path).unwrap_or((Form::Text, Codec::Plain));
        Ok(Self(match form {
            Form::Parquet => {
                Source::Parquet(Box::new(ParquetRows::open(path, fields.text, fields.tokens)?))
            }
            Form::Shards => Source::Shards(ShardTexts::open(path, fields.text, watch)?),
            Form::Lines | Form::Text => {
                Source::Stream(Box::new(Stream::open(path, form, codec, fields.text)?))
            }
        }))
    }

    /// Tells how many bytes of the file have been read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.0 {
            Source::Stream(stream) => stream.bytes_read(),
            Source::Parquet(rows) => rows.bytes_read(),
            Source::Shards(texts) => texts.bytes,
        }
    }

    /// Gives the next document, or part of one, that is not empty; none at the end of the file.
    ///
    /// # Errors
    /// A fault of the file, with the line, row or sample.
    pub(crate) fn next(&mut self) -> Result<Option<Document>, DataError> {
        match &mut self.0 {
            Source::Stream(stream) => match stream.form {
                Form::Text => stream.part(),
                _ => stream.line(),
            },
            Source::Parquet(rows) => {
                while let Some((cell, line)) = rows.next()? {
                    let body = match cell {
                        Cell::Text(text) if text.trim().is_empty() => continue,
                        Cell::Text(text) => Body::Text(text),
                        Cell::Ids(ids) => Body::Ids(ids),
                    };
                    return Ok(Some(Document { body, line, starts: true, ends: true }));
                }
                Ok(None)
            }
            Source::Shards(texts) => texts.next(),
        }
    }
}

/// The text column of shards.
struct ShardTexts {
    mds: Mds,
    column: usize,
    shard: usize,
    sample: usize,
    bytes: u64,
}

impl ShardTexts {
    fn open(index: &Path, field: &str, watch: &dyn Watch) -> Result<Self, DataError> {
        let mds = Mds::open(index.parent().unwrap_or(Path::new("")), watch)?;
        let column = mds.column(field, "text_field")?;
        Ok(Self { mds, column, shard: 0, sample: 0, bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<Document>, DataError> {
        while let Some(shard) = self.mds.shards.get(self.shard) {
            if self.sample == shard.samples() {
                (self.shard, self.sample) = (self.shard + 1, 0);
                continue;
            }
            let text = shard.text(self.sample, self.column)?;
            self.bytes += shard.sample_size(self.sample) as u64;
            self.sample += 1;
            if !text.trim().is_empty() {
                return Ok(Some(Document::whole(text.to_string(), self.sample)));
            }
        }
        Ok(None)
    }
}

/// A file read from front to back.
struct Stream {
    path: PathBuf,
    form: Form,
    codec: Codec,
    field: String,
    reader: Box<dyn BufRead + Send>,
    /// The same open file: it shares its position with the reader's.
    position: Option<File>,
    line: usize,
    buffer: Vec<u8>,
    begun: bool,
    done: bool,
}

impl Stream {
    fn open(path: &Path, form: Form, codec: Codec, field: &str) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let position = file.try_clone().ok();
        let reader: Box<dyn BufRead + Send> = match codec {
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(file).map_err(failed)?;
                Box::new(BufReader::new(decoder))
            }
            Codec::Gzip => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))),
            Codec::Plain => Box::new(BufReader::new(file)),
        };
        Ok(Self {
            path: path.into(),
            form,
            codec,
            field: field.into(),
            reader,
            position,
            line: 0,
            buffer: Vec::new(),
            begun: false,
            done: false,
        })
    }

    fn bytes_read(&self) -> u64 {
        self.position.as_ref().and_then(|mut file| file.stream_position().ok()).unwrap_or(0)
    }

    /// Gives the next line that holds a document.
    fn line(&mut self) -> Result<Option<Document>, DataError> {
        loop {
            self.buffer.clear();
            let read = self.reader.read_until(b'\n', &mut self.buffer);
            self.line += 1;
            if read.map_err(|source| self.failed(source))? == 0 {
                return Ok(None);
            }
            let line = std::str::from_utf8(&self.buffer)
                .map_err(|error| self.not_utf8(error.valid_up_to()))?;
            // The byte-order mark that some editors put first.
            let line = if self.line == 1 { line.trim_start_matches('\u{feff}') } else { line };
            if line.trim().is_empty() {
                continue;
            }
            let text = self.text_field(line)?;
            if !text.trim().is_empty() {
                return Ok(Some(Document::whole(text, self.line)));
            }
        }
    }

    /// Gives the next part of the one document of a `.txt` file. Parts end where the tokenizer's
    /// pieces end, so that the ids do not depend on where memory ends.
    fn part(&mut self) -> Result<Option<Document>, DataError> {
        if self.done {
            return Ok(None);
        }
        self.line = self.line.max(1);
        let want = PART - self.buffer.len();
        let read = (&mut self.reader).take(want as u64).read_to_end(&mut self.buffer);
        self.done = read.map_err(|source| self.failed(source))? < want;
        let valid = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text.len(),
            Err(error) if !self.done && error.error_len().is_none() => error.valid_up_to(),
            Err(error) => return Err(self.not_utf8(error.valid_up_to())),
        };
        let text = String::from_utf8_lossy(&self.buffer[..valid]);
        let cut = if self.done { text.len() } else { whole_pieces(&text) };
        let (starts, line) = (!self.begun, self.line);
        let mut text = text[..cut].to_string();
        self.buffer.drain(..cut);
        self.line += text.bytes().filter(|byte| *byte == b'\n').count();
        self.begun = true;
        if starts && text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        if starts && self.done && text.trim().is_empty() {
            return Ok(None);
        }
        Ok(Some(Document { body: Body::Text(text), line, starts, ends: self.done }))
    }

    fn failed(&self, source: std::io::Error) -> DataError {
        match self.codec {
            Codec::Plain => DataError::Read { path: self.path.clone(), source },
            codec => DataError::Compressed {
                file: self.path.clone(),
                line: self.line,
                codec: codec.name(),
                source,
            },
        }
    }

    /// Names the line, and the byte of it, where the buffer stops being UTF-8.
    fn not_utf8(&self, valid: usize) -> DataError {
        let good = &self.buffer[..valid];
        let start = good.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        DataError::NotUtf8 {
            file: self.path.clone(),
            line: self.line + good.iter().filter(|byte| **byte == b'\n').count(),
            byte: good.len() - start + 1,
        }
    }

    fn text_field(&self, line: &str) -> Result<String, DataError> {
        let at = || (self.path.clone(), self.line);
        // Without its line end, so that the parser's column is one of this line.
        let value: Value = serde_json::from_str(line.trim_end()).map_err(|source| {
            let (file, line) = at();
            DataError::NotJson { file, line, source }
        })?;
        let (fields, hint) = match value {
            Value::Object(mut object) => match object.remove(&self.field) {
                Some(Value::String(text)) => return Ok(text),
                Some(other) => {
                    let ((file, line), field) = (at(), self.field.clone());
                    return Err(DataError::TextNotString {
                        file,
                        line,
                        field,
                        kind: kind_of(&other),
                    });
                }
                None => {
                    let names: Vec<&str> = object.keys().map(String::as_str).collect();
                    let hint = field_hint(&self.field, &names);
                    let none = names.is_empty();
                    (if none { "an empty object".into() } else { names.join(", ") }, hint)
                }
            },
            other => (kind_of(&other).to_string(), field_hint(&self.field, &[])),
        };
        let ((file, line), field) = (at(), self.field.clone());
        Err(DataError::NoText { file, line, field, fields, hint })
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
mod tests;
