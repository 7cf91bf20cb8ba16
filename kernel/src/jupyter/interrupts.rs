//! Interrupts that are not lost.
//!
//! A runner forgets old interrupts when it starts a cell. One that comes after `busy` was sent and
//! before the runner has started would be forgotten too, and an endless cell would go on for ever. So
//! an interrupt belongs to a cell, and the runner hears it again every 20 ms until that cell is over.
//!
//! A native call that never looks cannot be stopped. Who interrupts the same cell twice and still waits
//! is told so, once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Interrupt;

/// The time between two calls of the runner's interrupt.
const AGAIN: Duration = Duration::from_millis(20);

/// How long a cell may go on after the second interrupt before it counts as stuck. A cell that looks
/// ends within this time.
const STUCK: Duration = Duration::from_millis(250);

/// No cell; cells count from 1.
const NONE: u64 = 0;

/// Which cell runs, and which one is to be stopped.
pub struct Interrupts {
    call: Interrupt,
    /// Cells that have begun.
    begun: AtomicU64,
    /// The cell that runs.
    running: AtomicU64,
    /// The cell that is to be stopped.
    unwanted: AtomicU64,
    /// How often it was asked to.
    asked: AtomicU64,
    news: Notify,
}

impl Interrupts {
    /// Interrupts that reach the runner by `call`.
    pub fn new(call: Interrupt) -> Self {
        Self {
            call,
            begun: AtomicU64::new(NONE),
            running: AtomicU64::new(NONE),
            unwanted: AtomicU64::new(NONE),
            asked: AtomicU64::new(0),
            news: Notify::new(),
        }
    }

    /// A cell begins: from here on an interrupt is for it.
    pub fn begin_cell(&self) {
        let cell = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.running.store(cell, Ordering::SeqCst);
    }

    /// The cell is over.
    pub fn end_cell(&self) {
        self.running.store(NONE, Ordering::SeqCst);
    }

    /// Asks the running cell to stop; without one nothing happens. Never waits.
    pub fn request(&self) {
        let cell = self.running.load(Ordering::SeqCst);
        if cell != NONE {
            if self.unwanted.swap(cell, Ordering::SeqCst) == cell {
                self.asked.fetch_add(1, Ordering::SeqCst);
            } else {
                self.asked.store(1, Ordering::SeqCst);
            }
            self.news.notify_one();
        }
    }

    /// Passes requests on to the runner; never ends. Calls `stuck` when a cell goes on although it was
    /// asked to stop more than once.
    pub async fn pass_on(&self, stuck: impl Fn()) {
        loop {
            self.news.notified().await;
            let cell = self.unwanted.load(Ordering::SeqCst);
            let mut second: Option<Instant> = None;
            let mut told = false;
            while self.running.load(Ordering::SeqCst) == cell {
                let asked = self.asked.load(Ordering::SeqCst);
                let told_there = (self.call)(asked);
                if asked > 1 && !told_there {
                    let since = *second.get_or_insert_with(Instant::now);
                    if !told && since.elapsed() >= STUCK {
                        told = true;
                        stuck();
                    }
                }
                sleep(AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Lets `pass_on` work for a time and tells how often the runner was called.
    fn calls(during: impl AsyncFnOnce(&Interrupts)) -> usize {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let call: Interrupt = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        });
        let interrupts = Interrupts::new(call);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::select! {
                () = interrupts.pass_on(|| {}) => {}
                () = during(&interrupts) => {}
            }
        });
        count.load(Ordering::SeqCst)
    }

    #[test]
    fn an_interrupt_is_repeated_until_its_cell_is_over() {
        let count = calls(async |interrupts| {
            interrupts.begin_cell();
            interrupts.request();
            sleep(AGAIN * 5).await;
            interrupts.end_cell();
            interrupts.begin_cell();
            sleep(AGAIN * 5).await;
        });
        // The timer of a busy machine may be late, so fewer calls than five are right too.
        assert!((2..=6).contains(&count), "{count} calls");
    }

    #[test]
    fn only_a_second_interrupt_of_a_cell_that_goes_on_calls_it_stuck() {
        let interrupts = Interrupts::new(Arc::new(|_| false));
        let told = AtomicUsize::new(0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let during = async {
                for second in [false, true] {
                    interrupts.begin_cell();
                    interrupts.request();
                    sleep(AGAIN).await;
                    if second {
                        interrupts.request();
                    }
                    sleep(STUCK * 2).await;
                    interrupts.end_cell();
                    assert_eq!(told.load(Ordering::SeqCst), usize::from(second));
                    sleep(AGAIN * 2).await;
                }
            };
            tokio::select! {
                () = interrupts.pass_on(|| { told.fetch_add(1, Ordering::SeqCst); }) => {}
                () = during => {}
            }
        });
    }

    #[test]
    fn an_interrupt_without_a_cell_reaches_nobody() {
        let count = calls(async |interrupts| {
            interrupts.request();
            interrupts.begin_cell();
            sleep(AGAIN * 2).await;
        });
        assert_eq!(count, 0);
    }
}
