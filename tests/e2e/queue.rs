//! Many workers and tired operators.

use crate::support::*;
use local_stack::Fate;
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Ten drains at once over a thousand jobs: each picture is asked for once and stored once.
#[tokio::test]
async fn ten_drains_run_a_thousand_jobs_exactly_once() {
    let stack = start(settings(&[])).await;
    let picture = include_bytes!("../fixtures/picture.png");
    for n in 0..1000 {
        stack.replicate().serve_file(&format!("/{n}.png"), "image/png", &picture[..]);
    }
    let sql = "select count(enqueue_job('download-image', jsonb_build_object(
        'generation_id', 'gen-' || n, 'user_id', 'user-123', 'output_url', $1 || '/' || n || '.png'))) from generate_series(0, 999) n";
    stack.sql().await.unwrap().query_one(sql, &[&stack.replicate().files_url()]).await.unwrap();

    // On a busy machine a drain's budget ends before the queue does.
    let mut answers = Vec::new();
    while count(&stack, "select count(*) from job_queue where status = 'pending'").await > 0 {
        let drains = (0..10).map(|_| stack.post_drain());
        answers.extend(futures_util::future::try_join_all(drains).await.unwrap());
    }
    let processed: u64 = answers.iter().map(|answer| answer["processed"].as_u64().unwrap()).sum();
    let errors: u64 = answers.iter().map(|answer| answer["errors"].as_u64().unwrap()).sum();
    assert_eq!((processed, errors), (1000, 0), "{answers:?}");
    assert!(answers.iter().filter(|answer| answer["processed"] != 0).count() > 1, "one drain did it all: {answers:?}");

    let mut asked: HashMap<String, u32> = HashMap::new();
    for request in stack.replicate().requests() {
        *asked.entry(request.path).or_default() += 1;
    }
    assert_eq!(asked.len(), 1000);
    assert!(asked.values().all(|times| *times == 1), "some picture was asked for more than once");
    assert_eq!(count(&stack, "select count(*) from images").await, 1000);
    assert_eq!(
        count(&stack, "select count(*) from job_queue where status = 'completed' and attempt_number = 1").await,
        1000
    );
    stack.stop().await.unwrap();
}

/// Each call of the database costs as much CPU as a job, so outcomes and claims share them: a busy drain makes at
/// most one for five jobs.
#[tokio::test]
async fn a_busy_drain_makes_one_round_trip_for_several_jobs() {
    let stack = start(settings(&[])).await;
    let url = stack.replicate().serve_file("/a.png", "image/png", &include_bytes!("../fixtures/picture.png")[..]);
    let sql = "select count(enqueue_job('download-image', jsonb_build_object(
        'generation_id', 'gen-' || n, 'user_id', 'user-123', 'output_url', $1::text))) from generate_series(1, 200) n";
    stack.sql().await.unwrap().query_one(sql, &[&url]).await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    stack.decide_fates({
        let calls = calls.clone();
        move |path| {
            calls.fetch_add(usize::from(path.starts_with("/rest/v1/")), Ordering::Relaxed);
            Fate::PassOn
        }
    });
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(200), &json!(0)), "{answer}");
    let calls = calls.load(Ordering::Relaxed);
    assert!(calls <= 40, "{calls} calls for 200 jobs");
    stack.stop().await.unwrap();
}

/// `update job_queue set status = 'pending' where status = 'processing'` while a worker is at it.
#[tokio::test]
async fn a_tired_operator_does_no_harm() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox [slow-body]")).await;
    drain_in_background(&stack).await;
    let reset = "update job_queue set status = 'pending' where status = 'processing'";
    until(&stack, "the picture is stored", async || {
        execute(&stack, reset).await;
        generation(&stack, "gen-1").await["status"] == "completed"
    })
    .await;
    assert_eq!(job(&stack, &id).await["status"], "completed");
    assert_eq!(stack.replicate().predictions().len(), 1);
    assert_eq!(count(&stack, "select count(*) from images").await, 1);
    stack.stop().await.unwrap();
}

/// Jobs of a type that no worker runs are left alone, and are shown.
#[tokio::test]
async fn a_job_type_without_a_handler_is_never_claimed() {
    let stack = start(settings(&[])).await;
    execute(&stack, "insert into job_types (job_type) values ('send-mail')").await;
    let id = enqueue(&stack, "send-mail", &json!({})).await;
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(0), &json!(0)), "{answer}");
    let job = job(&stack, &id).await;
    assert_eq!((&job["status"], &job["attempt_number"]), (&json!("pending"), &json!(0)));
    stack.stop().await.unwrap();
}
