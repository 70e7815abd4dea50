//! `cargo xtask lint`: format and lint of every language in the repository, warnings as errors.

use std::process::Command;

use anyhow::{Result, bail};
use local_stack::Deno;

use crate::command::{command, run};
use crate::{install, node, toolchain};

/// TypeScript sources; pkg/ is generated.
const TYPESCRIPT: [&str; 5] =
    ["supabase/functions", "tests/wasm", "dev/stack/js", "examples/functions", "tests/e2e/functions"];
/// JavaScript of the benches, whose packages are installed only when they run, of the npm package with the scripts that
/// the tests run in a project that has it, and of the gallery: not type-checked here.
const JAVASCRIPT: [&str; 5] = ["xtask/src/bench", "npm", "tests/ship", "examples/gallery", "tests/gallery"];

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 9] = [
    ("rustfmt", || run(command("cargo").args(["fmt", "--all", "--check"]))),
    ("clippy", || {
        run(command("cargo")
            .args(["clippy", "--workspace", "--all-targets", "--locked", "--quiet"])
            .args(["--", "--deny", "warnings"]))
    }),
    ("clippy for wasm32", || run(toolchain::find()?.cargo("clippy")?.args(["--quiet", "--", "--deny", "warnings"]))),
    ("deno fmt", || run(node::deno(Deno::Latest)?.args(["fmt", "--check"]).args(JAVASCRIPT).args(TYPESCRIPT))),
    ("deno lint", || run(node::deno(Deno::Latest)?.arg("lint").args(JAVASCRIPT).args(TYPESCRIPT))),
    ("deno check", || run(node::deno(Deno::Latest)?.arg("check").args(TYPESCRIPT))),
    ("licences and sources of crates", || run(deny()?.args(["--workspace", "check", "licenses", "sources"]))),
    ("crates that ship twice", || run(deny()?.args(["check", "bans"]))),
    ("squawk", || run(node::program("squawk")?.arg("supabase/schemas/*/*.sql"))),
];

fn deny() -> Result<Command> {
    let mut deny = command(install::cargo_deny()?);
    deny.args(["--log-level", "error"]);
    Ok(deny)
}

/// Runs every step, so that one run shows all errors.
pub fn lint() -> Result<()> {
    install::node_modules()?;
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        println!("lint: {name}");
        if let Err(error) = step() {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("lint failed: {}", failed.join(", "));
    }
    Ok(())
}
