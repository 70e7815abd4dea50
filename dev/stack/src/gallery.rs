//! The page of examples/gallery.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{node, repository};

/// Bundles it with this repository's client, and returns the directory to serve ([`Options::site`](crate::Options::site)).
pub fn gallery() -> Result<PathBuf> {
    let site = repository().join("target/gallery/site");
    let esbuild = Command::new(node::package("esbuild")?.join("bin/esbuild"))
        .current_dir(repository().join("examples/gallery"))
        .args(["gallery.js", "index.html", "style.css", "icon.svg", "--bundle", "--minify", "--format=esm"])
        .args(["--loader:.html=copy", "--loader:.svg=copy", "--alias:process-jobs=../../npm/client.js"])
        .arg(format!("--outdir={}", site.display()))
        .output()
        .context("cannot start esbuild")?;
    ensure!(esbuild.status.success(), "esbuild: {}", String::from_utf8_lossy(&esbuild.stderr));
    Ok(site)
}
