//! The kernels this program can be: what Jupyter calls each, and the file that tells it how to start one.
//!
//! Source: "Making kernels for Jupyter", section "Kernel specs".

use serde_json::{Map, Value, json};

use super::wire::PROTOCOL;

/// One kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The name of its folder; `jupyter console --kernel NAME` uses it.
    pub name: &'static str,
    /// What a front end shows.
    pub title: &'static str,
    /// The language of a cell that names none.
    pub language: &'static str,
    /// Arguments of the program besides `kernel --connection-file FILE`.
    pub arguments: &'static [&'static str],
}

/// Every kernel, the usual one first.
pub const SPECS: &[Spec] = &[
    Spec { name: "woolshed", title: "Woolshed (Rhai)", language: "rhai", arguments: &[] },
    Spec {
        name: "woolshed-rust",
        title: "Woolshed (Rust)",
        language: "rust",
        arguments: &["--rust"],
    },
];

/// The usual kernel.
pub const USUAL: Spec = SPECS[0];

impl Spec {
    /// `kernel.json` for the program at this path.
    pub fn to_json(self, program: &str) -> Value {
        let mut argv = vec![program, "kernel"];
        argv.extend(self.arguments);
        argv.extend(["--connection-file", "{connection_file}"]);
        json!({
            "argv": argv,
            "display_name": self.title,
            "language": self.language,
            "interrupt_mode": "message",
            "kernel_protocol_version": PROTOCOL,
            "metadata": {"debugger": false, "version": env!("CARGO_PKG_VERSION")},
        })
    }

    /// What a notebook of this kernel says of it.
    pub fn metadata(self) -> Map<String, Value> {
        let kernelspec =
            json!({"display_name": self.title, "language": self.language, "name": self.name});
        Map::from_iter([("kernelspec".to_string(), kernelspec)])
    }
}
