//! The connection file: where a front end wants the kernel to listen.
//!
//! Five ports, a transport and a key, written by the front end before it starts the kernel. With
//! `tcp` an endpoint is `tcp://IP:PORT`; with `ipc` the field `ip` is a path and the endpoint
//! `ipc://PATH-PORT`. Unknown fields are ignored: every front end adds its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::JupyterError;

/// Where to listen, and the key that signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Endpoint for requests that run or look at code.
    pub shell: String,
    /// Endpoint for broadcasts.
    pub iopub: String,
    /// Endpoint for questions to the user.
    pub stdin: String,
    /// Endpoint for interrupt and shutdown.
    pub control: String,
    /// Endpoint for signs of life.
    pub heartbeat: String,
    /// The key of the signatures; empty means unsigned.
    pub key: String,
}

/// The file as it is written.
#[derive(Deserialize)]
struct File {
    #[serde(default = "tcp")]
    transport: String,
    ip: String,
    shell_port: u16,
    iopub_port: u16,
    stdin_port: u16,
    control_port: u16,
    hb_port: u16,
    #[serde(default)]
    key: String,
    #[serde(default)]
    signature_scheme: String,
}

fn tcp() -> String {
    "tcp".to_owned()
}

impl Connection {
    /// Reads a connection file.
    ///
    /// # Errors
    /// The file cannot be read, is no connection file, or asks for an unknown transport or signature.
    pub fn read(path: &Path) -> Result<Self, JupyterError> {
        let text = fs::read_to_string(path)
            .map_err(|source| JupyterError::ReadConnection { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, JupyterError> {
        let file: File = serde_json::from_str(text)
            .map_err(|source| JupyterError::ParseConnection { path: path.to_owned(), source })?;
        let unknown = |field, value: &str, known| JupyterError::UnknownConnection {
            path: path.to_owned(),
            field,
            value: value.to_owned(),
            known,
        };
        let signed = !file.key.is_empty();
        if signed && !matches!(file.signature_scheme.as_str(), "" | "hmac-sha256") {
            return Err(unknown("signature_scheme", &file.signature_scheme, "hmac-sha256"));
        }
        let endpoint = |port: u16| match file.transport.as_str() {
            "tcp" => Ok(format!("tcp://{}:{port}", host(&file.ip))),
            "ipc" if cfg!(unix) => Ok(format!("ipc://{}-{port}", file.ip)),
            other => Err(unknown("transport", other, "tcp, and ipc on Unix")),
        };
        Ok(Self {
            shell: endpoint(file.shell_port)?,
            iopub: endpoint(file.iopub_port)?,
            stdin: endpoint(file.stdin_port)?,
            control: endpoint(file.control_port)?,
            heartbeat: endpoint(file.hb_port)?,
            key: file.key,
        })
    }

    /// Content of `connect_reply`: the number of each socket.
    pub fn ports(&self) -> Value {
        // A port stands behind `:`, the number of a socket file behind `-`.
        let port = |endpoint: &str| {
            let number = endpoint.rsplit([':', '-']).next().and_then(|n| n.parse::<u16>().ok());
            number.unwrap_or_default()
        };
        json!({
            "status": "ok",
            "shell_port": port(&self.shell),
            "iopub_port": port(&self.iopub),
            "stdin_port": port(&self.stdin),
            "control_port": port(&self.control),
            "hb_port": port(&self.heartbeat),
        })
    }

    /// The socket files of an `ipc` connection; none with `tcp`.
    pub fn socket_files(&self) -> Vec<PathBuf> {
        [&self.shell, &self.iopub, &self.stdin, &self.control, &self.heartbeat]
            .into_iter()
            .filter_map(|endpoint| endpoint.strip_prefix("ipc://"))
            .map(PathBuf::from)
            .collect()
    }
}

/// The host part of an endpoint: every interface for `*`, brackets round an IPv6 address.
fn host(ip: &str) -> String {
    match ip {
        "*" => "0.0.0.0".to_owned(),
        ip if ip.contains(':') && !ip.starts_with('[') => format!("[{ip}]"),
        ip => ip.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(ip: &str, transport: &str, scheme: &str) -> Result<Connection, JupyterError> {
        let text = format!(
            r#"{{"ip":"{ip}","transport":"{transport}","key":"k","signature_scheme":"{scheme}",
                "shell_port":1,"iopub_port":2,"stdin_port":3,"control_port":4,"hb_port":5,
                "kernel_name":"woolshed","jupyter_session":"/a.ipynb"}}"#
        );
        Connection::parse(&text, Path::new("kernel.json"))
    }

    #[test]
    fn tcp_and_ipc_endpoints_have_the_forms_jupyter_uses() {
        let tcp = parse("127.0.0.1", "tcp", "hmac-sha256").unwrap();
        assert_eq!(tcp.shell, "tcp://127.0.0.1:1");
        assert_eq!(tcp.heartbeat, "tcp://127.0.0.1:5");
        assert!(tcp.socket_files().is_empty());
        assert_eq!(
            (tcp.ports()["shell_port"].as_u64(), tcp.ports()["hb_port"].as_u64()),
            (Some(1), Some(5))
        );
        assert_eq!(parse("::1", "tcp", "").unwrap().iopub, "tcp://[::1]:2");
        assert_eq!(parse("*", "tcp", "").unwrap().control, "tcp://0.0.0.0:4");
        #[cfg(unix)]
        {
            let ipc = parse("/run/kernel", "ipc", "hmac-sha256").unwrap();
            assert_eq!(ipc.stdin, "ipc:///run/kernel-3");
            assert_eq!(ipc.socket_files()[0], Path::new("/run/kernel-1"));
        }
    }

    #[test]
    fn an_unknown_transport_or_scheme_is_named() {
        let error = parse("x", "pgm", "").unwrap_err().to_string();
        assert!(error.contains("transport \"pgm\""), "{error}");
        let error = parse("x", "tcp", "hmac-md5").unwrap_err().to_string();
        assert!(error.contains("signature_scheme \"hmac-md5\""), "{error}");
    }

    #[test]
    fn a_missing_file_or_field_is_named() {
        let error = Connection::read(Path::new("no-such-file.json")).unwrap_err().to_string();
        assert!(error.contains("no-such-file.json"), "{error}");
        let error = Connection::parse("{\"ip\":\"x\"}", Path::new("k.json")).unwrap_err();
        assert!(error.to_string().contains("shell_port"), "{error}");
    }
}
