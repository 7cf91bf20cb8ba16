//! Where an error is, and what to try.

use crate::command::{Bench, MODEL};

/// Runs a script that fails; stderr must hold every part.
#[track_caller]
fn fails(code: &str, parts: &[&str]) {
    Bench::new().script(code, &[]).with(1, parts);
}

#[test]
fn an_error_shows_the_line_with_a_mark_under_the_column() {
    let code = "let a = 1;\nlet b = target_shape(a);\n";
    let told =
        "\n --> script.rhai, line 2, column 9\n2 | let b = target_shape(a);\n  |         ^\n";
    fails(code, &["error: `target_shape` does not take (int)", told]);
}

#[test]
fn a_mark_stands_right_behind_tabs_and_on_lines_past_nine() {
    let code = format!("{}\t\tprint(nothing);\n", "\n".repeat(9));
    let told = " --> script.rhai, line 10, column 9\n10 |   print(nothing);\n   |         ^\n";
    fails(&code, &["there is no variable `nothing`", told]);
}

#[test]
fn a_key_that_a_map_lacks_is_an_error_with_the_nearest() {
    let told = ["this map has no `hedas`", "= try: `heads`, a key of a map here"];
    fails("let sizes = #{heads: 2, of: #{hidden: 3}};\nprint(sizes.hedas);\n", &told);
    let told = ["this map has no `stpe`", "`\"stpe\" in map` asks whether there is one"];
    fails("let sizes = #{heads: 2};\nprint(sizes[\"stpe\"]);\n", &told);
    let sets = "let m = #{}; m.x = 1; if \"y\" in m || m.x != 1 { throw \"a key is set and asked for\" }\n";
    Bench::new().script(sets, &[]).with(0, &[]);
}

#[test]
fn an_error_inside_a_function_names_the_line_in_the_function() {
    let code =
        format!("{MODEL}fn ask(m) {{\n    let x = 1;\n    m.logits([900])\n}}\nask(model);\n");
    fails(
        &code,
        &["token id 900 is outside the vocabulary", "line 4, column 7", "m.logits([900])"],
    );
}

#[test]
fn an_error_inside_a_closure_names_the_line_in_the_closure() {
    let code = format!(
        "{MODEL}let ids = [1, 900];\nids.map(|id| {{\n    let row = [id];\n    model.logits(row)\n}});\n"
    );
    fails(&code, &["token id 900", "line 5, column 11", "model.logits(row)"]);
    fails(
        "let f = |x| {\n    throw \"no \" + x;\n};\nf.call(3);\n",
        &["error: no 3", "line 2, column 5"],
    );
}

#[test]
fn a_misspelt_method_or_function_is_told_the_nearest() {
    let told = ["a Model has no function `generat`", "= try: model.generate(prompt: text) -> text"];
    fails(&format!("{MODEL}model.generat(\"x\");"), &told);
    let told =
        ["there is no function `load_modle(text)`", "= try: load_model(spec: text) -> Model"];
    fails("load_modle(\"demo\");", &told);
    let told = ["a Table has no function `colum`", "= try: table.column(name: text) -> array"];
    fails("table(\"x\", [#{a: 1}]).colum(\"a\");", &told);
    fails(
        "let x = 5;\nx.frobnicate();",
        &["`frobnicate(int)`", "= try: help() lists the functions"],
    );
}

#[test]
fn a_function_called_with_other_arguments_is_told_its_forms() {
    let told = [
        "`save_csv` does not take (text, array)",
        "save_csv(path: text, table: Table) -> text",
        "table.save_csv(path: text) -> text",
    ];
    fails("save_csv(\"x.csv\", [1, 2]);", &told);
}

#[test]
fn code_that_does_not_parse_is_not_begun() {
    let bench = Bench::new();
    let ended = bench.script("save_json(\"x.json\", 1);\nlet a = 1\nlet b = 2;\n", &[]);
    ended.with(1, &["Expecting ';'", "line 3, column 1", "3 | let b = 2;", "= try: end the"]);
    assert_eq!(bench.files("out"), [""; 0]);
    fails("print(\"x", &["not terminated", "line 1, column 7"]);
}

#[test]
fn an_error_can_be_caught_and_an_endless_recursion_is_one() {
    let code = "try { load_model(\"nowhere\"); } catch (e) { print(\"caught: \" + e); }";
    let ended = Bench::new().script(code, &[]);
    assert!(ended.ok().starts_with("caught: there is no model `nowhere`"), "{}", ended.stdout);
    fails("fn f(n) { f(n + 1) }\nf(0);", &["call each other too deeply", "line 2, column 1"]);
}

#[test]
fn a_wrong_column_or_value_of_a_table_is_named() {
    fails("table(\"x\", [#{a: 1}]).column(\"b\");", &["no column `b`", "the columns are a"]);
    let told = ["no row of the table has a value for column `domian`", "did you mean `domain`?"];
    fails("table(\"x\", [\"domian\"], [#{domain: 1}]);", &told);
    let chart = "line_chart(\"t\", \"x\", \"y\", #{a: [[1, \"two\"]]});";
    fails(chart, &["`a` holds \"two\", which is no number"]);
    fails(
        "line_chart(\"t\", \"x\", \"y\", #{a: [[1, 2]]}).save(\"t.gif\");",
        &["t.gif", ".svg or .png"],
    );
}
