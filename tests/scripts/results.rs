//! Parameters, seeds, values, files and charts.

use serde_json::Value;

use crate::command::{Bench, DOMAINS, MODEL};

fn json(bench: &Bench, name: &str) -> Value {
    serde_json::from_slice(&bench.read(name)).expect("JSON")
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().expect("a map").keys().cloned().collect();
    keys.sort();
    keys
}

/// A run of two steps on small data.
fn run_of_two_steps() -> String {
    format!(
        "{MODEL}{DOMAINS}let target = target_shape(#{{hidden: 24, heads: 2, intermediate: 48}});\n\
         let run = prune(model, target, domains, #{{steps: 10, batch: 2, eval_every: 1}});\n\
         run.step(2);\n"
    )
}

#[test]
fn a_parameter_has_the_type_of_its_default() {
    let code = "print(type_of(param(\"steps\", 3)) + \" \" + param(\"steps\", 3));\n\
                print(type_of(param(\"lr\", 0.5)) + \" \" + param(\"lr\", 0.5));\n\
                print(type_of(param(\"fast\", false)) + \" \" + param(\"fast\", false));\n\
                print(type_of(param(\"name\", \"x\")) + \" \" + param(\"name\", \"x\"));\n\
                print(param(\"sizes\", [1]));\n";
    let bench = Bench::new();
    let ended = bench.script(code, &[]);
    assert_eq!(ended.ok(), "i64 3\nf64 0.5\nbool false\nstring x\n[1]\n");
    let given =
        ["-p", "steps=7", "-p", "lr=2", "-p", "fast=true", "-p", "name=7", "-p", "sizes=4,5"];
    let ended = bench.script(code, &given);
    assert_eq!(ended.ok(), "i64 7\nf64 2.0\nbool true\nstring 7\n[4, 5]\n");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_parameter_of_another_type_is_refused_with_its_name() {
    let bench = Bench::new();
    for (code, given, parts) in [
        ("param(\"steps\", 3);", "steps=2.5", ["`steps` is \"2.5\"", "a whole number"]),
        ("param(\"lr\", 0.5);", "lr=fast", ["`lr` is \"fast\"", "a number"]),
        ("param(\"fast\", false);", "fast=yes", ["`fast` is \"yes\"", "true or false"]),
        ("param(\"sizes\", [1]);", "sizes=4,x", ["`sizes` is \"4,x\"", "a whole number"]),
    ] {
        bench.script(code, &["-p", given]).with(1, &[&parts[..], &["line 1, column 1"]].concat());
    }
}

#[test]
fn a_parameter_no_script_asks_for_is_a_warning_with_the_nearest() {
    let ended = Bench::new().script("param(\"steps\", 3);\nprint(1);", &["-p", "stpes=9"]);
    assert_eq!(ended.ok(), "1\n");
    ended.with(0, &["warning: the script has no parameter `stpes`; did you mean `steps`?"]);
}

#[test]
fn a_seed_decides_every_byte_and_another_seed_gives_others() {
    let bench = Bench::new();
    bench.domains("data");
    let code = format!(
        "{}save_json(\"losses.json\", run.losses());\n\
         save_json(\"logits.json\", run.extract().logits([1, 5, 9]));\n\
         save_csv(\"history.csv\", run.history());\n\
         save_json(\"text.json\", model.generate(\"the\", #{{temperature: 1.0, max_tokens: 9}}));\n\
         run.extract().save(\"model\");\n",
        run_of_two_steps()
    );
    bench.write("script.rhai", code);
    let run = |out: &str, seed: &str| {
        bench.run(&["run", "script.rhai", "--out", out, "--seed", seed]).ok();
    };
    run("a", "3");
    run("b", "3");
    run("c", "4");
    let files = bench.files("a");
    assert_eq!(files, bench.files("c"));
    for name in ["losses.json", "logits.json", "history.csv", "model/model.safetensors"] {
        assert!(files.iter().any(|f| f == name), "{name} in {files:?}");
        let other = bench.read(&format!("c/{name}"));
        assert_ne!(bench.read(&format!("a/{name}")), other, "{name} with another seed");
    }
    for name in &files {
        let again = bench.read(&format!("b/{name}"));
        assert!(bench.read(&format!("a/{name}")) == again, "{name} differs with one seed");
    }
}

#[test]
fn a_status_is_a_map_with_the_promised_keys() {
    let bench = Bench::new();
    bench.domains("data");
    let code = run_of_two_steps();
    bench.script(&format!("{code}save_json(\"status.json\", run.status());"), &[]).ok();
    let status = json(&bench, "out/status.json");
    let promised = [
        "epochs",
        "lagrangian",
        "loss",
        "overall_sparsity",
        "sparsity",
        "step",
        "tokens",
        "warnings",
    ];
    assert_eq!(keys(&status), promised);
    assert_eq!((&status["step"], &status["tokens"]), (&Value::from(2), &Value::from(2 * 2 * 32)));
    assert!(status["loss"].as_f64().is_some_and(|loss| loss > 0.0), "{status}");
    assert!(status["lagrangian"].is_number(), "{status}");
    assert_eq!(keys(&status["sparsity"]), ["head", "hidden", "intermediate"]);
    for (kind, target) in [("head", 0.5), ("hidden", 0.25), ("intermediate", 0.25)] {
        let kind = &status["sparsity"][kind];
        assert_eq!(keys(kind), ["expected", "scheduled", "target"]);
        assert_eq!(kind["target"].as_f64(), Some(target));
        let expected = kind["expected"].as_f64().expect("a number");
        assert!((0.0..0.1).contains(&expected), "gates begin open: {expected}");
    }
}

#[test]
fn logits_are_an_array_of_arrays() {
    let bench = Bench::new();
    let code = format!(
        "{MODEL}save_json(\"l.json\", model.logits([1, 5, 9]));\nprint(model.shape().vocab);"
    );
    let vocab: usize = bench.script(&code, &[]).ok().trim().parse().expect("a count");
    let logits = json(&bench, "out/l.json");
    let rows = logits.as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in rows {
        let row = row.as_array().expect("a row");
        assert!(row.len() == vocab && row.iter().all(Value::is_f64), "{} numbers", row.len());
    }
}

#[test]
fn tables_are_saved_in_both_argument_orders_under_out() {
    let bench = Bench::new();
    let code = "let t = table(\"t\", [\"name\", \"loss\"], [#{name: \"a\", loss: 1.5}, #{name: \"b\", loss: ()}]);\n\
                for kind in [\"one\", \"two\"] {\n\
                    let path = |end| `deep/${kind}.${end}`;\n\
                    if kind == \"one\" {\n\
                        save_json(path.call(\"json\"), t); save_csv(path.call(\"csv\"), t); save_parquet(path.call(\"parquet\"), t);\n\
                    } else {\n\
                        t.save_json(path.call(\"json\")); t.save_csv(path.call(\"csv\")); t.save_parquet(path.call(\"parquet\"));\n\
                    }\n\
                }\n\
                print(save_json(\"in.json\", #{t: t, x: 1}));";
    let ended = bench.script(code, &[]);
    assert_eq!(ended.ok().trim_end().replace('\\', "/"), "out/in.json");
    let wanted = [
        "deep/one.csv",
        "deep/one.json",
        "deep/one.parquet",
        "deep/two.csv",
        "deep/two.json",
        "deep/two.parquet",
        "in.json",
    ];
    assert_eq!(bench.files("out"), wanted);
    for end in ["json", "csv", "parquet"] {
        let (one, two) = (format!("out/deep/one.{end}"), format!("out/deep/two.{end}"));
        assert!(bench.read(&one) == bench.read(&two), "{end}");
    }
    let rows = serde_json::json!([{"name": "a", "loss": 1.5}, {"name": "b", "loss": null}]);
    assert_eq!(json(&bench, "out/deep/one.json"), rows);
    assert_eq!(json(&bench, "out/in.json"), serde_json::json!({"t": rows, "x": 1}));
    assert_eq!(bench.read("out/deep/one.csv"), b"name,loss\na,1.5\nb,\n");
    assert_eq!(&bench.read("out/deep/one.parquet")[..4], b"PAR1");
    let path = bench.path("elsewhere/x.json");
    bench.script(&format!("save_json({path:?}, 1);"), &[]).ok();
    assert!(path.is_file(), "an absolute path is taken as it is");
}

#[test]
fn a_shown_chart_is_written_under_out_and_named() {
    let bench = Bench::new();
    let chart = "line_chart(\"Growth of it\", \"x\", \"y\", #{a: [[1, 1], [2, 4]]})";
    let code = format!(
        "show({chart});\nshow({chart});\n{chart}.save(\"g.png\");\nshow(table(\"t\", [#{{a: 1}}]));\n"
    );
    let ended = bench.script(&code, &[]);
    let told = ended.ok().replace('\\', "/");
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[..3], ["chart out/growth-of-it.svg", "chart out/growth-of-it-2.svg", "t"]);
    assert_eq!(bench.files("out"), ["g.png", "growth-of-it-2.svg", "growth-of-it.svg"]);
    let svg = String::from_utf8(bench.read("out/growth-of-it.svg")).expect("UTF-8");
    assert!(svg.starts_with("<svg") && svg.contains("Growth of it"), "{}", &svg[..80]);
    assert_eq!(&bench.read("out/g.png")[1..4], b"PNG");
}

#[test]
fn without_out_everything_relative_goes_to_one_folder() {
    let bench = Bench::new();
    bench.write(
        "script.rhai",
        "save_json(\"x.json\", 1);\nshow(line_chart(\"c\", \"x\", \"y\", #{a: [[1, 1]]}));",
    );
    bench.run(&["run", "script.rhai"]).ok();
    assert_eq!(bench.files("woolshed-out"), ["c.svg", "x.json"]);
    assert_eq!(bench.files("."), ["script.rhai", "woolshed-out/c.svg", "woolshed-out/x.json"]);
}

#[test]
fn a_handle_shows_a_picture_alone_and_one_line_among_other_values() {
    let bench = Bench::new();
    bench.domains("data");
    let code = format!(
        "{}show([run, target]);\nprint(`${{domains}}`);\nshow(#{{of: model}});\nshow(model);\nshow(run);",
        run_of_two_steps()
    );
    let ended = bench.script(&code, &[]);
    let told = ended.ok();
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].starts_with("Run of new at step 2, loss ") && lines[0].contains("TargetShape")
    );
    assert_eq!(lines[1], "Domains one, two (rows of 32 tokens)");
    assert!(told.contains("of   │ Model new (") && !told.contains("woolshed_"), "{told}");
    for line in ["Model new\n2 layers, hidden 32, ", "\nlayer 1    █", "\nnorms    "] {
        assert!(told.contains(line), "{told}");
    }
    for line in
        ["Run of new\nprunes · step 2 of 10 · loss ", "\n  hidden     ", "\none    │ 0.500 █"]
    {
        assert!(told.contains(line), "{told}");
    }
}
