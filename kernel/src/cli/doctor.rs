//! `woolshed doctor`: what this machine and this program have, and what keeps the kernel from starting.

use std::process::{Command, ExitCode};

use woolshed_engine::device::device;

use super::SCRIPT_ERROR;
use super::faults::{self, Fault};
use super::install::{COLOURS, own_program};
use super::places::{data_folders, on_path, runtime_folder};
use crate::jupyter::kernelspec::SPECS;
use crate::jupyter::probe::probe;
use crate::streams::say;

fn line(what: &str, found: impl std::fmt::Display) {
    say!("{what:<14} {found}");
}

fn fault(what: &str, fault: &Fault) {
    line(what, format!("fault: {fault}"));
    line("", format!("try: {}", fault.hint()));
}

/// Says what was found, a line each; the exit code tells whether the kernel works.
pub fn doctor() -> ExitCode {
    line("woolshed", env!("CARGO_PKG_VERSION"));
    line("built for", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    match std::env::current_exe() {
        Ok(path) => line("program", path.display()),
        Err(error) => line("program", format!("unknown: {error}")),
    }
    line("cores", std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    line("vector units", vector_units());
    line("cpu", "ready");
    cuda();
    let hub = woolshed_engine::hub::HubOptions::default();
    line("hub cache", hub.cache_dir.display());
    line("hub", if hub.offline { "offline (HF_HUB_OFFLINE)".to_string() } else { hub.endpoint });
    if kernels() { ExitCode::SUCCESS } else { ExitCode::from(SCRIPT_ERROR) }
}

/// Says what there is for CUDA, and which device `auto` is.
fn cuda() {
    let report = woolshed_engine::device::cuda_report();
    if report.compiled {
        let known = report.driver.as_ref().map(|version| format!("driver for CUDA {version}"));
        line("cuda", known.unwrap_or_else(|| "no NVIDIA driver".into()));
        for (name, path) in &report.libraries {
            line("", format!("{name:<9} {}", path.as_deref().unwrap_or("not found")));
        }
    }
    for (number, found) in report.devices.iter().enumerate() {
        let (major, minor) = found.capability;
        let bf16 = if major >= 8 { "bf16" } else { "too old: 8.0 and later have bf16" };
        let gigabytes = found.bytes as f64 / 1e9;
        line(
            "",
            format!("device {number}: {}, {gigabytes:.0} GB, {major}.{minor}, {bf16}", found.name),
        );
    }
    match device("cuda:0") {
        Ok(found) => {
            line("cuda:0", "ready");
            match woolshed_engine::ops::try_attention(&found) {
                Ok(said) => said.iter().for_each(|said| line("attention", said)),
                Err(error) => line("attention", error),
            }
        }
        Err(error) => line("cuda:0", error),
    }
    if let Ok(auto) = device("auto") {
        line("auto", format!("is {}", woolshed_engine::device::name(&auto)));
    }
}

#[cfg(target_arch = "x86_64")]
fn vector_units() -> String {
    let mut units = vec!["sse2"];
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        units.push("avx2");
    }
    if std::is_x86_feature_detected!("avx512f") {
        units.push("avx512");
    }
    units.join(", ")
}

#[cfg(not(target_arch = "x86_64"))]
fn vector_units() -> String {
    "the architecture's own".to_string()
}

/// Looks at every kernel and starts the one that a front end would start. True when nothing is wrong.
fn kernels() -> bool {
    let listed = jupyter();
    let own = match own_program() {
        Ok(own) => own,
        Err(error) => {
            line("kernel", error);
            return false;
        }
    };
    let folders = data_folders();
    let mut sound = true;
    for spec in SPECS {
        let found: Vec<_> = folders
            .iter()
            .map(|data| data.join("kernels").join(spec.name))
            .filter(|folder| folder.symlink_metadata().is_ok())
            .collect();
        let Some(first) = found.first() else {
            line(spec.name, "not installed; `woolshed install`, or `woolshed lab` for all of it");
            continue;
        };
        line(spec.name, first.display());
        let mut faults = faults::of_spec(first, &own);
        faults.extend(found[1..].iter().map(|other| Fault::Hidden { folder: other.clone() }));
        if let Some(listed) = &listed {
            faults.extend(faults::of_list(listed, *spec, first));
        }
        for found in &faults {
            fault("", found);
            sound &= !found.stops_the_kernel();
        }
    }
    let coloured = folders.iter().map(|data| data.join("labextensions").join(COLOURS));
    match coloured.into_iter().find(|folder| folder.join("static/remoteEntry.js").is_file()) {
        Some(folder) => line("colours", folder.display()),
        None => line("colours", "not installed; JupyterLab shows Rhai as Rust until then"),
    }
    match crate::rust::find() {
        Some(program) => line("rust cells", program.display()),
        None => line("rust cells", "none; they need `woolshed-rust`, a program of its own"),
    }
    let Some(runtime) = runtime_folder() else {
        line("start", "there is no home folder for connection files; set JUPYTER_RUNTIME_DIR");
        return false;
    };
    line("runtime", runtime.display());
    let (argv, whose) = faults::start_of(&folders, SPECS[0], &own);
    match probe(&argv, &runtime) {
        Ok(probed) => line(
            "start",
            format!(
                "{whose} answers {:.0} ms after its start; 1 + 1 takes {:.1} ms",
                probed.start.as_secs_f64() * 1e3,
                probed.answer.as_secs_f64() * 1e3
            ),
        ),
        Err(error) => {
            fault("start", &Fault::NoAnswer(error));
            sound = false;
        }
    }
    sound
}

/// Says where Jupyter is, and gives the kernels it lists.
fn jupyter() -> Option<serde_json::Value> {
    let Some(program) = on_path("jupyter") else {
        line("jupyter", "not on PATH; `woolshed lab` brings its own");
        return None;
    };
    let output = Command::new(&program).args(["kernelspec", "list", "--json"]).output();
    let listed = output.ok().and_then(|output| serde_json::from_slice(&output.stdout).ok());
    match &listed {
        Some(_) => line("jupyter", program.display()),
        None => line(
            "jupyter",
            format!("{}, but `jupyter kernelspec list` does not work", program.display()),
        ),
    }
    listed
}
