//! The token column of a set of shards.
//!
//! The samples' tokens are joined in their order; a row is T of them. Where a sample has T tokens, as
//! LLM-Shearing writes them, a row is a sample. `ndarray` columns name their type. `bytes` do not:
//! then it is an option, or the widest type that keeps every id of some samples in the vocabulary.
//! Ids of a narrow type, read as a wider one, are far too large unless every other one is 0.

use std::sync::Arc;

use super::super::fault::{IndexFault, ShardFault};
use super::super::ids::TokenType;
use super::super::map::u64_at;
use super::{Mds, Shard};
use crate::data::DataError;

/// How many samples, spread over all, a guess of the type looks at.
const LOOKED_AT: usize = 16;

/// How the bytes of a token column are laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Coding {
    /// Ids and nothing else.
    Plain(TokenType),
    /// An n-dimensional array of the format: its type, unless known, and its shape, unless fixed,
    /// stand before the values.
    Array {
        /// The type, when the encoding names it.
        kind: Option<TokenType>,
        /// True when the encoding names the shape.
        shaped: bool,
    },
}

/// The token column of a set of shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenColumn {
    pub(crate) column: usize,
    coding: Coding,
    vocab: usize,
}

/// The tokens of one shard, joined.
#[derive(Debug)]
pub(crate) struct ShardTokens {
    shard: Arc<Shard>,
    column: TokenColumn,
    lengths: Lengths,
}

/// How many tokens each sample has.
#[derive(Debug)]
enum Lengths {
    /// All the same.
    Even(usize),
    /// Where each ends, in tokens from the shard's first.
    Ends(Vec<u64>),
}

impl Mds {
    /// Finds out how the tokens of a column are stored.
    ///
    /// # Errors
    /// [`DataError::Index`] when there is no such column or its type cannot be told;
    /// [`DataError::Shard`].
    pub(crate) fn token_column(
        &self,
        name: &str,
        given: Option<TokenType>,
        vocab: usize,
        seq_len: usize,
    ) -> Result<TokenColumn, DataError> {
        let column = self.column(name, "tokens_field")?;
        let encoding = self.encodings[column].as_str();
        let mut parts = encoding.split(':');
        let coding = match (parts.next(), parts.next(), parts.next()) {
            (Some("bytes"), None, _) => Coding::Plain(match given {
                Some(given) => given,
                None => self.guess(column, vocab, seq_len)?,
            }),
            (Some("ndarray"), None, _) => Coding::Array { kind: None, shaped: false },
            (Some("ndarray"), Some(kind), shape) => {
                let kind = TokenType::from_name(kind).ok_or_else(|| {
                    let (column, encoding) = (name.into(), encoding.into());
                    self.fault(IndexFault::Encoding { column, encoding })
                })?;
                Coding::Array { kind: Some(kind), shaped: shape.is_some() }
            }
            _ => {
                let (column, encoding) = (name.into(), encoding.into());
                return Err(self.fault(IndexFault::Encoding { column, encoding }));
            }
        };
        Ok(TokenColumn { column, coding, vocab })
    }

    /// Looks at some samples: the widest type that keeps all their ids in the vocabulary. When every
    /// id is 0 any type does; then it is the one that makes a sample a row.
    fn guess(&self, column: usize, vocab: usize, seq_len: usize) -> Result<TokenType, DataError> {
        let samples = self.samples();
        let every = samples.div_ceil(LOOKED_AT).max(1);
        let mut looked = Vec::new();
        for (shard, sample) in self.each().step_by(every) {
            looked.push(shard.column(sample, column)?);
        }
        let types = [TokenType::I64, TokenType::U32, TokenType::U16];
        let mut ids = Vec::new();
        let mut fits: Vec<TokenType> = Vec::new();
        for t in types {
            if looked.iter().all(|bytes| t.decode(bytes, vocab, &mut ids).is_ok()) {
                fits.push(t);
            }
        }
        let zero = looked.iter().all(|bytes| bytes.iter().all(|byte| *byte == 0));
        match fits.as_slice() {
            [first, ..] if !zero => Ok(*first),
            fits => {
                let row = |t: &&TokenType| looked.iter().all(|b| b.len() == seq_len * t.width());
                match fits.iter().find(row) {
                    Some(t) => Ok(*t),
                    None => {
                        let (column, fits) = (self.names[column].clone(), fits.to_vec());
                        Err(self.fault(IndexFault::TokenType { column, fits }))
                    }
                }
            }
        }
    }

    /// Gives the tokens of every shard. Samples that are all equally long are taken to have equally
    /// many tokens, which is checked as they are read; else every sample is looked at.
    ///
    /// # Errors
    /// [`DataError::Shard`].
    pub(crate) fn tokens(&self, column: TokenColumn) -> Result<Vec<ShardTokens>, DataError> {
        let mut each = self.each();
        let first = each.next().map(|(shard, sample)| (shard.sample_size(sample), shard, sample));
        let even = match first {
            Some((size, shard, sample)) if each.all(|(s, i)| s.sample_size(i) == size) => {
                Some(column.count(shard, sample)?)
            }
            _ => None,
        };
        let tokens = |shard: &Arc<Shard>| {
            let lengths = match even {
                Some(tokens) => Lengths::Even(tokens),
                None => {
                    let mut ends = Vec::with_capacity(shard.samples());
                    let mut end = 0;
                    for sample in 0..shard.samples() {
                        end += column.count(shard, sample)? as u64;
                        ends.push(end);
                    }
                    Lengths::Ends(ends)
                }
            };
            Ok(ShardTokens { shard: shard.clone(), column, lengths })
        };
        self.shards.iter().map(tokens).collect()
    }
}

impl TokenColumn {
    /// Gives the type and the values' bytes of one sample.
    fn values<'a>(
        &self,
        shard: &'a Shard,
        sample: usize,
    ) -> Result<(TokenType, &'a [u8]), DataError> {
        let bytes = shard.column(sample, self.column)?;
        let (kind, values) = match self.coding {
            Coding::Plain(kind) => (kind, bytes),
            Coding::Array { kind, shaped } => {
                array(bytes, kind, shaped).map_err(|fault| shard.fault(sample, fault))?
            }
        };
        if !values.len().is_multiple_of(kind.width()) {
            let fault = ShardFault::Width { bytes: values.len(), type_name: kind.name() };
            return Err(shard.fault(sample, fault));
        }
        Ok((kind, values))
    }

    fn count(&self, shard: &Shard, sample: usize) -> Result<usize, DataError> {
        let (kind, values) = self.values(shard, sample)?;
        Ok(values.len() / kind.width())
    }

    /// Appends the tokens of one sample.
    ///
    /// # Errors
    /// [`DataError::Shard`] with the sample.
    pub(crate) fn append(
        &self,
        shard: &Shard,
        sample: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), DataError> {
        let (kind, values) = self.values(shard, sample)?;
        kind.decode(values, self.vocab, out).map_err(|fault| shard.fault(sample, fault))
    }
}

impl ShardTokens {
    /// Gives the shard.
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Counts the tokens.
    pub(crate) fn len(&self) -> u64 {
        match &self.lengths {
            Lengths::Even(tokens) => *tokens as u64 * self.shard.samples() as u64,
            Lengths::Ends(ends) => ends.last().copied().unwrap_or(0),
        }
    }

    /// Appends `n` tokens from token `start` on; there are that many.
    ///
    /// # Errors
    /// [`DataError::Shard`] with the sample.
    pub(crate) fn read(&self, start: u64, n: usize, out: &mut Vec<u32>) -> Result<(), DataError> {
        let (mut at, mut left) = (start, n);
        while left > 0 {
            let (sample, first, tokens) = self.sample_at(at);
            let (kind, values) = self.column.values(&self.shard, sample)?;
            let got = values.len() / kind.width();
            if got != tokens {
                let fault = ShardFault::Tokens { got, want: tokens };
                return Err(self.shard.fault(sample, fault));
            }
            let from = (at - first) as usize;
            let take = left.min(tokens - from);
            let part = &values[from * kind.width()..(from + take) * kind.width()];
            kind.decode(part, self.column.vocab, out)
                .map_err(|fault| self.shard.fault(sample, shifted(fault, from)))?;
            at += take as u64;
            left -= take;
        }
        Ok(())
    }

    /// Finds the sample that holds a token: its number, its first token, its tokens.
    fn sample_at(&self, token: u64) -> (usize, u64, usize) {
        match &self.lengths {
            Lengths::Even(tokens) => {
                let sample = token / *tokens as u64;
                (sample as usize, sample * *tokens as u64, *tokens)
            }
            Lengths::Ends(ends) => {
                let sample = ends.partition_point(|end| *end <= token);
                let first = if sample == 0 { 0 } else { ends[sample - 1] };
                (sample, first, (ends[sample] - first) as usize)
            }
        }
    }
}

/// A fault in a part of a sample that starts at token `from`.
fn shifted(fault: ShardFault, from: usize) -> ShardFault {
    match fault {
        ShardFault::IdPastVocab { at, id, vocab } => {
            ShardFault::IdPastVocab { at: at + from, id, vocab }
        }
        other => other,
    }
}

/// Takes the head off an array: type and values.
fn array(
    bytes: &[u8],
    kind: Option<TokenType>,
    shaped: bool,
) -> Result<(TokenType, &[u8]), ShardFault> {
    let mut at = 0;
    let kind = match kind {
        Some(kind) => kind,
        None => {
            let kind = bytes.first().and_then(|code| array_type(*code));
            at = 1;
            kind.ok_or(ShardFault::Array { byte: 0 })?
        }
    };
    if shaped {
        return Ok((kind, &bytes[at..]));
    }
    let code = *bytes.get(at).ok_or(ShardFault::Array { byte: at })?;
    let (axes, width) = (usize::from(code >> 2), 1_usize << (code & 3));
    let head = at;
    at += 1;
    let mut values = 1_u64;
    for _ in 0..axes {
        let mut wide = [0; 8];
        let axis = bytes.get(at..at + width).ok_or(ShardFault::Array { byte: at })?;
        wide[..width].copy_from_slice(axis);
        values = values.saturating_mul(u64_at(&wide, 0).unwrap_or(0));
        at += width;
    }
    let rest = &bytes[at..];
    if axes == 0 || values.saturating_mul(kind.width() as u64) != rest.len() as u64 {
        return Err(ShardFault::Array { byte: head });
    }
    Ok((kind, rest))
}

/// The whole-number types of an array, by the format's own numbers.
fn array_type(code: u8) -> Option<TokenType> {
    Some(match code {
        8 => TokenType::U8,
        9 => TokenType::I8,
        16 => TokenType::U16,
        17 => TokenType::I16,
        32 => TokenType::U32,
        33 => TokenType::I32,
        64 => TokenType::U64,
        65 => TokenType::I64,
        _ => return None,
    })
}
