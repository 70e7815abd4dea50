//! The npm package, packed, installed from its tarball into a project of the real CLI, deployed, upgraded and taken out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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

/// A project of the real CLI that has the package, packed.
fn project() -> Result<Project> {
    static TARBALL: OnceLock<String> = OnceLock::new();
    let tarball = TARBALL.get_or_init(|| {
        let mut cargo = Command::new("cargo");
        cargo.args(["run", "--quiet", "--package", "xtask", "--", "package"]).current_dir(checkout());
        let packed = cargo.output().expect("cargo");
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        String::from_utf8(packed.stdout).expect("a path").trim().to_owned()
    });
    let project = Project::scratch()?;
    let (done, said) = run(&project, "npm", &["install", "--no-audit", "--no-fund", "--silent", tarball])?;
    ensure!(done, "{said}");
    Ok(project)
}

/// A file of the project, changed.
fn edit(project: &Project, path: &str, change: impl FnOnce(String) -> String) -> Result<()> {
    let path = project.directory().join(path);
    let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    Ok(fs::write(&path, change(text))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_goes_into_a_project_and_out_again() -> Result<()> {
    let project = project()?;
    fs::create_dir_all(project.directory().join("supabase/migrations"))?;
    fs::write(
        project.directory().join("supabase/migrations/20990101000000_theirs.sql"),
        "create table theirs (id int);\n",
    )?;
    let before = files(&project)?;

    // Nobody is there to be asked: nothing is done without --yes.
    let (done, said) = run(&project, "npx", &["process-jobs", "install"])?;
    assert!(!done && said.contains("run it again with --yes"), "{said}");
    assert_eq!(files(&project)?, before);

    let said = process_jobs(&project, &["install", "--yes"])?;
    assert!(said.contains("npx supabase db push --remote"), "{said}");
    let installed = files(&project)?;
    let migration = format!("supabase/migrations/20990101000001{}", migration_name());
    assert!(installed.contains_key(&migration), "it comes after their own last one: {:?}", installed.keys());
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
    let asked = [run_client.as_slice(), &[stack.api_url(), stack.secret_key(), stack.publishable_key()]].concat();
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
    fs::write(&record, fs::read_to_string(&record)?.replace(version(), "0.0.9"))?;
    let earlier = fs::read_to_string(&record)?;
    let index = project.directory().join(FUNCTION).join("index.ts");
    fs::write(&index, "// mine\n")?;
    let (done, said) = run(&project, "npx", &["process-jobs", "upgrade", "--yes"])?;
    assert!(
        !done
            && said.contains(&format!("upgrade 0.0.9 to {}", version()))
            && said.contains("for they are yours: supabase/functions/process-jobs/index.ts"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&index)?, "// mine\n");
    assert!(said.contains("they belong together"), "{said}");
    assert_eq!(fs::read_to_string(&record)?, earlier, "no worker of two versions");
    fs::remove_file(&index)?;
    process_jobs(&project, &["upgrade", "--yes"])?;
    assert_eq!(files(&project)?, installed, "whole again");

    // Out again: files and settings as they were, and the database too, once its migration is pushed.
    process_jobs(&project, &["uninstall", "--drop-tables", "--yes"])?;
    let mut left = files(&project)?;
    assert!(
        left.remove(&migration).is_some()
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

/// A config.toml of whatever form gets the one setting, or a word that it is to be set by hand; and is exactly as it was
/// when the package has been taken out.
#[test]
fn settings_of_all_forms_are_merged_and_given_back() -> Result<()> {
    const CONFIG: &str = "supabase/config.toml";
    let set = |config: &str, names: &[&str]| -> bool {
        let parsed: toml::Table = config.trim_start_matches('\u{feff}').parse().expect("TOML");
        let value = names.iter().try_fold(toml::Value::Table(parsed), |at, name| at.get(name).cloned());
        value == Some(toml::Value::Boolean(false))
    };
    let project = project()?;
    let merged = [
        "",
        "project_id = \"a\"",
        "project_id = \"a\"\n\n\n",
        "# mine\r\nproject_id = \"a\"\r\n\r\n[api]\r\nport = 1\r\n",
        "a = 1\r\nb = 2\n[c]\r\nd = 3\n",
        "\u{feff}project_id = \"a\"\n",
        "[functions.process-jobs]\nverify_jwt = true # mine\nimport_map = \"./a.json\"\n[api]\nport = 1\n",
        "[functions.\"process-jobs\"]\nenabled = true\n",
        "[ functions . 'process-jobs' ] # mine\nstatic_files = [\n  \"a\",\n]\n\"verify_jwt\" = \"env(V)\"\n",
        "[functions.other]\nverify_jwt = true\n[[x]]\ny = 1\n",
        "text = \"\"\"\n[functions.process-jobs]\n\"\"\"\n[functions.process-jobs]\nverify_jwt = true\n",
    ];
    for config in merged {
        edit(&project, CONFIG, |_| config.to_owned())?;
        let said = process_jobs(&project, &["install", "--yes"])?;
        let now = fs::read_to_string(project.directory().join(CONFIG))?;
        let is_hidden = config.starts_with("text");
        assert_eq!(set(&now, &["functions", "process-jobs", "verify_jwt"]), !is_hidden, "{config:?}: {now:?}");
        assert_eq!(said.contains("set its verify_jwt = false yourself"), is_hidden, "{config:?}: {said}");
        assert!(process_jobs(&project, &["install", "--yes"])?.contains("nothing to do"), "{config:?}");
        process_jobs(&project, &["uninstall", "--yes"])?;
        assert_eq!(fs::read_to_string(project.directory().join(CONFIG))?, config, "as it was");
        fs::remove_dir_all(project.directory().join("supabase/migrations"))?;
    }
    let left = [
        "[functions]\nprocess-jobs = { verify_jwt = true }\n",
        "functions.process-jobs.verify_jwt = true\n",
        "functions = { other = { verify_jwt = true } }\n",
    ];
    for config in left {
        edit(&project, CONFIG, |_| config.to_owned())?;
        let said = process_jobs(&project, &["install", "--yes"])?;
        assert!(said.contains("set its verify_jwt = false yourself"), "{config:?}: {said}");
        assert_eq!(fs::read_to_string(project.directory().join(CONFIG))?, config);
        process_jobs(&project, &["uninstall", "--yes"])?;
        fs::remove_dir_all(project.directory().join("supabase/migrations"))?;
    }
    edit(&project, CONFIG, |_| "[functions\n".to_owned())?;
    let (done, said) = run(&project, "npx", &["process-jobs", "install", "--yes"])?;
    assert!(!done && said.contains("supabase/config.toml is no TOML"), "{said}");
    Ok(())
}

/// The version of the package.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let manifest: serde_json::Value =
            serde_json::from_str(include_str!("../../npm/package.json")).expect("npm/package.json");
        manifest["version"].as_str().expect("a version").to_owned()
    })
}

/// The end of the migration's name in a project.
fn migration_name() -> String {
    format!("_process_jobs_{}.sql", version().replace('.', "_"))
}

/// What happens to a project between two commands: git, a kill, another version, hands.
#[test]
fn a_project_that_has_changed_meanwhile_is_brought_to_order() -> Result<()> {
    let project = project()?;
    let before = files(&project)?;
    process_jobs(&project, &["install", "--yes"])?;
    let migrations = || -> Result<Vec<String>> {
        let names = fs::read_dir(project.directory().join("supabase/migrations"))?;
        let mut names: Vec<String> = names
            .map(|name| name.map(|name| name.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, _>>()?;
        names.sort();
        Ok(names)
    };

    // git changes line ends.
    for (path, content) in files(&project)? {
        if path.starts_with(FUNCTION) && !content.contains(&0) {
            edit(&project, &path, |text| text.replace('\n', "\r\n"))?;
        }
    }
    assert!(process_jobs(&project, &["install", "--yes"])?.contains("nothing to do"));

    // Files were lost, and one is half written: it is nobody's own.
    fs::remove_file(project.directory().join(FUNCTION).join("pkg/process_jobs.js"))?;
    let said = process_jobs(&project, &["install", "--yes"])?;
    assert!(said.contains("pkg/process_jobs.js"), "{said}");

    // An older package goes over no newer one.
    let record = format!("{FUNCTION}/installed.json");
    edit(&project, &record, |text| text.replace(version(), "99.0.0"))?;
    let (done, said) = run(&project, "npx", &["process-jobs", "install", "--yes"])?;
    assert!(
        !done
            && said.contains(&format!(
                "99.0.0 is installed here, and this is {}: npx process-jobs@latest upgrade",
                version()
            )),
        "{said}"
    );
    edit(&project, &record, |_| "<<<<<<< ours".to_owned())?;
    let (done, said) = run(&project, "npx", &["process-jobs", "uninstall", "--yes"])?;
    assert!(!done && said.contains(&format!("{record} cannot be read")), "{said}");

    // Without its record it is still taken out of settings and database; with a file of somebody's own, all but that.
    fs::remove_dir_all(project.directory().join(FUNCTION))?;
    process_jobs(&project, &["uninstall", "--yes"])?;
    let out: Vec<String> = migrations()?;
    assert!(out.len() == 2 && out[1].ends_with("_uninstall_process_jobs.sql"), "{out:?}");
    let (config, then) = ("supabase/config.toml", files(&project)?);
    assert_eq!(then[config], before[config]);

    // In again, with a migration of its own after that; out again though a file is somebody's own.
    process_jobs(&project, &["install", "--yes"])?;
    assert!(migrations()?.len() == 3 && migrations()?[2].ends_with(&migration_name()), "{:?}", migrations()?);
    edit(&project, &format!("{FUNCTION}/index.ts"), |text| text + "// mine\n")?;
    let (done, said) = run(&project, "npx", &["process-jobs", "uninstall", "--yes"])?;
    assert!(
        !done && said.contains("supabase functions delete process-jobs") && said.contains("for they are yours"),
        "{said}"
    );
    fs::remove_file(project.directory().join(FUNCTION).join("index.ts"))?;
    process_jobs(&project, &["uninstall", "--yes"])?;
    assert!(!project.directory().join("supabase/functions").exists() || !project.directory().join(FUNCTION).exists());
    assert_eq!(migrations()?.len(), 4, "one each");

    // Migrations whose versions are no times, and one after which nothing comes.
    edit(&project, "supabase/migrations/9999_theirs.sql", |_| String::new())?;
    process_jobs(&project, &["install", "--yes"])?;
    assert!(migrations()?.contains(&format!("99990000000001{}", migration_name())), "{:?}", migrations()?);
    process_jobs(&project, &["uninstall", "--yes"])?;
    edit(&project, "supabase/migrations/99999999999999_theirs.sql", |_| String::new())?;
    let (done, said) = run(&project, "npx", &["process-jobs", "install", "--yes"])?;
    assert!(!done && said.contains("no migration can come after 99999999999999"), "{said}");
    Ok(())
}

/// A doctor that is answered by something else says so, and never for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_is_no_fool() -> Result<()> {
    let project = project()?;
    let ask = |url: &str, key: &str| {
        let asked = ["process-jobs", "doctor", "--url", url, "--key", key];
        let (done, said) = run(&project, "npx", &asked).expect("npx");
        assert!(!done, "{said}");
        said
    };
    for (status, body, said, advice) in [
        (200, "[]", "answers 200: []", "see that --url is the project's"),
        (200, "null", "answers 200: null", "see that --url is the project's"),
        (404, "<html>", "answers 404: <html>", "see that --url is the project's"),
        (404, r#"{"code":"PGRST202"}"#, "answers 404", "npx supabase db push --local"),
        (
            200,
            r#"[{"subject":"versions","finding":"","advice":"supabase db push --remote"}]"#,
            "versions",
            "supabase db push --local",
        ),
        (401, "{}", "answers 401: {}", "see that --key is a secret or service-role key"),
        (503, r#"{"status":"error","error":"no database"}"#, "answers 503: no database", "see the database first"),
        (200, r#"{"status":"ok"}"#, "function's health  answers 200", "see that --key is a secret"),
    ] {
        let app = axum::Router::new()
            .fallback(move || async move { (axum::http::StatusCode::from_u16(status).expect("a status"), body) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let found = tokio::task::block_in_place(|| ask(&url, "k"));
        assert!(found.contains(said) && found.contains(advice), "{status} {body}: {found}");
        server.abort();
    }
    let closed = format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    for (url, key, said) in [
        (closed.as_str(), "k", "does not answer (ECONNREFUSED)"),
        ("http://127.0.0.1:9", "k", "does not answer (bad port)"),
        ("abcd.supabase.co", "k", "--url is to be https://<project>.supabase.co"),
        ("http://127.0.0.1:9", "sb_secret_a\nbcdef", "--key has characters that no key has"),
    ] {
        let found = ask(url, key);
        assert!(found.contains(said) && !found.contains("bcdef"), "{found}");
    }
    Ok(())
}
