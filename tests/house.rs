//! The house keeps its order: what the READMEs list, who imports whom, what no file may hold.
//!
//! These tests read the source as text; they build nothing and take less than a second. They rest on
//! the layout that `cargo fmt` gives: an item ends with a brace that stands as deep as its first line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest source file, lines.
const LONGEST: usize = 600;

/// The floors of the engine, ground first. A room imports rooms of lower floors only.
const ENGINE: &[&[&str]] = &[
    &["names", "files", "digest"],
    &["shape", "rng", "device", "progress"],
    &["ops", "gate", "hub"],
    &["model"],
    &["data"],
    &["judge", "train"],
    &["run"],
    &["view"],
    &["error"],
];

/// The imports of the engine that run upward: the file and the room it reaches. `HOW_IT_WORKS.md`
/// gives the reason of each.
const ENGINE_UPWARD: &[(&str, &str)] = &[];

/// The floors of the kernel.
const KERNEL: &[&[&str]] = &[
    &["files", "pages", "streams"],
    &["session"],
    &["jupyter", "script"],
    &["rust"],
    &["notebook"],
    &["cli"],
];

/// The imports of the kernel that run upward.
const KERNEL_UPWARD: &[(&str, &str)] = &[
    ("session/assist.rs", "jupyter"),
    ("session/assist.rs", "script"),
    ("session/cells.rs", "jupyter"),
    ("session/cells.rs", "rust"),
    ("session/completion.rs", "jupyter"),
    ("session/completion.rs", "script"),
    ("session/known.rs", "script"),
    ("session/cells.rs", "script"),
    ("session/diagnostic.rs", "script"),
    ("session/magics.rs", "jupyter"),
    ("session/magics.rs", "rust"),
    ("session/magics.rs", "script"),
    ("session/session.rs", "script"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every `.rs` file under a folder of the repository: its path from that folder, with `/`.
fn sources(folder: &str) -> Vec<String> {
    let top = root().join(folder);
    let mut found = Vec::new();
    let mut open = vec![top.clone()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let below = path.strip_prefix(&top).expect("it was found there");
                let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
                found.push(parts.join("/"));
            }
        }
    }
    found.sort_unstable();
    assert!(!found.is_empty(), "{folder} holds no source file");
    found
}

/// The names in the first column of every table: what stands in backticks there.
fn listed<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let first = |line: &'a str| line.trim_start().strip_prefix("| `")?.split_once("` |");
    lines.filter_map(|line| first(line).map(|(name, _)| name.to_string())).collect()
}

/// Code without its tests, and the modules that exist for tests only.
fn without_tests(code: &str) -> (String, Vec<String>) {
    let (mut kept, mut modules) = (String::new(), Vec::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let mut first = true;
        for line in lines.by_ref() {
            if first && line.trim_end().ends_with(';') {
                let name = line.split_whitespace().last().unwrap_or_default();
                modules.push(name.trim_end_matches(';').to_string());
                break;
            }
            first &= line.trim_start().starts_with("#[");
            if line == end {
                break;
            }
        }
    }
    (kept, modules)
}

/// The code that a program runs, file by file: no tests, no comment lines.
fn production(folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut test_files = BTreeSet::new();
    for file in sources(folder) {
        let (code, modules) = without_tests(&text(&root().join(folder).join(&file)));
        let stem = file.strip_suffix(".rs").expect("a source file");
        let beside = match stem.rsplit_once('/') {
            Some((folder, "mod")) => format!("{folder}/"),
            None if stem == "lib" || stem == "main" => String::new(),
            _ => format!("{stem}/"),
        };
        test_files.extend(modules.iter().map(|module| format!("{beside}{module}.rs")));
        let code: Vec<&str> =
            code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        files.insert(file, code.join("\n"));
    }
    files.retain(|file, _| !test_files.contains(file));
    files
}

/// The lines of production code that hold one of `words`, as `file: line`.
fn lines_with(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, code) in production(folder) {
        for line in code.lines().filter(|line| words.iter().any(|word| line.contains(word))) {
            found.push(format!("{folder}/{file}: {}", line.trim()));
        }
    }
    found
}

fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The rooms that code names by `crate::room` or `crate::{room::.., room::..}`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let name = |at: &str| -> String {
        at.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.insert(name(rest));
            continue;
        };
        rooms.insert(name(list));
        let mut depth = 1;
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => {
                    rooms.insert(name(&list[i + 1..]));
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms.remove("");
    rooms
}

/// The floor of a room; a name that is no room is one that `lib.rs` hands on from `error`.
fn floor(floors: &[&[&str]], room: &str) -> Option<usize> {
    let room = if matches!(room, "Error" | "Result") { "error" } else { room };
    floors.iter().position(|rooms| rooms.contains(&room))
}

/// Checks every import of a crate against its floors and its known upward imports.
fn check_floors(folder: &str, floors: &[&[&str]], upward: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (file, code) in production(folder) {
        let room = file.split('/').next().expect("a first part").trim_end_matches(".rs");
        if matches!(room, "lib" | "main") {
            continue;
        }
        let Some(own) = floor(floors, room) else {
            wrong.push(format!("{folder}/{file}: `{room}` stands on no floor"));
            continue;
        };
        for named in rooms_named(&code).iter().filter(|named| *named != room) {
            let target = if matches!(named.as_str(), "Error" | "Result") { "error" } else { named };
            match floor(floors, target) {
                Some(other) if other < own => {}
                Some(_) if upward.contains(&(&file, target)) => {
                    seen.insert((file.clone(), target.to_string()));
                }
                Some(_) => wrong.push(format!("{folder}/{file} imports `{target}`, not below it")),
                None => {
                    wrong.push(format!("{folder}/{file} names `crate::{named}`, no known room"))
                }
            }
        }
    }
    assert_none("imports that do not run downward", &wrong);
    let gone: Vec<String> = upward
        .iter()
        .filter(|(file, room)| !seen.contains(&(file.to_string(), room.to_string())))
        .map(|(file, room)| format!("{folder}/{file} no longer imports `{room}`"))
        .collect();
    assert_none("upward imports that are gone and can leave the list", &gone);
}

#[test]
fn every_readme_lists_every_source_file_and_nothing_else() {
    for folder in ["engine/src", "kernel/src", "tests"] {
        let readme = text(&root().join(folder).join("README.md"));
        let listed = listed(readme.lines());
        let there: BTreeSet<String> = sources(folder).into_iter().collect();
        let unlisted: Vec<String> = there.difference(&listed).cloned().collect();
        assert_none(&format!("{folder}/README.md does not list"), &unlisted);
        let missing = |name: &&String| !root().join(folder).join(name).exists();
        let missing: Vec<String> = listed.iter().filter(missing).cloned().collect();
        assert_none(&format!("{folder}/README.md lists what is not there"), &missing);
    }
}

#[test]
fn the_table_of_every_folder_lists_its_files_and_nothing_else() {
    let mut wrong = Vec::new();
    for crate_folder in ["engine/src", "kernel/src"] {
        let files = sources(crate_folder);
        for module in files.iter().filter(|file| file.ends_with("/mod.rs")) {
            let folder = module.trim_end_matches("mod.rs");
            let inside = |file: &&String| file.starts_with(folder) && *file != module;
            let there: BTreeSet<String> = files
                .iter()
                .filter(inside)
                .filter_map(|file| match file[folder.len()..].split_once('/') {
                    None => Some(file[folder.len()..].to_string()),
                    // A folder with a `mod.rs` is one entry; the parts of `x.rs` belong to `x.rs`.
                    Some((name, "mod.rs")) => Some(format!("{name}/")),
                    Some(_) => None,
                })
                .collect();
            let code = text(&root().join(crate_folder).join(module));
            let listed = listed(code.lines().filter_map(|line| line.strip_prefix("//! ")));
            for name in there.symmetric_difference(&listed) {
                let how = if there.contains(name) { "lacks" } else { "lists the absent" };
                wrong.push(format!("{crate_folder}/{module} {how} `{name}`"));
            }
        }
    }
    assert_none("tables that are not true", &wrong);
}

#[test]
fn imports_of_the_engine_run_down_the_floors() {
    check_floors("engine/src", ENGINE, ENGINE_UPWARD);
}

#[test]
fn imports_of_the_kernel_run_down_the_floors() {
    check_floors("kernel/src", KERNEL, KERNEL_UPWARD);
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let mut long = Vec::new();
    for folder in ["engine/src", "kernel/src", "tests"] {
        for file in sources(folder) {
            let lines = text(&root().join(folder).join(&file)).lines().count();
            if lines > LONGEST {
                long.push(format!("{folder}/{file}: {lines} lines"));
            }
        }
    }
    assert_none("files that hold more than one idea", &long);
}

#[test]
fn only_tests_unwrap() {
    for folder in ["engine/src", "kernel/src"] {
        assert_none("`unwrap()` outside tests", &lines_with(folder, &[".unwrap()"]));
    }
}

#[test]
fn the_engine_prints_nothing() {
    // `print!(` is in `println!(` only by its first half: each macro is named.
    let macros = ["println!(", "eprintln!(", " print!(", " eprint!(", "dbg!("];
    assert_none("a library that prints", &lines_with("engine/src", &macros));
}

#[test]
fn the_engine_knows_no_front_end() {
    let words = ["rhai", "Rhai", "jupyter", "Jupyter", "indicatif", "woolshed_kernel"];
    assert_none("a front end in the engine", &lines_with("engine/src", &words));
    let manifest = text(&root().join("engine/Cargo.toml"));
    let dependencies = section(&manifest, "[dependencies]");
    for word in words {
        assert!(!dependencies.iter().any(|line| line.contains(word)), "the engine needs {word}");
    }
}

/// The lines of one section of a manifest, without blank ones.
fn section<'a>(manifest: &'a str, title: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != title).skip(1);
    let lines: Vec<&str> =
        lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect();
    assert!(!lines.is_empty(), "no section {title}");
    lines
}

/// The name a line of a manifest gives a dependency; none for a comment.
fn dependency(line: &str) -> Option<&str> {
    let name = line.split([' ', '.', '=']).next()?;
    (!line.starts_with('#') && !name.is_empty()).then_some(name)
}

#[test]
fn every_shared_dependency_says_why_it_is_there() {
    let manifest = text(&root().join("Cargo.toml"));
    let lines = section(&manifest, "[workspace.dependencies]");
    let silent: Vec<String> = lines
        .windows(2)
        .filter(|pair| !pair[0].starts_with('#'))
        .filter_map(|pair| dependency(pair[1]).map(String::from))
        .collect();
    assert!(lines[0].starts_with('#'), "the first dependency says nothing");
    assert_none("dependencies of Cargo.toml without a comment above them", &silent);
}

#[test]
fn the_shared_dependencies_are_those_the_crates_use() {
    let manifest = text(&root().join("Cargo.toml"));
    let shared: BTreeSet<String> = section(&manifest, "[workspace.dependencies]")
        .into_iter()
        .filter_map(|line| dependency(line).map(String::from))
        .collect();
    let mut used = BTreeSet::new();
    for package in ["engine", "kernel"] {
        let manifest = text(&root().join(package).join("Cargo.toml"));
        for title in ["[dependencies]", "[dev-dependencies]"] {
            for line in section(&manifest, title) {
                let Some(name) = dependency(line) else { continue };
                if line.contains("path = ") {
                    continue;
                }
                assert!(
                    line.ends_with(".workspace = true")
                        || line.ends_with("= { workspace = true, optional = true }"),
                    "{package}: `{line}` belongs in the shared list, with its reason"
                );
                used.insert(name.to_string());
            }
        }
    }
    let idle: Vec<String> = shared.difference(&used).cloned().collect();
    assert_none("shared dependencies that no crate uses", &idle);
}

#[test]
fn the_scan_itself_sees_what_it_looks_for() {
    let (code, modules) = without_tests(
        "use a;\n#[cfg(test)]\nmod golden;\n    #[cfg(test)]\n    fn f() {\n        x.unwrap();\n    }\nfn g() {}\n#[cfg(test)]\n#[path = \"x\"]\nmod tests {\n    y.unwrap();\n}\nfn h() {}\n",
    );
    assert_eq!(code, "use a;\nfn g() {}\nfn h() {}\n");
    assert_eq!(modules, ["golden"]);
    let rooms =
        rooms_named("use crate::{data::{A, b}, gate, run::C};\ncrate::shape::S; crate::Result<()>");
    let expected = ["Result", "data", "gate", "run", "shape"];
    assert_eq!(rooms.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    assert_eq!(
        listed(["| `a.rs` | x |", "| no | `b.rs` |"].into_iter()).into_iter().collect::<Vec<_>>(),
        ["a.rs"]
    );
}
