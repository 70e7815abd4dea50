//! Calls the queue's database functions through PostgREST.

use crate::ctx::{Ctx, milliseconds};
use crate::error::{Again, JobError};
use crate::fields;
use crate::job::{FollowUp, Job, Outcome};
use crate::json::object;
use crate::postgrest::{CallError, call, unfit};
use serde_json::Value;
use std::time::Duration;

/// The delay until a job that has begun tries again while its type is paused.
const PAUSED_DELAY: Duration = Duration::from_secs(60);
/// This worker's version, sent to the schema with a drain's first call.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The oldest schema that this worker can use.
const MIN_SCHEMA: &str = "0.1.0";
/// The advice if the database has no function with such arguments.
pub const OTHER_SCHEMA: &str = concat!(
    "the database is of another version, and this function process-jobs ",
    env!("CARGO_PKG_VERSION"),
    ": apply its migration (supabase db push --remote)"
);

/// The database's answer to one outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Recorded,
    /// Another worker has the job now, or it is final; nothing changed.
    Stale,
    /// The database does not accept this outcome, for this reason.
    Refused(String),
    /// The outcome could not be recorded now, for this reason; nothing changed.
    Again(String),
}

/// The answer to a claim.
pub struct Claim {
    /// In the order in which to run them.
    pub jobs: Vec<Job>,
    /// Claimed rows that cannot be read; they are left to their leases.
    pub unread: Vec<Unread>,
    /// If fewer jobs were claimed than asked for: the time until there may be another; `None` if the answer did not
    /// say.
    pub wait: Option<Wait>,
}

/// The time until there may be a job to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    For(Duration),
    /// No job waits.
    ForEver,
}

/// A claimed row that cannot be read.
pub struct Unread {
    /// Empty if even the id cannot be read.
    pub id: String,
    pub message: String,
}

/// Claims up to `limit` ready jobs of the given types. With `greets`, the first call of a drain, it also describes this
/// worker; the database refuses it if schema and worker do not fit each other.
///
/// `lease_token` names the claim. One whose answer was lost is asked for again by its name: if it was carried out, the
/// answer is the jobs that it still has, and nothing else is claimed.
pub async fn claim(
    ctx: &Ctx,
    job_types: &[&str],
    limit: usize,
    lease_token: &str,
    greets: bool,
) -> Result<Claim, CallError> {
    let function = "claim_next_job";
    let mut arguments = claiming(job_types, limit, lease_token);
    if greets {
        let (webhooks, bucket) = (ctx.config.webhooks.is_some(), ctx.config.storage_bucket.as_str());
        arguments.push((
            "p_worker",
            object(vec![
                ("version", VERSION.into()),
                ("needs", MIN_SCHEMA.into()),
                ("webhooks", webhooks.into()),
                ("bucket", bucket.into()),
            ]),
        ));
    }
    let claimed_at = ctx.clock.now_milliseconds();
    let answer = call(ctx, function, arguments).await?;
    let rows = answer.as_array().ok_or_else(|| unfit(function, "no rows"))?;
    // Every row has the same value.
    let wait = rows.first().and_then(|row| row.get("seconds_until_next")).and_then(wait);
    let (jobs, unread) = jobs(rows, claimed_at);
    Ok(Claim { jobs, unread, wait })
}

fn claiming(job_types: &[&str], limit: usize, lease_token: &str) -> Vec<(&'static str, Value)> {
    vec![("p_job_types", job_types.into()), ("p_limit", limit.into()), ("p_lease_token", lease_token.into())]
}

/// Records outcomes in one transaction and answers in their order. A single outcome goes to the function that settles
/// its kind, except a failure with `unrecorded`, which only `exchange_jobs` takes.
pub async fn settle(ctx: &Ctx, outcomes: &[(Job, Outcome)]) -> Result<Vec<Settled>, CallError> {
    match outcomes {
        [(_, Outcome::Failed(JobError { unrecorded: Some(_), .. }))] => settle_noting(ctx, outcomes).await,
        [(job, outcome)] => {
            let (_, function, arguments) = settling(job, outcome);
            let recorded = call_for(ctx, job, function, arguments).await?;
            Ok(vec![if recorded { Settled::Recorded } else { Settled::Stale }])
        }
        _ => settle_noting(ctx, outcomes).await,
    }
}

/// Records outcomes by `exchange_jobs`, which notes on a job why its outcome was not recorded.
pub async fn settle_noting(ctx: &Ctx, outcomes: &[(Job, Outcome)]) -> Result<Vec<Settled>, CallError> {
    Ok(exchange_jobs(ctx, outcomes, Vec::new()).await?.0)
}

/// Records outcomes and claims up to `limit` ready jobs of the given types, in one round trip and one transaction.
/// `lease_token` is that of [`claim`].
pub async fn exchange(
    ctx: &Ctx,
    outcomes: &[(Job, Outcome)],
    job_types: &[&str],
    limit: usize,
    lease_token: &str,
) -> Result<(Vec<Settled>, Claim), CallError> {
    exchange_jobs(ctx, outcomes, claiming(job_types, limit, lease_token)).await
}

async fn exchange_jobs(
    ctx: &Ctx,
    outcomes: &[(Job, Outcome)],
    mut arguments: Vec<(&str, Value)>,
) -> Result<(Vec<Settled>, Claim), CallError> {
    let function = "exchange_jobs";
    arguments.push(("p_outcomes", outcomes.iter().map(|(job, outcome)| element(job, outcome)).collect()));
    let claimed_at = ctx.clock.now_milliseconds();
    let answer = call(ctx, function, arguments).await?;
    let list = |field: &str| answer.get(field).and_then(Value::as_array);
    let settled = list("settled").ok_or_else(|| unfit(function, "no settled"))?;
    let settled = settled.iter().map(settled_as).collect::<Option<Vec<_>>>();
    let settled = settled.filter(|settled| settled.len() == outcomes.len());
    let settled = settled.ok_or_else(|| unfit(function, "other outcomes"))?;
    let rows = list("jobs").ok_or_else(|| unfit(function, "no jobs"))?;
    let wait = answer.get("seconds_until_next").and_then(wait);
    let wait = wait.ok_or_else(|| unfit(function, "no seconds_until_next"))?;
    let (jobs, unread) = jobs(rows, claimed_at);
    Ok((settled, Claim { jobs, unread, wait: Some(wait) }))
}

/// Asks for the time until there may be a job to claim.
pub async fn seconds_until_next_job(ctx: &Ctx, job_types: &[&str]) -> Result<Wait, CallError> {
    let function = "seconds_until_next_job";
    let answer = call(ctx, function, vec![("p_job_types", job_types.into())]).await?;
    wait(&answer).ok_or_else(|| unfit(function, "no seconds"))
}

fn wait(seconds: &Value) -> Option<Wait> {
    match seconds {
        Value::Null => Some(Wait::ForEver),
        // More than a thousand years is for ever: a time may be any that Postgres has.
        Value::Number(seconds) => {
            let seconds = seconds.as_f64().filter(|seconds| *seconds >= 0.0)?;
            Some(fields::seconds(seconds).map_or(Wait::ForEver, Wait::For))
        }
        Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn jobs(rows: &[Value], claimed_at: u64) -> (Vec<Job>, Vec<Unread>) {
    let (mut jobs, mut unread) = (Vec::new(), Vec::new());
    for row in rows {
        match Job::read(row, claimed_at) {
            Ok(job) => jobs.push(job),
            Err(message) => {
                let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
                unread.push(Unread { id, message });
            }
        }
    }
    (jobs, unread)
}

fn settled_as(answer: &Value) -> Option<Settled> {
    match answer {
        Value::Bool(true) => Some(Settled::Recorded),
        Value::Bool(false) => Some(Settled::Stale),
        Value::String(reason) => Some(Settled::Refused(reason.clone())),
        answer => answer.get("again")?.as_str().map(|reason| Settled::Again(reason.to_owned())),
    }
}

/// How an outcome is told to the database: its name in `p_outcomes`, the function that settles it alone, and that
/// function's arguments except the job's. An element of `p_outcomes` has the same as its fields, without `p_`.
fn settling(job: &Job, outcome: &Outcome) -> (&'static str, &'static str, Vec<(&'static str, Value)>) {
    let seconds = |delay: Duration| ("p_delay_seconds", Value::from(delay.as_secs_f64()));
    let (name, function, mut arguments) = match outcome {
        Outcome::Completed { result, follow_ups } => ("completed", "complete_job", completion(result, follow_ups)),
        Outcome::Snoozed { delay, checkpoint, progress } => {
            let progress = ("p_progress", (*progress).into());
            ("snoozed", "snooze_job", vec![seconds(*delay), ("p_checkpoint", checkpoint.clone()), progress])
        }
        Outcome::Failed(error) => {
            let text = Value::from(error.to_string());
            match error.again {
                again @ (Again::Never | Again::Backoff) => {
                    let retry = (again == Again::Never).then_some("never").into();
                    let kind = ("p_error_kind", error.kind.into());
                    ("failed", "complete_job", vec![("p_error", text), kind, ("p_retry", retry)])
                }
                Again::After(delay) => {
                    ("snoozed", "snooze_job", vec![seconds(delay), ("p_hold_job_type", true.into())])
                }
                Again::WhenResumed => {
                    ("snoozed", "snooze_job", vec![seconds(paused_delay(job)), ("p_pause_reason", text)])
                }
            }
        }
        Outcome::Cancelled => ("cancelled", "cancel_job", Vec::new()),
    };
    if !job.usage.borrow().is_empty() {
        arguments.push(("p_usage", job.usage.borrow().as_slice().into()));
    }
    arguments.retain(|(_, value)| !value.is_null());
    (name, function, arguments)
}

/// One outcome as an element of `p_outcomes` for `exchange_jobs`.
fn element(job: &Job, outcome: &Outcome) -> Value {
    let (name, _, mut fields) = settling(job, outcome);
    fields.extend([
        ("outcome", name.into()),
        ("job_id", (&*job.id).into()),
        ("lease_token", (&*job.lease_token).into()),
    ]);
    if let Outcome::Failed(JobError { unrecorded: Some(completion), .. }) = outcome {
        fields.push(("unrecorded", completion.clone()));
    }
    as_fields(fields)
}

/// An object with these arguments as its fields, whose names are without `p_`.
fn as_fields(arguments: Vec<(&str, Value)>) -> Value {
    object(arguments.into_iter().map(|(name, value)| (name.strip_prefix("p_").unwrap_or(name), value)).collect())
}

/// The pause itself keeps a job that has not begun; a job that has begun tries again after [`PAUSED_DELAY`].
fn paused_delay(job: &Job) -> Duration {
    job.checkpoint.as_ref().map_or(Duration::ZERO, |_| PAUSED_DELAY)
}

fn completion(result: &Value, follow_ups: &[FollowUp]) -> Vec<(&'static str, Value)> {
    let follow_ups: Vec<Value> = follow_ups.iter().map(follow_up).collect();
    vec![("p_result", result.clone()), ("p_follow_ups", follow_ups.into())]
}

/// The result and follow-ups of a refused completion, kept with the job that fails because of it.
pub fn unrecorded(outcome: &Outcome) -> Option<Value> {
    match outcome {
        Outcome::Completed { result, follow_ups } => Some(as_fields(completion(result, follow_ups))),
        Outcome::Snoozed { .. } | Outcome::Failed(_) | Outcome::Cancelled => None,
    }
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

/// Hands back a job that no run has touched, so that it can be claimed at once.
pub async fn hand_back(ctx: &Ctx, job: &Job) -> Result<bool, CallError> {
    call_for(ctx, job, "snooze_job", vec![("p_delay_seconds", 0.into())]).await
}

/// Extends the lease, counted from now. Returns false if it is lost.
pub async fn heartbeat(ctx: &Ctx, job: &Job) -> Result<bool, CallError> {
    let until = ctx.clock.now_milliseconds().saturating_add(milliseconds(job.lease));
    let extended = call_for(ctx, job, "heartbeat_job", Vec::new()).await?;
    if extended {
        job.lease_until.set(until);
    }
    Ok(extended)
}

/// Records an event for a job and wakes it. Returns false if it is not news, for another life, or the job has ended;
/// `usage`, what has ended, is recorded all the same.
pub async fn wake(ctx: &Ctx, job_id: &str, life: u32, event: Value, usage: Option<Value>) -> Result<bool, CallError> {
    let mut arguments = vec![("p_job_id", job_id.into()), ("p_life", life.into()), ("p_event", event)];
    arguments.extend(usage.map(|usage| ("p_usage", vec![usage].into())));
    recorded("wake_job", call(ctx, "wake_job", arguments).await?)
}

/// Notes how far a job is. Returns false if it is in another life, or has ended.
pub async fn report_progress(ctx: &Ctx, job_id: &str, life: u32, progress: i64) -> Result<bool, CallError> {
    let arguments = vec![("p_job_id", job_id.into()), ("p_life", life.into()), ("p_progress", progress.into())];
    recorded("report_progress", call(ctx, "report_progress", arguments).await?)
}

/// Enqueues a job and returns its id. `enqueue_job` defines and checks the arguments.
pub async fn enqueue(ctx: &Ctx, arguments: Vec<(&str, Value)>) -> Result<String, CallError> {
    let answer = call(ctx, "enqueue_job", arguments).await?;
    answer.as_str().map(str::to_owned).ok_or_else(|| unfit("enqueue_job", "no id"))
}

/// Depth, age and pauses, from `queue_stats`.
pub async fn stats(ctx: &Ctx) -> Result<Value, CallError> {
    call(ctx, "queue_stats", Vec::new()).await
}

/// The same figures in Prometheus's text format.
pub async fn metrics(ctx: &Ctx) -> Result<String, CallError> {
    let answer = call(ctx, "queue_metrics", Vec::new()).await?;
    answer.as_str().map(str::to_owned).ok_or_else(|| unfit("queue_metrics", "no text"))
}

/// Calls a function on a claimed job. Returns false if the claim no longer holds.
async fn call_for(ctx: &Ctx, job: &Job, function: &str, mut arguments: Vec<(&str, Value)>) -> Result<bool, CallError> {
    arguments.push(("p_job_id", job.id.as_str().into()));
    arguments.push(("p_lease_token", job.lease_token.as_str().into()));
    recorded(function, call(ctx, function, arguments).await?)
}

fn recorded(function: &str, answer: Value) -> Result<bool, CallError> {
    answer.as_bool().ok_or_else(|| unfit(function, "neither true nor false"))
}
