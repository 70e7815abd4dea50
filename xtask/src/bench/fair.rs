//! How long the job of a small owner waits beside a neighbour who has many, and what its turn costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::{Cluster, PostgresKind, migrate};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::report::{self, Better, Comparison};
use super::spread::Spread;

const ROUNDS: usize = 3;
const SESSIONS: usize = 4;
/// Jobs a claim, and how long a session is at work with them. One that finds none looks again after as long.
const BATCH: i32 = 10;
const AT_WORK: Duration = Duration::from_millis(20);
/// The small owner's, each round, and the time between two.
const JOBS: usize = 100;
const NOW_AND_THEN: Duration = Duration::from_millis(33);
/// The largest ratio of waits beside a neighbour to those alone.
const WAIT_MOST: f64 = 2.0;

/// The bars, with the jobs that the neighbour always has, and whether owners take turns.
const CASES: [(&str, i64, bool); 5] = [
    ("alone", 0, true),
    ("alone, without fair_key", 0, false),
    ("beside 1,000", 1000, true),
    ("beside 100,000", 100_000, true),
    ("beside 1,000, without fair_key", 1000, false),
];

pub fn bench() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let settings = [("fsync", "off"), ("synchronous_commit", "off"), ("max_wal_size", "8GB")];
    let cluster = Cluster::start(PostgresKind::Embedded, &settings).await?;
    cluster.create_database("fair", None).await?;
    let mut sql = cluster.connect("fair").await?;
    migrate(&mut sql).await?;
    sql.batch_execute("insert into job_types (job_type) values ('no-op')").await?;

    let mut waits = vec![Vec::new(); CASES.len()];
    for _ in 0..ROUNDS {
        for ((_, neighbour, fair), waits) in CASES.into_iter().zip(&mut waits) {
            set_fair(&sql, fair).await?;
            waits.push(wait(&cluster, &sql, neighbour).await?);
        }
    }
    let bars = CASES.into_iter().zip(&waits).map(|((name, ..), waits)| (name, Spread::of(waits.iter().copied())));
    let waits = Comparison::new("a small owner's wait: 95th percentile", "ms", Better::Lower, bars)
        .ratio_of("beside 100,000", "alone");

    let one = "select enqueue_job('no-op', jsonb_build_object('user_id', $1::text))";
    let hundred = "select enqueue_jobs((select jsonb_agg(jsonb_build_object(
        'job_type', 'no-op', 'payload', jsonb_build_object('user_id', $1::text || n % 10))) from generate_series(1, 100) n))";
    let mut comparisons = vec![waits];
    for (what, statement) in [("enqueue_job", one), ("enqueue_jobs of 100, ten owners'", hundred)] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(enqueue(&sql, statement, false).await?);
            with.push(enqueue(&sql, statement, true).await?);
        }
        let bars = [("with fair_key", Spread::of(with)), ("without", Spread::of(without))];
        comparisons.push(
            Comparison::new(format!("{what}: median"), "ms", Better::Lower, bars).ratio_of("with fair_key", "without"),
        );
    }
    println!("{SESSIONS} sessions claim {BATCH} jobs and are at work with them for {} ms", AT_WORK.as_millis());
    report::publish("fair", &comparisons)?;
    for beside in ["beside 1,000", "beside 100,000"] {
        let ratio = comparisons[0].ratio(beside, "alone");
        ensure!(ratio <= WAIT_MOST, "{beside}: a wait of {ratio:.1} times that alone, more than {WAIT_MOST}");
    }
    Ok(())
}

async fn set_fair(sql: &Client, fair: bool) -> Result<()> {
    sql.batch_execute("truncate job_queue").await?;
    let set = "update job_types set fair_key = case when $1 then 'user_id' end where job_type = 'no-op'";
    sql.execute(set, &[&fair]).await?;
    Ok(())
}

/// The 95th percentile of the small owner's waits until a claim, in milliseconds.
async fn wait(cluster: &Cluster, sql: &Client, neighbour: i64) -> Result<f64> {
    let fill = "insert into job_queue (job_type, payload)
        select 'no-op', '{\"user_id\": \"noisy\"}' from generate_series(1, $1 - (select count(*) from process_jobs.ready_jobs))";
    sql.execute(fill, &[&neighbour]).await?;
    sql.batch_execute("vacuum analyze job_queue, process_jobs.ready_jobs").await?;
    let over = Arc::new(AtomicBool::new(false));
    let mut sessions = JoinSet::new();
    for session in 0..SESSIONS {
        let (client, over) = (cluster.connect("fair").await?, Arc::clone(&over));
        sessions.spawn(async move {
            tokio::time::sleep(AT_WORK * session as u32 / SESSIONS as u32).await;
            work(&client, &over).await
        });
    }
    let (client, ended) = (cluster.connect("fair").await?, Arc::clone(&over));
    sessions.spawn(async move {
        while !ended.load(Ordering::Relaxed) {
            client.execute(fill, &[&neighbour]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    });
    for _ in 0..JOBS {
        sql.execute("select enqueue_job('no-op', '{\"user_id\": \"small\"}')", &[]).await?;
        tokio::time::sleep(NOW_AND_THEN).await;
    }
    let small = "select extract(epoch from first_started_at - created_at)::float8 * 1000
        from job_queue where payload ->> 'user_id' = 'small' and first_started_at is not null";
    let mut waits: Vec<f64> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(60);
    while waits.len() < JOBS {
        ensure!(Instant::now() < deadline, "{} of {JOBS} jobs are claimed", waits.len());
        tokio::time::sleep(AT_WORK).await;
        waits = sql.query(small, &[]).await?.iter().map(|row| row.get(0)).collect();
    }
    over.store(true, Ordering::Relaxed);
    while let Some(session) = sessions.join_next().await {
        session??;
    }
    waits.sort_by(f64::total_cmp);
    Ok(waits[waits.len() * 95 / 100])
}

/// Claims and completes, as a drain does, until it is over.
async fn work(client: &Client, over: &AtomicBool) -> Result<()> {
    let exchange = client.prepare("select exchange_jobs($1, '{no-op}', $2)").await?;
    let mut outcomes = json!([]);
    while !over.load(Ordering::Relaxed) {
        let answer: Value = client.query_one(&exchange, &[&outcomes, &BATCH]).await?.get(0);
        let jobs = answer["jobs"].as_array().map_or(&[][..], Vec::as_slice);
        let completed = |job: &Value| json!({ "outcome": "completed", "job_id": job["id"], "lease_token": job["lease_token"], "result": {} });
        outcomes = jobs.iter().map(completed).collect();
        tokio::time::sleep(AT_WORK).await;
    }
    Ok(())
}

/// The median of 500 calls of different owners, in milliseconds.
async fn enqueue(sql: &Client, statement: &str, fair: bool) -> Result<f64> {
    set_fair(sql, fair).await?;
    let statement = sql.prepare(statement).await?;
    let mut calls = Vec::new();
    for n in 0..500 {
        let started = Instant::now();
        sql.execute(&statement, &[&format!("owner-{}", n % 50)]).await?;
        calls.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    calls.sort_by(f64::total_cmp);
    Ok(calls[calls.len() / 2])
}
