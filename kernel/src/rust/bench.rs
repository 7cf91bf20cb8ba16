//! The session's variables and functions, within reach of calls from Rust.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rhai::{AST, Dynamic, Engine, Scope};
use woolshed_engine::names::nearest;

use crate::script::help::Catalog;
use crate::session::{Diagnostic, Host, Known, is_interrupt};

/// Why a call has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// In words, with one thing to try.
    Failed(String),
    /// The user stopped it.
    Interrupted,
}

/// What the bridge works on.
pub struct Bench {
    rhai: Arc<Engine>,
    host: Host,
    lent: Mutex<Lent>,
}

/// What the session lends while a Rust cell runs.
#[derive(Default)]
struct Lent {
    /// The variables; none between cells.
    scope: Option<Scope<'static>>,
    /// The functions that Rhai cells have defined.
    library: Option<AST>,
    /// Calls that were made before, compiled.
    calls: HashMap<(String, bool, usize), Arc<AST>>,
}

impl Bench {
    /// The bench of a session.
    pub fn new(rhai: Arc<Engine>, host: Host) -> Self {
        Self { rhai, host, lent: Mutex::default() }
    }

    fn lent(&self) -> MutexGuard<'_, Lent> {
        // A panic elsewhere leaves what is lent whole: every change is one assignment.
        self.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays the session's variables and functions out.
    pub fn lend(&self, scope: Scope<'static>, library: AST) {
        let mut lent = self.lent();
        lent.scope = Some(scope);
        lent.library = Some(library);
        lent.calls.clear();
    }

    /// Takes the variables back.
    pub fn take_back(&self) -> Option<Scope<'static>> {
        self.lent().scope.take()
    }

    /// Whether the user wants the cell to stop.
    pub fn stopping(&self) -> bool {
        self.host.stopping()
    }

    /// The type of a value, as scripts name it.
    pub fn kind(&self, value: &Dynamic) -> String {
        crate::script::reference::script_type(self.rhai.map_type_name(value.type_name()))
    }

    /// The variable `name`.
    pub fn named(&self, name: &str) -> Result<Dynamic, CallError> {
        let lent = self.lent();
        let Some(scope) = &lent.scope else { return Err(no_cell()) };
        scope.get_value::<Dynamic>(name).map(Dynamic::flatten).ok_or_else(|| {
            let near = nearest(name, scope.iter_raw().map(|(name, ..)| name));
            let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            CallError::Failed(format!("Rhai cells have no variable `{name}`{hint}"))
        })
    }

    /// Makes `name` the name of a value.
    pub fn bind(&self, name: &str, value: Dynamic) -> Result<(), CallError> {
        if !is_name(name) || self.rhai.compile(format!("let {name} = 1;")).is_err() {
            return Err(CallError::Failed(format!("`{name}` cannot be the name of a variable")));
        }
        let mut lent = self.lent();
        let Some(scope) = &mut lent.scope else { return Err(no_cell()) };
        if scope.is_constant(name) == Some(true) {
            return Err(CallError::Failed(format!("`{name}` is a constant of a Rhai cell")));
        }
        scope.set_or_push(name, value);
        Ok(())
    }

    /// Calls a function, or reads a property of the first argument.
    pub fn call(
        &self,
        name: &str,
        property: bool,
        arguments: Vec<Dynamic>,
    ) -> Result<Dynamic, CallError> {
        if self.stopping() {
            return Err(CallError::Interrupted);
        }
        let ast = self.compiled(name, property, arguments.len())?;
        let mut scope = Scope::new();
        for (i, argument) in arguments.into_iter().enumerate() {
            scope.push_dynamic(format!("a{i}"), argument);
        }
        // The variables of the session are not locked here: a call may take minutes.
        let result = self.rhai.eval_ast_with_scope::<Dynamic>(&mut scope, &ast);
        result.map_err(|error| {
            if is_interrupt(&error) {
                return CallError::Interrupted;
            }
            let said =
                Diagnostic::runtime(name, "", &error, &Known::functions(&Catalog::new(&self.rhai)));
            let hint = said.hint.map_or(String::new(), |hint| format!(" ({hint})"));
            CallError::Failed(format!("{}{hint}", said.message))
        })
    }

    fn compiled(&self, name: &str, property: bool, count: usize) -> Result<Arc<AST>, CallError> {
        let key = (name.to_string(), property, count);
        let mut lent = self.lent();
        if let Some(ast) = lent.calls.get(&key) {
            return Ok(ast.clone());
        }
        let wrong = || CallError::Failed(format!("`{name}` is no name of a function"));
        if !is_name(name) {
            return Err(wrong());
        }
        let list: Vec<String> = (0..count).map(|i| format!("a{i}")).collect();
        let code =
            if property { format!("a0.{name}") } else { format!("{name}({})", list.join(", ")) };
        let call = self.rhai.compile(code).map_err(|_| wrong())?;
        let ast = Arc::new(lent.library.as_ref().map_or(call.clone(), |l| l.merge(&call)));
        lent.calls.insert(key, ast.clone());
        Ok(ast)
    }

    /// The forms a value is shown in.
    pub fn forms(&self, value: &Dynamic) -> Result<crate::session::Display, CallError> {
        crate::script::display(value).map_err(|e| CallError::Failed(e.to_string()))
    }
}

fn no_cell() -> CallError {
    CallError::Failed("the variables of Rhai cells can be reached while a Rust cell runs".into())
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
