//! The pinned tools in node_modules.

use std::process::Command;

use anyhow::{Result, ensure};
use local_stack::Deno;

use crate::command::{command, root};

/// A program of an installed npm package, such as `squawk`.
pub fn program(name: &str) -> Result<Command> {
    let path = root().join("node_modules/.bin").join(name);
    ensure!(path.exists(), "{} is missing: run `cargo xtask install`", path.display());
    Ok(command(path))
}

/// One of the pinned Denos, started without Node.
pub fn deno(version: Deno) -> Result<Command> {
    let mut deno = command(version.binary()?);
    deno.env("DENO_NO_UPDATE_CHECK", "1").env("DENO_TLS_CA_STORE", "system");
    Ok(deno)
}
