//! Settles one outcome alone, after a call that did not record it.

use super::step::{Answer, DELAYS, Step};
use crate::ctx::{Ctx, milliseconds};
use crate::error::JobError;
use crate::job::{Job, Outcome};
use crate::queue::{self, Settled};
use std::time::Duration;

/// The longest of the delays between tries: after [`DELAYS`], every 8 s. A settled outcome's work is done and paid for,
/// so a passing error of the database or a gateway is retried until the lease is over.
const MAX_DELAY: Duration = Duration::from_secs(8);

/// Settles an outcome that a call did not, beginning with that call's answer. If the outcome is refused, the job fails
/// with the reason, and its result is kept if possible. An error of the whole call is a refusal only if the call
/// carried this outcome `alone`. A passing error is retried within the lease and then left to it: no retry begins after
/// its end, but one under way by then counts unless another worker has the job. If an earlier try may have been carried
/// out, "stale" most likely means that it was, and counts as recorded.
pub async fn settle(ctx: &Ctx, mut job: Job, mut outcome: Outcome, mut answer: Answer, alone: bool) -> Step {
    let mut delays = DELAYS.iter();
    let (mut is_alone, mut is_refused, mut may_be_done) = (alone, false, false);
    loop {
        let refusal = match &answer {
            Ok(Settled::Stale) if may_be_done => return Step::Settled(job, outcome, Ok(Settled::Recorded)),
            Ok(Settled::Recorded | Settled::Stale) => return Step::Settled(job, outcome, answer),
            Ok(Settled::Refused(message)) => Some(message),
            Ok(Settled::Again(_)) => None,
            Err(error) => {
                may_be_done |= error.may_be_done();
                error.is_refusal().then_some(&error.said)
            }
        };
        match refusal {
            Some(message) if answer.is_ok() || is_alone => {
                outcome = match outcome {
                    // The database may refuse `unrecorded` itself.
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
                let delay = *delays.next().unwrap_or(&MAX_DELAY);
                if ctx.clock.now_milliseconds() + milliseconds(delay) >= job.lease_until.get() {
                    return Step::Settled(job, outcome, answer);
                }
                ctx.clock.sleep(delay).await;
            }
        }
        let alone = [(job, outcome)];
        let settled = queue::settle_noting(ctx, &alone).await;
        [(job, outcome)] = alone;
        // There is one answer for the one outcome.
        answer = settled.map(|settled| settled.into_iter().next().unwrap_or(Settled::Stale));
        is_alone = true;
    }
}
