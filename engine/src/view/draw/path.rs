//! Paths on a sheet: cut at the edges of a plot, cut into dashes.
//!
//! Both are done on points rather than left to a backend, so that SVG and PNG show the same.

type Points = Vec<(f64, f64)>;

/// Cuts a path at the upper and lower edge of a plot.
pub(crate) fn clipped(path: &[(f64, f64)], top: f64, bottom: f64) -> Vec<Points> {
    let mut pieces: Vec<Points> = Vec::new();
    for pair in path.windows(2) {
        let Some((a, b)) = clipped_piece(pair[0], pair[1], top, bottom) else {
            continue;
        };
        match pieces.last_mut() {
            Some(piece) if piece.last() == Some(&a) => piece.push(b),
            _ => pieces.push(vec![a, b]),
        }
    }
    pieces
}

type Piece = ((f64, f64), (f64, f64));

fn clipped_piece(a: (f64, f64), b: (f64, f64), top: f64, bottom: f64) -> Option<Piece> {
    if a.1.max(b.1) < top || a.1.min(b.1) > bottom {
        return None;
    }
    let cut = |p: (f64, f64), q: (f64, f64)| {
        let y = p.1.clamp(top, bottom);
        if y == p.1 { p } else { (p.0 + (y - p.1) / (q.1 - p.1) * (q.0 - p.0), y) }
    };
    Some((cut(a, b), cut(b, a)))
}

/// Cuts a path into dashes of length `on` with gaps of length `off`.
pub(crate) fn dashes(path: &[(f64, f64)], on: f64, off: f64) -> Vec<Points> {
    let mut out: Vec<Points> = Vec::new();
    let mut drawing = true;
    let mut left = on;
    let mut dash: Points = path.first().copied().into_iter().collect();
    for pair in path.windows(2) {
        let (mut a, b) = (pair[0], pair[1]);
        let mut long = (b.0 - a.0).hypot(b.1 - a.1);
        while long > left {
            let share = left / long;
            a = (a.0 + share * (b.0 - a.0), a.1 + share * (b.1 - a.1));
            long -= left;
            if drawing {
                dash.push(a);
                out.push(std::mem::take(&mut dash));
            } else {
                dash = vec![a];
            }
            drawing = !drawing;
            left = if drawing { on } else { off };
        }
        left -= long;
        if drawing {
            dash.push(b);
        }
    }
    if dash.len() > 1 {
        out.push(dash);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cut_where_it_leaves_the_plot_and_where_it_comes_back() {
        let path = [(0.0, 5.0), (10.0, 15.0), (20.0, 5.0), (30.0, 5.0)];
        let pieces = clipped(&path, 0.0, 10.0);
        assert_eq!(
            pieces,
            [vec![(0.0, 5.0), (5.0, 10.0)], vec![(15.0, 10.0), (20.0, 5.0), (30.0, 5.0)]]
        );
    }

    #[test]
    fn dashes_have_their_lengths() {
        let path = [(0.0, 0.0), (10.0, 0.0), (25.0, 0.0)];
        let on: Vec<(f64, f64)> =
            dashes(&path, 6.0, 4.0).iter().map(|d| (d[0].0, d[d.len() - 1].0)).collect();
        assert_eq!(on, [(0.0, 6.0), (10.0, 16.0), (20.0, 25.0)]);
    }
}
