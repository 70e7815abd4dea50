//! A client for the part of Replicate's HTTP API that the worker uses.
//!
//! The shapes follow Replicate's OpenAPI document of March 2026. The client never retries: a repeated `create` would be
//! paid twice, and the queue retries everything else.

mod page;
pub mod prediction;

pub use prediction::{Prediction, Status};

use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::fields;
use crate::http::{Body, Refusal, Request, Response, TransportError};
use crate::json::{self, object};
use crate::text::{detail, number};
use page::Page;
use serde_json::{Map, Value};
use std::ops::ControlFlow;
use std::time::Duration;

const API_TIMEOUT: Duration = Duration::from_secs(30);
/// Outputs may be `data:` URIs, a third longer than their pictures, beside an input of 1 MiB.
const ANSWER_MAX_BYTES: usize = 72 * 1024 * 1024;
/// A list page has 100 predictions, and an account makes at most 600 a minute: the predictions of a job's ten minutes,
/// its lost create among them, are on fewer pages than this.
const LIST_MAX_PAGES: usize = 100;

/// Creates a prediction. Replicate cancels it after `cancel_after`, which limits its cost even if no worker comes back,
/// and reports its end to `webhook`, if given. If no answer or a 5xx comes, the prediction may or may not exist: look
/// with [`list`] before calling again.
pub async fn create(
    ctx: &Ctx,
    version: &str,
    input: Map<String, Value>,
    webhook: Option<String>,
    cancel_after: Duration,
) -> Result<Prediction, JobError> {
    let mut body = vec![("version", version.into()), ("input", input.into())];
    if let Some(webhook) = webhook {
        body.push(("webhook", webhook.into()));
        body.push(("webhook_events_filter", vec!["completed"].into()));
    }
    let body = json::text(&object(body));
    let url = format!("{}/predictions", ctx.config.replicate_api_url);
    let cancel_after = ("cancel-after".to_owned(), format!("{}s", cancel_after.as_secs().max(5)));
    match send(ctx, "POST", url, vec![cancel_after], Body::Text(body)).await {
        Err(error) if error.again == Again::Backoff => Err(JobError { kind: CREATE_UNKNOWN, ..error }),
        Err(error) if matches!(error.again, Again::After(_)) => Err(JobError { kind: CREATES_LIMITED, ..error }),
        answer => read(&answer?).map_err(|error| JobError { kind: CREATE_UNKNOWN, ..error }),
    }
}

/// The kind of an error after which a prediction may or may not exist.
pub const CREATE_UNKNOWN: &str = "create_unknown";
/// The kind of an error after which no creates are taken for a while; looks have a limit of their own.
pub const CREATES_LIMITED: &str = "creates_limited";

pub async fn get(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    let url = format!("{}/predictions/{prediction_id}", ctx.config.replicate_api_url);
    read(&send(ctx, "GET", url, Vec::new(), Body::Empty).await?)
}

/// Requests the prediction's end, which comes some seconds later.
pub async fn cancel(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    let url = format!("{}/predictions/{prediction_id}/cancel", ctx.config.replicate_api_url);
    read(&send(ctx, "POST", url, Vec::new(), Body::Empty).await?)
}

/// Passes the account's predictions made since `created_after` (RFC 3339) to `look`, newest first, until `look` breaks
/// off; its second argument is true if the prediction's id can be asked for. Skips rows that are not predictions.
/// Returns `None` after the last. Fails for good if there are too many to read.
pub async fn list<T>(
    ctx: &Ctx,
    created_after: &str,
    mut look: impl FnMut(Prediction, bool) -> ControlFlow<T>,
) -> Result<Option<T>, JobError> {
    let api = &ctx.config.replicate_api_url;
    let mut url = format!("{api}/predictions?created_after={}", created_after.replace('+', "%2B"));
    for _ in 0..LIST_MAX_PAGES {
        let mut content = request(ctx, "GET", url, Vec::new(), Body::Empty).await?.body;
        let mut page = Page::default();
        while let Some(chunk) = content.chunk().await.map_err(lost)? {
            for row in page.push(&chunk) {
                let Some((prediction, has_id)) = Prediction::listed(row) else { continue };
                if let ControlFlow::Break(found) = look(prediction, has_id) {
                    return Ok(Some(found));
                }
            }
        }
        let frame = page.frame().ok_or_else(|| unfit("no JSON"))?;
        frame.get("results").and_then(Value::as_array).ok_or_else(|| unfit("no results"))?;
        let Some(next) = frame.get("next").and_then(Value::as_str) else { return Ok(None) };
        // Replicate names its own host even if it is reached by another; the token is sent only to the API.
        let (_, query) = next.split_once('?').ok_or_else(|| unfit("a next page without a query"))?;
        url = format!("{api}/predictions?{query}");
    }
    let message = format!(
        "whether a prediction was made before cannot be told: replicate lists more than {} since {created_after}",
        LIST_MAX_PAGES * 100
    );
    Err(JobError::never(CREATE_UNKNOWN, message))
}

/// Fetches the published description, with the input's schema, of a model `owner/name` or of its version
/// `owner/name:version`. Returns `None` if the model is given by a version alone, or not by a valid name.
pub async fn model(ctx: &Ctx, model: &str) -> Result<Option<Value>, JobError> {
    let Some(path) = model_path(model) else { return Ok(None) };
    let url = format!("{}/models/{path}", ctx.config.replicate_api_url);
    send(ctx, "GET", url, Vec::new(), Body::Empty).await.map(Some)
}

/// The path below `/models/`; `None` if the text is not a name, safe in a URL.
pub fn model_path(model: &str) -> Option<String> {
    let is_part = |part: &str| {
        !part.starts_with('.') && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let (name, version) = model.split_once(':').map_or((model, None), |(name, version)| (name, Some(version)));
    let (owner, rest) = name.split_once('/')?;
    let fits = [owner, rest, version.unwrap_or("v")].iter().all(|part| !part.is_empty() && is_part(part));
    fits.then(|| version.map_or(name.to_owned(), |version| format!("{name}/versions/{version}")))
}

async fn send(
    ctx: &Ctx,
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Body,
) -> Result<Value, JobError> {
    let response = request(ctx, method, url, headers, body).await?;
    let mut content = response.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = content.chunk().await.map_err(lost)? {
        if bytes.len() + chunk.len() > ANSWER_MAX_BYTES {
            // The next look would find it no smaller.
            let message = format!("replicate's answer is larger than the {ANSWER_MAX_BYTES} bytes that are read");
            return Err(JobError::never("too_large", message));
        }
        bytes.extend(chunk);
    }
    json::read(&String::from_utf8_lossy(&bytes)).ok_or_else(|| unfit("no JSON"))
}

/// Sends a request; fails if it is refused.
async fn request(
    ctx: &Ctx,
    method: &'static str,
    url: String,
    mut headers: Vec<(String, String)>,
    body: Body,
) -> Result<Response, JobError> {
    let Some(token) = &ctx.config.replicate_api_token else {
        let message = "REPLICATE_API_TOKEN is not set".to_owned();
        return Err(JobError { again: Again::WhenResumed, ..JobError::never("unauthorized", message) });
    };
    headers.push(("authorization".to_owned(), format!("Bearer {token}")));
    if matches!(body, Body::Text(_)) {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    let response = ctx.http.send(Request { method, url, headers, body, timeout: API_TIMEOUT }).await.map_err(lost)?;
    match response.status {
        200..=299 => Ok(response),
        _ => Err(refused(&response.refusal().await)),
    }
}

/// The kind of an error if Replicate does not know the object asked for.
pub const NOT_FOUND: &str = "not_found";
/// The kind of an error if a model does not accept its input.
pub const INPUT_REJECTED: &str = "input_rejected";
/// The title in the body of a 422 about the input; a missing version has another.
const INPUT_REJECTED_TITLE: &str = "Input validation failed";
/// The wait after a 429 that gives none.
const RATE_LIMIT_DEFAULT: Duration = Duration::from_secs(10);
/// The longest wait after a 429, even if it asks for more.
const RATE_LIMIT_MAX: Duration = Duration::from_secs(3600);

fn refused(Refusal { status, retry_after, body }: &Refusal) -> JobError {
    let (kind, again) = match status {
        401 => ("unauthorized", Again::WhenResumed),
        402 => ("insufficient_credit", Again::WhenResumed),
        404 => (NOT_FOUND, Again::Never),
        422 if body.contains(INPUT_REJECTED_TITLE) => (INPUT_REJECTED, Again::Never),
        429 => ("rate_limited", Again::After(rate_limit_delay(retry_after.as_deref(), body))),
        408 | 500.. => ("unavailable", Again::Backoff),
        _ => ("rejected", Again::Never),
    };
    JobError { again, ..JobError::never(kind, format!("replicate answered {status}")) }.with_told(detail(body))
}

/// The wait that a 429 asks for: its header, else `retry_after` in the body, else "resets in ~30s" in its text (the
/// three places Replicate has been seen to use), else 10 s.
fn rate_limit_delay(retry_after: Option<&str>, body: &str) -> Duration {
    let in_header = retry_after.and_then(number);
    let json = json::read(body);
    let in_body = || json.as_ref().and_then(|json| json.get("retry_after")).and_then(Value::as_f64);
    let in_text = || {
        let (_, after) = body.split_once("resets in")?;
        let digits: String =
            after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        number(&digits)
    };
    in_header
        .or_else(in_body)
        .or_else(in_text)
        .and_then(fields::seconds)
        .unwrap_or(RATE_LIMIT_DEFAULT)
        .clamp(Duration::from_secs(1), RATE_LIMIT_MAX)
}

fn lost(error: TransportError) -> JobError {
    JobError::backoff("unavailable", format!("replicate did not answer: {error}"))
}

fn read(prediction: &Value) -> Result<Prediction, JobError> {
    Prediction::read(prediction).map_err(|message| unfit(&message))
}

fn unfit(found: &str) -> JobError {
    JobError::backoff("unavailable", format!("replicate gave an answer that does not fit: {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classified() {
        use Again::*;
        let seconds = |n| After(Duration::from_secs(n));
        let table = [
            (400, None, "", "rejected", Never),
            (401, None, "", "unauthorized", WhenResumed),
            (402, None, "", "insufficient_credit", WhenResumed),
            (404, None, "", "not_found", Never),
            (422, None, "", "rejected", Never),
            (422, None, r#"{"title":"Input validation failed"}"#, "input_rejected", Never),
            (422, None, r#"{"title":"Invalid version or not permitted"}"#, "rejected", Never),
            (429, None, "", "rate_limited", seconds(10)),
            (429, Some("7"), r#"{"retry_after":5}"#, "rate_limited", seconds(7)),
            (429, None, r#"{"retry_after":5}"#, "rate_limited", seconds(5)),
            (429, None, r#"{"detail":"Your rate limit resets in ~30s."}"#, "rate_limited", seconds(30)),
            (429, Some("-1"), "", "rate_limited", seconds(10)),
            (429, Some("1e300"), "", "rate_limited", seconds(10)),
            (429, Some("86400"), "", "rate_limited", seconds(3600)),
            (429, Some("0"), "", "rate_limited", seconds(1)),
            (500, None, "", "unavailable", Backoff),
            (503, None, "", "unavailable", Backoff),
        ];
        for (status, header, body, kind, again) in table {
            let refusal = Refusal { status, retry_after: header.map(str::to_owned), body: body.to_owned() };
            let error = refused(&refusal);
            assert_eq!((error.kind, error.again), (kind, again), "{refusal:?}");
        }
    }

    #[test]
    fn messages_say_who_and_what() {
        let refused = |status, body: &str| refused(&Refusal { status, retry_after: None, body: body.to_owned() });
        let error = refused(422, r#"{"detail":"- input: prompt is required\n"}"#);
        assert_eq!(error.to_string(), "replicate answered 422: - input: prompt is required");
        let error = refused(402, r#"{"detail":"no\u0000 credit"}"#);
        assert_eq!(error.to_string(), "replicate answered 402: no credit");
        assert_eq!(error.message, "replicate answered 402");
    }

    #[test]
    fn only_names_get_into_the_url() {
        let table = [
            ("owner/name", Some("owner/name")),
            ("owner/name-1.5:abc123", Some("owner/name-1.5/versions/abc123")),
            ("abc123", None),
            ("../account", None),
            ("owner/../account", None),
            ("owner/name/predictions", None),
            ("owner/na me", None),
            ("owner/name:", None),
            ("owner/name:a/b", None),
            ("/name", None),
        ];
        for (model, expected) in table {
            assert_eq!(model_path(model).as_deref(), expected, "{model}");
        }
    }
}
