use std::collections::BTreeMap;
use std::sync::Mutex;

use super::super::domains::{Domain, Domains};
use super::*;
use crate::model::save::tiny;
use crate::progress::Unwatched;

const SPECIAL: Special = Special { bos: Some(1), eos: Some(2), vocab: 8 };

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(Path::new("tokenizer.json"), tiny::TOKENIZER.into()).unwrap()
}

/// Documents that differ from each other: the n-th has n words, at most 40.
fn lines(from: usize, to: usize) -> String {
    let words = |n: usize| -> Vec<&str> {
        (0..n % 40 + 1).map(|i| ["the", "sheep", "and", "wool"][(i * i + n) % 4]).collect()
    };
    (from..to).map(|n| format!("{{\"text\": \"{}\"}}\n", words(n).join(" "))).collect()
}

/// Two domains of text, one in two files.
fn source() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("book/all.txt", "the sheep and the wool\n".repeat(60)),
        ("wiki/1.jsonl", lines(0, 90)),
        ("wiki/2.jsonl", lines(90, 200)),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn options(format: PrepareFormat) -> PrepareOptions {
    PrepareOptions { format, seq_len: 16, eval_rows: 5, size_limit: 2_000, ..Default::default() }
}

fn run(source: &Path, out: &Path, options: &PrepareOptions) -> Result<Prepared, DataError> {
    prepare(source, out, &tokenizer(), SPECIAL, options, &Unwatched)
}

fn load(dir: &Path) -> Result<Domains, DataError> {
    let options = DomainOptions { seq_len: 16, eval_rows: 5, ..DomainOptions::default() };
    Domains::load(dir, &tokenizer(), SPECIAL, &options, &Unwatched)
}

/// Every file below a folder and its bytes.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(k, v)| (path.join(k), v)));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found.into_iter().map(|(k, v)| (k.strip_prefix(dir).unwrap_or(&k).into(), v)).collect()
}

const BOTH: [PrepareFormat; 2] = [PrepareFormat::Tokens, PrepareFormat::Mds];

#[test]
fn prepared_data_loads_as_the_text_it_was_made_from() {
    let source = source();
    let text = load(source.path()).unwrap();
    for format in BOTH {
        let out = tempfile::tempdir().unwrap();
        let told = run(source.path(), out.path(), &options(format)).unwrap();
        let prepared = load(&told.dir).unwrap();
        assert_eq!(prepared.names(), ["book", "wiki"]);
        for (domain, told) in text.domains.iter().zip(&told.domains) {
            let same = prepared.domain(&domain.name).unwrap();
            let train = |domain: &Domain| domain.train.to_memory().unwrap();
            assert_eq!((train(same), &same.eval), (train(domain), &domain.eval), "{format:?}");
            assert!(same.train.is_mapped());
            assert_eq!((told.documents as usize, told.bytes), (domain.documents, domain.bytes));
            let rows = domain.train.tokens() + domain.eval.ids().len();
            assert_eq!(told.tokens as usize / 16 * 16, rows);
        }
        assert_eq!(told.domains[1].files, 2);
    }
}

/// Asks to stop at the `0`-th tick.
struct Stop(usize, Mutex<usize>);

impl Watch for Stop {
    fn tick(&self, _: &Progress) {
        *self.1.lock().unwrap() += 1;
    }

    fn stop_requested(&self) -> bool {
        *self.1.lock().unwrap() >= self.0
    }
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let source = source();
    for format in BOTH {
        let straight = tempfile::tempdir().unwrap();
        run(source.path(), straight.path(), &options(format)).unwrap();
        let mut stops = 0;
        let mut reused = 0;
        for at in 1.. {
            let out = tempfile::tempdir().unwrap();
            let stop = Stop(at, Mutex::new(0));
            let all = options(format);
            match prepare(source.path(), out.path(), &tokenizer(), SPECIAL, &all, &stop) {
                Err(error) => assert!(matches!(error, DataError::Interrupted { .. }), "{error}"),
                Ok(_) => break,
            }
            stops += 1;
            let told = run(source.path(), out.path(), &options(format)).unwrap();
            reused += told.domains.iter().map(|d| d.files_reused).sum::<usize>();
            assert_eq!(tree(out.path()), tree(straight.path()), "{format:?} stopped at tick {at}");
        }
        assert!(stops > 4 && reused > 3, "{stops} stops, {reused} files reused");
    }
}

#[test]
fn only_what_changed_is_done_again() {
    for format in BOTH {
        let (source, out) = (source(), tempfile::tempdir().unwrap());
        let go = || run(source.path(), out.path(), &options(format)).unwrap();
        let reused = |told: &Prepared| -> Vec<usize> {
            told.domains.iter().map(|domain| domain.files_reused).collect()
        };
        let (first, again) = (go(), go());
        assert_eq!((reused(&first), reused(&again)), (vec![0, 0], vec![1, 2]));
        assert_eq!(first.domains[1].tokens, again.domains[1].tokens);

        fs::write(source.path().join("wiki/2.jsonl"), lines(80, 190)).unwrap();
        let changed = go();
        assert_eq!(reused(&changed)[0], 1);
        let straight = tempfile::tempdir().unwrap();
        run(source.path(), straight.path(), &options(format)).unwrap();
        assert_eq!(tree(out.path()), tree(straight.path()));

        // A damaged output is not trusted.
        let broken = match format {
            PrepareFormat::Tokens => out.path().join("book/all.txt.tokens"),
            PrepareFormat::Mds => out.path().join("eval/book/index.json"),
        };
        fs::write(&broken, "damaged").unwrap();
        assert_eq!(reused(&go())[1], 2);
        assert_eq!(tree(out.path()), tree(straight.path()));

        // What is gone from the source is gone from the result.
        fs::remove_dir_all(source.path().join("book")).unwrap();
        fs::remove_file(source.path().join("wiki/1.jsonl")).unwrap();
        go();
        let straight = tempfile::tempdir().unwrap();
        run(source.path(), straight.path(), &options(format)).unwrap();
        assert_eq!(tree(out.path()), tree(straight.path()));
        assert_eq!(load(out.path()).unwrap().names(), ["wiki"]);
    }
}

#[test]
fn folders_that_must_not_be_mixed_are_kept_apart() {
    let (source, out) = (source(), tempfile::tempdir().unwrap());
    let tokens = options(PrepareFormat::Tokens);
    let told = |source: &Path, out: &Path, options: &PrepareOptions| {
        run(source, out, options).unwrap_err().to_string()
    };
    let inside = told(source.path(), &source.path().join("wiki/out"), &tokens);
    assert!(
        inside.starts_with("out is ") && inside.contains("must be a folder outside"),
        "{inside}"
    );
    assert!(!source.path().join("wiki/out").exists());
    let around = source.path().join("../not-yet/../");
    let around = around.join(source.path().file_name().unwrap()).join("out");
    let inside = told(source.path(), &around, &tokens);
    assert!(inside.contains("must be a folder outside"), "{inside}");

    fs::write(out.path().join("thesis.tex"), "").unwrap();
    let foreign = told(source.path(), out.path(), &tokens);
    assert!(foreign.contains("holds only thesis.tex, which `prepare` did not write"), "{foreign}");
    fs::remove_file(out.path().join("thesis.tex")).unwrap();

    run(source.path(), out.path(), &tokens).unwrap();
    let other = told(source.path(), out.path(), &PrepareOptions { seq_len: 32, ..tokens.clone() });
    assert!(other.contains("prepared with seq_len 16, not 32: choose another folder"), "{other}");
    let second = tempfile::tempdir().unwrap();
    let again = told(out.path(), second.path(), &tokens);
    assert!(again.contains("book holds tokens already: load it as it is"), "{again}");
}

#[test]
fn tokens_of_another_tokenizer_are_refused() {
    let source = source();
    let other = tiny::TOKENIZER.replace("\"version\": \"1.0\"", "\"version\":  \"1.0\"");
    let other = Tokenizer::from_bytes(Path::new("other"), other.into()).unwrap();
    for format in BOTH {
        let out = tempfile::tempdir().unwrap();
        run(source.path(), out.path(), &options(format)).unwrap();
        let options = DomainOptions { seq_len: 16, ..DomainOptions::default() };
        let told = Domains::load(out.path(), &other, SPECIAL, &options, &Unwatched).unwrap_err();
        assert!(
            told.to_string().contains("prepared.json was made with another tokenizer"),
            "{told}"
        );
    }
}

#[test]
fn a_fault_of_the_text_keeps_what_was_done_before_it() {
    let (source, out) = (source(), tempfile::tempdir().unwrap());
    let tokens = options(PrepareFormat::Tokens);
    fs::write(source.path().join("wiki/2.jsonl"), lines(0, 3) + "{]\n").unwrap();
    let told = run(source.path(), out.path(), &tokens).unwrap_err().to_string();
    assert!(told.contains("wiki/2.jsonl line 4: not JSON"), "{told}");
    let names: Vec<PathBuf> = tree(out.path()).into_keys().collect();
    let want = ["book/all.txt.tokens", "prepared.json", "wiki/1.jsonl.tokens"];
    assert_eq!(names, want.map(PathBuf::from));
    fs::write(source.path().join("wiki/2.jsonl"), lines(0, 3)).unwrap();
    let told = run(source.path(), out.path(), &tokens).unwrap();
    assert_eq!(told.domains[1].files_reused, 1);
}
