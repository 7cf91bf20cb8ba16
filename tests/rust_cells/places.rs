//! Where things are: prepared build folders, the way between cells and kernel, notebooks without a front end.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{Bench, Ended};
use crate::{clean_kernel, fails, ok, rust_program, value};

/// The program with the real compiler and a cache of its own.
fn run(bench: &Bench, arguments: &[&str]) -> Ended {
    run_with(bench, &bench.path("cache"), arguments)
}

fn run_with(bench: &Bench, cache: &Path, arguments: &[&str]) -> Ended {
    let mut command = bench.command(arguments);
    command
        .env("XDG_CACHE_HOME", cache)
        .env("WOOLSHED_RUST", rust_program().unwrap_or_else(|| bench.path("nothing")));
    command.output().expect("the program starts").into()
}

/// The names of the folders in a cache.
fn cached(cache: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(cache.join("woolshed"));
    let entries = entries.into_iter().flatten();
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn install_prepares_rust_cells_once_and_without_the_program_says_how_to_get_it() {
    let bench = Bench::new();
    let place = bench.path("prefix").display().to_string();
    let mut none = bench.command(&["install", "--prefix", &place]);
    none.env("WOOLSHED_RUST", bench.path("nothing"));
    let none = Ended::from(none.output().expect("it starts"));
    assert!(
        none.ok().contains("cargo install --locked --path kernel/rust-cells"),
        "{}",
        none.stdout
    );
    let mut left = bench.command(&["install", "--no-rust", "--prefix", &place]);
    let left =
        Ended::from(left.env("WOOLSHED_RUST", bench.path("nothing")).output().expect("it starts"));
    assert!(!left.ok().contains("Rust cells"), "{}", left.stdout);
    if rust_program().is_none() {
        return;
    }
    // Often below the same home as the compiler, which the path inside a compiled cell does not survive.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cache = folder.path();
    let first = run_with(&bench, cache, &["install", "--prefix", &place]);
    assert!(first.ok().contains("Rust cells: ready"), "{}", first.stdout);
    let mut names = cached(cache);
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("client-") && names[1].starts_with("rust-"), "{names:?}");
    let start = std::time::Instant::now();
    let again = run_with(&bench, cache, &["install", "--prefix", &place]);
    assert!(again.ok().contains("Rust cells: ready"), "{}", again.stderr);
    // What is there is not made again: usual 0.1 s, making it 5 to 20 s.
    assert!(start.elapsed().as_secs_f64() < 3.0, "{:?}", start.elapsed());
}

#[test]
fn cells_reach_the_kernel_over_the_loopback_where_no_socket_file_can_be() {
    let folder = tempfile::tempdir().unwrap();
    // A socket file's path has 108 bytes at most.
    let long = folder.path().join("a-folder-of-a-long-name".repeat(5));
    std::fs::create_dir_all(&long).unwrap();
    let Some((_kernel, mut client)) = clean_kernel(&[("TMPDIR", &long)]) else { return };
    let address = value(&mut client, "std::env::var(\"WOOLSHED_SOCKET\")?");
    assert!(address.starts_with("\"tcp:127.0.0.1:"), "{address}");
    ok(&mut client, "%%rhai\nlet xs = [1, 2, 3];");
    assert_eq!(value(&mut client, "lab.get::<Vec<i64>>(\"xs\")?"), "[1, 2, 3]");
    // Reaches the other side in pieces.
    let code = "let many: Vec<f64> = (0..500_000).map(f64::from).collect();\n\
                lab.bind(\"many\", many.clone())?; lab.get::<Vec<f64>>(\"many\")? == many";
    assert_eq!(value(&mut client, code), "true");
    assert_eq!(value(&mut client, "%%rhai\nmany.len()"), "500000");
}

/// A notebook of the kernel whose cells are Rust.
fn notebook(bench: &Bench, cells: &[&str]) -> String {
    let cell = |source: &&str| {
        json!({"cell_type": "code", "id": format!("c{}", source.len()), "metadata": {},
            "source": source, "outputs": [], "execution_count": null})
    };
    let notebook = json!({
        "cells": cells.iter().map(cell).collect::<Vec<_>>(),
        "metadata": {"kernelspec": {"name": "woolshed-rust", "display_name": "Woolshed (Rust)", "language": "rust"}},
        "nbformat": 4, "nbformat_minor": 5,
    });
    bench.write("rust.ipynb", notebook.to_string()).display().to_string()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn a_rust_notebook_becomes_a_script_whose_cells_say_that_they_are_rust() {
    let bench = Bench::new();
    let cells = ["let a = 40_i64;", "%%rhai\nlet b = 2;", "%%time\na + lab.get::<i64>(\"b\")?"];
    let from = notebook(&bench, &cells);
    let to = bench.path("rust.rhai").display().to_string();
    bench.run(&["convert", &from, &to]).ok();
    let script = String::from_utf8(bench.read("rust.rhai")).unwrap();
    for part in ["%%rust\n// let a = 40_i64;", "%%rhai", "%%rust\n// %%time"] {
        let plain = script.replace("\n// ", "\n");
        let part = part.replace("\n// ", "\n");
        assert!(plain.contains(&part), "`{part}` is not in:\n{script}");
    }
    if rust_program().is_none() {
        return;
    }
    run(&bench, &["run", &to]).ok();
    // And as a notebook, without a front end.
    run(&bench, &["run", &from]).ok();
    let ran = read(&bench.path("rust.out.ipynb"));
    let last = &ran["cells"][2]["outputs"];
    let shown = last.as_array().unwrap().iter().find(|o| o["output_type"] == "execute_result");
    assert_eq!(shown.unwrap()["data"]["text/plain"], json!(["42"]), "{last}");
}

#[test]
fn a_rust_notebook_that_fails_ends_with_the_error_of_its_cell() {
    let bench = Bench::new();
    let from = notebook(&bench, &["let a = 1;", "let v: Vec<i32> = vec![]; v[0]", "never_run();"]);
    if rust_program().is_none() {
        return;
    }
    run(&bench, &["run", &from]).with(1, &["index out of bounds"]);
    let ran = read(&bench.path("rust.out.ipynb"));
    assert_eq!(ran["cells"][1]["outputs"][0]["ename"], "Panic");
    assert_eq!(ran["cells"][2]["outputs"], json!([]));
}

#[test]
fn without_a_compiler_a_cell_says_so() {
    if rust_program().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let kernel = crate::support::client::Kernel::start_with(&[
        ("RUSTC", &folder.path().join("none")),
        ("WOOLSHED_RUST", &rust_program().unwrap_or_default()),
    ]);
    fails(&mut kernel.client(), "%%rust\n1", &["no Rust compiler", "rustup"]);
}

#[test]
fn the_scripts_with_rust_cells_leave_their_tables_and_charts() {
    if rust_program().is_none() {
        return;
    }
    let bench = Bench::new();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    for name in ["rust-scores", "rust-pairs"] {
        let script = scripts.join(format!("{name}.rhai"));
        let script = script.to_str().expect("UTF-8");
        run(&bench, &["run", script, "--out", "out", "-p", "quick=true"]).ok();
        for ending in ["csv", "png"] {
            let file = format!("out/{name}.{ending}");
            assert!(!bench.read(&file).is_empty(), "{file}");
        }
    }
}
