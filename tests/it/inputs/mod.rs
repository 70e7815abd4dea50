//! What each model is sent: always something its schema takes, and as near to the request as it can
//! be. `fixtures/model_schemas.json` has what is published of each model's input schema. Where a copy leaves a
//! limit to prose, it is under `described`; where it lacks values that are known from elsewhere, they
//! are under `seen`. Of each model without a field for the output's format it says what the model `produces`.

mod catalogue;
mod exact;
mod matrix;
mod page;
mod published;
mod refusals;

use std::collections::BTreeMap;

use jsonschema::Validator;
use process_jobs::models::input::{self, ModelInput};
use process_jobs::models::request::{ImageRequest, Request};
use serde_json::{Map, Value, json};

const DEFAULT_SEED: u32 = 2_000_000_000;
const PICTURE: &str = "https://example.supabase.co/storage/v1/object/sign/source.png?token=t";

fn schemas() -> BTreeMap<String, Value> {
    let schemas: Vec<Value> = serde_json::from_str(include_str!("../../fixtures/model_schemas.json")).unwrap();
    schemas.into_iter().map(|schema| (schema["id"].as_str().unwrap().to_owned(), schema)).collect()
}

fn properties(schema: &Value) -> &Map<String, Value> {
    schema["properties"].as_object().unwrap()
}

/// The property with what is under these of its keys.
fn with(property: &Value, keys: &[&str]) -> Map<String, Value> {
    let mut whole = property.as_object().unwrap().clone();
    for key in ["described", "seen"] {
        let more = whole.remove(key);
        if let (true, Some(Value::Object(more))) = (keys.contains(&key), more) {
            whole.extend(more);
        }
    }
    whole
}

/// Strict where Replicate is not: it drops fields it does not know, which would hide a wrong name.
fn validator(schema: &Value) -> Validator {
    let known = |(field, property): (&String, &Value)| (field.clone(), json!(with(property, &["described", "seen"])));
    let strict = json!({
        "type": "object",
        "required": schema["required"],
        "properties": properties(schema).iter().map(known).collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    jsonschema::options().should_validate_formats(true).build(&strict).unwrap()
}

/// The schema as Replicate publishes it: enums lie apart, null is a word beside the type, limits that are
/// only described are lost.
fn published(schema: &Value) -> Value {
    let mut schemas = Map::new();
    let mut inputs = Map::new();
    for (order, (field, property)) in properties(schema).iter().enumerate() {
        let mut property = with(property, &["seen"]);
        if let Some([kind, _]) = property["type"].as_array().map(Vec::as_slice) {
            property = property.clone().into_iter().chain([("type".to_owned(), kind.clone())]).collect();
            property.insert("nullable".to_owned(), json!(true));
        }
        if let Some(values) = property.remove("enum") {
            let kind = property.remove("type");
            schemas.insert(
                field.clone(),
                json!({ "title": field, "description": "An enumeration.", "type": kind, "enum": values }),
            );
            let path = format!("#/components/schemas/{field}");
            property.insert("allOf".to_owned(), json!([{ "$ref": path }]));
        } else {
            property.insert("title".to_owned(), json!(field));
        }
        property.insert("description".to_owned(), json!("Words."));
        property.insert("x-order".to_owned(), json!(order));
        inputs.insert(field.clone(), Value::Object(property));
    }
    schemas.insert(
        "Input".to_owned(),
        json!({ "type": "object", "title": "Input", "required": schema["required"], "properties": inputs }),
    );
    json!({ "openapi": "3.0.2", "info": { "title": "Cog", "version": "0.1.0" }, "components": { "schemas": schemas } })
}

/// What a job without any optional field asks for.
fn request(model_id: &str) -> ImageRequest {
    ImageRequest { prompt: "a red fox".to_owned(), model_id: model_id.to_owned(), ..ImageRequest::default() }
}

fn sized(model_id: &str, width: u32, height: u32) -> ImageRequest {
    ImageRequest { width: Some(width), height: Some(height), ..request(model_id) }
}

fn pictures(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("{PICTURE}{number}")).collect()
}

fn build(request: &ImageRequest, default_seed: u32, published: Option<&Value>) -> Result<ModelInput, String> {
    input::build(&Request::new(request.clone(), default_seed)?, published)
}

fn sent(request: &ImageRequest) -> ModelInput {
    build(request, DEFAULT_SEED, None).unwrap()
}
