//! A person runs scripts: what they get, what they are told when something is wrong, and what stays
//! on the disk.
//!
//! | file | what it is about |
//! |---|---|
//! | `ablations.rs` | the ablations of `scripts/`, quickly |
//! | `branches.rs` | edits, forks, ways back, folders, comparisons |
//! | `bad_input.rs` | broken files and options: file, field and place are named, nothing is half-written |
//! | `errors.rs` | where an error is, and what to try |
//! | `install.rs` | install, uninstall, doctor, lab: the program and Jupyter |
//! | `mixture.rs` | bounds, closures as rules, references, what-if |
//! | `notebooks.rs` | notebooks without a front end, scripts with cells, one made of the other |
//! | `prepare.rs` | text to tokens on the disk; the names that documents and tokens go by |
//! | `results.rs` | parameters, seeds, values, files and charts |
//! | `process.rs` | exit codes, interrupts, the time `--help` takes |
//! | `replay.rs` | the script of a run makes it again, to the hash |
//! | `remote.rs` | data of the hub, from a cache that holds it |
//! | `reference.rs` | the reference page and its examples |
//! | `sweep.rs` | an experiment over many points |
//! | `tables.rs` | tables from tables |

#[path = "support/command.rs"]
mod command;

#[path = "scripts/ablations.rs"]
mod ablations;
#[path = "scripts/bad_input.rs"]
mod bad_input;
#[path = "scripts/branches.rs"]
mod branches;
#[path = "scripts/errors.rs"]
mod errors;
#[path = "scripts/install.rs"]
mod install;
#[path = "scripts/mixture.rs"]
mod mixture;
#[path = "scripts/notebooks.rs"]
mod notebooks;
#[path = "scripts/prepare.rs"]
mod prepare;
#[path = "scripts/process.rs"]
mod process;
#[path = "scripts/reference.rs"]
mod reference;
#[path = "scripts/remote.rs"]
mod remote;
#[path = "scripts/replay.rs"]
mod replay;
#[path = "scripts/results.rs"]
mod results;
#[path = "scripts/sweep.rs"]
mod sweep;
#[path = "scripts/tables.rs"]
mod tables;
