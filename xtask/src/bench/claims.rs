//! The cost of a claim as the table grows, compared in turns with a claim from a table of 1,000 jobs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use local_stack::{Cluster, PostgresKind, migrate};
use serde_json::Value;
use tokio_postgres::Client;

use super::report::{self, Better, Comparison};
use super::spread::Spread;

/// The largest ratio to 1,000 jobs while the table grows to 5,000,000.
const GROWN_MOST: f64 = 2.0;
/// The same ratio after 1,000,000 jobs have passed through and their dead rows are cleared.
const PASSED_MOST: f64 = 1.5;
const ROUNDS: usize = 5;
/// Claims per round, of one job each.
const CLAIMS: usize = 60;

pub fn bench() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<()> {
    let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB")];
    let cluster = Cluster::start(PostgresKind::Embedded, &settings).await?;
    let small = Table::create(&cluster, "small").await?;
    let mut large = Table::create(&cluster, "large").await?;

    let mut pending = Vec::new();
    let mut ended = Vec::new();
    for jobs in [10_000, 100_000, 1_000_000, 5_000_000] {
        large.fill("pending", jobs).await?;
        pending.push((counted(jobs), large.beside(&small).await?));
        large.fill("completed", jobs).await?;
        large.add("pending", 1000).await?;
        ended.push((counted(jobs), large.beside(&small).await?));
    }

    let mut closed = Vec::new();
    for (name, status, close) in CLOSED {
        large.fill("pending", 1000).await?;
        large.add_first(status, 100_000).await?;
        large.sql.batch_execute(close).await?;
        closed.push((name.to_owned(), large.beside(&small).await?));
        large.sql.batch_execute(OPEN).await?;
    }

    large.fill("pending", 1000).await?;
    large.pass_through(1_000_000).await?;
    println!("after 1,000,000 jobs have passed through: {}", large.sizes().await?);
    let mut passed = vec![("1,000,000 at full speed".to_owned(), large.beside(&small).await?)];
    large.wait_for_autovacuum().await?;
    passed.push(("after autovacuum".to_owned(), large.beside(&small).await?));
    let old = cluster.connect("large").await?;
    old.batch_execute("begin isolation level repeatable read; select count(*) from job_types").await?;
    large.pass_through(100_000).await?;
    passed.push(("under an open snapshot".to_owned(), large.beside(&small).await?));
    println!("after 100,000 more under an open transaction: {}", large.sizes().await?);
    old.batch_execute("rollback").await?;
    large.sql.batch_execute(VACUUM).await?;
    passed.push(("after its end".to_owned(), large.beside(&small).await?));

    let comparison = |what: &str, bars: &[(String, Measured)]| {
        for (name, Measured { milliseconds, pages, .. }) in bars {
            println!("claim of one job, {what}: {name}: p95 {milliseconds} ms, {pages} pages");
        }
        let ratios = bars.iter().map(|(name, measured)| (name.clone(), measured.ratio));
        Comparison::new(
            format!("95th percentile of claims, {what}, times that of 1,000 jobs"),
            "×",
            Better::Lower,
            ratios,
        )
    };
    let comparisons = [
        comparison("pending jobs", &pending).target(GROWN_MOST).in_chart(),
        comparison("jobs that have ended", &ended).target(GROWN_MOST).in_chart(),
        comparison("100,000 jobs at the head", &closed).target(GROWN_MOST),
        comparison("jobs that have passed through", &passed).target(PASSED_MOST).in_chart(),
    ];
    println!();
    report::publish("claims", &comparisons)?;
    for (name, measured) in pending.iter().chain(&ended).chain(&closed) {
        ensure!(measured.ratio.median <= GROWN_MOST, "{name}: more than {GROWN_MOST} times a table of 1,000 jobs");
    }
    for (name, measured) in &passed {
        ensure!(measured.ratio.median <= PASSED_MOST, "{name}: more than {PASSED_MOST} times a table of 1,000 jobs");
    }
    Ok(())
}

/// Jobs at the head that no claim may take: what they are called, their status, and the statement that makes them so.
const CLOSED: [(&str, &str, &str); 4] = [
    (
        "of a type held by a rate limit",
        "pending",
        "update job_types set held_until = now() + interval '1 day' where job_type = 'closed'",
    ),
    ("of a paused type", "pending", "select pause_job_type('closed', 'bench')"),
    (
        "that wait for a start",
        "pending",
        "update job_types set starts_per_minute = 0.00001, start_tokens = 0, start_tokens_at = now() where job_type = 'closed'",
    ),
    ("of the same type, for later", "later", "select"),
];
const VACUUM: &str =
    "vacuum analyze job_queue, process_jobs.ready_jobs, process_jobs.waiting_jobs, process_jobs.leases";
const OPEN: &str =
    "update job_types set held_until = null, paused_at = null, paused_reason = null, starts_per_minute = null";

struct Table {
    sql: Client,
}

/// Measurements of claims from one table, in turns with the small one.
struct Measured {
    /// The ratio of the 95th percentiles of both, round by round.
    ratio: Spread,
    milliseconds: Spread,
    /// The pages that one claim reads.
    pages: i64,
}

impl Table {
    async fn create(cluster: &Cluster, name: &str) -> Result<Table> {
        cluster.create_database(name, None).await?;
        let mut sql = cluster.connect(name).await?;
        migrate(&mut sql).await?;
        sql.batch_execute("insert into job_types (job_type) values ('no-op'), ('closed')").await?;
        Ok(Table { sql })
    }

    /// Replaces the table's rows by this many jobs: `pending`, `completed`, or pending and scheduled for `later`.
    async fn fill(&mut self, status: &str, jobs: i64) -> Result<()> {
        self.sql.batch_execute("truncate job_queue").await?;
        self.add(status, jobs).await
    }

    async fn add(&mut self, status: &str, jobs: i64) -> Result<()> {
        self.insert("no-op", status, jobs, 0).await
    }

    /// Adds jobs that rank before all others.
    async fn add_first(&mut self, status: &str, jobs: i64) -> Result<()> {
        let job_type = if status == "later" { "no-op" } else { "closed" };
        self.insert(job_type, status, jobs, 9).await
    }

    async fn insert(&mut self, job_type: &str, status: &str, jobs: i64, priority: i32) -> Result<()> {
        let insert = "insert into job_queue (job_type, payload, priority, status, completed_at, scheduled_at)
            select $1, '{}', $4, case $2 when 'later' then 'pending' else $2 end,
              case $2 when 'completed' then now() end, now() + case $2 when 'later' then interval '1 day' else '0' end
            from generate_series(1, $3::bigint)";
        // Without triggers, which check each payload and give each job its place.
        let transaction = self.sql.transaction().await?;
        transaction.batch_execute("set local session_replication_role = replica").await?;
        transaction.execute(insert, &[&job_type, &status, &jobs, &priority]).await?;
        transaction.execute("select process_jobs.rebuild_places()", &[]).await?;
        transaction.commit().await?;
        Ok(self.sql.batch_execute(VACUUM).await?)
    }

    /// Enqueues, claims and completes this many jobs beside the existing ones.
    async fn pass_through(&mut self, jobs: i64) -> Result<()> {
        let enqueue = "insert into job_queue (job_type, payload, priority) select 'no-op', '{}', 5 from generate_series(1, 10000)";
        let exchange =
            "select (select coalesce(jsonb_agg(jsonb_build_object('outcome', 'completed', 'job_id', j -> 'id',
              'lease_token', j -> 'lease_token', 'result', '{}'::jsonb)), '[]')
            from jsonb_array_elements(answer::jsonb -> 'jobs') j where j ->> 'priority' = '5')
            from exchange_jobs($1, '{no-op}', 100) answer";
        let exchange = self.sql.prepare(exchange).await?;
        for _ in 0..jobs / 10_000 {
            self.sql.batch_execute(enqueue).await?;
            let mut outcomes = Value::Array(Vec::new());
            for _ in 0..=100 {
                outcomes = self.sql.query_one(&exchange, &[&outcomes]).await?.get(0);
            }
            ensure!(outcomes == Value::Array(Vec::new()), "jobs were left over");
            // Gives back the other jobs that the last exchange claimed to fill up.
            let back = "update job_queue set status = 'pending', lease_token = null, lease_expires_at = null,
                attempt_number = 0 where status = 'processing'";
            self.sql.batch_execute(back).await?;
        }
        Ok(())
    }

    async fn beside(&mut self, small: &Table) -> Result<Measured> {
        small.sql.batch_execute("truncate job_queue").await?;
        let thousand = "insert into job_queue (job_type, payload) select 'no-op', '{}' from generate_series(1, 1000)";
        small.sql.batch_execute(thousand).await?;
        small.sql.batch_execute(VACUUM).await?;
        let (mut ratios, mut milliseconds) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (mut here, mut there) = (Vec::new(), Vec::new());
            for _ in 0..CLAIMS {
                here.push(self.claim().await?);
                there.push(small.claim().await?);
            }
            let (here, there) = (percentile_95(here), percentile_95(there));
            milliseconds.push(here);
            ratios.push(here / there);
        }
        let explain = "explain (analyze, buffers, format json) select claim_next_job('{no-op,closed}')";
        let plan: Value = self.sql.query_one(explain, &[]).await?.get(0);
        let pages = |field: &str| plan.pointer(&format!("/0/Plan/{field}")).and_then(Value::as_i64);
        let pages = pages("Shared Hit Blocks").zip(pages("Shared Read Blocks")).context("a plan without buffers")?;
        Ok(Measured { ratio: Spread::of(ratios), milliseconds: Spread::of(milliseconds), pages: pages.0 + pages.1 })
    }

    /// Claims one job and returns the milliseconds.
    async fn claim(&self) -> Result<f64> {
        let started = Instant::now();
        let claimed = self.sql.query_typed("select id from claim_next_job('{no-op,closed}')", &[]).await?;
        let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
        ensure!(claimed.len() == 1, "a claim found nothing");
        Ok(milliseconds)
    }

    /// Waits for autovacuum, which looks once a minute.
    async fn wait_for_autovacuum(&self) -> Result<()> {
        let dead = "select n_dead_tup from pg_stat_user_tables where relname = 'job_queue'";
        for _ in 0..240 {
            if self.sql.query_one(dead, &[]).await?.get::<_, i64>(0) < 10_000 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        bail!("autovacuum has not come by in four minutes: {}", self.sizes().await?)
    }

    async fn sizes(&self) -> Result<String> {
        let query = "select n_dead_tup, pg_size_pretty(pg_table_size(relid)), pg_size_pretty(pg_relation_size('job_queue_pkey')),
              pg_size_pretty(pg_total_relation_size('process_jobs.ready_jobs')), autovacuum_count, n_tup_hot_upd * 100 / greatest(1, n_tup_upd)
            from pg_stat_user_tables where relname = 'job_queue'";
        let row = self.sql.query_one(query, &[]).await?;
        let [dead, vacuums, hot]: [i64; 3] = [row.get(0), row.get(4), row.get(5)];
        let [table, key, ready]: [String; 3] = [row.get(1), row.get(2), row.get(3)];
        Ok(format!(
            "{dead} dead rows, {vacuums} vacuums, table {table}, primary key {key}, ready_jobs {ready}, {hot} % of updates HOT"
        ))
    }
}

fn percentile_95(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() * 95 / 100]
}

/// `1,000,000`
fn counted(jobs: i64) -> String {
    let digits = jobs.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}
