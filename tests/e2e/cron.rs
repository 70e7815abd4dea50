//! pg_cron drives the worker. Only Debian's Postgres has pg_cron; pg_net is a stand-in that sends after commit.

#[allow(dead_code)]
mod support;

use local_stack::{Options, PostgresKind, Stack};
use std::time::{Duration, Instant};
use support::*;

/// From the documented call on, nobody calls the function by hand. Takes up to a minute: pg_cron's own.
#[tokio::test]
async fn a_scheduled_project_runs_its_jobs_by_itself() {
    let stack =
        Stack::start(Options { postgres: PostgresKind::System, scheduling: true, ..settings(&[]) }).await.unwrap();
    let url = format!("{}/functions/v1/process-jobs", stack.api_url());
    let client = stack.sql().await.unwrap();
    client.query("select schedule_process_jobs($1, $2)", &[&url, &stack.secret_key()]).await.unwrap();
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
