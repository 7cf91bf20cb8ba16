//! The program and Jupyter: install, uninstall, doctor, lab. None of these tests needs Python.

use serde_json::Value;

use crate::command::{Bench, Ended};

/// Runs the program with no Jupyter on PATH and all folders of Jupyter in the scratch folder.
fn run(bench: &Bench, arguments: &[&str]) -> Ended {
    let mut command = bench.command(arguments);
    for name in ["JUPYTER_PATH", "JUPYTER_DATA_DIR", "VIRTUAL_ENV", "CONDA_PREFIX"] {
        command.env_remove(name);
    }
    command
        .env("PATH", bench.path("bin"))
        .env("HOME", bench.path("home"))
        .env("XDG_DATA_HOME", bench.path("data"))
        .env("JUPYTER_DATA_DIR", bench.path("data/jupyter"))
        .env("JUPYTER_RUNTIME_DIR", bench.path("runtime"))
        .output()
        .expect("the program starts")
        .into()
}

#[test]
fn an_installed_kernel_is_found_started_and_asked_by_the_doctor_and_goes_again() {
    let bench = Bench::new();
    let before = run(&bench, &["doctor"]);
    assert!(before.ok().contains("not installed; `woolshed install`"), "{}", before.stdout);
    assert!(before.stdout.contains("this program as a kernel answers"), "{}", before.stdout);

    let place = bench.path("data/jupyter/kernels/woolshed").display().to_string();
    assert!(run(&bench, &["install"]).ok().contains(&place));
    let spec: Value =
        serde_json::from_slice(&bench.read("data/jupyter/kernels/woolshed/kernel.json")).unwrap();
    let program = spec["argv"][0].as_str().expect("a program");
    assert!(std::path::Path::new(program).is_absolute(), "{program}");
    let found = run(&bench, &["doctor"]);
    assert!(found.ok().contains("the installed kernel answers"), "{}", found.stdout);
    assert!(!found.stdout.contains("fault"), "{}", found.stdout);
    assert!(bench.files("runtime").is_empty(), "the connection file is gone");

    assert!(run(&bench, &["uninstall"]).ok().contains(&format!("removed {place}")));
    assert!(run(&bench, &["uninstall"]).ok().contains("nothing of Woolshed is in"));
    assert!(bench.files("data").iter().all(|file| !file.contains("woolshed")));
}

#[test]
fn the_doctor_names_a_kernel_that_cannot_start_and_one_thing_to_try() {
    let bench = Bench::new();
    run(&bench, &["install", "--user"]).ok();
    let file = "data/jupyter/kernels/woolshed/kernel.json";
    let spec = String::from_utf8(bench.read(file)).expect("UTF-8");
    let faulty = |spec: &str, says: &[&str]| {
        bench.write(file, spec);
        let ended = run(&bench, &["doctor"]);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        for words in [says, &["fault: ", "try: "]].concat() {
            assert!(ended.stdout.contains(words), "`{words}` is not in:\n{}", ended.stdout);
        }
    };
    faulty("{", &["cannot be read", "woolshed install"]);
    let program = serde_json::from_str::<Value>(&spec).expect("JSON")["argv"][0].to_string();
    faulty(&spec.replace(&program, "\"/gone/woolshed\""), &["`/gone/woolshed` is gone"]);
    // A program that starts and does not serve.
    faulty(
        &spec.replace("\"kernel\"", "\"no-such-command\""),
        &["the kernel ended with", "no-such-command"],
    );
    bench.write(file, &spec);
    std::fs::remove_dir(bench.path("runtime")).expect("an empty folder");
    bench.write("runtime", "a file");
    let ended = run(&bench, &["doctor"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("JUPYTER_RUNTIME_DIR"), "{}", ended.stdout);
}

#[test]
fn a_lab_without_jupyter_says_what_it_would_do_and_does_nothing_unasked() {
    let bench = Bench::new();
    let none = run(&bench, &["lab"]);
    none.with(1, &["there is no Python", "uv"]);
    #[cfg(unix)]
    {
        program(&bench, "python3", "exit 9");
        let place = bench.path("data/woolshed/lab").display().to_string();
        run(&bench, &["lab"]).with(2, &["woolshed lab --yes", &place, "MB"]);
        assert!(bench.files("data").is_empty(), "{:?}", bench.files("data"));
        program(&bench, "python3", "echo 'No space left on device' >&2; exit 1");
        run(&bench, &["lab", "--yes"]).with(1, &["the disk is full"]);
    }
}

/// Puts a program on the PATH of [`run`].
#[cfg(unix)]
fn program(bench: &Bench, name: &str, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = bench.write(&format!("bin/{name}"), format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("executable");
}

#[test]
#[cfg(unix)]
fn a_lab_shows_jupyter_the_kernel_and_the_lessons_and_leaves_the_users_own() {
    let bench = Bench::new();
    program(&bench, "jupyter-lab", "echo \"$1|$JUPYTER_PATH|$JUPYTER_TOKEN|$*\" > said; exit 0");
    bench.write("lab/branches.ipynb", "mine");
    let ended = run(&bench, &["lab", "lab", "--no-browser"]);
    assert!(
        ended.ok().contains("copied to lab: quickstart.ipynb, mixture.ipynb"),
        "{}",
        ended.stdout
    );
    assert!(ended.stdout.contains("left as you have them in lab: branches.ipynb"));
    let said = String::from_utf8(bench.read("said")).expect("UTF-8");
    let parts: Vec<&str> = said.split('|').collect();
    assert_eq!(parts[0], "lab");
    let data = bench.path("data/woolshed/share/jupyter");
    assert_eq!(parts[1], data.display().to_string());
    assert!(data.join("kernels/woolshed/kernel.json").is_file());
    assert!(data.join("labextensions/woolshed-rhai/static/remoteEntry.js").is_file());
    assert!(!parts[2].is_empty() && parts[3].contains("--no-browser"), "{said}");
    assert_eq!(bench.read("lab/branches.ipynb"), b"mine");

    program(&bench, "jupyter-lab", "echo 'ImportError: tornado' >&2; exit 3");
    run(&bench, &["lab", "lab"]).with(1, &["JupyterLab ended with", "ImportError: tornado"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port().to_string();
    run(&bench, &["lab", "lab", "--port", &port]).with(1, &[&format!("port {port} is taken")]);
}
