//! Jobs per second of the function's CPU, compared with a worker as one writes it by hand in TypeScript, and with the
//! least that a download can cost.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::{Fate, Options, Stack};
use replicate_stand_in::Rate;
use serde_json::{Value, json};

use super::report::{self, Better, Comparison};
use super::spread::Spread;
use crate::command::{self, root};

/// The size of a picture, 20 KB.
const PICTURE_BYTES: usize = 20_000;
const ROUNDS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Work {
    /// `download-image` jobs of 20 KB
    Downloads,
    /// `generate-image` jobs whose prediction is still at work
    Polls,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Worker {
    ProcessJobs,
    Typescript,
    Floor,
}

struct Round {
    cpu: Duration,
    wall: Duration,
    peak_rss: u64,
    database_requests: usize,
    replicate_requests: usize,
}

/// Jobs per round.
const JOBS: usize = 2000;
/// Longer than a round, so that each job is polled once.
const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The least ratios to the TypeScript worker, and to the bare pipe.
const RATIO_LEAST: f64 = 1.5;
const FLOOR_LEAST: f64 = 0.5;

pub fn bench() -> Result<()> {
    println!("{JOBS} jobs in a function that has just started, {ROUNDS} rounds in turns");
    let [downloads, polls] = tokio::runtime::Runtime::new()?.block_on(measure())?;
    let ratio = |comparisons: &[Comparison], other: Worker| {
        comparisons[0].ratio(&Worker::ProcessJobs.to_string(), &other.to_string())
    };
    let [typescript_downloads, typescript_polls] =
        [&downloads, &polls].map(|comparisons| ratio(comparisons, Worker::Typescript));
    let floor = ratio(&downloads, Worker::Floor);
    report::publish("jobs", &[downloads, polls].concat())?;
    println!("a CPU second runs {floor:.2} of what can be piped from fetch to fetch");
    ensure!(
        typescript_downloads >= RATIO_LEAST && typescript_polls >= RATIO_LEAST,
        "less than {RATIO_LEAST} times the TypeScript worker"
    );
    ensure!(floor >= FLOOR_LEAST, "less than {FLOOR_LEAST} of the bare pipe");
    Ok(())
}

/// Measures all workers in turns, each round in a newly started function. Jobs per CPU second come first for each work.
async fn measure() -> Result<[Vec<Comparison>; 2]> {
    let downloads = [Worker::ProcessJobs, Worker::Typescript, Worker::Floor];
    let polls = [Worker::ProcessJobs, Worker::Typescript];
    Ok([measure_work(Work::Downloads, &downloads).await?, measure_work(Work::Polls, &polls).await?])
}

async fn measure_work(work: Work, workers: &[Worker]) -> Result<Vec<Comparison>> {
    let mut benches = Vec::new();
    for worker in workers {
        benches.push((Bench::start(work, *worker).await?, Vec::new()));
    }
    for _ in 0..ROUNDS {
        for (bench, rounds) in &mut benches {
            let round = bench.round().await;
            rounds.push(round.with_context(|| format!("{work} by {}", bench.worker))?);
        }
    }
    let compare = |what: &str, unit: &str, better: Better, of: fn(&Round) -> f64| {
        let bars = benches.iter().map(|(bench, rounds)| (bench.worker.to_string(), Spread::of(rounds.iter().map(of))));
        Comparison::new(format!("{work}: {what}"), unit, better, bars)
            .ratio_of(&Worker::ProcessJobs.to_string(), &Worker::Typescript.to_string())
    };
    let comparisons = vec![
        compare("jobs a second of CPU", "jobs/s", Better::Higher, |it| JOBS as f64 / it.cpu.as_secs_f64()).in_chart(),
        compare("CPU time of a job", "ms", Better::Lower, |it| it.cpu.as_secs_f64() * 1000.0 / JOBS as f64),
        compare("time of a job", "ms", Better::Lower, |it| it.wall.as_secs_f64() * 1000.0 / JOBS as f64),
        compare("peak RSS", "MB", Better::Lower, |it| it.peak_rss as f64 / 1e6),
        compare("database requests a job", "requests", Better::Lower, |it| it.database_requests as f64 / JOBS as f64)
            .in_chart(),
        compare("requests to Replicate a job", "requests", Better::Lower, |it| {
            it.replicate_requests as f64 / JOBS as f64
        }),
    ];
    for (bench, _) in benches {
        bench.stack.stop().await?;
    }
    Ok(comparisons)
}

struct Bench {
    stack: Stack,
    work: Work,
    worker: Worker,
    rounds: usize,
    picture_url: String,
    database_requests: Arc<AtomicUsize>,
}

impl Bench {
    async fn start(work: Work, worker: Worker) -> Result<Bench> {
        let mut function_env = worker.env()?;
        function_env.insert("POLL_INTERVAL_MS".to_owned(), POLL_INTERVAL.as_millis().to_string());
        // Replicate takes 50 polls a second, which would limit the measurement.
        let replicate = replicate_stand_in::Options { others: Rate::UNLIMITED, ..Default::default() };
        let function_directory = worker.directory();
        let stack = Stack::start(Options { replicate, function_directory, function_env, ..Options::default() }).await?;
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
        Ok(Bench { stack, work, worker, rounds: 0, picture_url, database_requests })
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
        // A drain ends after some jobs; the next one continues.
        while self.left().await? > 0 {
            self.call(&format!("?url={}&count={}", self.picture_url, JOBS)).await?;
            if self.worker == Worker::Floor {
                break;
            }
            ensure!(started.elapsed() < POLL_INTERVAL, "some jobs are late:\n{}", self.stack.logs()?);
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
        let jobs = JOBS as i64;
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

    /// The number of the round's jobs that have not ended as intended.
    async fn left(&self) -> Result<i64> {
        let done = match self.work {
            Work::Downloads => "status = 'completed'",
            Work::Polls => "status = 'pending' and scheduled_at > now() + interval '10 seconds'",
        };
        let query =
            format!("select count(*) from job_queue where {done} and payload ->> 'generation_id' like $1 || '-%'");
        let done: i64 = self.stack.sql().await?.query_one(&query, &[&self.rounds.to_string()]).await?.get(0);
        Ok(JOBS as i64 - done)
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

/// npm's registry on this machine, because the function's own environment is empty.
fn registry() -> Result<String> {
    Ok(command::output(command::command("npm").args(["config", "get", "registry"]))?.trim().to_owned())
}

impl Worker {
    /// `None` for this repository's function.
    pub fn directory(self) -> Option<PathBuf> {
        match self {
            Worker::ProcessJobs => None,
            Worker::Typescript => Some(root().join("xtask/src/bench/functions/typescript")),
            Worker::Floor => Some(root().join("xtask/src/bench/functions/floor")),
        }
    }

    /// The settings that a worker needs besides the platform's.
    pub fn env(self) -> Result<BTreeMap<String, String>> {
        let registry = ("NPM_CONFIG_REGISTRY".to_owned(), registry()?);
        Ok(BTreeMap::from([registry, ("DENO_TLS_CA_STORE".to_owned(), "system".to_owned())]))
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Work::Downloads => "downloads of 20 KB",
            Work::Polls => "polls",
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
