//! Pictures to start from, and where Replicate reaches them.
//!
//! What Replicate can fetch by itself it is given the address of. A private object of our own Storage gets a
//! signed address that ends with the job; where Storage cannot be reached from outside, as on a local stack, the
//! picture itself is sent as a `data:` URI.

use crate::ctx::{Body, Ctx, Request, Response};
use crate::error::{JobError, Service, cut, from_status};
use crate::{hosts, image};
use base64ct::{Base64, Encoding};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Replicate's document of March 2026: `data:` URIs are for files of 256 KB at most.
const DATA_BYTES_MOST: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// The address to give to Replicate for a picture of the payload. Fails for good, naming the field, where the host
/// is not allowed, the object is not there, or the picture is too large to be sent.
pub async fn reachable(ctx: &Ctx, source: &str) -> Result<String, JobError> {
    if source.starts_with("data:") {
        // Four characters of base64 are three bytes.
        let fits = source.len() <= DATA_BYTES_MOST * 4 / 3 + 100;
        return if fits { Ok(source.to_owned()) } else { Err(too_large()) };
    }
    let url = Url::parse(source).map_err(|_| refused(&format!("is not a URL: {:?}", cut(source, 100))))?;
    let storage = format!("{}/storage/v1/object/", ctx.config.supabase_url);
    if let Some(object) = source.strip_prefix(storage.as_str()) {
        return of_storage(ctx, source, object).await;
    }
    match hosts::is_listed(&ctx.config.allowed_source_hosts, &url) {
        true => Ok(source.to_owned()),
        false => {
            let host = cut(&hosts::with_port(&url), 100);
            let message =
                format!("payload: source_image_url: {}://{host} is not in ALLOWED_SOURCE_HOSTS", url.scheme());
            Err(JobError::never("host_not_allowed", message))
        }
    }
}

/// `object` is what follows `/storage/v1/object/`: `public/…`, `sign/…?token=…`, `authenticated/…`, or bucket and path.
async fn of_storage(ctx: &Ctx, source: &str, object: &str) -> Result<String, JobError> {
    let (path, _) = object.split_once('?').unwrap_or((object, ""));
    let own = ["public/", "sign/", "authenticated/"].iter().find_map(|kind| path.strip_prefix(kind)).unwrap_or(path);
    if !ctx.config.supabase_url.starts_with("https:") {
        return as_data(ctx, own).await;
    }
    if object.starts_with("public/") || object.starts_with("sign/") {
        return Ok(source.to_owned());
    }
    let lasts = json!({ "expiresIn": ctx.config.job_timeout.as_secs().max(60) }).to_string();
    let response = ask(ctx, "POST", &format!("sign/{own}"), Body::Text(lasts)).await?;
    let answer = response.body.text(ANSWER_MAX_BYTES).await.map_err(lost)?;
    let answer = serde_json::from_str::<Value>(&answer).unwrap_or_default();
    let signed = answer.get("signedURL").and_then(Value::as_str).filter(|signed| signed.starts_with('/'));
    let signed = signed.ok_or_else(|| JobError::backoff("unavailable", "storage answered without a signed URL"))?;
    Ok(format!("{}/storage/v1{signed}", ctx.config.supabase_url))
}

async fn as_data(ctx: &Ctx, path: &str) -> Result<String, JobError> {
    let mut content = ask(ctx, "GET", path, Body::Empty).await?.body;
    let bytes = content.peek(DATA_BYTES_MOST + 1).await.map_err(lost)?;
    if bytes.len() > DATA_BYTES_MOST {
        return Err(too_large());
    }
    let format = image::format(&bytes).ok_or_else(|| refused("is not a png, jpeg, webp, gif, avif or svg picture"))?;
    Ok(format!("data:{};base64,{}", format.content_type(), Base64::encode_string(&bytes)))
}

async fn ask(ctx: &Ctx, method: &'static str, path: &str, body: Body) -> Result<Response, JobError> {
    let config = &ctx.config;
    let request = Request {
        method,
        url: format!("{}/storage/v1/object/{path}", config.supabase_url),
        headers: vec![
            ("apikey".to_owned(), config.service_key.clone()),
            ("authorization".to_owned(), format!("Bearer {}", config.service_key)),
            ("content-type".to_owned(), "application/json".to_owned()),
        ],
        body,
        timeout: TIMEOUT,
    };
    let response = ctx.http.send(request).await.map_err(lost)?;
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    let (status, retry_after) = (response.status, response.header("retry-after").map(str::to_owned));
    let body = response.body.text(ANSWER_MAX_BYTES).await.unwrap_or_default();
    let error = from_status(Service::Storage, status, retry_after.as_deref(), &body);
    Err(JobError { message: format!("payload: source_image_url: {}", error.message), ..error })
}

fn lost(error: crate::ctx::TransportError) -> JobError {
    JobError::backoff("unavailable", format!("payload: source_image_url: storage did not answer: {error}"))
}

fn refused(why: &str) -> JobError {
    JobError::never("invalid_payload", format!("payload: source_image_url {why}"))
}

fn too_large() -> JobError {
    JobError::never(
        "too_large",
        format!(
            "payload: source_image_url is larger than the {DATA_BYTES_MOST} bytes that replicate takes as a data: URI"
        ),
    )
}
