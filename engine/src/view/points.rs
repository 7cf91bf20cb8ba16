//! Gaps and thinning: from the points of a series to the strokes that are drawn.
//!
//! A point that is not a finite number is a gap, never a zero. A long stroke is cut into buckets of
//! neighbouring points, and of each bucket the lowest and the highest stay, in their order: a spike
//! of one step is still there at any length.

/// Numbers beyond this are gaps: sums of two of them must stay finite.
const LARGEST: f64 = 1e300;

/// True for a number that can be placed on an axis.
pub(crate) fn drawable(x: f64) -> bool {
    x.abs() <= LARGEST
}

/// Cuts `points` at every gap. On a logarithmic axis (`log_y`) values of 0 and below are gaps too.
pub(crate) fn strokes(points: &[(f64, f64)], log_y: bool) -> Vec<Vec<(f64, f64)>> {
    let fits =
        |&(x, y): &(f64, f64)| drawable(x) && drawable(y) && (!log_y || y >= f64::MIN_POSITIVE);
    points.split(|p| !fits(p)).filter(|s| !s.is_empty()).map(<[_]>::to_vec).collect()
}

/// Thins every stroke so that all together have about `limit` points, in proportion to their length.
pub(crate) fn thin(strokes: Vec<Vec<(f64, f64)>>, limit: usize) -> Vec<Vec<(f64, f64)>> {
    let total: usize = strokes.iter().map(Vec::len).sum();
    if total <= limit {
        return strokes;
    }
    strokes
        .into_iter()
        .map(|stroke| {
            let share = (stroke.len() * limit / total).max(4);
            thin_stroke(&stroke, share)
        })
        .collect()
}

/// Keeps the first and the last point and, of each bucket between, the lowest and the highest.
fn thin_stroke(stroke: &[(f64, f64)], limit: usize) -> Vec<(f64, f64)> {
    if stroke.len() <= limit {
        return stroke.to_vec();
    }
    let buckets = (limit / 2).max(1);
    let last = stroke.len() - 1;
    let mut kept = vec![0];
    for b in 0..buckets {
        let from = b * stroke.len() / buckets;
        let to = (b + 1) * stroke.len() / buckets;
        let by_y = |&i: &usize, &j: &usize| stroke[i].1.total_cmp(&stroke[j].1);
        let low = (from..to).min_by(by_y);
        let high = (from..to).max_by(by_y);
        let mut pair: Vec<usize> = low.into_iter().chain(high).collect();
        pair.sort_unstable();
        kept.extend(pair);
    }
    kept.push(last);
    kept.dedup();
    kept.into_iter().map(|i| stroke[i]).collect()
}

/// Gives the smallest and the largest drawable value; none when there is none.
pub(crate) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|&v| drawable(v)).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((lo, hi)) => Some((v.min(lo), v.max(hi))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_a_gap() {
        let points = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0), (4.0, f64::INFINITY)];
        assert_eq!(strokes(&points, false), [vec![(0.0, 1.0)], vec![(2.0, 2.0), (3.0, 3.0)]]);
        assert_eq!(strokes(&[(0.0, 0.0), (1.0, 1.0)], true), [vec![(1.0, 1.0)]]);
    }

    #[test]
    fn thinning_keeps_the_ends_and_a_spike_of_one_point() {
        let mut stroke: Vec<(f64, f64)> = (0..50_000).map(|i| (f64::from(i), 1.0)).collect();
        stroke[31_234].1 = 9.0;
        stroke[31_235].1 = -9.0;
        let thin = thin(vec![stroke.clone()], 1000).remove(0);
        assert!(thin.len() <= 1002, "{} points", thin.len());
        assert_eq!(thin.first(), stroke.first());
        assert_eq!(thin.last(), stroke.last());
        assert!(thin.contains(&(31_234.0, 9.0)) && thin.contains(&(31_235.0, -9.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn a_short_series_is_not_thinned() {
        let stroke: Vec<(f64, f64)> = (0..1000).map(|i| (f64::from(i), 1.0)).collect();
        assert_eq!(thin(vec![stroke.clone()], 1000), [stroke]);
    }
}
