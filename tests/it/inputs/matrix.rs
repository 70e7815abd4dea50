//! Every model by every size by every kind of request, mapped by the catalogue and by the schema.

use std::io::Write as _;

use process_jobs::models::catalogue::MODELS;
use process_jobs::models::description::Model;
use process_jobs::models::request::ImageRequest;
use serde_json::Value;

use super::{DEFAULT_SEED, build, pictures, properties, published, request, schemas, sized, validator};

/// Square, landscape, portrait, odd, extreme, tiny and huge.
const SIZES: [(u32, u32); 15] = [
    (1024, 1024),
    (512, 512),
    (1920, 1080),
    (1080, 1920),
    (1366, 768),
    (832, 1216),
    (2560, 1080),
    (1000, 1001),
    (1365, 1024),
    (4096, 4096),
    (3, 2),
    (1, 1),
    (16_384, 16_384),
    (16_384, 100),
    (1, 16_384),
];

/// Jobs cannot carry what these need.
const REFUSED: [&str; 1] = ["openai/gpt-image-1"];

/// The requests of one size, and what each is.
fn requests(model: &Model<'_>, width: u32, height: u32) -> Vec<(&'static str, ImageRequest)> {
    let takes = model.pictures.as_ref().filter(|pictures| !pictures.mask);
    let needs = takes.is_some_and(|pictures| model.required.contains(&pictures.field));
    let plain = ImageRequest { source_image_urls: Some(pictures(needs.into())), ..sized(model.id, width, height) };
    let all = ImageRequest {
        negative_prompt: Some("blurred".to_owned()),
        model_version: model.version.map(str::to_owned),
        num_inference_steps: Some(30),
        guidance_scale: Some(7.5),
        seed: Some(42),
        output_format: Some("jpg".to_owned()),
        num_outputs: Some(4),
        ..plain.clone()
    };
    let mut requests = vec![
        ("plain", plain.clone()),
        ("no optional field", ImageRequest { width: None, height: None, ..plain.clone() }),
        ("seed 0", ImageRequest { seed: Some(0), ..plain.clone() }),
        ("all fields", all.clone()),
        (
            "the least",
            ImageRequest {
                num_inference_steps: Some(0),
                guidance_scale: Some(0.0),
                seed: Some(-1),
                num_outputs: Some(1),
                ..plain.clone()
            },
        ),
        (
            "the most",
            ImageRequest {
                num_inference_steps: Some(u32::MAX),
                guidance_scale: Some(f64::MAX),
                seed: Some(i64::MAX),
                num_outputs: Some(10),
                ..plain
            },
        ),
    ];
    for format in ["png", "jpeg", "webp"] {
        requests.push(("a format", ImageRequest { output_format: Some(format.to_owned()), ..all.clone() }));
    }
    if let Some(takes) = takes {
        let most = if takes.list { takes.most.unwrap_or(5) } else { 1 };
        for strength in [None, Some(0.0), Some(0.3), Some(1.0)] {
            requests.push(("img2img", ImageRequest { source_image_urls: Some(pictures(1)), strength, ..all.clone() }));
        }
        requests.push(("img2img", ImageRequest { source_image_urls: Some(pictures(most)), ..all.clone() }));
        let unsized_ = ImageRequest { width: None, height: None, source_image_urls: Some(pictures(most)), ..all };
        requests.push(("img2img without a size", unsized_));
    }
    requests
}

#[test]
fn no_model_rejects_its_input() {
    let schemas = schemas();
    let (mut by_catalogue, mut by_schema, mut rejected) = (0, 0, Vec::new());
    for model in MODELS.iter().filter(|model| !REFUSED.contains(&model.id)) {
        let (validator, published) = (validator(&schemas[model.id]), published(&schemas[model.id]));
        for (width, height) in SIZES {
            for (kind, request) in requests(model, width, height) {
                for (published, count) in [(None, &mut by_catalogue), (Some(&published), &mut by_schema)] {
                    let sent = build(&request, DEFAULT_SEED, published).unwrap();
                    let case = format!("{} {kind} {width}x{height} by schema {}", model.id, published.is_some());
                    if kind == "seed 0" && model.seed.is_some() {
                        assert_eq!(sent.input["seed"], 0, "{case}");
                    }
                    let input = Value::Object(sent.input);
                    rejected.extend(validator.iter_errors(&input).map(|error| format!("{case}: {error}: {input}")));
                    *count += 1;
                }
            }
        }
    }
    // Not with println, which tests that pass do not show.
    writeln!(
        std::io::stderr(),
        "{by_catalogue} inputs by the catalogue and {by_schema} by the schema for {} models, {} rejected",
        MODELS.len() - REFUSED.len(),
        rejected.len()
    )
    .unwrap();
    assert_eq!(rejected, Vec::<String>::new());
}

#[test]
fn the_ratio_sent_is_the_best_the_model_allows() {
    let schemas = schemas();
    for model in MODELS.iter().filter(|model| !REFUSED.contains(&model.id)) {
        let (schema, published) = (&schemas[model.id], published(&schemas[model.id]));
        for (width, height) in SIZES {
            let request = ImageRequest {
                source_image_urls: Some(pictures(model.required.contains(&"image").into())),
                ..sized(model.id, width, height)
            };
            for published in [None, Some(&published)] {
                let input = Value::Object(build(&request, DEFAULT_SEED, published).unwrap().input);
                let wanted = ratio(width, height);
                let case = format!("{} at {width}x{height}: {input}", model.id);
                if let Some(name) = ["aspect_ratio", "size", "resolution"].iter().find_map(|field| shape(&input[field]))
                {
                    let best = shapes(schema).into_iter().map(|found| (found - wanted).abs()).fold(f64::MAX, f64::min);
                    assert!((name - wanted).abs() <= best + 1e-9, "{case}");
                } else if input["width"].is_u64() {
                    let limit = |key: &str, otherwise| properties(schema)["width"][key].as_u64().unwrap_or(otherwise);
                    let pixels = model.size.pixels.as_ref().unwrap();
                    let (min, max) = (limit("minimum", pixels.min.into()), limit("maximum", pixels.max.into()));
                    let [width_sent, height_sent] =
                        ["width", "height"].map(|side| input[side].as_u64().unwrap() as u32);
                    let widest = ratio(max as u32, min as u32);
                    let half_a_step = f64::from(pixels.step) / 2.0;
                    let rounding = half_a_step / f64::from(width_sent) + half_a_step / f64::from(height_sent);
                    let apart = (ratio(width_sent, height_sent) - wanted.clamp(-widest, widest)).abs();
                    assert!(apart <= rounding * 1.1, "{case}");
                    let takes = |side: u32| (min..=max).contains(&side.into()) && side.is_multiple_of(pixels.step);
                    if takes(width) && takes(height) {
                        assert_eq!((width_sent, height_sent), (width, height), "{case}");
                    }
                } else {
                    // The size follows the picture, or, in a schema without values, is the model's own.
                    assert!(["qwen/qwen-image-edit", "recraft-ai/recraft-v4-pro"].contains(&model.id), "{case}");
                }
            }
        }
    }
}

fn ratio(width: u32, height: u32) -> f64 {
    (f64::from(width) / f64::from(height)).ln()
}

/// The ratio that a value such as `16:9` or `1024x768` stands for.
fn shape(value: &Value) -> Option<f64> {
    let text = value.as_str()?;
    let (width, height) = text.split_once(':').or_else(|| text.split_once('x'))?;
    Some(ratio(width.parse().ok()?, height.parse().ok()?))
}

/// All ratios that the schema has values for.
fn shapes(schema: &Value) -> Vec<f64> {
    let of_field = |property: &Value| {
        let values = property["enum"].as_array().or_else(|| property["seen"]["enum"].as_array());
        let default = shape(&property["default"]);
        values.into_iter().flatten().filter_map(shape).chain(default).collect::<Vec<_>>()
    };
    ["aspect_ratio", "size", "resolution"]
        .iter()
        .filter_map(|field| properties(schema).get(*field))
        .flat_map(of_field)
        .collect()
}

#[test]
fn a_model_that_needs_more_than_a_job_carries_is_refused_with_the_reason() {
    for id in REFUSED {
        let refusal = "model_id: the model openai/gpt-image-1 needs openai_api_key, which the job does not give";
        assert_eq!(build(&request(id), DEFAULT_SEED, None), Err(refusal.to_owned()));
        assert_eq!(build(&request(id), DEFAULT_SEED, Some(&published(&schemas()[id]))), Err(refusal.to_owned()));
    }
}
