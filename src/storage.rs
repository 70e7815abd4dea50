//! Supabase Storage: uploads without holding the picture, and access to private objects for Replicate.

use crate::ctx::Ctx;
use crate::error::JobError;
use crate::http::{Body, Incoming, Meter, Refusal, Request, Response, TransportError};
use crate::json::{self, object};
use crate::text::{detail, number};
use serde_json::Value;
use std::time::Duration;

/// Together with the 45 s in which a drain claims and the 20 s until the first bytes, this stays under the 150 s after
/// which the smallest plan kills the function.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(75);
const TIMEOUT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Streams `content` to `path` in the bucket, replacing what is there. The body is sent in chunks without a length, as
/// every streamed `fetch` body is. Exceeding `meter`'s limit is a final error.
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
    let sent = sent.map_err(|error| {
        if !is_without_bucket(&error) {
            return error;
        }
        let bucket = &ctx.config.storage_bucket;
        JobError { message: format!("{} (STORAGE_BUCKET is {bucket:?})", error.message), ..error }
    });
    // Reading the answer to its end frees its connection for the next request.
    let _ = sent?.body.text(ANSWER_MAX_BYTES).await;
    Ok(())
}

/// Opens the object at `path`, which begins with its bucket.
pub async fn read(ctx: &Ctx, path: &str) -> Result<Box<dyn Incoming>, JobError> {
    Ok(ask(ctx, "GET", &format!("object/{path}"), &[], Body::Empty, TIMEOUT).await?.body)
}

/// Returns a URL at which anyone may read the object at `path`, which begins with its bucket, for the time `lasts`.
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

/// True unless Storage says that the bucket does not exist; any other error counts as true. Asks until the bucket was
/// seen once in this isolate.
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

/// Sends a request below `/storage/v1/` with the service key; an unsuccessful answer is an error.
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
        _ => Err(refused(&response.refusal().await)),
    }
}

/// Final only if the error is about the object itself.
fn refused(Refusal { status, body, .. }: &Refusal) -> JobError {
    let message = format!("storage answered {status}: {}", detail(body));
    if is_about_object(*status, body) {
        JobError::never("rejected", message)
    } else {
        JobError::backoff("unavailable", message)
    }
}

/// True if Storage will never take, or give, this object. The true status is in the body, if there is one: older routes
/// answer 400 to everything, with `{"statusCode":"503","error":"SlowDown","message":"…"}`, newer ones with a `code`.
/// Every other error is a state of Storage, of its database or of the key, and may pass (the errors of
/// supabase/storage, `src/internal/errors/codes.ts`, of November 2026).
fn is_about_object(status: u16, body: &str) -> bool {
    let json = json::read(body).unwrap_or_default();
    let text = |field: &str| json.get(field).and_then(Value::as_str).unwrap_or_default();
    let in_body = json.get("statusCode").and_then(|code| code.as_f64().or_else(|| number(code.as_str()?)));
    let status = in_body.map_or(status, |code| code as u16);
    let is = |codes: &[&str]| codes.contains(&text("code")) || codes.contains(&text("error"));
    match status {
        413 | 415 => true,
        // Excludes the 404 of a bucket, which may still be created.
        404 => is(&["NoSuchKey", "not_found"]) || text("message") == "Object not found",
        400 => {
            is(&["EntityTooLarge", "Payload too large", "InvalidMimeType", "invalid_mime_type", "InvalidKey"])
                || text("message").starts_with("Invalid key")
        }
        _ => false,
    }
}

pub fn lost(error: TransportError) -> JobError {
    JobError::backoff("unavailable", format!("storage did not answer: {error}"))
}

pub fn too_large(limit: u64) -> JobError {
    JobError::never("too_large", format!("the picture is larger than MAX_IMAGE_BYTES ({limit} bytes)"))
}

/// The URL at which anyone can read an uploaded object if the bucket is public.
pub fn public_url(ctx: &Ctx, path: &str) -> String {
    format!("{}/storage/v1/object/public/{}/{path}", ctx.config.supabase_url, ctx.config.storage_bucket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Again::{Backoff, Never};

    #[test]
    fn statuses_are_classified() {
        let table = [
            (400, "", "unavailable", Backoff),
            (403, "", "unavailable", Backoff),
            (404, "", "unavailable", Backoff),
            (413, "", "rejected", Never),
            (415, "", "rejected", Never),
            (400, r#"{"statusCode":"503","error":"SlowDown","message":"…"}"#, "unavailable", Backoff),
            (400, r#"{"statusCode":503,"error":"DatabaseReadOnly"}"#, "unavailable", Backoff),
            (400, r#"{"statusCode":"423","error":"ResourceLocked"}"#, "unavailable", Backoff),
            (
                400,
                r#"{"statusCode":"403","error":"Unauthorized","message":"\"iat\" claim timestamp check failed"}"#,
                "unavailable",
                Backoff,
            ),
            (400, r#"{"statusCode":"409","error":"TransactionError"}"#, "unavailable", Backoff),
            (400, r#"{"statusCode":"400","code":"InvalidJWT","message":"jwt expired"}"#, "unavailable", Backoff),
            (
                400,
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#,
                "unavailable",
                Backoff,
            ),
            (400, r#"{"statusCode":"400","code":"TenantNotFound"}"#, "unavailable", Backoff),
            (544, r#"{"code":"DatabaseTimeout"}"#, "unavailable", Backoff),
            (200, "<html>", "unavailable", Backoff),
            (400, r#"{"statusCode":"413","error":"Payload too large"}"#, "rejected", Never),
            (400, r#"{"statusCode":"415","error":"invalid_mime_type"}"#, "rejected", Never),
            (400, r#"{"statusCode":"400","error":"InvalidKey","message":"Invalid key: a"}"#, "rejected", Never),
            (400, r#"{"code":"EntityTooLarge"}"#, "rejected", Never),
            (400, r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#, "rejected", Never),
            (404, r#"{"code":"NoSuchKey"}"#, "rejected", Never),
            (413, r#"{"statusCode":"503"}"#, "unavailable", Backoff),
            (429, "", "unavailable", Backoff),
            (500, "", "unavailable", Backoff),
        ];
        for (status, body, kind, again) in table {
            let error = refused(&Refusal { status, retry_after: None, body: body.to_owned() });
            assert_eq!((error.kind, error.again), (kind, again), "{status} {body}");
        }
        let error = refused(&Refusal { status: 500, retry_after: None, body: String::new() });
        assert_eq!(error.message, "storage answered 500: no body");
    }
}
