//! A table as files: CSV, Parquet and JSON with every digit, Markdown and LaTeX for a paper.
//! Each appears whole or not at all.

use std::io::{self, Write};
use std::path::Path;

use polars::prelude::ParquetWriter;
use serde_json::{Map, Value};

use super::error::ViewError;
use super::print::Setting;
use super::table::{Cell, Table};
use crate::files::write_whole;

impl Table {
    /// Writes the table as CSV with a line of names; an empty cell is empty, NaN is `NaN`.
    ///
    /// # Errors
    /// The file cannot be written; the error names it.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<(), ViewError> {
        let path = path.as_ref();
        write_whole(path, |file| self.csv(file))
            .map_err(|source| ViewError::Write { path: path.to_path_buf(), source })
    }

    fn csv(&self, to: impl Write) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        csv.write_record(self.column_names()).map_err(io::Error::other)?;
        for row in 0..self.rows() {
            let cells = (0..self.frame().width()).map(|c| self.cell(row, c).exact());
            csv.write_record(cells).map_err(io::Error::other)?;
        }
        csv.flush()
    }

    /// Writes the table as Parquet, compressed with zstd.
    ///
    /// # Errors
    /// The file cannot be written; the error names it.
    pub fn write_parquet(&self, path: impl AsRef<Path>) -> Result<(), ViewError> {
        let path = path.as_ref();
        let mut refused = None;
        let written = write_whole(path, |file| {
            let mut frame = self.frame().clone();
            match ParquetWriter::new(file).finish(&mut frame) {
                Ok(_) => Ok(()),
                Err(source) => {
                    refused = Some(source);
                    Err(io::Error::other("refused by polars"))
                }
            }
        });
        match (written, refused) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(source)) => Err(ViewError::Parquet { path: path.to_path_buf(), source }),
            (Err(source), None) => Err(ViewError::Write { path: path.to_path_buf(), source }),
        }
    }

    /// Writes the table as a JSON array with one object a row. JSON has no NaN and no infinity:
    /// they become null, as empty cells do.
    ///
    /// # Errors
    /// The file cannot be written; the error names it.
    pub fn write_json(&self, path: impl AsRef<Path>) -> Result<(), ViewError> {
        let path = path.as_ref();
        let names = self.column_names();
        write_whole(path, |file| {
            file.write_all(b"[")?;
            for row in 0..self.rows() {
                let pairs = names.iter().enumerate().map(|(c, name)| {
                    let value = match self.cell(row, c) {
                        Cell::Text(s) => Value::from(s),
                        Cell::Int(n) => Value::from(n),
                        Cell::Float(x) => Value::from(x),
                        Cell::Flag(b) => Value::from(b),
                        Cell::Null => Value::Null,
                    };
                    (name.clone(), value)
                });
                let object: Map<String, Value> = pairs.collect();
                file.write_all(if row == 0 { b"\n" } else { b",\n" })?;
                serde_json::to_writer(&mut *file, &object)?;
            }
            file.write_all(b"\n]\n")
        })
        .map_err(|source| ViewError::Write { path: path.to_path_buf(), source })
    }

    /// Writes the table as Markdown, all rows.
    ///
    /// # Errors
    /// The file cannot be written; the error names it.
    pub fn write_markdown(
        &self,
        path: impl AsRef<Path>,
        setting: &Setting,
    ) -> Result<(), ViewError> {
        write_text(path.as_ref(), &self.to_markdown_whole(setting))
    }

    /// Writes the table as LaTeX, all rows.
    ///
    /// # Errors
    /// The file cannot be written; the error names it.
    pub fn write_latex(&self, path: impl AsRef<Path>, setting: &Setting) -> Result<(), ViewError> {
        write_text(path.as_ref(), &self.to_latex(setting))
    }
}

fn write_text(path: &Path, text: &str) -> Result<(), ViewError> {
    write_whole(path, |file| file.write_all(text.as_bytes()))
        .map_err(|source| ViewError::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::table::tests::losses;

    #[test]
    fn csv_keeps_every_digit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.csv");
        losses().write_csv(&path).unwrap();
        let expected = "domain,tokens,loss,kept\n\
            book,120000,2.31,true\n\
            code,9800,1.20444,false\n\
            news,,NaN,true\n\
            \"a<b & \"\"c\"\"|d\",-3,0.30000000000000004,true\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn json_is_an_array_of_objects_in_column_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loss.json");
        losses().write_json(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let first = "[\n{\"domain\":\"book\",\"tokens\":120000,\"loss\":2.31,\"kept\":true},\n";
        assert!(text.starts_with(first), "{text}");
        let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 4);
        assert_eq!(rows[2]["loss"], serde_json::Value::Null);
        assert_eq!(rows[3]["loss"].as_f64(), Some(0.1 + 0.2));
    }

    #[test]
    fn parquet_is_whole_and_the_same_bytes_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.parquet"), folder.path().join("b.parquet"));
        losses().write_parquet(&a).unwrap();
        losses().write_parquet(&b).unwrap();
        let bytes = fs::read(&a).unwrap();
        assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
        assert_eq!(bytes, fs::read(&b).unwrap());
        // Nothing but the two files: the parts were moved, not copied.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing").join("loss.csv");
        let said = losses().write_csv(&path).unwrap_err().to_string();
        assert!(said.contains("missing") && said.contains("loss.csv"), "{said}");
        assert!(losses().write_json(folder.path().join("..")).is_err());
    }
}
