//! From `starting` to the end, and the ways there.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use crate::files::fetch;
use crate::{Answer, Api, SCHNELL, SDXL_VERSION, send};

/// Boots in 1 s, runs for 4 s: the times below are seconds after the creation.
async fn move_to(from: &mut f64, to: f64) {
    advance(Duration::from_secs_f64(to - *from)).await;
    *from = to;
}

fn percent(logs: &Value) -> Option<u32> {
    let last = logs.as_str()?.lines().rfind(|line| line.contains("%|"))?;
    last.split('%').next()?.trim().parse().ok()
}

#[tokio::test(start_paused = true)]
async fn a_prediction_starts_runs_and_succeeds_with_logs_that_grow() {
    let api = Api::start().await;
    let mut at = 0.0;
    let id = api.created(SDXL_VERSION, json!({"prompt": "a", "num_inference_steps": 8})).await;
    let mut seen = Vec::new();
    for time in [0.5, 1.5, 3.5, 5.5] {
        move_to(&mut at, time).await;
        let prediction = api.prediction(&id).await;
        seen.push((
            prediction["status"].as_str().expect("status").to_owned(),
            percent(&prediction["logs"]),
            prediction["output"].is_null(),
        ));
    }
    let expect = |status: &str, percent, no_output| (status.to_owned(), percent, no_output);
    assert_eq!(
        seen,
        [
            expect("starting", None, true),
            expect("processing", Some(12), true),
            expect("processing", Some(62), true),
            expect("succeeded", Some(100), false)
        ]
    );
    let prediction = api.prediction(&id).await;
    assert_eq!(prediction["metrics"], json!({"predict_time": 4.0, "total_time": 5.0}));
    let files = api.server.files_url();
    assert_eq!(prediction["output"], json!([format!("{files}/xezq/{id}/out-0.png")]));
    let times =
        ["created_at", "started_at", "completed_at"].map(|key| prediction[key].as_str().expect("a time").to_owned());
    assert!(
        times.is_sorted() && times.iter().all(|time| time.len() == "2026-01-01T00:00:00.000000Z".len()),
        "{times:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn models_that_are_only_forwarded_to_log_no_percentages() {
    let api = Api::start().await;
    let prediction = api.finished("bytedance/seedream-4", json!({"prompt": "a", "aspect_ratio": "4:3"})).await;
    assert_eq!(prediction["logs"], "Generating 2304x1728 image ...\nGenerated in 4.0sec\n");
    assert!(prediction["output"].is_array());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_met_answers_201_with_the_output() {
    let api = Api::start().await;
    // It takes 5 s; a wait of just that long may end either way.
    let request = api.post("/predictions").header("prefer", "wait=10");
    let answer = send(request.json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (201, Some("succeeded")));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_ends_early_answers_202_starting_though_it_runs() {
    let api = Api::start().await;
    let request = api.post("/predictions").header("prefer", "wait=2");
    let answer = send(request.json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))).await;
    let prediction = answer.json();
    assert_eq!((answer.status, prediction["status"].as_str()), (202, Some("starting")));
    assert_eq!(api.prediction(prediction["id"].as_str().expect("id")).await["status"], "processing");
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_a_waiting_one_at_once_and_a_running_one_after_its_step() {
    let api = Api::start().await;
    let mut at = 0.0;
    let cancel = async |id: &str| send(api.post(&format!("/predictions/{id}/cancel"))).await;
    let waiting = api.created(SCHNELL, json!({"prompt": "a"})).await;
    let running = api.created(SCHNELL, json!({"prompt": "b"})).await;
    let answer: Answer = cancel(&waiting).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("canceled")));
    assert_eq!(answer.json()["metrics"].get("predict_time"), None);

    move_to(&mut at, 2.5).await;
    assert_eq!(cancel(&running).await.json()["status"], "processing");
    move_to(&mut at, 3.6).await;
    let prediction = api.prediction(&running).await;
    assert_eq!((&prediction["status"], &prediction["output"]), (&json!("canceled"), &Value::Null));
    assert_eq!(prediction["metrics"]["predict_time"], 2.5);
}

#[tokio::test(start_paused = true)]
async fn cancelling_a_finished_one_changes_nothing() {
    let api = Api::start().await;
    let before = api.finished(SCHNELL, json!({"prompt": "a"})).await;
    let id = before["id"].as_str().expect("id");
    let answer = send(api.post(&format!("/predictions/{id}/cancel"))).await;
    assert_eq!((answer.status, answer.json()), (200, before));
    assert_eq!(send(api.post("/predictions/unknown/cancel")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_wakes_the_one_who_waits() {
    let api = Api::start().await;
    let request = api
        .post("/predictions")
        .header("prefer", "wait")
        .json(&json!({"version": SCHNELL, "input": {"prompt": "[hang]"}}));
    let waiting = tokio::spawn(send(request));
    while api.server.predictions().is_empty() {
        tokio::task::yield_now().await;
    }
    let id = api.server.predictions()[0].id.clone();
    send(api.post(&format!("/predictions/{id}/cancel"))).await;
    assert_eq!(waiting.await.expect("answer").json()["status"], "canceled");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_before_the_start_aborts_and_one_while_running_cancels() {
    let slow = |starting, processing| replicate_stand_in::Options {
        starting: Duration::from_secs(starting),
        processing: Duration::from_secs(processing),
        ..Default::default()
    };
    for (options, status, started) in
        [(slow(10, 1), "aborted", false), (slow(1, 10), "canceled", true), (slow(1, 1), "succeeded", true)]
    {
        let api = Api::with(options).await;
        let request = api.post("/predictions").header("cancel-after", "5").header("prefer", "wait");
        let prediction = send(request.json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))).await.json();
        assert_eq!((prediction["status"].as_str(), prediction.get("started_at").is_some()), (Some(status), started));
        if status != "succeeded" {
            assert_eq!(prediction["deadline"], prediction["completed_at"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deadlines_are_read_in_every_documented_form() {
    let api = Api::start().await;
    for (text, seconds) in
        [("30", 30), ("90s", 90), ("5m", 300), ("1h", 3600), ("2h30m", 9000), ("1h30m45s", 5445), ("5", 5)]
    {
        let request = api.post("/predictions").header("cancel-after", text);
        let prediction = send(request.json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))).await.json();
        let time =
            |key: &str| prediction[key].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()).expect(key);
        assert_eq!(time("deadline").duration_since(time("created_at")).as_secs(), seconds, "{text}");
    }
    for text in ["4", "4s", "", "5x", "5s5m", "m", "5m3", "-5"] {
        let request = api.post("/predictions").header("cancel-after", text);
        let answer = send(request.json(&json!({"version": SCHNELL, "input": {"prompt": "a"}}))).await;
        assert_eq!(answer.status, 422, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn data_is_removed_an_hour_after_the_end_and_the_rest_stays() {
    let api = Api::start().await;
    let succeeded = api.finished(SCHNELL, json!({"prompt": "a"})).await;
    let failed = api.finished(SCHNELL, json!({"prompt": "[fail:PA]"})).await;
    let url = succeeded["output"][0].as_str().expect("url");
    advance(Duration::from_secs(3590)).await;
    assert_eq!(api.prediction(succeeded["id"].as_str().expect("id")).await, succeeded);
    assert_eq!(fetch(&api, url).await.status(), 200);

    advance(Duration::from_secs(10)).await;
    let list = api.get("/predictions").await.json();
    for (before, listed) in [(failed, &list["results"][0]), (succeeded.clone(), &list["results"][1])] {
        let mut removed = before.clone();
        removed["input"] = json!({});
        removed["output"] = Value::Null;
        removed["logs"] = json!("");
        removed["data_removed"] = json!(true);
        assert_eq!(api.prediction(before["id"].as_str().expect("id")).await, removed);
        assert_eq!(listed, &removed);
    }
    assert_eq!(fetch(&api, url).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn the_retention_can_be_set_and_what_runs_keeps_its_data() {
    let api = Api::with(replicate_stand_in::Options { retention: Duration::from_secs(10), ..Default::default() }).await;
    let running = api.created(SCHNELL, json!({"prompt": "[hang]"})).await;
    let ended = api.created(SCHNELL, json!({"prompt": "a"})).await;
    advance(Duration::from_secs(9)).await;
    assert_eq!(api.prediction(&ended).await["data_removed"], false);
    advance(Duration::from_secs(9)).await;
    assert_eq!(api.prediction(&ended).await["data_removed"], true);
    let running = api.prediction(&running).await;
    assert_eq!((&running["data_removed"], &running["input"]), (&json!(false), &json!({"prompt": "[hang]"})));
}
