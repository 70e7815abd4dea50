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
        let definition = "select pg_get_functiondef('claim_next_job(text[], int, int, jsonb, uuid)'::regprocedure)";
        let definition = sql.query_one(definition, &[]).await.unwrap().get(0);
        sql.batch_execute("drop function claim_next_job(text[], int, int, jsonb, uuid); notify pgrst, 'reload schema'")
            .await
            .unwrap();
        definition
    };
    until(&stack, "the function says what to deploy", async || {
        let answer = call(&stack, "POST", "", &[], None).await;
        let error = answer.body["error"].as_str().unwrap_or_default().to_owned();
        answer.status == 500 && error.contains("apply its migration (supabase db push --remote)")
    })
    .await;
    untouched("without the function").await;
    execute(&stack, &format!("{definition}; notify pgrst, 'reload schema'")).await;

    // An older schema: nothing is claimed.
    execute(&stack, "update process_jobs.releases set version = '0.0.9'").await;
    until(&stack, "the function says what to deploy", async || {
        let answer = call(&stack, "POST", "", &[], None).await;
        let error = answer.body["error"].as_str().unwrap_or_default().to_owned();
        answer.status == 500 && error.contains("the database is 0.0.9, and this function process-jobs ")
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
        create function process_jobs.before_drain(p_worker jsonb, p_job_types text[]) returns void language plpgsql as
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

/// Image tables as apps have them: one prediction is paid for each that takes its picture, none for one that does not.
#[tokio::test]
async fn odd_image_tables_take_their_picture_or_cost_nothing() {
    const ID: &str = "11111111-1111-4111-8111-111111111111";
    const TABLES: &str = "drop table images, image_generations cascade;
        create table image_generations (id uuid primary key default gen_random_uuid(), user_id uuid not null, prompt text,
            negative_prompt text, status text not null default 'pending', error_message text, updated_at timestamptz default now());
        create table images (id uuid primary key default gen_random_uuid(),
            generation_id uuid references image_generations (id), user_id uuid, storage_path text, public_url text, width int);";
    // What is odd, what is said of it (nothing: it takes its picture) and what mends it.
    let shapes = [
        ("as they are", "", "", ""),
        ("no updated_at, no error_message", "alter table image_generations drop updated_at, drop error_message", "", ""),
        ("no storage_path, no width", "alter table images drop storage_path, drop width", "", ""),
        (
            "an enum status without cancelled and downloading",
            "create type state as enum ('pending', 'queued', 'processing', 'completed', 'failed');
            alter table image_generations alter status drop default, alter status type state using status::state,
            alter status set default 'pending'",
            "",
            "",
        ),
        (
            "a check without ours",
            "alter table image_generations add constraint states check (status in ('pending', 'ready', 'failed'))",
            "violates check constraint \"states\"",
            "alter table image_generations drop constraint states",
        ),
        (
            "a title that must be there",
            "alter table images add column title text not null",
            "null value in column \"title\" of relation \"images\"",
            "alter table images alter column title set default ''",
        ),
        (
            "owner_id for user_id",
            "alter table image_generations rename user_id to owner_id",
            "public.image_generations has no column user_id",
            "alter table image_generations rename owner_id to user_id",
        ),
        (
            "no status",
            "alter table image_generations drop status",
            "column g.status does not exist",
            "alter table image_generations add column status text",
        ),
        (
            "a trigger that raises",
            "create or replace function no() returns trigger language plpgsql as $$ begin raise exception 'no pictures on Sundays'; end $$;
            create trigger no before insert on images for each row execute function no()",
            "no pictures on Sundays",
            "drop trigger no on images",
        ),
        (
            "generated columns",
            "alter table images drop public_url, add column public_url text generated always as ('https://cdn/' || storage_path) stored",
            "",
            "",
        ),
        (
            "text ids",
            "alter table images drop constraint images_generation_id_fkey, alter generation_id type text, alter user_id type text;
            alter table image_generations alter id drop default, alter id type text, alter user_id type text",
            "",
            "",
        ),
        (
            "pictures that are there twice",
            "alter table images drop constraint images_generation_id_fkey; insert into images (generation_id, storage_path)
            select '11111111-1111-4111-8111-111111111111', 'p.png' from generate_series(1, 3)",
            "",
            "",
        ),
    ];
    let stack = start(settings(&[("POLL_INTERVAL_MS", "100")])).await;
    let mut payload = generate(ID, "a red fox");
    payload["user_id"] = json!("00000000-0000-4000-8000-000000000001");
    for (number, (what, odd, said, mended_by)) in shapes.into_iter().enumerate() {
        execute(&stack, &format!("delete from job_queue; {TABLES} {odd}")).await;
        local_stack::migrate(&mut stack.sql().await.unwrap()).await.unwrap_or_else(|error| panic!("{what}: {error:#}"));
        let paid = stack.replicate().predictions().len();
        assert_eq!(paid, number, "{what}: one each before");
        if !said.is_empty() {
            // Where the job's own generation cannot be written either, it is not even enqueued.
            let sql = stack.sql().await.unwrap();
            let taken = sql.execute("select enqueue_job('generate-image', $1)", &[&payload]).await.is_ok();
            stack.post_drain().await.unwrap();
            let health = call(&stack, "GET", "/health", &[], None).await.body;
            let reason = health["queue"]["paused"][0]["reason"].as_str().unwrap_or_default();
            assert!(reason.contains(said), "{what}: {health}");
            assert_eq!(stack.replicate().predictions().len(), paid, "{what}: nothing is paid");
            execute(&stack, mended_by).await;
            if !taken {
                enqueue(&stack, "generate-image", &payload).await;
            }
        } else {
            enqueue(&stack, "generate-image", &payload).await;
        }
        drain_until_done(&stack).await;
        assert_eq!(stack.replicate().predictions().len(), paid + 1, "{what}: paid once");
        let states = count(&stack, "select count(*) from job_queue where status = 'completed'").await;
        assert_eq!(states, 2, "{what}: {}", row(&stack, "select jsonb_agg(j) from job_queue j", &[]).await);
        let stored = "select count(*) from images i where to_jsonb(i) ->> 'public_url' like '%11111111%'";
        assert_eq!(count(&stack, stored).await, 1, "{what}: the picture");
        assert_eq!(
            count(&stack, "select count(*) from image_generations where status::text = 'completed'").await,
            1,
            "{what}"
        );
    }
}
