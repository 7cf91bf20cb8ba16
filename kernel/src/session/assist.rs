//! Whether code is complete, and what is at the cursor: names and types without their values.

use std::sync::{Arc, OnceLock};

use rhai::{Dynamic, Engine, LexError, Map, ParseErrorType, Position};

use super::cursor::{self, Around, Chain, Link, Place, Read};
use super::{Display, Session};
use crate::jupyter::Completeness;
use crate::script::help::{self, Catalog};
use crate::script::option_list::{KnownOption, OptionList};
use crate::script::reference::{self, Function, script_type};

/// The longest name that is looked up, in bytes: nobody writes a longer one by hand.
const LONGEST: usize = 200;

/// The most keys of a map that are remembered.
const KEYS: usize = 200;

/// Whether a place lies behind the last character of the code.
fn past_end(code: &str, place: Position) -> bool {
    let code = code.trim_end();
    let (lines, last) = (code.lines().count(), code.lines().next_back().unwrap_or_default());
    match (place.line(), place.position()) {
        (Some(line), Some(column)) => {
            line > lines || (line == lines && column > last.chars().count())
        }
        _ => true,
    }
}

/// A variable as it can be known without its value.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its type, as scripts name it.
    pub kind: String,
    /// The keys of a map.
    pub keys: Vec<String>,
}

/// What can be known of code without running it: the language, and the names and types of variables.
/// It holds no value, so it answers while a cell works on them.
#[derive(Clone)]
pub struct Names {
    rhai: Arc<Engine>,
    catalog: Arc<OnceLock<Catalog>>,
    /// Variables, each name once.
    pub(super) variables: Vec<Variable>,
    /// Functions that cells have defined.
    pub(super) defined: Vec<Function>,
}

impl Session {
    /// The names as they are now.
    pub fn names(&self) -> Names {
        let mut variables: Vec<Variable> = Vec::new();
        // The raw values: everything else would copy them, and there may be millions.
        for (name, _, value) in self.scope().iter_raw() {
            if !variables.iter().any(|v| v.name == name) {
                let kind = script_type(self.rhai().map_type_name(value.type_name()));
                variables.push(Variable { name: name.to_string(), kind, keys: keys(value) });
            }
        }
        Names {
            rhai: self.rhai().clone(),
            catalog: self.catalog().clone(),
            variables,
            defined: reference::defined(self.library()),
        }
    }

    /// Whether code can run as it stands or waits for more lines.
    pub fn completeness(&self, code: &str) -> Completeness {
        completeness(self.rhai(), code)
    }

    /// Help for what is at the cursor: of a variable its value; with `more`, what can be done with it.
    pub fn inspect(&self, code: &str, cursor: usize, more: bool) -> Option<Display> {
        let names = self.names();
        let name = variable_at(code, cursor)?;
        let found = name.and_then(|name| {
            let (_, _, value) = self.scope().iter_raw().find(|(n, ..)| *n == name)?;
            let mut shown = crate::script::display(value).ok()?;
            if more {
                let kind = script_type(self.rhai().map_type_name(value.type_name()));
                let methods = names.catalog().of_type(&kind);
                shown.text = format!("{}\n\n{}", shown.text, methods.text);
                let markdown = shown.markdown.take().unwrap_or_default();
                shown.markdown = methods.markdown.map(|m| format!("{markdown}\n\n{m}"));
                // A page of HTML would hide the list.
                shown.html = None;
            }
            Some(shown)
        });
        found.or_else(|| names.inspect(code, cursor, more))
    }
}

fn keys(value: &Dynamic) -> Vec<String> {
    let Some(map) = value.read_lock::<Map>() else { return Vec::new() };
    map.keys().take(KEYS).map(ToString::to_string).collect()
}

/// The cursor moved to the end of the word it stands in; none when that is no name.
fn word_end(code: &str, cursor: usize) -> Option<usize> {
    let rest = code.chars().skip(cursor).take_while(|c| cursor::is_name(*c)).count();
    (rest <= LONGEST).then_some(cursor + rest)
}

/// The name at the cursor when it may be a variable's. The outer none: the word is too long.
fn variable_at(code: &str, cursor: usize) -> Option<Option<String>> {
    match cursor::read(code, word_end(code, cursor)?).place {
        Place::Word { word, .. } if !word.is_empty() => Some(Some(word)),
        _ => Some(None),
    }
}

/// Whether code can run as it stands or waits for more lines.
fn completeness(rhai: &Engine, code: &str) -> Completeness {
    let Err(error) = rhai.compile(code) else { return Completeness::Complete };
    let open = match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        // A text between backticks may go on; one between quotes ends with its line.
        ParseErrorType::BadInput(LexError::UnterminatedString) => {
            !code.matches('`').count().is_multiple_of(2)
        }
        // The parser ran out of code: what it still wants may stand on the next line.
        _ => past_end(code, error.position()),
    };
    if open { Completeness::Incomplete { indent: "    ".into() } } else { Completeness::Invalid }
}

impl Names {
    /// As [`Session::completeness`].
    pub fn completeness(&self, code: &str) -> Completeness {
        completeness(&self.rhai, code)
    }

    /// Every function, described once a session.
    pub(super) fn catalog(&self) -> &Catalog {
        self.catalog.get_or_init(|| Catalog::new(&self.rhai))
    }

    /// A variable by its name.
    pub(super) fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.name == name)
    }

    /// The type of a chain, as far as it can be known without running it.
    pub(super) fn type_of(&self, chain: &Chain, read: &Read) -> Option<String> {
        self.type_within(chain, read, 8)
    }

    /// `depth` bounds how many variables are followed to what they were given.
    fn type_within(&self, chain: &Chain, read: &Read, depth: usize) -> Option<String> {
        let (first, rest) = chain.split_first()?;
        let mut kind = match first {
            Link::Name(name) => read
                .given(name)
                .filter(|given| depth > 0 && given != chain)
                .and_then(|given| self.type_within(&given, read, depth - 1))
                .or_else(|| self.variable(name).map(|v| v.kind.clone()))?,
            Link::Call(name) => self.gives(None, name)?,
            Link::Value(kind) => kind.to_string(),
            Link::Element => return None,
        };
        for link in rest {
            kind = match link {
                Link::Call(name) | Link::Name(name) => self.gives(Some(&kind), name)?,
                Link::Value(_) | Link::Element => return None,
            };
        }
        (kind != "any").then_some(kind)
    }

    /// The type that a function gives.
    fn gives(&self, of: Option<&str>, name: &str) -> Option<String> {
        let f = self.catalog().all().find(|f| f.method_of() == of && f.name == name)?;
        Some(f.returns.clone()).filter(|kind| !kind.is_empty())
    }

    /// The functions that a call may mean.
    pub(super) fn called(&self, call: &Around, read: &Read) -> Vec<&Function> {
        let Around::Call { name, of, method, .. } = call else { return Vec::new() };
        let kind = of.as_ref().and_then(|chain| self.type_of(chain, read));
        let fits = |f: &&Function| {
            let on = f.method_of();
            f.name == *name
                && match (method, &kind) {
                    (false, _) => on.is_none(),
                    (true, Some(kind)) => on == Some(kind.as_str()),
                    (true, None) => on.is_some(),
                }
        };
        let ours: Vec<&Function> = self.catalog().functions.iter().filter(fits).collect();
        if ours.is_empty() { self.catalog().language.iter().filter(fits).collect() } else { ours }
    }

    /// The options that the innermost map around the cursor has, if it is one of options.
    pub(super) fn options(&self, around: &[Around], read: &Read) -> Option<&'static OptionList> {
        let (Around::Map { .. }, outer) = around.split_first()? else { return None };
        match outer.first()? {
            call @ Around::Call { .. } => {
                self.called(call, read).into_iter().find_map(Function::options)
            }
            Around::Map { key, .. } => {
                self.options(outer, read)?.get(key.as_ref()?)?.takes.inside()
            }
            Around::Other => None,
        }
    }

    /// The option whose value is written at the cursor, and whether inside an array.
    pub(super) fn option(&self, around: &[Around], read: &Read) -> Option<KnownOption> {
        let map = match around.first()? {
            Around::Other => &around[1..],
            _ => around,
        };
        let Around::Map { key: Some(key), .. } = map.first()? else { return None };
        self.options(map, read)?.get(key)
    }

    /// Help for what is at the cursor; of a variable only its type, as its value may be at work.
    pub fn inspect(&self, code: &str, cursor: usize, more: bool) -> Option<Display> {
        let read = cursor::read(code, word_end(code, cursor)?);
        let around = read.around();
        match &read.place {
            Place::Member { of, word, .. } if !word.is_empty() => {
                let kind = of.as_ref().and_then(|chain| self.type_of(chain, &read));
                let name = kind.map_or_else(|| word.clone(), |kind| format!("{kind}.{word}"));
                self.catalog().help(&name, more).or_else(|_| self.catalog().help(word, more)).ok()
            }
            Place::Key { word, .. } => {
                let list = self.options(&around, &read);
                match list.and_then(|list| Some((list.of, list.get(word)?))) {
                    Some((of, option)) => Some(help::of_option(of, option)),
                    None => self.of_call(&around, &read, more),
                }
            }
            Place::Word { word, .. } | Place::Member { word, .. } if !word.is_empty() => {
                if let Some(variable) = self.variable(word) {
                    return Some(self.of_variable(variable, more));
                }
                let own: Vec<&Function> = self.defined.iter().filter(|f| f.name == *word).collect();
                if !own.is_empty() {
                    return Some(self.catalog().of_functions(word, &own, more));
                }
                if let Some(option) = self.option(&around, &read)
                    && ["true", "false"].contains(&word.as_str())
                {
                    return Some(help::of_option("", option));
                }
                self.catalog().help(word, more).ok()
            }
            Place::Text { .. } => match self.option(&around, &read) {
                Some(option) => Some(help::of_option("the call", option)),
                None => self.of_call(&around, &read, more),
            },
            Place::Word { .. } | Place::Member { .. } => self.of_call(&around, &read, more),
            Place::Remark => None,
        }
    }

    /// Help on the call that the cursor stands in.
    fn of_call(&self, around: &[Around], read: &Read, more: bool) -> Option<Display> {
        let call = around.iter().find(|a| matches!(a, Around::Call { .. }))?;
        let found = self.called(call, read);
        let Around::Call { name, .. } = call else { return None };
        if !found.is_empty() {
            return Some(self.catalog().of_functions(name, &found, more));
        }
        let own: Vec<&Function> = self.defined.iter().filter(|f| f.name == *name).collect();
        (!own.is_empty()).then(|| self.catalog().of_functions(name, &own, more))
    }

    fn of_variable(&self, variable: &Variable, more: bool) -> Display {
        let Variable { name, kind, .. } = variable;
        let text = format!("{name}: {kind} (its value is shown when the cell has ended)");
        match more {
            true => Display::text(format!("{text}\n\n{}", self.catalog().of_type(kind).text)),
            false => Display::text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::session::{HostOptions, Quiet};

    fn session(code: &str) -> Session {
        let mut session = Session::new(HostOptions::default(), Arc::new(Quiet));
        session.run("cell 1", code);
        session
    }

    /// Help where the mark `¦` stands.
    fn inspected(session: &Session, code: &str, more: bool) -> String {
        let (before, after) = code.split_once('¦').unwrap();
        let found = session.inspect(&format!("{before}{after}"), before.chars().count(), more);
        found.map_or(String::new(), |shown| shown.text)
    }

    #[test]
    fn code_that_stops_too_early_waits_for_more_and_wrong_code_does_not() {
        let session = session("");
        for code in ["1 + 1", "let x = 3;", "fn f() { 1 }", "// a remark"] {
            assert_eq!(session.completeness(code), Completeness::Complete, "{code}");
        }
        let open = [
            "fn f() {",
            "let x = [1,",
            "f(1,",
            "#{a: 1,",
            "1 +",
            "if true {\n  1\n",
            "let t = `a\n",
        ];
        for code in open {
            let said = session.completeness(code);
            assert!(matches!(said, Completeness::Incomplete { .. }), "{code}: {said:?}");
        }
        for code in ["let = 3;", "let x = ;", "let t = \"a", "1 + ) 2\n3"] {
            assert_eq!(session.completeness(code), Completeness::Invalid, "{code}");
        }
    }

    #[test]
    fn help_is_about_what_the_cursor_stands_on_or_in() {
        let session =
            session("/// Twice.\nfn twice(x) { 2 * x }\nlet m = new_model(#{layers: 1});");
        for (code, said) in [
            ("pru¦ne", "prune(model: Model"),
            ("prune(¦", "prune(model: Model"),
            ("prune(m, t, d, #{¦", "prune(model: Model"),
            ("prune(m, t, d, #{ste¦ps: 3})", "option of prune\n  steps: a whole number (300)"),
            ("prune(m, t, d, #{rule: \"dor¦", "\"doremi-clipped\""),
            ("recover(m, d, #{lora: #{ra¦nk: 2", "option of lora\n  rank"),
            ("m.gener¦ate(\"a\")", "model.generate("),
            ("m.magnitude_cut(t).sa¦ve", "model.save("),
            ("twi¦ce(1)", "Twice."),
            ("m¦", "layers"),
            ("let t = \"a\"; t.to_upp¦er()", "to_upper"),
        ] {
            let text = inspected(&session, code, false);
            assert!(text.contains(said), "{code}: {text}");
        }
        assert_eq!(inspected(&session, "// pru¦ne", false), "");
        assert_eq!(inspected(&session, "nobody_knows¦", false), "");
        assert!(inspected(&session, "m¦", true).contains("model.generate("));
        assert!(inspected(&session, "m.sa¦ve", false).len() < 1200);
    }
}
