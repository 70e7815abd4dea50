//! Jobs of types whose row names a function of the project.

use crate::support::*;
use local_stack::{Options, Stack, repository};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The functions by name, and the table in which `work` notes its calls.
async fn start_with(functions: &[(&str, &str)], env: &[(&str, &str)], port: Option<u16>) -> Stack {
    let functions: BTreeMap<String, PathBuf> =
        functions.iter().map(|(name, path)| ((*name).to_owned(), repository().join(path))).collect();
    let env = [env, &[("NOTIFY_WEBHOOK_SECRETS", SECRET)]].concat();
    let app = "create table public.calls (
        n int generated always as identity, method text, key text, is_ours boolean, token text, job jsonb);
      grant insert on public.calls to service_role;";
    let stack = start(Options { functions, port, app: Some(app), ..settings(&env) }).await;
    execute(
        &stack,
        "insert into job_types (job_type, call_function, backoff_base_seconds) values ('work', 'work', 0.1)",
    )
    .await;
    stack
}

async fn start_work(env: &[(&str, &str)]) -> Stack {
    start_with(&[("work", "tests/e2e/functions/work")], env, None).await
}

async fn steps(stack: &Stack, steps: Value) -> String {
    enqueue(stack, "work", &json!({ "steps": steps })).await
}

async fn calls(stack: &Stack) -> Vec<Value> {
    let sql = "select coalesce(jsonb_agg(c order by c.n), '[]') from calls c";
    row(stack, sql, &[]).await.as_array().unwrap().clone()
}

async fn ends(stack: &Stack, id: &str, status: &str) -> Value {
    until(stack, &format!("the job is {status}"), async || {
        stack.post_drain().await.unwrap();
        job(stack, id).await["status"] == status
    })
    .await;
    job(stack, id).await
}

/// One row inserted, and jobs run: answers of every kind.
#[tokio::test]
async fn what_a_function_answers_is_the_end_of_its_job() {
    // (A drain would wait for the one that is limited, for as long as it may.)
    let stack = start_work(&[("RUN_BUDGET_MS", "2000")]).await;
    let done = steps(&stack, json!([{ "body": { "sent": true } }])).await;
    let nothing = steps(&stack, json!([{ "status": 204 }])).await;
    let large = steps(&stack, json!([{ "length": 1_100_000 }])).await;
    let refused = steps(&stack, json!([{ "status": 422, "body": { "error": "no such address" } }])).await;
    let again = steps(&stack, json!([{ "status": 500 }, { "status": 503 }, { "body": 3 }])).await;
    let limited = steps(&stack, json!([{ "status": 429, "headers": { "retry-after": "1" } }])).await;

    assert_eq!(ends(&stack, &done, "completed").await["result"], json!({ "sent": true }));
    assert_eq!(ends(&stack, &nothing, "completed").await["result"], Value::Null);
    assert_eq!(ends(&stack, &large, "completed").await["result"], json!({ "body": format!("{}…", "x".repeat(2000)) }));
    let refused = ends(&stack, &refused, "failed").await;
    assert_eq!(refused["error_message"], "work answered 422: no such address");
    let again = ends(&stack, &again, "completed").await;
    assert_eq!((&again["result"], &again["attempt_number"]), (&json!(3), &json!(3)), "{again}");
    let waits = job(&stack, &limited).await;
    assert_eq!(
        (&waits["status"], &waits["attempt_number"], &waits["errors"]),
        (&json!("pending"), &json!(0), &json!([]))
    );

    let calls = calls(&stack).await;
    assert!(calls.iter().all(|call| call["is_ours"] == true && call["method"] == "POST"), "{calls:?}");
    let of_again: Vec<_> = calls.iter().filter(|call| call["job"]["job_id"] == again["id"]).collect();
    assert_eq!(of_again.len(), 3);
    assert!(of_again.iter().all(|call| call["key"] == of_again[0]["key"] && call["token"] == of_again[0]["token"]));
    stack.stop().await.unwrap();
}

/// A function that is not there costs no job: it runs once the function is.
#[tokio::test]
async fn a_function_that_is_not_deployed_holds_its_type() {
    let stack = start_work(&[("RUN_BUDGET_MS", "2000")]).await;
    execute(&stack, "update job_types set call_function = 'nowhere' where job_type = 'work'").await;
    let id = steps(&stack, json!([{ "body": 1 }])).await;
    stack.post_drain().await.unwrap();
    let waits = job(&stack, &id).await;
    assert_eq!((&waits["status"], &waits["attempt_number"]), (&json!("pending"), &json!(0)), "{waits}");
    assert_eq!(count(&stack, "select count(*) from job_types where held_until > now() + interval '50 s'").await, 1);
    execute(&stack, "update job_types set call_function = 'work', held_until = null where job_type = 'work'").await;
    ends(&stack, &id, "completed").await;
    stack.stop().await.unwrap();
}

/// Killed in the middle, caller or called: the job is called again with its key, in another attempt.
#[tokio::test]
async fn a_kill_in_the_middle_is_another_attempt_with_the_same_key() {
    let stack = start_work(&[]).await;
    for name in ["process-jobs", "work"] {
        let id = steps(&stack, json!([{ "hangs": true }, { "body": { "done": true } }])).await;
        drain_in_background(&stack).await;
        let called = format!("select count(*) from calls where job ->> 'job_id' = '{id}'");
        until(&stack, "it is called", async || count(&stack, &called).await == 1).await;
        stack.function_named(name).kill().await.unwrap();
        if name == "process-jobs" {
            expire_leases(&stack).await;
        }
        let done = ends(&stack, &id, "completed").await;
        assert_eq!((&done["attempt_number"], &done["result"]), (&json!(2), &json!({ "done": true })), "{done}");
        let keys = format!("select count(distinct key) from calls where job ->> 'job_id' = '{id}'");
        assert_eq!((count(&stack, &called).await, count(&stack, &keys).await), (2, 1));
    }
    stack.stop().await.unwrap();
}

/// 202: parked until its end is told, by complete_job, by wake_job, or not at all.
#[tokio::test]
async fn an_accepted_job_waits_for_its_end() {
    let stack = start_work(&[]).await;
    let parked = async |answers: Value| {
        let id = steps(&stack, answers).await;
        until(&stack, "it is parked", async || {
            stack.post_drain().await.unwrap();
            !job(&stack, &id).await["checkpoint"].is_null()
        })
        .await;
        let waits = job(&stack, &id).await;
        assert_eq!((&waits["status"], &waits["attempt_number"]), (&json!("pending"), &json!(0)), "{waits}");
        id
    };
    let by_hand = parked(json!([{ "status": 202 }])).await;
    execute(&stack, &format!("select complete_job('{by_hand}', '{{\"by\": \"hand\"}}')")).await;
    let done = job(&stack, &by_hand).await;
    assert_eq!((&done["status"], &done["result"]), (&json!("completed"), &json!({ "by": "hand" })));

    let woken = parked(json!([{ "status": 202 }])).await;
    execute(&stack, &format!("select wake_job('{woken}', '{{\"status\": \"completed\", \"result\": [1]}}')")).await;
    assert_eq!(ends(&stack, &woken, "completed").await["result"], json!([1]));

    let failed = parked(json!([{ "status": 202 }])).await;
    execute(&stack, &format!("select wake_job('{failed}', '{{\"status\": \"failed\", \"error\": \"bounced\"}}')"))
        .await;
    assert_eq!(ends(&stack, &failed, "failed").await["error_message"], "work failed: bounced");

    // Nobody tells: asked again while attempts last.
    execute(&stack, "update job_types set call_timeout_seconds = 1 where job_type = 'work'").await;
    let silent = steps(&stack, json!([{ "status": 202 }, { "body": { "at": "last" } }])).await;
    let done = ends(&stack, &silent, "completed").await;
    assert_eq!((&done["result"], &done["attempt_number"]), (&json!({ "at": "last" }), &json!(2)), "{done}");
    assert_eq!(done["errors"][0]["message"], "work answered 202, and its end was not told within 1 s");
    stack.stop().await.unwrap();
}

/// A DELETE to the function that has the job, and none where nothing has begun.
#[tokio::test]
async fn a_cancelled_job_is_told_to_its_function() {
    let stack = start_work(&[]).await;
    let never = steps(&stack, json!([{ "body": 1 }])).await;
    execute(&stack, &format!("select cancel_job('{never}')")).await;
    assert_eq!(job(&stack, &never).await["status"], "cancelled");

    let parked = steps(&stack, json!([{ "status": 202 }])).await;
    stack.post_drain().await.unwrap();
    execute(&stack, &format!("select cancel_job('{parked}')")).await;
    ends(&stack, &parked, "cancelled").await;

    // At work: its answer is a 202, and then it is told.
    let at_work = steps(&stack, json!([{ "status": 202, "milliseconds": 1000 }])).await;
    drain_in_background(&stack).await;
    until(&stack, "it is called", async || calls(&stack).await.len() == 3).await;
    execute(&stack, &format!("select cancel_job('{at_work}')")).await;
    ends(&stack, &at_work, "cancelled").await;

    let seen: Vec<_> =
        calls(&stack).await.iter().map(|call| (call["method"].clone(), call["job"]["job_id"].clone())).collect();
    let expected = [("POST", &parked), ("DELETE", &parked), ("POST", &at_work), ("DELETE", &at_work)];
    assert_eq!(seen, expected.map(|(method, id)| (json!(method), json!(id))));
    stack.stop().await.unwrap();
}

/// A PATCH with the job's token, while it is at work and while it waits; nothing else may.
#[tokio::test]
async fn progress_and_ends_are_told_with_the_jobs_token() {
    let stack = start_work(&[]).await;
    let id = steps(&stack, json!([{ "status": 202, "progress": 30 }])).await;
    let other = steps(&stack, json!([{ "status": 202 }])).await;
    stack.post_drain().await.unwrap();
    assert_eq!(job(&stack, &id).await["progress"], 30);
    let token =
        async |id: &str| row(&stack, "select to_jsonb(token) from calls where job ->> 'job_id' = $1", &[&id]).await;
    let (token, other_token) = (token(&id).await, token(&other).await);
    let route = format!("/jobs/{id}");
    let tell = async |token: &Value, body: Value| {
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        call_as(&stack, "PATCH", &route, &headers, Some(body.to_string())).await.status
    };
    assert_eq!(tell(&token, json!({ "progress": 60 })).await, 204);
    assert_eq!(tell(&token, json!({ "progress": 50 })).await, 204);
    assert_eq!(job(&stack, &id).await["progress"], 60, "it never goes back");
    assert_eq!(tell(&other_token, json!({ "progress": 70 })).await, 403);
    assert_eq!(tell(&json!(stack.secret_key()), json!({ "progress": 70 })).await, 403);
    assert_eq!(tell(&token, json!({ "progress": 700 })).await, 400);
    assert_eq!(tell(&token, json!({ "status": "completed", "result": "r".repeat(1_100_000) })).await, 413);
    assert_eq!(tell(&token, json!({ "status": "completed", "result": { "done": true } })).await, 204);
    // Its own drain takes it up.
    until(&stack, "it is completed", async || job(&stack, &id).await["status"] == "completed").await;
    assert_eq!(job(&stack, &id).await["result"], json!({ "done": true }));
    assert_eq!(tell(&token, json!({ "progress": 70 })).await, 409);
    assert_eq!(tell(&token, json!({ "status": "failed", "error": "late" })).await, 409);
    stack.stop().await.unwrap();
}

/// The examples of docs/functions.md, whose signatures the official library checks.
#[tokio::test]
async fn the_examples_work() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mail_api = format!("http://127.0.0.1:{free}/functions/v1/work");
    let functions = [
        ("work", "tests/e2e/functions/work"),
        ("send-mail", "examples/functions/send-mail"),
        ("make-report", "examples/functions/make-report"),
    ];
    let stack = start_with(&functions, &[("MAIL_API_URL", &mail_api), ("MAIL_API_KEY", "re_1")], Some(free)).await;
    execute(
        &stack,
        "insert into job_types (job_type, call_function) values ('mail', 'send-mail'), ('report', 'make-report')",
    )
    .await;
    let mail = enqueue(&stack, "mail", &json!({ "to": "a@example.com", "subject": "Hello", "text": "…" })).await;
    let report = enqueue(&stack, "report", &json!({ "pages": 4 })).await;
    let unwanted = enqueue(&stack, "report", &json!({ "pages": 1000 })).await;
    ends(&stack, &mail, "completed").await;
    let sent = calls(&stack).await;
    assert_eq!((sent.len(), &sent[0]["key"]), (1, &json!(format!("{mail}:1"))), "{sent:?}");
    until(&stack, "half of the report is made", async || job(&stack, &report).await["progress"].as_i64() >= Some(50))
        .await;
    execute(&stack, &format!("select cancel_job('{unwanted}')")).await;
    ends(&stack, &unwanted, "cancelled").await;
    until(&stack, "the report is made", async || job(&stack, &report).await["status"] == "completed").await;
    assert_eq!(job(&stack, &report).await["result"], json!({ "pages": 4 }));

    // Whoever is not the worker is refused.
    for name in ["send-mail", "make-report"] {
        let url = format!("{}/functions/v1/{name}", stack.api_url());
        let forged =
            reqwest::Client::new().post(url).header("webhook-signature", "v1,AAAA").body("{}").send().await.unwrap();
        assert_eq!(forged.status(), 403);
    }
    stack.stop().await.unwrap();
}
