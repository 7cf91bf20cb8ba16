//! Data of the hub, from a cache that holds it already: no test asks the hub.

use crate::command::{Bench, MODEL};
use crate::replay::replays_in;

const COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

/// A folder with a cache in it, as Hugging Face's tools leave one, that holds the data set `org/set`:
/// two domains in the folder `sample`, one of them in parts.
fn with_cache() -> Bench {
    let bench = Bench::new();
    let set = "cache/datasets--org--set";
    bench.write(&format!("{set}/refs/main"), COMMIT);
    let line = |text: &str| format!("{{\"text\": \"{text}\"}}\n").repeat(60);
    for (place, text) in [
        ("sample/one/a.jsonl", "the small dog sees the old cat"),
        ("sample/one/b.jsonl", "the old cat sees the small dog"),
        ("sample/two/train-00000-of-00002.jsonl", "the dog runs"),
        ("sample/two/train-00001-of-00002.jsonl", "the cat runs"),
        ("sample/two/test.jsonl", "the old dog"),
        ("README.md", "nothing"),
    ] {
        bench.write(&format!("{set}/snapshots/{COMMIT}/{place}"), line(text));
    }
    bench
}

const HOW: &str = "path: \"sample\", cache_dir: \"cache\", offline: true, seq_len: 16";

#[test]
fn a_data_set_of_the_hub_is_loaded_from_the_cache() {
    let bench = with_cache();
    let code = format!(
        "{MODEL}let all = load_domains(\"org/set\", #{{{HOW}}});\n\
         print(all.names());\nprint(all.table().column(\"documents\"));\n\
         let few = load_domains(\"org/set\", #{{files: 1, {HOW}}});\n\
         print(few.table().column(\"documents\"));\n\
         print(recover(model, all, #{{batch: 2}}).step(2).step);\n\
         let how = #{{path: \"sample\", cache_dir: \"cache\", offline: true}};\n\
         print(prepare(\"org/set\", \"tokens\", how).column(\"files\"));"
    );
    let ended = bench.script(&code, &[]);
    let lines: Vec<&str> = ended.ok().lines().collect();
    assert_eq!(lines, ["[\"one\", \"two\"]", "[120, 120]", "[60, 60]", "2", "[2, 2]"]);
}

#[test]
fn a_run_on_data_of_the_hub_names_the_commit_in_its_script() {
    let bench = with_cache();
    // The printed script names no cache: it asks the one that the environment names.
    let printed = replays_in(
        &bench,
        &format!(
            "{MODEL}let domains = load_domains(\"org/set\", #{{files: 1, {HOW}}});\n\
             let run = recover(model, domains, #{{batch: 2}});\nrun.step(2);\nprint(run.script());"
        ),
    );
    for part in ["load_domains(\"org/set\"", COMMIT, "path: \"sample\"", "files: 1"] {
        assert!(printed.contains(part), "{part}:\n{printed}");
    }
}

#[test]
fn what_the_hub_or_the_cache_lacks_is_named() {
    #[track_caller]
    fn fails(load: &str, parts: &[&str]) {
        with_cache().script(&format!("{MODEL}{load}"), &[]).with(1, parts);
    }
    let with = |from: &str, options: &str| format!("load_domains(\"{from}\", #{{{options}}});");
    let offline = "cache_dir: \"cache\", offline: true";
    let parts = ["there is no folder `org/other`", "as a data set of the hub: offline"];
    fails(&with("org/other", offline), &parts);
    let parts = ["holds no data in its folder `samples`", "`path`: `sample`"];
    fails(&with("org/set", &format!("{offline}, path: \"samples\"")), &parts);
    let parts = ["option `files` is of data of the hub, and `demo-text` is no hub id"];
    fails(&with("demo-text", "files: 3"), &parts);
    fails(&with("org/set", "file: 3"), &["unknown option `file`", "did you mean `files`?"]);
}
