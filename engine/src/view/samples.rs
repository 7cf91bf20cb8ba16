//! Samples of every chart and of a table, as a run makes them.
//!
//! With `WOOLSHED_SHOW=folder` the test writes them there as SVG, PNG and text, to be looked at.

use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;

use super::draw::checks::assert_tidy;
use super::inspect::similarity_chart;
use super::panel::{PanelModel, cost_chart};
use super::table::tests::losses;
use super::{AreaChart, BarChart, Chart, HeatMap, HeatRow, LineChart, Series};
use crate::data::{DomainOptions, demo};
use crate::gate::GateValues;
use crate::judge::{self, Cost};
use crate::model::{self, Model, checkpoint::LoadOptions};
use crate::progress::Unwatched;
use crate::shape::TargetShape;

/// Noise that is the same everywhere: the fraction of a large sine.
fn noise(i: usize) -> f64 {
    (43_758.545_3 * (12.989_8 * i as f64).sin()).rem_euclid(1.0) - 0.5
}

fn curve(n: usize, step: f64, f: impl Fn(f64, usize) -> f64) -> Vec<(f64, f64)> {
    (0..n).map(|i| (i as f64 * step, f(i as f64 / (n - 1) as f64, i))).collect()
}

fn loss() -> Chart {
    let falling = |from: f64, to: f64, rough: f64| {
        curve(4000, 1.0, move |t, i| to + (from - to) * (-6.0 * t).exp() + rough * noise(i))
    };
    let mut held_out = falling(3.9, 2.52, 0.02);
    held_out.iter_mut().skip(1700).take(300).for_each(|p| p.1 = f64::NAN);
    Chart::from(LineChart {
        title: "Loss while pruning 2816 → 1024 channels".into(),
        x_label: "step".into(),
        y_label: "loss, nats/token".into(),
        series: vec![
            Series::new("train", falling(4.2, 2.45, 0.12)).in_color(0),
            Series::new("held out", held_out).in_color(1),
            Series::new("source", vec![(0.0, 2.31), (3999.0, 2.31)]).dashed().in_color(6),
        ],
        marks: vec![
            (320.0, "warm-up ends".into()),
            (640.0, "targets reached".into()),
            (3200.0, "cut".into()),
        ],
        ..LineChart::default()
    })
}

fn sparsity() -> Chart {
    let parts = [("head", 0.25), ("intermediate", 0.5), ("hidden", 0.31), ("layer", 0.1)];
    let mut series = Vec::new();
    for (color, (name, target)) in parts.into_iter().enumerate() {
        let asked = move |t: f64, _| target * (t / 0.4).min(1.0);
        let found =
            move |t: f64, i: usize| asked(t, i) * (1.0 - (-9.0 * t).exp()) + 0.006 * noise(i);
        series.push(Series::new(name, curve(200, 2.0, found)).in_color(color));
        series.push(
            Series::new(format!("{name} target"), curve(200, 2.0, asked)).dashed().in_color(color),
        );
    }
    Chart::from(LineChart {
        title: "Expected sparsity and its targets".into(),
        x_label: "step".into(),
        y_label: "share of the dimension that is cut".into(),
        series,
        ..LineChart::default()
    })
}

fn learning_rate() -> Chart {
    let rate = |t: f64, _| 1e-6 + 3e-4 * 0.5 * (1.0 + (0.5 * TAU * t).cos()) * (t * 20.0).min(1.0);
    Chart::from(LineChart {
        title: "Learning rate".into(),
        x_label: "tokens".into(),
        y_label: "learning rate (log)".into(),
        series: vec![
            Series::new("weights", curve(300, 400_000.0, rate)),
            Series::new("gates", vec![(0.0, 0.1), (4e7, 0.1), (6e7, 0.02), (1.196e8, 0.002)]),
        ],
        log_y: true,
        ..LineChart::default()
    })
}

fn mixture() -> Chart {
    let names = ["CommonCrawl", "C4", "GitHub", "Book", "Wikipedia", "ArXiv", "StackExchange"];
    let start = [0.67, 0.15, 0.045, 0.045, 0.045, 0.025, 0.02];
    let end = [0.361, 0.45, 0.008, 0.105, 0.054, 0.007, 0.015];
    let xs: Vec<f64> = (0..60).map(|i| f64::from(i) * 50.0).collect();
    let raw = |k: usize, i: usize| {
        let t = (i as f64 / 25.0).min(1.0);
        (start[k] + t * (end[k] - start[k])) * (1.0 + 0.08 * noise(i * 7 + k))
    };
    let sum = |i: usize| (0..7).map(|k| raw(k, i)).sum::<f64>();
    Chart::from(AreaChart {
        title: "Mixture of domains".into(),
        x_label: "step".into(),
        y_label: "share of tokens".into(),
        names: names.map(String::from).to_vec(),
        xs,
        shares: (0..7).map(|k| (0..60).map(|i| raw(k, i) / sum(i)).collect()).collect(),
        ..AreaChart::default()
    })
}

fn gates() -> Chart {
    let gate = |i: usize, keep: f64| {
        let x = 0.5 + 6.0 * (keep - 0.5 - noise(i * 31 + 5));
        x.clamp(0.0, 1.0)
    };
    let mut rows = Vec::new();
    for layer in 0..6 {
        let keep = 0.9 - 0.1 * layer as f64;
        let row = |what: &str, n: usize, keep: f64| HeatRow {
            label: format!("layer {layer} · {what}"),
            values: (0..n).map(|i| gate(i + 1000 * layer, keep)).collect(),
        };
        rows.push(row("heads", 8, keep));
        rows.push(row("intermediate", 352, keep));
    }
    rows.push(HeatRow {
        label: "hidden".into(),
        values: (0..128).map(|i| gate(i, 0.75)).collect(),
    });
    Chart::from(HeatMap {
        title: "Gates by layer, step 400".into(),
        x_label: "index of the head, channel or dimension, each row over the full width".into(),
        y_label: "expected gate: light is cut, dark is kept".into(),
        rows,
        range: (0.0, 1.0),
        note: String::new(),
    })
}

fn wide_gates() -> Chart {
    let row = |layer: usize| HeatRow {
        label: format!("layer {layer}"),
        values: (0..2816).map(|i| 0.5 + 0.5 * (i as f64 / 300.0 + layer as f64).sin()).collect(),
    };
    Chart::from(HeatMap {
        title: "MLP gates".into(),
        x_label: "channel".into(),
        y_label: "expected gate".into(),
        rows: (0..24).map(row).collect(),
        range: (0.0, 1.0),
        note: "seed 17".into(),
    })
}

fn heads() -> Chart {
    let row = |layer: usize| HeatRow {
        label: format!("layer {layer}"),
        values: (0..16)
            .map(|i| if i == 5 && layer == 2 { f64::NAN } else { 0.5 + noise(i * 9 + layer) })
            .collect(),
    };
    Chart::from(HeatMap {
        title: "Attention head gates".into(),
        x_label: "head".into(),
        y_label: "expected gate".into(),
        rows: (0..4).map(row).collect(),
        range: (0.0, 1.0),
        note: String::new(),
    })
}

fn domains(groups: &[&str]) -> Chart {
    let models = [("floor", 1.0), ("source", 1.05), ("pruned", 1.6), ("recovered", 1.15)];
    let base = |g: usize| 1.4 + 0.5 * noise(g + 3) + 0.3 * g as f64 / groups.len() as f64;
    let mut series: Vec<(String, Vec<f64>)> = models
        .iter()
        .map(|(name, factor)| {
            (name.to_string(), (0..groups.len()).map(|g| base(g) * factor).collect())
        })
        .collect();
    series.push(("random".into(), vec![4.85; groups.len() - 1]));
    Chart::from(BarChart {
        title: "Loss by domain".into(),
        x_label: "domain".into(),
        y_label: "loss, nats/token".into(),
        groups: groups.iter().map(|g| g.to_string()).collect(),
        series,
    })
}

fn change() -> Chart {
    Chart::from(BarChart {
        title: "Change of loss after recovery".into(),
        x_label: String::new(),
        y_label: "change, nats/token".into(),
        groups: ["book", "code", "news", "web"].map(String::from).to_vec(),
        series: vec![
            ("dynamic".into(), vec![-0.12, 0.031, -0.2, -0.05]),
            ("fixed".into(), vec![-0.02, 0.09, -0.11, 0.0]),
        ],
    })
}

/// The demo model, its random cut and gates, as the judges see them.
fn judged() -> Vec<(&'static str, Chart)> {
    let model = model::demo(&LoadOptions::default()).unwrap();
    let target = TargetShape { layers: Some(3), hidden: Some(64), ..TargetShape::default() };
    let values = GateValues::random(&model.shape(), &target.resolve(&model.shape()).unwrap(), 1);
    let options = DomainOptions { seq_len: 64, max_tokens: Some(8000), ..DomainOptions::default() };
    let domains = demo::domains(&options, 1, &Unwatched).unwrap();
    let cut = model.cut(&values).unwrap();
    let similarity = |values| {
        let found = judge::similarity(&model, values, &domains, 8, &Unwatched).unwrap();
        similarity_chart(&found)
    };
    // The masked model costs what the source costs and has the losses of the cut one.
    let show = |name: &str, costs: &Model, does: &Model, speed| PanelModel {
        name: name.into(),
        cost: Cost::of(&costs.weights, 64),
        losses: Some(judge::model_losses(does, &domains, &Unwatched).unwrap()),
        tokens_per_second: Some(speed),
    };
    let models = [
        show("source", &model, &model, 75e3),
        show("masked", &model, &cut, 70e3),
        show("cut", &cut, &cut, 148e3),
    ];
    vec![
        ("similarity", similarity(None)),
        ("masked-similarity", similarity(Some(&values))),
        ("panel", cost_chart(&models)),
    ]
}

/// Layers of a 7B model that kept half of their channels, some stretches more than others.
fn widest_gates() -> Chart {
    let value = |layer: usize, i: usize| {
        let keep = 0.5 + 0.4 * (i as f64 / 900.0 + layer as f64).sin();
        if 0.5 + noise(i * 31 + layer * 7) < keep { 0.9 + 0.2 * noise(i) } else { 0.0 }
    };
    let row = |layer: usize| HeatRow {
        label: format!("layer {layer}"),
        values: (0..11_008).map(|i| value(layer, i)).collect(),
    };
    Chart::from(HeatMap {
        title: "intermediate gates after step 400".into(),
        x_label: "intermediate gate of the layer".into(),
        y_label: String::new(),
        rows: (0..32).map(row).collect(),
        range: (0.0, 1.0),
        note: "value at the target; 0 is cut".into(),
    })
}

/// The hidden gates of a 7B model: one row.
fn hidden_gates() -> Chart {
    let value = |i: usize| if noise(i * 17 + 3) < 0.1 { 0.85 + 0.3 * noise(i) } else { 0.0 };
    Chart::from(HeatMap {
        title: "hidden gates after step 400".into(),
        x_label: "hidden".into(),
        y_label: String::new(),
        rows: vec![HeatRow { label: "all".into(), values: (0..4096).map(value).collect() }],
        range: (0.0, 1.0),
        note: "value at the target; 0 is cut".into(),
    })
}

fn all() -> Vec<(&'static str, Chart)> {
    let seven = ["CommonCrawl", "C4", "GitHub", "Book", "Wikipedia", "ArXiv", "StackExchange"];
    let mut all = vec![
        ("loss", loss()),
        ("sparsity", sparsity()),
        ("learning-rate", learning_rate()),
        ("mixture", mixture()),
        ("gates", gates()),
        ("wide-gates", wide_gates()),
        ("widest-gates", widest_gates()),
        ("hidden-gates", hidden_gates()),
        ("heads", heads()),
        ("domains", domains(&["book", "code", "news", "web"])),
        ("seven-domains", domains(&seven)),
        ("change", change()),
        ("empty", Chart::from(LineChart { title: "Loss".into(), ..LineChart::default() })),
    ];
    all.extend(judged());
    all
}

#[test]
fn samples_are_tidy_and_the_same_bytes_each_time() {
    for (name, chart) in all() {
        assert_tidy(&chart.sheet().unwrap());
        let svg = chart.to_svg().unwrap();
        assert_eq!(svg, chart.to_svg().unwrap(), "{name}");
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"), "{name}");
        assert!(svg.len() < 400_000, "{name}: {} bytes", svg.len());
        let png = chart.to_png(0.5).unwrap();
        assert!(png.starts_with(b"\x89PNG"), "{name}");
        assert_eq!(png, chart.to_png(0.5).unwrap(), "{name}");
    }
}

#[test]
fn a_scale_out_of_range_names_the_limits() {
    for scale in [0.0, -1.0, 5.0, f64::NAN, f64::INFINITY] {
        let said = loss().to_png(scale).unwrap_err().to_string();
        assert!(said.contains("use 0.5 to 4"), "{said}");
    }
}

#[test]
fn samples_can_be_written_to_a_folder_to_look_at() {
    let Some(folder) = std::env::var_os("WOOLSHED_SHOW").map(PathBuf::from) else {
        return;
    };
    fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    for (name, chart) in all() {
        fs::write(folder.join(format!("{name}.svg")), chart.to_svg().unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.png")), chart.to_png(2.0).unwrap()).unwrap();
        text.push_str(&chart.to_text());
        text.push('\n');
    }
    text.push_str(&losses().to_text());
    fs::write(folder.join("charts.txt"), text).unwrap();
    fs::write(folder.join("table.html"), losses().to_html()).unwrap();
    fs::write(folder.join("table.md"), losses().to_markdown()).unwrap();
}
