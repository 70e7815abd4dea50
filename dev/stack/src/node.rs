//! The pinned tools in node_modules.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;

use anyhow::{Result, ensure};

/// This machine's name in npm packages with binaries: `linux-x64`, `darwin-arm64`, …
pub fn platform() -> String {
    let os = if OS == "macos" { "darwin" } else { OS };
    let arch = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{os}-{arch}")
}

/// The directory of an installed npm package.
pub fn package(name: &str) -> Result<PathBuf> {
    let path = crate::repository().join("node_modules").join(name);
    ensure!(path.exists(), "the npm package {name} is not installed: run cargo xtask install");
    Ok(path)
}
