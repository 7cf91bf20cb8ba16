//! What the tasks on the sockets and the cell thread share: the outbox, the history, the interrupts
//! and how many cells wait.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::history::History;
use super::interrupts::Interrupts;
use super::outbox::Outbox;
use super::wire::{Incoming, Wire};
use super::{Interrupt, LanguageInfo, messages};

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
    /// Cells that wait or run.
    waiting: AtomicUsize,
    /// The execution count of the last cell that was counted.
    count: AtomicU64,
    stopping: AtomicBool,
    history: Mutex<History>,
}

impl Shared {
    /// The state of a kernel before its first cell.
    pub fn new(key: &str, language: LanguageInfo, interrupt: Interrupt) -> Self {
        Self {
            outbox: Arc::default(),
            wire: Wire::new(key),
            language,
            interrupts: Interrupts::new(interrupt),
            waiting: AtomicUsize::new(0),
            count: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            history: Mutex::default(),
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

    /// Whether a cell waits or runs.
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// The cells of this session.
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
