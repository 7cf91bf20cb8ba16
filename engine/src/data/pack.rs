//! Documents to rows: BOS + ids + EOS of every document, concatenated, cut every T tokens.
//!
//! A row may start in the middle of a document and may hold several; nothing is padded. What is
//! left after the last full row is dropped. Evaluation takes the first rows, training the rest, so
//! no row is in both; at most one document straddles the boundary between them.
//!
//! Source: LLM-Shearing's data preparation, which carries the remainder from document to document.

use serde::{Deserialize, Serialize};

use sha2::{Digest, Sha256};

use super::domains::DomainOptions;
use super::tokenise::Encoded;
use super::{DataError, TrainRows};

/// The token ids a model gives a meaning of their own, and how many ids it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Special {
    /// Put before every document, when the model has one.
    pub bos: Option<u32>,
    /// Put after every document, when the model has one.
    pub eos: Option<u32>,
    /// V: every id must be below it.
    pub vocab: usize,
}

impl Special {
    /// Checks that the special ids lie in the vocabulary.
    ///
    /// # Errors
    /// [`DataError::SpecialPastVocab`].
    pub(crate) fn check(&self) -> Result<(), DataError> {
        for (which, field, id) in
            [("BOS", "bos_token_id", self.bos), ("EOS", "eos_token_id", self.eos)]
        {
            if let Some(id) = id
                && id as usize >= self.vocab
            {
                return Err(DataError::SpecialPastVocab { which, field, id, vocab: self.vocab });
            }
        }
        Ok(())
    }
}

/// Rows of T token ids, one after the other in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    seq_len: usize,
    ids: Vec<u32>,
}

impl Rows {
    /// Cuts `ids` in rows of `seq_len`; what is left after the last full row is dropped.
    pub fn new(seq_len: usize, mut ids: Vec<u32>) -> Self {
        let whole = ids.len().checked_div(seq_len).unwrap_or(0) * seq_len;
        ids.truncate(whole);
        Self { seq_len, ids }
    }

    /// Gives row `i`, T ids.
    ///
    /// # Panics
    /// When `i` is not below [`Rows::len`].
    pub fn row(&self, i: usize) -> &[u32] {
        &self.ids[i * self.seq_len..(i + 1) * self.seq_len]
    }

    /// Counts the rows.
    pub fn len(&self) -> usize {
        self.ids.len().checked_div(self.seq_len).unwrap_or(0)
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Gives T, the tokens per row.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// Gives every row, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u32]> {
        self.ids.chunks_exact(self.seq_len.max(1))
    }

    /// Gives all ids, row after row: (R, T) flat.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Puts the ids into a hash.
    pub(crate) fn identify(&self, hash: &mut Sha256) {
        for row in self.iter() {
            let bytes: Vec<u8> = row.iter().flat_map(|id| id.to_le_bytes()).collect();
            hash.update(&bytes);
        }
    }
}

/// Collects the documents of one domain.
#[derive(Debug)]
pub(crate) struct Packer {
    special: Special,
    limit: usize,
    ids: Vec<u32>,
    documents: usize,
}

impl Packer {
    /// Starts empty; `limit` is the number of tokens after which the rest is dropped.
    pub(crate) fn new(special: Special, limit: Option<usize>) -> Self {
        Self { special, limit: limit.unwrap_or(usize::MAX), ids: Vec::new(), documents: 0 }
    }

    /// Adds one document, unless the limit is reached.
    pub(crate) fn push(&mut self, document: &[u32]) {
        if self.full() {
            return;
        }
        self.ids.extend(self.special.bos);
        self.ids.extend_from_slice(document);
        self.ids.extend(self.special.eos);
        self.documents += 1;
        self.ids.truncate(self.limit);
    }

    /// Adds a document, or a part of one: BOS goes before its first part, EOS after its last, unless
    /// it came as ids.
    pub(crate) fn push_part(&mut self, part: &Encoded) {
        if self.full() {
            return;
        }
        if part.framed && part.starts {
            self.ids.extend(self.special.bos);
        }
        self.ids.extend_from_slice(&part.ids);
        if part.framed && part.ends {
            self.ids.extend(self.special.eos);
        }
        self.documents += usize::from(part.starts);
        self.ids.truncate(self.limit);
    }

    /// True once the limit is reached.
    pub(crate) fn full(&self) -> bool {
        self.ids.len() >= self.limit
    }

    /// Tells how many tokens are missing to the limit.
    pub(crate) fn wanted(&self) -> usize {
        self.limit - self.ids.len()
    }

    /// Counts the documents, the last of which may be cut short by the limit.
    pub(crate) fn documents(&self) -> usize {
        self.documents
    }

    /// Cuts in rows: (train, eval).
    ///
    /// # Errors
    /// [`DataError::TooFewTokens`] when there are fewer than two rows.
    pub(crate) fn split(
        mut self,
        domain: &str,
        options: &DomainOptions,
    ) -> Result<(TrainRows, Rows), DataError> {
        let t = options.seq_len;
        let eval = eval_rows(domain, self.ids.len(), options)?;
        let rest = self.ids.split_off(eval * t);
        Ok((Rows::new(t, rest).into(), Rows::new(t, self.ids)))
    }

    /// Gives the ids, framed and joined.
    pub(crate) fn into_ids(self) -> Vec<u32> {
        self.ids
    }
}

/// Tells how many of the rows that `tokens` tokens make are kept for evaluation.
///
/// # Errors
/// [`DataError::TooFewTokens`] when there are fewer than two rows.
pub(crate) fn eval_rows(
    domain: &str,
    tokens: usize,
    options: &DomainOptions,
) -> Result<usize, DataError> {
    let rows = tokens / options.seq_len;
    if rows < 2 {
        let (domain, seq_len) = (domain.into(), options.seq_len);
        return Err(DataError::TooFewTokens { domain, tokens, seq_len });
    }
    let wanted = (rows as f64 * options.eval_fraction).round() as usize;
    Ok(wanted.clamp(1, options.eval_rows.min(rows - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: Special = Special { bos: Some(1), eos: Some(2), vocab: 100 };

    fn pack(documents: &[&[u32]], limit: Option<usize>) -> Packer {
        let mut packer = Packer::new(SPECIAL, limit);
        documents.iter().for_each(|d| packer.push(d));
        packer
    }

    #[test]
    fn documents_are_framed_joined_and_cut_without_padding() {
        let packer = pack(&[&[10, 11], &[12], &[13, 14, 15]], None);
        let options = DomainOptions { seq_len: 3, eval_fraction: 0.3, ..Default::default() };
        let (train, eval) = packer.split("d", &options).unwrap();
        let train = train.to_memory().unwrap();
        // 1 10 11 | 2 1 12 | 2 1 13 | 14 15 2: four full rows, a third of which is 1.
        assert_eq!(eval.iter().collect::<Vec<_>>(), [[1, 10, 11]]);
        assert_eq!(train.iter().collect::<Vec<_>>(), [[2, 1, 12], [2, 1, 13], [14, 15, 2]]);
        assert_eq!((train.len(), train.row(1)), (3, &[2, 1, 13][..]));
    }

    #[test]
    fn both_splits_have_a_row_however_small_the_domain() {
        for (fraction, cap) in [(0.001, 32), (0.999, 32), (0.5, 1)] {
            let options = DomainOptions {
                seq_len: 4,
                eval_fraction: fraction,
                eval_rows: cap,
                ..Default::default()
            };
            let (train, eval) = pack(&[&[9; 8]], None).split("d", &options).unwrap();
            assert_eq!((train.len(), eval.len()), (1, 1));
        }
    }

    #[test]
    fn too_few_tokens_name_the_nearest_legal_row_length() {
        let options = DomainOptions { seq_len: 8, ..Default::default() };
        let error = pack(&[&[9; 11]], None).split("book", &options).unwrap_err().to_string();
        assert!(error.contains("`book` has 13 tokens"), "{error}");
        assert!(error.contains("lower seq_len to 6"), "{error}");
    }

    #[test]
    fn a_limit_cuts_at_the_token() {
        let packer = pack(&[&[10, 11], &[12], &[13]], Some(6));
        assert_eq!((packer.documents(), packer.full()), (2, true));
        assert_eq!(packer.ids, [1, 10, 11, 2, 1, 12]);
    }

    #[test]
    fn a_special_id_outside_the_vocabulary_is_refused() {
        let error = Special { bos: None, eos: Some(100), vocab: 100 }.check().unwrap_err();
        assert!(error.to_string().contains("EOS is token id 100, but the vocabulary ends at 99"));
    }
}
