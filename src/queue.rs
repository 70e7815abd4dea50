//! The queue's RPCs, called through PostgREST.

use crate::ctx::{Body, Ctx, Request};
use crate::error::{Again, JobError, RunError, detail};
use crate::job::{Job, Outcome};
use postgrest::Postgrest;
use serde_json::{Value, json};
use std::time::Duration;

/// Until a job that has begun tries again in a paused type.
const PAUSED_DELAY: Duration = Duration::from_secs(60);
const RPC_TIMEOUT: Duration = Duration::from_secs(15);
/// Claimed payloads can be large; an answer past this is refused rather than held.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A call that was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueError {
    pub message: String,
    /// The HTTP status, or none when no answer came.
    pub status: Option<u16>,
}

impl QueueError {
    /// The database understood and said no; asking again changes nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self.status, Some(400..=499)) && !matches!(self.status, Some(408 | 429))
    }
}

impl From<QueueError> for RunError {
    fn from(error: QueueError) -> RunError {
        RunError(error.message)
    }
}

/// Claims up to `limit` ready jobs of the given types, in the order in which they should run.
pub async fn claim(ctx: &Ctx, job_types: &[&str], limit: usize) -> Result<Vec<Job>, QueueError> {
    let arguments = json!({ "p_job_types": job_types, "p_limit": limit });
    let claimed_at = ctx.clock.now_milliseconds();
    let answer = call(ctx, "claim_next_job", arguments).await?;
    let rows = answer.as_array().ok_or_else(|| unfit("claim_next_job", "no list of jobs"))?;
    let jobs = rows.iter().map(|row| Job::read(row, claimed_at)).collect::<Result<_, _>>();
    jobs.map_err(|message| unfit("claim_next_job", &message))
}

/// Seconds until the next job of these types may be claimed: 0 when one is ready, none when nothing waits.
pub async fn seconds_until_next(ctx: &Ctx, job_types: &[&str]) -> Result<Option<f64>, QueueError> {
    let answer = call(ctx, "seconds_until_next_job", json!({ "p_job_types": job_types })).await?;
    Ok(answer.as_f64())
}

/// Records an outcome. False: the job is not ours any more, or already final, and nothing changed.
pub async fn settle(ctx: &Ctx, job: &Job, outcome: &Outcome) -> Result<bool, QueueError> {
    let (function, arguments) = match outcome {
        Outcome::Completed { result, follow_ups } => {
            ("complete_job", json!({ "p_result": result, "p_follow_ups": follow_ups }))
        }
        Outcome::Snoozed { delay, checkpoint, progress } => (
            "snooze_job",
            json!({ "p_delay_seconds": delay.as_secs_f64(), "p_checkpoint": checkpoint, "p_progress": progress }),
        ),
        Outcome::Failed(JobError { kind, message, again }) => match again {
            Again::Never => ("complete_job", json!({ "p_error": message, "p_error_kind": kind, "p_retry": "never" })),
            Again::Backoff => ("complete_job", json!({ "p_error": message, "p_error_kind": kind })),
            Again::After(delay) => {
                ("snooze_job", json!({ "p_delay_seconds": delay.as_secs_f64(), "p_hold_job_type": true }))
            }
            Again::WhenResumed => {
                // The pause keeps a job that has not begun; one that has looks again by itself.
                let delay = job.checkpoint.as_ref().map_or(Duration::ZERO, |_| PAUSED_DELAY);
                ("snooze_job", json!({ "p_delay_seconds": delay.as_secs_f64(), "p_pause_reason": message }))
            }
        },
        Outcome::Cancelled => ("cancel_job", json!({})),
    };
    call_for(ctx, job, function, arguments).await
}

/// Gives a job back that no run has touched, for somebody else to claim at once.
pub async fn hand_back(ctx: &Ctx, job: &Job) -> Result<bool, QueueError> {
    call_for(ctx, job, "snooze_job", json!({ "p_delay_seconds": 0 })).await
}

/// Extends the lease, counted from now. False: it is lost.
pub async fn heartbeat(ctx: &Ctx, job: &Job) -> Result<bool, QueueError> {
    let until = ctx.clock.now_milliseconds().saturating_add(job.lease.as_millis() as u64);
    let extended = call_for(ctx, job, "heartbeat_job", json!({})).await?;
    if extended {
        job.lease_until.set(until);
    }
    Ok(extended)
}

/// Tells a job what happened outside. False: that is no news to it, of another life, or it has ended.
pub async fn wake(ctx: &Ctx, job_id: &str, life: u32, event: &Value) -> Result<bool, QueueError> {
    let arguments = json!({ "p_job_id": job_id, "p_life": life, "p_event": event });
    recorded("wake_job", call(ctx, "wake_job", arguments).await?)
}

/// Enqueues a job; the arguments are those of `enqueue_job`, checked there. Returns its id.
pub async fn enqueue(ctx: &Ctx, arguments: Value) -> Result<String, QueueError> {
    let answer = call(ctx, "enqueue_job", arguments).await?;
    answer.as_str().map(str::to_owned).ok_or_else(|| unfit("enqueue_job", "no id"))
}

/// The schema of a model's input that was kept within a day, or ever. Null: there is none.
pub async fn kept_model_schema(ctx: &Ctx, model: &str, any_age: bool) -> Result<Value, QueueError> {
    call(ctx, "keep_model_schema", json!({ "p_model": model, "p_any_age": any_age })).await
}

/// Keeps the schema of a model's input, for a day.
pub async fn keep_model_schema(ctx: &Ctx, model: &str, schema: &Value) -> Result<Value, QueueError> {
    call(ctx, "keep_model_schema", json!({ "p_model": model, "p_schema": schema })).await
}

/// Depth, age and pauses, as `queue_stats` gives them.
pub async fn stats(ctx: &Ctx) -> Result<Value, QueueError> {
    call(ctx, "queue_stats", json!({})).await
}

/// Calls a function that takes a claimed job and tells whether the job was still the claim's.
async fn call_for(ctx: &Ctx, job: &Job, function: &str, mut arguments: Value) -> Result<bool, QueueError> {
    if let Some(arguments) = arguments.as_object_mut() {
        arguments.insert("p_job_id".to_owned(), json!(job.id));
        arguments.insert("p_lease_token".to_owned(), json!(job.lease_token));
    }
    recorded(function, call(ctx, function, arguments).await?)
}

/// postgrest renders the request; the one network port sends it, with a time-out, which
/// postgrest's own `execute` does not have on wasm.
async fn call(ctx: &Ctx, function: &str, arguments: Value) -> Result<Value, QueueError> {
    let failed =
        |status: Option<u16>, message: String| QueueError { message: format!("{function}: {message}"), status };
    let key = &ctx.config.service_key;
    let rendered = Postgrest::new(format!("{}/rest/v1", ctx.config.supabase_url))
        .insert_header("apikey", key)
        .rpc(function, arguments.to_string())
        .auth(key)
        .build()
        .build()
        .map_err(|_| failed(None, format!("cannot be rendered for {}", ctx.config.supabase_url)))?;
    let headers = rendered
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let body = rendered.body().and_then(|body| body.as_bytes()).unwrap_or_default();
    let request = Request {
        method: "POST",
        url: rendered.url().to_string(),
        headers,
        body: Body::Text(String::from_utf8_lossy(body).into_owned()),
        timeout: RPC_TIMEOUT,
    };
    let lost = |error| failed(None, format!("database did not answer: {error}"));
    let response = ctx.http.send(request).await.map_err(lost)?;
    let status = response.status;
    let text = response.body.text(ANSWER_MAX_BYTES).await.map_err(lost)?;
    if !(200..300).contains(&status) {
        return Err(failed(Some(status), format!("database answered {status}: {}", detail(&text))));
    }
    serde_json::from_str(&text).map_err(|_| unfit(function, "no JSON"))
}

fn recorded(function: &str, answer: Value) -> Result<bool, QueueError> {
    answer.as_bool().ok_or_else(|| unfit(function, "neither true nor false"))
}

fn unfit(function: &str, found: &str) -> QueueError {
    QueueError { message: format!("{function}: database gave an answer that does not fit: {found}"), status: None }
}
