//! `cargo xtask package`: the npm package, packed; publishing it is a person's act.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build::FILES;
use crate::command::{command, output, root};
use crate::{install, release};

/// Packs it into target/npm, and says where.
pub fn run() -> Result<()> {
    println!("{}", pack(&root().join("target/npm"))?.display());
    Ok(())
}

/// The function's folder, the worker in it, with the migration and what lies in npm/.
pub fn pack(into: &Path) -> Result<PathBuf> {
    install::node_modules()?;
    release::check()?;
    let package = into.join("package");
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    copy(&root().join("npm"), &package)?;
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let version = release::version()?;
    ensure!(manifest["version"] == *version, "npm/package.json is of another version than Cargo.toml, {version}");

    fs::copy(release::path()?, package.join("migration.sql"))?;
    let function = package.join("function");
    fs::create_dir_all(function.join("pkg"))?;
    for name in FILES {
        fs::copy(root().join("pkg").join(name), function.join("pkg").join(name))?;
    }
    let sources = root().join("supabase/functions/process-jobs");
    fs::copy(sources.join("deno.json"), function.join("deno.json"))?;
    // In one folder, so that nothing collides with a pkg/ of the app's.
    let shim = fs::read_to_string(sources.join("index.ts"))?;
    ensure!(shim.contains("\"../../../pkg/"), "index.ts imports no ../../../pkg/");
    fs::write(function.join("index.ts"), shim.replace("\"../../../pkg/", "\"./pkg/"))?;

    let mut npm = command("npm");
    npm.args(["pack", "--silent", "--pack-destination"]).arg(into).current_dir(&package);
    let name = output(&mut npm)?;
    let name = name.lines().last().context("npm pack has said no name")?;
    Ok(into.join(name))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
