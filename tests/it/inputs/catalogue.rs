//! The catalogue says what the schemas say.

use std::collections::BTreeSet;

use process_jobs::models::catalogue::{self, MODELS};
use process_jobs::models::description::Model;
use process_jobs::models::request::{is_name, is_version};
use process_jobs::models::schema;
use serde_json::{Value, json};

use super::{properties, published, schemas};

#[test]
fn the_catalogue_has_every_model_of_the_schemas_once() {
    let ids: BTreeSet<&str> = MODELS.iter().map(|model| model.id).collect();
    assert_eq!(ids.len(), MODELS.len(), "an id is there twice");
    assert_eq!(ids, schemas().keys().map(String::as_str).collect());
    for model in MODELS {
        assert_eq!(catalogue::find(model.id).unwrap().id, model.id);
    }
}

/// What the types of an entry do not say.
#[test]
fn every_entry_is_sound() {
    for model in MODELS {
        let id = model.id;
        assert!(is_name(id), "{id}");
        assert!(model.version.is_none_or(is_version), "{id}: version");
        if let Some(pixels) = &model.size.pixels {
            assert!(pixels.min <= pixels.max, "{id}: pixels");
            assert!([pixels.min, pixels.max].iter().all(|side| side.is_multiple_of(pixels.step)), "{id}: step");
        }
        let strength = model.pictures.as_ref().and_then(|pictures| pictures.strength.as_ref());
        let ranges = [model.steps.as_ref(), model.guidance.as_ref(), strength.map(|strength| &strength.range)];
        assert!(ranges.into_iter().flatten().all(|range| range.min <= range.max), "{id}: a range");
        assert!(model.formats.iter().all(|format| ["png", "jpg", "jpeg", "webp"].contains(format)), "{id}: formats");
        assert!(model.outputs.as_ref().is_none_or(|outputs| outputs.max > 0), "{id}: outputs");
    }
}

/// What is read from a schema at run time is the entry that was written by hand, but for what the copies of the
/// schemas leave open: there the catalogue is careful, and the schema takes all.
#[test]
fn an_entry_is_what_its_schema_says() {
    let schemas = schemas();
    let mut different = Vec::new();
    for model in MODELS {
        let published = published(&schemas[model.id]);
        let derived = schema::read(model.id, &published, Some(model)).unwrap();
        let parts = parts(model).into_iter().zip(self::parts(&derived));
        different.extend(parts.filter(|(a, b)| a.1 != b.1).map(|(a, _)| format!("{} {}", model.id, a.0)));
        assert_eq!(json!(model.version), schemas[model.id]["version"], "{}", model.id);
    }
    let open = [
        "bytedance/seedream-4.5 size",    // 4K is announced, but in no copy
        "recraft-ai/recraft-v4-pro size", // the values are in no copy
        "black-forest-labs/flux-2-flex steps",
        "prunaai/z-image-turbo steps",
        "prunaai/z-image-turbo guidance",
    ];
    assert_eq!(different, open);
}

fn parts(model: &Model<'_>) -> [(&'static str, String); 10] {
    let mut presets = Vec::new();
    if let Some(preset) = &model.size.preset {
        presets.extend(preset.pixels.iter().map(|pixels| (preset.field, *pixels)));
        presets.sort();
    }
    let size = (&model.size.pixels, &model.size.ratios, &model.size.named, presets, model.size.matching);
    let formats: BTreeSet<_> = model.formats.iter().collect();
    [
        ("prompt", format!("{:?}", model.prompt)),
        ("size", format!("{size:?}")),
        ("steps", format!("{:?}", model.steps)),
        ("guidance", format!("{:?}", model.guidance)),
        ("negative_prompt", format!("{:?}", model.negative_prompt)),
        ("seed", format!("{:?}", model.seed)),
        ("formats", format!("{formats:?}")),
        ("outputs", format!("{:?}", model.outputs)),
        ("pictures", format!("{:?}", model.pictures)),
        ("required", format!("{:?}", model.required)),
    ]
}

#[test]
fn every_model_gives_a_format_that_can_be_stored() {
    for (id, schema) in schemas() {
        let format = match properties(&schema).get("output_format") {
            Some(property) => property.get("default").unwrap_or(&property["seen"]["default"]).clone(),
            None => schema["produces"].clone(),
        };
        // Of two models it is known only that they give a picture.
        if format == Value::Null {
            assert!(id.starts_with("recraft-ai/recraft-v4"), "{id}");
            continue;
        }
        for format in format.as_str().unwrap().split(" or ") {
            assert!(["png", "jpg", "jpeg", "webp", "gif", "avif", "svg"].contains(&format), "{id}: {format}");
        }
    }
}
