//! The routes, through the gateway, with real keys.

use crate::support::*;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn only_the_projects_own_keys_open_the_door() {
    let stack = start(settings(&[("PROCESS_JOBS_SECRET", "open-sesame-and-sit-down")])).await;
    let bearer = format!("Bearer {}", stack.service_role_key());
    let table = [
        (vec![], 401),
        (vec![("apikey", stack.publishable_key())], 403),
        (vec![("apikey", "sb_secret_guess")], 403),
        (vec![("x-process-jobs-secret", "guess")], 403),
        (vec![("apikey", stack.secret_key())], 200),
        (vec![("authorization", bearer.as_str())], 200),
        (vec![("x-process-jobs-secret", "open-sesame-and-sit-down")], 200),
    ];
    for (headers, status) in table {
        let answer = call_as(&stack, "POST", "", &headers, None).await;
        assert_eq!(answer.status, status, "{headers:?} {answer:?}");
        assert_eq!(answer.body["success"], status == 200, "{answer:?}");
    }
    assert_eq!(call_as(&stack, "GET", "/health", &[], None).await.body, json!({ "status": "ok" }));
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn jobs_are_enqueued_and_run_in_the_background() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let body = json!({ "job_type": "generate-image", "payload": generate("gen-1", "a fox"), "unique_key": "gen-1" });
    let answer = call(&stack, "POST", "/jobs", &[("content-type", "application/json")], Some(body.to_string())).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    until(&stack, "the picture is stored", async || generation(&stack, "gen-1").await["status"] == "completed").await;
    assert_eq!(job(&stack, answer.body["id"].as_str().unwrap()).await["status"], "completed");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let stack = start(settings(&[])).await;
    let json_type = ("content-type", "application/json");
    let large = format!(r#"{{"job_type":"generate-image","payload":{{"prompt":"{}"}}}}"#, "a".repeat(1024 * 1024));
    let table = [
        (
            "POST",
            "/jobs",
            vec![json_type],
            Some(r#"{"job_type":"generate-imag","payload":{}}"#.to_owned()),
            400,
            "unknown job type",
        ),
        (
            "POST",
            "/jobs",
            vec![json_type],
            Some(r#"{"job_type":"generate-image","payload":[]}"#.to_owned()),
            400,
            "payload",
        ),
        ("POST", "/jobs", vec![json_type], Some("{".to_owned()), 400, "body is not JSON"),
        ("POST", "/jobs", vec![json_type], None, 400, "body is not JSON"),
        ("POST", "/jobs", vec![json_type], Some(large), 413, "larger than 1048576 bytes"),
        ("POST", "/jobs", vec![("content-type", "text/plain")], Some("{}".to_owned()), 415, "content-type"),
        ("GET", "", vec![], None, 405, "only POST"),
        ("POST", "/nothing", vec![], None, 404, "no route /nothing"),
    ];
    for (method, route, headers, body, status, message) in table {
        let answer = call(&stack, method, route, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {route} {answer:?}");
        assert_eq!(answer.body["success"], false, "{answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(message), "{answer:?} does not say {message}");
    }
    let preflight = call_as(&stack, "OPTIONS", "/jobs", &[], None).await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.headers["access-control-allow-origin"], "*");
    assert_eq!(count(&stack, "select count(*) from job_queue").await, 0);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_bad_setting_is_named_in_the_answer_and_in_the_log() {
    let stack = start(settings(&[("MAX_PARALLEL_JOBS", "many")])).await;
    let answer = call(&stack, "POST", "", &[], None).await;
    let message = "MAX_PARALLEL_JOBS must be a whole number from 1 to 100";
    assert_eq!((answer.status, &answer.body["error"]), (500, &json!(message)));
    assert!(stack.logs().unwrap().contains("MAX_PARALLEL_JOBS must be a whole number"), "the log does not say it");
    stack.stop().await.unwrap();
}

/// Sends the head of a request straight to the function, and as much of its body, and gives the answer's first line.
async fn half_a_request(port: u16, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request =
        format!("{head}\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 200];
    let length = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..length]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn whoever_is_not_let_in_is_answered_before_the_body_and_nobody_may_stall() {
    let stack = start(settings(&[])).await;
    let port = stack.function().port().await.unwrap();
    let key = format!("apikey: {}", stack.secret_key());
    let began = Instant::now();
    let anonymous = (0..100).map(|_| half_a_request(port, "POST /process-jobs/jobs HTTP/1.1", "{"));
    for answer in futures_util::future::join_all(anonymous).await {
        assert!(answer.contains("401"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "they were not waited for: {:?}", began.elapsed());
    let stalled = half_a_request(port, &format!("POST /process-jobs/jobs HTTP/1.1\r\n{key}"), "{").await;
    assert!(stalled.contains("408"), "{stalled}");
    assert_eq!(call(&stack, "POST", "", &[], None).await.status, 200, "the others are served");
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_secret_in_the_wrong_setting_is_shown_to_nobody() {
    let stack = start(settings(&[("REPLICATE_API_URL", "r8_SecretSecretSecretSecret")])).await;
    let answer = call_as(&stack, "GET", "/health", &[], None).await;
    let error = json!("REPLICATE_API_URL must be an http or https URL without user and query");
    assert_eq!((answer.status, &answer.body["error"]), (500, &error));
    assert!(!stack.logs().unwrap().contains("r8_Secret"), "the log shows it");
    stack.stop().await.unwrap();
}
