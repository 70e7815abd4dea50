//! Every chore of the repository: `cargo xtask help`.

#![warn(clippy::too_many_lines)]

mod bench;
mod build;
mod check;
mod command;
mod demo;
mod dev;
mod install;
mod lint;
mod migration;
mod new_job_type;
mod node;
mod package;
mod release;
mod test;
mod tidy;
mod toolchain;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about)]
enum Chore {
    /// From nothing to pictures: install, start a local project, run four jobs, show what became of them
    Demo {
        /// Leave the project running, and say how to use it
        #[arg(long)]
        keep: bool,
    },
    /// Run a local project until Ctrl-C
    Dev(dev::Settings),
    /// Install what the other chores need
    Install,
    /// Build pkg/: the worker as wasm, with its JavaScript glue
    Build,
    /// Make the migration of the version to come from supabase/schemas
    Migration,
    /// Pack the npm package: installer, doctor, client, the function and its migration
    Package,
    /// Make a release of what is committed: version, dated changelog, frozen migration, pkg/, npm package
    Release { version: String },
    /// Check that pkg/ and the migration are what the sources say, and that released migrations are as released
    Check,
    /// Make a job type that works: its file, its line, its row and a first conversation
    NewJobType { job_type: String },
    /// Check the format and lint of every language here
    Lint,
    /// Hold src/ to the floors of ARCHITECTURE.md
    Tidy,
    /// Run the tests, all or one ring
    Test { ring: Option<test::Ring> },
    /// Kill and drop at every step, and put the table of it into README.md
    CrashMatrix,
    /// Measure, all or one bench, hold to the bounds, and draw docs/bench.svg
    Bench { bench: Option<bench::Bench> },
    /// Everything that CI checks: lint, tidy, check, test
    Ci,
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Demo { keep } => demo::run(keep),
        Chore::Dev(settings) => dev::run(settings),
        Chore::Install => install::install(),
        Chore::Build => build::run(),
        Chore::Migration => migration::run(),
        Chore::Package => package::run(),
        Chore::Release { version } => release::run(&version),
        Chore::Check => check::run(),
        Chore::NewJobType { job_type } => new_job_type::new(&job_type),
        Chore::Lint => lint::lint(),
        Chore::Tidy => tidy::run(),
        Chore::Test { ring } => test::test(ring),
        Chore::CrashMatrix => test::crash_matrix(),
        Chore::Bench { bench } => bench::bench(bench),
        Chore::Ci => ci(),
    }
}

/// Runs everything, so that one run shows all errors.
fn ci() -> anyhow::Result<()> {
    let results = [("lint", lint::lint()), ("tidy", tidy::run()), ("check", check::run()), ("test", test::test(None))];
    let mut failed = Vec::new();
    for (name, result) in results {
        if let Err(error) = result {
            eprintln!("{name}: {error:#}");
            failed.push(name);
        }
    }
    anyhow::ensure!(failed.is_empty(), "ci failed: {}", failed.join(", "));
    Ok(())
}
