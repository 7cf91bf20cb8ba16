//! Tells Jupyter about this program: a folder for each kernel, and one that colours Rhai in JupyterLab.
//!
//! A folder is written beside its place and moved there whole, so a front end that looks in the
//! meantime sees the old one or the new one. Source: "Making kernels for Jupyter", section "Kernel
//! specs"; "Developing extensions", section "Prebuilt extensions".

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use super::places::PlaceError;
use crate::jupyter::kernelspec::SPECS;

/// The name of the folder that colours Rhai.
pub const COLOURS: &str = "woolshed-rhai";

/// The pictures a front end shows for a kernel.
const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("kernelspec/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("kernelspec/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("kernelspec/logo-svg.svg")),
];

/// The extension of JupyterLab that colours Rhai.
const EXTENSION: [(&str, &[u8]); 2] = [
    ("package.json", include_bytes!("labextension/package.json")),
    ("static/remoteEntry.js", include_bytes!("labextension/remoteEntry.js")),
];

/// Why the kernels cannot be installed or removed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// There is no such place.
    #[error(transparent)]
    Place(#[from] PlaceError),

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

    /// The folder cannot be removed.
    #[error("cannot remove {}: {source}", path.display())]
    Remove {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// The path of the running program, as `kernel.json` needs it.
///
/// # Errors
/// The system does not know it, or it is no Unicode.
pub fn own_program() -> Result<String, InstallError> {
    let program = env::current_exe()
        .map_err(|error| InstallError::NoProgram { reason: error.to_string() })?;
    program.to_str().map(String::from).ok_or_else(|| InstallError::NoProgram {
        reason: format!("{} is not valid Unicode", program.display()),
    })
}

/// Installs this program's kernels and colours into a data folder of Jupyter; what stands there under
/// these names is replaced. Gives the folders it wrote.
///
/// # Errors
/// A folder cannot be written.
pub fn install(data: &Path, program: &str) -> Result<Vec<PathBuf>, InstallError> {
    let mut written = Vec::new();
    for spec in SPECS {
        let json = format!("{:#}\n", spec.to_json(program));
        let mut files = vec![("kernel.json", json.as_bytes())];
        files.extend(LOGOS);
        written.push(write_folder(&data.join("kernels"), spec.name, &files)?);
    }
    written.push(write_folder(&data.join("labextensions"), COLOURS, &EXTENSION)?);
    Ok(written)
}

/// The folders that [`install`] writes.
pub fn folders(data: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        SPECS.iter().map(|spec| data.join("kernels").join(spec.name)).collect();
    folders.push(data.join("labextensions").join(COLOURS));
    folders
}

/// Removes what [`install`] wrote, and gives the folders that are gone.
///
/// # Errors
/// A folder cannot be removed.
pub fn uninstall(data: &Path) -> Result<Vec<PathBuf>, InstallError> {
    let mut gone = Vec::new();
    for folder in folders(data) {
        let removed = match folder.symlink_metadata() {
            Err(_) => continue,
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&folder),
            Ok(_) => fs::remove_file(&folder),
        };
        removed.map_err(|source| InstallError::Remove { path: folder.clone(), source })?;
        gone.push(folder);
    }
    Ok(gone)
}

/// Writes `PARENT/NAME` with these files, whole or not at all.
fn write_folder(
    parent: &Path,
    name: &str,
    files: &[(&str, &[u8])],
) -> Result<PathBuf, InstallError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Write { path, source }
    };
    let folder = parent.join(name);
    let new = parent.join(format!(".{name}-new-{}", process::id()));
    let old = parent.join(format!(".{name}-old-{}", process::id()));
    fs::create_dir_all(&new).map_err(at(&new))?;

    let written = (|| {
        for (name, bytes) in files {
            let file = new.join(name);
            crate::files::make_parent(&file)
                .and_then(|()| crate::files::write(&file, bytes))
                .map_err(|error| at(&file)(io::Error::other(error)))?;
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
    fn an_installation_has_kernels_logos_and_colours_replaces_an_older_one_and_goes_again() {
        let home = tempfile::tempdir().unwrap();
        let kernels = home.path().join("kernels");
        fs::create_dir_all(kernels.join("woolshed")).unwrap();
        fs::write(kernels.join("woolshed").join("of-an-older-version"), "").unwrap();
        fs::create_dir_all(kernels.join("another")).unwrap();

        let written = install(home.path(), "/opt/wool \"shed\"").unwrap();
        assert_eq!(written, folders(home.path()));
        let files = ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"];
        for spec in SPECS {
            assert_eq!(names(&kernels.join(spec.name)), files);
        }
        assert_eq!(names(&kernels).len(), SPECS.len() + 1, "nothing else is left");
        let text = fs::read_to_string(kernels.join("woolshed/kernel.json")).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["argv"][0], "/opt/wool \"shed\"");
        assert_eq!(json["argv"][3], "{connection_file}");
        assert_eq!(json["interrupt_mode"], "message");
        assert_eq!(json["metadata"]["version"], env!("CARGO_PKG_VERSION"));
        let colours = home.path().join("labextensions/woolshed-rhai/static/remoteEntry.js");
        assert!(colours.is_file());

        assert_eq!(uninstall(home.path()).unwrap(), written);
        assert_eq!(names(&kernels), ["another"]);
        assert!(uninstall(home.path()).unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        let error = install(&file, "x").unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
        assert!(error.contains("--prefix"), "{error}");
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

    #[test]
    fn the_extension_has_the_version_of_the_program() {
        let json: Value = serde_json::from_slice(EXTENSION[0].1).unwrap();
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(json["name"], COLOURS);
    }
}
