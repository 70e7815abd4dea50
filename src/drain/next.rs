//! Decides a drain's next step, without taking it.

use crate::error::Again;
use crate::job::{Job, Outcome};
use std::time::Duration;

/// The budget to be left for a claim: a run mostly takes one or two calls. Of a small budget it is 9 tenths.
pub const MIN_CLAIM_BUDGET: Duration = Duration::from_secs(5);
/// Ten payloads of 1 MiB, the most that `enqueue_job` accepts, fit into one answer of the database.
pub const MAX_CLAIM: usize = 10;
/// The most jobs that one drain begins. The platform retires an isolate at 1 s of CPU and ends it at 2 s; this many
/// take less than 1 s.
const MAX_BEGUN: usize = 500;
/// The time that an outcome waits for others while runs go on: each round trip costs as much CPU as a job.
pub const SETTLE_TOGETHER: Duration = Duration::from_millis(250);

/// The state of a drain. Times are milliseconds of the worker's clock.
#[derive(Debug, Clone)]
pub struct State {
    pub max_parallel_jobs: usize,
    /// The drain does not claim after this time.
    pub last_claim: u64,
    /// False if the drain has failed, its isolate is closing, or the last call that carried outcomes got no answer.
    pub may_claim: bool,
    /// A notification of new work came.
    pub is_notified: bool,
    /// A claim, a settle, both, or a question is under way.
    pub is_calling: bool,
    /// The number of runs under way.
    pub running: usize,
    /// The number of outcomes that are being settled alone: they delay neither the others nor the claimed jobs.
    pub unsettled: usize,
    /// The number of jobs begun so far.
    pub begun: usize,
    pub ended: Ended,
    /// The time to settle the outcomes even if other runs go on.
    pub settle_at: u64,
    pub due: Due,
}

/// The time when a claim may find a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Unknown,
    At(u64),
    /// No job waits.
    Never,
}

impl Due {
    fn by(self, time: u64) -> Option<u64> {
        match self {
            Due::At(at) if at <= time => Some(at),
            Due::At(_) | Due::Unknown | Due::Never => None,
        }
    }
}

/// The outcomes to settle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    pub count: usize,
    /// One makes a job ready for certain: a follow-up or another attempt.
    pub makes_work: bool,
}

impl Ended {
    pub fn of(outcomes: &[(Job, Outcome)]) -> Ended {
        Ended { count: outcomes.len(), makes_work: outcomes.iter().any(|(_, outcome)| makes_work(outcome)) }
    }
}

fn makes_work(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Completed { follow_ups, .. } => !follow_ups.is_empty(),
        Outcome::Cancelled => false,
        Outcome::Snoozed { delay, .. } => delay.is_zero(),
        Outcome::Failed(error) => error.again == Again::Backoff,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Claim {
        limit: usize,
    },
    /// Settle all outcomes.
    Settle,
    /// Settle and claim in one call.
    Exchange {
        limit: usize,
    },
    /// Ask when a claim may find a job.
    AskWhenDue,
    /// Wait until something under way ends, until this time, or, with `listens`, until a notification.
    Wait {
        until: Option<u64>,
        listens: bool,
    },
    Done,
}

pub fn next(state: &State, now: u64) -> Next {
    let may_claim = state.may_claim && now <= state.last_claim;
    let free = if may_claim { state.max_parallel_jobs.saturating_sub(state.running) } else { 0 };
    let limit = free.min(MAX_CLAIM).min(MAX_BEGUN.saturating_sub(state.begun));
    let is_due = limit > 0 && (state.is_notified || state.due.by(now).is_some());
    if state.is_calling {
        return Next::Wait { until: None, listens: false };
    }
    if state.ended.count > 0 {
        let is_time = state.running == 0 || state.ended.count >= MAX_CLAIM || state.settle_at <= now;
        let may_find = is_due || state.ended.makes_work || state.ended.count > 1 || state.due == Due::Unknown;
        if !is_time {
            return Next::Wait { until: Some(state.settle_at), listens: false };
        }
        return if limit > 0 && may_find { Next::Exchange { limit } } else { Next::Settle };
    }
    if is_due {
        return Next::Claim { limit };
    }
    if limit > 0 && state.due == Due::Unknown {
        return Next::AskWhenDue;
    }
    let due = state.due.by(state.last_claim).filter(|_| limit > 0);
    let is_idle = state.running == 0 && state.unsettled == 0;
    if is_idle && due.is_none() { Next::Done } else { Next::Wait { until: due, listens: limit > 0 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::JobError;
    use serde_json::Value;

    /// A drain at 1 s of 45 s in which it claims, with nothing to do.
    fn idle() -> State {
        State {
            max_parallel_jobs: 10,
            last_claim: 45_000,
            may_claim: true,
            is_notified: false,
            is_calling: false,
            running: 0,
            unsettled: 0,
            begun: 0,
            ended: Ended::default(),
            settle_at: 0,
            due: Due::Never,
        }
    }

    fn busy(running: usize) -> State {
        State { running, ..idle() }
    }

    fn ended(count: usize) -> Ended {
        Ended { count, ..Ended::default() }
    }

    #[test]
    fn a_drain_does_what_is_next() {
        use Next::*;
        let wait = |until: Option<u64>, listens| Wait { until, listens };
        let table = [
            ("nothing waits", idle(), Done),
            ("something is due", State { due: Due::At(1000), ..idle() }, Claim { limit: 10 }),
            ("something falls due", State { due: Due::At(3000), ..idle() }, wait(Some(3000), true)),
            ("something falls due too late", State { due: Due::At(45_001), ..idle() }, Done),
            ("nobody knows", State { due: Due::Unknown, ..idle() }, AskWhenDue),
            ("new work", State { is_notified: true, ..idle() }, Claim { limit: 10 }),
            ("new work, while closing", State { is_notified: true, may_claim: false, ..idle() }, Done),
            ("due, after the last claim", State { due: Due::At(0), last_claim: 999, ..idle() }, Done),
            ("due, after 500 jobs", State { due: Due::At(0), begun: 500, ..idle() }, Done),
            ("due, after 497 jobs", State { due: Due::At(0), begun: 497, ..idle() }, Claim { limit: 3 }),
            ("a settle is tried again", State { unsettled: 1, ..idle() }, wait(None, true)),
            ("the same, while failing", State { unsettled: 1, may_claim: false, ..idle() }, wait(None, false)),
            ("runs, and nothing waits", busy(3), wait(None, true)),
            ("runs, and something is due", State { due: Due::At(0), ..busy(3) }, Claim { limit: 7 }),
            ("runs, and something falls due", State { due: Due::At(9000), ..busy(3) }, wait(Some(9000), true)),
            ("runs, and nobody knows", State { due: Due::Unknown, ..busy(3) }, AskWhenDue),
            ("as many runs as may be", State { due: Due::At(0), is_notified: true, ..busy(10) }, wait(None, false)),
            ("many places are free", State { due: Due::At(0), max_parallel_jobs: 60, ..busy(3) }, Claim { limit: 10 }),
            ("a call is on its way", State { is_calling: true, due: Due::At(0), ..busy(3) }, wait(None, false)),
            ("one has ended, alone", State { ended: ended(1), ..busy(0) }, Settle),
            (
                "one has ended beside others",
                State { ended: ended(1), settle_at: 1200, ..busy(2) },
                wait(Some(1200), false),
            ),
            ("its time is over", State { ended: ended(1), settle_at: 1000, ..busy(2) }, Settle),
            ("ten have ended", State { ended: ended(10), settle_at: 1200, ..busy(2) }, Exchange { limit: 8 }),
            (
                "with a follow-up",
                State { ended: Ended { makes_work: true, ..ended(1) }, ..busy(0) },
                Exchange { limit: 10 },
            ),
            ("two have ended", State { ended: ended(2), ..busy(0) }, Exchange { limit: 10 }),
            ("beside something due", State { ended: ended(1), due: Due::At(900), ..busy(0) }, Exchange { limit: 10 }),
            ("beside new work", State { ended: ended(1), is_notified: true, ..busy(0) }, Exchange { limit: 10 }),
            ("and nobody knows", State { ended: ended(1), due: Due::Unknown, ..busy(0) }, Exchange { limit: 10 }),
            (
                "while closing",
                State { ended: Ended { makes_work: true, ..ended(1) }, may_claim: false, ..busy(0) },
                Settle,
            ),
            ("after the last claim", State { ended: ended(2), due: Due::At(0), last_claim: 999, ..busy(0) }, Settle),
        ];
        for (what, state, expected) in table {
            assert_eq!(next(&state, 1000), expected, "{what}");
        }
    }

    #[test]
    fn an_outcome_tells_what_may_be_claimed_after_it() {
        let failed = |again| Outcome::Failed(JobError { again, ..JobError::never("k", "m") });
        let parked =
            |seconds| Outcome::Snoozed { delay: Duration::from_secs(seconds), checkpoint: Value::Null, progress: None };
        let table = [
            (Outcome::Completed { result: Value::Null, follow_ups: Vec::new() }, false),
            (Outcome::Cancelled, false),
            (failed(Again::Never), false),
            (failed(Again::Backoff), true),
            (failed(Again::After(Duration::from_secs(7))), false),
            (failed(Again::WhenResumed), false),
            (parked(2), false),
            (parked(0), true),
        ];
        for (outcome, makes_work) in table {
            assert_eq!(super::makes_work(&outcome), makes_work, "{outcome:?}");
        }
    }
}
