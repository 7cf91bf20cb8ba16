//! Compiler errors, drawn at the lines of the cell.

use std::fmt::Write;

use evcxr::CompilationError;
use serde_json::{Value, json};

/// A message at a place of the cell; lines and columns from 1, the end column behind the last character.
#[derive(Clone, Debug)]
struct Mark {
    line: usize,
    columns: (usize, usize),
    label: String,
    primary: bool,
}

/// All errors of a cell, in the form the kernel shows.
pub fn errors(errors: &[CompilationError], code: &str, name: &str) -> Value {
    // Warnings come along; most are about code of earlier cells.
    let mut grave: Vec<&CompilationError> =
        errors.iter().filter(|e| e.level() != "warning").collect();
    if grave.is_empty() {
        grave = errors.iter().collect();
    }
    let errors = grave.as_slice();
    let mut traceback = Vec::new();
    for error in errors {
        traceback.extend(draw(error, code, name).lines().map(String::from));
        traceback.push(String::new());
    }
    traceback.pop();
    let message = match errors {
        [] => "the compiler gave no reason".to_owned(),
        [one] => one.message(),
        [first, rest @ ..] => format!("{} (and {} more)", first.message(), rest.len()),
    };
    json!({"name": "CompileError", "message": message, "traceback": traceback})
}

fn draw(error: &CompilationError, code: &str, name: &str) -> String {
    let mut marks: Vec<Mark> = Vec::new();
    let mut notes = Vec::new();
    for (message, own) in error
        .spanned_messages()
        .iter()
        .map(|m| (m, true))
        .chain(error.help_spanned().iter().map(|m| (m, false)))
    {
        let label = message.label.trim().trim_start_matches("error: ").to_owned();
        match message.span {
            Some(span) if own => {
                let end = if span.end_line == span.start_line {
                    span.end_column
                } else {
                    // A mark over several lines is drawn to the end of its first.
                    usize::MAX
                };
                let label = if label == error.message() { String::new() } else { label };
                marks.push(Mark {
                    line: span.start_line,
                    columns: (span.start_column, end),
                    label,
                    primary: message.is_primary,
                });
            }
            _ if !own && message.span.is_none() && !label.is_empty() => notes.push(label),
            _ => {}
        }
    }
    if marks.is_empty() {
        // The mark is around the cell, on what evcxr puts there to show a value.
        let rendered = error.rendered();
        match around(&rendered, code) {
            Some((mark, said)) => {
                marks.push(mark);
                notes.extend(said);
            }
            // Nothing of it is in the cell: what the compiler drew is all there is.
            None if !rendered.trim().is_empty() => return rendered.trim_end().to_owned(),
            None => {}
        }
    }
    let mut help: Vec<String> = error.help();
    help.extend(error.evcxr_extra_hint().map(String::from));
    if matches!(error.code(), Some("E0384" | "E0596")) {
        help.push("a variable of an earlier cell becomes mutable with `let mut x = x;`".into());
    }
    notes.retain(|note| !help.iter().any(|h| note.contains(h.lines().next().unwrap_or_default())));
    render(error.code(), &error.message(), (code, name), &marks, &notes, &help)
}

/// The mark and the notes of a message that the compiler drew around lines of the cell; none where the drawing
/// shows no line of it.
fn around(rendered: &str, code: &str) -> Option<(Mark, Vec<String>)> {
    let (mut place, mut label, mut notes) = (None, String::new(), Vec::new());
    for drawn in rendered.lines() {
        if let Some(note) = drawn.trim_start().strip_prefix("= ") {
            notes.push(note.to_owned());
            continue;
        }
        let Some((gutter, rest)) = drawn.split_once('|') else { continue };
        if gutter.trim().is_empty() {
            if let Some((_, said)) = rest.rsplit_once('^') {
                label = said.trim().to_owned();
            }
        } else if place.is_none() && gutter.trim().parse::<usize>().is_ok() {
            let text = rest.trim_start_matches([' ', '|', '/']).trim_end();
            let lines = || code.lines().enumerate().filter(|_| !text.is_empty());
            // The value may stand behind something on its line.
            place = lines()
                .find(|(_, line)| line.trim() == text)
                .or_else(|| lines().find(|(_, line)| line.trim_end().ends_with(text)))
                .map(|(at, line)| (at, line.trim_end().len() - text.len(), line));
        }
    }
    let (at, start, line) = place?;
    let column = line[..start].chars().count() + 1;
    let mark = Mark { line: at + 1, columns: (column, usize::MAX), label, primary: true };
    Some((mark, notes))
}

fn render(
    code_of_error: Option<&str>,
    message: &str,
    (code, name): (&str, &str),
    marks: &[Mark],
    notes: &[String],
    help: &[String],
) -> String {
    let mut out = match code_of_error {
        Some(code) => format!("error[{code}]: {message}"),
        None => format!("error: {message}"),
    };
    let lines: Vec<&str> = code.lines().collect();
    let gutter = marks.iter().map(|m| m.line).max().unwrap_or(0).to_string().len();
    if let Some(first) = marks.iter().find(|m| m.primary).or(marks.first()) {
        let _ = write!(
            out,
            "\n{:gutter$}--> {name}, line {}, column {}",
            "", first.line, first.columns.0
        );
    }
    let mut sorted = marks.to_vec();
    sorted.sort_by_key(|m| (m.line, m.columns.0));
    let mut drawn = 0;
    for mark in &sorted {
        let line = lines.get(mark.line.wrapping_sub(1)).copied().unwrap_or_default();
        if mark.line != drawn {
            let _ = write!(out, "\n{:>gutter$} | {}", mark.line, line.replace('\t', " "));
            drawn = mark.line;
        }
        let length = line.chars().count();
        let start = mark.columns.0.clamp(1, length + 1);
        let end = mark.columns.1.clamp(start + 1, (length + 1).max(start + 1));
        let sign = if mark.primary { "^" } else { "-" };
        let _ = write!(
            out,
            "\n{:gutter$} | {:before$}{} {}",
            "",
            "",
            sign.repeat(end - start),
            mark.label,
            before = start - 1
        );
        out.truncate(out.trim_end().len());
    }
    for note in notes {
        let _ = write!(out, "\n{:gutter$} = {}", "", note.replace('\n', "\n    "));
    }
    for text in help {
        let _ = write!(out, "\n{:gutter$} = help: {}", "", text.replace('\n', "\n    "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stands_under_its_word_also_behind_letters_of_two_bytes() {
        let marks = [
            Mark { line: 2, columns: (9, 10), label: "not found".into(), primary: true },
            Mark { line: 1, columns: (1, usize::MAX), label: "here".into(), primary: false },
        ];
        let code = "// äöü\nlet é = x;";
        let drawn =
            render(Some("E0425"), "no `x`", (code, "cell 2"), &marks, &[], &["try `y`".into()]);
        let expected = "error[E0425]: no `x`\n --> cell 2, line 2, column 9\n1 | // äöü\n  | ------ here\n\
                        2 | let é = x;\n  |         ^ not found\n  = help: try `y`";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn a_message_around_the_cell_is_drawn_at_the_line_it_is_around() {
        let drawn = "error: this operation will panic at runtime\n   --> src/lib.rs:129:40\n    |\n\
                     129 |   evcxr_send_text_plain(&format!(\"{:?}\",&(\n    |  ______________________^\n\
                     130 | | 1 / zero\n131 | | )));\n    | |_^ attempt to divide `1_i32` by zero\n    |\n    \
                     = note: `#[deny(unconditional_panic)]` on by default";
        let (mark, notes) = around(drawn, "let zero = 0;\n  1 / zero").expect("a line of the cell");
        assert_eq!((mark.line, mark.columns.0), (2, 3));
        assert_eq!(mark.label, "attempt to divide `1_i32` by zero");
        assert_eq!(notes, ["note: `#[deny(unconditional_panic)]` on by default"]);
        let (mark, _) = around(drawn, "let é = 0; 1 / zero ").expect("a line of the cell");
        assert_eq!((mark.line, mark.columns.0), (1, 12));
        assert!(around(drawn, "something else").is_none());
    }

    #[test]
    fn a_place_outside_the_cell_is_drawn_without_a_panic() {
        let marks = [Mark { line: 9, columns: (80, 3), label: String::new(), primary: true }];
        assert!(
            render(None, "odd", ("x", "cell 1"), &marks, &[], &[]).contains("line 9, column 80")
        );
    }
}
