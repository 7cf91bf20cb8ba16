//! Groups of rows and the figures of each: mean, standard deviation, count.

use super::error::ViewError;
use super::table::{Cell, Kind, Table};
use crate::names::closest;

/// A figure of the cells of a group. Empty cells do not count; a NaN makes every figure of numbers NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// The mean.
    Mean,
    /// The standard deviation of a sample: n - 1 below the root; empty for fewer than two values.
    Std,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// The sum.
    Sum,
    /// How many cells hold a value.
    Count,
    /// The middle value, or the mean of the two in the middle.
    Median,
    /// The first that is not empty.
    First,
}

impl Aggregate {
    const ALL: [Self; 8] = [
        Self::Mean,
        Self::Std,
        Self::Min,
        Self::Max,
        Self::Sum,
        Self::Count,
        Self::Median,
        Self::First,
    ];

    /// Its name in scripts and at the end of its column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Std => "std",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
            Self::Median => "median",
            Self::First => "first",
        }
    }

    /// Computes the figure.
    pub fn of(self, cells: &[Cell]) -> Cell {
        match self {
            Self::Count => {
                let count = cells.iter().filter(|cell| **cell != Cell::Null).count();
                return Cell::Int(i64::try_from(count).unwrap_or(i64::MAX));
            }
            Self::First => {
                return cells.iter().find(|c| **c != Cell::Null).cloned().unwrap_or(Cell::Null);
            }
            _ => {}
        }
        let mut x: Vec<f64> = cells.iter().filter_map(Cell::number).collect();
        if x.is_empty() {
            return Cell::Null;
        }
        if x.iter().any(|x| x.is_nan()) {
            return Cell::Float(f64::NAN);
        }
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let whole = cells.iter().all(|cell| matches!(cell, Cell::Int(_) | Cell::Null));
        x.sort_by(f64::total_cmp);
        let figure = match self {
            Self::Std if x.len() < 2 => return Cell::Null,
            // The mean of equal numbers may differ from them in the last digit.
            Self::Std if x[0] == x[x.len() - 1] => 0.0,
            Self::Std => (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt(),
            Self::Min => x[0],
            Self::Max => x[x.len() - 1],
            Self::Sum => x.iter().sum(),
            Self::Median => {
                let half = x.len() / 2;
                if x.len() % 2 == 1 { x[half] } else { f64::midpoint(x[half - 1], x[half]) }
            }
            _ => mean,
        };
        // Whole numbers under 2^53 are exact in f64.
        let stays_whole = matches!(self, Self::Min | Self::Max | Self::Sum);
        if whole && stays_whole && figure.abs() < 9e15 {
            return Cell::Int(figure as i64);
        }
        Cell::Float(figure)
    }
}

impl std::str::FromStr for Aggregate {
    type Err = ViewError;

    fn from_str(name: &str) -> Result<Self, ViewError> {
        Self::ALL.into_iter().find(|a| a.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            ViewError::NoWord {
                what: "figure of a group",
                word: name.to_string(),
                known: names.join(", "),
                nearest: closest(name, names).unwrap_or_default().to_string(),
            }
        })
    }
}

/// The rows of each group, groups in the order in which they first come.
pub(crate) struct Groups(pub(crate) Vec<Vec<usize>>);

impl Groups {
    /// Puts rows with the same cells in these columns together. NaN is the same as NaN here.
    pub(crate) fn of(table: &Table, columns: &[usize]) -> Self {
        let mut places = std::collections::HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for row in 0..table.rows() {
            let place = *places.entry(key(table, row, columns)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[place].push(row);
        }
        Self(groups)
    }
}

/// What two rows share when their cells in these columns are the same: an empty cell is no empty
/// text, and 2 is 2.0.
pub(crate) fn key(table: &Table, row: usize, columns: &[usize]) -> Vec<(u8, String)> {
    let part = |&column: &usize| match table.cell(row, column) {
        Cell::Null => (0, String::new()),
        Cell::Text(text) => (1, text),
        cell => (2, cell.exact()),
    };
    columns.iter().map(part).collect()
}

impl Table {
    /// Gives one row a group: the cells it is grouped by, then the figures, each in a column named
    /// `column_figure`. Groups stand in the order in which they first come.
    ///
    /// # Errors
    /// No such column; a figure of numbers asked of text.
    ///
    /// # Example
    /// ```
    /// use woolshed_engine::view::{Aggregate, Cell, Column, Table};
    ///
    /// let table = Table::new("", vec![
    ///     ("rule", Column::text(["doremi", "constant", "doremi"])),
    ///     ("loss", Column::floats([1.0, 3.0, 2.0])),
    /// ])?;
    /// let by_rule = table.group(&["rule"], &[("loss", Aggregate::Mean)])?;
    /// assert_eq!(by_rule.value(0, "loss_mean")?, Cell::Float(1.5));
    /// # Ok::<(), woolshed_engine::view::ViewError>(())
    /// ```
    pub fn group<S: AsRef<str>, T: AsRef<str>>(
        &self,
        by: &[S],
        figures: &[(T, Aggregate)],
    ) -> Result<Self, ViewError> {
        let find = |name: &str| self.index(name);
        let keys = by.iter().map(|name| find(name.as_ref())).collect::<Result<Vec<_>, _>>()?;
        let groups = Groups::of(self, &keys).0;
        let names = self.column_names();
        let mut columns: Vec<(String, Vec<Cell>)> = Vec::new();
        for &key in &keys {
            let cells = groups.iter().map(|rows| self.cell(rows[0], key)).collect();
            columns.push((names[key].clone(), cells));
        }
        for (name, figure) in figures {
            let name = name.as_ref();
            let index = find(name)?;
            let any = matches!(figure, Aggregate::Count | Aggregate::First);
            if !any && !matches!(self.kind(index), Kind::Whole | Kind::Numbers) {
                return Err(ViewError::WrongType {
                    column: name.to_string(),
                    holds: self.kind(index).to_string(),
                    wanted: figure.name(),
                    what: "numbers are needed for its",
                });
            }
            let cells = groups.iter().map(|rows| {
                let cells: Vec<Cell> = rows.iter().map(|&row| self.cell(row, index)).collect();
                figure.of(&cells)
            });
            columns.push((format!("{name}_{}", figure.name()), cells.collect()));
        }
        Self::of_cells(self.title(), columns)
    }

    /// Gives one row a column: what it holds, how many cells are not empty, and the figures of
    /// numbers.
    ///
    /// # Errors
    /// None that a table made by this room can have.
    pub fn describe(&self) -> Result<Self, ViewError> {
        let figures =
            [Aggregate::Mean, Aggregate::Std, Aggregate::Min, Aggregate::Median, Aggregate::Max];
        let names = self.column_names();
        let all: Vec<Vec<Cell>> =
            names.iter().map(|name| self.cells(name)).collect::<Result<_, _>>()?;
        let kinds = (0..names.len()).map(|c| Cell::Text(self.kind(c).to_string())).collect();
        let mut columns: Vec<(&str, Vec<Cell>)> = vec![
            ("column", names.into_iter().map(Cell::Text).collect()),
            ("holds", kinds),
            ("count", all.iter().map(|cells| Aggregate::Count.of(cells)).collect()),
        ];
        for figure in figures {
            // As numbers: one column holds figures of whole numbers and of others.
            let of = |cells: &Vec<Cell>| figure.of(cells).number().map_or(Cell::Null, Cell::Float);
            columns.push((figure.name(), all.iter().map(of).collect()));
        }
        Self::of_cells(self.title(), columns)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::super::table::tests::losses;
    use super::*;

    fn seeds() -> Table {
        Table::new(
            "seeds",
            vec![
                ("rule", Column::text(["b", "a", "b", "b"])),
                ("seed", Column::counts([1, 1, 2, 3])),
                ("loss", Column::Float(vec![Some(1.0), Some(5.0), Some(2.0), Some(6.0)])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn every_figure_of_a_group_is_the_one_computed_by_hand() {
        let all: Vec<(&str, Aggregate)> = Aggregate::ALL.map(|a| ("loss", a)).to_vec();
        let by_rule = seeds().group(&["rule"], &all).unwrap();
        let row = |r: usize| -> Vec<Cell> {
            by_rule.column_names()[1..].iter().map(|n| by_rule.value(r, n).unwrap()).collect()
        };
        // Of 1, 2, 6: mean 3, squares 4 + 1 + 9 = 14 over 2 = 7.
        let f = Cell::Float;
        let b = [f(3.0), f(7f64.sqrt()), f(1.0), f(6.0), f(9.0), Cell::Int(3), f(2.0), f(1.0)];
        assert_eq!(row(0), b);
        let a = [f(5.0), Cell::Null, f(5.0), f(5.0), f(5.0), Cell::Int(1), f(5.0), f(5.0)];
        assert_eq!(row(1), a);
        assert_eq!(by_rule.column_names()[1..3], ["loss_mean", "loss_std"]);
        assert_eq!(by_rule.cells("rule").unwrap()[0], Cell::Text("b".into()));
    }

    #[test]
    fn empty_cells_do_not_count_and_a_nan_is_not_hidden() {
        let table = losses().group::<&str, _>(
            &[],
            &[("tokens", Aggregate::Mean), ("tokens", Aggregate::Sum), ("loss", Aggregate::Max)],
        );
        let table = table.unwrap();
        // 120,000 + 9,800 - 3 over 3 rows that hold a number.
        assert_eq!(table.value(0, "tokens_mean").unwrap(), Cell::Float(129_797.0 / 3.0));
        assert_eq!(table.value(0, "tokens_sum").unwrap(), Cell::Int(129_797));
        assert!(matches!(table.value(0, "loss_max").unwrap(), Cell::Float(x) if x.is_nan()));
    }

    #[test]
    fn equal_values_deviate_by_nothing() {
        let same = [Cell::Float(7.906_123_4), Cell::Float(7.906_123_4), Cell::Float(7.906_123_4)];
        assert_eq!(Aggregate::Std.of(&same), Cell::Float(0.0));
    }

    #[test]
    fn a_figure_of_text_and_an_unknown_figure_are_named() {
        let said = losses().group(&["kept"], &[("domain", Aggregate::Mean)]).unwrap_err();
        assert_eq!(said.to_string(), "column `domain` holds text; numbers are needed for its mean");
        let said = "men".parse::<Aggregate>().unwrap_err().to_string();
        assert!(said.contains("did you mean `mean`?"), "{said}");
        let said = losses().group(&["kpet"], &[("loss", Aggregate::Mean)]).unwrap_err();
        assert!(said.to_string().contains("did you mean `kept`?"), "{said}");
    }

    #[test]
    fn a_description_has_a_row_a_column() {
        let said = seeds().describe().unwrap();
        assert_eq!(said.rows(), 3);
        assert_eq!(said.value(0, "holds").unwrap(), Cell::Text("text".into()));
        assert_eq!(said.value(0, "mean").unwrap(), Cell::Null);
        assert_eq!(said.value(2, "mean").unwrap(), Cell::Float(3.5));
        assert_eq!(said.value(1, "max").unwrap(), Cell::Float(3.0));
        assert_eq!(said.value(2, "median").unwrap(), Cell::Float(3.5));
    }
}
