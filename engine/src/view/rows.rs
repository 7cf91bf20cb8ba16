//! Rows and columns of a table, picked, ordered, renamed, added.
//!
//! Every operation gives a new table; rows keep their order unless it is the order that changes.

use std::cmp::Ordering;

use polars::prelude::{IdxCa, IdxSize};

use super::error::ViewError;
use super::table::{Cell, Kind, Table};
use crate::names::closest;

/// How a cell is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<", Self::Less),
        ("<=", Self::AtMost),
        (">", Self::More),
        (">=", Self::AtLeast),
    ];

    fn holds(self, order: Option<Ordering>) -> bool {
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::Unequal => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Self::More => order == Some(Ordering::Greater),
            Self::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl std::str::FromStr for Comparison {
    type Err = ViewError;

    fn from_str(name: &str) -> Result<Self, ViewError> {
        let found = Self::ALL.iter().find(|(sign, _)| *sign == name);
        found.map(|(_, c)| *c).ok_or_else(|| ViewError::NoWord {
            what: "comparison",
            word: name.to_string(),
            known: Self::ALL.map(|(sign, _)| sign).join(", "),
            nearest: closest(name, Self::ALL.map(|(sign, _)| sign)).unwrap_or_default().to_string(),
        })
    }
}

/// The order of two cells of one kind; none when they have none: an empty cell, NaN, other kinds.
fn order(a: &Cell, b: &Cell) -> Option<Ordering> {
    match (a, b) {
        (Cell::Text(a), Cell::Text(b)) => Some(a.cmp(b)),
        (Cell::Flag(a), Cell::Flag(b)) => Some(a.cmp(b)),
        (Cell::Int(a), Cell::Int(b)) => Some(a.cmp(b)),
        (Cell::Null, Cell::Null) => Some(Ordering::Equal),
        _ => a.number()?.partial_cmp(&b.number()?),
    }
}

/// True when a value may stand in a column.
fn fits(kind: Kind, value: &Cell) -> bool {
    match value {
        Cell::Text(_) => kind == Kind::Words,
        Cell::Flag(_) => kind == Kind::Flags,
        Cell::Int(_) | Cell::Float(_) => matches!(kind, Kind::Whole | Kind::Numbers),
        Cell::Null => true,
    }
}

impl Table {
    /// Takes rows by number, in the order given.
    pub(crate) fn take(&self, rows: &[usize]) -> Result<Self, ViewError> {
        // A table of more rows than `IdxSize` (2^32) does not fit in memory.
        let rows: Vec<IdxSize> = rows.iter().map(|&row| row as IdxSize).collect();
        let frame = self.frame().take(&IdxCa::from_vec("".into(), rows));
        let frame = frame.map_err(|source| self.refused(source))?;
        Ok(self.over(frame))
    }

    pub(crate) fn refused(&self, source: polars::prelude::PolarsError) -> ViewError {
        ViewError::Frame { title: self.title().to_string(), source }
    }

    /// Keeps the rows marked true; `keep` has one mark a row.
    ///
    /// # Errors
    /// Another number of marks than rows.
    pub fn keep(&self, keep: &[bool]) -> Result<Self, ViewError> {
        if keep.len() != self.rows() {
            return Err(ViewError::UnevenColumns {
                column: "the marks".into(),
                rows: keep.len(),
                first: self.column_names().into_iter().next().unwrap_or_default(),
                expected: self.rows(),
            });
        }
        let rows: Vec<usize> = (0..keep.len()).filter(|&row| keep[row]).collect();
        self.take(&rows)
    }

    /// Keeps the rows whose cell compares so with a value. NaN and empty cells are unequal to every
    /// number; an empty value finds the empty cells.
    ///
    /// # Errors
    /// No such column; a value of another type than the column.
    pub fn filter(
        &self,
        column: &str,
        comparison: Comparison,
        value: &Cell,
    ) -> Result<Self, ViewError> {
        let index = self.index(column)?;
        if !fits(self.kind(index), value) {
            return Err(ViewError::WrongType {
                column: column.to_string(),
                holds: self.kind(index).to_string(),
                wanted: value.kind(),
                what: "it is compared with",
            });
        }
        let holds = |row| comparison.holds(order(&self.cell(row, index), value));
        let rows: Vec<usize> = (0..self.rows()).filter(|&row| holds(row)).collect();
        self.take(&rows)
    }

    /// Orders the rows by a column. Equal rows keep their order; NaN comes last, and empty cells after
    /// it, whichever way the rest goes.
    ///
    /// # Errors
    /// No such column.
    pub fn sort(&self, column: &str, descending: bool) -> Result<Self, ViewError> {
        let cells = self.cells(column)?;
        let rank = |cell: &Cell| match cell {
            Cell::Null => 2,
            Cell::Float(x) if x.is_nan() => 1,
            _ => 0,
        };
        let mut rows: Vec<usize> = (0..cells.len()).collect();
        rows.sort_by(|&a, &b| {
            let (a, b) = (&cells[a], &cells[b]);
            let by_value = order(a, b).unwrap_or(Ordering::Equal);
            rank(a).cmp(&rank(b)).then(if descending { by_value.reverse() } else { by_value })
        });
        self.take(&rows)
    }

    /// Keeps columns, in the order given.
    ///
    /// # Errors
    /// No such column, or one named twice.
    pub fn select<S: AsRef<str>>(&self, columns: &[S]) -> Result<Self, ViewError> {
        let pick = |name: &S| Ok(self.frame().columns()[self.index(name.as_ref())?].clone());
        let columns = columns.iter().map(pick).collect::<Result<Vec<_>, ViewError>>()?;
        Self::of_columns(self.title().to_string(), columns)
    }

    /// Gives a column another name.
    ///
    /// # Errors
    /// No such column; the new name is taken.
    pub fn rename(&self, column: &str, name: &str) -> Result<Self, ViewError> {
        let index = self.index(column)?;
        let mut columns = self.frame().columns().to_vec();
        columns[index].rename(name.into());
        Self::of_columns(self.title().to_string(), columns)
    }

    /// Adds a column of cells at the right, or puts them in the place of the column of that name.
    ///
    /// # Errors
    /// Another number of cells than rows.
    pub fn with_column(&self, name: &str, cells: Vec<Cell>) -> Result<Self, ViewError> {
        let new = Self::of_cells("", vec![(name, cells)])?.frame().columns()[0].clone();
        let mut columns = self.frame().columns().to_vec();
        match self.frame().get_column_index(name) {
            Some(index) => columns[index] = new,
            None => columns.push(new),
        }
        Self::of_columns(self.title().to_string(), columns)
    }

    /// The first rows.
    pub fn head(&self, rows: usize) -> Self {
        self.over(self.frame().head(Some(rows)))
    }

    /// The last rows.
    pub fn tail(&self, rows: usize) -> Self {
        self.over(self.frame().tail(Some(rows)))
    }

    /// Puts tables under each other. Columns come in the order in which they first stand; a cell is
    /// empty where its table has no such column. The title is the first one's.
    ///
    /// # Errors
    /// A column that holds text in one table and numbers in another.
    pub fn concat(tables: &[Self]) -> Result<Self, ViewError> {
        let mut names: Vec<String> = Vec::new();
        for name in tables.iter().flat_map(Self::column_names) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut columns = Vec::with_capacity(names.len());
        for name in names {
            let (mut cells, mut seen) = (Vec::new(), None);
            for table in tables {
                let Some(index) = table.frame().get_column_index(&name) else {
                    cells.resize(cells.len() + table.rows(), Cell::Null);
                    continue;
                };
                let new: Vec<Cell> = (0..table.rows()).map(|row| table.cell(row, index)).collect();
                if new.iter().any(|cell| *cell != Cell::Null) {
                    let kind = table.kind(index);
                    let first = *seen.get_or_insert(kind);
                    let numbers = |kind| matches!(kind, Kind::Whole | Kind::Numbers);
                    if first != kind && !(numbers(first) && numbers(kind)) {
                        return Err(ViewError::MixedColumn {
                            column: name,
                            first: first.to_string(),
                            other: kind.to_string(),
                        });
                    }
                }
                cells.extend(new);
            }
            columns.push((name, cells));
        }
        Self::of_cells(tables.first().map_or("", Self::title), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::super::table::tests::losses;
    use super::*;

    fn texts(table: &Table, column: &str) -> Vec<String> {
        table.cells(column).unwrap().iter().map(Cell::exact).collect()
    }

    #[test]
    fn a_filter_keeps_the_rows_whose_cell_compares_so() {
        let of = |column: &str, sign: &str, value: Cell| {
            let kept = losses().filter(column, sign.parse().unwrap(), &value).unwrap();
            texts(&kept, "domain").concat()
        };
        assert_eq!(of("loss", ">", Cell::Float(1.0)), "bookcode");
        assert_eq!(of("loss", "<=", Cell::Float(0.1 + 0.2)), "a<b & \"c\"|d");
        assert_eq!(of("tokens", ">=", Cell::Float(9800.0)), "bookcode");
        assert_eq!(of("domain", "==", Cell::Text("news".into())), "news");
        assert_eq!(of("kept", "==", Cell::Flag(false)), "code");
        assert_eq!(of("tokens", "==", Cell::Null), "news");
        // NaN is unequal to every number, as everywhere.
        assert_eq!(of("loss", "!=", Cell::Float(2.31)), "codenewsa<b & \"c\"|d");
    }

    #[test]
    fn a_filter_says_what_a_column_holds_and_which_comparisons_there_are() {
        let said = losses().filter("loss", Comparison::More, &Cell::Text("x".into())).unwrap_err();
        assert_eq!(said.to_string(), "column `loss` holds numbers; it is compared with a text");
        let said = "=".parse::<Comparison>().unwrap_err().to_string();
        assert_eq!(
            said,
            "there is no comparison `=`; did you mean `==`? (known: ==, !=, <, <=, >, >=)"
        );
    }

    #[test]
    fn sorting_is_stable_and_puts_nan_and_empty_cells_last_both_ways() {
        let up = losses().sort("loss", false).unwrap();
        assert_eq!(texts(&up, "loss"), ["0.30000000000000004", "1.20444", "2.31", "NaN"]);
        let down = losses().sort("tokens", true).unwrap();
        assert_eq!(texts(&down, "tokens"), ["120000", "9800", "-3", ""]);
        let same = losses().sort("kept", false).unwrap();
        assert_eq!(texts(&same, "domain"), ["code", "book", "news", "a<b & \"c\"|d"]);
    }

    #[test]
    fn columns_are_selected_renamed_added_and_replaced() {
        let table = losses().select(&["loss", "domain"]).unwrap();
        assert_eq!(table.column_names(), ["loss", "domain"]);
        let table = table.rename("loss", "nats").unwrap();
        let zeros = |n: usize| vec![Cell::Int(0); n];
        let table = table.with_column("zero", zeros(4)).unwrap();
        assert_eq!(table.column_names(), ["nats", "domain", "zero"]);
        let table = table.with_column("nats", zeros(4)).unwrap();
        assert_eq!(table.column_names(), ["nats", "domain", "zero"]);
        assert_eq!(texts(&table, "nats"), ["0"; 4]);
        assert!(table.with_column("few", zeros(3)).is_err());
        assert!(table.rename("zero", "nats").unwrap_err().to_string().contains("`nats`"));
    }

    #[test]
    fn both_ends_of_a_table_can_be_taken_and_more_rows_than_there_are() {
        assert_eq!(texts(&losses().head(2), "domain"), ["book", "code"]);
        assert_eq!(texts(&losses().tail(1), "loss"), ["0.30000000000000004"]);
        assert_eq!(losses().head(9).rows(), 4);
        assert_eq!(losses().tail(0).rows(), 0);
    }

    #[test]
    fn tables_go_under_each_other_with_empty_cells_where_one_has_no_column() {
        let a = Table::new("a", vec![("x", Column::counts([1])), ("y", Column::text(["u"]))]);
        let b = Table::new("b", vec![("z", Column::floats([0.5])), ("x", Column::floats([2.5]))]);
        let (a, b) = (a.unwrap(), b.unwrap());
        let both = Table::concat(&[a.clone(), b]).unwrap();
        assert_eq!(both.title(), "a");
        assert_eq!(both.column_names(), ["x", "y", "z"]);
        assert_eq!(texts(&both, "x"), ["1", "2.5"]);
        assert_eq!(both.value(1, "y").unwrap(), Cell::Null);
        let words = Table::new("c", vec![("x", Column::text(["one"]))]).unwrap();
        assert_eq!(
            Table::concat(&[a, words]).unwrap_err().to_string(),
            "column `x` holds whole numbers in one table and text in another; rename one of them"
        );
        assert_eq!(Table::concat(&[]).unwrap().rows(), 0);
    }
}
