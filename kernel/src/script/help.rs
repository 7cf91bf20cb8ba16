//! Help on functions, types, options and values, in a cell and at the cursor.

use rhai::Engine;
use woolshed_engine::names::nearest;

use super::option_list::{self, KnownOption, OptionList};
use super::reference::{self, Function, HANDLES};
use crate::session::Display;

/// What help is made from: every function there is, described.
#[derive(Debug)]
pub struct Catalog {
    /// Of Woolshed.
    pub functions: Vec<Function>,
    /// Of the language itself.
    pub language: Vec<Function>,
}

impl Catalog {
    /// Describes the functions of a session.
    pub fn new(rhai: &Engine) -> Self {
        Self { functions: reference::functions(rhai), language: reference::language(rhai) }
    }

    /// Every function: Woolshed's, then the language's.
    pub fn all(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().chain(&self.language)
    }

    /// What can be called on a value of a type.
    pub fn methods<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Function> {
        self.all().filter(move |f| f.method_of() == Some(kind))
    }

    /// Help on a name: a function (`prune`, `run.step`, `Run.step`), a type (`Run`), an option (`lr`,
    /// `prune.lr`). With `more`, also what can be done with what a function gives.
    ///
    /// # Errors
    /// Nothing has this name; the nearest is named.
    pub fn help(&self, name: &str, more: bool) -> Result<Display, String> {
        let name = name.trim();
        if HANDLES.contains(&name) {
            return Ok(self.of_type(name));
        }
        let (of, last) = name.rsplit_once('.').map_or((None, name), |(of, last)| (Some(of), last));
        let found = self.named(of, last);
        if !found.is_empty() {
            return Ok(self.of_functions(name, &found, more));
        }
        let options = options(of, last);
        if !options.is_empty() {
            return Ok(of_options(name, &options));
        }
        let mut known: Vec<String> = self.all().map(|f| f.name.clone()).collect();
        known.extend(HANDLES.map(String::from));
        for list in option_list::lists() {
            known.extend(list.names().into_iter().map(String::from));
        }
        let hint = nearest(last, known.iter().map(String::as_str))
            .map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        Err(format!("there is no function `{name}`{hint} (help() lists them all)"))
    }

    /// The functions of a name: methods of a type or of any, and free ones. Woolshed's hide the
    /// language's.
    fn named(&self, of: Option<&str>, name: &str) -> Vec<&Function> {
        let fits = |f: &&Function| {
            let on = |of: &str| {
                let handle = f.parameters.first().filter(|_| f.method);
                handle.is_some_and(|(called, kind)| called == of || kind == of)
            };
            f.name == name && of.is_none_or(on)
        };
        let ours: Vec<&Function> = self.functions.iter().filter(fits).collect();
        if ours.is_empty() { self.language.iter().filter(fits).collect() } else { ours }
    }

    /// Help on functions of one name.
    pub fn of_functions(&self, name: &str, found: &[&Function], more: bool) -> Display {
        let mut markdown: Vec<String> = found
            .iter()
            .map(|f| format!("**`{}`**\n\n{}", f.signature(), f.docs_with(OptionList::markdown)))
            .collect();
        let mut text: Vec<String> = found
            .iter()
            .map(|f| format!("{}\n\n{}", f.signature(), f.docs_with(OptionList::text)))
            .collect();
        let gives = found.iter().find(|f| HANDLES.contains(&f.returns.as_str()));
        if let Some(f) = gives.filter(|_| more) {
            let methods = self.of_type(&f.returns);
            text.push(format!("It gives a {}", methods.text));
            markdown.extend(methods.markdown.map(|table| format!("It gives a {table}")));
        }
        Display {
            text: text.join("\n\n"),
            markdown: Some(markdown.join("\n\n---\n\n")),
            name: format!("help-{name}"),
            ..Display::default()
        }
    }

    /// What can be done with a value of a type.
    pub fn of_type(&self, kind: &str) -> Display {
        let methods: Vec<&Function> = self.methods(kind).collect();
        let (text, markdown) = lines(methods.iter().copied());
        Display {
            text: format!("{kind}\n\n{text}"),
            markdown: Some(format!("**`{kind}`**\n\n{markdown}")),
            name: format!("help-{kind}"),
            ..Display::default()
        }
    }

    /// Every function of Woolshed in one line each.
    pub fn overview(&self) -> Display {
        let (text, markdown) = lines(self.functions.iter());
        Display { text, markdown: Some(markdown), name: "help".into(), ..Display::default() }
    }
}

/// Functions in a line each, as text and as a table.
fn lines<'a>(functions: impl Iterator<Item = &'a Function>) -> (String, String) {
    let mut text = String::new();
    let mut markdown = String::from("| call | what it does |\n|---|---|\n");
    for f in functions {
        text.push_str(&format!("{}\n    {}\n", f.signature(), f.summary()));
        markdown.push_str(&format!("| `{}` | {} |\n", f.signature(), f.summary()));
    }
    (text, markdown)
}

/// The options of a name, with the calls that have them.
fn options(of: Option<&str>, name: &str) -> Vec<(&'static str, KnownOption)> {
    let lists = option_list::lists();
    let lists = lists.iter().filter(|list| of.is_none_or(|of| list.of == of));
    let inside = |list: &&'static OptionList| {
        let own = list.get(name).map(|option| (list.of, option));
        let deep = list.options().filter_map(|o| o.takes.inside()?.get(name).map(|d| (o.name, d)));
        own.into_iter().chain(deep.collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    lists.flat_map(inside).collect()
}

/// Help on options of one name: those that say the same stand together.
fn of_options(name: &str, found: &[(&'static str, KnownOption)]) -> Display {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for (of, option) in found {
        let line = option.to_string();
        match said.iter_mut().find(|(known, _)| *known == line) {
            Some((_, calls)) if calls.contains(of) => {}
            Some((_, calls)) => calls.push(of),
            None => said.push((line, vec![of])),
        }
    }
    let text = said.iter().map(|(line, of)| format!("option of {}\n  {line}", of.join(", ")));
    let markdown = said.iter().map(|(line, of)| {
        let of: Vec<String> = of.iter().map(|of| format!("`{of}`")).collect();
        let (key, rest) = line.split_once(": ").unwrap_or((line, ""));
        format!("Option of {}\n\n**`{key}`**: {rest}", of.join(", "))
    });
    Display {
        text: text.collect::<Vec<_>>().join("\n\n"),
        markdown: Some(markdown.collect::<Vec<_>>().join("\n\n")),
        name: format!("help-{name}"),
        ..Display::default()
    }
}

/// Help on one option of a call.
pub fn of_option(of: &'static str, option: KnownOption) -> Display {
    of_options(option.name, &[(of, option)])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::{HostOptions, Quiet, Session};

    fn catalog() -> Catalog {
        Catalog::new(Session::new(HostOptions::default(), Arc::new(Quiet)).rhai())
    }

    #[test]
    fn functions_types_and_options_have_help() {
        let catalog = catalog();
        let text = |name: &str| catalog.help(name, false).unwrap().text;
        assert!(text("run.step").starts_with("run.step("));
        assert!(text("Run.step").starts_with("run.step("));
        assert!(text("prune").contains("Starts to prune"));
        assert!(text("prune").contains("the length of the schedules"));
        assert!(text("Run").contains("run.step("));
        assert!(text("snapshot_mb").contains("option of prune, recover"));
        assert!(text("run.set.lr").contains("as it is"));
        assert!(text("to_upper").contains("upper"));
        let hint = catalog.help("prnue", false).unwrap_err();
        assert!(hint.contains("did you mean `prune`?"), "{hint}");
    }

    #[test]
    fn more_help_says_what_can_be_done_with_what_is_given() {
        let more = catalog().help("prune", true).unwrap().text;
        assert!(more.contains("run.step("), "{more}");
    }

    #[test]
    fn every_map_of_options_is_described() {
        let catalog = catalog();
        for f in &catalog.functions {
            let named = f.parameters.last().is_some_and(|(name, _)| name == "options");
            assert_eq!(
                f.options().is_some(),
                named || f.name == "target_shape" && f.options().is_some(),
                "{}",
                f.signature()
            );
        }
        for list in option_list::lists() {
            let takes = |f: &Function| {
                f.options().is_some_and(|l| std::ptr::eq(l, list) || l.of == list.of)
            };
            assert!(catalog.functions.iter().any(takes), "nobody takes the options of {}", list.of);
        }
    }
}
