//! States kept in memory to go back to, within a bound.
//!
//! A snapshot is taken at the start and every few steps. It shares its tensors with the run until
//! the next step, which leaves it the only holder: then it costs weights and both moments. When all
//! of them together pass the bound, the one goes whose neighbours stand closest together (the older
//! of two alike), never the first or the last: what stays is spread evenly over the run. A state
//! that is larger than the bound by itself is not kept at all.
//!
//! The state of a recovery's best evaluation is kept beside them, within the same bound; it goes
//! when a better one comes or when nothing else is left to go.

use std::collections::BTreeMap;

use super::RunError;
use super::state::State;

/// When snapshots are taken and how much they may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepPolicy {
    /// Steps between snapshots; none means at every evaluation, 0 keeps none.
    pub every: Option<u64>,
    /// Most bytes of all snapshots together.
    pub bytes: u64,
}

impl Default for KeepPolicy {
    fn default() -> Self {
        Self { every: None, bytes: 1 << 30 }
    }
}

/// The snapshots of a run, by step.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshots {
    pub policy: KeepPolicy,
    states: BTreeMap<u64, State>,
    /// The step of the best evaluation, while its state is kept.
    best: Option<u64>,
}

impl Snapshots {
    /// Keeps `state` if its turn has come.
    pub fn offer(&mut self, state: &State) {
        let every = self.policy.every.unwrap_or(state.options.eval_every);
        let turn = every > 0 && state.step.is_multiple_of(every);
        let best = state.best().is_some_and(|best| best.step == state.step);
        if (turn || best) && !state.due {
            if let Some(last) = self.best.filter(|last| best && *last != state.step)
                && (every == 0 || !last.is_multiple_of(every))
            {
                self.states.remove(&last);
            }
            if best {
                self.best = Some(state.step);
            }
            self.keep(state);
        }
    }

    /// Keeps `state`, within the bound.
    pub fn keep(&mut self, state: &State) {
        if self.policy.every == Some(0) || state.bytes() > self.policy.bytes {
            return;
        }
        self.states.insert(state.step, state.clone());
        self.thin();
    }

    /// Changes the policy; what the new bound has no room for goes.
    pub fn set_policy(&mut self, policy: KeepPolicy) {
        self.policy = policy;
        if policy.every == Some(0) {
            self.states.clear();
            self.best = None;
        }
        self.thin();
    }

    fn thin(&mut self) {
        while self.bytes() > self.policy.bytes {
            let steps: Vec<u64> = self.states.keys().copied().collect();
            let free = |step: &u64| Some(*step) != self.best;
            let inner = steps.windows(3).filter(|w| free(&w[1]));
            let inner = inner.min_by_key(|w| w[2] - w[0]).map(|w| w[1]);
            let next = inner.or_else(|| steps.iter().copied().find(free));
            match next.or_else(|| steps.first().copied()) {
                Some(step) => drop(self.states.remove(&step)),
                None => return,
            }
        }
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.states.values().map(State::bytes).sum()
    }

    /// The steps there are snapshots of.
    pub fn steps(&self) -> Vec<u64> {
        self.states.keys().copied().collect()
    }

    /// Keeps the state of the best evaluation, within the bound.
    pub fn keep_best(&mut self, state: State) {
        self.best = Some(state.step);
        self.keep(&state);
    }

    /// The snapshot of `step`.
    pub fn at(&self, step: u64) -> Option<&State> {
        self.states.get(&step)
    }

    /// The last snapshot at or before `step`.
    ///
    /// # Errors
    /// None is that early.
    pub fn at_or_before(&self, step: u64) -> Result<&State, RunError> {
        let found = self.states.range(..=step).next_back().map(|(_, state)| state);
        found.ok_or_else(|| RunError::NoSnapshot { step, kept: self.steps() })
    }

    /// Forgets what lies after `step`.
    pub fn cut(&mut self, step: u64) {
        self.states.split_off(&(step + 1));
        self.best = self.best.filter(|best| *best <= step);
    }
}
