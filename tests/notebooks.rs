//! The lessons run through a real client, cell by cell, and say what their committed outputs say.
//!
//! Takes about two minutes on two cores: the lessons train for real.

#[expect(dead_code, reason = "the kernel's own tests use the rest of it")]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::client::Kernel;
use support::notebook::{CellOutputs, run_notebook};

fn lessons() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
    let entries = std::fs::read_dir(folder).expect("the folder of lessons");
    let mut lessons: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "ipynb"))
        .collect();
    lessons.sort();
    lessons
}

/// The code cells of a notebook file with their committed outputs.
fn committed(lesson: &Path) -> Vec<(String, Vec<Value>)> {
    let text = std::fs::read_to_string(lesson).expect("a lesson");
    let notebook: Value = serde_json::from_str(&text).expect("a notebook is JSON");
    let cells = notebook["cells"].as_array().expect("a notebook has cells");
    let code = cells.iter().filter(|c| c["cell_type"] == "code");
    code.map(|c| (joined(&c["source"]), c["outputs"].as_array().cloned().unwrap_or_default()))
        .collect()
}

/// Text of a notebook file, which may be split in lines.
fn joined(text: &Value) -> String {
    match text {
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        other => other.as_str().unwrap_or_default().to_string(),
    }
}

/// True for what a progress panel leaves behind.
fn is_progress(output: &Value) -> bool {
    joined(&output["data"]["text/html"]).contains("class=\"woolshed-progress\"")
}

/// The kinds of rich output of a cell, in order: `image/svg+xml text/plain`. Streams and what a
/// progress panel leaves behind depend on the machine's speed and do not count.
fn kinds(outputs: &[Value]) -> Vec<String> {
    let rich = outputs.iter().filter(|o| !is_progress(o)).filter_map(|o| o["data"].as_object());
    rich.map(|data| {
        data.keys().cloned().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" ")
    })
    .filter(|kinds| kinds != "text/plain")
    .collect()
}

/// The numbers of the last table of the last cell that shows one.
fn final_numbers(outputs: &[Value]) -> Vec<f64> {
    let mut tables = outputs
        .iter()
        .filter(|o| !is_progress(o))
        .filter(|o| o["data"]["text/html"].is_string() || o["data"]["text/html"].is_array());
    let text = tables.next_back().map(|o| joined(&o["data"]["text/plain"])).unwrap_or_default();
    text.split(|c: char| c.is_whitespace() || c == '│')
        .filter_map(|w| w.replace(',', "").parse().ok())
        .collect()
}

/// Whether there are Rust cells: their program is not part of the everyday build.
fn rust_cells() -> bool {
    let run = Kernel::start().client().run("%%rust\n1 + 1");
    run.error().is_none_or(|error| !error.evalue.contains("not installed"))
}

#[test]
fn every_lesson_runs_and_shows_what_its_committed_outputs_show() {
    let lessons = lessons();
    assert!(!lessons.is_empty(), "there is no lesson");
    for lesson in lessons {
        let expected = committed(&lesson);
        let rust = expected.iter().any(|(source, _)| source.starts_with("%%rust"));
        if rust && !rust_cells() {
            eprintln!("not run: {}: `woolshed-rust` is not installed", lesson.display());
            continue;
        }
        let found: Vec<CellOutputs> = run_notebook(&lesson);
        assert_eq!(found.len(), expected.len(), "{}: code cells run", lesson.display());
        for (i, (cell, (source, outputs))) in found.iter().zip(&expected).enumerate() {
            let place = format!("{}, code cell {i}:\n{source}", lesson.display());
            assert!(cell.succeeded, "{place}\nfailed: {:?}", cell.outputs);
            assert_eq!(kinds(&cell.outputs), kinds(outputs), "{place}");
        }
        let (now, then) = (&found[found.len() - 1].outputs, &expected[expected.len() - 1].1);
        let (now, then) = (final_numbers(now), final_numbers(then));
        assert_eq!(now.len(), then.len(), "{}: the closing table", lesson.display());
        assert!(!now.is_empty(), "{}: no closing table", lesson.display());
        for (a, b) in now.iter().zip(&then) {
            // Vector units differ between machines, and training amplifies the last bit: 0.2
            // nats/token is far below what tells a learned structure from a random one.
            assert!((a - b).abs() <= 0.2, "{}: {now:?} now, {then:?} committed", lesson.display());
        }
    }
}
