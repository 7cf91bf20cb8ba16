//! What data files hold, bit by bit: shards and token files, read without trust and written whole.
//!
//! | file | what it is for |
//! |---|---|
//! | `fault.rs` | what can be wrong with a shard, a token file, an index |
//! | `map.rs` | a file as bytes in memory, paged in by the system |
//! | `hashes.rs` | the named hashes an index may carry |
//! | `ids.rs` | bytes to token ids, checked against the vocabulary |
//! | `mds/` | MosaicML's shard format, version 2 |
//! | `tokens.rs` | token files of our own: one header, one array, one table of checksums |
//! | `tokens_write.rs` | token files, written as the tokens come |
//! | `parquet.rs` | documents out of a parquet column: text or lists of ids |

pub(crate) mod fault;
mod hashes;
pub(crate) mod ids;
mod map;
pub(crate) mod mds;
pub(crate) mod parquet;
pub(crate) mod tokens;
pub(crate) mod tokens_write;
