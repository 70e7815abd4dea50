//! `download-image`: carries a generation's pictures from Replicate into Storage, one after the other. Only SVGs are
//! held whole.
//!
//! The job's completion writes the image rows and the generation's status from the result returned here: all of them or
//! none.

use super::{Id, format, svg};
use crate::address::Address;
use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::fields::{Fields, Kind, fields};
use crate::hosts;
use crate::http::{Body, Incoming, Meter, Refusal, Request, Response, TransportError};
use crate::job::{Handler, Job, Outcome, nothing_to_end};
use crate::json::object;
use crate::models::catalogue;
use crate::replicate::{self, NOT_FOUND};
use crate::storage;
use crate::text::{cleaned, cut, detail};
use serde_json::Value;
use std::time::Duration;

pub const HANDLER: Handler = Handler {
    job_type: "download-image",
    #[cfg(test)]
    payload: Payload::typescript,
    timed: true,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: nothing_to_end,
};

fields! {
    #[expect(dead_code, reason = "the database reads what goes into the rows")]
    pub struct Payload {
        /// 1 to 128 letters, digits, `_` and `-`, as in the user's.
        generation_id: Id,
        user_id: Id,
        /// The picture's address; several, in their order, go into `output_urls`.
        output_url: Option<String>,
        output_urls: Option<Vec<String>>,
        /// Whose outputs they are, where they are too large to be in a payload.
        prediction_id: Option<String>,
        model_id: Told,
        /// These two go into the pictures' rows.
        prompt: Told,
        negative_prompt: Told,
    }
}

/// An optional text that nothing depends on: a value of another type counts as absent.
pub struct Told(Option<String>);

impl Kind for Told {
    fn get(fields: &Fields<'_>, field: &str) -> Result<Option<Told>, String> {
        Ok(Some(Told(fields.text(field).unwrap_or_default().map(str::to_owned))))
    }

    #[cfg(test)]
    fn typescript(field: &str, docs: &str) -> String {
        Option::<String>::typescript(field, docs)
    }
}

impl Payload {
    /// Empty if the URLs are to be asked for.
    fn output_urls(&self) -> Result<Vec<String>, String> {
        match (self.output_urls.as_ref().filter(|urls| !urls.is_empty()), &self.output_url) {
            (Some(urls), _) => Ok(urls.clone()),
            (None, _) if self.prediction_id.is_some() => Ok(Vec::new()),
            (None, Some(url)) => Ok(vec![url.clone()]),
            (None, None) => Err("payload: output_url is missing".to_owned()),
        }
    }
}

/// After this time the run parks with its stored pictures and the next run continues: a run must end within the
/// platform's wall clock.
const MAX_RUN: Duration = Duration::from_secs(20);
/// The time until the first bytes; the upload's own time-out limits the rest.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(20);
/// In a job younger than this, a missing output is retried: a new object may not be everywhere yet.
const NOT_THERE_YET: Duration = Duration::from_secs(60);
const MAX_REDIRECTS: usize = 3;

/// An SVG is read whole before it is stored; a larger one is refused rather than held.
const SVG_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The results of the outputs so far, in their order; each output is in one of the lists.
#[derive(Default)]
struct Progress {
    /// The values for the image rows.
    stored: Vec<Value>,
    /// `{output, error}`; outputs count from 1.
    not_stored: Vec<Value>,
}

impl Progress {
    /// Reads an earlier run's checkpoint; lists that cannot be read are stored again.
    fn read(job: &Job) -> Progress {
        let list = |field: &str| {
            let list = job.checkpoint.as_ref().and_then(|checkpoint| checkpoint.get(field)?.as_array());
            list.cloned().unwrap_or_default()
        };
        Progress { stored: list("stored"), not_stored: list("not_stored") }
    }

    fn into_json(self, stored: &'static str) -> Value {
        let mut fields = vec![(stored, self.stored.into())];
        fields.extend((!self.not_stored.is_empty()).then(|| ("not_stored", self.not_stored.into())));
        object(fields)
    }

    fn next(&self) -> usize {
        self.stored.len() + self.not_stored.len()
    }
}

/// Stores the outputs that it can and records an error for each other; fails if none is stored. An error that may pass
/// is retried while there are attempts and time left.
async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let (payload, mut output_urls) = job.payload(|fields| {
        let payload = Payload::read(fields)?;
        let output_urls = payload.output_urls()?;
        Ok((payload, output_urls))
    })?;
    if let Some(prediction_id) = payload.prediction_id.as_ref().filter(|_| output_urls.is_empty()) {
        output_urls = match outputs(ctx, job, prediction_id).await {
            // The limit on looks must not hold the downloads that need none.
            Err(JobError { again: Again::After(delay), .. }) => {
                let checkpoint = job.checkpoint.clone().unwrap_or_default();
                return Ok(Outcome::Snoozed { delay, checkpoint, progress: None });
            }
            outputs => outputs?,
        };
    }
    let started = ctx.clock.now_milliseconds();
    let elapsed = || Duration::from_millis(ctx.clock.now_milliseconds().saturating_sub(started));
    let mut progress = Progress::read(job);
    let mut failure = None;
    while let Some(output_url) = output_urls.get(progress.next()) {
        if progress.next() > 0 && elapsed() > MAX_RUN {
            let share = 100 * progress.next() / output_urls.len();
            let checkpoint = progress.into_json("stored");
            return Ok(Outcome::Snoozed { delay: Duration::ZERO, checkpoint, progress: Some(share as u8) });
        }
        match store(ctx, job, &payload, output_url, progress.next() + 1).await {
            Ok(picture) => progress.stored.push(picture),
            Err(error) => {
                let is_last = job.attempt_number >= job.max_attempts || job.age + elapsed() >= ctx.config.job_timeout;
                if error.again != Again::Never && !(error.again == Again::Backoff && is_last) {
                    return Err(error);
                }
                let output = ("output", (progress.next() + 1).into());
                progress.not_stored.push(object(vec![output, ("error", error.to_string().into())]));
                failure.get_or_insert(error);
            }
        }
    }
    match (progress.stored.pop(), failure) {
        (None, Some(error)) => Err(error),
        (Some(only), _) if output_urls.len() == 1 => Ok(completed(only)),
        (last, _) => {
            progress.stored.extend(last);
            Ok(completed(progress.into_json("images")))
        }
    }
}

/// Asks Replicate for the URLs of the outputs.
async fn outputs(ctx: &Ctx, job: &Job, prediction_id: &str) -> Result<Vec<String>, JobError> {
    let urls = match replicate::get(ctx, prediction_id).await {
        // Nor must a refused token pause them. A new prediction may not be known everywhere yet.
        Err(error) if error.again == Again::WhenResumed || (error.kind == NOT_FOUND && job.age < NOT_THERE_YET) => {
            return Err(JobError { again: Again::Backoff, ..error });
        }
        answer => answer?.output_urls(),
    };
    if urls.is_empty() {
        return Err(JobError::never("output_gone", format!("prediction {prediction_id} has no output any more")));
    }
    Ok(urls)
}

fn completed(result: Value) -> Outcome {
    Outcome::Completed { result, follow_ups: Vec::new() }
}

/// Stores picture number `number`, counted from 1, and returns the values for its row.
async fn store(ctx: &Ctx, job: &Job, payload: &Payload, output_url: &str, number: usize) -> Result<Value, JobError> {
    let response = open(ctx, job, output_url).await?;
    if response.content_length.is_some_and(|length| length > ctx.config.max_image_bytes) {
        return Err(storage::too_large(ctx.config.max_image_bytes));
    }
    let mut content = response.body;
    let (format, dimensions) = identify(content.as_mut()).await?;
    if format == format::Format::Svg && !ctx.config.allow_any_svg {
        check_svg(payload, content.as_mut()).await?;
    }

    let path = format!("{}/{}", payload.user_id.0, filename(&payload.generation_id.0, number, format.extension()));
    let meter = Meter::new(ctx.config.max_image_bytes);
    storage::upload(ctx, &path, format.content_type(), content, &meter).await?;
    let filename = path.rsplit('/').next().unwrap_or_default();
    Ok(object(vec![
        ("filename", filename.into()),
        ("public_url", storage::public_url(ctx, &path).into()),
        ("storage_path", path.as_str().into()),
        ("file_size", meter.bytes().into()),
        ("width", dimensions.map(|(width, _)| width).into()),
        ("height", dimensions.map(|(_, height)| height).into()),
        ("format", format.extension().into()),
    ]))
}

/// The name of a generation's `number`th picture: the same in every attempt and unique, because an id has no dot.
fn filename(generation_id: &str, number: usize, extension: &str) -> String {
    match number {
        1 => format!("{generation_id}.{extension}"),
        _ => format!("{generation_id}.{number}.{extension}"),
    }
}

/// Refuses an SVG that is more than a picture, because a browser runs it like a page, or that comes from a model known
/// to make no SVGs.
async fn check_svg(payload: &Payload, content: &mut dyn Incoming) -> Result<(), JobError> {
    let refused =
        |why: String| JobError::never("unsafe_svg", format!("output_url is an svg that is not stored: {why}"));
    if let Some(model) =
        payload.model_id.0.as_deref().and_then(catalogue::find).filter(|model| !model.id.ends_with("-svg"))
    {
        return Err(refused(format!("{} makes none", model.id)));
    }
    let document = content.peek(SVG_MAX_BYTES + 1).await.map_err(broke_off)?;
    if document.len() > SVG_MAX_BYTES {
        return Err(refused(format!("it is larger than {SVG_MAX_BYTES} bytes")));
    }
    svg::refusal(&document).map_or(Ok(()), |found| Err(refused(format!("it has {found}"))))
}

/// Requests the picture, following redirects to allowed hosts only. Outputs are public; if the delivery asks for a
/// token all the same, only Replicate's own hosts get it.
async fn open(ctx: &Ctx, job: &Job, output_url: &str) -> Result<Response, JobError> {
    let mut url = allowed(&ctx.config.allowed_output_hosts, output_url)?;
    let mut token = None;
    for _ in 0..=MAX_REDIRECTS {
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
        match (response.status, response.location.as_deref()) {
            (200..=299, _) => return Ok(response),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let next = url.join(location).ok_or_else(|| not_allowed(&format!("{:?}", cleaned(location))))?;
                url = allowed(&ctx.config.allowed_output_hosts, next.as_str())?;
                token = None;
            }
            (401 | 403, _) if token.is_none() && is_replicates(&url) && ctx.config.replicate_api_token.is_some() => {
                token = ctx.config.replicate_api_token.as_deref();
            }
            (status, _) => {
                let error = refused(&response.refusal().await);
                let is_not_yet = matches!(status, 401 | 403 | 404) && job.age < NOT_THERE_YET;
                return Err(if is_not_yet { JobError { again: Again::Backoff, ..error } } else { error });
            }
        }
    }
    Err(JobError::never("rejected", format!("output host redirected more than {MAX_REDIRECTS} times")))
}

fn refused(Refusal { status, body, .. }: &Refusal) -> JobError {
    let (kind, again) = match status {
        404 | 410 => ("output_gone", Again::Never),
        408 | 429 | 500.. => ("unavailable", Again::Backoff),
        _ => ("rejected", Again::Never),
    };
    JobError { again, ..JobError::never(kind, format!("output host answered {status}")) }.with_told(detail(body))
}

/// Reads enough of the head for format and size. The size may stay unknown, the format may not.
async fn identify(content: &mut dyn Incoming) -> Result<(format::Format, Option<(u32, u32)>), JobError> {
    let head = content.peek(format::HEAD_BYTES).await.map_err(broke_off)?;
    let Some(format) = format::format(&head) else {
        let start = String::from_utf8_lossy(head.get(..16).unwrap_or(&head)).into_owned();
        let message =
            format!("output_url is not a png, jpeg, webp, gif, avif or svg picture: it begins with {start:?}");
        return Err(JobError::never("not_an_image", message));
    };
    let mut dimensions = format::dimensions(format, &head);
    if dimensions.is_none() && head.len() >= format::HEAD_BYTES {
        let head = content.peek(format::HEAD_MAX_BYTES).await.map_err(broke_off)?;
        dimensions = format::dimensions(format, &head);
    }
    Ok((format, dimensions))
}

fn broke_off(error: TransportError) -> JobError {
    JobError::backoff("unavailable", format!("download broke off: {error}"))
}

/// Checks a URL against `ALLOWED_OUTPUT_HOSTS`. A `data:` URI contacts no host and is always allowed.
fn allowed(hosts: &[String], text: &str) -> Result<Address, JobError> {
    let Some(url) = Address::parse(text) else {
        let message = format!("payload: output_url is not a URL: {:?}", cut(&cleaned(text), 100));
        return Err(JobError::never("invalid_payload", message));
    };
    if url.scheme() == "data" || hosts::is_listed(hosts, &url) {
        Ok(url)
    } else {
        Err(not_allowed(&format!("{}://{}", url.scheme(), hosts::with_port(&url))))
    }
}

fn not_allowed(host: &str) -> JobError {
    let host = cut(host, 100);
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
    fn no_two_pictures_have_one_name() {
        assert_eq!(filename("fox", 1, "png"), "fox.png");
        assert_eq!(filename("fox", 2, "png"), "fox.2.png");
        let ids = ["fox", "fox-2", "fox_2", "2", "fox-2-2"];
        let mut names: Vec<String> = Vec::new();
        for id in ids {
            names.extend((1..=12).flat_map(|number| ["png", "jpg"].map(|extension| filename(id, number, extension))));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_message_names_the_field_and_the_host() {
        let error = allowed(&[], "http://169.254.169.254/latest").unwrap_err();
        assert_eq!(error.message, "output_url: http://169.254.169.254:80 is not in ALLOWED_OUTPUT_HOSTS");
    }

    #[test]
    fn statuses_are_classified() {
        let table = [
            (403, "rejected", Again::Never),
            (404, "output_gone", Again::Never),
            (410, "output_gone", Again::Never),
            (429, "unavailable", Again::Backoff),
            (502, "unavailable", Again::Backoff),
        ];
        for (status, kind, again) in table {
            let error = refused(&Refusal { status, retry_after: None, body: String::new() });
            assert_eq!((error.kind, error.again), (kind, again), "{status}");
        }
    }
}
