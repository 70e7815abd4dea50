//! `cargo xtask release`: the release's migration, of the SQL in supabase/schemas.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::command::{command, output, root};

/// A file of supabase/schemas as the migration has it: its path below that folder, and its text.
struct Part {
    path: String,
    sql: String,
}

/// Writes the migration of the version that Cargo.toml names. Those of earlier versions are frozen.
pub fn run() -> Result<()> {
    let path = path()?;
    fs::write(&path, migration()?)?;
    println!("{}", path.strip_prefix(root())?.display());
    Ok(())
}

/// Fails where the migration of this version is not what the schemas say.
pub fn check() -> Result<()> {
    let path = path()?;
    let there = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(there == migration()?, "{} is older than supabase/schemas: run `cargo xtask release`", path.display());
    Ok(())
}

/// Of this version: the file that is there, else a new one of today.
pub fn path() -> Result<PathBuf> {
    let folder = root().join("migrations");
    let name = format!("_process_jobs_{}.sql", version()?.replace('.', "_"));
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(&name) {
            return Ok(path);
        }
    }
    let today = output(command("date").args(["-u", "+%Y%m%d000000"]))?;
    Ok(folder.join(format!("{}{name}", today.trim())))
}

pub fn version() -> Result<String> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        version: String,
    }
    let manifest: Manifest = toml::from_str(&fs::read_to_string(root().join("Cargo.toml"))?)?;
    Ok(manifest.package.version)
}

fn migration() -> Result<String> {
    let version = version()?;
    let mut sql = format!(
        "-- process-jobs {version}. Made by `cargo xtask release` of supabase/schemas, where each part says what it does.\n\
         --\n\
         -- It fills an empty database, moves into an app that is there, and brings every earlier version up to date; a\n\
         -- second run changes nothing. To be run in one transaction, as `supabase db push` and `psql --single-transaction`\n\
         -- do: all of it or nothing.\n\
         do $$ begin perform set_config('process_jobs.installs', 'yes', true); end $$;\n\
         do $$\n\
         declare\n  \
           v_newer text;\n\
         begin\n  \
           if current_setting('process_jobs.installs', true) is distinct from 'yes' then\n    \
             raise exception 'process-jobs is installed in one transaction: psql --single-transaction' using errcode = '25000';\n  \
           end if;\n  \
           if to_regclass('process_jobs.releases') is not null then\n    \
             execute 'select r.version from process_jobs.releases r where string_to_array(r.version, ''.'')::int[] > string_to_array($1, ''.'')::int[]'\n    \
             into v_newer using '{version}';\n  \
           end if;\n  \
           if v_newer is not null then\n    \
             raise exception 'the database has process-jobs %, and this is {version}', v_newer using errcode = '55000';\n  \
           end if;\n\
         end\n\
         $$;\n"
    );
    for part in parts()? {
        write!(sql, "\n-- ── {} ──\n\n{}", part.path, part.sql)?;
    }
    write!(
        sql,
        "\n-- ── done ──\n\n\
         insert into process_jobs.releases (version) values ('{version}') on conflict (version) do nothing;\n\n\
         -- Tells PostgREST that there are new tables and functions.\n\
         notify pgrst, 'reload schema';\n"
    )?;
    Ok(sql)
}

/// In the order of schema_paths in supabase/config.toml.
fn parts() -> Result<Vec<Part>> {
    #[derive(Deserialize)]
    struct Config {
        db: Db,
    }
    #[derive(Deserialize)]
    struct Db {
        migrations: Migrations,
    }
    #[derive(Deserialize)]
    struct Migrations {
        schema_paths: Vec<String>,
    }
    let supabase = root().join("supabase");
    let config: Config = toml::from_str(&fs::read_to_string(supabase.join("config.toml"))?)?;

    let mut paths = Vec::new();
    for path in config.db.migrations.schema_paths {
        let path = path.trim_start_matches("./schemas/");
        match path.strip_suffix("/*.sql") {
            Some(room) => paths.extend(listed(room)?),
            None => paths.push(path.to_owned()),
        }
    }
    let mut seen = BTreeSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    paths
        .into_iter()
        .map(|path| {
            let sql = fs::read_to_string(supabase.join("schemas").join(&path))
                .with_context(|| format!("cannot read supabase/schemas/{path}"))?;
            Ok(Part { path, sql })
        })
        .collect()
}

/// The files of a room, by name.
fn listed(room: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root().join("supabase/schemas").join(room)).with_context(|| format!("no room {room}"))? {
        paths.push(format!("{room}/{}", entry?.file_name().to_string_lossy()));
    }
    paths.sort();
    Ok(paths)
}
