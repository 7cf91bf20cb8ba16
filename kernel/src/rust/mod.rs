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
//! | `stream.rs` | a socket file, or the loopback |
//! | `calls.rs` | one request and its answer |
//! | `wire.rs` | script values as bytes |
//! | `client.rs` | the client crate, put in place |
//! | `prepare.rs` | what is in the user's cache: made early, cleared late |
//! | `proxies.rs` | the part of the client crate that is made from the script functions |
//! | `unfinished.rs` | whether Rust code waits for more lines |
//! | `error.rs` | why there are no Rust cells |

mod bench;
mod bridge;
mod calls;
mod cells;
mod client;
mod error;
mod prepare;
mod process;
#[cfg(test)]
mod proxies;
mod stream;
mod unfinished;
mod wire;

pub use cells::RustCells;
pub use error::RustError;
pub use prepare::prepare;
pub use process::find;
