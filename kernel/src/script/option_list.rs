//! What a call can be told: the one description of each option.
//!
//! A function that takes a map of options has an [`OptionList`] beside its definition. From it come the
//! check of the keys, completion inside `#{ }`, help, and the tables of the reference page. A default is
//! read from the engine where the engine has one, so that the page cannot say another.

use std::fmt;

use super::{
    branches, domains, inspect, model_lists, prepare, run_lists, shapes, sweep, table_files,
};

/// One option of a call.
#[derive(Clone, Copy)]
pub struct KnownOption {
    /// Its key.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What holds when it is left out.
    left_out: LeftOut,
    /// What it does, in one line.
    pub what: &'static str,
}

/// What holds when an option is left out.
#[derive(Clone, Copy)]
pub enum LeftOut {
    /// This value.
    Is(fn() -> String),
    /// What these words say.
    Means(&'static str),
}

/// What an option takes.
#[derive(Clone, Copy)]
pub enum Takes {
    /// A number.
    Number,
    /// A whole number of at least 0.
    Count,
    /// True or false.
    Flag,
    /// Any text.
    Text,
    /// The path of a file or folder.
    Path,
    /// One of these words.
    Word(&'static [&'static str]),
    /// An array of these words.
    Words(&'static [&'static str]),
    /// One of these words, or something else that the text names.
    WordOr(&'static [&'static str], &'static str, Option<&'static OptionList>),
    /// A map of further options, or something else that the text names.
    Options(&'static OptionList, &'static str),
    /// A handle of this type.
    Handle(&'static str),
    /// A number for each domain.
    PerDomain,
    /// What the text names.
    Other(&'static str),
}

/// The options of a call.
pub struct OptionList {
    /// The call as a person writes it: `prune`, `run.set`; of an option that is itself a map, its name.
    pub of: &'static str,
    /// Where they are described.
    pub parts: &'static [&'static [KnownOption]],
    /// Those of them that the call takes; all when empty.
    pub only: &'static [&'static str],
    /// What holds when one of them is left out, where that differs from its description.
    pub left_out: Option<&'static str>,
}

impl KnownOption {
    /// An option with a default value.
    pub const fn new(
        name: &'static str,
        takes: Takes,
        default: fn() -> String,
        what: &'static str,
    ) -> Self {
        Self { name, takes, left_out: LeftOut::Is(default), what }
    }

    /// An option whose absence means what the words say; nothing when they are empty.
    pub const fn open(
        name: &'static str,
        takes: Takes,
        left_out: &'static str,
        what: &'static str,
    ) -> Self {
        Self { name, takes, left_out: LeftOut::Means(left_out), what }
    }

    /// What holds when it is left out; empty when that needs no word.
    pub fn default(&self) -> String {
        match self.left_out {
            LeftOut::Is(value) => value(),
            LeftOut::Means(words) => words.to_string(),
        }
    }

    /// Whether its default is a value, and not words about one.
    pub fn has_value(&self) -> bool {
        matches!(self.left_out, LeftOut::Is(_))
    }
}

impl fmt::Display for KnownOption {
    /// `steps: a whole number (300), the length of the schedules`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.takes)?;
        let default = self.default();
        if !default.is_empty() {
            write!(f, " ({default})")?;
        }
        write!(f, ", {}", self.what)
    }
}

impl Takes {
    /// The words it takes, as far as they are known.
    pub fn words(&self) -> &'static [&'static str] {
        match self {
            Self::Word(words) | Self::Words(words) | Self::WordOr(words, ..) => words,
            _ => &[],
        }
    }

    /// The options inside it, when it is a map of them.
    pub fn inside(&self) -> Option<&'static OptionList> {
        match self {
            Self::Options(list, _) | Self::WordOr(_, _, Some(list)) => Some(list),
            _ => None,
        }
    }
}

impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |words: &[&str]| {
            words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Number => f.write_str("a number"),
            Self::Count => f.write_str("a whole number"),
            Self::Flag => f.write_str("true or false"),
            Self::Text => f.write_str("a text"),
            Self::Path => f.write_str("a path"),
            Self::Word(words) => f.write_str(&quoted(words)),
            Self::Words(words) => write!(f, "an array of {}", quoted(words)),
            Self::WordOr(words, or, _) => write!(f, "{}, or {or}", quoted(words)),
            Self::Options(list, "") => write!(f, "a map of {}", list.names().join(", ")),
            Self::Options(list, or) => {
                write!(f, "{or}, or a map of {}", list.names().join(", "))
            }
            Self::Handle(kind) => write!(f, "a {kind}"),
            Self::PerDomain => {
                f.write_str("a map from domain to number, or an array in their order")
            }
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl OptionList {
    /// A list of its own.
    pub const fn new(of: &'static str, parts: &'static [&'static [KnownOption]]) -> Self {
        Self { of, parts, only: &[], left_out: None }
    }

    /// The options, in the order of the page.
    pub fn options(&self) -> impl Iterator<Item = KnownOption> {
        let all = self.parts.iter().flat_map(|part| part.iter());
        all.filter(|o| self.only.is_empty() || self.only.contains(&o.name)).map(|o| {
            let left_out = self.left_out.map_or(o.left_out, LeftOut::Means);
            KnownOption { left_out, ..*o }
        })
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.options().map(|option| option.name).collect()
    }

    /// The option of a name.
    pub fn get(&self, name: &str) -> Option<KnownOption> {
        self.options().find(|option| option.name == name)
    }

    /// The options as a table, Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| option | takes | left out | |\n|---|---|---|---|\n");
        for o in self.options() {
            let default = match (o.has_value(), o.default()) {
                (true, value) => format!("`{value}`"),
                (false, words) => words,
            };
            // A bar would end the cell of the table.
            let row = [format!("`{}`", o.name), o.takes.to_string(), default, o.what.to_string()];
            text.push_str(&format!("| {} |\n", row.map(|c| c.replace('|', "\\|")).join(" | ")));
        }
        text
    }

    /// The options as lines of a terminal.
    pub fn text(&self) -> String {
        let width = self.names().iter().map(|name| name.len()).max().unwrap_or(0);
        let line = |o: KnownOption| {
            let default = o.default();
            let default = if default.is_empty() { default } else { format!(" ({default})") };
            format!("  {:width$}  {}{default}\n  {:width$}  {}\n", o.name, o.takes, "", o.what)
        };
        self.options().map(line).collect()
    }
}

/// Every list of a function. Lists inside options are reached through these.
pub fn lists() -> Vec<&'static OptionList> {
    let mut all = Vec::new();
    all.extend(run_lists::LISTS);
    all.extend(branches::LISTS);
    all.extend(model_lists::LISTS);
    all.extend(table_files::LISTS);
    all.extend([
        &domains::LOAD_DOMAINS,
        &inspect::PANEL,
        &prepare::PREPARE,
        &shapes::TARGET_SHAPE,
        &sweep::SWEEP,
    ]);
    all
}

/// The options of a call: `prune`, `run.set`.
pub fn of(call: &str) -> Option<&'static OptionList> {
    lists().into_iter().find(|list| list.of == call)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lists, with those inside options.
    fn every() -> Vec<&'static OptionList> {
        let mut all = lists();
        let inside = all.iter().flat_map(|list| list.options().filter_map(|o| o.takes.inside()));
        let inside: Vec<_> = inside.collect();
        all.extend(inside);
        all
    }

    #[test]
    fn every_option_says_in_one_line_what_it_does() {
        for list in every() {
            assert!(list.options().next().is_some(), "{} has no options", list.of);
            for option in list.options() {
                let (of, name) = (list.of, option.name);
                assert!(!option.what.is_empty() && !option.what.ends_with('.'), "{of} {name}");
                assert!(!option.what.contains('\n') && option.what.len() <= 160, "{of} {name}");
                let same = list.options().filter(|o| o.name == name).count();
                assert_eq!(same, 1, "{of} has `{name}` twice");
            }
            for name in list.only {
                assert!(
                    list.get(name).is_some(),
                    "{} names `{name}`, which nobody describes",
                    list.of
                );
            }
        }
    }

    #[test]
    fn an_option_shows_what_it_takes_its_default_and_what_it_does() {
        let steps = of("prune").unwrap().get("steps").unwrap();
        assert_eq!(
            steps.to_string(),
            "steps: a whole number (300), the length of the schedules, steps"
        );
        let kept = of("run.set").unwrap().get("steps").unwrap();
        assert!(kept.to_string().contains("(as it is)"), "{kept}");
    }
}
