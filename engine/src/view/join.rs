//! Tables beside each other by a key, and a long table made wide.

use std::collections::HashMap;

use super::error::ViewError;
use super::group::{Groups, key};
use super::table::{Cell, Kind, Table};

impl Table {
    /// Puts the columns of another table beside the rows with the same key. Without `keep_all` a row
    /// without a partner goes; with it, it stays with empty cells. A row with several partners comes
    /// once for each. A column of the other table whose name is taken gets `_right` at its end.
    ///
    /// # Errors
    /// A key that either table lacks; a key of text in one table and of numbers in the other.
    pub fn join<S: AsRef<str>>(
        &self,
        other: &Self,
        keys: &[S],
        keep_all: bool,
    ) -> Result<Self, ViewError> {
        let find = |table: &Self| {
            keys.iter().map(|k| table.index(k.as_ref())).collect::<Result<Vec<usize>, _>>()
        };
        let (left, right) = (find(self)?, find(other)?);
        for ((l, r), name) in left.iter().zip(&right).zip(keys) {
            let (first, second) = (self.kind(*l), other.kind(*r));
            let number = |kind| matches!(kind, Kind::Whole | Kind::Numbers);
            if first != second && !(number(first) && number(second)) {
                return Err(ViewError::MixedColumn {
                    column: name.as_ref().to_string(),
                    first: first.to_string(),
                    other: second.to_string(),
                });
            }
        }
        let mut partners: HashMap<_, Vec<usize>> = HashMap::new();
        for row in 0..other.rows() {
            partners.entry(key(other, row, &right)).or_default().push(row);
        }
        let mut pairs: Vec<(usize, Option<usize>)> = Vec::new();
        for row in 0..self.rows() {
            match partners.get(&key(self, row, &left)) {
                Some(rows) => pairs.extend(rows.iter().map(|&r| (row, Some(r)))),
                None if keep_all => pairs.push((row, None)),
                None => {}
            }
        }
        let rows: Vec<usize> = pairs.iter().map(|(row, _)| *row).collect();
        let mut joined = self.take(&rows)?;
        for (index, name) in other.column_names().into_iter().enumerate() {
            if right.contains(&index) {
                continue;
            }
            let cell = |&(_, row): &(usize, Option<usize>)| {
                row.map_or(Cell::Null, |row| other.cell(row, index))
            };
            let mut name = name;
            while joined.frame().get_column_index(&name).is_some() {
                name.push_str("_right");
            }
            joined = joined.with_column(&name, pairs.iter().map(cell).collect())?;
        }
        Ok(joined)
    }

    /// Makes a long table wide: one row for each value of `rows`, one column for each value of
    /// `columns`, and the cells of `values` where they meet. A pair that does not come is empty.
    ///
    /// # Errors
    /// No such column; two rows with the same pair.
    pub fn pivot(&self, rows: &str, columns: &str, values: &str) -> Result<Self, ViewError> {
        let (down, across, value) = (self.index(rows)?, self.index(columns)?, self.index(values)?);
        let down_groups = Groups::of(self, &[down]).0;
        let mut wide =
            vec![(rows.to_string(), down_groups.iter().map(|g| self.cell(g[0], down)).collect())];
        for group in Groups::of(self, &[across]).0 {
            let mut cells = vec![Cell::Null; down_groups.len()];
            for (cell, members) in cells.iter_mut().zip(&down_groups) {
                let mut meeting = members.iter().filter(|row| group.contains(row));
                let Some(&row) = meeting.next() else { continue };
                if meeting.next().is_some() {
                    return Err(ViewError::PairTwice {
                        rows: rows.to_string(),
                        row: self.cell(row, down).to_string(),
                        columns: columns.to_string(),
                        column: self.cell(row, across).to_string(),
                    });
                }
                *cell = self.cell(row, value);
            }
            wide.push((self.cell(group[0], across).exact(), cells));
        }
        Self::of_cells(self.title(), wide)
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Column;
    use super::super::table::tests::losses;
    use super::*;

    fn floors() -> Table {
        Table::new(
            "floors",
            vec![
                ("domain", Column::text(["code", "book", "code", "wiki"])),
                ("loss", Column::floats([1.0, 2.0, 1.5, 9.0])),
            ],
        )
        .unwrap()
    }

    fn texts(table: &Table, column: &str) -> Vec<String> {
        table.cells(column).unwrap().iter().map(Cell::exact).collect()
    }

    #[test]
    fn an_inner_join_keeps_pairs_and_a_left_join_every_row() {
        let inner = losses().join(&floors(), &["domain"], false).unwrap();
        assert_eq!(inner.column_names(), ["domain", "tokens", "loss", "kept", "loss_right"]);
        assert_eq!(texts(&inner, "domain"), ["book", "code", "code"]);
        assert_eq!(texts(&inner, "loss_right"), ["2", "1", "1.5"]);
        let left = losses().join(&floors(), &["domain"], true).unwrap();
        assert_eq!(texts(&left, "loss_right"), ["2", "1", "1.5", "", ""]);
    }

    #[test]
    fn a_key_that_is_missing_or_of_another_type_is_named() {
        let said = losses().join(&floors(), &["tokens"], false).unwrap_err().to_string();
        assert!(said.starts_with("no column `tokens`"), "{said}");
        let numbers = Table::new("n", vec![("domain", Column::counts([1]))]).unwrap();
        let said = losses().join(&numbers, &["domain"], false).unwrap_err().to_string();
        assert!(said.contains("`domain` holds text in one table and whole numbers in"), "{said}");
    }

    #[test]
    fn a_pivot_makes_a_long_table_wide() {
        let long = Table::new(
            "l",
            vec![
                ("rule", Column::text(["a", "b", "a"])),
                ("seed", Column::counts([1, 1, 2])),
                ("loss", Column::floats([0.5, 0.6, 0.7])),
            ],
        )
        .unwrap();
        let wide = long.pivot("rule", "seed", "loss").unwrap();
        assert_eq!(wide.column_names(), ["rule", "1", "2"]);
        assert_eq!(texts(&wide, "1"), ["0.5", "0.6"]);
        assert_eq!(texts(&wide, "2"), ["0.7", ""]);
        let said = Table::concat(&[long.clone(), long]).unwrap().pivot("rule", "seed", "loss");
        assert_eq!(
            said.unwrap_err().to_string(),
            "two rows have `rule` a and `seed` 1; group them to one figure first"
        );
    }
}
