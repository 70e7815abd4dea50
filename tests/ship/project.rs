//! The checkout as the CLI sees it, and the CLI.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

/// A copy of what the CLI reads. The CLI writes which project it last talked to into `supabase/.temp`, and in the
/// checkout itself that may be somebody's real one.
pub struct Project {
    directory: TempDir,
}

impl Project {
    pub fn new() -> Result<Project> {
        let directory = tempfile::tempdir()?;
        let copied = Command::new("cp")
            .arg("-a")
            .args(["supabase", "migrations", "pkg"].map(|name| checkout().join(name)))
            .arg(directory.path())
            .status()?;
        ensure!(copied.success(), "cannot copy the project");
        Ok(Project { directory })
    }

    /// A new one, as the CLI makes it.
    pub fn scratch() -> Result<Project> {
        let project = Project { directory: tempfile::tempdir()? };
        project.supabase(&["init"], &[])?;
        Ok(project)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs the CLI and returns all that it said. Fails with that when the exit code is not 0.
    pub fn supabase(&self, arguments: &[&str], env: &[(&str, &str)]) -> Result<String> {
        let cli = checkout().join("node_modules/.bin/supabase");
        let ended = Command::new(&cli)
            .args(arguments)
            .current_dir(self.directory())
            // Its settings and a login of the developer's stay out of this.
            .env("HOME", self.directory())
            .env("SUPABASE_TELEMETRY_DISABLED", "1")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", cli.display()))?;
        let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        ensure!(ended.status.success(), "supabase {arguments:?} ended with {}:\n{said}", ended.status);
        Ok(said)
    }
}

pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
