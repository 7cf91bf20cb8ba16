//! Constraints that pull expected sparsity to the target.
//!
//! ```text
//! s   = 1 - mean P(z != 0)                               a number a row
//! t_k = t min(1, k / W)                                  the target at step k
//! Lag = sum over kinds, mean over rows, of  l1 (s - t_k) + l2 (s - t_k)^2
//! ```
//!
//! The multipliers l1, l2 of a kind serve all its rows and climb by gradient ascent. In the global
//! mode one pair acts on the overall sparsity 1 - N / N0 of the prunable parameters instead.
//! Source: Sheared LLaMA, section 3.1, in the normalised form of its public code.

use serde::{Deserialize, Serialize};

use super::{GateKind, Gates, Table};

/// What the gates are pulled to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Constraint {
    /// Every kind to the size of a target shape.
    Shape,
    /// The overall sparsity of the prunable parameters to a number in 0..1; the shape is free.
    Sparsity(f64),
}

/// One pair of multipliers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Multipliers {
    /// Of the violation.
    pub linear: f64,
    /// Of its square; only grows.
    pub quadratic: f64,
}

/// The constraints of a run and their multipliers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lagrangian {
    /// What is aimed at.
    pub constraint: Constraint,
    /// Steps over which the target rises to its full value, W.
    pub warmup: u64,
    /// One pair a kind (shape), or one pair (sparsity).
    pub multipliers: Vec<Multipliers>,
}

/// The Lagrangian at one step, with all its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Its value.
    pub value: f64,
    /// Expected sparsity of each kind, mean over rows.
    pub expected: Vec<f64>,
    /// Target sparsity of each kind at this step; none in the global mode.
    pub target: Option<Vec<f64>>,
    /// Expected sparsity of the prunable parameters, 1 - N / N0.
    pub overall: f64,
    /// Derivative by every log-alpha, table by table.
    pub log_alpha: Vec<Vec<f64>>,
    /// Derivative by every pair of multipliers.
    pub multipliers: Vec<Multipliers>,
}

impl Lagrangian {
    /// Makes constraints with multipliers at 0.
    pub fn new(constraint: Constraint, warmup: u64, gates: &Gates) -> Self {
        let pairs = match constraint {
            Constraint::Shape => gates.tables.len(),
            Constraint::Sparsity(_) => 1,
        };
        Self { constraint, warmup, multipliers: vec![Multipliers::default(); pairs] }
    }

    /// The part of the target that applies at 0-based step `k`.
    fn ramp(&self, k: u64) -> f64 {
        if self.warmup == 0 { 1.0 } else { (k as f64 / self.warmup as f64).min(1.0) }
    }

    /// Gives value and gradients at 0-based step `k`.
    pub fn evaluate(&self, gates: &Gates, k: u64) -> Evaluation {
        let opens: Vec<Open> = gates.tables.iter().map(|t| Open::of(gates, t)).collect();
        let size = PrunableSize::of(gates, &opens);
        let expected = opens
            .iter()
            .map(|o| o.sparsity.iter().sum::<f64>() / o.sparsity.len() as f64)
            .collect();
        let overall = 1.0 - size.expected / gates.source.prunable() as f64;
        match self.constraint {
            Constraint::Shape => self.by_shape(gates, &opens, expected, overall, k),
            Constraint::Sparsity(target) => {
                self.by_sparsity(gates, &size, expected, overall, target * self.ramp(k))
            }
        }
    }

    fn by_shape(
        &self,
        gates: &Gates,
        opens: &[Open],
        expected: Vec<f64>,
        overall: f64,
        k: u64,
    ) -> Evaluation {
        let mut value = 0.0;
        let (mut targets, mut log_alpha, mut multipliers) = (Vec::new(), Vec::new(), Vec::new());
        for ((table, open), pair) in gates.tables.iter().zip(opens).zip(&self.multipliers) {
            let target = target_sparsity(table) * self.ramp(k);
            let rows = table.rows as f64;
            let mut grad = Vec::with_capacity(table.log_alpha.len());
            let mut by_pair = Multipliers::default();
            for (row, &s) in open.sparsity.iter().enumerate() {
                let gap = s - target;
                value += (pair.linear * gap + pair.quadratic * gap * gap) / rows;
                by_pair.linear += gap / rows;
                by_pair.quadratic += gap * gap / rows;
                let slope = (pair.linear + 2.0 * pair.quadratic * gap) / rows / table.width as f64;
                let closed = &open.closed_slope[row * table.width..(row + 1) * table.width];
                grad.extend(closed.iter().map(|c| slope * c));
            }
            targets.push(target);
            log_alpha.push(grad);
            multipliers.push(by_pair);
        }
        Evaluation { value, expected, target: Some(targets), overall, log_alpha, multipliers }
    }

    fn by_sparsity(
        &self,
        gates: &Gates,
        size: &PrunableSize,
        expected: Vec<f64>,
        overall: f64,
        target: f64,
    ) -> Evaluation {
        let pair = self.multipliers[0];
        let gap = overall - target;
        // d overall / d log-alpha = -(dN / d log-alpha) / N0.
        let slope = -(pair.linear + 2.0 * pair.quadratic * gap) / gates.source.prunable() as f64;
        Evaluation {
            value: pair.linear * gap + pair.quadratic * gap * gap,
            expected,
            target: None,
            overall,
            log_alpha: size
                .by_log_alpha
                .iter()
                .map(|g| g.iter().map(|n| slope * n).collect())
                .collect(),
            multipliers: vec![Multipliers { linear: gap, quadratic: gap * gap }],
        }
    }
}

/// The sparsity a table is to reach; 0 without a target.
pub(crate) fn target_sparsity(table: &Table) -> f64 {
    table.keep.map_or(0.0, |keep| 1.0 - keep as f64 / table.width as f64)
}

/// Opening probabilities of one table.
struct Open {
    /// P(z != 0).
    open: Vec<f64>,
    /// Derivative of P(z = 0) by log-alpha.
    closed_slope: Vec<f64>,
    /// 1 - mean P(z != 0), a number a row.
    sparsity: Vec<f64>,
}

impl Open {
    fn of(gates: &Gates, table: &Table) -> Self {
        let (closed, closed_slope): (Vec<f64>, Vec<f64>) = gates.closed(table).into_iter().unzip();
        let open: Vec<f64> = closed.iter().map(|c| 1.0 - c).collect();
        let sparsity = open
            .chunks(table.width)
            .map(|row| 1.0 - row.iter().sum::<f64>() / table.width as f64)
            .collect();
        Self { open, closed_slope, sparsity }
    }
}

/// The expected number of prunable parameters,
///
/// ```text
/// N = sum p_hidden [ E sum_l p_attention[l] sum_k p_head[l,k] (2 + 2 sum_j p_query[l,j])
///                    + 3 sum_l p_mlp[l] sum_i p_int[l,i] ]
/// ```
///
/// and its derivative by every log-alpha.
struct PrunableSize {
    expected: f64,
    by_log_alpha: Vec<Vec<f64>>,
}

impl PrunableSize {
    fn of(gates: &Gates, opens: &[Open]) -> Self {
        let shape = &gates.source;
        let layers = shape.layers;
        let table = |kind: GateKind| gates.tables.iter().position(|t| t.kind == kind);
        let of = |kind: GateKind| table(kind).map(|i| &opens[i].open);
        let per_layer = |split: GateKind| {
            of(GateKind::Layer).or_else(|| of(split)).cloned().unwrap_or(vec![1.0; layers])
        };
        let row_sums = |kind: GateKind, width: usize| -> Vec<f64> {
            of(kind).map_or(vec![width as f64; layers], |p| {
                p.chunks(width).map(|r| r.iter().sum()).collect()
            })
        };
        let attention = per_layer(GateKind::HeadLayer);
        let mlp = per_layer(GateKind::Mlp);
        let heads = row_sums(GateKind::Head, shape.kv_heads);
        let queries = row_sums(GateKind::Query, shape.group());
        let channels = row_sums(GateKind::Intermediate, shape.intermediate);
        let hidden: f64 = of(GateKind::Hidden).map_or(shape.hidden as f64, |p| p.iter().sum());

        let e = shape.head_dim as f64;
        let group_cost: Vec<f64> = queries.iter().map(|q| e * (2.0 * q + 2.0)).collect();
        let attention_cost: Vec<f64> = group_cost.iter().zip(&heads).map(|(g, h)| g * h).collect();
        let mlp_cost: Vec<f64> = channels.iter().map(|c| 3.0 * c).collect();
        let per_dimension: f64 =
            (0..layers).map(|l| attention[l] * attention_cost[l] + mlp[l] * mlp_cost[l]).sum();

        let by_open = |kind: GateKind, row: usize, index: usize| match kind {
            GateKind::Layer => hidden * (attention_cost[index] + mlp_cost[index]),
            GateKind::HeadLayer => hidden * attention_cost[index],
            GateKind::Mlp => hidden * mlp_cost[index],
            GateKind::Head => hidden * group_cost[row] * attention[row],
            GateKind::Query => hidden * e * 2.0 * heads[row] * attention[row],
            GateKind::Intermediate => hidden * 3.0 * mlp[row],
            GateKind::Hidden => per_dimension,
        };
        let by_log_alpha = gates
            .tables
            .iter()
            .zip(opens)
            .map(|(table, open)| {
                let slope = |(i, closed): (usize, &f64)| {
                    -closed * by_open(table.kind, i / table.width, i % table.width)
                };
                open.closed_slope.iter().enumerate().map(slope).collect()
            })
            .collect();
        Self { expected: hidden * per_dimension, by_log_alpha }
    }
}

#[cfg(test)]
mod tests {
    use super::super::HardConcrete;
    use super::*;
    use crate::shape::{Family, ModelShape};

    fn gates(kinds: &[GateKind], keep: bool) -> Gates {
        let source = ModelShape {
            layers: 3,
            hidden: 16,
            heads: 6,
            kv_heads: 2,
            head_dim: 4,
            intermediate: 10,
            vocab: 50,
            tied: true,
            family: Family::Llama,
            attention_bias: false,
        };
        let target =
            ModelShape { layers: 2, hidden: 12, heads: 1, kv_heads: 1, intermediate: 6, ..source };
        let mut gates =
            Gates::new(&source, keep.then_some(&target), kinds, HardConcrete::default(), true, 1)
                .expect("gates");
        let mut stream = crate::rng::Stream::new(5, "test", 0);
        for table in &mut gates.tables {
            table.log_alpha.iter_mut().for_each(|a| *a = 2.0 * stream.normal());
        }
        gates
    }

    #[test]
    fn gradients_equal_finite_differences_in_both_modes_and_for_every_kind() {
        use GateKind::*;
        let sets: [&[GateKind]; 6] = [
            &[Layer, Head, Intermediate, Hidden],
            &[Layer, Head, Query, Intermediate, Hidden],
            &[HeadLayer, Mlp, Head, Intermediate, Hidden],
            &[HeadLayer, Mlp, Head, Query, Intermediate, Hidden],
            &[Query],
            &[Head, Intermediate],
        ];
        for kinds in sets {
            for constraint in [Constraint::Shape, Constraint::Sparsity(0.6)] {
                let mut gates = gates(kinds, constraint == Constraint::Shape);
                let mut lagrangian = Lagrangian::new(constraint, 4, &gates);
                for (i, pair) in lagrangian.multipliers.iter_mut().enumerate() {
                    *pair = Multipliers { linear: 0.3 + 0.1 * i as f64, quadratic: 1.5 };
                }
                let at = lagrangian.evaluate(&gates, 3);
                let h = 1e-5;
                for t in 0..gates.tables.len() {
                    for i in 0..gates.tables[t].log_alpha.len() {
                        let a = gates.tables[t].log_alpha[i];
                        let mut value = |a: f64| {
                            gates.tables[t].log_alpha[i] = a;
                            lagrangian.evaluate(&gates, 3).value
                        };
                        let slope = (value(a + h) - value(a - h)) / (2.0 * h);
                        value(a);
                        assert!(
                            (slope - at.log_alpha[t][i]).abs() < 1e-8,
                            "{constraint:?} table {t} gate {i}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn open_gates_expect_every_prunable_parameter() {
        use GateKind::*;
        let mut gates = gates(&[Layer, Head, Query, Intermediate, Hidden], true);
        gates.tables.iter_mut().for_each(|t| t.log_alpha.fill(60.0));
        let lagrangian = Lagrangian::new(Constraint::Shape, 0, &gates);
        // Probabilities are clamped to 1 - 1e-6, four of them multiplied.
        assert!(lagrangian.evaluate(&gates, 0).overall < 5e-6);
    }

    #[test]
    fn query_gates_need_query_heads_that_share() {
        let gates = gates(&[GateKind::Query], true);
        assert_eq!((gates.tables[0].rows, gates.tables[0].width), (3, 3));
        assert_eq!(gates.tables[0].keep, Some(1));
        let alone = ModelShape { heads: 2, ..gates.source };
        let error = GateKind::legal(&[GateKind::Query], &alone).unwrap_err().to_string();
        assert!(error.contains("2 KV heads") && error.contains("use `head`"), "{error}");
    }
}
