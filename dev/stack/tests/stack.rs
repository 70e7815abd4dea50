//! The stack is what the function and its users find in a hosted project.

use std::path::Path;
use std::time::Duration;

use local_stack::{Deno, Options, PostgresKind, Stack};
use serde_json::{Value, json};

fn options() -> Options {
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/function");
    Options { function_directory: Some(function), ..Options::default() }
}

/// Calls a database function as the worker does: status and body.
async fn rpc(stack: &Stack, key: &str, function: &str, arguments: Value) -> (u16, Value) {
    let url = format!("{}/rest/v1/rpc/{function}", stack.api_url());
    let answer = reqwest::Client::new().post(url).header("apikey", key).json(&arguments).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn rest_answers_as_postgrest_does() {
    let stack = Stack::start(options()).await.unwrap();
    let sql = stack.sql().await.unwrap();
    sql.batch_execute(
        "create function echo(names text[], number int, ratio double precision, document jsonb, at timestamptz)
             returns table (names text[], number int, ratio double precision, document jsonb, kind text, at timestamptz)
             language sql as 'select names, number, ratio, document, jsonb_typeof(document), at';
         create function yes() returns boolean language sql as 'select true';
         create function id() returns uuid language sql as $$ select uuid '00000000-0000-0000-0000-000000000001' $$;
         create function nothing() returns double precision language sql as 'select null::double precision';
         create function refuse() returns boolean language plpgsql as
             $$ begin raise exception 'not like this' using hint = 'like that'; end $$;
         create function later() returns boolean language plpgsql as
             $$ begin raise exception 'not now' using errcode = 'PT429', detail = '{}'; end $$;
         create function deadlock() returns boolean language plpgsql as
             $$ begin raise exception 'deadlock detected' using errcode = '40P01'; end $$;
         notify pgrst, 'reload schema'",
    )
    .await
    .unwrap();
    let key = stack.secret_key();
    // The notification arrives a moment after its transaction.
    while rpc(&stack, key, "deadlock", json!({})).await.0 == 404 {}

    let arguments = json!({
        "names": ["a", "b,c", "\"{d}"], "number": 3, "ratio": 1.5, "document": [{"k": "v"}], "at": "2026-01-01T00:00:00.5Z"
    });
    let row = json!({
        "names": ["a", "b,c", "\"{d}"], "number": 3, "ratio": 1.5, "document": [{"k": "v"}], "kind": "array",
        "at": "2026-01-01T00:00:00.5+00:00"
    });
    assert_eq!(rpc(&stack, key, "echo", arguments.clone()).await, (200, json!([row])));
    assert_eq!(
        rpc(&stack, key, "echo?select=number,kind", arguments).await,
        (200, json!([{"number": 3, "kind": "array"}]))
    );
    let nulls = json!({"names": null, "number": null, "ratio": null, "document": null, "at": null});
    assert_eq!(rpc(&stack, key, "echo?select=names,kind", nulls).await, (200, json!([{"names": null, "kind": null}])));
    assert_eq!(rpc(&stack, key, "yes", json!({})).await, (200, json!(true)));
    assert_eq!(rpc(&stack, key, "id", json!({})).await, (200, json!("00000000-0000-0000-0000-000000000001")));
    assert_eq!(rpc(&stack, key, "nothing", json!({})).await, (200, Value::Null));
    assert_eq!(
        rpc(&stack, key, "refuse", json!({})).await,
        (400, json!({"code": "P0001", "details": null, "hint": "like that", "message": "not like this"}))
    );
    assert_eq!(
        rpc(&stack, key, "later", json!({})).await,
        (429, json!({"code": "PT429", "details": "{}", "hint": null, "message": "not now"}))
    );
    let (status, body) = rpc(&stack, key, "deadlock", json!({})).await;
    assert_eq!((status, &body["code"]), (500, &json!("40P01")));
}

#[tokio::test]
async fn keys_decide_who_may_call_the_queue() {
    let stack = Stack::start(options()).await.unwrap();
    for key in [stack.secret_key(), stack.service_role_key()] {
        assert_eq!(rpc(&stack, key, "claim_next_job", json!({})).await, (200, json!([])));
    }
    let (status, body) = rpc(&stack, stack.publishable_key(), "claim_next_job", json!({})).await;
    assert_eq!((status, &body["code"]), (401, &json!("42501")));
    assert_eq!(rpc(&stack, "sb_secret_wrong", "claim_next_job", json!({})).await.0, 401);

    let sql = stack.sql().await.unwrap();
    let granted = "select has_table_privilege($1, 'process_jobs.secret', 'select')";
    for role in ["anon", "authenticated", "service_role"] {
        assert!(!sql.query_one(granted, &[&role]).await.unwrap().get::<_, bool>(0), "{role}");
    }

    let url = format!("{}/rest/v1/rpc/claim_next_job", stack.api_url());
    let both = reqwest::Client::new().post(url).header("apikey", stack.service_role_key());
    let answer = both.bearer_auth(stack.service_role_key()).json(&json!({})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn storage_keeps_what_is_streamed_to_it() {
    let stack = Stack::start(options()).await.unwrap();
    let client = reqwest::Client::new();
    let object = format!("{}/storage/v1/object/generated-images/user/picture.webp", stack.api_url());
    let public = format!("{}/storage/v1/object/public/generated-images/user/picture.webp", stack.api_url());
    let upload = |bytes: Vec<u8>, upsert: &'static str| {
        let chunks: Vec<std::io::Result<Vec<u8>>> = bytes.chunks(64 * 1024).map(|chunk| Ok(chunk.to_vec())).collect();
        client
            .post(&object)
            .header("apikey", stack.secret_key())
            .header("content-type", "image/webp")
            .header("x-upsert", upsert)
            .body(reqwest::Body::wrap_stream(futures_util::stream::iter(chunks)))
            .send()
    };
    let first: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let second = b"another picture".to_vec();

    assert_eq!(upload(first.clone(), "true").await.unwrap().status(), 200);
    let served = client.get(&public).send().await.unwrap();
    assert_eq!(served.headers()["content-type"], "image/webp");
    assert_eq!(served.bytes().await.unwrap(), first);

    assert_eq!(upload(second.clone(), "false").await.unwrap().status(), 400);
    assert_eq!(upload(second.clone(), "true").await.unwrap().status(), 200);
    assert_eq!(client.get(&public).send().await.unwrap().bytes().await.unwrap(), second);

    let stranger = client.post(&object).header("apikey", stack.publishable_key()).header("x-upsert", "true");
    let answer = stranger.header("content-type", "image/webp").body("x").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json::<Value>().await.unwrap()["statusCode"], "403");
}

#[tokio::test]
async fn the_function_is_served_killed_and_booted_again() {
    for deno in [Deno::V2_1_4, Deno::Latest] {
        let mut options = options();
        options.deno = deno;
        options.function_env =
            [("REPLICATE_API_TOKEN".into(), "".into()), ("RUN_BUDGET_MS".into(), "5000".into())].into();
        let stack = Stack::start(options).await.unwrap();
        let url = format!("{}/functions/v1/process-jobs", stack.api_url());
        let client = reqwest::Client::new();
        assert_eq!((stack.function().boots(), stack.function().pid().await), (0, None));

        let answer = client.post(format!("{url}/jobs?a=b")).header("apikey", "key").body("body").send().await.unwrap();
        let heard: Value = answer.json().await.unwrap();
        let expected = json!({"method": "POST", "path": "/process-jobs/jobs?a=b", "key": "key", "body": "body"});
        assert_eq!(heard, expected);
        let heard: Value = client.get(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!(heard, json!({"method": "GET", "path": "/process-jobs", "key": null, "body": ""}));
        assert_eq!(client.get(format!("{url}-else")).send().await.unwrap().status(), 404);

        let env: Value = client.get(format!("{url}/env")).send().await.unwrap().json().await.unwrap();
        assert_eq!(env["SUPABASE_URL"], stack.api_url());
        assert_eq!(env["SUPABASE_SECRET_KEYS"], json!({"default": stack.secret_key()}).to_string());
        assert_eq!(env["REPLICATE_API_URL"], stack.replicate().api_url());
        assert_eq!((&env["RUN_BUDGET_MS"], &env["REPLICATE_API_TOKEN"]), (&json!("5000"), &Value::Null));
        let refused = client.get(format!("{url}/write")).send().await.unwrap().text().await.unwrap();
        assert!(["NotCapable", "PermissionDenied"].contains(&refused.as_str()), "{refused}");

        let late = client.get(format!("{url}/later")).send().await.unwrap().text().await.unwrap();
        assert_eq!(late, "answered");
        assert!(stack.logs().unwrap().contains("waitUntil: rejected with Error: too late"));
        assert!(stack.function().peak_rss().await.unwrap() > 10_000_000);
        assert!(stack.function().cpu_time().await.unwrap().as_millis() >= 10);

        let hanging = tokio::spawn(client.get(format!("{url}/hang")).send());
        while !stack.logs().unwrap().contains("hanging") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stack.function().kill().await.unwrap();
        assert_eq!(hanging.await.unwrap().unwrap().status(), 502);
        assert_eq!(stack.function().pid().await, None);
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
        assert_eq!(stack.function().boots(), 2);

        let (address, pid) = (stack.api_url().to_owned(), stack.function().pid().await.unwrap());
        stack.stop().await.unwrap();
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(client.get(address).send().await.is_err());
    }
}

#[tokio::test]
async fn a_request_of_pg_net_is_sent_after_its_transaction_has_committed() {
    let options = Options { postgres: PostgresKind::System, scheduling: true, ..options() };
    let stack = Stack::start(options).await.unwrap();
    let mut sql = stack.sql().await.unwrap();
    let url = format!("{}/functions/v1/process-jobs", stack.api_url());

    let rolled_back = sql.transaction().await.unwrap();
    rolled_back.query_one("select net.http_post(url := $1)", &[&url]).await.unwrap();
    rolled_back.rollback().await.unwrap();
    let committed = sql.transaction().await.unwrap();
    committed.query_one("select net.http_post(url := $1)", &[&url]).await.unwrap();
    assert_eq!(stack.function().boots(), 0);
    committed.commit().await.unwrap();

    while stack.function().boots() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let queued: i64 = sql.query_one("select count(*) from net.http_request_queue", &[]).await.unwrap().get(0);
    assert_eq!(queued, 0);
    sql.execute("select cron.schedule('a-job', '* * * * *', 'select 1')", &[]).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    // Postgres runs as another user when we are root.
    let passable = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(directory.path(), passable).unwrap();
    let kept = || Options { kept_in: Some(directory.path().to_owned()), ..Options::default() };
    let payload = |name: &str| json!({"generation_id": name, "user_id": "u", "prompt": "a fox", "model_id": "black-forest-labs/flux-schnell"});
    let picture = |name: &str| format!("storage/v1/object/public/generated-images/u/{name}.webp");
    let get = async |stack: &Stack, name: &str| {
        let answer = reqwest::get(format!("{}/{}", stack.api_url(), picture(name))).await.unwrap();
        let kind = answer.headers().get("content-type").cloned();
        (answer.status().as_u16(), kind, answer.bytes().await.unwrap())
    };
    let granted = "select string_agg(format('%s %s', r, has_table_privilege(r, 'public.job_queue', 'select')), ', ')
        from unnest(array['anon', 'authenticated', 'service_role']) r";

    let stack = Stack::start(kept()).await.unwrap();
    let (key, port) = (stack.secret_key().to_owned(), stack.api_url().rsplit_once(':').unwrap().1.parse().ok());
    stack.sql().await.unwrap().execute("select enqueue_job('generate-image', $1)", &[&payload("g-1")]).await.unwrap();
    stack.post_drain().await.unwrap();
    let first = get(&stack, "g-1").await;
    assert_eq!(first.0, 200, "{}", stack.logs().unwrap());
    let taken = Stack::start(Options { port, ..Options::default() }).await.err().unwrap();
    assert!(format!("{taken:#}").contains("cannot listen at 127.0.0.1:"), "{taken:#}");
    stack.stop().await.unwrap();

    let stack = Stack::start(Options { port, ..kept() }).await.unwrap();
    assert_eq!(stack.secret_key(), key);
    let again = get(&stack, "g-1").await;
    assert_eq!((again.0, &again.1, again.2.len()), (200, &first.1, first.2.len()), "{}", stack.logs().unwrap());
    assert!(again.2 == first.2, "the same picture");
    let sql = stack.sql().await.unwrap();
    let granted: String = sql.query_one(granted, &[]).await.unwrap().get(0);
    assert_eq!(granted, "anon f, authenticated f, service_role t", "as the migrations left it");
    sql.execute("select enqueue_job('generate-image', $1)", &[&payload("g-2")]).await.unwrap();
    stack.post_drain().await.unwrap();
    assert_eq!(get(&stack, "g-2").await.0, 200, "{}", stack.logs().unwrap());
}
