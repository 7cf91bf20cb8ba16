//! evcxr's markers among what a cell prints.
//!
//! evcxr speaks with the code of a cell through lines on its stdout, and knows a line only as a whole:
//! text printed before a marker hides it. Here a marker is found wherever it stands; what is not one is
//! text and goes on at once, with or without a newline.

use crate::frames::Frame;

/// What every marker begins with.
const START: &[u8] = b"EVCXR_";
const BEGIN: &[u8] = b"EVCXR_BEGIN_CONTENT ";
const END: &[u8] = b"EVCXR_END_CONTENT";

/// Markers that are a line: the line's beginning, and what it stands for.
const LINES: [(&[u8], Line); 5] = [
    (b"EVCXR_EXECUTION_COMPLETE", Line::Complete),
    (b"EVCXR_PANIC_NOTIFICATION", Line::Panicked),
    (b"EVCXR_ERROR_OCCURRED", Line::Returned),
    (b"EVCXR_VARIABLE_CHANGED_TYPE:", Line::Other),
    (b"EVCXR_INPUT_REQUEST", Line::Other),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Complete,
    Panicked,
    Returned,
    Other,
}

/// What was found, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// For the host.
    Say(Frame),
    /// A whole line for evcxr, with its newline.
    Marker(Vec<u8>),
    /// The line that ends a cell, for evcxr.
    Complete(Vec<u8>),
}

/// Takes stdout as it comes and finds the markers in it.
#[derive(Debug, Default)]
pub struct Markers {
    held: Vec<u8>,
    /// A content has begun and not ended.
    inside: bool,
    /// The newline after the last marker has not come yet.
    newline_due: bool,
}

impl Markers {
    /// Takes the next bytes and gives what can be told of them.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.held.extend_from_slice(bytes);
        let mut found = Vec::new();
        loop {
            if self.newline_due && !self.held.is_empty() {
                self.newline_due = false;
                if self.held[0] == b'\n' {
                    self.held.remove(0);
                }
            }
            let more = if self.inside { self.content(&mut found) } else { self.text(&mut found) };
            if !more {
                return found;
            }
        }
    }

    /// Reads text up to the next marker. False when more bytes are needed.
    fn text(&mut self, found: &mut Vec<Found>) -> bool {
        let Some(at) = position(&self.held, START) else {
            let keep = begun(&self.held, START);
            let text: Vec<u8> = self.held.drain(..self.held.len() - keep).collect();
            say_text(found, text);
            return false;
        };
        say_text(found, self.held.drain(..at).collect());
        let end = self.held.iter().position(|b| *b == b'\n');
        let line = &self.held[..end.unwrap_or(self.held.len())];
        let known = line.starts_with(BEGIN) || LINES.iter().any(|(m, _)| line.starts_with(m));
        if !known {
            let open = BEGIN.starts_with(line) || LINES.iter().any(|(m, _)| m.starts_with(line));
            if end.is_none() && open {
                return false;
            }
            say_text(found, self.held.drain(..START.len()).collect());
            return true;
        }
        let Some(end) = end else { return false };
        let line: Vec<u8> = self.held.drain(..=end).collect();
        if let Some(mime) = line.strip_prefix(BEGIN) {
            let mime = String::from_utf8_lossy(mime).trim().to_owned();
            found.push(Found::Say(Frame::Begin(mime)));
            self.inside = true;
            return true;
        }
        match LINES.iter().find(|(m, _)| line.starts_with(m)).map(|(_, kind)| *kind) {
            Some(Line::Complete) => found.push(Found::Complete(line)),
            Some(Line::Panicked) => {
                found.push(Found::Say(Frame::Panicked));
                found.push(Found::Marker(line));
            }
            Some(Line::Returned) => {
                found.push(Found::Say(Frame::Returned));
                found.push(Found::Marker(line));
            }
            _ => found.push(Found::Marker(line)),
        }
        true
    }

    /// Reads a content up to its end. False when more bytes are needed.
    fn content(&mut self, found: &mut Vec<Found>) -> bool {
        let end = position(&self.held, END);
        // A panic while a content was written ends it.
        let panic = position(&self.held, LINES[1].0);
        let over = position(&self.held, LINES[0].0);
        let first = [end, panic, over].into_iter().flatten().min();
        let Some(at) = first else {
            // A marker may have begun, and the newline before it belongs to it.
            let keep = LINES[0].0.len().max(LINES[1].0.len()) + 1;
            if self.held.len() > keep {
                let part: Vec<u8> = self.held.drain(..self.held.len() - keep).collect();
                found.push(Found::Say(Frame::Part(part)));
            }
            return false;
        };
        let mut body: Vec<u8> = self.held.drain(..at).collect();
        if body.last() == Some(&b'\n') {
            body.pop();
        }
        if !body.is_empty() {
            found.push(Found::Say(Frame::Part(body)));
        }
        found.push(Found::Say(Frame::End));
        self.inside = false;
        if Some(at) == end {
            self.held.drain(..END.len());
            self.newline_due = true;
        }
        true
    }
}

fn say_text(found: &mut Vec<Found>, text: Vec<u8>) {
    if !text.is_empty() {
        found.push(Found::Say(Frame::Text(text)));
    }
}

/// Where `word` stands in `bytes`.
fn position(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|w| w == word)
}

/// How many of the last bytes may be the beginning of `word`.
fn begun(bytes: &[u8], word: &[u8]) -> usize {
    (1..word.len().min(bytes.len() + 1)).rev().find(|n| bytes.ends_with(&word[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in text that comes in pieces of `size`, with neighbours of one kind joined.
    fn found(text: &str, size: usize) -> Vec<Found> {
        let mut markers = Markers::default();
        let mut all: Vec<Found> = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            for one in markers.take(piece) {
                match (all.last_mut(), &one) {
                    (Some(Found::Say(Frame::Text(a))), Found::Say(Frame::Text(b)))
                    | (Some(Found::Say(Frame::Part(a))), Found::Say(Frame::Part(b))) => {
                        a.extend_from_slice(b);
                    }
                    _ => all.push(one),
                }
            }
        }
        all
    }

    fn text(text: &str) -> Found {
        Found::Say(Frame::Text(text.as_bytes().to_vec()))
    }

    #[test]
    fn a_marker_behind_text_on_its_line_is_found_however_the_bytes_come() {
        let said = "10 %\r20 %EVCXR_EXECUTION_COMPLETE\n";
        for size in 1..said.len() {
            let expected =
                [text("10 %\r20 %"), Found::Complete(b"EVCXR_EXECUTION_COMPLETE\n".to_vec())];
            assert_eq!(found(said, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn contents_come_in_order_without_their_last_newline() {
        let said = "a\nEVCXR_BEGIN_CONTENT text/html\n<b>1</b>\n\n2\nEVCXR_END_CONTENT\nb\
                    EVCXR_BEGIN_CONTENT text/html\nEVCXR_END_CONTENTc";
        for size in 1..said.len() {
            let begin = || Found::Say(Frame::Begin("text/html".into()));
            let expected = [
                text("a\n"),
                begin(),
                Found::Say(Frame::Part(b"<b>1</b>\n\n2".to_vec())),
                Found::Say(Frame::End),
                text("b"),
                begin(),
                Found::Say(Frame::End),
                text("c"),
            ];
            assert_eq!(found(said, size), expected, "pieces of {size}");
        }
    }

    #[test]
    fn what_only_looks_like_a_marker_is_text_and_evcxr_hears_its_own_lines() {
        assert_eq!(found("EVCXR_NOTHING\n", 3), [text("EVCXR_NOTHING\n")]);
        let asked = "name? EVCXR_INPUT_REQUEST:name\n";
        let expected = [text("name? "), Found::Marker(b"EVCXR_INPUT_REQUEST:name\n".to_vec())];
        assert_eq!(found(asked, 4), expected);
        let panicked = found("EVCXR_PANIC_NOTIFICATION\n", 9);
        assert_eq!(panicked[0], Found::Say(Frame::Panicked));
        assert_eq!(panicked[1], Found::Marker(b"EVCXR_PANIC_NOTIFICATION\n".to_vec()));
    }

    #[test]
    fn a_panic_or_the_end_of_the_cell_ends_an_open_content() {
        let said = "EVCXR_BEGIN_CONTENT text/html\n<b>\nEVCXR_EXECUTION_COMPLETE\n";
        let all = found(said, 7);
        assert_eq!(all[2], Found::Say(Frame::End));
        assert!(matches!(all[3], Found::Complete(_)));
    }
}
