//! The program as a person runs it: a scratch folder, a script in it, what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A scratch folder that scripts run in.
pub struct Bench(TempDir);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; none for a process that a signal ended.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Panics unless the exit code is `code` and stderr holds every part.
    #[track_caller]
    pub fn with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "exit code\n{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(self.stderr.contains(part), "`{part}` is not in:\n{}", self.stderr);
        }
        assert!(self.stderr.is_empty() || self.stderr.ends_with('\n'), "no newline at the end");
    }

    /// Panics unless it succeeded; gives what it printed.
    #[track_caller]
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "exit code\n{}\n{}", self.stdout, self.stderr);
        &self.stdout
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl Bench {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a scratch folder"))
    }

    /// A path in the scratch folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        fs::write(&path, content).expect("written");
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The program, to be started in the scratch folder without a network.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_woolshed"));
        command.args(arguments).current_dir(self.0.path()).env("HF_HUB_OFFLINE", "1");
        // Not the user's own cache: a test finds what it put there.
        command.env("HF_HUB_CACHE", self.path("cache"));
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().expect("the program starts").into()
    }

    /// Runs a script with `--out out` and more arguments.
    pub fn script(&self, code: &str, arguments: &[&str]) -> Ended {
        self.write("script.rhai", code);
        self.run(&[&["run", "script.rhai", "--out", "out"], arguments].concat())
    }

    /// Every file and empty folder below a folder, sorted; none when it is not there.
    pub fn files(&self, folder: &str) -> Vec<String> {
        fn below(dir: &Path, top: &Path, found: &mut Vec<String>) {
            let Ok(entries) = fs::read_dir(dir) else { return };
            let entries: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
            if entries.is_empty() && dir != top {
                found.push(format!("{}/", dir.strip_prefix(top).expect("below").display()));
            }
            for path in entries {
                if path.is_dir() {
                    below(&path, top, found);
                } else {
                    found.push(path.strip_prefix(top).expect("below").display().to_string());
                }
            }
        }
        let (top, mut found) = (self.path(folder), Vec::new());
        below(&top, &top, &mut found);
        found.sort();
        found
    }

    /// Forty stories in each of two domains: enough for rows of 32 tokens.
    pub fn domains(&self, folder: &str) {
        let line = "{\"text\": \"the small dog saw 7 + 8 = 1 5 ; and the old cat saw it too\"}\n";
        self.write(&format!("{folder}/one/a.jsonl"), line.repeat(40));
        self.write(&format!("{folder}/two/b.jsonl"), line.repeat(40));
    }
}

/// A small random model that needs no file.
pub const MODEL: &str = "let model = new_model(#{layers: 2, hidden: 32, heads: 4, kv_heads: 2, \
                         intermediate: 64, max_positions: 64});\n";

/// Two small domains for it, `one` and `two`, out of the folder `data`.
pub const DOMAINS: &str = "let domains = load_domains(\"data\", #{seq_len: 32});\n";
