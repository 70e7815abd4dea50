//! `download-image`: carries a generation's pictures from where they were made into Storage, one after the
//! other, without ever holding one.
//!
//! The image rows and the generation's status are written with the job's completion, from the result given
//! here: all of them or none.

use super::id;
use crate::address::Address;
use crate::ctx::{Body, Ctx, Incoming, Meter, Request, Response};
use crate::error::{JobError, Service, from_answer};
use crate::fields::Fields;
use crate::job::{Job, Outcome};
use crate::json::object;
use crate::storage;
use crate::{hosts, image};
use serde_json::Value;
use std::time::Duration;

struct Payload {
    generation_id: String,
    user_id: String,
    output_urls: Vec<String>,
}

impl Payload {
    fn read(fields: &Fields<'_>) -> Result<Payload, String> {
        let output_urls = match fields.texts("output_urls")? {
            Some(urls) if !urls.is_empty() => urls.into_iter().map(str::to_owned).collect(),
            Some(_) | None => vec![fields.required("output_url", fields.text("output_url")?)?.to_owned()],
        };
        Ok(Payload { generation_id: id(fields, "generation_id")?, user_id: id(fields, "user_id")?, output_urls })
    }
}

/// After this time the run parks with what it has stored, and the next one goes on: a run must end within the
/// platform's wall clock.
const RUN_LONGEST: Duration = Duration::from_secs(20);
/// Until the first bytes are here; the upload's own time-out bounds the rest.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS_MOST: usize = 3;

pub async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let payload = job.payload(Payload::read)?;
    let started = ctx.clock.now_milliseconds();
    let mut stored = stored_before(job);
    while let Some(output_url) = payload.output_urls.get(stored.len()) {
        if !stored.is_empty() && ctx.clock.now_milliseconds().saturating_sub(started) > RUN_LONGEST.as_millis() as u64 {
            let checkpoint = object(vec![("stored", stored.into())]);
            return Ok(Outcome::Snoozed { delay: Duration::ZERO, checkpoint, progress: None });
        }
        stored.push(store(ctx, &payload, output_url, stored.len() + 1).await?);
    }
    let result = match stored.pop() {
        Some(only) if stored.is_empty() => only,
        last => object(vec![("images", stored.into_iter().chain(last).collect())]),
    };
    Ok(Outcome::Completed { result, follow_ups: Vec::new() })
}

/// What an earlier run has stored of the pictures, in their order; what cannot be read is stored again.
fn stored_before(job: &Job) -> Vec<Value> {
    let stored = job.checkpoint.as_ref().and_then(|checkpoint| checkpoint.get("stored")?.as_array());
    stored.cloned().unwrap_or_default()
}

/// Stores the `number`th picture, from 1, and answers what its row is made of.
async fn store(ctx: &Ctx, payload: &Payload, output_url: &str, number: usize) -> Result<Value, JobError> {
    let response = open(ctx, output_url).await?;
    let announced = response.header("content-length").and_then(|length| length.parse::<u64>().ok());
    if announced.is_some_and(|length| length > ctx.config.max_image_bytes) {
        return Err(storage::too_large(ctx.config.max_image_bytes));
    }
    let mut content = response.body;
    let (format, dimensions) = identify(content.as_mut()).await?;

    let (id, extension) = (&payload.generation_id, format.extension());
    let filename = if number == 1 { format!("{id}.{extension}") } else { format!("{id}-{number}.{extension}") };
    let path = format!("{}/{filename}", payload.user_id);
    let meter = Meter::new(ctx.config.max_image_bytes);
    storage::upload(ctx, &path, format.content_type(), content, &meter).await?;
    Ok(object(vec![
        ("filename", filename.into()),
        ("public_url", storage::public_url(ctx, &path).into()),
        ("storage_path", path.into()),
        ("file_size", meter.bytes().into()),
        ("width", dimensions.map(|(width, _)| width).into()),
        ("height", dimensions.map(|(_, height)| height).into()),
        ("format", extension.into()),
    ]))
}

/// Requests the picture, following redirects to allowed hosts only. Outputs are public; where the
/// delivery asks for it all the same, the token goes to Replicate's own hosts and to no other.
async fn open(ctx: &Ctx, output_url: &str) -> Result<Response, JobError> {
    let mut url = allowed(&ctx.config.allowed_output_hosts, output_url)?;
    let mut token = None;
    for _ in 0..=REDIRECTS_MOST {
        let headers = token.iter().map(|token| ("authorization".to_owned(), format!("Bearer {token}"))).collect();
        let request = Request {
            method: "GET",
            url: url.as_str().to_owned(),
            headers,
            body: Body::Empty,
            timeout: DOWNLOAD_TIMEOUT,
        };
        let lost = |error| JobError::backoff("unavailable", format!("output host did not answer: {error}"));
        let response = ctx.http.send(request).await.map_err(lost)?;
        match (response.status, response.header("location")) {
            (200..=299, _) => return Ok(response),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let next = url.join(location).ok_or_else(|| not_allowed(location))?;
                url = allowed(&ctx.config.allowed_output_hosts, next.as_str())?;
                token = None;
            }
            (401 | 403, _) if token.is_none() && is_replicates(&url) && ctx.config.replicate_api_token.is_some() => {
                token = ctx.config.replicate_api_token.as_deref();
            }
            _ => return Err(from_answer(Service::Delivery, response).await),
        }
    }
    Err(JobError::never("rejected", format!("output host redirected more than {REDIRECTS_MOST} times")))
}

/// Reads as much of the head as tells format and size. The size may stay unknown, the format not.
async fn identify(content: &mut dyn Incoming) -> Result<(image::Format, Option<(u32, u32)>), JobError> {
    let broke_off = |error| JobError::backoff("unavailable", format!("download broke off: {error}"));
    let head = content.peek(image::HEAD_BYTES).await.map_err(broke_off)?;
    let Some(format) = image::format(&head) else {
        let start = String::from_utf8_lossy(head.get(..16).unwrap_or(&head)).into_owned();
        let message =
            format!("output_url is not a png, jpeg, webp, gif, avif or svg picture: it begins with {start:?}");
        return Err(JobError::never("not_an_image", message));
    };
    let mut dimensions = image::dimensions(format, &head);
    if dimensions.is_none() && head.len() >= image::HEAD_BYTES {
        let head = content.peek(image::HEAD_BYTES_MOST).await.map_err(broke_off)?;
        dimensions = image::dimensions(format, &head);
    }
    Ok((format, dimensions))
}

/// Checks a URL against `ALLOWED_OUTPUT_HOSTS`. A `data:` URI leads nowhere and is always allowed.
fn allowed(hosts: &[String], text: &str) -> Result<Address, JobError> {
    let Some(url) = Address::parse(text) else {
        let message = format!("payload: output_url is not a URL: {:?}", crate::error::cut(text, 100));
        return Err(JobError::never("invalid_payload", message));
    };
    if url.scheme() == "data" || hosts::is_listed(hosts, &url) {
        Ok(url)
    } else {
        Err(not_allowed(&format!("{}://{}", url.scheme(), hosts::with_port(&url))))
    }
}

fn not_allowed(host: &str) -> JobError {
    let host = crate::error::cut(host, 100);
    JobError::never("host_not_allowed", format!("output_url: {host} is not in ALLOWED_OUTPUT_HOSTS"))
}

fn is_replicates(url: &Address) -> bool {
    let host = url.host();
    url.scheme() == "https" && (host == "replicate.delivery" || host.ends_with(".replicate.delivery"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_field_and_the_host() {
        let error = allowed(&[], "http://169.254.169.254/latest").unwrap_err();
        assert_eq!(error.message, "output_url: http://169.254.169.254:80 is not in ALLOWED_OUTPUT_HOSTS");
    }
}
