//! The log's lines.
//!
//! The platform keeps 100 lines in 10 s, so a job that goes well writes none: the drain's summary counts it. Each entry
//! is complete in itself and carries the fields to filter by. Payloads, keys and prompts are never logged; a text
//! quoted in a job's message may be one, so it is kept with the job and left out of the log.

use crate::ctx::{Ctx, Level};
use crate::job::Job;
use crate::json;
use std::fmt;
use std::time::Duration;

pub fn write(ctx: &Ctx, entry: &Entry<'_>) {
    ctx.log.write(entry.level(), &entry.to_json());
}

fn name(level: Level) -> &'static str {
    match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

pub enum Entry<'a> {
    /// The job failed, or will be retried, as the queue decides.
    JobError {
        job: &'a Job,
        kind: &'a str,
        message: &'a str,
        retried: bool,
    },
    /// All jobs of the type wait for `delay`.
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
    /// The lease was lost: another worker has the job, or it is final. The outcome was not recorded.
    Stale {
        job: &'a Job,
    },
    /// The outcome could not be recorded; the job runs again when its lease is over.
    NotSettled {
        job: &'a Job,
        message: &'a str,
    },
    /// A claimed row cannot be read; the job runs again when its lease is over.
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
    DrainFailed {
        message: &'a str,
    },
}

impl Entry<'_> {
    pub fn level(&self) -> Level {
        match self {
            Entry::DrainFinished { .. } => Level::Info,
            Entry::JobTypeHeld { .. } | Entry::Stale { .. } => Level::Warning,
            Entry::JobError { retried: true, .. } => Level::Warning,
            Entry::JobError { retried: false, .. }
            | Entry::JobTypePaused { .. }
            | Entry::NotSettled { .. }
            | Entry::NotRead { .. }
            | Entry::DrainFailed { .. } => Level::Error,
        }
    }

    pub fn job(&self) -> Option<&Job> {
        match self {
            Entry::JobError { job, .. }
            | Entry::JobTypeHeld { job, .. }
            | Entry::JobTypePaused { job, .. }
            | Entry::Stale { job }
            | Entry::NotSettled { job, .. } => Some(job),
            Entry::NotRead { .. } | Entry::DrainFinished { .. } | Entry::DrainFailed { .. } => None,
        }
    }

    /// One line of JSON: level, message, and the job's id, type and attempt if there is a job.
    pub fn to_json(&self) -> String {
        // By hand, because an object would not keep the order.
        let text = |text: &str| json::text(&text.into());
        let mut line = format!("{{\"level\":\"{}\",\"message\":{}", name(self.level()), text(&self.to_string()));
        if let Some(Job { id, job_type, attempt_number, .. }) = self.job() {
            let (id, job_type) = (text(id), text(job_type));
            line += &format!(",\"job_id\":{id},\"job_type\":{job_type},\"attempt\":{attempt_number}");
        }
        line + "}"
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(job) = self.job() {
            write!(formatter, "{} {}: ", job.job_type, job.id)?;
        }
        match self {
            Entry::JobError { job, kind, message, retried } => {
                let what = if *retried { "will be retried" } else { "failed" };
                let (attempt, attempts) = (job.attempt_number, job.max_attempts);
                write!(formatter, "attempt {attempt} of {attempts} {what} ({kind}): {}", unquoted(message))
            }
            Entry::JobTypeHeld { job, delay, message } => {
                write!(formatter, "all {} jobs wait {} s: {}", job.job_type, delay.as_secs(), unquoted(message))
            }
            Entry::JobTypePaused { job, message } => write!(
                formatter,
                "all {0} jobs are paused until `select resume_job_type('{0}')`: {1}",
                job.job_type,
                unquoted(message)
            ),
            Entry::Stale { .. } => formatter.write_str("not ours any more, outcome dropped"),
            Entry::NotSettled { message, .. } => {
                write!(formatter, "outcome not recorded, runs again after its lease: {}", unquoted(message))
            }
            Entry::NotRead { id, message } => {
                write!(formatter, "claimed job {id:?} cannot be read, runs again after its lease: {message}")
            }
            Entry::DrainFinished { completed, errors, snoozed, milliseconds } => write!(
                formatter,
                "drain finished: {completed} completed, {errors} error(s), {snoozed} snoozed in {milliseconds} ms"
            ),
            Entry::DrainFailed { message } => write!(formatter, "drain failed: {message}"),
        }
    }
}

/// Returns the message up to the first text that it quotes.
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
            Entry::JobError { job: &job, kind: "rejected", message: "found \"a red fox\"", retried: false }.to_json();
        let expected = r#"{"level":"error","message":"download-image j1: attempt 2 of 3 failed (rejected): found …","#;
        assert_eq!(line, format!(r#"{expected}"job_id":"j1","job_type":"download-image","attempt":2}}"#));
    }
}
