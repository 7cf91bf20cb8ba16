//! What evcxr's README, its page on common usage and its tour show, as cells: each gives what evcxr gives.
//!
//! Where evcxr says less (one display of several, success for a panic) the cells here say more.

use crate::support::client::{Client, Kernel};
use crate::{clean_kernel, fails, ok, rust_program, value};

/// The display data or result of a cell in one form.
fn shown(client: &mut Client, code: &str, mime: &str) -> String {
    let run = ok(client, code);
    let said: Vec<_> = run.said.iter().map(|m| serde_json::to_value(m).unwrap()).collect();
    let mut forms = said.iter().filter_map(|m| m["data"][mime].as_str());
    forms.next_back().unwrap_or_else(|| panic!("{code}: no {mime} in {said:?}")).to_owned()
}

#[test]
fn variables_functions_and_types_are_kept_and_can_be_made_again() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let c = &mut client;
    let run = ok(c, "println!(\"out\"); eprintln!(\"err\"); format!(\"Hello {}\", \"world\")");
    assert_eq!((run.stdout(), run.stderr()), ("out\n".into(), "err\n".into()));
    assert_eq!(run.result().as_deref(), Some("\"Hello world\""));
    ok(c, "let mut message = \"Hello \".to_owned();");
    ok(c, "message.push_str(\"world!\");");
    assert_eq!(value(c, "message"), "\"Hello world!\"");
    ok(c, "fn fib(x: i32) -> i32 { if x <= 2 { 0 } else { fib(x - 2) + fib(x - 1) } }");
    assert_eq!(value(c, "(1..5).map(fib).collect::<Vec<_>>()"), "[0, 0, 0, 0]");
    ok(c, "fn fib(x: i32) -> i32 { if x <= 2 { 1 } else { fib(x - 2) + fib(x - 1) } }");
    assert_eq!(value(c, "let v = (1..7).map(fib).collect::<Vec<_>>(); v"), "[1, 1, 2, 3, 5, 8]");
    ok(c, "let message = 4_usize;");
    assert_eq!(value(c, "message + v.len()"), "10", "a name can get another type");
    fails(c, "let r = &v;", &["non-static lifetime"]);
    fails(c, "let f = |x: i32| x + 1;", &["closure"]);
    ok(c, "#[derive(Debug, Clone, PartialEq)] enum Kind { One, Two(i32) } use std::fmt::Write;");
    ok(c, "mod inner { pub const N: usize = 3; } macro_rules! twice { ($e:expr) => { $e * 2 } }");
    assert_eq!(value(c, "(Kind::Two(twice!(4)), inner::N)"), "(Two(8), 3)");
    ok(
        c,
        "use std::sync::{Arc, Mutex}; let counter = Arc::new(Mutex::new(0));\n\
         let own = counter.clone();\n\
         std::thread::spawn(move || for _ in 0..20 { *own.lock().unwrap() += 1; }).join().unwrap();",
    );
    assert_eq!(value(c, "*counter.lock()?"), "20");
    ok(c, "let f: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + 1);");
    assert_eq!(value(c, "f(41)"), "42");
    let out = ok(c, "dbg!(f(1)); println!(\"no value\");");
    assert!(out.stderr().contains("f(1) = 2") && out.result().is_none());
}

#[test]
fn a_type_shows_itself_and_every_block_of_a_cell_is_shown() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let c = &mut client;
    ok(
        c,
        "pub struct Matrix<T> { pub values: Vec<T>, pub row_size: usize }\n\
         impl<T: std::fmt::Debug> Matrix<T> {\n    pub fn evcxr_display(&self) {\n\
             let rows = self.values.chunks(self.row_size);\n\
             let rows: String = rows.map(|r| format!(\"<tr><td>{r:?}</td></tr>\")).collect();\n\
             println!(\"EVCXR_BEGIN_CONTENT text/html\\n<table>{rows}</table>\\nEVCXR_END_CONTENT\");\n\
         }\n}",
    );
    let html = shown(c, "Matrix { values: vec![1, 2, 3, 4], row_size: 2 }", "text/html");
    assert_eq!(html, "<table><tr><td>[1, 2]</td></tr><tr><td>[3, 4]</td></tr></table>");
    ok(
        c,
        "fn block(mime: &str, body: &str) { println!(\"EVCXR_BEGIN_CONTENT {mime}\\n{body}\\nEVCXR_END_CONTENT\"); }",
    );
    // One picture element, as a PNG.
    let png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    assert_eq!(shown(c, &format!("block(\"image/png\", \"{png}\");"), "image/png"), png);
    let run = ok(
        c,
        "block(\"text/html\", \"<b>1</b>\"); block(\"text/html\", \"<b>2</b>\");\n\
         block(\"image/svg+xml\", \"<svg/>\"); block(\"text/plain\", \"the svg\");",
    );
    let displays = run.kinds().iter().filter(|kind| **kind == "display_data").count();
    assert_eq!((displays, run.result().as_deref()), (2, Some("the svg")), "{:?}", run.kinds());
}

#[test]
fn the_commands_of_evcxr_answer() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let c = &mut client;
    ok(c, "let kept = vec![1u8]; let word = \"a\";");
    let vars = value(c, ":vars");
    assert!(vars.contains("kept: Vec<u8>") && vars.contains("word: &str"), "{vars}");
    assert!(shown(c, ":vars", "text/html").contains("<td>Vec&lt;u8&gt;</td>"));
    let help = value(c, ":help");
    let known = [":dep", ":vars", ":opt", ":cache", ":clear", ":type", ":timing", ":quit"];
    assert!(known.iter().all(|command| help.contains(command)), "{help}");
    assert_eq!(value(c, ":type kept"), "kept: Vec<u8>");
    assert_eq!(value(c, ":t word"), "word: &str");
    assert_eq!(value(c, ":version"), "0.22.0");
    assert_eq!(value(c, ":opt"), "Optimization: 0");
    assert_eq!(value(c, "kept"), "[1]");
    assert_eq!(value(c, ":opt 2"), "Optimization: 2");
    assert_eq!(value(c, ":fmt {:#?}"), "Output format: {:#?}");
    assert_eq!(value(c, "kept"), "[\n    1,\n]");
    assert_eq!(value(c, ":fmt"), "Output format: {:?}");
    assert_eq!(value(c, ":types"), "Types: true");
    assert_eq!(value(c, "kept"), ": Vec<u8> = [1]");
    assert_eq!(value(c, ":types"), "Types: false");
    assert_eq!(value(c, ":timing"), "Timing: true");
    let timed = ok(c, "1 + 1");
    assert!(timed.stdout().starts_with("Took ") && timed.stdout().ends_with("ms\n"));
    assert_eq!(value(c, ":timing"), "Timing: false");
    assert!(value(c, ":cache").contains("Size limit: 0 MiB"));
    assert_eq!(value(c, ":cache 200"), "cache: 200 MiB");
    assert_eq!(value(c, ":cache 0"), "cache: 0 MiB");
    assert_eq!(value(c, ":env COLOUR=red").split(' ').next(), Some("Set"));
    assert_eq!(value(c, ":offline 1"), "Offline mode: true");
    assert_eq!(value(c, ":preserve_vars_on_panic 1"), "Preserve vars on panic: true");
    assert!(value(c, ":show_deps").contains("woolshed"));
    fails(c, "let wrong: u8 = \"a\";", &["E0308", "expected `u8`, found `&str`"]);
    assert!(value(c, ":explain").contains("did not match"));
    fails(c, ":nothing", &["Unrecognised command :nothing"]);
    assert_eq!(value(c, ":restart"), "Child process restarted");
    assert_eq!(value(c, "std::env::var(\"COLOUR\")"), "Ok(\"red\")");
    assert_eq!(
        value(c, "lab.value(\"none\").is_err()"),
        "true",
        "the new process knows the kernel"
    );
    ok(c, ":clear");
    fails(c, "kept", &["cannot find value `kept`"]);
    assert_eq!(value(c, "lab.value(\"none\").is_err()"), "true", "`lab` is there again");
}

#[test]
fn errors_are_about_the_cell_and_warnings_of_older_cells_are_left_out() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let c = &mut client;
    ok(c, "macro_rules! unused { ($e:expr) => { $e } }");
    let said = fails(c, "let a = nothing;", &["CompileError: cannot find value `nothing`"]);
    assert!(!said.contains("warning"), "{said}");
    let said = fails(c, "std::fs::read(\"/no/such/file\")?;", &["ErrorReturned: No such file"]);
    assert!(said.contains("(os error 2)"), "{said}");
    let run = c.run("eprintln!(\"before\"); \"x\".parse::<i32>()?;");
    assert_eq!(run.stderr(), "before\n", "the reason is the error, not also a text");
    fails(c, "unimplemented!(\"later\")", &["Panic: not implemented: later", "line 1"]);
    // The compiler's mark is around the value, in what evcxr writes to show it.
    let said = fails(c, "let zero = 0;\n1 / zero", &["line 2, column 1", "divide `1_i32` by zero"]);
    assert!(!said.contains("evcxr"), "{said}");
    fails(c, "struct Plain; Plain", &["`Plain` doesn't implement `Debug`", "line 1"]);
    ok(c, ":preserve_vars_on_panic 0");
    fails(c, "let z = 3; panic!(\"no more\")", &["ProcessEnded", "after a panic: no more"]);
    ok(c, ":efmt {:?}");
    fails(c, "\"x\".parse::<i32>()?;", &["ErrorReturned: ParseIntError { kind: InvalidDigit }"]);
}

#[test]
fn startup_files_of_evcxr_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own-crate");
    std::fs::create_dir_all(own.join("src")).unwrap();
    std::fs::write(
        own.join("Cargo.toml"),
        "[package]\nname = \"own-crate\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    )
    .unwrap();
    std::fs::write(own.join("src/lib.rs"), "pub fn twice(x: i64) -> i64 { 2 * x }\n").unwrap();
    let dep = format!("own-crate = {{ path = {:?} }}", own.display().to_string());

    let init = folder.path().join("init");
    std::fs::create_dir_all(&init).unwrap();
    std::fs::write(init.join("init.evcxr"), format!(":dep {dep}\n:fmt {{:#?}}\n")).unwrap();
    std::fs::write(init.join("prelude.rs"), "use own_crate::twice; let at_start = 20_i64;\n")
        .unwrap();
    if let Some((_kernel, mut client)) = clean_kernel(&[("EVCXR_CONFIG_DIR", &init)]) {
        assert_eq!(value(&mut client, "vec![twice(at_start) + 2]"), "[\n    42,\n]");
    }

    let toml = folder.path().join("toml");
    std::fs::create_dir_all(&toml).unwrap();
    let text = format!(
        "[evcxr]\nopt_level = \"0\"\noffline_mode = true\nprelude = \"const N: i64 = 21;\"\n\n[dependencies]\n{dep}\n"
    );
    std::fs::write(toml.join("evcxr.toml"), text).unwrap();
    if let Some((_kernel, mut client)) = clean_kernel(&[("EVCXR_CONFIG_DIR", &toml)]) {
        assert_eq!(value(&mut client, "own_crate::twice(N)"), "42");
        assert_eq!(value(&mut client, ":opt 2"), "Optimization: 2");
        ok(&mut client, &format!(":dep {dep}"));
    }

    let broken = folder.path().join("broken");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("prelude.rs"), "let nothing = ;\n").unwrap();
    if rust_program().is_some() {
        let kernel = Kernel::start_with(&[("EVCXR_CONFIG_DIR", &broken)]);
        fails(&mut kernel.client(), "%%rust\n1", &["evcxr's configuration", "init.evcxr"]);
    }
}

/// Whether a failure is that of a machine without a network; says so.
fn is_offline(client: &mut Client, code: &str) -> bool {
    let run = client.run(code);
    let Some(error) = run.error() else { return false };
    let said = format!("{} {}", error.evalue, error.traceback.join("\n"));
    let net = ["network", "resolve host", "download", "registry", "timed out", "offline"];
    assert!(net.iter().any(|word| said.contains(word)), "{code}: {said}");
    eprintln!("not run: a crate cannot be fetched here: {}", error.evalue);
    true
}

#[test]
fn crates_of_the_registry_draw_and_wait_as_in_evcxrs_tour() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let c = &mut client;
    if is_offline(c, ":dep base64 = \"0.10.1\"\nbase64::encode(&vec![1, 2, 3, 4])") {
        return;
    }
    assert_eq!(value(c, "base64::encode(&vec![1, 2, 3, 4])"), "\"AQIDBA==\"");
    let dep = ":dep plotters = { version = \"0.3\", default-features = false, features = [\"evcxr\", \"line_series\"] }";
    let chart = "use plotters::prelude::*;\n\
        evcxr_figure((320, 240), |root| {\n\
            root.fill(&WHITE)?;\n\
            let mut chart = ChartBuilder::on(&root).build_cartesian_2d(0f32..3f32, 0f32..9f32)?;\n\
            chart.draw_series(LineSeries::new((0..4).map(|x| (x as f32, (x * x) as f32)), &RED))?;\n\
            Ok(())\n\
        })";
    let html = shown(c, &format!("{dep}\n{chart}"), "text/html");
    assert!(html.contains("<svg") && html.contains("polyline"), "{html}");
    // `await` brings tokio by itself.
    let run = ok(
        c,
        ":dep tokio = { version = \"1\", features = [\"rt-multi-thread\", \"time\", \"macros\"] }\n\
         async fn later(x: i32) -> Result<i32, String> {\n\
             tokio::time::sleep(std::time::Duration::from_millis(5)).await;\n\
             if x < 0 { Err(format!(\"{x} is negative\")) } else { Ok(x + 1) }\n\
         }",
    );
    assert!(run.error().is_none());
    assert_eq!(value(c, "later(41).await?"), "42");
    fails(c, "later(-1).await?", &["ErrorReturned: -1 is negative"]);
    assert_eq!(value(c, "let both = tokio::join!(later(1), later(2)); both.1?"), "3");
}
