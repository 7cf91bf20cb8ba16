//! Files and models in the cache that a text at the cursor may name.

use std::path::{Path, PathBuf};

use woolshed_engine::hub::HubOptions;

/// The most entries of a folder that are looked at: completion answers at once or not at all.
const ENTRIES: usize = 5000;

/// Gives every file that begins as `typed` does, as the whole text to write; folders end in `/`. Hidden
/// ones only when they are asked for. `~/` is the user's own folder.
pub fn files(typed: &str, give: &mut dyn FnMut(String, &'static str)) {
    let typed = typed.replace('\\', "/");
    let (folder, name) = match typed.rfind('/') {
        Some(at) => typed.split_at(at + 1),
        None => ("", typed.as_str()),
    };
    let place = match (folder, folder.strip_prefix("~/")) {
        ("", _) => PathBuf::from("."),
        (_, Some(rest)) => std::env::home_dir().unwrap_or_default().join(rest),
        (folder, None) => PathBuf::from(folder),
    };
    let mut found: Vec<(String, &str)> = entries(&place)
        .filter(|(file, _)| {
            file.starts_with(name) && (!file.starts_with('.') || name.starts_with('.'))
        })
        .map(|(file, is_folder)| match is_folder {
            true => (format!("{folder}{file}/"), "folder"),
            false => (format!("{folder}{file}"), "file"),
        })
        .collect();
    found.sort();
    for (path, kind) in found {
        give(path, kind);
    }
}

/// The names in a folder, each with whether it is a folder itself; none when it cannot be read.
fn entries(place: &Path) -> impl Iterator<Item = (String, bool)> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten().take(ENTRIES);
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path().is_dir())))
}

/// The hub ids of models in the local cache.
pub fn cached_models() -> Vec<String> {
    in_cache(&HubOptions::default().cache_dir)
}

fn in_cache(cache: &Path) -> Vec<String> {
    let id = |(name, _): (String, bool)| Some(name.strip_prefix("models--")?.replace("--", "/"));
    let mut ids: Vec<String> = entries(cache).filter_map(id).collect();
    ids.sort();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_cache_are_named_as_load_model_takes_them() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["models--org--a-model", "models--gpt2", "datasets--org--texts", "version.txt"]
        {
            std::fs::create_dir(cache.path().join(name)).unwrap();
        }
        assert_eq!(in_cache(cache.path()), ["gpt2", "org/a-model"]);
        assert!(in_cache(Path::new("nowhere")).is_empty());
    }

    #[test]
    fn hidden_files_are_given_when_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".hidden"), "").unwrap();
        std::fs::write(folder.path().join("plain"), "").unwrap();
        let place = folder.path().display().to_string().replace('\\', "/");
        let given = |typed: &str| {
            let mut all = Vec::new();
            files(&format!("{place}/{typed}"), &mut |path, _| all.push(path));
            all
        };
        assert_eq!(given(""), [format!("{place}/plain")]);
        assert_eq!(given("."), [format!("{place}/.hidden")]);
    }
}
