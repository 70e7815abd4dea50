//! The npm package, packed, installed from its tarball into a project of the real CLI, deployed, upgraded and taken out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use local_stack::{Deno, Options, Stack};
use serde_json::json;

use crate::platform::Platform;
use crate::project::{Project, checkout};
use crate::{dump, empty_database, write};

const FUNCTION: &str = "supabase/functions/process-jobs";

/// Runs a program in a project; what it says, and whether it ended well.
fn run(project: &Project, program: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(project.directory()).stdin(Stdio::null());
    let ended = command.output().with_context(|| format!("cannot start {program}"))?;
    let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Ok((ended.status.success(), said))
}

/// The package's own command, which must do it.
fn process_jobs(project: &Project, arguments: &[&str]) -> Result<String> {
    let (done, said) = run(project, "npx", &[&["process-jobs"], arguments].concat())?;
    ensure!(done, "process-jobs {arguments:?}: {said}");
    Ok(said)
}

/// All files of the project that are not npm's, by path.
fn files(project: &Project) -> Result<BTreeMap<String, Vec<u8>>> {
    fn add(root: &Path, at: &Path, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
        for entry in fs::read_dir(at)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
            if path.is_dir() {
                add(root, &path, files)?;
            } else if !name.contains(".temp") {
                files.insert(name, fs::read(&path)?);
            }
        }
        Ok(())
    }
    let mut found = BTreeMap::new();
    add(project.directory(), &project.directory().join("supabase"), &mut found)?;
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_goes_into_a_project_and_out_again() -> Result<()> {
    let packed = Command::new("cargo")
        .args(["run", "--quiet", "--package", "xtask", "--", "package"])
        .current_dir(checkout())
        .output()?;
    ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let tarball = String::from_utf8(packed.stdout)?;

    let project = Project::scratch()?;
    fs::create_dir_all(project.directory().join("supabase/migrations"))?;
    fs::write(
        project.directory().join("supabase/migrations/20990101000000_theirs.sql"),
        "create table theirs (id int);\n",
    )?;
    let before = files(&project)?;
    let (done, said) = run(&project, "npm", &["install", "--no-audit", "--no-fund", "--silent", tarball.trim()])?;
    ensure!(done, "{said}");

    // Nobody is there to be asked: nothing is done without --yes.
    let (done, said) = run(&project, "npx", &["process-jobs", "install"])?;
    assert!(!done && said.contains("run it again with --yes"), "{said}");
    assert_eq!(files(&project)?, before);

    let said = process_jobs(&project, &["install", "--yes"])?;
    assert!(said.contains("npx supabase db push"), "{said}");
    let installed = files(&project)?;
    let migration = "supabase/migrations/20990101000001_process_jobs_0_1_0.sql";
    assert!(installed.contains_key(migration), "it comes after their own last one: {:?}", installed.keys());
    let (config, config_before) = ("supabase/config.toml", String::from_utf8(before["supabase/config.toml"].clone())?);
    let config_after = String::from_utf8(installed[config].clone())?;
    assert!(config_after.starts_with(config_before.trim_end()), "what was there stays, comments too");
    assert!(config_after.contains("[functions.process-jobs]"), "{config_after}");
    assert!(process_jobs(&project, &["install", "--yes"])?.contains("nothing to do"), "a second time");

    // Their database, before and with it.
    let (cluster, url) = empty_database().await?;
    let push = ["db", "push", "--yes", "--db-url", &url];
    cluster.connect("project").await?.batch_execute("create table theirs_before (id int)").await?;
    project.supabase(&push, &[])?;

    // Deployed, the uploaded files alone run a job.
    let platform = Platform::start().await?;
    let env = platform.env(project.directory())?;
    let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    tokio::task::block_in_place(|| {
        project.supabase(&["functions", "deploy", "process-jobs", "--use-api", "--yes"], &env)
    })?;
    let upload = platform.upload().context("the CLI deployed nothing")?;
    assert_eq!(upload.metadata["verify_jwt"], false);
    assert!(upload.files.keys().all(|name| name.starts_with(FUNCTION)), "{:?}", upload.files.keys());
    let alone = tempfile::tempdir()?;
    write(&upload.files, alone.path())?;
    let function = alone.path().join(FUNCTION);
    let stack = Stack::start(Options { function_directory: Some(function), ..Options::default() }).await?;
    let payload = json!({
        "generation_id": "gen-1", "user_id": "user-1", "prompt": "a fox", "model_id": "black-forest-labs/flux-schnell"
    });
    stack.sql().await?.execute("select enqueue_job('generate-image', $1)", &[&payload]).await?;
    let answer = stack.post_drain().await?;
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(2), &json!(0)), "{answer}\n{}", stack.logs()?);

    // The client, as supabase-js and TypeScript take it.
    std::os::unix::fs::symlink(
        checkout().join("node_modules/@supabase"),
        project.directory().join("node_modules/@supabase"),
    )?;
    fs::copy(checkout().join("tests/ship/client.ts"), project.directory().join("client.ts"))?;
    let deno = Deno::Latest.binary()?;
    let run_client = ["run", "--check", "--quiet", "--no-lock", "--allow-net", "--allow-env", "client.ts"];
    let asked = [run_client.as_slice(), &[stack.api_url(), stack.secret_key()]].concat();
    let (done, said) = run(&project, &deno.to_string_lossy(), &asked)?;
    assert!(done && said.contains("the client does what its types say"), "{said}");

    // The doctor asks that stack.
    let asked = ["doctor", "--url", stack.api_url(), "--key", stack.secret_key()];
    let (_, said) = run(&project, "npx", &[&["process-jobs"], asked.as_slice()].concat())?;
    assert!(said.contains("✓ image tables") && said.contains("✓ function's health"), "{said}");
    assert!(said.contains("✗ schedule") && said.contains("→ select schedule_process_jobs"), "{said}");
    for (url, key, reason) in [
        ("https://<project>.supabase.co", "k", "--url is still a placeholder"),
        (stack.api_url(), "<secret key>", "--key is still a placeholder"),
    ] {
        let (done, said) = run(&project, "npx", &["process-jobs", "doctor", "--url", url, "--key", key])?;
        assert!(!done && said.contains(reason), "{said}");
    }
    stack.stop().await?;

    // An upgrade from an earlier version: a file that was changed since is left, and said to be.
    let record = project.directory().join(FUNCTION).join("installed.json");
    fs::write(&record, fs::read_to_string(&record)?.replace("\"version\": \"0.1.0\"", "\"version\": \"0.0.9\""))?;
    let index = project.directory().join(FUNCTION).join("index.ts");
    fs::write(&index, "// mine\n")?;
    let (done, said) = run(&project, "npx", &["process-jobs", "upgrade", "--yes"])?;
    assert!(
        !done
            && said.contains("upgrade 0.0.9 to 0.1.0")
            && said.contains("for they are yours: supabase/functions/process-jobs/index.ts"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&index)?, "// mine\n");
    fs::remove_file(&index)?;
    process_jobs(&project, &["upgrade", "--yes"])?;
    assert_eq!(files(&project)?, installed, "whole again");

    // Out again: files and settings as they were, and the database too, once its migration is pushed.
    process_jobs(&project, &["uninstall", "--drop-tables", "--yes"])?;
    let mut left = files(&project)?;
    assert!(
        left.remove(migration).is_some()
            && left.remove("supabase/migrations/20990101000002_uninstall_process_jobs.sql").is_some()
    );
    assert_eq!(left, before);
    project.supabase(&push, &[])?;
    let dumped = dump(&url)?;
    for gone in [
        "CREATE SCHEMA process_jobs",
        "CREATE FUNCTION public.",
        "CREATE TABLE public.job_queue",
        "CREATE TABLE public.images",
    ] {
        assert!(!dumped.contains(gone), "{gone}: {dumped}");
    }
    assert!(
        dumped.contains("CREATE TABLE public.theirs ") && dumped.contains("CREATE TABLE public.theirs_before"),
        "{dumped}"
    );
    let (done, said) = run(&project, "npx", &["process-jobs", "uninstall", "--yes"])?;
    assert!(!done && said.contains("was not installed"), "{said}");
    Ok(())
}
