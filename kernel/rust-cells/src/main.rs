//! Rust cells of Woolshed's notebooks: evcxr in a process of its own.
//!
//! The kernel starts this program and speaks with it over its standard streams. It holds evcxr, which
//! compiles cells; a second process of the same program runs what they compile to. So a crash of a
//! cell costs that second process, and a hang of the compiler costs this one: the models live in the
//! kernel.
//!
//! ```text
//! woolshed ──lines of JSON──> woolshed-rust (evcxr, cargo, rustc) ──> woolshed-rust (code of cells)
//!     ^                                                                        │
//!     └───────────────────────── calls on live handles ────────────────────────┘
//! ```
//!
//! | file | what it is for |
//! |---|---|
//! | `kernel.rs` | the line to the kernel and its messages |
//! | `host.rs` | what the kernel asks, done in order; interrupts at once |
//! | `cells.rs` | evcxr: cells in, endings out |
//! | `report.rs` | compiler errors at the lines of the cell |
//! | `haste.rs` | a context of evcxr without the cell that it begins with |
//! | `library.rs` | the standard library, as rust-analyzer reads it |
//! | `sketch/*.rs` | the shape of its most used part; not compiled |
//! | `template.rs` | a prepared build folder |
//! | `relay.rs` | in the process that runs code: between that code and evcxr |
//! | `markers.rs` | evcxr's markers among what a cell prints |
//! | `frames.rs` | what that process tells this one |
//! | `listener.rs` | hears it and tells the kernel |

mod cells;
mod frames;
mod haste;
mod host;
mod kernel;
mod library;
mod listener;
mod markers;
mod relay;
mod report;
mod template;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Of a process that runs code this is true from its first moment; nothing else may come before.
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some()
        && let Err(error) = relay::install()
    {
        eprintln!("woolshed-rust: {error}");
        return ExitCode::FAILURE;
    }
    evcxr::runtime_hook();
    match std::env::args().nth(1).as_deref() {
        Some("--serve") => match host::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("woolshed-rust: {error}");
                ExitCode::FAILURE
            }
        },
        Some("--prepare") => prepare(),
        Some("--version") => {
            println!("woolshed-rust {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        _ => {
            println!(
                "woolshed-rust {}: the program behind Rust cells in Woolshed's notebooks. The kernel \
                 `woolshed` starts it; there is nothing to do by hand.",
                env!("CARGO_PKG_VERSION")
            );
            ExitCode::SUCCESS
        }
    }
}

/// Makes the template of the folders and the client crate that the arguments name.
fn prepare() -> ExitCode {
    let folders: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let made = match folders.as_slice() {
        [templates, client] => cells::prepare(templates, client),
        _ => Err("--prepare needs the folder of templates and the client crate".to_owned()),
    };
    match made {
        Ok(()) => {
            println!("ready {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("woolshed-rust: {reason}");
            ExitCode::FAILURE
        }
    }
}
