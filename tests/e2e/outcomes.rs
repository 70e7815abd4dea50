//! A job that goes well.

use crate::support::*;
use serde_json::json;

/// The sample of the first documentation, to the letter.
#[tokio::test]
async fn the_sample_of_the_first_documentation_runs_to_the_end() {
    let stack = start(settings(&[])).await;
    let sample = r#"select enqueue_job('generate-image', '{"generation_id":"test-123","user_id":"user-123","prompt":"test prompt","model_id":"black-forest-labs/flux-schnell","width":1024,"height":1024,"num_inference_steps":4,"guidance_scale":7.5}'::jsonb)"#;
    execute(&stack, sample).await;

    let answer = stack.post_drain().await.unwrap();
    assert_eq!(
        (&answer["success"], &answer["processed"], &answer["errors"], &answer["message"]),
        (&json!(true), &json!(2), &json!(0), &json!("Processed 2 job(s) with 0 error(s)")),
        "{answer}"
    );

    let predictions = stack.replicate().predictions();
    assert_eq!(predictions.len(), 1);
    let generation = generation(&stack, "test-123").await;
    assert_eq!(generation["status"], "completed", "{generation}");
    assert_eq!(generation["replicate_prediction_id"], json!(predictions[0].id));
    assert_eq!((&generation["width"], &generation["height"]), (&json!(1024), &json!(1024)));
    assert!(generation["generation_time_seconds"].as_f64().unwrap() > 0.0);

    let image = row(&stack, "select to_jsonb(i) from images i where generation_id = 'test-123'", &[]).await;
    assert_eq!(image["user_id"], "user-123");
    assert_eq!(image["prompt"], "test prompt");
    assert_eq!(image["model"], "black-forest-labs/flux-schnell");
    assert_eq!(image["format"], "webp");
    assert_eq!(image["filename"], "test-123.webp");
    assert_eq!(image["storage_path"], "user-123/test-123.webp");
    assert_eq!((&image["width"], &image["height"]), (&json!(1024), &json!(1024)));

    let output =
        row(&stack, "select payload -> 'output_url' from job_queue where job_type = 'download-image'", &[]).await;
    let (made, _) = fetch(output.as_str().unwrap()).await;
    let (stored, content_type) = fetch(image["public_url"].as_str().unwrap()).await;
    assert_eq!(content_type, "image/webp");
    assert_eq!(image["file_size"], json!(made.len()));
    assert!(made == stored, "the stored picture is not the one made");
    assert_eq!(
        count(&stack, "select count(*) from job_queue where status = 'completed' and attempt_number = 1").await,
        2
    );
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn an_empty_queue_answers_nothing_processed() {
    let stack = start(settings(&[])).await;
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(0), &json!(0)), "{answer}");
    stack.stop().await.unwrap();
}

/// Each shape of an output, and each format a model gives, comes to a stored picture.
#[tokio::test]
async fn every_output_shape_and_format_is_stored() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let cases = [
        ("plain", "black-forest-labs/flux-schnell", "a fox", "webp"),
        ("string", "google/imagen-4-fast", "a fox", "jpg"),
        ("object", "black-forest-labs/flux-schnell", "a fox [output:object]", "webp"),
        ("data", "black-forest-labs/flux-schnell", "a fox [output:data]", "webp"),
        ("slow", "bytedance/sdxl-lightning-4step", "a fox [slow-body]", "png"),
        ("vector", "recraft-ai/recraft-v3-svg", "a fox", "svg"),
    ];
    for (id, model, prompt, _) in cases {
        let mut payload = generate(id, prompt);
        payload["model_id"] = json!(model);
        enqueue(&stack, "generate-image", &payload).await;
    }
    let answer = stack.post_drain().await.unwrap();
    assert_eq!(
        (&answer["processed"], &answer["errors"]),
        (&json!(12), &json!(0)),
        "{answer}\n{}",
        stack.logs().unwrap()
    );
    for (id, _, _, format) in cases {
        let image = row(&stack, "select to_jsonb(i) from images i where generation_id = $1", &[&id]).await;
        assert_eq!(image["format"], format, "{image}");
        assert!(image["width"].as_i64().unwrap() >= 512, "{image}");
        let (stored, _) = fetch(image["public_url"].as_str().unwrap()).await;
        assert_eq!(image["file_size"], json!(stored.len()));
    }
    stack.stop().await.unwrap();
}

/// The picture is never held: 50 MB pass through while the process grows by less than 40 MB.
#[tokio::test]
async fn a_picture_of_50_mb_is_streamed() {
    let stack = start(settings(&[])).await;
    enqueue(&stack, "generate-image", &generate("small", "a fox")).await;
    stack.post_drain().await.unwrap();
    let idle = stack.function().peak_rss().await.unwrap();

    enqueue(&stack, "generate-image", &generate("huge", "[huge:50MB]")).await;
    let answer = stack.post_drain().await.unwrap();
    assert_eq!(answer["processed"], 2, "{answer}\n{}", stack.logs().unwrap());
    let added = stack.function().peak_rss().await.unwrap() - idle;
    let image = row(&stack, "select to_jsonb(i) from images i where generation_id = 'huge'", &[]).await;
    assert!(image["file_size"].as_u64().unwrap() >= 50_000_000, "{image}");
    assert!(added <= 40_000_000, "streaming added {added} bytes");
    stack.stop().await.unwrap();
}
