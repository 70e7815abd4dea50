//! pg_cron drives the worker. Only Debian's Postgres has pg_cron; pg_net is a stand-in that sends after commit.

#[allow(dead_code)]
mod support;

use local_stack::{Options, PostgresKind, Stack};
use std::time::{Duration, Instant};
use support::*;

/// Schedules the function, and enqueues by SQL. With a schedule that never comes, nothing but a ring starts a job.
async fn scheduled(schedule: &str) -> Stack {
    let options = Options { postgres: PostgresKind::System, scheduling: true, ..settings(&[]) };
    let stack = Stack::start(options).await.unwrap();
    let url = format!("{}/functions/v1/process-jobs", stack.api_url());
    let sql = "select schedule_process_jobs($1, $2, $3)";
    stack.sql().await.unwrap().query(sql, &[&url, &stack.secret_key(), &schedule]).await.unwrap();
    stack
}

async fn completed(stack: &Stack, generation_id: &str, patience: Duration) {
    let deadline = Instant::now() + patience;
    while generation(stack, generation_id).await["status"] != "completed" {
        assert!(Instant::now() < deadline, "{generation_id} is not completed\n{}", stack.logs().unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_job_enqueued_by_sql_starts_at_once_without_a_tick() {
    let stack = scheduled("0 0 30 2 *").await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    completed(&stack, "gen-1", Duration::from_secs(60)).await;
    let calls = count(&stack, "select last_value from net.http_request_queue_id_seq").await;
    assert_eq!(calls, 1, "what the worker makes of it rings nobody");

    // The second is committed in the moment for which the first one's ring stands, but after that is answered.
    let client = stack.sql().await.unwrap();
    for number in 0..5 {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        for (job, pause) in [("a", 0), ("b", 100 + 30 * number)] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let payload = generate(&format!("{job}-{number}"), "a fox");
            client.query("select enqueue_job('generate-image', $1)", &[&payload]).await.unwrap();
        }
        let late = "select coalesce(max(extract(epoch from coalesce(first_started_at, clock_timestamp()) - created_at)), 0)::float8
            from job_queue where job_type = 'generate-image' and payload ->> 'generation_id' ~ '^[ab]-'";
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let late: f64 = client.query_one(late, &[]).await.unwrap().get(0);
        assert!(late < 1.2, "a job of round {number} started after {late} s\n{}", stack.logs().unwrap());
    }
    stack.stop().await.unwrap();
}

/// Takes up to a minute: pg_cron's own.
#[tokio::test]
async fn the_tick_brings_back_what_a_killed_worker_had() {
    let stack = scheduled("* * * * *").await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    until(&stack, "the ring has started it", async || {
        count(&stack, "select count(*) from job_queue where first_started_at is not null").await > 0
    })
    .await;
    stack.function().kill().await.unwrap();
    expire_leases(&stack).await;
    completed(&stack, "gen-1", Duration::from_secs(150)).await;
    assert_eq!(stack.replicate().predictions().len(), 1);
    stack.stop().await.unwrap();
}

/// From the documented call on, nobody calls the function by hand. Takes up to a minute: pg_cron's own.
#[tokio::test]
async fn a_scheduled_project_runs_its_jobs_by_itself() {
    let stack =
        Stack::start(Options { postgres: PostgresKind::System, scheduling: true, ..settings(&[]) }).await.unwrap();
    let url = format!("{}/functions/v1/process-jobs", stack.api_url());
    let client = stack.sql().await.unwrap();
    client.query("select schedule_process_jobs($1, $2)", &[&url, &stack.secret_key()]).await.unwrap();
    // As if pg_net had lost the ring.
    execute(&stack, "delete from process_jobs.scheduled_function").await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;

    let deadline = Instant::now() + Duration::from_secs(150);
    while generation(&stack, "gen-1").await["status"] != "completed" {
        assert!(Instant::now() < deadline, "nothing ran: {}\n{}", job(&stack, &id).await, stack.logs().unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(stack.replicate().predictions().len(), 1);
    assert_eq!(count(&stack, "select count(*) from images").await, 1);

    execute(&stack, "select unschedule_process_jobs()").await;
    assert_eq!(count(&stack, "select count(*) from cron.job").await, 0);
    stack.stop().await.unwrap();
}
