//! Options of runs: what `prune`, `recover` and `run.set` take.

use rhai::{Array, Dynamic, FnPtr, Map, NativeCallContext};
use woolshed_engine::data::{CustomRule, Domains, MixtureRule};
use woolshed_engine::gate::GateKind;
use woolshed_engine::model::Model;
use woolshed_engine::run::{
    Changes, KeepPolicy, Precision, Reference, Run, ShearOptions, TrainOptions,
};
use woolshed_engine::train::{Distill, Lora, UnknownProjection};

use super::options::{Options, whole};
use super::run_lists::{DISTILL, LORA};
use super::{ScriptResult, fail, raise, rules};
use crate::session::Host;

/// Reads the options of every run; `seed` is the session's.
pub(super) fn train_options(
    ctx: &NativeCallContext,
    options: &Options,
    domains: &Domains,
    seed: u64,
) -> ScriptResult<TrainOptions> {
    let default = TrainOptions::default();
    let names = domains.names();
    let reference = reference(options, &names)?.unwrap_or(default.reference);
    let (rule, custom) = rule(ctx, options)?;
    let mut bounds = default.bounds;
    bounds.floor = options.float("floor")?.unwrap_or(bounds.floor);
    bounds.ceiling = options.float("ceiling")?.unwrap_or(bounds.ceiling);
    let mut adam = default.adam;
    adam.betas.0 = options.float("beta1")?.unwrap_or(adam.betas.0);
    adam.betas.1 = options.float("beta2")?.unwrap_or(adam.betas.1);
    adam.weight_decay = options.float("weight_decay")?.unwrap_or(adam.weight_decay);
    Ok(TrainOptions {
        steps: options.count("steps")?.unwrap_or(default.steps),
        batch: options.size("batch")?.unwrap_or(default.batch),
        accumulate: options.size("accumulate")?.unwrap_or(default.accumulate),
        recompute: options.flag("recompute")?.unwrap_or(default.recompute),
        elastic: options.flag("elastic")?.unwrap_or(default.elastic),
        distill: distill(options)?,
        lora: lora(options)?,
        dtype: dtype(options)?,
        lr: options.float("lr")?.unwrap_or(default.lr),
        lr_warmup: options.count("lr_warmup")?,
        lr_floor: options.float("lr_floor")?.unwrap_or(default.lr_floor),
        clip: options.float("clip")?.unwrap_or(default.clip),
        adam,
        seed: options.count("seed")?.unwrap_or(seed),
        eval_every: options.count("eval_every")?.unwrap_or(default.eval_every),
        rule: rule.unwrap_or(default.rule),
        custom,
        bounds,
        path: path(options)?,
        mixture: options.by_name("mixture", &names)?,
        reference,
        eta: options.float("eta")?.unwrap_or(default.eta),
        smoothing: options.float("smoothing")?.unwrap_or(default.smoothing),
    })
}

/// Reads what is learned from a teacher: its share of the loss, or a map.
fn distill(options: &Options) -> ScriptResult<Option<Distill>> {
    let Some(value) = options.value("distill").filter(|v| !v.is_unit()) else { return Ok(None) };
    let default = Distill::default();
    if let Some(map) = value.clone().try_cast::<Map>() {
        let of = Options::new(&DISTILL, map)?;
        return Ok(Some(Distill {
            weight: of.float("weight")?.unwrap_or(default.weight),
            temperature: of.float("temperature")?.unwrap_or(default.temperature),
        }));
    }
    match value.as_float().ok().or(value.as_int().ok().map(|i| i as f64)) {
        Some(weight) => Ok(Some(Distill { weight, ..default })),
        None => options.wrong(
            "distill",
            value,
            "a share of the loss, as 0.5, or a map, as #{weight: 0.5, temperature: 1.0}",
        ),
    }
}

/// Reads low-rank changes: their rank, or a map. Alpha is twice the rank unless it is given.
fn lora(options: &Options) -> ScriptResult<Option<Lora>> {
    let Some(value) = options.value("lora").filter(|v| !v.is_unit()) else { return Ok(None) };
    let default = Lora::default();
    let of_rank = |rank: usize| 2.0 * rank.max(1) as f64;
    if let Some(map) = value.clone().try_cast::<Map>() {
        let of = Options::new(&LORA, map)?;
        let rank = of.size("rank")?.unwrap_or(default.rank);
        let targets = match of.texts("targets")? {
            None => default.targets,
            Some(names) => {
                let named =
                    |name: &String| name.parse().map_err(|why: UnknownProjection| fail(why));
                names.iter().map(named).collect::<ScriptResult<_>>()?
            }
        };
        let alpha = of.float("alpha")?.unwrap_or(of_rank(rank));
        return Ok(Some(Lora { rank, alpha, targets }));
    }
    match whole(value).and_then(|rank| usize::try_from(rank).ok()) {
        Some(rank) => Ok(Some(Lora { rank, alpha: of_rank(rank), ..default })),
        None => options.wrong(
            "lora",
            value,
            "a rank, as 8, or a map, as #{rank: 8, alpha: 16, targets: [\"q\", \"v\"]}",
        ),
    }
}

/// Reads the type that a run computes in.
fn dtype(options: &Options) -> ScriptResult<Precision> {
    match options.text("dtype")?.as_deref() {
        None | Some("f32") => Ok(Precision::F32),
        Some("bf16") => Ok(Precision::Bf16),
        Some(other) => Err(options.no_choice("dtype", other)),
    }
}

/// Reads the model that `distill` learns from.
pub(super) fn teacher(options: &Options) -> ScriptResult<Option<Model>> {
    options.handle("teacher", "a Model")
}

/// Reads the options of the gates.
pub(super) fn shear_options(options: &Options) -> ScriptResult<ShearOptions> {
    let default = ShearOptions::default();
    let gates = options.texts("gates")?;
    let gates = gates.map(|names| names.iter().map(|n| gate_kind(n)).collect()).transpose()?;
    let mut distribution = default.distribution;
    distribution.temperature = options.float("temperature")?.unwrap_or(distribution.temperature);
    Ok(ShearOptions {
        gates,
        gate_lr: options.float("gate_lr")?.unwrap_or(default.gate_lr),
        multiplier_lr: options.float("multiplier_lr")?.unwrap_or(default.multiplier_lr),
        sparsity_warmup: options.count("sparsity_warmup")?,
        mask_embeddings: options.flag("mask_embeddings")?.unwrap_or(default.mask_embeddings),
        sparsity: options.float("sparsity")?,
        distribution,
    })
}

/// Reads a rule: a name, or a closure.
pub(super) fn rule(
    ctx: &NativeCallContext,
    options: &Options,
) -> ScriptResult<(Option<MixtureRule>, Option<CustomRule>)> {
    let closure = options.value("rule").and_then(|v| v.clone().try_cast::<FnPtr>());
    if let Some(closure) = closure {
        return Ok((Some(MixtureRule::Custom), Some(rules::custom(ctx, closure)?)));
    }
    let name = options.text("rule")?;
    Ok((name.map(|rule| rule.parse().map_err(raise)).transpose()?, None))
}

/// Reads what a closure decided in another run: a list of weights, one list an evaluation.
fn path(options: &Options) -> ScriptResult<Vec<Vec<f64>>> {
    let Some(value) = options.value("path") else { return Ok(Vec::new()) };
    let number = |v: &Dynamic| v.as_float().ok().or(v.as_int().ok().map(|i| i as f64));
    let weights = |v: &Dynamic| -> Option<Vec<f64>> {
        v.clone().try_cast::<Array>()?.iter().map(number).collect()
    };
    let list = value.clone().try_cast::<Array>();
    let path = list.and_then(|list| list.iter().map(weights).collect());
    path.ok_or_else(|| fail("option `path` takes an array of arrays, one number a domain in each"))
}

/// Reads where reference losses come from.
pub(super) fn reference(options: &Options, names: &[String]) -> ScriptResult<Option<Reference>> {
    match options.value("reference") {
        None => Ok(None),
        Some(v) if v.is_string() => match v.to_string().as_str() {
            "source" => Ok(Some(Reference::Source)),
            "floor" => Ok(Some(Reference::Floor)),
            "scaling" => Ok(Some(Reference::Scaling { parameters: None, known: None })),
            other => Err(fail(format!(
                "option `reference` is \"{other}\"; it takes \"source\", \"floor\", \"scaling\", a map from domain to loss, or #{{scaling: #{{parameters: 1.3e9}}}}"
            ))),
        },
        Some(v) => {
            let scaling = v.clone().try_cast::<Map>().and_then(|mut map| map.remove("scaling"));
            match scaling.and_then(|v| v.try_cast::<Map>()) {
                Some(map) => rules::scaling(map, names).map(Some),
                None => Ok(options.by_name("reference", names)?.map(Reference::Losses)),
            }
        }
    }
}

/// Reads a gate kind.
pub(super) fn gate_kind(name: &str) -> ScriptResult<GateKind> {
    name.parse().map_err(raise)
}

/// Bytes of a megabyte, as scripts count them.
pub(super) const MB: f64 = 1e6;

/// Reads when snapshots are taken: the steps between two, and the bound in MB.
pub(super) fn keep_policy(
    options: &Options,
    every: &str,
    mb: &str,
) -> ScriptResult<Option<KeepPolicy>> {
    let default = KeepPolicy::default();
    let (every, mb) = (options.count(every)?, options.float(mb)?.map(|x| (mb, x)));
    let bytes = match mb {
        None => default.bytes,
        Some((_, x)) if x >= 0.0 && x.is_finite() => (x * MB) as u64,
        Some((key, x)) => {
            return Err(fail(format!("option `{key}` is {x}; it takes a number of MB, 0 or more")));
        }
    };
    let given = every.is_some() || mb.is_some();
    Ok(given.then_some(KeepPolicy { every, bytes }))
}

/// Reads the options to change.
pub(super) fn changes(
    options: &Options,
    rule: Option<MixtureRule>,
    run: &Run,
    host: &Host,
) -> ScriptResult<Changes> {
    let names = run.loader().domains().names();
    Ok(Changes {
        steps: options.count("steps")?,
        batch: options.size("batch")?,
        accumulate: options.size("accumulate")?,
        recompute: options.flag("recompute")?,
        elastic: options.flag("elastic")?,
        lr: options.float("lr")?,
        lr_warmup: options.count("lr_warmup")?,
        lr_floor: options.float("lr_floor")?,
        clip: options.float("clip")?,
        gate_lr: options.float("gate_lr")?,
        multiplier_lr: options.float("multiplier_lr")?,
        sparsity_warmup: options.count("sparsity_warmup")?,
        sparsity: options.float("sparsity")?,
        eval_every: options.count("eval_every")?,
        rule,
        eta: options.float("eta")?,
        smoothing: options.float("smoothing")?,
        floor: options.float("floor")?,
        ceiling: options.float("ceiling")?,
        mixture: options.by_name("mixture", &names)?,
        reference: reference_losses(options, run, host)?,
    })
}

/// Reads reference losses, and finds those that a word stands for.
pub(super) fn reference_losses(
    options: &Options,
    run: &Run,
    host: &Host,
) -> ScriptResult<Option<Vec<f64>>> {
    let domains = run.loader().domains();
    let names = domains.names();
    Ok(match reference(options, &names)? {
        None => None,
        Some(Reference::Losses(losses)) => Some(losses),
        Some(Reference::Source) => {
            let losses = run.source_losses(host).map_err(raise)?;
            host.progress_done("");
            Some(losses)
        }
        Some(Reference::Floor) => {
            let floor = |d: &woolshed_engine::data::Domain| {
                d.floor.ok_or_else(|| {
                    fail(format!("the entropy of `{}` is not known; use \"source\"", d.name))
                })
            };
            Some(domains.domains.iter().map(floor).collect::<ScriptResult<_>>()?)
        }
        Some(scaling) => {
            let fit = scaling.fit(&names, run.parameters_aimed_at()).map_err(raise)?;
            fit.map(|fit| fit.references)
        }
    })
}
