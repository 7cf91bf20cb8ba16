//! What was done to a run, in order: enough to do it again.
//!
//! The journal is the path from the start to the state at hand. Steps taken in several calls stand
//! as one entry, so that a run that was stopped and gone on with has the journal of a straight one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::MixtureRule;
use crate::gate::GatePlace;
use crate::shape::TargetShape;

/// One thing done to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Training steps, with the evaluations that fall due.
    Step {
        /// How many.
        steps: u64,
    },
    /// An evaluation out of turn: it moves the mixture.
    Evaluate,
    /// A change by hand.
    Edit(Edit),
}

/// A change by hand, made between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// Holds gates at exactly 1 or 0.
    Hold {
        /// Which.
        gates: Vec<GatePlace>,
        /// At 1.
        open: bool,
    },
    /// Lets held gates learn again.
    Release {
        /// Which.
        gates: Vec<GatePlace>,
    },
    /// Sets a log-alpha.
    LogAlpha {
        /// Whose.
        gate: GatePlace,
        /// The value.
        value: f64,
    },
    /// Aims at another shape.
    Target {
        /// The shape.
        target: TargetShape,
    },
    /// Changes options.
    Set(Box<Changes>),
}

/// Options to change; none leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Changes {
    /// Steps the schedule is laid out for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Sequences a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Micro-batches a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<usize>,
    /// Whether each layer runs again in the backward pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recompute: Option<bool>,
    /// Whether what the gates close is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic: Option<bool>,
    /// Peak learning rate of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Steps of learning-rate warm-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_warmup: Option<u64>,
    /// The rate's factor at the end of the cosine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_floor: Option<f64>,
    /// Global gradient-norm limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<f64>,
    /// Learning rate of log-alphas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_lr: Option<f64>,
    /// Rate at which multipliers climb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiplier_lr: Option<f64>,
    /// Steps over which the target sparsity rises, counted from the start of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity_warmup: Option<u64>,
    /// Overall sparsity to aim at, for a run that aims at one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// Steps between evaluations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// How the mixture follows the losses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<MixtureRule>,
    /// Step size of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta: Option<f64>,
    /// Share of the uniform mixture mixed in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<f64>,
    /// Least share of a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<f64>,
    /// Largest share of a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<f64>,
    /// The mixture from now on, in the domains' order; scaled to sum 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Vec<f64>>,
    /// Reference losses, in the domains' order, nats/token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<Vec<f64>>,
}

impl Edit {
    /// Whether it names nothing to change.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Hold { gates, .. } | Self::Release { gates } => gates.is_empty(),
            Self::Set(changes) => **changes == Changes::default(),
            Self::LogAlpha { .. } | Self::Target { .. } => false,
        }
    }
}

/// The operations of a run, first to last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Journal(Vec<Operation>);

impl Journal {
    /// Adds an operation; steps after steps become one entry.
    pub fn push(&mut self, operation: Operation) {
        match (self.0.last_mut(), operation) {
            (_, Operation::Step { steps: 0 }) => {}
            (Some(Operation::Step { steps }), Operation::Step { steps: more }) => *steps += more,
            (_, operation) => self.0.push(operation),
        }
    }

    /// The operations, first to last.
    pub fn operations(&self) -> &[Operation] {
        &self.0
    }

    /// Gives what was done after `earlier`; none if this journal does not begin with it.
    pub fn since(&self, earlier: &Self) -> Option<Vec<Operation>> {
        let Some((last, before)) = earlier.0.split_last() else { return Some(self.0.clone()) };
        let at = before.len();
        if self.0.get(..at)? != before {
            return None;
        }
        let same = self.0.get(at)?;
        let mut rest = self.0[at + 1..].to_vec();
        match (same, last) {
            (Operation::Step { steps: all }, Operation::Step { steps }) if steps <= all => {
                if steps < all {
                    rest.insert(0, Operation::Step { steps: all - steps });
                }
            }
            (same, last) if same == last => {}
            _ => return None,
        }
        Some(rest)
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = |gates: &[GatePlace]| match gates {
            [] => "no gate".to_string(),
            [first, _, _, _, ..] => format!("{first} and {} more", gates.len() - 1),
            few => few.iter().map(GatePlace::to_string).collect::<Vec<_>>().join(", "),
        };
        match self {
            Self::Hold { gates, open } => {
                write!(f, "hold {} {}", places(gates), if *open { "open" } else { "closed" })
            }
            Self::Release { gates } => write!(f, "release {}", places(gates)),
            Self::LogAlpha { gate, value } => write!(f, "{gate} log-alpha {value}"),
            Self::Target { target } => write!(f, "target {}", named(target)),
            Self::Set(changes) => f.write_str(&named(changes.as_ref())),
        }
    }
}

/// The fields that are there, `name value`, with commas between.
fn named(fields: &impl Serialize) -> String {
    let json = serde_json::to_value(fields).unwrap_or_default();
    let pairs = json.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let shown: Vec<String> = pairs.map(|(name, value)| format!("{name} {value}")).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(n: u64) -> Operation {
        Operation::Step { steps: n }
    }

    fn journal(operations: &[Operation]) -> Journal {
        let mut journal = Journal::default();
        operations.iter().for_each(|operation| journal.push(operation.clone()));
        journal
    }

    #[test]
    fn steps_in_several_calls_are_one_entry() {
        let stopped = journal(&[steps(3), steps(0), steps(4), Operation::Evaluate, steps(1)]);
        let straight = journal(&[steps(7), Operation::Evaluate, steps(1)]);
        assert_eq!(stopped, straight);
    }

    #[test]
    fn what_follows_an_earlier_point_is_found_inside_an_entry_too() {
        let whole = journal(&[steps(7), Operation::Evaluate, steps(2)]);
        let since = |earlier: &[Operation]| whole.since(&journal(earlier));
        assert_eq!(since(&[]).unwrap(), [steps(7), Operation::Evaluate, steps(2)]);
        assert_eq!(since(&[steps(5)]).unwrap(), [steps(2), Operation::Evaluate, steps(2)]);
        assert_eq!(since(&[steps(7)]).unwrap(), [Operation::Evaluate, steps(2)]);
        assert_eq!(since(&[steps(7), Operation::Evaluate]).unwrap(), [steps(2)]);
        assert_eq!(since(whole.operations()).unwrap(), []);
        assert_eq!(since(&[steps(8)]), None);
        assert_eq!(since(&[steps(6), Operation::Evaluate]), None);
        assert_eq!(since(&[steps(7), Operation::Evaluate, steps(2), Operation::Evaluate]), None);
    }

    #[test]
    fn a_change_of_options_writes_only_what_changes() {
        let changes =
            Changes { lr: Some(5e-4), rule: Some(MixtureRule::Bandit), ..Changes::default() };
        let edit = Edit::Set(Box::new(changes));
        assert_eq!(edit.to_string(), "lr 0.0005, rule \"bandit\"");
        let gates: Vec<GatePlace> = (0..4)
            .map(|index| GatePlace { kind: crate::gate::GateKind::Layer, row: 0, index })
            .collect();
        let few = Edit::Hold { gates: gates[..2].to_vec(), open: true };
        assert_eq!(few.to_string(), "hold layer 0, layer 1 open");
        assert_eq!(Edit::Release { gates }.to_string(), "release layer 0 and 3 more");
        let target = TargetShape { layers: Some(3), ..TargetShape::default() };
        assert_eq!(Edit::Target { target }.to_string(), "target layers 3");
        let json = serde_json::to_string(&edit).unwrap();
        assert_eq!(serde_json::from_str::<Edit>(&json).unwrap(), edit);
    }
}
