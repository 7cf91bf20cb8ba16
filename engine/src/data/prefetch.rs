//! Rows on disk, read before their turn: by the time a step draws a row, its pages are in memory and
//! its checksum is checked.
//!
//! What comes next within a domain is known long before it is drawn; which domain is drawn is not, for
//! the mixture may move between two steps. So a worker reads ahead in every domain, about twice what
//! the mixture of the step before would take, and hands nothing over: the loader draws and copies its
//! rows as it does without workers. The batches are the same whatever their number, and a mixture that
//! moves counts at once.
//!
//! Rows in memory have nothing to gain and no worker.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Domains;

/// Most rows that wait to be read; more are forgotten, not waited for.
const QUEUE: usize = 1024;

/// Asks for rows in the background. Clones ask the same workers, which end with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Prefetch {
    queue: SyncSender<(usize, usize)>,
}

impl Prefetch {
    /// Starts workers, unless no domain has rows on disk or none are asked for; none if the system
    /// gives no thread.
    pub(crate) fn start(domains: &Arc<Domains>, workers: usize) -> Option<Self> {
        if workers == 0 || !domains.domains.iter().any(|d| d.train.is_mapped()) {
            return None;
        }
        let (queue, rows) = sync_channel(QUEUE);
        let rows = Arc::new(Mutex::new(rows));
        let mut running = 0;
        for _ in 0..workers {
            let (domains, rows) = (domains.clone(), rows.clone());
            let worker = thread::Builder::new().name("prefetch".into());
            running += usize::from(worker.spawn(move || work(&domains, &rows)).is_ok());
        }
        (running > 0).then_some(Self { queue })
    }

    /// Asks for a row of a domain. A full queue forgets it.
    pub(crate) fn ask(&self, domain: usize, row: usize) {
        // Not asked for is not lost: the loader reads the row itself.
        let _ = self.queue.try_send((domain, row));
    }
}

/// Reads what is asked for, until nobody can ask any more.
fn work(domains: &Domains, rows: &Mutex<Receiver<(usize, usize)>>) {
    let mut ids = Vec::new();
    loop {
        let next = rows.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((domain, row)) = next else { return };
        ids.clear();
        // A row that is not sound is reported when it is drawn.
        let _ = domains.domains[domain].train.append(row, &mut ids);
    }
}
