//! What every test does: start a stack, enqueue, look at rows.

use local_stack::{Options, PostgresKind, Stack};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio_postgres::types::ToSql;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn postgres() -> PostgresKind {
    match std::env::var("E2E_POSTGRES").as_deref() {
        Err(_) | Ok("embedded") => PostgresKind::Embedded,
        Ok("system") => PostgresKind::System,
        Ok(other) => panic!("E2E_POSTGRES must be embedded or system, found {other}"),
    }
}

pub async fn start(options: Options) -> Stack {
    Stack::start(Options { postgres: postgres(), ..options }).await.unwrap()
}

/// Options whose function has these settings.
pub fn settings(env: &[(&str, &str)]) -> Options {
    let function_env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { function_env, ..Options::default() }
}

pub fn generate(generation_id: &str, prompt: &str) -> Value {
    json!({
        "generation_id": generation_id, "user_id": "user-123", "prompt": prompt,
        "model_id": "black-forest-labs/flux-schnell", "width": 1024, "height": 1024,
        "num_inference_steps": 4, "guidance_scale": 7.5,
    })
}

pub fn download(generation_id: &str, output_url: &str) -> Value {
    json!({ "generation_id": generation_id, "user_id": "user-123", "output_url": output_url })
}

pub async fn enqueue(stack: &Stack, job_type: &str, payload: &Value) -> String {
    let sql = "select enqueue_job($1, $2)::text";
    stack.sql().await.unwrap().query_one(sql, &[&job_type, payload]).await.unwrap().get(0)
}

/// One row as JSON, by column; what a query of the form `select to_jsonb(t) from …` gives.
pub async fn row(stack: &Stack, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Value {
    stack.sql().await.unwrap().query_one(sql, parameters).await.unwrap().get(0)
}

pub async fn job(stack: &Stack, id: &str) -> Value {
    row(stack, "select to_jsonb(j) from job_queue j where id::text = $1", &[&id]).await
}

pub async fn generation(stack: &Stack, id: &str) -> Value {
    row(stack, "select to_jsonb(g) from image_generations g where id = $1", &[&id]).await
}

pub async fn count(stack: &Stack, sql: &str) -> i64 {
    stack.sql().await.unwrap().query_one(sql, &[]).await.unwrap().get(0)
}

pub async fn execute(stack: &Stack, sql: &str) {
    stack.sql().await.unwrap().batch_execute(sql).await.unwrap();
}

/// Waits until a condition holds, looking every 20 ms; panics with the stack's logs when it never does.
pub async fn until(stack: &Stack, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}\n{}", stack.logs().unwrap_or_default());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Drains until no job is left to run.
pub async fn drain_until_done(stack: &Stack) {
    until(stack, "all is done", async || {
        stack.post_drain().await.unwrap();
        count(stack, "select count(*) from job_queue where status in ('pending', 'processing')").await == 0
    })
    .await;
}

/// A drain that answers at once and goes on in the background.
pub async fn drain_in_background(stack: &Stack) {
    stack.ring().await.unwrap();
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: reqwest::header::HeaderMap,
}

/// Calls a route with the secret key.
pub async fn call(stack: &Stack, method: &str, route: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
    let with_key = [headers, &[("apikey", stack.secret_key())]].concat();
    call_as(stack, method, route, &with_key, body).await
}

/// Calls a route with just these headers.
pub async fn call_as(
    stack: &Stack,
    method: &str,
    route: &str,
    headers: &[(&str, &str)],
    body: Option<String>,
) -> Answer {
    let url = format!("{}/functions/v1/process-jobs{route}", stack.api_url());
    let mut request = reqwest::Client::new().request(method.parse().unwrap(), url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.body(body.unwrap_or_default()).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = answer.json().await.unwrap_or(Value::Null);
    Answer { status, body, headers }
}

/// The bytes and the content type that a URL serves to anyone.
pub async fn fetch(url: &str) -> (Vec<u8>, String) {
    let answer = reqwest::get(url).await.unwrap();
    assert_eq!(answer.status(), 200, "{url}");
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.bytes().await.unwrap().to_vec(), content_type)
}

/// As if the lease of every running job had passed.
pub async fn expire_leases(stack: &Stack) {
    execute(stack, "update job_queue set lease_expires_at = now() where status = 'processing'").await;
}
