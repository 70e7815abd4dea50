//! The size of the wasm, and the time that it adds to the start of a function.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::Deno;
use nix::sys::resource::{UsageWho, getrusage};

use super::report::{self, Better, Comparison};
use super::spread::Spread;
use crate::build::Sizes;
use crate::command::{self, root};
use crate::node;

/// The largest share of the time that a TypeScript worker with supabase-js adds to an empty function.
const ADDED_MAX: f64 = 0.4;
const RUNS: usize = 21;

const EMPTY: &str = "empty function";
const OURS: &str = "process-jobs";
const TYPESCRIPT: &str = "TypeScript worker";

/// Each answers its first request once it has loaded completely.
const FUNCTIONS: [(&str, &str); 3] = [
    (EMPTY, "xtask/src/bench/functions/empty/index.ts"),
    (OURS, "supabase/functions/process-jobs/index.ts"),
    (TYPESCRIPT, "xtask/src/bench/functions/typescript/index.ts"),
];

pub fn bench() -> Result<()> {
    let wasm = Sizes::of(&root().join("pkg/process_jobs_bg.wasm"))?;
    println!("wasm: {} bytes, {} gzip, {} brotli", wasm.raw, wasm.gzip, wasm.brotli);
    println!("starts of a process, {RUNS} of each in turns");

    let mut comparisons = Vec::new();
    let mut ratios = Vec::new();
    for deno in [Deno::V2_1_4, Deno::Latest] {
        let version = report::deno_version(deno)?;
        let starts = measure(deno)?;
        for (of, what) in [(Start::wall as fn(&Start) -> f64, "time"), (Start::cpu, "CPU time")] {
            let spread = |of: &dyn Fn(usize) -> f64| Spread::of((0..RUNS).map(of));
            let total =
                FUNCTIONS.iter().zip(&starts).map(|((name, _), starts)| (*name, spread(&|run| of(&starts[run]))));
            // Pairs each run with the empty function's run just before or after it.
            let added = FUNCTIONS.iter().zip(&starts).skip(1);
            let added = added.map(|((name, _), it)| (*name, spread(&|run| of(&it[run]) - of(&starts[0][run]))));
            let total = Comparison::new(
                format!("start in Deno {version}: {what} to the first answer"),
                "ms",
                Better::Lower,
                total,
            );
            let added = Comparison::new(
                format!("start in Deno {version}: {what} that it adds to an empty function's"),
                "ms",
                Better::Lower,
                added,
            );
            let total = total.ratio_of(OURS, TYPESCRIPT);
            ratios.push(added.ratio(OURS, TYPESCRIPT));
            comparisons.push(if deno == Deno::V2_1_4 { total.in_chart() } else { total });
            comparisons.push(added.ratio_of(OURS, TYPESCRIPT));
        }
        comparisons.push(instantiate(deno, &version)?);
    }
    report::publish("cold", &comparisons)?;

    ensure!(
        ratios.iter().all(|ratio| *ratio <= ADDED_MAX),
        "the start adds more than {ADDED_MAX} of what the TypeScript worker adds: {ratios:.2?}"
    );
    Ok(())
}

/// Starts every function in turns, so that other load of the machine affects all alike.
fn measure(deno: Deno) -> Result<[Vec<Start>; FUNCTIONS.len()]> {
    let cache = tempfile::tempdir()?;
    for (_, function) in FUNCTIONS {
        start(deno, function, cache.path())?; // fills Deno's caches
    }
    let mut starts = [const { Vec::new() }; FUNCTIONS.len()];
    for _ in 0..RUNS {
        for ((_, function), starts) in FUNCTIONS.iter().zip(&mut starts) {
            starts.push(start(deno, function, cache.path())?);
        }
    }
    Ok(starts)
}

/// Starts the wasm alone, each time in a process of its own, and measures its steps in their order.
fn instantiate(deno: Deno, version: &str) -> Result<Comparison> {
    let mut steps = [const { Vec::new() }; 3];
    for _ in 0..RUNS {
        let mut script = node::deno(deno)?;
        script.args(["run", "--quiet", "--no-prompt", "--allow-read", "xtask/src/bench/instantiate.ts"]);
        let milliseconds: [f64; 3] = serde_json::from_str(&command::output(&mut script)?)?;
        for (step, milliseconds) in steps.iter_mut().zip(milliseconds) {
            step.push(milliseconds);
        }
    }
    let bars = ["compiled", "instantiated", "first call answered"].into_iter().zip(steps.map(Spread::of));
    Ok(Comparison::new(format!("the wasm alone in Deno {version}: time until it is"), "ms", Better::Lower, bars))
}

struct Start {
    wall: Duration,
    /// User and system time of the whole process, until it was killed after its answer.
    cpu: Duration,
}

/// All times in milliseconds.
impl Start {
    fn wall(&self) -> f64 {
        self.wall.as_secs_f64() * 1000.0
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0
    }
}

fn start(deno: Deno, function: &str, cache: &Path) -> Result<Start> {
    let cpu_before = children_cpu()?;
    let started = Instant::now();
    let mut child = node::deno(deno)?
        .args(["run", "--no-prompt", "--node-modules-dir=manual"])
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

/// Reads the function's address, requests its health, and waits for 200.
fn first_answer(mut output: impl BufRead) -> Result<()> {
    let mut printed = String::new();
    let address = loop {
        let start = printed.len();
        ensure!(output.read_line(&mut printed)? > 0, "it ended, having printed {printed}");
        // A later Deno prints more after the address.
        if let Some((_, rest)) = printed[start..].split_once("Listening on http://") {
            break rest.split(['/', ' ', '\n']).next().unwrap_or_default().to_owned();
        }
    };
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /process-jobs/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "it answered {answer}");
    Ok(())
}

/// The CPU time of the children that have ended and been waited for.
fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Ok(Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time())))
}
