//! Exit codes, interrupts, the time `--help` takes.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::command::{Bench, DOMAINS, Ended, MODEL};

#[test]
fn a_script_that_ends_well_exits_0_and_prints_its_last_value() {
    let ended = Bench::new().script("print(1);\n[1, 2].len() + 1", &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "1\n3\n"));
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_command_line_that_cannot_be_exits_2() {
    let bench = Bench::new();
    bench.write("script.rhai", "print(1);");
    bench.run(&["run", "nowhere.rhai"]).with(2, &["cannot read the script `nowhere.rhai`"]);
    bench.run(&["run"]).with(2, &["<FILE>"]);
    bench.run(&["frobnicate"]).with(2, &["frobnicate"]);
    bench.run(&["run", "script.rhai", "-p", "steps"]).with(2, &["`steps` is not NAME=VALUE"]);
    bench.run(&["run", "script.rhai", "--seed", "x"]).with(2, &["--seed"]);
    bench.run(&["run", "script.rhai", "--outt", "x"]).with(2, &["--outt", "--out"]);
    bench.run(&[]).with(2, &["Usage: woolshed"]);
}

#[test]
fn help_is_there_at_once() {
    let bench = Bench::new();
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begin = Instant::now();
        let ended = bench.run(&["--help"]);
        best = best.min(begin.elapsed());
        assert!(ended.ok().contains("Usage: woolshed"), "{}", ended.stdout);
    }
    println!("woolshed --help: {} ms", best.as_millis());
    // The promise is 50 ms on a quiet machine; ten times that tells a start that loads something.
    assert!(best < Duration::from_millis(500), "--help took {best:?}");
}

/// Starts a script that prints `go` when it begins to step, sends it Ctrl-C then, and gives how it
/// ended and how long that took.
#[cfg(unix)]
fn interrupted(bench: &Bench, code: &str) -> (Ended, Duration) {
    bench.write("script.rhai", code);
    let mut command = bench.command(&["run", "script.rhai", "--out", "out"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut stderr = child.stderr.take().expect("piped");
    let mut first = String::new();
    stdout.read_line(&mut first).expect("a line");
    assert_eq!(first, "go\n");
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let (mut rest, mut told) = (String::new(), String::new());
    stdout.read_to_string(&mut rest).expect("stdout");
    let took = begin.elapsed();
    stderr.read_to_string(&mut told).expect("stderr");
    let code = child.wait().expect("it ends").code();
    (Ended { code, stdout: rest, stderr: told }, took)
}

#[test]
#[cfg(unix)]
fn ctrl_c_stops_at_the_next_step_exits_130_and_keeps_what_was_written() {
    let bench = Bench::new();
    bench.domains("data");
    let code = format!(
        "{MODEL}{DOMAINS}let run = prune(model, target_shape(#{{hidden: 24}}), domains, \
         #{{steps: 1000000, batch: 4}});\n\
         run.step(2);\nsave_csv(\"history.csv\", run.history());\nprint(\"go\");\n\
         try {{ run.step(1000000); }} catch (e) {{ print(\"caught\"); }}\n\
         save_json(\"after.json\", 1);\n"
    );
    let (ended, took) = interrupted(&bench, &code);
    println!("interrupted run.step ended in {} ms", took.as_millis());
    ended.with(130, &["stopping; Ctrl-C again to end at once", "prune stopped at step ", "stays"]);
    assert_eq!(ended.stdout, "", "an interrupt is not to be caught");
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(bench.files("out"), ["history.csv"]);
    let history = String::from_utf8(bench.read("out/history.csv")).expect("UTF-8");
    assert_eq!(history.lines().count(), 3, "a header and two steps");
}

#[test]
#[cfg(unix)]
fn ctrl_c_stops_a_loop_that_calls_nothing() {
    let bench = Bench::new();
    let (ended, took) = interrupted(&bench, "print(\"go\");\nlet n = 0;\nloop { n += 1; }");
    ended.with(130, &["interrupted; what was written before stays"]);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_a_sweep_and_keeps_the_points_that_are_finished() {
    let bench = Bench::new();
    let code = "sweep(#{x: [1, 2, 3]}, |p| {\n\
                if p.x == 2 { print(\"go\"); loop { } }\n\
                #{y: p.x}\n\
                }, #{dir: \"points\"});\nprint(\"not reached\");";
    let (ended, took) = interrupted(&bench, code);
    ended.with(130, &["interrupted; what was written before stays"]);
    assert_eq!(ended.stdout, "");
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    assert_eq!(bench.files("out").len(), 1, "{:?}", bench.files("out"));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_woolshed"))
        .arg("reference")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The page is longer than a pipe holds, and nobody reads it.
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{:?}: {said}", ended.status);
}
