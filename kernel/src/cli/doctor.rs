//! `woolshed doctor`: what this machine and this program have.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use super::install;
use crate::streams::say;

fn line(what: &str, found: impl std::fmt::Display) {
    say!("{what:<14} {found}");
}

/// Says what was found, a line each.
pub fn doctor() -> ExitCode {
    line("woolshed", env!("CARGO_PKG_VERSION"));
    line("built for", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    match std::env::current_exe() {
        Ok(path) => line("program", path.display()),
        Err(error) => line("program", format!("unknown: {error}")),
    }
    line("cores", std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    line("vector units", vector_units());
    for name in ["cpu", "cuda:0"] {
        match woolshed_engine::device::device(name) {
            Ok(_) => line(name, "ready"),
            Err(error) => line(name, error),
        }
    }
    let hub = woolshed_engine::hub::HubOptions::default();
    line("hub cache", hub.cache_dir.display());
    line("hub", if hub.offline { "offline (HF_HUB_OFFLINE)".to_string() } else { hub.endpoint });
    jupyter();
    ExitCode::SUCCESS
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

/// Says where Jupyter is and whether it knows the kernel.
fn jupyter() {
    let Some(program) = on_path("jupyter") else {
        line("jupyter", "not on PATH; `pip install jupyterlab` brings it");
        return;
    };
    line("jupyter", program.display());
    let output = Command::new(&program).args(["kernelspec", "list", "--json"]).output();
    let known =
        output.ok().and_then(|o| serde_json::from_slice::<serde_json::Value>(&o.stdout).ok());
    let spec = known.as_ref().and_then(|k| k.pointer(&format!("/kernelspecs/{}", install::NAME)));
    let Some(spec) = spec else {
        line("kernel", "not installed; run `woolshed install`");
        return;
    };
    let folder = spec.pointer("/resource_dir").and_then(|d| d.as_str()).unwrap_or("?");
    line("kernel", folder);
    if let Some(program) = spec.pointer("/spec/argv/0").and_then(|p| p.as_str())
        && !Path::new(program).exists()
    {
        line("kernel", format!("its program `{program}` is gone; run `woolshed install` again"));
    }
}

/// Looks a program up on PATH.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(&path).map(|dir| dir.join(&file)).find(|p| p.is_file())
}
