//! The routes of the API.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Handle};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{self, Refusal};
use crate::state::Shared;
use crate::{create, gate};

/// The number of predictions on a page of the list.
const PAGE: usize = 100;

type App = Handle<Arc<Shared>>;

pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/account", get(account))
        .route("/v1/predictions", get(list).post(create_by_version))
        .route("/v1/predictions/{id}", get(show))
        .route("/v1/predictions/{id}/cancel", post(cancel))
        .route("/v1/models/{owner}/{name}", get(model))
        .route("/v1/models/{owner}/{name}/versions/{version}", get(version))
        .route("/v1/models/{owner}/{name}/predictions", post(create_by_model))
        .route("/v1/webhooks/default/secret", get(webhook_secret))
        .fallback(|| async { answer::not_found() })
        .layer(DefaultBodyLimit::max(16 << 20))
        .layer(middleware::from_fn_with_state(shared.clone(), gate::api))
        .with_state(shared)
}

async fn account() -> Response {
    let body = json!({"type": "organization", "username": "stand-in", "name": "Stand-in", "github_url": "https://github.com/replicate"});
    answer::json_answer(StatusCode::OK, &body)
}

async fn webhook_secret(Handle(shared): App) -> Response {
    answer::json_answer(StatusCode::OK, &json!({"key": shared.options.webhook_secret}))
}

async fn create_by_version(Handle(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    create::create(&shared, None, &headers, &body).await.unwrap_or_else(Response::from)
}

async fn create_by_model(
    Handle(shared): App,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let id = format!("{owner}/{name}");
    create::create(&shared, Some(&id), &headers, &body).await.unwrap_or_else(Response::from)
}

async fn show(Handle(shared): App, Path(id): Path<String>) -> Response {
    let now = shared.clock.now();
    let prediction = shared.state().record(&id).map(|record| record.at(now));
    prediction.map_or_else(answer::not_found, |prediction| {
        answer::json_answer(StatusCode::OK, &prediction.to_json(&shared.api_url))
    })
}

async fn cancel(Handle(shared): App, Path(id): Path<String>) -> Response {
    let now = shared.clock.now();
    let prediction = shared.state().record(&id).map(|record| {
        record.cancel(now);
        record.at(now)
    });
    shared.cancelled.notify_waiters();
    prediction.map_or_else(answer::not_found, |prediction| {
        answer::json_answer(StatusCode::OK, &prediction.to_json(&shared.api_url))
    })
}

async fn model(Handle(shared): App, Path((owner, name)): Path<(String, String)>) -> Response {
    let model = shared.catalogue.by_name(&format!("{owner}/{name}"));
    model.map_or_else(answer::not_found, |model| answer::json_answer(StatusCode::OK, &model.to_json()))
}

async fn version(Handle(shared): App, Path((owner, name, version)): Path<(String, String, String)>) -> Response {
    let model = shared.catalogue.by_version(&version).filter(|model| model.id == format!("{owner}/{name}"));
    model.map_or_else(answer::not_found, |model| answer::json_answer(StatusCode::OK, &model.version_json()))
}

/// Newest first. `created_after` is inclusive, `created_before` is exclusive. A cursor is the place of its page's first
/// prediction, so that new predictions do not shift the pages.
async fn list(Handle(shared): App, Query(query): Query<HashMap<String, String>>) -> Response {
    let bound = |name: &str| match query.get(name).map(|text| text.parse::<Timestamp>()) {
        None => Ok(None),
        Some(Ok(time)) => Ok(Some(time)),
        Some(Err(_)) => Err(Refusal::from(answer::bad_request(&format!("{name} must be an ISO 8601 date-time")))),
    };
    let (after, before) = match (bound("created_after"), bound("created_before")) {
        (Ok(after), Ok(before)) => (after, before),
        (Err(refusal), _) | (_, Err(refusal)) => return refusal.into(),
    };
    let cursor = query.get("cursor").and_then(|cursor| cursor.parse::<usize>().ok());

    let now = shared.clock.now();
    let state = shared.state();
    let inside: Vec<usize> = (0..state.records.len())
        .rev()
        .filter(|place| {
            let created_at = state.records[*place].created_at;
            after.is_none_or(|after| created_at >= after) && before.is_none_or(|before| created_at < before)
        })
        .collect();
    let from = cursor.map_or(0, |cursor| inside.partition_point(|place| *place > cursor));
    let page_url = |place: usize| {
        let filters: String = ["created_after", "created_before"]
            .into_iter()
            .filter_map(|name| Some(format!("&{name}={}", query.get(name)?.replace('+', "%2B"))))
            .collect();
        Value::from(format!("{}/predictions?cursor={place}{filters}", shared.api_url))
    };
    let results: Vec<Value> = inside
        .iter()
        .skip(from)
        .take(PAGE)
        .map(|place| state.records[*place].at(now).to_json(&shared.api_url))
        .collect();
    let body = json!({
        "next": inside.get(from + PAGE).map(|place| page_url(*place)),
        "previous": (from > 0).then(|| page_url(inside[from.saturating_sub(PAGE)])),
        "results": results,
    });
    drop(state);
    answer::json_answer(StatusCode::OK, &body)
}
