//! Replicate's error bodies, word for word if a real one has been published.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The answer that ends a request early; boxed, because answers are large.
pub struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(answer: Response) -> Refusal {
        Refusal(Box::new(answer))
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        *refusal.0
    }
}

pub fn json_answer(status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A problem of RFC 7807, the form of most of Replicate's errors.
pub fn problem(status: StatusCode, title: &str, detail: &str) -> Response {
    let body = json!({"title": title, "detail": detail, "status": status.as_u16()});
    let mut response = json_answer(status, &body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// No real body of a 401 was found; this one has the form of the others.
pub fn unauthorized() -> Response {
    problem(StatusCode::UNAUTHORIZED, "Unauthenticated", "You did not pass a valid authentication token")
}

pub fn insufficient_credit() -> Response {
    problem(
        StatusCode::PAYMENT_REQUIRED,
        "Insufficient credit",
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to purchase credit. \
         Once you purchase credit, please wait a few minutes before trying again.",
    )
}

pub fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "Not Found", "The requested resource could not be found.")
}

pub fn bad_request(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "Bad Request", detail)
}

pub fn invalid_version() -> Response {
    problem(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Invalid version or not permitted",
        "The specified version does not exist (or perhaps you don't have permission to use it?)",
    )
}

pub fn throttled(seconds: u64) -> Response {
    let detail = format!("Request was throttled. Your rate limit resets in ~{seconds}s.");
    json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({"detail": detail, "status": 429, "retry_after": seconds}))
}

pub fn throttled_for_low_credit(seconds: u64) -> Response {
    let detail = format!(
        "Request was throttled. Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests \
         while you have less than $5.0 in credit. Your rate limit resets in ~{seconds}s."
    );
    json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({"detail": detail, "status": 429, "retry_after": seconds}))
}

pub fn throttled_by_header(seconds: u64) -> Response {
    let mut response =
        json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({"detail": "Request was throttled.", "status": 429}));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub fn throttled_by_body(seconds: u64) -> Response {
    let body = json!({"detail": "Request was throttled.", "status": 429, "retry_after": seconds});
    json_answer(StatusCode::TOO_MANY_REQUESTS, &body)
}

pub fn throttled_by_text(seconds: u64) -> Response {
    let detail = format!("Request was throttled. Your rate limit resets in ~{seconds}s.");
    json_answer(StatusCode::TOO_MANY_REQUESTS, &json!({"detail": detail}))
}

/// The answer of a proxy in front: not JSON.
pub fn plain(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, status.canonical_reason().unwrap_or("error")).into_response()
}

/// The answer to an input or a body that its schema refuses.
pub fn invalid(violations: &[crate::schema::Violation]) -> Response {
    let detail: String = violations
        .iter()
        .map(|v| {
            if v.field.is_empty() {
                format!("- {}\n", v.description)
            } else {
                format!("- {}: {}\n", v.field, v.description)
            }
        })
        .collect();
    let fields: Vec<Value> =
        violations.iter().map(|v| json!({"type": v.kind, "field": v.field, "description": v.description})).collect();
    let body = json!({"detail": detail, "status": 422, "title": "Input validation failed", "invalid_fields": fields});
    json_answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
}
