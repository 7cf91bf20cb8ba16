//! What the tests over real sockets share.

pub mod client;
pub mod notebook;
