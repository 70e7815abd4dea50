//! Supabase Storage: one upload that never holds the picture.

use crate::ctx::{Body, Ctx, Incoming, Meter, Request};
use crate::error::{JobError, Service, from_status};
use std::time::Duration;

/// With the 45 s a drain claims in and 20 s until the first bytes, this stays under the 150 s after which the
/// smallest plan kills the function.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(75);
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
    let config = &ctx.config;
    let request = Request {
        method: "POST",
        url: format!("{}/storage/v1/object/{}/{path}", config.supabase_url, config.storage_bucket),
        headers: vec![
            ("apikey".to_owned(), config.service_key.clone()),
            ("authorization".to_owned(), format!("Bearer {}", config.service_key)),
            ("content-type".to_owned(), content_type.to_owned()),
            ("cache-control".to_owned(), "max-age=3600".to_owned()),
            ("x-upsert".to_owned(), "true".to_owned()),
        ],
        body: Body::Stream { content, meter: meter.clone() },
        timeout: UPLOAD_TIMEOUT,
    };
    let sent = ctx.http.send(request).await;
    if meter.exceeded() {
        return Err(too_large(config.max_image_bytes));
    }
    let lost = |error| JobError::backoff("unavailable", format!("upload to storage broke off: {error}"));
    let response = sent.map_err(lost)?;
    if (200..300).contains(&response.status) {
        return Ok(());
    }
    let (status, retry_after) = (response.status, response.header("retry-after").map(str::to_owned));
    let body = response.body.text(ANSWER_MAX_BYTES).await.unwrap_or_default();
    Err(from_status(Service::Storage, status, retry_after.as_deref(), &body))
}

pub fn too_large(limit: u64) -> JobError {
    JobError::never("too_large", format!("the picture is larger than MAX_IMAGE_BYTES ({limit} bytes)"))
}

/// Where anyone can read what was uploaded, the bucket being public.
pub fn public_url(ctx: &Ctx, path: &str) -> String {
    format!("{}/storage/v1/object/public/{}/{path}", ctx.config.supabase_url, ctx.config.storage_bucket)
}
