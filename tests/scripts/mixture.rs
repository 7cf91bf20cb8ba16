//! The mixture in scripts: bounds, closures as rules, references of a scaling law, what-if.

use super::replay::{DEMO, replays};
use crate::command::{Bench, Ended, MODEL};

/// Runs a script on the demo domains.
fn script(code: &str) -> Ended {
    Bench::new().script(&format!("{MODEL}{DEMO}{code}"), &[])
}

/// A rule that calls a function of its script and a variable around it.
const RULE: &str = "fn lifted(x) { x + 1.5 }\n\
    let names_seen = [];\n\
    let power = 2;\n\
    let rule = |d| {\n\
        let w = #{};\n\
        for name in d.names { w[name] = lifted(d.losses[name] + d.history.len()) ** power; }\n\
        w\n\
    };\n";

#[test]
fn a_run_under_a_closure_is_made_again_without_it_to_the_hash() {
    let printed = replays(&format!(
        "{MODEL}{DEMO}{RULE}\
         let run = recover(model, domains, #{{batch: 2, eval_every: 2, rule: rule, floor: 0.05}});\n\
         run.step(5);\n\
         run.set(#{{ceiling: 0.4, rule: |d| [1, 2, 3, 4, 5]}});\n\
         run.step(2);\n\
         run.set(#{{rule: \"bandit\"}});\n\
         run.evaluate();\nprint(run.script());"
    ));
    assert!(printed.contains("rule: \"custom\"") && printed.contains("path: [["), "{printed}");
    assert!(printed.contains("floor: 0.05") && printed.contains("ceiling: 0.4"), "{printed}");
    assert!(!printed.contains("lifted"), "{printed}");
}

#[test]
fn a_run_with_references_of_a_scaling_law_is_made_again_to_the_hash() {
    let printed = replays(&format!(
        "{MODEL}{DEMO}\
         let losses = #{{story: [2.9, 2.5, 2.3], walk: [1.4, 1.2, 1.1], sums: [1.9, 1.5, 1.3],\
             copy: [2.1, 1.7, 1.5], lookup: [2.0, 1.6, 1.4]}};\n\
         let law = #{{scaling: #{{parameters: 3e5, sizes: [1e5, 2e5, 4e5], losses: losses}}}};\n\
         let run = recover(model, domains, #{{batch: 2, eval_every: 2, reference: law}});\n\
         run.step(2);\nprint(run.script());"
    ));
    assert!(printed.contains("reference: #{scaling: #{parameters: 300000.0"), "{printed}");
}

#[test]
fn a_closure_that_fails_says_why_and_the_run_stays_usable() {
    let start = "let run = recover(model, domains, #{batch: 2, eval_every: 2, rule: |d| d.los});\n";
    let ended = script(&format!("{start}run.step(1);\nrun.step(1);"));
    ended.with(1, &["the mixture rule failed after step 2", "asks for `los`", "losses"]);
    let nothing = start.replace("d.los", "()");
    let ended = script(&format!("{nothing}run.step(2);"));
    ended.with(1, &["the mixture rule failed after step 2", "it must give a number for each of"]);
    let ended = script(&format!(
        "{start}try {{ run.step(2); }} catch (e) {{ print(e); }}\n\
         run.set(#{{rule: \"constant\"}});\nrun.step(1);\nprint(run.status().step);"
    ));
    // The evaluation that was due comes before the change, and its rule still fails.
    ended.with(1, &["the mixture rule failed after step 2"]);
    let code = "let run = recover(model, domains, #{batch: 2});\nlet held = [run];\n\
                run.set(#{rule: |d| { held[0].status(); d.losses }});";
    script(code).with(1, &["the rule uses a run"]);
}

#[test]
fn a_resumed_run_takes_its_closure_back() {
    let saved = "let run = recover(model, domains, #{batch: 2, eval_every: 1, rule: |d| d.losses});\n\
                 run.step(1);\nrun.save(\"a-run\");\n";
    let ended = script(&format!("{saved}resume(\"a-run\").step(1);"));
    ended.with(1, &["the rule `custom` needs its function"]);
    let code = "let back = resume(\"a-run\", #{rule: |d| d.losses});\n\
                back.step(2);\nrun.step(2);\nprint(back.hash() == run.hash());";
    assert_eq!(script(&format!("{saved}{code}")).ok(), "true\n");
}

#[test]
fn bounds_that_cannot_be_met_name_the_nearest_that_can() {
    script("recover(model, domains, #{floor: 0.3});")
        .with(1, &["`floor` is 0.3", "nearest legal value: 0.2"]);
    script("recover(model, domains, #{ceiling: 0.1});").with(1, &["nearest legal value: 0.2"]);
    script("recover(model, domains, #{flor: 0.1});").with(1, &["did you mean `floor`?"]);
    script("recover(model, domains, #{reference: \"scaling\"});")
        .with(1, &["no losses of known models for domain `story`", "cc, github"]);
}

#[test]
fn a_preview_has_a_column_a_rule_and_a_replay_needs_an_evaluation() {
    let ended = script(
        "let run = recover(model, domains, #{batch: 2, eval_every: 1});\n\
         let before = run.hash();\n\
         let all = run.mixture_preview();\n\
         print(all.columns());\n\
         let one = run.mixture_preview(#{rule: |d| d.excess.values().map(|x| 1), floor: 0.1});\n\
         print(one.columns().len());\n\
         print(run.hash() == before);\n\
         run.step(2);\n\
         print(run.mixture_history().len());\n\
         print(run.domain_history().len());\n",
    );
    let lines: Vec<&str> = ended.ok().lines().collect();
    assert!(lines[0].contains("doremi-clipped") && lines[0].contains("constant"), "{lines:?}");
    assert_eq!(lines[1..], ["6", "true", "3", "10"]);
    script("recover(model, domains).mixture_replay(\"bandit\");").with(1, &["no evaluation yet"]);
}

#[test]
fn a_domain_that_takes_over_is_a_warning_once_and_stands_in_the_status() {
    let ended = script(
        "let low = #{story: 0.1, walk: 9, sums: 9, copy: 9, lookup: 9};\n\
         let run = recover(model, domains, #{batch: 2, eval_every: 1, reference: low});\n\
         run.step(1);\nrun.step(1);\nprint(run.status().warnings.len());",
    );
    assert_eq!(ended.ok(), "1\n");
    let warnings = ended.stderr.matches("warning: `story` has").count();
    assert_eq!(warnings, 1, "{}", ended.stderr);
}
