//! What may not wear out: runs, open files, variables. Every test has a short form, which always runs;
//! `WOOLSHED_LONG=1` runs the long one (1,000 cells, 50 crashes: some 20 minutes on two idle cores).

use std::time::{Duration, Instant};

use crate::support::client::{Client, Kernel};
use crate::{clean_kernel, fails, kernel, ok, value};

/// How often: the first number, or the second where the long form is asked for.
fn times(short: usize, long: usize) -> usize {
    if std::env::var_os("WOOLSHED_LONG").is_some() { long } else { short }
}

/// Cells from whose number on the number of open files may not grow.
#[cfg(target_os = "linux")]
#[test]
fn many_cells_leave_no_file_open_in_any_process() {
    let Some((kernel, mut client)) = kernel() else { return };
    // Open files of the kernel, of evcxr's process and of the one that runs the code: the whole family.
    let files = || {
        let mut family = vec![kernel.process_id()];
        let mut at = 0;
        while at < family.len() {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", family[at]));
            for task in tasks.into_iter().flatten().flatten() {
                let children = std::fs::read_to_string(task.path().join("children"));
                let children = children.unwrap_or_default();
                family.extend(children.split(' ').filter_map(|id| id.trim().parse::<u32>().ok()));
            }
            at += 1;
        }
        let count =
            |id: &u32| std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count);
        (family.len(), family.iter().map(count).sum::<usize>())
    };
    for _ in 0..3 {
        ok(&mut client, "%%rust\nlab.value(\"run\")?; println!(\"a\");");
    }
    let few = files();
    let cells = times(30, 1000);
    let start = Instant::now();
    for i in 0..cells {
        let code = format!("%%rust\nlet run = lab.run(\"run\")?; println!(\"{i}\"); {i}");
        assert_eq!(value(&mut client, &code), i.to_string());
    }
    println!(
        "{cells} cells in {:?}; processes and open files {few:?}, then {:?}",
        start.elapsed(),
        files()
    );
    assert_eq!(files(), few, "after {cells} cells");
}

#[test]
fn crashes_in_a_row_leave_the_run_as_it_was() {
    let Some((_kernel, mut client)) = kernel() else { return };
    let hash = value(&mut client, "run.hash()");
    let crashes = times(3, 50);
    for i in 0..crashes {
        let crash = "%%rust\nlet run = lab.run(\"run\")?; run.status()?;\n\
                     unsafe { std::ptr::without_provenance_mut::<i32>(16).write_volatile(1) }";
        let run = client.run(crash);
        let ended = run.error().is_some_and(|error| error.ename == "ProcessEnded");
        // evcxr's own handler says what it was, and aborts.
        assert!(ended && run.stderr().contains("Segmentation fault"), "{run:?}");
        assert_eq!(value(&mut client, "run.hash()"), hash, "after crash {i}");
    }
    assert_eq!(value(&mut client, "%%rust\nlab.run(\"run\")?.hash()?.len()"), "64");
}

#[test]
fn a_cell_that_takes_all_memory_ends_and_the_run_goes_on() {
    let Some((_kernel, mut client)) = kernel() else { return };
    ok(&mut client, "%%rust\nlet mine = 5;");
    let said = client.run("%%rust\nlet all: Vec<u8> = Vec::with_capacity(1 << 60);");
    let error = said.error().expect("it fails");
    assert!(error.evalue.contains("SIGABRT"), "{error:?}");
    assert!(said.stderr().contains("memory allocation of 1152921504606846976 bytes failed"));
    // With a limit, as a container or `ulimit -v` sets it: growing ends where it is met.
    #[cfg(target_os = "linux")]
    {
        let code = "%%rust\n\
            unsafe extern \"C\" { fn setrlimit(what: i32, limit: *const [u64; 2]) -> i32; }\n\
            // 9 is RLIMIT_AS.\n\
            unsafe { assert_eq!(setrlimit(9, &[4 << 30, 4 << 30]), 0) };\n\
            let mut all: Vec<Vec<u8>> = Vec::new();\n\
            loop { all.push(vec![1; 64 << 20]); }";
        fails(&mut client, code, &["ProcessEnded", "SIGABRT"]);
    }
    assert_eq!(value(&mut client, "run.step(1); run.status().step"), "2");
    assert_eq!(value(&mut client, "%%rust\nlab.run(\"run\")?.status()?[\"step\"].clone()"), "2");
}

#[test]
fn a_first_cell_needs_no_network_and_no_registry() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("cargo");
    std::fs::create_dir_all(&home).unwrap();
    // A registry that is not there, and nowhere to have fetched it to before.
    std::fs::write(
        home.join("config.toml"),
        "[source.crates-io]\nreplace-with = \"none\"\n[source.none]\nregistry = \"sparse+https://registry.invalid/\"\n",
    )
    .unwrap();
    let cache = folder.path().join("cache");
    let offline = folder.path().join("true");
    let rustup = std::env::var_os("RUSTUP_HOME").map(std::path::PathBuf::from);
    let rustup = rustup
        .or_else(|| std::env::var_os("HOME").map(|h| std::path::Path::new(&h).join(".rustup")));
    let environment = [
        ("CARGO_HOME", home.as_path()),
        ("CARGO_NET_OFFLINE", std::path::Path::new("true")),
        ("RUSTUP_HOME", rustup.as_deref().unwrap_or(&offline)),
        // Not even a prepared build folder.
        ("XDG_CACHE_HOME", cache.as_path()),
    ];
    let Some((_kernel, mut client)) = clean_kernel(&environment) else { return };
    assert_eq!(value(&mut client, "let v = vec![1, 2]; v.iter().sum::<i32>() + 4"), "7");
    assert_eq!(value(&mut client, "lab.value(\"none\").is_err()"), "true");
}

#[test]
fn an_interrupt_while_a_dependency_compiles_keeps_the_variables() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    ok(&mut client, "let mine = vec![40, 2]; fn stays() -> i32 { 7 }");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("src")).unwrap();
    let manifest = "[package]\nname = \"long\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    let long = "#![allow(long_running_const_eval)]\n\
        pub const N: usize = { let mut i = 0; while i < 4_000_000_000 { i += 1; } i };\n\
        pub static M: usize = N;";
    std::fs::write(folder.path().join("src/lib.rs"), long).unwrap();
    let code =
        format!(":dep long = {{ path = {:?} }}\nlong::M", folder.path().display().to_string());
    for _ in 0..3 {
        let cell = client.send_cell(&code);
        std::thread::sleep(Duration::from_secs(3));
        let start = Instant::now();
        client.interrupt();
        let run = client.finish(&cell);
        assert_eq!(run.error().map(|e| e.ename.as_str()), Some("Interrupted"), "{:?}", run.error());
        // The compiler ends at once; evcxr asks cargo once more what was wrong.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert_eq!(value(&mut client, "mine.iter().sum::<i32>() + stays()"), "49");
    }
}

#[test]
fn a_cell_that_prints_without_end_is_stopped_by_the_second_interrupt() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    let cell = client.send_cell("loop { println!(\"{}\", \"x\".repeat(200)); }");
    client.wait_until_running(&cell);
    // A front end reads all the time; what it reads here nobody keeps.
    let read_for = |client: &mut Client, seconds| {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut printed = 0;
        while Instant::now() < end {
            printed += usize::from(client.hear(Duration::from_millis(100)).is_some());
        }
        printed
    };
    assert!(read_for(&mut client, 6) > 100, "it has not begun to print");
    client.interrupt();
    assert!(read_for(&mut client, 2) > 100, "the first interrupt has stopped it");
    client.interrupt();
    client.wait_until_idle(&cell);
    let run = client.finish(&cell);
    assert_eq!(run.error().map(|e| e.ename.as_str()), Some("Interrupted"));
    assert_eq!(value(&mut client, "1 + 1"), "2");
}

#[test]
fn the_build_folder_goes_with_its_kernel_also_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let Some((mut kernel, mut client)) = clean_kernel(&[("TMPDIR", folder.path())]) else { return };
    assert_eq!(value(&mut client, "1 + 1"), "2");
    let left = || std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left(), 1);
    Kernel::kill(&mut kernel);
    let start = Instant::now();
    while left() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "a folder is left");
        std::thread::sleep(Duration::from_millis(50));
    }
}
