//! How large the wasm is, and what it adds to the start of a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::Deno;
use nix::sys::resource::{UsageWho, getrusage};

use crate::build::Sizes;
use crate::command::root;
use crate::node;

const GZIP_MAX: usize = 125_000;
/// Of what a function importing supabase-js adds to an empty one.
const ADDED_MAX: f64 = 0.5;
const RUNS: usize = 21;

/// Each answers its first request once it has loaded all of itself.
const FUNCTIONS: [(&str, &str); 3] = [
    ("empty", "xtask/src/bench/empty.ts"),
    ("process-jobs", "supabase/functions/process-jobs/index.ts"),
    ("supabase-js", "xtask/src/bench/supabase_js.ts"),
];

pub fn bench() -> Result<()> {
    let wasm = Sizes::of(&root().join("pkg/process_jobs_bg.wasm"))?;
    println!("wasm: {} bytes, {} gzip (at most {GZIP_MAX}), {} brotli", wasm.raw, wasm.gzip, wasm.brotli);

    let cache = tempfile::tempdir()?;
    for (_, function) in FUNCTIONS {
        start(function, cache.path())?; // fills Deno's caches
    }
    // In turns, so that what else the machine does falls on all alike.
    let mut runs = [const { Vec::new() }; FUNCTIONS.len()];
    for _ in 0..RUNS {
        for ((_, function), runs) in FUNCTIONS.iter().zip(&mut runs) {
            runs.push(start(function, cache.path())?);
        }
    }
    let wall = runs.each_ref().map(|runs| median(runs.iter().map(|start| start.wall)));
    let cpu = runs.each_ref().map(|runs| median(runs.iter().map(|start| start.cpu)));

    println!("start in Deno 2.1.4 to the first answer, median of {RUNS}, in ms:");
    println!("{:<14} {:>8} {:>8} {:>8} {:>8}", "function", "wall", "added", "cpu", "added");
    for (i, (name, _)) in FUNCTIONS.iter().enumerate() {
        let [wall_added, cpu_added] = [wall[i] - wall[0], cpu[i] - cpu[0]];
        println!("{name:<14} {:>8.1} {wall_added:>8.1} {:>8.1} {cpu_added:>8.1}", wall[i], cpu[i]);
    }
    let ratio = |times: [f64; 3]| (times[1] - times[0]) / (times[2] - times[0]);
    let (wall, cpu) = (ratio(wall), ratio(cpu));
    println!("process-jobs adds {wall:.2} of the wall time and {cpu:.2} of the CPU time that supabase-js adds");

    ensure!(wasm.gzip <= GZIP_MAX, "the wasm has {} bytes gzipped, more than {GZIP_MAX}", wasm.gzip);
    ensure!(wall <= ADDED_MAX && cpu <= ADDED_MAX, "the start adds more than {ADDED_MAX} of what supabase-js adds");
    Ok(())
}

struct Start {
    wall: Duration,
    /// User and system time of the whole process, until it was killed after its answer.
    cpu: Duration,
}

fn start(function: &str, cache: &Path) -> Result<Start> {
    let cpu_before = children_cpu()?;
    let started = Instant::now();
    let mut child = node::deno(Deno::V2_1_4)?
        .args(["run", "--quiet", "--no-prompt", "--node-modules-dir=manual"])
        .args(["--allow-env", "--allow-net", "--allow-read", "dev/stack/js/edge_runtime.ts"])
        .arg(root().join(function))
        .env("DENO_DIR", cache)
        .env("NO_COLOR", "1")
        .env("SUPABASE_URL", "http://127.0.0.1:9")
        .env("SUPABASE_SERVICE_ROLE_KEY", "a-key")
        .env("REPLICATE_API_TOKEN", "a-token")
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start deno")?;
    let answered = child
        .stderr
        .take()
        .context("deno has no output")
        .and_then(|output| first_answer(BufReader::new(output)))
        .with_context(|| format!("{function} did not answer"));
    let wall = started.elapsed();
    child.kill()?;
    child.wait()?;
    answered?;
    Ok(Start { wall, cpu: children_cpu()? - cpu_before })
}

/// Reads where the function listens, asks it for its health, and waits for 200.
fn first_answer(mut output: impl BufRead) -> Result<()> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("Listening on http://")
        .with_context(|| format!("it said {line:?} first"))?
        .trim_end_matches('/');
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /process-jobs/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "it answered {answer}");
    Ok(())
}

/// Of the children that have ended and been waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}

/// In milliseconds.
fn median(times: impl Iterator<Item = Duration>) -> f64 {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1000.0
}
