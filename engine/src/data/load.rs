//! Domains from a folder: one sub-folder per domain, its files read in the order of their names.
//!
//! Text is read and tokenised in chunks, on all cores, so that memory holds the rows and one chunk.
//! Evaluation takes a domain's first rows: where a data set means its first file for evaluation,
//! that is where they come from.
//!
//! Tokenizers that treat a document as one word take more than linear time on long ones, so a
//! document over [`PIECE`] is tokenised in pieces, cut after line ends where it has some. A cut
//! costs at most one merge, and a blank where the tokenizer puts one before every text.

use std::path::Path;

use super::domains::{Domain, DomainOptions, Domains};
use super::pack::{Packer, Special};
use super::read::{self, Document, Documents};
use super::{DataError, DataOrigin};
use crate::model::{ModelError, Tokenizer};
use crate::progress::{Progress, Watch};

/// Longest text given to the tokenizer at once, bytes.
const PIECE: usize = 64 << 10;

/// Most text in memory at once, bytes; one document may be longer.
const CHUNK: usize = 4 << 20;

/// Text read per token still wanted, bytes: a small `max_tokens` does not read a large chunk.
const BYTES_PER_TOKEN: usize = 8;

type Encode<'a> = &'a dyn Fn(&[String]) -> Result<Vec<Vec<u32>>, ModelError>;

impl Domains {
    /// Reads the domains of a folder: each sub-folder is one, named after it, in the order of the
    /// names. Files end in `.jsonl` (field `text`), `.jsonl.zst` or `.txt` (one document).
    ///
    /// # Errors
    /// A [`DataError`] that names the folder, or the file and line.
    ///
    /// # Determinism
    /// A function of the files, the tokenizer and the options.
    pub fn load(
        dir: &Path,
        tokenizer: &Tokenizer,
        special: Special,
        options: &DomainOptions,
        watch: &dyn Watch,
    ) -> Result<Self, DataError> {
        load(dir, &|texts| tokenizer.encode_batch(texts), special, options, watch)
    }
}

fn load(
    dir: &Path,
    encode: Encode,
    special: Special,
    options: &DomainOptions,
    watch: &dyn Watch,
) -> Result<Domains, DataError> {
    options.check()?;
    special.check()?;
    let mut domains = Vec::new();
    for (name, folder) in read::domain_folders(dir)? {
        domains.push(load_domain(&name, &folder, encode, special, options, watch)?);
    }
    let path = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    let origin = DataOrigin::Folder { path, options: options.clone() };
    Ok(Domains::new(options.seq_len, domains, origin))
}

fn load_domain(
    name: &str,
    folder: &Path,
    encode: Encode,
    special: Special,
    options: &DomainOptions,
    watch: &dyn Watch,
) -> Result<Domain, DataError> {
    let files = read::data_files(folder)?;
    let size = |file: &Path| file.metadata().map_or(0, |data| data.len());
    let total: u64 = files.iter().map(|file| size(file)).sum();
    let mut packer = Packer::new(special, options.max_tokens);
    let mut bytes = 0;
    let mut before = 0;
    let mut used = Vec::new();
    for file in files {
        if packer.full() {
            break;
        }
        let mut documents = Documents::open(&file)?;
        loop {
            let done = before + documents.bytes_read();
            watch.tick(&Progress {
                what: format!("tokenise {name}"),
                done,
                total: Some(total.max(done)),
                unit: "bytes",
                note: format!("{} documents", packer.documents()),
            });
            if watch.stop_requested() {
                return Err(DataError::Interrupted { domain: name.into() });
            }
            let chunk = read_chunk(&mut documents, packer.wanted())?;
            if chunk.is_empty() || packer.full() {
                break;
            }
            let ids = encode_chunk(&chunk, encode)
                .map_err(|source| DataError::Tokenizer { domain: name.into(), source })?;
            for (document, ids) in chunk.iter().zip(&ids) {
                if let Some(&id) = ids.iter().find(|id| **id as usize >= special.vocab) {
                    let (file, line, vocab) = (file.clone(), document.line, special.vocab);
                    return Err(DataError::IdPastVocab { file, line, id, vocab });
                }
                if !packer.full() {
                    bytes += document.text.len() as u64;
                    packer.push(ids);
                }
            }
        }
        before += size(&file);
        used.push(file);
    }
    let documents = packer.documents();
    let (train, eval) = packer.split(name, options)?;
    Ok(Domain { name: name.into(), train, eval, floor: None, documents, bytes, files: used })
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
        bytes += document.text.len();
        chunk.push(document);
    }
    Ok(chunk)
}

/// Tokenises documents piece by piece: one list of ids per document.
fn encode_chunk(chunk: &[Document], encode: Encode) -> Result<Vec<Vec<u32>>, Box<ModelError>> {
    let mut texts = Vec::new();
    let mut counts = Vec::new();
    for document in chunk {
        let before = texts.len();
        texts.extend(pieces(&document.text).into_iter().map(String::from));
        counts.push(texts.len() - before);
    }
    let mut ids = encode(&texts)?.into_iter();
    Ok(counts.into_iter().map(|n| ids.by_ref().take(n).flatten().collect()).collect())
}

/// Cuts a text in pieces of at most [`PIECE`] bytes: after the last line end that fits, else after
/// the last blank, else between two characters.
fn pieces(text: &str) -> Vec<&str> {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Mutex;

    use super::*;
    use crate::progress::Unwatched;

    const SPECIAL: Special = Special { bos: Some(1), eos: Some(2), vocab: 1_200_000 };

    /// A tokenizer whose ids are the characters.
    fn characters(texts: &[String]) -> Result<Vec<Vec<u32>>, ModelError> {
        Ok(texts.iter().map(|text| text.chars().map(|c| c as u32).collect()).collect())
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn small(seq_len: usize) -> DomainOptions {
        DomainOptions { seq_len, eval_fraction: 0.25, ..DomainOptions::default() }
    }

    fn read(dir: &Path, options: &DomainOptions) -> Result<Domains, DataError> {
        load(dir, &characters, SPECIAL, options, &Unwatched)
    }

    fn error(files: &[(&str, &str)], options: &DomainOptions) -> String {
        let dir = folder(files);
        let error = read(dir.path(), options).unwrap_err().to_string();
        error.replace(&dir.path().display().to_string(), "DATA").replace('\\', "/")
    }

    fn text(ids: &[u32]) -> String {
        let show = |id: &u32| match id {
            1 => '<',
            2 => '>',
            id => char::from_u32(*id).unwrap(),
        };
        ids.iter().map(show).collect()
    }

    #[test]
    fn sub_folders_become_domains_and_their_first_rows_evaluation() {
        let dir = folder(&[
            ("wiki/2.jsonl", "{\"text\": \"efgh\"}\n{\"text\": \"ijk\"}\n"),
            ("wiki/1.jsonl", "{\"text\": \"abcd\"}\n"),
            ("wiki/notes.md", "not data"),
            ("wiki/.cache/x.jsonl", "not data"),
            ("book/all.txt", "0123456789"),
            ("README.md", "not a domain"),
        ]);
        let domains = read(dir.path(), &small(4)).unwrap();
        assert_eq!(domains.names(), ["book", "wiki"]);
        let [book, wiki] = &domains.domains[..] else { panic!() };
        assert_eq!(
            (text(book.eval.ids()), text(book.train.ids())),
            ("<012".into(), "34567 89>".replace(' ', "")[..8].into())
        );
        // <abc d><e fgh> <ijk >: the file of the first name comes first, the remainder is dropped.
        assert_eq!(
            (text(wiki.eval.ids()), text(wiki.train.ids())),
            ("<abc".into(), "d><efgh><ijk".into())
        );
        assert_eq!((wiki.documents, wiki.bytes, wiki.files.len()), (3, 11, 2));
        let summary = &domains.summary()[1];
        assert_eq!((summary.train_rows, summary.eval_rows, summary.tokens), (3, 1, 16));
        assert_eq!(summary.floor, None);
    }

    #[test]
    fn reading_stops_at_max_tokens_and_a_longer_read_goes_on_alike() {
        let line = "{\"text\": \"some words of a document\"}\n";
        let dir = folder(&[("d/a.jsonl", &line.repeat(300)), ("d/b.jsonl", "not read")]);
        let limit = |tokens| DomainOptions { max_tokens: Some(tokens), eval_rows: 2, ..small(16) };
        let short = read(dir.path(), &limit(1_000)).unwrap();
        let long = read(dir.path(), &limit(4_000)).unwrap();
        assert_eq!(short.summary()[0].tokens, 992);
        assert_eq!((short.domains[0].documents, short.domains[0].files.len()), (39, 1));
        assert_eq!(short.domains[0].eval, long.domains[0].eval);
        let ids = short.domains[0].train.ids();
        assert_eq!(ids, &long.domains[0].train.ids()[..ids.len()]);
    }

    #[test]
    fn the_demo_corpora_come_back_from_their_files() {
        let dir = tempfile::tempdir().unwrap();
        let options = DomainOptions { max_tokens: Some(5_000), ..small(32) };
        super::super::demo::write_text(dir.path(), 5_000, 3, &Unwatched).unwrap();
        let made = super::super::demo::domains(&options, 3, &Unwatched).unwrap();
        let words = super::super::demo::vocabulary_words();
        let encode = |texts: &[String]| {
            let id = |word| words.iter().position(|w| *w == word).unwrap() as u32;
            Ok(texts.iter().map(|text| text.split(' ').map(id).collect()).collect())
        };
        let special = super::super::demo::special();
        let read = load(dir.path(), &encode, special, &options, &Unwatched).unwrap();
        for domain in &made.domains {
            let read = read.domain(&domain.name).unwrap();
            assert_eq!((&read.train, &read.eval), (&domain.train, &domain.eval));
            assert_eq!((read.documents, read.bytes), (domain.documents, domain.bytes));
        }
    }

    #[test]
    fn a_folder_that_is_no_data_folder_is_explained() {
        let missing = Path::new("no/such/folder");
        let told = read(missing, &small(4)).unwrap_err().to_string();
        assert!(told.starts_with("there is no folder no/such/folder: give the folder"), "{told}");
        assert!(
            error(&[("a.txt", "text")], &small(4))
                .starts_with("DATA holds no sub-folder, only a.txt")
        );
        assert!(error(&[], &small(4)).contains("DATA holds no sub-folder, it is empty"));
        let told = error(&[("book/a.pdf", ""), ("book/b.json", "")], &small(4));
        assert!(told.contains("DATA/book holds no data file, only a.pdf, b.json"), "{told}");
        assert!(told.contains(".jsonl, .jsonl.zst or .txt"), "{told}");
        let dir = folder(&[("a.txt", "text")]);
        let told = read(&dir.path().join("a.txt"), &small(4)).unwrap_err().to_string();
        assert!(told.contains("a.txt is a file"), "{told}");
    }

    #[test]
    fn bad_documents_are_named_by_file_and_line() {
        let told = error(&[("book/x.jsonl", "{\"text\": \"fine\"}\n{]\n")], &small(4));
        assert!(told.starts_with("DATA/book/x.jsonl line 2: not JSON"), "{told}");
        let told = error(&[("book/x.jsonl", "{\"text\": \"fine\"}\n")], &small(4));
        assert_eq!(
            told,
            "domain `book` has 6 tokens; a training row and an evaluation row of seq_len 4 need 8: add documents or lower seq_len to 3"
        );
        let dir =
            folder(&[("book/x.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"\u{e9}t\u{e9}\"}\n")]);
        let special = Special { vocab: 128, ..SPECIAL };
        let told = load(dir.path(), &characters, special, &small(4), &Unwatched).unwrap_err();
        assert!(told.to_string().contains("x.jsonl line 2 becomes token id 233, but"), "{told}");
    }

    #[test]
    fn progress_ends_at_the_size_of_the_files_and_stopping_names_the_domain() {
        struct Recorder(Mutex<Vec<Progress>>, usize);
        impl Watch for Recorder {
            fn tick(&self, progress: &Progress) {
                self.0.lock().unwrap().push(progress.clone());
            }
            fn stop_requested(&self) -> bool {
                self.0.lock().unwrap().len() >= self.1
            }
        }
        let line = "{\"text\": \"some words of a document\"}\n";
        let dir = folder(&[("d/a.jsonl", &line.repeat(9)), ("d/b.jsonl", line)]);
        let go = |recorder: &Recorder| load(dir.path(), &characters, SPECIAL, &small(16), recorder);
        let patient = Recorder(Mutex::default(), usize::MAX);
        go(&patient).unwrap();
        let ticks = patient.0.into_inner().unwrap();
        assert!(ticks.windows(2).all(|w| w[0].done <= w[1].done), "{ticks:?}");
        let last = ticks.last().unwrap();
        assert_eq!((last.done, last.total), (line.len() as u64 * 10, Some(line.len() as u64 * 10)));
        assert_eq!((last.what.as_str(), last.note.as_str()), ("tokenise d", "10 documents"));
        let told = go(&Recorder(Mutex::default(), 2)).unwrap_err();
        assert!(matches!(told, DataError::Interrupted { domain } if domain == "d"));
    }

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

    #[test]
    fn a_real_sample_has_its_published_number_of_tokens() {
        let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        let sample = shared.join("redpajama-sample/cc");
        let Ok(tokenizer) = Tokenizer::from_file(&shared.join("llama-tokenizer/tokenizer.json"))
        else {
            println!("not run: {} is not there", shared.display());
            return;
        };
        let special = Special { bos: Some(1), eos: Some(2), vocab: 32_000 };
        let encode = |texts: &[String]| tokenizer.encode_batch(texts);
        let domain = load_domain("cc", &sample, &encode, special, &small(2), &Unwatched).unwrap();
        // The sample's README counts 20 documents and 55,616 tokens, BOS and EOS included.
        assert_eq!(domain.documents, 20);
        assert_eq!(domain.train.ids().len() + domain.eval.ids().len(), 55_616);
    }
}
