//! The queue's RPCs, called through PostgREST.

use crate::ctx::{Body, Ctx, Request};
use crate::error::{Again, JobError, RunError, detail};
use crate::fields;
use crate::job::{FollowUp, Job, Outcome};
use crate::json::{self, object};
use postgrest::Postgrest;
use serde_json::Value;
use std::time::Duration;

/// Until a job that has begun tries again in a paused type.
const PAUSED_DELAY: Duration = Duration::from_secs(60);
const RPC_TIMEOUT: Duration = Duration::from_secs(15);
/// Claimed payloads can be large; an answer past this is refused rather than held.
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// This worker's version, which the schema hears of with a drain's first call.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The oldest schema that this worker goes with.
const SCHEMA_LEAST: &str = "0.1.0";

/// A call that was not carried out, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueError {
    pub message: String,
    /// The HTTP status, or none when no answer came.
    pub status: Option<u16>,
    /// The body's `code`: a SQLSTATE of Postgres or a `PGRST…`; empty where there is none.
    pub code: String,
}

impl QueueError {
    /// What was sent cannot be taken as it is: a data exception, a violated constraint, or an error that a function
    /// raised. Whatever else comes is a state of the gateway, PostgREST or the server, and passes; the status does
    /// not tell, since PostgREST answers 400 to all that it has no status for, a connection that died among them
    /// (its issue 4681: no code).
    pub fn is_refusal(&self) -> bool {
        let is_of = |class: &&str| self.code.len() == 5 && self.code.starts_with(*class);
        matches!(self.status, Some(400 | 409)) && ["22", "23", "P0"].iter().any(is_of)
    }

    /// Whether the call may have been carried out all the same: nobody says that it was not. With a SQLSTATE its
    /// transaction was undone; PGRST001 is a connection that was lost on the way.
    pub fn may_be_done(&self) -> bool {
        matches!(self.status, None | Some(200..=299 | 400 | 408 | 500..)) && matches!(&*self.code, "" | "PGRST001")
    }

    /// PostgREST did not take the token that the gateway made of the key, which passes within a second or two where
    /// their clocks differ ("JWT issued at future").
    pub fn is_of_token(&self) -> bool {
        self.status == Some(401) && self.code.starts_with("PGRST3")
    }
}

impl From<QueueError> for RunError {
    fn from(error: QueueError) -> RunError {
        RunError(match error.status {
            Some(401 | 403) => {
                let settings = "SUPABASE_SECRET_KEYS, else SUPABASE_SERVICE_ROLE_KEY";
                format!("{}; the secret key is refused: see {settings}", error.message)
            }
            // No function of this name, or not with these arguments.
            _ if error.code == "PGRST202" => format!("{}; {}", error.message, older_schema("of another version")),
            _ => error.message,
        })
    }
}

/// What became of an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Recorded,
    /// Somebody else has the job now, or it is final; nothing changed.
    Stale,
    /// The database will not take this outcome, and why.
    Refused(String),
    /// It could not be recorded now, and why; nothing changed.
    Again(String),
}

pub struct Exchange {
    /// In the order of the outcomes.
    pub settled: Vec<Settled>,
    /// In the order in which they should run.
    pub jobs: Vec<Job>,
    /// Claimed, but not to be read: left to their leases.
    pub unread: Vec<Unread>,
    /// Where fewer jobs were claimed than asked for: how long until there may be another; none: nothing waits.
    pub next: Option<Duration>,
    /// Why this worker must not run what was claimed, and what to do: the schema is too old for it.
    pub mismatch: Option<String>,
}

/// A claimed row that does not fit.
pub struct Unread {
    /// Empty where not even that can be read.
    pub id: String,
    pub message: String,
}

/// Records outcomes and claims up to `limit` ready jobs of the given types, in one round trip and one transaction. A
/// drain's first call `greets`: it tells of this worker and hears the schema's version.
pub async fn exchange(
    ctx: &Ctx,
    outcomes: &[(Job, Outcome)],
    job_types: &[&str],
    limit: usize,
    greets: bool,
) -> Result<Exchange, QueueError> {
    let unfit = |found: &str| unfit("exchange_jobs", found);
    let outcomes: Vec<Value> = outcomes.iter().map(|(job, outcome)| settling(job, outcome)).collect();
    let expected = outcomes.len();
    let mut arguments =
        vec![("p_outcomes", outcomes.into()), ("p_job_types", job_types.into()), ("p_limit", limit.into())];
    if greets {
        let (webhooks, bucket) = (ctx.config.webhooks.is_some(), ctx.config.storage_bucket.as_str());
        let worker = vec![("version", VERSION.into()), ("webhooks", webhooks.into()), ("bucket", bucket.into())];
        arguments.push(("p_worker", object(worker)));
    }
    let claimed_at = ctx.clock.now_milliseconds();
    let answer = call(ctx, "exchange_jobs", arguments).await?;
    let list = |field: &str| answer.get(field).and_then(Value::as_array).ok_or_else(|| unfit(&format!("no {field}")));
    let settled = list("settled")?.iter().map(settled).collect::<Option<Vec<_>>>();
    let settled = settled.filter(|settled| settled.len() == expected).ok_or_else(|| unfit("other outcomes"))?;
    let next = match answer.get("seconds_until_next") {
        Some(Value::Null) => None,
        Some(Value::Number(seconds)) => seconds.as_f64().and_then(fields::seconds),
        _ => return Err(unfit("no seconds_until_next")),
    };
    let (mut jobs, mut unread) = (Vec::new(), Vec::new());
    for row in list("jobs")? {
        match Job::read(row, claimed_at) {
            Ok(job) => jobs.push(job),
            Err(message) => {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                unread.push(Unread { id, message });
            }
        }
    }
    let version = answer.get("version").and_then(Value::as_str).unwrap_or_default();
    let mismatch = (greets && numbers(version) < numbers(SCHEMA_LEAST)).then(|| older_schema(version));
    Ok(Exchange { settled, jobs, unread, next, mismatch })
}

fn older_schema(found: &str) -> String {
    format!(
        "the database is {found}, and this function process-jobs {VERSION}: apply its migration (supabase db push --remote)"
    )
}

/// Of a version, to be compared.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or_default()).collect()
}

fn settled(answer: &Value) -> Option<Settled> {
    match answer {
        Value::Bool(true) => Some(Settled::Recorded),
        Value::Bool(false) => Some(Settled::Stale),
        Value::String(reason) if passes(reason) => Some(Settled::Again(reason.clone())),
        Value::String(reason) => Some(Settled::Refused(reason.clone())),
        answer => answer.get("again")?.as_str().map(|reason| Settled::Again(reason.to_owned())),
    }
}

/// What Postgres says of a lock, a time-out or its end. An `exchange_jobs` of an earlier version, which answers
/// such a reason as a refusal, may be in the database while this worker runs.
fn passes(reason: &str) -> bool {
    let passing = [
        "canceling statement",
        "could not obtain lock",
        "could not serialize",
        "deadlock detected",
        "terminating connection",
    ];
    passing.iter().any(|beginning| reason.starts_with(beginning))
}

/// An outcome as `exchange_jobs` takes it.
fn settling(job: &Job, outcome: &Outcome) -> Value {
    let (name, fields) = match outcome {
        Outcome::Completed { result, follow_ups } => ("completed", completion(result, follow_ups)),
        Outcome::Snoozed { delay, checkpoint, progress } => {
            ("snoozed", vec![seconds(*delay), ("checkpoint", checkpoint.clone()), ("progress", (*progress).into())])
        }
        Outcome::Failed(error @ JobError { kind, again, unrecorded, .. }) => match again {
            Again::Never | Again::Backoff => {
                let mut fields = vec![("error", error.to_string().into()), ("error_kind", (*kind).into())];
                fields.extend(unrecorded.clone().map(|completion| ("unrecorded", completion)));
                fields.extend((*again == Again::Never).then(|| ("retry", "never".into())));
                ("failed", fields)
            }
            Again::After(delay) => ("snoozed", vec![seconds(*delay), ("hold_job_type", true.into())]),
            Again::WhenResumed => {
                // The pause keeps a job that has not begun; one that has looks again by itself.
                let delay = job.checkpoint.as_ref().map_or(Duration::ZERO, |_| PAUSED_DELAY);
                ("snoozed", vec![seconds(delay), ("pause_reason", error.to_string().into())])
            }
        },
        Outcome::Cancelled => ("cancelled", Vec::new()),
    };
    let (id, token) = (job.id.as_str(), job.lease_token.as_str());
    let who = [("outcome", name.into()), ("job_id", id.into()), ("lease_token", token.into())];
    object(fields.into_iter().chain(who).collect())
}

fn completion(result: &Value, follow_ups: &[FollowUp]) -> Vec<(&'static str, Value)> {
    let follow_ups: Vec<Value> = follow_ups.iter().map(follow_up).collect();
    vec![("result", result.clone()), ("follow_ups", follow_ups.into())]
}

/// What a completion that is refused would have recorded, kept with the job that fails for it.
pub fn unrecorded(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Completed { result, follow_ups } => Some(object(completion(result, follow_ups))),
        Outcome::Snoozed { .. } | Outcome::Failed(_) | Outcome::Cancelled => None,
    }
}

fn seconds(delay: Duration) -> (&'static str, Value) {
    ("delay_seconds", delay.as_secs_f64().into())
}

fn follow_up(job: &FollowUp) -> Value {
    let mut fields = vec![
        ("job_type", job.job_type.into()),
        ("payload", job.payload.clone()),
        ("priority", job.priority.into()),
        ("max_attempts", job.max_attempts.into()),
        ("unique_key", job.unique_key.as_str().into()),
    ];
    fields.extend(job.waiting_since.as_deref().map(|since| ("waiting_since", since.into())));
    object(fields)
}

/// Gives a job back that no run has touched, for somebody else to claim at once.
pub async fn hand_back(ctx: &Ctx, job: &Job) -> Result<bool, QueueError> {
    call_for(ctx, job, "snooze_job", vec![("p_delay_seconds", 0.into())]).await
}

/// Extends the lease, counted from now. False: it is lost.
pub async fn heartbeat(ctx: &Ctx, job: &Job) -> Result<bool, QueueError> {
    let until = ctx.clock.now_milliseconds().saturating_add(job.lease.as_millis() as u64);
    let extended = call_for(ctx, job, "heartbeat_job", Vec::new()).await?;
    if extended {
        job.lease_until.set(until);
    }
    Ok(extended)
}

/// Tells a job what happened outside. False: that is no news to it, of another life, or it has ended.
pub async fn wake(ctx: &Ctx, job_id: &str, life: u32, event: &Value) -> Result<bool, QueueError> {
    let arguments = vec![("p_job_id", job_id.into()), ("p_life", life.into()), ("p_event", event.clone())];
    recorded("wake_job", call(ctx, "wake_job", arguments).await?)
}

/// Enqueues a job; the arguments are those of `enqueue_job`, checked there. Returns its id.
pub async fn enqueue(ctx: &Ctx, arguments: Vec<(&str, Value)>) -> Result<String, QueueError> {
    let answer = call(ctx, "enqueue_job", arguments).await?;
    answer.as_str().map(str::to_owned).ok_or_else(|| unfit("enqueue_job", "no id"))
}

/// The schema of a model's input that was kept within a day, or ever. Null: there is none.
pub async fn kept_model_schema(ctx: &Ctx, model: &str, any_age: bool) -> Result<Value, QueueError> {
    call(ctx, "keep_model_schema", vec![("p_model", model.into()), ("p_any_age", any_age.into())]).await
}

/// Keeps the schema of a model's input, for a day.
pub async fn keep_model_schema(ctx: &Ctx, model: &str, schema: &Value) -> Result<Value, QueueError> {
    call(ctx, "keep_model_schema", vec![("p_model", model.into()), ("p_schema", schema.clone())]).await
}

/// Depth, age and pauses, as `queue_stats` gives them.
pub async fn stats(ctx: &Ctx) -> Result<Value, QueueError> {
    call(ctx, "queue_stats", Vec::new()).await
}

/// The same for Prometheus, in its text format.
pub async fn metrics(ctx: &Ctx) -> Result<String, QueueError> {
    let answer = call(ctx, "queue_metrics", Vec::new()).await?;
    answer.as_str().map(str::to_owned).ok_or_else(|| unfit("queue_metrics", "no text"))
}

/// Calls a function that takes a claimed job and tells whether the job was still the claim's.
async fn call_for(ctx: &Ctx, job: &Job, function: &str, mut arguments: Vec<(&str, Value)>) -> Result<bool, QueueError> {
    arguments.push(("p_job_id", job.id.as_str().into()));
    arguments.push(("p_lease_token", job.lease_token.as_str().into()));
    recorded(function, call(ctx, function, arguments).await?)
}

/// postgrest renders the request; the one network port sends it, with a time-out, which
/// postgrest's own `execute` does not have on wasm.
async fn call(ctx: &Ctx, function: &str, arguments: Vec<(&str, Value)>) -> Result<Value, QueueError> {
    let failed = |status: Option<u16>, code: &str, message: String| QueueError {
        message: format!("{function}: {message}"),
        status,
        code: code.to_owned(),
    };
    let key = &ctx.config.service_key;
    let rendered = Postgrest::new(format!("{}/rest/v1", ctx.config.supabase_url))
        .insert_header("apikey", key)
        // Without it, the first of the exposed schemas is meant.
        .insert_header("content-profile", "public")
        .rpc(function, json::without_nul(json::text(&object(arguments))))
        .auth(key)
        .build()
        .build()
        .map_err(|_| failed(None, "", format!("cannot be rendered for {}", ctx.config.supabase_url)))?;
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
    let lost = |error| failed(None, "", format!("database did not answer: {error}"));
    let response = ctx.http.send(request).await.map_err(lost)?;
    let status = response.status;
    let text = response.body.text(ANSWER_MAX_BYTES).await.map_err(lost)?;
    if !(200..300).contains(&status) {
        let body = json::read(&text).unwrap_or_default();
        let code = body.get("code").and_then(Value::as_str).unwrap_or_default();
        return Err(failed(Some(status), code, format!("database answered {status}: {}", detail(&text))));
    }
    json::read(&text).ok_or_else(|| unfit(function, "no JSON"))
}

fn recorded(function: &str, answer: Value) -> Result<bool, QueueError> {
    answer.as_bool().ok_or_else(|| unfit(function, "neither true nor false"))
}

fn unfit(function: &str, found: &str) -> QueueError {
    let message = format!("{function}: database gave an answer that does not fit: {found}");
    QueueError { message, status: Some(200), code: String::new() }
}
