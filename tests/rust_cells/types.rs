//! The types of a first cell's variables: found in a sketch of the standard library, the same as in the library.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::Bench;
use crate::support::client::Client;
use crate::{clean_kernel, fails, ok, value};

/// What somebody may begin with. None of it borrows: a variable that does is not kept.
const BEGINNINGS: &str = r#"
1 + 2
2.0 * 3.5
'c'
(1, true, 2.5)
[1, 2, 3]
vec![1.5, 2.5]
vec![0u8; 4]
vec![vec![1.0; 3]; 2]
vec![1, 2, 3][0]
String::from("x") + "y"
"a".to_string()
format!("{}", 1)
"a b".split_whitespace().map(|word| word.len()).collect::<Vec<_>>()
"ab".chars().rev().collect::<String>()
"12".parse::<i32>()
"12".parse::<f64>().unwrap()
vec![1, 2].iter().sum::<i32>()
vec![1, 2].iter().map(|x| x * 2).collect::<Vec<i32>>()
vec![1, 2].into_iter().map(|x| x as f64 * 2.0).collect::<Vec<_>>()
vec![1.0, 2.0].iter().zip(&vec![1.0, 2.0]).map(|(a, b)| a * b).sum::<f64>()
vec![3, 1, 2].iter().enumerate().map(|(i, x)| i as i32 * x).max().unwrap()
vec![1, 2].iter().fold(0, |a, b| a + b)
vec![1, 2, 3].chunks(2).map(|part| part.len()).collect::<Vec<_>>()
(0..10).map(|i| i as f64).collect::<Vec<_>>()
(1..=10).filter(|n| n % 2 == 0).collect::<Vec<i64>>()
vec![3, 4].first().copied()
Some(3).map(|x| x as f32)
Box::new(5)
2.0_f64.sqrt()
7_u64.pow(3)
u32::MAX
std::f64::consts::PI
std::mem::size_of::<u64>()
std::collections::HashMap::from([(1, 2.5)])
std::collections::BTreeSet::from([1, 2])
std::time::Instant::now()
std::rc::Rc::new(1)
std::sync::Arc::new(std::sync::Mutex::new(0))
std::cell::RefCell::new(vec![1])
std::path::PathBuf::from("x").join("y")
std::fs::read_to_string("nothing").unwrap_or_default()
{ let mut sum = 0; for i in 0..10 { sum += i; } sum }
"#;

/// Names and types of the variables of a kernel whose rust-analyzer reads the library in this folder.
fn types(library: &Path) -> Option<String> {
    let (_kernel, mut client) = clean_kernel(&[("RUST_SRC_PATH", library)])?;
    let lines = BEGINNINGS.trim().lines().enumerate();
    let cell: Vec<String> = lines.map(|(i, line)| format!("let v{i:02} = {line};")).collect();
    ok(&mut client, &cell.join("\n"));
    let mut all: Vec<String> = value(&mut client, ":vars").lines().map(String::from).collect();
    all.sort();
    Some(all.join("\n"))
}

/// The library's sources, where they are installed.
fn sources() -> Option<PathBuf> {
    let said = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
    let sources = sysroot.join("lib/rustlib/src/rust/library");
    if !sources.is_dir() {
        eprintln!(
            "not compared: the library's sources are not installed (rustup component add rust-src)"
        );
    }
    Some(sources).filter(|folder| folder.is_dir())
}

#[test]
fn the_sketch_of_the_library_gives_the_types_that_the_library_gives() {
    let Some(sources) = sources() else { return };
    let bench = Bench::new();
    let (sketch, whole) = (bench.path("sketch"), bench.path("whole"));
    fs::create_dir_all(&whole).expect("a folder");
    for name in ["core", "alloc", "std"] {
        symlink(sources.join(name), whole.join(name)).expect("a link");
        fs::create_dir_all(sketch.join(name).join("src")).expect("a folder");
        fs::write(sketch.join(name).join("src/lib.rs"), "").expect("a file");
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust-cells/src/sketch");
    for file in fs::read_dir(ours).expect("the sketch") {
        let file = file.expect("an entry");
        fs::copy(file.path(), sketch.join("std/src").join(file.file_name())).expect("a copy");
    }
    let (Some(sketch), Some(whole)) = (types(&sketch), types(&whole)) else { return };
    assert_eq!(sketch, whole);
}

/// The first cell of a kernel, at once.
fn first(code: &str, then: impl Fn(&mut Client)) {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    ok(&mut client, code);
    then(&mut client);
}

#[test]
fn a_first_cell_may_use_what_the_sketch_does_not_have() {
    let code =
        "use std::net::Ipv4Addr;\nlet home = Ipv4Addr::LOCALHOST;\nlet n = home.octets().len();";
    first(code, |client| {
        let said = value(client, ":vars");
        assert!(said.contains("Ipv4Addr") && said.contains("usize"), "{said}");
        assert_eq!(value(client, "home.is_loopback() && n == 4"), "true");
    });
}

#[test]
fn a_first_cell_that_the_sketch_gets_wrong_is_compiled_with_the_library() {
    // A method of the library's that is not in the sketch, and one of the same name that rustc would not take.
    let code = "trait Shown { fn is_ascii(&self) -> u8 { 1 } }\nimpl Shown for str {}\n\
                let shown = \"x\".is_ascii();";
    first(code, |client| assert_eq!(value(client, "shown"), "true"));
}

#[test]
fn a_first_cell_that_does_not_compile_says_so_and_the_next_one_runs() {
    let Some((_kernel, mut client)) = clean_kernel(&[]) else { return };
    fails(&mut client, "let a = 1 + \"x\";", &["cannot add `&str` to `{integer}`"]);
    assert_eq!(value(&mut client, "let b = vec![2]; b[0]"), "2");
}
