//! A stand-in for the hub, for tests: a small web server on 127.0.0.1.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A stand-in for the hub on 127.0.0.1. It serves the files of a folder as the model and the data set
/// `org/tiny` at `main` and at its commit, in ranges, with the headers hf-hub needs; safetensors by way of a redirect,
/// as the real hub does. Other repositories answer 401, other files 404. Its thread ends with the
/// process.
pub(crate) struct StandIn {
    pub(crate) endpoint: String,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Sound,
    /// Says that files are one byte longer than they are.
    Short,
    /// Sends the first half of a file and then nothing more.
    Silent,
    /// Sends a file 64 bytes at a time, every 5 ms.
    Slow,
}

impl StandIn {
    pub(crate) fn start(files: &Path, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (files, log, base) = (files.to_path_buf(), requests.clone(), endpoint.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (files, log, base) = (files.clone(), log.clone(), base.clone());
                std::thread::spawn(move || answer(stream.unwrap(), &files, &log, &base, manner));
            }
        });
        Self { endpoint, requests }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &Path,
    log: &Mutex<Vec<String>>,
    base: &str,
    manner: Manner,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    let mut range = String::new();
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("range: bytes=") {
            range = value.to_string();
        }
    }
    let path = request.split(' ').nth(1).unwrap().to_string();
    log.lock().unwrap().push(format!("{path} {range}"));
    let revision = |path: &str| path == "main" || path == COMMIT;
    if let Some(at) = path.strip_prefix("/api/datasets/org/tiny/revision/") {
        let mut names = Vec::new();
        walk(files, "", &mut names);
        let siblings: Vec<_> =
            names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let body = serde_json::json!({ "sha": COMMIT, "siblings": siblings }).to_string();
        let (status, body) =
            if revision(at) { ("200 OK", body) } else { ("404 Not Found", String::new()) };
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n");
        let _ = write!(stream, "{head}Content-Type: application/json\r\n\r\n{body}");
        return;
    }
    let plain = path.strip_prefix("/datasets").unwrap_or(&path);
    let resolved = plain.strip_prefix("/org/tiny/resolve/").and_then(|rest| {
        let (at, name) = rest.split_once('/')?;
        revision(at).then_some(name)
    });
    let (name, redirect) = match (resolved, path.strip_prefix("/content/")) {
        (Some(name), _) => (name, name.ends_with(".safetensors")),
        (None, Some(name)) => (name, false),
        (None, None) => {
            let _ = write!(stream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
            return;
        }
    };
    let Ok(content) = std::fs::read(files.join(name)) else {
        let _ = write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        return;
    };
    let names = format!("x-repo-commit: {COMMIT}\r\netag: \"tag-{}\"\r\n", name.replace('/', "-"));
    if redirect {
        let place = format!("Location: {base}/content/{name}\r\n");
        let _ = write!(stream, "HTTP/1.1 302 Found\r\n{names}{place}Content-Length: 0\r\n\r\n");
        return;
    }
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = to.parse::<usize>().map_or(content.len(), |last| last + 1);
    let size = content.len() + usize::from(manner == Manner::Short);
    let _ = write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\n{names}Content-Range: bytes {from}-{}/{size}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        to - 1,
        to - from
    );
    if manner == Manner::Silent && to - from > 1 {
        let _ = stream.write_all(&content[from..from + (to - from) / 2]);
        let _ = stream.flush();
        std::thread::sleep(Duration::from_secs(20));
        return;
    }
    if manner == Manner::Slow {
        for part in content[from..to].chunks(64) {
            // A caller that went away has closed the stream.
            if stream.write_all(part).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        return;
    }
    let _ = stream.write_all(&content[from..to]);
}

fn walk(dir: &Path, before: &str, names: &mut Vec<String>) {
    for entry in dir.read_dir().unwrap().map(Result::unwrap) {
        let name = format!("{before}{}", entry.file_name().display());
        match entry.path().is_dir() {
            true => walk(&entry.path(), &format!("{name}/"), names),
            false => names.push(name),
        }
    }
}

/// A proxy in the environment would stand between the test and its stand-in.
pub(crate) fn behind_a_proxy() -> bool {
    let names =
        ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];
    let behind = names.iter().any(|name| std::env::var_os(name).is_some());
    if behind {
        println!("skipped: the environment sets a proxy");
    }
    behind
}
