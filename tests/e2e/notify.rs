//! Jobs whose ends are told, to a receiver that does not always listen.

use crate::support::*;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use local_stack::Stack;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Message {
    headers: BTreeMap<String, String>,
    body: String,
    answered: u16,
}

impl Message {
    fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Answers the n-th message of all by the n-th of these, and then 200; 0 never answers.
struct Receiver {
    answers: Vec<u16>,
    heard: Mutex<Vec<Message>>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> (Arc<Receiver>, String) {
        let receiver = Arc::new(Receiver { answers: answers.to_vec(), heard: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(hear).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, url)
    }

    /// The events that it has taken, by their ids.
    fn taken(&self) -> BTreeMap<String, Value> {
        let heard = self.heard.lock().unwrap();
        let taken = heard.iter().filter(|message| message.answered == 200);
        taken.map(|message| (message.headers["webhook-id"].clone(), message.event())).collect()
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

async fn hear(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: String) -> (StatusCode, HeaderMap) {
    let answered = {
        let mut heard = receiver.heard.lock().unwrap();
        let answered = receiver.answers.get(heard.len()).copied().unwrap_or(200);
        let texts = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        heard.push(Message { headers: texts.collect(), body, answered });
        answered
    };
    if answered == 0 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let mut headers = HeaderMap::new();
    if answered == 429 {
        headers.insert("retry-after", "1".parse().unwrap());
    }
    (StatusCode::from_u16(answered).unwrap(), headers)
}

async fn enqueue_with(stack: &Stack, job_type: &str, payload: &Value, notify_url: &str) -> String {
    let sql = "select enqueue_job($1, $2, p_notify_url => $3)::text";
    stack.sql().await.unwrap().query_one(sql, &[&job_type, payload, &notify_url]).await.unwrap().get(0)
}

/// Every message, refused ones too, is verified under each secret.
async fn verified_by_the_library(receiver: &Receiver) {
    let messages: Vec<Value> = receiver
        .heard
        .lock()
        .unwrap()
        .iter()
        .flat_map(|message| {
            [NEW, OLD].map(|secret| json!({ "secret": secret, "headers": message.headers, "body": message.body }))
        })
        .collect();
    let mut node = tokio::process::Command::new("node")
        .arg(local_stack::repository().join("tests/e2e/verify_webhooks.mjs"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    node.stdin.take().unwrap().write_all(json!(messages).to_string().as_bytes()).await.unwrap();
    let said = node.wait_with_output().await.unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).expect("is standardwebhooks installed? cargo xtask install");
    assert_eq!(said, json!({ "verified": messages.len(), "refused": null }));
}

/// The receiver fails in several ways, and the function is killed in the middle of a delivery: each end is told, no
/// message is without its signature, and what is told again has the same id.
#[tokio::test]
async fn every_end_is_told_and_proven() {
    let stack =
        start(settings(&[("POLL_INTERVAL_MS", "100"), ("NOTIFY_WEBHOOK_SECRETS", &format!("{NEW} {OLD}"))])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 0.1, backoff_max_seconds = 1").await;
    let (receiver, url) = Receiver::start(&[500, 0, 429, 302, 200, 503, 404, 200, 500]).await;
    for number in 0..4 {
        let marker = if number == 3 { "[fail:nsfw]" } else { "" };
        enqueue_with(&stack, "generate-image", &generate(&format!("gen-{number}"), &format!("a fox {marker}")), &url)
            .await;
    }
    let cancelled =
        enqueue_with(&stack, "download-image", &download("gen-9", "https://replicate.delivery/a.png"), &url).await;
    execute(&stack, &format!("select cancel_job('{cancelled}')")).await;
    drain_in_background(&stack).await;
    until(&stack, "a delivery gets no answer", async || {
        drain_in_background(&stack).await;
        receiver.count() >= 2
    })
    .await;
    stack.function().kill().await.unwrap();
    until(&stack, "all is told", async || {
        expire_leases(&stack).await;
        stack.post_drain().await.unwrap();
        count(&stack, "select count(*) from job_queue where status in ('pending', 'processing')").await == 0
    })
    .await;

    let mut told: Vec<_> = receiver
        .taken()
        .into_values()
        .map(|event| {
            let data = &event["data"];
            let of = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
            (
                event["type"].as_str().unwrap().to_owned(),
                of("generation_id"),
                of("job_type"),
                data["result"]["storage_path"].is_string(),
            )
        })
        .collect();
    told.sort();
    let picture = |id: &str| ("job.completed".to_owned(), id.to_owned(), "download-image".to_owned(), true);
    assert_eq!(
        told,
        [
            ("job.cancelled".to_owned(), "gen-9".to_owned(), "download-image".to_owned(), false),
            picture("gen-0"),
            picture("gen-1"),
            picture("gen-2"),
            ("job.failed".to_owned(), "gen-3".to_owned(), "generate-image".to_owned(), false),
        ]
    );
    assert!(receiver.count() > 5, "some were told again");
    let ids: std::collections::BTreeSet<_> =
        receiver.heard.lock().unwrap().iter().map(|message| message.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 5, "each end has one id");
    assert_eq!(
        count(&stack, "select count(*) from job_queue where job_type = 'deliver-webhook' and status = 'completed'")
            .await,
        5
    );
    verified_by_the_library(&receiver).await;
    stack.stop().await.unwrap();
}

/// A user's address is looked up first, by the platform; and what is asked for over HTTP is told too.
#[tokio::test]
async fn a_users_address_is_looked_up() {
    let stack = start(settings(&[("NOTIFY_WEBHOOK_SECRETS", NEW)])).await;
    let (receiver, url) = Receiver::start(&[]).await;
    let body = json!({ "job_type": "download-image", "payload": {}, "notify_url": url });
    let answer = call(&stack, "POST", "/jobs", &[("content-type", "application/json")], Some(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    until(&stack, "it is told", async || receiver.count() == 1).await;
    let payload =
        json!({ "url": "https://hooks.example.invalid-name-of-nobody.com/", "user_id": "user-1", "body": {} });
    let id = enqueue(&stack, "deliver-webhook", &payload).await;
    stack.post_drain().await.unwrap();
    let job = job(&stack, &id).await;
    assert_eq!(job["errors"][0]["kind"], "unresolved", "{job}");
    stack.stop().await.unwrap();
}
