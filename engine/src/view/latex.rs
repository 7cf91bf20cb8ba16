//! A table as LaTeX: a float with the rules of the `booktabs` package.

use super::print::{Setting, Shown, one_line};
use super::table::Table;

impl Table {
    /// Writes the table as LaTeX with all its rows. It needs `\usepackage{booktabs}`. Numbers stand to
    /// the right with the same decimals in a column; what is special to LaTeX is escaped.
    pub fn to_latex(&self, setting: &Setting) -> String {
        let shown = Shown::whole(self, setting.decimals);
        let names: Vec<String> = shown.names.iter().map(|name| escaped(name)).collect();
        let set = |row: &Vec<String>| -> Vec<String> {
            row.iter()
                .zip(&shown.right)
                .map(|(c, &r)| if r { figure(c) } else { escaped(c) })
                .collect()
        };
        let rows: Vec<Vec<String>> = shown.rows.iter().map(set).collect();
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.chain([names[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..names.len()).map(width).collect();
        let line = |cells: &[String]| {
            let cells = cells.iter().enumerate().map(|(column, cell)| {
                let width = widths[column];
                if shown.right[column] {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            format!("    {} \\\\\n", cells.collect::<Vec<_>>().join(" & "))
        };
        let caption = setting.caption.as_deref().unwrap_or(self.title());
        let mut out = String::from("\\begin{table}[t]\n  \\centering\n");
        if !caption.is_empty() {
            out.push_str(&format!("  \\caption{{{}}}\n", escaped(caption)));
        }
        if let Some(label) = &setting.label {
            out.push_str(&format!("  \\label{{{}}}\n", key(label)));
        }
        let columns: String = shown.right.iter().map(|&r| if r { 'r' } else { 'l' }).collect();
        out.push_str(&format!("  \\begin{{tabular}}{{{columns}}}\n    \\toprule\n"));
        out.push_str(&line(&names));
        out.push_str("    \\midrule\n");
        rows.iter().for_each(|row| out.push_str(&line(row)));
        out.push_str("    \\bottomrule\n  \\end{tabular}\n\\end{table}\n");
        out
    }
}

/// Text as LaTeX prints it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => out.extend(['\\', c]),
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("\\textquotedbl{}"),
            '–' => out.push_str("--"),
            _ => out.push(c),
        }
    }
    out
}

/// A number as LaTeX prints it: a true minus, and powers of ten.
fn figure(text: &str) -> String {
    let number = text.chars().all(|c| c.is_ascii_digit() || "+-.,e".contains(c));
    match text.split_once('e') {
        Some((mantissa, exponent)) if number => format!("${mantissa}\\times10^{{{exponent}}}$"),
        None if number && text.starts_with('-') => format!("${}$", text.replace(',', "{,}")),
        _ => escaped(text),
    }
}

/// A label with nothing in it that LaTeX would act on.
fn key(label: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || ":-.".contains(c) { c } else { '-' };
    label.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::losses;
    use super::super::table::{Column, Table};
    use super::*;

    #[test]
    fn a_table_is_a_booktabs_float_with_its_figures_in_line() {
        let setting = Setting { label: Some("tab:loss 1".into()), ..Setting::default() };
        let table = losses().select(&["domain", "tokens", "loss"]).unwrap();
        let expected = r"\begin{table}[t]
  \centering
  \caption{loss by domain, nats/token}
  \label{tab:loss-1}
  \begin{tabular}{lrr}
    \toprule
    domain                                                      &  tokens &  loss \\
    \midrule
    book                                                        & 120,000 & 2.310 \\
    code                                                        &    9800 & 1.204 \\
    news                                                        &      -- &   nan \\
    a\textless{}b \& \textquotedbl{}c\textquotedbl{}\textbar{}d &    $-3$ & 0.300 \\
    \bottomrule
  \end{tabular}
\end{table}
";
        assert_eq!(table.to_latex(&setting), expected);
    }

    #[test]
    fn what_latex_would_act_on_is_escaped() {
        assert_eq!(
            escaped("a_b 50% {x} #1 $ ~ ^"),
            r"a\_b 50\% \{x\} \#1 \$ \textasciitilde{} \textasciicircum{}"
        );
        assert_eq!(escaped("\\input"), r"\textbackslash{}input");
        assert_eq!(figure("1.5e-6"), r"$1.5\times10^{-6}$");
        assert_eq!(figure("-12,345"), "$-12{,}345$");
        assert_eq!(figure("nan"), "nan");
    }

    #[test]
    fn a_caption_and_decimals_may_be_given_and_a_table_without_rows_is_whole() {
        let setting =
            Setting { caption: Some("Ours & theirs".into()), decimals: Some(1), label: None };
        let said = losses().to_latex(&setting);
        assert!(said.contains("\\caption{Ours \\& theirs}") && said.contains("&  2.3 &"), "{said}");
        assert!(!said.contains("\\label"));
        let empty = Table::new("", vec![("a", Column::floats([]))]).unwrap();
        let said = empty.to_latex(&Setting::default());
        assert!(
            said.contains("\\midrule\n    \\bottomrule") && !said.contains("caption"),
            "{said}"
        );
    }
}
