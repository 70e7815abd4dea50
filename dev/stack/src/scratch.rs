//! A directory and the processes working in it, both gone when we are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A throw-away directory. Dropping it deletes it; so does the end of this process, whatever ended it
/// (a panic, Ctrl-C, SIGKILL), after the processes registered in it have been stopped.
///
/// A watchdog sees to that: a shell reading from a pipe that only we hold. When the pipe closes it stops
/// what is left and removes the directory. It sits in a process group of its own, so that the terminal's
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
        // Postgres runs as another user when we are root and must be able to pass through.
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

    /// What the processes have printed so far, each under its name.
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

    /// Where the watchdog looks for the process with this id.
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
