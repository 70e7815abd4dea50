//! How each ring is run.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use local_stack::{Cluster, Deno, PostgresKind};

use super::Ring;
use super::report::{self, Report};
use crate::command::{command, output, root};
use crate::node;

pub fn run(ring: Ring, report: &mut Report) -> Result<()> {
    match ring {
        Ring::Unit => unit(report),
        Ring::Db => db(report),
        Ring::Wasm => wasm(report),
        Ring::E2e => e2e(report),
        Ring::Ship => ship(report),
    }
}

/// A plain `cargo test` builds only the worker: the other packages are no default members.
fn unit(report: &mut Report) -> Result<()> {
    report.runner(&mut cargo_test(), report::cargo)
}

fn db(report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let cluster = runtime.block_on(async {
        let settings = [("shared_preload_libraries", "pg_cron,plpgsql_check"), ("cron.database_name", "pgtap")];
        let cluster = Cluster::start(PostgresKind::System, &settings).await?;
        cluster.create_database("pgtap", None).await?;
        let mut client = cluster.connect("pgtap").await?;
        client
            .batch_execute("create extension pgtap; create extension pg_cron; create extension plpgsql_check")
            .await?;
        local_stack::migrate(&mut client).await?;
        anyhow::Ok(cluster)
    })?;
    // One after the other: each file rolls back, but two at once would wait for each other's rows.
    let mut pg_prove = command("pg_prove");
    pg_prove.args(["--verbose", "--recurse", "--ext", ".sql", "--dbname"]).arg(cluster.url("pgtap")).arg("tests/db");
    report.runner(&mut pg_prove, report::tap)?;
    drop(cluster);
    report.runner(cargo_test().args(["--package", "local-stack", "--test", "sessions"]), report::cargo)
}

fn wasm(report: &mut Report) -> Result<()> {
    for version in [Deno::V2_1_4, Deno::Latest] {
        let mut deno = node::deno(version)?;
        println!("{}", output(command(deno.get_program()).arg("--version"))?.lines().next().unwrap_or_default());
        report.runner(deno.args(["test", "--allow-all", "--quiet", "tests/wasm"]), report::deno)?;
    }
    Ok(())
}

fn e2e(report: &mut Report) -> Result<()> {
    let mut parts = cargo_test();
    parts
        .args(["--package", "replicate-stand-in", "--package", "local-stack", "--package", "xtask"])
        .args(["--lib", "--bins"]);
    for directory in ["dev/replicate/tests", "dev/stack/tests"] {
        for entry in fs::read_dir(root().join(directory)).with_context(|| format!("cannot list {directory}"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "rs") {
                parts.arg("--test").arg(path.file_stem().unwrap_or_default());
            }
        }
    }
    report.runner(&mut parts, report::cargo)?;
    for postgres in ["embedded", "system"] {
        println!("E2E_POSTGRES={postgres}");
        report.runner(
            cargo_test().args(["--package", "local-stack", "--test", "e2e"]).env("E2E_POSTGRES", postgres),
            report::cargo,
        )?;
    }
    Ok(())
}

fn ship(report: &mut Report) -> Result<()> {
    report.runner(cargo_test().args(["--package", "local-stack", "--test", "ship"]), report::cargo)
}

fn cargo_test() -> Command {
    let mut cargo = command("cargo");
    cargo.args(["test", "--locked"]);
    cargo
}
