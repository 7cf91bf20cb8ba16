//! A random structure of a given shape: the baseline that learned gates must beat.

use super::{GateKind, GateValues};
use crate::rng::Stream;
use crate::shape::ModelShape;

impl GateValues {
    /// Draws which parts of `source` stay at `target`, uniformly; their values are exactly 1.
    pub fn random(source: &ModelShape, target: &ModelShape, seed: u64) -> Self {
        let kinds = GateKind::needed(source, target);
        let values = kinds
            .iter()
            .map(|kind| {
                let (rows, width) = kind.size(source);
                let mut stream = Stream::new(seed, &format!("random-structure/{kind}"), 0);
                (0..rows)
                    .flat_map(|_| {
                        let mut order: Vec<usize> = (0..width).collect();
                        stream.shuffle(&mut order);
                        let mut row = vec![0.0; width];
                        order[..kind.kept(target)].iter().for_each(|&i| row[i] = 1.0);
                        row
                    })
                    .collect()
            })
            .collect();
        Self { kinds, values, slopes: Vec::new(), mask_embeddings: true }
    }
}
