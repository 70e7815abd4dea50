//! The rate limits and the account's troubles.

use std::time::Duration;

use replicate_stand_in::{Mode, Options, Rate};
use serde_json::json;
use tokio::time::advance;

use crate::{Api, SCHNELL};

#[tokio::test(start_paused = true)]
async fn creates_and_other_calls_have_a_bucket_each() {
    let small = Rate { per_second: 0.5, burst: 2.0 };
    let api = Api::with(Options { creates: small, others: small, ..Options::default() }).await;
    for _ in 0..2 {
        assert_eq!(api.create(SCHNELL, json!({"prompt": "a"})).await.status, 201);
    }
    let refused = api.create(SCHNELL, json!({"prompt": "a"})).await;
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.json(),
        json!({"detail": "Request was throttled. Your rate limit resets in ~2s.", "status": 429, "retry_after": 2})
    );
    assert_eq!(api.get("/account").await.status, 200);
    advance(Duration::from_secs(2)).await;
    assert_eq!(api.create(SCHNELL, json!({"prompt": "a"})).await.status, 201);
    assert_eq!(api.server.predictions().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn six_hundred_creates_pass_at_once_and_ten_a_second_after() {
    let api = Api::start().await;
    let mut statuses = Vec::new();
    for _ in 0..601 {
        statuses.push(api.create(SCHNELL, json!({"prompt": "a"})).await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 600);
    assert_eq!(statuses[600], 429);
    advance(Duration::from_secs(1)).await;
    let mut more = Vec::new();
    for _ in 0..11 {
        more.push(api.create(SCHNELL, json!({"prompt": "a"})).await.status);
    }
    assert_eq!((more.iter().filter(|status| **status == 201).count(), more[10]), (10, 429));
}

#[tokio::test(start_paused = true)]
async fn little_credit_means_one_create_each_ten_seconds_in_the_published_words() {
    let api = Api::start().await;
    api.server.set_mode(Mode::LowCredit);
    assert_eq!(api.create(SCHNELL, json!({"prompt": "a"})).await.status, 201);
    advance(Duration::from_millis(5_500)).await;
    assert_eq!(
        api.create(SCHNELL, json!({"prompt": "a"})).await.json(),
        json!({
            "detail": "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests while you have less than $5.0 in credit. Your rate limit resets in ~5s.",
            "status": 429,
            "retry_after": 5,
        })
    );
    assert_eq!(api.get("/account").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn no_credit_is_402_for_creates_and_a_refused_token_401_for_all() {
    let api = Api::start().await;
    api.server.set_mode(Mode::InsufficientCredit);
    let refused = api.create(SCHNELL, json!({"prompt": "a"})).await;
    assert_eq!(
        (refused.status, refused.json()),
        (
            402,
            json!({
                "title": "Insufficient credit",
                "detail": "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase credit. Once you purchase credit, please wait a few minutes before trying again.",
                "status": 402,
            })
        )
    );
    assert_eq!(api.get("/predictions").await.status, 200);
    api.server.set_mode(Mode::Unauthorized);
    assert_eq!(api.get("/predictions").await.status, 401);
    api.server.set_mode(Mode::Normal);
    assert_eq!(api.create(SCHNELL, json!({"prompt": "a"})).await.status, 201);
    assert_eq!(api.server.predictions().len(), 1);
}
