//! A job as claimed, and what a run can come to.

use crate::error::JobError;
use crate::fields::{self, Fields};
use serde_json::Value;
use std::cell::Cell;
use std::time::Duration;

/// A claimed job: ours until its lease is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    pub id: String,
    pub job_type: String,
    pub payload: Value,
    /// Higher first.
    pub priority: i32,
    /// 1 for the first run; snoozes give theirs back.
    pub attempt_number: u32,
    pub max_attempts: u32,
    /// 1, and one more each time a person brought the job back.
    pub life: u32,
    pub lease_token: String,
    /// How long the claim is ours without a heartbeat.
    pub lease: Duration,
    /// Until when it is, by the worker's own clock, counted from before the call that gave or extended it.
    pub lease_until: Cell<u64>,
    /// What the last run left for this one.
    pub checkpoint: Option<Value>,
    /// What the job was told last from outside, by `wake_job`.
    pub event: Option<Value>,
    /// The job is not wanted any more: what it has begun outside is to be ended, and then the job.
    pub cancel_requested: bool,
    /// Since the job's first claim, by the database's clock; parked time counts, an earlier life's does not.
    pub age: Duration,
    /// Before this time, RFC 3339, the job has done nothing outside.
    pub search_from: String,
}

impl Job {
    /// Reads one row of the answer to a `claim_next_job` that was sent at this time of the worker's clock.
    pub fn read(row: &Value, claimed_at: u64) -> Result<Job, String> {
        let fields = Fields::of("claimed job", row)?;
        let text = |field: &str| fields.required(field, fields.text(field)?).map(str::to_owned);
        let count = |field: &str| fields.required(field, fields.integer(field, 0..=i64::from(u32::MAX))?);
        let lease = Duration::from_secs(count("lease_seconds")? as u64);
        // It is what keeps a prediction from being made twice; none but an object was ever kept.
        let checkpoint = fields.value("checkpoint");
        if let Some(checkpoint) = checkpoint {
            Fields::of("checkpoint", checkpoint)?;
        }
        let age_seconds = fields.required("age_seconds", fields.number("age_seconds")?)?;
        Ok(Job {
            id: text("id")?,
            job_type: text("job_type")?,
            payload: fields.value("payload").cloned().unwrap_or_default(),
            priority: fields.integer("priority", i64::from(i32::MIN)..=i64::from(i32::MAX))?.unwrap_or_default() as i32,
            attempt_number: count("attempt_number")? as u32,
            max_attempts: count("max_attempts")? as u32,
            life: count("life")? as u32,
            lease_token: text("lease_token")?,
            lease,
            lease_until: Cell::new(claimed_at.saturating_add(lease.as_millis() as u64)),
            checkpoint: checkpoint.cloned(),
            // One that cannot be read is no news; what it tells of is looked at.
            event: fields.value("event").filter(|event| event.is_object()).cloned(),
            cancel_requested: fields.value("cancel_requested").is_some_and(|it| *it == true),
            age: fields::seconds(age_seconds).unwrap_or_default(),
            search_from: text("search_from")?,
        })
    }

    /// Fails where less than half of the lease is left: before an effect that must not happen twice, and that is
    /// to be seen by whoever has the job next. A worker that was stopped for a while comes to itself in the
    /// middle of a run.
    pub fn check_lease(&self, now_milliseconds: u64) -> Result<(), JobError> {
        let half = self.lease.as_millis() as u64 / 2;
        match now_milliseconds.saturating_add(half) < self.lease_until.get() {
            true => Ok(()),
            false => Err(JobError::backoff("lease_lost", "the lease was over before the run was")),
        }
    }

    /// Reads the payload. Fails for good, naming the field.
    pub fn payload<'a, T>(&'a self, read: impl Fn(&Fields<'a>) -> Result<T, String>) -> Result<T, JobError> {
        let payload = Fields::of("payload", &self.payload).and_then(|fields| read(&fields));
        payload.map_err(|message| JobError::never("invalid_payload", message))
    }
}

/// A job to enqueue when the present one completes, in the same transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUp {
    pub job_type: &'static str,
    pub payload: Value,
    pub priority: i32,
    pub max_attempts: u32,
    /// While a job with this key is unfinished, no second one is made.
    pub unique_key: String,
    /// Since when what it carries on has waited, RFC 3339: its place among its equals.
    pub waiting_since: Option<String>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Completed {
        result: Value,
        follow_ups: Vec<FollowUp>,
    },
    /// Back to the queue until `delay` is over; costs no attempt.
    Snoozed {
        delay: Duration,
        checkpoint: Value,
        progress: Option<u8>,
    },
    Failed(JobError),
    /// Nothing of a job that is not wanted any more goes on outside.
    Cancelled,
}

impl From<Result<Outcome, JobError>> for Outcome {
    fn from(result: Result<Outcome, JobError>) -> Outcome {
        result.unwrap_or_else(Outcome::Failed)
    }
}
