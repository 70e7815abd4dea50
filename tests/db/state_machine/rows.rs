//! The rows of the queue's tables, and what befalls them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::operation::{DOWNLOAD, GENERATE, WORK};

/// Of the clock that `Operation::Pass` moves.
pub type Microseconds = i64;

pub const SECOND: Microseconds = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Status {
    Pending,
    Processing,
    Completed,
    Failed,
    Cancelled,
}

/// A row of job_queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub job_type: String,
    /// Of its payload.
    pub generation: Option<String>,
    pub unique_key: Option<String>,
    pub status: Status,
    pub priority: i32,
    pub attempt_number: i32,
    pub max_attempts: i32,
    pub life: i32,
    pub created_at: Microseconds,
    pub scheduled_at: Microseconds,
    pub started_at: Option<Microseconds>,
    pub first_started_at: Option<Microseconds>,
    pub completed_at: Option<Microseconds>,
    pub lease_token: Option<Uuid>,
    pub lease_expires_at: Option<Microseconds>,
    pub woken_at: Option<Microseconds>,
    pub cancel_requested: bool,
    pub checkpoint: Option<Value>,
    pub event: Option<Value>,
    pub result: Option<Value>,
    pub error_message: Option<String>,
    /// The kinds of its entries.
    pub errors: Value,
}

pub type Jobs = BTreeMap<Uuid, Job>;

impl Job {
    pub fn unfinished(&self) -> bool {
        matches!(self.status, Status::Pending | Status::Processing)
    }

    pub fn revivable(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Cancelled)
    }

    /// Whether it waits, and has never been at work.
    pub fn untouched(&self) -> bool {
        self.status == Status::Pending && self.attempt_number == 0 && !self.begun()
    }

    pub fn begun(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Whether complete_job settles it: without a token any job at work.
    pub fn settled_with(&self, token: Option<Uuid>) -> bool {
        if token.is_none() { self.status == Status::Processing } else { self.held_with(token) }
    }

    /// It has begun, and was told something that no run has seen.
    pub fn goes_first(&self) -> bool {
        self.begun() && self.woken_at.is_some()
    }

    /// Whether a call with this token may settle it.
    pub fn held_with(&self, token: Option<Uuid>) -> bool {
        token.is_some() && self.lease_token == token
    }

    pub fn leave(&mut self, status: Status) {
        self.status = status;
        (self.lease_token, self.lease_expires_at, self.completed_at) = (None, None, None);
    }

    pub fn end(&mut self, status: Status, clock: Microseconds) {
        self.leave(status);
        self.event = None;
        self.completed_at = Some(clock);
    }

    /// An attempt that has failed: again, where attempts are left and it is worth it, else the end.
    pub fn fail(&mut self, kind: &str, message: String, again: bool, clock: Microseconds) {
        self.errors.as_array_mut().expect("errors is an array").push(json!(kind));
        self.error_message = Some(message);
        if again && self.attempt_number < self.max_attempts {
            self.leave(Status::Pending);
        } else {
            self.end(if self.cancel_requested { Status::Cancelled } else { Status::Failed }, clock);
        }
    }

    /// By hand: a worker may have it still, and keeps it for its lease. One that had ended keeps all that it has.
    pub fn put_back(&mut self) {
        if self.status == Status::Processing {
            self.scheduled_at = self.scheduled_at.max(self.lease_expires_at.unwrap_or(self.scheduled_at));
        }
        self.status = Status::Pending;
    }

    /// It may have begun something, which a run must end before it is cancelled.
    pub fn ask_to_cancel(&mut self, clock: Microseconds) {
        self.cancel_requested = true;
        self.checkpoint.get_or_insert_with(|| json!({}));
        self.wake(clock);
    }

    /// Something has happened that its next run must see.
    pub fn wake(&mut self, clock: Microseconds) {
        if self.status == Status::Pending {
            self.scheduled_at = self.scheduled_at.min(self.lease_expires_at.unwrap_or(clock).max(clock));
        }
        self.woken_at = Some(clock);
    }

    pub fn retry(&mut self, attempts: i32, clock: Microseconds) {
        self.status = Status::Pending;
        self.scheduled_at = clock;
        self.life += 1;
        if self.first_started_at.is_some() {
            self.attempt_number = self.attempt_number.max(1);
        }
        self.max_attempts = self.attempt_number.max(1) + attempts;
        (self.checkpoint, self.event, self.result, self.error_message) = (None, None, None, None);
        (self.started_at, self.completed_at, self.woken_at) = (None, None, None);
        self.cancel_requested = false;
    }
}

/// A row of job_types.
#[derive(Debug, Default, PartialEq)]
pub struct JobType {
    pub lease_seconds: i32,
    pub backoff_max_seconds: f64,
    pub starts_per_minute: Option<f64>,
    pub start_tokens: Option<f64>,
    pub start_tokens_at: Option<Microseconds>,
    pub paused: bool,
    /// Its owners' jobs go in turns.
    pub fair: bool,
    pub held_until: Option<Microseconds>,
    pub begun_held_until: Option<Microseconds>,
}

pub type JobTypes = BTreeMap<String, JobType>;

pub const BACKOFF_BASE_SECONDS: f64 = 5.0;

/// As each sequence finds them.
pub fn job_types() -> JobTypes {
    let policy = |lease_seconds, backoff_max_seconds, starts_per_minute| JobType {
        lease_seconds,
        backoff_max_seconds,
        starts_per_minute,
        ..JobType::default()
    };
    JobTypes::from([
        (WORK.to_owned(), JobType { fair: true, ..policy(30, 6.0, None) }),
        (GENERATE.to_owned(), policy(60, 600.0, Some(20.0))),
        (DOWNLOAD.to_owned(), policy(60, 600.0, None)),
    ])
}

impl JobType {
    /// None: as many as there are.
    pub fn available_starts(&self, clock: Microseconds) -> Option<f64> {
        let per_minute = self.starts_per_minute?;
        let full = (per_minute / 10.0).max(1.0);
        let left = self.start_tokens.zip(self.start_tokens_at);
        Some(left.map_or(full, |(tokens, at)| full.min(tokens + seconds(clock - at) * per_minute / 60.0)))
    }

    /// When a job that has not begun may begin.
    pub fn next_start_at(&self, clock: Microseconds) -> Microseconds {
        let missing = self.available_starts(clock).map_or(0.0, |starts| 1.0 - starts);
        clock + (missing / self.starts_per_minute.unwrap_or(1.0) * 60.0 * SECOND as f64).round() as Microseconds
    }
}

pub fn seconds(microseconds: Microseconds) -> f64 {
    microseconds as f64 / SECOND as f64
}
