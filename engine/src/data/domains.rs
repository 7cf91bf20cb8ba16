//! The data of a run: a few named domains, each with training rows and evaluation rows.
//!
//! A domain is a kind of text (`wiki`, `github`, the demo's `story`). The mixture decides how often
//! each is drawn; the evaluation rows say how well the model does on each.

use std::borrow::Cow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::nearest_name;
use super::formats::ids::TokenType;
use super::pack::Rows;
use super::read::Fields;
use super::rows::TrainRows;
use super::{DataError, DataOrigin};
use crate::digest::hex;

/// Longest row, tokens: no Llama takes more.
const MAX_SEQ_LEN: usize = 1 << 20;

/// How documents become rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DomainOptions {
    /// T, tokens per row. Default 128; from 2 to 1,048,576.
    pub seq_len: usize,
    /// Share of a domain's rows kept for evaluation, the first ones. Default 0.1; between 0 and 1.
    pub eval_fraction: f64,
    /// Most evaluation rows per domain. Default 32; at least 1.
    pub eval_rows: usize,
    /// Tokens after which the rest of a domain is left unread. Default none: all of it.
    pub max_tokens: Option<usize>,
    /// The field of a JSON line, or the column of a parquet file or shard, that holds the document.
    /// Default `text`.
    pub text_field: String,
    /// The column of a shard or parquet file that holds token ids. Default `tokens`.
    pub tokens_field: String,
    /// The type of the ids in a column of plain bytes. Default none: found out from some samples.
    pub token_type: Option<TokenType>,
}

impl Default for DomainOptions {
    fn default() -> Self {
        Self {
            seq_len: 128,
            eval_fraction: 0.1,
            eval_rows: 32,
            max_tokens: None,
            text_field: "text".into(),
            tokens_field: "tokens".into(),
            token_type: None,
        }
    }
}

impl DomainOptions {
    /// Checks the limits.
    ///
    /// # Errors
    /// [`DataError::BadOption`], with the legal values.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        let bad = |field, value: String, legal: &str| {
            Err(DataError::BadOption { field, value, legal: legal.into() })
        };
        if !(2..=MAX_SEQ_LEN).contains(&self.seq_len) {
            let legal = format!("between 2 and {MAX_SEQ_LEN} tokens");
            return bad("seq_len", self.seq_len.to_string(), &legal);
        }
        if !(self.eval_fraction > 0.0 && self.eval_fraction < 1.0) {
            return bad("eval_fraction", self.eval_fraction.to_string(), "between 0 and 1");
        }
        if self.eval_rows == 0 {
            return bad("eval_rows", "0".into(), "at least 1");
        }
        if let Some(max) = self.max_tokens
            && max / 2 < self.seq_len
        {
            let least = 2 * self.seq_len;
            let legal = format!("at least {least}, two rows of seq_len {}", self.seq_len);
            return bad("max_tokens", max.to_string(), &legal);
        }
        for (field, name) in
            [("text_field", &self.text_field), ("tokens_field", &self.tokens_field)]
        {
            if name.is_empty() {
                return bad(field, "empty".into(), "the name of a field or column");
            }
        }
        Ok(())
    }

    /// Gives the names that documents and tokens go by.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { text: &self.text_field, tokens: &self.tokens_field }
    }
}

/// One kind of text.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name: the sub-folder's name, or the demo corpus's.
    pub name: String,
    /// Rows to train on.
    pub train: TrainRows,
    /// Rows to evaluate on; none of them is in `train`.
    pub eval: Rows,
    /// The lowest loss any model can reach, nats/token, where it is known (the demo corpora).
    pub floor: Option<f64>,
    /// How many documents were packed; samples, where they came as tokens in shards.
    pub documents: usize,
    /// How much text was read, bytes of UTF-8; 0 where it came as tokens and nothing says.
    pub bytes: u64,
    /// The files it was read from; none when it was generated.
    pub files: Vec<PathBuf>,
}

/// The domains of a run, in a fixed order.
#[derive(Clone, Debug)]
pub struct Domains {
    /// T, tokens per row.
    pub seq_len: usize,
    /// The domains; mixtures and losses list them in this order.
    pub domains: Vec<Domain>,
    /// SHA-256 of names and rows, in hex: two runs with one hash saw the same data. Rows that stay on
    /// disk stand in it by the checksums of their files, so text that was prepared has another hash
    /// than text that was tokenised when it was loaded.
    pub hash: String,
    /// How they were made.
    pub origin: DataOrigin,
}

/// The figures of one domain, as a table row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DomainSummary {
    /// Its name.
    pub name: String,
    /// Documents packed.
    pub documents: usize,
    /// Text read, bytes.
    pub bytes: u64,
    /// Training rows.
    pub train_rows: usize,
    /// Evaluation rows.
    pub eval_rows: usize,
    /// Tokens in both kinds of rows.
    pub tokens: usize,
    /// Lowest reachable loss, nats/token, where known.
    pub floor: Option<f64>,
}

impl Domains {
    /// Puts domains together and hashes them.
    pub(crate) fn new(seq_len: usize, domains: Vec<Domain>, origin: DataOrigin) -> Self {
        let mut hash = Sha256::new();
        hash.update((seq_len as u64).to_le_bytes());
        for domain in &domains {
            hash.update((domain.name.len() as u64).to_le_bytes());
            hash.update(domain.name.as_bytes());
            domain.train.identify(&mut hash);
            hash.update((domain.eval.len() as u64).to_le_bytes());
            domain.eval.identify(&mut hash);
        }
        let hash = hex(&hash.finalize());
        Self { seq_len, domains, hash, origin }
    }

    /// Lists the names in order.
    pub fn names(&self) -> Vec<String> {
        self.domains.iter().map(|d| d.name.clone()).collect()
    }

    /// Gives the domain called `name`.
    ///
    /// # Errors
    /// [`DataError::UnknownDomain`] with the nearest name.
    pub fn domain(&self, name: &str) -> Result<&Domain, DataError> {
        self.domains.iter().find(|d| d.name == name).ok_or_else(|| DataError::UnknownDomain {
            name: name.into(),
            hint: nearest_name(name, self.domains.iter().map(|d| d.name.as_str())),
        })
    }

    /// Gives `n` training rows of a domain, evenly spaced over it; all of them if it has fewer.
    ///
    /// # Errors
    /// [`DataError::UnknownDomain`]; [`DataError::Shard`] for rows on disk.
    pub fn sample(&self, name: &str, n: usize) -> Result<Vec<Cow<'_, [u32]>>, DataError> {
        let rows = &self.domain(name)?.train;
        let n = n.min(rows.len());
        (0..n).map(|i| rows.row(i * rows.len() / n)).collect()
    }

    /// Gives the figures of every domain.
    pub fn summary(&self) -> Vec<DomainSummary> {
        self.domains
            .iter()
            .map(|d| DomainSummary {
                name: d.name.clone(),
                documents: d.documents,
                bytes: d.bytes,
                train_rows: d.train.len(),
                eval_rows: d.eval.len(),
                tokens: d.train.tokens() + d.eval.ids().len(),
                floor: d.floor,
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Domains whose rows each hold one number, so that a row tells where it comes from: domain d
    /// has `rows[d]` training rows, the r-th full of 100 d + r.
    pub(crate) fn numbered(rows: &[usize]) -> Domains {
        let domain = |(d, &n): (usize, &usize)| Domain {
            name: ["ash", "birch", "cedar", "elm"][d].into(),
            train: Rows::new(2, (0..2 * n).map(|i| (100 * d + i / 2) as u32).collect()).into(),
            eval: Rows::new(2, vec![99, 99]),
            floor: None,
            documents: n,
            bytes: 0,
            files: vec![],
        };
        let domains = rows.iter().enumerate().map(domain).collect();
        Domains::new(2, domains, DataOrigin::Unknown)
    }

    #[test]
    fn the_hash_changes_with_any_row_and_any_name() {
        let base = numbered(&[3, 4]);
        assert_eq!(base.hash, numbered(&[3, 4]).hash);
        assert_eq!(base.hash.len(), 64);
        assert_ne!(base.hash, numbered(&[4, 3]).hash);
        let mut domains = base.domains.clone();
        domains[1].name = "oak".into();
        assert_ne!(base.hash, Domains::new(2, domains, DataOrigin::Unknown).hash);
    }

    #[test]
    fn a_sample_is_spread_over_the_domain() {
        let domains = numbered(&[10, 3]);
        let spread: Vec<u32> =
            domains.sample("ash", 3).unwrap().iter().flat_map(|row| row.to_vec()).collect();
        assert_eq!(spread, [0, 0, 3, 3, 6, 6]);
        assert_eq!(domains.sample("birch", 30).unwrap().len(), 3);
        assert!(domains.sample("birch", 0).unwrap().is_empty());
    }

    #[test]
    fn a_mistyped_domain_is_answered_with_the_nearest_name() {
        let error = numbered(&[1, 1]).domain("brich").unwrap_err().to_string();
        assert_eq!(error, "there is no domain `brich`; did you mean `birch`?");
        let error = numbered(&[1, 1]).domain("wikipedia").unwrap_err().to_string();
        assert_eq!(error, "there is no domain `wikipedia`; there are ash, birch");
    }

    #[test]
    fn options_outside_their_limits_name_the_limits() {
        let check = |change: fn(&mut DomainOptions)| {
            let mut options = DomainOptions::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert_eq!(
            check(|o| o.seq_len = 1),
            "seq_len is 1; it must be between 2 and 1048576 tokens"
        );
        assert!(check(|o| o.eval_fraction = f64::NAN).contains("between 0 and 1"));
        assert!(check(|o| o.eval_rows = 0).contains("at least 1"));
        assert!(check(|o| o.max_tokens = Some(255)).contains("at least 256, two rows"));
        assert!(DomainOptions::default().check().is_ok());
    }
}
