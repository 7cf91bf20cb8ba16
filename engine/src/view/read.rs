//! A table out of a file: CSV, Parquet, or JSON with one object a row.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use polars::prelude::{ParquetReader, SerReader};
use serde_json::Value;

use super::error::ViewError;
use super::table::{Cell, Table};

impl Table {
    /// Reads a table from a `.csv`, `.parquet` or `.json` file; its title is the file's name.
    ///
    /// In a CSV a column whose cells are all whole numbers, all numbers, or all `true` and `false` has
    /// that type, and an empty cell is empty; any other column is text as it stands.
    ///
    /// # Errors
    /// Another ending; a file that is not there or not whole, with the line that is wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ViewError> {
        let path = path.as_ref();
        let wrong = |why: String| ViewError::Read { path: path.to_path_buf(), why };
        let open = || File::open(path).map_err(|error| wrong(error.to_string()));
        let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match path.extension().and_then(|e| e.to_str()) {
            Some("csv") => read_csv(&title, open()?).map_err(|e| e.named(wrong)),
            Some("json") => read_json(&title, open()?).map_err(|e| e.named(wrong)),
            Some("parquet") => {
                let frame = ParquetReader::new(open()?).finish();
                Ok(Self::from_frame(title, frame.map_err(|e| wrong(e.to_string()))?))
            }
            _ => Err(wrong("its name ends in none of .csv, .parquet and .json".into())),
        }
    }
}

/// What can be wrong inside a file.
enum Wrong {
    File(String),
    Table(ViewError),
}

impl Wrong {
    fn named(self, wrong: impl Fn(String) -> ViewError) -> ViewError {
        match self {
            Self::File(why) => wrong(why),
            Self::Table(error) => wrong(error.to_string()),
        }
    }
}

fn read_csv(title: &str, file: File) -> Result<Table, Wrong> {
    let wrong = |error: csv::Error| Wrong::File(error.to_string());
    let mut reader = csv::Reader::from_reader(BufReader::new(file));
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(String::from).collect();
    let mut columns: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for record in reader.records() {
        // The reader refuses a record with another number of cells than the names, and says which.
        for (column, cell) in columns.iter_mut().zip(record.map_err(wrong)?.iter()) {
            column.push(cell.to_string());
        }
    }
    let typed = names.into_iter().zip(columns.into_iter().map(typed)).collect();
    Table::of_cells(title, typed).map_err(Wrong::Table)
}

/// Cells of the narrowest type that all of a column have.
fn typed(column: Vec<String>) -> Vec<Cell> {
    let all = |read: fn(&str) -> Option<Cell>| -> Option<Vec<Cell>> {
        let cell = |text: &String| if text.is_empty() { Some(Cell::Null) } else { read(text) };
        column.iter().map(cell).collect()
    };
    all(|s| s.parse().ok().map(Cell::Int))
        .or_else(|| all(|s| s.parse().ok().map(Cell::Float)))
        .or_else(|| all(|s| s.parse().ok().map(Cell::Flag)))
        .unwrap_or_else(|| column.into_iter().map(Cell::Text).collect())
}

fn read_json(title: &str, file: File) -> Result<Table, Wrong> {
    let value: Value = serde_json::from_reader(BufReader::new(file))
        .map_err(|error| Wrong::File(error.to_string()))?;
    let Value::Array(rows) = value else {
        return Err(Wrong::File("it is no array with one object a row".into()));
    };
    let mut names: Vec<String> = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let Value::Object(row) = row else {
            return Err(Wrong::File(format!("entry {number} of its array is no object")));
        };
        for name in row.keys().filter(|name| !names.contains(name)).cloned().collect::<Vec<_>>() {
            names.push(name);
        }
    }
    let cell = |row: &Value, name: &str| match &row[name] {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Flag(*b),
        Value::String(s) => Cell::Text(s.clone()),
        Value::Number(n) => {
            n.as_i64().map_or_else(|| Cell::Float(n.as_f64().unwrap_or(f64::NAN)), Cell::Int)
        }
        other => Cell::Text(other.to_string()),
    };
    let column = |name: String| {
        let cells = rows.iter().map(|row| cell(row, &name)).collect();
        (name, cells)
    };
    Table::of_cells(title, names.into_iter().map(column).collect()).map_err(Wrong::Table)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::table::tests::losses;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        losses().write_csv(at("loss.csv")).unwrap();
        losses().write_parquet(at("loss.parquet")).unwrap();
        losses().write_json(at("loss.json")).unwrap();
        for name in ["loss.csv", "loss.parquet", "loss.json"] {
            let table = Table::read(at(name)).unwrap();
            assert_eq!(table.title(), "loss");
            let plain = losses().titled("loss");
            let text = plain.to_text();
            // JSON has no NaN: it comes back as an empty cell.
            let text = if name == "loss.json" { text.replace("nan", "  –") } else { text };
            assert_eq!(table.to_text(), text, "{name}");
            assert_eq!(table.value(3, "loss").unwrap(), Cell::Float(0.1 + 0.2), "{name}");
        }
    }

    #[test]
    fn a_broken_file_is_named_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        for (name, content, parts) in [
            ("a.csv", "x,y\n1,2\n3\n", ["a.csv", "line: 3"]),
            ("b.json", "[{\"x\": 1},\n 2]", ["b.json", "entry 1 of its array is no object"]),
            ("c.json", "[{\"x\": 1,\n", ["c.json", "line 2"]),
            ("d.json", "{\"x\": 1}", ["d.json", "no array with one object a row"]),
            ("e.parquet", "PAR1", ["e.parquet", "as a table"]),
            ("f.txt", "x", ["f.txt", ".csv, .parquet and .json"]),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            let said = Table::read(&path).unwrap_err().to_string();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        let said = Table::read(folder.path().join("none.csv")).unwrap_err().to_string();
        assert!(said.contains("none.csv"), "{said}");
    }

    #[test]
    fn a_csv_column_has_the_narrowest_type_of_all_its_cells() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        fs::write(&path, "a,b,c,d\n1,1,true,1\n,2.5,false,x\n").unwrap();
        let table = Table::read(&path).unwrap();
        let row: Vec<Cell> = ["a", "b", "c", "d"].map(|c| table.value(1, c).unwrap()).to_vec();
        let expected =
            [Cell::Null, Cell::Float(2.5), Cell::Flag(false), Cell::Text("x".to_string())];
        assert_eq!(row, expected);
        assert_eq!(table.value(0, "b").unwrap(), Cell::Float(1.0));
        assert_eq!(table.value(0, "d").unwrap(), Cell::Text("1".into()));
    }
}
