//! `woolshed`: scripts, a REPL and a Jupyter kernel over live handles of the pruning engine.

mod cli;
mod files;
mod jupyter;
mod notebook;
mod pages;
mod rust;
mod script;
mod session;
mod streams;

/// Keeps its pages: a training step allocates the same sizes again and again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
