//! The queue as migrations/README.md describes it: what each operation answers, and what it leaves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::operation::{DOWNLOAD, GENERATE, Operation, Pick, Set, Token, WORK};
use crate::rows::{
    BACKOFF_BASE_SECONDS, Job, JobType, JobTypes, Jobs, Microseconds, SECOND, Status, job_types, seconds,
};

/// What a call answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Id(Uuid),
    Claimed(Vec<Claimed>),
    Bool(bool),
    Count(i64),
    /// The SQLSTATE.
    Refused(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    pub id: Uuid,
    pub lease_token: Option<Uuid>,
    pub lease_seconds: i32,
    pub attempt_number: i32,
    pub checkpoint: Option<Value>,
    pub event: Option<Value>,
    pub cancel_requested: bool,
    pub age_seconds: f64,
    /// Before now.
    pub search_from_seconds: f64,
}

/// What an operation is about, in the end.
#[derive(Default)]
pub struct Aim {
    /// Nil, which no job has, where there is no job yet.
    pub job: Uuid,
    pub token: Option<Uuid>,
    pub generation: Option<String>,
    /// The type of the job that it enqueues.
    pub enqueues: Option<&'static str>,
    /// Whose job that is, where it is `work`.
    pub owner: usize,
    pub result: Value,
}

/// The database after an operation: what only it can know is taken from there.
pub struct Seen {
    pub answer: Answer,
    pub jobs: Jobs,
    pub types: JobTypes,
    /// Of the ready jobs.
    pub turns: BTreeMap<Uuid, i64>,
}

const HOUR: Microseconds = 3600 * SECOND;

pub struct Model {
    pub clock: Microseconds,
    pub jobs: Jobs,
    /// Jobs by age, as operations count them.
    order: Vec<Uuid>,
    /// Every token that was handed out, by job.
    tokens: BTreeMap<Uuid, Vec<Uuid>>,
    pub types: JobTypes,
    /// As the database has given them: that they are in order is an invariant.
    pub turns: BTreeMap<Uuid, i64>,
    generations: usize,
}

impl Model {
    pub fn new() -> Model {
        Model {
            clock: 0,
            jobs: Jobs::new(),
            order: Vec::new(),
            tokens: BTreeMap::new(),
            types: job_types(),
            turns: BTreeMap::new(),
            generations: 0,
        }
    }

    /// ` #0` for the oldest job; nothing for one that is not there.
    pub fn name(&self, job: Uuid) -> String {
        self.order.iter().position(|&id| id == job).map_or(String::new(), |n| format!(" #{n}"))
    }

    /// Finds the job and the token that an operation means.
    pub fn aim(&mut self, operation: &Operation) -> Aim {
        Aim { owner: self.order.len() % 3, ..self.aim_of(operation) }
    }

    fn aim_of(&mut self, operation: &Operation) -> Aim {
        let settled = |job: &Job| job.lease_token.is_some();
        match *operation {
            Operation::Enqueue { job_type: WORK, .. } | Operation::Insert { job_type: WORK, .. } => {
                Aim { enqueues: Some(WORK), ..Aim::default() }
            }
            Operation::Enqueue { job_type, again, .. } | Operation::Insert { job_type, again, .. } => {
                let stored = self.jobs.values().find(|job| job.result.as_ref() == Some(&picture()));
                let generation = stored.filter(|_| again).and_then(|job| job.generation.clone());
                self.generations += 1;
                let generation = generation.unwrap_or_else(|| format!("generation-{}", self.generations));
                Aim { generation: Some(generation), enqueues: Some(job_type), ..Aim::default() }
            }
            Operation::Complete { job, token, follow_up, picture: with_picture, .. } => {
                let mut aim = self.aim_at(job, token, settled);
                let job_type = self.jobs.get(&aim.job).map(|job| job.job_type.as_str());
                aim.enqueues = match job_type {
                    Some(GENERATE) => Some(DOWNLOAD),
                    Some(WORK) => Some(WORK),
                    _ => None,
                };
                aim.enqueues = aim.enqueues.filter(|_| follow_up);
                aim.result = if with_picture && job_type == Some(DOWNLOAD) { picture() } else { json!({}) };
                aim
            }
            Operation::Fail { job, token, .. }
            | Operation::Snooze { job, token, .. }
            | Operation::Heartbeat { job, token, .. } => self.aim_at(job, token, settled),
            Operation::ChangePriority { job, .. } => self.aim_at(job, Token::None, |job| job.status == Status::Pending),
            Operation::Cancel { job, token: Token::None } | Operation::Wake { job, .. } => {
                self.aim_at(job, Token::None, Job::unfinished)
            }
            Operation::Cancel { job, token } => self.aim_at(job, token, settled),
            Operation::Retry { job, .. } => self.aim_at(job, Token::None, Job::revivable),
            Operation::Set { job, to: Set::Pending } => {
                self.aim_at(job, Token::None, |job| job.status != Status::Pending)
            }
            Operation::Set { job, .. } | Operation::Delete { job } => self.aim_at(job, Token::None, |_| true),
            Operation::Claim { .. }
            | Operation::Redrive { .. }
            | Operation::Pause { .. }
            | Operation::Resume { .. }
            | Operation::Pass { .. }
            | Operation::Reset
            | Operation::SetFair { .. }
            | Operation::Prune { .. } => Aim::default(),
        }
    }

    fn aim_at(&self, pick: Pick, token: Token, fits: impl Fn(&Job) -> bool) -> Aim {
        let fitting: Vec<&Uuid> = self.order.iter().filter(|id| self.jobs.get(id).is_some_and(&fits)).collect();
        let all: Vec<&Uuid> = self.order.iter().collect();
        let (nth, among) = match pick {
            Pick::Fitting(nth) if !fitting.is_empty() => (nth, fitting),
            Pick::Fitting(nth) | Pick::Any(nth) => (nth, all),
        };
        let job = among.get(nth % among.len().max(1)).map_or(Uuid::nil(), |&&id| id);
        let tokens = self.tokens.get(&job).map_or(&[][..], Vec::as_slice);
        let token = match token {
            Token::Last => tokens.last().copied().or(Some(Uuid::nil())),
            Token::First => tokens.first().copied().or(Some(Uuid::nil())),
            Token::Random => Some(Uuid::from_u128(1)),
            Token::None => None,
        };
        let generation = self.jobs.get(&job).and_then(|job| job.generation.clone());
        Aim { job, token, generation, ..Aim::default() }
    }

    /// Does an operation, and says what it must have answered.
    pub fn take(&mut self, operation: &Operation, aim: &Aim, seen: &Seen) -> Result<Answer> {
        let clock = self.clock;
        Ok(match *operation {
            Operation::Enqueue { key, priority, max_attempts, delay_seconds, .. } => {
                let scheduled_at = clock + i64::from(delay_seconds.unwrap_or(0)) * SECOND;
                Answer::Id(self.enqueue(aim, key, (priority, max_attempts), scheduled_at, seen))
            }
            Operation::Insert { job_type, key, priority, delay_seconds, .. } => {
                if self.unfinished_with(job_type, &key.map(unique_key)).is_some() {
                    return Ok(clash());
                }
                let scheduled_at = clock + i64::from(delay_seconds.unwrap_or(0)) * SECOND;
                Answer::Id(self.enqueue(aim, key, (priority, 3), scheduled_at, seen))
            }
            Operation::Claim { only, limit, lease_seconds } => {
                self.take_back_expired();
                Answer::Claimed(self.claim(only, limit as usize, lease_seconds, seen))
            }
            Operation::Complete { key, .. } => {
                let settled = |job: &&mut Job| job.settled_with(aim.token);
                let Some(job) = self.jobs.get_mut(&aim.job).filter(settled) else { return Ok(Answer::Bool(false)) };
                job.error_message = None;
                if job.cancel_requested {
                    job.end(Status::Cancelled, clock);
                    return Ok(Answer::Bool(true));
                }
                job.end(Status::Completed, clock);
                job.result = Some(aim.result.clone());
                let priority = job.priority.max(0);
                if aim.enqueues.is_some() {
                    self.enqueue(aim, key, (priority, 3), clock, seen);
                }
                Answer::Bool(true)
            }
            Operation::Fail { retry, .. } => {
                let settled = |job: &&mut Job| job.settled_with(aim.token);
                let Some(job) = self.jobs.get_mut(&aim.job).filter(settled) else { return Ok(Answer::Bool(false)) };
                job.fail("error", "it failed".to_owned(), retry == "backoff", clock);
                if job.status == Status::Failed {
                    job.result = None;
                }
                if job.status == Status::Pending {
                    let most = self.types[job.job_type.as_str()].backoff_max_seconds;
                    let mean = (BACKOFF_BASE_SECONDS * 2f64.powi(job.attempt_number - 1)).min(most);
                    job.scheduled_at = seen.jobs.get(&aim.job).map_or(clock, |job| job.scheduled_at);
                    let waits = seconds(job.scheduled_at - clock);
                    ensure!((0.75 * mean..=1.25 * mean).contains(&waits), "a backoff of {waits} s, not {mean} s ±25 %");
                }
                Answer::Bool(true)
            }
            Operation::Snooze { delay_seconds, prediction, hold, pause, .. } => {
                let Some(job) = self.jobs.get_mut(&aim.job).filter(|job| job.held_with(aim.token)) else {
                    return Ok(Answer::Bool(false));
                };
                let due = clock + i64::from(delay_seconds) * SECOND;
                job.leave(Status::Pending);
                job.attempt_number -= 1;
                job.scheduled_at = if job.woken_at.is_some() { clock } else { due };
                job.checkpoint = prediction.map(checkpoint).or(job.checkpoint.take());
                if !job.begun() {
                    job.started_at = None;
                }
                let job_type = self.types.get_mut(job.job_type.as_str()).expect("a type of ours");
                if hold {
                    let held_until =
                        if job.begun() { &mut job_type.begun_held_until } else { &mut job_type.held_until };
                    *held_until = (*held_until).max(Some(due));
                }
                job_type.paused |= pause;
                Answer::Bool(true)
            }
            Operation::Heartbeat { lease_seconds, .. } => {
                let held = |job: &&mut Job| job.status == Status::Processing && job.held_with(aim.token);
                let Some(job) = self.jobs.get_mut(&aim.job).filter(held) else { return Ok(Answer::Bool(false)) };
                let lease_seconds = lease_seconds.unwrap_or(self.types[job.job_type.as_str()].lease_seconds);
                job.lease_expires_at = Some(clock + i64::from(lease_seconds) * SECOND);
                Answer::Bool(true)
            }
            Operation::Wake { event, .. } => {
                let event = Some(self::event(event));
                let news = |job: &&mut Job| job.unfinished() && job.event != event;
                let Some(job) = self.jobs.get_mut(&aim.job).filter(news) else { return Ok(Answer::Bool(false)) };
                job.event = event;
                job.wake(clock);
                Answer::Bool(true)
            }
            Operation::Cancel { .. } => {
                let Some(job) = self.jobs.get_mut(&aim.job).filter(|job| match aim.token {
                    None => job.unfinished(),
                    token => job.held_with(token),
                }) else {
                    return Ok(Answer::Bool(false));
                };
                if aim.token.is_some() || job.untouched() {
                    job.end(Status::Cancelled, clock);
                } else {
                    job.ask_to_cancel(clock);
                }
                Answer::Bool(true)
            }
            Operation::Retry { attempts, .. } => {
                if !self.jobs.get(&aim.job).is_some_and(Job::revivable) {
                    Answer::Bool(false)
                } else if self.retry(aim.job, attempts) {
                    Answer::Bool(true)
                } else {
                    clash()
                }
            }
            Operation::Redrive { only, limit, attempts } => {
                let mut failed: Vec<Uuid> = self.jobs.keys().copied().collect();
                failed.retain(|id| {
                    let job = &self.jobs[id];
                    job.status == Status::Failed && only.is_none_or(|only| job.job_type == only)
                });
                // Which of those that failed at one moment comes first is the database's choice.
                failed.sort_by_key(|id| {
                    let chosen = seen.jobs.get(id).is_some_and(|job| job.status == Status::Pending);
                    (self.jobs[id].completed_at, !chosen)
                });
                let redriven = failed.into_iter().filter(|&id| self.retry(id, attempts)).take(limit as usize);
                Answer::Count(redriven.count() as i64)
            }
            Operation::Pause { job_type } => {
                Answer::Bool(!std::mem::replace(&mut self.job_type(job_type).paused, true))
            }
            Operation::Resume { job_type } => {
                let was_paused = std::mem::replace(&mut self.job_type(job_type).paused, false);
                let waited = |job: &&mut Job| job.job_type == job_type && job.status == Status::Pending && !job.begun();
                for job in self.jobs.values_mut().filter(waited).filter(|_| was_paused) {
                    job.started_at = None;
                }
                Answer::Bool(was_paused)
            }
            Operation::Pass { .. } => Answer::Bool(true),
            Operation::ChangePriority { priority, .. } => {
                let pending = |job: &&mut Job| job.status == Status::Pending;
                let Some(job) = self.jobs.get_mut(&aim.job).filter(pending) else { return Ok(Answer::Bool(false)) };
                job.priority = priority;
                Answer::Bool(true)
            }
            Operation::SetFair { fair } => {
                self.job_type(WORK).fair = fair;
                Answer::Bool(true)
            }
            Operation::Reset => {
                let at_work = self.jobs.values_mut().filter(|job| job.status == Status::Processing);
                Answer::Count(at_work.map(Job::put_back).count() as i64)
            }
            Operation::Set { to, .. } => {
                let Some(mut job) = self.jobs.get(&aim.job).cloned() else { return Ok(Answer::Bool(false)) };
                match to {
                    Set::Pending => job.put_back(),
                    Set::Cancelled if job.untouched() => {
                        let first_end = job.completed_at;
                        job.end(Status::Cancelled, clock);
                        job.completed_at = first_end.or(job.completed_at);
                    }
                    Set::Cancelled if job.unfinished() => job.ask_to_cancel(clock),
                    Set::Cancelled => job.status = Status::Cancelled,
                    Set::Priority(priority) => job.priority = priority,
                    Set::ScheduledAt(delay_seconds) => job.scheduled_at = clock + i64::from(delay_seconds) * SECOND,
                    Set::JobType(job_type) => job.job_type = job_type.to_owned(),
                    Set::UniqueKey(key) => job.unique_key = key.map(unique_key),
                }
                let holder = self.unfinished_with(&job.job_type, &job.unique_key).filter(|&holder| holder != aim.job);
                if job.unfinished() && holder.is_some() {
                    return Ok(clash());
                }
                self.jobs.insert(aim.job, job);
                Answer::Bool(true)
            }
            Operation::Delete { .. } => Answer::Bool(self.jobs.remove(&aim.job).is_some()),
            Operation::Prune { limit } => {
                let mut ended: Vec<Uuid> = self.jobs.keys().copied().collect();
                ended.retain(|id| {
                    let job = &self.jobs[id];
                    !job.unfinished() && job.completed_at < Some(clock - HOUR)
                });
                // Which of them is the database's choice.
                ended.sort_by_key(|id| seen.jobs.contains_key(id));
                ended.truncate(limit as usize);
                self.jobs.retain(|id, _| !ended.contains(id));
                Answer::Count(ended.len() as i64)
            }
        })
    }

    fn job_type(&mut self, job_type: &str) -> &mut JobType {
        self.types.get_mut(job_type).expect("a type of ours")
    }

    fn unfinished_with(&self, job_type: &str, unique_key: &Option<String>) -> Option<Uuid> {
        let same = |job: &Job| job.job_type == job_type && job.unique_key.is_some() && job.unique_key == *unique_key;
        self.jobs.iter().find(|(_, job)| job.unfinished() && same(job)).map(|(&id, _)| id)
    }

    fn enqueue(
        &mut self,
        aim: &Aim,
        key: Option<u8>,
        (priority, max_attempts): (i32, i32),
        scheduled_at: Microseconds,
        seen: &Seen,
    ) -> Uuid {
        let job_type = aim.enqueues.expect("a type to enqueue");
        let unique_key = key.map(unique_key);
        if let Some(id) = self.unfinished_with(job_type, &unique_key) {
            return id;
        }
        let id = seen.jobs.keys().find(|id| !self.jobs.contains_key(id)).copied().unwrap_or_default();
        let job = Job {
            job_type: job_type.to_owned(),
            generation: aim.generation.clone(),
            unique_key,
            status: Status::Pending,
            priority,
            attempt_number: 0,
            max_attempts,
            life: 1,
            created_at: self.clock,
            scheduled_at,
            started_at: None,
            first_started_at: None,
            completed_at: None,
            lease_token: None,
            lease_expires_at: None,
            woken_at: None,
            cancel_requested: false,
            checkpoint: None,
            event: None,
            result: None,
            error_message: None,
            errors: json!([]),
        };
        self.jobs.insert(id, job);
        self.order.push(id);
        id
    }

    fn take_back_expired(&mut self) {
        let clock = self.clock;
        for job in self.jobs.values_mut() {
            if job.status == Status::Processing && job.lease_expires_at <= Some(clock) {
                let attempt = format!("attempt {} of {}", job.attempt_number, job.max_attempts);
                let message = format!("lease expired on {attempt}: the worker was killed or lost");
                job.fail("lease_expired", message, true, clock);
            }
        }
    }

    fn claim(&mut self, only: Option<&str>, limit: usize, lease_seconds: Option<i32>, seen: &Seen) -> Vec<Claimed> {
        let clock = self.clock;
        let rank = |id: &Uuid| {
            let job = &self.jobs[id];
            let rank = i64::from(-job.priority);
            let fair = self.types[job.job_type.as_str()].fair && !job.begun();
            // What a lost worker had comes back now, and goes first.
            let rank = if fair { (rank << 31) + self.turns.get(id).unwrap_or(&0) } else { rank };
            (rank, job.created_at, *id)
        };
        let order = |id: Uuid, as_old_as: Option<Microseconds>| {
            let job = &self.jobs[&id];
            (!job.goes_first(), Reverse(job.priority), as_old_as.unwrap_or(job.created_at), rank(&id))
        };
        let mut ready = Vec::new();
        for (name, job_type) in &self.types {
            if only.is_some_and(|only| only != *name) {
                continue;
            }
            let due = |(_, job): &(&Uuid, &Job)| {
                job.job_type == *name && job.status == Status::Pending && job.scheduled_at <= clock
            };
            let (mut begun, mut fresh): (Vec<Uuid>, Vec<Uuid>) =
                self.jobs.iter().filter(due).map(|(id, _)| *id).partition(|id| self.jobs[id].begun());
            begun.retain(|id| self.jobs[id].goes_first() || job_type.begun_held_until <= Some(clock));
            fresh.sort_by_key(rank);
            // Beside other types a fair one's are as old as the first of them.
            let as_old_as = fresh.first().filter(|_| job_type.fair).map(|id| self.jobs[id].created_at);
            let starts = job_type.available_starts(clock).map_or(usize::MAX, |starts| starts as usize);
            fresh.truncate(if job_type.paused || job_type.held_until > Some(clock) { 0 } else { starts });
            ready.extend(begun.into_iter().map(|id| order(id, None)));
            ready.extend(fresh.into_iter().map(|id| order(id, as_old_as)));
        }
        ready.sort();
        ready.truncate(limit);
        let ready: Vec<Uuid> = ready.into_iter().map(|(.., (.., id))| id).collect();

        for (name, job_type) in &mut self.types {
            let starts =
                ready.iter().map(|id| &self.jobs[id]).filter(|job| job.job_type == *name && !job.begun()).count();
            if let Some(available) = job_type.available_starts(clock).filter(|_| starts > 0) {
                job_type.start_tokens = Some(available - starts as f64);
                job_type.start_tokens_at = Some(clock);
            }
        }
        ready
            .into_iter()
            .map(|id| {
                let lease_token = seen.jobs.get(&id).and_then(|job| job.lease_token);
                self.tokens.entry(id).or_default().extend(lease_token);
                let job = self.jobs.get_mut(&id).expect("a ready job");
                let lease_seconds = lease_seconds.unwrap_or(self.types[job.job_type.as_str()].lease_seconds);
                job.status = Status::Processing;
                job.attempt_number += 1;
                job.max_attempts = job.max_attempts.max(job.attempt_number);
                job.lease_token = lease_token;
                job.lease_expires_at = Some(clock + i64::from(lease_seconds) * SECOND);
                job.woken_at = None;
                let started_at = *job.started_at.get_or_insert(clock);
                let first_started_at = *job.first_started_at.get_or_insert(clock);
                Claimed {
                    id,
                    lease_token,
                    lease_seconds,
                    attempt_number: job.attempt_number,
                    checkpoint: job.checkpoint.clone(),
                    event: job.event.clone(),
                    cancel_requested: job.cancel_requested,
                    age_seconds: seconds(clock - started_at),
                    search_from_seconds: seconds(clock - first_started_at).min(7200.0) + 60.0,
                }
            })
            .collect()
    }

    /// False: an unfinished job has its key.
    fn retry(&mut self, id: Uuid, attempts: i32) -> bool {
        let job = &self.jobs[&id];
        if self.unfinished_with(&job.job_type, &job.unique_key).is_some() {
            return false;
        }
        self.jobs.get_mut(&id).expect("a job of ours").retry(attempts, self.clock);
        true
    }

    /// What seconds_until_next_job answers.
    pub fn seconds_until_next(&self) -> Option<f64> {
        let due = self.jobs.values().filter_map(|job| {
            let job_type = &self.types[job.job_type.as_str()];
            match job.status {
                Status::Processing => job.lease_expires_at.filter(|&at| at <= self.clock),
                Status::Pending if job.goes_first() => Some(job.scheduled_at),
                Status::Pending if job.begun() => Some(job.scheduled_at).max(job_type.begun_held_until),
                Status::Pending if job_type.paused => None,
                Status::Pending => {
                    Some(job.scheduled_at.max(job_type.next_start_at(self.clock))).max(job_type.held_until)
                }
                Status::Completed | Status::Failed | Status::Cancelled => None,
            }
        });
        due.min().map(|at| seconds((at - self.clock).max(0)))
    }
}

fn clash() -> Answer {
    Answer::Refused("23505".to_owned())
}

pub fn unique_key(key: u8) -> String {
    format!("key-{key}")
}

pub fn checkpoint(prediction: u8) -> Value {
    json!({ "prediction_id": format!("prediction-{prediction}") })
}

pub fn event(event: u8) -> Value {
    json!({ "event": event })
}

/// The result of a download that has stored a picture.
fn picture() -> Value {
    json!({ "storage_path": "user/picture.png", "filename": "picture.png", "width": 8, "height": 8 })
}
