//! What each model is sent: always something its schema takes, and as near to the request as it can
//! be. `fixtures/model_schemas.json` has what is published of each model's input schema; of each
//! model without a field for the output's format it says what the model `produces`.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use process_jobs::replicate::catalogue::{self, MODELS, Model, Size};
use process_jobs::replicate::input::{ImageRequest, ModelInput, build};
use serde_json::{Value, json};

const DEFAULT_SEED: u32 = 4_000_000_000;
const PICTURE: &str = "https://example.supabase.co/storage/v1/object/sign/source.png?token=t";
const SIZES: [(u32, u32); 15] = [
    (1024, 1024),
    (512, 512),
    (1920, 1080),
    (1080, 1920),
    (1366, 768),
    (768, 1344),
    (832, 1216),
    (2560, 1080),
    (1000, 1001),
    (870, 1000),
    (3, 2),
    (1, 1),
    (16_384, 16_384),
    (16_384, 100),
    (1, 16_384),
];

fn schemas() -> BTreeMap<String, Value> {
    let schemas: Vec<Value> = serde_json::from_str(include_str!("../fixtures/model_schemas.json")).unwrap();
    schemas.into_iter().map(|schema| (schema["id"].as_str().unwrap().to_owned(), schema)).collect()
}

/// Strict where Replicate is not: it drops fields it does not know, which would hide a wrong name.
fn validator(schema: &Value) -> Validator {
    let strict = json!({
        "type": "object",
        "required": schema["required"],
        "properties": schema["properties"],
        "additionalProperties": false,
    });
    jsonschema::options().should_validate_formats(true).build(&strict).unwrap()
}

/// What a job without any optional field asks for.
fn request(model_id: &str) -> ImageRequest {
    ImageRequest {
        prompt: "a red fox".to_owned(),
        negative_prompt: None,
        model_id: model_id.to_owned(),
        model_version: None,
        width: 1024,
        height: 1024,
        num_inference_steps: 30,
        guidance_scale: 7.5,
        seed: None,
        source_image_url: None,
        strength: None,
    }
}

fn requests(model: &Model, width: u32, height: u32) -> Vec<ImageRequest> {
    let plain = ImageRequest { width, height, ..request(model.id) };
    let all = ImageRequest {
        negative_prompt: Some("blurred".to_owned()),
        model_version: model.version.map(str::to_owned),
        seed: Some(42),
        ..plain.clone()
    };
    let mut requests = vec![
        plain.clone(),
        all.clone(),
        ImageRequest { seed: Some(0), ..plain.clone() },
        ImageRequest { num_inference_steps: 0, guidance_scale: 0.0, seed: Some(-1), ..plain.clone() },
        ImageRequest { num_inference_steps: u32::MAX, guidance_scale: f64::MAX, seed: Some(i64::MAX), ..plain },
    ];
    if model.image.is_some() {
        for strength in [None, Some(0.0), Some(0.3), Some(1.0)] {
            requests.push(ImageRequest { source_image_url: Some(PICTURE.to_owned()), strength, ..all.clone() });
        }
    }
    requests
}

fn sent(request: &ImageRequest) -> ModelInput {
    build(request, DEFAULT_SEED).unwrap()
}

#[test]
fn no_model_rejects_its_input() {
    let schemas = schemas();
    let (mut count, mut rejected) = (0, Vec::new());
    for model in MODELS {
        let validator = validator(&schemas[model.id]);
        for (width, height) in SIZES {
            for request in requests(model, width, height) {
                let input = Value::Object(sent(&request).input);
                count += 1;
                rejected.extend(validator.iter_errors(&input).map(|error| format!("{request:?}: {error}")));
            }
        }
    }
    println!("{count} inputs for {} models, {} rejected", MODELS.len(), rejected.len());
    assert_eq!(rejected, Vec::<String>::new());
}

#[test]
fn the_ratio_sent_is_the_best_the_model_allows() {
    let ratio = |width: f64, height: f64| (width / height).ln();
    for model in MODELS {
        for (width, height) in SIZES {
            let input = sent(&ImageRequest { width, height, ..request(model.id) }).input;
            let wanted = ratio(width.into(), height.into());
            let case = format!("{} at {width}x{height}: {input:?}", model.id);
            match &model.size {
                Size::AspectRatio { ratios, .. } => {
                    let apart = |name: &str| {
                        let (width, height) = name.split_once(':').unwrap();
                        (ratio(width.parse().unwrap(), height.parse().unwrap()) - wanted).abs()
                    };
                    let best = ratios.iter().map(|ratio| apart(ratio.name)).fold(f64::MAX, f64::min);
                    assert!(apart(input["aspect_ratio"].as_str().unwrap()) <= best + 1e-9, "{case}");
                }
                &Size::Pixels { min, max, step } => {
                    let (sent_width, sent_height) =
                        (input["width"].as_f64().unwrap(), input["height"].as_f64().unwrap());
                    let widest = ratio(max.into(), min.into());
                    let half_a_step = f64::from(step) / 2.0;
                    let rounding = half_a_step / sent_width + half_a_step / sent_height;
                    let apart = (ratio(sent_width, sent_height) - wanted.clamp(-widest, widest)).abs();
                    assert!(apart <= rounding * 1.1, "{case}");
                    let takes = |side: u32| (min..=max).contains(&side) && side.is_multiple_of(step);
                    if takes(width) && takes(height) {
                        assert_eq!((sent_width, sent_height), (width.into(), height.into()), "{case}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_size_the_model_cannot_make_is_scaled_with_its_ratio() {
    let size = |model: &str, width, height| {
        let input = sent(&ImageRequest { width, height, ..request(model) }).input;
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
fn the_catalogue_says_what_the_schemas_say() {
    let schemas = schemas();
    let ids: BTreeSet<&str> = MODELS.iter().map(|model| model.id).collect();
    assert_eq!(ids.len(), MODELS.len(), "an id is there twice");
    assert_eq!(ids, schemas.keys().map(String::as_str).collect());

    for model in MODELS {
        let schema = &schemas[model.id];
        let fields = &schema["properties"];
        let id = model.id;
        let mut used = vec!["prompt"];
        assert_eq!(json!(model.version), schema["version"], "{id}");

        match &model.size {
            Size::AspectRatio { ratios, preset } => {
                used.push("aspect_ratio");
                let names: BTreeSet<&str> = ratios.iter().map(|ratio| ratio.name).collect();
                let allowed = texts(&fields["aspect_ratio"]);
                assert_eq!(names, allowed.into_iter().filter(|name| name.contains(':')).collect(), "{id}");
                if let Some(preset) = preset {
                    used.push(preset.field);
                    let names: BTreeSet<&str> = preset.pixels.iter().map(|(name, _)| *name).collect();
                    assert_eq!(names, texts(&fields[preset.field]), "{id}");
                }
            }
            Size::Pixels { min, max, step } => {
                used.extend(["width", "height"]);
                assert!(min <= max && min % step == 0 && max % step == 0, "{id}");
                for side in ["width", "height"] {
                    // SDXL limits no size.
                    let limits = [&fields[side]["minimum"], &fields[side]["maximum"]];
                    assert!(limits == [&json!(min), &json!(max)] || limits == [&Value::Null; 2], "{id}");
                    assert_eq!(step % fields[side]["multipleOf"].as_u64().unwrap_or(1) as u32, 0, "{id}");
                }
            }
        }
        if let Some(steps) = &model.steps {
            used.push(steps.field);
            assert_eq!(range(&fields[steps.field]), (Some(steps.min.into()), Some(steps.max.into())), "{id}");
        }
        if let Some(guidance) = &model.guidance {
            used.push(guidance.field);
            assert_eq!(range(&fields[guidance.field]), (Some(guidance.min), Some(guidance.max)), "{id}");
        }
        if model.negative_prompt {
            used.push("negative_prompt");
        }
        if let Some(seed) = &model.seed {
            used.push("seed");
            assert_eq!(range(&fields["seed"]), (None, seed.max.map(|max| max as f64)), "{id}");
        }
        if let Some(image) = &model.image {
            used.push(image.field);
            let field = &fields[image.field];
            let address = if image.list { &field["items"] } else { field };
            assert_eq!(address["format"], "uri", "{id}");
            if let Some(strength) = &image.strength {
                used.push(strength.field);
                assert_eq!(range(&fields[strength.field]), (Some(0.0), Some(1.0)), "{id}");
            }
        }
        for (field, text) in model.fixed {
            used.push(field);
            assert!(texts(&fields[field]).contains(text), "{id}: {field}");
        }

        assert!(used.iter().all(|field| fields[field].is_object()), "{id}: {used:?}");
        assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len(), "{id}: {used:?}");
        let idle: BTreeSet<&str> =
            fields.as_object().unwrap().keys().map(String::as_str).filter(|field| !used.contains(field)).collect();
        let left = idle.intersection(&BTreeSet::from(WISHES)).copied().collect::<Vec<_>>();
        let known: &[&str] = match id {
            "black-forest-labs/flux-2-flex" => &["steps"], // its range is not published
            "ideogram-ai/ideogram-v3-balanced" | "ideogram-ai/ideogram-v3-quality" => &["image"], // needs a mask
            _ => &[],
        };
        assert_eq!(left, known, "{id} has fields for what a job may ask for, and the catalogue has not");
    }
}

/// The names under which models take what a job may ask for; size apart, which many take two ways.
const WISHES: [&str; 16] = [
    "cfg",
    "guidance",
    "guidance_scale",
    "image",
    "image_input",
    "image_prompt",
    "image_prompt_strength",
    "input_image",
    "input_images",
    "negative_prompt",
    "num_inference_steps",
    "prompt",
    "prompt_strength",
    "seed",
    "steps",
    "strength",
];

fn texts(field: &Value) -> BTreeSet<&str> {
    field["enum"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn range(field: &Value) -> (Option<f64>, Option<f64>) {
    (field["minimum"].as_f64(), field["maximum"].as_f64())
}

#[test]
fn every_model_gives_a_format_that_can_be_stored() {
    for (id, schema) in schemas() {
        let format = match &schema["properties"]["output_format"]["default"] {
            Value::Null => &schema["produces"],
            format => format,
        };
        for format in format.as_str().unwrap().split(" or ") {
            assert!(["png", "jpg", "jpeg", "webp", "gif", "avif", "svg"].contains(&format), "{id}: {format}");
        }
    }
}

#[test]
fn exact_inputs() {
    let wishes = |model: &str| ImageRequest {
        negative_prompt: Some("blurred".to_owned()),
        width: 1366,
        height: 768,
        seed: Some(0),
        ..request(model)
    };
    let with_picture =
        |model: &str| ImageRequest { source_image_url: Some(PICTURE.to_owned()), strength: Some(0.3), ..wishes(model) };
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
                "guidance_scale 7.5 dropped: the model has none",
                "negative_prompt dropped: the model has none",
            ],
        ),
        (
            with_picture("black-forest-labs/flux-dev"),
            "black-forest-labs/flux-dev",
            json!({
                "prompt": "a red fox", "aspect_ratio": "16:9", "megapixels": "1", "num_inference_steps": 30,
                "guidance": 7.5, "seed": 0, "image": PICTURE, "prompt_strength": 0.3,
            }),
            vec![
                "width 1366 x height 768 -> aspect_ratio 16:9, megapixels 1",
                "negative_prompt dropped: the model has none",
            ],
        ),
        (
            with_picture("black-forest-labs/flux-1.1-pro-ultra"),
            "black-forest-labs/flux-1.1-pro-ultra",
            json!({
                "prompt": "a red fox", "aspect_ratio": "16:9", "seed": 0, "image_prompt": PICTURE,
                "image_prompt_strength": 0.7,
            }),
            vec![
                "width 1366 x height 768 -> aspect_ratio 16:9",
                "num_inference_steps 30 dropped: the model has none",
                "guidance_scale 7.5 dropped: the model has none",
                "negative_prompt dropped: the model has none",
                "strength 0.3 -> image_prompt_strength 0.7",
            ],
        ),
        (
            wishes("bytedance/sdxl-lightning-4step"),
            "bytedance/sdxl-lightning-4step:5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "width": 1280, "height": 720,
                "num_inference_steps": 10, "guidance_scale": 7.5, "seed": 0,
            }),
            vec!["width 1366 x height 768 -> width 1280 x height 720", "num_inference_steps 30 -> 10"],
        ),
        (
            with_picture("bytedance/seedream-4"),
            "bytedance/seedream-4",
            json!({
                "prompt": "a red fox", "size": "custom", "width": 1821, "height": 1024, "image_input": [PICTURE],
            }),
            vec![
                "width 1366 x height 768 -> width 1821 x height 1024",
                "num_inference_steps 30 dropped: the model has none",
                "guidance_scale 7.5 dropped: the model has none",
                "negative_prompt dropped: the model has none",
                "seed 0 dropped: the model has none",
                "strength 0.3 dropped: the model has none",
            ],
        ),
        (
            with_picture("stability-ai/stable-diffusion-3.5-large"),
            "stability-ai/stable-diffusion-3.5-large",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "aspect_ratio": "16:9", "cfg": 7.5, "seed": 0,
                "image": PICTURE, "prompt_strength": 0.3,
            }),
            vec!["width 1366 x height 768 -> aspect_ratio 16:9", "num_inference_steps 30 dropped: the model has none"],
        ),
        // Not in the catalogue: sent as it is.
        (
            ImageRequest { strength: Some(0.3), ..wishes("someone/some-model") },
            "someone/some-model",
            json!({
                "prompt": "a red fox", "negative_prompt": "blurred", "width": 1366, "height": 768,
                "num_inference_steps": 30, "guidance_scale": 7.5, "seed": 0,
            }),
            vec!["strength 0.3 dropped: there is no source_image_url"],
        ),
        (
            request("someone/some-model"),
            "someone/some-model",
            json!({
                "prompt": "a red fox", "width": 1024, "height": 1024, "num_inference_steps": 30,
                "guidance_scale": 7.5,
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
fn a_preset_is_the_nearest_in_area() {
    let preset = |model: &str, field: &str, side| {
        sent(&ImageRequest { width: side, height: side, ..request(model) }).input[field].clone()
    };
    assert_eq!(preset("black-forest-labs/flux-schnell", "megapixels", 512), "0.25");
    assert_eq!(preset("black-forest-labs/flux-schnell", "megapixels", 768), "1");
    assert_eq!(preset("bytedance/seedream-5-lite", "size", 1024), "2K");
    assert_eq!(preset("bytedance/seedream-5-lite", "size", 4096), "3K");
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
    assert_eq!(seed(flux, Some(5_000_000_000)), (5_000_000_000, None));
    assert_eq!(seed(flux, None), (4_000_000_000, None));
    assert_eq!(seed(ideogram, Some(2_147_483_647)), (2_147_483_647, None));
    assert_eq!(seed(ideogram, Some(2_147_483_648)), (0, Some("seed 2147483648 -> 0".to_owned())));
    assert_eq!(seed(ideogram, Some(-1)), (2_147_483_647, Some("seed -1 -> 2147483647".to_owned())));
    assert_eq!(seed(ideogram, None), (1_852_516_352, None));
}

#[test]
fn whole_numbers_have_no_fraction() {
    let input = sent(&ImageRequest { guidance_scale: 50.0, ..request("black-forest-labs/flux-dev") }).input;
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
        (pinned, None, pinned.to_owned()),
        ("someone/some_model.v2-beta", None, "someone/some_model.v2-beta".to_owned()),
    ];
    for (model_id, model_version, version) in table {
        let request = ImageRequest { model_version: model_version.cloned(), ..request(model_id) };
        assert_eq!(sent(&request).version, version);
    }
    // A version alone is known, too: SDXL's has limits for the guidance.
    let input = sent(&ImageRequest { guidance_scale: 0.0, ..request(pinned) }).input;
    assert_eq!(input["guidance_scale"], 1);
    assert_eq!(catalogue::find(pinned).unwrap().id, "stability-ai/sdxl");
}

#[test]
fn a_request_that_cannot_be_met_is_refused_by_the_name_of_its_field() {
    let flux = || request("black-forest-labs/flux-dev");
    let hex = "0123456789abcdef".repeat(4);
    let model = |model_id: &str| ImageRequest { model_id: model_id.to_owned(), ..flux() };
    let picture = |model_id: &str| ImageRequest { source_image_url: Some(PICTURE.to_owned()), ..model(model_id) };
    let forms = "is neither owner/name nor owner/name:version nor a version of 64 lowercase hex digits";
    let table = [
        (ImageRequest { prompt: " \n".to_owned(), ..flux() }, "prompt is empty".to_owned()),
        (ImageRequest { width: 0, ..flux() }, "width is 0, not from 1 to 16384 pixels".to_owned()),
        (ImageRequest { height: 16_385, ..flux() }, "height is 16385, not from 1 to 16384 pixels".to_owned()),
        (
            ImageRequest { guidance_scale: f64::NAN, ..flux() },
            "guidance_scale is null, not a number from 0 up".to_owned(),
        ),
        (ImageRequest { guidance_scale: -0.5, ..flux() }, "guidance_scale is -0.5, not a number from 0 up".to_owned()),
        (
            ImageRequest { guidance_scale: f64::INFINITY, ..flux() },
            "guidance_scale is null, not a number from 0 up".to_owned(),
        ),
        (
            ImageRequest { strength: Some(1.5), ..flux() },
            "strength is 1.5, not from 0 (keep the picture) to 1 (ignore it)".to_owned(),
        ),
        (
            ImageRequest { strength: Some(f64::NAN), ..flux() },
            "strength is null, not from 0 (keep the picture) to 1 (ignore it)".to_owned(),
        ),
        (ImageRequest { source_image_url: Some(String::new()), ..flux() }, "source_image_url is empty".to_owned()),
        (
            picture("google/imagen-4"),
            "source_image_url: the model google/imagen-4 takes no picture".to_owned(),
        ),
        (
            picture("someone/some-model"),
            "source_image_url: the model someone/some-model is not in the catalogue, so how it takes a picture is unknown"
                .to_owned(),
        ),
        (model(""), format!("model_id \"\" {forms}")),
        (model("flux-schnell"), format!("model_id \"flux-schnell\" {forms}")),
        (model("a/b/c"), format!("model_id \"a/b/c\" {forms}")),
        (model("../flux"), format!("model_id \"../flux\" {forms}")),
        (model("owner/na\nme"), format!("model_id \"owner/na\\nme\" {forms}")),
        (model("owner/name:latest"), format!("model_id \"owner/name:latest\" {forms}")),
        (model(&format!("o/{}", "n".repeat(200))), format!("model_id \"o/{}\" {forms}", "n".repeat(98))),
        (
            ImageRequest { model_version: Some("latest".to_owned()), ..flux() },
            "model_version \"latest\" is not of 64 lowercase hex digits".to_owned(),
        ),
        (
            ImageRequest { model_version: Some("f".repeat(64)), ..model(&hex) },
            format!("model_version {} is not the version in model_id", "f".repeat(64)),
        ),
    ];
    for (request, message) in table {
        assert_eq!(build(&request, DEFAULT_SEED), Err(message));
    }
}
