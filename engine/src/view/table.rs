//! A titled table: columns in, cells out.
//!
//! The values live in a polars data frame, so that they can go on to other tools unrounded; only
//! printing rounds. A table never changes once made.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use polars::prelude as pl;
use polars::prelude::{AnyValue, DataFrame};

use super::error::ViewError;
use super::format;
use crate::names::nearest;

/// The values of one column of a new table.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Words.
    Text(Vec<String>),
    /// Whole numbers; none is an empty cell.
    Int(Vec<Option<i64>>),
    /// Numbers; none is an empty cell, NaN stays NaN.
    Float(Vec<Option<f64>>),
    /// Yes or no.
    Flag(Vec<bool>),
}

impl Column {
    /// Makes a column of words from anything that can be written.
    pub fn text<T: ToString>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Text(values.into_iter().map(|v| v.to_string()).collect())
    }

    /// Makes a column of counts. A count over `i64::MAX` becomes `i64::MAX`.
    pub fn counts(values: impl IntoIterator<Item = usize>) -> Self {
        let cell = |n| Some(i64::try_from(n).unwrap_or(i64::MAX));
        Self::Int(values.into_iter().map(cell).collect())
    }

    /// Makes a column of numbers without empty cells.
    pub fn floats(values: impl IntoIterator<Item = f64>) -> Self {
        Self::Float(values.into_iter().map(Some).collect())
    }

    fn into_polars(self, name: &str) -> pl::Column {
        match self {
            Self::Text(v) => pl::Column::new(name.into(), v),
            Self::Int(v) => pl::Column::new(name.into(), v),
            Self::Float(v) => pl::Column::new(name.into(), v),
            Self::Flag(v) => pl::Column::new(name.into(), v),
        }
    }
}

/// The column whose type holds all these cells.
fn column_of(name: &str, cells: &[Cell]) -> pl::Column {
    let any = |is: fn(&Cell) -> bool| cells.iter().any(is);
    let text = any(|c| matches!(c, Cell::Text(_)));
    let float = any(|c| matches!(c, Cell::Float(_)));
    let int = any(|c| matches!(c, Cell::Int(_)));
    let flag = any(|c| matches!(c, Cell::Flag(_)));
    let name = name.into();
    if text || (flag && (int || float)) {
        let word = |cell: &Cell| (*cell != Cell::Null).then(|| cell.exact());
        return pl::Column::new(name, cells.iter().map(word).collect::<Vec<Option<String>>>());
    }
    if flag {
        let flag = |cell: &Cell| if let Cell::Flag(b) = cell { Some(*b) } else { None };
        return pl::Column::new(name, cells.iter().map(flag).collect::<Vec<Option<bool>>>());
    }
    if int && !float {
        let whole = |cell: &Cell| if let Cell::Int(n) = cell { Some(*n) } else { None };
        return pl::Column::new(name, cells.iter().map(whole).collect::<Vec<Option<i64>>>());
    }
    pl::Column::new(name, cells.iter().map(Cell::number).collect::<Vec<Option<f64>>>())
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Words,
    Whole,
    Numbers,
    Flags,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Words => "text",
            Self::Whole => "whole numbers",
            Self::Numbers => "numbers",
            Self::Flags => "yes or no",
        })
    }
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A word.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Flag(bool),
    /// An empty cell.
    Null,
}

impl Cell {
    fn of(value: &AnyValue<'_>) -> Self {
        match value {
            AnyValue::Null => Self::Null,
            AnyValue::Boolean(b) => Self::Flag(*b),
            AnyValue::String(s) => Self::Text((*s).to_string()),
            AnyValue::StringOwned(s) => Self::Text(s.to_string()),
            AnyValue::Float32(x) => Self::Float(f64::from(*x)),
            AnyValue::Float64(x) => Self::Float(*x),
            other if other.is_integer() => match other.extract::<i64>() {
                Some(n) => Self::Int(n),
                None => Self::Text(other.to_string()),
            },
            other => Self::Text(other.to_string()),
        }
    }

    /// The shortest digits that read back as the same value; nothing for an empty cell.
    pub(crate) fn exact(&self) -> String {
        match self {
            Self::Text(s) => s.clone(),
            Self::Int(n) => n.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Flag(b) => b.to_string(),
            Self::Null => String::new(),
        }
    }

    /// Its value as a number; none for words, flags and empty cells.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(n) => Some(*n as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Null => "an empty cell",
        }
    }
}

/// Writes the value as people read it: `12,345`, `2.305`, `yes`; nothing for an empty cell.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(s) => f.write_str(s),
            Self::Int(n) => f.write_str(&format::whole(*n)),
            Self::Float(x) => f.write_str(&format::number(*x)),
            Self::Flag(b) => f.write_str(if *b { "yes" } else { "no" }),
            Self::Null => Ok(()),
        }
    }
}

/// A titled table. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Table {
    title: Arc<str>,
    frame: DataFrame,
    /// The columns of shares that are drawn as bars too.
    bars: Arc<[String]>,
}

impl Table {
    /// Makes a table of named columns, left to right.
    ///
    /// # Errors
    /// Columns of different lengths, or two columns of one name.
    ///
    /// # Example
    /// ```
    /// use woolshed_engine::view::{Column, Table};
    ///
    /// let table = Table::new(
    ///     "loss by domain",
    ///     vec![
    ///         ("domain", Column::text(["book", "code"])),
    ///         ("loss", Column::floats([2.305, 1.2])),
    ///     ],
    /// )?;
    /// assert_eq!(table.rows(), 2);
    /// # Ok::<(), woolshed_engine::view::ViewError>(())
    /// ```
    pub fn new<N: Into<String>>(
        title: impl Into<String>,
        columns: Vec<(N, Column)>,
    ) -> Result<Self, ViewError> {
        let columns = columns.into_iter().map(|(name, c)| c.into_polars(&name.into()));
        Self::of_columns(title.into(), columns.collect())
    }

    /// Makes a table of named columns of cells. A column takes the type that holds all its cells:
    /// whole numbers beside numbers become numbers, and anything beside words becomes words.
    ///
    /// # Errors
    /// As [`Table::new`].
    pub fn of_cells<N: Into<String>>(
        title: impl Into<String>,
        columns: Vec<(N, Vec<Cell>)>,
    ) -> Result<Self, ViewError> {
        let columns = columns.into_iter().map(|(name, cells)| column_of(&name.into(), &cells));
        Self::of_columns(title.into(), columns.collect())
    }

    /// Checks columns and puts them beside each other.
    pub(crate) fn of_columns(title: String, columns: Vec<pl::Column>) -> Result<Self, ViewError> {
        let mut seen = HashSet::new();
        for column in &columns {
            let (first, name) = (&columns[0], column.name().to_string());
            if column.len() != first.len() {
                return Err(ViewError::UnevenColumns {
                    column: name,
                    rows: column.len(),
                    first: first.name().to_string(),
                    expected: first.len(),
                });
            }
            if !seen.insert(name.clone()) {
                return Err(ViewError::DuplicateColumn { column: name });
            }
        }
        let frame = DataFrame::new_infer_height(columns)
            .map_err(|source| ViewError::Frame { title: title.clone(), source })?;
        Ok(Self::from_frame(title, frame))
    }

    /// Gives a data frame a title.
    pub fn from_frame(title: impl Into<String>, frame: DataFrame) -> Self {
        Self { title: title.into().into(), frame, bars: Arc::default() }
    }

    /// The same table with columns of shares (0 to 1) that are drawn as bars beside their numbers. A
    /// name without a column is passed over.
    pub fn with_bars(mut self, columns: &[&str]) -> Self {
        self.bars = columns.iter().map(|name| name.to_string()).collect();
        self
    }

    /// True for a column that is drawn as bars too.
    pub(crate) fn has_bar(&self, column: &str) -> bool {
        self.bars.iter().any(|name| name == column)
    }

    /// Other rows or columns under the same title, with the same bars.
    pub(crate) fn over(&self, frame: DataFrame) -> Self {
        Self { title: self.title.clone(), frame, bars: self.bars.clone() }
    }

    /// Gives the title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Counts the rows.
    pub fn rows(&self) -> usize {
        self.frame.height()
    }

    /// Lists the names of the columns, left to right.
    pub fn column_names(&self) -> Vec<String> {
        self.frame.columns().iter().map(|c| c.name().to_string()).collect()
    }

    /// Gives the data frame.
    pub fn frame(&self) -> &DataFrame {
        &self.frame
    }

    /// Gives the same values another title.
    pub fn titled(&self, title: impl Into<String>) -> Self {
        Self { title: title.into().into(), ..self.clone() }
    }

    /// Finds a column by its name.
    ///
    /// # Errors
    /// No such column; the nearest name is offered.
    pub(crate) fn index(&self, column: &str) -> Result<usize, ViewError> {
        self.frame.get_column_index(column).ok_or_else(|| {
            let names = self.column_names();
            let hint = nearest(column, names.iter().map(String::as_str))
                .map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"));
            ViewError::NoColumn { column: column.to_string(), hint, columns: names.join(", ") }
        })
    }

    /// Gives all values of a column.
    ///
    /// # Errors
    /// No such column; the nearest name is offered.
    pub fn cells(&self, column: &str) -> Result<Vec<Cell>, ViewError> {
        let index = self.index(column)?;
        Ok((0..self.rows()).map(|row| self.cell(row, index)).collect())
    }

    /// Says what a column that exists holds.
    pub(crate) fn kind(&self, column: usize) -> Kind {
        match self.frame.columns().get(column).map(|c| c.dtype()) {
            Some(pl::DataType::Boolean) => Kind::Flags,
            Some(of) if of.is_integer() => Kind::Whole,
            Some(of) if of.is_float() => Kind::Numbers,
            _ => Kind::Words,
        }
    }

    /// Gives one value; rows count from 0.
    ///
    /// # Errors
    /// No such column (the nearest name is offered), or no such row.
    pub fn value(&self, row: usize, column: &str) -> Result<Cell, ViewError> {
        let index = self.index(column)?;
        if row >= self.rows() {
            return Err(ViewError::NoRow { row, rows: self.rows() });
        }
        Ok(self.cell(row, index))
    }

    /// Gives the cell at a row and a column that exist.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Cell {
        match self.frame.columns().get(column).map(|c| c.get(row)) {
            Some(Ok(value)) => Cell::of(&value),
            Some(Err(_)) | None => Cell::Null,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Loss of two models on four domains, with an empty cell and a NaN.
    pub(crate) fn losses() -> Table {
        Table::new(
            "loss by domain, nats/token",
            vec![
                ("domain", Column::text(["book", "code", "news", "a<b & \"c\"|d"])),
                ("tokens", Column::Int(vec![Some(120_000), Some(9_800), None, Some(-3)])),
                (
                    "loss",
                    Column::Float(vec![
                        Some(2.31),
                        Some(1.204_44),
                        Some(f64::NAN),
                        Some(0.1 + 0.2),
                    ]),
                ),
                ("kept", Column::Flag(vec![true, false, true, true])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn a_table_gives_back_its_values_unrounded() {
        let table = losses();
        assert_eq!(table.rows(), 4);
        assert_eq!(table.column_names(), ["domain", "tokens", "loss", "kept"]);
        assert_eq!(table.value(0, "domain").unwrap(), Cell::Text("book".into()));
        assert_eq!(table.value(0, "tokens").unwrap(), Cell::Int(120_000));
        assert_eq!(table.value(2, "tokens").unwrap(), Cell::Null);
        assert_eq!(table.value(3, "loss").unwrap(), Cell::Float(0.1 + 0.2));
        assert_eq!(table.value(1, "kept").unwrap(), Cell::Flag(false));
    }

    #[test]
    fn a_missing_column_offers_the_nearest_name() {
        let said = losses().value(0, "Losses").unwrap_err().to_string();
        assert!(said.contains("did you mean `loss`?"), "{said}");
        let said = losses().value(4, "loss").unwrap_err().to_string();
        assert_eq!(said, "no row 4: the table has 4 rows, counted from 0");
    }

    #[test]
    fn uneven_and_double_columns_are_refused() {
        let one = |n: usize| Column::counts(0..n);
        let said = Table::new("t", vec![("a", one(2)), ("b", one(3))]).unwrap_err().to_string();
        assert!(said.contains("column `b` has 3 rows, but column `a` has 2"), "{said}");
        let said = Table::new("t", vec![("a", one(2)), ("a", one(2))]).unwrap_err().to_string();
        assert!(said.contains("two columns are called `a`"), "{said}");
    }

    #[test]
    fn a_frame_of_other_types_becomes_cells() {
        let frame = DataFrame::new_infer_height(vec![
            pl::Column::new("u".into(), [1u32, 2]),
            pl::Column::new("f".into(), [0.5f32, 1.5]),
        ])
        .unwrap();
        let table = Table::from_frame("t", frame);
        assert_eq!(table.value(1, "u").unwrap(), Cell::Int(2));
        assert_eq!(table.value(0, "f").unwrap(), Cell::Float(0.5));
    }
}
