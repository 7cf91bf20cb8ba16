//! Documents out of a parquet file: a column of text, or of lists of token ids.
//!
//! One row group is in memory at a time, and of it the one column. Columns of text hold a document a
//! row; lists of ids are taken as they are, nothing is put around them.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use pl::{ParquetReader, PolarsError, SerReader};
use polars::prelude as pl;

use super::fault::ShardFault;
use crate::data::DataError;
use crate::data::error::nearest_name;

/// What a row of the column holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Ids(Vec<u32>),
}

/// The rows of one column, in order.
pub(crate) struct ParquetRows {
    path: PathBuf,
    column: String,
    /// Rows of each row group.
    groups: Vec<usize>,
    /// The next group to read, and the row it starts at.
    group: usize,
    offset: usize,
    /// The group at hand, and the next row of it.
    values: Option<pl::Column>,
    next: usize,
    bytes: u64,
}

impl ParquetRows {
    /// Opens a file and finds the column: `tokens` when it holds lists, else `text`.
    ///
    /// # Errors
    /// [`DataError::Read`], [`DataError::Parquet`], [`DataError::ParquetColumn`],
    /// [`DataError::ParquetType`].
    pub(crate) fn open(path: &Path, text: &str, tokens: &str) -> Result<Self, DataError> {
        let bytes = file(path)?.metadata().map_or(0, |data| data.len());
        let reader = file(path)?;
        let (schema, groups) = guarded(path, || {
            let mut reader = ParquetReader::new(reader);
            let schema = reader.schema()?;
            let groups = reader.get_metadata()?.row_groups.iter().map(|group| group.num_rows());
            Ok((schema, groups.collect()))
        })?;
        let known = || schema.iter_names().map(|name| name.as_str());
        let find =
            |name: &str| schema.get(name).map(|field| (name.to_string(), kind(&field.dtype)));
        let (column, kind) = match (find(text), find(tokens)) {
            (_, Some((name, Kind::Ids))) | (Some((name, Kind::Ids)), _) => (name, Kind::Ids),
            (Some((name, kind)), _) => (name, kind),
            (None, Some((name, kind))) => (name, kind),
            (None, None) => {
                let (file, column) = (path.into(), text.into());
                let hint = nearest_name(text, known());
                return Err(DataError::ParquetColumn { file, column, hint });
            }
        };
        if let Kind::Other(kind) = kind {
            return Err(DataError::ParquetType { file: path.into(), column, kind });
        }
        let path = path.to_path_buf();
        Ok(Self { path, column, groups, group: 0, offset: 0, values: None, next: 0, bytes })
    }

    /// Tells how many bytes of the file have been read so far: the share of its row groups.
    pub(crate) fn bytes_read(&self) -> u64 {
        if self.groups.is_empty() {
            return self.bytes;
        }
        (self.bytes as f64 * self.group as f64 / self.groups.len() as f64) as u64
    }

    /// Gives the next row and its number, from 1; a missing value is an empty text.
    ///
    /// # Errors
    /// [`DataError::Parquet`]; [`DataError::Shard`] for an id that is no token.
    pub(crate) fn next(&mut self) -> Result<Option<(Cell, usize)>, DataError> {
        loop {
            if let Some(values) = &self.values
                && self.next < values.len()
            {
                let row = self.next;
                self.next += 1;
                let number = self.offset - values.len() + row + 1;
                return Ok(Some((self.cell(values, row, number)?, number)));
            }
            let Some(&rows) = self.groups.get(self.group) else {
                return Ok(None);
            };
            let (path, slice) = (&self.path, (self.offset, rows));
            let reader = file(path)?;
            let column = guarded(path, || {
                let frame = ParquetReader::new(reader)
                    .with_columns(Some(vec![self.column.clone()]))
                    .with_slice(Some(slice))
                    .finish()?;
                frame.column(&self.column).cloned()
            })?;
            self.values = Some(column);
            self.next = 0;
            self.group += 1;
            self.offset += rows;
        }
    }

    fn cell(&self, values: &pl::Column, row: usize, number: usize) -> Result<Cell, DataError> {
        let failed = |source| parquet(&self.path, source);
        if let Some(text) = values.try_str() {
            return Ok(Cell::Text(text.get(row).unwrap_or_default().to_string()));
        }
        let list = values.list().map_err(failed)?;
        let Some(ids) = list.get_as_series(row) else {
            return Ok(Cell::Text(String::new()));
        };
        let ids = ids.cast(&pl::DataType::Int64).map_err(failed)?;
        let ids = ids.i64().map_err(failed)?;
        let mut out = Vec::with_capacity(ids.len());
        for (at, id) in ids.iter().enumerate() {
            let id = id.unwrap_or(-1);
            out.push(u32::try_from(id).map_err(|_| DataError::Shard {
                file: self.path.clone(),
                sample: Some(number as u64 - 1),
                fault: Box::new(ShardFault::IdPastVocab { at, id, vocab: 1 << 32 }),
            })?);
        }
        Ok(Cell::Ids(out))
    }
}

enum Kind {
    Text,
    Ids,
    Other(String),
}

/// What a column of this type can be read as.
fn kind(dtype: &pl::ArrowDataType) -> Kind {
    use pl::ArrowDataType as T;
    match dtype {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => Kind::Text,
        T::List(inner) | T::LargeList(inner) => match inner.dtype() {
            T::UInt32 | T::UInt64 | T::Int32 | T::Int64 => Kind::Ids,
            other => Kind::Other(format!("a list of {other:?}")),
        },
        other => Kind::Other(format!("{other:?}")),
    }
}

fn file(path: &Path) -> Result<File, DataError> {
    File::open(path).map_err(|source| DataError::Read { path: path.into(), source })
}

fn parquet(path: &Path, source: PolarsError) -> DataError {
    DataError::Parquet { file: path.into(), source: Box::new(source) }
}

/// Reads with polars, whose parquet reader panics on some damaged files.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, PolarsError>) -> Result<T, DataError> {
    let gave_up = || PolarsError::ComputeError("the reader gave up on it".into());
    let outcome = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(gave_up()));
    outcome.map_err(|source| parquet(path, source))
}
