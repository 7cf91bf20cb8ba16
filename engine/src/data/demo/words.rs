//! The demo corpora's vocabulary, one id a word, and the tokenizer file that goes with it.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::Corpus;
use crate::data::pack::Special;

const UNK: &str = "<unk>";
const BOS: &str = "<s>";
const EOS: &str = "</s>";

struct Vocabulary {
    words: Vec<&'static str>,
    ids: HashMap<&'static str, u32>,
}

fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(|| {
        let mut words = Vec::new();
        let mut ids = HashMap::new();
        let corpora = Corpus::ALL.iter().flat_map(|corpus| corpus.words());
        for word in [UNK, BOS, EOS].into_iter().chain(corpora) {
            ids.entry(word).or_insert_with(|| {
                words.push(word);
                words.len() as u32 - 1
            });
        }
        Vocabulary { words, ids }
    })
}

/// Lists the words, each at its id: `<unk>` 0, `<s>` 1, `</s>` 2, then every corpus's in order.
pub fn vocabulary_words() -> &'static [&'static str] {
    &vocabulary().words
}

/// Gives the special ids and the vocabulary size.
pub fn special() -> Special {
    let id = |word: &str| vocabulary().ids.get(word).copied();
    Special { bos: id(BOS), eos: id(EOS), vocab: vocabulary().words.len() }
}

/// Turns the words of a corpus into ids.
pub(super) fn ids(words: &[&'static str]) -> Vec<u32> {
    let ids = &vocabulary().ids;
    words.iter().map(|word| *ids.get(word).expect("a corpus lists every word it writes")).collect()
}

/// Gives a Hugging Face `tokenizer.json`: words are what stands between blanks, and `<s>` comes
/// first when special tokens are asked for.
pub fn tokenizer_json() -> String {
    let added: Vec<_> = [UNK, BOS, EOS]
        .iter()
        .enumerate()
        .map(|(id, content)| {
            serde_json::json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let vocab: serde_json::Map<String, serde_json::Value> = vocabulary()
        .words
        .iter()
        .enumerate()
        .map(|(id, word)| (word.to_string(), id.into()))
        .collect();
    let bos = serde_json::json!({"SpecialToken": {"id": BOS, "type_id": 0}});
    let part = |id: &str| serde_json::json!({"Sequence": {"id": id, "type_id": 0}});
    let file = serde_json::json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, part("A")],
            "pair": [bos, part("A"), part("B")],
            "special_tokens": {(BOS): {"id": BOS, "ids": [1], "tokens": [BOS]}},
        },
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": UNK},
    });
    format!("{file:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vocabulary_is_small_and_starts_with_the_special_tokens() {
        let words = vocabulary_words();
        assert!(words.len() <= 256, "{} words", words.len());
        assert_eq!(words[..3], ["<unk>", "<s>", "</s>"]);
        let vocab = words.len();
        assert_eq!(special(), Special { bos: Some(1), eos: Some(2), vocab });
    }

    #[test]
    fn the_tokenizer_file_reads_every_corpus_and_gives_the_text_back() {
        let tokenizer: tokenizers::Tokenizer = tokenizer_json().parse().unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), vocabulary_words().len());
        for corpus in Corpus::ALL {
            let document = corpus.document(17, 0);
            let text = document.text();
            let plain = tokenizer.encode(text.as_str(), false).unwrap();
            assert_eq!(plain.get_ids(), ids(&document.words));
            assert_eq!(tokenizer.decode(plain.get_ids(), true).unwrap(), text);
            let framed = tokenizer.encode(text.as_str(), true).unwrap();
            assert_eq!(framed.get_ids()[0], 1);
            assert_eq!(framed.get_ids()[1..], *plain.get_ids());
        }
        assert_eq!(tokenizer.encode("the unicorn", false).unwrap().get_ids()[1], 0);
    }
}
