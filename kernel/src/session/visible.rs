//! Functions that see the notebook's variables.
//!
//! A function of the language sees its parameters and nothing else. In a notebook people write
//! `fn again() { run.step(10) }` and mean the run above. So the names that functions use without
//! declaring them are looked up among the variables: a function sees and changes them as they are when
//! it is called.
//!
//! The language lends its variables to nobody while it runs. Such a variable is therefore shared, as one
//! that a closure captures is, and code is run statement by statement where there are any: what a
//! statement has declared, functions see from the next one on.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Dynamic, Engine, EvalAltResult, Expr, Scope, Stmt};

use super::Host;

/// The names that functions use and nobody in them declares.
pub(super) fn free_names(functions: &AST) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    functions.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Variable(variable, None, _))) = path.last()
            && variable.0.is_none()
            && variable.2.is_empty()
        {
            names.insert(variable.1.to_string());
        }
        true
    });
    names
}

/// Whether code outside its functions may end early by `return`.
fn may_return(code: &AST) -> bool {
    !AST::new(code.statements().to_vec(), rhai::Module::new())
        .walk(&mut |path| !matches!(path.last(), Some(ASTNode::Stmt(Stmt::Return(..)))))
}

/// Runs code whose functions see the variables of the scope.
pub(super) fn run(
    rhai: &Engine,
    scope: &mut Scope<'static>,
    code: &AST,
    host: &Host,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let functions = code.clone_functions_only();
    let names = free_names(&functions);
    share(&names, scope, host);
    if names.is_empty() || may_return(code) {
        return rhai.eval_ast_with_scope(scope, code);
    }
    let mut last = Dynamic::UNIT;
    for statement in code.statements() {
        let one = AST::new([statement.clone()], functions.shared_lib().clone());
        last = rhai.eval_ast_with_scope(scope, &one)?;
        share(&names, scope, host);
    }
    Ok(last)
}

/// Makes the variables of these names shared, and lets functions find them.
fn share(names: &BTreeSet<String>, scope: &mut Scope<'_>, host: &Host) {
    let mut visible = Vec::new();
    for name in names {
        if let Some(value) = scope.get_mut(name) {
            if !value.is_shared() {
                *value = std::mem::take(value).into_shared();
            }
            visible.push((name.clone(), value.clone()));
        } else if let Some(constant) = scope.get(name) {
            visible.push((name.clone(), constant.clone()));
        }
    }
    host.show_functions(visible);
}

/// Lets the language look up what a function does not declare.
#[expect(deprecated, reason = "Rhai marks what may change between versions as deprecated")]
pub fn resolve(rhai: &mut Engine, host: &Host) {
    let host = host.clone();
    rhai.on_var(move |name, index, context| {
        // An index says where the variable stands: it is declared here.
        if index != 0 || context.scope().contains(name) {
            return Ok(None);
        }
        Ok(host.visible(name))
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::session::{HostOptions, Outcome, Quiet, Session};

    /// Runs cells in one session and gives the last one's value as text.
    fn run(cells: &[&str]) -> String {
        let mut session = Session::new(HostOptions::default(), Arc::new(Quiet));
        let mut last = String::new();
        for (i, cell) in cells.iter().enumerate() {
            last = match session.run(&format!("cell {}", i + 1), cell) {
                Outcome::Value(value) => value.to_string(),
                Outcome::Failed(why) => {
                    format!("{}; {}", why.message, why.hint.unwrap_or_default())
                }
                Outcome::Shown(_) | Outcome::Interrupted => "nothing".into(),
            };
        }
        last
    }

    #[test]
    fn a_function_sees_the_variables_of_the_notebook_as_they_are_when_it_is_called() {
        assert_eq!(run(&["let a = 1; fn f() { a + 1 }", "f()"]), "2");
        assert_eq!(run(&["let a = 1; fn f() { a + 1 } a = 5; f()"]), "6");
        assert_eq!(run(&["fn f() { a }", "let a = 1;", "let a = 2; f()"]), "2");
        assert_eq!(
            run(&["fn f() { g() } fn g() { a.len() }", "let a = [1, 2]; a.push(3);", "f()"]),
            "3"
        );
        assert_eq!(run(&["const A = 7; fn f() { A }", "f()"]), "7");
        assert_eq!(run(&["let k = 2; fn f(x) { [x].map(|y| y * k)[0] }", "f(4)"]), "8");
        assert_eq!(run(&["let a = 1; fn f() { a }", "for i in 0..3 { a += 1; } f()"]), "4");
    }

    #[test]
    fn a_function_changes_variables_of_the_notebook_but_not_those_its_own_names_hide() {
        let own = "let a = 1; fn f(a) { a * 10 } fn g() { let a = 3; a }";
        assert_eq!(run(&[own, "f(2) + g() + a"]), "24");
        assert_eq!(run(&["let a = 1; fn f() { a += 2; }", "f(); f();", "a"]), "5");
        assert_eq!(run(&["let a = [1]; fn f() { a.push(2); }", "f();", "a.len()"]), "2");
        let said = run(&["const A = 1; fn f() { A = 2; }", "f();"]);
        assert!(said.contains("constant"), "{said}");
        let said = run(&["let count = 1; fn f() { cuont }", "f();"]);
        assert_eq!(said, "there is no variable `cuont`; `count`, a variable");
    }

    #[test]
    fn a_return_ends_a_cell_also_where_functions_see_variables() {
        assert_eq!(run(&["let a = 1; fn f() { a }", "if f() == 1 { return 5; } 6"]), "5");
    }

    #[test]
    fn a_run_is_stepped_by_a_function() {
        let cells = [
            "let m = new_model(#{layers: 1, hidden: 16, heads: 2, intermediate: 16});",
            "let run = recover(m, load_domains(\"demo\", #{seq_len: 32, max_tokens: 2000}), #{batch: 1});",
            "fn again() { run.step(1); run.status().step }",
            "again(); again()",
        ];
        assert_eq!(run(&cells), "2");
    }
}
