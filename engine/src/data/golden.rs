//! Where the golden tests find their files.
//!
//! The folder is `WOOLSHED_GOLDEN`; without it the first of `../shared/golden` beside the workspace
//! and `tests/golden` in it that exists.

use std::path::{Path, PathBuf};

/// Reads a golden file; none, and a line that says so, when the folder lacks it.
pub(crate) fn read(name: &str) -> Option<serde_json::Value> {
    let path = folder().join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("not run: {} is not there", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("a golden file is JSON"))
}

/// Lists the golden folders of a name: the one the tests read, and the copy in this repository.
pub(crate) fn folders(name: &str) -> Vec<PathBuf> {
    let copy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let mut found: Vec<PathBuf> = [folder(), copy].iter().map(|f| f.join(name)).collect();
    found.dedup();
    found.retain(|folder| {
        let there = folder.is_dir();
        if !there {
            println!("not run: {} is not there", folder.display());
        }
        there
    });
    found
}

/// Gives the numbers of a list.
pub(crate) fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("WOOLSHED_GOLDEN") {
        return folder.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = here.join("../../shared/golden");
    if shared.is_dir() { shared } else { here.join("../tests/golden") }
}
