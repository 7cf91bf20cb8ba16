//! Code in, values and diagnostics out.
//!
//! Variables and functions of earlier cells stay: a cell is compiled with the session's scope, and
//! its functions join the library that later cells see.

use std::sync::Arc;

use rhai::{AST, Dynamic, Engine, Scope};

use super::{Diagnostic, Display, Host, HostOptions, Output};
use crate::script;

/// A live session.
pub struct Session {
    rhai: Arc<Engine>,
    scope: Scope<'static>,
    library: AST,
    host: Host,
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
        Self {
            rhai: Arc::new(script::engine(&host)),
            scope: Scope::new(),
            library: AST::empty(),
            host,
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
        let result = self.rhai.eval_ast_with_scope::<Dynamic>(&mut self.scope, &whole);
        // Functions of a cell that failed stay too: they compiled.
        self.library = whole.clone_functions_only();
        match result {
            Ok(value) => Outcome::Value(value),
            Err(error) if is_interrupt(&error) => {
                self.host.progress_done("");
                Outcome::Interrupted
            }
            Err(error) => {
                self.host.progress_done("");
                Outcome::Failed(Diagnostic::runtime(name, code, &error, &self.rhai))
            }
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
