//! Errors of a job, and the rule for trying again.

use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// An error of one job. It is recorded on the job; the drain goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct JobError {
    /// A short stable word for filters, kept in the job's `errors`.
    pub kind: &'static str,
    pub message: String,
    /// The text of another service. It is recorded after the message but never logged, because it may repeat a prompt.
    pub told: String,
    pub again: Again,
    /// The `{result, follow_ups}` of a completion that the database refused.
    pub unrecorded: Option<Value>,
}

/// When to try the job again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Again {
    /// Never: the job has failed.
    Never,
    /// Later, with the job type's backoff, while attempts remain.
    Backoff,
    /// After this time, for which all jobs of the type wait; no attempt is spent.
    After(Duration),
    /// When a person resumes the type, until which all its jobs wait; no attempt is spent.
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
