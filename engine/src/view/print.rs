//! A table as people read it: plain text and Markdown; `html.rs` has it for notebooks.
//!
//! All show the same cells: numbers to the right with four significant digits, of more than 40
//! columns the first 40, and of more than 50 rows the first 20 and the last 20. A table set for a
//! paper ([`Setting`]) has all rows and columns.

use std::fmt::Write as _;

use super::format;
use super::markup::{bar_text, clipped};
use super::table::{Cell, Kind, Table};

/// More rows than this are shortened; also the rows of a page.
pub(super) const ROWS_SHOWN: usize = 50;
/// Rows shown at either end of a shortened table.
const ROWS_AT_AN_END: usize = 20;
/// More columns than this are left out.
const COLUMNS_SHOWN: usize = 40;
/// Longest cell in plain text, in characters.
const WIDEST_CELL: usize = 60;

/// How a table is set for a paper; all rows are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Decimals of numbers; by default four significant digits of the largest of a column.
    pub decimals: Option<usize>,
    /// What stands above the table; by default its title.
    pub caption: Option<String>,
    /// What LaTeX refers to it by: `tab:loss`.
    pub label: Option<String>,
}

/// The cells of a table as text, ready to be set.
pub(super) struct Shown {
    pub names: Vec<String>,
    /// The columns set to the right.
    pub right: Vec<bool>,
    pub rows: Vec<Vec<String>>,
    /// The shares of columns that are drawn as bars; none for a cell without one.
    pub bars: Vec<Option<Vec<Option<f64>>>>,
    /// The rows before which some are left out.
    cut_before: Option<usize>,
}

impl Shown {
    fn of(table: &Table) -> Self {
        let total = table.rows();
        let cut = total > ROWS_SHOWN;
        let picked: Vec<usize> = if cut {
            (0..ROWS_AT_AN_END).chain(total - ROWS_AT_AN_END..total).collect()
        } else {
            (0..total).collect()
        };
        Self { cut_before: cut.then_some(ROWS_AT_AN_END), ..Self::rows(table, &picked) }
    }

    /// Some rows, by number.
    pub(super) fn rows(table: &Table, picked: &[usize]) -> Self {
        let mut names = table.column_names();
        names.truncate(COLUMNS_SHOWN);
        let mut rows = vec![Vec::with_capacity(names.len()); picked.len()];
        let mut right = Vec::with_capacity(names.len());
        let mut bars = Vec::with_capacity(names.len());
        for (column, name) in names.iter().enumerate() {
            let cells: Vec<Cell> = picked.iter().map(|&row| table.cell(row, column)).collect();
            right.push(matches!(table.kind(column), Kind::Whole | Kind::Numbers));
            let drawn = table.has_bar(name);
            bars.push(drawn.then(|| cells.iter().map(Cell::number).collect()));
            let decimals = column_decimals(&cells);
            for (row, cell) in rows.iter_mut().zip(&cells) {
                row.push(match cell {
                    // Beside a bar, shares are compared, and three decimals do.
                    Cell::Float(x) if drawn && x.abs() <= 1.0 => format!("{x:.3}"),
                    Cell::Float(x) => format::with_decimals(*x, decimals),
                    Cell::Null => "–".to_string(),
                    other => other.to_string(),
                });
            }
        }
        Self { names, right, rows, bars, cut_before: None }
    }

    /// All rows, every number of a column with the same decimals, so that the points stand in line.
    pub(super) fn whole(table: &Table, decimals: Option<usize>) -> Self {
        let names = table.column_names();
        let mut rows = vec![Vec::with_capacity(names.len()); table.rows()];
        let mut right = Vec::with_capacity(names.len());
        for column in 0..names.len() {
            let cells: Vec<Cell> = (0..table.rows()).map(|row| table.cell(row, column)).collect();
            right.push(matches!(table.kind(column), Kind::Whole | Kind::Numbers));
            let asked = decimals.is_some_and(|n| n < 4);
            let decimals = decimals.unwrap_or_else(|| common_decimals(&cells));
            for (row, cell) in rows.iter_mut().zip(&cells) {
                row.push(match cell {
                    // Asked for two decimals, 0.00001 is 0.00.
                    Cell::Float(x) if asked && x.abs() < 1e-4 => format::fixed(0.0, decimals),
                    Cell::Float(x) => format::fixed(*x, decimals),
                    Cell::Null => "–".to_string(),
                    other => other.to_string(),
                });
            }
        }
        let bars = vec![None; names.len()];
        Self { names, right, rows, bars, cut_before: None }
    }
}

impl Shown {
    /// Puts a bar of letters behind the numbers of the columns that have bars.
    fn draw_bars(&mut self) {
        for (c, bars) in self.bars.iter().enumerate() {
            let Some(bars) = bars else { continue };
            let wide = self.rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
            for (row, share) in self.rows.iter_mut().zip(bars) {
                let bar = share.map_or_else(|| " ".repeat(10), |share| bar_text(share, None));
                row[c] = format!("{:>wide$} {bar}", row[c]);
            }
            self.right[c] = false;
        }
    }
}

/// Decimals that show the largest number of a column with four significant digits.
fn common_decimals(cells: &[Cell]) -> usize {
    let size = |cell: &Cell| match cell {
        Cell::Float(x) if x.is_finite() => Some(x.abs()),
        _ => None,
    };
    let most = cells.iter().filter_map(size).fold(0.0, f64::max);
    format::decimals_most(most).min(column_decimals(cells))
}

/// The most decimals any number of a column needs; at least one, so that 1.0 is seen to be no count.
fn column_decimals(cells: &[Cell]) -> usize {
    let needed = |cell: &Cell| match cell {
        Cell::Float(x) => format::decimals_needed(*x),
        _ => None,
    };
    cells.iter().filter_map(needed).max().unwrap_or(0).max(1)
}

impl Table {
    /// Writes the table as aligned plain text.
    pub fn to_text(&self) -> String {
        let mut shown = Shown::of(self);
        shown.draw_bars();
        let clip = |s: &str| clipped(&one_line(s), WIDEST_CELL);
        let names: Vec<String> = shown.names.iter().map(|n| clip(n)).collect();
        let rows: Vec<Vec<String>> =
            shown.rows.iter().map(|row| row.iter().map(|c| clip(c)).collect()).collect();
        let widths: Vec<usize> = (0..names.len())
            .map(|c| {
                let cells = rows.iter().map(|row| row[c].chars().count());
                cells.chain([names[c].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &[String]| {
            let set = cells.iter().enumerate().map(|(c, cell)| {
                let width = widths[c];
                if shown.right[c] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            set.collect::<Vec<_>>().join(" │ ").trim_end().to_string()
        };
        let mut out = String::new();
        if !self.title().is_empty() {
            out.push_str(&one_line(self.title()));
            out.push('\n');
        }
        if !names.is_empty() {
            out.push_str(&line(&names));
            out.push('\n');
            let rules: Vec<String> = widths.iter().map(|&w| "─".repeat(w)).collect();
            out.push_str(&rules.join("─┼─"));
            out.push('\n');
        }
        for (i, row) in rows.iter().enumerate() {
            if shown.cut_before == Some(i) {
                let dots = vec!["…".to_string(); names.len()];
                out.push_str(&line(&dots));
                out.push('\n');
            }
            out.push_str(&line(row));
            out.push('\n');
        }
        if let Some(note) = self.note() {
            out.push_str(&note);
            out.push('\n');
        }
        out
    }

    /// Writes the table as Markdown, shortened as everywhere.
    pub fn to_markdown(&self) -> String {
        self.markdown(&Shown::of(self), self.title(), self.note())
    }

    /// Writes the table as Markdown with all its rows.
    pub fn to_markdown_whole(&self, setting: &Setting) -> String {
        let caption = setting.caption.as_deref().unwrap_or(self.title());
        self.markdown(&Shown::whole(self, setting.decimals), caption, None)
    }

    fn markdown(&self, shown: &Shown, title: &str, note: Option<String>) -> String {
        let plain = |s: &str| one_line(s).replace('\\', "\\\\").replace('|', "\\|");
        let mut out = String::new();
        if !title.is_empty() {
            let _ = writeln!(out, "**{}**\n", plain(title));
        }
        if shown.names.is_empty() {
            return out;
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        out.push_str(&line(shown.names.iter().map(|n| plain(n)).collect()));
        let rule = |&right: &bool| if right { "---:" } else { ":---" }.to_string();
        out.push_str(&line(shown.right.iter().map(rule).collect()));
        for (i, row) in shown.rows.iter().enumerate() {
            if shown.cut_before == Some(i) {
                out.push_str(&line(vec!["…".to_string(); row.len()]));
            }
            out.push_str(&line(row.iter().map(|c| plain(c)).collect()));
        }
        if let Some(note) = note {
            let _ = writeln!(out, "\n{note}");
        }
        out
    }

    /// Says what a shortened or empty table does not show, and how to see it.
    fn note(&self) -> Option<String> {
        let count = |n: usize| format::whole(i64::try_from(n).unwrap_or(i64::MAX));
        let mut notes = Vec::new();
        match self.rows() {
            0 => notes.push("no rows yet".to_string()),
            n if n > ROWS_SHOWN => notes.push(format!(
                "{} rows; .page(1) to .page({}) show {ROWS_SHOWN} each",
                count(n),
                count(self.pages())
            )),
            _ => {}
        }
        notes.extend(self.column_note());
        (!notes.is_empty()).then(|| notes.join(" · "))
    }

    /// Says that columns are left out, and how to see them.
    pub(super) fn column_note(&self) -> Option<String> {
        let all = self.column_names().len();
        let count = format::whole(i64::try_from(all).unwrap_or(i64::MAX));
        let note = format!("{COLUMNS_SHOWN} of {count} columns; .select([\"name\"]) picks others");
        (all > COLUMNS_SHOWN).then_some(note)
    }
}

/// Replaces line breaks and other control characters by spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::losses;
    use super::super::table::{Column, Table};
    use super::Setting;

    #[test]
    fn plain_text_is_aligned_with_numbers_to_the_right() {
        let expected = "\
loss by domain, nats/token
domain      │  tokens │  loss │ kept
────────────┼─────────┼───────┼─────
book        │ 120,000 │ 2.310 │ yes
code        │    9800 │ 1.204 │ no
news        │       – │   nan │ yes
a<b & \"c\"|d │      -3 │ 0.300 │ yes
";
        assert_eq!(losses().to_text(), expected);
    }

    #[test]
    fn markdown_keeps_its_columns() {
        let markdown = losses().to_markdown();
        assert!(markdown.contains("| a<b & \"c\"\\|d | -3 | 0.300 | yes |"), "{markdown}");
        assert!(markdown.contains("| :--- | ---: | ---: | :--- |"));
    }

    #[test]
    fn a_long_table_shows_both_ends_and_its_row_count() {
        let table = Table::new("steps", vec![("step", Column::counts(0..12_000))]).unwrap();
        let text = table.to_text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3 + 20 + 1 + 20 + 1);
        assert_eq!(lines[22].trim(), "19");
        assert_eq!(lines[23].trim(), "…");
        assert_eq!(lines[24].trim(), "11,980");
        assert_eq!(lines[44], "12,000 rows; .page(1) to .page(240) show 50 each");
        assert!(table.to_markdown().contains("12,000 rows"));
    }

    #[test]
    fn a_whole_table_has_every_row_and_numbers_with_their_points_in_line() {
        let steps = Table::new("steps", vec![("step", Column::counts(0..60))]).unwrap();
        assert_eq!(steps.to_markdown_whole(&Setting::default()).lines().count(), 4 + 60);
        let expected = "\
**loss**

| domain | tokens | loss | kept |
| :--- | ---: | ---: | :--- |
| book | 120,000 | 2.310 | yes |
| code | 9800 | 1.204 | no |
| news | – | nan | yes |
| a<b & \"c\"\\|d | -3 | 0.300 | yes |
";
        let setting = Setting { caption: Some("loss".into()), ..Setting::default() };
        assert_eq!(losses().to_markdown_whole(&setting), expected);
        let two = Setting { decimals: Some(2), ..setting };
        assert!(losses().to_markdown_whole(&two).contains("| 1.20 | no |"));
    }

    #[test]
    fn an_empty_table_says_so() {
        let none: Vec<(&str, Column)> = Vec::new();
        assert_eq!(Table::new("t", none).unwrap().to_text(), "t\nno rows yet\n");
        let empty = Table::new("t", vec![("a", Column::floats([]))]).unwrap();
        assert_eq!(empty.to_text(), "t\na\n─\nno rows yet\n");
    }

    #[test]
    fn a_share_has_a_bar_beside_its_number_also_after_sorting() {
        let columns = vec![
            ("domain", Column::text(["book", "code"])),
            ("weight", Column::floats([0.25, 0.7])),
        ];
        let table = Table::new("", columns).unwrap().with_bars(&["weight", "none"]);
        let expected = "\
domain │ weight
───────┼─────────────────
book   │ 0.250 ██▌·······
code   │ 0.700 ███████···
";
        assert_eq!(table.to_text(), expected);
        assert!(table.sort("weight", false).unwrap().to_text().contains("███████···"));
        assert!(!table.to_markdown().contains('█'));
    }

    #[test]
    fn a_table_of_very_many_columns_shows_forty_and_says_so() {
        let columns = (0..90).map(|i| (format!("c{i}"), Column::counts([i]))).collect();
        let text = Table::new("", columns).unwrap().to_text();
        assert!(text.contains("c39") && !text.contains("c40"), "{text}");
        assert!(text.contains("40 of 90 columns; .select([\"name\"]) picks others"), "{text}");
    }
}
