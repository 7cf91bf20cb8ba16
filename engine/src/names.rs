//! Which known name a mistyped one probably means.

/// Gives the known name closest in spelling, however far; none only when nothing is known.
pub fn closest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |k: &str| strsim::damerau_levenshtein(&k.to_lowercase(), &name.to_lowercase());
    known.into_iter().min_by_key(|k| distance(k))
}

/// Gives the known name that `name` probably means: the closest, if it differs in at most one letter
/// and one more for every three.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = closest(name, known)?;
    let distance = strsim::damerau_levenshtein(&near.to_lowercase(), &name.to_lowercase());
    (distance <= 1 + name.chars().count().max(near.chars().count()) / 3).then_some(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_finds_none() {
        let known = ["steps", "batch", "lr"];
        assert_eq!(nearest("stpes", known), Some("steps"));
        assert_eq!(nearest("Batch", known), Some("batch"));
        assert_eq!(nearest("temperature", known), None);
        assert_eq!(closest("bath", known), Some("batch"));
        assert_eq!(closest("bath", []), None);
    }
}
