//! Programs without a window run a small notebook of everything a cell can say, and one of them a lesson.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::python::run;
use crate::{Desk, python, repository};

/// What its cells say: everything.
const ALL: [&str; 9] = [
    "let steps = 3;",
    "print(\"a\"); debug(\"b\"); print(\"c\");\nsteps + 1",
    "show(table(\"t\", [#{a: 1, b: 2.5}]));\nshow_at(\"here\", 1); show_at(\"here\", 2);",
    "show_at(\"here\", 3);\nline_chart(\"g\", \"x\", \"y\", #{a: [[1, 1], [2, 4]]})",
    "print(\"gone\"); clear_output(true); print(\"stays\");\n\"x\"",
    "%who",
    "",
    "throw \"expected\";",
    "for i in range(0, 200) { print(`line ${i}`); }",
];

/// The same without clears and updates, which nbval does not know.
const LASTING: [&str; 5] = [
    "let steps = 3;",
    "print(\"a\"); debug(\"b\"); print(\"c\");\nsteps + 1",
    "show(table(\"t\", [#{a: 1, b: 2.5}]));",
    "line_chart(\"g\", \"x\", \"y\", #{a: [[1, 1], [2, 4]]})",
    "throw \"expected\";",
];

/// A notebook that needs no model.
fn small(desk: &Desk, code: &[&str]) {
    let mut cells =
        vec![json!({"cell_type": "markdown", "id": "m", "metadata": {}, "source": "# Small"})];
    for (i, source) in code.iter().enumerate() {
        let fails = source.starts_with("throw");
        let tags = if fails { json!(["raises-exception"]) } else { json!([]) };
        cells.push(json!({"cell_type": "code", "id": format!("c{i}"), "metadata": {"tags": tags},
            "source": source, "outputs": [], "execution_count": null}));
    }
    let kernel = json!({"name": "woolshed", "display_name": "Woolshed (Rhai)", "language": "rhai"});
    let file = json!({"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5});
    fs::write(desk.path("small.ipynb"), file.to_string()).unwrap();
}

/// Runs the small notebook in this program, into `small.out.ipynb`.
fn run_small(desk: &Desk, code: &[&str]) {
    small(desk, code);
    let mut woolshed = Command::new(env!("CARGO_BIN_EXE_woolshed"));
    run(woolshed.args(["run", "small.ipynb"]).current_dir(desk.path(""))).unwrap();
}

#[test]
fn a_notebook_run_here_is_valid_and_what_nbclient_stores() {
    let Some(python) = python() else { return };
    let desk = Desk::new();
    run_small(&desk, &ALL);
    let script = repository("tests/front_ends/compare.py");
    let output = run(desk.command(&python).arg(script)).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "the same");
}

#[test]
fn nbval_finds_the_outputs_that_a_run_here_stored() {
    let Some(python) = python() else { return };
    let desk = Desk::new();
    run_small(&desk, &LASTING);
    let mut command = desk.command(&python);
    let output = run(command.args(["-m", "pytest", "-q", "--nbval", "small.out.ipynb"])).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("5 passed"), "{said}");
}

#[test]
fn nbconvert_runs_a_notebook_into_a_page_with_charts_and_coloured_code() {
    let Some(python) = python() else { return };
    let desk = Desk::new();
    // A notebook that has been run names the language; without that nbconvert takes it for Python.
    run_small(&desk, &ALL);
    let mut command = desk.command(&python);
    let arguments = ["-m", "jupyter", "nbconvert", "--to", "html", "--execute", "small.out.ipynb"];
    run(command.args(arguments)).unwrap();
    let page = fs::read_to_string(desk.path("small.out.html")).unwrap();
    for part in [
        "highlight hl-rust",
        "<span class=\"kd\">let</span>",
        "data:image/svg+xml",
        "<table",
        "line 199",
    ] {
        assert!(page.contains(part), "`{part}` is not in the page");
    }
}

#[test]
fn papermill_runs_a_lesson() {
    let Some(python) = python() else { return };
    let desk = Desk::new();
    let mut command = desk.command(&python);
    command.args(["-m", "papermill", "--no-progress-bar"]);
    run(command.arg(repository("notebooks/branches.ipynb")).arg("out.ipynb")).unwrap();
    let text = fs::read_to_string(desk.path("out.ipynb")).unwrap();
    let notebook: Value = serde_json::from_str(&text).unwrap();
    let cells = notebook["cells"].as_array().unwrap().iter().filter(|c| c["cell_type"] == "code");
    for cell in cells {
        assert!(cell["execution_count"].is_u64(), "{cell}");
        assert_eq!(cell["metadata"]["papermill"]["status"], "completed");
    }
}

#[test]
fn jupyters_console_is_a_prompt_for_the_kernel() {
    let Some(python) = python() else { return };
    let desk = Desk::new();
    let mut command = desk.command(&python);
    command.args(["-m", "jupyter", "console", "--kernel", "woolshed", "--simple-prompt"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the console starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(b"let a = 20;\na * 2 + 2\nno_such(1)\n\"still \" + \"here\"\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    for part in ["Out[2]: 42", "there is no function `no_such(int)`", "Out[4]: still here"] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}
