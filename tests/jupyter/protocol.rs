//! Every message of the protocol has its answer, also while a cell runs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::raw::{Channel, Message, Raw};
use crate::support::client::Kernel;

pub(super) fn start() -> (Kernel, Raw) {
    let kernel = Kernel::start();
    // It answers, so it listens on every socket.
    kernel.client();
    let raw = Raw::connect(kernel.info());
    (kernel, raw)
}

/// Runs a cell: what it said, and its reply.
pub(super) fn run(raw: &mut Raw, code: &str) -> (Vec<Message>, Value) {
    let id = raw.send_cell(code);
    let reply = raw.reply(Channel::Shell, &id).content;
    (raw.said(&id), reply)
}

pub(super) fn kinds(said: &[Message]) -> Vec<&str> {
    said.iter().map(|message| message.kind.as_str()).collect()
}

fn stdout(said: &[Message]) -> String {
    let streams = said.iter().filter(|message| message.content["name"] == "stdout");
    streams.filter_map(|message| message.content["text"].as_str()).collect()
}

#[test]
fn a_front_end_that_does_not_read_its_broadcasts_gets_its_replies() {
    let kernel = Kernel::start();
    kernel.client();
    let mut raw = Raw::connect(kernel.info());
    // 80 MB that nobody reads: more than the sockets hold, and than the 16 MB at which a cell is held back.
    for _ in 0..40 {
        raw.send_cell("let page = \"x\"; page.pad(2000000, \"x\"); show(page);");
    }
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    raw.ask(Channel::Shell, "kernel_info_request", json!({}));
    // A reply overtakes after 100 ms; without that it waits 5 s.
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
}

#[test]
fn a_cell_asks_its_sender_and_gets_the_answer() {
    let (_kernel, mut raw) = start();
    let id = raw.send_cell("let name = input(\"Who? \"); `hello ${name}`");
    let question = raw.reply(Channel::Stdin, &id);
    assert_eq!(question.kind, "input_request");
    assert_eq!(question.content, json!({"prompt": "Who? ", "password": false}));
    raw.send(Channel::Stdin, "input_reply", &json!({"status": "ok", "value": "Ada é"}));
    assert_eq!(raw.reply(Channel::Shell, &id).content["status"], "ok");
    let result = raw.hear_kind(&id, "execute_result");
    assert_eq!(result.content["data"]["text/plain"], "hello Ada é");
}

#[test]
fn where_nobody_may_be_asked_input_is_an_error_that_says_what_to_do() {
    let (_kernel, mut raw) = start();
    let content = json!({"code": "input(\"?\")", "allow_stdin": false});
    let reply = raw.ask(Channel::Shell, "execute_request", content).content;
    assert_eq!(reply["status"], "error");
    assert!(reply["evalue"].as_str().unwrap().contains("param(name, default)"), "{reply}");
}

#[test]
fn output_is_cleared_and_named_places_are_updated() {
    let (_kernel, mut raw) = start();
    let (said, _) = run(&mut raw, "print(1); clear_output(true); clear_output(); print(2);");
    let expected =
        ["status", "execute_input", "stream", "clear_output", "clear_output", "stream", "status"];
    assert_eq!(kinds(&said), expected);
    assert_eq!((&said[3].content["wait"], &said[4].content["wait"]), (&json!(true), &json!(false)));

    let (said, _) = run(&mut raw, "for i in 0..3 { show_at(\"count\", i); }");
    assert_eq!(kinds(&said)[2..5], ["display_data", "update_display_data", "update_display_data"]);
    assert_eq!(said[4].content["data"]["text/plain"], "2");
    assert_eq!(said[2].content["transient"], said[4].content["transient"]);
    assert!(said[2].content["transient"]["display_id"].is_string());
}

#[test]
fn a_busy_kernel_completes_and_explains_from_the_names_it_had() {
    let (_kernel, mut raw) = start();
    run(&mut raw, "let speedy = 1; let shape = target_shape(#{layers: 2});");
    let id = raw.send_cell("loop {}");
    raw.hear_kind(&id, "execute_input");
    let start = Instant::now();
    let code = json!({"code": "spee", "cursor_pos": 4});
    let found = raw.ask(Channel::Shell, "complete_request", code).content;
    assert_eq!(found["matches"], json!(["speedy"]));
    // A cursor counts characters: 6 of them, 8 bytes.
    let code = json!({"code": "\"é\"; spee + 1", "cursor_pos": 9});
    let found = raw.ask(Channel::Shell, "complete_request", code).content;
    assert_eq!((&found["cursor_start"], &found["cursor_end"]), (&json!(5), &json!(9)));
    let code = json!({"code": "shape", "cursor_pos": 2, "detail_level": 0});
    let help = raw.ask(Channel::Shell, "inspect_request", code).content;
    assert_eq!(help["found"], true);
    assert!(help["data"]["text/plain"].as_str().unwrap().contains("TargetShape"), "{help}");
    let code = json!({"code": "prune", "cursor_pos": 5, "detail_level": 1});
    assert_eq!(raw.ask(Channel::Shell, "inspect_request", code).content["found"], true);
    let open = raw.ask(Channel::Shell, "is_complete_request", json!({"code": "fn f() {"}));
    assert_eq!(open.content["status"], "incomplete");
    let history = json!({"hist_access_type": "tail", "n": 5, "raw": true, "output": false});
    let history = raw.ask(Channel::Shell, "history_request", history).content;
    assert_eq!(history["history"].as_array().unwrap().len(), 1);
    println!("six answers of a busy kernel: {:?}", start.elapsed());
    raw.ask(Channel::Control, "interrupt_request", json!({}));
    assert_eq!(raw.reply(Channel::Shell, &id).content["ename"], "Interrupted");
}

#[test]
fn what_is_not_there_says_so() {
    let (kernel, mut raw) = start();
    let info = raw.ask(Channel::Control, "kernel_info_request", json!({})).content;
    assert_eq!(info["supported_features"], json!([]));
    for (kind, content) in [
        ("create_subshell_request", json!({})),
        ("delete_subshell_request", json!({"subshell_id": "x"})),
        ("list_subshell_request", json!({})),
    ] {
        let reply = raw.ask(Channel::Control, kind, content);
        assert_eq!(reply.kind, kind.replace("request", "reply"));
        assert_eq!(
            (&reply.content["status"], &reply.content["ename"]),
            (&json!("error"), &json!("NotSupported"))
        );
    }
    let debug = json!({"type": "request", "seq": 7, "command": "initialize"});
    let reply = raw.ask(Channel::Control, "debug_request", debug).content;
    assert_eq!(reply["success"], false);
    assert_eq!((&reply["request_seq"], &reply["command"]), (&json!(7), &json!("initialize")));
    let ports = raw.ask(Channel::Shell, "connect_request", json!({})).content;
    assert_eq!(ports["shell_port"], kernel.info().shell_port);
    let comms = raw.ask(Channel::Shell, "comm_info_request", json!({"target_name": "x"})).content;
    assert_eq!(comms["comms"], json!({}));
}

#[test]
fn a_comm_nobody_knows_is_closed() {
    let (_kernel, mut raw) = start();
    let open = json!({"comm_id": "c1", "target_name": "jupyter.widget", "data": {}});
    let id = raw.send(Channel::Shell, "comm_open", &open);
    let said = raw.said(&id);
    assert_eq!(kinds(&said), ["status", "comm_close", "status"]);
    assert_eq!(said[1].content["comm_id"], "c1");
    for kind in ["comm_msg", "comm_close"] {
        let id = raw.send(Channel::Shell, kind, &json!({"comm_id": "c1", "data": {}}));
        assert_eq!(kinds(&raw.said(&id)), ["status", "status"]);
    }
}

#[test]
fn expressions_are_answered_and_belong_to_no_cell() {
    let (_kernel, mut raw) = start();
    let content = json!({
        "code": "let a = 20;", "user_expressions": {"twice": "a * 2", "wrong": "b"},
    });
    let reply = raw.ask(Channel::Shell, "execute_request", content).content;
    let values = &reply["user_expressions"];
    assert_eq!(values["twice"]["data"]["text/plain"], "40");
    assert_eq!(values["wrong"]["status"], "error");
    assert_eq!(reply["execution_count"], 1);
    let (_, reply) = run(&mut raw, "throw \"x\"");
    assert_eq!(reply["execution_count"], 2);
    assert!(reply["traceback"][1].as_str().unwrap().contains("cell 2"), "{reply}");
}

#[test]
fn a_request_of_the_wrong_shape_is_refused_and_the_kernel_goes_on() {
    let (_kernel, mut raw) = start();
    for kind in ["execute_request", "complete_request", "inspect_request", "is_complete_request"] {
        for content in [json!({}), json!({"code": 5}), json!({"code": ["a"]})] {
            let reply = raw.ask(Channel::Shell, kind, content).content;
            assert_eq!(
                (&reply["status"], &reply["ename"]),
                (&json!("error"), &json!("MessageError"))
            );
        }
    }
    let odd = json!({
        "code": "6 * 7", "silent": "no", "store_history": 3, "user_expressions": [], "later": {},
    });
    assert_eq!(raw.ask(Channel::Shell, "execute_request", odd).content["status"], "ok");
}

#[test]
fn help_with_a_question_mark_goes_to_the_pager() {
    let (_kernel, mut raw) = start();
    let (said, reply) = run(&mut raw, "prune?");
    assert_eq!(kinds(&said), ["status", "execute_input", "status"]);
    assert_eq!(reply["payload"][0]["source"], "page");
    let text = reply["payload"][0]["data"]["text/plain"].as_str().unwrap();
    assert!(text.contains("prune("), "{text}");
}

#[test]
fn magics_work_in_a_notebook() {
    let (_kernel, mut raw) = start();
    let (said, reply) = run(&mut raw, "%%time\nlet a = 1;\na + 1");
    assert_eq!(reply["status"], "ok");
    assert!(stdout(&said).starts_with("time "));
    let (said, _) = run(&mut raw, "%who");
    let shown = said[2].content["data"]["text/plain"].as_str().unwrap();
    assert!(shown.contains("int"), "{shown}");
    let (said, _) = run(&mut raw, "vars()");
    assert!(said[2].content["data"]["text/html"].as_str().unwrap().contains("<td"));
    let (_, reply) = run(&mut raw, "%hlep");
    assert_eq!(reply["ename"], "MagicError");
    assert!(reply["traceback"].to_string().contains("%help"), "{reply}");
    let found = json!({"code": "%wh", "cursor_pos": 3});
    let found = raw.ask(Channel::Shell, "complete_request", found).content;
    assert_eq!(found["matches"], json!(["%who"]));
}

#[test]
fn the_history_outlives_the_kernel() {
    let (mut kernel, mut raw) = start();
    run(&mut raw, "let kept = 1;");
    run(&mut raw, "kept + 41");
    raw.send(
        Channel::Shell,
        "execute_request",
        &json!({"code": "let secret = 1;", "store_history": false}),
    );
    kernel.kill_and_start_again();
    kernel.client();
    let mut raw = Raw::connect(kernel.info());
    run(&mut raw, "\"today\"");
    let tail = json!({"hist_access_type": "tail", "n": 3, "raw": true, "output": true});
    let found = raw.ask(Channel::Shell, "history_request", tail).content;
    assert_eq!(
        found["history"],
        json!([
            [1, 1, ["let kept = 1;", null]],
            [1, 2, ["kept + 41", "42"]],
            [2, 1, ["\"today\"", "today"]]
        ])
    );
    let search = json!({"hist_access_type": "search", "pattern": "kept*", "unique": true});
    let found = raw.ask(Channel::Shell, "history_request", search).content;
    assert_eq!(found["history"], json!([[1, 2, "kept + 41"]]));
    let range = json!({"hist_access_type": "range", "session": -1, "start": 1, "stop": 2});
    let found = raw.ask(Channel::Shell, "history_request", range).content;
    assert_eq!(found["history"], json!([[1, 1, "let kept = 1;"]]));
}

#[test]
fn a_shutdown_on_the_shell_socket_ends_the_kernel_too() {
    let (mut kernel, mut raw) = start();
    let start = Instant::now();
    let reply = raw.ask(Channel::Shell, "shutdown_request", json!({"restart": false}));
    assert_eq!(reply.content, json!({"status": "ok", "restart": false}));
    kernel.wait_for_end();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
