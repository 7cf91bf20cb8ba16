//! A table as people read it: plain text, HTML for notebooks, Markdown.
//!
//! All three show the same cells: numbers to the right with four significant digits, and of more
//! than 50 rows the first 20 and the last 20. A table set for a paper ([`Setting`]) has all rows.

use std::fmt::Write as _;

use super::format;
use super::table::{Cell, Table};

/// More rows than this are shortened.
const ROWS_SHOWN: usize = 50;
/// Rows shown at either end of a shortened table.
const ROWS_AT_AN_END: usize = 20;
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
        let names = table.column_names();
        let mut rows = vec![Vec::with_capacity(names.len()); picked.len()];
        let mut right = Vec::with_capacity(names.len());
        for column in 0..names.len() {
            let cells: Vec<Cell> = picked.iter().map(|&row| table.cell(row, column)).collect();
            right.push(cells.iter().any(Cell::is_number));
            let decimals = column_decimals(&cells);
            for (row, cell) in rows.iter_mut().zip(&cells) {
                row.push(match cell {
                    Cell::Float(x) => format::with_decimals(*x, decimals),
                    Cell::Null => "–".to_string(),
                    other => other.to_string(),
                });
            }
        }
        Self { names, right, rows, cut_before: cut.then_some(ROWS_AT_AN_END) }
    }

    /// All rows, every number of a column with the same decimals, so that the points stand in line.
    pub(super) fn whole(table: &Table, decimals: Option<usize>) -> Self {
        let names = table.column_names();
        let mut rows = vec![Vec::with_capacity(names.len()); table.rows()];
        let mut right = Vec::with_capacity(names.len());
        for column in 0..names.len() {
            let cells: Vec<Cell> = (0..table.rows()).map(|row| table.cell(row, column)).collect();
            right.push(cells.iter().any(Cell::is_number));
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
        Self { names, right, rows, cut_before: None }
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
        let shown = Shown::of(self);
        let clip = |s: &str| clipped(&one_line(s));
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

    /// Writes the table as HTML that needs nothing around it and reads on light and dark pages.
    pub fn to_html(&self) -> String {
        let shown = Shown::of(self);
        let align = |c: usize| if shown.right[c] { "right" } else { "left" };
        let mut out = String::from(
            "<table style=\"border-collapse:collapse;border:none;color:inherit;margin:0.5em 0;\
             font-variant-numeric:tabular-nums\">\n",
        );
        if !self.title().is_empty() {
            let title = escaped(self.title());
            let _ = writeln!(
                out,
                "<caption style=\"caption-side:top;text-align:left;color:inherit;\
                 font-weight:600;padding:0 0 0.4em 0.8em\">{title}</caption>"
            );
        }
        out.push_str("<thead><tr>");
        for (c, name) in shown.names.iter().enumerate() {
            let _ = write!(
                out,
                "<th style=\"text-align:{};font-weight:600;padding:0.25em 0.8em;border:none;\
                 border-bottom:1px solid rgba(128,128,128,0.6)\">{}</th>",
                align(c),
                escaped(name)
            );
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        let cell_style = |c: usize| {
            format!(
                "text-align:{};padding:0.25em 0.8em;border:none;\
                 border-bottom:1px solid rgba(128,128,128,0.2)",
                align(c)
            )
        };
        let line = |cells: &mut dyn Iterator<Item = String>| {
            let cells = cells.enumerate();
            let set = cells.map(|(c, cell)| format!("<td style=\"{}\">{cell}</td>", cell_style(c)));
            format!("<tr>{}</tr>\n", set.collect::<String>())
        };
        for (i, row) in shown.rows.iter().enumerate() {
            if shown.cut_before == Some(i) {
                out.push_str(&line(&mut row.iter().map(|_| "…".to_string())));
            }
            out.push_str(&line(&mut row.iter().map(|cell| escaped(cell))));
        }
        out.push_str("</tbody>\n</table>\n");
        if let Some(note) = self.note() {
            let _ = writeln!(out, "<div style=\"opacity:0.7;padding-left:0.8em\">{note}</div>");
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

    /// Says what a shortened or empty table does not show.
    fn note(&self) -> Option<String> {
        match self.rows() {
            0 => Some("no rows yet".to_string()),
            n if n > ROWS_SHOWN => {
                let n = i64::try_from(n).unwrap_or(i64::MAX);
                Some(format!("{} rows", format::whole(n)))
            }
            _ => None,
        }
    }
}

/// Replaces line breaks and other control characters by spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn clipped(text: &str) -> String {
    if text.chars().count() <= WIDEST_CELL {
        return text.to_string();
    }
    let mut kept: String = text.chars().take(WIDEST_CELL - 1).collect();
    kept.push('…');
    kept
}

/// Escapes text for HTML and XML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
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
    fn html_escapes_and_markdown_keeps_its_columns() {
        let html = losses().to_html();
        assert!(html.contains("a&lt;b &amp; &quot;c&quot;|d"), "{html}");
        assert!(!html.contains("a<b"));
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
        assert_eq!(lines[44], "12,000 rows");
        assert!(table.to_html().contains("12,000 rows"));
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
}
