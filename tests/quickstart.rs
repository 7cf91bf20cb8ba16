//! The main job, as a newcomer starts it. Takes about a minute on two cores: it trains for real.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_quickstart_shears_the_demo_and_beats_a_random_structure() {
    let out = tempfile::tempdir().expect("a folder");
    let begin = Instant::now();
    let run = Command::new(env!("CARGO_BIN_EXE_woolshed"))
        .args(["run", "scripts/quickstart.rhai", "--out"])
        .arg(out.path())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        // No network: a proxy that refuses, and the hub switched off.
        .env("HF_HUB_OFFLINE", "1")
        .env("HTTPS_PROXY", "http://127.0.0.1:9")
        .output()
        .expect("the program starts");
    let seconds = begin.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    eprintln!("the quickstart took {seconds:.0} s");

    let rows = json(&out.path().join("result.json"));
    let rows = rows.as_array().expect("a row a domain");
    assert!(rows.len() >= 4, "{rows:?}");
    let mean = |column: &str| {
        let of = |row: &Value| row[column].as_f64().unwrap_or_else(|| panic!("{column} in {row}"));
        rows.iter().map(of).sum::<f64>() / rows.len() as f64
    };
    // The source is within 0.1 nats/token of the floor in every domain (make-demo.rhai), with the
    // noise of 32 evaluation rows on top: 0.03.
    for row in rows {
        let excess =
            row["source"].as_f64().expect("source") - row["floor"].as_f64().expect("floor");
        assert!(excess < 0.13, "the demo model is {excess} above the floor: {row}");
    }
    let gain = mean("random") - mean("recovered");
    eprintln!("learned beats random by {gain:.3} nats/token on average");
    assert!(gain > 0.0, "random {} against learned {}", mean("random"), mean("recovered"));
    assert!(mean("recovered") < mean("pruned"), "recovery lowers the loss");

    let status = json(&out.path().join("status.json"));
    for (kind, s) in status["sparsity"].as_object().expect("gate kinds") {
        let gap = s["expected"].as_f64().expect("expected") - s["target"].as_f64().expect("target");
        // The schedule is short; the published one has 3,200 steps.
        assert!(gap.abs() < 0.1, "{kind} is {gap} from its target");
    }
    let charts = std::fs::read_dir(out.path()).expect("the folder");
    let charts =
        charts.filter_map(|e| e.ok()).filter(|e| e.path().extension().is_some_and(|x| x == "svg"));
    assert!(charts.count() >= 5, "charts were written");
    for file in
        ["history.csv", "model/config.json", "model/model.safetensors", "model/tokenizer.json"]
    {
        assert!(out.path().join(file).is_file(), "{file}");
    }
}
