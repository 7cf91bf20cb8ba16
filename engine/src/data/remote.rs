//! Domains from a data set of the hub: its files in the cache, laid out as a data folder.
//!
//! The cache keeps files as the hub has them. Beside them, `woolshed/<commit>/<choice>/` holds links to
//! those that were chosen, so that a folder of data is exactly the choice, also when another choice
//! fetched more. The folder appears when all its files are there: offline, and the next time, it is
//! opened without a question to the hub.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::DataError;
use super::formats::tokens;
use super::layout;
use super::prepare::manifest;
use super::read::holds_documents;
use crate::digest::hex;
use crate::hub::{HubOptions, Kind, Snapshot};
use crate::progress::{Progress, Watch};

/// Most files that are fetched without being asked for by number.
const MOST: usize = 100;

/// Which files of a data set of the hub are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The folder of the repository that holds the domains; its root by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Most files of documents a domain, the first by name; all by default, if they are no more than
    /// 100 together. Shards and token files come whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<usize>,
}

/// A data set in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The folder, to load with [`Domains::load`](super::Domains::load).
    pub dir: PathBuf,
    /// The commit its files are from.
    pub commit: String,
}

/// Brings the chosen files of a data set into the cache, and gives the folder of them.
///
/// # Units
/// Progress counts the bytes of each file.
///
/// # Errors
/// The hub does not give the data set; it holds no data there, or more than 100 files without a
/// number; an interrupt, after which the next call goes on.
pub fn fetch(
    id: &str,
    choice: &Choice,
    hub: &HubOptions,
    watch: &dyn Watch,
) -> Result<Fetched, DataError> {
    let mut snapshot = Snapshot::new(Kind::Dataset, id, hub)?;
    let fetched = |snapshot: &Snapshot| Fetched {
        dir: folder(snapshot, id, choice),
        commit: snapshot.commit().to_string(),
    };
    let there = fetched(&snapshot);
    if there.dir.is_dir() {
        return Ok(there);
    }
    let names = snapshot.list(watch)?;
    let wanted = wanted(id, &names, choice)?;
    let mut files = Vec::with_capacity(wanted.len());
    for (i, (name, place)) in wanted.iter().enumerate() {
        let nth = Nth { watch, note: format!("file {} of {}", i + 1, wanted.len()) };
        let file = snapshot.file(name, &nth)?.ok_or_else(|| snapshot.absent(name))?;
        files.push((file, place));
    }
    let fetched = fetched(&snapshot);
    lay_out(&fetched.dir, &files)?;
    Ok(fetched)
}

/// Where the folder of a choice is; it is called as the domain that would fill it.
fn folder(snapshot: &Snapshot, id: &str, choice: &Choice) -> PathBuf {
    let path = choice.path.as_deref().unwrap_or_default().trim_matches('/');
    let files = choice.files.map_or("all".into(), |n| n.to_string());
    let key = hex(&Sha256::digest(format!("{path}\n{files}")))[..16].to_string();
    let called = last(if path.is_empty() { id } else { path });
    snapshot.dir().join("woolshed").join(snapshot.commit()).join(key).join(called)
}

/// Chooses files: their names in the repository, and below the folder of the choice.
fn wanted(id: &str, names: &[String], choice: &Choice) -> Result<Vec<(String, String)>, DataError> {
    let path = choice.path.as_deref().unwrap_or_default().trim_matches('/');
    let below = if path.is_empty() { String::new() } else { format!("{path}/") };
    let data = |name: &str| {
        let file = last(name);
        let kept = holds_documents(Path::new(file)) || file.ends_with(tokens::ENDING);
        kept || file == "index.json" || file.contains(".mds") || file == manifest::NAME
    };
    let visible = |name: &str| !name.split('/').any(|part| part.starts_with('.'));
    let inside = names.iter().filter_map(|name| Some((name, name.strip_prefix(&below)?)));
    let inside: Vec<_> = inside.filter(|(_, place)| visible(place) && data(place)).collect();
    let in_folders = inside.iter().any(|(_, place)| domain(place).is_some_and(|d| !d.is_empty()));
    // Parts of a data set count apart, as do the files of a folder where each is a domain.
    let train = |place: &str| layout::is_train(layout::group(last(place)));
    let in_parts = inside.iter().filter(|(_, place)| train(place));
    let in_parts: BTreeSet<String> = in_parts.filter_map(|(_, place)| domain(place)).collect();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wanted = Vec::new();
    for (name, place) in &inside {
        let Some(domain) = domain(place) else { continue };
        let file = last(place);
        let loose = domain.is_empty() && in_folders;
        if loose && file != manifest::NAME {
            continue;
        }
        if holds_documents(Path::new(file)) {
            let apart = domain.is_empty() || in_parts.contains(&domain);
            let group = if apart { layout::group(file) } else { "" };
            let count = counts.entry(format!("{domain}/{group}")).or_default();
            *count += 1;
            if choice.files.is_some_and(|most| *count > most) {
                continue;
            }
        }
        wanted.push(((*name).clone(), (*place).to_string()));
    }
    if wanted.is_empty() {
        let mut folders: Vec<String> = (names.iter())
            .filter(|name| visible(name) && data(name))
            .filter_map(|name| {
                // The folder above the one a file is in, or that one itself.
                let parts: Vec<&str> = name.split('/').collect();
                (parts.len() > 1).then(|| parts[..(parts.len() - 2).max(1)].join("/"))
            })
            .collect();
        folders.sort();
        folders.dedup();
        return Err(DataError::NoHubData { id: id.into(), path: path.into(), folders });
    }
    if choice.files.is_none() && wanted.len() > MOST {
        return Err(DataError::ManyHubFiles { id: id.into(), count: wanted.len(), most: MOST });
    }
    Ok(wanted)
}

/// What stands after the last slash.
fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folder of a file that is a domain: at the top, or in one of those that the public code writes.
/// None for a file that lies deeper.
fn domain(place: &str) -> Option<String> {
    let parts: Vec<&str> = place.split('/').collect();
    let known = layout::TRAIN.contains(&parts[0]) || parts[0] == layout::EVAL;
    let deep = if known { 2 } else { 1 };
    (parts.len() <= deep + 1).then(|| parts[..parts.len() - 1].join("/"))
}

/// Makes the folder of links; it appears when all are there.
fn lay_out(dir: &Path, files: &[(PathBuf, &String)]) -> Result<(), DataError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| DataError::Write { path, source }
    };
    let above = dir.parent().unwrap_or(dir);
    let part = above.with_extension(format!("{}.part", std::process::id()));
    let filled = part.join(dir.file_name().unwrap_or_default());
    for (file, place) in files {
        let to = filled.join(place);
        let parent = to.parent().unwrap_or(&filled);
        fs::create_dir_all(parent).map_err(failed(parent))?;
        let content = file.canonicalize().map_err(failed(file))?;
        if to.exists() {
            continue;
        }
        if fs::hard_link(&content, &to).is_err() {
            fs::copy(&content, &to).map_err(failed(&to))?;
        }
    }
    match fs::rename(&part, above) {
        // Another process was faster; its folder holds the same.
        Err(_) if dir.is_dir() => drop(fs::remove_dir_all(&part)),
        renamed => renamed.map_err(failed(above))?,
    }
    Ok(())
}

/// Hands on what one file reports, with its number.
struct Nth<'a> {
    watch: &'a dyn Watch,
    note: String,
}

impl Watch for Nth<'_> {
    fn tick(&self, progress: &Progress) {
        self.watch.tick(&Progress { note: self.note.clone(), ..progress.clone() });
    }

    fn stop_requested(&self) -> bool {
        self.watch.stop_requested()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::HubError;
    use crate::hub::stand_in::{COMMIT, Manner, StandIn, behind_a_proxy};
    use crate::progress::Unwatched;

    fn chosen(names: &[&str], choice: &Choice) -> Result<Vec<String>, String> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let wanted = wanted("org/x", &names, choice).map_err(|error| error.to_string())?;
        Ok(wanted.into_iter().map(|(_, place)| place).collect())
    }

    fn choice(path: &str, files: Option<usize>) -> Choice {
        Choice { path: (!path.is_empty()).then(|| path.into()), files }
    }

    #[test]
    fn data_files_of_folders_are_chosen_and_others_left() {
        let names = [
            ".gitattributes",
            "README.md",
            "requirements.txt",
            "arxiv/a.jsonl.zst",
            "arxiv/b.jsonl.zst",
            "arxiv/old/c.jsonl.zst",
            "shards/index.json",
            "shards/shard.00000.mds.zstd",
            "wiki/train-00000-of-00002.parquet",
            "wiki/train-00001-of-00002.parquet",
            "wiki/validation-00000-of-00001.parquet",
        ];
        let all = chosen(&names, &Choice::default()).unwrap();
        assert_eq!(all, [names[3], names[4], names[6], names[7], names[8], names[9], names[10]]);
        let one = chosen(&names, &choice("", Some(1))).unwrap();
        assert_eq!(
            one,
            ["arxiv/a.jsonl.zst", names[6], names[7], names[8], names[10]],
            "one a domain and part; shards come whole"
        );
        assert_eq!(chosen(&names, &choice("wiki/", None)).unwrap().len(), 3);
        let public =
            ["for_prune/cc/index.json", "for_prune/cc/s.mds", "eval/eval_merge/index.json"];
        assert_eq!(chosen(&public, &Choice::default()).unwrap(), public);
    }

    #[test]
    fn where_there_is_no_data_the_folders_that_have_some_are_named() {
        let told = chosen(&["data/en/a.jsonl", "data/fr/a.jsonl", "x.py"], &choice("dat", None));
        assert!(told.clone().unwrap_err().contains("no data in its folder `dat`"), "{told:?}");
        assert!(told.unwrap_err().contains("`data`"));
        let told = chosen(&["x.py"], &Choice::default()).unwrap_err();
        assert!(told.contains("org/x"), "{told}");
    }

    #[test]
    fn many_files_are_fetched_only_when_a_number_is_given() {
        let names: Vec<String> = (0..101).map(|i| format!("web/{i:03}-of-x.parquet")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = chosen(&names, &Choice::default()).unwrap_err();
        assert!(told.contains("101 files") && told.contains("files: "), "{told}");
        assert_eq!(chosen(&names, &choice("", Some(200))).unwrap().len(), 101);
    }

    #[test]
    fn a_data_set_is_fetched_once_and_then_opened_offline() {
        if behind_a_proxy() {
            return;
        }
        let (files, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (place, text) in [
            ("sample/arxiv/a.jsonl", "{\"text\": \"one\"}\n"),
            ("sample/arxiv/b.jsonl", "{\"text\": \"two\"}\n"),
            ("sample/wiki/train-00000-of-00001.jsonl", "{\"text\": \"three\"}\n"),
            ("README.md", "# About\n"),
        ] {
            let path = files.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let hub = StandIn::start(files.path(), Manner::Sound);
        let mut options = HubOptions {
            revision: "main".into(),
            token: None,
            cache_dir: cache.path().into(),
            endpoint: hub.endpoint.clone(),
            offline: false,
        };
        let sample = choice("sample", Some(1));
        let fetched = fetch("org/tiny", &sample, &options, &Unwatched).unwrap();
        assert_eq!(fetched.commit, COMMIT);
        let read = |place: &str| fs::read_to_string(fetched.dir.join(place));
        assert_eq!(read("arxiv/a.jsonl").unwrap(), "{\"text\": \"one\"}\n");
        assert!(read("arxiv/b.jsonl").is_err(), "one file a domain");
        assert!(read("wiki/train-00000-of-00001.jsonl").is_ok());
        let asked = hub.count();
        options.offline = true;
        assert_eq!(fetch("org/tiny", &sample, &options, &Unwatched).unwrap(), fetched);
        // Another choice of the same commit is made offline from what the cache holds.
        let arxiv = fetch("org/tiny", &choice("sample/arxiv", None), &options, &Unwatched).unwrap();
        assert_eq!(fs::read_dir(&arxiv.dir).unwrap().count(), 1);
        assert_eq!(hub.count(), asked, "nothing was asked");
        options.cache_dir = files.path().join("other");
        let error = fetch("org/tiny", &sample, &options, &Unwatched).unwrap_err();
        assert!(matches!(&error, DataError::Hub(HubError::NotCached { .. })), "{error}");
        options.offline = false;
        let error = fetch("org/none", &sample, &options, &Unwatched).unwrap_err().to_string();
        assert!(error.contains("datasets/org/none") && error.contains("HTTP 401"), "{error}");
    }
}
