//! The thread that runs cells.
//!
//! A cell says, in this order: `busy`, `execute_input`, its outputs, its result or error, the reply,
//! `idle`. When a cell fails and its request has `stop_on_error`, the requests that were sent before
//! its reply are answered with `aborted`. A request on its way through a socket counts too: the
//! thread waits [`GATHER`] before it takes the queue, so three cells sent at once always end as
//! error, aborted, aborted. Nothing sent after the reply is ever aborted.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::messages::{self, Failure};
use super::output::{Asking, CellOutput};
use super::requests::{self, panic_text};
use super::shared::Shared;
use super::wire::Incoming;
use super::{Cell, CellOutcome, CellRunner};
use crate::session::Output;

/// How long a failed cell waits for requests that are on their way.
const GATHER: Duration = Duration::from_millis(20);

/// The cell thread: owns the runner.
pub struct CellThread {
    runner: Box<dyn CellRunner>,
    requests: Receiver<Incoming>,
    shared: Arc<Shared>,
}

impl CellThread {
    /// A thread's worth of work: run the requests that come in with `runner`.
    pub fn new(
        runner: Box<dyn CellRunner>,
        requests: Receiver<Incoming>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { runner, requests, shared }
    }

    /// Works until the sender of the requests is gone or the kernel stops.
    pub fn run(mut self) {
        while let Ok(request) = self.requests.recv() {
            if self.shared.is_stopping() {
                break;
            }
            if request.kind() != "execute_request" {
                self.look(&request);
                continue;
            }
            for request in self.execute(&request) {
                if request.kind() == "execute_request" {
                    self.abort(&request);
                } else {
                    self.look(&request);
                }
            }
        }
    }

    /// Runs a cell. Gives back the requests that were waiting when it failed, none if it did not.
    fn execute(&mut self, request: &Incoming) -> VecDeque<Incoming> {
        let code = request.text("code");
        let silent = request.flag("silent", false);
        let store = request.flag("store_history", true) && !silent;
        let shared = self.shared.clone();
        let (outbox, parent) = (&shared.outbox, &request.header);

        // Before anybody can know that the cell runs.
        shared.begin_cell(parent, self.runner.names());
        outbox.broadcast(parent, "status", messages::status("busy"));
        let count = shared.count(store);
        if !silent {
            let input = json!({"code": code, "execution_count": count});
            outbox.broadcast(parent, "execute_input", input);
        }

        let cell = Cell { code, number: count, remembered: store };
        let (outcome, payload) =
            self.speak(request, silent, |runner, output| runner.run_cell(cell, output));
        let failure = Failure::of(&outcome);
        let expressions = match &failure {
            None => self.user_expressions(request),
            Some(_) => Map::new(),
        };
        shared.end_cell();
        match (&outcome, &failure) {
            _ if silent => {}
            (_, Some(failure)) => outbox.broadcast(parent, "error", failure.content()),
            (CellOutcome::Value(Some(value)), None) => {
                outbox.broadcast(parent, "execute_result", messages::execute_result(count, value));
            }
            _ => {}
        }
        if store {
            let output = match &outcome {
                CellOutcome::Value(Some(value)) => Some(value.text.clone()),
                _ => None,
            };
            shared.history().push(count, code, output);
        }

        let mut behind = VecDeque::new();
        if failure.is_some() && request.flag("stop_on_error", true) {
            thread::sleep(GATHER);
            behind.extend(self.requests.try_iter());
        }
        // Before the reply: who has it may ask for completions and finds the kernel free.
        shared.cell_goes();
        let reply = messages::execute_reply(count, failure.as_ref(), payload, expressions);
        outbox.reply(request.reply(reply));
        outbox.broadcast(parent, "status", messages::status("idle"));
        behind
    }

    /// Runs something with the output of a request, and gives the payload it asked for. A panic of the
    /// runner is an error of the cell.
    fn speak(
        &mut self,
        request: &Incoming,
        silent: bool,
        run: impl FnOnce(&mut dyn CellRunner, &Arc<dyn Output>) -> CellOutcome,
    ) -> (CellOutcome, Vec<Value>) {
        let shared = &self.shared;
        let answered = request.flag("allow_stdin", true) && !silent;
        let asking = Asking {
            questions: shared.questions.clone(),
            identities: answered.then(|| request.identities.clone()),
        };
        let cell = CellOutput::new(shared.outbox.clone(), request.header.clone(), asking, silent);
        let cell = Arc::new(cell);
        let output: Arc<dyn Output> = cell.clone();
        let outcome = guarded(|| run(self.runner.as_mut(), &output));
        cell.finish();
        (outcome, cell.payload())
    }

    /// Values of expressions a front end wants to know after the cell; they say nothing else.
    fn user_expressions(&mut self, request: &Incoming) -> Map<String, Value> {
        let Some(Value::Object(expressions)) = request.content.get("user_expressions") else {
            return Map::new();
        };
        expressions
            .iter()
            .map(|(name, code)| {
                let code = code.as_str().unwrap_or_default();
                let (outcome, _) =
                    self.speak(request, true, |runner, output| runner.evaluate(code, output));
                (name.clone(), messages::user_expression(&outcome))
            })
            .collect()
    }

    /// Answers a request that looks at code without running it.
    fn look(&self, request: &Incoming) {
        self.shared.answer(request, requests::look(self.runner.as_ref(), request));
    }

    fn abort(&self, request: &Incoming) {
        self.shared.cell_goes();
        let count = self.shared.count(false);
        self.shared.answer(request, messages::aborted(count));
    }
}

/// Runs something of a cell; a panic in it is an error of the cell.
pub fn guarded(run: impl FnOnce() -> CellOutcome) -> CellOutcome {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| CellOutcome::Error {
        name: "InternalError".to_owned(),
        message: format!(
            "Woolshed failed inside this cell ({}). The session goes on; what this cell was \
             changing may be half done. Please report it.",
            panic_text(panic.as_ref())
        ),
        traceback: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::jupyter::archive::Archive;
    use crate::jupyter::wire::Fields;
    use crate::jupyter::{Completeness, Completion, LanguageInfo, Look, Names};
    use crate::session::Display;

    /// Understands some words.
    struct Fake;

    impl CellRunner for Fake {
        fn run_cell(&mut self, cell: Cell<'_>, output: &Arc<dyn Output>) -> CellOutcome {
            match cell.code {
                "print" => {
                    output.stdout("hi\n");
                    CellOutcome::Value(None)
                }
                "fail" => CellOutcome::Error {
                    name: "Failed".to_owned(),
                    message: "at 1:2".to_owned(),
                    traceback: vec!["line 1".to_owned(), "line 2".to_owned()],
                },
                "panic" => panic!("a broken invariant"),
                "help" => {
                    output.page(&Display::text("help"));
                    CellOutcome::Value(None)
                }
                "ask" => {
                    let answer = output.ask("?", &|| true).unwrap_err();
                    CellOutcome::Value(Some(Display::text(answer.to_string())))
                }
                code => CellOutcome::Value(Some(Display::text(code))),
            }
        }
        fn evaluate(&mut self, code: &str, output: &Arc<dyn Output>) -> CellOutcome {
            self.run_cell(Cell { code, number: 0, remembered: false }, output)
        }
        fn names(&self) -> Names {
            Arc::new(Fake)
        }
        fn language(&self) -> LanguageInfo {
            unreachable!("asked by the server, not by the thread")
        }
    }

    impl Look for Fake {
        fn completeness(&self, code: &str) -> Completeness {
            assert!(!code.is_empty(), "asked about nothing");
            Completeness::Incomplete { indent: "  ".to_owned() }
        }
        fn complete(&self, _code: &str, cursor_chars: usize) -> Completion {
            Completion { matches: Vec::new(), start: cursor_chars, end: cursor_chars }
        }
        fn inspect(&self, code: &str, _cursor_chars: usize, _more: bool) -> Option<Display> {
            Some(Display::text(code))
        }
    }

    fn request(kind: &str, content: Value) -> Incoming {
        let header: Fields = serde_json::from_value(json!({"msg_type": kind})).unwrap();
        Incoming {
            identities: Vec::new(),
            header: Arc::new(header),
            content: serde_json::from_value(content).unwrap(),
            buffers: Vec::new(),
        }
    }

    /// Everything the thread says to a queue of requests, as (type, content).
    fn talk(requests: Vec<Incoming>) -> Vec<(String, Value)> {
        let language = LanguageInfo {
            name: String::new(),
            version: String::new(),
            mimetype: String::new(),
            file_extension: String::new(),
            highlighted_as: String::new(),
            coloured_as: String::new(),
            banner: String::new(),
        };
        let (interrupt, archive) = (Arc::new(|_| false), Archive::default());
        let shared = Arc::new(Shared::new("", language, interrupt, Arc::new(Fake), archive));
        let (sender, receiver) = channel();
        for request in requests {
            if request.kind() == "execute_request" {
                shared.cell_comes();
            }
            sender.send(request).unwrap();
        }
        drop(sender);
        CellThread::new(Box::new(Fake), receiver, shared.clone()).run();
        assert!(!shared.is_busy());
        shared.outbox.close();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            while let Some((_, message)) = shared.outbox.next().await {
                all.push((message.kind, message.content));
            }
            all
        })
    }

    fn cell(code: &str) -> Incoming {
        request("execute_request", json!({"code": code}))
    }

    fn kinds(said: &[(String, Value)]) -> Vec<&str> {
        said.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    #[test]
    fn a_cell_is_busy_input_outputs_reply_idle() {
        let said = talk(vec![cell("print")]);
        let expected = ["status", "execute_input", "stream", "execute_reply", "status"];
        assert_eq!(kinds(&said), expected);
        assert_eq!(said[0].1["execution_state"], "busy");
        assert_eq!(said[4].1["execution_state"], "idle");
    }

    #[test]
    fn a_failed_cell_aborts_what_waits_but_not_its_questions() {
        let look = request("inspect_request", json!({"code": "x"}));
        let said = talk(vec![cell("fail"), cell("print"), look, cell("1")]);
        let replies: Vec<_> = said.iter().filter(|(kind, _)| kind.ends_with("reply")).collect();
        let statuses: Vec<_> = replies.iter().map(|(_, content)| &content["status"]).collect();
        assert_eq!(statuses, ["error", "aborted", "ok", "aborted"]);
        assert_eq!(replies[0].1["traceback"], json!(["line 1", "line 2"]));
        assert!(!kinds(&said).contains(&"stream"));
    }

    #[test]
    fn without_stop_on_error_the_queue_goes_on() {
        let fail = request("execute_request", json!({"code": "fail", "stop_on_error": false}));
        let said = talk(vec![fail, cell("2")]);
        assert_eq!(said.last().unwrap().1["execution_state"], "idle");
        let result = said.iter().find(|(kind, _)| kind == "execute_result").unwrap();
        assert_eq!(result.1["data"]["text/plain"], "2");
        assert_eq!(result.1["execution_count"], 2);
    }

    #[test]
    fn a_silent_cell_is_not_counted_and_not_shown() {
        let silent = request("execute_request", json!({"code": "1", "silent": true}));
        let quiet = request("execute_request", json!({"code": "1", "store_history": false}));
        let said = talk(vec![silent, quiet, cell("1")]);
        let counts: Vec<_> = said
            .iter()
            .filter(|(kind, _)| kind == "execute_reply")
            .map(|(_, content)| content["execution_count"].as_u64().unwrap())
            .collect();
        assert_eq!(counts, [0, 0, 1]);
        assert_eq!(kinds(&said)[..3], ["status", "execute_reply", "status"]);
    }

    #[test]
    fn a_panic_is_an_error_of_the_cell_and_the_next_cell_runs() {
        let panics = request("execute_request", json!({"code": "panic", "stop_on_error": false}));
        let said = talk(vec![panics, request("is_complete_request", json!({})), cell("1")]);
        let error = said.iter().find(|(kind, _)| kind == "error").unwrap();
        assert!(error.1["evalue"].as_str().unwrap().contains("a broken invariant"));
        let unknown = said.iter().find(|(kind, _)| kind == "is_complete_reply").unwrap();
        assert_eq!(unknown.1["status"], "unknown");
        assert!(said.iter().any(|(kind, _)| kind == "execute_result"));
    }

    #[test]
    fn user_expressions_come_back_as_values_or_errors() {
        let content = json!({"code": "1", "user_expressions": {"a": "2", "b": "fail"}});
        let said = talk(vec![request("execute_request", content)]);
        let reply = &said.iter().find(|(kind, _)| kind == "execute_reply").unwrap().1;
        assert_eq!(reply["user_expressions"]["a"]["data"]["text/plain"], "2");
        assert_eq!(reply["user_expressions"]["b"]["ename"], "Failed");
    }

    #[test]
    fn help_is_the_payload_of_the_reply_and_no_output() {
        let said = talk(vec![cell("help")]);
        let expected = ["status", "execute_input", "execute_reply", "status"];
        assert_eq!(kinds(&said), expected);
        assert_eq!(said[2].1["payload"][0]["data"]["text/plain"], "help");
    }

    #[test]
    fn a_request_without_stdin_gets_no_question() {
        let content = json!({"code": "ask", "allow_stdin": false});
        let said = talk(vec![request("execute_request", content), cell("ask")]);
        let results: Vec<_> = said.iter().filter(|(kind, _)| kind == "execute_result").collect();
        let text = |i: usize| results[i].1["data"]["text/plain"].as_str().unwrap();
        assert!(text(0).contains("param(name, default)"), "{}", text(0));
        assert!(text(1).contains("interrupted"), "{}", text(1));
        assert_eq!(kinds(&said).iter().filter(|kind| **kind == "input_request").count(), 1);
    }

    #[test]
    fn a_cursor_outside_the_code_is_moved_inside() {
        for (position, expected) in
            [(json!(-3), 0), (json!(99), 2), (json!(1), 1), (Value::Null, 2)]
        {
            let content = json!({"code": "é!", "cursor_pos": position});
            let said = talk(vec![request("complete_request", content)]);
            assert_eq!(said[1].1["cursor_start"], expected);
        }
    }
}
