//! What a user ships, by the real CLI: migrations into an empty database, the function to the platform, and then
//! the files that were uploaded, alone, at work.

mod package;
mod platform;
mod project;

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use local_stack::{Cluster, Options, PostgresKind, Stack};
use serde_json::json;

use platform::Platform;
use project::Project;

/// What the platform must get, no more and no less.
const FILES: [&str; 6] = [
    "pkg/process_jobs.d.ts",
    "pkg/process_jobs.js",
    "pkg/process_jobs_bg.js",
    "pkg/process_jobs_bg.wasm",
    "supabase/functions/process-jobs/deno.json",
    "supabase/functions/process-jobs/index.ts",
];

async fn empty_database() -> Result<(Cluster, String)> {
    let cluster = Cluster::start(PostgresKind::System, &[]).await?;
    cluster.create_database("project", None).await?;
    let url = format!("{}?sslmode=disable", cluster.url("project"));
    Ok((cluster, url))
}

/// The whole schema with its privileges and the history of migrations, as SQL.
fn dump(url: &str) -> Result<String> {
    let dump = Command::new("/usr/lib/postgresql/15/bin/pg_dump").args(["--restrict-key=ship", url]).output()?;
    ensure!(dump.status.success(), "pg_dump: {}", String::from_utf8_lossy(&dump.stderr));
    Ok(String::from_utf8(dump.stdout)?)
}

#[tokio::test]
async fn a_push_fills_an_empty_database_and_a_second_one_changes_nothing() -> Result<()> {
    let project = Project::new()?;
    let (_cluster, url) = empty_database().await?;
    let push = ["db", "push", "--yes", "--db-url", &url];

    project.supabase(&push, &[])?;
    let first = dump(&url)?;
    assert!(first.contains("CREATE TABLE public.job_queue"), "{first}");
    let said = project.supabase(&push, &[])?;
    assert!(said.contains("up to date"), "{said}");
    assert_eq!(dump(&url)?, first);
    Ok(())
}

#[tokio::test]
async fn the_pushed_functions_pass_db_lint_and_a_broken_one_does_not() -> Result<()> {
    let project = Project::new()?;
    let (cluster, url) = empty_database().await?;
    project.supabase(&["db", "push", "--yes", "--db-url", &url], &[])?;
    let lint = ["db", "lint", "--fail-on", "error", "--db-url", &url];
    project.supabase(&lint, &[])?;

    let broken = "create function public.broken() returns int language plpgsql as 'begin return job.missing; end'";
    cluster.connect("project").await?.batch_execute(broken).await?;
    let refused = project.supabase(&lint, &[]).expect_err("the lint must see a broken function");
    assert!(refused.to_string().contains("public.broken"), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_uploaded_files_alone_run_a_job() -> Result<()> {
    let project = Project::new()?;
    let platform = Platform::start().await?;
    let env = platform.env(project.directory())?;
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tokio::task::block_in_place(|| {
        project.supabase(&["functions", "deploy", "process-jobs", "--use-api", "--yes"], &env)
    })?;
    let upload = platform.upload().context("the CLI deployed nothing")?;

    assert_eq!(upload.slug, "process-jobs");
    assert_eq!(upload.metadata["entrypoint_path"], "supabase/functions/process-jobs/index.ts");
    assert_eq!(upload.metadata["import_map_path"], "supabase/functions/process-jobs/deno.json");
    assert_eq!(upload.metadata["verify_jwt"], false);
    assert_eq!(upload.files.keys().collect::<Vec<_>>(), FILES);

    let alone = tempfile::tempdir()?;
    write(&upload.files, alone.path())?;
    let function = alone.path().join("supabase/functions/process-jobs");
    let stack = Stack::start(Options { function_directory: Some(function), ..Options::default() }).await?;
    let payload = json!({
        "generation_id": "gen-1", "user_id": "user-1", "prompt": "a fox", "model_id": "black-forest-labs/flux-schnell"
    });
    let sql = stack.sql().await?;
    sql.execute("select enqueue_job('generate-image', $1)", &[&payload]).await?;
    let answer = stack.post_drain().await?;
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(2), &json!(0)), "{answer}\n{}", stack.logs()?);
    let row = sql.query_one("select status from image_generations where id = 'gen-1'", &[]).await?;
    assert_eq!(row.get::<_, &str>(0), "completed");
    stack.stop().await
}

fn write(files: &BTreeMap<String, Vec<u8>>, directory: &std::path::Path) -> Result<()> {
    for (name, bytes) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        std::fs::write(path, bytes)?;
    }
    Ok(())
}
