//! The cells of this session, for `history_request`.
//!
//! Consoles ask for the tail and search in it; `%history`-like tools ask for a range. There is one
//! session, number 1; 0 also means it.

use serde_json::{Value, json};

use super::wire::Incoming;

/// The number of this session in replies.
const SESSION: i64 = 1;

/// One cell that was run.
#[derive(Clone, Debug)]
struct Entry {
    line: u64,
    source: String,
    output: Option<String>,
}

/// The cells of this session, oldest first.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
}

impl History {
    /// Adds a cell with its execution count and the text of its value.
    pub fn push(&mut self, line: u64, source: &str, output: Option<String>) {
        self.entries.push(Entry { line, source: source.to_owned(), output });
    }

    /// Content of `history_reply`. What the request leaves out takes the protocol's default.
    pub fn reply(&self, request: &Incoming) -> Value {
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
                last(self.search(pattern, request.flag("unique", false)), request.number("n"))
            }
            _ => last(self.entries.iter().collect(), request.number("n")),
        };
        let with_output = request.flag("output", false);
        let entries: Vec<Value> = found
            .into_iter()
            .map(|entry| {
                if with_output {
                    json!([SESSION, entry.line, [entry.source, entry.output]])
                } else {
                    json!([SESSION, entry.line, entry.source])
                }
            })
            .collect();
        json!({"status": "ok", "history": entries})
    }

    /// Lines `start..stop` of a session; without `stop`, to its end.
    fn range(&self, session: i64, start: i64, stop: Option<i64>) -> Vec<&Entry> {
        if !matches!(session, 0 | SESSION) {
            return Vec::new();
        }
        let within = |line: i64| line >= start && stop.is_none_or(|stop| line < stop);
        self.entries.iter().filter(|entry| i64::try_from(entry.line).is_ok_and(within)).collect()
    }

    /// Cells that fit a pattern of `*` and `?`; with `unique`, each text once, at its last place.
    fn search(&self, pattern: &str, unique: bool) -> Vec<&Entry> {
        let pattern: Vec<char> = pattern.chars().collect();
        let mut found: Vec<&Entry> = Vec::new();
        for entry in &self.entries {
            let text: Vec<char> = entry.source.chars().collect();
            if fits(&pattern, &text) {
                if unique {
                    found.retain(|earlier| earlier.source != entry.source);
                }
                found.push(entry);
            }
        }
        found
    }
}

/// The last `n`; all when no number is given.
fn last(mut entries: Vec<&Entry>, n: Option<i64>) -> Vec<&Entry> {
    let n = n.map_or(entries.len(), |n| usize::try_from(n).unwrap_or(0));
    entries.split_off(entries.len().saturating_sub(n))
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

    fn lines(request: Value) -> Value {
        let mut history = History::default();
        for (line, source) in (1..).zip(["let a = 1", "a + 1", "print(a)", "a + 1"]) {
            history.push(line, source, (line == 2).then(|| "2".to_owned()));
        }
        let content: Fields = serde_json::from_value(request).unwrap();
        let request = Incoming {
            identities: Vec::new(),
            header: Arc::new(Fields::new()),
            content,
            buffers: Vec::new(),
        };
        history.reply(&request)["history"].clone()
    }

    #[test]
    fn the_tail_is_the_last_cells() {
        let tail = lines(json!({"hist_access_type": "tail", "n": 2, "raw": true}));
        assert_eq!(tail, json!([[1, 3, "print(a)"], [1, 4, "a + 1"]]));
        let with_output = lines(json!({"hist_access_type": "tail", "n": 3, "output": true}));
        assert_eq!(with_output[0], json!([1, 2, ["a + 1", "2"]]));
        assert_eq!(with_output[1], json!([1, 3, ["print(a)", null]]));
    }

    #[test]
    fn a_range_ends_before_its_stop() {
        let range =
            lines(json!({"hist_access_type": "range", "session": 1, "start": 1, "stop": 3}));
        assert_eq!(range, json!([[1, 1, "let a = 1"], [1, 2, "a + 1"]]));
        let other =
            lines(json!({"hist_access_type": "range", "session": 7, "start": 1, "stop": 3}));
        assert_eq!(other, json!([]));
    }

    #[test]
    fn a_search_without_number_or_unique_is_answered() {
        let all = lines(json!({"hist_access_type": "search", "pattern": "a*"}));
        assert_eq!(all, json!([[1, 2, "a + 1"], [1, 4, "a + 1"]]));
        let once = lines(json!({"hist_access_type": "search", "pattern": "a*", "unique": true}));
        assert_eq!(once, json!([[1, 4, "a + 1"]]));
        let one = lines(json!({"hist_access_type": "search", "pattern": "*", "n": 1}));
        assert_eq!(one, json!([[1, 4, "a + 1"]]));
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
