//! The events that a prediction sends, as a receiver hears them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use replicate_stand_in::{Options, Server, Status};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{Api, SCHNELL, SDXL_VERSION, send};

/// Takes events and answers them with these statuses in turn, 200 when none is left; 0 is no answer.
#[derive(Clone)]
struct Receiver {
    url: String,
    started: Instant,
    answers: Arc<Vec<u16>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

#[derive(Clone, Debug)]
struct Heard {
    /// since the receiver started
    at: Duration,
    id: String,
    timestamp: i64,
    signature: String,
    body: String,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Receiver {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let receiver = Receiver {
            url: format!("http://{}/hook?job=7", listener.local_addr().expect("address")),
            started: Instant::now(),
            answers: Arc::new(answers.to_vec()),
            heard: Arc::default(),
        };
        let router = Router::new().fallback(hear).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("heard").clone()
    }

    fn statuses(&self) -> Vec<String> {
        self.heard().iter().map(|heard| heard.json()["status"].as_str().expect("status").to_owned()).collect()
    }

    /// When each event came, in whole seconds since the receiver started.
    fn seconds(&self) -> Vec<u64> {
        self.heard().iter().map(|heard| heard.at.as_secs()).collect()
    }
}

impl Heard {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("json")
    }

    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("whsec_")).expect("base64");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.{}", self.id, self.timestamp, self.body).as_bytes());
        self.signature == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

async fn hear(
    State(receiver): State<Receiver>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, [(&'static str, String); 1]) {
    let header = |name: &str| headers[name].to_str().expect("ascii").to_owned();
    assert_eq!(header("content-type"), "application/json");
    let place = {
        let mut heard = receiver.heard.lock().expect("heard");
        heard.push(Heard {
            at: receiver.started.elapsed(),
            id: header("webhook-id"),
            timestamp: header("webhook-timestamp").parse().expect("seconds"),
            signature: header("webhook-signature"),
            body,
        });
        heard.len() - 1
    };
    let status = match receiver.answers.get(place) {
        Some(0) => std::future::pending().await,
        Some(status) => StatusCode::from_u16(*status).expect("status"),
        None => StatusCode::OK,
    };
    (status, [("location", receiver.url.clone())])
}

/// Boots in 1 s and runs for 4 s, as [`Api::start`] has it; answers the id.
async fn created(api: &Api, url: &str, events: Value, prompt: &str) -> String {
    let mut body = json!({"version": SCHNELL, "input": {"prompt": prompt}, "webhook": url});
    if !events.is_null() {
        body["webhook_events_filter"] = events;
    }
    let answer = send(api.post("/predictions").json(&body)).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.json()["id"].as_str().expect("id").to_owned()
}

async fn cancel(api: &Api, id: &str) {
    assert_eq!(send(api.post(&format!("/predictions/{id}/cancel"))).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_filter_decides_and_without_one_there_are_outputs_and_the_end() {
    let api = Api::start().await;
    for (events, expected) in [
        (Value::Null, vec![("processing", 5), ("succeeded", 5)]),
        (json!([]), vec![]),
        (json!(["start"]), vec![("processing", 1)]),
        (json!(["output"]), vec![("processing", 5)]),
        (json!(["completed"]), vec![("succeeded", 5)]),
        (json!(["start", "completed"]), vec![("processing", 1), ("succeeded", 5)]),
        // A step takes 1 s; the output comes with the last.
        (
            json!(["logs", "output"]),
            vec![("processing", 1), ("processing", 2), ("processing", 3), ("processing", 4), ("processing", 5)],
        ),
    ] {
        let receiver = Receiver::start(&[]).await;
        created(&api, &receiver.url, events.clone(), "a").await;
        sleep(Duration::from_secs(100)).await;
        let heard: Vec<(String, u64)> = receiver.statuses().into_iter().zip(receiver.seconds()).collect();
        let expected: Vec<(String, u64)> = expected.into_iter().map(|(status, at)| (status.to_owned(), at)).collect();
        assert_eq!(heard, expected, "{events}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_body_is_what_a_get_answers() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    let id = created(&api, &receiver.url, Value::Null, "a").await;
    sleep(Duration::from_secs(10)).await;
    let finished = api.prediction(&id).await;
    let heard = receiver.heard();
    assert_eq!(heard[1].json(), finished);
    assert_eq!(
        (&heard[0].json()["output"], heard[0].json().get("completed_at")),
        (&finished["output"], None),
        "an output comes before the end"
    );
}

#[tokio::test(start_paused = true)]
async fn logs_and_outputs_come_at_most_each_half_second() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    // 25 lines of logs in 4 s.
    let body = json!({
        "version": SDXL_VERSION,
        "input": {"prompt": "a", "num_inference_steps": 50},
        "webhook": receiver.url,
        "webhook_events_filter": ["logs", "output"],
    });
    assert_eq!(send(api.post("/predictions").json(&body)).await.status, 201);
    sleep(Duration::from_secs(10)).await;
    let heard = receiver.heard();
    assert!((8..=9).contains(&heard.len()), "{}", heard.len());
    for pair in heard.windows(2) {
        let apart = pair[1].at - pair[0].at;
        assert!(apart >= Duration::from_millis(490), "{apart:?}");
        assert!(pair[1].json()["logs"].as_str() > pair[0].json()["logs"].as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_signed_with_the_secret_that_the_api_tells() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let api = Api::with(Options { webhook_secret: secret.to_owned(), ..Options::default() }).await;
    assert_eq!(api.server.webhook_secret(), secret);
    assert_eq!(api.get("/webhooks/default/secret").await.json(), json!({"key": secret}));
    let receiver = Receiver::start(&[]).await;
    created(&api, &receiver.url, json!(["start", "completed"]), "a").await;
    sleep(Duration::from_secs(10)).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard.iter().all(|heard| heard.is_signed_with(secret)), "{heard:?}");
    assert_ne!(heard[0].id, heard[1].id);
    let ended_at: Timestamp = heard[1].json()["completed_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    assert!((0..2).contains(&(heard[1].timestamp - ended_at.as_second())));
}

#[tokio::test]
async fn a_secret_of_another_form_starts_no_server() {
    for secret in ["c3RhbmQtaW4=", "whsec_?"] {
        let started = Server::start(Options { webhook_secret: secret.to_owned(), ..Options::default() }).await;
        assert!(started.is_err(), "{secret}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_final_event_is_tried_again_with_the_same_id_and_body_and_the_others_are_not() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[500, 503, 404, 200]).await;
    let id = created(&api, &receiver.url, json!(["start", "completed"]), "a").await;
    sleep(Duration::from_secs(200)).await;
    let heard = receiver.heard();
    assert_eq!(receiver.statuses(), ["processing", "succeeded", "succeeded", "succeeded"]);
    assert_eq!(receiver.seconds(), [1, 5, 6, 8]);
    let tries = &heard[1..];
    assert!(tries.iter().all(|heard| (&heard.id, &heard.body) == (&tries[0].id, &tries[0].body)), "{tries:?}");
    assert!(tries.iter().all(|heard| heard.is_signed_with(&api.server.webhook_secret())), "{tries:?}");
    assert_eq!(tries[2].timestamp - tries[0].timestamp, 3);

    let deliveries = api.server.deliveries();
    let seen: Vec<(Status, Option<u16>)> = deliveries.iter().map(|tried| (tried.status, tried.answered)).collect();
    assert_eq!(
        seen,
        [
            (Status::Processing, Some(500)),
            (Status::Succeeded, Some(503)),
            (Status::Succeeded, Some(404)),
            (Status::Succeeded, Some(200))
        ]
    );
    for (tried, heard) in deliveries.iter().zip(&heard) {
        assert_eq!((&tried.prediction_id, &tried.webhook_id, &tried.url), (&id, &heard.id, &receiver.url));
        assert!(!tried.forged);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_try_is_a_minute_after_the_end() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[500; 20]).await;
    created(&api, &receiver.url, json!(["completed"]), "a").await;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(receiver.seconds(), [0, 1, 3, 7, 15, 31, 63].map(|after| 5 + after));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_is_tried_again_after_thirty_seconds() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[0, 0, 0, 0]).await;
    created(&api, &receiver.url, json!(["start", "completed"]), "a").await;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(receiver.statuses(), ["processing", "succeeded", "succeeded", "succeeded"]);
    assert_eq!(receiver.seconds(), [1, 5, 5 + 31, 5 + 63]);
    assert!(api.server.deliveries().iter().all(|tried| tried.answered.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_try_that_nobody_hears_is_no_answer() {
    let api = Api::start().await;
    // Nothing listens on port 1, and https is not spoken.
    for url in ["http://127.0.0.1:1/", "https://127.0.0.1:1/"] {
        created(&api, url, json!(["completed"]), "a").await;
        sleep(Duration::from_secs(1000)).await;
    }
    let deliveries = api.server.deliveries();
    assert_eq!(deliveries.len(), 14);
    assert!(deliveries.iter().all(|tried| tried.answered.is_none()), "{deliveries:?}");
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_neither_followed_nor_tried_again() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[301]).await;
    created(&api, &receiver.url, json!(["completed"]), "a").await;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(receiver.heard().len(), 1);
    assert_eq!(api.server.deliveries()[0].answered, Some(301));
}

#[tokio::test(start_paused = true)]
async fn every_end_but_aborted_is_told() {
    let start_and_end = json!(["start", "completed"]);
    let api = Api::start().await;

    let failed = Receiver::start(&[]).await;
    created(&api, &failed.url, start_and_end.clone(), "[fail:PA]").await;
    let running = Receiver::start(&[]).await;
    let running_id = created(&api, &running.url, start_and_end.clone(), "[hang]").await;
    let waiting = Receiver::start(&[]).await;
    let waiting_id = created(&api, &waiting.url, start_and_end.clone(), "a").await;
    cancel(&api, &waiting_id).await;
    sleep(Duration::from_secs(50)).await;
    cancel(&api, &running_id).await;
    sleep(Duration::from_secs(50)).await;
    assert_eq!(failed.statuses(), ["processing", "failed"]);
    assert_eq!((waiting.statuses(), waiting.seconds()), (vec!["canceled".to_owned()], vec![0]));
    // After its present step, which takes 1 s.
    assert_eq!(running.statuses(), ["processing", "canceled"]);
    assert_eq!(running.seconds(), [1, 51]);

    let api = Api::with(Options { starting: Duration::from_secs(10), ..Options::default() }).await;
    let aborted = Receiver::start(&[]).await;
    let body = json!({
        "version": SCHNELL,
        "input": {"prompt": "a [webhook:reordered]"},
        "webhook": aborted.url,
        "webhook_events_filter": start_and_end,
    });
    let created = send(api.post("/predictions").header("cancel-after", "5").json(&body)).await.json();
    sleep(Duration::from_secs(100)).await;
    assert_eq!(api.prediction(created["id"].as_str().expect("id")).await["status"], "aborted");
    assert!(aborted.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_never_sent() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    created(&api, &receiver.url, json!(["start", "output", "logs", "completed"]), "[webhook:lost]").await;
    sleep(Duration::from_secs(100)).await;
    assert!(receiver.heard().is_empty() && api.server.deliveries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_final_event_can_come_twice() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    created(&api, &receiver.url, json!(["start", "completed"]), "[webhook:twice]").await;
    sleep(Duration::from_secs(100)).await;
    let heard = receiver.heard();
    assert_eq!(
        (receiver.statuses().join(" "), receiver.seconds()),
        ("processing succeeded succeeded".to_owned(), vec![1, 5, 6])
    );
    assert_eq!((&heard[1].id, &heard[1].body), (&heard[2].id, &heard[2].body));
}

#[tokio::test(start_paused = true)]
async fn the_final_event_can_come_late() {
    let api = Api::start().await;
    for (marker, seconds) in [("[webhook:late:3s]", [8, 9]), ("[webhook:late:2500ms]", [7, 8])] {
        let receiver = Receiver::start(&[500]).await;
        created(&api, &receiver.url, json!(["completed"]), marker).await;
        sleep(Duration::from_secs(100)).await;
        assert_eq!(receiver.seconds(), seconds, "{marker}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_from_before_the_end_can_come_after_it() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    created(&api, &receiver.url, json!(["completed"]), "[webhook:reordered]").await;
    sleep(Duration::from_secs(100)).await;
    let heard = receiver.heard();
    assert_eq!(receiver.statuses(), ["succeeded", "processing"]);
    assert_ne!(heard[0].id, heard[1].id);
    assert!(heard[1].json()["output"].is_null() && heard[1].is_signed_with(&api.server.webhook_secret()));
}

#[tokio::test(start_paused = true)]
async fn a_forged_event_is_never_signed_with_the_secret() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[200, 401, 401, 200]).await;
    created(&api, &receiver.url, json!(["start", "completed"]), "[webhook:forged]").await;
    sleep(Duration::from_secs(100)).await;
    let heard = receiver.heard();
    let signed: Vec<bool> = heard.iter().map(|heard| heard.is_signed_with(&api.server.webhook_secret())).collect();
    assert_eq!(signed, [true, false, false, false]);
    let forged: Vec<bool> = api.server.deliveries().iter().map(|tried| tried.forged).collect();
    assert_eq!(forged, [false, true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_stale_event_is_ten_minutes_old_in_every_try_and_validly_signed() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[401, 200]).await;
    created(&api, &receiver.url, json!(["completed"]), "[webhook:stale]").await;
    sleep(Duration::from_secs(100)).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    let ended_at: Timestamp = heard[0].json()["completed_at"].as_str().and_then(|at| at.parse().ok()).expect("a time");
    for heard in heard {
        let age = ended_at.as_second() - heard.timestamp;
        assert!((598..=600).contains(&age) && heard.is_signed_with(&api.server.webhook_secret()), "{age} {heard:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn markers_combine() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[]).await;
    let prompt = "[gone] [webhook:forged] [webhook:twice] [webhook:late:10s] [webhook:reordered]";
    created(&api, &receiver.url, json!(["completed"]), prompt).await;
    sleep(Duration::from_secs(100)).await;
    let heard = receiver.heard();
    assert_eq!(receiver.statuses(), ["succeeded", "succeeded", "processing"]);
    assert_eq!(receiver.seconds()[..2], [15, 16]);
    assert_eq!((&heard[0].json()["output"], &heard[0].json()["data_removed"]), (&Value::Null, &json!(true)));
    let signed: Vec<bool> = heard.iter().map(|heard| heard.is_signed_with(&api.server.webhook_secret())).collect();
    assert_eq!(signed, [false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_server_sends_no_more() {
    let api = Api::start().await;
    let receiver = Receiver::start(&[500, 500, 0]).await;
    created(&api, &receiver.url, json!(["completed"]), "a").await;
    created(&api, &receiver.url, json!(["completed"]), "[hang]").await;
    // The third try hangs from 8 s on.
    sleep(Duration::from_secs(10)).await;
    let stopping = Instant::now();
    api.server.clone().stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(1));
    sleep(Duration::from_secs(1000)).await;
    assert_eq!((receiver.heard().len(), api.server.deliveries().len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_no_url_of_the_web_is_refused() {
    let api = Api::start().await;
    for webhook in ["", "example.com/hook", "ftp://example.com/", "http://", "https://exa mple.com/"] {
        let body = json!({"version": SCHNELL, "input": {"prompt": "a"}, "webhook": webhook});
        let answer = send(api.post("/predictions").json(&body)).await;
        assert_eq!(
            (answer.status, answer.json()),
            (
                422,
                json!({
                    "detail": "- webhook: Does not match format 'uri'\n",
                    "status": 422,
                    "title": "Input validation failed",
                    "invalid_fields": [{"type": "format", "field": "webhook", "description": "Does not match format 'uri'"}],
                })
            ),
            "{webhook}"
        );
    }
    assert!(api.server.predictions().is_empty());
}
