//! Text to token ids and back, by the model's own `tokenizer.json`.
//!
//! Truncation and padding that the file may ask for are switched off: both would change a text's
//! ids in silence. The bytes of the file are kept, so that an exported model carries the same
//! tokenizer.

use std::fmt;
use std::path::Path;

use rayon::prelude::*;

use super::{Model, ModelError};

/// A tokenizer and the file it came from.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bytes: Vec<u8>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, is a Git LFS pointer, or is no tokenizer.
    pub fn from_file(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(ModelError::io("read", path))?;
        Self::from_bytes(path, bytes)
    }

    /// Reads the bytes of a `tokenizer.json`; `file` is the name that errors use.
    ///
    /// # Errors
    /// The bytes are a Git LFS pointer or no tokenizer.
    pub fn from_bytes(file: &Path, bytes: Vec<u8>) -> Result<Self, ModelError> {
        if is_lfs_pointer(&bytes) {
            return Err(ModelError::LfsPointer { file: file.to_path_buf() });
        }
        let refused = |source| ModelError::TokenizerFile { file: file.to_path_buf(), source };
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(refused)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(refused)?;
        Ok(Self { inner, bytes })
    }

    /// Gives the ids of a text; `add_special` adds what the tokenizer puts around every text (for
    /// Llama models, the BOS token in front).
    ///
    /// # Errors
    /// The tokenizer refuses the text: a word outside a vocabulary that has no unknown token.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, ModelError> {
        match self.inner.encode_fast(text, add_special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(source) => {
                Err(ModelError::Encode { text: text.chars().take(40).collect(), source })
            }
        }
    }

    /// Gives the ids of every text, without special tokens, on all cores; the order is kept.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], for one of the texts it refuses.
    pub fn encode_batch(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, ModelError> {
        texts.par_iter().map(|text| self.encode(text, false)).collect()
    }

    /// Gives the text of ids; special tokens and ids outside the vocabulary are skipped.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, ModelError> {
        let failed = |source| ModelError::Decode { count: ids.len(), source };
        self.inner.decode(ids, true).map_err(failed)
    }

    /// Counts the tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Gives the id of a token written exactly so: `</s>`.
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Gives the token of an id as the vocabulary writes it, special ones included.
    pub fn token_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Gives the `tokenizer.json` as it was read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Tokenizer {
    /// Writes the size only: the vocabulary would fill pages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl Model {
    /// Gives the tokenizer.
    ///
    /// # Errors
    /// [`ModelError::NoTokenizer`] when the model came without a `tokenizer.json`.
    pub fn tokenizer(&self) -> Result<&Tokenizer, ModelError> {
        let missing = || ModelError::NoTokenizer { model: self.name.clone() };
        self.tokenizer.as_deref().ok_or_else(missing)
    }
}

/// Tells whether bytes are the pointer that Git LFS leaves in place of a file.
pub(super) fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::checkpoint::tests::stories;
    use crate::model::save::tiny;

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_bytes(Path::new("tokenizer.json"), tiny::TOKENIZER.into()).unwrap()
    }

    #[test]
    fn a_text_becomes_ids_and_comes_back() {
        let t = tokenizer();
        let ids = t.encode("the sheep and the wool", false).unwrap();
        assert_eq!(ids, [3, 4, 5, 3, 6]);
        assert_eq!(t.decode(&ids).unwrap(), "the sheep and the wool");
        assert_eq!((t.id_of("</s>"), t.token_of(2).as_deref()), (Some(2), Some("</s>")));
        assert_eq!(t.vocab_size(), 8);
        assert_eq!(t.bytes(), tiny::TOKENIZER.as_bytes());
    }

    #[test]
    fn special_tokens_are_added_on_request_and_skipped_in_text() {
        let t = tokenizer();
        assert_eq!(t.encode("the wool", true).unwrap(), [1, 3, 6]);
        assert_eq!(t.decode(&[1, 3, 6, 2]).unwrap(), "the wool");
    }

    #[test]
    fn a_batch_gives_what_single_texts_give() {
        let t = tokenizer();
        let texts: Vec<String> =
            (0..50).map(|i| ["the ", "sheep ", "wool "][i % 3].repeat(i)).collect();
        let single: Vec<_> = texts.iter().map(|text| t.encode(text, false).unwrap()).collect();
        assert_eq!(t.encode_batch(&texts).unwrap(), single);
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_switched_off() {
        let json = tiny::TOKENIZER
            .replace(
                "\"truncation\": null",
                "\"truncation\": {\"direction\": \"Right\", \"max_length\": 2, \
                 \"strategy\": \"LongestFirst\", \"stride\": 0}",
            )
            .replace(
                "\"padding\": null",
                "\"padding\": {\"strategy\": {\"Fixed\": 9}, \"direction\": \"Right\", \
                 \"pad_to_multiple_of\": null, \"pad_id\": 0, \"pad_type_id\": 0, \
                 \"pad_token\": \"<unk>\"}",
            );
        assert!(json.contains("max_length") && json.contains("Fixed"));
        let t = Tokenizer::from_bytes(Path::new("tokenizer.json"), json.into()).unwrap();
        assert_eq!(t.encode("the sheep and the wool", false).unwrap().len(), 5);
        assert_eq!(t.encode("the", false).unwrap().len(), 1);
    }

    #[test]
    fn a_bad_file_is_refused_by_name() {
        let read =
            |bytes: &[u8]| Tokenizer::from_bytes(Path::new("a/tokenizer.json"), bytes.into());
        let error = read(b"{\"version\": \"1.0\"}").unwrap_err();
        assert!(matches!(error, ModelError::TokenizerFile { .. }), "{error}");
        assert!(error.to_string().contains("a/tokenizer.json"), "{error}");
        let error = read(b"version https://git-lfs.github.com/spec/v1\n").unwrap_err();
        assert!(matches!(error, ModelError::LfsPointer { .. }), "{error}");
    }

    #[test]
    fn stories_ids_agree_with_the_golden_ones() {
        let Some(dir) = stories() else { return };
        let t = Tokenizer::from_file(&dir.join("tokenizer.json")).unwrap();
        let golden = std::fs::read(dir.join("golden_generation.json")).unwrap();
        let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
        let ids = |name: &str| -> Vec<u32> {
            golden[name].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
        };
        assert_eq!(t.encode(golden["prompt"].as_str().unwrap(), true).unwrap(), ids("prompt_ids"));
        assert_eq!(t.decode(&ids("greedy_ids")).unwrap(), golden["greedy_text"].as_str().unwrap());
        assert_eq!(t.vocab_size(), 512);
    }
}
