//! What is worth a line in the log.
//!
//! The platform keeps 100 lines in 10 s, so a job that goes well makes none: the drain's summary
//! counts it. Each event reads alone and carries the fields to filter by; payloads, keys and
//! prompts are never part of one. What a message quotes is such a text, or may be: the job has it, the log does not.

use crate::job::Job;
use crate::json;
use std::fmt;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

pub enum Event<'a> {
    /// The job has failed or will be retried, as the queue decides.
    JobError {
        job: &'a Job,
        kind: &'a str,
        message: &'a str,
        retried: bool,
    },
    /// All jobs of the type wait for a time.
    JobTypeHeld {
        job: &'a Job,
        delay: Duration,
        message: &'a str,
    },
    /// All jobs of the type wait for a person.
    JobTypePaused {
        job: &'a Job,
        message: &'a str,
    },
    /// The lease was lost: somebody else has the job, or it is final. The outcome was not recorded.
    Stale {
        job: &'a Job,
    },
    /// The outcome could not be recorded; the job runs again when its lease is over.
    NotSettled {
        job: &'a Job,
        message: &'a str,
    },
    /// A claimed row does not fit; the job runs again when its lease is over.
    NotRead {
        id: &'a str,
        message: &'a str,
    },
    DrainFinished {
        completed: u32,
        errors: u32,
        snoozed: u32,
        milliseconds: u64,
    },
    RunFailed {
        message: &'a str,
    },
}

impl Event<'_> {
    pub fn level(&self) -> Level {
        match self {
            Event::DrainFinished { .. } => Level::Info,
            Event::JobTypeHeld { .. } | Event::Stale { .. } => Level::Warning,
            Event::JobError { retried: true, .. } => Level::Warning,
            Event::JobError { retried: false, .. }
            | Event::JobTypePaused { .. }
            | Event::NotSettled { .. }
            | Event::NotRead { .. }
            | Event::RunFailed { .. } => Level::Error,
        }
    }

    pub fn job(&self) -> Option<&Job> {
        match self {
            Event::JobError { job, .. }
            | Event::JobTypeHeld { job, .. }
            | Event::JobTypePaused { job, .. }
            | Event::Stale { job }
            | Event::NotSettled { job, .. } => Some(job),
            Event::NotRead { .. } | Event::DrainFinished { .. } | Event::RunFailed { .. } => None,
        }
    }

    /// One line of JSON: level, message, and the job's id, type and attempt where there is one.
    pub fn to_json(&self) -> String {
        // By hand: an object would not keep the order.
        let text = |text: &str| json::text(&text.into());
        let mut line = format!("{{\"level\":\"{}\",\"message\":{}", self.level().name(), text(&self.to_string()));
        if let Some(Job { id, job_type, attempt_number, .. }) = self.job() {
            let (id, job_type) = (text(id), text(job_type));
            line += &format!(",\"job_id\":{id},\"job_type\":{job_type},\"attempt\":{attempt_number}");
        }
        line + "}"
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(job) = self.job() {
            write!(formatter, "{} {}: ", job.job_type, job.id)?;
        }
        match self {
            Event::JobError { job, kind, message, retried } => {
                let what = if *retried { "will be retried" } else { "failed" };
                let (attempt, attempts) = (job.attempt_number, job.max_attempts);
                write!(formatter, "attempt {attempt} of {attempts} {what} ({kind}): {}", unquoted(message))
            }
            Event::JobTypeHeld { job, delay, message } => {
                write!(formatter, "all {} jobs wait {} s: {}", job.job_type, delay.as_secs(), unquoted(message))
            }
            Event::JobTypePaused { job, message } => write!(
                formatter,
                "all {0} jobs are paused until `select resume_job_type('{0}')`: {1}",
                job.job_type,
                unquoted(message)
            ),
            Event::Stale { .. } => formatter.write_str("not ours any more, outcome dropped"),
            Event::NotSettled { message, .. } => {
                write!(formatter, "outcome not recorded, runs again after its lease: {}", unquoted(message))
            }
            Event::NotRead { id, message } => {
                write!(formatter, "claimed job {id:?} cannot be read, runs again after its lease: {message}")
            }
            Event::DrainFinished { completed, errors, snoozed, milliseconds } => write!(
                formatter,
                "drain finished: {completed} completed, {errors} error(s), {snoozed} snoozed in {milliseconds} ms"
            ),
            Event::RunFailed { message } => write!(formatter, "run failed: {message}"),
        }
    }
}

/// The message up to the first text that it quotes.
fn unquoted(message: &str) -> String {
    match message.split_once('"') {
        None => message.to_owned(),
        Some((ours, _)) => format!("{ours}…"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_begins_with_what_happened() {
        let row = json!({
            "id": "j1", "job_type": "download-image", "attempt_number": 2, "max_attempts": 3, "life": 1,
            "lease_token": "t", "lease_seconds": 60, "age_seconds": 0, "search_from": "2026-11-23T09:59:00Z",
        });
        let job = Job::read(&row, 0).unwrap();
        let line =
            Event::JobError { job: &job, kind: "rejected", message: "found \"a red fox\"", retried: false }.to_json();
        let expected = r#"{"level":"error","message":"download-image j1: attempt 2 of 3 failed (rejected): found …","#;
        assert_eq!(line, format!(r#"{expected}"job_id":"j1","job_type":"download-image","attempt":2}}"#));
    }
}
