//! Which language a cell is in: `%%rust` and `%%rhai` in its first lines, or the kernel's own.

/// A language of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Scripts: at once, on the session's own thread.
    #[default]
    Rhai,
    /// Compiled, in a process of its own.
    Rust,
}

/// A cell of Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RustCell {
    /// Its code; every line and byte stands where it stood in the cell.
    pub code: String,
    /// The user wants to know how long it takes.
    pub timed: bool,
}

/// The Rust in a cell of a kernel whose own language is `own`; none when it is no Rust cell.
pub fn rust_cell(code: &str, own: Language) -> Option<RustCell> {
    let mut language = own;
    let mut timed = false;
    let mut head = 0;
    for line in code.split_inclusive('\n') {
        match line.trim() {
            "%%rust" => language = Language::Rust,
            "%%rhai" => language = Language::Rhai,
            "%%time" => timed = true,
            "" => {}
            // A line for the notebook, such as `%who`: no language at all.
            other if other.starts_with('%') => return None,
            _ => break,
        }
        head += line.len();
    }
    (language == Language::Rust).then(|| {
        let blank = code[..head].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
        RustCell { code: blank.chain(code[head..].chars()).collect(), timed }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_choose_the_language_and_places_stay() {
        let cell = rust_cell("%%time\n%%rust\nlet é = 1;", Language::Rhai).unwrap();
        assert_eq!(cell, RustCell { code: "      \n      \nlet é = 1;".into(), timed: true });
        assert_eq!(rust_cell("let a = 1;", Language::Rhai), None);
        assert_eq!(rust_cell("%%rhai\nlet a = 1;", Language::Rust), None);
        assert!(rust_cell("x?", Language::Rust).is_some());
        assert_eq!(rust_cell("%who", Language::Rust), None);
        assert!(rust_cell("let a = 7\n% 4;", Language::Rust).is_some());
    }
}
