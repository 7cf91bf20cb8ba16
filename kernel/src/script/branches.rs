//! Script functions of branches: fork, rewind, save, resume, compare.

use std::path::PathBuf;
use std::sync::MutexGuard;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT, Map, NativeCallContext};
use woolshed_engine::device;
use woolshed_engine::model::Model;
use woolshed_engine::run::{Autosave, Best, KeepPolicy, ResumeOptions, Run};
use woolshed_engine::view::branches::{self, Branch};
use woolshed_engine::view::{Chart, Table};

use super::domains::DomainsHandle;
use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::reference::script_type;
use super::run_lists::snapshot_mb;
use super::run_options::{MB, keep_policy, rule};
use super::runs::{RunHandle, settle};
use super::{ScriptResult, convert, display, fail, host, raise, recipe};

pub(super) fn register(rhai: &mut Engine) {
    super::register_global(rhai, exported_module!(functions));
}

/// Steps between two saves of `autosave`, and the snapshots it leaves, unless it is told.
const AUTOSAVE: (u64, usize) = (50, 2);

/// Lists of options, for [`super::option_list::lists`].
pub(super) const LISTS: [&OptionList; 4] = [&SAVE, &RESUME, &KEEP, &AUTOSAVE_OPTIONS];

/// Where a model computes.
pub(super) const DEVICE: KnownOption = KnownOption::new(
    "device",
    Takes::WordOr(&["auto", "cpu"], "\"cuda:N\" of a build with CUDA", None),
    || "auto".into(),
    "where the model computes",
);

const SAVE: OptionList = OptionList::new(
    "run.save",
    &[&[KnownOption::open("keep", Takes::Count, "all", "so many snapshots stay, the newest")]],
);

const RESUME: OptionList = OptionList::new(
    "resume",
    &[&[
        KnownOption::open("step", Takes::Count, "the last", "the step of the snapshot"),
        KnownOption::open(
            "domains",
            Takes::Handle("Domains"),
            "made again as they were made",
            "the same data from another place",
        ),
        DEVICE,
        KnownOption::open(
            "rule",
            Takes::Other("a closure"),
            "",
            "the closure that was the run's mixture rule: no folder holds it",
        ),
    ]],
);

const KEEP: OptionList = OptionList::new(
    "run.keep",
    &[&[
        KnownOption::open(
            "every",
            Takes::Count,
            "at each evaluation",
            "steps between snapshots; 0 keeps none",
        ),
        KnownOption::new("mb", Takes::Number, snapshot_mb, "the most that all snapshots hold, MB"),
    ]],
);

const AUTOSAVE_OPTIONS: OptionList = OptionList::new(
    "run.autosave",
    &[&[
        KnownOption::new(
            "every",
            Takes::Count,
            || AUTOSAVE.0.to_string(),
            "steps between saves; 0 ends them",
        ),
        KnownOption::new(
            "keep",
            Takes::Count,
            || AUTOSAVE.1.to_string(),
            "so many snapshots stay, the newest",
        ),
    ]],
);

fn best_map(best: &Best) -> Map {
    convert::map([("step", convert::int(best.step)), ("loss", Dynamic::from_float(best.loss))])
}

fn save_to(ctx: &NativeCallContext, run: &RunHandle, dir: &str, map: Map) -> ScriptResult<String> {
    let options = Options::new(&SAVE, map)?;
    let keep = options.size("keep")?.unwrap_or(usize::MAX);
    let folder = run.lock().save(&host(ctx)?.place(dir), keep).map_err(raise)?;
    Ok(folder.display().to_string())
}

fn resume_from(ctx: &NativeCallContext, dir: &str, map: Map) -> ScriptResult<RunHandle> {
    let options = Options::new(&RESUME, map)?;
    let host = host(ctx)?;
    let domains = match options.value("domains") {
        None => None,
        Some(value) => match value.clone().try_cast::<DomainsHandle>() {
            Some(domains) => Some(domains.made()?),
            None => {
                return Err(fail(format!(
                    "option `domains` of resume is a {}; it takes Domains",
                    script_type(value.type_name())
                )));
            }
        },
    };
    let name = options.text("device")?.unwrap_or("auto".into());
    let device = device::device(&name).map_err(raise)?;
    let step = options.count("step")?;
    let (_, rule) = rule(ctx, &options)?;
    let options = ResumeOptions { step, domains, device, rule };
    // A run that this session saved lies under `--out`; one of another day may lie anywhere.
    let saved = host.place(dir);
    let from = if saved.is_dir() { saved } else { PathBuf::from(dir) };
    let run = Run::resume(&from, &options, &host).map_err(raise)?;
    host.progress_done(&format!("resumed at step {}", run.status().step));
    host.remember(run.source());
    Ok(RunHandle::new(run))
}

/// The branches of a call, with their names.
fn named(branches: Dynamic) -> ScriptResult<Vec<(String, RunHandle)>> {
    let kind = script_type(branches.type_name());
    let given: Vec<(String, Dynamic)> = if let Some(array) = branches.read_lock::<Array>() {
        let name = |i: usize| format!("branch {}", i + 1);
        array.iter().enumerate().map(|(i, run)| (name(i), run.clone())).collect()
    } else if let Some(map) = branches.read_lock::<Map>() {
        map.iter().map(|(name, run)| (name.to_string(), run.clone())).collect()
    } else {
        return Err(fail(format!("compare takes an array or a map of runs, not a {kind}")));
    };
    if given.is_empty() {
        return Err(fail("compare takes at least one run"));
    }
    let run = |(name, value): (String, Dynamic)| match value.clone().try_cast::<RunHandle>() {
        Some(run) => Ok((name, run)),
        None => {
            let kind = script_type(value.type_name());
            Err(fail(format!("`{name}` is a {kind}, not a Run")))
        }
    };
    given.into_iter().map(run).collect()
}

/// Locks every branch for the length of `work`.
fn with_branches<T>(
    of: Vec<(String, RunHandle)>,
    work: impl FnOnce(&[Branch<'_>]) -> ScriptResult<T>,
) -> ScriptResult<T> {
    // One run under two names is locked once.
    let mut handles: Vec<RunHandle> = Vec::new();
    let places: Vec<(String, usize)> = of
        .into_iter()
        .map(|(name, run)| {
            let at = handles.iter().position(|other| other.is(&run)).unwrap_or(handles.len());
            if at == handles.len() {
                handles.push(run);
            }
            (name, at)
        })
        .collect();
    let runs: Vec<MutexGuard<'_, Run>> = handles.iter().map(RunHandle::lock).collect();
    let branches: Vec<Branch<'_>> =
        places.iter().map(|(name, at)| Branch { name, run: &runs[*at] }).collect();
    work(&branches)
}

/// Branches of a run, in memory and on the disk.
#[export_module]
mod functions {
    /// Gives a run that stands where this one stands and goes its own way from here. A fork costs
    /// nothing until one of the two takes a step, which copies weights and moments.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// let other = run.fork();
    /// other.protect(0);
    /// run.step(1);
    /// other.step(1);
    /// print(run.hash() == other.hash());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn fork(run: &mut RunHandle) -> RunHandle {
        RunHandle::new(run.lock().fork())
    }

    /// Takes the run back to the end of a step: from the last snapshot before it, the steps between
    /// are taken again. Edits made at that very step are undone, and what came after is forgotten;
    /// fork first to keep it.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(3);
    /// run.rewind(1);
    /// print(run.status().step);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn rewind(ctx: NativeCallContext, run: &mut RunHandle, step: INT) -> ScriptResult<()> {
        let step = u64::try_from(step)
            .map_err(|_| fail(format!("step {step} is below 0; a run begins at step 0")))?;
        let host = host(&ctx)?;
        run.lock().rewind(step, &host).map_err(raise)?;
        host.progress_done(&format!("back at step {step}"));
        Ok(())
    }

    /// Gives the evaluation with the lowest mean loss over the domains: `step` and `loss`, nats/token.
    /// Unit before the first evaluation, and for a run that prunes, whose losses rise as gates close.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// print(run.best().step);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn best(run: &mut RunHandle) -> Dynamic {
        run.lock().best().map_or(Dynamic::UNIT, |best| Dynamic::from_map(best_map(&best)))
    }

    /// Gives the model of the evaluation that `best` names, from its snapshot or by taking the steps
    /// from an earlier one again. The run stays where it is.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1});
    /// run.step(2);
    /// print(run.best_model().parameters());
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn best_model(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Model> {
        let host = host(&ctx)?;
        let mut run = run.lock();
        settle(&mut run, &host)?;
        let mut model = run.best_model(&host).map_err(raise)?;
        host.progress_done("");
        recipe::attach(&mut model);
        Ok(model)
    }

    /// Takes the run back to the evaluation that `best` names, as `rewind` does, and gives it.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2, eval_every: 1, lr: 0.1});
    /// run.step(3);
    /// print(run.rewind_best().step == run.status().step);
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn rewind_best(ctx: NativeCallContext, run: &mut RunHandle) -> ScriptResult<Map> {
        let host = host(&ctx)?;
        let mut run = run.lock();
        settle(&mut run, &host)?;
        let best = run.rewind_best(&host).map_err(raise)?;
        host.progress_done(&format!("back at step {}", best.step));
        Ok(best_map(&best))
    }

    /// Says which steps can be gone back to at once, `steps`, and what their snapshots hold, `mb`.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2, snapshot_every: 1});
    /// run.step(2);
    /// print(run.snapshots().steps);
    /// ```
    #[rhai_fn(global, pure)]
    pub fn snapshots(run: &mut RunHandle) -> Map {
        let (steps, bytes) = run.lock().snapshots();
        let steps: Array = steps.into_iter().map(convert::int).collect();
        convert::map([("steps", steps.into()), ("mb", Dynamic::from_float(bytes as f64 / MB))])
    }

    /// Sets when snapshots are taken and how much they may hold. What the bound has no room for goes,
    /// spread evenly over the run.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.keep(#{every: 1, mb: 100});
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn keep(run: &mut RunHandle, options: Map) -> ScriptResult<()> {
        let options = Options::new(&KEEP, options)?;
        let policy = keep_policy(&options, "every", "mb")?;
        run.lock().keep(policy.unwrap_or_else(KeepPolicy::default));
        Ok(())
    }

    /// Saves the run into a folder, to be resumed; earlier snapshots in it stay. A relative folder
    /// starts at `--out`. A kill at any instant leaves the last whole snapshot. Gives the snapshot's
    /// folder.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.step(1);
    /// run.save("a-run");
    /// ```
    #[rhai_fn(global, name = "save", pure, return_raw)]
    pub fn save_run(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        dir: &str,
    ) -> ScriptResult<String> {
        save_to(&ctx, run, dir, Map::new())
    }

    /// Saves the run into a folder, with options.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.step(1);
    /// run.save("a-run", #{keep: 2});
    /// ```
    #[rhai_fn(global, name = "save", pure, return_raw)]
    pub fn save_run_with(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        dir: &str,
        options: Map,
    ) -> ScriptResult<String> {
        save_to(&ctx, run, dir, options)
    }

    /// Saves the run into a folder every 50 steps from now on.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.autosave("a-run");
    /// ```
    #[rhai_fn(global, pure, return_raw)]
    pub fn autosave(ctx: NativeCallContext, run: &mut RunHandle, dir: &str) -> ScriptResult<()> {
        autosave_with(ctx, run, dir, Map::new())
    }

    /// Saves the run into a folder every few steps from now on.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.autosave("a-run", #{every: 2});
    /// run.step(2);
    /// print(resume("a-run").status().step);
    /// ```
    #[rhai_fn(global, name = "autosave", pure, return_raw)]
    pub fn autosave_with(
        ctx: NativeCallContext,
        run: &mut RunHandle,
        dir: &str,
        options: Map,
    ) -> ScriptResult<()> {
        let options = Options::new(&AUTOSAVE_OPTIONS, options)?;
        let every = options.count("every")?.unwrap_or(AUTOSAVE.0);
        let keep = options.size("keep")?.unwrap_or(AUTOSAVE.1);
        run.lock().autosave(Some(Autosave { dir: host(&ctx)?.place(dir), every, keep }));
        Ok(())
    }

    /// Resumes a saved run at its last snapshot; from there it goes on as if it had never stopped.
    /// A relative folder starts at `--out`, where `save` wrote it, or else at the working folder.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.step(1);
    /// run.save("a-run");
    /// print(resume("a-run").hash() == run.hash());
    /// ```
    #[rhai_fn(return_raw)]
    pub fn resume(ctx: NativeCallContext, dir: &str) -> ScriptResult<RunHandle> {
        resume_from(&ctx, dir, Map::new())
    }

    /// Resumes a saved run, with options.
    ///
    /// ```rhai
    /// let model = new_model(#{layers: 2, hidden: 32, heads: 4});
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = recover(model, domains, #{batch: 2});
    /// run.step(1);
    /// run.save("a-run");
    /// run.step(1);
    /// run.save("a-run");
    /// print(resume("a-run", #{step: 1}).status().step);
    /// ```
    #[rhai_fn(name = "resume", return_raw)]
    pub fn resume_with(ctx: NativeCallContext, dir: &str, options: Map) -> ScriptResult<RunHandle> {
        resume_from(&ctx, dir, options)
    }

    /// Compares branches, an array or a map from name to run: shows their losses in one chart and
    /// gives a table with a row a branch. `mean loss` and the losses by domain are evaluated now, at
    /// the target shape; `common to step` is the last step a branch shares with another one.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// let other = run.fork();
    /// other.protect(0);
    /// run.step(1);
    /// other.step(1);
    /// show(compare(#{base: run, kept: other}));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn compare(ctx: NativeCallContext, branches: Dynamic) -> ScriptResult<Table> {
        let host = host(&ctx)?;
        let of = named(branches)?;
        for (_, run) in &of {
            settle(&mut run.lock(), &host)?;
        }
        with_branches(of, |branches| {
            let mut losses = Vec::with_capacity(branches.len());
            for branch in branches {
                let run = branch.run;
                losses.push(run.domain_losses(run.final_mode(), &host).map_err(raise)?);
            }
            host.progress_done("");
            let chart = Dynamic::from(branches::loss_chart(branches));
            host.output().display(&display(&chart)?);
            branches::table(branches, &losses).map_err(raise)
        })
    }

    /// Draws branches in one chart: the mean evaluated loss of each, its training loss behind it,
    /// and a mark for every edit.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000});
    /// let run = prune(model, target_shape(#{layers: 3, heads: 4}), domains, #{batch: 2});
    /// run.step(1);
    /// let other = run.fork();
    /// other.protect(0);
    /// run.step(1);
    /// other.step(1);
    /// show(compare_chart([run, other]));
    /// ```
    #[rhai_fn(return_raw)]
    pub fn compare_chart(branches: Dynamic) -> ScriptResult<Chart> {
        with_branches(named(branches)?, |branches| Ok(branches::loss_chart(branches)))
    }
}
