//! A client for the part of Replicate's HTTP API that the worker needs.
//!
//! Shapes are those of Replicate's OpenAPI document of March 2026. There is no retry in here: a
//! repeated `create` would be paid twice, and everything else is retried by the queue.

pub mod catalogue;
pub mod input;
mod list;
mod prediction;
pub mod published;
pub mod request;
pub mod schema;
mod wanted;
pub mod webhook;

pub use prediction::{Prediction, Status};
pub use wanted::Wanted;

use crate::ctx::{Body, Ctx, Request, Response, TransportError};
use crate::error::{Again, JobError, Service, from_answer};
use crate::job::Job;
use crate::json::{self, object};
use input::ModelInput;
use list::Page;
use serde_json::Value;
use std::time::Duration;
use wanted::Likeness;

const API_TIMEOUT: Duration = Duration::from_secs(30);
/// Outputs may be `data:` URIs of pictures, a third longer than these, beside an input of 1 MiB.
const ANSWER_MAX_BYTES: usize = 72 * 1024 * 1024;
/// A list page has 100 predictions, and an account makes 600 a minute at most: what is made in a job's ten
/// minutes, and its lost create with it, is on fewer pages than this.
const LIST_PAGES_MOST: usize = 100;

/// Creates a prediction that Replicate cancels by itself when `cancel_after` is over, so that its
/// cost is bounded even if no worker ever comes back; where webhooks are set up, its end is told to the job.
/// Without an answer, or with a 5xx, it may or may not exist: look with [`find`] before calling again.
pub async fn create(ctx: &Ctx, job: &Job, model: &ModelInput, cancel_after: Duration) -> Result<Prediction, JobError> {
    let mut body = vec![("version", model.version.as_str().into()), ("input", model.input.clone().into())];
    if let Some(webhooks) = &ctx.config.webhooks {
        body.push(("webhook", webhooks.url(&job.id, job.life).into()));
        body.push(("webhook_events_filter", vec!["completed"].into()));
    }
    let body = json::text(&object(body));
    let url = format!("{}/predictions", ctx.config.replicate_api_url);
    let cancel_after = ("cancel-after".to_owned(), format!("{}s", cancel_after.as_secs().max(5)));
    match send(ctx, "POST", url, vec![cancel_after], Body::Text(body)).await {
        Err(error) if error.again == Again::Backoff => Err(JobError { kind: "create_unknown", ..error }),
        Err(error) if matches!(error.again, Again::After(_)) => Err(JobError { kind: CREATES_LIMITED, ..error }),
        answer => read(&answer?),
    }
}

/// The kind of an error that says that no creates are taken for a while; looks have a limit of their own.
pub const CREATES_LIMITED: &str = "creates_limited";

pub async fn get(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    let url = format!("{}/predictions/{prediction_id}", ctx.config.replicate_api_url);
    read(&send(ctx, "GET", url, Vec::new(), Body::Empty).await?)
}

/// Asks for the prediction's end, which comes some seconds later.
pub async fn cancel(ctx: &Ctx, prediction_id: &str) -> Result<Prediction, JobError> {
    let url = format!("{}/predictions/{prediction_id}/cancel", ctx.config.replicate_api_url);
    read(&send(ctx, "POST", url, Vec::new(), Body::Empty).await?)
}

/// The prediction made since `created_after` (RFC 3339) for this job that has not come to a bad end: the create whose
/// answer was lost, if it was made. Rows that are not ours are passed over, whatever they look like. Fails for good
/// where the list is too long to say that it was not.
pub async fn find(ctx: &Ctx, wanted: &Wanted<'_>, created_after: &str) -> Result<Option<Prediction>, JobError> {
    let api = &ctx.config.replicate_api_url;
    let mut url = format!("{api}/predictions?created_after={}", created_after.replace('+', "%2B"));
    // Another catalogue may have sent another form: what is only alike counts where nothing is the same.
    let mut alike: Option<(Prediction, bool)> = None;
    for _ in 0..LIST_PAGES_MOST {
        let mut content = request(ctx, "GET", url, Vec::new(), Body::Empty).await?.body;
        let mut page = Page::default();
        while let Some(chunk) = content.chunk().await.map_err(lost)? {
            for row in page.push(&chunk) {
                let Some((prediction, has_id)) = Prediction::listed(row) else { continue };
                match prediction.likeness(wanted) {
                    Likeness::Same if !has_id => {
                        let message = "replicate lists the prediction under an id that fits into no path";
                        return Err(JobError::never("create_unknown", message));
                    }
                    Likeness::Same => return Ok(Some(prediction)),
                    Likeness::Alike { agrees } if alike.as_ref().is_none_or(|(_, known)| agrees && !known) => {
                        alike = Some((prediction, agrees));
                    }
                    Likeness::Alike { .. } | Likeness::Other => {}
                }
            }
        }
        let frame = page.frame().ok_or_else(|| unfit("no JSON"))?;
        frame.get("results").and_then(Value::as_array).ok_or_else(|| unfit("no results"))?;
        let Some(next) = frame.get("next").and_then(Value::as_str) else {
            return Ok(alike.map(|(prediction, _)| prediction));
        };
        // Replicate names its own host, also where it is reached by another; the token goes nowhere but to the API.
        let (_, query) = next.split_once('?').ok_or_else(|| unfit("a next page without a query"))?;
        url = format!("{api}/predictions?{query}");
    }
    if let Some((prediction, _)) = alike {
        return Ok(Some(prediction));
    }
    let message = format!(
        "whether a prediction was made before cannot be told: replicate lists more than {} since {created_after}",
        LIST_PAGES_MOST * 100
    );
    Err(JobError::never("create_unknown", message))
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
            // It will be no smaller at the next look.
            let message = format!("replicate's answer is larger than the {ANSWER_MAX_BYTES} bytes that are read");
            return Err(JobError::never("too_large", message));
        }
        bytes.extend(chunk);
    }
    json::read(&String::from_utf8_lossy(&bytes)).ok_or_else(|| unfit("no JSON"))
}

/// The answer, if it is a success.
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
        _ => Err(from_answer(Service::Replicate, response).await),
    }
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
