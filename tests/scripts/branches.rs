//! A run as a value: edits, forks, ways back, folders, and what a person is told about them.

use crate::command::{Bench, MODEL};

/// A small pruning run, two steps in.
const RUN: &str = "let domains = load_domains(\"demo\", #{seq_len: 32, max_tokens: 3000});\n\
    let run = prune(model, target_shape(#{layers: 1, heads: 2}), domains, \
    #{batch: 2, eval_every: 2, snapshot_every: 1});\nrun.step(2);\n";

/// Runs a script and gives its lines.
#[track_caller]
fn lines(code: &str) -> Vec<String> {
    let bench = Bench::new();
    let ended = bench.script(&format!("{MODEL}{RUN}{code}"), &[]);
    ended.ok().lines().map(String::from).collect()
}

/// Runs a script that fails; stderr must hold every part.
#[track_caller]
fn fails(code: &str, parts: &[&str]) {
    Bench::new().script(&format!("{MODEL}{RUN}{code}"), &[]).with(1, parts);
}

#[test]
fn forks_rewinds_and_folders_lead_to_the_hash_of_the_straight_run() {
    let printed = lines(
        "run.save(\"kept\");\nlet fork = run.fork();\nrun.step(3);\nprint(run.hash());\n\
         fork.protect(1);\nfork.step(1);\nfork.rewind(2);\nfork.step(3);\nprint(fork.hash());\n\
         let back = resume(\"kept\");\nback.step(3);\nprint(back.hash());\n\
         run.save(\"kept\", #{keep: 1});\nlet late = resume(\"kept\", #{step: 5, device: \"cpu\", domains: domains});\n\
         print(late.hash());\nprint(back.hash() == fork.hash());",
    );
    assert_eq!(printed.len(), 5);
    assert_eq!(printed[0].len(), 64);
    assert!(printed[..4].iter().all(|hash| *hash == printed[0]), "{printed:?}");
    assert_eq!(printed[4], "true");
}

#[test]
fn a_held_gate_is_seen_held_in_gates_journal_and_status() {
    let printed = lines(
        "run.protect(1);\nrun.hold(\"head\", 0, 1, \"closed\");\nrun.step(1);\n\
         let gate = run.gate(\"layer\", 1);\nprint(`${gate.held} ${gate.sampled} ${gate.value} ${gate.gradient}`);\n\
         print(run.gate(\"head\", 0, 1).sampled);\nprint(run.gates(\"head\").column(\"held\"));\n\
         print(run.journal().column(\"what\"));\nprint(run.layers().columns());\n\
         print(run.multipliers().len());\nprint(run.snapshots().steps);",
    );
    assert_eq!(printed[0], "open 1.0 1.0 0.0");
    assert_eq!(printed[1], "0.0");
    assert_eq!(printed[2], "[\"\", \"closed\", \"\", \"\"]");
    assert_eq!(
        printed[3],
        "[\"2 steps\", \"hold layer 1 open\", \"hold head 0.1 closed\", \"1 steps\"]"
    );
    assert_eq!(printed[4], "[\"layer\", \"layer open\", \"head expected\", \"head target\"]");
    assert_eq!((printed[5].as_str(), printed[6].as_str()), ("3", "[0, 1, 2, 3]"));
}

#[test]
fn a_comparison_has_a_row_a_branch_and_one_chart() {
    let bench = Bench::new();
    let code = format!(
        "{MODEL}{RUN}let other = run.fork();\nother.protect(0);\nrun.step(2);\nother.step(3);\n\
         let t = compare(#{{base: run, kept: other}});\n\
         print(t.column(\"branch\"));\nprint(t.column(\"common to step\"));\nprint(t.column(\"step\"));\n\
         print(t.column(\"edits\"));\nprint(t.columns().len());\nprint(compare([run, run]).len());"
    );
    let ended = bench.script(&code, &[]);
    let printed = ended.ok();
    for line in ["[\"base\", \"kept\"]", "[2, 2]", "[4, 5]", "[0, 1]", "11", "2"] {
        assert!(printed.lines().any(|l| l == line), "`{line}` is not in:\n{printed}");
    }
    let svg = bench.files("out").into_iter().find(|f| f.contains("loss-of-the-branches"));
    assert!(svg.is_some(), "{:?}", bench.files("out"));
}

#[test]
fn the_judges_answer_about_a_run() {
    let printed = lines(
        "let c = check(run);\nprint(c.column(\"equal\").all(|e| e));\n\
         print(run.preview().column(\"part\")[0]);\nprint(run.influence().len());\n\
         print(run.panel(#{seconds: 0}).columns());\nrun.panel_chart(); run.similarity_chart();\n\
         let plain = recover(model, domains, #{batch: 2});\n\
         print(plain.panel(#{seconds: 0}).columns());",
    );
    assert_eq!(printed[0], "true");
    assert_eq!(printed[1], "embeddings");
    assert_eq!(printed[2], "2");
    assert_eq!(printed[3], "[\"figure\", \"unit\", \"source\", \"masked\", \"cut\"]");
    assert_eq!(printed[4], "[\"figure\", \"unit\", \"source\", \"recovered\"]");
}

#[test]
fn an_edit_that_cannot_be_is_told_the_nearest_and_changes_nothing() {
    fails("run.set(#{lrr: 1});", &["unknown option `lrr` of run.set; did you mean `lr`?"]);
    fails("run.set(#{acumulate: 2});", &["did you mean `accumulate`?"]);
    fails("run.set(#{accumulate: 0});", &["option `accumulate` is 0", "nearest legal value: 1"]);
    fails("run.set(#{recompute: 1});", &["`recompute` of run.set is 1 (int)", "true or false"]);
    fails("run.set(#{lr: -1});", &["option `lr` is -1", "nearest legal value: 0.001"]);
    fails("run.hold(\"head\", 1, \"open\");", &["give the kind, the layer and the index"]);
    fails("run.hold(\"layer\", 0, 1, \"open\");", &["`layer` gates stand in one row"]);
    fails("run.hold(\"layer\", 0, \"ajar\");", &["\"open\" or \"closed\", not \"ajar\""]);
    fails("run.hold(\"head\", 7, 0, \"open\");", &["rows are 0..2", "row 1, gate 0"]);
    fails("run.hold([[\"head\", 1]], \"open\");", &["give the kind, the layer and the index"]);
    fails("run.gate(\"head\", 0, 9);", &["there is no gate head 0.9; layers are 0..2, gates 0..2"]);
    fails("run.protect(5);", &["there is no layer 5", "nearest: 1"]);
    fails("run.protect(-1);", &["layer -1 is below 0"]);
    fails("run.protect(0);\nrun.protect(1);", &["2 gates held open"]);
    fails("run.set_log_alpha(\"layer\", 0, 77.0);", &["nearest: "]);
    fails("recover(model, domains).protect(0);", &["has no gates"]);
}

#[test]
fn a_wrong_option_of_a_recovery_is_told_the_nearest() {
    let recover = |options: &str, parts: &[&str]| {
        fails(&format!("recover(model, domains, #{{batch: 2, {options}}});"), parts);
    };
    recover("acumulate: 2", &["unknown option `acumulate` of recover", "mean `accumulate`?"]);
    recover("accumulate: 0", &["option `accumulate` is 0", "nearest legal value: 1"]);
    recover("recompute: \"yes\"", &["`recompute` of recover is yes", "true or false"]);
    recover("distill: true", &["`distill` of recover is true (bool)", "a share of the loss"]);
    recover("distill: #{wieght: 1}", &["`wieght` of distill", "did you mean `weight`?"]);
    let taught =
        |options: &str, parts: &[&str]| recover(&format!("teacher: model, {options}"), parts);
    taught("distill: 1.5", &["option `distill.weight` is 1.5", "nearest legal value: 1"]);
    taught("distill: #{temperature: 0}", &["`distill.temperature` is 0", "nearest legal value: 1"]);
    recover("teacher: 3", &["option `teacher` of recover is 3 (int); it takes a Model"]);
    recover("teacher: model", &["no effect without `distill`"]);
    recover("distill: 0.5", &["option `teacher` is absent", "was cut from"]);
    recover("lora: \"q\"", &["option `lora` of recover is q (text)", "a rank, as 8"]);
    recover("lora: 0", &["option `lora.rank` is 0", "nearest legal value: 1"]);
    recover("lora: 1000", &["option `lora.rank` is 1000", "nearest legal value: "]);
    recover("lora: #{rnak: 2}", &["unknown option `rnak` of lora; did you mean `rank`?"]);
    recover("lora: #{targets: [\"upp\"]}", &["no projection `upp`; nearest: `up`"]);
    recover("lora: #{targets: []}", &["option `lora.targets` is []"]);
    recover("dtype: \"bf61\"", &["`dtype` of recover is \"bf61\"; did you mean \"bf16\"?"]);
    recover("dtype: \"bf16\"", &["the CPU computes in f32", "nearest legal value: f32"]);
    fails("run.set(#{teacher: model});", &["unknown option `teacher` of run.set"]);
    fails("run.best_model();", &["no best evaluation", "ask the recovery that follows"]);
    fails("recover(model, domains).rewind_best();", &["nothing was evaluated yet"]);
}

#[test]
fn ways_back_that_are_not_there_are_said_with_those_that_are() {
    fails("run.rewind(9);", &["the run is at step 2, and step 9 is yet to come"]);
    fails("run.keep(#{every: 0});\nrun.rewind(1);", &["no snapshot of step 1", "none is kept"]);
    fails("run.keep(#{evry: 0});", &["did you mean `every`?"]);
    fails("run.keep(#{mb: -1});", &["option `mb` is -1"]);
    fails("resume(\"nowhere\");", &["nowhere holds no saved run", "there is no such folder"]);
    fails("run.save(\"a\");\nresume(\"a\", #{step: 1});", &["no snapshot of step 1; there are 2"]);
    fails("run.save(\"a\");\nrecover(model, domains).save(\"a\");", &["holds another run"]);
    fails("compare([]);", &["at least one run"]);
    fails("compare(#{a: run, b: 3});", &["`b` is a int, not a Run"]);
}
