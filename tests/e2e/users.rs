//! The app's own users, over REST with nothing but their tokens.

use crate::support::*;
use local_stack::{Options, Stack};
use serde_json::{Value, json};

/// Signs a user up: their id and token.
async fn sign_up(stack: &Stack, name: &str) -> (String, String) {
    let session = stack.sign_up(&format!("{name}@app.example"), "correct horse battery").await.expect("Auth signs up");
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
    (text(&session["user"]["id"]), text(&session["access_token"]))
}

/// A call as supabase-js makes it for a signed-in user: status and body.
async fn call(stack: &Stack, token: &str, function: &str, arguments: Value) -> (u16, Value) {
    let url = format!("{}/rest/v1/rpc/{function}", stack.api_url());
    let request = reqwest::Client::new().post(url).header("apikey", stack.publishable_key()).bearer_auth(token);
    let answer = request.json(&arguments).send().await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    (
        status,
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{status}: {text}\n{}", stack.logs().unwrap_or_default())),
    )
}

fn request(options: Value) -> Value {
    json!({ "p_prompt": "a fox", "p_model_id": "black-forest-labs/flux-schnell", "p_options": options })
}

#[tokio::test]
async fn from_a_request_to_a_picture_of_ones_own() {
    let stack = start(Options::default()).await;
    let ((alice_id, alice), (bob_id, bob)) = (sign_up(&stack, "alice").await, sign_up(&stack, "bob").await);
    let (status, body) = call(&stack, &alice, "request_generation", request(json!({}))).await;
    assert_eq!((status, &body["code"]), (403, &json!("PT403")), "closed until an operator opens it: {body}");
    let limits = format!(
        "insert into user_limits (applies_to, max_open, max_priority) values ('all', 1, 0), ('user:{bob_id}', 2, 5)"
    );
    execute(&stack, &limits).await;

    let (status, made) =
        call(&stack, &alice, "request_generation", request(json!({ "width": 512, "idempotency_key": "k" }))).await;
    assert_eq!((status, &made["status"], &made["user_id"]), (200, &json!("queued"), &json!(alice_id)), "{made}");
    let id = made["id"].as_str().unwrap();
    let again =
        call(&stack, &alice, "request_generation", request(json!({ "width": 512, "idempotency_key": "k" }))).await;
    assert_eq!((again.0, &again.1["id"]), (200, &made["id"]));
    let (status, body) =
        call(&stack, &alice, "request_generation", request(json!({ "width": 256, "idempotency_key": "k" }))).await;
    assert_eq!((status, &body["code"]), (409, &json!("PT409")), "{body}");
    let (status, body) = call(&stack, &alice, "request_generation", request(json!({}))).await;
    assert_eq!((status, &body["code"]), (429, &json!("PT429")), "{body}");
    assert_eq!(body["message"], "1 of your 1 generations at once are under way: ask again when one has ended");
    let details: Value = serde_json::from_str(body["details"].as_str().unwrap()).unwrap();
    assert_eq!(details, json!({ "limit": "max_open", "allowed": 1, "used": 1 }));
    let (status, body) = call(&stack, &alice, "request_generation", request(json!({ "width": "wide" }))).await;
    assert_eq!((status, &body["code"]), (400, &json!("22023")), "{body}");

    // Somebody else's is as one that does not exist.
    assert_eq!(call(&stack, &bob, "cancel_generation", json!({ "p_id": id })).await, (200, json!(false)));
    assert_eq!(call(&stack, &bob, "retry_generation", json!({ "p_id": id })).await, (200, json!(false)));
    let (status, his) = call(&stack, &bob, "request_generation", request(json!({ "priority": 5 }))).await;
    assert_eq!(status, 200, "{his}");
    assert_eq!(call(&stack, &bob, "cancel_generation", json!({ "p_id": his["id"] })).await, (200, json!(true)));
    for (token, expected) in [(stack.publishable_key(), 401), (stack.secret_key(), 403)] {
        let url = format!("{}/rest/v1/rpc/request_generation", stack.api_url());
        let asked = reqwest::Client::new().post(url).header("apikey", token).json(&request(json!({})));
        assert_eq!(asked.send().await.unwrap().status(), expected, "no user");
    }

    drain_until_done(&stack).await;
    assert_eq!(generation(&stack, id).await["status"], "completed");
    let (_, limits) = call(&stack, &alice, "my_limits", json!({})).await;
    assert_eq!((&limits["used"]["open"], &limits["left"]["open"]), (&json!(0), &json!(1)), "{limits}");

    // The picture that was made is a source of hers, and of nobody else's once the bucket is private.
    let picture = row(&stack, "select to_jsonb(i) from images i where generation_id = $1", &[&id]).await;
    let path = picture["storage_path"].as_str().unwrap();
    let source = format!("{}/storage/v1/object/generated-images/{path}", stack.api_url());
    let of_it = json!({ "p_prompt": "a blue fox", "p_model_id": "black-forest-labs/flux-dev", "p_options": { "source_image_url": source } });
    let (status, body) = call(&stack, &bob, "request_generation", of_it.clone()).await;
    assert_eq!((status, &body["code"]), (403, &json!("PT403")), "{body}");
    let (status, second) = call(&stack, &alice, "request_generation", of_it).await;
    assert_eq!(status, 200, "{second}");
    drain_until_done(&stack).await;
    assert_eq!(generation(&stack, second["id"].as_str().unwrap()).await["status"], "completed");
    stack.stop().await.unwrap();
}
