//! Other people's programs run the notebooks: nbclient, nbconvert, nbval, papermill, Jupyter's console,
//! JupyterLab in a browser.
//!
//! | file | what it is about |
//! |---|---|
//! | `programs.rs` | programs without a window |
//! | `in_browser.rs` | JupyterLab, by `lab_in_browser.py` |
//!
//! Takes about three minutes on two cores: two lessons train for real. The first run makes a Python
//! environment under the target folder: one or two minutes more, 500 MB.

#[path = "front_ends/in_browser.rs"]
mod in_browser;
#[path = "front_ends/programs.rs"]
mod programs;
#[path = "support/python.rs"]
mod python;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// What is run, in the versions it was written for.
const PACKAGES: [&str; 8] = [
    "jupyterlab>=4.4,<5",
    "nbclient>=0.10,<1",
    "nbconvert>=7.16,<8",
    "nbformat>=5.10,<6",
    "nbval>=0.11,<1",
    "papermill>=2.6,<3",
    "jupyter-console>=6.6,<7",
    "playwright>=1.50,<2",
];

/// The environment, one for all tests of this file.
fn python() -> Option<PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| python::python("front-ends-1", &PACKAGES)).clone()
}

/// A folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A scratch folder in which the kernel is installed.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().expect("a scratch folder"));
        std::fs::create_dir(desk.path("home")).expect("a home folder");
        let mut install = Command::new(env!("CARGO_BIN_EXE_woolshed"));
        python::run(install.arg("install").arg("--prefix").arg(desk.path("prefix"))).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A Python program that finds the kernel and nothing of the user's.
    fn command(&self, python: &Path) -> Command {
        let mut command = Command::new(python);
        command
            .current_dir(self.0.path())
            .env("JUPYTER_PATH", self.path("prefix/share/jupyter"))
            .env("JUPYTER_RUNTIME_DIR", self.path("runtime"))
            .env("JUPYTER_CONFIG_DIR", self.path("config"))
            .env("JUPYTER_PLATFORM_DIRS", "1")
            .env("HOME", self.path("home"))
            .env("IPYTHONDIR", self.path("ipython"))
            .env("WOOLSHED_HISTORY", "");
        command
    }
}
