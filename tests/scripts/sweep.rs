//! Sweeps: the order of points, what is kept and run again, failures, isolation, figures.

use crate::command::{Bench, Ended};

/// Says which points run, and fails at one.
const SWEEP: &str = "let extra = 10;\n\
    fn twice(x) { x * 2 }\n\
    let result = sweep(#{seed: [1, 2, 3], rule: [\"b\", \"a\"]}, |p| {\n\
        print(`run ${p.rule} ${p.seed}`);\n\
        if p.rule == param(\"fails\", \"none\") && p.seed == 2 { throw \"no luck\"; }\n\
        #{loss: twice(p.seed) + extra, word: p.rule + \"!\"}\n\
    }, #{dir: \"points\", name: \"rules\"});\n";

fn csv(bench: &Bench, name: &str) -> String {
    String::from_utf8(bench.read(name)).expect("UTF-8")
}

/// The points that ran, in order.
fn ran(ended: &Ended) -> Vec<&str> {
    ended.ok().lines().filter_map(|line| line.strip_prefix("run ")).collect()
}

#[test]
fn a_grid_runs_every_combination_in_one_order_and_gives_one_row_a_point() {
    let bench = Bench::new();
    let code = format!(
        "{SWEEP}result.table().select([\"rule\", \"seed\", \"loss\", \"word\"]).save_csv(\"t.csv\");\n\
         print(result.table().columns());"
    );
    let ended = bench.script(&code, &[]);
    assert_eq!(ran(&ended), ["b 1", "b 2", "b 3", "a 1", "a 2", "a 3"]);
    let expected = "rule,seed,loss,word\nb,1,12,b!\nb,2,14,b!\nb,3,16,b!\n\
                    a,1,12,a!\na,2,14,a!\na,3,16,a!\n";
    assert_eq!(csv(&bench, "out/t.csv"), expected);
    assert!(ended.stdout.contains("[\"rule\", \"seed\", \"loss\", \"word\", \"seconds\"]"));
    ended.with(0, &["rules: 6 points, 6 run in"]);
}

#[test]
fn a_half_done_sweep_runs_only_the_rest() {
    let bench = Bench::new();
    bench.script(SWEEP, &[]);
    let files = bench.files("out/points");
    assert_eq!(files.len(), 6, "{files:?}");
    for file in &files[..2] {
        std::fs::remove_file(bench.path("out/points").join(file)).expect("removed");
    }
    let ended = bench.script(SWEEP, &[]);
    assert_eq!(ran(&ended).len(), 2);
    ended.with(0, &["rules: 6 points, 2 run in", "4 finished before"]);
    assert_eq!(bench.files("out/points"), files, "the same points have the same names");
    // Elsewhere in the file the same code is the same code.
    let ended = bench.script(&format!("// moved\n\n   {SWEEP}"), &[]);
    assert_eq!(ran(&ended), [""; 0]);
}

#[test]
fn a_point_is_run_again_when_what_it_depends_on_changes() {
    let bench = Bench::new();
    assert_eq!(ran(&bench.script(SWEEP, &[])).len(), 6);
    for (from, to, expected) in [
        ("let extra = 10;", "let extra = 11;", 6),
        ("x * 2", "x * 3", 6),
        ("p.rule + \"!\"", "p.rule + \"?\"", 6),
        ("[1, 2, 3]", "[1, 2, 4]", 2),
        ("name: \"rules\"", "name: \"other\"", 0),
    ] {
        let code = SWEEP.replace(from, to);
        assert_ne!(code, SWEEP, "{from}");
        assert_eq!(ran(&bench.script(&code, &[])).len(), expected, "{to}");
    }
    assert_eq!(ran(&bench.script(SWEEP, &["--seed", "5"])).len(), 6, "the session's seed");
    assert_eq!(ran(&bench.script(SWEEP, &[])).len(), 0, "the first results are still there");
}

#[test]
fn a_failing_point_is_told_and_kept_apart_and_the_others_go_on() {
    let bench = Bench::new();
    let code = format!(
        "{SWEEP}result.failures().save_csv(\"f.csv\");\nprint(result.table().len());\n\
         print(result.summary().column(\"n\"));"
    );
    let ended = bench.script(&code, &["-p", "fails=b"]);
    assert_eq!(ran(&ended).len(), 6);
    assert!(ended.stdout.ends_with("5\n[2, 3]\n"), "{}", ended.stdout);
    ended.with(0, &["point 2 of 6 (rule b, seed 2) failed: no luck (line 5)", "5", "1 failed"]);
    assert_eq!(csv(&bench, "out/f.csv"), "rule,seed,error,try\nb,2,no luck (line 5),\n");
    // A failed point is not finished: it is run again.
    assert_eq!(ran(&bench.script(&code, &["-p", "fails=b"])), ["b 2"]);
}

#[test]
fn a_sweep_whose_points_all_fail_is_an_error_with_the_first() {
    let code = "sweep(#{x: [1, 2]}, |p| #{y: p.x.nothing()});";
    let ended = Bench::new().script(code, &[]);
    ended.with(1, &["error: all 2 points of the sweep failed; the first:", "nothing"]);
}

#[test]
fn mean_and_deviation_over_seeds_are_those_computed_by_hand() {
    let code = "let losses = #{a: [1.0, 2.0, 6.0], b: [4.0, 4.0, 4.0]};\n\
        let result = sweep(#{rule: [\"a\", \"b\"], seed: [1, 2, 3]}, |p| \
        #{loss: losses[p.rule][p.seed - 1], note: \"text has no mean\"});\n\
        result.summary().save_csv(\"s.csv\");\n\
        result.summary(\"rule\").save_csv(\"r.csv\");\n";
    let bench = Bench::new();
    bench.script(code, &[]).ok();
    // Of 1, 2, 6: mean 3, squares 4 + 1 + 9 over 2 = 7; the root of 7.
    let expected = "rule,n,loss_mean,loss_std\na,3,3,2.6457513110645907\nb,3,4,0\n";
    assert_eq!(csv(&bench, "out/s.csv"), expected);
    // Seed 2: 2 and 4, mean 3, squares 1 + 1 over 1 = 2.
    assert!(csv(&bench, "out/r.csv").contains("\n2,2,3,1.4142135623730951\n"));
}

#[test]
fn a_point_sees_nothing_of_another() {
    let code = "let log = [];\nlet state = #{n: 0};\n\
        let result = sweep(#{x: [1, 2, 3]}, |p| {\n\
            log.push(p.x); state.n += p.x;\n\
            #{seen: log.len(), sum: state.n}\n\
        });\n\
        print(result.table().column(\"seen\"));\nprint(result.table().column(\"sum\"));\nprint(log);";
    assert_eq!(Bench::new().script(code, &[]).ok(), "[1, 1, 1]\n[1, 2, 3]\n[]\n");
}

#[test]
fn wrong_points_figures_and_options_are_named() {
    for (code, parts) in [
        ("sweep(3, |p| 1);", &["a map from parameter to array of values", "not int"][..]),
        ("sweep(#{x: [1]}, |p| #{y: [1]});", &["figure `y`", "line 1"]),
        ("sweep(#{x: [1]}, |p| #{y: 1}, #{dri: \"a\"});", &["did you mean `dir`?"]),
        ("sweep(#{x: [1]}, |p| #{y: 1}, #{by: \"y\"});", &["`y` is no parameter of this sweep"]),
        ("sweep(#{sed: [1]}, |p| 1).summary(\"seed\");", &["did you mean `sed`?"]),
        ("sweep(#{x: [1]}, |p| 1).summary();", &["no parameter `seed`", "summary(\"x\")"]),
    ] {
        Bench::new().script(code, &[]).with(1, parts);
    }
}

#[test]
fn a_list_of_points_may_have_different_parameters() {
    let code = "let result = sweep([#{lr: 0.1}, #{lr: 0.2, batch: 4}], |p| p.lr * 2.0);\n\
                result.table().select([\"batch\", \"lr\", \"value\"]).save_csv(\"t.csv\");";
    let bench = Bench::new();
    bench.script(code, &[]).ok();
    assert_eq!(csv(&bench, "out/t.csv"), "batch,lr,value\n,0.1,0.2\n4,0.2,0.4\n");
}

#[test]
fn runs_inside_a_sweep_say_nothing_of_their_own_and_models_stay_apart() {
    let code = "let outer = load_model(\"demo\");\n\
        let result = sweep(#{steps: [1, 2]}, |p| {\n\
            let model = load_model(\"demo\");\n\
            let domains = load_domains(\"demo\", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});\n\
            let run = recover(model, domains, #{batch: 2, steps: p.steps});\n\
            run.step(p.steps);\n\
            #{at: run.status().step}\n\
        });\n\
        print(result.table().column(\"at\"));";
    let ended = Bench::new().script(code, &[]);
    assert_eq!(ended.ok(), "[1, 2]\n");
    assert!(!ended.stderr.contains("recover at step"), "{}", ended.stderr);
    ended.with(0, &["sweep: 2 points, 2 run in"]);
}
