//! What a notebook sees: pictures of handles, live work, and nothing that could run in a page.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use super::protocol::{run, start};
use super::raw::Message;

/// A model, small domains and a run, as the cells below use them.
const SET_UP: &str = "let model = load_model(\"demo\");
    let domains = load_domains(\"demo\", #{seq_len: 64, max_tokens: 4000});
    let target = target_shape(#{layers: 3, heads: 4});
    let run = prune(model, target, domains, #{steps: 400, batch: 4, eval_every: 20});
    run.step(1);";

/// The bundle of the cell's value.
fn value(said: &[Message]) -> &Value {
    let result = said.iter().find(|m| m.kind == "execute_result");
    &result.unwrap_or_else(|| panic!("no value: {said:?}")).content["data"]
}

#[test]
fn every_handle_has_a_picture_and_the_same_numbers_as_text() {
    let (_kernel, mut raw) = start();
    run(&mut raw, SET_UP);
    for (code, drawn, both) in [
        ("model", true, &["Model demo", "420,672", "layer 3", "attention of 4 layers"][..]),
        ("domains", true, &["Domains story", "eval rows", "lookup", "1.931"]),
        ("target", false, &["Target shape", "as the source"]),
        ("run", true, &["Run of demo", "step 1 of 400", "of 0.250", "mixture after step 1"]),
        ("run.extract()", true, &["3 layers", "4 heads (2 kv) of 16"]),
        ("run.mixture()", true, &["weight", "0.200"]),
        ("vars()", false, &["domains", "19,840 tokens", "cpu"]),
    ] {
        let (said, _) = run(&mut raw, code);
        let (text, html) = (&value(&said)["text/plain"], &value(&said)["text/html"]);
        let (text, html) = (text.as_str().unwrap(), html.as_str().unwrap());
        assert_eq!(html.contains("<svg"), drawn, "{code}: {html}");
        for words in both {
            assert!(text.contains(words), "{code} as text has no `{words}`:\n{text}");
            assert!(html.contains(words), "{code} as HTML has no `{words}`:\n{html}");
        }
    }
}

#[test]
fn a_chart_is_svg_and_png_on_request() {
    let (_kernel, mut raw) = start();
    run(&mut raw, SET_UP);
    let (said, _) = run(&mut raw, "run.gate_chart()");
    let text = value(&said)["text/plain"].as_str().unwrap();
    assert!(value(&said)["image/svg+xml"].as_str().unwrap().starts_with("<svg"));
    assert!(text.contains("head 3") && text.contains("layer"), "{text}");
    let (said, _) = run(&mut raw, "run.gate_chart().png(0.5)");
    let png = value(&said)["image/png"].as_str().unwrap();
    // The signature of a PNG in base64.
    assert!(png.starts_with("iVBORw0KGgo"), "{}", &png[..20]);
    assert_eq!(value(&said)["text/plain"].as_str().unwrap(), text);
    let (_, reply) = run(&mut raw, "run.gate_chart().png(\"large\")");
    assert!(reply["evalue"].as_str().unwrap().contains("0.5 to 4"), "{reply}");
}

#[test]
fn nothing_a_user_names_or_loads_becomes_markup() {
    let (_kernel, mut raw) = start();
    let evil = "<script>alert('x')</script>";
    run(&mut raw, "let model = load_model(\"demo\");");
    run(
        &mut raw,
        &format!(
            "let texts = model.sample(40, #{{max_tokens: 60}});
            let domains = load_domains(#{{\"{evil}\": texts, \"b\\\"><img src=x>\": texts}}, #{{seq_len: 32}});
            let run = prune(model, target_shape(#{{layers: 3}}), domains, #{{batch: 2, eval_every: 1}});"
        ),
    );
    let mut seen = Vec::new();
    for code in [
        "domains".to_string(),
        // Long enough that the live picture is drawn.
        "run.step(60)".into(),
        "run".into(),
        "run.mixture()".into(),
        "run.mixture_chart()".into(),
        "run.loss_chart()".into(),
        "vars()".into(),
        format!("table(\"{evil}\", [#{{a: \"{evil}\"}}])"),
        format!("#{{a: \"{evil}\"}}"),
        format!("line_chart(\"{evil}\", \"{evil}\", \"y\", #{{\"{evil}\": [[1, 1], [2, 2]]}})"),
        format!("show_at(\"{evil}\", \"{evil}\")"),
    ] {
        let (said, reply) = run(&mut raw, &code);
        assert_eq!(reply["status"], "ok", "{code}: {reply}");
        for message in &said {
            for mime in ["text/html", "image/svg+xml"] {
                if let Some(markup) = message.content["data"][mime].as_str() {
                    let found = ["<script", "<img"].into_iter().find(|tag| markup.contains(tag));
                    assert_eq!(found, None, "{code}, {mime}: {markup}");
                    seen.push(markup.to_string());
                }
            }
        }
    }
    // The names did come through, as text.
    assert!(seen.iter().filter(|markup| markup.contains("&lt;script&gt;")).count() >= 6);
}

#[test]
fn live_work_is_one_display_drawn_five_times_a_second_that_ends_as_its_last_state() {
    let (_kernel, mut raw) = start();
    run(&mut raw, SET_UP);
    let begin = Instant::now();
    // About 6 s on two cores; a busy machine takes longer and may draw more.
    let (said, reply) = run(&mut raw, "for i in 0..3 { run.step(100); }");
    let took = begin.elapsed();
    assert_eq!(reply["status"], "ok", "{reply}");
    let drawn: Vec<&Message> = said.iter().filter(|m| m.kind.ends_with("display_data")).collect();
    let places = drawn.iter().filter(|m| m.kind == "display_data").count();
    assert_eq!(places, 3, "a place a call");
    // The kernel's clock runs inside ours: the bound holds on any machine. A call draws its end too.
    let most = took.as_millis() / 200 + 2 * 3;
    assert!(drawn.len() as u128 <= most, "{} drawings in {took:?}", drawn.len());
    let mut last = BTreeMap::new();
    for message in &drawn {
        let id = message.content["transient"]["display_id"].to_string();
        let data = &message.content["data"];
        let html = data["text/html"].as_str().unwrap_or_default();
        if html.contains("/100 steps") {
            for words in ["sparsity", "mixture", "of 0.250", "loss", "tokens/s", "story"] {
                assert!(html.contains(words), "no `{words}`: {html}");
            }
        }
        assert!(html.len() < 16_000, "{} bytes", html.len());
        last.insert(id, data["text/plain"].as_str().unwrap().to_string());
    }
    // What the notebook keeps: how each call ended, and no bar.
    for text in last.values() {
        assert!(text.starts_with("prune at step ") && !text.contains("/100"), "{text}");
    }
}

#[test]
fn a_long_table_opens_in_pages_and_stays_small() {
    let (_kernel, mut raw) = start();
    let rows = "let rows = []; for i in 0..20000 { rows.push(#{i: i, text: \"word \" + i}); } ";
    let (said, _) = run(&mut raw, &format!("{rows} let t = table(\"long\", rows); t"));
    let html = value(&said)["text/html"].as_str().unwrap();
    assert!(html.len() < 110_000, "{} bytes", html.len());
    assert!(html.contains("<details>") && html.contains(".page(400)"), "{html}");
    let (said, _) = run(&mut raw, "t.page(2)");
    let text = value(&said)["text/plain"].as_str().unwrap();
    assert!(text.starts_with("long · rows 51 to 100 of 20,000\n"), "{text}");
    assert!(text.contains("word 99") && !text.contains("word 100"), "{text}");
    let (_, reply) = run(&mut raw, "t.page(0)");
    assert!(reply["evalue"].as_str().unwrap().contains("try .page(1)"), "{reply}");
}
