//! What the judges found inside a model, as tables and charts.

use super::{Chart, Column, HeatMap, HeatRow, Table, ViewError, whole};
use crate::judge::{Check, Part, Preview, Similarity};

/// Table of a check: the difference of masked and cut model at every place, in the order of the pass.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn check_table(check: &Check) -> Result<Table, ViewError> {
    let rows = &check.places;
    let beyond = |relative: f64| relative.is_nan() || relative > check.tolerance;
    let columns = vec![
        ("place", Column::text(rows.iter().map(|r| &r.place))),
        ("largest difference", Column::floats(rows.iter().map(|r| r.difference))),
        ("largest value", Column::floats(rows.iter().map(|r| r.largest))),
        ("relative", Column::floats(rows.iter().map(|r| r.relative))),
        ("equal", Column::Flag(rows.iter().map(|r| !beyond(r.relative)).collect())),
        ("note", Column::text(rows.iter().map(|r| r.note))),
    ];
    Table::new(check.to_string(), columns)
}

/// Heat map of the similarity of the stream at all pairs of depths; the scale begins at the least
/// similar pair.
pub fn similarity_chart(similarity: &Similarity) -> Chart {
    let label = |i: usize| match i {
        0 => "0 · embedding".to_string(),
        i => format!("{i} · after layer {}", i - 1),
    };
    let rows = similarity.cosine.iter().enumerate();
    let rows = rows.map(|(i, row)| HeatRow { label: label(i), values: row.clone() }).collect();
    let all = similarity.cosine.iter().flatten().copied();
    let least = all.filter(|s| s.is_finite()).fold(1.0, f64::min);
    let chart = HeatMap {
        title: "Similarity of the residual stream".into(),
        x_label: "layers passed, as the rows are numbered".into(),
        y_label: "cosine".into(),
        rows,
        range: (tidy_low(least), 1.0),
        note: format!("mean over {} tokens", whole(similarity.tokens as i64)),
    };
    chart.into()
}

/// The largest short number below `least`, as far from 1 as the data asks: -0.28 gives -0.3,
/// 0.8431 gives 0.84, 0.99753 gives 0.9975.
fn tidy_low(least: f64) -> f64 {
    let span = (1.0 - least).max(1e-6);
    let step = 0.1 * 10f64.powf(span.log10().floor());
    1.0 - (span / step - 1e-9).ceil() * step
}

/// Table of the layers by block influence, in the order of the model.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn influence_table(similarity: &Similarity) -> Result<Table, ViewError> {
    let influence = &similarity.influence;
    let rank = |i: usize| {
        let before = |&j: &usize| (influence[j], j) < (influence[i], i);
        (0..influence.len()).filter(before).count() + 1
    };
    let columns = vec![
        ("layer", Column::counts(0..influence.len())),
        ("influence", Column::floats(influence.iter().copied())),
        ("cosine in, out", Column::floats(influence.iter().map(|x| 1.0 - x))),
        ("rank from the least", Column::counts((0..influence.len()).map(rank))),
    ];
    let tokens = whole(similarity.tokens as i64);
    Table::new(format!("block influence of the layers over {tokens} tokens"), columns)
}

/// Table of the parameters that would go now, part by part, and all together in the last row.
///
/// # Errors
/// polars', if the columns do not fit.
pub fn preview_table(preview: &Preview) -> Result<Table, ViewError> {
    let total = ("all".to_string(), preview.before(), preview.after(), String::new());
    let rows: Vec<(String, usize, usize, String)> = preview
        .parts
        .iter()
        .map(|p| (p.part.to_string(), p.before, p.after, what_goes(preview, p.part)))
        .chain([total])
        .collect();
    let share = |before: usize, after: usize| {
        if before == 0 { 0.0 } else { (before - after) as f64 / before as f64 }
    };
    let columns = vec![
        ("part", Column::text(rows.iter().map(|r| &r.0))),
        ("parameters", Column::counts(rows.iter().map(|r| r.1))),
        ("after the cut", Column::counts(rows.iter().map(|r| r.2))),
        ("share that goes", Column::floats(rows.iter().map(|r| share(r.1, r.2)))),
        ("what goes", Column::text(rows.iter().map(|r| &r.3))),
    ];
    Ok(Table::new("parameters that would go now", columns)?.with_bars(&["share that goes"]))
}

/// What goes of a part, in words: `groups 0, 2-4`; empty when nothing of its own goes.
fn what_goes(preview: &Preview, part: Part) -> String {
    let source = &preview.source;
    match part {
        Part::Attention(l) if preview.layers[l].attention => "all of it".into(),
        Part::Mlp(l) if preview.layers[l].mlp => "all of it".into(),
        Part::Attention(l) => {
            let layer = &preview.layers[l];
            let mut said = Vec::new();
            if !layer.groups.is_empty() {
                said.push(named("KV group", &layer.groups));
            }
            if !layer.queries.is_empty() {
                said.push(format!("{} of each group", named("query head", &layer.queries)));
            }
            said.join("; ")
        }
        Part::Mlp(l) if !preview.layers[l].channels.is_empty() => {
            let gone = whole(preview.layers[l].channels.len() as i64);
            format!("{gone} of {} channels", whole(source.intermediate as i64))
        }
        Part::Embeddings | Part::FinalNorm | Part::Head if !preview.hidden.is_empty() => {
            let gone = whole(preview.hidden.len() as i64);
            format!("{gone} of {} hidden dimensions", whole(source.hidden as i64))
        }
        _ => String::new(),
    }
}

/// What goes by its numbers: `KV group 3`, `KV groups 0, 2-4`.
fn named(what: &str, numbers: &[usize]) -> String {
    format!("{what}{} {}", if numbers.len() == 1 { "" } else { "s" }, ranges(numbers))
}

/// Rising numbers with runs joined: `0, 2-4`.
fn ranges(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &n in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == n => run.1 = n,
            _ => runs.push((n, n)),
        }
    }
    let write = |&(a, b): &(usize, usize)| match b - a {
        0 => a.to_string(),
        1 => format!("{a}, {b}"),
        _ => format!("{a}-{b}"),
    };
    runs.iter().map(write).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::super::draw::checks::{assert_tidy, texts};
    use super::*;
    use crate::judge::{CheckRow, LayerPreview, PartCount};
    use crate::model::{checkpoint::LoadOptions, demo};

    fn row(place: &str, relative: f64) -> CheckRow {
        let place = place.to_string();
        CheckRow { place, difference: 2.0 * relative, largest: 2.0, relative, note: "" }
    }

    #[test]
    fn a_check_that_fails_says_where_in_its_title_and_its_rows() {
        let places = vec![row("embedding", 1e-8), row("layer 0 attention", f64::NAN)];
        let check = Check { places, tolerance: 1e-5, first: Some(1), tokens: 64 };
        let table = check_table(&check).unwrap();
        assert!(table.title().contains("differ first at layer 0 attention"));
        assert_eq!(table.value(0, "equal").unwrap(), Cell::Flag(true));
        assert_eq!(table.value(1, "equal").unwrap(), Cell::Flag(false));
    }

    fn similarity(cosine: Vec<Vec<f64>>) -> Similarity {
        let influence = (1..cosine.len()).map(|i| 1.0 - cosine[i - 1][i]).collect();
        Similarity { cosine, influence, tokens: 1280 }
    }

    #[test]
    fn the_scale_of_a_similarity_begins_at_its_least_pair() {
        let s = |i: i32, j: i32| 1.0 - 0.04 * f64::from((i - j).abs());
        let matrix = |n: i32| (0..n).map(|i| (0..n).map(|j| s(i, j)).collect()).collect();
        // Least pairs 0.96, 0.84 and -0.28.
        for (n, low) in [(2, 0.96), (5, 0.84), (33, -0.3)] {
            let chart = similarity_chart(&similarity(matrix(n)));
            assert_tidy(&chart.sheet().unwrap());
            let Chart::Heat(map) = &chart else { panic!("a heat map") };
            assert!((map.range.0 - low).abs() < 1e-12, "{:?}", map.range);
            assert!(texts(&chart.sheet().unwrap()).contains(&"0 · embedding"));
        }
        // All alike: the scale is still one.
        let chart = similarity_chart(&similarity(vec![vec![1.0; 2]; 2]));
        let Chart::Heat(map) = chart else { panic!("a heat map") };
        assert!(map.range.0 < map.range.1);
    }

    #[test]
    fn layers_are_ranked_from_the_least_influence_and_ties_by_number() {
        let similarity = Similarity { cosine: vec![], influence: vec![0.3, 0.1, 0.1], tokens: 9 };
        let table = influence_table(&similarity).unwrap();
        let rank = |layer| table.value(layer, "rank from the least").unwrap();
        assert_eq!([rank(0), rank(1), rank(2)], [Cell::Int(3), Cell::Int(1), Cell::Int(2)]);
    }

    #[test]
    fn runs_of_numbers_are_joined() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[0, 2, 3, 4, 7, 8]), "0, 2-4, 7, 8");
    }

    #[test]
    fn a_preview_says_what_goes_of_each_part_and_adds_up() {
        let source = demo(&LoadOptions::default()).unwrap().shape();
        let layer = LayerPreview {
            attention: false,
            mlp: true,
            groups: vec![1, 2],
            queries: vec![0],
            channels: (0..256).collect(),
        };
        let count = |part, before, after| PartCount { part, before, after };
        let parts = vec![
            count(Part::Embeddings, 480, 450),
            count(Part::Attention(0), 100, 40),
            count(Part::Mlp(0), 60, 0),
        ];
        let preview = Preview { source, parts, layers: vec![layer], hidden: vec![3] };
        let table = preview_table(&preview).unwrap();
        let goes = |row| table.value(row, "what goes").unwrap().to_string();
        assert_eq!(goes(0), "1 of 96 hidden dimensions");
        assert_eq!(goes(1), "KV groups 1, 2; query head 0 of each group");
        assert_eq!(goes(2), "all of it");
        assert_eq!(table.value(3, "parameters").unwrap(), Cell::Int(640));
        assert_eq!(table.value(3, "after the cut").unwrap(), Cell::Int(490));
        assert_eq!(table.value(1, "share that goes").unwrap(), Cell::Float(0.6));
    }
}
