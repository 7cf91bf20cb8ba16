//! A target shape, dimension by dimension.

use super::super::table::{Column, Table};
use super::{Part, Portrait};
use crate::shape::TargetShape;

impl Portrait {
    /// A target shape: each dimension with the size to prune to.
    pub fn of_target(target: &TargetShape) -> Self {
        let dimensions = [
            ("layers", target.layers, "layers"),
            ("hidden", target.hidden, "dimensions of the residual stream"),
            ("heads", target.heads, "query heads a layer"),
            ("kv_heads", target.kv_heads, "key/value heads a layer"),
            ("intermediate", target.intermediate, "channels of an MLP"),
        ];
        let size = |n: Option<usize>| n.map_or("as the source".to_string(), |n| n.to_string());
        let columns = vec![
            ("dimension", Column::text(dimensions.iter().map(|d| d.0))),
            ("target", Column::text(dimensions.iter().map(|d| size(d.1)))),
            ("what it counts", Column::text(dimensions.iter().map(|d| d.2))),
        ];
        let portrait =
            Self::new("Target shape").line(".check(model) says what it means for a model");
        match Table::new("", columns) {
            Ok(table) => portrait.part(Part::Table(table)),
            Err(_) => portrait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_says_what_stays_as_it_is() {
        let target = TargetShape { layers: Some(3), ..TargetShape::default() };
        let text = Portrait::of_target(&target).to_text();
        assert!(text.contains("layers       │ 3 "), "{text}");
        assert!(text.contains("hidden       │ as the source"), "{text}");
    }
}
