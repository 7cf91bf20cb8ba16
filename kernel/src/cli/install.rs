//! Tells Jupyter about the kernel: writes the folder `kernels/woolshed` into one of Jupyter's data
//! folders.
//!
//! The folder is written beside its place and moved there whole, so a front end that looks in the
//! meantime sees the old kernel or the new one. Source: "Making kernels for Jupyter", section
//! "Kernel specs"; the data folders are those of `jupyter --paths`.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::jupyter::kernelspec;

/// The name of the kernel's folder; `jupyter console --kernel woolshed` uses it.
pub const NAME: &str = kernelspec::USUAL.name;

/// The pictures a front end shows for the kernel.
const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("kernelspec/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("kernelspec/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("kernelspec/logo-svg.svg")),
];

/// Why the kernel cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A prefix and the user's own folder are two different places.
    #[error("choose one place: --user, or --prefix {}", prefix.display())]
    TwoPlaces {
        /// The prefix that was given.
        prefix: PathBuf,
    },

    /// The system names no home folder.
    #[error(
        "there is no home folder to install into; set JUPYTER_DATA_DIR, or use --prefix FOLDER"
    )]
    NoHome,

    /// The path of the running program is unknown or cannot be written into JSON.
    #[error("the path of this program cannot be written into kernel.json: {reason}")]
    NoProgram {
        /// What is wrong with it.
        reason: String,
    },

    /// The folder cannot be written.
    #[error("cannot write {}: {source}. Choose a folder of your own with --prefix FOLDER", path.display())]
    Write {
        /// The folder or file that failed.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Installs the running program as a Jupyter kernel and returns the folder it wrote.
///
/// With a prefix it goes to `PREFIX/share/jupyter/kernels/woolshed` (an environment's own folder),
/// otherwise, with `user` or without, to the user's data folder. A kernel of that name is replaced.
///
/// # Errors
/// Both places were asked for, or the folder cannot be written.
pub fn install(prefix: Option<&Path>, user: bool) -> Result<PathBuf, InstallError> {
    let data = match prefix {
        Some(prefix) if user => {
            return Err(InstallError::TwoPlaces { prefix: prefix.to_owned() });
        }
        Some(prefix) => prefix.join("share").join("jupyter"),
        None => user_data_folder(env::var_os("JUPYTER_DATA_DIR").map(PathBuf::from))
            .ok_or(InstallError::NoHome)?,
    };
    let program = env::current_exe()
        .map_err(|error| InstallError::NoProgram { reason: error.to_string() })?;
    let program = program.to_str().ok_or_else(|| InstallError::NoProgram {
        reason: format!("{} is not valid Unicode", program.display()),
    })?;
    write_kernelspec(&data.join("kernels"), program)
}

/// Jupyter's data folder of the user: `JUPYTER_DATA_DIR`, or the place each system has for it.
fn user_data_folder(chosen: Option<PathBuf>) -> Option<PathBuf> {
    if let Some(chosen) = chosen.filter(|path| !path.as_os_str().is_empty()) {
        return Some(chosen);
    }
    if cfg!(target_os = "macos") {
        Some(dirs::home_dir()?.join("Library").join("Jupyter"))
    } else {
        // Linux: XDG_DATA_HOME or ~/.local/share; Windows: APPDATA.
        Some(dirs::data_dir()?.join("jupyter"))
    }
}

/// Writes `KERNELS/woolshed` whole or not at all.
fn write_kernelspec(kernels: &Path, program: &str) -> Result<PathBuf, InstallError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Write { path, source }
    };
    let folder = kernels.join(NAME);
    let new = kernels.join(format!(".{NAME}-new-{}", process::id()));
    let old = kernels.join(format!(".{NAME}-old-{}", process::id()));
    fs::create_dir_all(&new).map_err(at(&new))?;

    let written = (|| {
        let json = new.join("kernel.json");
        fs::write(&json, format!("{:#}\n", kernelspec::USUAL.to_json(program)))
            .map_err(at(&json))?;
        for (name, bytes) in LOGOS {
            let logo = new.join(name);
            fs::write(&logo, bytes).map_err(at(&logo))?;
        }
        // `symlink_metadata` also sees a link that leads nowhere.
        let replaces = folder.symlink_metadata().is_ok();
        if replaces {
            fs::rename(&folder, &old).map_err(at(&folder))?;
        }
        fs::rename(&new, &folder).map_err(|source| {
            if replaces {
                // Nothing better can be done if the old one cannot go back either.
                let _ = fs::rename(&old, &folder);
            }
            at(&folder)(source)
        })
    })();
    // Leftovers have hidden names and hurt nobody; what counts has been reported.
    let _ = fs::remove_dir_all(&new);
    if fs::remove_dir_all(&old).is_err() {
        let _ = fs::remove_file(&old);
    }
    written.map(|()| folder)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_kernelspec_has_the_program_and_the_logos_and_replaces_an_older_one() {
        let home = tempfile::tempdir().unwrap();
        let kernels = home.path().join("kernels");
        fs::create_dir_all(kernels.join(NAME)).unwrap();
        fs::write(kernels.join(NAME).join("of-an-older-version"), "").unwrap();

        let folder = write_kernelspec(&kernels, "/opt/wool \"shed\"").unwrap();
        assert_eq!(folder, kernels.join("woolshed"));
        assert_eq!(
            names(&folder),
            ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]
        );
        assert_eq!(names(&kernels), ["woolshed"], "nothing else is left");
        let text = fs::read_to_string(folder.join("kernel.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["argv"][0], "/opt/wool \"shed\"");
        assert_eq!(json["argv"][3], "{connection_file}");
        assert_eq!(json["interrupt_mode"], "message");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = write_kernelspec(&file, "x").unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        assert!(error.contains("--prefix"), "{error}");
    }

    #[test]
    fn a_prefix_and_the_user_folder_are_two_places() {
        let error = install(Some(Path::new("/opt/env")), true).unwrap_err();
        assert!(matches!(error, InstallError::TwoPlaces { .. }));
    }

    #[test]
    fn the_user_folder_is_the_chosen_one_or_jupyters() {
        let chosen = Some(PathBuf::from("/chosen"));
        assert_eq!(user_data_folder(chosen), Some(PathBuf::from("/chosen")));
        if let Some(folder) = user_data_folder(Some(PathBuf::new())) {
            assert!(folder.ends_with("jupyter") || folder.ends_with("Jupyter"));
        }
    }

    #[test]
    fn the_logos_are_what_their_names_say() {
        for (name, bytes) in LOGOS {
            match name.strip_suffix(".png") {
                Some(_) => assert!(bytes.starts_with(b"\x89PNG\r\n"), "{name}"),
                None => assert!(bytes.starts_with(b"<svg"), "{name}"),
            }
        }
    }
}
