//! SIGKILL in the middle of things, and a trap in the wasm.

use crate::support::*;
use local_stack::Options;
use replicate_stand_in::{Endpoint, Fault};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Killed while it waits for Replicate's answer about a prediction it has already paid for.
#[tokio::test]
async fn a_worker_killed_while_it_polls_resumes_the_same_prediction() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    stack.replicate().fail_next(Endpoint::Get, Fault::Hang, 1);
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    drain_in_background(&stack).await;
    until(&stack, "the worker polls", async || {
        stack
            .replicate()
            .requests()
            .iter()
            .any(|request| request.method == "GET" && request.path.contains("/predictions/"))
    })
    .await;
    assert_eq!(job(&stack, &id).await["status"], "processing");

    kill_and_recover(&stack).await;
    assert_eq!(stack.replicate().predictions().len(), 1);
    let job = job(&stack, &id).await;
    assert_eq!((&job["status"], &job["attempt_number"]), (&json!("completed"), &json!(2)), "{job}");
    assert_eq!(job["errors"][0]["kind"], "lease_expired", "{job}");
    one_picture(&stack).await;
    stack.stop().await.unwrap();
}

/// Killed after Replicate took the create and before the worker heard of it.
#[tokio::test]
async fn a_worker_killed_before_it_hears_of_its_create_finds_it_again() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    stack.replicate().fail_next(Endpoint::Create, Fault::Hang, 1);
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    drain_in_background(&stack).await;
    until(&stack, "the create is taken", async || stack.replicate().predictions().len() == 1).await;

    kill_and_recover(&stack).await;
    assert_eq!(stack.replicate().predictions().len(), 1);
    assert_eq!(job(&stack, &id).await["status"], "completed");
    one_picture(&stack).await;
    stack.stop().await.unwrap();
}

/// Killed with half of the picture on its way into Storage.
#[tokio::test]
async fn a_worker_killed_in_the_middle_of_a_download_stores_one_picture() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox [slow-body]")).await;
    drain_in_background(&stack).await;
    let files = |stack: &local_stack::Stack| {
        stack.replicate().requests().iter().filter(|it| it.path.ends_with(".webp")).count()
    };
    until(&stack, "the picture is on its way", async || files(&stack) == 1).await;

    kill_and_recover(&stack).await;
    assert_eq!(files(&stack), 2, "the picture is fetched again");
    assert_eq!(stack.replicate().predictions().len(), 1);
    one_picture(&stack).await;
    stack.stop().await.unwrap();
}

/// A download that takes longer than its lease keeps it by heartbeats, and nobody else gets the job.
#[tokio::test]
async fn a_download_longer_than_its_lease_keeps_it() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    execute(&stack, "update job_types set lease_seconds = 1").await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox [slow-body]")).await;
    drain_in_background(&stack).await;
    until(&stack, "the picture is stored", async || {
        stack.post_drain().await.unwrap();
        generation(&stack, "gen-1").await["status"] == "completed"
    })
    .await;
    let files = stack.replicate().requests().iter().filter(|it| it.endpoint == Some(Endpoint::File)).count();
    assert_eq!(files, 1, "the picture was fetched twice");
    assert_eq!(count(&stack, "select count(*) from job_queue where attempt_number > 1 or errors <> '[]'").await, 0);
    one_picture(&stack).await;
    stack.stop().await.unwrap();
}

/// SIGKILL; then, as if the lease had passed, the next tick.
async fn kill_and_recover(stack: &local_stack::Stack) {
    stack.function().kill().await.unwrap();
    assert_eq!(count(stack, "select count(*) from job_queue where status = 'processing'").await, 1);
    expire_leases(stack).await;
    let answer = stack.post_drain().await.unwrap();
    assert_eq!(answer["errors"], 0, "{answer}");
    assert_eq!(stack.function().boots(), 2);
    assert_eq!(count(stack, "select count(*) from job_queue where status <> 'completed'").await, 0, "{answer}");
}

async fn one_picture(stack: &local_stack::Stack) {
    assert_eq!(generation(stack, "gen-1").await["status"], "completed");
    assert_eq!(count(stack, "select count(*) from images").await, 1);
    let image = row(stack, "select to_jsonb(i) from images i", &[]).await;
    let output =
        row(stack, "select payload -> 'output_url' from job_queue where job_type = 'download-image'", &[]).await;
    let (made, _) = fetch(output.as_str().unwrap()).await;
    let (stored, _) = fetch(image["public_url"].as_str().unwrap()).await;
    assert!(made == stored, "the stored picture is not the one made");
}

/// A trap answers what is in flight with 500, ends the isolate, and the next request gets a fresh one.
///
/// The worker has no trap to set off, so the function is served from a copy whose glue throws where
/// the worker calls `fetch` for the first time: to the wasm that is the same end in the middle of a call.
#[tokio::test]
async fn a_trap_answers_500_and_the_next_request_gets_a_fresh_isolate() {
    trapped("throw new WebAssembly.RuntimeError('unreachable');").await;
}

/// One in a promise's callback is told to the isolate as a rejection that nobody waits for.
#[tokio::test]
async fn a_trap_in_a_promise_ends_the_isolate_too() {
    trapped("Promise.reject(new WebAssembly.RuntimeError('unreachable')); return new Promise(() => {});").await;
}

async fn trapped(does: &str) {
    let (copy, marker, function) = copy_that(does);
    let stack = start(Options { function_directory: Some(function), ..settings(&[]) }).await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    let answer = call(&stack, "POST", "", &[], None).await;
    assert_eq!(answer.status, 500, "{answer:?}\n{}", stack.logs().unwrap());
    assert_eq!(answer.body["success"], false);
    until(&stack, "the isolate has ended", async || stack.function().pid().await.is_none()).await;

    fs::remove_file(&marker).unwrap();
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(2), &json!(0)), "{answer}");
    assert_eq!(stack.function().boots(), 2);
    stack.stop().await.unwrap();
    drop(copy);
}

/// A promise that nobody waits for costs a line in the log: what else is at work goes on.
#[tokio::test]
async fn a_rejection_that_nobody_waits_for_leaves_the_isolate_alone() {
    let (copy, _, function) = copy_that("Promise.reject(new TypeError('see https://a.co/?token=a-token'));");
    let stack = start(Options { function_directory: Some(function), ..settings(&[]) }).await;
    enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(2), &json!(0)), "{answer}");
    assert_eq!(stack.function().boots(), 1);
    let logs = stack.logs().unwrap();
    assert!(logs.contains("a promise was rejected and nobody waited for it: TypeError"), "{logs}");
    assert!(!logs.contains("a-token"), "{logs}");
    stack.stop().await.unwrap();
    drop(copy);
}

/// A copy of the function that does something more where it calls `fetch`, as long as the marker is there.
fn copy_that(does: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = local_stack::repository();
    let copy = tempfile::tempdir().unwrap();
    let function = copy.path().join("supabase/functions/process-jobs");
    copy_files(&root.join("pkg"), &copy.path().join("pkg"));
    copy_files(&root.join("supabase/functions/process-jobs"), &function);
    let marker = copy.path().join("marker");
    fs::write(&marker, "").unwrap();
    let glue = copy.path().join("pkg/process_jobs_bg.js");
    let text = fs::read_to_string(&glue).unwrap();
    let fetch_call = "const ret = fetch(";
    assert_eq!(text.matches(fetch_call).count(), 1, "the glue calls fetch in another way");
    let changed = format!(
        "try {{ Deno.statSync({:?}); }} catch {{ return fetch(getStringFromWasm0(arg0, arg1), arg2); }}
         {does} {fetch_call}",
        marker.to_str().unwrap()
    );
    fs::write(&glue, text.replace(fetch_call, &changed)).unwrap();
    (copy, marker, function)
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
