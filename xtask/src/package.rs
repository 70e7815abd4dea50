//! `cargo xtask package`: packs the npm package; a person publishes it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::build::FILES;
use crate::command::{command, output, root};
use crate::{install, migration};

/// Packs it into target/npm, and prints the path.
pub fn run() -> Result<()> {
    println!("{}", pack(&root().join("target/npm"))?.display());
    Ok(())
}

/// Packs the function's folder with the worker in it, the migration, and the files of npm/.
pub fn pack(into: &Path) -> Result<PathBuf> {
    install::node_modules()?;
    migration::check()?;
    let package = into.join("package");
    if package.exists() {
        fs::remove_dir_all(&package)?;
    }
    copy(&root().join("npm"), &package)?;
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(package.join("package.json"))?)?;
    let version = migration::version()?;
    ensure!(manifest["version"] == *version, "npm/package.json is of another version than Cargo.toml, {version}");

    fs::copy(migration::path()?, package.join("migration.sql"))?;
    let function = package.join("function");
    fs::create_dir_all(function.join("pkg"))?;
    for name in FILES {
        fs::copy(root().join("pkg").join(name), function.join("pkg").join(name))?;
    }
    let sources = root().join("supabase/functions/process-jobs");
    fs::copy(sources.join("deno.json"), function.join("deno.json"))?;
    // In one folder, so that nothing collides with the app's own pkg/.
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
