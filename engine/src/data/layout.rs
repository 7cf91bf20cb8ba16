//! What a data folder holds: which domains, and in which form each.
//!
//! A folder has one sub-folder a domain. One made by LLM-Shearing has `for_prune/<domain>` (or
//! `for_ft/<domain>`) to train on, and `eval/<domain>` or one `eval/eval_merge`, whose column `set`
//! names the domain of each sample, to evaluate on. The form of a domain is recognised by its files:
//! an `index.json` is that of shards, `.tokens` are token files, all others hold documents.
//! Files and folders whose name starts with a dot, and files of other kinds, are no data.

use std::path::{Path, PathBuf};

use super::DataError;
use super::formats::tokens;
use super::read::holds_documents;

/// The folders of training data that the public code writes; the first that is there is taken.
pub(crate) const TRAIN: [&str; 2] = ["for_prune", "for_ft"];
/// The folder of its evaluation data.
pub(crate) const EVAL: &str = "eval";
/// The folder in it that holds the samples of all domains.
pub(crate) const MERGED: &str = "eval_merge";

/// Where a domain's data is.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) train: Content,
    pub(crate) eval: Evaluation,
}

/// What a domain's folder holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// Files of documents, by name.
    Documents(Vec<PathBuf>),
    /// Token files of our own, by name.
    Tokens(Vec<PathBuf>),
    /// The folder of shards.
    Shards(PathBuf),
}

/// Where a domain's evaluation rows come from.
#[derive(Debug, PartialEq)]
pub(crate) enum Evaluation {
    /// The first rows of the training data.
    First,
    /// A folder of their own.
    Own(Content),
    /// A folder of shards whose column `set` names the domain.
    Merged(PathBuf),
}

/// Lists the domains of a data folder, by name.
///
/// # Errors
/// A [`DataError`] that names the folder.
pub(crate) fn places(dir: &Path) -> Result<Vec<Place>, DataError> {
    let folders = sub_folders(dir)?;
    let named = |name: &str| folders.iter().find(|(n, _)| n == name).map(|(_, path)| path);
    let train = TRAIN.into_iter().find_map(|name| named(name).filter(|path| has_folders(path)));
    let Some(train) = train else {
        let plain = |(name, path): (String, PathBuf)| {
            Ok(Place { name, train: content(&path)?, eval: Evaluation::First })
        };
        return folders.into_iter().map(plain).collect();
    };
    let eval = named(EVAL);
    let public = |(name, path): (String, PathBuf)| {
        let train = content(&path)?;
        let eval = match eval {
            None => Evaluation::First,
            Some(dir) if dir.join(&name).is_dir() => Evaluation::Own(content(&dir.join(&name))?),
            Some(dir) if dir.join(MERGED).is_dir() => Evaluation::Merged(dir.join(MERGED)),
            Some(dir) => return Err(DataError::NoEval { domain: name, dir: dir.clone() }),
        };
        Ok(Place { name, train, eval })
    };
    sub_folders(train)?.into_iter().map(public).collect()
}

/// Tells what a domain's folder holds.
///
/// # Errors
/// [`DataError::NoFiles`], [`DataError::MixedFiles`], [`DataError::Read`].
pub(crate) fn content(dir: &Path) -> Result<Content, DataError> {
    let entries = visible(dir)?;
    let files = |fits: &dyn Fn(&str, &Path) -> bool| -> Vec<PathBuf> {
        let fits = |(name, path): &&(String, PathBuf)| path.is_file() && fits(name, path);
        entries.iter().filter(fits).map(|(_, path)| path.clone()).collect()
    };
    let shards = files(&|name, _| name == "index.json");
    let mut tokens = files(&|name, _| name.ends_with(tokens::ENDING));
    // In the order of the files they were made from: `a.jsonl.gz.tokens` stands after `a.jsonl.tokens`.
    tokens.sort_by_key(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_end_matches(tokens::ENDING).to_string()
    });
    let documents = files(&|_, path| holds_documents(path));
    let kinds = [&shards, &tokens, &documents];
    if kinds.iter().filter(|files| !files.is_empty()).count() > 1 {
        let name = |path: &PathBuf| path.file_name().map(|n| n.to_string_lossy().into_owned());
        let found = kinds.iter().filter_map(|files| name(files.first()?)).collect();
        return Err(DataError::MixedFiles { dir: dir.into(), found });
    }
    if !shards.is_empty() {
        return Ok(Content::Shards(dir.into()));
    }
    if !tokens.is_empty() {
        return Ok(Content::Tokens(tokens));
    }
    if !documents.is_empty() {
        return Ok(Content::Documents(documents));
    }
    Err(DataError::NoFiles { dir: dir.into(), found: listing(&entries) })
}

/// Lists the sub-folders of a folder, name and path, by name.
///
/// # Errors
/// [`DataError::MissingFolder`], [`DataError::NotAFolder`], [`DataError::NoDomains`],
/// [`DataError::Read`].
fn sub_folders(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    if !dir.exists() {
        return Err(DataError::MissingFolder { dir: dir.into() });
    }
    if !dir.is_dir() {
        return Err(DataError::NotAFolder { path: dir.into() });
    }
    let (folders, rest): (Vec<_>, Vec<_>) = visible(dir)?.into_iter().partition(|e| e.1.is_dir());
    if folders.is_empty() {
        return Err(DataError::NoDomains { dir: dir.into(), found: listing(&rest) });
    }
    Ok(folders)
}

fn has_folders(dir: &Path) -> bool {
    visible(dir).is_ok_and(|entries| entries.iter().any(|(_, path)| path.is_dir()))
}

/// Lists what is in a folder, name and path, by name.
///
/// # Errors
/// [`DataError::Read`].
pub(crate) fn visible(dir: &Path) -> Result<Vec<(String, PathBuf)>, DataError> {
    let failed = |source| DataError::Read { path: dir.into(), source };
    let mut entries = Vec::new();
    for entry in dir.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

/// Says what a folder holds: `only a.pdf, b.json`.
pub(crate) fn listing(entries: &[(String, PathBuf)]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<&str> = entries.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    match entries.len() {
        0 => "it is empty".into(),
        n if n > SHOWN => format!("only {} and {} more", names.join(", "), n - SHOWN),
        _ => format!("only {}", names.join(", ")),
    }
}
