//! Code in, values and diagnostics out.
//!
//! Variables and functions of earlier cells stay: a cell is compiled with the session's scope, and
//! its functions join the library that later cells see.

use std::sync::{Arc, OnceLock};

use rhai::{AST, Dynamic, Engine, Scope};

use super::known::{Known, keys_of};
use super::visible;
use super::{Diagnostic, Display, Host, HostOptions, Output};
use crate::script::{self, help::Catalog, reference};

/// A live session.
pub struct Session {
    rhai: Arc<Engine>,
    scope: Scope<'static>,
    library: AST,
    host: Host,
    catalog: Arc<OnceLock<Catalog>>,
    /// Where the last interrupt stopped the code: line, and work.
    stopped: Vec<String>,
}

/// How a piece of code ended.
#[derive(Debug)]
pub enum Outcome {
    /// It ran to its end, with the value of its last expression.
    Value(Dynamic),
    /// It ran to its end with something to show that is no script value.
    Shown(Box<Display>),
    /// It failed.
    Failed(Diagnostic),
    /// It was stopped from outside.
    Interrupted,
}

impl Session {
    /// Starts a session.
    pub fn new(options: HostOptions, output: Arc<dyn Output>) -> Self {
        let host = Host::new(options, output);
        let mut rhai = script::engine(&host);
        visible::resolve(&mut rhai, &host);
        Self {
            rhai: Arc::new(rhai),
            scope: Scope::new(),
            library: AST::empty(),
            host,
            catalog: Arc::default(),
            stopped: Vec::new(),
        }
    }

    /// What its script functions share.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The language with its functions.
    pub fn rhai(&self) -> &Arc<Engine> {
        &self.rhai
    }

    /// Every function described, made when it is asked for the first time.
    pub fn catalog(&self) -> &Arc<OnceLock<Catalog>> {
        &self.catalog
    }

    /// Where the last interrupt stopped the code: `cell 3, line 2: prune, 120 of 300 steps`.
    pub fn stopped_at(&self) -> String {
        self.stopped.join(": ")
    }

    /// The functions that cells have defined.
    pub fn library(&self) -> &AST {
        &self.library
    }

    /// The variables.
    pub fn scope(&self) -> &Scope<'static> {
        &self.scope
    }

    /// Lends the variables, and gives a copy of the functions that cells defined. Until
    /// [`Session::take_back`] the session has no variables.
    pub fn lend(&mut self) -> (Scope<'static>, AST) {
        (std::mem::take(&mut self.scope), self.library.clone())
    }

    /// Takes the variables back.
    pub fn take_back(&mut self, scope: Scope<'static>) {
        self.scope = scope;
    }

    /// Runs code that people call `name`: a file, or `cell 3`.
    pub fn run(&mut self, name: &str, code: &str) -> Outcome {
        let ast = match self.rhai.compile_with_scope(&self.scope, code) {
            Ok(ast) => ast,
            Err(error) => return Outcome::Failed(Diagnostic::syntax(name, code, &error)),
        };
        let whole = self.library.merge(&ast);
        self.host.forget_work();
        self.stopped.clear();
        let result = visible::run(&self.rhai, &mut self.scope, &whole, &self.host);
        // Functions of a cell that failed stay too: they compiled.
        self.library = whole.clone_functions_only();
        self.forget_hidden();
        match result {
            Ok(value) => Outcome::Value(value),
            Err(error) if is_interrupt(&error) => {
                let line = super::diagnostic::innermost(&error).1.line();
                let place = line.map(|line| format!("{name}, line {line}"));
                self.stopped = [place, self.host.last_work()].into_iter().flatten().collect();
                self.host.progress_done("");
                Outcome::Interrupted
            }
            Err(error) => {
                self.host.progress_done("");
                let known = Known {
                    catalog: self.catalog.get_or_init(|| Catalog::new(&self.rhai)),
                    defined: reference::defined(&self.library),
                    variables: self.scope.iter_raw().map(|(name, ..)| name).collect(),
                    keys: self.scope.iter_raw().flat_map(|(_, _, v)| keys_of(v)).collect(),
                };
                Outcome::Failed(Diagnostic::runtime(name, code, &error, &known))
            }
        }
    }
}

impl Session {
    /// Drops variables that a later `let` of the same name hides. A notebook runs its cells again and
    /// again, and a model that nobody can reach would stay in memory.
    fn forget_hidden(&mut self) {
        let mut names: Vec<&str> = self.scope.iter_raw().map(|(name, ..)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        if names.len() == all {
            return;
        }
        let mut kept: Vec<(String, Dynamic)> = Vec::with_capacity(names.len());
        let entries: Vec<_> = std::mem::take(&mut self.scope).into_iter().collect();
        for (name, value, _) in entries.into_iter().rev() {
            if !kept.iter().any(|(known, _)| *known == name) {
                kept.push((name, value));
            }
        }
        for (name, value) in kept.into_iter().rev() {
            self.scope.push_dynamic(name, value);
        }
    }
}

/// True for an error that stands for a stop from outside.
pub(crate) fn is_interrupt(error: &rhai::EvalAltResult) -> bool {
    use rhai::EvalAltResult::{ErrorInFunctionCall, ErrorTerminated};
    match error {
        ErrorTerminated(..) => true,
        ErrorInFunctionCall(_, _, inner, _) => is_interrupt(inner),
        _ => false,
    }
}
