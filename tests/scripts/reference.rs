//! The reference page: as committed, complete, and true.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::command::Bench;

/// The page as the program prints it.
fn page() -> String {
    Bench::new().run(&["reference"]).ok().to_string()
}

/// Every entry of a page: its heading, and the code of its examples.
fn entries(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for part in page.split("\n### ").skip(1) {
        let heading = part.lines().next().expect("a heading").trim_matches('`');
        let blocks = part.split("```rhai\n").skip(1);
        let code = blocks.map(|block| block.split_once("```").expect("a block that ends").0);
        found.push((heading, code.collect()));
    }
    found
}

#[test]
fn the_committed_page_is_what_the_program_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/REFERENCE.md");
    let committed = std::fs::read_to_string(&file).expect("scripts/REFERENCE.md");
    assert!(
        committed.replace("\r\n", "\n") == page(),
        "scripts/REFERENCE.md is old; make it anew: \
         cargo run --release -- reference > scripts/REFERENCE.md"
    );
}

#[test]
fn the_page_is_the_same_each_time_and_lists_every_call_once() {
    let first = page();
    assert!((0..3).all(|_| page() == first), "the order of the page changes");
    let mut headings: Vec<&str> = entries(&first).iter().map(|(heading, _)| *heading).collect();
    let all = headings.len();
    headings.sort_unstable();
    headings.dedup();
    assert_eq!(headings.len(), all, "a call stands twice");
    for promised in [
        "load_model(spec: text) -> Model",
        "model.generate(prompt: text, options: map) -> text",
        "model.loss(domains: Domains) -> map",
        "model.logits(ids: array) -> array",
        "model.shape() -> map",
        "model.parameters() -> int",
        "target_shape(dimensions: map) -> TargetShape",
        "target.check(model: Model) -> map",
        "load_domains(from: text, options: map) -> Domains",
        "prune(model: Model, target: TargetShape, domains: Domains, options: map) -> Run",
        "recover(model: Model, domains: Domains, options: map) -> Run",
        "run.step(n: int) -> map",
        "run.status() -> map",
        "run.history() -> Table",
        "run.mixture() -> Table",
        "run.gates(kind: text) -> Table",
        "run.sparsity_chart() -> Chart",
        "run.loss_chart() -> Chart",
        "run.mixture_chart() -> Chart",
        "run.extract() -> Model",
        "model.save(dir: text) -> text",
        "param(name: text, default: any) -> any",
        "show(value: any)",
        "save_json(path: text, value: any) -> text",
        "save_csv(path: text, table: Table) -> text",
        "save_parquet(path: text, table: Table) -> text",
    ] {
        assert!(headings.binary_search(&promised).is_ok(), "`{promised}` is not on the page");
    }
}

#[test]
fn every_call_has_an_example_that_runs_and_writes_under_out_only() {
    let page = page();
    let begin = Instant::now();
    let (mut count, mut slowest) = (0, (Duration::ZERO, ""));
    for (heading, examples) in entries(&page) {
        assert!(!examples.is_empty(), "`{heading}` has no example");
        for code in examples {
            let started = Instant::now();
            let bench = Bench::new();
            let ended = bench.script(code, &[]);
            assert_eq!(ended.code, Some(0), "the example of `{heading}`\n{code}{}", ended.stderr);
            let outside: Vec<String> =
                bench.files(".").into_iter().filter(|f| !f.starts_with("out")).collect();
            assert_eq!(outside, ["script.rhai"], "the example of `{heading}`");
            slowest = slowest.max((started.elapsed(), heading));
            count += 1;
        }
    }
    let (took, (most, which)) = (begin.elapsed(), slowest);
    println!("{count} examples in {took:.1?}, the slowest {most:.1?}: {which}");
}
