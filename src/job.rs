//! A job as claimed, and what a run can come to.

use crate::error::JobError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// A claimed job: ours until its lease is over.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Job {
    pub id: String,
    pub job_type: String,
    pub payload: Value,
    /// 1 for the first run; snoozes give theirs back.
    pub attempt_number: u32,
    pub max_attempts: u32,
    pub lease_token: String,
    /// What the last run left for this one.
    pub checkpoint: Option<Value>,
    /// When the job first ran, RFC 3339.
    pub started_at: String,
    /// Seconds since then, by the database's clock; parked time counts.
    pub age_seconds: f64,
}

impl Job {
    pub fn age(&self) -> Duration {
        Duration::try_from_secs_f64(self.age_seconds).unwrap_or_default()
    }

    /// Reads the payload into a handler's type. Fails for good, naming the field.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        serde_path_to_error::deserialize(&self.payload)
            .map_err(|error| JobError::never("invalid_payload", format!("payload: {}", naming_field(error))))
    }

    /// Reads the checkpoint; none yet is the type's default.
    pub fn checkpoint<T: DeserializeOwned + Default>(&self) -> Result<T, JobError> {
        match &self.checkpoint {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => serde_path_to_error::deserialize(value)
                .map_err(|error| JobError::never("invalid_checkpoint", format!("checkpoint: {}", naming_field(error)))),
        }
    }
}

/// serde's message with the path of the field it is about, where there is one.
pub fn naming_field(error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let message = crate::error::cut(&error.into_inner().to_string(), 300);
    if path == "." { message } else { format!("{path}: {message}") }
}

/// A job to enqueue when the present one completes, in the same transaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FollowUp {
    pub job_type: &'static str,
    pub payload: Value,
    pub priority: i32,
    /// While a job with this key is unfinished, no second one is made.
    pub unique_key: String,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Completed { result: Value, follow_ups: Vec<FollowUp> },
    /// Back to the queue until `delay` is over; costs no attempt.
    Snoozed { delay: Duration, checkpoint: Value, progress: Option<u8> },
    Failed(JobError),
}

impl From<Result<Outcome, JobError>> for Outcome {
    fn from(result: Result<Outcome, JobError>) -> Outcome {
        result.unwrap_or_else(Outcome::Failed)
    }
}
