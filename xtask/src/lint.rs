//! `cargo xtask lint`: format and lint of every language here, warnings as errors.

use anyhow::{Result, bail};
use local_stack::Deno;

use crate::command::{command, run};
use crate::{install, node, toolchain};

/// TypeScript of ours; pkg/ is generated.
const TYPESCRIPT: [&str; 3] = ["supabase/functions", "tests/wasm", "dev/stack/js"];
/// JavaScript of the benches, whose packages are installed only when they run, and the npm package with what the tests
/// run in a project that has it: not type-checked here.
const JAVASCRIPT: [&str; 3] = ["xtask/src/bench", "npm", "tests/ship"];

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 7] = [
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
    ("squawk", || run(node::program("squawk")?.arg("supabase/schemas/*/*.sql"))),
];

/// Runs every step, so that one run shows all there is to mend.
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
