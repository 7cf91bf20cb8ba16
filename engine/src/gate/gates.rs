//! The gates of one run: log-alphas by kind, their samples, their deterministic values.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::{GateError, GateKind, HardConcrete};
use crate::rng::Stream;
use crate::shape::ModelShape;

/// The gates of one kind: a table with one row a layer, or one row for the whole network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// What the gates multiply.
    pub kind: GateKind,
    /// Rows of the table.
    pub rows: usize,
    /// Gates a row.
    pub width: usize,
    /// How many gates of a row the target keeps; none when only the overall sparsity is aimed at.
    pub keep: Option<usize>,
    /// Log-alphas, row by row.
    pub log_alpha: Vec<f64>,
    /// Gates held open (true) or closed (false), by their place in `log_alpha`. A held gate is
    /// exactly 1 or 0, always, and takes no gradient; the others make up for it.
    pub held: BTreeMap<usize, bool>,
}

/// All gates of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gates {
    /// Constants of the distribution.
    pub distribution: HardConcrete,
    /// The source's dimensions.
    pub source: ModelShape,
    /// The tables, in the order of [`GateKind::ALL`].
    pub tables: Vec<Table>,
    /// Whether the hidden gate multiplies the embeddings too.
    pub mask_embeddings: bool,
}

/// Which zeros a deterministic evaluation has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EvalMode {
    /// As many as the gates expect now, rounded half to even.
    Current,
    /// Exactly the target's.
    Target,
}

/// Values of every gate, table by table.
#[derive(Clone, Debug, PartialEq)]
pub struct GateValues {
    /// The kinds, in order.
    pub kinds: Vec<GateKind>,
    /// The values of each table, row by row.
    pub values: Vec<Vec<f64>>,
    /// Derivative of each value by its log-alpha; empty for deterministic values.
    pub slopes: Vec<Vec<f64>>,
    /// Whether the hidden gate multiplies the embeddings too.
    pub mask_embeddings: bool,
}

/// One gate, for tables and charts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GateRow {
    /// The row of its table: the layer, or 0 for one row.
    pub row: usize,
    /// Its place in the row.
    pub index: usize,
    /// Its log-alpha.
    pub log_alpha: f64,
    /// The probability that it is not 0.
    pub probability: f64,
    /// Its deterministic value with as many zeros as are expected now.
    pub current: f64,
    /// Its deterministic value at the target: exactly 0 when it would be cut now.
    pub value: f64,
    /// Whether it is held open (true) or closed (false).
    pub held: Option<bool>,
}

impl Table {
    /// Makes the gates of a kind, all open.
    pub(super) fn open(
        kind: GateKind,
        source: &ModelShape,
        target: Option<&ModelShape>,
        seed: u64,
    ) -> Self {
        let (rows, width) = kind.size(source);
        let mut stream = Stream::new(seed, &format!("gate-init/{kind}"), 0);
        let log_alpha = (0..rows * width).map(|_| 5.0 + 0.01 * stream.normal()).collect();
        let keep = target.map(|t| kind.kept(t));
        Self { kind, rows, width, keep, log_alpha, held: BTreeMap::new() }
    }

    /// The held gates of a row, by their place in the row.
    pub fn held_in(&self, row: usize) -> impl Iterator<Item = (usize, bool)> {
        let first = row * self.width;
        self.held.range(first..first + self.width).map(move |(&i, &open)| (i - first, open))
    }
}

impl Gates {
    /// Makes gates for `kinds`, all open.
    ///
    /// Log-alphas start at Normal(5, 0.01), as the public code does; the first step clamps them, so
    /// all gates start tied and noise with the loss's gradient tells them apart.
    ///
    /// # Errors
    /// A combination of kinds that is illegal, or illegal for this source.
    pub fn new(
        source: &ModelShape,
        target: Option<&ModelShape>,
        kinds: &[GateKind],
        distribution: HardConcrete,
        mask_embeddings: bool,
        seed: u64,
    ) -> std::result::Result<Self, GateError> {
        let tables = GateKind::legal(kinds, source)?
            .into_iter()
            .map(|kind| Table::open(kind, source, target, seed))
            .collect();
        Ok(Self { distribution, source: *source, tables, mask_embeddings })
    }

    /// The kinds, in order.
    pub fn kinds(&self) -> Vec<GateKind> {
        self.tables.iter().map(|t| t.kind).collect()
    }

    /// The table of a kind.
    ///
    /// # Errors
    /// A kind that this run does not have.
    pub fn table(&self, kind: GateKind) -> std::result::Result<&Table, GateError> {
        self.tables.iter().find(|t| t.kind == kind).ok_or_else(|| GateError::Absent {
            kind,
            have: self.kinds().iter().map(|k| k.name()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Brings every log-alpha inside its bounds; done at the start of every step.
    pub fn clamp(&mut self) {
        for table in &mut self.tables {
            for a in &mut table.log_alpha {
                *a = self.distribution.clamp(*a);
            }
        }
    }

    /// Draws the noise of one step: one number in (eps, 1-eps) a gate, from streams named by kind.
    pub fn noise(&self, seed: u64, step: u64) -> Vec<Vec<f64>> {
        self.part_noise(seed, step, 0)
    }

    /// Draws the noise of micro-batch `part` of a step. The first has the streams of a step that is
    /// not divided, `gate-noise/KIND`; part j > 0 has `gate-noise/KIND/j`.
    pub fn part_noise(&self, seed: u64, step: u64, part: usize) -> Vec<Vec<f64>> {
        self.tables
            .iter()
            .map(|table| {
                let mut purpose = format!("gate-noise/{}", table.kind);
                if part > 0 {
                    purpose.push_str(&format!("/{part}"));
                }
                let mut stream = Stream::new(seed, &purpose, step);
                (0..table.log_alpha.len())
                    .map(|_| self.distribution.noise(stream.uniform()))
                    .collect()
            })
            .collect()
    }

    /// Samples every gate from its noise.
    pub fn sample(&self, noise: &[Vec<f64>]) -> GateValues {
        let sampled = |(table, u): (&Table, &Vec<f64>)| -> (Vec<f64>, Vec<f64>) {
            let (mut values, mut slopes): (Vec<f64>, Vec<f64>) = table
                .log_alpha
                .iter()
                .zip(u)
                .map(|(&a, &u)| self.distribution.sample(a, u))
                .unzip();
            for (&i, &open) in &table.held {
                (values[i], slopes[i]) = (f64::from(open), 0.0);
            }
            (values, slopes)
        };
        let (values, slopes) = self.tables.iter().zip(noise).map(sampled).unzip();
        GateValues { kinds: self.kinds(), values, slopes, mask_embeddings: self.mask_embeddings }
    }

    /// Gives the deterministic values: in each row the smallest are exactly 0, the rest stay soft.
    ///
    /// Log-alphas count as [`Gates::clamp`] would leave them: the optimiser moves them last in a
    /// step, and the next step clamps them before it uses them.
    ///
    /// Ties fall in the order (value, index): of equal gates the one with the lower index is cut.
    pub fn evaluate(&self, mode: EvalMode) -> GateValues {
        let values = self.tables.iter().map(|table| self.table_values(table, mode));
        GateValues {
            kinds: self.kinds(),
            values: values.collect(),
            slopes: Vec::new(),
            mask_embeddings: self.mask_embeddings,
        }
    }

    /// The probability that each gate of a table is exactly 0, and its derivative by log-alpha.
    pub fn closed(&self, table: &Table) -> Vec<(f64, f64)> {
        let mut closed: Vec<(f64, f64)> =
            table.log_alpha.iter().map(|&a| self.distribution.closed(a)).collect();
        for (&i, &open) in &table.held {
            closed[i] = (f64::from(!open), 0.0);
        }
        closed
    }

    fn table_values(&self, table: &Table, mode: EvalMode) -> Vec<f64> {
        (0..table.rows).flat_map(|row| self.row_values(table, row, mode)).collect()
    }

    fn row_values(&self, table: &Table, row: usize, mode: EvalMode) -> Vec<f64> {
        let log_alpha = &table.log_alpha[row * table.width..(row + 1) * table.width];
        let log_alpha: Vec<f64> = log_alpha.iter().map(|&a| self.distribution.clamp(a)).collect();
        let mut open: Vec<f64> = log_alpha.iter().map(|&a| self.distribution.open(a)).collect();
        let mut values: Vec<f64> = log_alpha.iter().map(|&a| self.distribution.value(a)).collect();
        for (i, held) in table.held_in(row) {
            (open[i], values[i]) = (f64::from(held), f64::from(held));
        }
        let width = table.width;
        let zeros = match (mode, table.keep) {
            (EvalMode::Target, Some(keep)) => width - keep,
            _ => (width as f64 - open.iter().sum::<f64>()).round_ties_even().max(0.0) as usize,
        };
        let mut order: Vec<usize> = (0..width).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]).then(a.cmp(&b)));
        for &i in order.iter().take(zeros.min(width)) {
            values[i] = 0.0;
        }
        values
    }

    /// Lists the gates of a kind with what is known of each.
    ///
    /// # Errors
    /// A kind that this run does not have.
    pub fn list(&self, kind: GateKind) -> std::result::Result<Vec<GateRow>, GateError> {
        let table = self.table(kind)?;
        let (current, values) = (
            self.table_values(table, EvalMode::Current),
            self.table_values(table, EvalMode::Target),
        );
        let open = |i: usize, a: f64| match table.held.get(&i) {
            Some(&open) => f64::from(open),
            None => self.distribution.open(self.distribution.clamp(a)),
        };
        let row = |(i, &log_alpha): (usize, &f64)| GateRow {
            row: i / table.width,
            index: i % table.width,
            log_alpha,
            probability: open(i, log_alpha),
            current: current[i],
            value: values[i],
            held: table.held.get(&i).copied(),
        };
        Ok(table.log_alpha.iter().enumerate().map(row).collect())
    }
}

impl GateValues {
    /// The values of a kind, if it is gated.
    pub fn of(&self, kind: GateKind) -> Option<&[f64]> {
        self.kinds.iter().position(|&k| k == kind).map(|i| self.values[i].as_slice())
    }

    /// Puts the values on a device as variables that take gradients.
    ///
    /// # Errors
    /// candle's, if the device refuses the copy.
    pub fn tensors(
        &self,
        source: &ModelShape,
        dtype: DType,
        device: &Device,
    ) -> Result<GateTensors> {
        let vars = self
            .kinds
            .iter()
            .zip(&self.values)
            .map(|(kind, values)| {
                let t = Tensor::from_slice(values, kind.size(source), device)?.to_dtype(dtype)?;
                Ok((*kind, Var::from_tensor(&t)?))
            })
            .collect::<Result<_>>()?;
        Ok(GateTensors { vars, mask_embeddings: self.mask_embeddings })
    }
}

/// Gate values on a device, one (rows, width) variable a kind.
#[derive(Clone, Debug)]
pub struct GateTensors {
    /// The variables, in order.
    pub vars: Vec<(GateKind, Var)>,
    /// Whether the hidden gate multiplies the embeddings too.
    pub mask_embeddings: bool,
}

impl GateTensors {
    fn var(&self, kind: GateKind) -> Option<&Tensor> {
        self.vars.iter().find(|(k, _)| *k == kind).map(|(_, v)| v.as_tensor())
    }

    /// The hidden gate (D).
    ///
    /// # Errors
    /// candle's, here and below.
    pub fn hidden(&self) -> Result<Option<Tensor>> {
        self.var(GateKind::Hidden).map(|z| z.get(0)).transpose()
    }

    /// The gate on layer `l`'s attention output (1).
    ///
    /// # Errors
    /// candle's.
    pub fn attention(&self, l: usize) -> Result<Option<Tensor>> {
        self.output(GateKind::HeadLayer, l)
    }

    /// The gate on layer `l`'s MLP output (1).
    ///
    /// # Errors
    /// candle's.
    pub fn mlp(&self, l: usize) -> Result<Option<Tensor>> {
        self.output(GateKind::Mlp, l)
    }

    fn output(&self, split: GateKind, l: usize) -> Result<Option<Tensor>> {
        let z = self.var(GateKind::Layer).or_else(|| self.var(split));
        z.map(|z| z.get(0)?.narrow(0, l, 1)).transpose()
    }

    /// The gates of layer `l`'s key/value groups (K).
    ///
    /// # Errors
    /// candle's.
    pub fn heads(&self, l: usize) -> Result<Option<Tensor>> {
        self.var(GateKind::Head).map(|z| z.get(l)).transpose()
    }

    /// The gates of layer `l`'s query heads within a group (H/K), the same in every group.
    ///
    /// # Errors
    /// candle's.
    pub fn queries(&self, l: usize) -> Result<Option<Tensor>> {
        self.var(GateKind::Query).map(|z| z.get(l)).transpose()
    }

    /// The gates of layer `l`'s MLP channels (F).
    ///
    /// # Errors
    /// candle's.
    pub fn intermediate(&self, l: usize) -> Result<Option<Tensor>> {
        self.var(GateKind::Intermediate).map(|z| z.get(l)).transpose()
    }
}
