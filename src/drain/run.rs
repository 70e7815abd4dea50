//! Runs one job's handler, extending the lease meanwhile.

use super::step::Step;
use crate::ctx::Ctx;
use crate::error::{Again, JobError};
use crate::job::{Handler, Job, Outcome};
use crate::log::{self, Entry};
use crate::queue;
use futures_util::future::{Either, FutureExt, select};
use std::pin::pin;
use std::time::Duration;

/// Heartbeats per lease: one may go unanswered before the lease is over.
const HEARTBEATS_A_LEASE: u32 = 3;
/// The most heartbeats per lease; unanswered ones are repeated sooner.
const MAX_HEARTBEATS_A_LEASE: u32 = 12;

/// Runs a claimed job, or hands it back if it came too late.
pub async fn begin(ctx: &Ctx, handlers: &[Handler], job: Job, late: bool) -> Step {
    if late {
        // If this fails, the lease gives the job back, at the cost of an attempt.
        let _ = queue::hand_back(ctx, &job).await;
        return Step::Ran(None);
    }
    let started = ctx.clock.now_milliseconds();
    let Some(outcome) = run_under_lease(ctx, handlers, &job).await else {
        log::write(ctx, &Entry::Stale { job: &job });
        return Step::Ran(None);
    };
    let age = job.age + Duration::from_millis(ctx.clock.now_milliseconds().saturating_sub(started));
    let outcome = match handler(handlers, &job) {
        Some(Handler { timed: false, .. }) => outcome,
        Some(_) | None => within(ctx.config.job_timeout, age, outcome),
    };
    Step::Ran(Some((job, outcome)))
}

fn handler<'a>(handlers: &'a [Handler], job: &Job) -> Option<&'a Handler> {
    handlers.iter().find(|handler| handler.job_type == job.handler())
}

/// Makes a failure final if the job is past its time.
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

/// Runs the handler, extending the lease meanwhile. Returns `None` if the lease was lost, which stops the run.
async fn run_under_lease(ctx: &Ctx, handlers: &[Handler], job: &Job) -> Option<Outcome> {
    let Some(handler) = handler(handlers, job) else {
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
        // The run goes on during the heartbeat. A heartbeat without an answer, or with a gateway's, changes nothing,
        // because another comes before the lease is over.
        let heartbeat = pin!(queue::heartbeat(ctx, job));
        match select(&mut run, heartbeat).await {
            Either::Left((outcome, _)) => return Some(outcome),
            Either::Right((Ok(false), _)) => return None,
            Either::Right((Ok(true) | Err(_), _)) => delay = heartbeat_delay(job, ctx.clock.now_milliseconds()),
        }
    }
}

/// A third of the lease, or half of its rest if that is less because heartbeats went unanswered.
fn heartbeat_delay(job: &Job, now_milliseconds: u64) -> Duration {
    let left = Duration::from_millis(job.lease_until.get().saturating_sub(now_milliseconds));
    (left / 2).clamp(job.lease / MAX_HEARTBEATS_A_LEASE, job.lease / HEARTBEATS_A_LEASE)
}
