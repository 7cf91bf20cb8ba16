//! `woolshed bench`: the shear step on random weights, timed.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use serde_json::json;
use woolshed_engine::device::device;
use woolshed_engine::progress::{Progress, Watch};
use woolshed_engine::run::{BenchCase, BenchError, BenchKeep, BenchOptions, BenchReport, bench};

use super::terminal::Terminal;
use super::{INTERRUPTED, OUT, SCRIPT_ERROR, USAGE, complain};
use crate::session::Output;
use crate::streams::{say, tell};

/// What `woolshed bench` is asked.
#[derive(Args)]
pub struct BenchArgs {
    /// The shape: small, mid or 7b
    #[arg(long, default_value = "small")]
    case: String,
    /// Share of the hidden dimensions, heads and MLP channels that is alive, or a target: 370m, 1.3b, 2.7b
    #[arg(long, value_name = "SHARE|TARGET", default_value = "1.0")]
    keep: String,
    /// Steps that are measured, after one that is not
    #[arg(long, default_value_t = 5)]
    steps: u64,
    /// The device: cpu, auto or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Draws the live line, and stops at the first Ctrl-C.
struct Bar {
    terminal: Terminal,
    stop: Arc<AtomicBool>,
}

impl Watch for Bar {
    fn tick(&self, progress: &Progress) {
        self.terminal.progress(progress);
    }

    fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Measures and prints.
pub fn run(args: BenchArgs) -> ExitCode {
    let device = match device(&args.device) {
        Ok(device) => device,
        Err(error) => return complain(&error),
    };
    let asked =
        BenchCase::named(&args.case).and_then(|case| Ok((case, BenchKeep::named(&args.keep)?)));
    let options = match asked {
        Ok((case, keep)) => BenchOptions { case, keep, steps: args.steps, device },
        Err(error) => {
            tell!("error: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let name = woolshed_engine::device::name(&options.device);
    let gigabytes = options.case.memory(&options.device) as f64 / 1e9;
    tell!("{}: the case `{}` takes about {gigabytes:.1} GB there", name, options.case.name);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let handler = ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            // The second Ctrl-C ends a call of a device that does not come back.
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
    if let Err(error) = handler {
        tell!("warning: Ctrl-C will end the program at once: {error}");
    }
    let bar = Bar { terminal: Terminal::new(OUT.into()), stop };
    let report = bench(&options, &bar);
    bar.terminal.progress_done("");
    match report {
        Ok(report) => {
            print(&options, &report, args.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell!("error: {error}");
            ExitCode::from(match error {
                BenchError::Interrupted => INTERRUPTED,
                BenchError::Keep { .. } | BenchError::Target { .. } | BenchError::Steps => USAGE,
                _ => SCRIPT_ERROR,
            })
        }
    }
}

fn print(options: &BenchOptions, report: &BenchReport, as_json: bool) {
    let case = options.case;
    let [layers, hidden, heads, channels] = report.alive;
    if as_json {
        let keep = match &options.keep {
            BenchKeep::Share(share) => json!(share),
            BenchKeep::Target(name) => json!(name),
        };
        let line = json!({
            "case": case.name,
            "device": woolshed_engine::device::name(&options.device),
            "keep": keep,
            "alive": report.alive,
            "attention": report.attention,
            "steps": options.steps,
            "process_seconds_per_step": report.process_seconds_per_step(),
            "wall_seconds_per_step": report.wall_seconds_per_step(),
            "tokens_per_second": report.tokens_per_second(),
            "peak_bytes": report.peak_bytes,
            "process_seconds": report.process_seconds,
            "wall_seconds": report.wall_seconds,
            "losses": report.losses,
        });
        say!("{line}");
        return;
    }
    say!(
        "case {}: D {}, L {}, H {}, F {}, V {}, T {}, B {}: {:.1} million parameters",
        case.name,
        case.hidden,
        case.layers,
        case.heads,
        case.intermediate,
        case.vocab,
        case.tokens,
        case.batch,
        report.parameters as f64 / 1e6
    );
    say!(
        "alive: {layers} layers, {hidden} hidden dimensions, {heads} heads and {channels} MLP channels a layer"
    );
    for line in &report.attention {
        say!("attention     {line}");
    }
    let range = |seconds: &[f64]| {
        let least = seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = seconds.iter().copied().fold(0.0, f64::max);
        format!("{least:.3} to {most:.3}")
    };
    say!(
        "process time  {:.3} s a step, all threads ({})",
        report.process_seconds_per_step(),
        range(&report.process_seconds)
    );
    say!(
        "wall time     {:.3} s a step ({})",
        report.wall_seconds_per_step(),
        range(&report.wall_seconds)
    );
    say!("speed         {:.0} tokens/s", report.tokens_per_second());
    match report.peak_bytes {
        Some(bytes) => say!("peak memory   {:.0} MB", bytes as f64 / 1e6),
        None => say!("peak memory   this system does not say"),
    }
}
