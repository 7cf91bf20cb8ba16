//! Which gates there are and what each multiplies.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::GateError;
use crate::names::closest;
use crate::shape::ModelShape;

/// A kind of gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// One a layer: its attention output and its MLP output, with the same value (L).
    Layer,
    /// One a layer: its attention output (L).
    HeadLayer,
    /// One a layer: its MLP output (L).
    Mlp,
    /// One a key/value group and layer: the context of every query head of the group (L, K).
    Head,
    /// One a query head of a group and layer: gate j multiplies the context of the j-th query head of
    /// every key/value group, so the groups of a layer stay alike (L, H/K).
    Query,
    /// One an MLP channel and layer: the up-projection (L, F).
    Intermediate,
    /// One a hidden dimension, for the whole network (D).
    Hidden,
}

impl GateKind {
    /// Every kind, in the order in which tables and charts list them.
    pub const ALL: [Self; 7] = [
        Self::Layer,
        Self::HeadLayer,
        Self::Mlp,
        Self::Head,
        Self::Query,
        Self::Intermediate,
        Self::Hidden,
    ];

    /// Its name in scripts and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer => "layer",
            Self::HeadLayer => "head_layer",
            Self::Mlp => "mlp",
            Self::Head => "head",
            Self::Query => "query",
            Self::Intermediate => "intermediate",
            Self::Hidden => "hidden",
        }
    }

    /// All names, separated by commas.
    pub fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Rows and columns of its table for a source: one row unless every layer has its own gates.
    pub fn size(self, shape: &ModelShape) -> (usize, usize) {
        match self {
            Self::Layer | Self::HeadLayer | Self::Mlp => (1, shape.layers),
            Self::Head => (shape.layers, shape.kv_heads),
            Self::Query => (shape.layers, shape.group()),
            Self::Intermediate => (shape.layers, shape.intermediate),
            Self::Hidden => (1, shape.hidden),
        }
    }

    /// How many gates a row keeps at a target shape.
    pub fn kept(self, target: &ModelShape) -> usize {
        self.size(target).1
    }

    /// The kinds that a target needs: those whose dimension it makes smaller, layers coupled.
    pub fn needed(source: &ModelShape, target: &ModelShape) -> Vec<Self> {
        [Self::Layer, Self::Head, Self::Query, Self::Intermediate, Self::Hidden]
            .into_iter()
            .filter(|k| k.kept(target) < k.kept(source))
            .collect()
    }

    /// Checks a combination of kinds and puts it in order.
    ///
    /// # Errors
    /// An empty list, a repeated kind, or `layer` beside its split forms.
    pub fn combination(kinds: &[Self]) -> Result<Vec<Self>, GateError> {
        let refuse = |why: &str| GateError::Combination { kinds: kinds.to_vec(), why: why.into() };
        let mut sorted = kinds.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() {
            return Err(refuse("name at least one kind"));
        }
        if sorted.len() < kinds.len() {
            return Err(refuse("a kind is named twice"));
        }
        if kinds.contains(&Self::Layer)
            && (kinds.contains(&Self::HeadLayer) || kinds.contains(&Self::Mlp))
        {
            return Err(refuse(
                "`layer` couples attention and MLP; use it alone, or `head_layer` and `mlp`",
            ));
        }
        Ok(sorted)
    }

    /// Checks a combination of kinds for a source and puts it in order.
    ///
    /// # Errors
    /// As [`GateKind::combination`]; `query` where no query heads share a key/value head.
    pub fn legal(kinds: &[Self], source: &ModelShape) -> Result<Vec<Self>, GateError> {
        let sorted = Self::combination(kinds)?;
        if sorted.contains(&Self::Query) && source.group() < 2 {
            let why = format!(
                "`query` thins out the query heads of a group, and this source has one for each of its \
                 {} KV heads; use `head`",
                source.kv_heads
            );
            return Err(GateError::Combination { kinds: kinds.to_vec(), why });
        }
        Ok(sorted)
    }
}

impl fmt::Display for GateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GateKind {
    type Err = GateError;

    fn from_str(name: &str) -> Result<Self, GateError> {
        Self::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| {
            let nearest = closest(name, Self::ALL.map(Self::name)).unwrap_or_default();
            GateError::UnknownKind { name: name.to_string(), nearest }
        })
    }
}
