//! Every model, what its users ask it for, and what it says no to.

use crate::support::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use local_stack::{Options, Stack};
use replicate_stand_in::{Endpoint, Fault};
use serde_json::{Value, json};
use std::collections::HashMap;

const PICTURE: &[u8] = include_bytes!("../fixtures/picture.png");

type Promise = (&'static str, (u32, u32), (u32, u32), &'static str);

/// Model, size asked for, size and format of the picture that its documentation promises for that, where PNG is
/// asked for. (The stand-in takes every source picture for a square.)
const MODELS: [Promise; 35] = [
    ("black-forest-labs/flux-schnell", (1366, 768), (1344, 768), "png"),
    ("black-forest-labs/flux-dev", (1024, 1024), (1024, 1024), "png"),
    ("black-forest-labs/flux-krea-dev", (768, 1366), (768, 1344), "png"),
    ("black-forest-labs/flux-1.1-pro", (1080, 1920), (800, 1440), "png"),
    ("black-forest-labs/flux-1.1-pro-ultra", (512, 512), (2048, 2048), "png"),
    ("ideogram-ai/ideogram-v3-turbo", (2048, 512), (1728, 576), "png"),
    ("ideogram-ai/ideogram-v3-balanced", (2560, 1080), (1536, 640), "png"),
    ("ideogram-ai/ideogram-v3-quality", (1366, 768), (1344, 768), "png"),
    ("google/imagen-4-fast", (1024, 1024), (1024, 1024), "png"),
    ("google/imagen-4", (768, 1366), (768, 1344), "png"),
    ("google/imagen-4-ultra", (1080, 1920), (768, 1344), "png"),
    ("bytedance/sdxl-lightning-4step", (512, 512), (512, 512), "png"),
    ("stability-ai/sdxl", (2048, 512), (2048, 512), "png"),
    ("bytedance/seedream-4", (2560, 1080), (2560, 1080), "jpg"),
    ("bytedance/seedream-4.5", (1366, 768), (2688, 1536), "jpg"),
    ("bytedance/seedream-5-lite", (1024, 1024), (2048, 2048), "png"),
    ("bytedance/seedream-3", (768, 1366), (768, 1366), "jpg"),
    ("recraft-ai/recraft-v3", (1080, 1920), (1024, 1820), "webp"),
    ("recraft-ai/recraft-v3-svg", (512, 512), (1024, 1024), "svg"),
    ("recraft-ai/recraft-v4", (2048, 512), (1536, 768), "webp"),
    ("recraft-ai/recraft-v4-pro", (2560, 1080), (2048, 2048), "webp"),
    ("stability-ai/stable-diffusion-3.5-large", (1366, 768), (1344, 768), "png"),
    ("qwen/qwen-image", (1024, 1024), (1024, 1024), "png"),
    ("qwen/qwen-image-edit", (768, 1366), (1024, 1024), "png"),
    ("qwen/qwen-image-edit-plus", (1080, 1920), (768, 1344), "png"),
    ("black-forest-labs/flux-kontext-pro", (512, 512), (1024, 1024), "png"),
    ("black-forest-labs/flux-kontext-max", (2048, 512), (1536, 640), "png"),
    ("black-forest-labs/flux-2-pro", (2560, 1080), (2048, 864), "png"),
    ("black-forest-labs/flux-2-flex", (1366, 768), (1376, 768), "png"),
    ("black-forest-labs/flux-2-dev", (1024, 1024), (1024, 1024), "png"),
    ("google/nano-banana", (768, 1366), (768, 1344), "png"),
    ("google/nano-banana-pro", (1080, 1920), (768, 1344), "png"),
    ("google/nano-banana-2", (512, 512), (1024, 1024), "png"),
    ("openai/gpt-image-1.5", (2048, 512), (1536, 1024), "png"),
    ("prunaai/z-image-turbo", (2560, 1080), (1024, 512), "png"),
];

/// Puts a picture into a bucket that only the service may read, and answers its address.
async fn private_picture(stack: &Stack, name: &str, picture: Vec<u8>) -> String {
    let bucket = "insert into storage.buckets (id, name, public) values ('sources', 'sources', false)";
    execute(stack, &format!("{bucket} on conflict do nothing")).await;
    let url = format!("{}/storage/v1/object/sources/user-123/{name}", stack.api_url());
    let upload = reqwest::Client::new().post(&url).header("apikey", stack.secret_key());
    let upload = upload.header("authorization", format!("Bearer {}", stack.service_role_key()));
    let answer = upload.header("content-type", "image/png").body(picture).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    url
}

fn data_uri(picture: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(picture))
}

/// A job for a model with just these fields beside the ones that every job has.
fn ask(generation_id: &str, model: &str, fields: Value) -> Value {
    let mut payload =
        json!({ "generation_id": generation_id, "user_id": "user-123", "prompt": "a fox", "model_id": model });
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    payload
}

/// What Replicate was asked for by the job of this generation.
async fn input(stack: &Stack, generation_id: &str) -> Value {
    let generation = generation(stack, generation_id).await;
    let predictions = stack.replicate().predictions();
    let prediction = predictions.into_iter().find(|it| generation["replicate_prediction_id"] == json!(it.id));
    Value::Object(prediction.unwrap_or_else(|| panic!("no prediction for {generation}")).input)
}

async fn result(stack: &Stack, generation_id: &str) -> Value {
    let sql = "select result from job_queue where job_type = 'generate-image' and payload ->> 'generation_id' = $1";
    row(stack, sql, &[&generation_id]).await
}

#[tokio::test]
async fn every_model_gives_the_size_and_format_it_promises() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let source = private_picture(&stack, "fox.png", PICTURE.to_vec()).await;
    let id = |model: &str| model.replace(['/', '.'], "_");
    for (model, (width, height), ..) in MODELS {
        let mut fields = json!({
            "negative_prompt": "blurred", "width": width, "height": height, "num_inference_steps": 30,
            "guidance_scale": 7.5, "seed": 0, "output_format": "png",
        });
        if model.starts_with("qwen/qwen-image-edit") {
            fields["source_image_url"] = json!(source);
        }
        enqueue(&stack, "generate-image", &ask(&id(model), model, fields)).await;
    }
    drain_until_done(&stack).await;

    for (model, asked, size, format) in MODELS {
        let generation = generation(&stack, &id(model)).await;
        assert_eq!(generation["status"], "completed", "{generation}");
        let image = row(&stack, "select to_jsonb(i) from images i where generation_id = $1", &[&id(model)]).await;
        assert_eq!(
            (&image["width"], &image["height"], &image["format"]),
            (&json!(size.0), &json!(size.1), &json!(format)),
            "{model} at {asked:?}: {image}"
        );
    }
    stack.stop().await.unwrap();
}

/// Each output has its row and its object; how many there are is the model's to say.
#[tokio::test]
async fn several_outputs_become_several_images() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let flux = ask("flux", "black-forest-labs/flux-schnell", json!({ "num_outputs": 3, "output_format": "png" }));
    let recraft = ask("recraft", "recraft-ai/recraft-v3", json!({ "num_outputs": 3 }));
    for payload in [flux, recraft] {
        enqueue(&stack, "generate-image", &payload).await;
    }
    drain_until_done(&stack).await;

    let sql = "select jsonb_agg(jsonb_build_array(filename, storage_path, public_url, file_size) order by filename)
        from images where generation_id = $1";
    let images = row(&stack, sql, &[&"flux"]).await;
    let names: Vec<_> = images.as_array().unwrap().iter().map(|image| (&image[0], &image[1])).collect();
    let path = |name: &str| (json!(name), json!(format!("user-123/{name}")));
    let expected = ["flux.2.png", "flux.3.png", "flux.png"].map(path);
    assert_eq!(names, expected.iter().map(|(name, path)| (name, path)).collect::<Vec<_>>());
    for image in images.as_array().unwrap() {
        assert_eq!(fetch(image[2].as_str().unwrap()).await.0.len(), image[3].as_u64().unwrap() as usize, "{image}");
    }
    assert_eq!(row(&stack, sql, &[&"recraft"]).await.as_array().unwrap().len(), 1);
    assert_eq!(result(&stack, "recraft").await["adjustments"], json!(["num_outputs 3 dropped: the model makes one"]));
    stack.stop().await.unwrap();
}

/// Replicate does not reach a local stack, so the pictures themselves are sent.
#[tokio::test]
async fn source_pictures_go_with_the_prediction() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    let source = private_picture(&stack, "a%20fox.png", PICTURE.to_vec()).await;
    let public = "https://example.com/goose.png";
    let jobs = [
        ("dev", "black-forest-labs/flux-dev", json!({ "source_image_url": source, "strength": 0.3 })),
        ("ultra", "black-forest-labs/flux-1.1-pro-ultra", json!({ "source_image_url": public, "strength": 0.3 })),
        ("banana", "google/nano-banana", json!({ "source_image_urls": [source, public] })),
        // By the name that others than the function know the stack by.
        ("elsewhere", "google/nano-banana", json!({ "source_image_url": source.replace("127.0.0.1", "localhost") })),
        ("gone", "google/nano-banana", json!({ "source_image_url": format!("{source}.gone") })),
        (
            "too-large",
            "google/nano-banana",
            json!({ "source_image_url": private_picture(&stack, "large.png", {
            let mut large = PICTURE.to_vec();
            large.resize(256 * 1024 + 1, 0);
            large
        }).await }),
        ),
    ];
    for (id, model, fields) in jobs {
        enqueue(&stack, "generate-image", &ask(id, model, fields)).await;
    }
    drain_until_done(&stack).await;

    let sent = input(&stack, "dev").await;
    assert_eq!((&sent["image"], &sent["prompt_strength"]), (&json!(data_uri(PICTURE)), &json!(0.3)), "{sent}");
    let sent = input(&stack, "ultra").await;
    assert_eq!((&sent["image_prompt"], &sent["image_prompt_strength"]), (&json!(public), &json!(0.7)), "{sent}");
    let sent = input(&stack, "banana").await;
    assert_eq!(sent["image_input"], json!([data_uri(PICTURE), public]), "{sent}");
    assert_eq!(input(&stack, "elsewhere").await["image_input"], json!([data_uri(PICTURE)]));
    assert_eq!(result(&stack, "dev").await["input"]["image"], json!(source), "the picture itself is in no row");
    for (id, why) in [
        ("gone", "payload: source_image_url: storage answered 4"),
        ("too-large", "payload: source_image_url is larger than the 262144 bytes that replicate takes as a data: URI"),
    ] {
        let generation = generation(&stack, id).await;
        assert!(generation["error_message"].as_str().unwrap().starts_with(why), "{generation}");
    }
    stack.stop().await.unwrap();
}

/// Equal but for their source pictures, and no seed to tell them apart: neither is paid twice, nor gets the other's.
#[tokio::test]
async fn lost_creates_are_told_apart_by_their_source_pictures() {
    let stack = start(settings(&[("POLL_INTERVAL_MS", "200")])).await;
    execute(&stack, "update job_types set backoff_base_seconds = 1, backoff_max_seconds = 1").await;
    stack.replicate().fail_next(Endpoint::Create, Fault::DropAfter, 2);
    let mut pictures = HashMap::new();
    for id in ["fox", "goose"] {
        let picture = [PICTURE, id.as_bytes()].concat();
        let source = private_picture(&stack, &format!("{id}.png"), picture.clone()).await;
        enqueue(&stack, "generate-image", &ask(id, "google/nano-banana", json!({ "source_image_url": source }))).await;
        pictures.insert(id, picture);
    }
    drain_until_done(&stack).await;

    assert_eq!(stack.replicate().predictions().len(), 2);
    for (id, picture) in pictures {
        assert_eq!(input(&stack, id).await["image_input"], json!([data_uri(&picture)]), "{id}");
    }
    stack.stop().await.unwrap();
}

/// A model that has changed refuses once; then, and for a model nobody told us of, what Replicate publishes counts.
#[tokio::test]
async fn models_that_change_or_are_new_are_read_as_published() {
    let inputs = json!({
        "prompt": { "type": "string" }, "seed": { "type": "integer" },
        "num_inference_steps": { "type": "integer", "minimum": 1, "maximum": 2 },
        "aspect_ratio": { "type": "string", "enum": ["16:9", "9:16"] },
    });
    let inputs = inputs.as_object().unwrap();
    let models = ["black-forest-labs/flux-schnell", "somebody/new-model"];
    let replicate = replicate_stand_in::Options {
        published: models.iter().map(|model| ((*model).to_owned(), inputs.clone())).collect(),
        ..replicate_stand_in::Options::default()
    };
    let stack = start(Options { replicate, ..settings(&[("POLL_INTERVAL_MS", "200")]) }).await;
    for number in 1..=2 {
        for (name, model) in ["changed", "new"].into_iter().zip(models) {
            let id = format!("{name}-{number}");
            let asked = json!({ "width": 1920, "height": 1080, "num_inference_steps": 4, "seed": 0 });
            enqueue(&stack, "generate-image", &ask(&id, model, asked)).await;
            drain_until_done(&stack).await;
            assert_eq!(generation(&stack, &id).await["status"], "completed");
            assert_eq!(
                input(&stack, &id).await,
                json!({ "prompt": "a fox", "seed": 0, "num_inference_steps": 2, "aspect_ratio": "16:9" })
            );
            assert_eq!(
                result(&stack, &id).await["adjustments"],
                json!(["width 1920 x height 1080 -> aspect_ratio 16:9", "num_inference_steps 4 -> 2"])
            );
        }
    }
    let requests = stack.replicate().requests();
    let creates = requests.iter().filter(|it| it.endpoint == Some(Endpoint::Create)).map(|it| it.status.unwrap());
    assert_eq!(creates.collect::<Vec<_>>(), [422, 201, 201, 422, 201, 201]);
    let called = result(&stack, "new-1").await["model"].clone();
    assert!(called.as_str().unwrap().starts_with("somebody/new-model:0"), "by its version: {called}");
    let schemas = requests.iter().filter(|it| it.path.starts_with("/v1/models/")).count();
    assert_eq!(schemas, 2, "each schema is asked for once and kept");
    stack.stop().await.unwrap();
}

/// What no model can make of a payload ends its job at once, with the field, and costs nothing.
#[tokio::test]
async fn bad_input_fails_at_once_and_names_the_field() {
    let stack = start(settings(&[])).await;
    let (flux, kontext) = ("black-forest-labs/flux-dev", "black-forest-labs/flux-kontext-pro");
    let cases = [
        ("flux-dev", json!({}), "payload: model_id \"flux-dev\" is neither owner/name nor"),
        (flux, json!({ "width": -1 }), "payload: width must be a whole number from 0"),
        (flux, json!({ "height": 0 }), "payload: height is 0, not from 1 to 16384 pixels"),
        (flux, json!({ "width": 1_000_000_000 }), "payload: width is 1000000000, not from 1 to 16384 pixels"),
        (flux, json!({ "width": "NaN" }), "payload: width must be a whole number"),
        (flux, json!({ "guidance_scale": "NaN" }), "payload: guidance_scale must be a number"),
        (flux, json!({ "guidance_scale": -1 }), "payload: guidance_scale is -1, not a number from 0 up"),
        (flux, json!({ "strength": 7 }), "payload: strength is 7, not from 0 (keep the picture) to 1 (ignore it)"),
        (flux, json!({ "num_outputs": 0 }), "payload: num_outputs is 0, not from 1 to 10"),
        (flux, json!({ "output_format": "tiff" }), "payload: output_format is \"tiff\", not png, jpg"),
        (flux, json!({ "seed": 1.5 }), "payload: seed must be a whole number"),
        (kontext, json!({ "source_image_url": "" }), "payload: source_image_url is empty"),
        (kontext, json!({ "source_image_url": "fox.png" }), "payload: source_image_url is not a URL: \"fox.png\""),
        (
            kontext,
            json!({ "source_image_url": "https://169.254.169.254/latest/meta-data" }),
            "payload: source_image_url: https://169.254.169.254:443 is not in ALLOWED_SOURCE_HOSTS",
        ),
        (
            kontext,
            json!({ "source_image_url": "http://localhost:5432/" }),
            "payload: source_image_url: http://localhost:5432 is not in ALLOWED_SOURCE_HOSTS",
        ),
        (
            "google/imagen-4",
            json!({ "source_image_url": "https://example.com/a.png" }),
            "payload: source_image_url: the model google/imagen-4 takes no picture",
        ),
        ("openai/gpt-image-1", json!({}), "payload: model_id: the model openai/gpt-image-1 needs openai_api_key"),
        ("somebody/new-model", json!({ "width": 0 }), "payload: width is 0, not from 1 to 16384 pixels"),
    ];
    let mut jobs = Vec::new();
    for (number, (model, fields, _)) in cases.iter().enumerate() {
        jobs.push(enqueue(&stack, "generate-image", &ask(&format!("gen-{number}"), model, fields.clone())).await);
    }
    let answer = stack.post_drain().await.unwrap();
    assert_eq!((&answer["processed"], &answer["errors"]), (&json!(0), &json!(cases.len())), "{answer}");
    for (id, (_, fields, message)) in jobs.iter().zip(&cases) {
        let job = job(&stack, id).await;
        assert_eq!((&job["status"], &job["attempt_number"]), (&json!("failed"), &json!(1)), "{job}");
        assert!(job["error_message"].as_str().unwrap().starts_with(message), "{fields}: {job}");
    }
    assert_eq!(
        count(&stack, "select count(*) from image_generations where status = 'failed'").await,
        cases.len() as i64
    );
    assert!(stack.replicate().requests().is_empty(), "nobody was asked");
    stack.stop().await.unwrap();
}
