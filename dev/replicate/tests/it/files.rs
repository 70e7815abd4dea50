//! The files decode, as the format and with the size that the model promises.

use image::{ImageFormat, guess_format, load_from_memory_with_format};
use serde_json::{Value, json};

use crate::{Api, SCHNELL, SDXL_VERSION};

pub async fn fetch(api: &Api, url: &str) -> reqwest::Response {
    api.client.get(url).send().await.expect("file")
}

async fn picture(api: &Api, version: &str, input: Value) -> (String, Vec<u8>) {
    let output = api.finished(version, input).await["output"].clone();
    let url = output.as_str().or_else(|| output[0].as_str()).expect("a url").to_owned();
    let response = fetch(api, &url).await;
    assert_eq!(response.status(), 200);
    let header = |name: &str| response.headers()[name].to_str().expect("ascii").to_owned();
    let (content_type, length) = (header("content-type"), header("content-length"));
    let bytes = response.bytes().await.expect("body").to_vec();
    assert_eq!(length, bytes.len().to_string());
    (content_type, bytes)
}

#[tokio::test(start_paused = true)]
async fn pictures_have_the_promised_format_and_size() {
    let api = Api::start().await;
    let (jpg, png, webp) =
        (("image/jpeg", ImageFormat::Jpeg), ("image/png", ImageFormat::Png), ("image/webp", ImageFormat::WebP));
    let cases = [
        (SCHNELL, json!({}), webp, (1024, 1024)),
        (SCHNELL, json!({"aspect_ratio": "16:9", "output_format": "png"}), png, (1344, 768)),
        (SCHNELL, json!({"aspect_ratio": "9:21", "megapixels": "0.25", "output_format": "jpg"}), jpg, (320, 768)),
        (
            "black-forest-labs/flux-1.1-pro",
            json!({"aspect_ratio": "custom", "width": 512, "height": 256}),
            webp,
            (512, 256),
        ),
        (SDXL_VERSION, json!({"width": 640, "height": 384}), png, (640, 384)),
        ("recraft-ai/recraft-v3", json!({"size": "1365x1024"}), webp, (1365, 1024)),
        ("recraft-ai/recraft-v3", json!({"size": "1365x1024", "aspect_ratio": "1:2"}), webp, (1024, 2048)),
        ("ideogram-ai/ideogram-v3-turbo", json!({"resolution": "512x1536", "aspect_ratio": "1:1"}), png, (512, 1536)),
        ("bytedance/seedream-4", json!({"size": "1K", "width": 2048}), jpg, (1024, 1024)),
        ("bytedance/seedream-4", json!({"size": "custom", "width": 1100, "height": 1024}), jpg, (1100, 1024)),
        ("qwen/qwen-image", json!({"image_size": "optimize_for_speed"}), webp, (1024, 576)),
        (
            "openai/gpt-image-1.5",
            json!({"openai_api_key": "sk", "output_format": "jpeg", "aspect_ratio": "3:2"}),
            jpg,
            (1536, 1024),
        ),
        ("black-forest-labs/flux-2-pro", json!({"resolution": "0.5 MP", "aspect_ratio": "1:1"}), webp, (704, 704)),
    ];
    for (model, mut input, (content_type, format), size) in cases {
        input["prompt"] = json!("a cat");
        let (said, bytes) = picture(&api, model, input.clone()).await;
        assert_eq!(
            (said.as_str(), guess_format(&bytes).expect("a known format")),
            (content_type, format),
            "{model} {input}"
        );
        let decoded = load_from_memory_with_format(&bytes, format).expect("a whole picture");
        assert_eq!((decoded.width(), decoded.height()), size, "{model} {input}");
    }
}

#[tokio::test(start_paused = true)]
async fn vector_models_give_svg() {
    let api = Api::start().await;
    let (content_type, bytes) =
        picture(&api, "recraft-ai/recraft-v3-svg", json!({"prompt": "a", "size": "1024x2048"})).await;
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(content_type, "image/svg+xml");
    assert!(
        text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1024\" height=\"2048\"")
            && text.ends_with("</svg>"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn seeds_make_different_pictures_and_the_same_again() {
    let api = Api::start().await;
    let input = |seed| json!({"prompt": "a", "seed": seed, "megapixels": "0.25"});
    let mut different = std::collections::HashSet::new();
    for seed in 0..8 {
        let (_, bytes) = picture(&api, SCHNELL, input(seed)).await;
        assert_eq!(bytes, picture(&api, SCHNELL, input(seed)).await.1, "{seed}");
        different.insert(bytes);
    }
    assert!(different.len() > 2, "{} different ones of 8", different.len());
}

#[tokio::test(start_paused = true)]
async fn as_many_files_as_outputs_were_asked_for() {
    let api = Api::start().await;
    let output = api.finished(SCHNELL, json!({"prompt": "a", "num_outputs": 3})).await["output"].clone();
    let urls = output.as_array().expect("array");
    assert_eq!(urls.len(), 3);
    for url in urls {
        assert_eq!(fetch(&api, url.as_str().expect("url")).await.status(), 200);
    }
    let beyond = urls[2].as_str().expect("url").replace("out-2", "out-3");
    assert_eq!(fetch(&api, &beyond).await.status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_file_is_there_only_when_its_prediction_has_succeeded() {
    let api = Api::start().await;
    let id = api.created(SCHNELL, json!({"prompt": "a"})).await;
    let url = format!("{}/xezq/{id}/out-0.webp", api.server.files_url());
    assert_eq!(fetch(&api, &url).await.status(), 404);
    tokio::time::advance(std::time::Duration::from_secs(5)).await;
    assert_eq!(fetch(&api, &url).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn files_of_the_callers_own_are_served_too() {
    let api = Api::start().await;
    let url = api.server.serve_file("/mine/a.gif", "image/gif", &b"GIF89a"[..]);
    let response = fetch(&api, &url).await;
    assert_eq!(response.headers()["content-type"], "image/gif");
    assert_eq!(response.bytes().await.expect("body"), "GIF89a");
}
