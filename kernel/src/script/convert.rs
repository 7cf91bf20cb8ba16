//! Engine values to script values.

use rhai::{Dynamic, INT, Map};
use woolshed_engine::run::RunStatus;
use woolshed_engine::shape::{ModelShape, ShapeReport};

/// A map from pairs.
pub(super) fn map<const N: usize>(pairs: [(&str, Dynamic); N]) -> Map {
    pairs.into_iter().map(|(k, v)| (k.into(), v)).collect()
}

/// A size as the script's whole number.
pub(super) fn int(n: impl TryInto<INT>) -> Dynamic {
    Dynamic::from_int(n.try_into().unwrap_or(INT::MAX))
}

/// A number, or unit for none.
pub(super) fn number(x: Option<f64>) -> Dynamic {
    x.map_or(Dynamic::UNIT, Dynamic::from_float)
}

/// A list of texts.
fn texts(items: &[impl ToString]) -> Dynamic {
    items.iter().map(|item| Dynamic::from(item.to_string())).collect::<rhai::Array>().into()
}

/// The dimensions of a model.
pub(super) fn shape(s: &ModelShape) -> Map {
    map([
        ("layers", int(s.layers)),
        ("hidden", int(s.hidden)),
        ("heads", int(s.heads)),
        ("kv_heads", int(s.kv_heads)),
        ("head_dim", int(s.head_dim)),
        ("intermediate", int(s.intermediate)),
        ("vocab", int(s.vocab)),
        ("tied", Dynamic::from_bool(s.tied)),
    ])
}

/// What a target means for a model.
pub(super) fn report(r: &ShapeReport) -> Map {
    let problems: rhai::Array = r
        .problems
        .iter()
        .map(|p| {
            Dynamic::from_map(map([
                ("field", p.field.into()),
                ("value", int(p.value)),
                ("why", p.why.clone().into()),
                ("nearest", int(p.nearest)),
            ]))
        })
        .collect();
    let loaders: Map = r
        .loaders
        .iter()
        .map(|l| {
            let value =
                map([("opens", Dynamic::from_bool(l.opens)), ("why", l.why.clone().into())]);
            (l.name.into(), Dynamic::from_map(value))
        })
        .collect();
    map([
        ("ok", Dynamic::from_bool(r.problems.is_empty())),
        ("problems", problems.into()),
        ("shape", Dynamic::from_map(shape(&r.shape))),
        ("parameters", int(r.shape.parameters())),
        ("source_parameters", int(r.source.parameters())),
        (
            "prunable_left",
            Dynamic::from_float(r.shape.prunable() as f64 / r.source.prunable() as f64),
        ),
        ("loaders", Dynamic::from_map(loaders)),
    ])
}

/// Where a run stands.
pub(super) fn status(s: &RunStatus) -> Map {
    let sparsity: Map = s
        .sparsity
        .iter()
        .map(|(kind, k)| {
            let value = map([
                ("expected", Dynamic::from_float(k.expected)),
                ("target", number(k.target)),
                ("scheduled", number(k.scheduled)),
            ]);
            (kind.name().into(), Dynamic::from_map(value))
        })
        .collect();
    map([
        ("step", int(s.step)),
        ("loss", number(s.loss)),
        ("lagrangian", Dynamic::from_float(s.lagrangian)),
        ("tokens", int(s.tokens)),
        ("sparsity", Dynamic::from_map(sparsity)),
        ("overall_sparsity", number(s.overall)),
        ("warnings", texts(&s.warnings)),
        ("epochs", texts(&s.epochs)),
    ])
}
