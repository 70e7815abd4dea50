//! Supabase Storage: an upload that never holds the picture, and what it takes to show a private one to Replicate.

use crate::ctx::{Body, Ctx, Incoming, Meter, Request, Response, TransportError};
use crate::error::{JobError, Service, from_answer};
use crate::json::{self, object};
use serde_json::Value;
use std::time::Duration;

/// With the 45 s a drain claims in and 20 s until the first bytes, this stays under the 150 s after which the
/// smallest plan kills the function.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(75);
const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Streams `content` to `path` in the bucket, over what lies there. The body goes in chunks without
/// a length, as every streamed `fetch` body does. Fails past `meter`'s limit, for good.
pub async fn upload(
    ctx: &Ctx,
    path: &str,
    content_type: &str,
    content: Box<dyn Incoming>,
    meter: &Meter,
) -> Result<(), JobError> {
    let headers = [("content-type", content_type), ("cache-control", "max-age=3600"), ("x-upsert", "true")];
    let path = format!("object/{}/{path}", ctx.config.storage_bucket);
    let body = Body::Stream { content, meter: meter.clone() };
    let sent = ask(ctx, "POST", &path, &headers, body, UPLOAD_TIMEOUT).await;
    if meter.exceeded() {
        return Err(too_large(ctx.config.max_image_bytes));
    }
    let sent = sent.map_err(|error| match is_without_bucket(&error) {
        true => {
            let bucket = &ctx.config.storage_bucket;
            JobError { message: format!("{} (STORAGE_BUCKET is {bucket:?})", error.message), ..error }
        }
        false => error,
    });
    // Read to its end, the answer leaves its connection to the next request.
    let _ = sent?.body.text(ANSWER_MAX_BYTES).await;
    Ok(())
}

/// The object at `path`, which begins with its bucket.
pub async fn read(ctx: &Ctx, path: &str) -> Result<Box<dyn Incoming>, JobError> {
    Ok(ask(ctx, "GET", &format!("object/{path}"), &[], Body::Empty, TIMEOUT).await?.body)
}

/// An address at which anyone may read the object at `path`, which begins with its bucket, for so long.
pub async fn sign(ctx: &Ctx, path: &str, lasts: Duration) -> Result<String, JobError> {
    let body = Body::Text(json::text(&object(vec![("expiresIn", lasts.as_secs().into())])));
    let headers = [("content-type", "application/json")];
    let response = ask(ctx, "POST", &format!("object/sign/{path}"), &headers, body, TIMEOUT).await?;
    let answer = response.body.text(ANSWER_MAX_BYTES).await.map_err(lost)?;
    let answer = json::read(&answer).unwrap_or_default();
    match answer.get("signedURL").and_then(Value::as_str) {
        Some(signed) if signed.starts_with('/') => Ok(format!("{}/storage/v1{signed}", ctx.config.supabase_url)),
        _ => Err(JobError::backoff("unavailable", "storage answered without a signed URL")),
    }
}

pub const NO_BUCKET: &str = "the bucket that STORAGE_BUCKET names is not there: pictures cannot be stored";

/// Whether the bucket is there. It is looked for until it was seen once; what says nothing of it counts as a yes.
pub async fn has_bucket(ctx: &Ctx) -> bool {
    if ctx.bucket_seen.get() {
        return true;
    }
    let path = format!("bucket/{}", ctx.config.storage_bucket);
    match ask(ctx, "GET", &path, &[], Body::Empty, TIMEOUT).await {
        Ok(response) => {
            let _ = response.body.text(ANSWER_MAX_BYTES).await;
            ctx.bucket_seen.set(true);
            true
        }
        Err(error) => !is_without_bucket(&error),
    }
}

fn is_without_bucket(error: &JobError) -> bool {
    error.message.contains("Bucket not found")
}

/// A request to what lies below `/storage/v1/`, with the service key; an answer that is no success is an error.
async fn ask(
    ctx: &Ctx,
    method: &'static str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
    timeout: Duration,
) -> Result<Response, JobError> {
    let key = &ctx.config.service_key;
    let mut all = vec![("apikey".to_owned(), key.clone()), ("authorization".to_owned(), format!("Bearer {key}"))];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let url = format!("{}/storage/v1/{path}", ctx.config.supabase_url);
    let response = ctx.http.send(Request { method, url, headers: all, body, timeout }).await.map_err(lost)?;
    match response.status {
        200..=299 => Ok(response),
        _ => Err(from_answer(Service::Storage, response).await),
    }
}

pub fn lost(error: TransportError) -> JobError {
    JobError::backoff("unavailable", format!("storage did not answer: {error}"))
}

pub fn too_large(limit: u64) -> JobError {
    JobError::never("too_large", format!("the picture is larger than MAX_IMAGE_BYTES ({limit} bytes)"))
}

/// Where anyone can read what was uploaded, the bucket being public.
pub fn public_url(ctx: &Ctx, path: &str) -> String {
    format!("{}/storage/v1/object/public/{}/{path}", ctx.config.supabase_url, ctx.config.storage_bucket)
}
