use std::fs;
use std::sync::Mutex;

use super::super::formats::mds::{MdsColumn, MdsOptions, MdsWriter};
use super::super::formats::tokens_write::{Origin, TokenWriter};
use super::super::golden;
use super::*;
use crate::data::Loader;
use crate::model::ModelError;
use crate::progress::{Progress, Unwatched};

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
    load(dir, &characters, [0; 32], SPECIAL, options, &Unwatched)
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
        (text(book.eval.ids()), text(book.train.to_memory().unwrap().ids())),
        ("<012".into(), "34567 89>".replace(' ', "")[..8].into())
    );
    // <abc d><e fgh> <ijk >: the file of the first name comes first, the remainder is dropped.
    assert_eq!(
        (text(wiki.eval.ids()), text(wiki.train.to_memory().unwrap().ids())),
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
    let train = |domains: &Domains| domains.domains[0].train.to_memory().unwrap();
    let (short, long) = (train(&short), train(&long));
    assert_eq!(short.ids(), &long.ids()[..short.ids().len()]);
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
    let read = load(dir.path(), &encode, [0; 32], special, &options, &Unwatched).unwrap();
    for domain in &made.domains {
        let read = read.domain(&domain.name).unwrap();
        let train = |domain: &Domain| domain.train.to_memory().unwrap();
        assert_eq!((train(read), &read.eval), (train(domain), &domain.eval));
        assert_eq!((read.documents, read.bytes), (domain.documents, domain.bytes));
    }
}

#[test]
fn a_folder_that_is_no_data_folder_is_explained() {
    let missing = Path::new("no/such/folder");
    let told = read(missing, &small(4)).unwrap_err().to_string();
    assert!(told.starts_with("there is no folder no/such/folder: give the folder"), "{told}");
    let told = error(&[("a.pdf", "text")], &small(4));
    assert!(told.starts_with("DATA holds no data, only a.pdf"), "{told}");
    assert!(error(&[], &small(4)).contains("DATA holds no data, it is empty"));
    let told = error(&[("train.jsonl", ""), ("extra.jsonl", "")], &small(4));
    assert!(told.contains("DATA holds `extra` beside `train`"), "{told}");
    let told = error(&[("book/a.pdf", ""), ("book/b.json", "")], &small(4));
    assert!(told.contains("DATA/book holds no data file, only a.pdf, b.json"), "{told}");
    assert!(told.contains(".jsonl or .txt (also .gz or .zst)"), "{told}");
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
    let dir = folder(&[("book/x.jsonl", "{\"text\": \"fine\"}\n{\"text\": \"\u{e9}t\u{e9}\"}\n")]);
    let special = Special { vocab: 128, ..SPECIAL };
    let told = load(dir.path(), &characters, [0; 32], special, &small(4), &Unwatched).unwrap_err();
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
    let go =
        |recorder: &Recorder| load(dir.path(), &characters, [0; 32], SPECIAL, &small(16), recorder);
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
fn a_real_sample_has_its_published_number_of_tokens() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let sample = shared.join("redpajama-sample/cc");
    let Ok(tokenizer) = Tokenizer::from_file(&shared.join("llama-tokenizer/tokenizer.json")) else {
        println!("not run: {} is not there", shared.display());
        return;
    };
    let special = Special { bos: Some(1), eos: Some(2), vocab: 32_000 };
    let dir = folder(&[]);
    fs::create_dir(dir.path().join("cc")).unwrap();
    for file in sample.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, dir.path().join("cc").join(file.file_name().unwrap())).unwrap();
    }
    let domains = Domains::load(dir.path(), &tokenizer, special, &small(2), &Unwatched).unwrap();
    // The sample's README counts 20 documents and 55,616 tokens, BOS and EOS included.
    let cc = &domains.summary()[0];
    assert_eq!((cc.documents, cc.tokens), (20, 55_616));
}

/// Token ids below 32,000 that look like text: no other type than theirs fits them.
fn ids(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| 1 + i * 7_919 % 31_999).collect()
}

const LLAMA: Special = Special { bos: Some(1), eos: Some(2), vocab: 32_000 };

fn read_llama(dir: &Path, options: &DomainOptions) -> Result<Domains, DataError> {
    load(dir, &characters, [0; 32], LLAMA, options, &Unwatched)
}

#[test]
fn the_golden_folders_of_the_public_code_load_as_they_are() {
    for dir in golden::folders("shearing/mds") {
        let summary = fs::read(dir.join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        let domains = read_llama(&dir, &small(64)).unwrap();
        assert!(domains.names().contains(&"cc".to_string()));
        for domain in &domains.domains {
            let told = &summary["splits"][format!("for_prune/{}", domain.name)];
            assert_eq!(domain.train.len() as u64, told["samples"].as_u64().unwrap());
            // 28 samples of evaluation, 4 for each of seven domains.
            assert_eq!(domain.eval.len(), 4);
            let ends = |row: &[u32], range: std::ops::Range<usize>| {
                row[range].iter().map(|id| f64::from(*id)).collect::<Vec<_>>()
            };
            let last = domain.train.row(domain.train.len() - 1).unwrap();
            assert_eq!(
                ends(&domain.train.row(0).unwrap(), 0..8),
                golden::numbers(&told["first_tokens"])
            );
            assert_eq!(ends(&last, 56..64), golden::numbers(&told["last_tokens"]));
            assert!(domain.train.is_mapped());
        }
        // Another T joins samples or cuts them: the tokens are the same.
        let all = |t| {
            let domains = read_llama(&dir, &small(t)).unwrap();
            domains.domains[0].train.to_memory().unwrap().ids().to_vec()
        };
        let whole = all(64);
        assert_eq!(all(16), whole);
        assert_eq!(all(100), whole[..1_500]);
    }
}

#[test]
fn a_folder_says_by_its_files_what_it_holds() {
    let text = |dir: &tempfile::TempDir| {
        let domains = read(dir.path(), &small(4)).unwrap();
        text(domains.domains[0].train.to_memory().unwrap().ids())
    };
    let plain = folder(&[("d/x.txt", "some words of a document")]);
    let want = text(&plain);
    let shards = folder(&[]);
    let columns = [("text", MdsColumn::Text), ("id", MdsColumn::Bytes)];
    let options = MdsOptions::default();
    let mut writer = MdsWriter::create(&shards.path().join("d"), &columns, &options).unwrap();
    writer.write(&[b"7", b"some words of a document"]).unwrap();
    writer.finish().unwrap();
    assert_eq!(text(&shards), want);
    fs::write(shards.path().join("d/more.jsonl"), "").unwrap();
    let told = read(shards.path(), &small(4)).unwrap_err().to_string();
    assert!(told.contains("/d holds index.json and more.jsonl side by side"), "{told}");
    let told = error(&[("d/shard.00000.mds", "")], &small(4));
    assert!(told.contains("only shard.00000.mds") && told.contains("their index.json"), "{told}");
}

#[test]
fn evaluation_rows_of_their_own_leave_every_other_row_to_train_on() {
    let own = "{\"text\": \"0123456789abcdef\"}";
    let dir = folder(&[("eval/d/x.jsonl", own), ("for_prune/d/x.txt", "ABCDEFGHIJKLMN")]);
    let domains = read(dir.path(), &small(4)).unwrap();
    let d = &domains.domains[0];
    assert_eq!((d.eval.len(), d.train.len(), d.files.len()), (4, 4, 2));
    assert_eq!(text(d.train.to_memory().unwrap().ids()), "<ABCDEFGHIJKLMN>");
    assert_eq!(text(d.eval.ids()), "<0123456789abcde");
    let dir = folder(&[("eval/e/x.jsonl", own), ("for_prune/d/x.txt", "ABCDEFGHIJKLMN")]);
    let told = read(dir.path(), &small(4)).unwrap_err().to_string();
    assert!(told.contains("no evaluation rows of domain `d` in"), "{told}");
    let dir = folder(&[("eval/d/x.jsonl", own), ("for_prune/d/x.txt", "A")]);
    let told = read(dir.path(), &small(4)).unwrap_err().to_string();
    assert!(told.contains("3 training tokens, too few for one row of seq_len 4"), "{told}");
}

#[test]
fn token_files_give_the_rows_of_any_length_and_stay_on_disk() {
    let dir = folder(&[]);
    fs::create_dir(dir.path().join("d")).unwrap();
    let ids = ids(50_000);
    for (name, ids) in [("a.jsonl.tokens", &ids[..20_001]), ("a.jsonl.gz.tokens", &ids[20_001..])] {
        let path = dir.path().join("d").join(name);
        let mut writer = TokenWriter::create(&path, 32_000).unwrap();
        writer.push(ids).unwrap();
        let origin = Origin { seq_len: 64, documents: 3, text_bytes: 9, tokenizer: [0; 32] };
        writer.finish(origin).unwrap();
    }
    for seq_len in [7, 64, 4_096] {
        let options = DomainOptions { eval_rows: 3, ..small(seq_len) };
        let domains = read_llama(dir.path(), &options).unwrap();
        let d = &domains.domains[0];
        assert!(d.train.is_mapped());
        assert_eq!((d.documents, d.bytes, d.eval.len()), (6, 18, 3));
        let (eval, rows) = (d.eval.ids(), d.train.to_memory().unwrap());
        assert_eq!([eval, rows.ids()].concat(), ids[..50_000 / seq_len * seq_len]);
        let limit = DomainOptions { max_tokens: Some(30_000), ..options };
        let short = read_llama(dir.path(), &limit).unwrap();
        assert_eq!(short.summary()[0].tokens, 30_000 / seq_len * seq_len);
        assert_ne!(short.hash, domains.hash);
    }
    let told = load(dir.path(), &characters, [1; 32], LLAMA, &small(64), &Unwatched).unwrap_err();
    assert!(told.to_string().contains("a.jsonl.tokens was made with another tokenizer"), "{told}");
}

#[test]
fn a_damaged_row_on_disk_stops_the_loader_where_it_stands() {
    let dir = folder(&[]);
    fs::create_dir(dir.path().join("d")).unwrap();
    let path = dir.path().join("d/a.tokens");
    let mut writer = TokenWriter::create(&path, 32_000).unwrap();
    writer.push(&ids(50_000)).unwrap();
    let origin = Origin { seq_len: 64, documents: 3, text_bytes: 9, tokenizer: [0; 32] };
    writer.finish(origin).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // A token of the last fifth of the file.
    bytes[90_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    let domains = Arc::new(read_llama(dir.path(), &small(64)).unwrap());
    let mut loader = Loader::new(domains, 17);
    let mut sound = 0;
    let (before, error) = loop {
        let before = loader.state();
        match loader.next_batch(&[1.0], 2) {
            Ok(batch) => sound += batch.domains.len(),
            Err(error) => break (before, error.to_string()),
        }
    };
    assert!(error.contains("a.tokens sample 640: tokens 40960 to 49151 do not fit"), "{error}");
    assert_eq!(loader.state(), before);
    assert!(sound > 0, "the first rows are sound");
}

#[test]
fn a_folder_without_sub_folders_has_a_domain_a_file() {
    let dir = folder(&[
        ("arxiv_sample.jsonl", "{\"text\": \"abcdefgh\"}\n"),
        ("web-00000-of-00002.jsonl", "{\"text\": \"ijklmnop\"}\n"),
        ("web-00001-of-00002.jsonl", "{\"text\": \"qrstuvwx\"}\n"),
        ("licence.txt", "as you like"),
    ]);
    let domains = read(dir.path(), &small(4)).unwrap();
    assert_eq!(domains.names(), ["arxiv_sample", "web"]);
    assert_eq!(domains.domains[1].documents, 2);
}

#[test]
fn parts_called_train_and_validation_are_one_domain() {
    let line = |text: &str| format!("{{\"text\": \"{text}\"}}\n");
    let (train, other) = (line("abcdefghijkl"), line("mnopqrstuvwx"));
    let flat: [(&str, &str); 3] = [
        ("all/train-00000-of-00001.jsonl", &train),
        ("all/validation-00000-of-00001.jsonl", &other),
        ("all/test.jsonl", "not read"),
    ];
    let nested: [(&str, &str); 2] = [("all/train/a.jsonl", &train), ("all/val/a.jsonl", &other)];
    let inside: [(&str, &str); 2] = [("all/x/train.jsonl", &train), ("all/x/dev.jsonl", &other)];
    for (files, name) in [(&flat[..], "all"), (&nested[..], "all"), (&inside[..], "x")] {
        let dir = folder(files);
        let domains = read(&dir.path().join("all"), &small(4)).unwrap();
        assert_eq!(domains.names(), [name]);
        let domain = &domains.domains[0];
        assert_eq!(text(domain.train.to_memory().unwrap().ids()), "<abcdefghijk");
        assert_eq!(text(domain.eval.ids()), "<mnopqrstuvw");
    }
}
