//! Runs each ring.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use local_stack::{Cluster, Deno, PgNet, PostgresKind};

use super::Ring;
use super::report::{self, Report};
use crate::command::{self, command, output, root};
use crate::{install, node};

/// Installs what the ring needs, if it may, and runs it. Anything that cannot be installed is a skip with its reason.
pub fn run(ring: Ring, report: &mut Report) -> Result<()> {
    if ring != Ring::Unit {
        install::node_modules()?;
    }
    match ring {
        Ring::Unit => unit(report),
        Ring::Db => db(report),
        Ring::Wasm => wasm(report),
        Ring::E2e => e2e(report),
        Ring::Ship => ship(report),
    }
}

/// A plain `cargo test` builds only the worker, because the other packages are not default members.
fn unit(report: &mut Report) -> Result<()> {
    report.runner(&mut cargo_test(), report::cargo)
}

/// True if Debian's Postgres is installed with everything that the tests use.
fn has_debian_postgres(report: &mut Report, what: &str) -> Result<bool> {
    has_debian(report, install::DEBIAN_PACKAGES, what)
}

fn has_debian(report: &mut Report, packages: &[&'static str], what: &str) -> Result<bool> {
    let missing = install::debian(packages)?;
    if !missing.is_empty() {
        report.skipped.push(format!("{what}: missing {}", missing.join(", ")));
    }
    Ok(missing.is_empty())
}

fn db(report: &mut Report) -> Result<()> {
    if !has_debian_postgres(report, "pgTAP, sessions and the state machine")? {
        return Ok(());
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let settings = [
        ("shared_preload_libraries", "pg_cron"),
        ("cron.database_name", "pgtap"),
        ("cron.use_background_workers", "on"),
        ("wal_level", "logical"),
        ("max_wal_senders", "10"),
    ];
    let cluster = runtime.block_on(Cluster::start(PostgresKind::System, &settings))?;
    runtime.block_on(prepare(&cluster, "create extension pgtap; create extension pg_cron"))?;
    pgtap(&cluster, &[], report)?;
    rust(&cluster, &[], report)?;

    // The same on PostgreSQL 17, which comes without pg_cron and pgTAP; the latter is nothing but SQL.
    let script = pgtap_script()?;
    let settings = [("wal_level", "logical"), ("max_wal_senders", "10")];
    let cluster = runtime.block_on(Cluster::start(PostgresKind::Embedded, &settings))?;
    let schema = "create schema pgtap; grant usage on schema pgtap to public;
        alter database pgtap set search_path = public, pgtap; set search_path = pgtap";
    runtime.block_on(prepare(&cluster, &format!("{schema};\n{script}\n;reset search_path")))?;
    pgtap(&cluster, &["process_jobs_doctor", "schedule_process_jobs"], report)?;
    // (Debian's pg_dump dumps no newer server.)
    rust(&cluster, &["a_restore_brings_back_what_was_dumped"], report)
}

/// What `create extension pgtap` runs, in Debian's package.
fn pgtap_script() -> Result<String> {
    let directory = "/usr/share/postgresql/15/extension";
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let version = path.file_stem().and_then(|it| it.to_str()?.strip_prefix("pgtap--"));
        if version.is_some_and(|it| !it.contains("--")) {
            return Ok(fs::read_to_string(path)?);
        }
    }
    bail!("{directory} has no pgTAP")
}

/// A database for pgTAP.
async fn prepare(cluster: &Cluster, extensions: &str) -> Result<()> {
    cluster.create_database("pgtap", None).await?;
    let mut client = cluster.connect("pgtap").await?;
    client.batch_execute(extensions).await?;
    client.batch_execute(&PgNet::stand_in_sql()?).await?;
    local_stack::migrate(&mut client).await
}

/// One file after the other: each rolls back, but two at once would wait for each other's rows. `but`: the folders that
/// need pg_cron.
fn pgtap(cluster: &Cluster, but: &[&str], report: &mut Report) -> Result<()> {
    let mut pg_prove = command("pg_prove");
    pg_prove.args(["--verbose", "--recurse", "--ext", ".sql", "--dbname"]).arg(cluster.url("pgtap"));
    for entry in fs::read_dir(root().join("tests/db"))? {
        let path = entry?.path();
        if path.is_dir() && !but.iter().any(|name| path.ends_with(name)) {
            pg_prove.arg(path);
        }
    }
    report.runner(&mut pg_prove, report::tap)
}

/// The tests that need several sessions, or databases of their own.
fn rust(cluster: &Cluster, but: &[&str], report: &mut Report) -> Result<()> {
    let names = [
        "sessions",
        "rings",
        "turns",
        "project",
        "troubles",
        "moving_in",
        "image_tables",
        "replication",
        "seeing",
        "users",
        "state_machine",
    ];
    let mut tests = tools_test();
    tests
        .args(names.iter().flat_map(|name| ["--test", name]))
        .arg("--")
        .args(but.iter().flat_map(|name| ["--skip", name]));
    tests.env("DATABASE_URL", cluster.url("postgres"));
    report.runner(&mut tests, report::cargo)
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
    let debian = has_debian_postgres(report, "end to end on Debian's Postgres, and pg_cron")?;
    let mut parts = tools_test();
    parts.args(["--lib", "--bins"]);
    for directory in ["dev/replicate/tests", "dev/stack/tests"] {
        for entry in fs::read_dir(root().join(directory)).with_context(|| format!("cannot list {directory}"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").exists() {
                parts.arg("--test").arg(path.file_stem().unwrap_or_default());
            }
        }
    }
    report.runner(&mut parts, report::cargo)?;
    let mut kinds = vec!["embedded"];
    kinds.extend(debian.then_some("system"));
    for postgres in kinds {
        println!("E2E_POSTGRES={postgres}");
        // The tests mostly wait, so more run at once than there are cores.
        let mut e2e = tools_test();
        e2e.args(["--test", "e2e", "--", "--test-threads", "6"]).env("E2E_POSTGRES", postgres);
        report.runner(&mut e2e, report::cargo)?;
    }
    report.runner(tools_test().args(["--test", "crashes"]), report::cargo)?;
    if debian {
        report.runner(tools_test().args(["--test", "cron"]), report::cargo)?;
    }
    if has_debian(report, install::CHROMIUM, "the gallery")? {
        report.runner(tools_test().args(["--test", "gallery"]), report::cargo)?;
    }
    Ok(())
}

/// Runs the crash matrix and writes its table into README.md.
pub fn crash_matrix() -> Result<()> {
    install::node_modules()?;
    command::run(tools_test().args(["--test", "crashes", "wherever", "--", "--nocapture"]).env("CRASH_MATRIX", "write"))
}

fn ship(report: &mut Report) -> Result<()> {
    if !has_debian_postgres(report, "shipping")? {
        return Ok(());
    }
    report.runner(tools_test().args(["--test", "ship", "--test", "new_job_type"]), report::cargo)?;
    report.runner(node::deno(Deno::Latest)?.args(["test", "--quiet", "tests/ship"]), report::deno)
}

fn cargo_test() -> Command {
    let mut cargo = command("cargo");
    cargo.args(["test", "--locked", "--no-fail-fast"]);
    cargo
}

/// Builds all tools at once, whichever test is picked, so that their dependencies have one set of features.
fn tools_test() -> Command {
    let mut cargo = cargo_test();
    cargo.args(["replicate-stand-in", "local-stack", "xtask"].iter().flat_map(|name| ["--package", name]));
    cargo
}
