//! What the tasks on the sockets and the cell thread share: the outbox, the history, the interrupts,
//! the names, and how many cells wait.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::archive::Archive;
use super::history::History;
use super::interrupts::Interrupts;
use super::outbox::Outbox;
use super::questions::Questions;
use super::wire::{Incoming, Parent, Wire};
use super::{Interrupt, LanguageInfo, Names, messages};

/// Logs messages that are dropped: the first 20, and then every thousandth, so that a stranger who sends
/// rubbish fills no log.
#[derive(Debug, Default)]
pub struct Dropped(AtomicU64);

impl Dropped {
    /// Counts a message of a socket that is dropped for a reason.
    pub fn log(&self, socket: &str, reason: &dyn std::fmt::Display) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        if count <= 20 || count.is_multiple_of(1000) {
            super::log(format_args!("{socket}: message {count} dropped: {reason}"));
        }
    }
}

/// The state of a kernel.
pub struct Shared {
    /// Everything to be said.
    pub outbox: Arc<Outbox>,
    /// Signs and checks messages.
    pub wire: Wire,
    /// The language of the cells.
    pub language: LanguageInfo,
    /// Stops the running cell.
    pub interrupts: Interrupts,
    /// What the running cell asks the user.
    pub questions: Arc<Questions>,
    /// The request of the running cell.
    running: Mutex<Option<Parent>>,
    /// What answers while a cell runs.
    names: Mutex<Names>,
    /// Cells that wait or run.
    waiting: AtomicUsize,
    /// The execution count of the last cell that was counted.
    count: AtomicU64,
    stopping: AtomicBool,
    /// Messages that were dropped.
    pub dropped: Dropped,
    history: Mutex<History>,
}

impl Shared {
    /// The state of a kernel before its first cell.
    pub fn new(
        key: &str,
        language: LanguageInfo,
        interrupt: Interrupt,
        names: Names,
        archive: Archive,
    ) -> Self {
        Self {
            outbox: Arc::default(),
            wire: Wire::new(key),
            language,
            interrupts: Interrupts::new(interrupt),
            questions: Arc::default(),
            running: Mutex::default(),
            names: Mutex::new(names),
            waiting: AtomicUsize::new(0),
            count: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            dropped: Dropped::default(),
            history: Mutex::new(History::new(archive)),
        }
    }

    /// Stops the running cell and lets no further one start.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.interrupts.request();
    }

    /// Whether [`Shared::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Counts a cell that is about to be queued.
    pub fn cell_comes(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts a cell that is about to be answered.
    pub fn cell_goes(&self) {
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    /// The number of the last counted cell; `counted` makes a new one.
    pub fn count(&self, counted: bool) -> u64 {
        let more = u64::from(counted);
        self.count.fetch_add(more, Ordering::SeqCst) + more
    }

    /// A cell begins: from here on interrupts are for it, and questions about code are answered from
    /// `names`.
    pub fn begin_cell(&self, parent: &Parent, names: Names) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(parent.clone());
        self.interrupts.begin_cell();
    }

    /// The cell is over.
    pub fn end_cell(&self) {
        self.interrupts.end_cell();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The request of the running cell.
    pub fn running(&self) -> Option<Parent> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What answers while a cell runs.
    pub fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a cell waits or runs.
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The cells of this session and of earlier ones.
    pub fn history(&self) -> MutexGuard<'_, History> {
        // A panic elsewhere leaves the history whole: every change is one push.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that takes no time, with `busy` and `idle` around the reply.
    pub fn answer(&self, request: &Incoming, content: Value) {
        self.outbox.broadcast(&request.header, "status", messages::status("busy"));
        self.outbox.reply(request.reply(content));
        self.outbox.broadcast(&request.header, "status", messages::status("idle"));
    }
}
