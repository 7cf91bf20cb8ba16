//! Script functions that change a run by hand; each stands in its journal and on its charts.

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::gate::GatePlace;
use woolshed_engine::run::Edit;

use super::options::{Options, whole};
use super::run_lists::SET;
use super::run_options::{changes, gate_kind, rule};
use super::runs::RunHandle;
use super::shapes::TargetHandle;
use super::{ScriptResult, fail, host, raise};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// A gate by its kind, its layer where the kind has a row a layer, and its index.
pub(super) fn place(kind: &str, layer: Option<INT>, index: INT) -> ScriptResult<GatePlace> {
    let kind = gate_kind(kind)?;
    let at_least_0 = |name: &str, n: INT| {
        usize::try_from(n).map_err(|_| fail(format!("{name} {n} is below 0; {name}s start at 0")))
    };
    match (kind.one_row(), layer) {
        (true, Some(_)) => Err(fail(format!(
            "`{kind}` gates stand in one row: give the kind and the index, as in \"{kind}\", 0"
        ))),
        (false, None) => Err(fail(format!(
            "each layer has `{kind}` gates of its own: give the kind, the layer and the index, as in \"{kind}\", 0, {index}"
        ))),
        (_, layer) => Ok(GatePlace {
            kind,
            row: at_least_0("layer", layer.unwrap_or(0))?,
            index: at_least_0("index", index)?,
        }),
    }
}

/// Gates as a script lists them: `[["layer", 0], ["head", 2, 1]]`.
fn places(gates: Array) -> ScriptResult<Vec<GatePlace>> {
    let one = |value: Dynamic| {
        let parts = value.clone().try_cast::<Array>().unwrap_or_default();
        let number = |i: usize| parts.get(i).and_then(whole);
        let kind = parts.first().and_then(|k| k.clone().into_string().ok());
        match (kind, number(1), number(2), parts.len()) {
            (Some(kind), Some(index), None, 2) => place(&kind, None, index),
            (Some(kind), Some(layer), Some(index), 3) => place(&kind, Some(layer), index),
            _ => Err(fail(format!(
                "{value} is no gate; a gate is [kind, index] or [kind, layer, index]"
            ))),
        }
    };
    gates.into_iter().map(one).collect()
}

/// Reads "open" or "closed".
fn is_open(state: &str) -> ScriptResult<bool> {
    match state {
        "open" => Ok(true),
        "closed" => Ok(false),
        other => Err(fail(format!("a gate is held \"open\" or \"closed\", not \"{other}\""))),
    }
}

/// Reads a log-alpha; whole numbers serve too.
fn log_alpha(value: &Dynamic) -> ScriptResult<f64> {
    let number = value.as_float().ok().or(value.as_int().ok().map(|i| i as f64));
    number.ok_or_else(|| fail(format!("a log-alpha is a number, not {value}")))
}

fn edit(ctx: &NativeCallContext, run: &RunHandle, edit: &Edit) -> ScriptResult<()> {
    let host = host(ctx)?;
    run.lock().edit(edit, &host).map_err(raise)?;
    host.progress_done("");
    Ok(())
}

/// Changes by hand.
#[export_module]
mod functions {
    /// Holds a gate of a kind with a row a layer ("head", "query", "intermediate") "open" or
    /// "closed": it is exactly 1 or 0 and does not learn. The target stays, so the other gates adapt.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold("head", 0, 2, "open");
    /// run.step(1);
    /// print(run.gate("head", 0, 2).sampled);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn hold(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        layer: INT,
        index: INT,
        state: &str,
    ) -> ScriptResult<()> {
        let gates = vec![place(kind, Some(layer), index)?];
        edit(&ctx, run, &Edit::Hold { gates, open: is_open(state)? })
    }

    /// Holds a gate of a kind with one row ("layer", "head_layer", "mlp", "hidden") "open" or
    /// "closed".
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold("layer", 2, "closed");
    /// ```
    #[rhai_fn(global, name = "hold", pure, return_raw)]
    pub fn hold_in_one_row(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        index: INT,
        state: &str,
    ) -> ScriptResult<()> {
        let gates = vec![place(kind, None, index)?];
        edit(&ctx, run, &Edit::Hold { gates, open: is_open(state)? })
    }

    /// Holds several gates in one edit. A gate is `[kind, index]` or `[kind, layer, index]`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold([["layer", 0], ["head", 1, 1], ["head", 1, 2]], "open");
    /// ```
    #[rhai_fn(global, name = "hold", pure, return_raw)]
    pub fn hold_several(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        gates: Array,
        state: &str,
    ) -> ScriptResult<()> {
        edit(&ctx, run, &Edit::Hold { gates: places(gates)?, open: is_open(state)? })
    }

    /// Lets a held gate of a kind with a row a layer learn again, from the log-alpha it had.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold("head", 0, 2, "open");
    /// run.release("head", 0, 2);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn release(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        layer: INT,
        index: INT,
    ) -> ScriptResult<()> {
        edit(&ctx, run, &Edit::Release { gates: vec![place(kind, Some(layer), index)?] })
    }

    /// Lets a held gate of a kind with one row learn again.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold("layer", 2, "closed");
    /// run.release("layer", 2);
    /// ```
    #[rhai_fn(global, name = "release", pure, return_raw)]
    pub fn release_in_one_row(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        index: INT,
    ) -> ScriptResult<()> {
        edit(&ctx, run, &Edit::Release { gates: vec![place(kind, None, index)?] })
    }

    /// Lets several held gates learn again, in one edit.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.hold([["layer", 0], ["head", 1, 2]], "open");
    /// run.release([["layer", 0], ["head", 1, 2]]);
    /// ```
    #[rhai_fn(global, name = "release", pure, return_raw)]
    pub fn release_several(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        gates: Array,
    ) -> ScriptResult<()> {
        edit(&ctx, run, &Edit::Release { gates: places(gates)? })
    }

    /// Sets the log-alpha of a gate of a kind with a row a layer: high is open, low is closed.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.set_log_alpha("head", 0, 2, -1.5);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn set_log_alpha(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        layer: INT,
        index: INT,
        value: Dynamic,
    ) -> ScriptResult<()> {
        edit(
            &ctx,
            run,
            &Edit::LogAlpha { gate: place(kind, Some(layer), index)?, value: log_alpha(&value)? },
        )
    }

    /// Sets the log-alpha of a gate of a kind with one row.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.set_log_alpha("layer", 2, 0.5);
    /// ```
    #[rhai_fn(global, name = "set_log_alpha", pure, return_raw)]
    pub fn set_log_alpha_in_one_row(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        kind: &str,
        index: INT,
        value: Dynamic,
    ) -> ScriptResult<()> {
        edit(
            &ctx,
            run,
            &Edit::LogAlpha { gate: place(kind, None, index)?, value: log_alpha(&value)? },
        )
    }

    /// Protects a layer: holds the gates open that could drop it. Of its heads and channels the
    /// target still takes its share.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.protect(0);
    /// run.step(1);
    /// print(run.gate("layer", 0).held);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn protect(ctx: NativeCallContext, run: &mut RunHandle, layer: INT) -> ScriptResult<()> {
        let gates = layer_gates(run, layer)?;
        edit(&ctx, run, &Edit::Hold { gates, open: true })
    }

    /// Lets the gates of a protected layer learn again.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.protect(0);
    /// run.unprotect(0);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn unprotect(ctx: NativeCallContext, run: &mut RunHandle, layer: INT) -> ScriptResult<()> {
        let gates = layer_gates(run, layer)?;
        edit(&ctx, run, &Edit::Release { gates })
    }

    /// Aims at another shape from now on. A dimension that becomes smaller for the first time gets
    /// gates, all open.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// run.set_target(target_shape(#{layers: 2, heads: 4}));
    /// run.step(1);
    /// print(run.status().sparsity.layer.target);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn set_target(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        target: TargetHandle,
    ) -> ScriptResult<()> {
        edit(&ctx, run, &Edit::Target { target: target.0 })
    }

    /// Changes options of a run from now on. They mean what they mean to `prune`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// run.set(#{lr: 0.0005, batch: 4});
    /// run.step(1);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn set(ctx: NativeCallContext, run: &mut RunHandle, options: Map) -> ScriptResult<()> {
        let options = Options::new(&SET, options)?;
        let (rule, custom) = rule(&ctx, &options)?;
        let changes = changes(&options, rule, &run.lock(), &host(&ctx)?)?;
        edit(&ctx, run, &Edit::Set(Box::new(changes)))?;
        if let Some(custom) = custom {
            run.lock().use_rule(custom);
        }
        Ok(())
    }
}

fn layer_gates(run: &RunHandle, layer: INT) -> ScriptResult<Vec<GatePlace>> {
    let layer = usize::try_from(layer)
        .map_err(|_| fail(format!("layer {layer} is below 0; layers start at 0")))?;
    run.lock().layer_gates(layer).map_err(raise)
}
