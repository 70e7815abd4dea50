//! Predictions that report by themselves, reports that go astray, and reports that are none.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{self, StreamExt};
use hmac::{Hmac, KeyInit, Mac};
use local_stack::{Options, Stack};
use replicate_stand_in::{Endpoint, Fault};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

async fn start_with_webhooks(env: &[(&str, &str)]) -> Stack {
    start(Options { webhooks: true, ..settings(env) }).await
}

fn polls(stack: &Stack) -> usize {
    stack.replicate().requests().iter().filter(|request| request.endpoint == Some(Endpoint::Get)).count()
}

/// From one call on, the webhook does the rest: no poll, and no drain by anybody else.
#[tokio::test]
async fn a_webhook_wakes_its_job() {
    let stack = start_with_webhooks(&[]).await;
    let id = enqueue(&stack, "generate-image", &generate("gen-1", "a fox")).await;
    drain_in_background(&stack).await;
    until(&stack, "the picture is stored", async || generation(&stack, "gen-1").await["status"] == "completed").await;
    assert_eq!(polls(&stack), 0, "the event tells what a poll would");
    let deliveries = stack.replicate().deliveries();
    assert_eq!(deliveries.iter().map(|it| it.answered).collect::<Vec<_>>(), [Some(200)], "{deliveries:?}");
    assert_eq!(job(&stack, &id).await["attempt_number"], 1);
    assert_eq!(count(&stack, "select count(*) from images").await, 1);
    stack.stop().await.unwrap();
}

/// Lost, twice, late, out of order, forged, too old, or before the create's answer: one prediction, one picture.
#[tokio::test]
async fn webhooks_that_go_astray_cost_nothing() {
    let stack = start_with_webhooks(&[("POLL_INTERVAL_MS", "100")]).await;
    let cases = [
        ("lost", "[webhook:lost]", &[] as &[_]),
        ("twice", "[webhook:twice]", &[Some(200), Some(200)]),
        ("late", "[webhook:late:2500ms]", &[Some(200)]),
        ("reordered", "[webhook:reordered]", &[Some(200), Some(200)]),
        ("forged", "[webhook:forged]", &[Some(401)]),
        ("stale", "[webhook:stale]", &[Some(401)]),
        ("early", "", &[Some(200)]),
        ("failed", "[fail:nsfw]", &[Some(200)]),
    ];
    for (id, marker, _) in cases {
        if id == "early" {
            until(&stack, "the others are created", async || stack.replicate().predictions().len() == 6).await;
            stack.replicate().fail_next(Endpoint::Create, Fault::Late(Duration::from_secs(2)), 1);
        }
        enqueue(&stack, "generate-image", &generate(id, &format!("{id} {marker}"))).await;
        drain_in_background(&stack).await;
    }
    until(&stack, "all is done", async || {
        drain_in_background(&stack).await;
        count(&stack, "select count(*) from job_queue where status in ('pending', 'processing')").await == 0
    })
    .await;
    let predictions = stack.replicate().predictions();
    for (id, _, answers) in cases {
        let mut its = predictions.iter().filter(|it| it.input["prompt"].as_str().unwrap().starts_with(id));
        let prediction = its.next().unwrap();
        assert!(its.next().is_none(), "{id} was paid twice");
        let expected = if id == "failed" { "failed" } else { "completed" };
        assert_eq!(generation(&stack, id).await["status"], expected, "{id}\n{}", stack.logs().unwrap());
        // Some come long after the picture, and Replicate goes on trying what is not taken.
        until(&stack, id, async || {
            let deliveries = stack.replicate().deliveries().into_iter();
            let answered: Vec<_> =
                deliveries.filter(|it| it.prediction_id == prediction.id).map(|it| it.answered).collect();
            answered.starts_with(answers)
        })
        .await;
    }
    assert_eq!(count(&stack, "select count(*) from images").await, cases.len() as i64 - 1);
    assert_eq!(count(&stack, "select count(*) from job_queue where attempt_number > 1").await, 0);
    stack.stop().await.unwrap();
}

/// A report as Replicate would send it, and what is wrong with it.
struct Report {
    kind: &'static str,
    method: reqwest::Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

fn signed(kind: &'static str, secret: &str, path: &str, timestamp: &str, body: impl Into<Vec<u8>>) -> Report {
    let (id, body) = ("msg_1", body.into());
    let signature = sign(secret, id, timestamp, &body);
    let headers = vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_owned()),
        ("webhook-signature", signature),
    ];
    Report { kind, method: reqwest::Method::POST, path: path.to_owned(), headers, body }
}

/// Ten thousand forged, malformed, oversized and replayed reports change nothing and are never a 5xx.
#[tokio::test]
async fn ten_thousand_hostile_reports_change_nothing() {
    const REPORTS: usize = 10_000;
    let stack = start_with_webhooks(&[("POLL_INTERVAL_MS", "60000")]).await;
    // One job that has ended, and one that waits for a prediction without end; with the genuine path of each.
    enqueue(&stack, "generate-image", &generate("done", "a fox")).await;
    enqueue(&stack, "generate-image", &generate("waits", "a goose [hang]")).await;
    drain_in_background(&stack).await;
    until(&stack, "one is done and one waits", async || {
        count(&stack, "select count(*) from job_queue where status = 'completed'").await == 2
            && count(&stack, "select count(*) from job_queue where status = 'pending' and checkpoint is not null").await
                == 1
    })
    .await;
    let predictions = stack.replicate().predictions();
    let of =
        |prompt: &str| predictions.iter().find(|it| it.input["prompt"].as_str().unwrap().starts_with(prompt)).unwrap();
    let (done, waits) = (of("a fox"), of("a goose"));
    let genuine_path = |url: &str| url.split_once("/process-jobs").unwrap().1.to_owned();
    let [done_path, waits_path] = [done, waits].map(|it| genuine_path(it.webhook.as_ref().unwrap()));
    let secret = stack.replicate().webhook_secret();
    let other = format!("whsec_{}", STANDARD.encode("a key of somebody else's"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ended =
        |id: &str| json!({ "id": id, "status": "succeeded", "output": ["https://evil.example/a.png"] }).to_string();

    let mut random = fastrand::Rng::with_seed(7);
    let reports: Vec<Report> = (0..REPORTS)
        .map(|number| {
            let time = now.to_string();
            let noise: Vec<u8> = (0..random.usize(0..200)).map(|_| random.u8(..)).collect();
            let mut report = match number % 14 {
                0 => signed("signed by somebody else", &other, &waits_path, &time, ended(&waits.id)),
                1 => signed("too old", &secret, &waits_path, &(now - 900).to_string(), ended(&waits.id)),
                2 => signed("from the future", &secret, &waits_path, &(now + 900).to_string(), ended(&waits.id)),
                3 => {
                    let odd = ["", "-1", "1e9", "NaN", "99999999999999999999", " 1"][random.usize(0..6)];
                    signed("at no time", &secret, &waits_path, odd, ended(&waits.id))
                }
                4 => {
                    let path = waits_path.replace("token=", "token=0");
                    signed("wrong token", &secret, &path, &time, ended(&waits.id))
                }
                5 => {
                    let path = format!("/webhooks/replicate?job={}&{}", uuid::Uuid::new_v4(), &waits_path[67..]);
                    signed("another job", &secret, &path, &time, ended(&waits.id))
                }
                6 => {
                    let odd = ["", "?", "?job=&token=", "?job=%00&token=%ff", "?token", "/", "?job=a&job=b&token=c"];
                    let path = format!("/webhooks/replicate{}", odd[random.usize(0..odd.len())]);
                    signed("odd query", &secret, &path, &time, ended(&waits.id))
                }
                7 => signed(
                    "no JSON",
                    &secret,
                    &waits_path,
                    &time,
                    noise.iter().map(|byte| b' ' + byte % 95).collect::<Vec<_>>(),
                ),
                8 => {
                    let odd = [
                        "null",
                        "[]",
                        "{}",
                        "7",
                        r#"{"id":1,"status":"succeeded"}"#,
                        r#"{"id":"../account","status":"failed"}"#,
                        r#"{"id":"p1"}"#,
                        r#"{"id":"p1","status":{}}"#,
                    ];
                    signed("no prediction", &secret, &waits_path, &time, odd[random.usize(0..odd.len())])
                }
                9 => signed(
                    "no end",
                    &secret,
                    &waits_path,
                    &time,
                    json!({ "id": waits.id, "status": "processing" }).to_string(),
                ),
                10 => signed("after the end", &secret, &done_path, &time, ended(&done.id)),
                11 if number % 9 == 0 => signed("too large", &secret, &waits_path, &time, vec![b' '; 1024 * 1024 + 1]),
                11 => {
                    let deep = "[".repeat(random.usize(1..5000));
                    signed(
                        "too deep",
                        &secret,
                        &waits_path,
                        &time,
                        format!(r#"{{"id":"p1","status":"failed","output":{deep}"#),
                    )
                }
                12 => {
                    let mut report = signed("tampered with", &secret, &waits_path, &time, ended(&waits.id));
                    let place = random.usize(0..report.body.len());
                    report.body[place] ^= 1;
                    report
                }
                _ => Report { headers: Vec::new(), ..signed("unsigned", &secret, &waits_path, &time, noise) },
            };
            if number % 101 == 100 {
                report.method =
                    [reqwest::Method::PUT, reqwest::Method::GET, reqwest::Method::DELETE][random.usize(0..3)].clone();
                report.kind = "another method";
            }
            report
        })
        .collect();

    let state = "select md5(string_agg(j::text, '' order by id)) || md5((select string_agg(g::text, '' order by id) from image_generations g))
        || (select count(*) from images) from job_queue j";
    let before: String = stack.sql().await.unwrap().query_one(state, &[]).await.unwrap().get(0);
    let client = reqwest::Client::new();
    let base = format!("{}/functions/v1/process-jobs", stack.api_url());
    let answers: Vec<(&str, u16)> = stream::iter(reports)
        .map(|report| {
            let mut request = client.request(report.method, format!("{base}{}", report.path)).body(report.body);
            for (name, value) in report.headers {
                request = request.header(name, value);
            }
            async move { (report.kind, request.send().await.unwrap().status().as_u16()) }
        })
        .buffer_unordered(16)
        .collect()
        .await;

    let mut statuses: BTreeMap<(&str, u16), usize> = BTreeMap::new();
    for answer in answers {
        *statuses.entry(answer).or_default() += 1;
    }
    println!("{statuses:?}");
    assert_eq!(statuses.values().sum::<usize>(), REPORTS);
    for (kind, status) in statuses.keys() {
        let fits = match *kind {
            "no end" | "after the end" => *status == 200,
            "no JSON" | "no prediction" | "too deep" => *status == 400,
            "too large" => *status == 413,
            _ => *status == 401,
        };
        assert!(fits, "{kind} was answered {status}");
    }
    let after: String = stack.sql().await.unwrap().query_one(state, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "something has changed");
    assert_eq!(stack.function().boots(), 1, "the function has crashed\n{}", stack.logs().unwrap());

    // The genuine one still counts, and once.
    let canceled = json!({ "id": waits.id, "status": "canceled" }).to_string();
    for woken in [true, false] {
        let genuine = signed("genuine", &secret, &waits_path, &now.to_string(), canceled.clone());
        let headers: Vec<(&str, &str)> = genuine.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = call_as(&stack, "POST", &waits_path, &headers, Some(canceled.clone())).await;
        assert_eq!((answer.status, &answer.body["woken"]), (200, &Value::from(woken)), "{answer:?}");
    }
    until(&stack, "it has ended", async || generation(&stack, "waits").await["status"] == "failed").await;
    stack.stop().await.unwrap();
}
