//! The drain: claim, run, settle, until nothing is left to do in the time there is.

use crate::ctx::Ctx;
use crate::error::{Again, JobError, RunError};
use crate::event::Event;
use crate::handlers::Handler;
use crate::job::{Job, Outcome};
use crate::queue::{self, Exchange, QueueError, Settled, Unread};
use futures_util::future::{Either, FutureExt, select};
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
/// While they go unanswered they come sooner, but no more than so many.
const HEARTBEATS_A_LEASE_MOST: u32 = 12;
/// The work is done and paid for when it is settled, so a settle that meets a state of the database or of what lies
/// before it is tried again after each of these, then every 8 s, until the lease is over.
const SETTLE_DELAYS: [Duration; 3] = [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
const SETTLE_DELAY_MOST: Duration = Duration::from_secs(8);
/// A claim that meets a token which is not valid yet is tried again after each of these.
const CLAIM_DELAYS: [Duration; 3] = SETTLE_DELAYS;

/// Runs jobs until none is ready, none falls due within `RUN_BUDGET_MS`, that time is over, or the isolate
/// is closing.
///
/// At most `MAX_PARALLEL_JOBS` run at once. What they come to is settled together, and each settle claims what may
/// be begun, so that a busy drain makes one round trip for several jobs. Claims at once when the bell is rung; a
/// ring that comes too late for another claim is left for the next drain. Fails when the queue cannot be asked; the
/// runs under way are finished and settled first.
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
    // Runs, one exchange, and what an exchange did not settle: it holds up neither the others nor what was claimed.
    let mut work = FuturesUnordered::new();
    let (mut running, mut unsettled) = (0_usize, 0_usize);
    // Outcomes wait for each other a little, so that one round trip carries several.
    let mut ended: Vec<(Job, Outcome)> = Vec::new();
    let mut settle_at = 0;
    let mut is_trading = false;
    // Why the last exchange that carried outcomes failed: nothing is claimed until one of them gets an answer.
    let mut in_doubt = None;
    // When a claim may find something; none: nothing waits.
    let mut due = Some(0);
    let mut claim_delays = CLAIM_DELAYS.iter();
    let mut begun = 0;
    // Until the schema has answered this worker.
    let mut greets = true;

    loop {
        let now = ctx.clock.now_milliseconds();
        let may_go_on = failure.is_none() && in_doubt.is_none() && !ctx.bell.is_closing();
        let may_claim = may_go_on && now <= last_claim && begun < JOBS_MOST;
        let free = if may_claim { ctx.config.max_parallel_jobs.saturating_sub(running) } else { 0 };
        // One under way may have looked before what the bell tells of.
        if !is_trading && free > 0 && ctx.bell.answer() {
            due = Some(now);
        }
        let trades = match ended.is_empty() {
            true => free > 0 && due.is_some_and(|at| at <= now),
            false => running == 0 || ended.len() >= CLAIM_MOST || settle_at <= now,
        };
        if !is_trading && trades {
            let outcomes = std::mem::take(&mut ended);
            work.push(trade(ctx, &job_types, outcomes, free.min(CLAIM_MOST), greets).boxed_local());
            is_trading = true;
        } else if work.is_empty() {
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

        let wake_at = match ended.is_empty() {
            true => due.filter(|at| free > 0 && *at <= last_claim),
            false => Some(settle_at),
        };
        let sleep = match wake_at.filter(|at| !is_trading && *at > now) {
            Some(at) => ctx.clock.sleep(Duration::from_millis(at - now)),
            None => pending().boxed_local(),
        };
        let ring = match !is_trading && free > 0 && ended.is_empty() {
            true => ctx.bell.heard().boxed_local(),
            false => pending().boxed_local(),
        };
        let (mut sleep, mut ring) = (sleep.fuse(), ring.fuse());
        let step = select_biased! {
            step = work.select_next_some() => step,
            () = sleep => continue,
            () = ring => continue,
        };
        match step {
            Step::Ran(run) => {
                running -= 1;
                if ended.is_empty() {
                    settle_at = ctx.clock.now_milliseconds() + milliseconds(SETTLE_TOGETHER);
                }
                ended.extend(run);
            }
            Step::Traded(answers, claimed) => {
                is_trading = false;
                let carried = !answers.is_empty();
                for (job, outcome, answer) in answers {
                    match &answer {
                        Ok(Settled::Recorded | Settled::Stale) => note(ctx, &mut summary, &job, &outcome, &answer),
                        Ok(Settled::Refused(_) | Settled::Again(_)) | Err(_) => {
                            unsettled += 1;
                            work.push(settle(ctx, &job_types, job, outcome, answer).boxed_local());
                        }
                    }
                }
                match claimed {
                    Ok(Claimed { jobs, unread, due: next, mismatch }) => {
                        (due, in_doubt, claim_delays, greets) = (next, None, CLAIM_DELAYS.iter(), false);
                        failure = mismatch.map(RunError).or(failure);
                        begun += jobs.len();
                        running += jobs.len();
                        for Unread { id, message } in &unread {
                            ctx.observer.observe(&Event::NotRead { id, message });
                        }
                        let late = failure.is_some() || ctx.clock.now_milliseconds() > end || ctx.bell.is_closing();
                        work.extend(jobs.into_iter().map(|job| begin(ctx, handlers, job, late).boxed_local()));
                    }
                    Err(error) if carried => in_doubt = Some(error),
                    Err(error) => match claim_delays.next().filter(|_| error.is_of_token()) {
                        Some(delay) => due = Some(ctx.clock.now_milliseconds() + milliseconds(*delay)),
                        None => failure = Some(RunError::from(error)),
                    },
                }
            }
            Step::Settled(job, outcome, answer) => {
                unsettled -= 1;
                note(ctx, &mut summary, &job, &outcome, &answer);
                let is_answered = answer.as_ref().map_or_else(QueueError::is_refusal, |_| true);
                if is_answered && in_doubt.take().is_some() {
                    due = Some(ctx.clock.now_milliseconds());
                } else if unsettled == 0
                    && let Some(error) = in_doubt.take()
                {
                    failure = Some(RunError::from(error));
                }
            }
        }
    }
}

/// What a drain waits for.
enum Step {
    /// What became of each outcome of an exchange, and what it claimed.
    Traded(Vec<(Job, Outcome, Answer)>, Result<Claimed, QueueError>),
    /// None: there is nothing to settle.
    Ran(Option<(Job, Outcome)>),
    Settled(Job, Outcome, Answer),
}

/// Runs a claimed job; one that came too late to be run is handed back.
async fn begin(ctx: &Ctx, handlers: &[Handler], job: Job, late: bool) -> Step {
    if late {
        // What is not handed back comes back by its lease, at the cost of an attempt.
        let _ = queue::hand_back(ctx, &job).await;
        return Step::Ran(None);
    }
    let started = ctx.clock.now_milliseconds();
    let Some(outcome) = run_under_lease(ctx, handlers, &job).await else {
        ctx.observer.observe(&Event::Stale { job: &job });
        return Step::Ran(None);
    };
    let age = job.age + Duration::from_millis(ctx.clock.now_milliseconds().saturating_sub(started));
    let outcome = within(ctx.config.job_timeout, age, outcome);
    Step::Ran(Some((job, outcome)))
}

/// The outcome, but no other attempt for a job past its time.
fn within(timeout: Duration, age: Duration, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Failed(mut error) if error.again == Again::Backoff && age >= timeout => {
            let last = if error.told.is_empty() { &mut error.message } else { &mut error.told };
            *last += &format!("; not tried again: JOB_TIMEOUT_MS ({} s) is over", timeout.as_secs());
            Outcome::Failed(JobError { kind: "timed_out", again: Again::Never, ..error })
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
    let mut delay = job.lease / HEARTBEATS_A_LEASE;
    loop {
        match select(&mut run, ctx.clock.sleep(delay)).await {
            Either::Left((outcome, _)) => return Some(outcome),
            Either::Right(_) => {}
        }
        // The run goes on while the heartbeat is on its way; one that gets no answer, or that of a gateway, changes
        // nothing, for there is another before the lease is over.
        let heartbeat = pin!(queue::heartbeat(ctx, job));
        match select(&mut run, heartbeat).await {
            Either::Left((outcome, _)) => return Some(outcome),
            Either::Right((Ok(false), _)) => return None,
            Either::Right((Ok(true) | Err(_), _)) => delay = heartbeat_delay(job, ctx.clock.now_milliseconds()),
        }
    }
}

/// A third of the lease; half of what is left of it, where that is less because heartbeats went unanswered.
fn heartbeat_delay(job: &Job, now_milliseconds: u64) -> Duration {
    let left = Duration::from_millis(job.lease_until.get().saturating_sub(now_milliseconds));
    (left / 2).clamp(job.lease / HEARTBEATS_A_LEASE_MOST, job.lease / HEARTBEATS_A_LEASE)
}

/// What became of an outcome: an error is about the whole call that carried it.
type Answer = Result<Settled, QueueError>;

struct Claimed {
    jobs: Vec<Job>,
    unread: Vec<Unread>,
    /// When there may be more; none: nothing waits.
    due: Option<u64>,
    /// Why none of them may be run.
    mismatch: Option<String>,
}

/// Settles and claims, once.
async fn trade(ctx: &Ctx, job_types: &[&str], outcomes: Vec<(Job, Outcome)>, limit: usize, greets: bool) -> Step {
    let (answers, claimed) = match queue::exchange(ctx, &outcomes, job_types, limit, greets).await {
        Ok(Exchange { settled, jobs, unread, next, mismatch }) => {
            let now = ctx.clock.now_milliseconds();
            let due = match next {
                _ if limit == 0 || jobs.len() + unread.len() == limit => Some(now),
                Some(Duration::ZERO) => Some(now + milliseconds(IDLE_LEAST)),
                next => next.map(|next| now.saturating_add(milliseconds(next))),
            };
            (settled.into_iter().map(Ok).collect(), Ok(Claimed { jobs, unread, due, mismatch }))
        }
        Err(error) => (vec![Err(error.clone()); outcomes.len()], Err(error)),
    };
    let answered = outcomes.into_iter().zip(answers).map(|((job, outcome), answer)| (job, outcome, answer));
    Step::Traded(answered.collect(), claimed)
}

/// Settles by itself what an exchange, which answered so, did not. An outcome that is refused is settled as failed
/// with the reason, its result kept where that can be; a call that is refused has carried nothing but this outcome, or it is no verdict on it. What
/// passes is tried again while the lease lasts, and then left to it: no try begins after its end, though one that is
/// on its way by then still counts unless somebody has the job. After a try that may have been carried out, "not
/// ours any more" most likely means that it was, and counts as recorded.
async fn settle(ctx: &Ctx, job_types: &[&str], mut job: Job, mut outcome: Outcome, mut answer: Answer) -> Step {
    let mut delays = SETTLE_DELAYS.iter();
    let (mut is_alone, mut is_refused, mut may_be_done) = (false, false, false);
    loop {
        let refusal = match &answer {
            Ok(Settled::Stale) if may_be_done => return Step::Settled(job, outcome, Ok(Settled::Recorded)),
            Ok(Settled::Recorded | Settled::Stale) => return Step::Settled(job, outcome, answer),
            Ok(Settled::Refused(message)) => Some(message),
            Ok(Settled::Again(_)) => None,
            Err(error) => {
                may_be_done |= error.may_be_done();
                error.is_refusal().then_some(&error.message)
            }
        };
        match refusal {
            Some(message) if answer.is_ok() || is_alone => {
                outcome = match outcome {
                    // It may be the very thing that is refused.
                    Outcome::Failed(error) if is_refused && error.unrecorded.is_some() => {
                        Outcome::Failed(JobError { unrecorded: None, ..error })
                    }
                    outcome if is_refused => return Step::Settled(job, outcome, answer),
                    outcome => {
                        let error = JobError::never("settle_refused", "the outcome was refused").with_told(message);
                        Outcome::Failed(JobError { unrecorded: queue::unrecorded(&outcome), ..error })
                    }
                };
                (is_refused, may_be_done) = (true, false);
            }
            Some(_) => {}
            None => {
                let delay = *delays.next().unwrap_or(&SETTLE_DELAY_MOST);
                if ctx.clock.now_milliseconds() + milliseconds(delay) >= job.lease_until.get() {
                    return Step::Settled(job, outcome, answer);
                }
                ctx.clock.sleep(delay).await;
            }
        }
        let alone = [(job, outcome)];
        let exchange = queue::exchange(ctx, &alone, job_types, 0, false).await;
        [(job, outcome)] = alone;
        // An exchange has as many answers as outcomes.
        answer = exchange.map(|exchange| exchange.settled.into_iter().next().unwrap_or(Settled::Stale));
        is_alone = true;
    }
}

/// Counts an outcome and tells of it, once there is nothing more to do about it.
fn note(ctx: &Ctx, summary: &mut Summary, job: &Job, outcome: &Outcome, settled: &Answer) {
    count(summary, outcome, settled);
    report(ctx, job, outcome, settled);
}

fn count(summary: &mut Summary, outcome: &Outcome, settled: &Answer) {
    match (settled, outcome) {
        (Ok(Settled::Stale), _) | (Ok(Settled::Recorded), Outcome::Cancelled) => {}
        (Ok(Settled::Recorded), Outcome::Completed { .. }) => summary.processed += 1,
        (Ok(Settled::Recorded), Outcome::Snoozed { .. }) => summary.snoozed += 1,
        (Ok(Settled::Recorded), Outcome::Failed(JobError { again: Again::After(_) | Again::WhenResumed, .. })) => {
            summary.snoozed += 1;
        }
        (Ok(Settled::Recorded), Outcome::Failed(_)) | (Ok(Settled::Refused(_) | Settled::Again(_)) | Err(_), _) => {
            summary.errors += 1
        }
    }
}

fn report(ctx: &Ctx, job: &Job, outcome: &Outcome, settled: &Answer) {
    let event = match (settled, outcome) {
        (Ok(Settled::Stale), _) => Event::Stale { job },
        (Ok(Settled::Refused(message) | Settled::Again(message)), _) | (Err(QueueError { message, .. }), _) => {
            Event::NotSettled { job, message }
        }
        (Ok(Settled::Recorded), Outcome::Failed(JobError { kind, message, again, .. })) => match again {
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
