//! The ablations of `scripts/`, each with `quick`: every file is there, and a second run has nothing
//! left to do.

use std::path::Path;

use crate::command::Bench;

#[test]
fn every_ablation_leaves_its_table_and_chart_and_is_not_run_twice() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    for (name, points) in [("mixture", 2), ("budget", 1), ("structure", 3), ("shape", 2)] {
        let bench = Bench::new();
        let script = scripts.join(format!("ablation-{name}.rhai"));
        let arguments =
            ["run", script.to_str().expect("a path"), "--out", "out", "-p", "quick=true"];
        let first = bench.run(&arguments);
        first.ok();
        first.with(0, &[&format!("{points} points, {points} run in")]);
        for ending in ["csv", "md", "tex", "png"] {
            let file = format!("out/{name}.{ending}");
            assert!(!bench.read(&file).is_empty(), "{file}");
        }
        let latex = String::from_utf8(bench.read(&format!("out/{name}.tex"))).expect("UTF-8");
        assert!(latex.contains(&format!("\\label{{tab:{name}}}")), "{latex}");
        bench.run(&arguments).with(0, &[&format!("{points} finished before")]);
    }
}
