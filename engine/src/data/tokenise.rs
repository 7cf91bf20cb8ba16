//! Documents to token ids: read in chunks, cut in pieces, tokenised on all cores.
//!
//! While one chunk is tokenised the next is read, so that memory holds two chunks however large the
//! file is.
//!
//! Tokenizers that treat a document as one word take more than linear time on long ones, so a
//! document over [`PIECE`] is tokenised in pieces, cut after line ends where it has some. A cut
//! costs at most one merge, and a blank where the tokenizer puts one before every text.

use std::path::Path;

use super::DataError;
use super::formats::fault::ShardFault;
use super::pack::Special;
use super::read::{Body, Document, Documents, Fields};
use crate::model::ModelError;
use crate::progress::{Progress, Watch};

/// Longest text given to the tokenizer at once, bytes.
pub(super) const PIECE: usize = 64 << 10;

/// Text a thread tokenises before the work looks whether it is to stop, bytes: some 30 ms.
const BYTES_PER_THREAD: usize = PIECE;

/// Most text in a chunk, bytes; one document may be longer.
const CHUNK: usize = 4 << 20;

/// Text read per token still wanted, bytes: a small limit does not read a large chunk.
const BYTES_PER_TOKEN: usize = 8;

/// Gives the ids of every text, in their order.
pub(super) type Encode<'a> = &'a (dyn Fn(&[String]) -> Result<Vec<Vec<u32>>, ModelError> + Sync);

/// A document, or a part of one, as ids.
pub(super) struct Encoded {
    pub(super) ids: Vec<u32>,
    /// Bytes of its text.
    pub(super) bytes: u64,
    pub(super) starts: bool,
    pub(super) ends: bool,
    /// True for text, which is framed by BOS and EOS; false for ids that came as such.
    pub(super) framed: bool,
}

/// What tokenising a domain needs.
#[derive(Clone, Copy)]
pub(super) struct Tokenising<'a> {
    pub(super) domain: &'a str,
    pub(super) encode: Encode<'a>,
    pub(super) special: Special,
    pub(super) fields: Fields<'a>,
    pub(super) watch: &'a dyn Watch,
}

/// How far the work on a domain is: bytes of its files done before the one at hand, bytes of all.
#[derive(Clone, Copy)]
pub(super) struct Done {
    pub(super) before: u64,
    pub(super) total: u64,
}

/// Takes documents as they come.
pub(super) trait Take {
    /// Tells how many tokens are still wanted; 0 ends the reading.
    fn wanted(&self) -> usize;
    /// Counts the documents so far.
    fn documents(&self) -> usize;
    /// Takes one.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn take(&mut self, document: Encoded) -> Result<(), DataError>;
}

impl Tokenising<'_> {
    /// Hands every document of a file to `to`, until it wants no more.
    ///
    /// # Errors
    /// A fault of the file; an id beyond the vocabulary; an interrupt; what `to` says.
    pub(super) fn file(&self, file: &Path, done: Done, to: &mut dyn Take) -> Result<(), DataError> {
        let mut documents = Documents::open(file, self.fields, self.watch)?;
        self.tick(done, 0, to.documents());
        self.stop()?;
        let mut chunk = read_chunk(&mut documents, to.wanted())?;
        loop {
            let read = documents.bytes_read();
            if to.wanted() == 0 {
                return Ok(());
            }
            if chunk.is_empty() {
                self.tick(done, read, to.documents());
                return Ok(());
            }
            let wanted = to.wanted();
            let (encoded, next) =
                rayon::join(|| self.encode(file, chunk), || read_chunk(&mut documents, wanted));
            for document in encoded? {
                if to.wanted() > 0 {
                    to.take(document)?;
                }
            }
            if to.wanted() == 0 {
                return Ok(());
            }
            self.tick(done, read, to.documents());
            self.stop()?;
            chunk = next?;
        }
    }

    fn tick(&self, done: Done, read: u64, documents: usize) {
        let at = done.before + read;
        self.watch.tick(&Progress {
            what: format!("tokenise {}", self.domain),
            done: at,
            total: Some(done.total.max(at)),
            unit: "bytes",
            note: format!("{documents} documents"),
        });
    }

    fn stop(&self) -> Result<(), DataError> {
        if self.watch.stop_requested() {
            return Err(DataError::Interrupted { domain: self.domain.into() });
        }
        Ok(())
    }

    /// Tokenises documents piece by piece.
    fn encode(&self, file: &Path, chunk: Vec<Document>) -> Result<Vec<Encoded>, DataError> {
        let mut texts = Vec::new();
        let mut counts = Vec::new();
        for document in &chunk {
            let before = texts.len();
            if let Body::Text(text) = &document.body {
                texts.extend(pieces(text).into_iter().map(String::from));
            }
            counts.push(texts.len() - before);
        }
        let failed = |source| {
            let domain = self.domain.into();
            DataError::Tokenizer { domain, source: Box::new(source) }
        };
        // One document may be most of a file: the work looks up between groups of pieces.
        let room = BYTES_PER_THREAD * rayon::current_num_threads();
        let mut ids = Vec::with_capacity(texts.len());
        let mut rest = &texts[..];
        while !rest.is_empty() {
            self.stop()?;
            let mut bytes = 0;
            let fits = rest.iter().take_while(|text| {
                bytes += text.len();
                bytes <= room
            });
            let (group, after) = rest.split_at(fits.count().max(1));
            ids.extend((self.encode)(group).map_err(failed)?);
            rest = after;
        }
        let mut ids = ids.into_iter();
        let mut encoded = Vec::with_capacity(chunk.len());
        for (document, n) in chunk.into_iter().zip(counts) {
            let (line, starts, ends) = (document.line, document.starts, document.ends);
            let bytes = document.size() as u64;
            let vocab = self.special.vocab;
            let past = |ids: &[u32]| ids.iter().position(|id| *id as usize >= vocab);
            encoded.push(match document.body {
                Body::Text(_) => {
                    let ids: Vec<u32> = ids.by_ref().take(n).flatten().collect();
                    if let Some(at) = past(&ids) {
                        let (file, id) = (file.into(), ids[at]);
                        return Err(DataError::IdPastVocab { file, line, id, vocab });
                    }
                    Encoded { ids, bytes, starts, ends, framed: true }
                }
                Body::Ids(ids) => {
                    if let Some(at) = past(&ids) {
                        let id = i64::from(ids[at]);
                        let fault = Box::new(ShardFault::IdPastVocab { at, id, vocab });
                        let (file, sample) = (file.into(), Some(line as u64 - 1));
                        return Err(DataError::Shard { file, sample, fault });
                    }
                    Encoded { ids, bytes: 0, starts, ends, framed: false }
                }
            });
        }
        Ok(encoded)
    }
}

/// Reads documents until they hold about as much text as `tokens` tokens need, or a full chunk.
fn read_chunk(documents: &mut Documents, tokens: usize) -> Result<Vec<Document>, DataError> {
    let enough = tokens.saturating_mul(BYTES_PER_TOKEN).min(CHUNK);
    let mut chunk = Vec::new();
    let mut bytes = 0;
    while bytes < enough {
        let Some(document) = documents.next()? else {
            break;
        };
        bytes += document.size();
        chunk.push(document);
    }
    Ok(chunk)
}

/// Cuts a text in pieces of at most [`PIECE`] bytes: after the last line end that fits, else after
/// the last blank, else between two characters.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while rest.len() > PIECE {
        let fits = &rest[..rest.floor_char_boundary(PIECE)];
        let after = |found: Option<usize>| found.map(|at| at + 1);
        let cut = after(fits.rfind('\n')).or_else(|| after(fits.rfind(' '))).unwrap_or(fits.len());
        let (piece, tail) = rest.split_at(cut);
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

/// Counts the bytes of all pieces but the last: what may be cut off a text that goes on.
pub(super) fn whole_pieces(text: &str) -> usize {
    text.len() - pieces(text).last().map_or(0, |last| last.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_after_lines_and_lose_nothing() {
        let lines = "a line of text\n".repeat(10_000);
        let cut = pieces(&lines);
        assert_eq!(cut.len(), 3);
        assert!(cut.iter().all(|piece| piece.len() <= PIECE && piece.ends_with('\n')));
        assert_eq!(cut.concat(), lines);
        for solid in
            ["\u{20ac}".repeat(50_000), format!("{} {}", "x".repeat(60_000), "y".repeat(70_000))]
        {
            let cut = pieces(&solid);
            assert!(cut.iter().all(|piece| !piece.is_empty() && piece.len() <= PIECE));
            assert_eq!(cut.concat(), solid);
        }
        assert_eq!(pieces(""), [""]);
    }
}
