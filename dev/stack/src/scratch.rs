//! A directory and the processes that work in it, both removed with this process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A throw-away directory. Dropping it deletes it; so does the end of this process for any reason (a panic, Ctrl-C,
/// SIGKILL), after the processes registered in it have been stopped.
///
/// A watchdog does this: a shell that reads from a pipe which only this process holds. When the pipe closes it stops
/// the remaining processes and removes the directory. It is in a process group of its own, so that the terminal's
/// Ctrl-C does not reach it.
pub struct Scratch {
    path: PathBuf,
    watchdog: Child,
}

const WATCHDOG: &str = r#"
trap '' HUP INT TERM
cat
pids=$(ls "$1/pids")
for pid in $pids; do kill -QUIT "$pid"; done
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    alive=
    for pid in $pids; do kill -0 "$pid" && alive=1; done
    [ "$alive" ] || break
    sleep 0.1
done
for pid in $pids; do kill -KILL "$pid"; done
rm -rf "$1"
"#;

impl Scratch {
    pub fn new() -> Result<Scratch> {
        let path = tempfile::Builder::new().prefix("process-jobs-").tempdir().context("no temporary directory")?.keep();
        // If this process is root's, Postgres runs as another user and must be able to pass through.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o711))?;
        fs::create_dir(path.join("pids"))?;
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog shell")?;
        Ok(Scratch { path, watchdog })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The output of the processes so far, each under its name.
    pub fn logs(&self) -> Result<String> {
        let mut logs = String::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                let log = fs::read(&path).unwrap_or_default();
                logs.push_str(&format!("--- {name}\n{}\n", String::from_utf8_lossy(&log).trim_end()));
            }
        }
        Ok(logs)
    }

    /// The file by which the watchdog finds the process with this id.
    pub fn pid_file(&self, pid: u32) -> PathBuf {
        self.path.join("pids").join(pid.to_string())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}
