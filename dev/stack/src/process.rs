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

/// A running child, stopped when dropped, or by the scratch directory's watchdog if this process dies first. It never
/// gets the terminal's Ctrl-C: this process decides the order of stopping.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// The start of this process's output in the log, where an earlier one of the same name may have written.
    log_start: usize,
    pid_file: PathBuf,
}

impl Process {
    /// Starts `command`. Its output is appended to `<name>.log` in the scratch directory.
    pub fn start(scratch: &Scratch, name: &str, mut command: Command) -> Result<Process> {
        let log = scratch.path().join(format!("{name}.log"));
        let out = File::options().create(true).append(true).open(&log)?;
        let log_start = out.metadata()?.len() as usize;
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let pid_file = scratch.pid_file(child.id());
        let process = Process { name: name.to_owned(), child, log, log_start, pid_file };
        fs::write(&process.pid_file, "")?;
        Ok(process)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, or `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Sends SIGKILL: no clean-up code runs. Returns when the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// The port on which a Deno process listens, which it chooses itself and prints. Fails if the process ends or 60 s
    /// pass before that.
    pub async fn port(&mut self) -> Result<u16> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.ended()?;
            let log = self.log();
            let port = log.lines().find_map(|line| line.strip_prefix("Listening on http://127.0.0.1:"));
            if let Some(port) = port.and_then(|rest| rest.trim_end_matches('/').split([' ', '/']).next()?.parse().ok())
            {
                return Ok(port);
            }
            if let Some(status) = ended {
                return Err(self.failure(&format!("ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.failure("does not listen after 60 s"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The output of this process so far.
    pub fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// An error with the reason `what` and the last printed lines.
    pub fn failure(&self, what: &str) -> anyhow::Error {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        anyhow::anyhow!("{} {what}; the last it printed:\n{tail}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGQUIT is Postgres's immediate stop and ends every other program too.
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
