//! Pictures to start from, and where Replicate reaches them.
//!
//! What Replicate can fetch by itself it is given the address of. A private object of our own Storage gets a
//! signed address that ends with the job; where Storage cannot be reached from outside, as on a local stack, the
//! picture itself is sent as a `data:` URI.

use crate::address::Address;
use crate::ctx::Ctx;
use crate::error::{JobError, cleaned, cut};
use crate::{hosts, image, storage};
use base64ct::{Base64, Encoding};
use std::time::Duration;

/// Replicate's document of March 2026: `data:` URIs are for files of 256 KB at most.
const DATA_BYTES_MOST: usize = 256 * 1024;
/// What a local stack is reached by, beside the name that the function knows.
const LOCAL_NAMES: [&str; 5] = ["127.0.0.1", "localhost", "[::1]", "host.docker.internal", "kong"];
/// What would lead elsewhere once Storage has decoded it: separators, and what no name has.
const DISGUISED: [&str; 5] = ["%2f", "%5c", "%0", "%1", "%7f"];
const SIGNED_SHORTEST: Duration = Duration::from_secs(60);

/// The address to give to Replicate for a picture of the payload. Fails for good, naming the field, where the host
/// is not allowed, the object is not there, or the picture is too large to be sent.
pub async fn reachable(ctx: &Ctx, source: &str) -> Result<String, JobError> {
    match Source::read(ctx, source)? {
        Source::Elsewhere(address) => Ok(address),
        Source::Private(path) => {
            storage::sign(ctx, &path, ctx.config.job_timeout.max(SIGNED_SHORTEST)).await.map_err(of_source)
        }
        Source::Local(path) => as_data(ctx, &path).await,
    }
}

/// The same as Replicate lists it, but for the signature. It asks for nothing that may be gone; of a picture that
/// is, what it was sent as cannot be told.
pub async fn as_listed(ctx: &Ctx, source: &str) -> String {
    match Source::read(ctx, source) {
        Ok(Source::Elsewhere(address)) => address,
        Ok(Source::Private(path)) => format!("{}/storage/v1/object/sign/{path}", ctx.config.supabase_url),
        Ok(Source::Local(path)) => as_data(ctx, &path).await.unwrap_or_else(|_| source.to_owned()),
        Err(_) => source.to_owned(),
    }
}

enum Source {
    /// Replicate can fetch it by itself, or it is all there.
    Elsewhere(String),
    /// An object of our own Storage, by bucket and path, that not everyone may read.
    Private(String),
    /// An object of a Storage that nobody outside can reach.
    Local(String),
}

impl Source {
    fn read(ctx: &Ctx, source: &str) -> Result<Source, JobError> {
        if source.starts_with("data:") {
            // Four characters of base64 are three bytes.
            let fits = source.len() <= DATA_BYTES_MOST * 4 / 3 + 100;
            return if fits { Ok(Source::Elsewhere(source.to_owned())) } else { Err(too_large()) };
        }
        // Parsed, its dots are resolved, so that the service key goes to objects and nowhere else.
        let url = Address::parse(source)
            .ok_or_else(|| refused(&format!("is not a URL: {:?}", cut(&cleaned(source), 100))))?;
        let own = Address::parse(&ctx.config.supabase_url);
        let is_local = own.as_ref().is_some_and(|own| own.scheme() == "http");
        // A local stack has several names: the one that the function knows, and those that others reach it by.
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
        match hosts::is_listed(&ctx.config.allowed_source_hosts, &url) {
            true => Ok(Source::Elsewhere(url.as_str().to_owned())),
            false => {
                let host = cut(&hosts::with_port(&url), 100);
                let message =
                    format!("payload: source_image_url: {}://{host} is not in ALLOWED_SOURCE_HOSTS", url.scheme());
                Err(JobError::never("host_not_allowed", message))
            }
        }
    }
}

/// Whether a path holds an encoded separator or control character, however often it is encoded. Dots that stand for
/// themselves are resolved by now, unless they are encoded twice.
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
