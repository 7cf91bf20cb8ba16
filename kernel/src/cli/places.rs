//! Where Jupyter keeps its things and looks for kernels. Source: `jupyter --paths` and the section "Common
//! Directories and File Locations" of its documentation.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

/// Where to install: at most one of them.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub struct PlaceArgs {
    /// The user's Jupyter folder (the default)
    #[arg(long)]
    user: bool,
    /// PREFIX/share/jupyter, such as a virtual environment
    #[arg(long)]
    pub prefix: Option<PathBuf>,
    /// The environment of the `python3` that runs here: a virtual or conda environment
    #[arg(long)]
    pub sys_prefix: bool,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// The system names no home folder.
    #[error(
        "there is no home folder to install into; set JUPYTER_DATA_DIR, or use --prefix FOLDER"
    )]
    NoHome,
    /// No Python says where it stands.
    #[error(
        "no Python environment is active and no `python3` says where it stands; use --prefix FOLDER"
    )]
    NoPython,
}

impl PlaceArgs {
    /// The data folder of Jupyter that is meant.
    ///
    /// # Errors
    /// There is no home folder, or no Python.
    pub fn data_folder(&self) -> Result<PathBuf, PlaceError> {
        match &self.prefix {
            Some(prefix) => Ok(share(prefix)),
            None if self.sys_prefix => {
                let prefix = active_environment().or_else(|| prefix_of(Path::new("python3")));
                prefix.map(|prefix| share(&prefix)).ok_or(PlaceError::NoPython)
            }
            None => user_data_folder().ok_or(PlaceError::NoHome),
        }
    }
}

/// The data folder of Jupyter in an environment.
pub fn share(prefix: &Path) -> PathBuf {
    prefix.join("share").join("jupyter")
}

/// The environment a shell has activated.
fn active_environment() -> Option<PathBuf> {
    let named = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_dir());
    named("VIRTUAL_ENV").or_else(|| named("CONDA_PREFIX"))
}

/// Where a Python stands.
fn prefix_of(python: &Path) -> Option<PathBuf> {
    let mut command = Command::new(python);
    command.args(["-c", "import sys; print(sys.prefix)"]).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim())).filter(|path| path.is_dir())
}

/// Jupyter's data folder of the user.
pub fn user_data_folder() -> Option<PathBuf> {
    user_data_folder_or(env::var_os("JUPYTER_DATA_DIR").map(PathBuf::from))
}

/// `JUPYTER_DATA_DIR`, or the place each system has for it.
fn user_data_folder_or(chosen: Option<PathBuf>) -> Option<PathBuf> {
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

/// Every data folder that a Jupyter may look into, first come first.
pub fn data_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("JUPYTER_PATH")
        .map(|paths| env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty()).collect())
        .unwrap_or_default();
    folders.extend(active_environment().map(|prefix| share(&prefix)));
    folders.extend(user_data_folder());
    if cfg!(unix) {
        folders.extend(["/usr/local/share/jupyter", "/usr/share/jupyter"].map(PathBuf::from));
    }
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// Where front ends write connection files.
pub fn runtime_folder() -> Option<PathBuf> {
    match env::var_os("JUPYTER_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(folder) => Some(PathBuf::from(folder)),
        None => Some(user_data_folder()?.join("runtime")),
    }
}

/// Looks a program up on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    env::split_paths(&path).map(|dir| dir.join(&file)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_folder_is_the_chosen_one_or_jupyters() {
        let chosen = Some(PathBuf::from("/chosen"));
        assert_eq!(user_data_folder_or(chosen), Some(PathBuf::from("/chosen")));
        if let Some(folder) = user_data_folder_or(Some(PathBuf::new())) {
            assert!(folder.ends_with("jupyter") || folder.ends_with("Jupyter"));
        }
    }

    #[test]
    fn a_prefix_stands_for_its_share_folder() {
        let place = PlaceArgs { prefix: Some("/opt/env".into()), ..PlaceArgs::default() };
        assert_eq!(place.data_folder().unwrap(), Path::new("/opt/env/share/jupyter"));
    }
}
