//! `run.script()`: printed in one session, run in another, the same hash.

use crate::command::{Bench, MODEL};

/// Runs a script that prints another, and runs that one in a fresh session, which compares hashes.
#[track_caller]
pub fn replays(recipe: &str) -> String {
    let bench = Bench::new();
    bench.domains("data");
    replays_in(&bench, recipe)
}

/// As [`replays`], in a folder with other data.
#[track_caller]
pub fn replays_in(bench: &Bench, recipe: &str) -> String {
    let printed = bench.script(recipe, &["--seed", "5"]).ok().to_string();
    assert!(printed.contains(".hash() != \""), "no check at the end:\n{printed}");
    // Without the first session's seed: what a script needs, it says.
    bench.write("again.rhai", &printed);
    let ended = bench.run(&["run", "again.rhai", "--out", "out"]);
    assert_eq!(ended.code, Some(0), "{}\n{printed}", ended.stderr);
    printed
}

/// Demo domains small enough for a test.
pub const DEMO: &str = "let domains = load_domains(\"demo\", #{seq_len: 32, max_tokens: 3000});\n";

#[test]
fn a_run_with_many_options_is_made_again() {
    let printed = replays(&format!(
        "{MODEL}{DEMO}\
         let run = prune(model, target_shape(#{{layers: 1, hidden: 24, intermediate: 48}}), domains, #{{\
             steps: 40, batch: 2, lr: 0.00123456789012345678, lr_warmup: 3, lr_floor: 0.0, clip: 2,\
             beta1: 0.8, beta2: 0.99, weight_decay: 1e-3, seed: 9007199254740993, eval_every: 2,\
             rule: \"doremi-clipped\", mixture: [1, 2, 3, 4, 5], eta: 0.5, smoothing: 1e-7,\
             reference: \"floor\", gates: [\"head_layer\", \"mlp\", \"intermediate\", \"hidden\"],\
             gate_lr: 0.7, multiplier_lr: 3, sparsity_warmup: 4, mask_embeddings: false,\
             temperature: 0.5}});\n\
         run.step(5);\nprint(run.script());"
    ));
    assert!(printed.contains("seed: 9007199254740993"), "{printed}");
}

#[test]
fn a_recovery_of_an_extracted_model_is_made_again_with_both_runs() {
    let printed = replays(&format!(
        "{MODEL}{DEMO}\
         let first = prune(model, target_shape(#{{layers: 1}}), domains, #{{batch: 2}});\n\
         first.step(3);\n\
         let second = recover(first.extract(), domains, #{{batch: 2, reference: #{{\
             story: 1.5, walk: 1, sums: 1.25, copy: 2.5, lookup: 1e-3}}}});\n\
         second.step(2);\nprint(second.script());"
    ));
    assert_eq!(printed.matches("new_model(").count(), 1, "{printed}");
    assert_eq!(printed.matches("load_domains(").count(), 1, "equal parts stand once:\n{printed}");
    assert!(printed.contains(".extract();"), "{printed}");
}

#[test]
fn every_way_to_take_a_step_is_made_again() {
    let start = "let run = prune(model, target_shape(#{layers: 1}), domains, #{batch: 2, ";
    let end = "run.step(3);\nrun.set(#{accumulate: 3, recompute: true});\nrun.step(1);\n\
               run.set(#{accumulate: 1, recompute: false});\nrun.step(1);\nprint(run.script());";
    for (given, written) in [
        ("accumulate: 2", "accumulate: 2"),
        ("recompute: true", "recompute: true"),
        ("distill: 0.25", "distill: #{weight: 0.25, temperature: 1.0}"),
        ("distill: #{temperature: 2}", "distill: #{weight: 0.5, temperature: 2.0}"),
        ("lora: 4, dtype: \"f32\"", "lora: #{rank: 4, alpha: 8.0, targets: [\"q\", \"k\", "),
        (
            "lora: #{rank: 2, alpha: 3, targets: [\"up\", \"q\"]}",
            "lora: #{rank: 2, alpha: 3.0, targets: [\"up\", \"q\"]}",
        ),
    ] {
        let printed = replays(&format!("{MODEL}{DEMO}{start}{given}}});\n{end}"));
        assert!(printed.contains(written), "{written}:\n{printed}");
        assert!(printed.contains("run.set(#{accumulate: 3, recompute: true});"), "{printed}");
    }
}

#[test]
fn a_recovery_with_a_teacher_is_made_again_with_the_teacher() {
    let cut = "let small = model.magnitude_cut(target_shape(#{layers: 1}));\n";
    let recover = |options: &str| {
        replays(&format!(
            "{MODEL}{DEMO}{cut}let run = recover(small, domains, #{{batch: 2, {options}}});\n\
             run.step(2);\nprint(run.script());"
        ))
    };
    let printed = recover("teacher: model, distill: 0.5, accumulate: 2, recompute: true");
    assert!(
        printed.contains("recover(model_2, ") && printed.contains("teacher: model}"),
        "{printed}"
    );
    assert_eq!(printed.matches("new_model(").count(), 1, "the teacher stands once:\n{printed}");
    recover("teacher: small, distill: 1, lora: 4");
    // A teacher from a folder is compared by its hash before any step is taken.
    let printed = recover("teacher: load_model(model.save(\"taught-by\")), distill: 0.5");
    assert!(printed.contains("this teacher is not the one"), "{printed}");
}

#[test]
fn the_best_model_of_a_recovery_is_made_again() {
    let worse = "let run = recover(model, domains, #{batch: 2, eval_every: 1, lr: 1.0});\nrun.step(4);\n\
                 let best = run.best();\nif best.step == 4 { throw \"the last is the best\"; }\n";
    let printed = replays(&format!("{MODEL}{DEMO}{worse}print(run.best_model().script());"));
    assert!(printed.contains(".extract();"), "{printed}");
    replays(&format!(
        "{MODEL}{DEMO}{worse}let before = run.best_model().hash();\nlet back = run.rewind_best();\n\
         if back.step != best.step || run.status().step != best.step {{ throw \"another step\"; }}\n\
         if run.extract().hash() != before {{ throw \"another model\"; }}\n\
         run.step(1);\nprint(run.script());"
    ));
}

#[test]
fn every_edit_is_made_again_in_its_place() {
    replays(&format!(
        "{MODEL}{DEMO}\
         let run = prune(model, target_shape(#{{layers: 1, heads: 2, hidden: 24}}), domains,\
             #{{batch: 2, eval_every: 2, gates: [\"head_layer\", \"mlp\", \"head\", \"hidden\"]}});\n\
         run.step(1);\n\
         run.hold(\"head\", 0, 1, \"open\");\n\
         run.hold(\"hidden\", 3, \"closed\");\n\
         run.hold([[\"hidden\", 5], [\"head\", 1, 0]], \"open\");\n\
         run.protect(1);\n\
         run.step(2);\n\
         run.release(\"head\", 0, 1);\n\
         run.release([[\"hidden\", 5], [\"head\", 1, 0]]);\n\
         run.unprotect(1);\n\
         run.set_log_alpha(\"head\", 0, 0, -0.3);\n\
         run.set_log_alpha(\"hidden\", 7, 1);\n\
         run.evaluate();\n\
         run.step(1);\n\
         run.set_target(target_shape(#{{layers: 1, heads: 2, hidden: 20, intermediate: 32}}));\n\
         run.set(#{{lr: 0.0005, lr_warmup: 2, lr_floor: 0.2, clip: 0.5, gate_lr: 0.9,\
             multiplier_lr: 2, steps: 20, sparsity_warmup: 4, batch: 3, eval_every: 3,\
             rule: \"bandit\", eta: 2, smoothing: 0.001, mixture: [5, 4, 3, 2, 1],\
             reference: \"source\"}});\n\
         run.step(3);\nprint(run.script());"
    ));
}

#[test]
fn what_a_rewind_undid_is_not_made_again() {
    let printed = replays(&format!(
        "{MODEL}{DEMO}\
         let run = recover(model, domains, #{{batch: 2, eval_every: 2}});\n\
         run.step(4);\nrun.set(#{{lr: 0.5}});\nrun.step(2);\nrun.rewind(3);\n\
         run.set(#{{lr: 0.0002}});\nrun.step(2);\nprint(run.script());"
    ));
    assert!(printed.contains("run.step(3);\nrun.set(#{lr: 0.0002});\nrun.step(2);"), "{printed}");
}

#[test]
fn a_random_structure_and_a_sparsity_are_made_again() {
    replays(&format!(
        "{MODEL}{DEMO}\
         let cut = model.random_cut(target_shape(#{{heads: 2}}), #{{seed: 11}});\n\
         let run = prune(cut, target_shape(#{{}}), domains, #{{batch: 2, sparsity: 0.25}});\n\
         run.step(2);\nrun.set(#{{sparsity: 0.3}});\nrun.step(1);\nprint(run.script());"
    ));
    replays(&format!(
        "{MODEL}print(model.random_cut(target_shape(#{{layers: 1}}), #{{seed: 2}}).script());"
    ));
}

#[test]
fn texts_in_memory_and_folders_are_read_again() {
    let texts = "let text = \"\";\nfor i in 0..40 { text += \"the \\\"small\\\" dog \\\\ saw\\n7 + 8 = 1 5 ; \\t\"; }\n\
         let domains = load_domains(#{\"one two\": [text, text], b: [text]}, #{seq_len: 16});\n";
    let run = "let run = recover(model, domains, #{batch: 2});\nrun.step(2);\nprint(run.script());";
    replays(&format!("{MODEL}{texts}{run}"));
    let folder = "let domains = load_domains(\"data\", #{seq_len: 32, eval_fraction: 0.25});\n";
    let printed = replays(&format!("{MODEL}{folder}{run}"));
    assert!(printed.contains("this text is not the one"), "{printed}");
}

#[test]
fn a_script_whose_hash_does_not_come_out_says_so() {
    let bench = Bench::new();
    let run = "let run = recover(model, domains, #{batch: 2});\nrun.step(2);\nprint(run.script());";
    let printed = bench.script(&format!("{MODEL}{DEMO}{run}"), &[]).ok().to_string();
    bench
        .script(&printed.replace("run.step(2)", "run.step(1)"), &[])
        .with(1, &["this run is not the one the script was printed from: its hash is ", "throw "]);
}

/// The metadata of a model's file.
fn metadata(bench: &Bench, path: &str) -> serde_json::Value {
    let file = bench.read(path);
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value =
        serde_json::from_slice(&file[8..8 + length]).expect("the header is JSON");
    header["__metadata__"].clone()
}

#[test]
fn an_extracted_model_carries_its_script_origin_and_card_into_the_folder_and_back() {
    let bench = Bench::new();
    let code = format!(
        "{MODEL}{DEMO}let run = prune(model, target_shape(#{{layers: 1}}), domains, #{{batch: 2}});\n\
         run.step(2);\nlet small = run.extract();\nsmall.save(\"small\");\nprint(small.script());"
    );
    let printed = bench.script(&code, &[]).ok().to_string();
    let first = metadata(&bench, "out/small/model.safetensors");
    let carried = first["woolshed.script"].as_str().expect("a script");
    assert_eq!(carried.trim_end(), printed.trim_end());
    assert!(
        first["woolshed.origin"].as_str().is_some_and(|o| o.contains("\"journal\"")),
        "{first}"
    );
    bench.script(carried, &[]).ok();

    // The card holds the script; a card that somebody wrote stays, and ours goes beside it.
    let card = String::from_utf8(bench.read("out/small/README.md")).expect("UTF-8");
    assert!(card.contains(carried.trim_end()) && card.contains("| target | 1 layers,"), "{card}");
    bench.write("out/other/README.md", "mine");
    let twice =
        "let back = load_model(\"out/small\");\nback.save(\"other\");\nback.save(\"other\");";
    bench.script(twice, &[]).ok();
    assert_eq!(bench.read("out/other/README.md"), b"mine");
    let beside = String::from_utf8(bench.read("out/other/WOOLSHED.md")).expect("UTF-8");
    assert_eq!(beside, card.replace("# new-sheared\n", "# small\n"));
    let second = metadata(&bench, "out/other/model.safetensors");
    for key in ["woolshed.script", "woolshed.origin", "woolshed.sheared.run_sha256"] {
        assert_eq!(second[key], first[key], "{key}");
    }
}
