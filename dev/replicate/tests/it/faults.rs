//! What goes wrong on the way, on demand.

use std::time::Duration;

use replicate_stand_in::{Endpoint, Fault};
use serde_json::{Value, json};

use crate::files::fetch;
use crate::{Api, SCHNELL, send};

fn create(api: &Api) -> reqwest::RequestBuilder {
    api.post("/predictions").json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))
}

#[tokio::test(start_paused = true)]
async fn an_answered_fault_before_the_work_leaves_no_prediction() {
    let api = Api::start().await;
    for (fault, status, retry_after, body) in [
        (Fault::Unauthorized, 401, None, json!(null)),
        (Fault::InsufficientCredit, 402, None, json!(null)),
        (Fault::ThrottledHeader(7), 429, Some("7"), json!({"detail": "Request was throttled.", "status": 429})),
        (
            Fault::ThrottledBody(7),
            429,
            None,
            json!({"detail": "Request was throttled.", "status": 429, "retry_after": 7}),
        ),
        (
            Fault::ThrottledText(7),
            429,
            None,
            json!({"detail": "Request was throttled. Your rate limit resets in ~7s."}),
        ),
        (Fault::Status(500), 500, None, json!("Internal Server Error")),
        (Fault::Status(502), 502, None, json!("Bad Gateway")),
        (Fault::Status(503), 503, None, json!("Service Unavailable")),
    ] {
        api.server.fail_next(Endpoint::Create, fault, 1);
        let answer = send(create(&api)).await;
        assert_eq!((answer.status, answer.retry_after.as_deref()), (status, retry_after), "{fault:?}");
        match body {
            Value::Null => assert_eq!(answer.json()["status"], status),
            Value::String(text) => assert_eq!(answer.text, text),
            body => assert_eq!(answer.json(), body, "{fault:?}"),
        }
    }
    assert!(api.server.predictions().is_empty());
    assert_eq!(send(create(&api)).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_gives_no_answer_and_the_fault_decides_what_is_recorded() {
    let api = Api::start().await;
    for (fault, recorded) in [(Fault::DropBefore, 0), (Fault::DropAfter, 1)] {
        api.server.fail_next(Endpoint::Create, fault, 1);
        let error = create(&api).send().await.expect_err("no answer");
        assert!(error.is_request(), "{error:?}");
        assert_eq!(api.server.predictions().len(), recorded, "{fault:?}");
        assert_eq!(api.server.requests().last().map(|request| request.status), Some(None));
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_and_a_late_5xx_hide_a_prediction_that_exists() {
    let api = Api::start().await;
    api.server.fail_next(Endpoint::Create, Fault::Garbage, 1);
    api.server.fail_next(Endpoint::Create, Fault::StatusAfter(502), 1);
    let garbage = send(create(&api)).await;
    assert_eq!((garbage.status, serde_json::from_str::<Value>(&garbage.text).is_err()), (201, true));
    assert_eq!(send(create(&api)).await.status, 502);
    assert_eq!(api.server.predictions().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_answer_never_comes_and_stop_ends_it() {
    let api = Api::start().await;
    api.server.fail_next(Endpoint::Get, Fault::Hang, 2);
    let id = api.created(SCHNELL, json!({"prompt": "a"})).await;
    let url = format!("{}/predictions/{id}", api.server.api_url());
    let request = api.client.get(&url).bearer_auth(crate::TOKEN);
    let answer = tokio::time::timeout(Duration::from_secs(3600), request.send()).await;
    assert!(answer.is_err(), "{answer:?}");

    let waiting = tokio::spawn(api.client.get(&url).bearer_auth(crate::TOKEN).send());
    while api.server.requests().len() < 3 {
        tokio::task::yield_now().await;
    }
    api.server.clone().stop().await;
    assert!(waiting.await.expect("task").is_err());
    assert!(api.client.get(&url).send().await.expect_err("nobody listens").is_connect());
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_the_right_one_and_its_effect_is_there_at_once() {
    let api = Api::start().await;
    let late = Fault::Late(Duration::from_secs(20));
    let all = [Endpoint::Create, Endpoint::Get, Endpoint::List, Endpoint::Cancel, Endpoint::File];
    for endpoint in all {
        api.server.fail_next(endpoint, late, 1);
    }
    let creating = tokio::spawn(send(create(&api)));
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!creating.is_finished());
    let id = api.server.predictions()[0].id.clone();
    let created = creating.await.expect("task");
    assert_eq!((created.status, &created.json()["id"]), (201, &json!(id)));

    let output = api.server.predictions()[0].output.clone();
    let started = tokio::time::Instant::now();
    assert_eq!(api.prediction(&id).await["status"], "succeeded");
    assert_eq!(api.get("/predictions").await.json()["results"][0]["id"], json!(id));
    assert_eq!(send(api.post(&format!("/predictions/{id}/cancel"))).await.status, 200);
    assert_eq!(fetch(&api, output[0].as_str().expect("url")).await.status(), 200);
    assert_eq!(started.elapsed().as_secs(), 80);
}

#[tokio::test(start_paused = true)]
async fn faults_hit_their_endpoint_so_many_times() {
    let api = Api::start().await;
    api.server.fail_next(Endpoint::List, Fault::Status(503), 2);
    api.server.fail_next(Endpoint::Cancel, Fault::Status(500), 1);
    let id = api.created(SCHNELL, json!({"prompt": "a"})).await;
    let mut listed = Vec::new();
    for _ in 0..3 {
        listed.push(api.get("/predictions").await.status);
    }
    assert_eq!(listed, [503, 503, 200]);
    let cancel = format!("/predictions/{id}/cancel");
    assert_eq!([send(api.post(&cancel)).await.status, send(api.post(&cancel)).await.status], [500, 200]);
    assert_eq!(api.get(&format!("/predictions/{id}")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_file_breaks_off_in_the_middle() {
    let api = Api::start().await;
    let output = api.finished(SCHNELL, json!({"prompt": "a"})).await["output"].clone();
    let url = output[0].as_str().expect("url");
    let whole = fetch(&api, url).await.bytes().await.expect("body").len();
    api.server.fail_next(Endpoint::File, Fault::DropAfter, 1);
    let mut response = fetch(&api, url).await;
    assert_eq!((response.status().as_u16(), response.content_length()), (200, Some(whole as u64)));
    let mut length = 0;
    let error = loop {
        match response.chunk().await {
            Ok(Some(piece)) => length += piece.len(),
            Ok(None) => panic!("the file arrived whole"),
            Err(error) => break error,
        }
    };
    assert!(length < whole, "{length} of {whole}: {error}");
}

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_as_they_were_made() {
    let api = Api::start().await;
    let request =
        create(&api).header("prefer", "wait=1").header("cancel-after", "30s").header("user-agent", "process-jobs/1");
    send(request).await;
    let requests = api.server.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(
        (request.method.as_str(), request.path.as_str(), request.endpoint, request.status),
        ("POST", "/v1/predictions", Some(Endpoint::Create), Some(202))
    );
    assert_eq!(
        (
            request.prefer.as_deref(),
            request.cancel_after.as_deref(),
            request.user_agent.as_deref(),
            request.authorization.as_deref()
        ),
        (Some("wait=1"), Some("30s"), Some("process-jobs/1"), Some("Bearer r8_stand_in"))
    );
}
