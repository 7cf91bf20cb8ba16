//! The order of a domain's rows in one epoch: every row once, in an order that looks random.
//!
//! A domain of up to [`LISTED`] rows is shuffled in a list (Fisher-Yates). The order of a longer one
//! is never written down: a keyed bijection of 0..4^k, the smallest power of 4 that holds n, is applied
//! again and again until the value lies in 0..n (cycle walking; fewer than 4 times on average). Any
//! place of the order is found at once, in a few words of memory, however long the domain.
//!
//! The bijection is a Feistel network over two halves of k bits,
//!
//! ```text
//! (a, b) -> (b, a xor (mix(b xor key) mod 2^k))      for each of the keys
//! ```
//!
//! Source: Black and Rogaway, Ciphers with arbitrary finite domains (2002). The keys come from the
//! domain's stream of the epoch, so the order is a function of (seed, domain, epoch).

use std::sync::Arc;

use crate::rng::Stream;

/// Most rows whose order is kept as a list: 4 MiB of it.
const LISTED: usize = 1 << 20;

/// Rounds of the network. Four make a random function a random permutation in theory; the mixing
/// function is no random function, so there are twice as many.
const ROUNDS: usize = 8;

/// The order of n rows. A clone is cheap.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Written down.
    Listed(Arc<Vec<u32>>),
    /// Computed place by place.
    Keyed(Keyed),
}

impl Order {
    /// Makes the order of `n` rows from a stream.
    pub(crate) fn new(n: usize, mut stream: Stream) -> Self {
        if n > LISTED {
            return Self::Keyed(Keyed::new(n as u64, &mut stream));
        }
        let mut rows: Vec<u32> = (0..n as u32).collect();
        stream.shuffle(&mut rows);
        Self::Listed(Arc::new(rows))
    }

    /// Gives the row at place `at`.
    ///
    /// # Panics
    /// When `at` is not below n.
    pub(crate) fn at(&self, at: usize) -> usize {
        match self {
            Self::Listed(rows) => rows[at] as usize,
            Self::Keyed(keyed) => keyed.at(at as u64) as usize,
        }
    }
}

/// A bijection of 0..n.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    n: u64,
    /// Bits of a half.
    half: u32,
    keys: [u64; ROUNDS],
}

impl Keyed {
    /// Draws the keys.
    pub(crate) fn new(n: u64, stream: &mut Stream) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let half = bits.div_ceil(2).max(1);
        Self { n, half, keys: std::array::from_fn(|_| stream.below(u64::MAX)) }
    }

    /// Gives the image of `at`.
    ///
    /// # Panics
    /// When `at` is not below n: the walk could then end outside 0..n or not at all.
    pub(crate) fn at(&self, at: u64) -> u64 {
        assert!(at < self.n, "place {at} of {}", self.n);
        let mut x = at;
        // The orbit of `at` under a bijection comes back to `at`, which lies in 0..n.
        loop {
            x = self.network(x);
            if x < self.n {
                return x;
            }
        }
    }

    /// The network, a bijection of 0..4^half.
    fn network(&self, x: u64) -> u64 {
        let mask = u64::MAX >> (u64::BITS - self.half);
        let (mut a, mut b) = (x >> self.half, x & mask);
        for key in self.keys {
            (a, b) = (b, a ^ (mix(b ^ key) & mask));
        }
        (a << self.half) | b
    }
}

/// Spreads every bit over all others: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(n: u64, index: u64) -> Vec<u64> {
        let keyed = Keyed::new(n, &mut Stream::new(17, "test/order", index));
        (0..n).map(|at| keyed.at(at)).collect()
    }

    #[test]
    fn a_keyed_order_is_a_permutation_of_any_number_of_rows() {
        let powers = (2..=10).flat_map(|k| [(1 << (2 * k)) - 1, 1 << (2 * k), (1 << (2 * k)) + 1]);
        for n in (1..=70).chain([100, 1000, 12_345]).chain(powers.take_while(|n| *n < 300_000)) {
            let mut seen = vec![false; n as usize];
            keyed(n, n).into_iter().for_each(|row| seen[row as usize] = true);
            assert!(seen.iter().all(|s| *s), "{n}");
        }
    }

    #[test]
    fn a_keyed_order_looks_shuffled() {
        for (n, index) in [(1000u64, 0), (65_536, 1), (100_000, 2), (262_145, 3)] {
            let order = keyed(n, index);
            let size = n as f64;
            let mean = (size - 1.0) / 2.0;
            let variance = (size * size - 1.0) / 12.0;
            let correlation = |shift: usize| {
                let of = |i: usize| order[i] as f64 - mean;
                let pairs = order.len() - shift;
                let x = |i: usize| if shift == 0 { i as f64 - mean } else { of(i + shift) };
                (0..pairs).map(|i| of(i) * x(i)).sum::<f64>() / (pairs as f64 * variance)
            };
            // Rank correlation with the place and with the next row: 0 with a standard error of
            // 1 / sqrt(n); four of them.
            let limit = 4.0 / size.sqrt();
            assert!(correlation(0).abs() < limit, "{n}: {}", correlation(0));
            assert!(correlation(1).abs() < limit, "{n}: {}", correlation(1));
            // The mean distance of two random places is n / 3, with a standard deviation of
            // n / sqrt(18); four standard errors.
            let moved = order.iter().enumerate().map(|(i, &row)| row.abs_diff(i as u64) as f64);
            let moved = moved.sum::<f64>() / (size * size);
            assert!((moved - 1.0 / 3.0).abs() < 4.0 / (18.0 * size).sqrt(), "{n}: {moved}");
        }
        let same = keyed(65_536, 1).iter().zip(keyed(65_536, 9)).filter(|(a, b)| **a == *b).count();
        // Two unrelated orders agree in one place on average, Poisson: 10 has a chance of 1e-7.
        assert!(same < 10, "{same} places of two orders are the same");
    }

    #[test]
    fn a_long_domain_has_an_order_without_a_list() {
        let n = (1 << 40) + 7;
        let order = Order::new(n, Stream::new(17, "test/order", 0));
        assert!(matches!(order, Order::Keyed(_)));
        let rows: Vec<usize> = [0, 1, n / 2, n - 1].map(|at| order.at(at)).into();
        assert!(rows.iter().all(|&row| row < n), "{rows:?}");
        assert!(matches!(Order::new(LISTED, Stream::new(1, "t", 0)), Order::Listed(_)));
        assert!(matches!(Order::new(LISTED + 1, Stream::new(1, "t", 0)), Order::Keyed(_)));
    }
}
