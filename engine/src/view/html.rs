//! A table as HTML for notebooks: pages that open without a script, in bounded size.
//!
//! The first 50 rows stand open; the pages behind them, and the last one, are closed and open with a
//! click (`<details>`), as far as all together stay below [`BYTES`]. A note says how many rows there
//! are and how to see the others. Colours are the page's own.

use std::fmt::Write as _;
use std::ops::Range;

use super::draw::theme;
use super::error::ViewError;
use super::format;
use super::markup::{bar, clipped, escaped};
use super::print::{ROWS_SHOWN, Shown};
use super::table::Table;

/// Pages behind the first one, beside the last.
const PAGES_BEHIND: usize = 5;
/// Bytes after which no further page is added.
const BYTES: usize = 100_000;
/// Longest cell, in characters.
const WIDEST_CELL: usize = 160;
/// Widest column that pages agree on, in characters.
const WIDEST_COLUMN: usize = 48;

/// Room around a cell.
const ROOM: &str = "padding:0.25em 0.8em;border:none";

impl Table {
    /// Counts the pages of 50 rows.
    pub fn pages(&self) -> usize {
        self.rows().div_ceil(ROWS_SHOWN).max(1)
    }

    /// The rows of a page, under a title that says which they are; pages count from 1.
    ///
    /// # Errors
    /// No such page.
    pub fn page(&self, page: usize) -> Result<Self, ViewError> {
        if page == 0 || page > self.pages() {
            return Err(ViewError::NoPage { page, pages: self.pages(), rows: self.rows() });
        }
        let rows = self.page_rows(page);
        let said = format!("{} of {}", span(&rows), count(self.rows()));
        let title = match self.title() {
            "" => said,
            title => format!("{title} · {said}"),
        };
        let length = i64::try_from(rows.start).unwrap_or(i64::MAX);
        Ok(self.over(self.frame().slice(length, rows.len())).titled(title))
    }

    fn page_rows(&self, page: usize) -> Range<usize> {
        (page - 1) * ROWS_SHOWN..(page * ROWS_SHOWN).min(self.rows())
    }

    /// Writes the table as HTML that needs nothing around it and reads on light and dark pages.
    pub fn to_html(&self) -> String {
        let all = self.pages();
        let mut pages: Vec<usize> = (1..=all.min(1 + PAGES_BEHIND)).collect();
        if all > pages.len() {
            pages.push(all);
        }
        let picked: Vec<usize> = pages.iter().flat_map(|&page| self.page_rows(page)).collect();
        let shown = Shown::rows(self, &picked);
        let widths: Vec<usize> = (0..shown.names.len())
            .map(|c| {
                let cells = shown.rows.iter().map(|row| row[c].chars().count());
                cells.chain([shown.names[c].chars().count()]).max().unwrap_or(0)
            })
            .map(|width| width.min(WIDEST_COLUMN))
            .collect();

        let mut out = String::new();
        self.write_page(&mut out, &shown, 0..self.page_rows(1).len(), self.title(), &widths);
        let (mut from, mut left_out) = (self.page_rows(1).len(), all > pages.len());
        for &page in &pages[1..] {
            let rows = self.page_rows(page);
            let mut closed = format!(
                "<details><summary style=\"opacity:0.8;padding-left:0.8em;cursor:pointer\">{}\
                 </summary>\n",
                span(&rows)
            );
            self.write_page(&mut closed, &shown, from..from + rows.len(), "", &widths);
            closed.push_str("</details>\n");
            if out.len() + closed.len() > BYTES {
                left_out = true;
            } else {
                out.push_str(&closed);
            }
            from += rows.len();
        }
        let mut notes: Vec<String> = Vec::new();
        match self.rows() {
            0 => notes.push("no rows yet".into()),
            n if left_out => notes.push(format!(
                "{} rows; <code>.page(1)</code> to <code>.page({})</code> show {ROWS_SHOWN} each",
                count(n),
                count(all)
            )),
            n if all > 1 => notes.push(format!("{} rows", count(n))),
            _ => {}
        }
        notes.extend(self.column_note().map(|note| escaped(&note)));
        if !notes.is_empty() {
            let _ = writeln!(
                out,
                "<div style=\"opacity:0.75;padding:0.2em 0.8em\">{}</div>",
                notes.join(" · ")
            );
        }
        out
    }

    fn write_page(
        &self,
        out: &mut String,
        shown: &Shown,
        rows: Range<usize>,
        title: &str,
        widths: &[usize],
    ) {
        out.push_str(
            "<table style=\"border-collapse:collapse;border:none;color:inherit;margin:0.5em 0;\
             font-variant-numeric:tabular-nums\">\n",
        );
        if !title.is_empty() {
            let _ = writeln!(
                out,
                "<caption style=\"caption-side:top;text-align:left;color:inherit;\
                 font-weight:600;padding:0 0 0.4em 0.8em\">{}</caption>",
                escaped(&clipped(title, WIDEST_CELL))
            );
        }
        if self.pages() > 1 {
            // Columns stand in line from page to page.
            out.push_str("<colgroup>");
            for (c, width) in widths.iter().enumerate() {
                let bar = if shown.bars[c].is_some() { " + 130px" } else { "" };
                let _ = write!(out, "<col style=\"width:calc({width}ch + 1.6em{bar})\">");
            }
            out.push_str("</colgroup>\n");
        }
        let align = |c: usize| if shown.right[c] { "right" } else { "left" };
        out.push_str("<thead><tr style=\"border-bottom:1px solid rgba(128,128,128,0.6)\">");
        for (c, name) in shown.names.iter().enumerate() {
            let name = escaped(&clipped(name, WIDEST_CELL));
            let align = align(c);
            let _ =
                write!(out, "<th style=\"text-align:{align};font-weight:600;{ROOM}\">{name}</th>");
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            out.push_str("<tr style=\"border-bottom:1px solid rgba(128,128,128,0.2)\">");
            for (c, cell) in shown.rows[row].iter().enumerate() {
                let share = shown.bars[c].as_ref().and_then(|bars| bars[row]);
                let bar = share.map_or_else(String::new, |share| {
                    format!(" {}", bar(share, None, theme::series(0)))
                });
                let cell = escaped(&clipped(cell, WIDEST_CELL));
                let align = align(c);
                let _ = write!(out, "<td style=\"text-align:{align};{ROOM}\">{cell}{bar}</td>");
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n");
    }
}

fn count(n: usize) -> String {
    format::whole(i64::try_from(n).unwrap_or(i64::MAX))
}

/// `rows 51 to 100`, counted from 1 as people count.
fn span(rows: &Range<usize>) -> String {
    format!("rows {} to {}", count(rows.start + 1), count(rows.end))
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::losses;
    use super::super::table::{Cell, Column};
    use super::*;

    fn steps(rows: usize) -> Table {
        Table::new("steps", vec![("step", Column::counts(0..rows))]).unwrap()
    }

    #[test]
    fn names_titles_and_cells_are_escaped() {
        let evil = "<script>alert('x')</script>\"";
        let table = Table::new(evil, vec![(evil, Column::text([evil]))]).unwrap();
        let html = table.to_html();
        assert!(!html.contains("<script"), "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;x&#39;)").count(), 3, "{html}");
        assert!(losses().to_html().contains("a&lt;b &amp; &quot;c&quot;|d"));
    }

    #[test]
    fn fifty_rows_stand_open_and_others_open_with_a_click() {
        assert!(!steps(50).to_html().contains("<details>"));
        let html = steps(120).to_html();
        assert_eq!(html.matches("<details>").count(), 2);
        assert!(html.contains("rows 51 to 100</summary>") && html.contains("rows 101 to 120"));
        assert!(html.contains(">119</td>") && html.contains(">120 rows</div>"), "{html}");
        let html = steps(12_000).to_html();
        assert!(html.contains("rows 251 to 300") && html.contains("rows 11,951 to 12,000"));
        assert!(html.contains("12,000 rows; <code>.page(1)</code> to <code>.page(240)</code>"));
    }

    #[test]
    fn a_table_of_any_size_makes_little_html() {
        let long = "x".repeat(1_000_000);
        let rows = 40_000;
        let columns = (0..60).map(|c| (format!("{long}{c}"), Column::counts(0..rows))).collect();
        let wide = Table::new(long.clone(), columns).unwrap().to_html();
        // The first page is always there: 50 rows of 40 columns.
        assert!(wide.len() < 250_000, "{} bytes", wide.len());
        let texts = Table::new("", vec![("text", Column::text(vec![&long; 400]))]).unwrap();
        assert!(texts.to_html().len() < BYTES + 1000);
    }

    #[test]
    fn a_page_has_its_rows_and_says_which() {
        let page = steps(120).page(3).unwrap();
        assert_eq!((page.rows(), page.title()), (20, "steps · rows 101 to 120 of 120"));
        assert_eq!(page.value(0, "step").unwrap(), Cell::Int(100));
        assert_eq!(steps(0).page(1).unwrap().rows(), 0);
        let said = steps(120).page(4).unwrap_err().to_string();
        assert_eq!(said, "no page 4: 120 rows make 3 pages, counted from 1; try .page(3)");
    }

    #[test]
    fn a_share_is_drawn_beside_its_number() {
        let table = Table::new("", vec![("share", Column::floats([0.5]))]).unwrap();
        assert!(!table.to_html().contains("<svg"));
        let html = table.with_bars(&["share"]).to_html();
        assert!(html.contains(">0.500 <svg") && html.contains("width=\"60.0\""), "{html}");
    }
}
