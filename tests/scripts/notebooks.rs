//! A notebook without a front end; a script with cells; the one made of the other.

use serde_json::{Value, json};

use crate::command::Bench;

fn code(source: &str, tags: &[&str]) -> Value {
    json!({"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": [],
        "execution_count": null})
}

fn notebook(bench: &Bench, name: &str, cells: &[Value]) {
    // 4.4 has no ids: they are given.
    let file = json!({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4});
    bench.write(name, file.to_string());
}

fn cells(bench: &Bench, name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_slice(&bench.read(name)).expect("JSON");
    assert_eq!((file["nbformat"].as_u64(), file["nbformat_minor"].as_u64()), (Some(4), Some(5)));
    assert_eq!(file["metadata"]["language_info"]["name"], "rhai");
    file["cells"].as_array().expect("cells").clone()
}

fn text(lines: &Value) -> String {
    lines.as_array().expect("lines").iter().filter_map(Value::as_str).collect()
}

#[test]
fn a_notebook_runs_into_a_copy_that_has_what_its_cells_said() {
    let bench = Bench::new();
    let prose = json!({"cell_type": "markdown", "metadata": {"deep": {"x": [1.5]}}, "source": ["# T\n", "x"]});
    let first = "print(\"a\"); debug(\"b\"); print(\"c\"); print(\"d\");\n6 * 7";
    let second = "show_at(\"p\", 1); show_at(\"p\", 2); print(\"gone\"); clear_output(true); `x`";
    notebook(
        &bench,
        "n.ipynb",
        &[prose.clone(), code(first, &[]), code(" ", &[]), code(second, &[])],
    );
    let before = bench.read("n.ipynb");
    let ended = bench.run(&["run", "n.ipynb"]);
    assert_eq!(ended.ok(), "n.out.ipynb\n");
    assert!(ended.stderr.starts_with("cell 1/2  print(\"a\");"), "{}", ended.stderr);
    assert_eq!(bench.read("n.ipynb"), before, "the notebook itself stays");

    let cells = cells(&bench, "n.out.ipynb");
    assert_eq!(cells[0]["metadata"], prose["metadata"]);
    assert_eq!(text(&cells[0]["source"]), "# T\nx");
    let outputs = cells[1]["outputs"].as_array().expect("outputs");
    let kinds: Vec<&str> = outputs.iter().filter_map(|o| o["output_type"].as_str()).collect();
    assert_eq!(kinds, ["stream", "stream", "stream", "execute_result"]);
    assert_eq!(text(&outputs[2]["text"]), "c\nd\n");
    assert_eq!(text(&outputs[3]["data"]["text/plain"]), "42");
    assert_eq!(outputs[3]["execution_count"], 1);
    assert_eq!(cells[2]["execution_count"], Value::Null, "a blank cell is not run");
    let outputs = cells[3]["outputs"].as_array().expect("outputs");
    assert_eq!(outputs.len(), 1, "what was cleared is gone: {outputs:?}");
    assert_eq!(
        (cells[3]["execution_count"].as_u64(), &cells[3]["id"]),
        (Some(2), &json!("cell-03"))
    );
}

#[test]
fn a_cell_that_fails_is_named_and_what_was_said_before_is_kept() {
    let bench = Bench::new();
    let cells_in = [
        code("print(1)", &[]),
        code("throw \"expected\"", &["raises-exception"]),
        code("throw \"never\"", &["skip-execution"]),
        code("let x = 1;\nx.no_such()", &[]),
        code("print(3)", &[]),
    ];
    notebook(&bench, "n.ipynb", &cells_in);
    let ended = bench.run(&["run", "n.ipynb", "-o", "deep/o.ipynb"]);
    ended.with(1, &["cell 3 of `n.ipynb` failed", "cell 3, line 2", "no_such"]);
    let cells = cells(&bench, "deep/o.ipynb");
    assert_eq!(text(&cells[0]["outputs"][0]["text"]), "1\n");
    assert_eq!(cells[1]["outputs"][0]["evalue"], "expected");
    assert_eq!(cells[3]["outputs"][0]["output_type"], "error");
    assert_eq!(cells[4]["execution_count"], Value::Null);
}

#[test]
fn parameters_are_set_over_the_tagged_cell_in_a_notebook_and_in_a_script() {
    let bench = Bench::new();
    let set = code("let steps = 3; let rate = 0.5; let name = \"a\";", &["parameters"]);
    let use_them = code("print(`${steps} ${rate + 0.5} ${name} ${param(\"q\", 1)}`);", &[]);
    notebook(&bench, "n.ipynb", &[set, use_them]);
    let given = ["-p", "steps=10", "-p", "rate=2", "-p", "q=7", "-p", "stepz=1"];
    let ended = bench.run(&[&["run", "n.ipynb"], &given[..]].concat());
    ended.with(0, &["warning: the notebook has no parameter `stepz`; did you mean `steps`?"]);
    let done = cells(&bench, "n.out.ipynb");
    assert_eq!(done[1]["metadata"]["tags"], json!(["injected-parameters"]));
    assert_eq!(text(&done[1]["source"]), "// Parameters\nlet rate = 2.0;\nlet steps = 10;");
    assert_eq!(text(&done[2]["outputs"][0]["text"]), "10 2.5 a 7\n");

    // What was given the last time gives way.
    let again = bench.run(&["run", "n.out.ipynb", "-p", "steps=20", "-o", "n2.ipynb"]);
    again.ok();
    let done = cells(&bench, "n2.ipynb");
    assert_eq!(
        (done.len(), text(&done[1]["source"])),
        (3, "// Parameters\nlet steps = 20;".into())
    );

    bench.run(&["convert", "n.ipynb", "n.rhai"]).ok();
    assert_eq!(bench.run(&["run", "n.rhai"]).ok(), "3 1.0 a 1\n");
    let ended = bench.run(&[&["run", "n.rhai"], &given[..]].concat());
    assert_eq!(ended.ok(), "10 2.5 a 7\n");
    let parts = ["parameter `steps` is \"many\"; it takes a whole number (as its default 3)"];
    bench.run(&["run", "n.rhai", "-p", "steps=many"]).with(1, &parts);
    bench.run(&["run", "n.ipynb", "-p", "steps=many"]).with(1, &parts);
}

#[test]
fn a_script_with_cells_shows_the_value_of_each_and_names_lines_of_the_file() {
    let bench = Bench::new();
    let script = "// What it does.\n\n// %%\nlet a = 20;\na + 1\n\n// %% [markdown]\n// Prose.\n\n// %% Double\n// %%time\na * 2\n\n// %%\n  a.no_such()\n";
    bench.write("s.rhai", script);
    let ended = bench.run(&["run", "s.rhai"]);
    ended.with(1, &["s.rhai, line 15, column 5", "no_such"]);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!((lines[0], lines[2]), ("21", "40"), "{}", ended.stdout);
    assert!(lines[1].starts_with("time "), "{}", ended.stdout);
}

#[test]
fn a_notebook_and_its_script_are_made_of_each_other_without_loss() {
    let bench = Bench::new();
    let script = "// %% [markdown]\n// # Title\n//\n// // %% not a cell\n\n// %% tags=[\"parameters\"] id=\"x-1\"\nlet a = 1;\n// %who\n\n// %%\na\n";
    bench.write("s.rhai", script);
    assert_eq!(bench.run(&["convert", "s.rhai", "n.ipynb"]).ok(), "n.ipynb: 3 cells\n");
    bench.run(&["convert", "n.ipynb", "back.rhai"]).ok();
    assert_eq!(String::from_utf8(bench.read("back.rhai")).expect("UTF-8"), script);

    bench.run(&["run", "n.ipynb", "-o", "n.ipynb"]).ok();
    let done = cells(&bench, "n.ipynb");
    assert_eq!(text(&done[0]["source"]), "# Title\n\n%% not a cell");
    assert_eq!(text(&done[1]["source"]), "let a = 1;\n%who");
    assert_eq!(done[1]["id"], "x-1");

    // Over a notebook that is there: asked for, and the outputs of the same code stay.
    bench.run(&["convert", "s.rhai", "n.ipynb"]).with(2, &["`n.ipynb` is there; --force"]);
    bench.write("s.rhai", script.replace("let a = 1", "let a = 2"));
    bench.run(&["convert", "s.rhai", "n.ipynb", "--force"]).ok();
    let changed = cells(&bench, "n.ipynb");
    assert_eq!(changed[2]["outputs"], done[2]["outputs"]);
    assert_eq!(changed[1]["outputs"], json!([]));
}

#[test]
fn a_file_that_is_no_notebook_of_ours_is_refused_by_name() {
    let bench = Bench::new();
    bench.run(&["run", "none.ipynb"]).with(2, &["cannot read `none.ipynb`"]);
    bench.write("bad.ipynb", "{\"cells\": [");
    bench.run(&["run", "bad.ipynb"]).with(2, &["`bad.ipynb` is no notebook", "line 1"]);
    bench.write("old.ipynb", "{\"nbformat\": 3, \"worksheets\": []}");
    bench.run(&["run", "old.ipynb"]).with(2, &["nbformat 3", "nbconvert"]);
    let python = json!({"nbformat": 4, "nbformat_minor": 5, "cells": [], "metadata":
        {"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}}});
    bench.write("p.ipynb", python.to_string());
    bench.run(&["run", "p.ipynb"]).with(2, &["`python3` (python)"]);
    assert_eq!(bench.files("."), ["bad.ipynb", "old.ipynb", "p.ipynb"]);
    bench.run(&["convert", "p.ipynb", "x.txt"]).with(2, &[".ipynb and the other in .rhai"]);
    bench.write("s.rhai", "1");
    bench.run(&["run", "s.rhai", "-o", "x.ipynb"]).with(2, &["--output x.ipynb is for notebooks"]);
}
