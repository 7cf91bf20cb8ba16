//! `.rhai` with `// %%` cells: a notebook that an editor and `diff` can read, without outputs.
//!
//! Code stands as it is, prose as remarks. A line of a cell that would be taken for something else gets
//! one more `// ` in front: a line of code that begins a cell or holds a magic (`%who`, `%%time`), so
//! that the file stays a script of the language, and a line of prose that begins with `%%`. Reading takes
//! one away again. Both ways every text comes back as it was (the property test below says so).
//!
//! Metadata of the notebook stand in front, as Jupytext writes them, when they say more than the kernel.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::file::{Cell, Kind, Notebook, id_of_place};
use super::marker;

/// The first and last line of the metadata in front.
const FENCE: &str = "// ---";
/// What the line of metadata begins with.
const JUPYTER: &str = "// jupyter: ";

/// A script with cells: the notebook, and where each cell stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The cells; magics stand without their remark.
    pub notebook: Notebook,
    /// The lines of each cell's text, from 0.
    pub lines: Vec<Range<usize>>,
}

impl Script {
    /// Reads a script. A file without `// %%` is one cell of code.
    pub fn parse(text: &str, default: &Map<String, Value>) -> Self {
        // A file with CRLF ends is read as one with LF; a notebook may hold single ones.
        let mut ends = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let is_crlf = text.contains('\n') && ends.all(|line| line.ends_with("\r\n"));
        let text = if is_crlf { &text.replace("\r\n", "\n") } else { text };
        let lines: Vec<&str> = text.split('\n').collect();
        // The text behind the last line end is no line when it is empty.
        let end = lines.len() - usize::from(lines.last().is_some_and(|last| last.is_empty()));
        let lines = &lines[..end];
        let (metadata, mut at) = header(lines);
        let metadata = metadata.unwrap_or_else(|| default.clone());
        let mut script =
            Self { notebook: Notebook { metadata, cells: Vec::new() }, lines: Vec::new() };

        let starts: Vec<usize> =
            (at..end).filter(|&i| marker::of_line(lines[i]).is_some()).collect();
        let before = starts.first().copied().unwrap_or(end);
        let blank = |i: &usize| lines[*i].trim().is_empty();
        let first = (at..before).find(|i| !blank(i)).unwrap_or(before);
        let last = (first..before).rev().find(|i| !blank(i)).map_or(first, |i| i + 1);
        if first < last {
            let is_prose = !starts.is_empty()
                && lines[first..last].iter().all(|line| line.is_empty() || line.starts_with("//"));
            let kind = if is_prose { Kind::Markdown } else { Kind::Code };
            script.push(Cell::new(kind, ""), lines, first..last);
        }
        for (n, &start) in starts.iter().enumerate() {
            at = start + 1;
            let next = starts.get(n + 1).copied();
            let mut behind = next.unwrap_or(end);
            // One blank line stands between cells.
            if next.is_some() && behind > at && lines[behind - 1].is_empty() {
                behind -= 1;
            }
            let cell = marker::read(marker::of_line(lines[start]).unwrap_or_default());
            script.push(cell, lines, at..behind);
        }
        script.notebook.name_cells();
        script
    }

    fn push(&mut self, mut cell: Cell, lines: &[&str], range: Range<usize>) {
        let decode = match cell.kind {
            Kind::Code => code_line,
            Kind::Markdown | Kind::Raw => prose_line,
        };
        let text: Vec<&str> = lines[range.clone()].iter().map(|line| decode(line)).collect();
        cell.source = text.join("\n");
        self.notebook.cells.push(cell);
        self.lines.push(range);
    }

    /// True when the text has cells.
    pub fn has_cells(text: &str) -> bool {
        text.lines().any(|line| marker::of_line(line).is_some())
    }

    /// Writes a notebook as a script; metadata that are `default` are left out.
    pub fn write(notebook: &Notebook, default: &Map<String, Value>) -> String {
        let mut text = String::new();
        let mut metadata = notebook.metadata.clone();
        // The kernel writes the language anew with every run.
        let mut usual = default.clone();
        for map in [&mut metadata, &mut usual] {
            map.remove("language_info");
        }
        if !metadata.is_empty() && metadata != usual {
            text = format!("{FENCE}\n{JUPYTER}{}\n{FENCE}\n\n", json!(notebook.metadata));
        }
        for (i, cell) in notebook.cells.iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            text.push_str(&marker::write(cell, cell.id != id_of_place(i)));
            text.push('\n');
            if cell.source.is_empty() {
                continue;
            }
            for line in cell.source.split('\n') {
                match cell.kind {
                    Kind::Code if code_needs_remark(line) => text.push_str(&format!("// {line}")),
                    Kind::Code => text.push_str(line),
                    _ if line.is_empty() => text.push_str("//"),
                    _ if prose_needs_remark(line) => text.push_str(&format!("// // {line}")),
                    _ => text.push_str(&format!("// {line}")),
                }
                text.push('\n');
            }
        }
        text
    }
}

/// The metadata in front, and the line behind them.
fn header(lines: &[&str]) -> (Option<Map<String, Value>>, usize) {
    let [FENCE, jupyter, FENCE, ..] = lines else { return (None, 0) };
    let found = jupyter.strip_prefix(JUPYTER).and_then(|json| serde_json::from_str(json).ok());
    let behind = if found.is_some() { 3 } else { 0 };
    (found, behind)
}

/// True when a line, or what is left of it without some `// ` in front, is one of those.
fn behind_remarks(mut line: &str, is_one: impl Fn(&str) -> bool) -> bool {
    loop {
        if is_one(line) {
            return true;
        }
        match line.strip_prefix("// ") {
            Some(rest) => line = rest,
            None => return false,
        }
    }
}

/// True for a line of code that does not stand in a script as it is.
fn code_needs_remark(line: &str) -> bool {
    let is_magic = |line: &str| {
        let bare = line.trim_start();
        let word = bare.trim_start_matches('%');
        (1..=2).contains(&(bare.len() - word.len()))
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
    };
    behind_remarks(line, |line| is_magic(line) || marker::of_line(line).is_some())
}

/// True for a line of prose that would begin a cell.
fn prose_needs_remark(line: &str) -> bool {
    behind_remarks(line, |line| marker::of_line(&format!("// {line}")).is_some())
}

fn code_line(line: &str) -> &str {
    line.strip_prefix("// ").filter(|rest| code_needs_remark(rest)).unwrap_or(line)
}

fn prose_line(line: &str) -> &str {
    let Some(bare) = line.strip_prefix("// ") else {
        return line.strip_prefix("//").unwrap_or(line);
    };
    bare.strip_prefix("// ").filter(|rest| prose_needs_remark(rest)).unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    fn there_and_back(notebook: &Notebook) -> (String, Notebook) {
        let text = Script::write(notebook, &Map::new());
        let back = Script::parse(&text, &Map::new()).notebook;
        (text, back)
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            "[ -~]{0,12}",
            "(// ?){0,3}[ \t]{0,2}%{0,3} ?[a-z\\[]{0,5}\r?",
            "(// ){0,2}(---|jupyter: \\{\\}|//)",
            "\\PC{0,6}",
            Just(String::new()),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|x: f64| json!(x)),
            "\\PC{0,8}|[ =\\[\\]\"\n\\\\]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z ]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn metadata() -> impl Strategy<Value = Map<String, Value>> {
        let key = "title|tags|id|metadata|attachments|[a-z_-]{1,5}|[a-z =\\[\\]%]{0,5}";
        prop::collection::btree_map(key, value(), 0..4).prop_map(|map| map.into_iter().collect())
    }

    prop_compose! {
        fn cell()(
            kind in prop::sample::select(vec![Kind::Code, Kind::Markdown, Kind::Raw]),
            id in "[a-zA-Z0-9_-]{0,5}|cell-0[0-3]",
            lines in prop::collection::vec(line(), 0..6),
            metadata in metadata(),
            attachments in prop::option::of(value().prop_map(|v| json!({"a.png": v}))),
        ) -> Cell {
            Cell { id, metadata, attachments, ..Cell::new(kind, lines.join("\n")) }
        }
    }

    prop_compose! {
        fn notebook()(
            cells in prop::collection::vec(cell(), 0..6),
            metadata in metadata(),
        ) -> Notebook {
            let mut notebook = Notebook { metadata, cells };
            notebook.name_cells();
            notebook
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_notebook_comes_back_from_its_script(notebook in notebook()) {
            let (text, back) = there_and_back(&notebook);
            // The kernel's own description of the language is not kept.
            let mut expected = notebook;
            if expected.metadata.keys().all(|key| key == "language_info") {
                expected.metadata.clear();
            }
            prop_assert_eq!(&back, &expected, "{}", text);
            prop_assert_eq!(there_and_back(&back).0, text);
        }

        #[test]
        fn any_text_is_a_script_and_its_notebook_keeps_every_line(
            lines in prop::collection::vec(line(), 0..12)
        ) {
            let text = lines.join("\n");
            let script = Script::parse(&text, &Map::new());
            let (_, back) = there_and_back(&script.notebook);
            prop_assert_eq!(back, script.notebook);
        }
    }

    #[test]
    fn the_committed_lessons_come_back_from_their_scripts() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../notebooks");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "ipynb") {
                continue;
            }
            let mut lesson = Notebook::read(&path).unwrap();
            let default = lesson.metadata.clone();
            let text = Script::write(&lesson, &default);
            for cell in &mut lesson.cells {
                cell.outputs.clear();
                cell.execution_count = None;
            }
            assert!(text.starts_with("// %% [markdown]\n// # "), "{text}");
            assert_eq!(Script::parse(&text, &default).notebook, lesson, "{}", path.display());
        }
    }

    #[test]
    fn a_script_by_hand_gives_cells_with_their_places() {
        let text = "// What it does.\n\n// %%\nlet a = 1;\n// %%time\n\n// %% [markdown]\n// # Title\n//\n// text\n// %% last\na";
        let script = Script::parse(text, &Map::new());
        let cells = &script.notebook.cells;
        let sources: Vec<&str> = cells.iter().map(|c| c.source.as_str()).collect();
        assert_eq!(sources, ["What it does.", "let a = 1;\n%%time", "# Title\n\ntext", "a"]);
        assert_eq!(cells[0].kind, Kind::Markdown);
        assert_eq!(cells[3].metadata["title"], "last");
        assert_eq!(script.lines, [0..1, 3..5, 7..10, 11..12]);
        let windows = Script::parse(&text.replace('\n', "\r\n"), &Map::new());
        assert_eq!(windows, script);
    }

    #[test]
    fn a_script_without_cells_is_one_cell() {
        let script = Script::parse("\n// remark\nlet a = 1;\n\n", &Map::new());
        assert_eq!(script.notebook.cells.len(), 1);
        assert_eq!(script.notebook.cells[0].source, "// remark\nlet a = 1;");
        assert_eq!(script.lines[0], 1..3);
        assert!(Script::parse("", &Map::new()).notebook.cells.is_empty());
    }
}
