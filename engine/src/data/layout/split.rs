//! Files and folders that are parts of one data set: `train-00000-of-00004.parquet`, `validation.jsonl`.
//!
//! Names tell. A number `-00000-of-00004` is that of a part and falls away with the ending; what is
//! left is the name of a group. `train` is what one trains on; `validation`, `valid`, `val`, `dev`,
//! `eval` and `test`, the first that is there, is what one evaluates on.

/// What one trains on.
const TRAIN: &str = "train";
/// What one evaluates on, in the order they are looked for.
const EVAL: [&str; 6] = ["validation", "valid", "val", "dev", "eval", "test"];

/// What a list of groups is.
#[derive(Debug, PartialEq)]
pub(crate) enum Groups {
    /// No `train` among them: each stands for itself.
    Separate,
    /// One data set; where its evaluation group is in the list, if there is one.
    Parts { train: usize, eval: Option<usize> },
    /// `train` beside a group that is none of the known ones.
    Foreign(usize),
}

/// Tells whether a group is what one trains on.
pub(crate) fn is_train(group: &str) -> bool {
    group.eq_ignore_ascii_case(TRAIN)
}

/// Says what groups of these names are.
pub(crate) fn groups(names: &[&str]) -> Groups {
    let at = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let Some(train) = names.iter().position(|name| is_train(name)) else { return Groups::Separate };
    let known = |name: &str| EVAL.iter().any(|eval| name.eq_ignore_ascii_case(eval));
    match (0..names.len()).find(|&i| i != train && !known(names[i])) {
        Some(foreign) => Groups::Foreign(foreign),
        None => Groups::Parts { train, eval: EVAL.iter().find_map(|eval| at(eval)) },
    }
}

/// The name of the group a file belongs to: without its endings and without the number of a part.
pub(crate) fn group(file: &str) -> &str {
    let mut stem = file;
    for ending in [".gz", ".zst", ".jsonl", ".txt", ".parquet"] {
        let cut = stem.len().saturating_sub(ending.len());
        if cut > 0 && stem.is_char_boundary(cut) && stem[cut..].eq_ignore_ascii_case(ending) {
            stem = &stem[..cut];
        }
    }
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some((rest, of)) = stem.rsplit_once("-of-")
        && let Some((name, part)) = rest.rsplit_once('-')
        && number(part)
        && number(of)
        && !name.is_empty()
    {
        stem = name;
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_group_of_its_name() {
        for (file, name) in [
            ("train-00000-of-00004.parquet", "train"),
            ("arxiv_sample.jsonl", "arxiv_sample"),
            ("a.jsonl.zst", "a"),
            ("B.TXT.GZ", "B"),
            ("book-1-of-x.txt", "book-1-of-x"),
            (".jsonl", ".jsonl"),
            ("état.txt", "état"),
        ] {
            assert_eq!(group(file), name, "{file}");
        }
    }

    #[test]
    fn train_makes_the_groups_parts_of_one() {
        assert_eq!(groups(&["arxiv", "book"]), Groups::Separate);
        assert_eq!(groups(&["test", "validation"]), Groups::Separate);
        assert_eq!(groups(&["train"]), Groups::Parts { train: 0, eval: None });
        let parts = groups(&["Test", "train", "validation"]);
        assert_eq!(parts, Groups::Parts { train: 1, eval: Some(2) });
        assert_eq!(groups(&["extra", "train", "val"]), Groups::Foreign(0));
    }
}
