//! The kernel as a front end sees it: a child process behind five sockets.
//!
//! | file | what it is about |
//! |---|---|
//! | `protocol.rs` | every message has its answer, also while a cell runs |
//! | `interrupts.rs` | an interrupt ends whatever runs |
//! | `pictures.rs` | handles show pictures, live work one display; no markup comes from a user |
//! | `rubbish.rs` | mutated messages on every socket |
//! | `kernel_test.rs` | Jupyter's own test suite for kernels |
//!
//! Running time: about 30 s; 13 of them are 100,000 messages of rubbish. Times are asserted far above what an idle machine shows, because tests
//! share their cores; what is usual stands beside each.

mod support;

#[path = "jupyter/interrupts.rs"]
mod interrupts;
#[path = "jupyter/kernel_test.rs"]
mod kernel_test;
#[path = "jupyter/pictures.rs"]
mod pictures;
#[path = "jupyter/protocol.rs"]
mod protocol;
#[path = "support/python.rs"]
mod python;
#[path = "support/raw.rs"]
mod raw;
#[path = "jupyter/rubbish.rs"]
mod rubbish;
#[path = "support/suite.rs"]
mod suite;

use std::thread::sleep;
use std::time::{Duration, Instant};

use jupyter_protocol::{
    CompleteRequest, ExecuteRequest, HistoryRequest, InspectRequest, IsCompleteReplyStatus,
    IsCompleteRequest, JupyterMessage, JupyterMessageContent, KernelInfoRequest, ReplyStatus,
    UnknownMessage,
};
use support::client::{Kernel, LIMIT, is_answered};
use support::notebook::run_notebook;

/// Long enough to see that nothing comes.
const A_WHILE: Duration = Duration::from_millis(300);

#[test]
fn a_kernel_answers_soon_after_its_start() {
    let start = Instant::now();
    let kernel = Kernel::start();
    let reply = kernel.client().ask(KernelInfoRequest {});
    let took = start.elapsed();
    let JupyterMessageContent::KernelInfoReply(info) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(info.language_info.name, "rhai");
    assert_eq!(info.language_info.file_extension.as_deref(), Some(".rhai"));
    assert_eq!(info.protocol_version, "5.5");
    println!("from start to kernel_info_reply: {took:?}");
    // Usual: 30 ms.
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_cell_says_busy_input_output_and_idle_in_this_order() {
    let kernel = Kernel::start();
    let run = kernel.client().run("print(\"hi\"); 1 + 1");
    assert_eq!(run.stdout(), "hi\n");
    assert_eq!(run.result().as_deref(), Some("2"));
    assert_eq!(run.kinds(), ["status", "execute_input", "stream", "execute_result", "status"]);
    assert_eq!(run.reply.status, ReplyStatus::Ok);
    assert_eq!(run.reply.execution_count.value(), 1);
}

#[test]
fn variables_and_functions_live_from_cell_to_cell() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    client.run("let a = 40; fn more(x) { x + 2 }");
    let run = client.run("more(a)");
    assert_eq!(run.result().as_deref(), Some("42"));
    assert_eq!(run.reply.execution_count.value(), 2);
}

#[test]
fn print_goes_to_stdout_and_debug_to_stderr() {
    let kernel = Kernel::start();
    let run = kernel.client().run("print(\"out\"); debug(\"err\");");
    assert_eq!(run.stdout(), "out\n");
    assert!(run.stderr().contains("err"), "{}", run.stderr());
}

#[test]
fn many_prints_arrive_in_order_in_few_messages() {
    let kernel = Kernel::start();
    let run = kernel.client().run("for i in 0..20000 { print(i); }");
    let expected: String = (0..20_000).map(|i| format!("{i}\n")).collect();
    assert!(run.stdout() == expected, "every line, in order");
    let messages = run.kinds().iter().filter(|kind| **kind == "stream").count();
    println!("20000 prints in {messages} messages");
    // 109 kB in pieces of 64 kB or 25 ms; usual: 2 to 4.
    assert!(messages < 200, "{messages} messages");
}

#[test]
fn an_interrupt_ends_an_endless_loop_and_variables_stay() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    client.run("let kept = 7;");
    let id = client.send_cell("loop {}");
    client.wait_until_running(&id);
    let start = Instant::now();
    client.interrupt();
    let run = client.finish(&id);
    let took = start.elapsed();
    assert_eq!(run.reply.status, ReplyStatus::Error);
    assert_eq!(run.error().unwrap().ename, "Interrupted");
    println!("from interrupt to idle: {took:?}");
    // Usual: 25 ms, 20 of them waiting for cells on their way.
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(client.run("kept").result().as_deref(), Some("7"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_interrupts_a_cell_and_leaves_an_idle_kernel_alone() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    client.run("let kept = 7;");
    kernel.ctrl_c();
    // A signal takes its time; one that arrives during the next cell would rightly stop that one.
    sleep(A_WHILE);
    assert_eq!(client.run("kept").result().as_deref(), Some("7"));
    let id = client.send_cell("loop {}");
    client.wait_until_running(&id);
    kernel.ctrl_c();
    assert_eq!(client.finish(&id).error().unwrap().ename, "Interrupted");
    assert_eq!(client.run("kept").result().as_deref(), Some("7"));
}

#[test]
fn an_error_is_shown_once_and_the_next_cell_runs() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let run = client.run("let before = 1;\nthrow \"a reason\"");
    assert_eq!(run.kinds(), ["status", "execute_input", "error", "status"]);
    let error = run.error().unwrap();
    assert!(error.evalue.contains("a reason"), "{error:?}");
    assert!(!error.traceback.is_empty());
    assert_eq!(run.reply.error.as_ref().unwrap().evalue, error.evalue);
    assert_eq!(client.run("1 + 1").result().as_deref(), Some("2"));
}

#[test]
fn a_syntax_error_names_line_and_column() {
    let kernel = Kernel::start();
    let run = kernel.client().run("let a = 1;\nlet b = );");
    let error = run.error().unwrap();
    let shown = format!("{}\n{}", error.evalue, error.traceback.join("\n"));
    assert!(shown.contains("line 2"), "{shown}");
    assert!(shown.contains('9'), "column 9: {shown}");
}

#[test]
fn a_failed_cell_aborts_the_cells_behind_it() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let ids = ["throw \"x\"", "print(1)", "print(2)"].map(|code| client.send_cell(code));
    let statuses = ids.map(|id| {
        let run = client.finish(&id);
        assert_eq!(run.stdout(), "");
        run.reply.status
    });
    assert_eq!(statuses, [ReplyStatus::Error, ReplyStatus::Aborted, ReplyStatus::Aborted]);
    assert_eq!(client.run("print(3)").stdout(), "3\n", "a cell sent later runs");
}

#[test]
fn cells_behind_a_failed_one_run_when_the_request_says_so() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let request = ExecuteRequest {
        code: "throw \"x\"".to_owned(),
        stop_on_error: false,
        ..ExecuteRequest::default()
    };
    let failing = client.send(request);
    let next = client.send_cell("print(1)");
    assert_eq!(client.finish(&failing).reply.status, ReplyStatus::Error);
    assert_eq!(client.finish(&next).stdout(), "1\n");
}

#[test]
fn a_silent_cell_runs_without_a_sound_or_a_number() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let request = ExecuteRequest {
        code: "let quiet = 5; print(quiet); quiet".to_owned(),
        silent: true,
        ..ExecuteRequest::default()
    };
    let id = client.send(request);
    assert_eq!(client.finish(&id).kinds(), ["status", "status"]);
    let run = client.run("quiet");
    assert_eq!(run.result().as_deref(), Some("5"));
    assert_eq!(run.reply.execution_count.value(), 1);
}

#[test]
fn a_busy_kernel_still_beats_and_answers_questions() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let id = client.send_cell("loop {}");
    client.wait_until_running(&id);
    let start = Instant::now();
    client.heartbeat();
    assert!(matches!(client.ask(KernelInfoRequest {}), JupyterMessageContent::KernelInfoReply(_)));
    let completion = CompleteRequest { code: "pri".to_owned(), cursor_pos: 3 };
    let JupyterMessageContent::CompleteReply(reply) = client.ask(completion) else {
        panic!("no complete_reply");
    };
    assert_eq!(reply.status, ReplyStatus::Ok);
    println!("three answers of a busy kernel: {:?}", start.elapsed());
    client.interrupt();
    client.finish(&id);
}

#[test]
fn code_is_looked_at_without_running_it() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let completion = CompleteRequest { code: "pri".to_owned(), cursor_pos: 3 };
    let JupyterMessageContent::CompleteReply(reply) = client.ask(completion) else {
        panic!("no complete_reply");
    };
    assert!(reply.matches.iter().any(|found| found.starts_with("print")), "{reply:?}");
    assert_eq!((reply.cursor_start, reply.cursor_end), (0, 3));

    let inspection =
        InspectRequest { code: "print".to_owned(), cursor_pos: 2, detail_level: Some(0) };
    assert!(matches!(client.ask(inspection), JupyterMessageContent::InspectReply(_)));

    let wanted = [
        ("1 + 1", IsCompleteReplyStatus::Complete),
        ("fn f() {", IsCompleteReplyStatus::Incomplete),
        ("let = )", IsCompleteReplyStatus::Invalid),
    ];
    for (code, expected) in wanted {
        let question = IsCompleteRequest { code: code.to_owned() };
        let JupyterMessageContent::IsCompleteReply(reply) = client.ask(question) else {
            panic!("no is_complete_reply");
        };
        assert_eq!(format!("{:?}", reply.status), format!("{expected:?}"), "{code}");
    }
}

#[test]
fn the_history_has_the_cells_of_this_session() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    for code in ["let a = 1;", "a + 1", "a + 2"] {
        client.run(code);
    }
    let search = HistoryRequest::Search {
        pattern: "a +*".to_owned(),
        unique: false,
        output: false,
        raw: true,
        n: 1,
    };
    let JupyterMessageContent::HistoryReply(reply) = client.ask(search) else {
        panic!("no history_reply");
    };
    let found = serde_json::to_value(&reply.history).unwrap();
    assert_eq!(found, serde_json::json!([[1, 3, "a + 2"]]));
}

#[test]
fn a_second_client_hears_the_first_and_may_leave() {
    let kernel = Kernel::start();
    let mut first = kernel.client();
    let mut second = kernel.client();
    let id = first.send_cell("print(\"for all\")");
    second.hear_until(&id, |content| {
        matches!(content, JupyterMessageContent::StreamContent(stream) if stream.text == "for all\n")
    });
    first.finish(&id);
    assert_eq!(second.run("1 + 1").result().as_deref(), Some("2"));
    drop(second);
    assert_eq!(first.run("1 + 2").result().as_deref(), Some("3"));
}

#[test]
fn a_message_with_a_wrong_signature_gets_no_answer() {
    let kernel = Kernel::start();
    let mut friend = kernel.client();
    let mut stranger = kernel.info().clone();
    assert!(is_answered(&stranger, "let own = 1;", LIMIT));
    stranger.key = "another key".to_owned();
    assert!(!is_answered(&stranger, "let planted = 1;", A_WHILE));
    assert!(friend.run("own").error().is_none());
    assert!(friend.run("planted").error().is_some(), "the code did not run");
}

#[test]
fn an_unknown_message_is_ignored() {
    let kernel = Kernel::start();
    let mut client = kernel.client();
    let unknown = UnknownMessage {
        msg_type: "message_of_the_future_request".to_owned(),
        content: serde_json::json!({"anything": [1, 2]}),
    };
    let id = client.send(JupyterMessage::new(unknown, None));
    assert!(client.reply_within(&id, A_WHILE).is_none());
    assert_eq!(client.run("1 + 1").result().as_deref(), Some("2"));
}

#[test]
fn a_shutdown_ends_the_process_and_a_restart_takes_the_same_ports() {
    let mut kernel = Kernel::start();
    let mut client = kernel.client();
    client.run("let gone = 1;");
    for _ in 0..3 {
        let start = Instant::now();
        client.shut_down(true);
        kernel.start_again();
        client = kernel.client();
        let run = client.run("gone");
        println!("restart and first cell: {:?}", start.elapsed());
        assert!(run.error().is_some(), "a restarted kernel knows nothing");
        assert_eq!(run.reply.execution_count.value(), 1);
    }
    client.shut_down(false);
    kernel.wait_for_end();
}

#[test]
fn a_shutdown_does_not_wait_for_an_endless_cell() {
    let mut kernel = Kernel::start();
    let mut client = kernel.client();
    let id = client.send_cell("loop {}");
    client.wait_until_running(&id);
    client.send_cell("print(\"never\")");
    let start = Instant::now();
    client.shut_down(false);
    kernel.wait_for_end();
    // Usual: 130 ms.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[cfg(unix)]
#[test]
fn socket_files_work_and_those_of_a_killed_kernel_are_taken_over() {
    let mut kernel = Kernel::start_ipc();
    assert_eq!(kernel.client().run("1 + 1").result().as_deref(), Some("2"));
    kernel.kill_and_start_again();
    assert_eq!(kernel.client().run("1 + 2").result().as_deref(), Some("3"));
}

#[test]
fn a_notebook_runs_cell_by_cell() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.ipynb");
    let cell =
        |source: serde_json::Value| serde_json::json!({"cell_type": "code", "source": source});
    let notebook = serde_json::json!({"cells": [
        cell("let a = 2;\nprint(\"first\");".into()),
        {"cell_type": "markdown", "source": "prose"},
        cell(vec!["print(\"second\");\n", "a * 21"].into()),
        cell("throw \"the end\"".into()),
    ]});
    std::fs::write(&path, notebook.to_string()).unwrap();
    let cells = run_notebook(&path);
    assert_eq!(cells.len(), 3);
    assert_eq!(cells[0].text(), "first\n");
    assert_eq!(cells[1].text(), "second\n\n42");
    assert_eq!(cells[1].execution_count, 2);
    assert_eq!(cells[1].source, "print(\"second\");\na * 21");
    assert!(cells[1].succeeded && !cells[2].succeeded);
    assert_eq!(cells[2].outputs[0]["output_type"], "error");
}
