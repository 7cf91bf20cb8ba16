//! Text to tokens on the disk, and the names that documents and tokens go by.

use crate::command::{Bench, MODEL};
use crate::replay::replays_in;

/// A scratch folder with text in the folder `data`.
fn with_text() -> Bench {
    let bench = Bench::new();
    bench.domains("data");
    bench
}

#[test]
fn prepared_token_files_give_the_rows_of_the_text() {
    let bench = with_text();
    let code = format!(
        "{MODEL}let done = prepare(\"data\", \"tokens\");\n\
         print(done.column(\"domain\"));\nprint(done.column(\"documents\"));\n\
         let o = #{{seq_len: 32}};\n\
         let text = load_domains(\"data\", o);\nlet tokens = load_domains(\"tokens\", o);\n\
         print(recover(model, text, #{{batch: 2}}).step(2).loss == recover(model, tokens, #{{batch: 2}}).step(2).loss);\n\
         print(text.table().column(\"tokens\") == tokens.table().column(\"tokens\"));\n\
         print(done.column(\"reused\"));\n\
         print(prepare(\"data\", \"tokens\").column(\"reused\"));"
    );
    let ended = bench.script(&code, &[]);
    let lines: Vec<&str> = ended.ok().lines().collect();
    assert_eq!(lines[..4], ["[\"one\", \"two\"]", "[40, 40]", "true", "true"], "{lines:?}");
    assert_eq!(lines[4..], ["[0, 0]", "[1, 1]"], "{lines:?}");
    assert!(bench.files("out").iter().all(|f| f.starts_with("tokens/")), "relative to --out");
}

#[test]
fn prepared_shards_hold_whole_rows_and_are_loaded() {
    let bench = with_text();
    let code = format!(
        "{MODEL}let how = #{{format: \"mds\", seq_len: 16, eval_fraction: 0.25, eval_rows: 4, zstd: 3,\
             size_limit: 100000, text_field: \"text\", model: model}};\n\
         prepare(\"data\", \"shards\", how);\n\
         let domains = load_domains(\"shards\", #{{seq_len: 16, token_type: \"u16\"}});\n\
         print(domains.table().column(\"eval rows\"));\n\
         let run = recover(model, domains, #{{batch: 2}});\nlet stands = run.step(2);"
    );
    assert_eq!(bench.script(&code, &[]).ok().trim(), "[4, 4]");
    assert!(bench.files("out").iter().any(|file| file.ends_with(".mds.zstd")), "compressed");
}

#[test]
fn a_wrong_option_of_preparing_or_loading_is_told_the_nearest() {
    #[track_caller]
    fn fails(code: &str, parts: &[&str]) {
        let bench = with_text();
        bench.script(&format!("{MODEL}{code}"), &[]).with(1, parts);
        let tokens = |file: &String| file.ends_with(".tokens") || file.ends_with(".mds");
        assert!(!bench.files("out").iter().any(tokens), "nothing is half-written");
        let empty = |file: &String| file.ends_with('/') && file != "tokens/";
        assert!(!bench.files("out").iter().any(empty), "{:?}", bench.files("out"));
    }
    let prepare = |options: &str, parts: &[&str]| {
        fails(&format!("prepare(\"data\", \"tokens\", #{{{options}}});"), parts);
    };
    prepare("fromat: \"mds\"", &["unknown option `fromat` of prepare; did you mean `format`?"]);
    prepare("format: \"msd\"", &["`format` of prepare is \"msd\"; did you mean \"mds\"?"]);
    prepare("seq_len: 64", &["`seq_len` of prepare is of shards", "add `format: \"mds\"`"]);
    prepare("format: \"mds\", zstd: 23", &["zstd is 23", "between 1 and 22"]);
    prepare("format: \"mds\", size_limit: 0", &["size_limit is 0", "between 1 and"]);
    prepare("model: \"demo\"", &["option `model` of prepare is demo (text); it takes a Model"]);
    prepare("text_field: \"body\"", &["a.jsonl", "body"]);
    fails("prepare(\"nothing\", \"tokens\");", &["nothing"]);
    let inside = "save_json(\"x.json\", 1);\nprepare(\"data\", \"../data/tokens\");";
    fails(inside, &["a folder outside data"]);
    let load = |options: &str, parts: &[&str]| {
        fails(&format!("load_domains(\"data\", #{{{options}}});"), parts);
    };
    load("token_typ: \"u16\"", &["did you mean `token_type`?"]);
    load("token_type: \"u61\"", &["`token_type` of load_domains is \"u61\"", "\"u16\""]);
    load("text_field: 3", &["option `text_field` of load_domains is 3 (int); it takes a text"]);
    load("tokens_field: \"\"", &["tokens_field is empty"]);
    load("text_field: \"body\"", &["a.jsonl", "body"]);
    Bench::new()
        .script("prepare(\"data\", \"tokens\");", &[])
        .with(1, &["prepare reads text with the tokenizer of a model", "load one first"]);
}

#[test]
fn the_names_of_fields_and_the_type_of_ids_are_made_again() {
    let run = "let run = recover(model, domains, #{batch: 2});\nrun.step(2);\nprint(run.script());";
    let bench = Bench::new();
    let line = "{\"body\": \"the small dog saw 7 + 8 = 1 5 ; and the old cat saw it too\"}\n";
    bench.write("bodies/one/a.jsonl", line.repeat(40));
    let fields = "#{seq_len: 16, text_field: \"body\", tokens_field: \"ids\"}";
    let load = format!("let domains = load_domains(\"bodies\", {fields});\n");
    let printed = replays_in(&bench, &format!("{MODEL}{load}{run}"));
    assert!(printed.contains("text_field: \"body\", tokens_field: \"ids\""), "{printed}");

    let bench = with_text();
    let shards = "prepare(\"data\", \"shards\", #{format: \"mds\", seq_len: 16});\n\
                  let domains = load_domains(\"shards\", #{seq_len: 16, token_type: \"uint16\"});\n";
    let printed = replays_in(&bench, &format!("{MODEL}{shards}{run}"));
    assert!(printed.contains("token_type: \"u16\""), "{printed}");
}
