//! The model card of a model that was made here: `README.md` beside its weights.
//!
//! It is written from the model's provenance alone, so that it says what the file carries. A model
//! that nothing was done to gets none: its card is its maker's.

use std::fmt::Write as _;
use std::path::Path;

use super::Model;

/// The file people expect a card in.
pub(super) const CARD: &str = "README.md";
/// The file that takes the card where somebody has written a `README.md`.
pub(super) const BESIDE: &str = "WOOLSHED.md";
/// What every card of ours begins with.
const MARK: &str = "---\n# Written by Woolshed, and again with every save of the model.\n";
/// Rows of a mixture's path, at most.
const PATH_ROWS: usize = 8;

/// Whether a file is a card of ours, which a save may replace.
pub(super) fn is_ours(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(MARK.as_bytes()))
}

/// One thing done to a model: what it is called, and its figures.
struct Stage<'a> {
    what: &'a str,
    figures: Vec<(&'a str, &'a str)>,
}

impl Stage<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.figures.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }
}

/// The stages that provenance tells of, in its order; a key that comes again begins a new one.
fn stages(provenance: &[(String, String)]) -> Vec<Stage<'_>> {
    let mut stages: Vec<Stage<'_>> = Vec::new();
    for (key, value) in provenance {
        let Some((what, key)) = key.split_once('.') else { continue };
        if !["sheared", "recovered", "random"].contains(&what) {
            continue;
        }
        match stages.last_mut().filter(|s| s.what == what && s.get(key).is_none()) {
            Some(stage) => stage.figures.push((key, value)),
            None => stages.push(Stage { what, figures: vec![(key, value)] }),
        }
    }
    stages.retain(|stage| stage.get("parent").is_some());
    stages
}

/// Writes the card of `model`; none for a model that nothing was done to.
pub(super) fn card(model: &Model) -> Option<String> {
    let stages = stages(&model.provenance);
    let last = stages.last()?;
    let mut out = format!("{MARK}library_name: transformers\ntags: [pruned, woolshed]\n---\n\n");
    let shape = model.shape();
    let _ = write!(
        out,
        "# {}\n\nA model of {} parameters ({shape}), made with Woolshed {} from `{}`.\n\n",
        cell(&model.name),
        model.parameters(),
        last.get("version").unwrap_or(env!("CARGO_PKG_VERSION")),
        cell(last.get("parent").unwrap_or_default()),
    );
    out.push_str("## How it was made\n");
    for stage in &stages {
        out.push_str(&section(stage));
    }
    out.push_str("\n## How to load it\n\n");
    out.push_str(
        "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n\
         model = AutoModelForCausalLM.from_pretrained(\"THIS_FOLDER\")\n\
         tokenizer = AutoTokenizer.from_pretrained(\"THIS_FOLDER\")\n```\n\n\
         ```rust\nlet model = load_model(\"THIS_FOLDER\");\n```\n",
    );
    let carried = |key: &str| model.provenance.iter().rev().find(|(k, _)| k == key);
    if let Some((_, script)) = carried("script") {
        let fence = fence(script);
        let _ = write!(
            out,
            "\n## How to make it again\n\nThe script makes the same weights on one machine with one \
             number of threads.\n\n{fence}rust\n{}\n{fence}\n",
            script.trim_end()
        );
    } else if let Some((_, hash)) = carried("script_sha256") {
        let _ = write!(out, "\n## How to make it again\n\nSHA-256 of its script: {}\n", cell(hash));
    }
    out.push_str("\n## Licence\n\nThat of the parent, and of the data.\n");
    Some(out)
}

/// What was done, as a table.
fn section(stage: &Stage<'_>) -> String {
    let title = match stage.what {
        "sheared" => "Pruned",
        "recovered" => "Trained on",
        _ => "Cut at random",
    };
    let mut out = format!("\n### {title}\n\n| what | value |\n|---|---|\n");
    for (key, name) in [
        ("parent", "from"),
        ("parent_sha256", "SHA-256 of the parent"),
        ("parent_shape", "shape of the parent"),
        ("target", "target"),
        ("domains", "domains"),
        ("data_sha256", "SHA-256 of the data"),
        ("steps", "steps"),
        ("tokens", "training tokens"),
        ("seed", "seed"),
        ("edits", "changes by hand"),
        ("run_sha256", "hash of the run"),
        ("version", "version of Woolshed"),
    ] {
        if let Some(value) = stage.get(key) {
            let _ = writeln!(out, "| {name} | {} |", cell(value));
        }
    }
    out + &mixture(stage).unwrap_or_default()
}

/// The mixture's path as a table, thinned to a few rows.
fn mixture(stage: &Stage<'_>) -> Option<String> {
    let path: Vec<(u64, Vec<f64>)> = serde_json::from_str(stage.get("mixture_path")?).ok()?;
    let domains: Vec<String> = stage.get("domains")?.split(", ").map(cell).collect();
    let mut out = format!(
        "\nShare of each domain after the evaluation at a step:\n\n| step | {} |\n|---|{}\n",
        domains.join(" | "),
        "---|".repeat(domains.len())
    );
    let last = path.len().checked_sub(1)?;
    let mut shown: Vec<usize> = (0..PATH_ROWS).map(|i| i * last / (PATH_ROWS - 1)).collect();
    shown.dedup();
    for (step, weights) in shown.into_iter().map(|i| &path[i]) {
        let weights: Vec<String> = weights.iter().map(|w| format!("{w:.4}")).collect();
        let _ = writeln!(out, "| {step} | {} |", weights.join(" | "));
    }
    Some(out)
}

/// A value inside a table.
fn cell(value: &str) -> String {
    value.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// A fence that no line of `code` ends: longer than its longest row of backticks.
fn fence(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

#[cfg(test)]
mod tests {
    use super::super::save::tiny;
    use super::*;

    fn made(pairs: &[(&str, &str)]) -> Model {
        let mut model = tiny::model(true);
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        model.provenance.extend(pairs);
        model
    }

    #[test]
    fn a_model_that_nothing_was_done_to_gets_no_card() {
        assert_eq!(card(&made(&[])), None);
    }

    #[test]
    fn a_card_tells_every_stage_and_the_way_of_the_mixture() {
        let path: Vec<(u64, [f64; 2])> = (0..40).map(|i| (10 * i, [0.25, 0.75])).collect();
        let path = serde_json::to_string(&path).unwrap();
        let text = card(&made(&[
            ("sheared.parent", "a|b"),
            ("sheared.domains", "one, two"),
            ("sheared.mixture_path", &path),
            ("recovered.parent", "c"),
            ("recovered.parent", "d"),
            ("script", "let a = `b`;\nlet c = \"```\";"),
        ]));
        let text = text.unwrap();
        assert!(text.starts_with(MARK));
        assert_eq!(text.matches("\n### ").count(), 3, "{text}");
        assert!(text.contains("| from | a\\|b |") && text.contains("| step | one | two |"));
        let rows = text.lines().filter(|line| line.ends_with("| 0.2500 | 0.7500 |"));
        assert_eq!(rows.count(), PATH_ROWS, "{text}");
        assert!(text.contains("| 390 | 0.2500"), "the last row stays:\n{text}");
        assert!(text.contains("\n````rust\nlet a"), "{text}");
    }
}
