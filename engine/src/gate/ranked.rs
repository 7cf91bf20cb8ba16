//! A structure made of the parts with the highest scores.

use super::{GateKind, GateValues};
use crate::shape::ModelShape;

impl GateValues {
    /// Keeps the parts of `source` whose score is highest, as many a row as `target` has; their values
    /// are exactly 1. `scores` gives one score a gate of a kind, row by row; ties keep the lower index.
    ///
    /// # Errors
    /// Those of `scores`.
    pub fn ranked<E>(
        source: &ModelShape,
        target: &ModelShape,
        mut scores: impl FnMut(GateKind) -> Result<Vec<f64>, E>,
    ) -> Result<Self, E> {
        let kinds = GateKind::needed(source, target);
        let mut values = Vec::with_capacity(kinds.len());
        for kind in &kinds {
            let (_, width) = kind.size(source);
            let mut of_kind = vec![];
            for row in scores(*kind)?.chunks(width) {
                let mut order: Vec<usize> = (0..row.len()).collect();
                order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
                let mut open = vec![0.0; row.len()];
                order.iter().take(kind.kept(target)).for_each(|&i| open[i] = 1.0);
                of_kind.extend(open);
            }
            values.push(of_kind);
        }
        Ok(Self { kinds, values, slopes: Vec::new(), mask_embeddings: true })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::shape::TargetShape;

    #[test]
    fn the_highest_scores_of_each_row_stay_and_ties_keep_the_lower_index() {
        let source = ModelShape {
            layers: 2,
            hidden: 8,
            heads: 4,
            kv_heads: 4,
            head_dim: 2,
            intermediate: 3,
            vocab: 8,
            tied: false,
            family: crate::shape::Family::Llama,
            attention_bias: false,
        };
        let target = TargetShape { intermediate: Some(2), ..TargetShape::default() };
        let target = target.resolve(&source).unwrap();
        let scores = |_| Ok::<_, Infallible>(vec![0.1, 0.3, 0.2, 5.0, 5.0, 5.0]);
        let values = GateValues::ranked(&source, &target, scores).unwrap();
        assert_eq!(values.kinds, [GateKind::Intermediate]);
        assert_eq!(values.values, [[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]);
    }
}
