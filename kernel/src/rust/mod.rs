//! Rust cells: a process of their own, and the bridge over which they reach the live handles.
//!
//! ```text
//!            lines of JSON                       LOAD_AND_RUN
//! cell ──> process ───────────> woolshed-rust ─────────────────> code of the cell
//!            ^ what it says       (evcxr, rustc)                        │ calls
//! session <── calls <────────────── bridge <──────── Unix socket ───────┘
//! ```
//!
//! A call runs the same script function that a Rhai cell would, on the same handles. While a Rust cell
//! runs, the variables of the session lie on the bench, where calls find them by name.
//!
//! | file | what it is for |
//! |---|---|
//! | `cells.rs` | Rust cells as the session runs them |
//! | `process.rs` | the program `woolshed-rust`: found, started, spoken with |
//! | `bench.rs` | the session's variables and functions, within reach of calls |
//! | `bridge.rs` | the socket, the token, a thread for every connection |
//! | `calls.rs` | one request and its answer |
//! | `wire.rs` | script values as bytes |
//! | `client.rs` | the client crate, put in place |
//! | `proxies.rs` | the part of the client crate that is made from the script functions |
//! | `unfinished.rs` | whether Rust code waits for more lines |
//! | `error.rs` | why there are no Rust cells |

mod bench;
mod bridge;
mod calls;
mod cells;
mod client;
mod error;
mod process;
#[cfg(test)]
mod proxies;
mod unfinished;
mod wire;

pub use cells::RustCells;
pub use error::RustError;
