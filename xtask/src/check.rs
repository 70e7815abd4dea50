//! `cargo xtask check`: compares pkg/ and the migration with the sources.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::build::{self, FILES, RECORD, Record};
use crate::command::root;
use crate::{migration, toolchain};

/// Fails if this version's migration differs from the schemas, if pkg/ was built from other sources or dependencies, if
/// a file in it, the record included, differs from the one that a build makes here, or if the compiler that built it is
/// not installed.
pub fn run() -> Result<()> {
    migration::check()?;
    let record = fs::read(root().join("pkg").join(RECORD)).context("there is no pkg/: run `cargo xtask build`")?;
    let record: Record = serde_json::from_slice(&record).context("pkg/build.json is not a build record")?;

    let files = build::hashes(FILES.iter().map(|name| format!("pkg/{name}")))?;
    for (name, hash) in &record.files {
        let path = format!("pkg/{name}");
        ensure!(files.get(&path) == Some(hash), "{path} is not the one that was built: run `cargo xtask build`");
    }
    let sources = build::hashes(record.sources.keys().cloned())?;
    let changed = differing(&record.sources, &sources);
    ensure!(changed.is_empty(), "pkg/ is older than {}: run `cargo xtask build`", changed.join(", "));
    ensure!(
        record.manifest == build::manifest()?,
        "pkg/ was built by another Cargo.toml than there is now: run `cargo xtask build`"
    );
    ensure!(
        record.dependencies == build::dependencies()?,
        "pkg/ was built with other dependencies than Cargo.lock names now: run `cargo xtask build`"
    );

    let toolchain = toolchain::find()?;
    let here: Vec<String> = toolchain.version()?.lines().map(str::to_owned).collect();
    ensure!(
        here == record.toolchain,
        "pkg/ cannot be compared: it was built by {}, and here is {}. Install that compiler, or run `cargo xtask build`",
        named(&record.toolchain),
        named(&here)
    );
    let made = tempfile::tempdir()?;
    build::build(&toolchain, made.path())?;
    for name in FILES.iter().chain([&RECORD]) {
        if fs::read(made.path().join(name))? != fs::read(root().join("pkg").join(name))? {
            bail!("pkg/{name} differs from a fresh build by the same compiler: run `cargo xtask build`");
        }
    }
    println!("pkg/ is of these sources, byte for byte");
    Ok(())
}

/// The first line names the compiler, the last one the origin of std.
fn named(toolchain: &[String]) -> String {
    toolchain.first().into_iter().chain(toolchain.last()).cloned().collect::<Vec<_>>().join(", ")
}

fn differing<'a>(then: &'a BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<&'a str> {
    then.iter().filter(|(path, hash)| now.get(*path) != Some(*hash)).map(|(path, _)| path.as_str()).collect()
}
