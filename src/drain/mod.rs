//! The drain: claims, runs and settles jobs until none is left or its time is over. [`next`] decides, this module acts.

mod next;
mod run;
mod settle;
mod step;

use crate::ctx::{Ctx, milliseconds};
use crate::error::{Again, JobError};
use crate::job::{Handler, Job, Outcome};
use crate::log::{self, Entry};
use crate::postgrest::CallError;
use crate::queue::{self, Claim, Settled, Unread};
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::select_biased;
use futures_util::stream::{FuturesUnordered, StreamExt};
use next::{Due, Ended, Next, State};
use serde::Serialize;
use std::fmt;
use std::future::pending;
use std::time::Duration;
use step::{Answer, Called, DELAYS, Step};

/// The counts of one drain.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Jobs completed.
    pub processed: u32,
    /// Runs that failed, retried or not, and outcomes that could not be recorded.
    pub errors: u32,
    /// Runs after which the job waits: parked, held or paused.
    pub snoozed: u32,
}

/// The error that ended a whole drain. The caller gets it; no job caused it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainError(pub String);

impl fmt::Display for DrainError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<CallError> for DrainError {
    fn from(error: CallError) -> DrainError {
        DrainError(match error.status {
            Some(401 | 403) => {
                let settings = "SUPABASE_SECRET_KEYS, else SUPABASE_SERVICE_ROLE_KEY";
                format!("{}; the secret key is refused: see {settings}", error.message)
            }
            // The database has no function of this name with these arguments.
            _ if error.code == "PGRST202" => format!("{}; {}", error.message, queue::OTHER_SCHEMA),
            _ => error.message,
        })
    }
}

/// The shortest wait after a claim that got nothing although a job was ready (locked by others).
const MIN_IDLE: Duration = Duration::from_millis(500);
/// Runs jobs until none is ready, none falls due within `RUN_BUDGET_MS`, that time is over, or the isolate is closing.
///
/// At most `MAX_PARALLEL_JOBS` run at once. Outcomes are settled together, and if they may make work, the same call
/// claims it, so that a busy drain makes one round trip for several jobs. A notification causes a claim at once; one
/// that comes too late for that is left for the next drain. If the queue cannot be asked, the drain settles its current
/// runs, then fails; but a claim whose answer was lost is asked for again before that.
pub async fn drain(ctx: &Ctx, handlers: &[Handler]) -> Result<Summary, DrainError> {
    let started = ctx.clock.now_milliseconds();
    let result = Drain::new(ctx, handlers, started).run().await;
    let entry = match &result {
        Ok(Summary { processed, errors, snoozed }) => Entry::DrainFinished {
            completed: *processed,
            errors: *errors,
            snoozed: *snoozed,
            milliseconds: ctx.clock.now_milliseconds().saturating_sub(started),
        },
        Err(DrainError(message)) => Entry::DrainFailed { message },
    };
    log::write(ctx, &entry);
    result
}

struct Drain<'a> {
    ctx: &'a Ctx,
    handlers: &'a [Handler],
    job_types: Vec<&'static str>,
    /// A job claimed after this time is not begun.
    end: u64,
    state: State,
    summary: Summary,
    failure: Option<DrainError>,
    /// The error of the last call that carried outcomes: the drain claims nothing until one of them gets an answer.
    in_doubt: Option<CallError>,
    /// Outcomes to settle.
    ended: Vec<(Job, Outcome)>,
    /// Names the next claim. It changes only when a claim is answered: what a lost answer had claimed is asked for by it.
    lease_token: String,
    /// A claim of this name may have been carried out.
    may_be_claimed: bool,
    /// The delays left for tries of a claim; each answer renews them.
    delays: std::slice::Iter<'static, Duration>,
    /// True until the schema has answered this worker.
    greets: bool,
    /// Runs, one call, and those single settles.
    work: FuturesUnordered<LocalBoxFuture<'a, Step>>,
}

impl<'a> Drain<'a> {
    fn new(ctx: &'a Ctx, handlers: &'a [Handler], started: u64) -> Drain<'a> {
        let budget = ctx.config.run_budget;
        Drain {
            ctx,
            handlers,
            job_types: handlers.iter().map(|handler| handler.job_type).collect(),
            end: started + milliseconds(budget),
            state: State {
                max_parallel_jobs: ctx.config.max_parallel_jobs,
                last_claim: started + milliseconds(budget - next::MIN_CLAIM_BUDGET.min(budget * 9 / 10)),
                may_claim: true,
                is_notified: false,
                is_calling: false,
                running: 0,
                unsettled: 0,
                begun: 0,
                ended: Ended::default(),
                settle_at: 0,
                due: Due::At(0),
            },
            summary: Summary::default(),
            failure: None,
            in_doubt: None,
            ended: Vec::new(),
            lease_token: ctx.ids.uuid(),
            may_be_claimed: false,
            delays: DELAYS.iter(),
            greets: true,
            work: FuturesUnordered::new(),
        }
    }

    async fn run(mut self) -> Result<Summary, DrainError> {
        let ctx = self.ctx;
        loop {
            self.state.may_claim = self.failure.is_none() && self.in_doubt.is_none() && !ctx.notify.is_closing();
            self.state.is_notified = ctx.notify.is_notified();
            self.state.ended = Ended::of(&self.ended);
            let now = ctx.clock.now_milliseconds();
            match next::next(&self.state, now) {
                Next::Claim { limit } => self.claim(limit),
                Next::Settle => self.settle(),
                Next::Exchange { limit } => self.exchange(limit),
                Next::AskWhenDue => self.ask_when_due(),
                Next::Done => return self.failure.map_or(Ok(self.summary), Err),
                Next::Wait { until, listens } => {
                    let sleep = match until {
                        Some(at) => ctx.clock.sleep(Duration::from_millis(at.saturating_sub(now))),
                        None => pending().boxed_local(),
                    };
                    let notified = if listens { ctx.notify.notified().boxed_local() } else { pending().boxed_local() };
                    let (mut sleep, mut notified) = (sleep.fuse(), notified.fuse());
                    select_biased! {
                        step = self.work.select_next_some() => self.take(step),
                        () = sleep => {}
                        () = notified => {}
                    }
                }
            }
        }
    }

    fn call(&mut self, call: impl Future<Output = Step> + 'a) {
        self.state.is_calling = true;
        self.work.push(call.boxed_local());
    }

    fn claim(&mut self, limit: usize) {
        // The next claim answers a notification that comes during this one.
        self.ctx.notify.take();
        let (ctx, job_types, lease_token) = (self.ctx, self.job_types.clone(), self.lease_token.clone());
        let greets = self.greets;
        self.call(async move {
            let claimed = queue::claim(ctx, &job_types, limit, &lease_token, greets).await;
            let claimed = claimed.map(|claim| Some(with_due(ctx, claim, limit)));
            Step::Called(Called { settled: Vec::new(), claimed, claims: true })
        });
    }

    fn settle(&mut self) {
        let outcomes = std::mem::take(&mut self.ended);
        // A parked job may have been woken during its run, and the app's own triggers and sessions make jobs too. What a
        // lost answer claimed is asked for at its own time.
        if !self.may_be_claimed {
            self.state.due = Due::Unknown;
        }
        let ctx = self.ctx;
        self.call(async move {
            let settled = queue::settle(ctx, &outcomes).await;
            let claimed = settled.as_ref().map(|_| None).map_err(CallError::clone);
            Step::Called(Called { settled: answered(outcomes, settled), claimed, claims: false })
        });
    }

    fn exchange(&mut self, limit: usize) {
        self.ctx.notify.take();
        let outcomes = std::mem::take(&mut self.ended);
        let (ctx, job_types, lease_token) = (self.ctx, self.job_types.clone(), self.lease_token.clone());
        self.call(async move {
            let (settled, claimed) = match queue::exchange(ctx, &outcomes, &job_types, limit, &lease_token).await {
                Ok((settled, claim)) => (Ok(settled), Ok(Some(with_due(ctx, claim, limit)))),
                Err(error) => (Err(error.clone()), Err(error)),
            };
            Step::Called(Called { settled: answered(outcomes, settled), claimed, claims: true })
        });
    }

    fn ask_when_due(&mut self) {
        let (ctx, job_types) = (self.ctx, self.job_types.clone());
        self.call(async move {
            let wait = queue::seconds_until_next_job(ctx, &job_types).await;
            Step::Asked(wait.map(|wait| due_after(ctx, wait)))
        });
    }

    fn take(&mut self, step: Step) {
        let ctx = self.ctx;
        match step {
            Step::Ran(run) => {
                self.state.running -= 1;
                if let Some((job, outcome)) = run {
                    let now = ctx.clock.now_milliseconds();
                    if self.ended.is_empty() {
                        self.state.settle_at = now + milliseconds(next::SETTLE_TOGETHER);
                    }
                    self.ended.push((job, outcome));
                }
            }
            Step::Called(called) => {
                self.state.is_calling = false;
                self.take_call(called);
            }
            Step::Asked(due) => {
                self.state.is_calling = false;
                match due {
                    Ok(due) => self.state.due = due,
                    Err(error) => self.fail(error),
                }
            }
            Step::Settled(job, outcome, answer) => {
                self.state.unsettled -= 1;
                self.note(&job, &outcome, &answer);
                let is_answered = answer.as_ref().map_or_else(CallError::is_of_statement, |_| true);
                if is_answered {
                    // It may have made work, and so may others. A call under way may not know of it, and its answer
                    // sets `due`.
                    self.in_doubt = None;
                    ctx.notify.notify();
                } else if self.state.unsettled == 0
                    && let Some(error) = self.in_doubt.take()
                {
                    self.failure = Some(DrainError::from(error));
                }
            }
        }
    }

    fn take_call(&mut self, Called { settled, claimed, claims }: Called) {
        let ctx = self.ctx;
        let (carried, alone) = (!settled.is_empty(), settled.len() == 1 && !claims);
        for (job, outcome, answer) in settled {
            match &answer {
                Ok(Settled::Recorded | Settled::Stale) => self.note(&job, &outcome, &answer),
                Ok(Settled::Refused(_) | Settled::Again(_)) | Err(_) => {
                    self.state.unsettled += 1;
                    self.work.push(settle::settle(ctx, job, outcome, answer, alone).boxed_local());
                }
            }
        }
        if claims && claimed.as_ref().is_err_and(CallError::may_be_done) {
            (self.may_be_claimed, self.state.due) = (true, Due::At(ctx.clock.now_milliseconds()));
        }
        match claimed {
            // The queue answers again.
            Ok(None) => {
                if self.in_doubt.take().is_some() {
                    self.state.due = Due::At(ctx.clock.now_milliseconds());
                }
            }
            Ok(Some((Claim { jobs, unread, .. }, due))) => {
                (self.state.due, self.delays, self.greets) = (due, DELAYS.iter(), false);
                (self.lease_token, self.may_be_claimed) = (ctx.ids.uuid(), false);
                self.state.begun += jobs.len();
                self.state.running += jobs.len();
                for Unread { id, message } in &unread {
                    log::write(ctx, &Entry::NotRead { id, message });
                }
                let is_late = ctx.clock.now_milliseconds() > self.end || ctx.notify.is_closing();
                for job in jobs {
                    self.work.push(run::begin(ctx, self.handlers, job, is_late).boxed_local());
                }
            }
            // What the database says to a single outcome leaves no doubt about the queue.
            Err(error) if carried && alone && error.is_of_statement() => {}
            Err(error) if carried => self.in_doubt = Some(error),
            Err(error) => self.fail(error),
        }
    }

    /// Ends the drain with its runs, unless there is time to claim again for one of two reasons: an earlier claim may
    /// have been carried out, or the key's token may be valid in a moment.
    fn fail(&mut self, error: CallError) {
        let is_tried_again = self.may_be_claimed || error.is_of_token();
        let now = self.ctx.clock.now_milliseconds();
        let at = self.delays.next().map(|delay| now + milliseconds(*delay));
        match at.filter(|at| is_tried_again && *at <= self.state.last_claim) {
            Some(at) => self.state.due = Due::At(at),
            None => self.failure = Some(DrainError::from(error)),
        }
    }

    /// Counts and logs an outcome once nothing more can be done about it.
    fn note(&mut self, job: &Job, outcome: &Outcome, answer: &Answer) {
        count(&mut self.summary, outcome, answer);
        report(self.ctx, job, outcome, answer);
    }
}

/// Pairs each outcome with its answer; an error is the answer to each.
fn answered(outcomes: Vec<(Job, Outcome)>, settled: Result<Vec<Settled>, CallError>) -> Vec<(Job, Outcome, Answer)> {
    let answers: Vec<Answer> = match settled {
        Ok(settled) => settled.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error); outcomes.len()],
    };
    outcomes.into_iter().zip(answers).map(|((job, outcome), answer)| (job, outcome, answer)).collect()
}

/// A claim, and the time when the next one may find a job.
fn with_due(ctx: &Ctx, claim: Claim, limit: usize) -> (Claim, Due) {
    let due = match claim.wait {
        _ if claim.jobs.len() + claim.unread.len() == limit => Due::At(ctx.clock.now_milliseconds()),
        Some(wait) => due_after(ctx, wait),
        None => Due::Unknown,
    };
    (claim, due)
}

fn due_after(ctx: &Ctx, wait: queue::Wait) -> Due {
    let now = ctx.clock.now_milliseconds();
    match wait {
        queue::Wait::ForEver => Due::Never,
        queue::Wait::For(Duration::ZERO) => Due::At(now + milliseconds(MIN_IDLE)),
        queue::Wait::For(time) => Due::At(now.saturating_add(milliseconds(time))),
    }
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
    let entry = match (settled, outcome) {
        (Ok(Settled::Stale), _) => Entry::Stale { job },
        (Ok(Settled::Refused(message) | Settled::Again(message)), _) | (Err(CallError { message, .. }), _) => {
            Entry::NotSettled { job, message }
        }
        (Ok(Settled::Recorded), Outcome::Failed(JobError { kind, message, again, .. })) => match again {
            Again::Never => Entry::JobError { job, kind, message, retried: false },
            Again::Backoff => Entry::JobError { job, kind, message, retried: job.attempt_number < job.max_attempts },
            Again::After(delay) => Entry::JobTypeHeld { job, delay: *delay, message },
            Again::WhenResumed => Entry::JobTypePaused { job, message },
        },
        (Ok(Settled::Recorded), _) => return,
    };
    log::write(ctx, &entry);
}
