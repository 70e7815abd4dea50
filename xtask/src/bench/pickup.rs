//! The wait of a job until a worker claims it: after it was enqueued over HTTP or in SQL, after its prediction has ended,
//! and after a tick.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::{Options, PostgresKind, Stack};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::jobs::Worker;
use super::report::{self, Better, Comparison};
use super::spread::Spread;

const JOBS: usize = 50;
/// The time of a prediction, its start included.
const PREDICTION: Duration = Duration::from_secs(3);

pub fn bench() -> Result<()> {
    println!("{JOBS} jobs each, by the database's clock");
    let comparisons = tokio::runtime::Runtime::new()?.block_on(measure())?;
    report::publish("pickup", &comparisons)
}

async fn measure() -> Result<Vec<Comparison>> {
    let mut ticks = Vec::new();
    for worker in [Worker::ProcessJobs, Worker::Typescript] {
        let (function_directory, function_env) = (worker.directory(), worker.env()?);
        let stack = Stack::start(Options { function_directory, function_env, ..Options::default() }).await?;
        ticks.push((worker.to_string(), tick(&stack).await.with_context(|| format!("ticks of {worker}"))?));
        stack.stop().await?;
    }
    let mut enqueued = Vec::new();
    for (name, at_work) in [("process-jobs, idle", false), ("process-jobs, at work", true)] {
        let stack = Stack::start(Options::default()).await?;
        enqueued.push((name.to_owned(), enqueue(&stack, at_work).await?));
        stack.stop().await?;
    }
    let rung = vec![
        ("rung, one job in 2 s".to_owned(), ring(true, Duration::from_secs(2)).await?),
        ("rung, one job in 300 ms".to_owned(), ring(true, Duration::from_millis(300)).await?),
        ("by the tick alone".to_owned(), ring(false, Duration::from_millis(1200)).await?),
    ];
    let ended = vec![
        ("process-jobs, webhooks".to_owned(), prediction(true).await?),
        ("process-jobs, polling".to_owned(), prediction(false).await?),
    ];

    let seconds = PREDICTION.as_secs();
    let mut comparisons = Vec::new();
    for (what, waits, is_contest) in [
        ("from POST /jobs until the job is at work".to_owned(), enqueued, false),
        ("from enqueue_job in SQL until the job is at work".to_owned(), rung, false),
        (format!("from a prediction's end ({seconds} s) until its download is at work"), ended, true),
        ("from a tick until a job that waits is at work".to_owned(), ticks, true),
    ] {
        let compare = |what: String, of: fn(&[f64]) -> Spread| {
            let bars = waits.iter().map(|(name, waits)| (name.clone(), of(waits)));
            let comparison = Comparison::new(what, "ms", Better::Lower, bars);
            if is_contest { comparison.ratio_of(&waits[0].0, &waits[1].0) } else { comparison }
        };
        comparisons.push(compare(what.clone(), |waits| Spread::of(waits.iter().copied())).in_chart());
        comparisons.push(compare(format!("{what}: 95th percentile"), |waits| Spread::of([percentile_95(waits)])));
    }
    Ok(comparisons)
}

fn percentile_95(waits: &[f64]) -> f64 {
    let mut waits = waits.to_vec();
    waits.sort_by(f64::total_cmp);
    waits[waits.len() * 95 / 100]
}

/// Milliseconds from `POST /` to the claim of a job that was enqueued in SQL just before. The function is up.
async fn tick(stack: &Stack) -> Result<Vec<f64>> {
    let job = download(stack);
    let database = stack.sql().await?;
    stack.post_drain().await?;
    let mut waits = Vec::new();
    for _ in 0..JOBS {
        let enqueued = database.query_one("select enqueue_job('download-image', $1)::text", &[&job()]).await?;
        let posted = now(&database).await?;
        stack.post_drain().await?;
        waits.push((started(&database, enqueued.get(0)).await? - posted) * 1000.0);
    }
    Ok(waits)
}

/// Milliseconds from `POST /jobs` to the claim of its job. The function is up; with `at_work`, a drain runs in it and
/// waits for a job that falls due soon.
async fn enqueue(stack: &Stack, at_work: bool) -> Result<Vec<f64>> {
    let job = download(stack);
    let database = stack.sql().await?;
    stack.post_drain().await?;
    if at_work {
        let later = "select enqueue_job('download-image', $1, p_scheduled_at => now() + interval '40 seconds')";
        database.execute(later, &[&job()]).await?;
        call(post(stack, "").header("prefer", "respond-async")).await?;
    }
    let mut waits = Vec::new();
    for _ in 0..JOBS {
        // Until the previous drain has ended, or waits.
        tokio::time::sleep(Duration::from_millis(400)).await;
        let posted = now(&database).await?;
        let body = json!({ "job_type": "download-image", "payload": job() });
        let answer = call(post(stack, "/jobs").json(&body)).await?;
        let id = answer["id"].as_str().context("no id")?;
        waits.push((started(&database, id.to_owned()).await? - posted) * 1000.0);
    }
    Ok(waits)
}

/// Milliseconds from `enqueue_job` in SQL to the claim of its job, of jobs made at this interval. The function is up.
/// Without `rings` pg_cron's tick calls it, with them nothing else does.
async fn ring(rings: bool, interval: Duration) -> Result<Vec<f64>> {
    let options = Options { postgres: PostgresKind::System, scheduling: true, ..Options::default() };
    let stack = Stack::start(options).await?;
    let job = download(&stack);
    let database = stack.sql().await?;
    stack.post_drain().await?;
    let url = format!("{}/functions/v1/process-jobs", stack.api_url());
    let schedule = if rings { "0 0 30 2 *" } else { "* * * * *" };
    let sql = "select schedule_process_jobs($1, $2, $3)";
    database.execute(sql, &[&url, &stack.secret_key(), &schedule]).await?;
    if !rings {
        database.execute("delete from process_jobs.scheduled_function", &[]).await?;
    }
    for _ in 0..JOBS {
        tokio::time::sleep(interval).await;
        database.execute("select enqueue_job('download-image', $1)", &[&job()]).await?;
    }
    let waits = "select extract(epoch from first_started_at - created_at)::float8 * 1000 from job_queue";
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let rows = database.query(waits, &[]).await?;
        let waits: Vec<f64> = rows.iter().filter_map(|row| row.get(0)).collect();
        if waits.len() == JOBS {
            stack.stop().await?;
            return Ok(waits);
        }
        ensure!(Instant::now() < deadline, "{} of {JOBS} are claimed:\n{}", waits.len(), stack.logs()?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Milliseconds from a prediction's end to the claim of its download.
async fn prediction(webhooks: bool) -> Result<Vec<f64>> {
    let starting = Duration::from_millis(200);
    let replicate = replicate_stand_in::Options { starting, processing: PREDICTION - starting, ..Default::default() };
    let stack = Stack::start(Options { webhooks, replicate, ..Options::default() }).await?;
    stack.post_drain().await?;
    for number in 0..JOBS {
        let payload = json!({ "generation_id": format!("pickup-{number}"), "user_id": "bench", "prompt": "a fox",
            "model_id": "black-forest-labs/flux-schnell" });
        call(post(&stack, "/jobs").json(&json!({ "job_type": "generate-image", "payload": payload }))).await?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let claims = "select g.replicate_prediction_id, extract(epoch from d.started_at)::float8
        from job_queue d join image_generations g on g.id::text = d.payload ->> 'generation_id'
        where d.job_type = 'download-image' and d.status = 'completed'";
    let database = stack.sql().await?;
    let deadline = Instant::now() + Duration::from_secs(90);
    let rows = loop {
        let rows = database.query(claims, &[]).await?;
        if rows.len() == JOBS {
            break rows;
        }
        ensure!(Instant::now() < deadline, "{} of {JOBS} are stored:\n{}", rows.len(), stack.logs()?);
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let ends: HashMap<String, f64> = stack
        .replicate()
        .predictions()
        .into_iter()
        .filter_map(|it| Some((it.id, it.completed_at?.as_microsecond() as f64 / 1e6)))
        .collect();
    let waits = rows.iter().map(|row| {
        let ended = ends.get(row.get::<_, &str>(0)).context("a prediction that nobody made")?;
        Ok((row.get::<_, f64>(1) - ended) * 1000.0)
    });
    let waits = waits.collect();
    stack.stop().await?;
    waits
}

/// Makes payloads, each with a generation of its own, for the same small picture.
fn download(stack: &Stack) -> impl Fn() -> Value + use<> {
    let picture = include_bytes!("../../../tests/fixtures/picture.png");
    let url = stack.replicate().serve_file("/picture.png", "image/png", &picture[..]);
    let made = AtomicUsize::new(0);
    move || {
        let number = made.fetch_add(1, Ordering::Relaxed);
        json!({ "generation_id": format!("pickup-{number}"), "user_id": "bench", "output_url": url })
    }
}

fn post(stack: &Stack, route: &str) -> RequestBuilder {
    let url = format!("{}/functions/v1/process-jobs{route}", stack.api_url());
    reqwest::Client::new().post(url).header("apikey", stack.secret_key())
}

async fn call(request: RequestBuilder) -> Result<Value> {
    Ok(request.send().await?.error_for_status()?.json().await?)
}

/// The database's time in seconds.
async fn now(database: &Client) -> Result<f64> {
    Ok(database.query_one("select extract(epoch from clock_timestamp())::float8", &[]).await?.get(0))
}

/// Waits for the job's first claim and returns its time in seconds.
async fn started(database: &Client, id: String) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let claimed = "select extract(epoch from first_started_at)::float8 from job_queue where id::text = $1";
    loop {
        if let Some(claimed) = database.query_one(claimed, &[&id]).await?.get(0) {
            return Ok(claimed);
        }
        ensure!(Instant::now() < deadline, "the job {id} is not claimed within 10 s");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
