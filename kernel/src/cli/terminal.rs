//! A session's output on a terminal: streams as they are, tables as text, charts as files, one live
//! line of progress.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use woolshed_engine::progress::Progress;

use crate::files;
use crate::session::{Display, Output, Unanswered};
use crate::streams::{self, tell};

/// Where no terminal shows the live line, a line is printed this often.
const QUIET_INTERVAL: Duration = Duration::from_secs(10);

/// How often a question looks whether it was stopped.
const LOOK: Duration = Duration::from_millis(20);

/// Says nothing.
pub struct Silent;

impl Output for Silent {
    fn stdout(&self, _: &str) {}
    fn stderr(&self, _: &str) {}
    fn display(&self, _: &Display) {}
    fn progress(&self, _: &Progress) {}
    fn progress_done(&self, _: &str) {}
}

/// A terminal, and a folder for charts.
pub struct Terminal {
    out: PathBuf,
    live: bool,
    bar: Mutex<Option<ProgressBar>>,
    said: Mutex<Instant>,
    headline: Mutex<String>,
    names: Mutex<std::collections::BTreeMap<String, usize>>,
}

impl Terminal {
    /// Shows charts as files in `out`.
    pub fn new(out: PathBuf) -> Self {
        Self {
            out,
            live: std::io::stderr().is_terminal(),
            bar: Mutex::new(None),
            said: Mutex::new(Instant::now()),
            headline: Mutex::default(),
            names: Mutex::default(),
        }
    }

    /// Runs `print` with the live line out of the way.
    fn aside(&self, print: impl FnOnce()) {
        let bar = self.bar.lock().unwrap_or_else(|e| e.into_inner());
        match &*bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// The line above all progress, if there is one.
    fn above(&self) -> Option<String> {
        let line = self.headline.lock().unwrap_or_else(|e| e.into_inner()).clone();
        (!line.is_empty()).then_some(line)
    }

    /// How the bar is drawn: under the line above, when there is one.
    fn style(&self) -> ProgressStyle {
        // Braces of a template are doubled to stand for themselves.
        let above = self.above().map(|line| line.replace('{', "{{").replace('}', "}}") + "\n");
        let bar = "{prefix} {bar:20} {pos}/{len} · {msg} · {eta} left";
        ProgressStyle::with_template(&(above.unwrap_or_default() + bar))
            .unwrap_or_else(|_| ProgressStyle::default_bar())
    }

    /// A file name this session has not used: `loss.svg`, `loss-2.svg`, ...
    fn fresh(&self, name: &str, extension: &str) -> PathBuf {
        let mut names = self.names.lock().unwrap_or_else(|e| e.into_inner());
        let count = names.entry(name.to_string()).or_insert(0);
        *count += 1;
        let stem = if *count == 1 { name.to_string() } else { format!("{name}-{count}") };
        self.out.join(format!("{stem}.{extension}"))
    }
}

impl Output for Terminal {
    fn stdout(&self, text: &str) {
        self.aside(|| streams::out(format_args!("{text}")));
    }

    fn stderr(&self, text: &str) {
        self.aside(|| streams::err(format_args!("{text}")));
    }

    fn display(&self, display: &Display) {
        let (bytes, extension) = match (&display.svg, &display.png) {
            (Some(svg), _) => (svg.as_bytes(), "svg"),
            (None, Some(png)) => (png.as_slice(), "png"),
            (None, None) => return self.stdout(&format!("{}\n", display.text.trim_end())),
        };
        let path = self.fresh(&display.name, extension);
        match files::write(&path, bytes) {
            Ok(()) => self.stdout(&format!("chart {}\n", path.display())),
            Err(error) => self.stderr(&format!("warning: {error}\n")),
        }
    }

    fn progress(&self, progress: &Progress) {
        if !self.live {
            let mut said = self.said.lock().unwrap_or_else(|e| e.into_inner());
            if said.elapsed() >= QUIET_INTERVAL {
                *said = Instant::now();
                let total = progress.total.map_or(String::new(), |t| format!("/{t}"));
                let above = self.above().map_or(String::new(), |line| format!("{line} · "));
                tell!(
                    "{above}{} {}{total} {} {}",
                    progress.what,
                    progress.done,
                    progress.unit,
                    progress.note
                );
            }
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(|e| e.into_inner());
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(
                progress.total,
                ProgressDrawTarget::stderr_with_hz(5),
            );
            bar.set_style(self.style());
            bar
        });
        bar.set_prefix(progress.what.clone());
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_message(progress.note.clone());
        bar.set_position(progress.done);
    }

    fn headline(&self, line: &str) {
        *self.headline.lock().unwrap_or_else(|e| e.into_inner()) = line.to_string();
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(|e| e.into_inner()) {
            bar.set_style(self.style());
        }
    }

    fn progress_done(&self, summary: &str) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(|e| e.into_inner()).take() {
            bar.finish_and_clear();
        }
        if !summary.is_empty() {
            tell!("{summary}");
        }
    }

    fn ask(&self, prompt: &str, stopped: &dyn Fn() -> bool) -> Result<String, Unanswered> {
        self.stdout(prompt);
        let (sender, answer) = channel();
        // Reading a line cannot be stopped, waiting for it can.
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = std::io::stdin().read_line(&mut line);
            // After an interrupt nobody waits any more.
            let _ = sender.send(read.map(|bytes| (bytes > 0).then_some(line)));
        });
        loop {
            match answer.recv_timeout(LOOK) {
                Ok(Ok(Some(line))) => return Ok(line.trim_end_matches(['\n', '\r']).to_string()),
                Ok(Err(error)) => return Err(Unanswered::Nobody(error.to_string())),
                Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => {
                    return Err(Unanswered::Nobody("the input has ended".into()));
                }
                Err(RecvTimeoutError::Timeout) if stopped() => {
                    return Err(Unanswered::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
