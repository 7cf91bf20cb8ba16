//! Batches by mixture: every sample draws its domain, then takes that domain's next row.
//!
//! Within a domain the rows come in a shuffled order, each once before any comes again; then a new
//! epoch with a new order starts. Order and draws are functions of (seed, domain, epoch) and (seed,
//! sample number), so the state to save is one cursor per domain and one counter, however long the
//! run: a restored loader goes on exactly where the saved one stopped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::order::Order;
use super::prefetch::Prefetch;
use super::{DataError, Domains};
use crate::rng::{Stream, pick};

/// Threads that read ahead: one keeps a trainer fed.
const WORKERS: usize = 1;

/// The rows of one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Token ids (B, T), flat.
    pub ids: Vec<u32>,
    /// The domain each row comes from (B), as indices into the domains.
    pub domains: Vec<usize>,
    /// T, tokens per row.
    pub seq_len: usize,
}

/// Draws batches. See the module for the rules. A clone is cheap and independent.
#[derive(Clone, Debug)]
pub struct Loader {
    domains: Arc<Domains>,
    /// Per domain, the row order of the cursor's epoch; none until it is first needed.
    orders: Vec<Option<Order>>,
    /// Reads ahead what lies on disk.
    prefetch: Option<Prefetch>,
    /// Per domain, how far it was asked to: epoch and rows of it.
    asked: Vec<Cursor>,
    state: LoaderState,
}

/// Where a loader stands: all that a checkpoint keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoaderState {
    /// Hash of the domains it draws from.
    pub hash: String,
    /// Seed of the orders and draws.
    pub seed: u64,
    /// Samples drawn so far, over all domains.
    pub samples: u64,
    /// Samples drawn so far, per domain.
    pub drawn: Vec<u64>,
    /// Where each domain stands.
    pub cursors: Vec<Cursor>,
}

/// Where one domain stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// How many times every row has been used.
    pub epoch: u64,
    /// How many rows of this epoch have been used.
    pub next: usize,
}

impl Loader {
    /// Starts at the first sample.
    pub fn new(domains: Arc<Domains>, seed: u64) -> Self {
        let n = domains.domains.len();
        let state = LoaderState {
            hash: domains.hash.clone(),
            seed,
            samples: 0,
            drawn: vec![0; n],
            cursors: vec![Cursor::default(); n],
        };
        let prefetch = Prefetch::start(&domains, WORKERS);
        Self { domains, orders: vec![None; n], prefetch, asked: vec![Cursor::default(); n], state }
    }

    /// Sets how many threads read ahead what lies on disk; 0 for none. The batches do not depend on it.
    pub fn set_workers(&mut self, workers: usize) {
        self.prefetch = Prefetch::start(&self.domains, workers);
        self.asked.fill(Cursor::default());
    }

    /// Draws `batch` rows; each draws its domain with probability proportional to `weights`.
    ///
    /// # Errors
    /// [`DataError::Count`], [`DataError::BadNumber`] or [`DataError::NoWeight`] when the weights
    /// cannot be drawn from, [`DataError::Shard`] when a row on disk is not sound; the loader has then
    /// not moved.
    pub fn next_batch(&mut self, weights: &[f64], batch: usize) -> Result<Batch, DataError> {
        let weights = self.shares(weights)?;
        let seq_len = self.domains.seq_len;
        let mut ids = Vec::with_capacity(batch * seq_len);
        let mut domains = Vec::with_capacity(batch);
        let before = (self.orders.clone(), self.state.clone());
        for _ in 0..batch {
            let u = Stream::new(self.state.seed, "loader/domain", self.state.samples).uniform();
            let d = pick(&weights, u);
            let row = self.next_row(d);
            if let Err(error) = self.domains.domains[d].train.append(row, &mut ids) {
                (self.orders, self.state) = before;
                return Err(error);
            }
            domains.push(d);
            self.state.samples += 1;
            self.state.drawn[d] += 1;
        }
        self.read_ahead(&weights, batch);
        Ok(Batch { ids, domains, seq_len })
    }

    /// Asks for the rows that come next in each domain, twice as many as a batch by these weights
    /// would take.
    fn read_ahead(&mut self, weights: &[f64], batch: usize) {
        let Some(prefetch) = &self.prefetch else { return };
        for (d, domain) in self.domains.domains.iter().enumerate() {
            let cursor = self.state.cursors[d];
            // The order of an epoch is known once its first row was drawn.
            let Some(order) = self.orders[d].as_ref().filter(|_| domain.train.is_mapped()) else {
                continue;
            };
            let asked = &mut self.asked[d];
            let from = if asked.epoch == cursor.epoch { asked.next } else { 0 }.max(cursor.next);
            let rows = 1 + (2.0 * weights[d] * batch as f64).ceil() as usize;
            let to = cursor.next.saturating_add(rows).min(domain.train.len());
            (from..to).for_each(|at| prefetch.ask(d, order.at(at)));
            *asked = Cursor { epoch: cursor.epoch, next: to.max(from) };
        }
    }

    /// Gives the domains it draws from.
    pub fn domains(&self) -> &Arc<Domains> {
        &self.domains
    }

    /// Counts the samples drawn so far, per domain.
    pub fn drawn(&self) -> &[u64] {
        &self.state.drawn
    }

    /// Says where each domain stands.
    pub fn cursors(&self) -> &[Cursor] {
        &self.state.cursors
    }

    /// Gives what a checkpoint has to keep.
    pub fn state(&self) -> LoaderState {
        self.state.clone()
    }

    /// Goes to where `state` was taken.
    ///
    /// # Errors
    /// [`DataError::OtherData`] or [`DataError::BadCursor`]; the loader has then not moved.
    pub fn restore(&mut self, state: LoaderState) -> Result<(), DataError> {
        let n = self.domains.domains.len();
        if state.hash != self.domains.hash || state.cursors.len() != n || state.drawn.len() != n {
            let now = self.domains.hash.clone();
            return Err(DataError::OtherData { saved: state.hash, now });
        }
        for (cursor, domain) in state.cursors.iter().zip(&self.domains.domains) {
            if cursor.next > domain.train.len() {
                return Err(DataError::BadCursor {
                    domain: domain.name.clone(),
                    next: cursor.next,
                    rows: domain.train.len(),
                });
            }
        }
        self.orders = vec![None; n];
        self.asked.fill(Cursor::default());
        self.state = state;
        Ok(())
    }

    /// Gives the row of domain `d` whose turn it is and moves the cursor past it.
    fn next_row(&mut self, d: usize) -> usize {
        let domain = &self.domains.domains[d];
        let cursor = &mut self.state.cursors[d];
        if cursor.next >= domain.train.len() {
            *cursor = Cursor { epoch: cursor.epoch + 1, next: 0 };
            self.orders[d] = None;
        }
        let order = self.orders[d].get_or_insert_with(|| {
            let purpose = format!("loader/order/{}", domain.name);
            Order::new(domain.train.len(), Stream::new(self.state.seed, &purpose, cursor.epoch))
        });
        let row = order.at(cursor.next);
        cursor.next += 1;
        row
    }

    /// Checks weights and scales them to sum 1. The last positive one takes what rounding leaves,
    /// so that a draw can never fall through to a domain of weight 0.
    fn shares(&self, weights: &[f64]) -> Result<Vec<f64>, DataError> {
        let names = || self.domains.names();
        let want = self.domains.domains.len();
        if weights.len() != want {
            let got = weights.len();
            return Err(DataError::Count { what: "weights", got, want, names: names() });
        }
        if let Some(d) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(DataError::BadNumber {
                what: "weight",
                domain: names().swap_remove(d),
                value: weights[d],
                legal: "0 or a positive number",
            });
        }
        let Some(last) = weights.iter().rposition(|w| *w > 0.0) else {
            return Err(DataError::NoWeight { names: names() });
        };
        // Scaled by the largest first, so that the sum of very large weights stays finite.
        let largest = weights.iter().copied().fold(0.0, f64::max);
        let mut shares: Vec<f64> = weights.iter().map(|w| w / largest).collect();
        let sum: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|w| *w /= sum);
        shares[last] += f64::EPSILON * want as f64;
        Ok(shares)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sha2::{Digest, Sha256};

    use super::super::domains::tests::numbered;
    use super::*;

    fn loader(rows: &[usize]) -> Loader {
        Loader::new(Arc::new(numbered(rows)), 17)
    }

    #[test]
    fn no_row_repeats_before_every_row_was_used_once() {
        let mut loader = loader(&[7]);
        let mut orders = Vec::new();
        for _ in 0..3 {
            let batch = loader.next_batch(&[1.0], 7).unwrap();
            let rows: Vec<u32> = batch.ids.iter().step_by(2).copied().collect();
            assert_eq!(rows.iter().copied().collect::<BTreeSet<_>>(), (0..7).collect());
            orders.push(rows);
        }
        assert_ne!(orders[0], orders[1]);
        assert_ne!(orders[1], orders[2]);
    }

    #[test]
    fn a_restored_loader_goes_on_exactly_where_the_saved_one_stopped() {
        let weights = [0.5, 0.3, 0.2];
        let mut straight = loader(&[5, 50, 9]);
        // 19 samples end inside the epochs of every domain and past the first epoch of one.
        let first = straight.next_batch(&weights, 19).unwrap();
        assert_eq!((first.ids.len(), first.domains.len(), first.seq_len), (38, 19, 2));
        let saved = serde_json::to_string(&straight.state()).unwrap();
        let rest = straight.next_batch(&weights, 200).unwrap();

        let mut resumed = loader(&[5, 50, 9]);
        resumed.restore(serde_json::from_str(&saved).unwrap()).unwrap();
        assert_eq!(resumed.next_batch(&weights, 200).unwrap(), rest);
        assert_eq!(resumed.state(), straight.state());
    }

    #[test]
    fn resumed_at_100_random_points_the_token_stream_is_the_same_by_hash() {
        // A step takes a few rows by weights of its own, as a mixture that moves would have it.
        let play = |loader: &mut Loader, step: u64, hash: &mut Sha256| {
            let mut stream = Stream::new(5, "test/weights", step);
            let weights = [stream.uniform(), stream.uniform(), stream.uniform()];
            let batch = loader.next_batch(&weights, 1 + stream.below(9) as usize).unwrap();
            batch.ids.iter().for_each(|id| hash.update(id.to_le_bytes()));
        };
        let hash_of = |saved_at: Option<u64>| {
            let mut hash = Sha256::new();
            let mut at = loader(&[5, 50, 9]);
            for step in 0..60 {
                if saved_at == Some(step) {
                    let saved = serde_json::to_string(&at.state()).unwrap();
                    at = loader(&[5, 50, 9]);
                    at.restore(serde_json::from_str(&saved).unwrap()).unwrap();
                }
                play(&mut at, step, &mut hash);
            }
            hash.finalize()
        };
        let straight = hash_of(None);
        let mut points = Stream::new(6, "test/points", 0);
        for _ in 0..100 {
            let point = points.below(60);
            assert_eq!(hash_of(Some(point)), straight, "resumed before step {point}");
        }
    }

    #[test]
    fn the_batch_size_does_not_change_the_sequence_of_samples() {
        let mut one = loader(&[5, 50]);
        let mut many = loader(&[5, 50]);
        let big = many.next_batch(&[0.4, 0.6], 24).unwrap();
        let small: Vec<u32> =
            (0..24).flat_map(|_| one.next_batch(&[0.4, 0.6], 1).unwrap().ids).collect();
        assert_eq!(small, big.ids);
    }

    #[test]
    fn domains_are_drawn_in_proportion_to_their_weights() {
        let mut loader = loader(&[50, 50, 50]);
        let weights = [6.0, 0.0, 2.0];
        loader.next_batch(&weights, 4_000).unwrap();
        // Standard error of 4,000 draws at 0.75: 0.0068; four of them.
        let share = loader.drawn()[0] as f64 / 4_000.0;
        assert!((share - 0.75).abs() < 0.028, "{share}");
        assert_eq!(loader.drawn()[1], 0);
        assert_eq!(loader.drawn().iter().sum::<u64>(), 4_000);
    }

    #[test]
    fn a_row_is_labelled_with_its_domain() {
        let mut loader = loader(&[5, 5, 5]);
        let batch = loader.next_batch(&[1.0, 1.0, 1.0], 30).unwrap();
        for (row, domain) in batch.ids.chunks(2).zip(&batch.domains) {
            assert_eq!(row[0] as usize / 100, *domain);
        }
    }

    #[test]
    fn weights_that_cannot_be_drawn_from_are_refused_and_nothing_moves() {
        let mut loader = loader(&[5, 5]);
        let before = loader.state();
        let error = |l: &mut Loader, w: &[f64]| l.next_batch(w, 2).unwrap_err().to_string();
        assert!(error(&mut loader, &[0.0, 0.0]).contains("every domain's weight is 0"));
        assert!(error(&mut loader, &[0.5, f64::NAN]).contains("weight of domain `birch` is NaN"));
        assert!(error(&mut loader, &[-0.1, 1.0]).contains("weight of domain `ash` is -0.1"));
        assert!(error(&mut loader, &[1.0]).contains("1 weights for 2 domains (ash, birch)"));
        assert_eq!(loader.state(), before);
    }

    #[test]
    fn a_state_of_other_data_is_refused() {
        let mut first = loader(&[5, 5]);
        let state = loader(&[5, 6]).state();
        assert!(matches!(first.restore(state), Err(DataError::OtherData { .. })));
        let mut state = first.state();
        state.cursors[1].next = 6;
        assert!(first.restore(state).unwrap_err().to_string().contains("row 6 of domain `birch`"));
    }
}
