//! Script functions of the mixture: over time, under other rules, and where its references come from.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, Map, NativeCallContext};
use woolshed_engine::data::MixtureRule;
use woolshed_engine::data::scaling::ScalingFit;
use woolshed_engine::gate::EvalMode;
use woolshed_engine::run::{Run, WhatIf};
use woolshed_engine::view::{Chart, Table, mixture as draw};

use super::options::Options;
use super::run_lists::{PREVIEW, REPLAY};
use super::run_options::{reference_losses, rule};
use super::runs::RunHandle;
use super::{ScriptResult, fail, host, raise};
use crate::session::Host;

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

fn what_if(
    ctx: &NativeCallContext,
    options: &Options,
    run: &Run,
    host: &Host,
) -> ScriptResult<WhatIf> {
    let (rule, custom) = rule(ctx, options)?;
    Ok(WhatIf {
        rule,
        custom,
        eta: options.float("eta")?,
        smoothing: options.float("smoothing")?,
        floor: options.float("floor")?,
        ceiling: options.float("ceiling")?,
        reference: reference_losses(options, run, host)?,
    })
}

/// The losses to preview by: given, those of an evaluation at this very step, or measured now.
fn losses(run: &Run, given: Option<Vec<f64>>, host: &Host) -> ScriptResult<Vec<f64>> {
    if let Some(losses) = given {
        return Ok(losses);
    }
    let last = run.evaluations().last().filter(|e| e.step == run.status().step);
    if let Some(last) = last {
        return Ok(last.losses.clone());
    }
    let losses = run.domain_losses(EvalMode::Current, host).map_err(raise)?;
    host.progress_done("");
    Ok(losses)
}

fn preview(ctx: &NativeCallContext, run: &RunHandle, map: Map) -> ScriptResult<Table> {
    let options = Options::new(&PREVIEW, map)?;
    let (host, run) = (host(ctx)?, run.lock());
    let what = what_if(ctx, &options, &run, &host)?;
    let losses = losses(&run, options.by_name("losses", &run.mixture().names)?, &host)?;
    let mut next = Vec::new();
    let asked: Vec<MixtureRule> = match what.rule {
        Some(rule) => vec![rule],
        None => MixtureRule::ALL.to_vec(),
    };
    for rule in asked {
        let what = WhatIf { rule: Some(rule), ..what.clone() };
        let weights = run.mixture_preview(&what, &losses).map_err(raise)?;
        next.push((rule.to_string(), weights));
    }
    draw::preview_table(&run, &losses, &next).map_err(raise)
}

/// A what-if, named by a rule or by options.
fn replayed(ctx: &NativeCallContext, run: &Run, map: Map) -> ScriptResult<(String, Vec<Vec<f64>>)> {
    let said: Vec<String> = map
        .iter()
        .map(|(key, value)| match value.is_fnptr() {
            true => "rule of its own".to_string(),
            false if key == "rule" => value.to_string(),
            false => format!("{key} {value}"),
        })
        .collect();
    let options = Options::new(&REPLAY, map)?;
    let what = what_if(ctx, &options, run, &host(ctx)?)?;
    if run.evaluations().is_empty() {
        return Err(fail(
            "the run has no evaluation yet, and a replay goes from one to the next; take steps until `eval_every` or call `run.evaluate()`",
        ));
    }
    let path = run.mixture_replay(&what).map_err(raise)?;
    let said = if said.is_empty() { run.mixture().rule.to_string() } else { said.join(", ") };
    Ok((said, path))
}

fn named(rule: &str) -> Map {
    [("rule".into(), rule.into())].into_iter().collect()
}

/// The law of a run, or why there is none.
fn fit(run: &Run) -> ScriptResult<ScalingFit> {
    run.scaling().map_err(raise)?.ok_or_else(|| {
        fail("the references of this run come from no scaling law; start it with `reference: \"scaling\"`")
    })
}

/// The mixture of a run.
#[export_module]
mod functions {
    /// Gives a table of the weights that would follow under every rule, from the losses now. Nothing
    /// is taken: the run stays as it is.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2});
    /// show(run.mixture_preview());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn mixture_preview(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Table> {
        preview(&ctx, run, Map::new())
    }

    /// Gives a table of the weights that would follow with other settings: `rule` (a name or a
    /// closure), `eta`, `smoothing`, `floor`, `ceiling`, `reference`, and the `losses` to start from.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2});
    /// let losses = #{story: 3.0, walk: 1.5, sums: 1.2, copy: 2.0, lookup: 1.6};
    /// show(run.mixture_preview(#{rule: "doremi", losses: losses, eta: 2.0, floor: 0.05}));
    /// show(run.mixture_preview(#{rule: |d| d.losses, losses: losses}));
    /// ```
    #[rhai_fn(global, name = "mixture_preview", pure, return_raw)]
    pub fn mixture_preview_with(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        options: Map,
    ) -> ScriptResult<Table> {
        preview(&ctx, run, options)
    }

    /// Draws the mixture that the evaluations of this run would have made under another rule, from its
    /// first mixture on. The losses stay those of the run; under another mixture they would differ, so
    /// the first update is exact and the rest a sketch.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.mixture_replay("bandit"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn mixture_replay(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        rule: &str,
    ) -> ScriptResult<Chart> {
        mixture_replay_with(ctx, run, named(rule))
    }

    /// Draws the mixture that the evaluations of this run would have made with other settings: `rule`
    /// (a name or a closure), `eta`, `smoothing`, `floor`, `ceiling`, `reference`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.mixture_replay(#{rule: "doremi", eta: 4.0, floor: 0.1}));
    /// ```
    #[rhai_fn(global, name = "mixture_replay", pure, return_raw)]
    pub fn mixture_replay_with(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        options: Map,
    ) -> ScriptResult<Chart> {
        let run = run.lock();
        let (said, path) = replayed(&ctx, &run, options)?;
        Ok(draw::replay_chart(&run, &said, run.first_mixture(), &path))
    }

    /// Gives a table of the mixture over time, a row an evaluation: step and the weight of each domain.
    /// The first row is the mixture the run started with.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.mixture_history());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn mixture_history(run: &mut RunHandle) -> ScriptResult<Table> {
        draw::mixture_history_table(&run.lock()).map_err(raise)
    }

    /// Gives a table of the domains over time, a row an evaluation and domain: weight, loss,
    /// reference, excess, tokens drawn. It is made to be filtered and grouped.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.domain_history());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn domain_history(run: &mut RunHandle) -> ScriptResult<Table> {
        draw::domain_history_table(&run.lock()).map_err(raise)
    }

    /// Draws the excess of each domain over the evaluations: loss minus reference. A domain above 0
    /// gains weight.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.excess_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn excess_chart(run: &mut RunHandle) -> Chart {
        draw::excess_chart(&run.lock())
    }

    /// Draws the loss of each domain over the evaluations, its reference dashed.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.domain_loss_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn domain_loss_chart(run: &mut RunHandle) -> Chart {
        draw::domain_loss_chart(&run.lock())
    }

    /// Draws the tokens drawn of each domain over the evaluations.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.tokens_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn tokens_chart(run: &mut RunHandle) -> Chart {
        draw::tokens_chart(&run.lock())
    }

    /// Gives the reference losses of a run by domain, nats/token: what the mixture compares with.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{hidden: 64}), domains, #{steps: 10, batch: 2});
    /// let random = recover(model.random_cut(target_shape(#{hidden: 64}), #{}), domains,
    ///     #{batch: 2, reference: run.references()});
    /// ```
    #[rhai_fn(global, pure)]
    pub fn references(run: &mut RunHandle) -> Map {
        let run = run.lock();
        let mixture = run.mixture();
        let losses = mixture.reference.iter().map(|loss| Dynamic::from_float(*loss));
        mixture.names.iter().map(|name| name.as_str().into()).zip(losses).collect()
    }

    /// Draws the law that the references of a run come from: three known models a domain, the curve
    /// through them, dashed beyond them, and the size of the target.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let losses = #{story: [2.9, 2.5, 2.3], walk: [1.4, 1.2, 1.1], sums: [1.9, 1.5, 1.3],
    ///     copy: [2.1, 1.7, 1.5], lookup: [2.0, 1.6, 1.4]};
    /// let law = #{scaling: #{sizes: [1e5, 2e5, 4e5], losses: losses}};
    /// let run = recover(model, domains, #{batch: 2, reference: law});
    /// show(run.scaling_chart());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn scaling_chart(run: &mut RunHandle) -> ScriptResult<Chart> {
        Ok(draw::scaling_chart(&fit(&run.lock())?))
    }

    /// Gives a table of the law that the references of a run come from: known losses, a, b and c of
    /// a / N^b + c, and the reference of each domain.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let losses = #{story: [2.9, 2.5, 2.3], walk: [1.4, 1.2, 1.1], sums: [1.9, 1.5, 1.3],
    ///     copy: [2.1, 1.7, 1.5], lookup: [2.0, 1.6, 1.4]};
    /// let law = #{scaling: #{parameters: 3e5, sizes: [1e5, 2e5, 4e5], losses: losses}};
    /// let run = recover(model, domains, #{batch: 2, reference: law});
    /// show(run.scaling_table());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn scaling_table(run: &mut RunHandle) -> ScriptResult<Table> {
        draw::scaling_table(&fit(&run.lock())?).map_err(raise)
    }

    /// Draws the published law of the seven domains of RedPajama for a model of `parameters`
    /// parameters: where the public reference losses come from.
    ///
    /// ```rhai
    /// show(scaling_chart(1345423360));
    /// ```
    #[rhai_fn(name = "scaling_chart", return_raw)]
    pub fn published_scaling_chart(parameters: Dynamic) -> ScriptResult<Chart> {
        Ok(draw::scaling_chart(&published(&parameters)?))
    }

    /// Gives a table of the published law of the seven domains of RedPajama for a model of
    /// `parameters` parameters.
    ///
    /// ```rhai
    /// print(scaling_table(1345423360));
    /// ```
    #[rhai_fn(name = "scaling_table", return_raw)]
    pub fn published_scaling_table(parameters: Dynamic) -> ScriptResult<Table> {
        draw::scaling_table(&published(&parameters)?).map_err(raise)
    }
}

fn published(parameters: &rhai::Dynamic) -> ScriptResult<ScalingFit> {
    let number = parameters.as_float().ok().or(parameters.as_int().ok().map(|i| i as f64));
    let n = number.ok_or_else(|| fail(format!("{parameters} is no number of parameters")))?;
    let known = woolshed_engine::data::scaling::KnownLosses::published();
    ScalingFit::new(&known, &known.names, n).map_err(raise)
}
