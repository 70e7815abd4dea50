//! What a create must look like, and how a wrong one is refused: bodies word for word.

use serde_json::{Value, json};

use crate::{Api, SCHNELL, SDXL, SDXL_VERSION, send};

#[tokio::test(start_paused = true)]
async fn a_model_instead_of_a_version_is_refused_in_the_published_words() {
    let api = Api::start().await;
    let answer = send(api.post("/predictions").json(&json!({"model": SCHNELL, "input": {"prompt": "a cat"}}))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({
            "detail": "- version is required\n- Additional property model is not allowed\n",
            "status": 422,
            "title": "Input validation failed",
            "invalid_fields": [
                {"type": "required", "field": "", "description": "version is required"},
                {"type": "additional_property_not_allowed", "field": "", "description": "Additional property model is not allowed"},
            ],
        })
    );
    assert!(api.server.predictions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn inputs_are_refused_in_the_words_of_the_schema_validator() {
    let api = Api::start().await;
    let cases: [(&str, Value, &str, &str, &str); 13] = [
        (SCHNELL, json!({}), "required", "input", "prompt is required"),
        (
            SCHNELL,
            json!({"prompt": 7}),
            "invalid_type",
            "input.prompt",
            "Invalid type. Expected: string, given: integer",
        ),
        (
            SCHNELL,
            json!({"prompt": null}),
            "invalid_type",
            "input.prompt",
            "Invalid type. Expected: string, given: null",
        ),
        (
            SCHNELL,
            json!({"prompt": "a", "seed": null}),
            "invalid_type",
            "input.seed",
            "Invalid type. Expected: integer, given: null",
        ),
        (
            SCHNELL,
            json!({"prompt": "a", "seed": 1.5}),
            "invalid_type",
            "input.seed",
            "Invalid type. Expected: integer, given: number",
        ),
        (
            SCHNELL,
            json!({"prompt": "a", "go_fast": "yes"}),
            "invalid_type",
            "input.go_fast",
            "Invalid type. Expected: boolean, given: string",
        ),
        (
            SCHNELL,
            json!({"prompt": "a", "num_inference_steps": 28}),
            "number_lte",
            "input.num_inference_steps",
            "Must be less than or equal to 4",
        ),
        (
            SCHNELL,
            json!({"prompt": "a", "num_outputs": 0}),
            "number_gte",
            "input.num_outputs",
            "Must be greater than or equal to 1",
        ),
        (
            "google/imagen-4-fast",
            json!({"prompt": "a", "output_format": "webp"}),
            "enum",
            "input.output_format",
            r#"output_format must be one of the following: "jpg", "png""#,
        ),
        (
            "bytedance/seedream-4",
            json!({"prompt": "a", "size": "2K", "width": 768}),
            "number_gte",
            "input.width",
            "Must be greater than or equal to 1024",
        ),
        (
            "bytedance/seedream-4",
            json!({"prompt": "a", "image_input": [7]}),
            "invalid_type",
            "input.image_input.0",
            "Invalid type. Expected: string, given: integer",
        ),
        (
            "qwen/qwen-image",
            json!({"prompt": "a", "image": "not a url"}),
            "format",
            "input.image",
            "Does not match format 'uri'",
        ),
        (
            "black-forest-labs/flux-2-flex",
            json!({"prompt": "a", "guidance": 1}),
            "number_gte",
            "input.guidance",
            "Must be greater than or equal to 1.5",
        ),
    ];
    for (model, input, kind, field, description) in cases {
        let answer = api.create(model, input.clone()).await;
        assert_eq!(
            (answer.status, answer.json()),
            (
                422,
                json!({
                    "detail": format!("- {field}: {description}\n"),
                    "status": 422,
                    "title": "Input validation failed",
                    "invalid_fields": [{"type": kind, "field": field, "description": description}],
                })
            ),
            "{model} {input}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_input_that_is_no_object_is_refused_by_the_envelope() {
    let api = Api::start().await;
    let answer = api.create(SCHNELL, json!("a cat")).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"], "- input: Invalid type. Expected: object, given: string\n");
}

#[tokio::test(start_paused = true)]
async fn webhooks_are_part_of_the_envelope() {
    let api = Api::start().await;
    let body = |events: Value| json!({"version": SCHNELL, "input": {"prompt": "a"}, "webhook": "https://example.com/", "webhook_events_filter": events});
    assert_eq!(send(api.post("/predictions").json(&body(json!(["start", "completed"])))).await.status, 201);
    let answer = send(api.post("/predictions").json(&body(json!(["end"])))).await;
    assert_eq!(
        answer.json()["detail"],
        "- webhook_events_filter.0: webhook_events_filter.0 must be one of the following: \"start\", \"output\", \"logs\", \"completed\"\n"
    );
}

#[tokio::test(start_paused = true)]
async fn null_is_taken_where_the_schema_says_so_and_whole_numbers_are_integers() {
    let api = Api::start().await;
    api.created("qwen/qwen-image", json!({"prompt": "a", "seed": null})).await;
    api.created(SCHNELL, json!({"prompt": "a", "seed": 4.0})).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_inputs_are_dropped() {
    let api = Api::start().await;
    let id = api.created(SCHNELL, json!({"prompt": "a", "guidance": 7.5, "seed": 0})).await;
    assert_eq!(api.prediction(&id).await["input"], json!({"prompt": "a", "seed": 0}));
}

#[tokio::test(start_paused = true)]
async fn versions_are_found_in_their_three_forms() {
    let api = Api::start().await;
    let named = format!("{SDXL}:{SDXL_VERSION}");
    let other = "0".repeat(64);
    let unknown = format!("{SDXL}:{other}");
    let elsewhere = format!("{SCHNELL}:{SDXL_VERSION}");
    for (version, status, shown) in [
        (SCHNELL, 201, "hidden"),
        (named.as_str(), 201, SDXL_VERSION),
        (SDXL_VERSION, 201, SDXL_VERSION),
        (SDXL, 422, "Invalid version or not permitted"),
        (other.as_str(), 422, "Invalid version or not permitted"),
        (unknown.as_str(), 422, "Invalid version or not permitted"),
        (elsewhere.as_str(), 422, "Invalid version or not permitted"),
        ("sdxl", 422, "Invalid version or not permitted"),
        ("nobody/nothing", 404, "Not Found"),
    ] {
        let answer = api.create(version, json!({"prompt": "a"})).await;
        let body = answer.json();
        let said = if answer.status == 201 { &body["version"] } else { &body["title"] };
        assert_eq!((answer.status, said.as_str()), (status, Some(shown)), "{version}");
    }
    assert_eq!(
        api.create(&other, json!({"prompt": "a"})).await.json(),
        json!({
            "title": "Invalid version or not permitted",
            "detail": "The specified version does not exist (or perhaps you don't have permission to use it?)",
            "status": 422,
        })
    );
}

#[tokio::test(start_paused = true)]
async fn official_models_have_an_endpoint_of_their_own() {
    let api = Api::start().await;
    let body = json!({"input": {"prompt": "a"}});
    let answer = send(api.post(&format!("/models/{SCHNELL}/predictions")).json(&body)).await;
    assert_eq!((answer.status, answer.json()["model"].as_str()), (201, Some(SCHNELL)));
    assert_eq!(send(api.post(&format!("/models/{SDXL}/predictions")).json(&body)).await.status, 404);
    let with_version = json!({"version": SCHNELL, "input": {"prompt": "a"}});
    let answer = send(api.post(&format!("/models/{SCHNELL}/predictions")).json(&with_version)).await;
    assert_eq!(answer.json()["detail"], "- Additional property version is not allowed\n");
}

#[tokio::test(start_paused = true)]
async fn a_new_prediction_has_every_required_field_and_a_location() {
    let api = Api::start().await;
    let answer = api.create(SCHNELL, json!({"prompt": "a"})).await;
    let prediction = answer.json();
    for field in ["id", "model", "version", "input", "output", "data_removed", "error", "status", "created_at", "urls"]
    {
        assert!(prediction.get(field).is_some(), "{field} is missing in {prediction}");
    }
    let id = prediction["id"].as_str().expect("id");
    let get = format!("{}/predictions/{id}", api.server.api_url());
    assert_eq!(answer.location.as_deref(), Some(get.as_str()));
    assert_eq!(
        prediction["urls"],
        json!({"web": format!("https://replicate.com/p/{id}"), "get": get, "cancel": format!("{get}/cancel")})
    );
    assert_eq!(
        (&prediction["status"], &prediction["output"], &prediction["error"]),
        (&json!("starting"), &Value::Null, &Value::Null)
    );
    assert_eq!(id.len(), 26);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_token_is_401() {
    let api = Api::start().await;
    let url = format!("{}/account", api.server.api_url());
    let requests = [
        api.client.get(&url),
        api.client.get(&url).bearer_auth("r8_other"),
        api.client.get(&url).header("authorization", format!("Token {}", crate::TOKEN)),
    ];
    for request in requests {
        let answer = send(request).await;
        assert_eq!((answer.status, answer.json()["status"].as_u64()), (401, Some(401)));
    }
    assert_eq!(api.get("/account").await.json()["type"], "organization");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_json_is_400() {
    let api = Api::start().await;
    assert_eq!(send(api.post("/predictions").body("{")).await.status, 400);
}
