//! cuDNN's attention beside our own, once for every shape, before any result of it is used.
//!
//! The queries lean towards their own key, so that about half of each row's weight lies on the diagonal and the
//! rest on all before it: every row of every result has a size of its own, and none can be wrong unseen.

use rayon::prelude::*;

use super::graph::Role;
use super::library::{DnnError, Handle};
use super::plan::Plan;
use crate::ops::cuda::calls::{At, Attended, Heads, Machine, On, bf16_bits};

/// Largest distance of all of a result from ours, in norms of ours: both round weights, contexts and results to
/// bf16, 2^-9 of each; the library of the tests, which computes in f64, is at most 0.01 away.
const LIMIT: f64 = 0.03;
/// Largest distance of one row, in norms of the row and of a usual one. Where a row looks at one key only, its
/// gradients are differences of nearly equal numbers, each rounded to bf16. The library of the tests is
/// at most 0.07 away, and a row that is wrong 0.5.
const LIMIT_ROW: f64 = 0.15;
/// Largest difference of logarithms of masses: f32 on both sides, scores of some tens from bf16.
const LIMIT_LSE: f64 = 1e-2;

/// Launches cuDNN's forward pass.
///
/// # Safety
/// As [`On::attention`]; every address is a multiple of 16.
pub(super) unsafe fn forward<M: Machine>(
    machine: &M,
    (plan, handle): (&Plan<'_>, &Handle<'_>),
    of: Attended,
) -> Result<(), DnnError> {
    let (_room, workspace) = machine.room(plan.workspace)?;
    let at = |role| match role {
        Role::Q => of.q,
        Role::K => of.k,
        Role::V => of.v,
        Role::Out => of.out,
        Role::Lse => of.lse,
        _ => 0,
    };
    // SAFETY: the caller's promise; the graph has these operands only.
    unsafe { plan.run(handle, at, workspace) }
}

/// Launches cuDNN's backward pass.
///
/// # Safety
/// As [`On::attention_back`]; every address is a multiple of 16.
pub(super) unsafe fn backward<M: Machine>(
    machine: &M,
    (plan, handle): (&Plan<'_>, &Handle<'_>),
    of: Attended,
    g: At,
    [dq, dk, dv]: [At; 3],
    s: Heads,
) -> Result<(), DnnError> {
    let rows = s.b * s.t * s.h;
    let (_room, workspace) = machine.room(plan.workspace)?;
    let (_shares, shares) = machine.room(4 * rows)?;
    let (_sum, sum) = machine.room(4 * rows * s.e)?;
    let at = |role| match role {
        Role::Q => of.q,
        Role::K => of.k,
        Role::V => of.v,
        Role::Out => of.out,
        Role::Lse => of.lse,
        Role::Grad => g,
        Role::Dq => dq,
        Role::Dk => dk,
        Role::Dv => dv,
        Role::Shares => shares,
        Role::DqSum => sum,
    };
    // SAFETY: the caller's promise, and rooms of the sizes of the graph.
    unsafe { plan.run(handle, at, workspace) }
}

/// Operands and results of a check on a machine.
struct Case<'a, M: Machine> {
    machine: &'a M,
    s: Heads,
    operands: [At; 4],
    _rooms: Vec<M::Room>,
}

/// Bytes of results, copied to the host.
struct Results {
    out: Vec<u8>,
    lse: Vec<u8>,
}

impl<'a, M: Machine> Case<'a, M> {
    fn new(machine: &'a M, s: Heads) -> Result<Self, DnnError> {
        let (wide, narrow) = (s.b * s.t * s.h * s.e, s.b * s.t * s.k * s.e);
        let lean = ((s.t as f64).ln() + 1.0) / (s.e as f64).sqrt();
        let key = |i: usize| random(1, i);
        let query = |i: usize| {
            let (row, head, at) = (i / (s.h * s.e), i / s.e % s.h, i % s.e);
            let of = (row * s.k + head / (s.h / s.k)) * s.e + at;
            random(0, i) + lean as f32 * key(of)
        };
        let (mut rooms, mut operands) = (Vec::new(), [0; 4]);
        let all: [(usize, &(dyn Fn(usize) -> f32 + Sync)); 4] = [
            (wide, &query),
            (narrow, &key),
            (narrow, &|i| random(2, i)),
            (wide, &|i| random(3, i)),
        ];
        for (place, (n, value)) in operands.iter_mut().zip(all) {
            let bytes: Vec<[u8; 2]> =
                (0..n).into_par_iter().map(|i| bf16_bits(value(i)).to_le_bytes()).collect();
            let (room, at) = machine.send(bytes.as_flattened())?;
            rooms.push(room);
            *place = at;
        }
        Ok(Self { machine, s, operands, _rooms: rooms })
    }

    fn rows(&self) -> usize {
        self.s.b * self.s.t * self.s.h
    }

    fn forward(
        &self,
        run: impl FnOnce(Attended) -> Result<(), DnnError>,
    ) -> Result<(Results, [M::Room; 2], Attended), DnnError> {
        let [q, k, v, _] = self.operands;
        let bytes = (2 * self.rows() * self.s.e, 4 * self.rows());
        let (out_room, out) = self.machine.room(bytes.0)?;
        let (lse_room, lse) = self.machine.room(bytes.1)?;
        let of = Attended { q, k, v, out, lse };
        run(of)?;
        let (out, lse) = (self.machine.fetch(out, bytes.0)?, self.machine.fetch(lse, bytes.1)?);
        Ok((Results { out, lse }, [out_room, lse_room], of))
    }

    /// Gradients, and then what is read of them.
    fn backward(
        &self,
        run: impl FnOnce(At, [At; 3]) -> Result<(), DnnError>,
    ) -> Result<[Vec<u8>; 3], DnnError> {
        let [wide, narrow] = [self.s.h, self.s.k].map(|n| 2 * self.s.b * self.s.t * n * self.s.e);
        let (_dq, dq) = self.machine.room(wide)?;
        let (_dk, dk) = self.machine.room(narrow)?;
        let (_dv, dv) = self.machine.room(narrow)?;
        run(self.operands[3], [dq, dk, dv])?;
        let fetch = |at, bytes| self.machine.fetch(at, bytes);
        Ok([fetch(dq, wide)?, fetch(dk, narrow)?, fetch(dv, narrow)?])
    }
}

/// Holds cuDNN's passes beside ours; with `steady`, also that they give the same bits twice.
///
/// # Safety
/// The plans are of shape `s`, the handle's stream is the machine's.
pub(super) unsafe fn check<M: Machine>(
    on: &On<'_, M>,
    handle: &Handle<'_>,
    s: Heads,
    plans: (&Plan<'_>, Result<&Plan<'_>, DnnError>),
    steady: bool,
) -> (Result<(), DnnError>, Result<(), DnnError>) {
    let (machine, width) = (on.machine, 2 * s.e);
    let both = |error: DnnError| (Err(error.clone()), Err(error));
    let case = match Case::new(machine, s) {
        Ok(case) => case,
        Err(error) => return both(error),
    };
    // SAFETY, here and below: the case has memory of the shape, and rooms begin at multiples of 256.
    let ours = match case.forward(|of| Ok(unsafe { on.attention(of, s) }?)) {
        Ok(ours) => ours,
        Err(error) => return both(error),
    };
    let pass = || case.forward(|of| unsafe { forward(machine, (plans.0, handle), of) });
    let theirs = match pass() {
        Ok(theirs) => theirs,
        Err(error) => return both(error),
    };
    let compared = || -> Result<(), DnnError> {
        near("contexts", &ours.0.out, &theirs.0.out, width)?;
        let gap = of_masses(&ours.0.lse, &theirs.0.lse);
        if gap > LIMIT_LSE {
            return Err(DnnError::Differs { what: "masses", gap, limit: LIMIT_LSE });
        }
        if steady {
            let again = pass()?.0;
            if again.out != theirs.0.out || again.lse != theirs.0.lse {
                return Err(DnnError::Unsteady("contexts"));
            }
        }
        Ok(())
    };
    if let Err(error) = compared() {
        return both(error);
    }
    let compared = || -> Result<(), DnnError> {
        let plan = plans.1?;
        let pass = || {
            case.backward(|g, to| unsafe { backward(machine, (plan, handle), theirs.2, g, to, s) })
        };
        let wanted = case.backward(|g, to| Ok(unsafe { on.attention_back(ours.2, g, to, s) }?))?;
        // Of our own on their results, too: the passes may be mixed.
        let mixed = case.backward(|g, to| Ok(unsafe { on.attention_back(theirs.2, g, to, s) }?))?;
        let found = pass()?;
        let names = ["gradients of queries", "gradients of keys", "gradients of values"];
        for (i, what) in names.into_iter().enumerate() {
            near(what, &wanted[i], &mixed[i], width)?;
            near(what, &wanted[i], &found[i], width)?;
        }
        if steady && pass()? != found {
            return Err(DnnError::Unsteady("gradients"));
        }
        Ok(())
    };
    (Ok(()), compared())
}

/// A number of variance 1 that looks random.
fn random(stream: u64, i: usize) -> f32 {
    let n = (i as u64 + (stream << 40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let n = (n ^ (n >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (((n ^ (n >> 32)) >> 20 & 0xff_ffff) as f32 / 8_388_608.0 - 1.0) * 3f32.sqrt()
}

fn of_bf16(bytes: &[u8]) -> impl Iterator<Item = f64> {
    let number = |x: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([x[0], x[1]])) << 16);
    bytes.chunks_exact(2).map(move |x| f64::from(number(x)))
}

/// Compares rows of `width` bytes of bf16.
fn near(what: &'static str, ours: &[u8], theirs: &[u8], width: usize) -> Result<(), DnnError> {
    let rows: Vec<[f64; 2]> = (ours.par_chunks(width), theirs.par_chunks(width))
        .into_par_iter()
        .map(|(a, b)| {
            let distance = of_bf16(a).zip(of_bf16(b)).map(|(a, b)| (a - b) * (a - b)).sum();
            [of_bf16(a).map(|x| x * x).sum(), distance]
        })
        .collect();
    let [norm, distance] = [0, 1].map(|i| rows.iter().map(|row| row[i]).sum::<f64>().sqrt());
    let usual = rows.iter().map(|row| row[0].sqrt()).sum::<f64>() / rows.len().max(1) as f64;
    let all = most(std::iter::once(distance / norm));
    let row = most(rows.iter().map(|row| row[1].sqrt() / (row[0].sqrt() + usual)));
    if all > LIMIT {
        return Err(DnnError::Differs { what, gap: all, limit: LIMIT });
    }
    if row > LIMIT_ROW {
        return Err(DnnError::Differs { what, gap: row, limit: LIMIT_ROW });
    }
    Ok(())
}

/// Largest difference of f32 numbers.
fn of_masses(ours: &[u8], theirs: &[u8]) -> f64 {
    let read = |x: &[u8]| f64::from(f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
    most(ours.chunks_exact(4).zip(theirs.chunks_exact(4)).map(|(a, b)| (read(a) - read(b)).abs()))
}

/// The largest; infinite where one is no number.
fn most(gaps: impl Iterator<Item = f64>) -> f64 {
    gaps.fold(0.0, |most, gap| if gap.is_nan() { f64::INFINITY } else { gap.max(most) })
}
