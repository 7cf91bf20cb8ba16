//! What a cell says, on its way to the front ends.
//!
//! Each cell has its own [`CellOutput`], so text that a thread of an earlier cell still writes goes
//! under that earlier cell.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use woolshed_engine::progress::{Detail, Progress};

use super::outbox::{Outbox, Stream};
use super::panel::Panel;
use super::questions::Questions;
use super::wire::{Outgoing, Parent};
use crate::session::{Display, Output, Unanswered};

/// Where a cell's questions go.
pub struct Asking {
    /// The question that waits.
    pub questions: Arc<Questions>,
    /// Who sent the cell; none when the request says that nobody answers there.
    pub identities: Option<Vec<Bytes>>,
}

/// The output of one cell.
pub struct CellOutput {
    outbox: Arc<Outbox>,
    parent: Parent,
    asking: Asking,
    /// The displays this cell has put at named places.
    places: Mutex<HashSet<String>>,
    /// Help for the pager of the front end.
    pages: Mutex<Vec<Value>>,
    /// The request asked for no output at all.
    silent: bool,
    panel: Mutex<Option<Panel>>,
    /// A line that stands above all progress; empty for none.
    headline: Mutex<String>,
    /// A display that work left empty and the next may use.
    vacant: Mutex<Option<String>>,
}

impl CellOutput {
    /// The output of the cell that `parent` asks for; a `silent` cell says nothing.
    pub fn new(outbox: Arc<Outbox>, parent: Parent, asking: Asking, silent: bool) -> Self {
        Self {
            outbox,
            parent,
            asking,
            places: Mutex::default(),
            pages: Mutex::default(),
            silent,
            panel: Mutex::new(None),
            headline: Mutex::default(),
            vacant: Mutex::new(None),
        }
    }

    /// What the cell asked the front end to do besides: `payload` of its reply.
    pub fn payload(&self) -> Vec<Value> {
        std::mem::take(&mut *self.pages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends a panel that is still drawn when the cell is over: a failed or stopped work never says
    /// that it is done.
    pub fn finish(&self) {
        if let Some(panel) = self.panel().take().filter(|panel| panel.shown) {
            self.update(&panel.id, json!({"text/plain": panel.stopped()}));
        }
    }

    fn text(&self, stream: Stream, text: &str) {
        if !self.silent {
            self.vacant().take();
            self.outbox.wait_for_room();
            self.outbox.text(&self.parent, stream, text);
        }
    }

    fn show(&self, data: Value, transient: Value) {
        let content = json!({"data": data, "metadata": {}, "transient": transient});
        self.outbox.broadcast(&self.parent, "display_data", content);
    }

    fn update(&self, id: &str, data: Value) {
        let content = json!({"data": data, "metadata": {}, "transient": {"display_id": id}});
        self.outbox.broadcast(&self.parent, "update_display_data", content);
    }

    /// Draws work under way, when it is time to.
    fn work(&self, progress: &Progress, detail: Option<&dyn Fn() -> Detail>) {
        if self.silent {
            return;
        }
        let now = Instant::now();
        let mut panel = self.panel();
        let shown = panel.get_or_insert_with(|| {
            let vacant = self.vacant().take();
            let there = vacant.is_some();
            let id = vacant.unwrap_or_else(|| Uuid::new_v4().to_string());
            let mut panel = Panel::new(id, progress, now);
            panel.shown = there;
            panel
        });
        shown.under(&self.headline.lock().unwrap_or_else(PoisonError::into_inner));
        if !shown.take(progress, detail, now) {
            return;
        }
        if shown.shown {
            self.update(&shown.id, shown.bundle(now));
        } else {
            self.show(shown.bundle(now), json!({"display_id": shown.id}));
        }
        shown.shown = true;
    }

    fn places(&self) -> MutexGuard<'_, HashSet<String>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vacant(&self) -> MutexGuard<'_, Option<String>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic elsewhere leaves the panel whole: every change is one assignment.
    fn panel(&self) -> MutexGuard<'_, Option<Panel>> {
        self.panel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output for CellOutput {
    fn stdout(&self, text: &str) {
        self.text(Stream::Stdout, text);
    }

    fn stderr(&self, text: &str) {
        self.text(Stream::Stderr, text);
    }

    fn display(&self, display: &Display) {
        if !self.silent {
            self.vacant().take();
            self.outbox.wait_for_room();
            self.show(mime_bundle(display), json!({}));
        }
    }

    fn progress(&self, progress: &Progress) {
        self.work(progress, None);
    }

    fn progress_with(&self, progress: &Progress, detail: &dyn Fn() -> Detail) {
        self.work(progress, Some(detail));
    }

    fn headline(&self, line: &str) {
        *self.headline.lock().unwrap_or_else(PoisonError::into_inner) = line.to_string();
    }

    fn progress_done(&self, summary: &str) {
        if self.silent {
            return;
        }
        match self.panel().take().filter(|panel| panel.shown) {
            Some(panel) => {
                self.update(&panel.id, json!({"text/plain": summary}));
                if summary.is_empty() {
                    *self.vacant() = Some(panel.id);
                }
            }
            None if summary.is_empty() => {}
            None => self.show(json!({"text/plain": summary}), json!({})),
        }
    }

    fn progress_done_with(&self, summary: &str, detail: &dyn Fn() -> Detail) {
        if self.silent {
            return;
        }
        match self.panel().take().filter(|panel| panel.shown) {
            Some(panel) => self.update(&panel.id, Panel::done(summary, &detail())),
            None => self.show(json!({"text/plain": summary}), json!({})),
        }
    }

    fn display_at(&self, place: &str, display: &Display) {
        if self.silent {
            return;
        }
        self.vacant().take();
        self.outbox.wait_for_room();
        let id = format!("woolshed-{place}");
        let first = self.places().insert(place.to_owned());
        if first {
            self.show(mime_bundle(display), json!({"display_id": id}));
        } else {
            self.update(&id, mime_bundle(display));
        }
    }

    fn clear(&self, wait: bool) {
        if self.silent {
            return;
        }
        // What was shown is gone, and with it every display that could be updated.
        self.vacant().take();
        self.places().clear();
        if let Some(panel) = self.panel().as_mut() {
            panel.shown = false;
        }
        self.outbox.broadcast(&self.parent, "clear_output", json!({"wait": wait}));
    }

    fn page(&self, display: &Display) {
        if !self.silent {
            let page = json!({"source": "page", "data": mime_bundle(display), "start": 0});
            self.pages.lock().unwrap_or_else(PoisonError::into_inner).push(page);
        }
    }

    fn ask(&self, prompt: &str, stopped: &dyn Fn() -> bool) -> Result<String, Unanswered> {
        let Some(identities) = &self.asking.identities else {
            return Err(Unanswered::Nobody("this front end lets cells ask nothing".to_owned()));
        };
        let question = Outgoing {
            identities: identities.clone(),
            content: json!({"prompt": prompt, "password": false}),
            ..Outgoing::broadcast(&self.parent, "input_request", Value::Null)
        };
        self.asking.questions.ask(|| self.outbox.question(question), stopped)
    }
}

/// A display in every mime type it has; a front end takes the richest it knows.
pub fn mime_bundle(display: &Display) -> Value {
    let mut data = Map::new();
    // A picture of a Rust cell may have no text; everything else has.
    let only_text = display.more.is_empty() && display.html.is_none() && display.svg.is_none();
    if !display.text.is_empty() || only_text {
        data.insert("text/plain".to_owned(), Value::from(display.text.as_str()));
    }
    let texts = [
        ("text/markdown", &display.markdown),
        ("text/html", &display.html),
        ("image/svg+xml", &display.svg),
    ];
    for (mime, text) in texts {
        if let Some(text) = text {
            data.insert(mime.to_owned(), Value::from(text.as_str()));
        }
    }
    if let Some(png) = &display.png {
        data.insert("image/png".to_owned(), Value::from(STANDARD.encode(png)));
    }
    data.extend(display.more.iter().cloned());
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use woolshed_engine::progress::Gauge;

    use super::*;
    use crate::jupyter::wire::Fields;

    fn said(speak: impl Fn(&CellOutput), silent: bool) -> Vec<(String, Value)> {
        let outbox = Arc::new(Outbox::default());
        let asking = Asking { questions: Arc::default(), identities: None };
        let output = CellOutput::new(outbox.clone(), Arc::new(Fields::new()), asking, silent);
        speak(&output);
        output.finish();
        outbox.close();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut all = Vec::new();
            while let Some((_, message)) = outbox.next().await {
                all.push((message.kind, message.content));
            }
            all
        })
    }

    fn step(done: u64) -> Progress {
        Progress {
            what: "prune".to_owned(),
            done,
            total: Some(9),
            unit: "steps",
            note: String::new(),
        }
    }

    #[test]
    fn a_display_has_every_form_it_came_with() {
        let display = Display {
            text: "a chart".to_owned(),
            html: Some("<b>a</b>".to_owned()),
            markdown: Some("**a**".to_owned()),
            svg: Some("<svg/>".to_owned()),
            png: Some(vec![0x89, b'P']),
            more: vec![("text/latex".into(), json!("$x$"))],
            name: "chart".to_owned(),
        };
        let bundle = mime_bundle(&display);
        assert_eq!(bundle["text/plain"], "a chart");
        assert_eq!(bundle["text/html"], "<b>a</b>");
        assert_eq!(bundle["text/markdown"], "**a**");
        assert_eq!(bundle["image/svg+xml"], "<svg/>");
        assert_eq!(bundle["image/png"], "iVA=");
        assert_eq!(bundle["text/latex"], "$x$");
        assert_eq!(mime_bundle(&Display::text("x")), json!({"text/plain": "x"}));
    }

    #[test]
    fn progress_is_one_display_that_turns_into_one_line() {
        let said = said(
            |output| {
                for done in 0..9 {
                    output.progress(&step(done));
                }
                // Longer than the panel waits before it is worth a line.
                std::thread::sleep(std::time::Duration::from_millis(450));
                output.progress(&step(9));
                output.progress_done("pruned in 9 steps");
            },
            false,
        );
        let kinds: Vec<&str> = said.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["display_data", "update_display_data"]);
        let id = &said[0].1["transient"]["display_id"];
        assert!(id.is_string());
        assert_eq!(&said[1].1["transient"]["display_id"], id);
        assert_eq!(said[1].1["data"], json!({"text/plain": "pruned in 9 steps"}));
    }

    #[test]
    fn a_picture_beside_the_progress_stays_in_its_last_state() {
        let detail = |value| Detail {
            gauges: vec![Gauge { group: "sparsity", name: "head".to_owned(), value, aim: None }],
            ..Detail::default()
        };
        let said = said(
            |output| {
                output.progress_with(&step(1), &|| detail(0.1));
                std::thread::sleep(std::time::Duration::from_millis(450));
                output.progress_with(&step(2), &|| detail(0.2));
                output.progress_done_with("pruned", &|| detail(0.3));
            },
            false,
        );
        let kinds: Vec<&str> = said.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["display_data", "update_display_data"]);
        let html = |i: usize| said[i].1["data"]["text/html"].as_str().unwrap().to_owned();
        assert!(html(0).contains("prune 2/9 steps") && html(0).contains("0.200"), "{}", html(0));
        assert!(html(1).contains("pruned") && html(1).contains("0.300"), "{}", html(1));
        assert!(!html(1).contains("2/9") && said[1].1["data"]["text/plain"] == "pruned");
    }

    #[test]
    fn a_panel_without_its_end_says_where_the_work_stopped() {
        let said = said(
            |output| {
                output.progress(&step(2));
                std::thread::sleep(std::time::Duration::from_millis(450));
                output.progress(&step(3));
            },
            false,
        );
        assert_eq!(said[1].1["data"]["text/plain"], "prune: stopped at 3/9 steps");
    }

    #[test]
    fn short_work_without_a_summary_leaves_no_trace_and_a_blank_line_is_used_again() {
        let quick = said(
            |output| {
                output.progress(&step(1));
                output.progress_done("");
            },
            false,
        );
        assert!(quick.is_empty());
        let twice = said(
            |output| {
                for _ in 0..2 {
                    output.progress(&step(1));
                    std::thread::sleep(std::time::Duration::from_millis(450));
                    output.progress(&step(2));
                    output.progress_done("");
                }
            },
            false,
        );
        assert_eq!(twice.iter().filter(|(kind, _)| kind == "display_data").count(), 1);
    }

    #[test]
    fn a_summary_without_progress_is_shown_once() {
        let said = said(|output| output.progress_done("loaded"), false);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].0, "display_data");
    }

    #[test]
    fn a_named_place_is_shown_once_and_then_updated_until_it_is_cleared() {
        let said = said(
            |output| {
                for text in ["1", "2"] {
                    output.display_at("loss", &Display::text(text));
                }
                output.clear(true);
                output.display_at("loss", &Display::text("3"));
            },
            false,
        );
        let kinds: Vec<&str> = said.iter().map(|(kind, _)| kind.as_str()).collect();
        let expected = ["display_data", "update_display_data", "clear_output", "display_data"];
        assert_eq!(kinds, expected);
        assert_eq!(said[1].1["transient"], said[0].1["transient"]);
        assert_eq!(said[1].1["data"]["text/plain"], "2");
        assert_eq!(said[2].1, json!({"wait": true}));
    }

    #[test]
    fn help_goes_to_the_pager_and_a_question_without_stdin_fails_at_once() {
        let outbox = Arc::new(Outbox::default());
        let asking = Asking { questions: Arc::default(), identities: None };
        let output = CellOutput::new(outbox, Arc::new(Fields::new()), asking, false);
        output.page(&Display::text("help"));
        let payload = output.payload();
        assert_eq!(payload[0]["source"], "page");
        assert_eq!(payload[0]["data"]["text/plain"], "help");
        assert!(output.payload().is_empty());
        assert!(matches!(output.ask("?", &|| false), Err(Unanswered::Nobody(_))));
    }

    #[test]
    fn a_silent_cell_says_nothing() {
        let said = said(
            |output| {
                output.stdout("x\n");
                output.stderr("x\n");
                output.display(&Display::text("x"));
                output.display_at("x", &Display::text("x"));
                output.clear(false);
                output.page(&Display::text("x"));
                output.progress(&step(1));
                output.progress_done("x");
                assert!(output.payload().is_empty());
            },
            true,
        );
        assert!(said.is_empty());
    }
}
