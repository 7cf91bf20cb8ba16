//! What can go wrong between a front end and the kernel.
//!
//! A [`JupyterError`] ends the kernel and is shown where it was started. A [`WireError`] concerns one
//! message: it is logged and the kernel goes on.

use std::io;
use std::path::PathBuf;

/// Why the kernel cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum JupyterError {
    /// The connection file cannot be read.
    #[error(
        "cannot read the connection file {}: {source}. A front end writes it and passes its path; \
         start the kernel from Jupyter, or pass a file that exists",
        path.display()
    )]
    ReadConnection {
        /// The file as it was given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },

    /// The connection file is not the JSON object that Jupyter writes.
    #[error(
        "the connection file {} is not a Jupyter connection file: {source}. It needs ip, transport, \
         key and the five ports shell_port, iopub_port, stdin_port, control_port, hb_port",
        path.display()
    )]
    ParseConnection {
        /// The file as it was given.
        path: PathBuf,
        /// Where and what JSON found.
        source: serde_json::Error,
    },

    /// The connection file asks for something this kernel does not speak.
    #[error(
        "the connection file {} has {field} \"{value}\"; this kernel speaks {known}",
        path.display()
    )]
    UnknownConnection {
        /// The file as it was given.
        path: PathBuf,
        /// `transport` or `signature_scheme`.
        field: &'static str,
        /// What stands there.
        value: String,
        /// What may stand there.
        known: &'static str,
    },

    /// A socket cannot be opened.
    #[error(
        "cannot listen on {endpoint} for {socket}: {reason}. Another program may hold the port; \
         start the kernel again to get a new one"
    )]
    Bind {
        /// `shell`, `iopub`, `stdin`, `control` or `heartbeat`.
        socket: &'static str,
        /// The address in ZeroMQ's form.
        endpoint: String,
        /// What the socket library reports.
        reason: String,
    },

    /// The system gives no thread or runtime.
    #[error("cannot start the {what}: {source}")]
    Start {
        /// What was being started.
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
}

/// Why one message is dropped.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The frame `<IDS|MSG>` that ends the identities is missing.
    #[error("no <IDS|MSG> frame among {frames} frames")]
    NoDelimiter {
        /// How many frames came.
        frames: usize,
    },

    /// Fewer frames than a signature and four JSON objects.
    #[error("{got} frames after <IDS|MSG>, at least 5 are needed")]
    TooFewFrames {
        /// How many frames came after the delimiter.
        got: usize,
    },

    /// The signature does not fit the key of the connection file.
    #[error("the signature is wrong: the sender has another key")]
    BadSignature,

    /// A frame is not a JSON object.
    #[error("the {frame} frame is not a JSON object: {source}")]
    BadJson {
        /// `header`, `parent_header`, `metadata` or `content`.
        frame: &'static str,
        /// Where and what JSON found.
        source: serde_json::Error,
    },

    /// The header names no message type.
    #[error("the header has no msg_type")]
    NoType,
}
