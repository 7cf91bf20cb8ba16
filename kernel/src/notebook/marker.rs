//! The line a cell of a script begins with: `// %% TITLE [markdown] key=value ...`.
//!
//! The form is that of the "percent" scripts that Jupytext, Spyder and VS Code know. Keys are metadata
//! of the cell and values are JSON; `id` and `attachments` are the fields of that name. The title is the
//! metadata `title`. What does not read as a key or a kind belongs to the title, so no line is wrong.

use serde_json::{Map, Value};

use super::file::{Cell, Kind};

/// The key that holds metadata whose names are no plain words.
const METADATA: &str = "metadata";

/// What stands behind `// %%`, or none for a line that begins no cell.
pub fn of_line(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("//")?.trim_start_matches([' ', '\t']).strip_prefix("%%")?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim())
}

/// Reads what stands behind `// %%`: a cell without its text.
pub fn read(rest: &str) -> Cell {
    // The first place from which the rest reads as kind and keys; before it is the title.
    let starts = rest.char_indices().filter(|(i, c)| {
        !c.is_whitespace() && (*i == 0 || rest[..*i].ends_with(char::is_whitespace))
    });
    for (start, _) in starts {
        if let Some(cell) = kind_and_keys(&rest[start..]) {
            return with_title(cell, rest[..start].trim());
        }
    }
    with_title(Cell::new(Kind::Code, ""), rest)
}

fn with_title(mut cell: Cell, title: &str) -> Cell {
    if !title.is_empty() {
        cell.metadata.insert("title".into(), Value::from(title));
    }
    cell
}

fn kind_and_keys(text: &str) -> Option<Cell> {
    let (kind, mut rest) = match text.strip_prefix('[').and_then(|t| t.split_once(']')) {
        Some(("markdown" | "md", rest)) => (Kind::Markdown, rest),
        Some(("raw", rest)) => (Kind::Raw, rest),
        Some(("code", rest)) => (Kind::Code, rest),
        Some(_) => return None,
        None => (Kind::Code, text),
    };
    let mut cell = Cell::new(kind, "");
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(cell);
        }
        let (key, behind) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<Value>();
        let value = values.next()?.ok()?;
        rest = &behind[values.byte_offset()..];
        if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
            return None;
        }
        match (key, value) {
            ("id", Value::String(id)) => cell.id = id,
            ("attachments", value) => cell.attachments = Some(value),
            (METADATA, Value::Object(map)) => cell.metadata.extend(map),
            (key, value) if is_plain(key) => drop(cell.metadata.insert(key.into(), value)),
            _ => return None,
        }
    }
}

/// A key that can stand alone on the line.
fn is_plain(key: &str) -> bool {
    !matches!(key, "id" | "attachments" | METADATA)
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The line of a cell; its id is left out where the reader gives it the same.
pub fn write(cell: &Cell, with_id: bool) -> String {
    let (mut keys, mut others, mut title) = (String::new(), Map::new(), None);
    for (key, value) in &cell.metadata {
        match value {
            Value::String(text) if key == "title" => title = Some(text),
            _ if is_plain(key) => keys.push_str(&format!(" {key}={value}")),
            _ => drop(others.insert(key.clone(), value.clone())),
        }
    }
    if let Some(attachments) = &cell.attachments {
        keys.push_str(&format!(" attachments={attachments}"));
    }
    if !others.is_empty() {
        keys.push_str(&format!(" {METADATA}={}", Value::Object(others)));
    }
    if with_id {
        keys.push_str(&format!(" id={}", Value::from(cell.id.as_str())));
    }
    let kind = match cell.kind {
        Kind::Code => String::new(),
        kind => format!(" [{}]", kind.name()),
    };
    let Some(title) = title else { return format!("// %%{kind}{keys}") };
    let plain = format!("// %% {title}{kind}{keys}");
    let back = of_line(&plain).map(read);
    // A title that would be read as something else is written as a key.
    let same = !title.contains('\n')
        && back.is_some_and(|back| {
            let id = if with_id { cell.id.as_str() } else { "" };
            back.kind == cell.kind
                && back.id == id
                && back.metadata == cell.metadata
                && back.attachments == cell.attachments
        });
    if same { plain } else { format!("// %%{kind} title={}{keys}", Value::from(title.as_str())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_remark_with_two_percent_signs_and_a_blank_begins_a_cell() {
        assert_eq!(of_line("// %%"), Some(""));
        assert_eq!(of_line("//%% a  "), Some("a"));
        assert_eq!(of_line("// %% [markdown]\r"), Some("[markdown]"));
        for line in ["// %%time", "// % a", " // %% a", "let a = 1; // %% a", "// // %% a", "%% a"]
        {
            assert_eq!(of_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_line_gives_title_kind_tags_and_id() {
        let cell = read("How it ends [markdown] tags=[\"a\", \"b\"] id=\"x-1\" n=2.5");
        assert_eq!((cell.kind, cell.id.as_str()), (Kind::Markdown, "x-1"));
        assert!(cell.has_tag("b"));
        assert_eq!(cell.metadata["title"], "How it ends");
        assert_eq!(cell.metadata["n"], 2.5);
        let cell = read("a = b, [not a kind] tags=[");
        assert_eq!(cell.metadata["title"], "a = b, [not a kind] tags=[");
        assert_eq!(cell.kind, Kind::Code);
    }

    #[test]
    fn a_title_that_looks_like_a_key_comes_back() {
        for title in ["a", "[raw]", "x=1", " a", "a\nb", "", "a [markdown] b", "%% x", "a  b"] {
            let mut cell = Cell::new(Kind::Raw, "");
            cell.metadata.insert("title".into(), title.into());
            cell.metadata.insert("a b".into(), 1.into());
            let line = write(&cell, false);
            assert_eq!(read(of_line(&line).unwrap()), cell, "{line}");
        }
    }
}
