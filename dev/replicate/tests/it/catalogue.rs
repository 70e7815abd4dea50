//! Every model of the data file can be asked for, and gives pictures of a size it may have.

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
