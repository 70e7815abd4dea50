//! The drain: claim, run, settle, until nothing is left to do in the time there is.

use crate::ctx::Ctx;
use crate::error::{Again, JobError, RunError};
use crate::event::Event;
use crate::handlers::Handler;
use crate::job::{Job, Outcome};
use crate::queue::{self, QueueError, Settled};
use futures_util::future::{Either, Fuse, FusedFuture, FutureExt, select};
use futures_util::select_biased;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Serialize;
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
/// Jobs begun by one drain. The platform retires an isolate at 1 s of CPU and ends it at 2 s; these take less than
/// the one.
const JOBS_MOST: usize = 500;
/// An outcome waits this long for others, while other runs are under way: each round trip costs as much CPU as a job.
const SETTLE_TOGETHER: Duration = Duration::from_millis(250);
/// A drain that gets nothing although something is ready (others have it locked) does not ask again sooner.
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
/// At most `MAX_PARALLEL_JOBS` run at once. What they come to is settled together, and each settle claims what may
/// be begun, so that a busy drain makes one round trip for several jobs. Claims at once when the bell is rung; a
/// ring that comes too late for another claim is left for the next drain. Fails when the queue cannot be asked; the
/// runs under way are finished first.
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
    // Outcomes wait for each other a little, so that one round trip carries several.
    let mut ended: Vec<(Job, Outcome)> = Vec::new();
    let mut settle_at = 0;
    let mut exchange = pin!(Fuse::terminated());
    // When a claim may find something; none: nothing waits.
    let mut due = Some(0);
    let mut begun = 0;

    loop {
        let now = ctx.clock.now_milliseconds();
        let may_claim = now <= last_claim && begun < JOBS_MOST && failure.is_none() && !ctx.bell.is_closing();
        let free = if may_claim { ctx.config.max_parallel_jobs.saturating_sub(running.len()) } else { 0 };
        let is_free = exchange.is_terminated();
        // One under way may have looked before what the bell tells of.
        if is_free && free > 0 && ctx.bell.answer() {
            due = Some(now);
        }
        let trades = match ended.is_empty() {
            true => free > 0 && due.is_some_and(|at| at <= now),
            false => running.is_empty() || ended.len() >= CLAIM_MOST || settle_at <= now,
        };
        if is_free && trades {
            let outcomes = std::mem::take(&mut ended);
            exchange.set(trade(ctx, &job_types, outcomes, free.min(CLAIM_MOST)).fuse());
        } else if is_free && running.is_empty() {
            if let Some(failure) = failure {
                return Err(failure);
            }
            match due.filter(|at| may_claim && *at <= last_claim) {
                Some(at) => {
                    let sleep = ctx.clock.sleep(Duration::from_millis(at.saturating_sub(now)));
                    select(sleep, pin!(ctx.bell.heard())).await;
                    continue;
                }
                // Rung since the last claim looked.
                None if may_claim && ctx.bell.is_rung() => continue,
                None => return Ok(summary),
            }
        }

        let waits = exchange.is_terminated();
        let wake_at = match ended.is_empty() {
            true => due.filter(|at| free > 0 && *at <= last_claim),
            false => Some(settle_at),
        };
        let sleep = match wake_at.filter(|at| waits && *at > now) {
            Some(at) => ctx.clock.sleep(Duration::from_millis(at - now)),
            None => pending().boxed_local(),
        };
        let ring = match waits && free > 0 && ended.is_empty() {
            true => ctx.bell.heard().boxed_local(),
            false => pending().boxed_local(),
        };
        let (mut sleep, mut ring) = (sleep.fuse(), ring.fuse());
        select_biased! {
            traded = exchange => {
                for (job, outcome, settled) in traded.settled {
                    count(&mut summary, &outcome, &settled);
                    report(ctx, &job, &outcome, &settled);
                }
                match traded.claimed {
                    Ok(Claimed { jobs, due: next }) => {
                        due = next;
                        begun += jobs.len();
                        let late = ctx.clock.now_milliseconds() > end || ctx.bell.is_closing();
                        running.extend(jobs.into_iter().map(|job| begin(ctx, handlers, job, late)));
                    }
                    Err(error) => failure = Some(RunError::from(error)),
                }
            }
            run = running.select_next_some() => {
                if ended.is_empty() {
                    settle_at = ctx.clock.now_milliseconds() + milliseconds(SETTLE_TOGETHER);
                }
                ended.extend(run);
            }
            () = sleep => {}
            () = ring => {}
        }
    }
}

/// Runs a claimed job; one that came too late to be run is handed back. None: there is nothing to settle.
async fn begin(ctx: &Ctx, handlers: &[Handler], job: Job, late: bool) -> Option<(Job, Outcome)> {
    if late {
        // What is not handed back comes back by its lease, at the cost of an attempt.
        let _ = queue::hand_back(ctx, &job).await;
        return None;
    }
    let started = ctx.clock.now_milliseconds();
    let Some(outcome) = run_under_lease(ctx, handlers, &job).await else {
        ctx.observer.observe(&Event::Stale { job: &job });
        return None;
    };
    let age = job.age + Duration::from_millis(ctx.clock.now_milliseconds().saturating_sub(started));
    let outcome = within(ctx.config.job_timeout, age, outcome);
    Some((job, outcome))
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

/// What an exchange with the queue came to.
struct Traded {
    settled: Vec<(Job, Outcome, Result<Settled, QueueError>)>,
    claimed: Result<Claimed, QueueError>,
}

struct Claimed {
    jobs: Vec<Job>,
    /// When there may be more; none: nothing waits.
    due: Option<u64>,
}

/// Settles and claims, trying again while outcomes get no clear answer. After a lost answer, "not ours any more"
/// most likely means that the lost one was the yes, and counts as it. What is refused is settled as failed; a call
/// that is refused as a whole, for what one outcome makes of it, is taken apart so that the others do not suffer.
async fn trade(ctx: &Ctx, job_types: &[&str], mut outcomes: Vec<(Job, Outcome)>, limit: usize) -> Traded {
    let mut delays = SETTLE_DELAYS.iter();
    let (mut answer_lost, mut refused_before) = (false, false);
    let mut settled = Vec::new();
    let mut claimed = None;
    loop {
        // What a lost answer has claimed comes back by its lease; one such is enough.
        let limit = if claimed.is_some() || answer_lost { 0 } else { limit };
        match queue::exchange(ctx, &outcomes, job_types, limit).await {
            Ok(answer) => {
                let now = ctx.clock.now_milliseconds();
                let due = match answer.next {
                    _ if limit == 0 || answer.jobs.len() == limit => Some(now),
                    Some(Duration::ZERO) => Some(now + milliseconds(IDLE_LEAST)),
                    next => next.map(|next| now.saturating_add(milliseconds(next))),
                };
                let claimed = claimed.get_or_insert(Claimed { jobs: answer.jobs, due });
                let mut refused = Vec::new();
                for ((job, outcome), answer) in outcomes.drain(..).zip(answer.settled) {
                    match answer {
                        Settled::Refused(message) if !refused_before => {
                            refused.push((job, Outcome::Failed(JobError::never("settle_refused", message))));
                        }
                        Settled::Stale if answer_lost => settled.push((job, outcome, Ok(Settled::Recorded))),
                        answer => settled.push((job, outcome, Ok(answer))),
                    }
                }
                if refused.is_empty() {
                    let claimed = Claimed { jobs: std::mem::take(&mut claimed.jobs), due: claimed.due };
                    return Traded { settled, claimed: Ok(claimed) };
                }
                (outcomes, refused_before) = (refused, true);
            }
            Err(error) if error.is_refusal() && outcomes.len() > 1 => {
                for outcome in outcomes {
                    settled.extend(Box::pin(trade(ctx, job_types, vec![outcome], 0)).await.settled);
                }
                let claimed = claimed.unwrap_or(Claimed { jobs: Vec::new(), due: Some(ctx.clock.now_milliseconds()) });
                return Traded { settled, claimed: Ok(claimed) };
            }
            Err(error) if error.is_refusal() && outcomes.len() == 1 && !refused_before => {
                let failed = Outcome::Failed(JobError::never("settle_refused", error.message));
                outcomes = outcomes.into_iter().map(|(job, _)| (job, failed.clone())).collect();
                refused_before = true;
            }
            Err(error) => match delays.next().filter(|_| !outcomes.is_empty() && !error.is_refusal()) {
                Some(delay) => {
                    ctx.clock.sleep(*delay).await;
                    answer_lost = true;
                }
                None => {
                    settled.extend(outcomes.into_iter().map(|(job, outcome)| (job, outcome, Err(error.clone()))));
                    return Traded { settled, claimed: claimed.ok_or(error) };
                }
            },
        }
    }
}

fn count(summary: &mut Summary, outcome: &Outcome, settled: &Result<Settled, QueueError>) {
    match (settled, outcome) {
        (Ok(Settled::Stale), _) | (Ok(Settled::Recorded), Outcome::Cancelled) => {}
        (Ok(Settled::Recorded), Outcome::Completed { .. }) => summary.processed += 1,
        (Ok(Settled::Recorded), Outcome::Snoozed { .. }) => summary.snoozed += 1,
        (Ok(Settled::Recorded), Outcome::Failed(JobError { again: Again::After(_) | Again::WhenResumed, .. })) => {
            summary.snoozed += 1;
        }
        (Ok(Settled::Recorded), Outcome::Failed(_)) | (Ok(Settled::Refused(_)) | Err(_), _) => summary.errors += 1,
    }
}

fn report(ctx: &Ctx, job: &Job, outcome: &Outcome, settled: &Result<Settled, QueueError>) {
    let event = match (settled, outcome) {
        (Ok(Settled::Stale), _) => Event::Stale { job },
        (Ok(Settled::Refused(message)), _) | (Err(QueueError { message, .. }), _) => Event::NotSettled { job, message },
        (Ok(Settled::Recorded), Outcome::Failed(JobError { kind, message, again })) => match again {
            Again::Never => Event::JobError { job, kind, message, retried: false },
            Again::Backoff => Event::JobError { job, kind, message, retried: job.attempt_number < job.max_attempts },
            Again::After(delay) => Event::JobTypeHeld { job, delay: *delay, message },
            Again::WhenResumed => Event::JobTypePaused { job, message },
        },
        (Ok(Settled::Recorded), _) => return,
    };
    ctx.observer.observe(&event);
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
