//! Where models and data are fetched from and kept, by the environment variables of Hugging Face's tools.

use std::fmt;
use std::path::PathBuf;

use super::HubError;

/// Where models and data are fetched from and kept.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// Branch, tag or commit; `main` by default.
    pub revision: String,
    /// Access token; by default `HF_TOKEN`, or the file that Hugging Face's login leaves.
    pub token: Option<String>,
    /// Folder of the cache; by default `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or
    /// `~/.cache/huggingface/hub`.
    pub cache_dir: PathBuf,
    /// Address of the hub; by default `HF_ENDPOINT`, or `https://huggingface.co`.
    pub endpoint: String,
    /// Whether only the cache is asked; by default what `HF_HUB_OFFLINE` says (1, on, yes, true).
    pub offline: bool,
}

impl Default for HubOptions {
    /// Reads the environment variables that Hugging Face's own tools read.
    fn default() -> Self {
        Self::from_variables(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }
}

impl HubOptions {
    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let user_cache = || match variable("XDG_CACHE_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => std::env::home_dir().unwrap_or_default().join(".cache"),
        };
        let home = match variable("HF_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => user_cache().join("huggingface"),
        };
        let logged_in = || {
            let text = std::fs::read_to_string(home.join("token")).ok()?;
            Some(text.trim().to_string()).filter(|token| !token.is_empty())
        };
        let yes = |value: String| {
            ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
        };
        Self {
            revision: "main".to_string(),
            token: variable("HF_TOKEN").or_else(logged_in),
            cache_dir: variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            endpoint: variable("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".to_string()),
            offline: variable("HF_HUB_OFFLINE").is_some_and(yes),
        }
    }

    /// Checks what ends up in addresses and paths, where an odd character could reach elsewhere.
    pub(super) fn check(&self, id: &str) -> Result<(), HubError> {
        let refuse = |option, value: &str, rule| {
            Err(HubError::Option { option, value: value.to_string(), rule })
        };
        if !is_hub_id(id) {
            return refuse("id", id, "of the form org/name, in letters, digits, `.`, `_` and `-`");
        }
        if self.revision.is_empty() || !self.revision.split('/').all(is_plain) {
            let rule = "a branch, a tag or a commit, in letters, digits, `.`, `_`, `-` and `/`";
            return refuse("revision", &self.revision, rule);
        }
        let host = ["https://", "http://"].iter().find_map(|p| self.endpoint.strip_prefix(p));
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-_:/[]".contains(c);
        if !host.is_some_and(|host| !host.is_empty() && host.chars().all(legal)) {
            return refuse("endpoint", &self.endpoint, "an address such as https://huggingface.co");
        }
        Ok(())
    }
}

impl fmt::Debug for HubOptions {
    /// Hides the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("revision", &self.revision)
            .field("token", &self.token.as_ref().map(|_| "hidden"))
            .field("cache_dir", &self.cache_dir)
            .field("endpoint", &self.endpoint)
            .field("offline", &self.offline)
            .finish()
    }
}

/// Tells whether a text has the form of a hub id, `org/name`.
pub fn is_hub_id(id: &str) -> bool {
    let mut parts = id.split('/');
    let two = parts.next().is_some_and(is_plain) && parts.next().is_some_and(is_plain);
    two && parts.next().is_none()
}

/// Tells whether a text can stand between two slashes of an address and of a path.
pub(super) fn is_plain(part: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_environment_decides_as_for_hugging_face() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from-file\n").unwrap();
        let path = home.path().display().to_string();
        let with = |pairs: &[(&str, &str)]| {
            HubOptions::from_variables(|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string())
            })
        };
        let options = with(&[("HF_HOME", &path)]);
        assert_eq!(options.cache_dir, home.path().join("hub"));
        assert_eq!(options.token.as_deref(), Some("from-file"));
        assert_eq!((options.endpoint.as_str(), options.offline), ("https://huggingface.co", false));
        let options = with(&[
            ("HF_HOME", &path),
            ("HF_HUB_CACHE", "/c"),
            ("HF_TOKEN", "t"),
            ("HF_ENDPOINT", "http://mirror"),
            ("HF_HUB_OFFLINE", "True"),
        ]);
        assert_eq!(
            (options.cache_dir.as_path(), options.token.as_deref()),
            (Path::new("/c"), Some("t"))
        );
        assert_eq!((options.endpoint.as_str(), options.offline), ("http://mirror", true));
        assert!(!format!("{options:?}").contains("\"t\""), "the token is not printed");
    }
}
