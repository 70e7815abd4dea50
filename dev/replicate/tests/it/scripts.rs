//! The markers in prompts.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::files::fetch;
use crate::{Api, SCHNELL};

async fn file(api: &Api, prompt: &str) -> (String, reqwest::Response) {
    let output = api.finished(SCHNELL, json!({"prompt": prompt})).await["output"].clone();
    let url = output[0].as_str().expect("a url").to_owned();
    let response = fetch(api, &url).await;
    (url, response)
}

#[tokio::test(start_paused = true)]
async fn failures_end_failed_with_their_text() {
    let api = Api::start().await;
    for (marker, error) in [
        ("E005", "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"),
        ("nsfw", "The input or output was flagged as sensitive. Please try again with different inputs. (E005)"),
        ("safety", "NSFW content detected. Try running it again, or try a different prompt."),
        ("PA", "Prediction interrupted; please retry (code: PA)"),
        ("E9828", "Director: unexpected error handling prediction (E9828)"),
        ("E8765", "Director: unexpected error handling prediction (E8765)"),
        ("E1000", "An unknown error occurred (E1000)"),
        ("E1001", "Out of memory (E1001)"),
        ("list index out of range", "list index out of range"),
    ] {
        let prediction = api.finished(SCHNELL, json!({"prompt": format!("a cat [fail:{marker}]")})).await;
        assert_eq!((&prediction["status"], &prediction["output"]), (&json!("failed"), &Value::Null), "{marker}");
        assert!(
            prediction["error"].as_str().is_some_and(|text| text.starts_with(error)),
            "{marker}: {}",
            prediction["error"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn fail_once_fails_the_first_of_each_input() {
    let api = Api::start().await;
    let mut seen = Vec::new();
    for seed in [1, 1, 2, 1] {
        let prediction = api.finished(SCHNELL, json!({"prompt": "[fail-once:PA]", "seed": seed})).await;
        seen.push(prediction["status"].as_str().expect("status").to_owned());
    }
    assert_eq!(seen, ["failed", "succeeded", "failed", "succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn hang_never_ends_but_for_its_deadline() {
    let api = Api::start().await;
    let id = api.created(SCHNELL, json!({"prompt": "[hang]"})).await;
    tokio::time::advance(Duration::from_secs(86_400)).await;
    assert_eq!(api.prediction(&id).await["status"], "processing");
}

#[tokio::test(start_paused = true)]
async fn outputs_come_in_every_shape() {
    let api = Api::start().await;
    let output = async |prompt: &str| {
        api.finished(SCHNELL, json!({"prompt": prompt, "output_format": "png"})).await["output"].clone()
    };
    assert_eq!(output("[empty]").await, json!([]));
    assert!(output("[output:array]").await[0].is_string());
    assert!(output("[output:string]").await.is_string());
    assert!(output("[output:object]").await["url"].is_string());
    let data = output("[output:data]").await;
    let encoded = data.as_str().and_then(|data| data.strip_prefix("data:image/png;base64,")).expect("a data uri");
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).expect("base64");
    assert_eq!(image::load_from_memory(&bytes).expect("a picture").width(), 1024);
}

#[tokio::test(start_paused = true)]
async fn fewer_is_one_output_less_than_asked() {
    let api = Api::start().await;
    for (asked, got) in [(4, 3), (2, 1), (1, 0)] {
        let prediction = api.finished(SCHNELL, json!({"prompt": "[fewer]", "num_outputs": asked})).await;
        assert_eq!(prediction["status"], "succeeded");
        assert_eq!(prediction["output"].as_array().map(Vec::len), Some(got), "{asked}");
    }
}

#[tokio::test(start_paused = true)]
async fn gone_has_lost_its_data() {
    let api = Api::start().await;
    let prediction = api.finished(SCHNELL, json!({"prompt": "[gone]"})).await;
    let id = prediction["id"].as_str().expect("id");
    assert_eq!(
        (
            &prediction["status"],
            &prediction["output"],
            &prediction["data_removed"],
            &prediction["input"],
            &prediction["logs"]
        ),
        (&json!("succeeded"), &Value::Null, &json!(true), &json!({}), &json!(""))
    );
    assert_eq!(fetch(&api, &format!("{}/xezq/{id}/out-0.webp", api.server.files_url())).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn not_an_image_is_html() {
    let api = Api::start().await;
    let (_, response) = file(&api, "[not-an-image]").await;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    assert!(response.text().await.expect("body").starts_with("<!doctype html>"));
}

#[tokio::test(start_paused = true)]
async fn huge_is_a_png_header_and_that_many_bytes() {
    let api = Api::start().await;
    let (_, mut response) = file(&api, "[huge:50MB]").await;
    assert_eq!(response.content_length(), Some(50_000_033));
    let mut start = Vec::new();
    let mut length = 0;
    while let Some(piece) = response.chunk().await.expect("body") {
        length += piece.len();
        if start.len() < 33 {
            start.extend_from_slice(&piece);
        }
    }
    assert_eq!(length, 50_000_033);
    let number = |at: usize| u32::from_be_bytes(start[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((&start[..8], number(8), &start[12..16]), (&b"\x89PNG\r\n\x1a\n"[..], 13, &b"IHDR"[..]));
    assert_eq!((number(16), number(20)), (1024, 1024));
    // A sound picture of the same size has the same header, checksum and all.
    let mut sound = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1024, 1024).write_to(&mut sound, image::ImageFormat::Png).expect("png");
    assert_eq!(start[..33], sound.get_ref()[..33]);
}

#[tokio::test(start_paused = true)]
async fn no_length_leaves_the_length_out() {
    let api = Api::start().await;
    let (_, response) = file(&api, "[huge:1MB] [no-length]").await;
    assert_eq!(response.content_length(), None);
    assert_eq!(response.bytes().await.expect("body").len(), 1_000_033);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_takes_its_time_and_arrives_whole() {
    let api = Api::start().await;
    let (_, plain) = file(&api, "a").await;
    let started = Instant::now();
    let (_, slow) = file(&api, "[slow-body]").await;
    let (plain, slow) = (plain.bytes().await.expect("body"), slow.bytes().await.expect("body"));
    assert_eq!(image::guess_format(&slow).expect("format"), image::guess_format(&plain).expect("format"));
    assert!(image::load_from_memory(&slow).is_ok());
    let took = started.elapsed();
    assert!(took >= Duration::from_secs(5 + 2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn files_can_be_refused_always_or_once() {
    let api = Api::start().await;
    let (url, response) = file(&api, "[file:404]").await;
    assert_eq!([response.status().as_u16(), fetch(&api, &url).await.status().as_u16()], [404, 404]);
    let (url, response) = file(&api, "[file:500-once]").await;
    assert_eq!([response.status().as_u16(), fetch(&api, &url).await.status().as_u16()], [500, 200]);
}
