//! Every model of the data file can be asked for, and gives pictures of a size it may have.

use std::collections::HashMap;

use replicate_stand_in::Options;
use serde_json::json;

use crate::{Api, SCHNELL, SDXL, SDXL_VERSION};

fn models() -> Vec<serde_json::Value> {
    let data: serde_json::Value = serde_json::from_str(include_str!("../../models.json")).expect("models.json");
    data["models"].as_array().expect("models").clone()
}

#[tokio::test(start_paused = true)]
async fn a_model_shows_its_schema_and_version() {
    let api = Api::start().await;
    let model = api.get(&format!("/models/{SDXL}")).await.json();
    assert_eq!(
        (&model["owner"], &model["name"], &model["latest_version"]["id"]),
        (&json!("stability-ai"), &json!("sdxl"), &json!(SDXL_VERSION))
    );
    let schemas = api.get(&format!("/models/{SCHNELL}")).await.json()["latest_version"]["openapi_schema"]["components"]
        ["schemas"]
        .clone();
    assert_eq!(schemas["Input"]["required"], json!(["prompt"]));
    assert_eq!(schemas["Input"]["properties"]["num_inference_steps"]["maximum"], 4);
    assert_eq!(schemas["Output"]["type"], "array");
    let ratio = &schemas["Input"]["properties"]["aspect_ratio"];
    assert_eq!(
        (&ratio["allOf"][0]["$ref"], &ratio["default"]),
        (&json!("#/components/schemas/aspect_ratio"), &json!("1:1"))
    );
    assert_eq!(schemas["aspect_ratio"]["enum"][1], "16:9");
    assert_eq!(api.get("/models/nobody/nothing").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn every_model_runs_with_its_required_inputs_and_gives_its_shape_of_output() {
    let api = Api::start().await;
    assert_eq!(models().len(), 36);
    for model in models() {
        let id = model["id"].as_str().expect("id");
        let mut input = json!({"prompt": "a"});
        for required in model["required"].as_array().expect("required").iter().filter_map(|name| name.as_str()) {
            input[required] = match model["inputs"][required]["type"].as_str() {
                Some("array") => json!(["https://example.com/a.png"]),
                Some(_) | None => json!("https://example.com/a.png"),
            };
        }
        let version = if model["official"] == true { id } else { model["version"].as_str().expect("version") };
        let output = api.finished(version, input).await["output"].clone();
        let url = if model["output"] == "array" { &output[0] } else { &output };
        assert!(url.as_str().is_some_and(|url| url.starts_with(&api.server.files_url())), "{id}: {output}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_gets_new_inputs_and_a_new_one_is_added() {
    let inputs = |steps: u32| {
        let inputs = json!({"prompt": {"type": "string"}, "steps": {"type": "integer", "maximum": steps}});
        inputs.as_object().expect("an object").clone()
    };
    let published = HashMap::from([(SCHNELL.to_owned(), inputs(8)), ("some/body".to_owned(), inputs(9))]);
    let api = Api::with(Options { published, ..Options::default() }).await;
    for (model, most) in [(SCHNELL, 8), ("some/body", 9)] {
        let shown = api.get(&format!("/models/{model}")).await.json();
        assert_eq!(
            shown["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]["properties"]["steps"]["maximum"],
            most
        );
        let version = match shown["is_official"] == true {
            true => model.to_owned(),
            false => format!("{model}:{}", shown["latest_version"]["id"].as_str().expect("a version")),
        };
        assert_eq!(api.create(&version, json!({"prompt": "a", "steps": most})).await.status, 201);
        assert_eq!(api.create(&version, json!({"prompt": "a", "steps": most + 1})).await.status, 422);
    }
    assert_eq!(api.create("some/body", json!({"prompt": "a"})).await.status, 422, "it is called by its version");
    let version = api.get(&format!("/models/{SDXL}/versions/{SDXL_VERSION}")).await.json();
    assert_eq!(version["id"], SDXL_VERSION);
    assert!(version["openapi_schema"]["components"]["schemas"]["Input"]["properties"]["width"].is_object());
    assert_eq!(api.get(&format!("/models/{SCHNELL}/versions/{SDXL_VERSION}")).await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_model_makes_as_many_as_it_is_asked_for_in_its_own_way() {
    let api = Api::start().await;
    let table = [
        (SCHNELL, json!({"num_outputs": 3}), 3),
        ("openai/gpt-image-1.5", json!({"number_of_images": 2}), 2),
        ("bytedance/seedream-4", json!({"max_images": 3, "sequential_image_generation": "auto"}), 3),
        ("bytedance/seedream-4", json!({"max_images": 3}), 1),
    ];
    for (model, mut input, count) in table {
        input["prompt"] = json!("a");
        let output = api.finished(model, input.clone()).await["output"].clone();
        assert_eq!(output.as_array().map(Vec::len), Some(count), "{model} {input}");
    }
}
