//! How many jobs a second of the function's CPU runs, beside a worker as one writes it by hand in TypeScript, and
//! beside the least that a download can cost.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::{Fate, Options, Stack};
use serde::Serialize;
use serde_json::{Value, json};

use super::spread::Spread;
use crate::command::{self, root};

/// A picture of 20 KB.
const PICTURE_BYTES: usize = 20_000;
const ROUNDS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Work {
    /// `download-image` jobs of 20 KB
    Downloads,
    /// `generate-image` jobs whose prediction is still at work
    Polls,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Worker {
    ProcessJobs,
    Typescript,
    Floor,
}

#[derive(Serialize)]
struct Row {
    work: Work,
    worker: Worker,
    jobs_per_cpu_second: Spread,
    cpu_milliseconds_per_job: Spread,
    wall_milliseconds_per_job: Spread,
    peak_rss_megabytes: Spread,
    database_requests_per_job: Spread,
    replicate_requests_per_job: Spread,
}

struct Round {
    cpu: Duration,
    wall: Duration,
    peak_rss: u64,
    database_requests: usize,
    replicate_requests: usize,
}

/// Jobs in one round.
const JOBS: usize = 2000;
/// Of a worker in TypeScript, and of the bare pipe.
const RATIO_LEAST: f64 = 1.5;
const FLOOR_LEAST: f64 = 0.4;

pub fn bench() -> Result<()> {
    crate::install::node_modules()?;
    let rows = tokio::runtime::Runtime::new()?.block_on(measure(JOBS))?;
    println!("{JOBS} jobs in a function that has just started, median (least–most) of {ROUNDS} rounds in turns:");
    println!(
        "{:<24} {:<18} {:>20} {:>18} {:>18} {:>14} {:>12} {:>13}",
        "work",
        "worker",
        "jobs/CPU second",
        "CPU ms/job",
        "wall ms/job",
        "peak RSS MB",
        "database/job",
        "replicate/job"
    );
    for row in &rows {
        println!(
            "{:<24} {:<18} {:>20} {:>18} {:>18} {:>14} {:>12.2} {:>13.2}",
            row.work.to_string(),
            row.worker.to_string(),
            row.jobs_per_cpu_second.to_string(),
            row.cpu_milliseconds_per_job.to_string(),
            row.wall_milliseconds_per_job.to_string(),
            row.peak_rss_megabytes.to_string(),
            row.database_requests_per_job.median,
            row.replicate_requests_per_job.median,
        );
    }
    let of = |work, worker| {
        let row = rows.iter().find(|row| row.work == work && row.worker == worker);
        row.map_or(f64::NAN, |row| row.jobs_per_cpu_second.median)
    };
    let ratio = |work, other| of(work, Worker::ProcessJobs) / of(work, other);
    let downloads = ratio(Work::Downloads, Worker::Typescript);
    let polls = ratio(Work::Polls, Worker::Typescript);
    let floor = ratio(Work::Downloads, Worker::Floor);
    println!(
        "a CPU second runs {downloads:.2} times the downloads of the TypeScript worker, {polls:.2} times its polls,"
    );
    println!("and {floor:.2} of what can be piped from fetch to fetch");
    let file = root().join("target/bench/jobs.json");
    fs::create_dir_all(file.parent().unwrap_or(&file))?;
    fs::write(&file, serde_json::to_string_pretty(&rows)?)?;
    ensure!(downloads >= RATIO_LEAST && polls >= RATIO_LEAST, "less than {RATIO_LEAST} times the TypeScript worker");
    ensure!(floor >= FLOOR_LEAST, "less than {FLOOR_LEAST} of the bare pipe");
    Ok(())
}

/// All workers in turns, each round in a function that has just started.
async fn measure(jobs: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (work, workers) in [
        (Work::Downloads, &[Worker::ProcessJobs, Worker::Typescript, Worker::Floor][..]),
        (Work::Polls, &[Worker::ProcessJobs, Worker::Typescript]),
    ] {
        let mut benches = Vec::new();
        for worker in workers {
            benches.push((Bench::start(work, *worker, jobs).await?, Vec::new()));
        }
        for _ in 0..ROUNDS {
            for (bench, rounds) in &mut benches {
                let round = bench.round().await;
                rounds.push(round.with_context(|| format!("{} by {}", bench.work, bench.worker))?);
            }
        }
        for (bench, rounds) in benches {
            let spread = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(of));
            let per_job = |of: fn(&Round) -> f64| Spread::of(rounds.iter().map(|round| of(round) / jobs as f64));
            rows.push(Row {
                work,
                worker: bench.worker,
                jobs_per_cpu_second: Spread::of(rounds.iter().map(|round| jobs as f64 / round.cpu.as_secs_f64())),
                cpu_milliseconds_per_job: per_job(|round| round.cpu.as_secs_f64() * 1000.0),
                wall_milliseconds_per_job: per_job(|round| round.wall.as_secs_f64() * 1000.0),
                peak_rss_megabytes: spread(|round| round.peak_rss as f64 / 1e6),
                database_requests_per_job: per_job(|round| round.database_requests as f64),
                replicate_requests_per_job: per_job(|round| round.replicate_requests as f64),
            });
            bench.stack.stop().await?;
        }
    }
    Ok(rows)
}

struct Bench {
    stack: Stack,
    work: Work,
    worker: Worker,
    jobs: usize,
    rounds: usize,
    picture_url: String,
    database_requests: Arc<AtomicUsize>,
}

impl Bench {
    async fn start(work: Work, worker: Worker, jobs: usize) -> Result<Bench> {
        let directory = match worker {
            Worker::ProcessJobs => None,
            Worker::Typescript => Some(root().join("xtask/src/bench/functions/typescript")),
            Worker::Floor => Some(root().join("xtask/src/bench/functions/floor")),
        };
        let env = [
            ("RUN_BUDGET_MS", "50000".to_owned()),
            // Longer than a round, so that each job is looked at once.
            ("POLL_INTERVAL_MS", "60000".to_owned()),
            ("NPM_CONFIG_REGISTRY", registry()?),
            ("DENO_TLS_CA_STORE", "system".to_owned()),
        ];
        let function_env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let stack = Stack::start(Options { function_directory: directory, function_env, ..Options::default() }).await?;
        let database_requests = Arc::new(AtomicUsize::new(0));
        stack.decide_fates({
            let database_requests = database_requests.clone();
            move |path| {
                database_requests.fetch_add(usize::from(path.starts_with("/rest/v1/")), Ordering::Relaxed);
                Fate::PassOn
            }
        });
        let mut picture = include_bytes!("../../../tests/fixtures/picture.png").to_vec();
        picture.resize(PICTURE_BYTES, 0);
        let picture_url = stack.replicate().serve_file("/picture.png", "image/png", picture);
        Ok(Bench { stack, work, worker, jobs, rounds: 0, picture_url, database_requests })
    }

    async fn round(&mut self) -> Result<Round> {
        self.rounds += 1;
        self.enqueue().await?;
        self.stack.function().kill().await?;
        self.call("/health").await?;
        let replicate_requests =
            || self.stack.replicate().requests().iter().filter(|it| it.path.starts_with("/v1/")).count();
        let (before, replicate_before) = (self.stack.function().cpu_time().await?, replicate_requests());
        self.database_requests.store(0, Ordering::Relaxed);

        let started = Instant::now();
        // A drain ends after some jobs; the next one goes on.
        while self.left().await? > 0 {
            self.call(&format!("?url={}&count={}", self.picture_url, self.jobs)).await?;
            if self.worker == Worker::Floor {
                break;
            }
        }
        let wall = started.elapsed();
        let round = Round {
            cpu: self.stack.function().cpu_time().await? - before,
            wall,
            peak_rss: self.stack.function().peak_rss().await?,
            database_requests: self.database_requests.load(Ordering::Relaxed),
            replicate_requests: replicate_requests() - replicate_before,
        };
        Ok(round)
    }

    async fn enqueue(&self) -> Result<()> {
        let sql = self.stack.sql().await?;
        let round = format!("{}-", self.rounds);
        let jobs = self.jobs as i64;
        let insert = match (self.worker, self.work) {
            (Worker::Floor, _) => return Ok(()),
            (_, Work::Downloads) => {
                "insert into job_queue (job_type, payload) select 'download-image', jsonb_build_object(
                   'generation_id', $1 || n, 'user_id', 'bench', 'output_url', $2::text) from generate_series(1, $3::bigint) n"
            }
            (_, Work::Polls) => {
                let create = reqwest::Client::new()
                    .post(format!("{}/predictions", self.stack.replicate().api_url()))
                    .bearer_auth(replicate_stand_in::Options::default().token)
                    .json(&json!({ "version": "black-forest-labs/flux-schnell", "input": { "prompt": "[hang]" } }));
                let prediction: Value = create.send().await?.error_for_status()?.json().await?;
                sql.execute(
                    "update job_queue set checkpoint = null, status = 'cancelled' where status = 'pending'",
                    &[],
                )
                .await?;
                let checkpoint = json!({ "prediction_id": prediction["id"], "attempt_number": 1 });
                let insert = "insert into job_queue (job_type, payload, checkpoint) select 'generate-image',
                    jsonb_build_object('generation_id', $1 || n, 'user_id', 'bench', 'prompt', 'a fox',
                      'model_id', 'black-forest-labs/flux-schnell'), $2 from generate_series(1, $3::bigint) n";
                sql.execute(insert, &[&round, &checkpoint, &jobs]).await?;
                sql.batch_execute("analyze job_queue").await?;
                return Ok(());
            }
        };
        sql.execute(insert, &[&round, &self.picture_url, &jobs]).await?;
        sql.batch_execute("analyze job_queue").await?;
        Ok(())
    }

    /// The jobs of the round that have not ended as they should.
    async fn left(&self) -> Result<i64> {
        let done = match self.work {
            Work::Downloads => "status = 'completed'",
            Work::Polls => "status = 'pending' and scheduled_at > now() + interval '10 seconds'",
        };
        let query =
            format!("select count(*) from job_queue where {done} and payload ->> 'generation_id' like $1 || '-%'");
        let done: i64 = self.stack.sql().await?.query_one(&query, &[&self.rounds.to_string()]).await?.get(0);
        Ok(self.jobs as i64 - done)
    }

    async fn call(&self, route: &str) -> Result<()> {
        let url = format!("{}/functions/v1/process-jobs{route}", self.stack.api_url());
        let method = if route == "/health" { reqwest::Method::GET } else { reqwest::Method::POST };
        let answer =
            reqwest::Client::new().request(method, &url).header("apikey", self.stack.secret_key()).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{url} answered {status}: {}\n{}", answer.text().await?, self.stack.logs()?);
        Ok(())
    }
}

/// Where npm gets packages from on this machine: the function's own environment is empty.
fn registry() -> Result<String> {
    Ok(command::output(command::command("npm").args(["config", "get", "registry"]))?.trim().to_owned())
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Downloads => "download-image of 20 KB",
            Work::Polls => "generate-image, a poll",
        })
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Worker::ProcessJobs => "process-jobs",
            Worker::Typescript => "TypeScript worker",
            Worker::Floor => "bare pipe",
        })
    }
}
