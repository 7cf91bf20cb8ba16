//! A mixture rule as a closure, and scaling laws as options.
//!
//! A closure outlives the call that it was given to, and the engine asks it in the middle of a step.
//! So it is kept with the functions of its script and with an interpreter of its own. It must not hold
//! the run that it moves: that one is busy while it asks.

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, Map, NativeCallContext};
use woolshed_engine::data::scaling::KnownLosses;
use woolshed_engine::data::{CustomRule, RuleInput};
use woolshed_engine::run::Reference;

use super::options::Options;
use super::run_lists::SCALING;
use super::runs::RunHandle;
use super::{ScriptResult, convert, fail, host};

/// Makes a rule of a closure.
pub(super) fn custom(ctx: &NativeCallContext, closure: FnPtr) -> ScriptResult<CustomRule> {
    if closure.iter_curry().any(holds_run) {
        return Err(fail(
            "the rule uses a run, and a run that asks its rule cannot be asked itself; what the rule may know is in its argument: step, names, weights, losses, reference, excess, history",
        ));
    }
    let interpreter = super::engine(&host(ctx)?);
    #[expect(deprecated, reason = "Rhai's word for an interface that may change")]
    let store = ctx.store_data();
    Ok(CustomRule::new(move |input| {
        #[expect(deprecated, reason = "Rhai's word for an interface that may change")]
        let ctx = store.create_context(&interpreter);
        let argument = argument(input);
        let keys: Vec<String> = argument.keys().map(ToString::to_string).collect();
        let given = closure.call_within_context::<Dynamic>(&ctx, (argument,));
        let given = given.map_err(|error| match error.unwrap_inner() {
            EvalAltResult::ErrorPropertyNotFound(key, _) => {
                format!("the closure asks for `{key}`; what it is given has {}", keys.join(", "))
            }
            _ => error.to_string(),
        })?;
        weights(&given, &input.names)
    }))
}

/// Whether a run is in a value, or in what that holds.
fn holds_run(value: &Dynamic) -> bool {
    let value = value.flatten_clone();
    if let Some(array) = value.clone().try_cast::<Array>() {
        return array.iter().any(holds_run);
    }
    if let Some(map) = value.clone().try_cast::<Map>() {
        return map.values().any(holds_run);
    }
    if let Some(closure) = value.clone().try_cast::<FnPtr>() {
        return closure.iter_curry().any(holds_run);
    }
    value.is::<RunHandle>()
}

/// What the closure is called with.
fn argument(input: &RuleInput) -> Map {
    let by_name = |values: &[f64]| -> Dynamic {
        let pairs = input.names.iter().zip(values);
        pairs.map(|(n, v)| (n.as_str().into(), Dynamic::from_float(*v))).collect::<Map>().into()
    };
    let names: Array = input.names.iter().map(|name| name.into()).collect();
    let record = |record: &woolshed_engine::data::LossRecord| -> Dynamic {
        convert::map([("step", convert::int(record.step)), ("losses", by_name(&record.losses))])
            .into()
    };
    let history: Array = input.history.iter().map(record).collect();
    convert::map([
        ("step", convert::int(input.step)),
        ("names", names.into()),
        ("weights", by_name(&input.weights)),
        ("losses", by_name(&input.losses)),
        ("reference", by_name(&input.reference)),
        ("excess", by_name(&input.excess)),
        ("history", history.into()),
    ])
}

/// What the closure gave: a map from domain to weight, or an array in the order of the domains.
fn weights(given: &Dynamic, names: &[String]) -> Result<Vec<f64>, String> {
    let number = |v: &Dynamic| v.as_float().ok().or(v.as_int().ok().map(|i| i as f64));
    let wanted = || format!("it must give a number for each of {}", names.join(", "));
    if let Some(array) = given.clone().try_cast::<Array>() {
        let numbers: Option<Vec<f64>> = array.iter().map(number).collect();
        return numbers.ok_or_else(|| format!("the closure gave {given}; {}", wanted()));
    }
    let Some(map) = given.clone().try_cast::<Map>() else {
        return Err(format!("the closure gave {given}; {}", wanted()));
    };
    if let Some(other) = map.keys().find(|key| !names.iter().any(|n| n == key.as_str())) {
        return Err(format!("the closure gave a weight for `{other}`; {}", wanted()));
    }
    let of = |name: &String| {
        let value = map.get(name.as_str()).and_then(number);
        value.ok_or_else(|| format!("the closure gave no number for `{name}`; {}", wanted()))
    };
    names.iter().map(of).collect()
}

/// Reads `#{parameters, sizes, losses}`: a law through known models.
pub(super) fn scaling(map: Map, names: &[String]) -> ScriptResult<Reference> {
    let options = Options::new(&SCALING, map)?;
    let parameters = options.float("parameters")?;
    let known = match (options.value("sizes"), options.value("losses")) {
        (None, None) => None,
        (Some(sizes), Some(losses)) => Some(Box::new(known_losses(sizes, losses, names)?)),
        _ => return Err(fail("a scaling law of your own takes `sizes` and `losses` together")),
    };
    Ok(Reference::Scaling { parameters, known })
}

fn known_losses(sizes: &Dynamic, losses: &Dynamic, names: &[String]) -> ScriptResult<KnownLosses> {
    let number = |v: &Dynamic| v.as_float().ok().or(v.as_int().ok().map(|i| i as f64));
    let three = |v: &Dynamic| -> Option<[f64; 3]> {
        let list: Vec<f64> =
            v.clone().try_cast::<Array>()?.iter().map(number).collect::<Option<_>>()?;
        list.try_into().ok()
    };
    let refuse = || {
        let first = names.first().map_or("wiki", String::as_str);
        fail(format!(
            "a scaling law takes three sizes and three losses a domain: #{{sizes: [1e8, 4e8, 1.6e9], losses: #{{{first}: [2.9, 2.6, 2.4]}}}}"
        ))
    };
    let sizes = three(sizes).ok_or_else(refuse)?;
    let map = losses.clone().try_cast::<Map>().ok_or_else(refuse)?;
    let mut known = KnownLosses { sizes, names: Vec::new(), losses: Vec::new() };
    for (name, losses) in map {
        known.names.push(name.to_string());
        known.losses.push(three(&losses).ok_or_else(refuse)?);
    }
    Ok(known)
}
