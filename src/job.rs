//! A claimed job, its handler, and the outcomes of a run.

use crate::ctx::{Ctx, milliseconds};
use crate::error::JobError;
use crate::fields::{self, Fields};
use futures_util::future::LocalBoxFuture;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::future::ready;
use std::time::Duration;

/// The handler of the types whose row names a function.
pub const CALL_FUNCTION: &str = "call_function";

/// A claimed job. It belongs to this worker until its lease is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: String,
    pub job_type: String,
    /// The Edge Function that the type's row names.
    pub call_function: Option<String>,
    /// The time of one attempt of it; `None`: `JOB_TIMEOUT_MS`.
    pub call_timeout: Option<Duration>,
    pub payload: Value,
    /// Higher runs first.
    pub priority: i32,
    /// 1 for the first run; a snooze gives its attempt back.
    pub attempt_number: u32,
    pub max_attempts: u32,
    /// 1, plus one for each time that a person brought the job back.
    pub life: u32,
    pub lease_token: String,
    /// The time that the claim lasts without a heartbeat.
    pub lease: Duration,
    /// When the lease ends by the worker's own clock, counted from before the call that gave or extended it.
    pub lease_until: Cell<u64>,
    /// The checkpoint that the last run left.
    pub checkpoint: Option<Value>,
    /// The last event that `wake_job` recorded for the job.
    pub event: Option<Value>,
    /// The job is not wanted any more: the run ends what the job has begun outside, then the job.
    pub cancel_requested: bool,
    /// The time since the job's first claim, by the database's clock. Parked time counts, an earlier life's does not.
    pub age: Duration,
    /// RFC 3339. The job did nothing outside before this time.
    pub search_from: String,
    /// What the run has seen to have ended outside, for `usage_ledger`; it is recorded with the run's outcome, whatever
    /// that is.
    pub usage: RefCell<Vec<Value>>,
}

impl Job {
    /// Reads one claimed row; `claimed_at` is the worker's clock before the call that claimed it.
    pub fn read(row: &Value, claimed_at: u64) -> Result<Job, String> {
        let fields = Fields::of("claimed job", row)?;
        let text = |field: &str| fields.required(field, fields.text(field)?).map(str::to_owned);
        let count = |field: &str| fields.required(field, fields.integer(field, 0..=i64::from(u32::MAX))?);
        let lease = Duration::from_secs(count("lease_seconds")? as u64);
        // The checkpoint keeps a prediction from being made twice. Only objects are ever stored, so anything else is an
        // error.
        let checkpoint = fields.value("checkpoint");
        if let Some(checkpoint) = checkpoint {
            Fields::of("checkpoint", checkpoint)?;
        }
        let age_seconds = fields.required("age_seconds", fields.number("age_seconds")?)?;
        Ok(Job {
            id: text("id")?,
            job_type: text("job_type")?,
            call_function: fields.text("call_function")?.map(str::to_owned),
            call_timeout: fields.number("call_timeout_seconds")?.and_then(fields::seconds),
            payload: fields.value("payload").cloned().unwrap_or_default(),
            priority: fields.integer("priority", i64::from(i32::MIN)..=i64::from(i32::MAX))?.unwrap_or_default() as i32,
            attempt_number: count("attempt_number")? as u32,
            max_attempts: count("max_attempts")? as u32,
            life: count("life")? as u32,
            lease_token: text("lease_token")?,
            lease,
            lease_until: Cell::new(claimed_at.saturating_add(milliseconds(lease))),
            checkpoint: checkpoint.cloned(),
            // An event that cannot be read is dropped; the run looks up what it reported.
            event: fields.value("event").filter(|event| event.is_object()).cloned(),
            cancel_requested: fields.value("cancel_requested").is_some_and(|it| *it == true),
            age: fields::seconds(age_seconds).unwrap_or_default(),
            search_from: text("search_from")?,
            usage: RefCell::default(),
        })
    }

    /// Reports what has ended outside; `None`: it has not.
    pub fn note_usage(&self, usage: Option<Value>) {
        self.usage.borrow_mut().extend(usage);
    }

    /// The handler that runs the job, by the name under which its type's jobs are claimed.
    pub fn handler(&self) -> &str {
        if self.call_function.is_some() { CALL_FUNCTION } else { &self.job_type }
    }

    /// Fails if half of the lease or less is left. Called before an effect that must not happen twice and that the next
    /// worker must be able to see: a worker may be suspended in the middle of a run and resume later.
    pub fn check_lease(&self, now_milliseconds: u64) -> Result<(), JobError> {
        let half = milliseconds(self.lease) / 2;
        if now_milliseconds.saturating_add(half) < self.lease_until.get() {
            return Ok(());
        }
        Err(JobError::backoff("lease_lost", "the lease was over before the run was"))
    }

    /// Reads the payload. An error names the field and is final.
    pub fn payload<'a, T>(&'a self, read: impl Fn(&Fields<'a>) -> Result<T, String>) -> Result<T, JobError> {
        let payload = Fields::of("payload", &self.payload).and_then(|fields| read(&fields));
        payload.map_err(|message| JobError::never("invalid_payload", message))
    }
}

/// A job to enqueue in the transaction in which the present one completes.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUp {
    pub job_type: &'static str,
    pub payload: Value,
    pub priority: i32,
    pub max_attempts: u32,
    /// No second job with this key is made while one is unfinished.
    pub unique_key: String,
    /// RFC 3339: since when the work that it continues has waited. It decides the place among jobs of equal priority.
    pub waiting_since: Option<String>,
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Completed {
        result: Value,
        follow_ups: Vec<FollowUp>,
    },
    /// Parks the job until `delay` is over; costs no attempt.
    Snoozed {
        delay: Duration,
        checkpoint: Value,
        progress: Option<u8>,
    },
    Failed(JobError),
    /// The job was not wanted any more, and nothing that it began still runs outside.
    Cancelled,
}

impl From<Result<Outcome, JobError>> for Outcome {
    fn from(result: Result<Outcome, JobError>) -> Outcome {
        result.unwrap_or_else(Outcome::Failed)
    }
}

/// Runs the jobs of one type. A run may stop anywhere, at any time, and be repeated from its last checkpoint: every
/// effect must be safe to repeat.
pub struct Handler {
    pub job_type: &'static str,
    #[cfg(test)]
    pub payload: fn() -> String,
    /// `JOB_TIMEOUT_MS` ends its retries. False: its attempts alone do.
    pub timed: bool,
    pub run: Run,
    /// Runs instead of `run` once a cancel was requested: ends what the job has begun outside, and returns
    /// [`Outcome::Cancelled`] when nothing of it still runs.
    pub cancel: Run,
}

pub type Run = for<'a> fn(&'a Ctx, &'a Job) -> LocalBoxFuture<'a, Result<Outcome, JobError>>;

/// The `cancel` of a job type that begins nothing outside.
pub fn nothing_to_end<'a>(_: &'a Ctx, _: &'a Job) -> LocalBoxFuture<'a, Result<Outcome, JobError>> {
    Box::pin(ready(Ok(Outcome::Cancelled)))
}
