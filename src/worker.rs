//! The drain: claim, run, settle, until nothing is left to do in the time there is.

use crate::ctx::Ctx;
use crate::error::{Again, JobError, RunError};
use crate::event::Event;
use crate::handlers::Handler;
use crate::job::{Job, Outcome};
use crate::queue::{self, QueueError};
use futures_util::future::{Either, FutureExt, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
use std::collections::BTreeSet;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

/// What a drain came to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Jobs completed.
    pub processed: u32,
    /// Job runs that failed, retried or not.
    pub errors: u32,
    /// Runs that ended in waiting: parked, held or paused.
    pub snoozed: u32,
}

/// No claim with less than this left of the budget: a run mostly takes one or two calls.
const CLAIM_LEAST: Duration = Duration::from_secs(5);
/// Ten payloads of 1 MiB, the most that `enqueue_job` takes, still fit into an answer of the database.
const CLAIM_MOST: usize = 10;
/// A drain with nothing to do does not ask again sooner.
const IDLE_LEAST: Duration = Duration::from_millis(500);
/// Heartbeats in the time of a lease: one may go unanswered before it is over.
const HEARTBEATS_A_LEASE: u32 = 3;
/// The work is done and paid for when it is settled, so a settle that meets a lost connection or a
/// 5xx is tried again after each of these.
const SETTLE_DELAYS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];

/// Runs jobs until none is ready, none falls due within `RUN_BUDGET_MS`, that time is over, or the isolate
/// is closing.
///
/// At most `MAX_PARALLEL_JOBS` run at once. Claims at once when the bell is rung; a ring that comes too
/// late for another claim is left for the next drain. Fails when the queue cannot be asked; the runs under
/// way are finished first.
pub async fn drain(ctx: &Ctx, handlers: &[Handler]) -> Result<Summary, RunError> {
    let started = ctx.clock.now_milliseconds();
    let result = drain_until(ctx, handlers, started + milliseconds(ctx.config.run_budget)).await;
    match &result {
        Ok(Summary { processed, errors, snoozed }) => ctx.observer.observe(&Event::DrainFinished {
            completed: *processed,
            errors: *errors,
            snoozed: *snoozed,
            milliseconds: ctx.clock.now_milliseconds().saturating_sub(started),
        }),
        Err(RunError(message)) => ctx.observer.observe(&Event::RunFailed { message }),
    }
    result
}

async fn drain_until(ctx: &Ctx, handlers: &[Handler], end: u64) -> Result<Summary, RunError> {
    let job_types: Vec<&str> = handlers.iter().map(|handler| handler.job_type).collect();
    let last_claim = end.saturating_sub(milliseconds(CLAIM_LEAST));
    let mut summary = Summary::default();
    let mut failure = None;
    let mut running = FuturesUnordered::new();
    // When a claim may find something; none: only a finished run can tell.
    let mut due = BTreeSet::from([0]);

    loop {
        let now = ctx.clock.now_milliseconds();
        let may_claim = now <= last_claim && failure.is_none() && !ctx.bell.is_closing();
        let free = ctx.config.max_parallel_jobs.saturating_sub(running.len());
        if may_claim && free > 0 && ctx.bell.answer() {
            due.insert(now);
        }
        if may_claim && free > 0 && due.first().is_some_and(|at| *at <= now) {
            due = due.split_off(&(now + 1));
            let limit = free.min(CLAIM_MOST);
            match queue::claim(ctx, &job_types, limit).await {
                Ok(jobs) => {
                    if jobs.len() == limit {
                        due.insert(now);
                    }
                    let late = ctx.clock.now_milliseconds() > end || ctx.bell.is_closing();
                    running.extend(jobs.into_iter().map(|job| begin(ctx, handlers, job, late)));
                }
                Err(error) => failure = Some(RunError::from(error)),
            }
            continue;
        }
        if running.is_empty() {
            if let Some(failure) = failure {
                return Err(failure);
            }
            if !may_claim {
                return Ok(summary);
            }
            // Only the database knows: of retries, of what was woken or cancelled while it ran.
            let wait = queue::seconds_until_next(ctx, &job_types).await?;
            let wait = wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let at = wait.map(|wait| ctx.clock.now_milliseconds().saturating_add(milliseconds(wait.max(IDLE_LEAST))));
            due = at.into_iter().collect();
            match at {
                Some(at) if at <= last_claim => {
                    let sleep = ctx.clock.sleep(Duration::from_millis(at.saturating_sub(now)));
                    select(sleep, pin!(ctx.bell.heard())).await;
                }
                // Rung while the database was asked.
                Some(_) | None if ctx.bell.is_rung() => {}
                Some(_) | None => return Ok(summary),
            }
            continue;
        }
        let sleep = async {
            match due.first().filter(|at| free > 0 && **at > now && **at <= last_claim) {
                Some(at) => ctx.clock.sleep(Duration::from_millis(at - now)).await,
                None => pending().await,
            }
        };
        let ring = async {
            match may_claim && free > 0 {
                true => ctx.bell.heard().await,
                false => pending().await,
            }
        };
        let Either::Left((Some(finished), _)) = select(running.next(), select(pin!(sleep), pin!(ring))).await else {
            continue;
        };
        finished.counted.add_to(&mut summary);
        due.extend(finished.ready_in.map(|wait| ctx.clock.now_milliseconds() + milliseconds(wait)));
    }
}

/// What one run came to, for the summary and the next claim.
struct Finished {
    counted: Counted,
    /// When this run has made some job ready: its follow-up, itself after a snooze.
    ready_in: Option<Duration>,
}

enum Counted {
    Completed,
    Error,
    Snoozed,
    /// Cancelled, handed back, not recorded, or not ours any more.
    Nothing,
}

impl Counted {
    fn add_to(&self, summary: &mut Summary) {
        match self {
            Counted::Completed => summary.processed += 1,
            Counted::Error => summary.errors += 1,
            Counted::Snoozed => summary.snoozed += 1,
            Counted::Nothing => {}
        }
    }
}

/// Runs a claimed job; one that came too late to be run is handed back.
async fn begin(ctx: &Ctx, handlers: &[Handler], job: Job, late: bool) -> Finished {
    if late {
        // What is not handed back comes back by its lease, at the cost of an attempt.
        let _ = queue::hand_back(ctx, &job).await;
        return Finished { counted: Counted::Nothing, ready_in: None };
    }
    run(ctx, handlers, job).await
}

async fn run(ctx: &Ctx, handlers: &[Handler], job: Job) -> Finished {
    let started = ctx.clock.now_milliseconds();
    let Some(outcome) = run_under_lease(ctx, handlers, &job).await else {
        ctx.observer.observe(&Event::Stale { job: &job });
        return Finished { counted: Counted::Nothing, ready_in: None };
    };
    let age = job.age + Duration::from_millis(ctx.clock.now_milliseconds().saturating_sub(started));
    let outcome = within(ctx.config.job_timeout, age, outcome);
    match settle(ctx, &job, &outcome).await {
        Settled::Recorded => {
            report(ctx, &job, &outcome);
            finished(&outcome)
        }
        Settled::Refused(error) => {
            report(ctx, &job, &Outcome::Failed(error));
            Finished { counted: Counted::Error, ready_in: None }
        }
        Settled::Stale => {
            ctx.observer.observe(&Event::Stale { job: &job });
            Finished { counted: Counted::Nothing, ready_in: None }
        }
        Settled::Lost(error) => {
            ctx.observer.observe(&Event::NotSettled { job: &job, message: &error.message });
            Finished { counted: Counted::Error, ready_in: None }
        }
    }
}

/// The outcome, but no other attempt for a job past its time.
fn within(timeout: Duration, age: Duration, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(JobError { message, again: Again::Backoff, .. }) if age >= timeout => {
            let message = format!("{message}; not tried again: JOB_TIMEOUT_MS ({} s) is over", timeout.as_secs());
            Outcome::Failed(JobError::never("timed_out", message))
        }
        outcome => outcome,
    }
}

fn finished(outcome: &Outcome) -> Finished {
    match outcome {
        Outcome::Completed { follow_ups, .. } => {
            let ready_in = (!follow_ups.is_empty()).then_some(Duration::ZERO);
            Finished { counted: Counted::Completed, ready_in }
        }
        Outcome::Snoozed { delay, .. } => Finished { counted: Counted::Snoozed, ready_in: Some(*delay) },
        Outcome::Cancelled => Finished { counted: Counted::Nothing, ready_in: None },
        Outcome::Failed(error) => match error.again {
            // When the retry is due, only the database knows.
            Again::Never | Again::Backoff => Finished { counted: Counted::Error, ready_in: None },
            Again::After(delay) => Finished { counted: Counted::Snoozed, ready_in: Some(delay) },
            Again::WhenResumed => Finished { counted: Counted::Snoozed, ready_in: None },
        },
    }
}

/// Runs the handler, extending the lease while it works. None: the lease was lost on the way, and
/// the run was dropped.
async fn run_under_lease(ctx: &Ctx, handlers: &[Handler], job: &Job) -> Option<Outcome> {
    let Some(handler) = handlers.iter().find(|handler| handler.job_type == job.job_type) else {
        let message = format!("this worker has no handler for job type {:?}", job.job_type);
        return Some(Outcome::Failed(JobError::never("unknown_job_type", message)));
    };
    let run = if job.cancel_requested { handler.cancel } else { handler.run };
    let mut run = run(ctx, job).map(Outcome::from);
    loop {
        match select(&mut run, ctx.clock.sleep(job.lease / HEARTBEATS_A_LEASE)).await {
            Either::Left((outcome, _)) => return Some(outcome),
            Either::Right(_) => {}
        }
        // The run goes on while the heartbeat is on its way; one that gets no answer changes nothing,
        // for there is another before the lease is over.
        let heartbeat = pin!(queue::heartbeat(ctx, job));
        match select(&mut run, heartbeat).await {
            Either::Left((outcome, _)) => return Some(outcome),
            Either::Right((Ok(false), _)) => return None,
            Either::Right((Ok(true) | Err(_), _)) => {}
        }
    }
}

enum Settled {
    Recorded,
    /// Somebody else has the job now, or it is final.
    Stale,
    /// The database would not take this outcome; the job has failed with its message instead.
    Refused(JobError),
    Lost(QueueError),
}

async fn settle(ctx: &Ctx, job: &Job, outcome: &Outcome) -> Settled {
    match settle_persistently(ctx, job, outcome).await {
        Err(refusal) if refusal.is_refusal() => {
            let error = JobError::never("settle_refused", refusal.message);
            match settle_persistently(ctx, job, &Outcome::Failed(error.clone())).await {
                Ok(true) => Settled::Refused(error),
                Ok(false) => Settled::Stale,
                Err(lost) => Settled::Lost(lost),
            }
        }
        Err(lost) => Settled::Lost(lost),
        Ok(true) => Settled::Recorded,
        Ok(false) => Settled::Stale,
    }
}

/// Settles, trying again while no clear answer comes. After a lost answer, "not ours any more"
/// most likely means that the lost one was the yes, and counts as it.
async fn settle_persistently(ctx: &Ctx, job: &Job, outcome: &Outcome) -> Result<bool, QueueError> {
    let mut delays = SETTLE_DELAYS.iter();
    let mut answer_lost = false;
    loop {
        match queue::settle(ctx, job, outcome).await {
            Ok(recorded) => return Ok(recorded || answer_lost),
            Err(error) if error.is_refusal() => return Err(error),
            Err(error) => match delays.next() {
                Some(delay) => ctx.clock.sleep(*delay).await,
                None => return Err(error),
            },
        }
        answer_lost = true;
    }
}

fn report(ctx: &Ctx, job: &Job, outcome: &Outcome) {
    let Outcome::Failed(JobError { kind, message, again }) = outcome else { return };
    let event = match again {
        Again::Never => Event::JobError { job, kind, message, retried: false },
        Again::Backoff => Event::JobError { job, kind, message, retried: job.attempt_number < job.max_attempts },
        Again::After(delay) => Event::JobTypeHeld { job, delay: *delay, message },
        Again::WhenResumed => Event::JobTypePaused { job, message },
    };
    ctx.observer.observe(&event);
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
