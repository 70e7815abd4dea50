//! Jobs that are not wanted any more, and jobs that are wanted again.

use crate::support::*;
use local_stack::Stack;
use replicate_stand_in::{Endpoint, Fault, Mode, Status};
use serde_json::json;
use std::time::Duration;

async fn cancel(stack: &Stack, id: &str) -> bool {
    stack.sql().await.unwrap().query_one("select cancel_job($1::text::uuid)", &[&id]).await.unwrap().get(0)
}

async fn is_cancelled(stack: &Stack, job_id: &str, generation_id: &str) {
    until(stack, "it is cancelled", async || job(stack, job_id).await["status"] == "cancelled").await;
    assert_eq!(generation(stack, generation_id).await["status"], "cancelled");
    assert!(!cancel(stack, job_id).await, "it is final");
    assert_eq!(count(stack, "select count(*) from images").await, 0);
}

/// Nothing has begun: nobody outside hears of it.
#[tokio::test]
async fn a_pending_job_is_cancelled_at_once() {
    let stack = start(settings(&[])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    assert!(cancel(&stack, &id).await);
    is_cancelled(&stack, &id, "gen-1").await;
    assert_eq!(stack.post_drain().await.unwrap()["processed"], 0);
    assert!(stack.replicate().requests().is_empty());
    stack.stop().await.unwrap();
}

/// The prediction ends at Replicate, even though the type is paused, and is paid no further.
#[tokio::test]
async fn a_parked_jobs_prediction_is_cancelled_first() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "30000")])).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox [hang]")).await;
    drain_in_background(&stack).await;
    until(&stack, "it is parked", async || !job(&stack, &id).await["checkpoint"].is_null()).await;
    execute(&stack, "select pause_job_type('generate-image', 'for the night')").await;
    stack.replicate().fail_next(Endpoint::Cancel, Fault::Status(503), 1);
    execute(&stack, "update job_types set backoff_base_seconds = 1").await;
    assert!(cancel(&stack, &id).await);
    drain_in_background(&stack).await;
    until(&stack, "replicate is told twice", async || {
        stack.post_drain().await.unwrap();
        job(&stack, &id).await["status"] == "cancelled"
    })
    .await;
    is_cancelled(&stack, &id, "gen-1").await;
    let predictions = stack.replicate().predictions();
    assert_eq!(predictions.iter().map(|it| it.status).collect::<Vec<_>>(), [Status::Canceled]);
    stack.stop().await.unwrap();
}

/// Called while the create is on its way: the run parks, and what it has begun is ended.
#[tokio::test]
async fn a_job_at_work_ends_what_it_has_begun() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "30000")])).await;
    stack.replicate().fail_next(Endpoint::Create, Fault::Late(Duration::from_secs(1)), 1);
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox [hang]")).await;
    drain_in_background(&stack).await;
    until(&stack, "the create is taken", async || stack.replicate().predictions().len() == 1).await;
    assert!(cancel(&stack, &id).await);
    assert_eq!(job(&stack, &id).await["status"], "processing");
    // The drain at work hears of it as the job parks.
    is_cancelled(&stack, &id, "gen-1").await;
    assert_eq!(stack.replicate().predictions()[0].status, Status::Canceled);
    stack.stop().await.unwrap();
}

/// The worker is killed over a create that nobody knows of, and the job is cancelled: the list tells.
#[tokio::test]
async fn a_lost_create_is_found_and_cancelled() {
    let stack = start(settings(&[])).await;
    stack.replicate().fail_next(Endpoint::Create, Fault::Hang, 1);
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox [hang]")).await;
    drain_in_background(&stack).await;
    until(&stack, "the create is taken", async || stack.replicate().predictions().len() == 1).await;
    stack.function().kill().await.unwrap();
    assert!(cancel(&stack, &id).await);
    expire_leases(&stack).await;
    drain_in_background(&stack).await;
    is_cancelled(&stack, &id, "gen-1").await;
    let predictions = stack.replicate().predictions();
    assert_eq!(predictions.iter().map(|it| it.status).collect::<Vec<_>>(), [Status::Canceled]);
    stack.stop().await.unwrap();
}

/// A new life makes a new picture, and takes up one that is there already instead.
#[tokio::test]
async fn a_failed_job_is_retried_without_paying_for_what_is_there() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let refused = enqueue(&stack, "generate-image", &generate("refused", "a fox [fail-once:nsfw]")).await;
    stack.post_drain().await.unwrap();
    assert_eq!(job(&stack, &refused).await["status"], "failed");
    // The create gets no answer, and neither does who looks for it: the job is given up, the picture is made.
    execute(&stack, "update job_types set backoff_base_seconds = 0.1, backoff_max_seconds = 0.1").await;
    let given_up = enqueue(&stack, "generate-image", &generate("given-up", "a goose")).await;
    stack.replicate().fail_next(Endpoint::Create, Fault::DropAfter, 1);
    stack.replicate().fail_next(Endpoint::List, Fault::Status(500), 2);
    until(&stack, "it is given up", async || {
        stack.post_drain().await.unwrap();
        job(&stack, &given_up).await["status"] == "failed"
    })
    .await;
    assert_eq!(stack.replicate().predictions().len(), 2);

    let redriven = count(&stack, "select redrive_failed_jobs()::bigint").await;
    assert_eq!(redriven, 2);
    assert_eq!(generation(&stack, "given-up").await["status"], "queued");
    until(&stack, "both are done", async || {
        stack.post_drain().await.unwrap();
        count(&stack, "select count(*) from image_generations where status = 'completed'").await == 2
    })
    .await;
    assert_eq!(stack.replicate().predictions().len(), 3, "only the refused one is made again");
    assert_eq!(job(&stack, &refused).await["errors"].as_array().unwrap().len(), 1, "what went wrong is kept");
    stack.stop().await.unwrap();
}

/// Credit runs out while a prediction is at work: it is fetched, paid as it is, and only new ones wait.
#[tokio::test]
async fn a_pause_keeps_no_picture_that_is_paid_for() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    enqueue(&stack, "generate-image", &generate("paid", "a fox")).await;
    drain_in_background(&stack).await;
    until(&stack, "it is made", async || stack.replicate().predictions().len() == 1).await;
    stack.replicate().set_mode(Mode::InsufficientCredit);
    let waits = enqueue(&stack, "generate-image", &generate("waits", "a goose")).await;
    until(&stack, "the picture is stored", async || {
        stack.post_drain().await.unwrap();
        generation(&stack, "paid").await["status"] == "completed"
    })
    .await;
    let waits = job(&stack, &waits).await;
    assert_eq!((&waits["status"], &waits["attempt_number"]), (&json!("pending"), &json!(0)), "{waits}");
    assert_eq!(count(&stack, "select count(*) from job_types where paused_reason like '%402%'").await, 1);
    stack.stop().await.unwrap();
}
