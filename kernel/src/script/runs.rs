//! Script functions of runs: start, step, where it stands, what it has made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::plugin::*;
use rhai::{Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::gate::EvalMode;
use woolshed_engine::model::Model;
use woolshed_engine::run::{Run, RunError, Warning};

use super::domains::DomainsHandle;
use super::options::Options;
use super::run_lists::{PRUNE, RECOVER};
use super::run_options::{keep_policy, shear_options, teacher, train_options};
use super::shapes::TargetHandle;
use super::{ScriptResult, convert, host, raise, recipe};
use crate::session::Host;

/// A run in a script. Clones are the same run.
#[derive(Clone)]
pub struct RunHandle(Arc<Mutex<Run>>);

impl RunHandle {
    pub(super) fn new(run: Run) -> Self {
        Self(Arc::new(Mutex::new(run)))
    }

    /// Whether both are the same run.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
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

fn start_prune(
    ctx: &NativeCallContext,
    model: &Model,
    target: TargetHandle,
    domains: &DomainsHandle,
    map: Map,
) -> ScriptResult<RunHandle> {
    let options = Options::new(&PRUNE, map)?;
    let shear = shear_options(&options)?;
    if shear.sparsity.is_none() {
        target.0.resolve(&model.shape()).map_err(raise)?;
    }
    let host = host(ctx)?;
    let domains = domains.for_model(model, &host)?;
    let train = train_options(ctx, &options, &domains, host.seed())?;
    let keep = keep_policy(&options, "snapshot_every", "snapshot_mb")?;
    let mut run = Run::shear(model, &target.0, domains, train, &shear, &host).map_err(raise)?;
    if let Some(policy) = keep {
        run.keep(policy);
    }
    host.progress_done("");
    warn(&host, &run.warnings(), &[]);
    Ok(RunHandle::new(run))
}

fn start_recover(
    ctx: &NativeCallContext,
    model: &Model,
    domains: &DomainsHandle,
    map: Map,
) -> ScriptResult<RunHandle> {
    let options = Options::new(&RECOVER, map)?;
    let teacher = teacher(&options)?;
    let host = host(ctx)?;
    let domains = domains.for_model(model, &host)?;
    let train = train_options(ctx, &options, &domains, host.seed())?;
    let keep = keep_policy(&options, "snapshot_every", "snapshot_mb")?;
    let run = match &teacher {
        None => Run::recover(model, domains, train, &host),
        Some(teacher) => Run::recover_taught(model, teacher, domains, train, &host),
    };
    let mut run = run.map_err(raise)?;
    if let Some(policy) = keep {
        run.keep(policy);
    }
    host.progress_done("");
    warn(&host, &run.warnings(), &[]);
    Ok(RunHandle::new(run))
}

/// Makes up for an evaluation that an interrupt put off: what a run is then no longer depends on
/// when it was interrupted.
pub(super) fn settle(run: &mut Run, host: &Host) -> ScriptResult<()> {
    if run.step(0, host).map_err(raise)?.interrupted {
        return Err(raise(RunError::Interrupted));
    }
    host.progress_done("");
    Ok(())
}

/// Tells the warnings that were not there before.
fn warn(host: &Host, warnings: &[Warning], known: &[Warning]) {
    for warning in warnings {
        if !known.iter().any(|earlier| earlier.about == warning.about) {
            host.output().stderr(&format!("warning: {warning}\n"));
        }
    }
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

/// Runs: prune, recover, step, extract.
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

    /// Starts to prune a model with options.
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

    /// Starts to continue the pre-training of a model with options. The `reference` "source" means the
    /// references of the run that made the model, or the model's own losses if no run did.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{steps: 10, batch: 2, lr: 0.0005});
    /// run.step(1);
    /// ```
    ///
    /// A small model learns from the large one that it was cut from:
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let small = model.magnitude_cut(target_shape(#{layers: 2}));
    /// let run = recover(small, domains, #{batch: 2, accumulate: 2, teacher: model, distill: 0.5});
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
    /// stops the step it is in; the run keeps its state and goes on from there.
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
        let known = run.warnings();
        let report = run.step(n.max(0) as u64, &host).map_err(raise)?;
        let status = run.status();
        let loss = status.loss.map_or(String::new(), |l| format!(", loss {l:.3}"));
        let what = if status.sparsity.is_empty() { "recover" } else { "prune" };
        let head = if report.interrupted { "stopped at" } else { "at" };
        let summary = format!(
            "{what} {head} step {}{loss}, {:.0} tokens/s, {:.1} s",
            status.step, report.tokens_per_second, report.seconds
        );
        host.progress_done_with(&summary, &|| run.detail());
        warn(&host, &status.warnings, &known);
        if report.interrupted {
            return Err(raise(RunError::Interrupted));
        }
        Ok(convert::status(&status))
    }

    /// Says where the run stands: `step`, `loss`, `lagrangian`, `tokens`, `overall_sparsity` and
    /// `sparsity`, a map from gate kind to `expected`, `target` and `scheduled` (the part of the
    /// target that applies now); `warnings` about the mixture, and `epochs`, where a domain that was
    /// used up began again.
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
    /// model; for a run that recovers, a copy of its weights. It carries the script that makes it
    /// again, and so does its file.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3}), domains, #{batch: 2});
    /// run.step(2);
    /// print(run.extract().shape().layers);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn extract(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Model> {
        let mut run = run.lock();
        settle(&mut run, &host(&ctx)?)?;
        let mut model = run.extract().map_err(raise)?;
        recipe::attach(&mut model);
        Ok(model)
    }

    /// Evaluates every domain out of turn, with the gates as they are now, and moves the mixture by
    /// the losses. Gives them, nats/token; the journal keeps it.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// print(run.evaluate().story);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn evaluate(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Map> {
        let host = host(&ctx)?;
        let mut run = run.lock();
        run.evaluate(&host).map_err(raise)?;
        host.progress_done("");
        let losses = run.evaluations().last().map_or(&[][..], |e| &e.losses);
        let names = run.mixture().names.iter();
        Ok(names.zip(losses).map(|(n, &l)| (n.as_str().into(), Dynamic::from_float(l))).collect())
    }

    /// Hashes everything that decides how the run goes on, and its history: 64 hexadecimal digits.
    /// A run that was interrupted, forked, or saved and resumed has the hash of one that went
    /// straight on, on one machine and with one number of threads.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// let other = run.fork();
    /// run.step(2);
    /// other.step(1);
    /// other.step(1);
    /// print(run.hash() == other.hash());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn hash(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<String> {
        let mut run = run.lock();
        settle(&mut run, &host(&ctx)?)?;
        run.hash().map_err(raise)
    }

    /// Gives the script that makes this run again from nothing: models, domains, options and
    /// everything that was done to it, with a check of the hash at its end. It holds on the same
    /// machine with the same number of threads.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3}), domains, #{batch: 2});
    /// run.step(1);
    /// print(run.script());
    /// ```
    ///
    /// A model or domains that a program put together cannot be made again by a script, and the
    /// error says which.
    #[rhai_fn(global, pure, return_raw)]
    pub fn script(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<String> {
        let mut run = run.lock();
        settle(&mut run, &host(&ctx)?)?;
        let origin = run.origin().map_err(raise)?;
        recipe::of_run(&origin, &run.hash().map_err(raise)?).map_err(super::super::fail)
    }

    /// Says where the run stands in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn to_string(run: &mut RunHandle) -> String {
        describe(run)
    }
}
