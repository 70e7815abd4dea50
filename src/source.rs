//! Pictures to start from, and where Replicate reaches them.
//!
//! What Replicate can fetch by itself it is given the address of. A private object of our own Storage gets a
//! signed address that ends with the job; where Storage cannot be reached from outside, as on a local stack, the
//! picture itself is sent as a `data:` URI.

use crate::ctx::Ctx;
use crate::error::{JobError, cut};
use crate::{hosts, image, storage};
use base64ct::{Base64, Encoding};
use std::time::Duration;
use url::Url;

/// Replicate's document of March 2026: `data:` URIs are for files of 256 KB at most.
const DATA_BYTES_MOST: usize = 256 * 1024;
const SIGNED_SHORTEST: Duration = Duration::from_secs(60);

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
    // Of the parsed address: its dots are resolved, so that the service key goes to objects and nowhere else.
    if let Some(object) = url.as_str().strip_prefix(storage.as_str()) {
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
    storage::sign(ctx, own, ctx.config.job_timeout.max(SIGNED_SHORTEST)).await.map_err(of_source)
}

async fn as_data(ctx: &Ctx, path: &str) -> Result<String, JobError> {
    let mut content = storage::read(ctx, path).await.map_err(of_source)?;
    let bytes = content.peek(DATA_BYTES_MOST + 1).await.map_err(|error| of_source(storage::lost(error)))?;
    if bytes.len() > DATA_BYTES_MOST {
        return Err(too_large());
    }
    let format = image::format(&bytes).ok_or_else(|| refused("is not a png, jpeg, webp, gif, avif or svg picture"))?;
    Ok(format!("data:{};base64,{}", format.content_type(), Base64::encode_string(&bytes)))
}

fn of_source(error: JobError) -> JobError {
    JobError { message: format!("payload: source_image_url: {}", error.message), ..error }
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
