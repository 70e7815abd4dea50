//! A project whose app was there before, and one that is being deployed.

use crate::support::*;
use local_stack::Options;
use serde_json::json;

/// While function and schema do not go with each other, no job is touched, and a sentence says what to deploy; once
/// they do, all of them run.
#[tokio::test]
async fn a_deploy_loses_no_job_in_whichever_order_it_comes() {
    let stack = start(Options::default()).await;
    let ids = [
        enqueue(&stack, "generate-image", &generate("deploy-1", "a red fox")).await,
        enqueue(&stack, "generate-image", &generate("deploy-2", "a blue fox")).await,
    ];
    let untouched = async |what: &str| {
        for id in &ids {
            let job = job(&stack, id).await;
            assert_eq!((&job["status"], &job["attempt_number"]), (&json!("pending"), &json!(0)), "{what}: {job}");
        }
    };

    // The function comes first: the schema has none of its calls yet.
    let definition: String = {
        let sql = stack.sql().await.unwrap();
        let definition = "select pg_get_functiondef('exchange_jobs(jsonb, text[], int, jsonb)'::regprocedure)";
        let definition = sql.query_one(definition, &[]).await.unwrap().get(0);
        sql.batch_execute("drop function exchange_jobs(jsonb, text[], int, jsonb); notify pgrst, 'reload schema'")
            .await
            .unwrap();
        definition
    };
    until(&stack, "the function says what to deploy", async || {
        let answer = call(&stack, "POST", "", &[], None).await;
        let error = answer.body["error"].as_str().unwrap_or_default().to_owned();
        answer.status == 500 && error.contains("apply its migration (supabase db push)")
    })
    .await;
    untouched("without the function").await;
    execute(&stack, &format!("{definition}; notify pgrst, 'reload schema'")).await;

    // An older schema: what was claimed is handed back.
    execute(&stack, "update process_jobs.releases set version = '0.0.9'").await;
    until(&stack, "the function says what to deploy", async || {
        let answer = call(&stack, "POST", "", &[], None).await;
        let error = answer.body["error"].as_str().unwrap_or_default().to_owned();
        answer.status == 500 && error.starts_with("the database is 0.0.9, and this function process-jobs ")
    })
    .await;
    untouched("with an older schema").await;
    let health = call(&stack, "GET", "/health", &[], None).await;
    assert_eq!(health.body["version"]["schema"], "0.0.9", "{health:?}");

    // A newer one, which has left this function behind.
    execute(
        &stack,
        "update process_jobs.releases set version = '9.0.0';
        alter function process_jobs.before_drain rename to before_drain_of_old;
        create function process_jobs.before_drain(p_worker jsonb, p_job_types text[]) returns text language plpgsql as
        $$ begin raise exception 'this function is process-jobs %, and the database is 9.0.0: supabase functions deploy process-jobs', p_worker ->> 'version' using errcode = '55000'; end $$",
    )
    .await;
    let answer = call(&stack, "POST", "", &[], None).await;
    assert!(answer.body["error"].as_str().is_some_and(|it| it.contains("supabase functions deploy")), "{answer:?}");
    untouched("with a newer schema").await;

    execute(
        &stack,
        "update process_jobs.releases set version = '0.1.0'; drop function process_jobs.before_drain;
        alter function process_jobs.before_drain_of_old rename to before_drain",
    )
    .await;
    drain_until_done(&stack).await;
    assert_eq!(count(&stack, "select count(*) from images").await, 2);
    assert_eq!(stack.replicate().predictions().len(), 2, "each is paid once");
}

/// A bucket that is not there shows before anything is paid.
#[tokio::test]
async fn a_missing_bucket_costs_nothing() {
    let stack = start(settings(&[("STORAGE_BUCKET", "no-such-bucket")])).await;
    let id = enqueue(&stack, "generate-image", &generate("no-bucket", "a red fox")).await;
    stack.post_drain().await.unwrap();
    assert_eq!(stack.replicate().predictions().len(), 0);
    let job = job(&stack, &id).await;
    assert_eq!((&job["status"], &job["attempt_number"]), (&json!("pending"), &json!(0)), "{job}");
    let health = call(&stack, "GET", "/health", &[], None).await;
    let missing = "the bucket that STORAGE_BUCKET names is not there: pictures cannot be stored";
    assert!(health.body["missing"].as_array().unwrap().contains(&json!(missing)), "{health:?}");
    assert_eq!(health.body["queue"]["paused"][0]["reason"], missing, "{health:?}");
}

/// A picture whose record is refused is kept, and recorded later without another prediction or download.
#[tokio::test]
async fn a_picture_that_could_not_be_recorded_is_not_paid_twice() {
    let stack = start(Options::default()).await;
    enqueue(&stack, "generate-image", &generate("kept", "a red fox")).await;
    drain_in_background(&stack).await;
    until(&stack, "it is paid for", async || stack.replicate().predictions().len() == 1).await;
    execute(&stack, "alter table images add constraint small check (width < 10) not valid").await;
    drain_until_done(&stack).await;
    let download = row(&stack, "select to_jsonb(j) from job_queue j where job_type = 'download-image'", &[]).await;
    assert_eq!(download["status"], "failed", "{download}");
    assert!(download["error_message"].as_str().is_some_and(|it| it.contains("small")), "{download}");
    assert_eq!(download["result"]["storage_path"], "user-123/kept.webp", "{download}");
    assert_eq!(generation(&stack, "kept").await["status"], "failed");

    execute(&stack, "alter table images drop constraint small").await;
    execute(&stack, "select retry_job(id) from job_queue where job_type = 'download-image'").await;
    assert_eq!(generation(&stack, "kept").await["status"], "completed");
    assert_eq!(count(&stack, "select count(*) from images where storage_path = 'user-123/kept.webp'").await, 1);
    assert_eq!(stack.replicate().predictions().len(), 1);
}
