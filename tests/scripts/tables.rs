//! Tables from tables: what each operation gives, and what it says of a wrong column.

use crate::command::Bench;

/// Losses of two rules over seeds.
const TABLE: &str = "let t = table(\"losses\", [\"rule\", \"seed\", \"loss\"], [\n\
    #{rule: \"b\", seed: 1, loss: 1.0}, #{rule: \"a\", seed: 1, loss: 0.5},\n\
    #{rule: \"b\", seed: 2, loss: 2.0}, #{rule: \"a\", seed: 2}]);\n";

fn printed(code: &str) -> String {
    Bench::new().script(&format!("{TABLE}{code}"), &[]).ok().to_string()
}

#[test]
fn every_operation_gives_a_new_table() {
    for (code, expected) in [
        ("print(t.filter(\"loss\", \">=\", 1).column(\"seed\"));", "[1, 2]"),
        ("print(t.filter(|row| row.rule == \"a\" && row.loss != ()).len());", "1"),
        (
            "let least = 1.5; print(t.filter(|r| r.seed > least).column(\"rule\"));",
            "[\"b\", \"a\"]",
        ),
        ("print(t.filter(\"loss\", \"==\", ()).column(\"rule\"));", "[\"a\"]"),
        ("print(t.sort(\"loss\").column(\"loss\"));", "[0.5, 1.0, 2.0, ()]"),
        ("print(t.sort(\"loss\", \"descending\").column(\"loss\"));", "[2.0, 1.0, 0.5, ()]"),
        ("print(t.select([\"loss\", \"rule\"]).columns());", "[\"loss\", \"rule\"]"),
        ("print(t.rename(\"loss\", \"nats\").columns()[2]);", "nats"),
        ("print(t.with_column(\"next\", |r| r.seed + 1).column(\"next\"));", "[2, 2, 3, 3]"),
        ("print(t.with_column(\"i\", [4, 3, 2, 1]).sort(\"i\").column(\"seed\"));", "[2, 2, 1, 1]"),
        ("print(t.group(\"rule\", #{loss: \"mean\"}).column(\"loss_mean\"));", "[1.5, 0.5]"),
        (
            "print(t.group([\"rule\"], #{loss: [\"count\", \"max\"]}).columns());",
            "[\"rule\", \"loss_count\", \"loss_max\"]",
        ),
        ("print(t.pivot(\"rule\", \"seed\", \"loss\").column(\"2\"));", "[2.0, ()]"),
        (
            "print(t.join(table(\"f\", [#{rule: \"a\", floor: 0.1}]), \"rule\").column(\"floor\"));",
            "[0.1, 0.1]",
        ),
        (
            "print(t.join(table(\"f\", [#{rule: \"a\", floor: 0.1}]), [\"rule\"], \"left\").len());",
            "4",
        ),
        ("print(t.describe().filter(\"column\", \"==\", \"loss\").column(\"count\"));", "[3]"),
        ("print(t.head(1).rows());", "[#{\"loss\": 1.0, \"rule\": \"b\", \"seed\": 1}]"),
        ("print(t.tail(1).column(\"loss\"));", "[()]"),
        ("print(concat([t, t.head(1)]).len());", "5"),
        (
            "print(t.titled(\"other\").head(0));",
            "other\nrule │ seed │ loss\n─────┼──────┼─────\nno rows yet",
        ),
        (
            "print(mean(t.head(3).column(\"loss\"))); print(std([1, 3]));",
            "1.1666666666666667\n1.4142135623730951",
        ),
    ] {
        assert_eq!(printed(code).trim_end(), expected, "{code}");
    }
}

#[test]
fn a_wrong_column_is_named_by_every_operation_with_the_nearest() {
    for call in [
        "t.filter(\"los\", \">\", 1)",
        "t.sort(\"los\")",
        "t.select([\"rule\", \"los\"])",
        "t.rename(\"los\", \"x\")",
        "t.group(\"los\", #{seed: \"count\"})",
        "t.group(\"rule\", #{los: \"mean\"})",
        "t.join(t, \"los\")",
        "t.pivot(\"rule\", \"seed\", \"los\")",
        "t.column(\"los\")",
    ] {
        let ended = Bench::new().script(&format!("{TABLE}{call};"), &[]);
        ended.with(1, &["no column `los` (did you mean `loss`?)", "rule, seed, loss", "line 4"]);
    }
}

#[test]
fn a_wrong_type_or_word_says_what_it_is() {
    for (call, parts) in [
        ("t.filter(\"rule\", \">\", 1)", &["column `rule` holds text", "a number"][..]),
        ("t.filter(\"loss\", \"=\", 1)", &["no comparison `=`", "did you mean `==`?"]),
        ("t.filter(|row| row.loss)", &["the closure of filter gives float"]),
        ("t.sort(\"loss\", \"down\")", &["is \"down\"", "\"ascending\" or \"descending\""]),
        ("t.group(\"rule\", #{rule: \"mean\"})", &["column `rule` holds text", "mean"]),
        (
            "t.group(\"rule\", #{loss: \"avg\"})",
            &["no figure of a group `avg`", "known: mean, std"],
        ),
        ("t.group(3, #{loss: \"mean\"})", &["3 (int)", "the name of a column"]),
        ("t.join(t, \"rule\", \"outer\")", &["is \"outer\"", "\"inner\" or \"left\""]),
        ("t.with_column(\"x\", [1])", &["column `x` has 1 rows"]),
        ("concat([t, 3])", &["an array of tables; it holds int"]),
        ("t.latex(#{lable: \"x\"})", &["did you mean `label`?"]),
        ("mean([1, \"x\"])", &["mean takes numbers", "x is text"]),
        ("read_table(\"x.xls\")", &["x.xls", ".csv, .parquet and .json"]),
    ] {
        Bench::new().script(&format!("{TABLE}{call};"), &[]).with(1, parts);
    }
}

#[test]
fn a_closure_that_uses_its_own_table_is_told_how_to_go_on() {
    let code = format!("{TABLE}t.filter(|row| row.seed < t.len());");
    Bench::new().script(&code, &[]).with(1, &["a closure uses the variable", "let n = t.len();"]);
    let said = printed("let n = t.len();\nprint(t.filter(|row| row.seed < n).len());");
    assert_eq!(said, "4\n");
}

#[test]
fn markdown_and_latex_are_exactly_this_text() {
    let code = "t.save_md(\"t.md\"); t.save_latex(\"t.tex\", #{caption: \"Loss & seeds\", label: \"tab:t\", decimals: 2});";
    let bench = Bench::new();
    bench.script(&format!("{TABLE}{code}"), &[]).ok();
    let text = |name: &str| String::from_utf8(bench.read(name)).expect("UTF-8");
    let markdown = "**losses**\n\n| rule | seed | loss |\n| :--- | ---: | ---: |\n\
        | b | 1 | 1.0 |\n| a | 1 | 0.5 |\n| b | 2 | 2.0 |\n| a | 2 | – |\n";
    assert_eq!(text("out/t.md"), markdown);
    let latex = r"\begin{table}[t]
  \centering
  \caption{Loss \& seeds}
  \label{tab:t}
  \begin{tabular}{lrr}
    \toprule
    rule & seed & loss \\
    \midrule
    b    &    1 & 1.00 \\
    a    &    1 & 0.50 \\
    b    &    2 & 2.00 \\
    a    &    2 &   -- \\
    \bottomrule
  \end{tabular}
\end{table}
";
    assert_eq!(text("out/t.tex"), latex);
}

#[test]
fn a_table_comes_back_from_every_file_it_is_read_from() {
    for save in ["save_csv(\"t.csv\")", "save_parquet(\"t.parquet\")", "save_json(\"t.json\")"] {
        let code = format!("print(read_table(t.{save}).column(\"loss\"));");
        assert_eq!(printed(&code), "[1.0, 0.5, 2.0, ()]\n", "{save}");
    }
}
