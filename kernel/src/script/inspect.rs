//! Script functions that look inside a run: gates, multipliers, layers, charts, judges.

use rhai::plugin::*;
use rhai::{Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::gate::{EvalMode, GatePlace};
use woolshed_engine::judge::{self, Cost, Similarity};
use woolshed_engine::run::Run;
use woolshed_engine::view::inspect::{
    check_table, influence_table, preview_table, similarity_chart as draw_similarity,
};
use woolshed_engine::view::panel::{PanelModel, cost_chart, cost_table};
use woolshed_engine::view::{self, Chart, Table};

use super::edits::place;
use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::run_options::gate_kind;
use super::runs::RunHandle;
use super::{ScriptResult, convert, fail, host, raise};
use crate::session::Host;

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// Everything known of one gate.
fn gate_map(run: &Run, place: GatePlace) -> ScriptResult<Map> {
    let detail = view::run::gate_rows(run, place.kind).map_err(raise)?;
    let rows = 1 + detail.iter().map(|d| d.gate.row).max().unwrap_or(0);
    let found = detail.iter().find(|d| d.gate.row == place.row && d.gate.index == place.index);
    let Some(found) = found else {
        let width = detail.len() / rows;
        let layers =
            if place.kind.one_row() { String::new() } else { format!("layers are 0..{rows}, ") };
        return Err(fail(format!("there is no gate {place}; {layers}gates 0..{width}")));
    };
    let gate = found.gate;
    let held = gate.held.map_or(Dynamic::UNIT, |open| if open { "open" } else { "closed" }.into());
    Ok(convert::map([
        ("kind", place.kind.name().into()),
        ("layer", if place.kind.one_row() { Dynamic::UNIT } else { convert::int(gate.row) }),
        ("index", convert::int(gate.index)),
        ("log_alpha", Dynamic::from_float(gate.log_alpha)),
        ("probability", Dynamic::from_float(gate.probability)),
        ("sampled", convert::number(found.sampled)),
        ("current", Dynamic::from_float(gate.current)),
        ("value", Dynamic::from_float(gate.value)),
        ("gradient", convert::number(found.gradient)),
        ("held", held),
    ]))
}

/// Rows of each domain that a check and a measurement of speed run on.
const ROWS: usize = 2;

/// The first evaluation rows of every domain.
fn some_rows(run: &Run) -> Vec<u32> {
    let domains = run.loader().domains();
    let rows = |d: &woolshed_engine::data::Domain| {
        d.eval.ids()[..ROWS.min(d.eval.len()) * domains.seq_len].to_vec()
    };
    domains.domains.iter().flat_map(rows).collect()
}

/// Compares the layers of the run's model under its gates.
fn compare_layers(run: &Run, host: &Host) -> ScriptResult<Similarity> {
    let values = run.gate_values(EvalMode::Current);
    let (model, domains) = (run.trainer().model(), run.loader().domains());
    let found = judge::similarity(model, values.as_ref(), domains, judge::ROWS_A_DOMAIN, host);
    host.progress_done("");
    found.map_err(raise)
}

/// The source, the masked model and the cut one; the source and the model now for a run that recovers.
fn models(run: &Run, seconds: f64, host: &Host) -> ScriptResult<Vec<PanelModel>> {
    let domains = run.loader().domains();
    let tokens = domains.seq_len;
    let ids = some_rows(run);
    let (source, now) = (run.source(), run.trainer().model());
    let mode = run.final_mode();
    let masks = match run.gate_values(mode) {
        Some(values) => {
            let device = now.weights.embed.device();
            Some(values.tensors(&source.shape(), now.dtype(), device).map_err(tensor)?)
        }
        None => None,
    };
    let side = |name: &str,
                model: &woolshed_engine::model::Model,
                masked: bool|
     -> ScriptResult<PanelModel> {
        let gates = masks.as_ref().filter(|_| masked);
        let (weights, config) = (&model.weights, &model.config);
        let speed = judge::speed(weights, config, gates, &ids, tokens, seconds, host);
        let losses = match masked {
            true => run.domain_losses(mode, host).map_err(raise)?,
            false => judge::model_losses(model, domains, host).map_err(raise)?,
        };
        Ok(PanelModel {
            name: name.into(),
            cost: Cost::of(weights, tokens),
            losses: Some(losses),
            tokens_per_second: Some(speed.map_err(raise)?.tokens_per_second),
        })
    };
    let cut = run.extract().map_err(raise)?;
    let mut panel = vec![side("source", source, false)?];
    if masks.is_some() {
        panel.push(side("masked", now, true)?);
        panel.push(side("cut", &cut, false)?);
    } else {
        panel.push(side("recovered", &cut, false)?);
    }
    host.progress_done("");
    Ok(panel)
}

fn tensor(error: candle_core::Error) -> Box<rhai::EvalAltResult> {
    raise(judge::JudgeError::from(error))
}

/// Shortest time that a speed is measured for, seconds.
const SECONDS: f64 = 0.5;

/// Options of `run.panel`.
pub(super) const PANEL: OptionList = OptionList::new(
    "run.panel",
    &[&[KnownOption::new(
        "seconds",
        Takes::Number,
        || SECONDS.to_string(),
        "the shortest time that a speed is measured for, seconds",
    )]],
);

fn panel_options(map: Map) -> ScriptResult<f64> {
    let options = Options::new(&PANEL, map)?;
    Ok(options.float("seconds")?.unwrap_or(SECONDS))
}

/// What is inside a run.
#[export_module]
mod functions {
    /// Gives a table of where the time of the run's steps went: `part`, `ms a step`, `share`. The title says
    /// how fast the steps are, and what `elastic` has left out and saved. The times are those of this
    /// session.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.speed());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn speed(run: &mut RunHandle) -> ScriptResult<Table> {
        view::speed::speed_table(&run.lock()).map_err(raise)
    }

    /// Gives a table with one row a step: loss, sparsities and targets, gradient norm, tokens.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.history());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn history(run: &mut RunHandle) -> ScriptResult<Table> {
        view::run::history_table(&run.lock()).map_err(raise)
    }

    /// Gives a table of the domains now: weight, last loss, reference, excess, tokens seen.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.mixture());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn mixture(run: &mut RunHandle) -> ScriptResult<Table> {
        view::run::mixture_table(&run.lock()).map_err(raise)
    }

    /// Gives a table of the gates of a kind ("layer", "head_layer", "mlp", "head", "query",
    /// "intermediate", "hidden"): log-alpha, probability of being open, the value sampled last, the
    /// values now and at the target, the gradient of the last step by log-alpha, whether it is held.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.gates("head"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn gates(run: &mut RunHandle, kind: &str) -> ScriptResult<Table> {
        view::run::gates_table(&run.lock(), gate_kind(kind)?).map_err(raise)
    }

    /// Draws expected sparsity and target of every gate kind over the steps.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.sparsity_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn sparsity_chart(run: &mut RunHandle) -> Chart {
        view::run::sparsity_chart(&run.lock())
    }

    /// Draws the training loss and the evaluated loss of each domain over the steps.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.loss_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn loss_chart(run: &mut RunHandle) -> Chart {
        view::run::loss_chart(&run.lock())
    }

    /// Draws the share of each domain over the evaluations.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// show(run.mixture_chart());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn mixture_chart(run: &mut RunHandle) -> Chart {
        view::run::mixture_chart(&run.lock())
    }

    /// Draws the gates of a kind as a heat map, one row a layer.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.gate_chart("head"));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn gate_chart(run: &mut RunHandle, kind: &str) -> ScriptResult<Chart> {
        view::run::gate_chart(&run.lock(), gate_kind(kind)?).map_err(raise)
    }

    /// Draws all gates of a run as one heat map, a row for each row of gates.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4, hidden: 64}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.gate_chart());
    /// ```
    #[rhai_fn(global, name = "gate_chart", pure, return_raw)]
    pub fn gates_chart(run: &mut RunHandle) -> ScriptResult<Chart> {
        view::run::gates_chart(&run.lock()).map_err(raise)
    }

    /// Gives everything known of one gate of a kind with a row a layer: `log_alpha`, `probability`
    /// of being open, `sampled` (in the last step), `current` and `value` (deterministic: now, and at
    /// the target), `gradient` (of the last step, by log-alpha), `held`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// print(run.gate("head", 1, 2).probability);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn gate(run: &mut RunHandle, kind: &str, layer: INT, index: INT) -> ScriptResult<Map> {
        gate_map(&run.lock(), place(kind, Some(layer), index)?)
    }

    /// Gives everything known of one gate of a kind with one row ("layer", "head_layer", "mlp",
    /// "hidden").
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// print(run.gate("layer", 2).log_alpha);
    /// ```
    #[rhai_fn(global, name = "gate", pure, return_raw)]
    pub fn gate_in_one_row(run: &mut RunHandle, kind: &str, index: INT) -> ScriptResult<Map> {
        gate_map(&run.lock(), place(kind, None, index)?)
    }

    /// Gives a table of the multipliers, a row a step: linear and quadratic, by gate kind.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.multipliers());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn multipliers(run: &mut RunHandle) -> ScriptResult<Table> {
        view::run::multiplier_table(&run.lock()).map_err(raise)
    }

    /// Draws the multipliers over the steps; the quadratic ones are dashed.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(2);
    /// show(run.multiplier_chart());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn multiplier_chart(run: &mut RunHandle) -> ScriptResult<Chart> {
        view::run::multiplier_chart(&run.lock()).map_err(raise)
    }

    /// Gives a table with a row a layer: expected and target sparsity of the kinds that have gates in
    /// every layer, and the probability that the layer's own gates are open.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// show(run.layers());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn layers(run: &mut RunHandle) -> ScriptResult<Table> {
        view::run::layer_table(&run.lock()).map_err(raise)
    }

    /// Gives a table of what was done to the run: steps, evaluations out of turn, edits.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// run.protect(0);
    /// show(run.journal());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn journal(run: &mut RunHandle) -> ScriptResult<Table> {
        view::run::journal_table(&run.lock()).map_err(raise)
    }

    /// Compares the masked model with the cut one, place by place, on a few evaluation rows of each
    /// domain. The title of the table is the verdict; it names the first place that differs.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// show(check(run));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn check(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Table> {
        let host = host(&ctx)?;
        let run = run.lock();
        let gates = run.gates().map_err(raise)?.evaluate(run.final_mode());
        let tokens = run.loader().domains().seq_len;
        let found = judge::check(run.trainer().model(), &gates, &some_rows(&run), tokens, &host);
        host.progress_done("");
        check_table(&found.map_err(raise)?).map_err(raise)
    }

    /// Gives a table of the parameters that would go if the run were extracted now, part by part.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// show(run.preview());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn preview(run: &mut RunHandle) -> ScriptResult<Table> {
        let run = run.lock();
        let gates = run.gates().map_err(raise)?.evaluate(run.final_mode());
        let model = run.trainer().model();
        preview_table(&judge::preview(&model.weights, &model.shape(), &gates)).map_err(raise)
    }

    /// Draws how alike the residual stream is at all pairs of depths, under the gates as they are
    /// now: a stretch of layers that look alike does little.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// show(run.similarity_chart());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn similarity_chart(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Chart> {
        Ok(draw_similarity(&compare_layers(&run.lock(), &host(&ctx)?)?))
    }

    /// Gives a table of the layers by block influence: one minus the cosine between what goes into a
    /// layer and what comes out. The layer of the least influence is the first candidate to go.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// show(run.influence());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn influence(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Table> {
        influence_table(&compare_layers(&run.lock(), &host(&ctx)?)?).map_err(raise)
    }

    /// Gives source, masked and cut model side by side: parameters, arithmetic, memory, measured
    /// speed, loss by domain. Speed is measured for half a second a model and depends on what else
    /// the machine does.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 1}), domains, #{batch: 2});
    /// show(run.panel(#{seconds: 0}));
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn panel(ctx: NativeCallContext, run: &mut RunHandle, options: Map) -> ScriptResult<Table> {
        let seconds = panel_options(options)?;
        let run = run.lock();
        let models = models(&run, seconds, &host(&ctx)?)?;
        cost_table(&models, &run.mixture().names).map_err(raise)
    }

    /// Gives source, masked and cut model side by side.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 1}), domains, #{batch: 2});
    /// show(run.panel());
    /// ```
    #[rhai_fn(global, name = "panel", pure, return_raw)]
    pub fn panel_plain(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Table> {
        panel(ctx, run, Map::new())
    }

    /// Draws source, masked and cut model side by side, as multiples of the source.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 1}), domains, #{batch: 2});
    /// show(run.panel_chart());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn panel_chart(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Chart> {
        Ok(cost_chart(&models(&run.lock(), SECONDS, &host(&ctx)?)?))
    }
}
