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

/// The app that the scripts were written for, with a job of theirs left over: start-generation's calls and the clients'
/// reads through PostgREST, to stored pictures.
#[tokio::test]
async fn the_original_app_goes_on_through_rest() {
    const APP: &str = concat!(
        include_str!("../fixtures/apps/original.sql"),
        "insert into auth.users (id) values ('00000000-0000-4000-8000-000000000001');
        insert into profiles (id) values ('00000000-0000-4000-8000-000000000001');
        insert into image_generations (id, user_id, prompt, model, status) values
            ('11111111-1111-4111-8111-111111111111', '00000000-0000-4000-8000-000000000001', 'a fox', 'flux-schnell', 'processing');
        insert into job_queue (job_type, payload, status, attempts, started_at, created_by) values
            ('generate-image', '{\"generation_id\": \"11111111-1111-4111-8111-111111111111\", \"user_id\": \"00000000-0000-4000-8000-000000000001\",
                \"prompt\": \"a fox\", \"model_id\": \"black-forest-labs/flux-schnell\", \"negative_prompt\": null, \"seed\": null}',
                'processing', 1, now() - interval '3 days', '00000000-0000-4000-8000-000000000001'),
            ('cleanup-storage', '{}', 'pending', 0, null, null)"
    );
    let stack = start(Options { app: Some(APP), ..Options::default() }).await;
    let rest = async |method: &str, path: &str, body: serde_json::Value| {
        let url = format!("{}/rest/v1/{path}", stack.api_url());
        let request = reqwest::Client::new().request(method.parse().unwrap(), url).header("apikey", stack.secret_key());
        let answer = request.header("prefer", "return=representation").json(&body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<serde_json::Value>().await.unwrap_or_default())
    };
    let (id, user) = ("22222222-2222-4222-8222-222222222222", "00000000-0000-4000-8000-000000000001");
    let row =
        json!({ "id": id, "user_id": user, "prompt": "a blue fox", "model": "flux-schnell", "status": "pending" });
    assert_eq!(rest("POST", "image_generations", row).await.0, 201);
    let payload = json!({ "generation_id": id, "user_id": user, "prompt": "a blue fox", "negative_prompt": null, "seed": null,
        "model_id": "black-forest-labs/flux-schnell", "width": 1024, "height": 1024 });
    let named = json!({ "p_job_type": "generate-image", "p_payload": payload, "p_priority": 0, "p_max_attempts": 3 });
    let (status, job) = rest("POST", "rpc/enqueue_job", named).await;
    assert_eq!(status, 200, "{job}");
    assert_eq!(rest("PATCH", &format!("image_generations?id=eq.{id}"), json!({ "status": "queued" })).await.0, 200);
    // The other names that callers have: none is refused as one of two.
    for (function, arguments) in [
        (
            "enqueue_job",
            json!({ "p_job_type": "cleanup-storage", "p_payload": {}, "p_scheduled_at": "2030-01-01T00:00:00Z" }),
        ),
        ("enqueue_job", json!({ "p_job_type": "cleanup-storage", "p_payload": {} })),
        ("complete_job", json!({ "p_job_id": job, "p_error_message": "x", "p_error_details": { "a": 1 } })),
        ("complete_job", json!({ "p_job_id": job })),
        ("claim_next_job", json!({ "p_job_types": ["none"] })),
    ] {
        let (status, answer) = rest("POST", &format!("rpc/{function}"), arguments).await;
        assert_eq!(status, 200, "{function}: {answer}");
    }

    until(&stack, "both are stored", async || {
        stack.post_drain().await.unwrap();
        count(&stack, "select count(*) from image_generations where status = 'completed'").await == 2
    })
    .await;
    for id in [id, "11111111-1111-4111-8111-111111111111"] {
        let (_, images) =
            rest("GET", &format!("images?select=public_url,model&generation_id=eq.{id}"), json!(null)).await;
        assert_eq!(images.as_array().map(Vec::len), Some(1), "one, as `.single()` wants it: {images}");
        assert_eq!(images[0]["model"], "flux-schnell");
    }
    let (_, health) = rest("GET", "queue_health?job_type=eq.generate-image", json!(null)).await;
    assert_eq!((&health[0]["status"], &health[0]["count"]), (&json!("completed"), &json!(2)), "{health}");
    assert_eq!(stack.replicate().predictions().len(), 2, "each is paid once");
    assert_eq!(
        count(&stack, "select count(*) from job_queue where job_type = 'cleanup-storage' and status = 'pending'").await,
        3
    );
}
