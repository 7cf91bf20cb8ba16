//! What keeps a kernel from starting, each with one thing to try.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::jupyter::kernelspec::Spec;
use crate::jupyter::probe::ProbeError;

/// Something that is wrong with an installed kernel.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The folder has no `kernel.json` that can be read.
    #[error("{} cannot be read: {reason}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The program is not there any more.
    #[error("its program `{program}` is gone")]
    Gone {
        /// The program.
        program: String,
    },
    /// The program is there and is none.
    #[error("its program `{program}` cannot be executed")]
    NotExecutable {
        /// The program.
        program: String,
    },
    /// It starts another program than this one.
    #[error("it starts `{program}` ({version}), and this program is `{own}`")]
    Elsewhere {
        /// The program it starts.
        program: String,
        /// What that says of its version.
        version: String,
        /// This program.
        own: String,
    },
    /// An older version wrote it.
    #[error("version {found} of this program installed it")]
    Old {
        /// The version.
        found: String,
    },
    /// Another folder comes first.
    #[error("{} comes after the one above and is not used", folder.display())]
    Hidden {
        /// The folder.
        folder: PathBuf,
    },
    /// Jupyter does not look there.
    #[error("the `jupyter` on PATH does not look there")]
    Unseen,
    /// Jupyter finds another one first.
    #[error("the `jupyter` on PATH takes the one in {}", folder.display())]
    Shadowed {
        /// The folder it takes.
        folder: PathBuf,
    },
    /// It does not work when it is started.
    #[error(transparent)]
    NoAnswer(ProbeError),
}

impl Fault {
    /// One thing to try.
    pub fn hint(&self) -> String {
        match self {
            Self::Damaged { .. } | Self::Gone { .. } | Self::Old { .. } => {
                "woolshed install, with the same --prefix as the first time".into()
            }
            Self::Elsewhere { .. } => "woolshed install, to have this program as the kernel".into(),
            Self::NotExecutable { program } => format!("chmod +x {program}"),
            Self::Hidden { folder } => match prefix(folder) {
                Some(prefix) => format!("woolshed uninstall --prefix {}", prefix.display()),
                None => "remove the folder".into(),
            },
            Self::Unseen => "woolshed install --sys-prefix, in that Jupyter's environment".into(),
            Self::Shadowed { folder } => match prefix(folder) {
                Some(prefix) => format!("woolshed install --prefix {}", prefix.display()),
                None => "remove the folder".into(),
            },
            Self::NoAnswer(ProbeError::Runtime { .. }) => {
                "set JUPYTER_RUNTIME_DIR to a folder of your own".into()
            }
            Self::NoAnswer(ProbeError::Loopback(_)) => {
                "allow connections to 127.0.0.1 in the firewall or sandbox".into()
            }
            Self::NoAnswer(ProbeError::Start { .. }) => "woolshed install".into(),
            Self::NoAnswer(ProbeError::Silent) => {
                "again when the machine has less to do; allow connections to 127.0.0.1".into()
            }
            Self::NoAnswer(_) => {
                "woolshed run on a small script, to see whether the program works".into()
            }
        }
    }

    /// False for what is odd and works.
    pub fn stops_the_kernel(&self) -> bool {
        !matches!(self, Self::Elsewhere { .. } | Self::Old { .. } | Self::Hidden { .. })
    }
}

/// `PREFIX` of `PREFIX/share/jupyter/kernels/NAME`.
fn prefix(folder: &Path) -> Option<&Path> {
    let data = folder.parent()?.parent()?;
    let share = data.parent().filter(|_| data.ends_with("share/jupyter"))?;
    share.parent()
}

/// The arguments in a kernel's folder, and the version that wrote them.
fn read(folder: &Path) -> Result<(Vec<String>, Option<String>), Fault> {
    let file = folder.join("kernel.json");
    let damaged = |reason: String| Fault::Damaged { file: file.clone(), reason };
    let text = fs::read_to_string(&file).map_err(|error| damaged(error.to_string()))?;
    let json: Value = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let argv = json.get("argv").and_then(Value::as_array);
    let argv: Option<Vec<String>> =
        argv.and_then(|argv| argv.iter().map(|a| a.as_str().map(String::from)).collect());
    let whole = |argv: &Vec<String>| argv.iter().any(|a| a.contains("{connection_file}"));
    let Some(argv) = argv.filter(whole) else {
        return Err(damaged("its `argv` names no connection file".into()));
    };
    let version = json.pointer("/metadata/version").and_then(Value::as_str).map(String::from);
    Ok((argv, version))
}

/// What is wrong with the kernel in this folder.
pub fn of_spec(folder: &Path, own: &str) -> Vec<Fault> {
    let (argv, version) = match read(folder) {
        Ok(read) => read,
        Err(fault) => return vec![fault],
    };
    let program = argv[0].clone();
    if !Path::new(&program).is_file() {
        return vec![Fault::Gone { program }];
    }
    if !is_executable(Path::new(&program)) {
        return vec![Fault::NotExecutable { program }];
    }
    let same = |path: &str| fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if same(&program) != same(own) {
        let version = version_of(&program);
        return vec![Fault::Elsewhere { program, version, own: own.into() }];
    }
    let found = version.unwrap_or_else(|| "0.1.0 or earlier".into());
    if found == env!("CARGO_PKG_VERSION") { Vec::new() } else { vec![Fault::Old { found }] }
}

/// What is wrong with the place of a kernel, by what `jupyter kernelspec list --json` says.
pub fn of_list(listed: &Value, spec: Spec, folder: &Path) -> Option<Fault> {
    let seen = listed.get("kernelspecs")?.get(spec.name);
    let Some(seen) = seen.and_then(|s| s.get("resource_dir")).and_then(Value::as_str) else {
        return Some(Fault::Unseen);
    };
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.into());
    (real(Path::new(seen)) != real(folder)).then(|| Fault::Shadowed { folder: seen.into() })
}

/// How a front end would start the kernel, and whose arguments those are: where it is not installed, or
/// damaged, those it would have.
pub fn start_of(folders: &[PathBuf], spec: Spec, own: &str) -> (Vec<String>, &'static str) {
    let installed = folders.iter().map(|data| data.join("kernels").join(spec.name));
    let argv = installed.into_iter().find(|folder| folder.exists()).and_then(|f| read(&f).ok());
    match argv {
        Some((argv, _)) => (argv, "the installed kernel"),
        None => {
            let argv = spec.to_json(own)["argv"].clone();
            (serde_json::from_value(argv).unwrap_or_default(), "this program as a kernel")
        }
    }
}

#[cfg(unix)]
fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(program).is_ok_and(|m| m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(_: &Path) -> bool {
    true
}

/// What a program says to `--version`.
fn version_of(program: &str) -> String {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "of unknown version".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::install::install;
    use crate::jupyter::kernelspec::USUAL;

    #[test]
    fn the_usual_faults_of_a_kernel_are_told_apart() {
        let home = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap().to_str().unwrap().to_string();
        let folder = install(home.path(), &own).unwrap()[0].clone();
        assert!(of_spec(&folder, &own).is_empty());
        let only = |own: &str| {
            let mut faults = of_spec(&folder, own);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(!faults[0].hint().is_empty());
            faults.remove(0)
        };
        assert!(matches!(only("/another"), Fault::Elsewhere { .. }));

        let file = folder.join("kernel.json");
        let json = fs::read_to_string(&file).unwrap();
        let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
        fs::write(&file, json.replace(&version, "\"version\": \"0.0.1\"")).unwrap();
        assert!(matches!(only(&own), Fault::Old { found } if found == "0.0.1"));
        fs::write(&file, "{").unwrap();
        assert!(matches!(only(&own), Fault::Damaged { .. }));
        fs::write(&file, json.replace("{connection_file}", "x")).unwrap();
        assert!(only(&own).to_string().contains("names no connection file"));
        fs::remove_file(&file).unwrap();
        assert!(matches!(only(&own), Fault::Damaged { .. }));

        install(home.path(), "/gone").unwrap();
        assert!(matches!(only(&own), Fault::Gone { .. }));
        let text = home.path().join("text");
        fs::write(&text, "").unwrap();
        install(home.path(), text.to_str().unwrap()).unwrap();
        if cfg!(unix) {
            assert!(matches!(only(&own), Fault::NotExecutable { .. }));
        }
    }

    #[test]
    fn a_folder_jupyter_does_not_take_is_a_fault_with_the_place_it_takes() {
        let folder = Path::new("/a/share/jupyter/kernels/woolshed");
        let list =
            |place: &str| serde_json::json!({"kernelspecs": {"woolshed": {"resource_dir": place}}});
        assert!(of_list(&list("/a/share/jupyter/kernels/woolshed"), USUAL, folder).is_none());
        let none = serde_json::json!({"kernelspecs": {}});
        assert!(matches!(of_list(&none, USUAL, folder), Some(Fault::Unseen)));
        let other = of_list(&list("/b/share/jupyter/kernels/woolshed"), USUAL, folder).unwrap();
        assert_eq!(other.hint(), "woolshed install --prefix /b");
    }
}
