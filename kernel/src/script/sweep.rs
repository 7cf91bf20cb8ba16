//! An experiment over many points: a closure is called for every combination of parameters, and what
//! it gives becomes one table.
//!
//! A point sees nothing of another: it gets its own copies of what the closure captured. With a folder
//! a finished point is kept and never run again, as long as nothing its result depends on changes.

mod identity;
mod points;
mod store;

use std::sync::Arc;
use std::time::Instant;

use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, FnPtr, Map, NativeCallContext};
use woolshed_engine::names::nearest;
use woolshed_engine::progress::{Progress, Watch};
use woolshed_engine::view::{Aggregate, Cell, Table};

use self::store::Finished;
use super::help::Catalog;
use super::option_list::{KnownOption, OptionList, Takes};
use super::options::Options;
use super::tables::cell;
use super::{ScriptResult, fail, host, interrupted, raise};
use crate::session::{Diagnostic, Display, Host, Known, is_interrupt};

/// The results of a sweep in a script. Cheap to clone.
#[derive(Clone)]
pub struct SweepHandle(Arc<Results>);

struct Results {
    name: String,
    parameters: Vec<String>,
    /// What the summary averages over.
    by: Vec<String>,
    /// The names of figures that are numbers at every point.
    numbers: Vec<String>,
    table: Table,
    failures: Table,
}

pub(super) fn register(rhai: &mut Engine) {
    rhai.register_type_with_name::<SweepHandle>("Sweep");
    super::register_global(rhai, exported_module!(functions));
}

/// The sweep in one line.
pub(super) fn describe(sweep: &SweepHandle) -> String {
    let Results { name, table, failures, .. } = &*sweep.0;
    let failed = match failures.rows() {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    format!("Sweep {name} of {} points{failed}", table.rows())
}

/// Shows a sweep: its points, the summary where there is one, and the failures.
pub(super) fn display(sweep: &SweepHandle) -> ScriptResult<Display> {
    let mut tables = vec![sweep.0.table.clone()];
    if !sweep.0.by.is_empty() {
        tables.push(summary(&sweep.0, &sweep.0.by)?);
    }
    if sweep.0.failures.rows() > 0 {
        tables.push(sweep.0.failures.clone());
    }
    let all = |of: fn(&Table) -> String| tables.iter().map(of).collect::<Vec<_>>().join("\n");
    Ok(Display {
        text: all(Table::to_text),
        html: Some(all(Table::to_html)),
        markdown: Some(all(Table::to_markdown)),
        name: "sweep".into(),
        ..Display::default()
    })
}

/// Mean and deviation over some parameters, by the others.
fn summary(of: &Results, over: &[String]) -> ScriptResult<Table> {
    for name in over {
        if !of.parameters.contains(name) {
            let near = nearest(name, of.parameters.iter().map(String::as_str));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            let known = of.parameters.join(", ");
            return Err(fail(format!(
                "`{name}` is no parameter of this sweep{hint} (its parameters: {known})"
            )));
        }
    }
    let keys: Vec<&String> = of.parameters.iter().filter(|p| !over.contains(p)).collect();
    let mut figures = vec![("seconds", Aggregate::Count)];
    for name in &of.numbers {
        figures.push((name, Aggregate::Mean));
        figures.push((name, Aggregate::Std));
    }
    let title = format!("{}: mean and deviation over {}", of.name, over.join(", "));
    let table = of.table.group(&keys, &figures).map_err(raise)?;
    Ok(table.rename("seconds_count", "n").map_err(raise)?.titled(title))
}

/// The line above the progress of a point, taken away when the sweep ends in whatever way.
struct Headline<'a> {
    host: &'a Host,
    outer: Option<String>,
}

impl<'a> Headline<'a> {
    fn new(host: &'a Host) -> Self {
        Self { host, outer: host.headline(Some(String::new())) }
    }
}

impl Drop for Headline<'_> {
    fn drop(&mut self) {
        self.host.headline(self.outer.take());
    }
}

/// How long the points that are left take: `2 min left`; nothing before the first has run.
fn left(spent: f64, ran: usize, left: usize) -> String {
    if ran == 0 {
        return String::new();
    }
    let seconds = spent / ran as f64 * left as f64;
    match seconds.ceil() as u64 {
        n @ 0..120 => format!(" · about {n} s left"),
        n @ 120..7200 => format!(" · about {} min left", n / 60),
        n => format!(" · about {} h {} min left", n / 3600, n % 3600 / 60),
    }
}

/// Options of `sweep`.
pub(super) const SWEEP: OptionList = OptionList::new(
    "sweep",
    &[&[
        KnownOption::open(
            "dir",
            Takes::Path,
            "nothing is kept",
            "a folder, from `--out`, that keeps finished points",
        ),
        KnownOption::new("name", Takes::Text, || "sweep".into(), "the title of its tables"),
        KnownOption::open(
            "by",
            Takes::Other("a parameter, or an array of them"),
            "\"seed\", where there is one",
            "what the summary averages over",
        ),
    ]],
);

fn run(
    ctx: &NativeCallContext,
    of: Dynamic,
    options: Map,
    closure: &FnPtr,
) -> ScriptResult<SweepHandle> {
    let host = host(ctx)?;
    let options = Options::new(&SWEEP, options)?;
    let points = points::points(of)?;
    let mut parameters: Vec<String> =
        points.iter().flat_map(|p| p.keys().map(|k| k.to_string())).collect();
    parameters.sort();
    parameters.dedup();
    let by = match options.value("by") {
        Some(by) if by.is_string() => vec![by.to_string()],
        _ => options
            .texts("by")?
            .unwrap_or_else(|| parameters.iter().filter(|p| *p == "seed").cloned().collect()),
    };
    let name = options.text("name")?.unwrap_or("sweep".into());
    let dir = options.text("dir")?.map(|dir| host.place(&dir));
    // A variable whose method runs just now is locked and cannot be copied: Rhai has told before.
    let captured: Vec<Dynamic> = closure.iter_curry().map(Dynamic::flatten_clone).collect();
    let identity = match &dir {
        Some(_) => identity::of_closure(ctx, closure)?,
        None => String::new(),
    };
    let headline = Headline::new(&host);
    let total = points.len();
    let tick = |done: usize| {
        host.tick(&Progress {
            what: "sweep".into(),
            done: done as u64,
            total: Some(total as u64),
            unit: "points",
            note: String::new(),
        });
    };
    tick(0);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    let (mut spent, mut ran, mut found) = (0.0, 0, 0);
    for (number, point) in points.iter().enumerate() {
        let place = match &dir {
            None => None,
            Some(dir) => {
                let mut text = identity.clone();
                identity::value(ctx, &Dynamic::from_map(point.clone()), &mut text)?;
                Some(store::place(dir, &text))
            }
        };
        if let Some(finished) = place.as_deref().map(store::read).transpose()?.flatten() {
            found += 1;
            done.push((number, finished));
            continue;
        }
        if host.stopping() {
            return Err(interrupted());
        }
        host.headline(Some(format!(
            "{name}: point {} of {total} · {}{}",
            number + 1,
            points::in_words(point),
            left(spent, ran, total - number)
        )));
        tick(number);
        let begun = Instant::now();
        let mut own = closure.clone();
        own.set_curry(captured.iter().cloned());
        let model = host.last_model();
        let result = own
            .call_within_context::<Dynamic>(ctx, (point.clone(),))
            .and_then(|value| points::figures(point, &value));
        host.recall(model);
        let seconds = begun.elapsed().as_secs_f64();
        spent += seconds;
        ran += 1;
        match result {
            Ok(figures) => {
                let finished = Finished { figures, seconds };
                if let Some(place) = &place {
                    store::write(place, point, &finished)?;
                }
                done.push((number, finished));
            }
            Err(error) if is_interrupt(&error) => return Err(error),
            Err(error) => {
                let told = Diagnostic::runtime(
                    &name,
                    "",
                    &error,
                    &Known::functions(&Catalog::new(ctx.engine())),
                );
                let at = told.place.map_or(String::new(), |(line, _)| format!(" (line {line})"));
                host.output().stderr(&format!(
                    "warning: {name}: point {} of {total} ({}) failed: {}{at}\n",
                    number + 1,
                    points::in_words(point),
                    told.message
                ));
                failed.push((number, format!("{}{at}", told.message), told.hint));
            }
        }
    }
    drop(headline);
    if let (Some((_, first, hint)), true) = (failed.first(), done.is_empty()) {
        let hint = hint.as_ref().map_or(String::new(), |hint| format!("; try: {hint}"));
        return Err(fail(format!(
            "all {total} points of the sweep failed; the first: {first}{hint}"
        )));
    }
    let mut said = format!("{name}: {total} points, {ran} run in {spent:.1} s");
    if found > 0 {
        said.push_str(&format!(", {found} finished before"));
    }
    if !failed.is_empty() {
        said.push_str(&format!(", {} failed", failed.len()));
    }
    host.progress_done(&said);
    results(name, parameters, by, &points, done, failed)
}

/// Puts the tables together; rows stand in the order of the points.
fn results(
    name: String,
    parameters: Vec<String>,
    by: Vec<String>,
    points: &[Map],
    done: Vec<(usize, Finished)>,
    failed: Vec<(usize, String, Option<String>)>,
) -> ScriptResult<SweepHandle> {
    let of_points = |numbers: &[usize]| -> Vec<(String, Vec<Cell>)> {
        let cells = |name: &String| {
            let value = |&n: &usize| points[n].get(name.as_str()).map_or(Cell::Null, cell);
            (name.clone(), numbers.iter().map(value).collect())
        };
        parameters.iter().map(cells).collect()
    };
    let numbers: Vec<usize> = done.iter().map(|(number, _)| *number).collect();
    let mut columns = of_points(&numbers);
    let mut names: Vec<&String> = Vec::new();
    for (figure, _) in done.iter().flat_map(|(_, finished)| &finished.figures) {
        if !names.contains(&figure) {
            names.push(figure);
        }
    }
    let mut figures = Vec::new();
    for figure in names {
        let value = |(_, finished): &(usize, Finished)| {
            let found = finished.figures.iter().find(|(name, _)| name == figure);
            found.map_or(Cell::Null, |(_, cell)| cell.clone())
        };
        let cells: Vec<Cell> = done.iter().map(value).collect();
        let number = |cell: &Cell| matches!(cell, Cell::Int(_) | Cell::Float(_) | Cell::Null);
        if cells.iter().all(number) {
            figures.push(figure.clone());
        }
        columns.push((figure.clone(), cells));
    }
    let seconds = done.iter().map(|(_, finished)| Cell::Float(finished.seconds)).collect();
    columns.push(("seconds".into(), seconds));
    let table = Table::of_cells(name.clone(), columns).map_err(raise)?;
    let numbers: Vec<usize> = failed.iter().map(|(number, ..)| *number).collect();
    let mut columns = of_points(&numbers);
    let (errors, hints): (Vec<Cell>, Vec<Cell>) = failed
        .into_iter()
        .map(|(_, error, hint)| (Cell::Text(error), hint.map_or(Cell::Null, Cell::Text)))
        .unzip();
    columns.push(("error".into(), errors));
    columns.push(("try".into(), hints));
    let failures = Table::of_cells(format!("{name}: failures"), columns).map_err(raise)?;
    let results = Results { name, parameters, by, numbers: figures, table, failures };
    if !results.by.is_empty() {
        // A wrong name in `by` is told now, not when the summary is asked for.
        summary(&results, &results.by)?;
    }
    Ok(SweepHandle(Arc::new(results)))
}

/// Sweeps: an experiment over many points.
#[export_module]
mod functions {
    /// Calls a closure for every point and gathers the figures it gives. A map from parameter to array
    /// of values means every combination, the first parameter by name slowest; an array of maps means
    /// itself. The closure gets the point as a map and gives a map of figures: numbers, texts, true or
    /// false. `show` a sweep to see its tables.
    ///
    /// ```rhai
    /// let model = load_model("demo");
    /// let domains = load_domains("demo", #{seq_len: 64, max_tokens: 4000, eval_rows: 2});
    /// let result = sweep(#{seed: [1, 2], layers: [2, 3]}, |p| {
    ///     let cut = model.random_cut(target_shape(#{layers: p.layers}), #{seed: p.seed});
    ///     #{story: cut.loss(domains).story}
    /// });
    /// show(result);
    /// ```
    ///
    /// A point sees nothing of another: it gets copies of the outer variables, and what it assigns to
    /// them stays inside. (Handles of one run lead to that run: fork it inside.) A point that fails is
    /// told and kept apart in `failures()`; the others go on. An interrupt ends the sweep.
    #[rhai_fn(name = "sweep", return_raw)]
    pub fn sweep(
        ctx: NativeCallContext,
        points: Dynamic,
        closure: FnPtr,
    ) -> ScriptResult<SweepHandle> {
        run(&ctx, points, Map::new(), &closure)
    }

    /// Runs a sweep with options.
    ///
    /// ```rhai
    /// let result = sweep(#{seed: [1, 2, 3], power: [1, 2]}, |p| #{value: p.seed ** p.power},
    ///     #{dir: "powers", name: "powers"});
    /// show(result.summary());
    /// ```
    ///
    /// With `dir` a point that is finished there is not run again, also after an interrupt or in
    /// another session. It is run again when its parameters change, or the closure's code, the
    /// functions it calls, the values it captured, or the session's seed. Where the code stands in the
    /// file does not matter.
    #[rhai_fn(name = "sweep", return_raw)]
    pub fn sweep_with(
        ctx: NativeCallContext,
        points: Dynamic,
        closure: FnPtr,
        options: Map,
    ) -> ScriptResult<SweepHandle> {
        run(&ctx, points, options, &closure)
    }

    /// Gives a table with a row a point: parameters, figures, seconds.
    ///
    /// ```rhai
    /// let result = sweep(#{x: [1, 2, 3]}, |p| #{square: p.x * p.x});
    /// print(result.table().column("square"));
    /// ```
    #[rhai_fn(global, name = "table", pure)]
    pub fn table_of(sweep: &mut SweepHandle) -> Table {
        sweep.0.table.clone()
    }

    /// Gives mean and standard deviation (of a sample, n - 1) of every figure over the parameters of
    /// option `by`, with a row for each combination of the others; `n` counts the points.
    ///
    /// ```rhai
    /// let result = sweep(#{seed: [1, 2], x: [1, 2]}, |p| #{y: p.x + p.seed});
    /// show(result.summary());
    /// ```
    #[rhai_fn(global, name = "summary", pure, return_raw)]
    pub fn summary_default(sweep: &mut SweepHandle) -> ScriptResult<Table> {
        if sweep.0.by.is_empty() {
            return Err(fail(format!(
                "this sweep has no parameter `seed` to average over; name one: summary(\"{}\")",
                sweep.0.parameters.first().map_or("", String::as_str)
            )));
        }
        super::summary(&sweep.0, &sweep.0.by)
    }

    /// Gives mean and standard deviation over one parameter.
    ///
    /// ```rhai
    /// let result = sweep(#{run: [1, 2], x: [1, 2]}, |p| #{y: p.x + p.run});
    /// show(result.summary("run"));
    /// ```
    #[rhai_fn(global, name = "summary", pure, return_raw)]
    pub fn summary_over(sweep: &mut SweepHandle, over: &str) -> ScriptResult<Table> {
        super::summary(&sweep.0, &[over.to_string()])
    }

    /// Gives mean and standard deviation over several parameters.
    ///
    /// ```rhai
    /// let result = sweep(#{seed: [1, 2], x: [1, 2]}, |p| #{y: p.x + p.seed});
    /// show(result.summary(["seed", "x"]));
    /// ```
    #[rhai_fn(global, name = "summary", pure, return_raw)]
    pub fn summary_over_all(sweep: &mut SweepHandle, over: Array) -> ScriptResult<Table> {
        let over: Vec<String> = over.into_iter().map(|name| name.to_string()).collect();
        super::summary(&sweep.0, &over)
    }

    /// Gives a table of the points that failed: parameters, error, one thing to try.
    ///
    /// ```rhai
    /// let result = sweep(#{x: [0, 1]}, |p| #{inverse: 1 / p.x});
    /// show(result.failures());
    /// ```
    #[rhai_fn(global, pure)]
    pub fn failures(sweep: &mut SweepHandle) -> Table {
        sweep.0.failures.clone()
    }

    /// Gives the sweep in one line.
    #[rhai_fn(global, name = "to_string", name = "to_debug", pure)]
    pub fn sweep_to_string(sweep: &mut SweepHandle) -> String {
        describe(sweep)
    }
}
