//! A running JupyterLab: started, waited for, and stopped with its kernels.
//!
//! It runs in a process group of its own, so that Ctrl-C reaches this program alone; that asks the
//! server to shut down by its own door, which works alike on every system.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::files;

/// The first port that is tried when none is named.
const PORT: u16 = 8888;

/// How many ports are tried.
const PORTS: u16 = 100;

/// How long JupyterLab may take to answer, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Somebody listens on the port.
    #[error("port {port} is taken; {}", match free { Some(free) => format!("--port {free} is free"), None => "leave --port out".into() })]
    Taken {
        /// The port.
        port: u16,
        /// One that is free.
        free: Option<u16>,
    },
    /// No port can be had.
    #[error("no port of 127.0.0.1 from {PORT} on can be opened")]
    NoPort,
    /// The program does not start, or its log cannot be written.
    #[error("{}: {source}", path.display())]
    System {
        /// The program or file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The program ended.
    #[error("JupyterLab ended with {status}. The end of its log, {}:\n{said}", log.display())]
    Ended {
        /// How.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines.
        said: String,
    },
    /// It did not answer.
    #[error("JupyterLab did not answer in {} s; its log is {}", PATIENCE.as_secs(), log.display())]
    Silent {
        /// Its log.
        log: PathBuf,
    },
    /// The log or a folder cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
}

/// The port that was asked for, or the first free one.
///
/// # Errors
/// It is taken, or none is free.
pub fn free_port(wanted: Option<u16>) -> Result<u16, ServerError> {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let first = wanted.unwrap_or(PORT);
    let mut free = (first..first.saturating_add(PORTS)).filter(|port| is_free(*port));
    match (wanted, free.next()) {
        (Some(port), free) if free != Some(port) => Err(ServerError::Taken { port, free }),
        (_, Some(port)) => Ok(port),
        (_, None) => Err(ServerError::NoPort),
    }
}

/// What a server is started with.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    /// `jupyter-lab`.
    pub program: &'a Path,
    /// The folder it opens.
    pub folder: &'a Path,
    /// The port it listens on.
    pub port: u16,
    /// Whether it opens a browser.
    pub browser: bool,
    /// The file it opens.
    pub opens: &'a str,
    /// Where kernel and colours stand.
    pub data: &'a Path,
    /// More of Jupyter's configuration.
    pub config: &'a Path,
    /// What it says goes there.
    pub log: &'a Path,
}

/// A running server; it does not outlive this value.
pub struct Server {
    child: Child,
    port: u16,
    token: String,
    opens: String,
    log: PathBuf,
}

impl Server {
    /// Starts JupyterLab.
    ///
    /// # Errors
    /// It does not start, or its log cannot be written.
    pub fn start(start: Start<'_>) -> Result<Self, ServerError> {
        let system = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ServerError::System { path, source }
        };
        let token = Uuid::new_v4().simple().to_string();
        files::make_parent(start.log)?;
        let log = File::create(start.log).map_err(system(start.log))?;
        let also = log.try_clone().map_err(system(start.log))?;
        let mut command = Command::new(start.program);
        command
            .arg(start.folder)
            .arg(format!("--ServerApp.port={}", start.port))
            .args(["--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0"])
            .arg(format!("--LabApp.default_url=/lab/tree/{}", start.opens))
            // Nothing that asks the network of its own.
            .args(["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"])
            .env("JUPYTER_TOKEN", &token)
            .env("JUPYTER_PATH", before(start.data, "JUPYTER_PATH"))
            .env("JUPYTER_CONFIG_PATH", before(start.config, "JUPYTER_CONFIG_PATH"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(also);
        if !start.browser {
            command.arg("--no-browser");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            use std::os::unix::process::CommandExt;
            command.process_group(0);
            // Jupyter refuses to serve the superuser, who has asked for it here.
            if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
                command.arg("--allow-root");
            }
        }
        let child = command.spawn().map_err(system(start.program))?;
        let (port, opens, log) = (start.port, start.opens.to_string(), start.log.to_path_buf());
        Ok(Self { child, port, token, opens, log })
    }

    /// Where a browser finds it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/lab/tree/{}?token={}", self.port, self.opens, self.token)
    }

    /// Waits until it answers, or until `stop`; says whether it answered.
    ///
    /// # Errors
    /// It ended, or did not answer in time.
    pub fn wait_until_it_answers(&mut self, stop: &AtomicBool) -> Result<bool, ServerError> {
        let begin = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            if self.ask("GET", "/api/status").is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")) {
                return Ok(true);
            }
            if self.look()? {
                return Ok(false);
            }
            if begin.elapsed() > PATIENCE {
                return Err(ServerError::Silent { log: self.log.clone() });
            }
            sleep(LOOK);
        }
        Ok(false)
    }

    /// Waits until it ends by itself, or ends it at `stop`.
    ///
    /// # Errors
    /// It ended and says that something was wrong.
    pub fn wait(&mut self, stop: &AtomicBool) -> Result<(), ServerError> {
        while !stop.load(Ordering::SeqCst) {
            if self.look()? {
                return Ok(());
            }
            sleep(LOOK);
        }
        self.stop();
        Ok(())
    }

    /// True when it has ended well.
    fn look(&mut self) -> Result<bool, ServerError> {
        match self.child.try_wait() {
            Ok(None) => Ok(false),
            Ok(Some(status)) if status.success() => Ok(true),
            Ok(Some(status)) => {
                let log = fs::read(&self.log).unwrap_or_default();
                let said = String::from_utf8_lossy(&log).into_owned();
                let last: Vec<&str> = said.trim().lines().rev().take(8).collect();
                let said = last.iter().rev().map(|line| format!("  {line}\n")).collect();
                Err(ServerError::Ended { status, log: self.log.clone(), said })
            }
            Err(source) => Err(ServerError::System { path: self.log.clone(), source }),
        }
    }

    /// Asks it to stop with all its kernels; one that does not listen is killed.
    fn stop(&mut self) {
        // A server that is not up yet has no kernels.
        let asked = self.ask("POST", "/api/shutdown").is_ok();
        let begin = Instant::now();
        while asked && begin.elapsed() < FAREWELL {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            sleep(LOOK);
        }
        // It is gone already or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// One request; gives the reply with its head.
    fn ask(&self, method: &str, path: &str) -> io::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: token {}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.port, self.token
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// A list of paths with one more in front.
fn before(path: &Path, variable: &str) -> OsString {
    let others = env::var_os(variable).filter(|paths| !paths.is_empty());
    let others: Vec<PathBuf> = others.iter().flat_map(env::split_paths).collect();
    let all = std::iter::once(path.to_path_buf()).chain(others);
    // A path that holds the separator cannot be in a list; alone it can.
    env::join_paths(all).unwrap_or_else(|_| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_refused_with_one_that_is_free() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = free_port(Some(port)).unwrap_err();
        let ServerError::Taken { free, .. } = &error else { panic!("{error}") };
        assert!(free.is_none_or(|free| free > port));
        assert!(error.to_string().contains(&format!("port {port} is taken; ")), "{error}");
    }
}
