//! JupyterLab in Chromium without a window: run the quickstart, look, interrupt, restart, complete, read help.
//!
//! The pictures of every stage stay in the target folder, in `tmp/lab-in-browser`. `WOOLSHED_CHROMIUM` names
//! another browser; where there is none the test says that it did not run.

use std::path::{Path, PathBuf};

use crate::{Desk, python, repository};

fn chromium() -> Option<PathBuf> {
    if let Some(chosen) = std::env::var_os("WOOLSHED_CHROMIUM") {
        return Some(chosen.into());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|dir| names.map(|name| dir.join(name)))
        .find(|p| p.is_file())
}

#[test]
fn jupyterlab_runs_the_quickstart_and_a_person_stays_in_control() {
    let Some(chromium) = chromium() else { return eprintln!("not run: no Chromium on PATH") };
    let Some(python) = python() else { return };
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-in-browser");
    let desk = Desk::new();
    let mut command = desk.command(&python);
    command
        .arg(repository("tests/lab_in_browser.py"))
        .arg(repository("notebooks/quickstart.ipynb"));
    let output = crate::python::run(command.arg(&pictures).arg(chromium)).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}\npictures: {}", pictures.display());
    assert!(said.ends_with("all is well\n"), "{said}");
}
