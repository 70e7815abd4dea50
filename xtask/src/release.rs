//! `cargo xtask release`: from what is committed to what a person commits, tags and publishes.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::command::{command, output, root, run as run_command};
use crate::{build, migration, package};

/// Sets the version, dates the changelog, freezes the migration, and builds and packs it all.
///
/// Errors, before anything is changed: something is not committed; the version is none, or not above each released one;
/// the changelog has nothing new.
pub fn run(version: &str) -> Result<()> {
    let left = output(command("git").args(["status", "--porcelain"]))?;
    ensure!(left.is_empty(), "not everything is committed:\n{left}");
    let number = number(version).with_context(|| format!("{version} is no version: three numbers, as 0.2.0"))?;
    let current = migration::version()?;
    let before = migration::path()?;
    let released = migration::is_frozen(&before)?;
    let old = self::number(&current).context("Cargo.toml's version")?;
    ensure!(number > old || number == old && !released, "{version} is not above {current}");
    let changelog = dated(&read("CHANGELOG.md")?, version, &migration::today("%Y-%m-%d")?)?;

    for (path, line) in [("Cargo.toml", "version = \"{}\""), ("npm/package.json", "\"version\": \"{}\"")] {
        write(path, &read(path)?.replacen(&line.replace("{}", &current), &line.replace("{}", version), 1))?;
    }
    ensure!(migration::version()? == version, "Cargo.toml has not taken the version");
    run_command(command("cargo").args(["update", "--workspace", "--offline", "--quiet"]))?;
    write("CHANGELOG.md", &changelog)?;
    if !released && before != migration::path()? && before.exists() {
        fs::remove_file(&before)?;
    }
    migration::run()?;
    migration::freeze()?;
    build::run()?;
    package::run()?;
    println!("{version} is made. `cargo xtask ci`, then commit, tag v{version}, and `npm publish` the package");
    Ok(())
}

/// `0.2.0` as numbers, which compare.
fn number(version: &str) -> Option<[u32; 3]> {
    let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The changelog with what was unreleased under the version and its day.
fn dated(changelog: &str, version: &str, day: &str) -> Result<String> {
    const UNRELEASED: &str = "## Unreleased\n";
    let Some((head, rest)) = changelog.split_once(UNRELEASED) else {
        bail!("CHANGELOG.md has no line {}", UNRELEASED.trim_end());
    };
    let news = rest.split("\n## ").next().unwrap_or(rest);
    ensure!(!news.trim().is_empty(), "CHANGELOG.md tells nothing of {version} under {}", UNRELEASED.trim_end());
    Ok(format!("{head}{UNRELEASED}\n## {version} – {day}\n{rest}"))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(root().join(path), text).with_context(|| format!("cannot write {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_is_dated() {
        let changelog = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.1.0 – 2026-12-01\n\n- First.\n";
        let dated = dated(changelog, "0.2.0", "2027-01-02").expect("there is something new");
        let expected =
            "# Changelog\n\n## Unreleased\n\n## 0.2.0 – 2027-01-02\n\n- New.\n\n## 0.1.0 – 2026-12-01\n\n- First.\n";
        assert_eq!(dated, expected);
        let nothing = super::dated(&dated, "0.3.0", "2027-01-03").expect_err("nothing is new").to_string();
        assert_eq!(nothing, "CHANGELOG.md tells nothing of 0.3.0 under ## Unreleased");
    }

    #[test]
    fn versions_compare() {
        assert!(number("0.10.0") > number("0.9.1"));
        for odd in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.-3", "1.2.x"] {
            assert_eq!(number(odd), None, "{odd}");
        }
    }
}
