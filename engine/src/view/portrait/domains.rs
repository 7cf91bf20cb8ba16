//! Domains: their sizes, and how their texts begin.

use super::super::format::whole;
use super::super::print::one_line;
use super::super::table::{Column, Table};
use super::{Part, Portrait};
use crate::data::Domains;

/// Sample texts of a domain.
pub const SAMPLES: usize = 2;
/// Domains that samples are shown of.
const DOMAINS: usize = 12;
/// Longest sample, in characters.
const LONGEST: usize = 110;

/// Gives the text of token ids, or none where there is no text.
pub type TextOf<'a> = &'a dyn Fn(&[u32]) -> Option<String>;

impl Portrait {
    /// Domains: a table of their sizes, and sample texts of the first twelve. `text` gives the text
    /// of token ids; without it, and where it has none, there are no samples.
    pub fn of_domains(domains: &Domains, text: Option<TextOf<'_>>) -> Self {
        let figures = domains.summary();
        let tokens: usize = figures.iter().map(|d| d.tokens).sum();
        let said = |n: usize| whole(i64::try_from(n).unwrap_or(i64::MAX));
        let mut portrait = Self::new(format!("Domains {}", listed(&domains.names())))
            .line(format!("{} tokens in rows of {}", said(tokens), said(domains.seq_len)));
        let columns = vec![
            ("domain", Column::text(figures.iter().map(|d| &d.name))),
            ("documents", Column::counts(figures.iter().map(|d| d.documents))),
            ("train rows", Column::counts(figures.iter().map(|d| d.train_rows))),
            ("eval rows", Column::counts(figures.iter().map(|d| d.eval_rows))),
            ("tokens", Column::counts(figures.iter().map(|d| d.tokens))),
            (
                "share",
                Column::floats(figures.iter().map(|d| d.tokens as f64 / tokens.max(1) as f64)),
            ),
            ("floor", Column::Float(figures.iter().map(|d| d.floor).collect())),
        ];
        if let Ok(table) = Table::new("", columns) {
            portrait = portrait.part(Part::Table(table.with_bars(&["share"])));
        }
        let Some(text) = text else { return portrait };
        let samples = domains.domains.iter().take(DOMAINS).flat_map(|domain| {
            let rows = domains.sample(&domain.name, SAMPLES).unwrap_or_default();
            let texts = rows.into_iter().filter_map(|ids| text(&ids));
            texts.map(|sample| (domain.name.clone(), shortened(&sample))).collect::<Vec<_>>()
        });
        let samples: Vec<(String, String)> = samples.collect();
        let columns = vec![
            ("domain", Column::text(samples.iter().map(|s| &s.0))),
            ("training row, its beginning", Column::text(samples.iter().map(|s| &s.1))),
        ];
        match Table::new("", columns) {
            Ok(table) if table.rows() > 0 => portrait.part(Part::Table(table)),
            _ => portrait,
        }
    }

    /// Domains that are not tokenised yet; `from` says what they are made from.
    pub fn of_untokenised(from: &str) -> Self {
        Self::new("Domains").line(from).line(
            "not tokenised yet: the model they are used with, or the next load_model, does it",
        )
    }
}

/// Names in a row; of many the first ones and how many more.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(DOMAINS);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

/// The beginning of a text, in one line.
fn shortened(text: &str) -> String {
    let start: String = text.chars().take(4 * LONGEST).collect();
    let line = one_line(&start).split_whitespace().collect::<Vec<_>>().join(" ");
    super::clipped(&line, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DomainOptions, demo};
    use crate::progress::Unwatched;

    #[test]
    fn domains_show_their_sizes_and_texts_and_nothing_of_them_is_markup() {
        let options =
            DomainOptions { seq_len: 32, max_tokens: Some(2000), ..DomainOptions::default() };
        let mut domains = demo::domains(&options, 17, &Unwatched).unwrap();
        domains.domains[0].name = "<script>name</script>".into();
        let text = |_: &[u32]| Some("<script>alert(1)</script>\n  two   lines".to_string());
        let portrait = Portrait::of_domains(&domains, Some(&text));
        let html = portrait.to_html();
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; two lines"), "{html}");
        let samples = SAMPLES * domains.domains.len();
        assert_eq!(portrait.to_text().matches("alert(1)").count(), samples);
        let plain = Portrait::of_domains(&domains, None).to_text();
        assert!(!plain.contains("beginning"), "{plain}");
    }

    #[test]
    fn a_long_list_of_names_ends_in_a_count() {
        let names: Vec<String> = (0..30).map(|i| format!("d{i}")).collect();
        assert!(listed(&names).ends_with("d11 and 18 more"));
        assert_eq!(listed(&names[..2]), "d0, d1");
        assert_eq!(shortened(&"a ".repeat(10_000)).chars().count(), LONGEST);
    }
}
