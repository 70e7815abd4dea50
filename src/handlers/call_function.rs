//! `call_function`: runs the jobs of every type whose row names an Edge Function of the project. The job is posted to it;
//! its end is the answer or, after a 202, what is told later.
//!
//! A call may come twice, after a kill or a lost answer: `idempotency-key` is the same for all calls of a job's life.

use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::fields;
use crate::http::{Body, Request, Response, TransportError};
use crate::job::{CALL_FUNCTION, Handler, Job, Outcome};
use crate::json::{self, object};
use crate::text::{cleaned, cut, detail};
use crate::webhook;
use constant_time_eq::constant_time_eq;
use hmac_sha256::HMAC;
use serde_json::Value;
use std::time::Duration;

pub const HANDLER: Handler = Handler {
    job_type: CALL_FUNCTION,
    #[cfg(test)]
    payload: String::new,
    run: |ctx, job| Box::pin(run(ctx, job)),
    cancel: |ctx, job| Box::pin(cancel(ctx, job)),
    // Each attempt has its time.
    timed: false,
};

/// The longest wait for an answer. With the 45 s in which a drain claims it is under 150 s, the smallest plan's wall
/// clock, after which the platform would end this worker, and the called function too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
/// The most bytes of a result, as of a payload.
const RESULT_MAX_BYTES: usize = 1024 * 1024;
/// The most characters that are kept of an answer that is no result.
const TEXT_MAX_CHARACTERS: usize = 2000;
/// The wait after a 429 that gives none.
const RATE_LIMIT_DEFAULT: Duration = Duration::from_secs(10);
const RATE_LIMIT_MAX: Duration = Duration::from_secs(3600);
/// The wait until a function that the platform cannot start is called again.
const NOT_STARTED_DELAY: Duration = Duration::from_secs(60);
const TOKEN_BYTES: usize = 16;

async fn run(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    if let Some(end) = told(job) {
        return end;
    }
    let timeout = job.call_timeout.unwrap_or(ctx.config.job_timeout);
    if let Some(until) = waits_until(job) {
        let left = until.saturating_sub(job.age);
        if !left.is_zero() {
            return Ok(parked(job, until, left));
        }
        let message = format!("{} answered 202, and its end was not told within {} s", name(job), timeout.as_secs());
        return Err(JobError::backoff("timed_out", message));
    }
    let response = call(ctx, job, "POST", timeout.min(ANSWER_TIMEOUT)).await?;
    match response.status {
        202 => Ok(parked(job, job.age.saturating_add(timeout), timeout)),
        200..=299 => Ok(Outcome::Completed { result: result(job, response).await?, follow_ups: Vec::new() }),
        _ => Err(refused(job, response).await),
    }
}

/// Tells the function that the job is not wanted any more. One that knows nothing of the job, or of cancels, has ended.
async fn cancel(ctx: &Ctx, job: &Job) -> Result<Outcome, JobError> {
    let response = call(ctx, job, "DELETE", ANSWER_TIMEOUT).await?;
    match response.status {
        200..=299 | 404 | 405 | 410 => Ok(Outcome::Cancelled),
        _ => match refused(job, response).await {
            error if error.again == Again::Never => Err(JobError { again: Again::Backoff, ..error }),
            error => Err(error),
        },
    }
}

fn name(job: &Job) -> &str {
    job.call_function.as_deref().unwrap_or_default()
}

/// The end that was told by an event, `{"status": "completed", "result"}` or `{"status": "failed", "error"}`.
fn told(job: &Job) -> Option<Result<Outcome, JobError>> {
    let event = job.event.as_ref()?;
    match event.get("status")?.as_str()? {
        "completed" => {
            let result = event.get("result").cloned().unwrap_or_default();
            Some(Ok(Outcome::Completed { result, follow_ups: Vec::new() }))
        }
        "failed" => {
            let error = event.get("error").and_then(Value::as_str).unwrap_or("no reason given");
            let told = cut(&cleaned(error), TEXT_MAX_CHARACTERS);
            Some(Err(JobError::never("function_failed", format!("{} failed", name(job))).with_told(told)))
        }
        _ => None,
    }
}

/// The age of the job until which its present attempt waits, if that was answered with 202.
fn waits_until(job: &Job) -> Option<Duration> {
    let field = |name: &str| job.checkpoint.as_ref()?.get(name)?.as_f64();
    let attempt_number = field("attempt_number")?;
    field("until_age_seconds").filter(|_| attempt_number == f64::from(job.attempt_number)).and_then(fields::seconds)
}

fn parked(job: &Job, until: Duration, delay: Duration) -> Outcome {
    let checkpoint = object(vec![
        ("attempt_number", job.attempt_number.into()),
        ("until_age_seconds", json::number(until.as_secs_f64())),
    ]);
    Outcome::Snoozed { delay, checkpoint, progress: None }
}

async fn call(ctx: &Ctx, job: &Job, method: &'static str, timeout: Duration) -> Result<Response, JobError> {
    let (api, key, name) = (&ctx.config.supabase_url, &ctx.config.service_key, name(job));
    let idempotency_key = format!("{}:{}", job.id, job.life);
    let mut fields = vec![
        ("job_id", job.id.as_str().into()),
        ("job_type", job.job_type.as_str().into()),
        ("attempt_number", job.attempt_number.into()),
        ("max_attempts", job.max_attempts.into()),
        ("life", job.life.into()),
        ("idempotency_key", idempotency_key.as_str().into()),
        ("job_url", format!("{api}/functions/v1/process-jobs/jobs/{}", job.id).into()),
        ("token", token(key, &job.id, job.life).into()),
    ];
    if method == "POST" {
        fields.push(("payload", job.payload.clone()));
    }
    let body = json::text(&object(fields));
    let mut headers = vec![
        ("apikey".to_owned(), key.clone()),
        ("authorization".to_owned(), format!("Bearer {key}")),
        ("content-type".to_owned(), "application/json".to_owned()),
        ("x-job-id".to_owned(), job.id.clone()),
        ("x-job-attempt".to_owned(), job.attempt_number.to_string()),
    ];
    // A receiver takes each id once, and the cancel is not the job's own call.
    let id = if method == "POST" { idempotency_key.clone() } else { format!("{idempotency_key}:cancel") };
    if !ctx.config.webhook_keys.is_empty() {
        headers.extend(webhook::headers(&ctx.config.webhook_keys, &id, ctx.clock.unix_seconds(), &body));
    }
    headers.push(("idempotency-key".to_owned(), idempotency_key));
    let url = format!("{api}/functions/v1/{name}");
    let answer = ctx.http.send(Request { method, url, headers, body: Body::Text(body), timeout }).await;
    answer.map_err(|error| lost(name, &error))
}

/// No answer. The platform throws a `RateLimitError` where functions call each other too often.
fn lost(name: &str, error: &TransportError) -> JobError {
    let failed = JobError::backoff("unavailable", format!("{name} did not answer: {error}"));
    if error.0.starts_with("RateLimitError") {
        return JobError { kind: "rate_limited", again: Again::After(RATE_LIMIT_DEFAULT), ..failed };
    }
    failed
}

/// The JSON of an answer; of any other answer the beginning of its text.
async fn result(job: &Job, mut response: Response) -> Result<Value, JobError> {
    let body = response.body.peek(RESULT_MAX_BYTES + 1).await.map_err(|error| lost(name(job), &error))?;
    let text = String::from_utf8_lossy(body.get(..RESULT_MAX_BYTES).unwrap_or(&body));
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let json = if body.len() > RESULT_MAX_BYTES { None } else { json::read(&text) };
    Ok(json.unwrap_or_else(|| object(vec![("body", cut(&text, TEXT_MAX_CHARACTERS).into())])))
}

/// An answer that is no success. `sb-error-code` is the platform's: with those below the function was not started.
async fn refused(job: &Job, response: Response) -> JobError {
    let code = response.error_code.clone().unwrap_or_default();
    let refusal = response.refusal().await;
    let status = refusal.status;
    let is_not_started = ["NOT_FOUND", "UNAUTHORIZED_", "BOOT_ERROR", "LOAD_FUNCTION_", "RATE_LIMIT_EXCEEDED"]
        .iter()
        .any(|beginning| code.starts_with(beginning));
    let asked = refusal.wait().map(|delay| delay.clamp(Duration::from_secs(1), RATE_LIMIT_MAX));
    let (kind, again) = match (status, asked) {
        (429, asked) => ("rate_limited", Again::After(asked.unwrap_or(RATE_LIMIT_DEFAULT))),
        (503, Some(delay)) => ("rate_limited", Again::After(delay)),
        _ if is_not_started => ("not_started", Again::After(NOT_STARTED_DELAY)),
        (402, _) => ("restricted", Again::WhenResumed),
        (408 | 425 | 500.., _) => ("unavailable", Again::Backoff),
        _ => ("rejected", Again::Never),
    };
    let code = if code.is_empty() { code } else { format!(" ({})", cut(&code, 50)) };
    let message = format!("{} answered {status}{code}", name(job));
    JobError { again, ..JobError::never(kind, message) }.with_told(detail(&refusal.body))
}

/// Authorizes whoever works for a job to tell of it. It is the same for all attempts of a life, parked or not, so that it
/// can be handed on; whether the job is still at work, and in this life, the database knows.
pub fn token(key: &str, job_id: &str, life: u32) -> String {
    let mac = HMAC::mac(format!("process-jobs token for life {life} of job {job_id}"), key);
    let mac: String = mac.iter().take(TOKEN_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("{life}.{mac}")
}

/// The life that a token is for, if it is this job's under one of these keys.
pub fn life(keys: &[String], job_id: &str, found: &str) -> Option<u32> {
    let life = found.split_once('.')?.0.parse().ok()?;
    let is_of = |key: &String| constant_time_eq(token(key, job_id, life).as_bytes(), found.as_bytes());
    keys.iter().any(is_of).then_some(life)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_platform_limits_spends_no_attempt() {
        let again = |message: &str| lost("send-mail", &TransportError(message.to_owned())).again;
        assert_eq!(again("RateLimitError: retry after 30 s"), Again::After(RATE_LIMIT_DEFAULT));
        assert_eq!(again("TypeError: connection lost"), Again::Backoff);
    }

    #[test]
    fn a_token_is_of_one_life_of_one_job_and_one_key() {
        let keys = ["sb_secret_1".to_owned(), "older".to_owned()];
        let token = token("older", "job-1", 12);
        assert_eq!(life(&keys, "job-1", &token), Some(12));
        assert_eq!(life(&keys, "job-2", &token), None);
        assert_eq!(life(&keys[..1], "job-1", &token), None);
        for other in [token.replace("12.", "13."), token.replace("12.", "+12."), token[..10].to_owned(), String::new()]
        {
            assert_eq!(life(&keys, "job-1", &other), None, "{other}");
        }
    }
}
