//! Causal attention by NVIDIA's cuDNN, where its library is there and agrees with our own kernel.
//!
//! Nothing is linked and nothing is required. For each shape the first call has cuDNN make its kernels and holds
//! them beside ours (`check.rs`); whatever goes wrong leaves that pass to ours. A run has one future, so by itself
//! cuDNN takes a pass only if its sums have a fixed order. The variable `WOOLSHED_ATTENTION` forces one: `own`, or
//! `cudnn`, which also takes kernels that add up in any order, and is an error where cuDNN cannot be used.
//!
//! | file | what it is for |
//! |---|---|
//! | `numbers.rs` | numbers of cuDNN's interface |
//! | `graph.rs` | attention and its gradients as graphs of cuDNN's operations |
//! | `library.rs` | the library, its descriptors |
//! | `plan.rs` | a graph as kernels |
//! | `check.rs` | cuDNN's attention beside ours |
//! | `chosen.rs` | which attention a device runs (feature `cuda`) |
//! | `tests.rs` | graphs, descriptors and checks on a made-up library, and on a real one where there is one |

mod check;
#[cfg(feature = "cuda")]
pub(super) mod chosen;
mod graph;
pub(super) mod library;
mod numbers;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use library::{DnnError, Handle, Library, version};
use plan::{ORDERED, ORDERED_SINCE, Plan, Target};

use super::calls::{At, Attended, Heads, Kind, MOST_E, Machine, On};

/// The variable that forces an attention.
pub(super) const VARIABLE: &str = "WOOLSHED_ATTENTION";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// cuDNN's where it is there, right and steady.
    Best,
    Own,
    Dnn,
}

impl Asked {
    /// Reads the value of the variable.
    pub fn of(value: Option<&str>) -> Result<Self, String> {
        match value.map(str::trim) {
            None | Some("") => Ok(Self::Best),
            Some("own") => Ok(Self::Own),
            Some("cudnn") => Ok(Self::Dnn),
            Some(other) => Err(format!(
                "{VARIABLE} is `{other}`; it can be `own` or `cudnn`, or unset for the best that is sure"
            )),
        }
    }
}

type Key = [usize; 5];

fn key(s: Heads) -> Key {
    [s.b, s.t, s.h, s.k, s.e]
}

/// The passes of a shape that cuDNN takes, and why not the others.
struct Passes<'l> {
    forward: Result<Plan<'l>, DnnError>,
    backward: Result<Plan<'l>, DnnError>,
}

/// cuDNN on one device.
pub(super) struct Dnn<'l> {
    library: &'l Library,
    // Before the handle: kernels go first.
    shapes: BTreeMap<Key, Passes<'l>>,
    handle: Handle<'l>,
    asked: Asked,
}

impl<'l> Dnn<'l> {
    pub fn new(library: &'l Library, handle: Handle<'l>, asked: Asked) -> Self {
        Self { library, shapes: BTreeMap::new(), handle, asked }
    }

    /// Whether cuDNN has kernels for such heads at all.
    fn takes(kind: Kind, s: Heads) -> bool {
        kind == Kind::Bf16
            && s.e.is_multiple_of(8)
            && s.e <= MOST_E
            // Other lengths need a mask of their own in some versions.
            && s.t.is_multiple_of(128)
            && s.t > 0
            && s.b > 0
            && s.k > 0
    }

    /// The passes of a shape: of before, or made and checked now.
    ///
    /// # Safety
    /// The machine launches on the stream of the handle.
    unsafe fn passes<M: Machine>(&mut self, on: &On<'_, M>, s: Heads) -> &Passes<'l> {
        let made = if self.shapes.contains_key(&key(s)) {
            None
        } else {
            // SAFETY: the caller's promise.
            Some(unsafe { self.made(on, s) })
        };
        match made {
            None => &self.shapes[&key(s)],
            Some(made) => self.shapes.entry(key(s)).or_insert(made),
        }
    }

    unsafe fn made<M: Machine>(&self, on: &On<'_, M>, s: Heads) -> Passes<'l> {
        let (library, target) = (self.library, Target::Handle(&self.handle));
        let forward = Plan::new(library, graph::forward(s, library.version), &target, None);
        let forward = match forward {
            Ok(forward) => forward,
            Err(error) => return Passes { forward: Err(error.clone()), backward: Err(error) },
        };
        let steady = self.asked == Asked::Best;
        let backward = self.backward_plan(&target, s);
        let plans = (&forward, backward.as_ref().map_err(Clone::clone));
        // SAFETY: plans of this shape; the caller's promise.
        let (of_forward, of_backward) = unsafe { check::check(on, &self.handle, s, plans, steady) };
        Passes { forward: of_forward.map(|()| forward), backward: of_backward.and(backward) }
    }

    fn backward_plan(&self, target: &Target<'_, 'l>, s: Heads) -> Result<Plan<'l>, DnnError> {
        let library = self.library;
        let plan = |engine| Plan::new(library, graph::backward(s, library.version), target, engine);
        let ordered = if library.version >= ORDERED_SINCE {
            plan(Some(ORDERED))
        } else {
            Err(DnnError::Unordered)
        };
        match ordered {
            Err(_) if self.asked == Asked::Dnn => plan(None),
            ordered => ordered,
        }
    }

    /// What the shape's own pass says to an attempt: whether cuDNN did it.
    fn refusal(&self, error: &DnnError) -> candle_core::Result<bool> {
        if self.asked != Asked::Dnn {
            return Ok(false);
        }
        Err(candle_core::Error::Msg(format!("{VARIABLE} is `cudnn`, but {error}; unset it")))
    }

    /// Attends; false where our own kernel is to.
    ///
    /// # Safety
    /// As [`On::attention`], on the stream of the handle.
    pub unsafe fn forward<M: Machine>(
        &mut self,
        on: &On<'_, M>,
        of: Attended,
        s: Heads,
    ) -> candle_core::Result<bool> {
        if !Self::takes(on.kind, s) || !aligned(&[of.q, of.k, of.v, of.out, of.lse]) {
            return Ok(false);
        }
        // SAFETY: the caller's promise.
        if let Err(error) = unsafe { self.passes(on, s) }.forward.as_ref().map(|_| ()) {
            let error = error.clone();
            return self.refusal(&error);
        }
        let Some(Passes { forward: Ok(plan), .. }) = self.shapes.get(&key(s)) else {
            return Ok(false);
        };
        // SAFETY: the caller's promise; the addresses are multiples of 16.
        unsafe { check::forward(on.machine, (plan, &self.handle), of) }.map_err(late)?;
        Ok(true)
    }

    /// Its gradients; false where our own kernel is to give them.
    ///
    /// # Safety
    /// As [`On::attention_back`], on the stream of the handle.
    pub unsafe fn backward<M: Machine>(
        &mut self,
        on: &On<'_, M>,
        of: Attended,
        g: At,
        to: [At; 3],
        s: Heads,
    ) -> candle_core::Result<bool> {
        let all = [of.q, of.k, of.v, of.out, of.lse, g, to[0], to[1], to[2]];
        if !Self::takes(on.kind, s) || !aligned(&all) {
            return Ok(false);
        }
        // SAFETY: the caller's promise.
        if let Err(error) = unsafe { self.passes(on, s) }.backward.as_ref().map(|_| ()) {
            let error = error.clone();
            return self.refusal(&error);
        }
        let Some(Passes { backward: Ok(plan), .. }) = self.shapes.get(&key(s)) else {
            return Ok(false);
        };
        // SAFETY: the caller's promise; the addresses are multiples of 16.
        unsafe { check::backward(on.machine, (plan, &self.handle), of, g, to, s) }.map_err(late)?;
        Ok(true)
    }

    /// Which attention each shape so far has run, and why.
    pub fn said(&self) -> Vec<String> {
        let of = |pass: &Result<Plan<'_>, DnnError>| match pass {
            Ok(_) => format!("cuDNN {}", version(self.library.version)),
            Err(why) => format!("our own kernel ({why})"),
        };
        let line = |([b, t, h, k, e], passes): (&Key, &Passes<'_>)| {
            let (forward, backward) = (of(&passes.forward), of(&passes.backward));
            format!("B {b}, T {t}, H {h}, K {k}, E {e}: forward {forward}; backward {backward}")
        };
        self.shapes.iter().map(line).collect()
    }
}

fn aligned(all: &[At]) -> bool {
    all.iter().all(|at| at.is_multiple_of(16))
}

/// A refusal of kernels that were checked.
fn late(error: DnnError) -> candle_core::Error {
    candle_core::Error::Msg(format!("attention: {error}; {VARIABLE}=own does without cuDNN"))
}
