//! `cargo xtask new-job-type`: makes a working job type as a starting point.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::command::{command, root, run};
use crate::migration;

/// The files of a new job type: those of `ping-url`, renamed.
const HANDLER: &str = include_str!("new_job_type/handler.rs.txt");
const CONVERSATION: &str = include_str!("new_job_type/conversation.txt");

/// Writes the handler's file, its line in the table of handlers, its row in `job_types`, a first conversation and the
/// type of its payload for callers. Fails, and writes nothing, if the name is invalid or taken.
pub fn new(job_type: &str) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    ensure!(job_type.split('-').all(is_word), "a job type is named in words like ping-url, not {job_type:?}");
    let module = job_type.replace('-', "_");
    let table = root().join("src/handlers/mod.rs");
    let handlers = fs::read_to_string(&table)?;
    let handlers = with_handler(&handlers, &module).context("src/handlers/mod.rs has no table of handlers")?;

    let row = format!(
        "-- {job_type}: with the default policy; its columns are told in job_types.sql.\n\
         insert into public.job_types (job_type)\nvalues ('{job_type}')\non conflict (job_type) do nothing;\n"
    );
    let named = |text: &str| text.replace("ping-url", job_type);
    let files = [
        (format!("src/handlers/{module}.rs"), named(HANDLER)),
        (format!("tests/conversations/{module}.txt"), named(CONVERSATION)),
        (format!("supabase/schemas/policy/{module}.sql"), row),
    ];
    for (path, _) in &files {
        ensure!(!root().join(path).exists(), "{path} is there already");
    }
    for (path, text) in &files {
        fs::write(root().join(path), text)?;
        println!("{path}");
    }
    fs::write(&table, handlers)?;
    println!("src/handlers/mod.rs");
    run(command("cargo").args(["fmt", "--package", "process-jobs"]))?;
    migration::run()?;
    run(command("cargo")
        .args(["test", "--quiet", "--package", "process-jobs", "payload_types"])
        .env("WRITE_DOCS", "1"))?;
    println!("npm/payloads.d.ts");
    println!("\ncargo test           # its first conversation goes as written\ncargo xtask build    # into pkg/");
    Ok(())
}

/// Adds the module and its entry in `ALL`, both sorted by name.
fn with_handler(handlers: &str, module: &str) -> Option<String> {
    let (modules, rest) = handlers.split_once("\n\nuse ")?;
    let (head, modules) = modules.rsplit_once("\n\n")?;
    let mut modules: Vec<&str> = modules.lines().collect();
    let added = format!("mod {module};");
    modules.push(&added);
    modules.sort_unstable_by_key(|line| line.trim_start_matches("pub(crate) "));

    let (before, table) = rest.split_once("ALL: &[Handler] =")?;
    let (table, after) = table.trim_start().strip_prefix("&[")?.split_once("];")?;
    let entry = format!("{module}::HANDLER");
    let mut entries: Vec<&str> = table.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    entries.push(&entry);
    entries.sort_unstable();
    let (modules, entries) = (modules.join("\n"), entries.join(", "));
    Some(format!("{head}\n\n{modules}\n\nuse {before}ALL: &[Handler] = &[{entries}];{after}"))
}
