//! An interrupt ends whatever runs, soon, and leaves variables and runs as they are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::raw::{Channel, Raw};
use crate::support::client::Kernel;

/// A small model and domains, to have something that works for long.
const DEMO: &str = "let m = load_model(\"demo\");
let d = load_domains(\"demo\", #{seq_len: 64, max_tokens: 20000});
let r = prune(m, target_shape(#{layers: 3}), d, #{batch: 2});
r.step(1);";

/// Starts a cell, waits until it is at work, interrupts it, and gives the time to its reply with what it
/// says.
fn interrupted(raw: &mut Raw, code: &str, warm: Duration) -> (Duration, String) {
    let id = raw.send_cell(code);
    raw.hear_kind(&id, "execute_input");
    std::thread::sleep(warm);
    let start = Instant::now();
    raw.send(Channel::Control, "interrupt_request", &json!({}));
    let reply = raw.reply(Channel::Shell, &id).content;
    let took = start.elapsed();
    assert_eq!(reply["ename"], "Interrupted", "{code}: {reply}");
    (took, reply["evalue"].as_str().unwrap().to_owned())
}

fn run(raw: &mut Raw, code: &str) -> serde_json::Value {
    let id = raw.send_cell(code);
    let reply = raw.reply(Channel::Shell, &id).content;
    assert_eq!(reply["status"], "ok", "{code}: {reply}");
    reply
}

#[test]
fn whatever_runs_is_stopped_and_what_there_was_stays() {
    let folder = tempfile::tempdir().unwrap();
    let words =
        "the quick brown fox jumps over the lazy dog and 17 other animals; ".repeat(400_000);
    std::fs::create_dir_all(folder.path().join("words")).unwrap();
    std::fs::write(folder.path().join("words/a.txt"), words).unwrap();
    let kernel = Kernel::start();
    kernel.client();
    let mut raw = Raw::connect(kernel.info());
    run(&mut raw, DEMO);
    run(&mut raw, "let kept = 7;");
    let texts = folder.path().display().to_string().replace('\\', "/");
    let points = "let p = []; for i in 0..200000 { p.push([i, i % 100]); }";
    run(&mut raw, points);
    let kinds = [
        ("a loop", "loop {}".to_owned(), 50),
        ("a sleep", "sleep(60)".to_owned(), 50),
        ("a question", "input(\"?\")".to_owned(), 50),
        ("a step", "r.step(100000)".to_owned(), 700),
        (
            "tokenising",
            format!(
                "let e = load_domains(\"{texts}\"); let f = prune(m, target_shape(#{{layers: 3}}), e);"
            ),
            300,
        ),
        ("charts", "loop { show(line_chart(\"c\", \"x\", \"y\", #{a: p})); }".to_owned(), 400),
        ("tables", "loop { table(\"t\", [#{a: 1}]).to_string(); }".to_owned(), 50),
    ];
    for (what, code, warm) in kinds {
        let (took, said) = interrupted(&mut raw, &code, Duration::from_millis(warm));
        println!("interrupt of {what}: {took:?}: {said}");
        assert!(said.starts_with("stopped at cell "), "{what}: {said}");
        // 100 ms is the aim on an idle machine, 20 of them waiting for cells on their way; tests share
        // their cores with others.
        assert!(took < Duration::from_millis(1500), "{what}: {took:?}");
    }
    run(&mut raw, "if kept != 7 { throw \"lost\" }");
    run(&mut raw, "r.step(1);");
}

#[test]
fn large_models_are_made_saved_and_loaded_stoppably() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("large").display().to_string().replace('\\', "/");
    let kernel = Kernel::start();
    kernel.client();
    let mut raw = Raw::connect(kernel.info());
    // 50 million weights, 200 MB in f32.
    let make = "new_model(#{layers: 4, hidden: 1024, heads: 8, intermediate: 2816})";
    run(&mut raw, &format!("let large = {make}; large.save(\"{dir}\");"));
    // A step of it takes a second or more, of which no part is long.
    run(
        &mut raw,
        "let d = load_domains(\"demo\", #{seq_len: 256, max_tokens: 200000, eval_rows: 16});
        let r = prune(large, target_shape(#{hidden: 512, layers: 2}), d, #{batch: 8});",
    );
    let magnitude = "loop { large.magnitude_cut(target_shape(#{hidden: 512})); }";
    let kinds = [
        ("a step of", "r.step(50)".to_owned(), ""),
        ("an evaluation of", "loop { r.evaluate(); }".to_owned(), "evaluate, "),
        ("a cut by magnitude of", magnitude.to_owned(), "line 1"),
        ("making", format!("loop {{ {make}; }}"), "line 1"),
        ("saving", format!("loop {{ large.save(\"{dir}-again\"); }}"), "save model, "),
        ("loading", format!("loop {{ load_model(\"{dir}\"); }}"), "load"),
    ];
    for (what, code, told) in kinds {
        let (took, said) = interrupted(&mut raw, &code, Duration::from_millis(400));
        println!("interrupt of {what} 200 MB: {took:?}: {said}");
        assert!(said.contains(told), "{what}: {said}");
        // As above.
        assert!(took < Duration::from_millis(1500), "{what}: {took:?}");
    }
    run(&mut raw, "if r.status().step > 40 { throw \"no step was stopped\" }");
    run(&mut raw, "large.generate(\"the\", #{max_tokens: 1});");
}

#[test]
fn who_interrupts_a_stuck_call_twice_is_told_what_can_be_done() {
    let kernel = Kernel::start();
    kernel.client();
    let mut raw = Raw::connect(kernel.info());
    // A native call of the language that never looks, some seconds long.
    let id = raw.send_cell("let t = \"x\"; t.pad(6000, 'y'); for i in 0..1 { t.pad(200000000, 'y'); t.replace(\"y\", \"zz\"); t.replace(\"z\", \"yy\"); t.to_upper(); }");
    raw.hear_kind(&id, "execute_input");
    std::thread::sleep(Duration::from_millis(50));
    for _ in 0..2 {
        raw.send(Channel::Control, "interrupt_request", &json!({}));
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = raw.hear_kind(&id, "stream").content;
    assert_eq!(told["name"], "stderr");
    assert!(told["text"].as_str().unwrap().contains("restart the kernel"), "{told}");
    raw.send(Channel::Control, "shutdown_request", &json!({"restart": false}));
}
