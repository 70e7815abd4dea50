//! The pinned tools in node_modules.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::command::{command, root};

/// A program of an installed npm package, such as `squawk`.
pub fn program(name: &str) -> Result<Command> {
    installed(&format!(".bin/{name}"))
}

/// One of the pinned Denos, `deno-2.1.4` (what the hosted runtime is compatible with) or `deno` (the latest): its
/// binary, without Node before it.
pub fn deno(package: &str) -> Result<Command> {
    let mut deno = installed(&format!("{package}/deno"))?;
    deno.env("DENO_NO_UPDATE_CHECK", "1").env("DENO_TLS_CA_STORE", "system");
    Ok(deno)
}

fn installed(path: &str) -> Result<Command> {
    let path = root().join("node_modules").join(path);
    ensure!(path.exists(), "{} is missing: run `cargo xtask install`", path.display());
    Ok(command(path))
}
