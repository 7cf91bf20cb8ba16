//! Rust cells, as a front end sees them.
//!
//! They need the program `woolshed-rust` (`kernel/rust-cells`), which the everyday build does not make.
//! Where `WOOLSHED_RUST` names it, or it is installed, these tests run, in some minutes on an idle machine;
//! where not, each says so.
//!
//! | file | what it is about |
//! |---|---|
//! | `evcxr.rs` | evcxr's own examples and commands |
//! | `endurance.rs` | crashes, memory, files, the network: what stays |
//! | `places.rs` | build folders, the loopback, notebooks without a front end |
//! | `suite.rs` | Jupyter's own test suite for kernels |
//! | `types.rs` | the types of a first cell's variables |

#[expect(dead_code, reason = "the kernel's own tests use the rest of it")]
mod support;

#[expect(dead_code, reason = "the tests of scripts use the rest of it")]
#[path = "support/command.rs"]
mod command;

#[path = "rust_cells/endurance.rs"]
mod endurance;
#[path = "rust_cells/evcxr.rs"]
mod evcxr;
#[path = "support/suite.rs"]
mod jupyter_suite;
#[path = "rust_cells/places.rs"]
mod places;
#[path = "support/python.rs"]
mod python;
#[path = "rust_cells/suite.rs"]
mod suite;
#[path = "rust_cells/types.rs"]
mod types;

use std::path::{Path, PathBuf};
use std::time::Duration;

use command::{Bench, Ended};
use support::client::{CellRun, Client, Kernel};

/// A run of the demo model that Rhai cells call `run`.
const RUN: &str = "let model = load_model(\"demo\");
let domains = load_domains(\"demo\", #{seq_len: 64, max_tokens: 20000});
let run = prune(model, target_shape(#{layers: 3}), domains, #{batch: 2});
run.step(1);";

/// The program of Rust cells; none, with a word, where there is none.
fn rust_program() -> Option<PathBuf> {
    let named = std::env::var_os("WOOLSHED_RUST").map(PathBuf::from);
    let installed = std::env::var_os("PATH").and_then(|path| {
        let mut places = std::env::split_paths(&path).map(|folder| folder.join("woolshed-rust"));
        places.find(|program| program.is_file())
    });
    let found = named.or(installed).filter(|program| program.is_file());
    if found.is_none() {
        eprintln!("not run: `woolshed-rust` is not installed and WOOLSHED_RUST does not name it");
    }
    found
}

/// A kernel with a run and a Rust cell behind it; none, with a word, where there are no Rust cells.
fn kernel() -> Option<(Kernel, Client)> {
    let program = rust_program()?;
    let kernel = Kernel::start_with(&[("WOOLSHED_RUST", &program)]);
    let mut client = kernel.client();
    assert_eq!(value(&mut client, "%%rust\n1 + 1"), "2");
    ok(&mut client, RUN);
    Some((kernel, client))
}

/// A kernel whose cells are Rust and that has run none, with more environment variables.
fn clean_kernel(environment: &[(&str, &Path)]) -> Option<(Kernel, Client)> {
    let program = rust_program()?;
    let environment = [environment, &[("WOOLSHED_RUST", &program)]].concat();
    let kernel = Kernel::start_rust(&environment);
    let client = kernel.client();
    Some((kernel, client))
}

#[track_caller]
fn ok(client: &mut Client, code: &str) -> CellRun {
    let run = client.run(code);
    assert!(run.error().is_none(), "{code}: {:?}", run.error());
    run
}

#[track_caller]
fn fails(client: &mut Client, code: &str, parts: &[&str]) -> String {
    let run = client.run(code);
    let error = run.error().unwrap_or_else(|| panic!("{code} did not fail: {run:?}"));
    let said = format!("{}: {}\n{}", error.ename, error.evalue, error.traceback.join("\n"));
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    said
}

#[track_caller]
fn value(client: &mut Client, code: &str) -> String {
    ok(client, code).result().unwrap_or_else(|| panic!("{code} gave no value"))
}

#[test]
fn without_the_program_a_rust_cell_says_how_to_get_it() {
    let bench = Bench::new();
    let script = bench.write("a.rhai", "// %%\n%%rust\n1 + 1\n");
    let mut command = bench.command(&["run", script.to_str().expect("UTF-8")]);
    command.env("WOOLSHED_RUST", bench.path("nothing"));
    let ended = Ended::from(command.output().expect("it starts"));
    ended.with(1, &["woolshed-rust", "cargo install --locked --path kernel/rust-cells"]);
}

#[test]
fn a_step_taken_in_rust_shows_in_rhai_and_values_pass_both_ways() {
    let Some((_kernel, mut client)) = kernel() else { return };
    let code = "%%rust\nlet run = lab.run(\"run\")?;\nrun.step(2)?[\"step\"].clone()";
    assert_eq!(value(&mut client, code), "3");
    assert_eq!(value(&mut client, "run.status().step"), "3");
    ok(
        &mut client,
        "%%rust\nlab.bind(\"again\", &run)?;\nlab.bind(\"xs\", vec![1.5, 2.5])?;\n\
         lab.bind(\"options\", options! { a: 1, b: [\"x\", \"y\"] })?;\n\
         let rows = run.gates(\"layer\")?;\nlab.bind(\"rows\", &rows)?;",
    );
    assert_eq!(value(&mut client, "again.step(1); run.status().step"), "4");
    assert_eq!(
        value(&mut client, "xs[0] + xs[1] + options.a + options.b.len() + rows.len()"),
        "11"
    );
    ok(&mut client, "fn half(x) { x / 2.0 } let deep = [#{a: [1, 2]}, \"é\"];");
    let code = "%%rust\nlab.call(\"half\", vec![3.0.into()])?.to::<f64>()? + 0.5";
    assert_eq!(value(&mut client, code), "2.0");
    let code = "%%rust\nlet deep = lab.value(\"deep\")?;\n\
                deep[0][\"a\"].clone().to::<Vec<i64>>()?[1].to_string() + deep[1].as_str().unwrap()";
    assert_eq!(value(&mut client, code), "\"2é\"");
    fails(&mut client, "%%rust\nlab.run(\"runn\")?;", &["ErrorReturned", "did you mean `run`?"]);
    fails(&mut client, "%%rust\nlab.table(\"run\")?;", &["this is Run, not Table"]);
    fails(&mut client, "%%rust\nrun.gates(\"nothing\")?;", &["no gate kind `nothing`"]);
    fails(&mut client, "%%rust\nlab.bind(\"1x\", 1)?;", &["cannot be the name of a variable"]);
}

#[test]
fn errors_stand_at_the_line_of_the_cell_and_panics_are_errors() {
    let Some((_kernel, mut client)) = kernel() else { return };
    fails(
        &mut client,
        "%%rust\n// a remark\nlet é = nothing_there;",
        &[
            "CompileError",
            "E0425",
            "line 3, column 9",
            "3 | let é = nothing_there;\n  |         ^^^^^",
        ],
    );
    fails(
        &mut client,
        "%%rust\nlet v = vec![1];\nlet i = v.len() + 3;\nv[i]",
        &["Panic: index out of bounds: the len is 1 but the index is 4", "line 4"],
    );
    fails(&mut client, "%%rust\n\"x\".parse::<i32>()?;", &["ErrorReturned: invalid digit found"]);
    ok(&mut client, "%%rust\nlet kept = 40;");
    fails(&mut client, "%%rust\nlet lost = 1; panic!(\"no\");", &["Panic: no"]);
    assert_eq!(value(&mut client, "%%rust\nkept + 2"), "42");
}

#[test]
fn everything_printed_comes_in_order_with_or_without_a_newline() {
    let Some((_kernel, mut client)) = kernel() else { return };
    let run = ok(&mut client, "%%rust\nprint!(\"10 %\\r20 %\");");
    assert_eq!(run.stdout(), "10 %\r20 %");
    let run = ok(
        &mut client,
        "%%rust\nuse std::io::Write; print!(\"x\"); std::io::stdout().flush().unwrap();",
    );
    assert_eq!(run.stdout(), "x");
    let run = ok(
        &mut client,
        "%%rust\nfn picture(n: i32) {\n    println!(\"EVCXR_BEGIN_CONTENT image/svg+xml\\n<svg id='{n}'/>\\nEVCXR_END_CONTENT\");\n}\n\
         picture(1); println!(\"between\"); picture(2); picture(3);",
    );
    let kinds: Vec<&str> = run
        .kinds()
        .into_iter()
        .filter(|kind| ["stream", "display_data", "execute_result"].contains(kind))
        .collect();
    assert_eq!(kinds, ["display_data", "stream", "display_data", "execute_result"]);
    let run = ok(&mut client, "%%rust\nshow([1, 2])?; println!(\"after\");");
    assert_eq!(run.stdout(), "after\n");
}

#[test]
fn a_crash_costs_rust_variables_and_nothing_else() {
    let Some((_kernel, mut client)) = kernel() else { return };
    let hash = value(&mut client, "run.hash()");
    ok(&mut client, "%%rust\nlet mine = 5; fn stays() -> i32 { 7 }");
    let crashes = [
        ("std::process::exit(3)", "exit status: 3"),
        ("unsafe { std::arch::asm!(\"ud2\") }", "signal"),
        ("fn deep(n: u64) -> u64 { std::hint::black_box(deep(n + 1)) + 1 } deep(0)", "signal: 11"),
        ("std::process::abort()", "signal: 6"),
    ];
    for (i, (crash, how)) in crashes.iter().enumerate() {
        let lost = if i == 0 { "the Rust variables mine" } else { "no Rust variable" };
        let kept = "every Rhai variable, run and model";
        fails(&mut client, &format!("%%rust\n{crash}"), &["ProcessEnded", how, lost, kept]);
        assert_eq!(value(&mut client, "run.hash()"), hash, "after {crash}");
        assert_eq!(value(&mut client, "%%rust\nstays()"), "7");
        let step = value(&mut client, "%%rust\nlab.run(\"run\")?.status()?[\"step\"].clone()");
        assert_eq!(step, "1");
    }
}

#[test]
fn the_first_interrupt_stops_a_call_or_the_compiler_and_the_second_ends_the_process() {
    let Some((_kernel, mut client)) = kernel() else { return };
    ok(&mut client, "%%rust\nlet run = lab.run(\"run\")?; let mine = 5;");
    let stopped = |client: &mut Client, code: &str, after: &[u64]| -> String {
        let cell = client.send_cell(code);
        for seconds in after {
            std::thread::sleep(Duration::from_secs(*seconds));
            client.interrupt();
        }
        let run = client.finish(&cell);
        let error = run.error().unwrap_or_else(|| panic!("{code} was not stopped"));
        assert_eq!(error.ename, "Interrupted", "{error:?}");
        error.traceback.join("\n")
    };
    stopped(&mut client, "%%rust\nrun.step(1_000_000)?;", &[4]);
    assert_eq!(value(&mut client, "%%rust\nmine"), "5");
    stopped(&mut client, "%%rust\nloop { woolshed::check()?; }", &[4]);
    assert_eq!(value(&mut client, "%%rust\nmine"), "5");
    // Work for the compiler alone: some minutes.
    let long = "%%rust\n#[allow(long_running_const_eval)]\n\
                const N: usize = { let mut i = 0; while i < 4_000_000_000 { i += 1; } i };\nlet n = N;";
    stopped(&mut client, long, &[4]);
    assert_eq!(value(&mut client, "%%rust\nmine"), "5");
    let said = stopped(&mut client, "%%rust\nloop { std::hint::black_box(0); }", &[4, 2]);
    assert!(said.contains("lost: the Rust variables mine, run"), "{said}");
    assert!(value(&mut client, "run.status().step").parse::<u64>().unwrap() > 1);
    assert_eq!(
        value(&mut client, "%%rust\nlab.run(\"run\")?.status()?[\"step\"].as_i64().is_some()"),
        "true"
    );
}

#[test]
fn twenty_cells_leave_no_file_open() {
    let Some((_kernel, mut client)) = kernel() else { return };
    let count = "%%rust\nstd::fs::read_dir(\"/proc/self/fd\").map(|d| d.count()).unwrap_or(0)";
    // The first call opens the one connection.
    ok(&mut client, "%%rust\nlab.value(\"run\")?;");
    let few = value(&mut client, count);
    for _ in 0..20 {
        ok(&mut client, "%%rust\nlab.value(\"run\")?;");
    }
    assert_eq!(value(&mut client, count), few);
}
