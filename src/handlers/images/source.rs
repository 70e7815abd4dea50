//! Source pictures, and the URLs at which Replicate can fetch them.
//!
//! Replicate gets the URL of a picture that it can fetch by itself. A private object of the project's own Storage gets
//! a signed URL that expires with the job. If Storage cannot be reached from outside, as on a local stack, the picture
//! itself is sent as a `data:` URI.

use super::format;
use crate::address::Address;
use crate::ctx::Ctx;
use crate::error::JobError;
use crate::text::{cleaned, cut};
use crate::{hosts, storage};
use base64ct::{Base64, Encoding};
use std::time::Duration;

/// Replicate's document of March 2026 limits `data:` URIs to files of 256 KB.
const DATA_MAX_BYTES: usize = 256 * 1024;
/// Names of a local stack besides the one that the function knows.
const LOCAL_NAMES: [&str; 5] = ["127.0.0.1", "localhost", "[::1]", "host.docker.internal", "kong"];
/// Encoded separators, and control characters that no name has: Storage would decode them into another path.
const DISGUISED: [&str; 5] = ["%2f", "%5c", "%0", "%1", "%7f"];
const MIN_SIGNED: Duration = Duration::from_secs(60);

/// Returns the URL that Replicate gets for a picture of the payload. Fails for good, naming the field, if the host is
/// not allowed, the object does not exist, or the picture is too large to be sent.
pub async fn reachable(ctx: &Ctx, source: &str) -> Result<String, JobError> {
    match Source::read(ctx, source)? {
        Source::Elsewhere(address) => Ok(address),
        Source::Private(path) => {
            storage::sign(ctx, &path, ctx.config.job_timeout.max(MIN_SIGNED)).await.map_err(of_source)
        }
        Source::Local(path) => as_data(ctx, &path).await,
    }
}

/// The URL that Replicate lists for the picture, without the signature. It asks only for local objects; if such an
/// object is gone, the form in which it was sent cannot be told.
pub async fn as_listed(ctx: &Ctx, source: &str) -> String {
    match Source::read(ctx, source) {
        Ok(Source::Elsewhere(address)) => address,
        Ok(Source::Private(path)) => format!("{}/storage/v1/object/sign/{path}", ctx.config.supabase_url),
        Ok(Source::Local(path)) => as_data(ctx, &path).await.unwrap_or_else(|_| source.to_owned()),
        Err(_) => source.to_owned(),
    }
}

enum Source {
    /// Replicate can fetch it by itself, or it is a `data:` URI.
    Elsewhere(String),
    /// An object of the project's own Storage, by bucket and path, that not everyone may read.
    Private(String),
    /// An object of a Storage that cannot be reached from outside.
    Local(String),
}

impl Source {
    fn read(ctx: &Ctx, source: &str) -> Result<Source, JobError> {
        if source.starts_with("data:") {
            // Four characters of base64 encode three bytes.
            let fits = source.len() <= DATA_MAX_BYTES * 4 / 3 + 100;
            return if fits { Ok(Source::Elsewhere(source.to_owned())) } else { Err(too_large()) };
        }
        // Parsing resolves its dots, so that the service key is sent only for objects.
        let url = Address::parse(source)
            .ok_or_else(|| refused(&format!("is not a URL: {:?}", cut(&cleaned(source), 100))))?;
        let own = Address::parse(&ctx.config.supabase_url);
        let is_local = own.as_ref().is_some_and(|own| own.scheme() == "http");
        // A local stack has several names: the one that the function knows, and those that others use.
        let is_own = own.is_some_and(|own| url.has_origin_of(&own))
            || (is_local && url.scheme() == "http" && LOCAL_NAMES.contains(&url.host()));
        if let Some(object) = url.path().strip_prefix("/storage/v1/object/").filter(|_| is_own) {
            if is_disguised(object) {
                return Err(refused("has an encoded separator in its path"));
            }
            let kinds = ["public/", "sign/", "authenticated/"];
            let (kind, path) =
                kinds.iter().find_map(|kind| Some((*kind, object.strip_prefix(kind)?))).unwrap_or(("", object));
            return Ok(match (is_local, kind) {
                (true, _) => Source::Local(path.to_owned()),
                (false, "public/" | "sign/") => Source::Elsewhere(url.as_str().to_owned()),
                (false, _) => Source::Private(path.to_owned()),
            });
        }
        if hosts::is_listed(&ctx.config.allowed_source_hosts, &url) {
            return Ok(Source::Elsewhere(url.as_str().to_owned()));
        }
        let host = cut(&hosts::with_port(&url), 100);
        let message = format!("payload: source_image_url: {}://{host} is not in ALLOWED_SOURCE_HOSTS", url.scheme());
        Err(JobError::never("host_not_allowed", message))
    }
}

/// True if the path holds an encoded separator or control character, however often it is encoded. Plain dot segments
/// are resolved by now, unless they are encoded twice.
fn is_disguised(path: &str) -> bool {
    let mut decoded = path.to_ascii_lowercase();
    let is_nested = decoded.contains("%25");
    while decoded.contains("%25") {
        decoded = decoded.replace("%25", "%");
    }
    DISGUISED.iter().any(|part| decoded.contains(part)) || (is_nested && decoded.contains("%2e"))
}

async fn as_data(ctx: &Ctx, path: &str) -> Result<String, JobError> {
    let mut content = storage::read(ctx, path).await.map_err(of_source)?;
    let bytes = content.peek(DATA_MAX_BYTES + 1).await.map_err(|error| of_source(storage::lost(error)))?;
    if bytes.len() > DATA_MAX_BYTES {
        return Err(too_large());
    }
    let format = format::format(&bytes).ok_or_else(|| refused("is not a png, jpeg, webp, gif, avif or svg picture"))?;
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
            "payload: source_image_url is larger than the {DATA_MAX_BYTES} bytes that replicate takes as a data: URI"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::is_disguised;

    #[test]
    fn what_storage_would_decode_into_another_path_is_disguised() {
        for path in
            ["a%2Fb", "a/..%5cb", "a%252e%252e/b", "a%25252525%2e/b", "a%25252fb", "a%00", "a%0a", "a%1fb", "a%7Fb"]
        {
            assert!(is_disguised(path), "{path}");
        }
        for path in ["bucket/a/b.png", "a%2eb", "100%25.png", "100%25%20a", "a%C3%B1%20b", "a%252b"] {
            assert!(!is_disguised(path), "{path}");
        }
    }
}
