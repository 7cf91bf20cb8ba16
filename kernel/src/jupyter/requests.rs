//! The answers that need no cell: what the kernel is, what it remembers, what it can say of code, and
//! what it does not do.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use super::connection::Connection;
use super::shared::Shared;
use super::wire::Incoming;
use super::{Completeness, Completion, Look, log, messages};

/// Whether a request is about code, which has to be there as text.
fn is_about_code(kind: &str) -> bool {
    matches!(
        kind,
        "execute_request" | "complete_request" | "inspect_request" | "is_complete_request"
    )
}

/// What is wrong with the content of a request, as its reply; none when nothing is.
pub fn complaint(request: &Incoming) -> Option<Value> {
    let kind = request.kind();
    let has_code = request.content.get("code").is_some_and(Value::is_string);
    (is_about_code(kind) && !has_code).then(|| {
        messages::refused("MessageError", &format!("{kind} has no field `code` that is a text"))
    })
}

/// Answers that need nobody else; none for a type that is not known.
pub fn knowledge(request: &Incoming, shared: &Shared, connection: &Connection) -> Option<Value> {
    match request.kind() {
        "kernel_info_request" => Some(messages::kernel_info(&shared.language)),
        "history_request" => Some(shared.history().reply(request)),
        "comm_info_request" => Some(json!({"status": "ok", "comms": {}})),
        "connect_request" => Some(connection.ports()),
        "debug_request" => Some(debug(request)),
        "create_subshell_request" | "delete_subshell_request" | "list_subshell_request" => {
            Some(messages::refused(
                "NotSupported",
                "this kernel has no subshells; questions are answered while a cell runs without them",
            ))
        }
        _ => None,
    }
}

/// The answer to a request for the debugger, in the debugger's own protocol.
fn debug(request: &Incoming) -> Value {
    json!({
        "type": "response",
        "request_seq": request.number("seq").unwrap_or(0),
        "seq": 0,
        "success": false,
        "command": request.text("command"),
        "message": "this kernel has no debugger",
        "status": "error",
        "ename": "NotSupported",
        "evalue": "this kernel has no debugger",
        "traceback": [],
    })
}

/// The answer to `shutdown_request`.
pub fn shutdown(request: &Incoming) -> Value {
    json!({"status": "ok", "restart": request.flag("restart", false)})
}

/// The answer to a question about code. A panic of who looks is logged, and nothing is known.
pub fn look(names: &dyn Look, request: &Incoming) -> Value {
    let code = request.text("code");
    let cursor = cursor(request, code);
    let looking = AssertUnwindSafe(|| match request.kind() {
        "complete_request" => messages::complete(&names.complete(code, cursor)),
        "inspect_request" => {
            let more = request.number("detail_level").unwrap_or(0) > 0;
            messages::inspect(names.inspect(code, cursor, more).as_ref())
        }
        _ => messages::is_complete(&names.completeness(code)),
    });
    catch_unwind(looking).unwrap_or_else(|panic| {
        log(format_args!("{} failed: {}", request.kind(), panic_text(panic.as_ref())));
        match request.kind() {
            "complete_request" => {
                messages::complete(&Completion { matches: Vec::new(), start: cursor, end: cursor })
            }
            "inspect_request" => messages::inspect(None),
            _ => messages::is_complete(&Completeness::Unknown),
        }
    })
}

/// The cursor in characters, within the code; its end when the request names none.
fn cursor(request: &Incoming, code: &str) -> usize {
    let end = code.chars().count();
    request.number("cursor_pos").map_or(end, |at| usize::try_from(at).unwrap_or(0).min(end))
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
