//! What can stand at the cursor: names, methods, option keys and their values, files, models in the cache.

use super::cursor::{self, Around, Chain, Place, Read};
use super::files_near::{cached_models, files};
use super::{Names, Session};
use crate::jupyter::{Candidate, Completion};
use crate::script::option_list::Takes;
use crate::script::reference::Function;

/// Words of the language.
const KEYWORDS: [&str; 21] = [
    "let", "const", "if", "else", "for", "in", "while", "loop", "do", "until", "break", "continue",
    "return", "throw", "try", "catch", "fn", "switch", "true", "false", "print",
];

/// Candidates that begin with a word, each text once.
struct Fitting<'a> {
    word: &'a str,
    found: Vec<Candidate>,
}

impl Fitting<'_> {
    fn add(&mut self, text: impl Into<String>, kind: &str, signature: impl Into<String>) {
        let text = text.into();
        if text.starts_with(self.word) && !self.found.iter().any(|m| m.text == text) {
            self.found.push(Candidate { text, kind: kind.into(), signature: signature.into() });
        }
    }
}

impl Session {
    /// What can stand at the cursor (a position in characters).
    pub fn complete(&self, code: &str, cursor: usize) -> Completion {
        self.names().complete(code, cursor)
    }
}

impl Names {
    /// As [`Session::complete`].
    pub fn complete(&self, code: &str, cursor: usize) -> Completion {
        let read = cursor::read(code, cursor);
        let (word, start) = match &read.place {
            Place::Remark => ("", cursor),
            Place::Text { content, start } => (content.as_str(), *start),
            Place::Member { word, start, .. }
            | Place::Key { word, start }
            | Place::Word { word, start } => (word.as_str(), *start),
        };
        let mut fitting = Fitting { word, found: Vec::new() };
        match &read.place {
            Place::Remark => {}
            Place::Text { content, .. } => self.texts(&read, content, &mut fitting),
            Place::Member { of, .. } => self.members(of.as_ref(), &read, &mut fitting),
            Place::Key { .. } => self.keys(&read, &mut fitting),
            Place::Word { .. } => self.words(&read, &mut fitting),
        }
        Completion { matches: fitting.found, start, end: cursor }
    }

    /// Methods and properties of what stands before a dot.
    fn members(&self, of: Option<&Chain>, read: &Read, fitting: &mut Fitting<'_>) {
        if let Some([cursor::Link::Name(name)]) = of.map(Vec::as_slice)
            && let Some(variable) = self.variable(name)
        {
            for key in &variable.keys {
                fitting.add(key, "property", "");
            }
        }
        let kind = of.and_then(|chain| self.type_of(chain, read));
        match kind {
            Some(kind) => {
                for f in self.catalog().methods(&kind) {
                    fitting.add(&f.name, sort(f), f.signature());
                }
            }
            // Of a value that nobody knows, anything may be right.
            None => {
                for f in self.catalog().functions.iter().filter(|f| f.method) {
                    fitting.add(&f.name, sort(f), f.signature());
                }
            }
        }
    }

    /// The options of a call that are not written yet.
    fn keys(&self, read: &Read, fitting: &mut Fitting<'_>) {
        let around = read.around();
        let Some(list) = self.options(&around, read) else { return };
        let written = match around.first() {
            Some(Around::Map { keys, .. }) => keys.as_slice(),
            _ => &[],
        };
        for option in list.options() {
            if !written.iter().any(|key| key == option.name) {
                fitting.add(option.name, "property", option.to_string());
            }
        }
    }

    /// What a name can be begun with, and before it what the option at this place takes.
    fn words(&self, read: &Read, fitting: &mut Fitting<'_>) {
        let around = read.around();
        let mut wanted = None;
        if let Some(option) = self.option(&around, read) {
            let signature = option.to_string();
            for word in option.takes.words() {
                fitting.add(format!("\"{word}\""), "value", &signature);
            }
            match option.takes {
                Takes::Flag => {
                    fitting.add("true", "value", &signature);
                    fitting.add("false", "value", &signature);
                }
                Takes::Handle(kind) => wanted = Some(kind.to_string()),
                _ => {}
            }
        } else if let Some(call @ Around::Call { argument, method, .. }) = around.first() {
            let at = argument + usize::from(*method);
            let takes = |f: &&Function| f.parameters.get(at).map(|(_, kind)| kind.clone());
            wanted = self.called(call, read).iter().find_map(takes);
        }
        // What fits the place comes first.
        let (fits, others): (Vec<_>, Vec<_>) =
            self.variables.iter().partition(|v| Some(&v.kind) == wanted.as_ref());
        for variable in fits.into_iter().chain(others) {
            fitting.add(&variable.name, "instance", &variable.kind);
        }
        for name in read.declared() {
            fitting.add(name, "instance", "");
        }
        for f in self.defined.iter().chain(&self.catalog().functions).filter(|f| !f.method) {
            fitting.add(&f.name, "function", f.signature());
        }
        if !fitting.word.is_empty() {
            for f in self.catalog().language.iter().filter(|f| !f.method) {
                fitting.add(&f.name, "function", f.signature());
            }
        }
        for word in KEYWORDS {
            fitting.add(word, "keyword", "");
        }
    }

    /// What a text can be: a word that its place takes, or a file.
    fn texts(&self, read: &Read, content: &str, fitting: &mut Fitting<'_>) {
        let around = read.around();
        if let Some(option) = self.option(&around, read) {
            for word in option.takes.words() {
                fitting.add(*word, "value", option.to_string());
            }
            if matches!(option.takes, Takes::Path) {
                files(content, &mut |path, kind| fitting.add(path, kind, ""));
            }
            return;
        }
        if let Some(call @ Around::Call { name, argument, method, .. }) = around.first() {
            let at = argument + usize::from(*method);
            let found = self.called(call, read);
            let named =
                |f: &&&Function| f.parameters.get(at).is_some_and(|(_, kind)| kind == "text");
            let parameter = found.iter().find(named).map_or("", |f| f.parameters[at].0.as_str());
            for word in words_of(name, parameter) {
                fitting.add(*word, "value", "");
            }
            match (name.as_str(), argument) {
                ("load_model", 0) => {
                    for id in cached_models() {
                        fitting.add(id, "model", "in the cache");
                    }
                }
                ("help", 0) => {
                    for f in &self.catalog().functions {
                        fitting.add(f.call(), "function", f.signature());
                        fitting.add(&f.name, "function", f.signature());
                    }
                    return;
                }
                _ => {}
            }
        }
        files(content, &mut |path, kind| fitting.add(path, kind, ""));
    }
}

/// How front ends mark a function or property.
fn sort(f: &Function) -> &'static str {
    if f.property { "property" } else { "function" }
}

/// The words that a parameter takes, by its name.
fn words_of(function: &str, parameter: &str) -> &'static [&'static str] {
    match (function, parameter) {
        ("load_model" | "load_domains", _) => &["demo"],
        ("target_shape", _) => &["370m", "1.3b", "2.7b"],
        (_, "kind") => &crate::script::GATE_KINDS,
        (_, "rule") => &crate::script::MIXTURE_RULES,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::session::{HostOptions, Quiet};

    fn session(code: &str) -> Session {
        let mut session = Session::new(HostOptions::default(), Arc::new(Quiet));
        session.run("cell 1", code);
        session
    }

    /// What fits where the mark `¦` stands.
    fn completed(session: &Session, code: &str) -> Vec<Candidate> {
        let (before, after) = code.split_once('¦').unwrap();
        session.complete(&format!("{before}{after}"), before.chars().count()).matches
    }

    fn texts(session: &Session, code: &str) -> Vec<String> {
        completed(session, code).into_iter().map(|m| m.text).collect()
    }

    #[test]
    fn what_fits_the_cursor_is_offered() {
        let session =
            session("fn mine(a) { a }\nlet m = new_model(#{layers: 1}); let s = #{size: 1};");
        let cases: [(&str, &[&str], &[&str]); 15] = [
            ("loa¦", &["load_model", "load_domains"], &["m", "loop"]),
            ("mi¦", &["mine"], &[]),
            ("m.¦", &["generate", "save", "parameters"], &["step", "let", "prune"]),
            ("é = m.magnitude_cut(t).sa¦", &["save"], &["sample_rows"]),
            ("prune(m, t, d).¦", &["step", "fork"], &["generate"]),
            ("let r = recover(m, d); r.fo¦", &["fork"], &[]),
            ("s.¦", &["size", "keys"], &["step"]),
            ("\"a\".to_¦", &["to_upper"], &["to_markdown"]),
            ("prune(m, t, d, #{¦", &["steps", "gate_lr"], &["teacher", "m"]),
            ("prune(m, t, d, #{steps: 3, st¦", &[], &["steps"]),
            ("recover(m, d, #{lora: #{¦", &["rank", "alpha", "targets"], &["steps"]),
            ("prune(m, t, d).set(#{l¦", &["lr", "lr_floor"], &["lora"]),
            ("prune(m, t, d, #{rule: \"dore¦", &["doremi", "doremi-clipped"], &[]),
            ("prune(m, t, d, #{recompute: ¦", &["true", "false"], &[]),
            ("load_model(\"de¦", &["demo"], &[]),
        ];
        for (code, there, missing) in cases {
            let found = texts(&session, code);
            for text in there {
                assert!(found.iter().any(|f| f == text), "{code}: no {text} in {found:?}");
            }
            for text in missing {
                assert!(found.iter().all(|f| f != text), "{code}: {text} in {found:?}");
            }
        }
        assert!(texts(&session, "// m.¦").is_empty());
        assert_eq!(texts(&session, "prune(¦")[0], "m", "what fits the parameter is first");
    }

    #[test]
    fn candidates_say_what_they_are() {
        let session = session("");
        let steps = &completed(&session, "prune(m, t, d, #{step¦")[0];
        assert!(steps.signature.contains("(300)"), "{steps:?}");
        let save = &completed(&session, "load_model(\"demo\").sav¦")[0];
        assert_eq!(save.signature, "model.save(dir: text) -> text");
    }

    #[test]
    fn files_are_offered_inside_texts() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data.csv"), "").unwrap();
        let typed = format!("{}/da", folder.path().display().to_string().replace('\\', "/"));
        let found = texts(&session(""), &format!("read_csv(\"{typed}¦\")"));
        assert_eq!(found, [format!("{typed}ta.csv"), format!("{typed}ta/")]);
    }

    #[test]
    fn completion_of_a_long_cell_is_quick() {
        let session = session("let x = 1;");
        session.complete("x", 1);
        let code = format!("{}x.", "let a = f(#{b: [1, 2, \"c\"]}); // remark\n".repeat(2000));
        let start = Instant::now();
        session.complete(&code, code.chars().count());
        // 2,000 lines take under 10 ms on an idle machine; tests share their cores with others.
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}
