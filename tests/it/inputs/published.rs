//! Schemas drift. What is sent follows the one that is published, whatever the catalogue says.

use process_jobs::models::input::ModelInput;
use process_jobs::models::request::ImageRequest;
use serde_json::{Value, json};

use super::{DEFAULT_SEED, PICTURE, build, pictures, published, request, schemas, sized};

const FLUX: &str = "black-forest-labs/flux-dev";

/// The published schema of a model, and its inputs and enums to change.
struct Drifted(Value);

impl Drifted {
    fn of(model_id: &str) -> Drifted {
        Drifted(published(&schemas()[model_id]))
    }

    fn from(properties: Value) -> Drifted {
        Drifted(json!({ "components": { "schemas": { "Input": { "properties": properties } } } }))
    }

    fn put(mut self, field: &str, property: Value) -> Drifted {
        self.0["components"]["schemas"]["Input"]["properties"][field] = property;
        self
    }

    fn without(mut self, field: &str) -> Drifted {
        self.0["components"]["schemas"]["Input"]["properties"].as_object_mut().unwrap().remove(field);
        self
    }

    fn put_enum(mut self, field: &str, values: Value) -> Drifted {
        self.0["components"]["schemas"][field]["enum"] = values;
        self
    }

    fn require(mut self, fields: Value) -> Drifted {
        self.0["components"]["schemas"]["Input"]["required"] = fields;
        self
    }

    fn sent(&self, request: &ImageRequest) -> ModelInput {
        build(request, DEFAULT_SEED, Some(&self.0)).unwrap()
    }
}

fn wishes(model_id: &str) -> ImageRequest {
    ImageRequest {
        num_inference_steps: Some(30),
        guidance_scale: Some(7.5),
        seed: Some(0),
        source_image_urls: Some(vec![PICTURE.to_owned()]),
        strength: Some(0.3),
        ..sized(model_id, 1920, 1080)
    }
}

#[test]
fn a_ratio_that_is_gone_is_not_sent() {
    let drifted = Drifted::of(FLUX).put_enum("aspect_ratio", json!(["1:1", "3:2", "21:9"]));
    assert_eq!(drifted.sent(&sized(FLUX, 1920, 1080)).input["aspect_ratio"], "3:2");
}

#[test]
fn a_renamed_field_is_known_by_its_new_name() {
    let drifted = Drifted::of(FLUX)
        .without("num_inference_steps")
        .put("steps", json!({ "type": "integer", "minimum": 1, "maximum": 20 }))
        .without("guidance")
        .put("cfg_scale", json!({ "type": "integer", "minimum": 1, "maximum": 5 }))
        .without("image")
        .put("input_image", json!({ "type": "string", "format": "uri" }))
        .without("prompt_strength")
        .put("image_prompt_strength", json!({ "type": "number", "minimum": 0, "maximum": 0.5 }));
    let sent = drifted.sent(&wishes(FLUX));
    assert_eq!(
        Value::Object(sent.input),
        json!({
            "prompt": "a red fox", "aspect_ratio": "16:9", "megapixels": "1", "steps": 20, "cfg_scale": 5, "seed": 0,
            "input_image": PICTURE, "image_prompt_strength": 0.5,
        })
    );
    assert_eq!(sent.source_field.as_deref(), Some("input_image"));
    assert_eq!(
        sent.adjustments,
        [
            "width 1920 x height 1080 -> aspect_ratio 16:9, megapixels 1",
            "num_inference_steps 30 -> 20",
            "guidance_scale 7.5 -> 5",
            "strength 0.3 -> image_prompt_strength 0.5",
        ]
    );
}

#[test]
fn a_range_that_is_narrower_is_kept() {
    let drifted = Drifted::of(FLUX)
        .put("num_inference_steps", json!({ "type": "integer", "minimum": 1, "maximum": 8 }))
        .put("guidance", json!({ "type": "number", "minimum": 0, "maximum": 3.5 }))
        .put("seed", json!({ "type": "integer", "minimum": 1, "maximum": 9 }))
        .put("prompt_strength", json!({ "type": "number", "minimum": 0.5, "maximum": 1 }))
        .put("num_outputs", json!({ "type": "integer", "minimum": 1, "maximum": 2 }));
    let input = drifted.sent(&ImageRequest { num_outputs: Some(4), ..wishes(FLUX) }).input;
    let numbers = ["num_inference_steps", "guidance", "seed", "prompt_strength", "num_outputs"];
    assert_eq!(numbers.map(|field| input[field].to_string()), ["8", "3.5", "1", "0.5", "2"]);

    let lightning = "bytedance/sdxl-lightning-4step";
    let side = json!({ "type": "integer", "minimum": 500, "maximum": 1000, "multipleOf": 16 });
    let drifted = Drifted::of(lightning).put("width", side.clone()).put("height", side);
    let input = drifted.sent(&sized(lightning, 1920, 1080)).input;
    assert_eq!((&input["width"], &input["height"]), (&json!(992), &json!(560)));
    let input = drifted.sent(&sized(lightning, 100, 100)).input;
    assert_eq!((&input["width"], &input["height"]), (&json!(512), &json!(512)));
}

#[test]
fn a_field_that_is_gone_is_not_sent() {
    let gone = ["num_inference_steps", "guidance", "seed", "prompt_strength", "megapixels", "output_format"];
    let drifted = gone.into_iter().fold(Drifted::of(FLUX), Drifted::without);
    let sent = drifted.sent(&ImageRequest { output_format: Some("png".to_owned()), ..wishes(FLUX) });
    assert_eq!(Value::Object(sent.input), json!({ "prompt": "a red fox", "image": PICTURE }));
    assert_eq!(sent.adjustments.len(), 6, "{:?}", sent.adjustments);
    assert!(!drifted.sent(&request(FLUX)).input.contains_key("seed"));
}

#[test]
fn the_type_of_the_field_for_pictures_is_followed() {
    let list = json!({ "type": "array", "maxItems": 2, "items": { "type": "string", "format": "uri" } });
    let drifted = Drifted::of(FLUX).put("image", list);
    assert_eq!(drifted.sent(&wishes(FLUX)).input["image"], json!([PICTURE]));
    let two = ImageRequest { source_image_urls: Some(pictures(2)), ..request(FLUX) };
    assert_eq!(drifted.sent(&two).input["image"], json!(pictures(2)));
    let three = ImageRequest { source_image_urls: Some(pictures(3)), ..request(FLUX) };
    assert_eq!(
        build(&three, DEFAULT_SEED, Some(&drifted.0)),
        Err("source_image_urls: the model black-forest-labs/flux-dev takes 2 at most, and there are 3".to_owned())
    );
    let plus = "qwen/qwen-image-edit-plus";
    let drifted = Drifted::of(plus).put("image", json!({ "type": "string", "format": "uri" }));
    assert_eq!(drifted.sent(&wishes(plus)).input["image"], PICTURE);
}

#[test]
fn an_enum_is_found_wherever_it_lies() {
    let values = json!(["1:1", "16:9"]);
    let path = "#/components/schemas/aspect_ratio";
    let forms = [
        json!({ "enum": values, "type": "string" }),
        json!({ "$ref": path }),
        json!({ "allOf": [{ "$ref": path }], "default": "1:1" }),
        json!({ "anyOf": [{ "type": "null" }, { "$ref": path }], "nullable": true }),
        json!({ "anyOf": [{ "allOf": [{ "$ref": path }] }, { "type": "null" }] }),
    ];
    for form in forms {
        let drifted = Drifted::of(FLUX).put("aspect_ratio", form.clone()).put_enum("aspect_ratio", values.clone());
        assert_eq!(drifted.sent(&sized(FLUX, 2000, 1000)).input["aspect_ratio"], "16:9", "{form}");
    }
}

#[test]
fn what_may_be_null_has_its_type_beside_it() {
    let drifted = Drifted::of(FLUX)
        .put("guidance", json!({ "anyOf": [{ "type": "null" }, { "type": "integer", "maximum": 5 }] }))
        .put("image", json!({ "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": "null" }] }));
    let input = drifted.sent(&wishes(FLUX)).input;
    assert_eq!((&input["guidance"], &input["image"]), (&json!(5), &json!([PICTURE])));
}

#[test]
fn a_size_is_told_in_whichever_way_the_schema_has() {
    let enumeration = |values: Value| json!({ "type": "string", "enum": values });
    let side = json!({ "type": "integer" });
    let table = [
        (json!({ "prompt": {} }), json!({})),
        (json!({ "width": side, "height": side }), json!({ "width": 1368, "height": 768 })),
        (
            json!({ "width": side, "height": side, "aspect_ratio": enumeration(json!(["1:1", "16:9"])) }),
            json!({ "aspect_ratio": "16:9" }),
        ),
        (
            json!({ "width": side, "height": side, "aspect_ratio": enumeration(json!(["1:1", "custom"])) }),
            json!({ "width": 1368, "height": 768, "aspect_ratio": "custom" }),
        ),
        (
            json!({ "width": side, "height": side, "size": enumeration(json!(["2K", "custom"])) }),
            json!({ "width": 1368, "height": 768, "size": "custom" }),
        ),
        (json!({ "size": enumeration(json!(["auto", "1024x1024", "1536x1024"])) }), json!({ "size": "1536x1024" })),
        (json!({ "size": enumeration(json!(["512x512", "1024x1024"])) }), json!({ "size": "1024x1024" })),
        (
            json!({
                "aspect_ratio": enumeration(json!(["match_input_image", "4:3", "16:9", "auto"])),
                "resolution": enumeration(json!(["match_input_image", "0.5 MP", "1 MP", "2 MP"])),
            }),
            json!({ "aspect_ratio": "16:9", "resolution": "1 MP" }),
        ),
        (json!({ "resolution": enumeration(json!(["1K", "2K", "4K"])) }), json!({ "resolution": "1K" })),
        (json!({ "megapixels": enumeration(json!(["0.25", "1", "4"])) }), json!({ "megapixels": "1" })),
        (json!({ "aspect_ratio": { "type": "string" }, "size": { "type": "string" } }), json!({})),
    ];
    for (properties, mut expected) in table {
        let drifted = Drifted::from(properties.clone()).put("prompt", json!({ "type": "string" }));
        let sent = drifted.sent(&sized("someone/new-model", 1366, 768));
        expected["prompt"] = json!("a red fox");
        assert_eq!(Value::Object(sent.input), expected, "{properties}");
    }
}

#[test]
fn a_model_that_nobody_knew_takes_pictures_by_its_schema() {
    let new = Drifted::of("qwen/qwen-image");
    let sent = new.sent(&ImageRequest { num_outputs: Some(1), ..wishes("someone/new-model") });
    assert_eq!(
        Value::Object(sent.input),
        json!({
            "prompt": "a red fox", "aspect_ratio": "16:9", "num_inference_steps": 30, "guidance": 7.5, "seed": 0,
            "image": PICTURE, "strength": 0.3,
        })
    );
    assert_eq!(sent.adjustments, ["width 1920 x height 1080 -> aspect_ratio 16:9"]);
}

#[test]
fn what_the_schema_requires_and_the_job_does_not_give_is_named() {
    let id = "someone/new-model";
    let drifted = Drifted::of(FLUX).require(json!(["prompt", "image", "mask"]));
    let refused = |request: &ImageRequest| build(request, DEFAULT_SEED, Some(&drifted.0)).unwrap_err();
    assert_eq!(
        refused(&request(id)),
        "source_image_url: the model someone/new-model needs a picture, and there is none"
    );
    assert_eq!(refused(&wishes(id)), "model_id: the model someone/new-model needs mask, which the job does not give");
}

#[test]
fn a_model_without_a_prompt_is_told_of() {
    let upscaler = Drifted::from(json!({ "image": { "type": "string", "format": "uri" } }));
    let sent = upscaler.sent(&ImageRequest { source_image_urls: Some(pictures(1)), ..request("someone/upscaler") });
    assert_eq!(Value::Object(sent.input), json!({ "image": pictures(1)[0] }));
    assert_eq!(sent.adjustments, ["prompt dropped: the model has no known field for it"]);
    let refused = build(&request("someone/upscaler"), DEFAULT_SEED, Some(&upscaler.0));
    assert_eq!(refused.unwrap_err(), "prompt: the model someone/upscaler has no known field for it");
}

/// As the models of the Stable Diffusion 1 and 2 families have them.
#[test]
fn values_that_are_listed_are_the_only_ones_sent() {
    let sides = json!({ "allOf": [{ "$ref": "#/components/schemas/sides" }] });
    let mut listed = Drifted::from(json!({
        "prompt": { "type": "string" }, "width": sides, "height": sides,
        "num_inference_steps": { "type": "integer", "enum": [1, 4, 8] },
    }));
    listed.0["components"]["schemas"]["sides"] = json!({ "type": "integer", "enum": [128, 576, 768, 1024] });
    let id = "someone/diffusion";
    for (asked, sent) in [((1920, 1080), (1024, 576)), ((1080, 1920), (576, 1024)), ((500, 500), (576, 576))] {
        let input = listed.sent(&sized(id, asked.0, asked.1)).input;
        assert_eq!((&input["width"], &input["height"]), (&json!(sent.0), &json!(sent.1)), "{asked:?}");
    }
    let input = listed.sent(&ImageRequest { num_inference_steps: Some(5), ..request(id) }).input;
    assert_eq!(Value::Object(input), json!({ "prompt": "a red fox", "num_inference_steps": 4 }), "its own size");
}

/// A size and an area under one name are one or the other.
#[test]
fn a_named_size_is_not_overwritten_by_an_area() {
    let size = json!({ "type": "string", "enum": ["1024x1024", "1536x1024", "2K", "4K"] });
    let drifted = Drifted::from(json!({ "prompt": { "type": "string" }, "size": size }));
    assert_eq!(drifted.sent(&sized("someone/new-model", 1536, 1024)).input["size"], "1536x1024");
}

#[test]
fn a_schema_that_cannot_be_read_leaves_it_to_the_catalogue() {
    let plain = json!({
        "prompt": "a red fox", "width": 1920, "height": 1080, "num_inference_steps": 30, "guidance_scale": 7.5,
        "seed": DEFAULT_SEED,
    });
    let circle = json!({ "$ref": "#/components/schemas/a", "allOf": [{ "$ref": "#/components/schemas/a" }] });
    let odd = [
        Value::Null,
        json!([1]),
        json!({ "components": 3 }),
        json!({ "components": { "schemas": { "Input": { "properties": [] } } } }),
    ];
    for odd in odd {
        let by_catalogue = build(&sized(FLUX, 1920, 1080), DEFAULT_SEED, None);
        assert_eq!(build(&sized(FLUX, 1920, 1080), DEFAULT_SEED, Some(&odd)), by_catalogue, "{odd}");
        let unknown = build(&sized("someone/some-model", 1920, 1080), DEFAULT_SEED, Some(&odd)).unwrap();
        assert_eq!(Value::Object(unknown.input), plain, "{odd}");
    }
    // Whatever else a schema says, it ends in an input.
    let properties = ["aspect_ratio", "width", "height", "seed", "image", "num_outputs", "output_format", "guidance"];
    for odd in [Value::Null, json!(1), json!({ "type": [] }), json!({ "enum": [1, null] }), circle.clone()] {
        let mut drifted =
            properties.into_iter().fold(Drifted::of(FLUX), |drifted, field| drifted.put(field, odd.clone()));
        drifted.0["components"]["schemas"]["a"] = circle.clone();
        drifted.sent(&ImageRequest { output_format: Some("png".to_owned()), ..wishes(FLUX) });
    }
    let limits = json!({ "type": "integer", "minimum": -5, "maximum": -9, "multipleOf": 0 });
    let drifted = properties.into_iter().fold(Drifted::of(FLUX), |drifted, field| drifted.put(field, limits.clone()));
    drifted.sent(&ImageRequest { num_outputs: Some(4), ..wishes(FLUX) });
}
