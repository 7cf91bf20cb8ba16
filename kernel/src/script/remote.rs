//! Where models and data of the hub come from, as scripts say it.

use std::path::PathBuf;

use woolshed_engine::data::{Choice, Fetched, fetch};
use woolshed_engine::hub::{HubError, HubOptions, is_hub_id};

use super::option_list::{KnownOption, Takes};
use super::options::Options;
use super::{ScriptResult, domains, fail, raise};
use crate::session::Host;

/// Options of everything that may come from the hub.
pub(super) const HUB: [KnownOption; 5] = [
    KnownOption::open("revision", Takes::Text, "main", "a branch, tag or commit of the hub id"),
    KnownOption::open("token", Takes::Text, "`HF_TOKEN`, or the login's", "for what is not public"),
    KnownOption::open(
        "cache_dir",
        Takes::Path,
        "the cache of Hugging Face's tools",
        "where fetched files are kept",
    ),
    KnownOption::open(
        "endpoint",
        Takes::Text,
        "`HF_ENDPOINT`, or huggingface.co",
        "the address of the hub",
    ),
    KnownOption::open(
        "offline",
        Takes::Flag,
        "`HF_HUB_OFFLINE`",
        "whether only the cache is asked",
    ),
];
/// Options of data that may come from the hub, beside [`HUB`].
pub(super) const CHOICE: [KnownOption; 2] = [
    KnownOption::open(
        "path",
        Takes::Text,
        "its root",
        "the folder of the data set that has the domains",
    ),
    KnownOption::open(
        "files",
        Takes::Count,
        "all, if they are no more than 100 together",
        "the most files of a domain",
    ),
];

/// Reads where the hub is and what it keeps where.
pub(super) fn hub_options(options: &Options) -> ScriptResult<HubOptions> {
    let mut hub = HubOptions::default();
    if let Some(revision) = options.text("revision")? {
        hub.revision = revision;
    }
    if let Some(token) = options.text("token")? {
        hub.token = Some(token);
    }
    if let Some(dir) = options.text("cache_dir")? {
        hub.cache_dir = dir.into();
    }
    if let Some(endpoint) = options.text("endpoint")? {
        hub.endpoint = endpoint;
    }
    if let Some(offline) = options.flag("offline")? {
        hub.offline = offline;
    }
    Ok(hub)
}

/// A data set of the hub, fetched.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub id: String,
    pub choice: Choice,
    pub hub: HubOptions,
    pub fetched: Fetched,
}

/// Where data is.
pub(super) enum Data {
    Folder(PathBuf),
    Hub(Remote),
}

/// Finds data: a folder, from the working folder or else from `--out`; else a data set of the hub,
/// which is fetched.
pub(super) fn data(from: &str, options: &Options, host: &Host) -> ScriptResult<Data> {
    let dir = domains::find(from, host);
    let choice = Choice { path: options.text("path")?, files: options.size("files")? };
    let hub = hub_options(options)?;
    if dir.exists() || !is_hub_id(from) {
        let given =
            CHOICE.iter().chain(&HUB).map(|o| o.name).find(|key| options.value(key).is_some());
        return match given {
            Some(key) => Err(fail(format!(
                "option `{key}` is of data of the hub, and `{from}` is {}; leave it out, or give a hub \
                 id (org/name)",
                if dir.exists() { "a folder" } else { "no hub id" }
            ))),
            None => Ok(Data::Folder(dir)),
        };
    }
    let fetched = fetch(from, &choice, &hub, host).map_err(|error| {
        use woolshed_engine::data::DataError::Hub;
        match error {
            Hub(HubError::NotFound { .. } | HubError::Denied { .. })
            | Hub(HubError::Unreachable { .. } | HubError::NotCached { .. }) => {
                fail(format!("there is no folder `{from}`, and as a data set of the hub: {error}"))
            }
            other => raise(other),
        }
    })?;
    Ok(Data::Hub(Remote { id: from.into(), choice, hub, fetched }))
}
