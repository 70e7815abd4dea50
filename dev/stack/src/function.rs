//! An edge function: one Deno process at a time, as the platform runs one isolate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};
use tokio::sync::Mutex;

use crate::deno::Deno;
use crate::gateway::FUNCTION;
use crate::process::Process;
use crate::scratch::Scratch;

/// `process-jobs`, or another function of the project. It boots at the first request, and again at the next request after
/// its process has ended for any reason.
pub struct Function {
    name: String,
    deno: Deno,
    directory: PathBuf,
    env: BTreeMap<String, String>,
    scratch: Arc<Scratch>,
    running: Mutex<Option<Running>>,
    boots: AtomicUsize,
}

struct Running {
    process: Process,
    port: u16,
}

impl Function {
    pub(crate) fn new(
        name: &str,
        deno: Deno,
        directory: PathBuf,
        env: BTreeMap<String, String>,
        scratch: Arc<Scratch>,
    ) -> Function {
        let name = name.to_owned();
        Function { name, deno, directory, env, scratch, running: Mutex::new(None), boots: AtomicUsize::new(0) }
    }

    /// The port of the running process; boots one if none runs. Fails with the last printed lines if the function does
    /// not come up.
    pub async fn port(&self) -> Result<u16> {
        let mut running = self.running.lock().await;
        if let Some(running) = running.as_mut()
            && running.process.ended()?.is_none()
        {
            return Ok(running.port);
        }
        let mut process = Process::start(&self.scratch, &self.name, self.command()?)?;
        let port = process.port().await?;
        self.boots.fetch_add(1, Ordering::Relaxed);
        *running = Some(Running { process, port });
        Ok(port)
    }

    /// Kills the process with SIGKILL, in the middle of any work. Does nothing if none runs.
    pub async fn kill(&self) -> Result<()> {
        match self.running.lock().await.take() {
            Some(mut running) => running.process.kill(),
            None => Ok(()),
        }
    }

    /// A variable of the function's environment.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    /// The number of times that a process has come up.
    pub fn boots(&self) -> usize {
        self.boots.load(Ordering::Relaxed)
    }

    /// `None` if no process runs.
    pub async fn pid(&self) -> Option<u32> {
        let mut running = self.running.lock().await;
        let process = &mut running.as_mut()?.process;
        process.ended().ok()?.is_none().then(|| process.pid())
    }

    /// The most memory that the running process has held, in bytes. Linux only.
    pub async fn peak_rss(&self) -> Result<u64> {
        let status = self.proc_file("status").await?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .context("no VmHWM in /proc/<pid>/status")?;
        Ok(kilobytes * 1024)
    }

    /// User and system time of the running process so far, to 10 ms. Linux only.
    pub async fn cpu_time(&self) -> Result<Duration> {
        let stat = self.proc_file("stat").await?;
        // proc_pid_stat(5): fields 14 and 15, counted from the state (3), which follows the name in brackets.
        let fields =
            stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).context("odd /proc/<pid>/stat")?;
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
        let ticks_per_second = sysconf(SysconfVar::CLK_TCK)?.context("the system does not say its clock ticks")?;
        Ok(Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64))
    }

    async fn proc_file(&self, name: &str) -> Result<String> {
        let pid = self.pid().await.context("the function is not running")?;
        let path = format!("/proc/{pid}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// The command has the platform's permissions: a function reads its own files, its environment and the network.
    fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.deno.binary()?);
        // Other functions find npm packages in this repository's node_modules.
        let packages = if self.name == FUNCTION { "--node-modules-dir=none" } else { "--node-modules-dir=manual" };
        command.args(["run", "--no-lock", packages, "--no-prompt"]).args([
            "--allow-env",
            "--allow-net",
            "--allow-read",
        ]);
        let configuration = self.directory.join("deno.json");
        if configuration.exists() {
            command.arg("--config").arg(configuration);
        }
        command
            .arg(crate::repository().join("dev/stack/js/edge_runtime.ts"))
            .arg(
                self.directory
                    .join("index.ts")
                    .canonicalize()
                    .with_context(|| format!("there is no function in {}", self.directory.display()))?,
            )
            .env_clear()
            .env("DENO_DIR", self.scratch.path().join("deno"))
            .env("NO_COLOR", "1")
            .envs(&self.env);
        Ok(command)
    }
}
