//! What script functions need of the session they run in: output, cancellation, parameters, folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rhai::Dynamic;
use woolshed_engine::model::Model;
use woolshed_engine::progress::{Detail, Progress, Watch};

use super::Output;

/// What a session is started with.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// Where `show` and relative paths of `save_...` write; the working folder when none.
    pub out: Option<PathBuf>,
    /// Values of `param(name, default)`.
    pub params: BTreeMap<String, String>,
    /// The default of every option `seed`.
    pub seed: Option<u64>,
}

/// Shared by a session and the functions it runs. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<State>);

struct State {
    options: HostOptions,
    output: RwLock<Arc<dyn Output>>,
    stop: AtomicBool,
    progress: AtomicBool,
    /// The model loaded last: its tokenizer reads folders of text.
    model: Mutex<Option<Model>>,
    /// The line of a sweep that stands above all progress while it goes on.
    headline: Mutex<Option<String>>,
    /// Parameters a script asked for.
    asked: Mutex<Vec<String>>,
    /// The last thing that long work has told.
    last: Mutex<Option<Progress>>,
    /// Variables of the notebook that functions see.
    visible: Mutex<BTreeMap<String, Dynamic>>,
}

impl Host {
    /// Makes the shared state of a session.
    pub fn new(options: HostOptions, output: Arc<dyn Output>) -> Self {
        Self(Arc::new(State {
            options,
            output: RwLock::new(output),
            stop: AtomicBool::new(false),
            progress: AtomicBool::new(false),
            model: Mutex::new(None),
            headline: Mutex::new(None),
            asked: Mutex::new(Vec::new()),
            last: Mutex::new(None),
            visible: Mutex::new(BTreeMap::new()),
        }))
    }

    /// Sends output elsewhere from now on.
    pub fn set_output(&self, output: Arc<dyn Output>) {
        *self.0.output.write().unwrap_or_else(PoisonError::into_inner) = output;
    }

    /// Where output goes now.
    pub fn output(&self) -> Arc<dyn Output> {
        self.0.output.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks whatever runs to stop at its next boundary.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Takes an earlier request to stop back.
    pub fn clear_stop(&self) {
        self.0.stop.store(false, Ordering::SeqCst);
    }

    /// True while a request to stop stands.
    pub fn stopping(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// The seed of options that name none.
    pub fn seed(&self) -> u64 {
        self.0.options.seed.unwrap_or(17)
    }

    /// The value given for a parameter.
    pub fn param(&self, name: &str) -> Option<String> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_string());
        self.0.options.params.get(name).cloned()
    }

    /// All parameters given.
    pub fn params(&self) -> &BTreeMap<String, String> {
        &self.0.options.params
    }

    /// Parameters that a script asked for.
    pub fn asked_params(&self) -> Vec<String> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Parameters that were given and that no script asked for.
    pub fn unused_params(&self) -> Vec<String> {
        let asked = self.asked_params();
        self.0.options.params.keys().filter(|name| !asked.contains(name)).cloned().collect()
    }

    /// The folder displays are written to, if there is one.
    pub fn out(&self) -> Option<&Path> {
        self.0.options.out.as_deref()
    }

    /// Where a path given to a `save` function leads: relative paths start at `--out`.
    pub fn place(&self, path: &str) -> PathBuf {
        match self.out() {
            Some(out) => out.join(path),
            None => PathBuf::from(path),
        }
    }

    /// Remembers the model loaded last.
    pub fn remember(&self, model: &Model) {
        crate::pages::usual();
        *self.0.model.lock().unwrap_or_else(PoisonError::into_inner) = Some(model.clone());
    }

    /// The model loaded last.
    pub fn last_model(&self) -> Option<Model> {
        self.0.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets the variables of the notebook that functions see.
    pub fn show_functions(&self, variables: Vec<(String, Dynamic)>) {
        *self.0.visible.lock().unwrap_or_else(PoisonError::into_inner) =
            variables.into_iter().collect();
    }

    /// A variable of the notebook, as functions see it.
    pub fn visible(&self, name: &str) -> Option<Dynamic> {
        self.0.visible.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Makes `model` the model loaded last, as it was before a point of a sweep.
    pub fn recall(&self, model: Option<Model>) {
        *self.0.model.lock().unwrap_or_else(PoisonError::into_inner) = model;
    }

    /// Puts a line above all progress, or takes it away. While one stands, the work below it ends
    /// without a word of its own. Gives the line that stood before.
    pub fn headline(&self, line: Option<String>) -> Option<String> {
        let mut headline = self.0.headline.lock().unwrap_or_else(PoisonError::into_inner);
        self.output().headline(line.as_deref().unwrap_or_default());
        std::mem::replace(&mut headline, line)
    }

    /// Forgets what long work has told so far.
    pub fn forget_work(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The last thing that long work has told since [`Host::forget_work`]: `prune, 120 of 300 steps`.
    pub fn last_work(&self) -> Option<String> {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|p| match p.total {
            Some(total) => format!("{}, {} of {total} {}", p.what, p.done, p.unit),
            None => format!("{}, {} {}", p.what, p.done, p.unit),
        })
    }

    /// Ends the progress line of the work that just ended, if it drew one.
    pub fn progress_done(&self, summary: &str) {
        if self.is_over() {
            self.output().progress_done(summary);
        }
        // Work that an interrupt ends is not done: where it stood is told.
        if !self.stopping() {
            self.forget_work();
        }
    }

    /// The same, and leaves what was to see at its end.
    pub fn progress_done_with(&self, summary: &str, detail: &dyn Fn() -> Detail) {
        if self.is_over() {
            self.output().progress_done_with(summary, detail);
        }
    }

    /// Whether work that just ended has a word to say: it reported, and nothing stands above it.
    fn is_over(&self) -> bool {
        self.0.headline.lock().unwrap_or_else(PoisonError::into_inner).is_none()
            && self.0.progress.swap(false, Ordering::SeqCst)
    }
}

impl Watch for Host {
    fn tick(&self, progress: &Progress) {
        self.0.progress.store(true, Ordering::SeqCst);
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress.clone());
        self.output().progress(progress);
    }

    fn tick_with(&self, progress: &Progress, detail: &dyn Fn() -> Detail) {
        self.0.progress.store(true, Ordering::SeqCst);
        self.output().progress_with(progress, detail);
    }

    fn stop_requested(&self) -> bool {
        self.stopping()
    }
}
