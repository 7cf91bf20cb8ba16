//! Gates changed by hand: held open or closed, moved, aimed at another shape.
//!
//! A held gate is exactly 1 or 0 in samples, probabilities and evaluations, and takes no gradient.
//! Its row's target stays, so the constraint leans on the gates that are free.

use super::{GateError, GateKind, Gates, Table};
use crate::shape::ModelShape;

/// The place of one gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatePlace {
    /// Its kind.
    pub kind: GateKind,
    /// Its row: the layer, or 0 for kinds with one row.
    pub row: usize,
    /// Its place in the row.
    pub index: usize,
}

impl std::fmt::Display for GatePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind.one_row() {
            true => write!(f, "{} {}", self.kind, self.index),
            false => write!(f, "{} {}.{}", self.kind, self.row, self.index),
        }
    }
}

impl GateKind {
    /// Whether all its gates stand in one row, instead of one row a layer.
    pub fn one_row(self) -> bool {
        matches!(self, Self::Layer | Self::HeadLayer | Self::Mlp | Self::Hidden)
    }
}

impl Gates {
    /// Holds a gate open or closed.
    ///
    /// # Errors
    /// No such gate; more held gates than the target has room for. Nothing changes then.
    pub fn hold(&mut self, place: GatePlace, open: bool) -> Result<(), GateError> {
        let (table, at) = self.place(place)?;
        let GatePlace { kind, row, index } = place;
        let same = table.held_in(row).filter(|&(i, held)| i != index && held == open).count();
        if let Some(room) = table.room(open)
            && same + 1 > room
        {
            let (held, width) = (same + 1, table.width);
            return Err(GateError::NoRoom { kind, row, held, open, room, width });
        }
        table.held.insert(at, open);
        Ok(())
    }

    /// Lets a held gate learn again, from the log-alpha it had; a free one stays free.
    ///
    /// # Errors
    /// No such gate.
    pub fn release(&mut self, place: GatePlace) -> Result<(), GateError> {
        let (table, at) = self.place(place)?;
        table.held.remove(&at);
        Ok(())
    }

    /// Sets a log-alpha.
    ///
    /// # Errors
    /// No such gate, a held one, a value outside the bounds. Nothing changes then.
    pub fn set_log_alpha(&mut self, place: GatePlace, value: f64) -> Result<(), GateError> {
        let (low, high) = self.distribution.bounds;
        let (table, at) = self.place(place)?;
        if table.held.contains_key(&at) {
            let GatePlace { kind, row, index } = place;
            return Err(GateError::Held { kind, row, index });
        }
        if !(low..=high).contains(&value) {
            return Err(GateError::Bounds { value, low, high });
        }
        table.log_alpha[at] = value;
        Ok(())
    }

    /// Aims at another shape; gives the places of tables that are new, because the shape makes a
    /// dimension smaller that had no gates.
    ///
    /// # Errors
    /// The gates aim at no shape; held gates have no room in it. Nothing changes then.
    pub fn retarget(&mut self, target: &ModelShape, seed: u64) -> Result<Vec<usize>, GateError> {
        let mut next = self.clone();
        if next.tables.iter().any(|table| table.keep.is_none()) {
            return Err(GateError::NoTarget);
        }
        let mut fresh = Vec::new();
        for kind in GateKind::needed(&self.source, target) {
            let split = |k: &GateKind| matches!(k, GateKind::HeadLayer | GateKind::Mlp);
            let covered = |k: &GateKind| *k == kind || (kind == GateKind::Layer && split(k));
            if !next.kinds().iter().any(covered) {
                let at = next.tables.partition_point(|table| table.kind < kind);
                next.tables.insert(at, Table::open(kind, &self.source, Some(target), seed));
                fresh.push(kind);
            }
        }
        for table in &mut next.tables {
            table.keep = Some(table.kind.kept(target));
            for (row, open) in (0..table.rows).flat_map(|row| [(row, true), (row, false)]) {
                let held = table.held_in(row).filter(|&(_, held)| held == open).count();
                let (width, kind) = (table.width, table.kind);
                match table.room(open) {
                    Some(room) if held > room => {
                        return Err(GateError::NoRoom { kind, row, held, open, room, width });
                    }
                    _ => {}
                }
            }
        }
        *self = next;
        let place = |kind| self.tables.iter().position(|table| table.kind == kind);
        Ok(fresh.into_iter().filter_map(place).collect())
    }

    /// The table of a place, and where in it.
    fn place(&mut self, place: GatePlace) -> Result<(&mut Table, usize), GateError> {
        let GatePlace { kind, row, index } = place;
        let have = || self.kinds().iter().map(|k| k.name()).collect::<Vec<_>>().join(", ");
        let found = self.tables.iter().position(|table| table.kind == kind);
        let table = found.ok_or_else(|| GateError::Absent { kind, have: have() })?;
        let table = &mut self.tables[table];
        if row >= table.rows || index >= table.width {
            let (rows, width) = (table.rows, table.width);
            return Err(GateError::NoGate { kind, row, index, rows, width });
        }
        let at = row * table.width + index;
        Ok((table, at))
    }
}

impl Table {
    /// How many gates of a row the target has open, or closed; none without a target.
    fn room(&self, open: bool) -> Option<usize> {
        self.keep.map(|keep| if open { keep } else { self.width - keep })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EvalMode, HardConcrete};
    use super::*;
    use crate::shape::Family;

    const SOURCE: ModelShape = ModelShape {
        layers: 4,
        hidden: 16,
        heads: 4,
        kv_heads: 4,
        head_dim: 4,
        intermediate: 10,
        vocab: 50,
        tied: true,
        family: Family::Llama,
        attention_bias: false,
    };

    fn gates() -> Gates {
        let target = ModelShape { layers: 3, heads: 2, kv_heads: 2, ..SOURCE };
        let kinds = [GateKind::Layer, GateKind::Head];
        Gates::new(&SOURCE, Some(&target), &kinds, HardConcrete::default(), true, 1).unwrap()
    }

    fn head(row: usize, index: usize) -> GatePlace {
        GatePlace { kind: GateKind::Head, row, index }
    }

    #[test]
    fn a_held_gate_is_exactly_1_or_0_and_takes_no_gradient() {
        let mut gates = gates();
        gates.hold(head(1, 2), true).unwrap();
        gates.hold(head(1, 0), false).unwrap();
        for step in 0..20 {
            let sample = gates.sample(&gates.noise(3, step));
            assert_eq!((sample.values[1][6], sample.values[1][4]), (1.0, 0.0));
            assert_eq!((sample.slopes[1][6], sample.slopes[1][4]), (0.0, 0.0));
        }
        for mode in [EvalMode::Current, EvalMode::Target] {
            let values = gates.evaluate(mode);
            assert_eq!((values.values[1][6], values.values[1][4]), (1.0, 0.0));
        }
        let closed = gates.closed(&gates.tables[1]);
        assert_eq!((closed[6], closed[4]), ((0.0, 0.0), (1.0, 0.0)));
        gates.release(head(1, 2)).unwrap();
        assert_eq!(gates.tables[1].held.len(), 1);
    }

    #[test]
    fn the_target_keeps_its_size_around_held_gates() {
        let mut gates = gates();
        gates.hold(head(0, 3), true).unwrap();
        gates.hold(head(0, 2), false).unwrap();
        let row = &gates.evaluate(EvalMode::Target).values[1][..4];
        assert_eq!(row.iter().filter(|z| **z != 0.0).count(), 2);
        assert!(row[3] == 1.0 && row[2] == 0.0);
    }

    #[test]
    fn holding_more_than_the_target_leaves_is_refused_and_changes_nothing() {
        let mut gates = gates();
        gates.hold(head(0, 0), true).unwrap();
        gates.hold(head(0, 1), true).unwrap();
        let before = gates.clone();
        let error = gates.hold(head(0, 2), true).unwrap_err().to_string();
        assert!(error.contains("3 gates held open") && error.contains("2 of 4"), "{error}");
        let layer = |index| GatePlace { kind: GateKind::Layer, row: 0, index };
        gates.hold(layer(1), false).unwrap();
        assert!(gates.hold(layer(2), false).is_err());
        gates.release(layer(1)).unwrap();
        assert_eq!(gates, before);
    }

    #[test]
    fn a_place_that_is_not_there_is_answered_with_the_nearest() {
        let mut gates = gates();
        let error = gates.hold(head(7, 1), true).unwrap_err().to_string();
        assert!(error.contains("rows are 0..4") && error.contains("row 3, gate 1"), "{error}");
        let hidden = GatePlace { kind: GateKind::Hidden, row: 0, index: 0 };
        assert!(matches!(gates.hold(hidden, true), Err(GateError::Absent { .. })));
        let error = gates.set_log_alpha(head(0, 0), 9.0).unwrap_err().to_string();
        assert!(error.contains("nearest: 4.6052"), "{error}");
        gates.hold(head(0, 0), true).unwrap();
        assert!(matches!(gates.set_log_alpha(head(0, 0), 1.0), Err(GateError::Held { .. })));
    }

    #[test]
    fn a_new_target_brings_gates_for_the_dimensions_it_makes_smaller() {
        let mut gates = gates();
        let target = ModelShape { layers: 2, hidden: 12, ..SOURCE };
        assert_eq!(gates.retarget(&target, 1).unwrap(), [2]);
        assert_eq!(gates.kinds(), [GateKind::Layer, GateKind::Head, GateKind::Hidden]);
        let keeps: Vec<_> = gates.tables.iter().map(|t| t.keep.unwrap()).collect();
        assert_eq!(keeps, [2, 4, 12]);
        gates.hold(GatePlace { kind: GateKind::Layer, row: 0, index: 0 }, false).unwrap();
        let before = gates.clone();
        let all = ModelShape { hidden: 12, ..SOURCE };
        assert!(gates.retarget(&all, 1).is_err());
        assert_eq!(gates, before);
    }
}
