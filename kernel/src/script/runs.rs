//! Script functions of runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::plugin::*;
use rhai::{Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::data::{Domains, MixtureRule};
use woolshed_engine::gate::{EvalMode, GateKind};
use woolshed_engine::model::Model;
use woolshed_engine::run::{Reference, Run, RunError, ShearOptions, TrainOptions};
use woolshed_engine::view::{self, Chart, Table};

use super::domains::DomainsHandle;
use super::options::Options;
use super::shapes::TargetHandle;
use super::{ScriptResult, convert, fail, host, raise};

/// A run in a script. Clones are the same run.
#[derive(Clone)]
pub struct RunHandle(Arc<Mutex<Run>>);

impl RunHandle {
    fn new(run: Run) -> Self {
        Self(Arc::new(Mutex::new(run)))
    }

    /// The run, for the length of one call.
    pub fn lock(&self) -> MutexGuard<'_, Run> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<RunHandle>("Run");
    super::register_global(rhai, exported_module!(functions));
}

/// Options of every run, as scripts name them.
const TRAIN: [&str; 16] = [
    "steps",
    "batch",
    "lr",
    "lr_warmup",
    "lr_floor",
    "clip",
    "beta1",
    "beta2",
    "weight_decay",
    "seed",
    "eval_every",
    "rule",
    "mixture",
    "reference",
    "eta",
    "smoothing",
];

/// Further options of `prune`.
const SHEAR: [&str; 7] = [
    "gates",
    "gate_lr",
    "multiplier_lr",
    "sparsity_warmup",
    "mask_embeddings",
    "sparsity",
    "temperature",
];

fn train_options(options: &Options, domains: &Domains, seed: u64) -> ScriptResult<TrainOptions> {
    let default = TrainOptions::default();
    let names = domains.names();
    let rule = match options.text("rule")? {
        Some(rule) => rule.parse::<MixtureRule>().map_err(raise)?,
        None => default.rule,
    };
    let reference = match options.value("reference") {
        None => default.reference,
        Some(v) if v.is_string() => match v.to_string().as_str() {
            "source" => Reference::Source,
            "floor" => Reference::Floor,
            other => {
                return Err(fail(format!(
                    "option `reference` is \"{other}\"; it takes \"source\", \"floor\" or a map from domain to loss"
                )));
            }
        },
        Some(_) => Reference::Losses(options.by_name("reference", &names)?.unwrap_or_default()),
    };
    let mut adam = default.adam;
    adam.betas.0 = options.float("beta1")?.unwrap_or(adam.betas.0);
    adam.betas.1 = options.float("beta2")?.unwrap_or(adam.betas.1);
    adam.weight_decay = options.float("weight_decay")?.unwrap_or(adam.weight_decay);
    Ok(TrainOptions {
        steps: options.count("steps")?.unwrap_or(default.steps),
        batch: options.size("batch")?.unwrap_or(default.batch),
        lr: options.float("lr")?.unwrap_or(default.lr),
        lr_warmup: options.count("lr_warmup")?,
        lr_floor: options.float("lr_floor")?.unwrap_or(default.lr_floor),
        clip: options.float("clip")?.unwrap_or(default.clip),
        adam,
        seed: options.count("seed")?.unwrap_or(seed),
        eval_every: options.count("eval_every")?.unwrap_or(default.eval_every),
        rule,
        mixture: options.by_name("mixture", &names)?,
        reference,
        eta: options.float("eta")?.unwrap_or(default.eta),
        smoothing: options.float("smoothing")?.unwrap_or(default.smoothing),
    })
}

fn shear_options(options: &Options) -> ScriptResult<ShearOptions> {
    let default = ShearOptions::default();
    let gates = match options.texts("gates")? {
        None => None,
        Some(names) => Some(
            names
                .iter()
                .map(|n| n.parse::<GateKind>().map_err(raise))
                .collect::<ScriptResult<_>>()?,
        ),
    };
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

fn start_prune(
    ctx: &NativeCallContext,
    model: &Model,
    target: TargetHandle,
    domains: &DomainsHandle,
    map: Map,
) -> ScriptResult<RunHandle> {
    let known: Vec<&str> = TRAIN.iter().chain(&SHEAR).copied().collect();
    let options = Options::new("prune", map, &known)?;
    let shear = shear_options(&options)?;
    if shear.sparsity.is_none() {
        target.0.resolve(&model.shape()).map_err(raise)?;
    }
    let host = host(ctx)?;
    let domains = domains.for_model(model, &host)?;
    let train = train_options(&options, &domains, host.seed())?;
    let run = Run::shear(model, &target.0, domains, train, &shear, &host).map_err(raise)?;
    host.progress_done("");
    Ok(RunHandle::new(run))
}

fn start_recover(
    ctx: &NativeCallContext,
    model: &Model,
    domains: &DomainsHandle,
    map: Map,
) -> ScriptResult<RunHandle> {
    let options = Options::new("recover", map, &TRAIN)?;
    let host = host(ctx)?;
    let domains = domains.for_model(model, &host)?;
    let train = train_options(&options, &domains, host.seed())?;
    let run = Run::recover(model, domains, train, &host).map_err(raise)?;
    host.progress_done("");
    Ok(RunHandle::new(run))
}

fn gate_kind(name: &str) -> ScriptResult<GateKind> {
    name.parse().map_err(raise)
}

/// A run in one line.
pub(super) fn describe(run: &RunHandle) -> String {
    let run = run.lock();
    let status = run.status();
    let mut line = format!("Run of {} at step {}", run.source().name, status.step);
    if let Some(loss) = status.loss {
        line.push_str(&format!(", loss {loss:.4} nats/token"));
    }
    for (kind, k) in &status.sparsity {
        let target = k.target.map_or(String::new(), |t| format!("/{t:.2}"));
        line.push_str(&format!(", {kind} {:.2}{target}", k.expected));
    }
    line
}

/// Runs: prune, recover, step, look inside.
#[export_module]
mod functions {
    /// Starts to prune a model to a target shape on domains, with the default options; nothing is
    /// trained before the first `step`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let run = prune(model, target_shape(#{layers: 3}), load_domains("demo", #{seq_len: 64}));
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune(
        ctx: NativeCallContext,
        model: Model,
        target: TargetHandle,
        domains: DomainsHandle,
    ) -> ScriptResult<RunHandle> {
        start_prune(&ctx, &model, target, &domains, Map::new())
    }

    /// Starts to prune a model with options. Of the training: `steps` (300, the length of the
    /// schedules), `batch` (16 sequences), `lr` (0.001), `lr_warmup` (a tenth of `steps`), `lr_floor`
    /// (0.1), `clip` (1), `beta1` (0.9), `beta2` (0.95), `weight_decay` (0), `seed`. Of the gates:
    /// `gates` (the kinds; those the target needs), `gate_lr` (1), `multiplier_lr` (1),
    /// `sparsity_warmup` (a fifth of `steps`), `mask_embeddings` (true), `sparsity` (aim at this
    /// share of prunable parameters instead of a shape), `temperature` (2/3). Of the mixture:
    /// `eval_every` (50 steps), `rule` ("doremi", "doremi-clipped", "bandit", "constant"), `mixture`
    /// (equal shares), `reference` ("source", "floor" or a map of losses), `eta` (1), `smoothing`
    /// (0.0001).
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{hidden: 64}), domains, #{steps: 100, batch: 4});
    /// run.step(2);
    /// print(run.status().step);
    /// ```
    #[rhai_fn(name = "prune", return_raw)]
    pub fn prune_with(
        ctx: NativeCallContext,
        model: Model,
        target: TargetHandle,
        domains: DomainsHandle,
        options: Map,
    ) -> ScriptResult<RunHandle> {
        start_prune(&ctx, &model, target, &domains, options)
    }

    /// Starts to continue the pre-training of a model, with the default options.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let run = recover(model, load_domains("demo", #{seq_len: 64, max_tokens: 4000}));
    /// ```
    #[rhai_fn(name = "recover", return_raw)]
    pub fn recover(
        ctx: NativeCallContext,
        model: Model,
        domains: DomainsHandle,
    ) -> ScriptResult<RunHandle> {
        start_recover(&ctx, &model, &domains, Map::new())
    }

    /// Starts to continue the pre-training of a model. Options: those of `prune` that belong to the
    /// training and the mixture.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{steps: 10, batch: 2, lr: 0.0005});
    /// run.step(1);
    /// ```
    #[rhai_fn(name = "recover", return_raw)]
    pub fn recover_with(
        ctx: NativeCallContext,
        model: Model,
        domains: DomainsHandle,
        options: Map,
    ) -> ScriptResult<RunHandle> {
        start_recover(&ctx, &model, &domains, options)
    }

    /// Takes `n` training steps, with a live line of progress, and gives the status. An interrupt
    /// stops it at the next step boundary; the run keeps its state and goes on from there.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3}), domains, #{batch: 2});
    /// print(run.step(3).step);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn step(ctx: NativeCallContext, run: &mut RunHandle, n: INT) -> ScriptResult<Map> {
        let host = host(&ctx)?;
        let mut run = run.lock();
        let report = run.step(n.max(0) as u64, &host).map_err(raise)?;
        let status = run.status();
        let loss = status.loss.map_or(String::new(), |l| format!(", loss {l:.3}"));
        let what = if status.sparsity.is_empty() { "recover" } else { "prune" };
        let head = if report.interrupted { "stopped at" } else { "at" };
        host.progress_done(&format!(
            "{what} {head} step {}{loss}, {:.0} tokens/s, {:.1} s",
            status.step, report.tokens_per_second, report.seconds
        ));
        if report.interrupted {
            return Err(raise(RunError::Interrupted));
        }
        Ok(convert::status(&status))
    }

    /// Says where the run stands: `step`, `loss`, `lagrangian`, `tokens`, `overall_sparsity` and
    /// `sparsity`, a map from gate kind to `expected`, `target` and `scheduled` (the part of the
    /// target that applies now).
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3}), domains);
    /// print(run.status().sparsity.layer.target);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn status(run: &mut RunHandle) -> Map {
        convert::status(&run.lock().status())
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
    /// "intermediate", "hidden"): log-alpha, probability of being open, value at the target.
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

    /// Gives the loss of each domain now, nats/token: at the target shape for a run that prunes.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// print(run.losses().story);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn losses(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Map> {
        let host = host(&ctx)?;
        let run = run.lock();
        let losses = run.domain_losses(EvalMode::Target, &host).map_err(raise)?;
        host.progress_done("");
        let names = run.mixture().names.iter();
        Ok(names.zip(losses).map(|(n, l)| (n.as_str().into(), Dynamic::from_float(l))).collect())
    }

    /// Gives the model as it is now: cut to the target shape, its logits equal to those of the gated
    /// model; for a run that recovers, a copy of its weights.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3}), domains, #{batch: 2});
    /// run.step(2);
    /// print(run.extract().shape().layers);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn extract(run: &mut RunHandle) -> ScriptResult<Model> {
        run.lock().extract().map_err(raise)
    }

    /// Says where the run stands in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn to_string(run: &mut RunHandle) -> String {
        describe(run)
    }
}
