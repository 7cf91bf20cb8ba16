//! Broken files and options. Each script writes one file before it fails: that file stays, and
//! nothing else is in the folder.

use crate::command::{Bench, DOMAINS, MODEL};

/// What every script here writes before it fails.
const BEFORE: &str = "save_json(\"before.json\", 1);\n";

/// Runs `setup`, then `failing` as the last line; checks exit code, stderr, place and folder.
#[track_caller]
fn fails(bench: &Bench, setup: &str, failing: &str, parts: &[&str]) {
    let code = format!("{BEFORE}{setup}{failing}\n");
    let line = code.lines().count();
    let ended = bench.script(&code, &[]);
    let place = format!("--> script.rhai, line {line}, column ");
    let source = format!("{line} | {failing}");
    ended.with(1, &[&["error: ", &place, &source], parts].concat());
    assert_eq!(bench.files("out"), ["before.json"], "nothing is half-written");
}

/// Saves a sound model as the folder `model`, ready to be broken.
fn with_model() -> Bench {
    let bench = Bench::new();
    bench.script(&format!("{MODEL}model.save(\"../model\");"), &[]).ok();
    std::fs::remove_dir_all(bench.path("out")).expect("the folder the path went through");
    bench
}

#[test]
fn a_truncated_safetensors_is_named_with_its_sizes() {
    let bench = with_model();
    let whole = bench.read("model/model.safetensors");
    bench.write("model/model.safetensors", &whole[..whole.len() / 2]);
    let half = format!("has {} bytes", whole.len() / 2);
    let promised = format!("promises {}", whole.len());
    let parts = ["model/model.safetensors`", &half, &promised, "cut short"];
    fails(&bench, "", "load_model(\"model\");", &parts);
}

#[test]
fn a_config_that_lies_about_a_shape_is_named_with_field_and_tensor() {
    let bench = with_model();
    let config = String::from_utf8(bench.read("model/config.json")).expect("UTF-8");
    let lie = config.replace("\"intermediate_size\": 64", "\"intermediate_size\": 72");
    assert_ne!(lie, config);
    bench.write("model/config.json", lie);
    let parts = [
        "config.json says intermediate_size 72",
        "mlp.gate_proj.weight should be [72, 32]",
        "`model/model.safetensors` has [64, 32]",
    ];
    fails(&bench, "", "load_model(\"model\");", &parts);
}

#[test]
fn a_config_with_an_impossible_field_is_told_the_nearest_value() {
    let bench = with_model();
    let config = String::from_utf8(bench.read("model/config.json")).expect("UTF-8");
    bench.write("model/config.json", config.replace("\"head_dim\": 8", "\"head_dim\": 7"));
    let parts = ["model/config.json", "head_dim is 7", "nearest: 6 or 8"];
    fails(&bench, "", "load_model(\"model\");", &parts);
}

#[test]
fn a_missing_tokenizer_is_missed_when_text_is_read() {
    let bench = with_model();
    bench.domains("data");
    std::fs::remove_file(bench.path("model/tokenizer.json")).expect("removed");
    let parts = ["the model `model` has no tokenizer", "tokenizer.json is missing"];
    let load = "let model = load_model(\"model\");\n";
    fails(&bench, load, "load_domains(\"data\");", &parts);
    fails(&bench, load, "print(model.generate(\"the\"));", &parts);
}

#[test]
fn an_empty_domain_folder_is_named() {
    let bench = Bench::new();
    bench.domains("data");
    std::fs::create_dir_all(bench.path("data/three")).expect("an empty folder");
    let parts = [
        "domain folder data/three holds no data file, it is empty",
        ".jsonl or .txt (also .gz or .zst)",
    ];
    fails(&bench, MODEL, DOMAINS.trim_end(), &parts);
    std::fs::create_dir_all(bench.path("nothing")).expect("an empty folder");
    let parts = ["nothing holds no data, it is empty"];
    fails(&bench, MODEL, "load_domains(\"nothing\");", &parts);
}

#[test]
fn a_broken_line_17_is_named_with_file_line_and_column() {
    let bench = Bench::new();
    bench.domains("data");
    let good = "{\"text\": \"the small dog\"}\n";
    let lines = format!("{}{{\"text\": \"the\n{}", good.repeat(16), good.repeat(16));
    bench.write("data/two/b.jsonl", lines);
    let parts = ["data/two/b.jsonl line 17: not JSON", "at column 13"];
    fails(&bench, MODEL, DOMAINS.trim_end(), &parts);
}

#[test]
fn an_unknown_option_is_told_the_nearest_one() {
    let bench = Bench::new();
    bench.domains("data");
    let setup = format!("{MODEL}{DOMAINS}let target = target_shape(#{{hidden: 16}});\n");
    for (call, parts) in [
        (
            "let run = prune(model, target, domains, #{stepps: 5});",
            ["unknown option `stepps` of prune", "did you mean `steps`?"],
        ),
        (
            "let run = recover(model, domains, #{gate_lr: 1.0});",
            ["unknown option `gate_lr` of recover", "(known: steps, batch, accumulate, "],
        ),
        (
            "load_domains(\"data\", #{seqlen: 32});",
            ["unknown option `seqlen` of load_domains", "did you mean `seq_len`?"],
        ),
        (
            "target_shape(#{hiden: 16});",
            ["unknown option `hiden` of target_shape", "did you mean `hidden`?"],
        ),
        (
            "model.generate(\"the\", #{temprature: 1.0});",
            ["unknown option `temprature` of model.generate", "did you mean `temperature`?"],
        ),
    ] {
        fails(&bench, &setup, call, &parts);
    }
}

#[test]
fn an_option_of_the_wrong_kind_says_what_it_takes() {
    let bench = Bench::new();
    bench.domains("data");
    let setup = format!("{MODEL}{DOMAINS}");
    for (call, parts) in [
        (
            "target_shape(#{layers: \"three\"});",
            ["option `layers` of target_shape is three (text)", "a whole number"],
        ),
        ("recover(model, domains, #{lr: -1.0});", ["option `lr` is -1", "above 0"]),
        (
            "recover(model, domains, #{rule: \"doremy\"});",
            ["no mixture rule `doremy`", "did you mean `doremi`?"],
        ),
        (
            "recover(model, domains, #{mixture: #{one: 1}});",
            ["option `mixture` of recover", "lacks a number for `two`"],
        ),
    ] {
        fails(&bench, &setup, call, &parts);
    }
}

#[test]
fn a_target_larger_than_the_source_is_told_everything_that_is_wrong() {
    let bench = Bench::new();
    bench.domains("data");
    let setup = format!("{MODEL}{DOMAINS}");
    let call = "prune(model, target_shape(#{hidden: 48, layers: 3, heads: 3}), domains);";
    let parts = [
        "hidden 48: the source has 32, and pruning only removes; nearest legal value: 32",
        "layers 3: the source has 2",
        "heads 3: 2 query heads share each KV head",
    ];
    fails(&bench, &setup, call, &parts);
    let call = "prune(model, target_shape(#{hidden: 32}), domains);";
    fails(&bench, &setup, call, &["there is nothing to prune"]);
}

#[test]
fn a_model_that_is_nowhere_is_told_where_it_was_looked_for() {
    let parts = ["there is no model `nowhere`", "looked for the folder", "hub id"];
    fails(&Bench::new(), "", "load_model(\"nowhere\");", &parts);
    let parts = ["HF_HUB_OFFLINE", "config.json of `nobody/nothing`"];
    let bench = Bench::new();
    let load = "load_model(\"nobody/nothing\", #{cache_dir: \"cache\"});";
    fails(&bench, "", load, &parts);
}

#[test]
fn a_folder_with_other_files_is_not_saved_into() {
    let bench = Bench::new();
    bench.write("out/thesis.tex", "years of work");
    let ended = bench.script(&format!("{MODEL}model.save(\".\");"), &[]);
    ended.with(1, &["holds other files (thesis.tex)", "script.rhai, line 2, column 7"]);
    assert_eq!(bench.files("out"), ["thesis.tex"]);
}
