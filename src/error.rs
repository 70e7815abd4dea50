//! What went wrong, and whether to try again.

use crate::ctx::Response;
use crate::fields;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// What went wrong with one job. It is recorded on the job; the drain goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct JobError {
    /// A short stable word for filters, kept in the job's `errors`.
    pub kind: &'static str,
    pub message: String,
    /// What another service said of it. Recorded behind the message, but never logged: it may repeat a prompt.
    pub told: String,
    pub again: Again,
    /// What the job had come to all the same: `{result, follow_ups}` of a completion that was refused.
    pub unrecorded: Option<Value>,
}

/// The one question code asks an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Again {
    /// The job has failed.
    Never,
    /// With the job type's backoff, while attempts remain.
    Backoff,
    /// All jobs of the type wait this long; no attempt is spent.
    After(Duration),
    /// All jobs of the type wait until a person resumes it; no attempt is spent.
    WhenResumed,
}

impl JobError {
    pub fn never(kind: &'static str, message: impl Into<String>) -> JobError {
        JobError { kind, message: message.into(), told: String::new(), again: Again::Never, unrecorded: None }
    }

    pub fn backoff(kind: &'static str, message: impl Into<String>) -> JobError {
        JobError { kind, message: message.into(), told: String::new(), again: Again::Backoff, unrecorded: None }
    }

    pub fn with_told(self, told: impl Into<String>) -> JobError {
        JobError { told: told.into(), ..self }
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.told.is_empty() { Ok(()) } else { write!(formatter, ": {}", self.told) }
    }
}

/// What ended a whole run. It is returned to the caller; no job is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError(pub String);

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The services that answer with a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Replicate,
    /// Replicate's file delivery, where outputs lie.
    Delivery,
    Storage,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::Replicate => "replicate",
            Service::Delivery => "output host",
            Service::Storage => "storage",
        }
    }
}

/// The kind of an error that says that Replicate does not know what was asked for.
pub const NOT_FOUND: &str = "not_found";
/// The kind of an error that says that a model does not take the input it was given.
pub const INPUT_REJECTED: &str = "input_rejected";
/// The title of the body of a 422 that is about the input, and not about a version that is not there.
const INPUT_REJECTED_TITLE: &str = "Input validation failed";
/// How long to wait after a 429 that does not say.
const RATE_LIMIT_DEFAULT: Duration = Duration::from_secs(10);
/// A rate limit that asks for more is looked at again after this time.
const RATE_LIMIT_LONGEST: Duration = Duration::from_secs(3600);
/// A remote body is cut to this many characters in a message.
const DETAIL_CHARACTERS: usize = 500;
/// A remote body is read this far for what it says of an error.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Classifies an answer that is no success, and says what it says.
pub async fn from_answer(service: Service, response: Response) -> JobError {
    let (status, retry_after) = (response.status, response.header("retry-after").map(str::to_owned));
    let mut content = response.body;
    let body = content.peek(BODY_MAX_BYTES).await.unwrap_or_default();
    let body = String::from_utf8_lossy(body.get(..BODY_MAX_BYTES).unwrap_or(&body));
    from_status(service, status, retry_after.as_deref(), &body)
}

fn from_status(service: Service, status: u16, retry_after: Option<&str>, body: &str) -> JobError {
    let (message, told) = match service {
        Service::Replicate | Service::Delivery => (format!("{} answered {status}", service.name()), detail(body)),
        Service::Storage => (format!("storage answered {status}: {}", detail(body)), String::new()),
    };
    let (kind, again) = match (service, status) {
        (Service::Replicate, 401) => ("unauthorized", Again::WhenResumed),
        (Service::Replicate, 402) => ("insufficient_credit", Again::WhenResumed),
        (Service::Replicate, 429) => ("rate_limited", Again::After(rate_limit_delay(retry_after, body))),
        (Service::Replicate, 422) if body.contains(INPUT_REJECTED_TITLE) => (INPUT_REJECTED, Again::Never),
        (Service::Replicate, 404) => (NOT_FOUND, Again::Never),
        (Service::Delivery, 404 | 410) => ("output_gone", Again::Never),
        (Service::Storage, _) if is_about_object(status, body) => ("rejected", Again::Never),
        (Service::Storage, _) => ("unavailable", Again::Backoff),
        (_, 408 | 429) | (_, 500..) => ("unavailable", Again::Backoff),
        _ => ("rejected", Again::Never),
    };
    JobError { told, again, ..JobError::never(kind, message) }
}

/// Whether Storage will never take, or give, this very object. Its true status is in the body, where there is one:
/// older routes answer 400 to everything, with `{"statusCode":"503","error":"SlowDown","message":"…"}`, newer ones with
/// a `code`. Everything else is a state of Storage, of its database or of the key, and may pass (the errors of
/// supabase/storage, `src/internal/errors/codes.ts`, of November 2026).
fn is_about_object(status: u16, body: &str) -> bool {
    let json = crate::json::read(body).unwrap_or_default();
    let text = |field: &str| json.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
    let in_body = json.get("statusCode").and_then(|code| code.as_f64().or_else(|| number(code.as_str()?)));
    let status = in_body.map_or(status, |code| code as u16);
    let is = |codes: &[&str]| codes.contains(&text("code")) || codes.contains(&text("error"));
    match status {
        413 | 415 => true,
        // Not the 404 of a bucket, which may still be made.
        404 => is(&["NoSuchKey", "not_found"]) || text("message") == "Object not found",
        400 => {
            is(&["EntityTooLarge", "Payload too large", "InvalidMimeType", "invalid_mime_type", "InvalidKey"])
                || text("message").starts_with("Invalid key")
        }
        _ => false,
    }
}

/// The wait a 429 asks for: the header, else `retry_after` in the body, else "resets in ~30s" in
/// its text (the three places Replicate has been seen to use), else 10 s.
fn rate_limit_delay(retry_after: Option<&str>, body: &str) -> Duration {
    let in_header = retry_after.and_then(number);
    let json = crate::json::read(body);
    let in_body = || json.as_ref().and_then(|json| json.get("retry_after")).and_then(serde_json::Value::as_f64);
    let in_text = || {
        let (_, after) = body.split_once("resets in")?;
        let digits: String =
            after.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        number(&digits)
    };
    in_header
        .or_else(in_body)
        .or_else(in_text)
        .and_then(fields::seconds)
        .unwrap_or(RATE_LIMIT_DEFAULT)
        .clamp(Duration::from_secs(1), RATE_LIMIT_LONGEST)
}

/// A number in a text. JSON's reader is in the module anyway; the standard library's would add 15 KB.
pub fn number(text: &str) -> Option<f64> {
    serde_json::from_str::<serde_json::Value>(text.trim()).ok()?.as_f64()
}

/// The sentence in a remote error body: its `detail`, `message` or `error`, else the text, cut.
pub fn detail(body: &str) -> String {
    let json = crate::json::read(body);
    let sentence =
        ["detail", "message", "error"].iter().find_map(|key| json.as_ref()?.get(key)?.as_str()).unwrap_or(body).trim();
    if sentence.is_empty() { "no body".to_owned() } else { cut(&cleaned(sentence), DETAIL_CHARACTERS) }
}

/// A remote text as it may be kept and shown: without NUL, which Postgres takes in no text, and without the queries
/// of addresses, which may hold a signature.
pub fn cleaned(text: &str) -> String {
    let text = text.replace('\0', "");
    let mut parts = text.split("://");
    let mut cleaned = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_whitespace() || "\"'<>()".contains(c)).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        cleaned = cleaned + "://" + address.split('?').next().unwrap_or_default() + rest;
    }
    cleaned
}

/// The first `characters` of a text, marked when something is left out.
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classified() {
        use Again::*;
        use Service::*;
        let seconds = |n| After(Duration::from_secs(n));
        let table = [
            (Replicate, 400, None, "", "rejected", Never),
            (Replicate, 401, None, "", "unauthorized", WhenResumed),
            (Replicate, 402, None, "", "insufficient_credit", WhenResumed),
            (Replicate, 404, None, "", "not_found", Never),
            (Replicate, 422, None, "", "rejected", Never),
            (Replicate, 422, None, r#"{"title":"Input validation failed"}"#, "input_rejected", Never),
            (Replicate, 422, None, r#"{"title":"Invalid version or not permitted"}"#, "rejected", Never),
            (Replicate, 429, None, "", "rate_limited", seconds(10)),
            (Replicate, 429, Some("7"), r#"{"retry_after":5}"#, "rate_limited", seconds(7)),
            (Replicate, 429, None, r#"{"retry_after":5}"#, "rate_limited", seconds(5)),
            (Replicate, 429, None, r#"{"detail":"Your rate limit resets in ~30s."}"#, "rate_limited", seconds(30)),
            (Replicate, 429, Some("-1"), "", "rate_limited", seconds(10)),
            (Replicate, 429, Some("1e300"), "", "rate_limited", seconds(10)),
            (Replicate, 429, Some("86400"), "", "rate_limited", seconds(3600)),
            (Replicate, 429, Some("0"), "", "rate_limited", seconds(1)),
            (Replicate, 500, None, "", "unavailable", Backoff),
            (Replicate, 503, None, "", "unavailable", Backoff),
            (Delivery, 403, None, "", "rejected", Never),
            (Delivery, 404, None, "", "output_gone", Never),
            (Delivery, 410, None, "", "output_gone", Never),
            (Delivery, 429, None, "", "unavailable", Backoff),
            (Delivery, 502, None, "", "unavailable", Backoff),
            (Storage, 400, None, "", "unavailable", Backoff),
            (Storage, 403, None, "", "unavailable", Backoff),
            (Storage, 404, None, "", "unavailable", Backoff),
            (Storage, 413, None, "", "rejected", Never),
            (Storage, 415, None, "", "rejected", Never),
            (Storage, 400, None, r#"{"statusCode":"503","error":"SlowDown","message":"…"}"#, "unavailable", Backoff),
            (Storage, 400, None, r#"{"statusCode":503,"error":"DatabaseReadOnly"}"#, "unavailable", Backoff),
            (Storage, 400, None, r#"{"statusCode":"423","error":"ResourceLocked"}"#, "unavailable", Backoff),
            (
                Storage,
                400,
                None,
                r#"{"statusCode":"403","error":"Unauthorized","message":"\"iat\" claim timestamp check failed"}"#,
                "unavailable",
                Backoff,
            ),
            (Storage, 400, None, r#"{"statusCode":"409","error":"TransactionError"}"#, "unavailable", Backoff),
            (
                Storage,
                400,
                None,
                r#"{"statusCode":"400","code":"InvalidJWT","message":"jwt expired"}"#,
                "unavailable",
                Backoff,
            ),
            (
                Storage,
                400,
                None,
                r#"{"statusCode":"404","error":"Bucket not found","message":"Bucket not found"}"#,
                "unavailable",
                Backoff,
            ),
            (Storage, 400, None, r#"{"statusCode":"400","code":"TenantNotFound"}"#, "unavailable", Backoff),
            (Storage, 544, None, r#"{"code":"DatabaseTimeout"}"#, "unavailable", Backoff),
            (Storage, 200, None, "<html>", "unavailable", Backoff),
            (Storage, 400, None, r#"{"statusCode":"413","error":"Payload too large"}"#, "rejected", Never),
            (Storage, 400, None, r#"{"statusCode":"415","error":"invalid_mime_type"}"#, "rejected", Never),
            (
                Storage,
                400,
                None,
                r#"{"statusCode":"400","error":"InvalidKey","message":"Invalid key: a"}"#,
                "rejected",
                Never,
            ),
            (Storage, 400, None, r#"{"code":"EntityTooLarge"}"#, "rejected", Never),
            (
                Storage,
                400,
                None,
                r#"{"statusCode":"404","error":"not_found","message":"Object not found"}"#,
                "rejected",
                Never,
            ),
            (Storage, 404, None, r#"{"code":"NoSuchKey"}"#, "rejected", Never),
            (Storage, 413, None, r#"{"statusCode":"503"}"#, "unavailable", Backoff),
            (Storage, 429, None, "", "unavailable", Backoff),
            (Storage, 500, None, "", "unavailable", Backoff),
        ];
        for (service, status, header, body, kind, again) in table {
            let error = from_status(service, status, header, body);
            assert_eq!((error.kind, error.again), (kind, again), "{service:?} {status} {header:?} {body}");
        }
    }

    #[test]
    fn messages_say_who_and_what() {
        let error = from_status(Service::Replicate, 422, None, r#"{"detail":"- input: prompt is required\n"}"#);
        assert_eq!(error.to_string(), "replicate answered 422: - input: prompt is required");
        let error = from_status(Service::Replicate, 402, None, r#"{"detail":"no\u0000 credit"}"#);
        assert_eq!(error.to_string(), "replicate answered 402: no credit");
        assert_eq!(error.message, "replicate answered 402");
        assert_eq!(from_status(Service::Storage, 500, None, "").message, "storage answered 500: no body");
        let error = "403 Forbidden for url: https://a.co/sign/b.png?token=secret, and 'http://c.co/?d' (e?)";
        assert_eq!(cleaned(error), "403 Forbidden for url: https://a.co/sign/b.png and 'http://c.co/' (e?)");
        assert_eq!(cut("añb", 2), "añ…");
        assert_eq!(cut("añ", 2), "añ");
    }
}
