//! `cargo xtask migration`: makes the migration of the version to come from the SQL in supabase/schemas, and holds those
//! of earlier releases to their sums.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::build::sha256;
use crate::command::{command, output, root};

/// Below migrations/: the files of the releases, with their sums, as `sha256sum --check` reads them.
const FROZEN: &str = "SHA256SUMS";

/// A file of supabase/schemas for the migration: its path below that folder, and its text.
struct Part {
    path: String,
    sql: String,
}

/// Writes the migration of Cargo.toml's version. Error: that version is released already, and its file differs.
pub fn run() -> Result<()> {
    let (path, made) = (path()?, migration()?);
    if fs::read_to_string(&path).is_ok_and(|there| there == made) {
        return Ok(());
    }
    ensure!(!is_frozen(&path)?, "{}", released()?);
    fs::write(&path, made)?;
    println!("{}", path.strip_prefix(root())?.display());
    Ok(())
}

/// Fails if this version's migration differs from the schemas, or that of a release from the released one.
pub fn check() -> Result<()> {
    check_frozen(&folder())?;
    let path = path()?;
    let there = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if there == migration()? {
        return Ok(());
    }
    ensure!(!is_frozen(&path)?, "{}", released()?);
    anyhow::bail!("{} is older than supabase/schemas: run `cargo xtask migration`", path.display())
}

/// Adds this version's migration to the frozen ones.
pub fn freeze() -> Result<()> {
    let path = path()?;
    let name = path.file_name().context("a migration has a name")?.to_string_lossy();
    let mut sums = sums(&folder())?;
    writeln!(sums, "{}  {name}", sha256(&fs::read(&path)?))?;
    Ok(fs::write(folder().join(FROZEN), sums)?)
}

/// Whether the migration is that of a release.
pub fn is_frozen(path: &Path) -> Result<bool> {
    let name = path.file_name().context("a migration has a name")?.to_string_lossy();
    Ok(sums(&folder())?.lines().any(|line| line.ends_with(&*format!("  {name}"))))
}

fn released() -> Result<String> {
    Ok(format!(
        "{} is released, and supabase/schemas have changed since: set the next version in Cargo.toml",
        version()?
    ))
}

fn check_frozen(folder: &Path) -> Result<()> {
    for line in sums(folder)?.lines() {
        let (sum, name) = line.split_once("  ").with_context(|| format!("{FROZEN}: no sum and name: {line}"))?;
        let file = fs::read(folder.join(name)).with_context(|| format!("cannot read migrations/{name}"))?;
        ensure!(sha256(&file) == sum, "migrations/{name} was released, and has changed since: bring it back");
    }
    Ok(())
}

fn sums(folder: &Path) -> Result<String> {
    match fs::read_to_string(folder.join(FROZEN)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        read => read.with_context(|| format!("cannot read migrations/{FROZEN}")),
    }
}

fn folder() -> PathBuf {
    root().join("migrations")
}

/// The path of this version's migration: the existing file, else a new one of today.
pub fn path() -> Result<PathBuf> {
    let folder = folder();
    let name = format!("_process_jobs_{}.sql", version()?.replace('.', "_"));
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(&name) {
            return Ok(path);
        }
    }
    Ok(folder.join(format!("{}000000{name}", today("%Y%m%d")?)))
}

/// Today in UTC, in a format of date(1).
pub fn today(format: &str) -> Result<String> {
    Ok(output(command("date").args(["-u", &format!("+{format}")]))?.trim().to_owned())
}

/// The version in Cargo.toml: the one to come, until it is released.
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
        "-- process-jobs {version}. Made by `cargo xtask migration` of supabase/schemas, where each part says what it does.\n\
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

/// The files in the order of schema_paths in supabase/config.toml.
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

/// The files of a room, sorted by name.
fn listed(room: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root().join("supabase/schemas").join(room)).with_context(|| format!("no room {room}"))? {
        paths.push(format!("{room}/{}", entry?.file_name().to_string_lossy()));
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_migration_stays_as_it_is() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text);
        check_frozen(folder.path())?;
        write("1.sql", "select 1;\n")?;
        write(FROZEN, &format!("{}  1.sql\n", sha256(b"select 1;\n")))?;
        check_frozen(folder.path())?;
        write("1.sql", "select 2;\n")?;
        let refused = check_frozen(folder.path()).expect_err("it has changed").to_string();
        assert_eq!(refused, "migrations/1.sql was released, and has changed since: bring it back");
        fs::remove_file(folder.path().join("1.sql"))?;
        let refused = check_frozen(folder.path()).expect_err("it is gone").to_string();
        assert_eq!(refused, "cannot read migrations/1.sql");
        Ok(())
    }
}
