//! The build stops at an entry that does not fit, and says which and where.

#[path = "../../../build.rs"]
mod build;

use build::catalogue;
use serde_json::{Value, json};

#[test]
fn an_entry_that_does_not_fit_stops_the_build_with_its_model_and_field() {
    let entry = |changes: Value| {
        let mut entry = json!({
            "id": "o/n", "source": "the page", "confidence": "high", "size": { "aspect_ratio": ["1:1", "16:9"] },
        });
        entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!([entry]).to_string()
    };
    assert!(catalogue(&entry(json!({}))).is_ok());
    let refused = [
        (json!({ "id": "flux" }), "the model \"flux\": id: it is not owner/name"),
        (json!({ "source": null }), "the model \"o/n\": source: invalid type: null, expected a string"),
        (json!({ "source": "" }), "the model \"o/n\": source: it is empty"),
        (json!({ "confidence": "sure" }), "the model \"o/n\": confidence: it is not high, medium-high, medium or low"),
        (json!({ "version": "v2" }), "the model \"o/n\": version: it is not of 64 hex digits"),
        (json!({ "size": null }), "the model \"o/n\": size: invalid type: null, expected struct Size"),
        (json!({ "size": { "ratio": ["1:1"] } }), "the model \"o/n\": size: unknown field `ratio`"),
        (json!({ "size": { "aspect_ratio": ["16x9"] } }), "the model \"o/n\": size: \"16x9\" is not of the form"),
        (json!({ "size": { "aspect_ratio": ["0:1"] } }), "the model \"o/n\": size: \"0:1\" is not of the form"),
        (
            json!({ "size": { "pixels": { "min": 2, "max": 1, "step": 1 } } }),
            "the model \"o/n\": size: min is above max",
        ),
        (
            json!({ "size": { "pixels": { "min": 1, "max": 9, "step": 2 } } }),
            "the model \"o/n\": size: min and max are not multiples of step",
        ),
        (json!({ "steps": { "field": "steps", "min": 1 } }), "the model \"o/n\": steps: missing field `max`"),
        (
            json!({ "guidance": { "field": "cfg", "min": 2, "max": 1 } }),
            "the model \"o/n\": guidance: min is above max",
        ),
        (json!({ "seed": { "maxi": 1 } }), "the model \"o/n\": seed: unknown field `maxi`"),
        (json!({ "formats": ["gif"] }), "the model \"o/n\": formats: one is not png, jpg, jpeg or webp"),
        (json!({ "outputs": { "field": "n", "max": 0 } }), "the model \"o/n\": outputs: max is 0"),
        (json!({ "picture": {} }), "the model \"o/n\": picture: there is no such field"),
    ];
    for (changes, message) in refused {
        let error = catalogue(&entry(changes)).unwrap_err();
        assert!(error.starts_with(&format!("src/replicate/models.json: {message}")), "{error}");
    }
    let nameless = catalogue(r#"[{"source": "a", "confidence": "low", "size": {}}]"#).unwrap_err();
    assert!(nameless.starts_with("src/replicate/models.json: the entry number 1: id: "), "{nameless}");
    let one = entry(json!({}));
    let twice = catalogue(&format!("[{0},{0}]", &one[1..one.len() - 1])).unwrap_err();
    assert_eq!(twice, "src/replicate/models.json: the model \"o/n\": id: it is there twice");
}
