//! The standard library, as rust-analyzer reads it: more of it when more is asked.
//!
//! rust-analyzer finds the types of a cell's variables, and reads the library's sources for it. That takes
//! seconds, so it begins with a sketch of the library (`sketch/`), which is enough for most first cells,
//! and reads the crates that people use when there is time or a type is not found. Left alone it would also
//! ask cargo for the library's own dependencies, which a machine that has never been online does not have; a
//! folder that holds the library's crates and no manifest is read as it lies.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable that says where the sources are.
const PLACE: &str = "RUST_SRC_PATH";

/// The environment variable that says which compiler to use.
pub const COMPILER: &str = "RUSTC";

/// The environment variable that says where rustup keeps compilers.
const RUSTUP: &str = "RUSTUP_HOME";

/// The environment variable that says which of them to use.
const TOOLCHAIN: &str = "RUSTUP_TOOLCHAIN";

/// The variables that are set for the tools, not for the user's code.
pub const OURS: [&str; 4] = [PLACE, COMPILER, RUSTUP, TOOLCHAIN];

/// The environment variable that says where Linux looks for libraries.
pub const LOADER: &str = "LD_LIBRARY_PATH";

/// The shape of the library's most used part, as files of its `std`.
const SKETCH: [(&str, &str); 4] = [
    ("lib.rs", include_str!("sketch/lib.rs")),
    ("iter.rs", include_str!("sketch/iter.rs")),
    ("num.rs", include_str!("sketch/num.rs")),
    ("ops.rs", include_str!("sketch/ops.rs")),
];

/// The library's crates that cells name types of. The others are for processors' own instructions mostly.
const USUAL: [&str; 3] = ["core", "alloc", "std"];

/// The library that belongs to the compiler.
#[derive(Debug)]
pub struct Library {
    /// Folders to read it from, the least first; none where the user has named a place.
    depths: Vec<PathBuf>,
    /// Which of them is read.
    depth: usize,
    /// The folder of the compiled library.
    compiled: Option<PathBuf>,
}

impl Library {
    /// Where to make the folders for a build folder: not in it, for rust-analyzer reads whatever is in there.
    pub fn beside(folder: &Path) -> PathBuf {
        folder.with_extension("library")
    }

    /// Makes the folders inside this one. What cannot be made is not shown.
    pub fn inside(folder: &Path) -> Self {
        let compiled = libraries();
        let mut depths = Vec::new();
        if std::env::var_os(PLACE).is_none() {
            depths.extend(sketch(&folder.join("sketch")));
            // SYSROOT/lib/rustlib/TARGET/lib and SYSROOT/lib/rustlib/src
            let rustlib = compiled.as_deref().and_then(|folder| folder.ancestors().nth(2));
            if let Some(sources) = rustlib.map(|rustlib| rustlib.join("src/rust/library")) {
                depths.extend(links(&sources, &folder.join("usual"), |name| USUAL.contains(&name)));
                depths.extend(links(&sources, &folder.join("whole"), |_| true));
            }
        }
        Self { depths, depth: 0, compiled }
    }

    /// How much is read, as a number that grows.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Whether a sketch is all that is read, though there is more.
    pub fn is_sketch(&self) -> bool {
        self.depth == 0 && self.depths.len() > 1
    }

    /// Shows rust-analyzer more of the library, if there is more.
    pub fn deepen(&mut self) -> bool {
        let more = self.depth + 1 < self.depths.len();
        if more {
            self.depth += 1;
            self.show();
        }
        more
    }

    /// Where the system's loader has to look for the compiled library, besides where it looks anyway. Cells
    /// name it by a path that is wrong where build folder and compiler have a folder above them in common.
    pub fn loaded_from(&self) -> Option<OsString> {
        let own = self.compiled.clone().filter(|_| cfg!(target_os = "linux"))?;
        let others = std::env::var_os(LOADER).unwrap_or_default();
        let others = std::env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
        std::env::join_paths(others.chain([own])).ok()
    }

    /// Shows it to rust-analyzer, which looks when the dependencies of the cells change.
    pub fn show(&self) {
        if let Some(folder) = self.depths.get(self.depth) {
            // SAFETY: no thread of this process reads the environment other than through the standard library.
            unsafe { std::env::set_var(PLACE, folder) };
        }
    }

    /// Names the compiler to whoever asks for one in this process, unless the user has named one. Cargo keeps
    /// what it has learnt of a compiler for one way of naming it: evcxr's calls and rust-analyzer's, which go by
    /// rustup's programs, would each forget what the others learnt.
    pub fn name_compiler(&self) {
        let Some(sysroot) = self.sysroot() else { return };
        let mut names = vec![(COMPILER, sysroot.join("bin/rustc").into_os_string())];
        let toolchains = sysroot.parent().filter(|folder| folder.ends_with("toolchains"));
        if let (Some(rustup), Some(name)) = (toolchains.and_then(Path::parent), sysroot.file_name())
        {
            names.extend([(RUSTUP, rustup.into()), (TOOLCHAIN, name.to_owned())]);
        }
        for (name, value) in names {
            if std::env::var_os(name).is_none() {
                // SAFETY: as above.
                unsafe { std::env::set_var(name, value) };
            }
        }
    }

    /// The folder of the compiler and its library.
    fn sysroot(&self) -> Option<&Path> {
        // SYSROOT/lib/rustlib/TARGET/lib
        self.compiled.as_deref()?.ancestors().nth(4)
    }
}

/// The folder of the compiled library.
fn libraries() -> Option<PathBuf> {
    let rustc = std::env::var_os(COMPILER).unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).args(["--print", "target-libdir"]).output().ok()?;
    Some(PathBuf::from(String::from_utf8(said.stdout).ok()?.trim()))
}

/// A folder with the sketch. rust-analyzer takes it for the library when there is a `core`.
fn sketch(folder: &Path) -> Option<PathBuf> {
    for (name, files) in
        [("core", &[("lib.rs", "")][..]), ("alloc", &[("lib.rs", "")]), ("std", &SKETCH)]
    {
        let source = folder.join(name).join("src");
        fs::create_dir_all(&source).ok()?;
        for (file, text) in files {
            fs::write(source.join(file), text).ok()?;
        }
    }
    Some(folder.to_owned())
}

/// A folder of links to those of the library's crates that are wanted.
fn links(sources: &Path, folder: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    fs::create_dir_all(folder).ok()?;
    for entry in fs::read_dir(sources).ok()? {
        let entry = entry.ok()?;
        let link = folder.join(entry.file_name());
        if entry.path().is_dir() && wanted(&entry.file_name().to_string_lossy()) && !link.exists() {
            std::os::unix::fs::symlink(entry.path(), link).ok()?;
        }
    }
    folder.join("core").is_dir().then(|| folder.to_owned())
}
