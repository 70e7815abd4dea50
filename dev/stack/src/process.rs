//! A child process with a log file.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::scratch::Scratch;

/// A running child, stopped when dropped, or by the scratch directory's watchdog when we die first.
/// It never sees the terminal's Ctrl-C: we decide the order in which things stop.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    pid_file: PathBuf,
}

impl Process {
    /// Starts `command`. What it prints is appended to `<name>.log` in the scratch directory.
    pub fn start(scratch: &Scratch, name: &'static str, mut command: Command) -> Result<Process> {
        let log = scratch.path().join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let pid_file = scratch.pid_file(child.id());
        let process = Process {
            name,
            child,
            log,
            pid_file,
        };
        fs::write(&process.pid_file, "")?;
        Ok(process)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL: no clean-up code runs. Returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// An error that says why the process is of no use, with the last lines it printed.
    pub fn failure(&self, what: &str) -> anyhow::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        anyhow::anyhow!("{} {what}; the last it printed:\n{tail}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGQUIT is Postgres's "stop at once" and ends every other program too.
        let _ = signal::kill(Pid::from_raw(self.child.id() as i32), Signal::SIGQUIT);
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_file(&self.pid_file);
    }
}
