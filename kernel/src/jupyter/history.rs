//! The cells of this session and of earlier ones, for `history_request`.
//!
//! Consoles ask for the tail and search in it; `%history`-like tools ask for a range. Sessions have
//! numbers that grow; 0 means this one, -1 the one before it. Where nothing can be kept there is one
//! session, number 0.

use serde_json::{Value, json};

use super::archive::{Archive, Entry};
use super::log;
use super::wire::Incoming;

/// The longest code or value that is kept, in bytes.
const LONGEST: usize = 64 << 10;

/// A cell with the number of its session.
type Found = (i64, Entry);

/// The cells of this session, oldest first, and the archive of all.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    archive: Archive,
}

impl History {
    /// The history of a session that begins.
    pub fn new(archive: Archive) -> Self {
        Self { entries: Vec::new(), archive }
    }

    /// Adds a cell with its execution count and the text of its value.
    pub fn push(&mut self, line: u64, source: &str, output: Option<String>) {
        let entry =
            Entry { line, source: beginning(source), output: output.as_deref().map(beginning) };
        if let Err(error) = self.archive.keep(&entry) {
            log(format_args!("the history is kept in memory only: {error}"));
            self.archive = Archive::default();
        }
        self.entries.push(entry);
    }

    /// Content of `history_reply`. What the request leaves out takes the protocol's default.
    pub fn reply(&self, request: &Incoming) -> Value {
        let n = request.number("n").map(|n| usize::try_from(n).unwrap_or(0));
        let found = match request.text("hist_access_type") {
            "range" => self.range(
                request.number("session").unwrap_or(0),
                request.number("start").unwrap_or(0),
                request.number("stop"),
            ),
            "search" => {
                let pattern = match request.text("pattern") {
                    "" => "*",
                    pattern => pattern,
                };
                let pattern: Vec<char> = pattern.chars().collect();
                let fitting =
                    |entry: &Entry| fits(&pattern, &entry.source.chars().collect::<Vec<char>>());
                self.last(n, fitting, request.flag("unique", false))
            }
            _ => self.last(n, |_| true, false),
        };
        let with_output = request.flag("output", false);
        let entries: Vec<Value> = found
            .into_iter()
            .map(|(session, entry)| {
                if with_output {
                    json!([session, entry.line, [entry.source, entry.output]])
                } else {
                    json!([session, entry.line, entry.source])
                }
            })
            .collect();
        json!({"status": "ok", "history": entries})
    }

    /// Lines `start..stop` of a session; without `stop`, to its end.
    fn range(&self, session: i64, start: i64, stop: Option<i64>) -> Vec<Found> {
        let own = self.archive.own_session();
        let wanted = match session {
            0 => own,
            session if session < 0 => {
                let earlier = self.archive.earlier();
                let back = usize::try_from(session.unsigned_abs()).unwrap_or(usize::MAX);
                match earlier.len().checked_sub(back) {
                    Some(at) => earlier[at],
                    None => return Vec::new(),
                }
            }
            session => session,
        };
        let entries = if wanted == own { self.entries.clone() } else { self.archive.read(wanted) };
        let within = |line: i64| line >= start && stop.is_none_or(|stop| line < stop);
        let fitting = |entry: &Entry| i64::try_from(entry.line).is_ok_and(within);
        entries.into_iter().filter(fitting).map(|entry| (wanted, entry)).collect()
    }

    /// The last `n` cells that fit, oldest first; all when no number is given. With
    /// `unique`, each text once, at its last place.
    fn last(&self, n: Option<usize>, fitting: impl Fn(&Entry) -> bool, unique: bool) -> Vec<Found> {
        let wanted = n.unwrap_or(usize::MAX);
        let mut found: Vec<Found> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut take = |session: i64, entries: &[Entry]| {
            for entry in entries.iter().rev().filter(|entry| fitting(entry)) {
                if found.len() == wanted {
                    break;
                }
                if !unique || seen.insert(entry.source.clone()) {
                    found.push((session, entry.clone()));
                }
            }
            found.len() < wanted
        };
        if take(self.archive.own_session(), &self.entries) {
            for session in self.archive.earlier().into_iter().rev() {
                if !take(session, &self.archive.read(session)) {
                    break;
                }
            }
        }
        found.reverse();
        found
    }
}

/// A text, or the beginning of one nobody wants to scroll back to.
fn beginning(text: &str) -> String {
    match text.len() {
        0..=LONGEST => text.to_owned(),
        _ => format!("{} ...", &text[..text.floor_char_boundary(LONGEST)]),
    }
}

/// Whether the whole text fits a pattern in which `*` is any text and `?` any character.
///
/// Keeps only the last `*` to go back to, so the time is at most pattern times text.
fn fits(pattern: &[char], text: &[char]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jupyter::wire::Fields;

    const CELLS: [&str; 4] = ["let a = 1", "a + 1", "print(a)", "a + 1"];

    fn ask(history: &History, request: Value) -> Value {
        let content: Fields = serde_json::from_value(request).unwrap();
        let request = Incoming {
            identities: Vec::new(),
            header: Arc::new(Fields::new()),
            content,
            buffers: Vec::new(),
        };
        history.reply(&request)["history"].clone()
    }

    fn filled(archive: Archive) -> History {
        let mut history = History::new(archive);
        for (line, source) in (1..).zip(CELLS) {
            history.push(line, source, (line == 2).then(|| "2".to_owned()));
        }
        history
    }

    fn lines(request: Value) -> Value {
        ask(&filled(Archive::default()), request)
    }

    #[test]
    fn the_tail_is_the_last_cells() {
        let tail = lines(json!({"hist_access_type": "tail", "n": 2, "raw": true}));
        assert_eq!(tail, json!([[0, 3, "print(a)"], [0, 4, "a + 1"]]));
        let with_output = lines(json!({"hist_access_type": "tail", "n": 3, "output": true}));
        assert_eq!(with_output[0], json!([0, 2, ["a + 1", "2"]]));
        assert_eq!(with_output[1], json!([0, 3, ["print(a)", null]]));
    }

    #[test]
    fn a_range_ends_before_its_stop() {
        let range =
            lines(json!({"hist_access_type": "range", "session": 0, "start": 1, "stop": 3}));
        assert_eq!(range, json!([[0, 1, "let a = 1"], [0, 2, "a + 1"]]));
        let other =
            lines(json!({"hist_access_type": "range", "session": 7, "start": 1, "stop": 3}));
        assert_eq!(other, json!([]));
    }

    #[test]
    fn a_search_without_number_or_unique_is_answered() {
        let all = lines(json!({"hist_access_type": "search", "pattern": "a*"}));
        assert_eq!(all, json!([[0, 2, "a + 1"], [0, 4, "a + 1"]]));
        let once = lines(json!({"hist_access_type": "search", "pattern": "a*", "unique": true}));
        assert_eq!(once, json!([[0, 4, "a + 1"]]));
        let one = lines(json!({"hist_access_type": "search", "pattern": "*", "n": 1}));
        assert_eq!(one, json!([[0, 4, "a + 1"]]));
        assert_eq!(lines(json!({"hist_access_type": "search", "n": 0})), json!([]));
    }

    #[test]
    fn of_a_very_long_cell_the_beginning_is_kept() {
        let mut history = History::default();
        history.push(1, &"é".repeat(LONGEST), Some("x".repeat(LONGEST + 1)));
        let tail = ask(&history, json!({"hist_access_type": "tail", "n": 1, "output": true}));
        let kept = |i: usize| tail[0][2][i].as_str().unwrap().len();
        assert_eq!((kept(0), kept(1)), (LONGEST + 4, LONGEST + 4));
    }

    #[test]
    fn earlier_sessions_are_found_by_tail_range_and_search() {
        let folder = tempfile::tempdir().unwrap();
        let archive = || Archive::new(Some(folder.path().to_owned()));
        drop(filled(archive()));
        let mut history = History::new(archive());
        let before = ask(&history, json!({"hist_access_type": "tail", "n": 1}));
        assert_eq!(before, json!([[1, 4, "a + 1"]]), "before the first cell");
        history.push(1, "b", None);
        let tail = ask(&history, json!({"hist_access_type": "tail", "n": 2}));
        assert_eq!(tail, json!([[1, 4, "a + 1"], [2, 1, "b"]]));
        let range = json!({"hist_access_type": "range", "session": -1, "start": 2, "stop": 3});
        assert_eq!(ask(&history, range), json!([[1, 2, "a + 1"]]));
        let gone = json!({"hist_access_type": "range", "session": -2, "start": 0});
        assert_eq!(ask(&history, gone), json!([]));
        let search = json!({"hist_access_type": "search", "pattern": "*1", "unique": true});
        assert_eq!(ask(&history, search), json!([[1, 1, "let a = 1"], [1, 4, "a + 1"]]));
    }

    #[test]
    fn patterns_fit_the_whole_text() {
        let fits = |pattern: &str, text: &str| {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            fits(&chars(pattern), &chars(text))
        };
        assert!(fits("*", ""));
        assert!(fits("a?c*", "abcd"));
        assert!(fits("*b*b", "abcbb"));
        assert!(fits("é?", "éa"));
        assert!(!fits("a", "ab"));
        assert!(!fits("", "a"));
    }
}
