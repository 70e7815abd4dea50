//! Single wishes, and what exactly becomes of them.

use process_jobs::models::catalogue::{self, MODELS};
use process_jobs::models::request::ImageRequest;
use serde_json::{Value, json};

use super::{DEFAULT_SEED, PICTURE, pictures, request, sent, sized};

#[test]
fn exact_inputs() {
    let wishes = |model: &str| ImageRequest {
        negative_prompt: Some("blurred".to_owned()),
        num_inference_steps: Some(30),
        guidance_scale: Some(7.5),
        seed: Some(0),
        ..sized(model, 1366, 768)
    };
    let with_picture = |model: &str| ImageRequest {
        source_image_urls: Some(vec![PICTURE.to_owned()]),
        strength: Some(0.3),
        output_format: Some("jpeg".to_owned()),
        num_outputs: Some(3),
        ..wishes(model)
    };
    let table = [
        (
            wishes("black-forest-labs/flux-schnell"),
            "black-forest-labs/flux-schnell",
            json!({
                "prompt": "a red fox", "aspect_ratio": "16:9", "megapixels": "1", "num_inference_steps": 4, "seed": 0,
            }),
            vec![
                "width 1366 x height 768 -> aspect_ratio 16:9, megapixels 1",
                "num_inference_steps 30 -> 4",
                "guidance_scale 7.5 dropped: the model has no known field for it",
                "negative_prompt dropped: the model has no known field for it",
            ],
        ),
        // What the job leaves out is left to the model, but for the seed, which makes it known again.
        (
            request("black-forest-labs/flux-schnell"),
            "black-forest-labs/flux-schnell",
            json!({ "prompt": "a red fox", "aspect_ratio": "1:1", "megapixels": "1", "seed": 2_000_000_000 }),
            vec![],
        ),
        (
            with_picture("black-forest-labs/flux-dev"),
            "black-forest-labs/flux-dev",
            json!({
                "prompt": "a red fox", "num_inference_steps": 30, "guidance": 7.5, "seed": 0, "output_format": "jpg",
                "num_outputs": 3, "image": PICTURE, "prompt_strength": 0.3,
            }),
            vec![
                "width 1366 x height 768 dropped: the picture has the size of its source",
                "negative_prompt dropped: the model has no known field for it",
            ],
        ),
        (
            with_picture("black-forest-labs/flux-1.1-pro-ultra"),
            "black-forest-labs/flux-1.1-pro-ultra",
            json!({
                "prompt": "a red fox", "aspect_ratio": "16:9", "seed": 0, "output_format": "jpg",
                "image_prompt": PICTURE, "image_prompt_strength": 0.7,
            }),
            vec![
                "width 1366 x height 768 -> aspect_ratio 16:9",
                "num_inference_steps 30 dropped: the model has no known field for it",
                "guidance_scale 7.5 dropped: the model has no known field for it",
                "negative_prompt dropped: the model has no known field for it",
                "num_outputs 3 dropped: the model makes one",
                "strength 0.3 -> image_prompt_strength 0.7",
            ],
        ),
        (
            ImageRequest { output_format: Some("png".to_owned()), ..wishes("bytedance/sdxl-lightning-4step") },
            "bytedance/sdxl-lightning-4step:5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "width": 1280, "height": 720,
                "num_inference_steps": 10, "guidance_scale": 7.5, "seed": 0,
            }),
            vec![
                "width 1366 x height 768 -> width 1280 x height 720",
                "num_inference_steps 30 -> 10",
                "output_format png dropped: the model has no known field for it",
            ],
        ),
        (
            with_picture("bytedance/seedream-4"),
            "bytedance/seedream-4",
            json!({
                "prompt": "a red fox", "size": "custom", "width": 1821, "height": 1024, "image_input": [PICTURE],
                "max_images": 3, "sequential_image_generation": "auto",
            }),
            vec![
                "width 1366 x height 768 -> width 1821 x height 1024",
                "num_inference_steps 30 dropped: the model has no known field for it",
                "guidance_scale 7.5 dropped: the model has no known field for it",
                "negative_prompt dropped: the model has no known field for it",
                "seed 0 dropped: the model has no known field for it",
                "output_format jpeg dropped: the model has no known field for it",
                "num_outputs 3 -> max_images 3: the model makes as many as it likes, up to this",
                "strength 0.3 dropped: the model has no known field for it",
            ],
        ),
        (
            ImageRequest { num_outputs: Some(3), ..with_picture("stability-ai/stable-diffusion-3.5-large") },
            "stability-ai/stable-diffusion-3.5-large",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "aspect_ratio": "16:9", "cfg": 7.5, "seed": 0,
                "output_format": "jpg", "image": PICTURE, "prompt_strength": 0.3,
            }),
            vec![
                "width 1366 x height 768 -> aspect_ratio 16:9",
                "num_inference_steps 30 dropped: the model has no known field for it",
                "num_outputs 3 dropped: the model makes one",
            ],
        ),
        (
            ImageRequest { source_image_urls: Some(pictures(1)), ..wishes("qwen/qwen-image-edit") },
            "qwen/qwen-image-edit",
            json!({ "prompt": "a red fox", "seed": 0, "image": pictures(1)[0] }),
            vec![
                "width 1366 x height 768 dropped: the picture has the size of its source",
                "num_inference_steps 30 dropped: the model has no known field for it",
                "guidance_scale 7.5 dropped: the model has no known field for it",
                "negative_prompt dropped: the model has no known field for it",
            ],
        ),
        // Not in the catalogue: sent as it is.
        (
            ImageRequest {
                strength: Some(0.3),
                output_format: Some("png".to_owned()),
                num_outputs: Some(2),
                ..wishes("someone/some-model")
            },
            "someone/some-model",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "width": 1366, "height": 768,
                "num_inference_steps": 30, "guidance_scale": 7.5, "seed": 0,
            }),
            vec![
                "output_format png dropped: the model is not in the catalogue",
                "num_outputs 2 dropped: the model is not in the catalogue",
                "strength 0.3 dropped: there is no source_image_url",
            ],
        ),
        (
            request("someone/some-model"),
            "someone/some-model",
            json!({
                "prompt": "a red fox", "width": 1024, "height": 1024, "num_inference_steps": 30,
                "guidance_scale": 7.5, "seed": DEFAULT_SEED,
            }),
            vec![],
        ),
    ];
    for (request, version, input, adjustments) in table {
        let sent = sent(&request);
        assert_eq!(sent.version, version);
        assert_eq!(Value::Object(sent.input), input, "{version}");
        assert_eq!(sent.adjustments, adjustments, "{version}");
    }
}

#[test]
fn a_size_the_model_cannot_make_is_scaled_with_its_ratio() {
    let size = |model: &str, width, height| {
        let input = sent(&sized(model, width, height)).input;
        (input["width"].as_u64().unwrap(), input["height"].as_u64().unwrap())
    };
    let lightning = "bytedance/sdxl-lightning-4step"; // 256 to 1280, steps of 8
    assert_eq!(size(lightning, 1920, 1080), (1280, 720));
    assert_eq!(size(lightning, 1080, 1920), (720, 1280));
    assert_eq!(size(lightning, 1001, 999), (1000, 1000));
    assert_eq!(size(lightning, 100, 200), (256, 512));
    assert_eq!(size(lightning, 16_384, 100), (1280, 256));
    assert_eq!(size("bytedance/seedream-4", 768, 1344), (1024, 1792)); // 1024 to 4096
    assert_eq!(size("black-forest-labs/flux-1.1-pro", 1366, 768), (1376, 768)); // steps of 32
}

#[test]
fn a_named_size_is_the_nearest_in_ratio() {
    let sizes = |model: &str, width, height| {
        let input = sent(&sized(model, width, height)).input;
        ["aspect_ratio", "size", "resolution"].into_iter().find_map(|field| Some((field, input.get(field)?.clone())))
    };
    let ideogram = "ideogram-ai/ideogram-v3-turbo";
    assert_eq!(sizes(ideogram, 1920, 1080), Some(("aspect_ratio", json!("16:9"))));
    assert_eq!(sizes(ideogram, 2560, 1080), Some(("resolution", json!("1536x640"))));
    assert_eq!(sizes("recraft-ai/recraft-v3", 1365, 1024), Some(("size", json!("1365x1024"))));
    assert_eq!(sizes("recraft-ai/recraft-v3", 800, 600), Some(("aspect_ratio", json!("4:3"))));
    assert_eq!(sizes("recraft-ai/recraft-v4", 1920, 1080), Some(("size", json!("1344x768"))));
    assert_eq!(sizes("recraft-ai/recraft-v4-pro", 1920, 1080), Some(("size", json!("2048x2048"))));
}

#[test]
fn a_preset_is_the_nearest_in_area() {
    let preset = |model: &str, field: &str, side| sent(&sized(model, side, side)).input[field].clone();
    assert_eq!(preset("black-forest-labs/flux-schnell", "megapixels", 512), "0.25");
    assert_eq!(preset("black-forest-labs/flux-schnell", "megapixels", 768), "1");
    assert_eq!(preset("bytedance/seedream-5-lite", "size", 1024), "2K");
    assert_eq!(preset("bytedance/seedream-5-lite", "size", 4096), "3K");
    assert_eq!(preset("google/nano-banana-pro", "resolution", 1024), "1K");
    assert_eq!(preset("google/nano-banana-pro", "resolution", 4096), "4K");
    assert_eq!(preset("qwen/qwen-image", "image_size", 1024), "optimize_for_speed");
    assert_eq!(preset("qwen/qwen-image", "image_size", 1328), "optimize_for_quality");
}

#[test]
fn without_a_size_the_picture_is_as_large_as_its_source_where_the_model_can() {
    let input = |model: &str, width| {
        let sent = sent(&ImageRequest { width, source_image_urls: Some(pictures(1)), ..request(model) });
        assert!(width.is_some() || sent.adjustments.is_empty(), "{sent:?}");
        sent.input
    };
    for model in ["qwen/qwen-image-edit-plus", "black-forest-labs/flux-2-pro", "bytedance/seedream-4"] {
        let matched = input(model, None);
        assert_eq!(matched["aspect_ratio"], "match_input_image", "{model}");
        assert!(["width", "height", "size"].iter().all(|field| !matched.contains_key(*field)), "{model}");
        assert_ne!(input(model, Some(2048)).get("aspect_ratio"), Some(&json!("match_input_image")), "{model}");
    }
    let square = sent(&request("black-forest-labs/flux-kontext-pro")).input;
    assert_eq!(square["aspect_ratio"], "1:1");
    for width in [None, Some(2048)] {
        assert!(!input("black-forest-labs/flux-dev", width).contains_key("aspect_ratio"), "it follows the picture");
    }
}

#[test]
fn a_seed_is_kept_or_reduced_to_the_models_range() {
    let seed = |model: &str, seed| {
        let sent = sent(&ImageRequest { seed, ..request(model) });
        let told = sent.adjustments.into_iter().find(|sentence| sentence.starts_with("seed"));
        (sent.input["seed"].as_i64().unwrap(), told)
    };
    let (flux, ideogram) = ("black-forest-labs/flux-schnell", "ideogram-ai/ideogram-v3-balanced");
    assert_eq!(seed(flux, Some(0)), (0, None));
    assert_eq!(seed(flux, Some(-1)), (-1, None));
    assert_eq!(seed(flux, Some(5_000_000_000)), (5_000_000_000, None));
    assert_eq!(seed(flux, None), (2_000_000_000, None));
    assert_eq!(seed(ideogram, Some(2_147_483_647)), (2_147_483_647, None));
    assert_eq!(seed(ideogram, Some(2_147_483_648)), (0, Some("seed 2147483648 -> 0".to_owned())));
    assert_eq!(seed(ideogram, Some(-1)), (2_147_483_647, Some("seed -1 -> 2147483647".to_owned())));
}

#[test]
fn a_format_is_sent_in_the_models_spelling_or_not_at_all() {
    let format = |model: &str, format: &str| {
        let sent = sent(&ImageRequest { output_format: Some(format.to_owned()), ..request(model) });
        (sent.input.get("output_format").cloned(), sent.adjustments)
    };
    for wanted in ["jpg", "jpeg"] {
        assert_eq!(format("google/imagen-4", wanted), (Some(json!("jpg")), vec![]));
        assert_eq!(format("openai/gpt-image-1.5", wanted), (Some(json!("jpeg")), vec![]));
    }
    let dropped = vec!["output_format webp dropped: the model has jpg, png".to_owned()];
    assert_eq!(format("google/imagen-4", "webp"), (None, dropped));
}

#[test]
fn more_pictures_than_the_model_makes_at_once_are_fewer() {
    let outputs = |model: &str, count| {
        let sent = sent(&ImageRequest { num_outputs: Some(count), ..request(model) });
        (sent.input, sent.adjustments)
    };
    let (input, adjustments) = outputs("stability-ai/sdxl", 10);
    assert_eq!((&input["num_outputs"], adjustments), (&json!(4), vec!["num_outputs 10 -> 4".to_owned()]));
    let (input, adjustments) = outputs("openai/gpt-image-1.5", 10);
    assert_eq!((&input["number_of_images"], adjustments), (&json!(10), vec![]));
    let (input, adjustments) = outputs("bytedance/seedream-4", 1);
    assert_eq!((&input["max_images"], adjustments), (&json!(1), vec![]));
    assert_eq!(input.get("sequential_image_generation"), None);
    assert_eq!(outputs("google/imagen-4", 1).1, Vec::<String>::new());
}

#[test]
fn source_pictures_go_in_order_into_the_field_that_is_named() {
    let sent = |model: &str, count| sent(&ImageRequest { source_image_urls: Some(pictures(count)), ..request(model) });
    let edited = sent("qwen/qwen-image-edit-plus", 3);
    assert_eq!((&edited.input["image"], edited.source_field.as_deref()), (&json!(pictures(3)), Some("image")));
    let guided = sent("black-forest-labs/flux-1.1-pro", 1);
    assert_eq!(
        (&guided.input["image_prompt"], guided.source_field.as_deref()),
        (&json!(pictures(1)[0]), Some("image_prompt"))
    );
    assert_eq!(sent("black-forest-labs/flux-dev", 0).source_field, None);
}

#[test]
fn whole_numbers_have_no_fraction() {
    let wish = ImageRequest { guidance_scale: Some(50.0), ..request("black-forest-labs/flux-dev") };
    let input = sent(&wish).input;
    assert_eq!(json!(input).to_string().matches("\"guidance\":10,").count(), 1, "{input:?}");
}

#[test]
fn the_version_is_the_jobs_own_or_the_one_the_model_needs() {
    let hex = "0123456789abcdef".repeat(4);
    let pinned = MODELS.iter().find(|model| model.id == "stability-ai/sdxl").unwrap().version.unwrap();
    let table = [
        ("black-forest-labs/flux-dev", None, "black-forest-labs/flux-dev".to_owned()),
        ("black-forest-labs/flux-dev", Some(&hex), format!("black-forest-labs/flux-dev:{hex}")),
        ("stability-ai/sdxl", None, format!("stability-ai/sdxl:{pinned}")),
        ("stability-ai/sdxl", Some(&hex), format!("stability-ai/sdxl:{hex}")),
        (&format!("stability-ai/sdxl:{hex}"), None, format!("stability-ai/sdxl:{hex}")),
        (&format!("stability-ai/sdxl:{hex}"), Some(&hex), format!("stability-ai/sdxl:{hex}")),
        (&hex, None, hex.clone()),
        (pinned, None, format!("stability-ai/sdxl:{pinned}")),
        ("someone/some_model.v2-beta", None, "someone/some_model.v2-beta".to_owned()),
    ];
    for (model_id, model_version, version) in table {
        let request = ImageRequest { model_version: model_version.cloned(), ..request(model_id) };
        assert_eq!(sent(&request).version, version);
    }
    // A version alone is known, too: SDXL's has limits for the guidance.
    let input = sent(&ImageRequest { guidance_scale: Some(0.0), ..request(pinned) }).input;
    assert_eq!(input["guidance_scale"], 1);
    assert_eq!(catalogue::find(pinned).unwrap().id, "stability-ai/sdxl");
}
